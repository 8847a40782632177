"""The registry of the calls and dialogs that pass through the proxy, for the journal and the sessions list.

A `Call` publishes its events on the bus, and ends exactly once whatever ends it. A `Session` is early when a fork
rings, active when it answered. The registry finds the session of a request by its full dialog id, and ends those of
which nothing is heard any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred

from gosip_py.events import Bus, CallEnded, CallStarted, EndedBy
from gosip_py.metrics import Metrics
from gosip_py.proxy.call import Call, Caller
from gosip_py.proxy.dialog import Party, Session, contact_of, is_first_hand, routes_of
from gosip_py.proxy.route import TARGET_REFRESH
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.session_timer import Asked
from gosip_py.transaction.timers import TimerWheel
from gosip_py.transport.flow import Flow

__all__ = ["EXPIRED", "STOPPING", "TOO_LONG", "Call", "Caller", "Farewell", "Party", "Session", "Sessions"]

# RFC 3326 2: why we hang up, for both phones to show
EXPIRED = Reason("SIP", 408, "Session expired")
TOO_LONG = Reason("SIP", 408, "Nothing was heard of this call for too long")
STOPPING = Reason("SIP", 503, "The server is stopping")

_FAREWELL_SECONDS = 2.0  # how long a stop waits for the answers to its BYEs
_AT_ONCE = 100  # sessions that are hung up in one turn of the reactor
_BETWEEN = 0.02
_MOST_EARLY = 32  # forks of one call that are tracked while they ring


class Farewell(Protocol):
    """Whoever tells both phones that a session is over."""

    def say(self, session: Session, reason: Reason, then: Callable[[], None]) -> None:
        """Hang up on both; ``then`` is called once, when both have answered or nobody will."""


class _Silence:
    """Stands where nobody can be told."""

    def say(self, session: Session, reason: Reason, then: Callable[[], None]) -> None:
        then()


def _unheard() -> None:
    """Nobody waits for it."""


class Sessions:
    """The registry of every session that is early or active, and of the calls they belong to.

    ``changed`` hears each session when it is answered, refreshed and ended: the writer of the store. A session is
    hung up on when nothing was heard of it for ``call_seconds``, or for ``expiry_grace`` seconds longer than its
    Session-Expires: the BYE of RFC 4028 10 may be sent at the last moment, and repeated. ``farewell`` is whoever tells
    the phones; it is set before the first session.
    """

    def __init__(
        self,
        wheel: TimerWheel,
        now: Callable[[], float],
        bus: Bus,
        metrics: Metrics,
        call_seconds: float,
        expiry_grace: float,
        changed: Callable[[Session], None],
    ) -> None:
        self.now = now
        self.bus = bus
        self.metrics = metrics
        self.farewell: Farewell = _Silence()
        self._wheel = wheel
        self._call_seconds = call_seconds
        self._expiry_grace = expiry_grace
        self._changed = changed
        self._sessions: dict[tuple[str, str, str], Session] = {}
        self._leaving: dict[tuple[str, str, str], Session] = {}  # ended by us, their phones have yet to answer
        self._calls: dict[str, Call] = {}
        self._active = 0
        self._stop: _Wait | None = None
        metrics.active_dialogs.read_from(lambda: self._active)
        metrics.dialog_entries.read_from(lambda: len(self._sessions))
        metrics.calls_active.read_from(lambda: len(self._calls))

    def __len__(self) -> int:
        """Dialogs, early and active."""
        return len(self._sessions)

    @property
    def active(self) -> int:
        """Dialogs that were answered and are not over."""
        return self._active

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    @property
    def calls(self) -> int:
        """Calls set up or being set up."""
        return len(self._calls)

    def find(self, message: Message) -> Session | None:
        """The session of a message within a dialog, in whichever direction it goes."""
        call_id, ours, theirs = message.ids()
        one, other = (call_id, ours, theirs), (call_id, theirs, ours)
        found = self._sessions.get(one) or self._sessions.get(other)
        if found is None and self._leaving:
            found = self._leaving.get(one) or self._leaving.get(other)
        return found

    def start(self, request: Request, arrived_on: Flow, caller: Caller, callee_user: str) -> Call:
        """A call begins with this INVITE."""
        call = Call(self, request, arrived_on, self.now(), caller.direction)
        self._calls[call.id] = call
        self.bus.publish(
            CallStarted(
                id=call.id,
                at=call.started_at,
                call_id=request.call_id,
                init_branch=request.top_via.branch,
                from_tag=request.from_tag,
                caller_user=caller.user,
                callee_user=callee_user,
                caller_uri=call.caller_uri,
                callee_uri=request.uri_text,
                direction=caller.direction,
                device_id=caller.device_id,
            )
        )
        return call

    def early(self, call: Call, response: Response, phone_flow: Flow | None) -> Session | None:
        """The session of a provisional or 2xx response to the call's INVITE, made when its To tag is new.

        None for a provisional one without a tag, and for what belongs to a session that has ended. A 2xx without a tag
        makes a dialog all the same (12.1.2: RFC 2543 knew no tags).
        """
        ids = response.ids()
        tag = ids[2]
        session = self._sessions.get(ids)
        if session is not None or call.is_over or tag in call.gone:
            return session
        if response.status >= 200 or (tag and len(call.early) < _MOST_EARLY):
            return self._open(call, response, phone_flow)
        return None

    def _open(self, call: Call, response: Response, phone_flow: Flow | None) -> Session:
        ids = call_id, from_tag, to_tag = response.ids()
        caller = Party(from_tag, call.caller_contact, call.caller_flow, call.caller_number)
        callee = Party(to_tag, contact_of(response), phone_flow)
        session = Session(call, call_id, caller, callee, self.now())
        self._sessions[ids] = session
        call.early.append(session)
        return session

    def answered(self, call: Call, session: Session, response: Response, asked: Asked | None = None) -> None:
        """A 2xx to the INVITE of ``call`` confirms the dialog; a repeated one changes nothing."""
        if session.state == "early":
            self._confirm(session, response, asked)
        if session.state != "active" or call in session.calls:
            return
        session.calls += (call,)
        call.live += 1
        if call is not session.call and session.caller.flow is None:
            session.caller.flow = call.caller_flow
        call.answered(response)
        for other in tuple(call.early):
            self.terminate(other, "system")
        self._changed(session)

    def _confirm(self, session: Session, response: Response, asked: Asked | None) -> None:
        session.state = "active"
        session.answered_at = now = self.now()
        session.refresh(response, session.callee, now, asked)
        session.route_set = routes_of(response)
        self._active += 1
        session.call.early.remove(session)
        self._watch(session)

    def heard(self, session: Session, request: Request, arrived_on: Flow) -> None:
        """A request came within the dialog: the sender of a re-INVITE or UPDATE may be somewhere else now."""
        sender = session.sides(request.from_tag)[0]
        number = request.cseq.number
        if number < sender.number:
            return  # 12.2.2: it is out of order, and refused by whom it is for
        sender.number = number
        if request.method in TARGET_REFRESH:
            session.move(request, sender)
            if sender.flow is not None and is_first_hand(request):
                sender.flow = arrived_on

    def refreshed(self, session: Session, response: Response, answering: Party, asked: Asked | None = None) -> None:
        """A 2xx to a re-INVITE or UPDATE goes through."""
        session.refresh(response, answering, self.now(), asked)
        if session.state == "active":
            self._watch(session)
            self._changed(session)

    def _watch(self, session: Session) -> None:
        if session.timer is not None:
            session.timer.cancel()
        seconds = self._call_seconds
        if session.session_expires:
            seconds = min(seconds, session.session_expires + self._expiry_grace)
        session.timer = self._wheel.start(seconds, _Expiry(self, session), 0)

    def hang_up(self, session: Session, reason: Reason, then: Callable[[], None] = _unheard) -> None:
        """End a session ourselves: both phones get a BYE, and the books say that the system ended it.

        While they have yet to answer, what they still send in the dialog goes through. A call that only rings is
        refused, and whoever rings is cancelled. ``then`` is called when neither is waited for any more.
        """
        if session.state == "active":
            self.ended(session, "system")
            self._leaving[session.key] = session
            self.farewell.say(session, reason, partial(self._left, session, then))
            return
        if session.state == "early" and session.call.give_up is not None:
            session.call.give_up(f"{reason.text or 'The call was ended'}.")
        then()

    async def hang_up_all(self, reason: Reason = STOPPING) -> None:
        """`hang_up` on every session; returns when all phones have answered, 2 s after the last BYE at the latest.

        To be called while the transactions still run.
        """
        for at, session in enumerate(self, 1):
            self.hang_up(session, reason)
            if at % _AT_ONCE == 0:
                await self._wait(_BETWEEN)
        if self._leaving:
            await self._wait(_FAREWELL_SECONDS)

    def _wait(self, seconds: float) -> Deferred[None]:
        wait = self._stop = _Wait()
        self._wheel.start(seconds, wait, 0)
        return wait.over

    def _left(self, session: Session, then: Callable[[], None]) -> None:
        self._leaving.pop(session.key, None)
        then()
        if not self._leaving and self._stop is not None:
            self._stop.timer_fired(0)

    def ended(self, session: Session, ended_by: EndedBy) -> None:
        """An active session is over; a call is over with its last session."""
        self.terminate(session, ended_by)
        for call in session.calls:
            if call.live == 0:
                call.end("answered", 200, "OK", ended_by)

    def terminate(self, session: Session, ended_by: EndedBy) -> None:
        """Take one session out of the registry; the calls are not asked."""
        if session.state == "terminated":
            return
        was_active, session.state = session.state == "active", "terminated"
        if was_active:
            self._active -= 1
        elif session in session.call.early:
            session.call.early.remove(session)
        for call in session.calls:
            call.live -= 1
            call.gone += (session.callee.tag,)
        session.ended_at = self.now()
        session.ended_by = ended_by
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None
        self._sessions.pop(session.key, None)
        if was_active:
            self._changed(session)

    def call_ended(self, call: Call, event: CallEnded) -> None:
        """Called by the call itself, once."""
        self._calls.pop(call.id, None)
        self.metrics.calls_total.child(call.direction, event.result).inc()
        self.bus.publish(event)

    def close(self, reason: str) -> None:
        """The server stops: whoever rings is told, and whatever is open ends here, by the system."""
        for session in self:
            if session.state == "active":
                self.ended(session, "system")
        for call in tuple(self._calls.values()):
            if call.give_up is not None:
                call.give_up(f"{reason}.")
            call.end("answered" if call.answered_at is not None else "failed", 503, reason, "system")
        self._leaving.clear()


class _Expiry:
    """The owner of a session's timer."""

    __slots__ = ("_registry", "_session")

    def __init__(self, registry: Sessions, session: Session) -> None:
        self._registry = registry
        self._session = session

    def timer_fired(self, kind: int) -> None:
        session, registry = self._session, self._registry
        is_expired = session.expires_at is not None and session.expires_at <= registry.now()
        registry.hang_up(session, EXPIRED if is_expired else TOO_LONG)


class _Wait:
    """Fires ``over`` after some time, or when it is told to."""

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred()

    def timer_fired(self, kind: int) -> None:
        if not self.over.called:
            self.over.callback(None)
