"""Taking a call that is somebody else's: one that rings, by a code or an INVITE with Replaces (RFC 3891), or one that
talks, by Replaces alone.

Whoever rings is answered on hold first and connected then: the phone that takes the call has an offer of its own, and
an offer cannot be the answer to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gosip_py.call.bridge import Bridge, connect
from gosip_py.call.incoming import Incoming
from gosip_py.call.leg import GONE, Leg, Quiet
from gosip_py.call.park import Parked
from gosip_py.call.parting import Parting, ended_by, move_caller, owing_in, settle, take_place
from gosip_py.call.party import Party
from gosip_py.call.ringing import ELSEWHERE, Ringing
from gosip_py.call.verdict import Attempt
from gosip_py.dialog.user import Ending
from gosip_py.media.sdp import inactive_answer
from gosip_py.sip.fields import Reason, Replaces
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.switch import Switch

__all__ = ["SILENCE", "PickupRule", "Pickups", "parties_of"]

REPLACED = Reason("SIP", 200, "Call taken over")
FAILED = Reason("SIP", 480, "The call could not be taken")

# What is offered to a phone that offers nothing: a stream in which nothing is said.
SILENCE = (
    b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8\r\na=inactive\r\n"
)

_NOBODY = Refusal(404, "no call rings there now, it was answered or the caller gave up: check the lamps")
_NOT_ALLOWED = Refusal(403, "only the people of this office may take this call: use a phone that is registered here")
_GONE = Refusal(603, "the call is over: nothing need be done")
_ANSWERED = Refusal(486, "the call has been answered: leave early-only out to take it all the same (RFC 3891 3)")
_BUSY = Refusal(491, "something else is being done with this call: try again in a moment")


class PickupRule(Protocol):
    """Who may take whose calls."""

    def may_pick_up(self, who: Party, called: Party) -> bool:
        """Whether somebody may take a call that is ``called``'s when they ask for that very one."""

    def may_group_pick_up(self, who: Party, called: Party) -> bool:
        """Whether somebody may take it without naming it: they share a ring group."""


class Pickups:
    """Serves who takes calls of a switch. ``whose`` tells the id of the person with a login."""

    def __init__(self, switch: Switch, rule: PickupRule, whose: Callable[[str], int | None]) -> None:
        self._switch = switch
        self._rule = rule
        self._whose = whose

    # -- by a code -----------------------------------------------------------------------------------------------------

    def directed(self, taking: Call, extension: str) -> Refusal | None:
        """Connect the unanswered caller of ``taking`` with the oldest call that rings at ``extension``; or why not."""
        owner, who = self._whose(extension), taking.attempt.caller
        is_refused = False
        for call in self._ringing(taking):
            called = _rings_at(call, extension, owner)
            if called is not None:
                if self._rule.may_pick_up(who, called):
                    return _take(call, taking, extension)
                is_refused = True
        return _NOT_ALLOWED if is_refused else _NOBODY

    def group(self, taking: Call) -> Refusal | None:
        """The same with the oldest call that rings at somebody who shares a group with the caller."""
        who, may = taking.attempt.caller, self._rule.may_group_pick_up
        for call in self._ringing(taking):
            for called in parties_of(call):
                if may(who, called):
                    return _take(call, taking, called.name)
        return _NOBODY

    def _ringing(self, but: Call) -> list[Call]:
        """The calls that ring, the oldest first."""
        return [
            call for call in tuple(self._switch.calls.values()) if call is not but and _ringing_of(call) is not None
        ]

    # -- by Replaces ---------------------------------------------------------------------------------------------------

    def replace(
        self, transaction: ServerTransaction, forwarded: Request, attempt: Attempt, leg: Leg, replaces: Replaces
    ) -> Refusal | None:
        """An INVITE that is to take the place of ``leg``, or to pick it up where it rings; or why not.

        ParseError when it cannot begin a dialog.
        """
        refusal = self._judge(attempt.caller, leg, replaces)
        if refusal is not None:
            return refusal
        switch, role = self._switch, leg.role
        taking = switch.admit(transaction, attempt, leg.party.name)
        caller = taking.legs[0]
        incoming = caller.role = Incoming(switch, taking, caller)
        if isinstance(role, Parked):
            refusal = role.retrieve(taking)
        elif isinstance(role, Incoming | Ringing):
            refusal = _take(leg.call, taking, leg.party.name)
        else:
            Replacement(leg, taking).begin()
        if refusal is not None:
            incoming.refuse(refusal.status, refusal.explanation)
        return None

    def _judge(self, who: Party, leg: Leg, replaces: Replaces) -> Refusal | None:
        """RFC 3891 3; the caller's dialog that still waits for us may be named too, for a lamp tells its ids."""
        dialog, role = leg.dialog, leg.role
        if role is GONE or dialog.is_over or leg.call.is_over:
            return _GONE
        if dialog.is_established and replaces.is_early_only:
            return _ANSWERED
        if not any(self._rule.may_pick_up(who, party) for party in _concerned(leg)):
            return _NOT_ALLOWED
        if isinstance(role, Parked):
            return None
        if dialog.is_established:
            is_talking = isinstance(role, Bridge) and not isinstance(role, Parting) and leg.peer is not None
            return None if is_talking else _BUSY
        return None if _ringing_of(leg.call) is not None else _BUSY


