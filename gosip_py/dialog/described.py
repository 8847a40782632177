"""The session of a user agent, as its application described it, in the offers and answers of a call (RFC 3264).

An application gives one description. Here it becomes the answer to an offer, or the next offer that holds the call.
"""

from __future__ import annotations

import re

from gosip_py.media.sdp import Direction, direction, with_direction

__all__ = ["answer_to", "next_version", "turned"]

_ORIGIN = re.compile(rb"^(o=\S+ \S+ )([0-9]{1,19})", re.MULTILINE)
_STREAM = re.compile(rb"^m=(\S+) ([0-9]{1,5})(\S*) (.*?)\r?$", re.MULTILINE)
_MOST_STREAMS = 32
# What we may do, by what we would and what the other side offers (RFC 3264 6.1).
_SENDS = frozenset(("sendrecv", "sendonly"))
_HEARS = frozenset(("sendrecv", "recvonly"))
_WAYS: dict[tuple[bool, bool], Direction] = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}


def next_version(sdp: bytes) -> bytes:
    """``sdp`` with the version of its origin one higher, as each new description of a session has it (RFC 3264 8)."""
    return _ORIGIN.sub(lambda found: b"%b%d" % (found[1], int(found[2]) + 1), sdp, count=1)


def turned(sdp: bytes, is_held: bool) -> bytes:
    """``sdp`` as it is, or with the other side put on hold (RFC 3264 8.4)."""
    if not is_held:
        return sdp
    return with_direction(sdp, "sendonly" if direction(sdp) in _SENDS else "inactive")


def answer_to(offer: bytes, ours: bytes) -> bytes:
    """``ours`` as the answer to ``offer``; empty when no stream of the offer is one of ours.

    A stream is one of ours when ours stands at the same place and is of the same kind; others are refused (RFC 3264 6).
    """
    head, *sections = _split(ours)
    wanted = list(_STREAM.finditer(offer))[:_MOST_STREAMS]
    parts, is_any = [head], False
    for at, stream in enumerate(wanted):
        own = sections[at] if at < len(sections) else b""
        if int(stream[2]) and own.startswith(b"m=%b " % stream[1]):
            parts.append(own)
            is_any = True
        else:
            parts.append(b"m=%b 0 %b\r\n" % (stream[1], stream[4]))
    if not is_any:
        return b""
    theirs, own_way = direction(offer), direction(ours)
    way = _WAYS[own_way in _SENDS and theirs in _HEARS, own_way in _HEARS and theirs in _SENDS]
    return with_direction(b"".join(parts), way)


def _split(sdp: bytes) -> list[bytes]:
    """The part of the session, then one for each stream, each with its line ends."""
    return re.split(rb"(?m)^(?=m=)", sdp if sdp.endswith(b"\n") else sdp + b"\r\n")
