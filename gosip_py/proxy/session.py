"""Calls and the dialogs that pass through the proxy, from the INVITE to the BYE, for the journal and the sessions list.

A `Call` is one initial INVITE: it publishes its events on the bus, and ends exactly once whatever ends it. A `Session`
is one dialog of it (RFC 3261 12): early when a fork rings, active when it answered. The registry finds the session of a
request by its full dialog id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import attrs

from gosip_py.events import Bus, CallAnswered, CallEnded, CallRinging, CallStarted, Direction, EndedBy, Result
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.timers import Timer, TimerWheel
from gosip_py.transport.flow import Flow

__all__ = ["Call", "Caller", "Party", "Session", "Sessions"]


@attrs.frozen
class Caller:
    """Who makes a call: ``user`` as authenticated (or as From says, when trusted), and the device that it came from."""

    user: str
    direction: Direction = "internal"
    device_id: int | None = None


class Party:
    """One side of a session: its tag, the contact that reaches it, and the flow on which its phone was heard.

    ``flow`` is None when others stand between us and the phone.
    """

    __slots__ = ("contact", "flow", "tag")

    def __init__(self, tag: str, contact: str, flow: Flow | None) -> None:
        self.tag = tag
        self.contact = contact
        self.flow = flow


class Call:
    """One initial INVITE and what became of it. ``id`` sorts by time.

    Of the INVITE only what the sessions need is kept: a call may last for hours.
    """

    __slots__ = (
        "answered_at",
        "callee_uri",
        "caller_contact",
        "caller_flow",
        "caller_uri",
        "direction",
        "early",
        "give_up",
        "gone",
        "id",
        "is_over",
        "is_ringing",
        "live",
        "registry",
        "started_at",
    )

    def __init__(
        self, registry: Sessions, request: Request, arrived_on: Flow, started_at: float, direction: Direction
    ) -> None:
        self.id = f"{int(started_at * 1000):012x}{new_token(12)}"
        self.registry = registry
        self.caller_contact = contact_of(request)
        self.caller_flow = arrived_on if _is_first_hand(request) else None
        self.caller_uri = request.from_.uri_text
        self.callee_uri = request.to.uri_text
        self.started_at = started_at
        self.direction = direction
        self.is_ringing = False
        self.answered_at: float | None = None
        self.live = 0  # sessions of this call that are active
        self.early: list[Session] = []
        self.gone: tuple[str, ...] = ()  # To tags of sessions that were active: their 2xx may be repeated
        self.is_over = False
        self.give_up: Callable[[str], None] | None = None  # refuses the INVITE and stops who rings

    def ringing(self, code: int) -> None:
        if not self.is_ringing:
            self.is_ringing = True
            self.registry.bus.publish(CallRinging(self.id, self.registry.now(), code))

    def answered(self, response: Response) -> None:
        self.give_up = None
        if self.answered_at is None:
            self.answered_at = now = self.registry.now()
            self.registry.bus.publish(CallAnswered(self.id, now, response.to_tag, response.status, response.reason))
            self.registry.metrics.call_setup_seconds.child().observe(now - self.started_at)

    def end(self, result: Result, code: int, reason: str, ended_by: EndedBy) -> None:
        """Close the books of this call; only the first ending counts."""
        if self.is_over:
            return
        self.is_over = True
        self.give_up = None
        for session in tuple(self.early):
            self.registry.terminate(session, ended_by)
        self.registry.call_ended(self, CallEnded(self.id, self.registry.now(), result, code, reason, ended_by))


class Session:
    """One dialog between caller and callee; ``state`` is early, active or terminated."""

    __slots__ = (
        "__weakref__",
        "answered_at",
        "call",
        "call_id",
        "callee",
        "callee_uri",
        "caller",
        "caller_uri",
        "created_at",
        "ended_at",
        "ended_by",
        "id",
        "refresher",
        "route_set",
        "session_expires",
        "state",
        "timer",
    )  # fmt: skip

    def __init__(self, call: Call, call_id: str, caller: Party, callee: Party, created_at: float) -> None:
        self.id = f"{int(created_at * 1000):012x}{new_token(12)}"
        self.call = call
        self.call_id = call_id
        self.caller = caller
        self.callee = callee
        self.caller_uri = ""
        self.callee_uri = ""
        self.state = "early"
        self.created_at = created_at
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by: EndedBy | None = None
        self.route_set: list[str] = []
        self.session_expires: int | None = None
        self.refresher: str | None = None
        self.timer: Timer | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.call_id, self.caller.tag, self.callee.tag

    def sides(self, from_tag: str) -> tuple[Party, Party]:
        """The sender of a request with this From tag, and the other side."""
        return (self.caller, self.callee) if from_tag == self.caller.tag else (self.callee, self.caller)

    def side_name(self, from_tag: str) -> EndedBy:
        return "caller" if from_tag == self.caller.tag else "callee"

    @property
    def route_set_json(self) -> str:
        return json.dumps(self.route_set)

    def refresh(self, message: Message, sender: Party) -> None:
        """Take over the target and the session timer that a re-INVITE, an UPDATE or its 2xx brings.

        RFC 3261 12.2, RFC 4028 7.
        """
        contact = contact_of(message)
        if contact:
            sender.contact = contact
        if isinstance(message, Response):
            self.session_expires, self.refresher = session_timer_of(message)


class Sessions:
    """The registry of every session that is early or active, and of the calls they belong to.

    ``changed`` hears each session when it is answered, refreshed and ended: the writer of the store. A session is
    closed when nothing was heard of it for ``call_seconds``, or for ``expiry_grace`` seconds longer than its
    Session-Expires: the BYE of RFC 4028 10 may be sent at the last moment, and repeated.
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
        self._wheel = wheel
        self._call_seconds = call_seconds
        self._expiry_grace = expiry_grace
        self._changed = changed
        self._sessions: dict[tuple[str, str, str], Session] = {}
        self._calls: dict[str, Call] = {}
        self._active = 0
        metrics.active_dialogs.read_from(lambda: self._active)
        metrics.dialog_entries.read_from(lambda: len(self._sessions))
        metrics.calls_active.read_from(lambda: len(self._calls))

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    @property
    def calls(self) -> int:
        """Calls set up or being set up."""
        return len(self._calls)

    def find(self, message: Message) -> Session | None:
        """The session of a message within a dialog, in whichever direction it goes."""
        call_id, ours, theirs = message.call_id, message.from_tag, message.to_tag
        return self._sessions.get((call_id, ours, theirs)) or self._sessions.get((call_id, theirs, ours))

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
        tag = response.to_tag
        session = self._sessions.get((response.call_id, response.from_tag, tag))
        if session is None and (tag or response.status >= 200) and not call.is_over and tag not in call.gone:
            session = self._open(call, response, phone_flow)
        return session

    def _open(self, call: Call, response: Response, phone_flow: Flow | None) -> Session:
        caller = Party(response.from_tag, call.caller_contact, call.caller_flow)
        callee = Party(response.to_tag, contact_of(response), phone_flow)
        session = Session(call, response.call_id, caller, callee, self.now())
        session.caller_uri = call.caller_uri
        session.callee_uri = call.callee_uri
        self._sessions[session.key] = session
        call.early.append(session)
        return session

    def answered(self, session: Session, response: Response) -> None:
        """A 2xx confirms the dialog; a repeated one changes nothing."""
        if session.state != "early":
            return
        session.state = "active"
        session.answered_at = self.now()
        session.refresh(response, session.callee)
        session.route_set = response.values("record-route")
        self._active += 1
        call = session.call
        call.early.remove(session)
        call.live += 1
        call.answered(response)
        for other in tuple(call.early):
            self.terminate(other, "system")
        self._watch(session)
        self._changed(session)

    def moved(self, session: Session, request: Request, arrived_on: Flow) -> None:
        """A re-INVITE or UPDATE came: its sender may be somewhere else now."""
        sender = session.sides(request.from_tag)[0]
        session.refresh(request, sender)
        if sender.flow is not None and _is_first_hand(request):
            sender.flow = arrived_on

    def refreshed(self, session: Session, response: Response, sender: Party) -> None:
        """A 2xx to a re-INVITE or UPDATE went through."""
        session.refresh(response, sender)
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

    def ended(self, session: Session, ended_by: EndedBy) -> None:
        """An active session is over; the call is over with its last session."""
        was_active = session.state == "active"
        self.terminate(session, ended_by)
        call = session.call
        if was_active and call.live == 0:
            call.end("answered", 200, "OK", ended_by)

    def terminate(self, session: Session, ended_by: EndedBy) -> None:
        """Take one session out of the registry; the call is not asked."""
        if session.state == "terminated":
            return
        call = session.call
        if session.state == "active":
            self._active -= 1
            call.live -= 1
            call.gone += (session.callee.tag,)
        elif session in call.early:
            call.early.remove(session)
        was_active, session.state = session.state == "active", "terminated"
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


