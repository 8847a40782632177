"""Session descriptions as a switch must read and change them (RFC 4566, RFC 3264): octets in, octets out.

Works on lines, in one pass, and never raises: what is no session description is handed back as it came. An answer to
what cannot be read has no streams.
"""

from __future__ import annotations

import base64
import os
import re
from typing import Literal

import attrs

__all__ = [
    "Direction",
    "Stream",
    "codecs",
    "direction",
    "held",
    "inactive_answer",
    "origin_place",
    "streams",
    "with_direction",
    "with_origin",
]

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

_DIRECTIONS: dict[bytes, Direction] = {
    b"a=sendrecv": "sendrecv",
    b"a=sendonly": "sendonly",
    b"a=recvonly": "recvonly",
    b"a=inactive": "inactive",
}
_NOWHERE = (b"IN IP4 0.0.0.0", b"IN IP6 ::")
_FORMAT_LINES = (b"a=rtpmap:", b"a=fmtp:", b"a=mid:")
_DISCARD = b"9"  # the port of nobody: zero would refuse the stream
_MOST_STREAMS = 32
_MOST_FORMATS = 64
_MOST_LINES = 2000  # of an offer that is answered here

# RFC 3551 6: what needs no rtpmap
_STATIC = {
    "0": "PCMU",
    "3": "GSM",
    "4": "G723",
    "8": "PCMA",
    "9": "G722",
    "13": "CN",
    "18": "G729",
}
# RFC 4568 6.2, RFC 7714 14.2: the octets of key and salt
_KEY_OCTETS = {
    b"AES_CM_128_HMAC_SHA1_80": 30,
    b"AES_CM_128_HMAC_SHA1_32": 30,
    b"AES_256_CM_HMAC_SHA1_80": 46,
    b"AES_256_CM_HMAC_SHA1_32": 46,
    b"AEAD_AES_128_GCM": 28,
    b"AEAD_AES_256_GCM": 44,
}
_CRYPTO = re.compile(rb"a=crypto:([0-9]{1,9}) ([A-Za-z0-9_]{1,40}) inline:")


