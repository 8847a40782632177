"""Looks into the switch now and then: no leg without a call, no call without its legs, nothing that never moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gosip_py.call.call import Call
from gosip_py.call.leg import GONE, Leg
from gosip_py.dialog.dialog import Dialog

if TYPE_CHECKING:
    from tests.chaos.office import Office

__all__ = ["Audit"]

_INTERVAL = 7.0
_LAST = 20_000.0
_64_T1 = 32.0
# How many seconds what is found may last. A BYE may wait for an ACK, and is repeated then; a CANCEL may wait for a
# response. A transfer may ring from stage to stage, a parked call waits and rings in turns.
_BOUNDS = {
    "orphan": 2 * _64_T1 + 10,
    "leaving": 3 * _64_T1 + 10,
    "subscription": 600.0,
    "half": 2 * _64_T1 + 10,
    "empty": 1.0,
    "trying": 400.0,
    "transferring": 500.0,
    "parked": 700.0,
}


class Audit:
    """Of one office."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._seen: dict[tuple[str, int], float] = {}
        self._told: set[tuple[str, int]] = set()

    def start(self) -> None:
        self._office.clock.callLater(_INTERVAL, self._look)

    def _look(self) -> None:
        office, board = self._office, self._office.board
        now = office.clock.seconds()
        found = {(kind, id(thing)): thing for kind, thing in self._suspicious()}
        self._seen = {key: self._seen.get(key, now) for key in found}
        for key, since in self._seen.items():
            if now - since > _BOUNDS[key[0]] and key not in self._told:
                self._told.add(key)
                office.breach(f"{key[0]} for {now - since:.0f} s: {_describe(found[key])}")
        if now < office.busy_until or ((len(board.dialogs) or board.switch.calls) and now < _LAST):
            self.start()

    def _suspicious(self) -> Iterator[tuple[str, object]]:
        board = self._office.board
        for dialog in board.dialogs:
            yield from _dialog(dialog)
        for call in board.switch.calls.values():
            yield from _call(call)


def _dialog(dialog: Dialog) -> Iterator[tuple[str, object]]:
    leg = dialog.user
    assert isinstance(leg, Leg)
    if dialog.is_over:
        yield "subscription", dialog
    elif dialog.is_established:
        if leg.role is GONE or leg.call.is_over or leg not in leg.call.legs:
            yield "orphan", dialog
    elif not dialog.is_early:
        yield "leaving", dialog
    elif leg.role is GONE or leg.call.is_over:
        yield "orphan", dialog


def _call(call: Call) -> Iterator[tuple[str, object]]:
    if not call.legs and not call.ringings:
        yield "empty", call
    if call.state in ("trying", "ringing"):
        yield "trying", call
    elif call.state in ("transferring", "parked"):
        yield call.state, call
    elif len(call.legs) < 2 or any(leg.dialog.is_over or leg.peer is None for leg in call.legs):
        yield "half", call


def _describe(thing: object) -> str:
    if isinstance(thing, Dialog):
        leg = thing.user
        assert isinstance(leg, Leg)
        return f"{thing!r} of {leg!r} as {type(leg.role).__name__}, of {_describe(leg.call)}"
    assert isinstance(thing, Call)
    rung = len(thing.ringings)
    return f"a call to {thing.attempt.dialled} that is {thing.state}, with {thing.legs} and {rung} ringings"