class _Expiry:
    """The owner of a session's timer."""

    __slots__ = ("_registry", "_session")

    def __init__(self, registry: Sessions, session: Session) -> None:
        self._registry = registry
        self._session = session

    def timer_fired(self, kind: int) -> None:
        self._registry.ended(self._session, "system")


def _is_first_hand(request: Request) -> bool:
    """Whether nobody forwarded it: then its contact is reached where it came from, whatever a NAT does to addresses."""
    return request.names.count("via") == 1 and "," not in request.lines[request.names.index("via")]


def contact_of(message: Message) -> str:
    """The URI of the first Contact, empty when there is none or it cannot be read."""
    value = message.value("contact")
    if value is None:
        return ""
    start = value.find("<", value.find('"', 1) if value[0:1] == '"' else 0)
    if start >= 0:
        return value[start + 1 : value.find(">", start)]
    return value.partition(";")[0].strip()


def session_timer_of(response: Response) -> tuple[int | None, str | None]:
    """Seconds and refresher that a 2xx agreed on (RFC 4028 4), None for both without a session timer."""
    value = response.value("session-expires")
    if value is None:
        return None, None
    seconds, _, parameters = value.partition(";")
    name, _, refresher = parameters.strip().partition("=")
    try:
        interval = parse_digits(seconds.strip(), "Session-Expires", 2**31 - 1)
    except ParseError:
        return None, None
    return interval, refresher.lower() if name.lower() == "refresher" and refresher else None