@attrs.frozen
class Stream:
    """One ``m=`` line with what applies to it. Port 0 says that it is refused; ``address`` may be empty."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    direction: Direction
    address: str
    names: tuple[tuple[str, str], ...] = ()
    """Encoding names by format, of the rtpmap lines."""


# -- the origin -------------------------------------------------------------------------------------------------------


def origin_place(sdp: bytes) -> bytes:
    """Network type, address type and address of the ``o=`` line: ``IN IP4 192.0.2.1``. Empty when there is none."""
    start, end = _origin(sdp)
    fields = sdp[start:end].split(b" ")
    return b" ".join(fields[3:]) if len(fields) == 6 else b""


def with_origin(sdp: bytes, session: int, version: int, place: bytes) -> bytes:
    """``sdp`` as one of our own sessions: its ``o=`` line has these numbers, and ``place`` as `origin_place` gives it.

    Who takes part in several calls of ours can tell by it what has changed (RFC 3264 8), and not who described it.
    """
    start, end = _origin(sdp)
    return b"%bo=- %d %d %b%b" % (sdp[:start], session, version, place, sdp[end:]) if end else sdp


def _origin(sdp: bytes) -> tuple[int, int]:
    """Where the ``o=`` line begins and ends, its line end not included; (0, 0) when there is none."""
    start = sdp.find(b"\no=") + 1  # v= stands before it (RFC 4566 5)
    if start == 0:
        return 0, 0
    end = sdp.find(b"\n", start)
    if end < 0:
        return 0, 0
    return start, end - 1 if sdp[end - 1] == 13 else end


# -- streams and their direction --------------------------------------------------------------------------------------


def streams(sdp: bytes) -> tuple[Stream, ...]:
    """Every stream that can be read, at most 32."""
    head, *sections = _sections(sdp)
    address, way = _address_of(head, b""), _direction_of(head, "sendrecv")
    found = (_stream(section, address, way) for section in sections[:_MOST_STREAMS])
    return tuple(stream for stream in found if stream is not None)


def direction(sdp: bytes) -> Direction:
    """That of the first stream that is not refused; who names the address 0.0.0.0 wants to hear nothing (3264 8.4)."""
    for stream in streams(sdp):
        if stream.port:
            return _way(stream)
    return "inactive"


def held(sdp: bytes) -> bool:
    """Whether its sender holds the call: no stream in which they want to hear us, and one that is not refused."""
    ways = [_way(stream) for stream in streams(sdp) if stream.port]
    return bool(ways) and all(way in ("sendonly", "inactive") for way in ways)


def codecs(sdp: bytes) -> tuple[str, ...]:
    """The encodings of the first audio stream, as ``PCMA`` or ``opus``, in order."""
    for stream in streams(sdp):
        if stream.media == "audio":
            names = dict(stream.names)
            found = (names.get(number) or _STATIC.get(number, number) for number in stream.formats[:_MOST_FORMATS])
            return tuple(dict.fromkeys(found))
    return ()


def with_direction(sdp: bytes, way: Direction) -> bytes:
    """``sdp`` with this direction in every stream. Addresses and bandwidths stay as they are."""
    head, *sections = _sections(sdp)
    if not sections:
        return sdp
    mark = b"a=" + way.encode()
    lines = [line for line in head if line not in _DIRECTIONS]
    for section in sections:
        lines += (line for line in section if line not in _DIRECTIONS)
        lines.append(mark)
    return b"".join(line + b"\r\n" for line in lines)


def _way(stream: Stream) -> Direction:
    if stream.address in ("0.0.0.0", "::"):
        return "sendonly" if stream.direction in ("sendrecv", "sendonly") else "inactive"
    return stream.direction


def _sections(sdp: bytes) -> list[list[bytes]]:
    """The lines without their ends: those of the session, then those of each stream, from its ``m=`` line on."""
    sections: list[list[bytes]] = [[]]
    for line in sdp.split(b"\n"):
        line = line.rstrip(b"\r")
        if line[:2] == b"m=":
            sections.append([])
        if line:
            sections[-1].append(line)
    return sections


def _stream(section: list[bytes], address: bytes, way: Direction) -> Stream | None:
    fields = section[0][2:].split()
    port = fields[1].partition(b"/")[0] if len(fields) > 3 else b""
    if not port.isdigit() or len(port) > 5:
        return None
    media, _, protocol, *formats = (_text(field) for field in fields)
    return Stream(
        media,
        int(port),
        protocol,
        tuple(formats),
        _direction_of(section, way),
        _text(_address_of(section, address)),
        tuple(_rtpmaps(section)),
    )


def _direction_of(lines: list[bytes], otherwise: Direction) -> Direction:
    for line in lines:
        found = _DIRECTIONS.get(line)
        if found is not None:
            return found
    return otherwise


def _address_of(lines: list[bytes], otherwise: bytes) -> bytes:
    for line in lines:
        if line[:2] == b"c=":
            return line[2:].split(b" ")[-1].partition(b"/")[0]
    return otherwise


def _rtpmaps(section: list[bytes]) -> list[tuple[str, str]]:
    found = [line[9:].partition(b" ") for line in section if line[:9] == b"a=rtpmap:"]
    return [(_text(number), _text(name.partition(b"/")[0])) for number, _, name in found[:_MOST_FORMATS]]


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "replace")


# -- an answer that holds whoever offers ------------------------------------------------------------------------------


def inactive_answer(offer: bytes) -> bytes:
    """The answer of a switch that has nobody to talk to yet: the first audio stream is inactive, others are refused.

    What only media could set up (DTLS) is refused too. RFC 3264 6 wants every stream of the offer in the answer.
    """
    head, *sections = _sections(offer[: _MOST_LINES * 80])
    timing = [line for line in head if line[:2] == b"t="][:1] or [b"t=0 0"]
    lines = [b"v=0", b"o=- 0 0 " + _NOWHERE[0], b"s=-", b"c=" + _NOWHERE[0], *timing]
    has_audio = False
    for section in sections[:_MOST_STREAMS]:
        fields = section[0][2:].split()
        if len(fields) < 4:
            continue
        is_taken = not has_audio and _is_taken(fields)
        has_audio = has_audio or is_taken
        lines += _silent(section, fields) if is_taken else [_refused(fields)]
    return b"".join(line + b"\r\n" for line in lines)


def _is_taken(fields: list[bytes]) -> bool:
    """Audio that is not refused, of a kind that one line can answer."""
    return fields[0] == b"audio" and fields[1] != b"0" and b"TLS" not in fields[2].upper()


def _refused(fields: list[bytes]) -> bytes:
    return b"m=" + b" ".join((fields[0], b"0", *fields[2 : 3 + _MOST_FORMATS]))


def _silent(section: list[bytes], fields: list[bytes]) -> list[bytes]:
    formats = [line for line in section if line.startswith(_FORMAT_LINES)][: 2 * _MOST_FORMATS]
    lines = [b"m=" + b" ".join((fields[0], _DISCARD, *fields[2 : 3 + _MOST_FORMATS])), *formats]
    if b"SAVP" in fields[2].upper():
        lines += _key(section)
    return [*lines, b"a=inactive"]


def _key(section: list[bytes]) -> list[bytes]:
    """A key of our own for the first suite that is known (RFC 4568 5.1.2); nothing will ever be sent with it."""
    for line in section:
        found = _CRYPTO.match(line)
        octets = _KEY_OCTETS.get(found[2]) if found is not None else None
        if found is not None and octets is not None:
            return [b"a=crypto:%b %b inline:%b" % (found[1], found[2], base64.b64encode(os.urandom(octets)))]
    return []
