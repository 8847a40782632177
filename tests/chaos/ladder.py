"""The ladder of a run: who sent what to whom, when it arrived, and what else happened between."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from gosip_py.sip.message import Request
from tests.chaos.world import World
from tests.network import Packet
from tests.proxy.switchboard import SERVER

__all__ = ["draw"]

_OF_SERVER = re.compile("[0-9a-f]{24}@[0-9a-f]{12}")


def draw(world: World) -> str:
    """A line for each packet and note. Branches and tags are left out: the server takes them from the system."""
    notes = iter([*world.notes, (len(world.network.packets) + 1, 0.0, "")])
    return "\n".join(_lines(world, notes))


def _lines(world: World, notes: Iterator[tuple[int, float, str]]) -> Iterator[str]:
    network = world.network
    legs: dict[str, str] = {}
    yield (
        f"seed {world.seed}: loss {network.loss:g}, duplicates {network.duplicate:g}, delay up to"
        f" {network.delay[1]:g} s, session timers {world.board.session_timer.mode},"
        f" {', '.join(phone.name for phone in world.phones)}"
    )
    note = next(notes)
    for at, packet in enumerate(chain(network.packets, [None])):
        while note[0] <= at:
            yield f"{note[1]:10.3f}      * {note[2]}"
            note = next(notes)
        if packet is not None:
            yield _row(world, packet, legs)


def _row(world: World, packet: Packet, legs: dict[str, str]) -> str:
    source, destination = (_name(world, address[0]) for address in (packet.source, packet.destination))
    fate = "LOST" if packet.is_lost else f"+{packet.delay:.3f}"
    return f"{packet.time:10.3f} {fate:>7} {source:>8} -> {destination:<8} {packet.transport} {_title(packet, legs)}"


def _name(world: World, host: str) -> str:
    if host == SERVER:
        return "server"
    phone = world.phones_by_host.get(host)
    return host if phone is None else phone.name


def _title(packet: Packet, legs: dict[str, str]) -> str:
    message = packet.message
    call_id = message.call_id
    if _OF_SERVER.fullmatch(call_id) is not None:
        call_id = legs.setdefault(call_id, f"leg {len(legs) + 1}")
    if isinstance(message, Request):
        return f"{message.method} {message.uri_text} ({call_id}, {message.cseq.number})"
    return f"{packet.title} ({call_id}, {message.cseq.number})"
