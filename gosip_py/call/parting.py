"""Two legs that still talk while something is arranged for one of them, and those who are not needed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gosip_py.call.bridge import Bridge, owe
from gosip_py.call.call import Call
from gosip_py.call.leg import Leg
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.user import Ending
from gosip_py.events import EndedBy
from gosip_py.sip.fields import Reason

if TYPE_CHECKING:
    from gosip_py.call.switch import Switch

__all__ = ["Parting", "PartingOwner", "dismiss", "ended_by", "move_caller", "owing_in", "settle", "take_place"]

GRACE_SECONDS = 2.0
"""For so long a phone that transferred or parked a call may hang up by itself, as RFC 5589 6.1 has it do."""


class PartingOwner(Protocol):
    """Whoever arranges it."""

    def left(self, leg: Leg, ending: Ending) -> None:
        """One of the two hung up, or is gone: its dialog is over."""


class Parting(Bridge):
    """A bridge of which one leg may end without the other: what that means is for its owner."""

    __slots__ = ("_owner",)

    def __init__(self, switch: Switch, call: Call, one: Leg, other: Leg, owner: PartingOwner) -> None:
        Bridge.__init__(self, switch, call, one, other, owing_in(call))
        self._owner = owner

    def referred(self, leg: Leg, refer: Refer) -> None:
        refer.refuse(491, "A transfer of this call is going on: wait for what becomes of it.")

    def ended(self, leg: Leg, ending: Ending) -> None:
        self._owner.left(leg, ending)


def owing_in(call: Call) -> Leg | None:
    """Who waits for an answer that comes through the bridge of this call: for the one that takes its place."""
    return None if call.bridge is None else call.bridge.owing


def settle(call: Call) -> None:
    """The two at the bridge of this call part: who waits for an answer of the other one gets a silent one."""
    owing = owing_in(call)
    if call.bridge is not None and owing is not None:
        call.bridge.owing = None
        owe(owing, b"")


class _Grace:
    """Hangs up on who did not do so."""

    __slots__ = ("_leg", "_reason")

    def __init__(self, leg: Leg, reason: Reason | None) -> None:
        self._leg = leg
        self._reason = reason

    def timer_fired(self, _kind: int) -> None:
        if not self._leg.dialog.is_over:
            self._leg.dialog.hang_up(self._reason)


def dismiss(leg: Leg, reason: Reason | None = None, seconds: float = GRACE_SECONDS) -> None:
    """Take a leg out of its call. It is hung up on after so many seconds, if its phone has not done so by then."""
    leg.drop()
    if leg.dialog.is_over:
        return
    if seconds > 0:
        leg.call.switch.wheel.start(seconds, _Grace(leg, reason), 0)
    else:
        leg.dialog.hang_up(reason)


def take_place(call: Call, leaving: Leg, coming: Leg) -> None:
    """``coming`` is caller or callee from now on, whichever ``leaving`` was."""
    if call.caller is leaving:
        call.caller = coming
    elif call.callee is leaving:
        call.callee = coming


def ended_by(call: Call, leg: Leg, ending: Ending) -> EndedBy:
    """Who ended a call, when this is how one of its legs ended."""
    if ending.by != "peer":
        return "system"
    return "callee" if leg is call.callee else "caller"


def move_caller(before: Call, into: Call, kind: str, target: str) -> None:
    """The caller of ``before`` took a call that goes on: they belong to that one now, and their own is done with."""
    leg = before.caller
    if leg is not None:
        before.note(kind, by=leg.party.name, target=target, call_id=into.id)
        into.note(kind, by=leg.party.name, target=target, call_id=before.id)
        before.answered(leg)
        before.end("answered", 200, "OK", "system")
        into.adopt(leg)
