"""One rung of a call's ladder, a message or a remark, and how rungs are kept as octets.

The octets are parts, each with four bytes of length and one that says whether it is compressed. A part is a line for
each rung, with the length of the message that follows it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from typing import Literal

import attrs

from gosip_py.call.masking import mask
from gosip_py.transport.flow import Address, Flow

__all__ = ["LARGEST", "Entry", "Rung", "Way", "pack", "unpack"]

Way = Literal["in", "out", "note"]

Entry = tuple[float, Way, Flow | None, int, bytes]
"""A rung as it is noted on the packet path: when, which way, on which flow, the leg, the octets as they were."""

LARGEST = 8192
"""Octets of a message that are kept."""

_PLAIN, _COMPRESSED = b"p", b"z"
_MOST_OCTETS = 64 * 1024 * 1024


@attrs.frozen
class Rung:
    """One message, or with "note" as its direction what we did or decided.

    `at` is in epoch seconds, `peer` and `local` are "address:port". `leg` counts the Call-IDs of the call from 1.
    """

    at: float
    direction: Way
    transport: str
    local: str
    peer: str
    leg: int
    octets: bytes = attrs.field(repr=False)

    @property
    def text(self) -> str:
        """The message, as far as it was kept and is text."""
        return self.octets.decode("utf-8", "replace").replace("\0", "\ufffd")

    @property
    def first_line(self) -> str:
        """The start line of the message, or the remark."""
        return self.text.partition("\r\n")[0]


def pack(entries: Collection[Entry], is_compressed: bool = True) -> bytes:
    """The rungs as one part, with their secrets masked."""
    lines: list[bytes] = []
    places: dict[Flow | None, str] = {None: "||"}
    for (at, way, flow, leg, _), octets in zip(entries, mask([entry[4] for entry in entries]), strict=True):
        where = places.get(flow)
        if where is None:
            assert flow is not None
            where = places[flow] = f"{flow.transport}|{_place(flow.local)}|{_place(flow.remote)}"
        head = f"{int(at * 1e6)} {leg} {len(octets)} {way}|{where}\n"
        lines += (head.encode("utf-8", "replace"), octets)
    part = b"".join(lines)
    part = _COMPRESSED + _compressed(part) if is_compressed else _PLAIN + part
    return len(part).to_bytes(4, "big") + part


def _compressed(part: bytes) -> bytes:
    """A call's messages are so alike that a higher level gains nothing, and few enough for a small window.

    The state that goes with zlib's usual sizes takes several times longer to set up than the messages to compress.
    """
    deflate = zlib.compressobj(1, zlib.DEFLATED, 13, 6)
    return deflate.compress(part) + deflate.flush()


def _place(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unpack(octets: bytes) -> tuple[Rung, ...]:
    """The rungs of all parts; what was cut off or is none of ours is left out."""
    found: list[Rung] = []
    at = 0
    while at + 5 <= len(octets):
        end = at + 4 + int.from_bytes(octets[at : at + 4], "big")
        if end > len(octets):
            break
        kind, part = octets[at + 4 : at + 5], octets[at + 5 : end]
        try:
            if kind == _COMPRESSED:
                part = zlib.decompressobj().decompress(part, _MOST_OCTETS)
            found += _rungs(part)
        except (zlib.error, ValueError):
            break
        at = end
    return tuple(found)


def _rungs(part: bytes) -> Iterable[Rung]:
    at = 0
    while at < len(part):
        line_end = part.index(b"\n", at)
        when, leg, length, head = part[at:line_end].decode("utf-8", "replace").split(" ", 3)
        direction, transport, local, peer = head.split("|")
        at = line_end + 1 + int(length)
        octets = part[line_end + 1 : at]
        way: Way = "in" if direction == "in" else "out" if direction == "out" else "note"
        yield Rung(int(when) / 1e6, way, transport, local, peer, int(leg), octets)
