"""The calls that go on, and what can be done to them from outside: the live calls of the API.

A command returns when it really happened: the phone answered the BYE, took the offer, the target of a transfer talks.
Else it raises `CommandFailed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from twisted.internet.defer import Deferred

from gosip_py.call.bridge import Bridge
from gosip_py.call.hold import OnHold, hold, resume
from gosip_py.call.incoming import Incoming
from gosip_py.call.intercom import auto_answer
from gosip_py.call.leg import Leg
from gosip_py.call.lines import party_of
from gosip_py.call.live_rows import Commanded, CommandFailed, LiveCall
from gosip_py.call.live_view import CallView, Directory, UserAgents
from gosip_py.call.park import Parking
from gosip_py.call.parting import Parting
from gosip_py.call.party import Party
from gosip_py.call.pickup import parties_of
from gosip_py.call.summons import ClickToCall, Grab, own_phones
from gosip_py.call.transfers import Transfers, is_same_person
from gosip_py.events import CallEnded, EndedBy
from gosip_py.proxy.session import Session, Sessions
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Response
from gosip_py.sip.uri import Uri, parse_uri
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.switch import Switch

__all__ = ["LiveCalls"]

_DIGITS = re.compile(r"[0-9A-Da-d*#]{1,64}\Z")
_NAME = re.compile(r"[^\x00-\x20<>@\"?;:/\x7f-\uffff]{1,64}\Z")
_LONGEST_TARGET = 256
_HANG_UP = Reason("SIP", 200, "Ended by the office")
_GIVE_UP = Reason("SIP", 487, "Ended by the office")
_UNWANTED = frozenset((481, 482, 486, 491))

Told = Callable[[int, str], None]


class LiveCalls:
    """Those of the switch, which take every command, and those of the proxy, which can only be hung up.

    ``by`` is the id of the user who wants it, None for somebody who need not be in the call; ``leg`` the id of the leg
    that acts. Without either it is the callee, if that is one of ours, else the caller. ``user_agents`` tells of a
    device what its phone said of itself.
    """

    def __init__(
        self,
        switch: Switch,
        sessions: Sessions,
        parking: Parking,
        transfers: Transfers,
        directory: Directory,
        user_agents: UserAgents | None = None,
    ) -> None:
        self._switch = switch
        self._sessions = sessions
        self._parking = parking
        self._transfers = transfers
        self._directory = directory
        self._view = CallView(directory, parking, user_agents or _unknown)
        self._waiting: dict[str, list[_Answer]] = {}
        switch.bus.subscribe(CallEnded, self._call_ended)

    # -- asking --------------------------------------------------------------------------------------------------------

    def list(self) -> Sequence[LiveCall]:
        """Every call, the oldest first."""
        rows = [self._view.bridged(call) for call in self._switch.calls.values()]
        proxied = {session.call.id: session for session in self._sessions}
        rows += [self._view.proxied(session) for session in proxied.values()]
        return sorted(rows, key=lambda row: row.id)

    def get(self, call_id: str) -> LiveCall | None:
        """One call by its id, that of its journal row."""
        call = self._switch.find(call_id)
        if call is not None:
            return self._view.bridged(call)
        session = self._session(call_id)
        return None if session is None else self._view.proxied(session)

    # -- ending --------------------------------------------------------------------------------------------------------

    async def hang_up(self, call_id: str, *, by: int | None = None) -> Commanded:
        """End it; returns when the phones have answered."""
        call, done = self._switch.find(call_id), Deferred[None]()
        if call is None:
            return await self._hang_up_proxied(call_id)
        legs = tuple(call.legs)
        reason = _GIVE_UP if call.answered_at is None else _HANG_UP
        call.hang_up(reason, _ended_by(call, by), lambda: done.callback(None))
        await done
        endings = [leg.dialog.ending.status for leg in legs if leg.dialog.ending is not None]
        status = next((status for status in endings if status >= 300), 200)
        text = "OK" if status == 200 else "a phone did not confirm that it was hung up on"
        return Commanded(call_id, status, text, "ended")

    async def _hang_up_proxied(self, call_id: str) -> Commanded:
        session = self._session(call_id)
        if session is None:
            raise _no_call()
        done = Deferred[None]()
        self._sessions.hang_up(session, _HANG_UP, lambda: done.callback(None))
        await done
        return Commanded(call_id, 200, "OK", "ended")

    # -- hold ----------------------------------------------------------------------------------------------------------

    async def hold(self, call_id: str, *, leg: str = "", by: int | None = None) -> Commanded:
        """Put both phones on hold."""
        call = self._bridged(call_id)
        acting, other = self._talking(call, leg, by)
        if isinstance(acting.role, OnHold):
            raise CommandFailed(409, "the call is on hold already")
        answer = _Answer()
        hold(call, other, acting, answer.told_status)
        return await self._settled(call, answer, "hold", acting)

    async def resume(self, call_id: str, *, leg: str = "", by: int | None = None) -> Commanded:
        """Let them talk again."""
        call = self._bridged(call_id)
        acting, other = self._talking(call, leg, by)
        if not isinstance(acting.role, OnHold):
            raise CommandFailed(409, "the call is not on hold, or it is the phone that holds it")
        answer = _Answer()
        resume(call, acting, other, answer.told_status)
        return await self._settled(call, answer, "resume", acting)

    async def _settled(self, call: Call, answer: _Answer, kind: str, acting: Leg) -> Commanded:
        status, text = await answer.settled
        if not 200 <= status < 300:
            raise CommandFailed(_http(status), f"a phone did not agree: {status} {text}".rstrip())
        call.note(kind, by=acting.party.name, result="done")
        return Commanded(call.id, status, "OK", call.state)

    # -- to somebody else ----------------------------------------------------------------------------------------------

    async def transfer(
        self, call_id: str, *, target: str, kind: Literal["blind", "attended"], leg: str = "", by: int | None = None
    ) -> Commanded:
        """Connect the other one with the target; returns when they talk.

        ``attended``: with whom the same person talks to, or rings, in another call.
        """
        call = self._bridged(call_id)
        acting, _ = self._talking(call, leg, by)
        report = _Report()
        if kind == "attended":
            consultation = self._consultation(acting, target)
            refusal = self._transfers.attended(acting, consultation, report)
        else:
            refusal = self._transfers.blind(acting, self._uri(target), report)
        return await self._reported(call, report, refusal)

    def _consultation(self, acting: Leg, target: str) -> Leg:
        """The leg of the same person in their call with the target."""
        for call in self._switch.calls.values():
            for leg in call.legs:
                if call is not acting.call and is_same_person(leg, acting) and _is_with(leg, target):
                    return leg
        raise CommandFailed(409, "no other call of yours is with that target: call them first, or transfer blind")

    async def park(self, call_id: str, *, orbit: str = "", leg: str = "", by: int | None = None) -> Commanded:
        """Let the other one wait at an orbit, the lowest that is free if none is named."""
        call = self._bridged(call_id)
        acting, other = self._talking(call, leg, by)
        if orbit and not self._parking.contains(orbit):
            raise CommandFailed(400, "that is no park orbit")
        report = _Report()
        self._parking.park(acting, other, orbit, report)
        return await self._reported(call, report, None)

    async def _reported(self, call: Call, report: _Report, refusal: Refusal | None) -> Commanded:
        if refusal is not None:
            raise CommandFailed(_http(refusal.status), refusal.explanation)
        status, text = await report.settled
        if not 200 <= status < 300:
            raise CommandFailed(_http(status), f"it came to nothing: {status} {text}; the call is as it was")
        return Commanded(call.id, status, text, call.state, self._parking.orbit_of(call))

    # -- with one's own phones -----------------------------------------------------------------------------------------

    async def start(self, *, by: int, target: str, device_id: int | None = None, auto_answer: bool = False) -> LiveCall:
        """Ring the phones of ``by``, or one of them, and then the target; returns when it is the target that rings.

        ``auto_answer`` asks their phone to answer by itself.
        """
        if self._switch.is_draining:
            raise CommandFailed(503, "the server is about to stop: try again soon")
        who, uri = self._party(by), self._uri(target)
        phones = own_phones(self._switch, who, device_id)
        if isinstance(phones, Refusal):
            raise CommandFailed(_http(phones.status), phones.explanation)
        answer = _Answer()
        click = ClickToCall(self._switch, who, uri, answer.told, _loudspeaker(self._switch) if auto_answer else ())
        self._wait(click.call, answer)
        click.start(phones)
        status, text = await answer.settled
        if not 200 <= status < 300:
            raise CommandFailed(_http(status), text)
        return self._view.bridged(click.call)

    async def pick_up(self, call_id: str, *, by: int, device_id: int | None = None) -> Commanded:
        """Have a call that rings elsewhere ring at the phones of ``by``; returns when they have answered."""
        call, who = self._bridged(call_id), self._party(by)
        incoming = call.caller.role if call.caller is not None else None
        if not isinstance(incoming, Incoming) or incoming.dialling is None:
            raise CommandFailed(409, "the call does not ring any more")
        if not any(party.user_id is not None or party.kind == "server" for party in parties_of(call)):
            raise CommandFailed(403, "the call rings outside: only those of this office can be taken")
        phones = own_phones(self._switch, who, device_id)
        if isinstance(phones, Refusal):
            raise CommandFailed(_http(phones.status), phones.explanation)
        answer = _Answer()
        self._wait(call, answer)
        Grab(incoming, who, answer.told).start(phones)
        status, text = await answer.settled
        if not 200 <= status < 300:
            raise CommandFailed(_http(status), text)
        return Commanded(call_id, status, text, call.state)

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def dtmf(
        self, call_id: str, *, digits: str, leg: str = "", by: int | None = None, milliseconds: int = 160
    ) -> Commanded:
        """Press keys, one after the other; ``leg`` is who hears them, by default the other side of who acts."""
        if _DIGITS.match(digits) is None or not 40 <= milliseconds <= 6000:
            raise CommandFailed(400, "digits are 1 to 64 of 0-9, *, # and A-D, of 40 to 6000 milliseconds")
        call = self._bridged(call_id)
        acting, other = self._talking(call, leg, by)
        hearing = acting if leg else other
        if hearing.dialog.acceptance is not None:
            raise CommandFailed(409, "the phone has not confirmed the call yet: try again in a moment")
        status = 200
        for digit in digits.upper():
            status = await _press(hearing, digit, milliseconds)
        return Commanded(call_id, status, "OK", call.state)

    async def record(self, call_id: str) -> Commanded:
        """Not without media: what is said goes from phone to phone."""
        self._bridged(call_id)
        raise CommandFailed(503, "recording needs media, which the phones send to each other: not served here")

    # -- whom a command is about ---------------------------------------------------------------------------------------

    def _session(self, call_id: str) -> Session | None:
        """The dialog of a call that passes through the proxy: that which was answered, if any was."""
        found = [session for session in self._sessions if session.call.id == call_id]
        return min(found, key=lambda session: session.state != "active") if found else None

    def _bridged(self, call_id: str) -> Call:
        call = self._switch.find(call_id)
        if call is None:
            if self._session(call_id) is not None:
                raise CommandFailed(409, "this call goes from phone to phone: it can only be hung up")
            raise _no_call()
        return call

    def _talking(self, call: Call, leg_id: str, by: int | None) -> tuple[Leg, Leg]:
        """Who acts, and the other side: two who talk, with whom nothing else is being done."""
        acting = _acting(call, leg_id, by)
        role, other = acting.role, acting.peer
        if other is None or not isinstance(role, Bridge) or isinstance(role, Parting):
            raise CommandFailed(409, f"the call is {call.state}: this is for two who talk with each other")
        return acting, other

    def _party(self, user_id: int) -> Party:
        user = self._directory.user(user_id)
        if user is None:
            raise CommandFailed(404, "there is no such user")
        party = party_of(user)
        return Party(party.name, party.display, "", party.user_id, None, party.kind)

    def _uri(self, target: str) -> Uri:
        """A SIP or tel URI, or an extension or a number."""
        try:
            if _NAME.match(target) is not None:
                return Uri("sip", target, self._switch.domain)
            uri = parse_uri(target) if len(target) <= _LONGEST_TARGET else None
        except ParseError:
            uri = None
        if uri is None or uri.scheme not in ("sip", "sips", "tel") or not uri.user or uri.headers:
            raise CommandFailed(400, "the target must be an extension, a number, or a sip or tel URI")
        return uri

    # -- calls that end while somebody waits ---------------------------------------------------------------------------

    def _wait(self, call: Call, answer: _Answer) -> None:
        self._waiting.setdefault(call.id, []).append(answer)

    def _call_ended(self, event: CallEnded) -> None:
        for answer in self._waiting.pop(event.id, ()):
            answer.told(487, "the call was ended")


class _Answer:
    """What a command is told, once."""

    def __init__(self) -> None:
        self.settled: Deferred[tuple[int, str]] = Deferred()

    def told(self, status: int, text: str) -> None:
        if not self.settled.called:
            self.settled.callback((status, text))

    def told_status(self, status: int) -> None:
        self.told(status, "")


class _Report(_Answer):
    """Hears of a transfer, or of a call that is parked."""

    has_patience = False

    def accepted(self) -> None:
        """It is being tried."""

    def rang(self, status: int, reason: str) -> None:
        """Only the outcome counts."""

    def succeeded(self, reason: str) -> None:
        self.told(200, reason)

    def failed(self, status: int, reason: str) -> None:
        self.told(status, reason)


def _no_call() -> CommandFailed:
    return CommandFailed(404, "there is no such call now")


def _unknown(_device_id: int) -> str:
    return ""


def _loudspeaker(switch: Switch) -> tuple[tuple[str, str], ...]:
    return auto_answer(switch.domain)


def _http(status: int) -> int:
    """What the API says for a SIP status: the same, that nobody answered, or that this call does not allow it."""
    if status in _UNWANTED:
        return 409
    if status in (400, 403, 404):
        return status
    return 503 if status in (408, 503, 504) else 409


def _ended_by(call: Call, by: int | None) -> EndedBy:
    if by is None:
        return "system"
    if call.caller is not None and call.caller.party.user_id == by:
        return "caller"
    return "callee" if call.callee is not None and call.callee.party.user_id == by else "system"


def _acting(call: Call, leg_id: str, by: int | None) -> Leg:
    ends = [leg for leg in (call.callee, call.caller) if leg is not None]
    if leg_id:
        found = [leg for leg in call.legs if leg.id == leg_id]
    elif by is not None:
        found = [leg for leg in ends if leg.party.user_id == by]
    else:
        found = [leg for leg in ends if leg.party.user_id is not None] or ends
    if not found:
        raise CommandFailed(404, "that phone is not in this call")
    return found[0]


def _is_with(leg: Leg, target: str) -> bool:
    """Whether who is at the other side of this leg is the target, or rings."""
    if leg.peer is not None:
        return target in (leg.peer.party.name, leg.call.attempt.dialled)
    role = leg.role
    dialling = role.dialling if isinstance(role, Incoming) else None
    return dialling is not None and target in (dialling.attempt.dialled, leg.call.attempt.dialled)


async def _press(leg: Leg, digit: str, milliseconds: int) -> int:
    """One key, in the form that most phones and gateways know."""
    done: Deferred[Response | None] = Deferred()
    body = f"Signal={digit}\r\nDuration={milliseconds}\r\n".encode()
    leg.dialog.request("INFO", body=body, content_type="application/dtmf-relay", then=done.callback)
    response = await done
    if response is None:
        raise CommandFailed(503, "the phone did not answer")
    if response.status >= 300:
        raise CommandFailed(409, f"the phone does not take keys this way: {response.status} {response.reason}")
    return response.status