def _concerned(leg: Leg) -> tuple[Party, ...]:
    """Whose call it is: who is to be replaced; where it rings, who is called; where it is parked, who parked it."""
    role = leg.role
    if isinstance(role, Parked):
        return (role.parker.party,)
    return (leg.party,) if leg.dialog.is_established else parties_of(leg.call)


def _ringing_of(call: Call) -> Ringing | None:
    """What rings for the caller of this call, who is not answered yet."""
    role = call.caller.role if call.caller is not None else None
    return role.dialling if isinstance(role, Incoming) else None


def parties_of(call: Call) -> tuple[Party, ...]:
    """At whose phones it rings, and the group that they ring for."""
    ringing = _ringing_of(call)
    parties = () if ringing is None else tuple(leg.party for leg in ringing.legs)
    return (*parties, Party(call.lamp, kind="server")) if call.lamp else parties


def _rings_at(call: Call, extension: str, owner: int | None) -> Party | None:
    """Who is meant by ``extension`` of those at whom it rings: a device, a person, a group, or what was dialled."""
    parties = parties_of(call)
    for party in parties:
        if party.name == extension or (owner is not None and party.user_id == owner):
            return party
    return parties[0] if parties and call.attempt.dialled == extension else None


def _take(call: Call, taking: Call, target: str) -> Refusal | None:
    ringing, caller = _ringing_of(call), call.caller
    if ringing is None or caller is None or taking.caller is None:
        return _NOBODY
    Pickup(call, caller, taking, target).begin(ringing)
    return None


class Pickup(Quiet):
    """A call that rang is being connected with who takes it: the role of its caller meanwhile."""

    __slots__ = ("_call", "_caller", "_taking", "_target")

    def __init__(self, call: Call, caller: Leg, taking: Call, target: str) -> None:
        self._call = call
        self._caller = caller
        self._taking = taking
        self._target = target

    def begin(self, ringing: Ringing) -> None:
        """Stop the ringing, answer the caller on hold, and offer them what who takes it offers."""
        caller, taking = self._caller, self._taking
        ringing.stop(ELSEWHERE)
        caller.role = self
        offer = caller.dialog.remote_sdp
        caller.dialog.accept(caller.describe(inactive_answer(offer) if offer else SILENCE))
        if taking.caller is not None:
            connect(self._call.switch, self._call, caller, taking.caller, self._connected)

    def _connected(self, is_connected: bool) -> None:
        call, taking, leg = self._call, self._taking, self._taking.caller
        if is_connected and leg is not None:
            move_caller(taking, call, "pickup", self._target)
            call.answered(leg)
            return
        _refuse(leg)
        if not call.is_over:
            call.end("failed", 480, "The call could not be taken", "system")
            self._caller.hang_up(FAILED)

    def cancelled(self, leg: Leg, cancel: Request | None) -> None:
        """The caller gave up, and our answer waits until they have acknowledged that it rang (RFC 3262 3)."""
        self._call.end("cancelled", 487, "Request Terminated", "caller")
        leg.drop()

    def ended(self, leg: Leg, ending: Ending) -> None:
        """The caller hung up meanwhile."""
        self._call.end("cancelled", 487, "Request Terminated", ended_by(self._call, leg, ending))
        leg.drop()


class Replacement:
    """A leg that talks is being replaced by the caller of another call."""

    def __init__(self, leg: Leg, taking: Call) -> None:
        self._leg = leg
        self._taking = taking
        self._call = leg.call
        self._peer = leg.peer

    def begin(self) -> None:
        peer, caller = self._peer, self._taking.caller
        if peer is not None and caller is not None:
            Parting(self._call.switch, self._call, self._leg, peer, self)
            self._leg.dialog.begin_replacing()
            connect(self._call.switch, self._call, peer, caller, self._connected)

    def left(self, leg: Leg, ending: Ending) -> None:
        """One of the two hung up meanwhile."""
        settle(self._call)
        if leg is self._peer:
            self._call.end("answered", 200, "OK", ended_by(self._call, leg, ending))
            self._leg.hang_up(ending.reason)
        leg.drop()

    def _connected(self, is_connected: bool) -> None:
        leg, call, caller, peer = self._leg, self._call, self._taking.caller, self._peer
        if is_connected and caller is not None:
            take_place(call, leg, caller)
            leg.drop()
            leg.dialog.finish_replacing(True, REPLACED)
            move_caller(self._taking, call, "replace", leg.party.name)
            call.state = "answered"
            return
        _refuse(caller)
        leg.dialog.finish_replacing(False)
        if peer is None or call.is_over:
            return
        if leg in call.legs:
            Bridge(call.switch, call, leg, peer, owing_in(call))
        else:
            call.end("answered", 200, "OK", "system")
            peer.hang_up(FAILED)


def _refuse(leg: Leg | None) -> None:
    """Whoever wanted to take the call is told that it did not work, if they still wait."""
    if leg is not None and isinstance(leg.role, Incoming):
        leg.role.refuse(480, "The call could not be taken: the phones do not agree, or the caller hung up.")
