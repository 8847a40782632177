"""Who is in which call now, as the events of the calls tell it: the source of the dialog package and of presence.

While nobody watches, no more is done for a call than to remember it; who is in it is looked up when somebody comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from gosip_py.events import Bus, CallAnswered, CallEnded, CallRinging, CallStarted
from gosip_py.notifier.people import People

__all__ = ["CallStates", "LiveCall"]

LINGER_SECONDS = 5.0
"""How long a call that is over is still told of: longer than two NOTIFYs of the dialog package keep apart."""
_MOST_LINGERING = 10_000

Listener = Callable[[int], object]


class LiveCall:
    """One call; ``state`` is trying, early, confirmed or terminated (RFC 4235 3.7.1).

    ``code`` is that of the last response to the INVITE, ``ended`` tells how it ended once it has. ``caller`` and
    ``callee`` are ids of our users, None for others and as long as nobody asked. ``leg`` are Call-ID, From tag and To
    tag of the dialog with the phone that rings, when that is a leg of our own, and empty otherwise.
    """

    __slots__ = ("callee", "caller", "code", "ended", "leg", "started", "state", "to_tag", "was_answered")

    def __init__(self, started: CallStarted) -> None:
        self.started = started
        self.to_tag = ""
        self.leg: tuple[str, ...] = ()
        self.state = "trying"
        self.code = 0
        self.was_answered = False
        self.ended: CallEnded | None = None
        self.caller: int | None = None
        self.callee: int | None = None

    @property
    def users(self) -> Iterable[int]:
        """Our users in it; who calls themselves is in it once."""
        return {user: None for user in (self.caller, self.callee) if user is not None}


class CallStates:
    """The calls that are set up or being set up, by user, and for a moment those that are over."""

    def __init__(self, bus: Bus, people: People, now: Callable[[], float]) -> None:
        self._people = people
        self._now = now
        self._calls: dict[str, LiveCall] = {}
        self._by_user: dict[int, dict[str, LiveCall]] = {}
        self._over: deque[tuple[float, LiveCall]] = deque()
        self._listeners: tuple[Listener, ...] = ()
        bus.subscribe(CallStarted, self._started)
        bus.subscribe(CallRinging, self._ringing)
        bus.subscribe(CallAnswered, self._answered)
        bus.subscribe(CallEnded, self._ended)

    # -- asking --------------------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` the user whose calls are not as they were; it says whether anybody cares.

        `newest` and `is_talking` can be asked while somebody listens.
        """
        if not self._listeners:
            for call in self._calls.values():
                self._place(call)
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Listener) -> None:
        """Tell it nothing more."""
        self._listeners = tuple(other for other in self._listeners if other != listener)
        if not self._listeners:
            self._by_user.clear()
            self._over.clear()

    def newest(self, user_id: int) -> Iterable[LiveCall]:
        """The calls of a user, the newest first."""
        self._sweep()
        return reversed(self._by_user.get(user_id, {}).values())

    def is_talking(self, user_id: int) -> bool:
        """Whether a user is in a call that was answered."""
        return any(call.state == "confirmed" for call in self._by_user.get(user_id, {}).values())

    # -- what the events tell ------------------------------------------------------------------------------------------

    def _started(self, event: CallStarted) -> None:
        call = self._calls[event.id] = LiveCall(event)
        if self._listeners:
            self._place(call)
            self._tell(call)

    def _ringing(self, event: CallRinging) -> None:
        call = self._calls.get(event.id)
        if call is not None:
            call.state = "early"
            call.code = event.code
            if event.call_id:
                call.leg = (event.call_id, event.from_tag, event.to_tag)
            else:
                call.to_tag = event.to_tag
            if self._listeners:
                self._tell(call)

    def _answered(self, event: CallAnswered) -> None:
        call = self._calls.get(event.id)
        if call is not None:
            call.state = "confirmed"
            call.code = event.code
            call.to_tag = event.to_tag
            call.was_answered = True
            if self._listeners:
                self._tell(call)

    def _ended(self, event: CallEnded) -> None:
        call = self._calls.pop(event.id, None)
        if call is None or not self._listeners:
            return
        call.state = "terminated"
        call.code = event.final_code
        call.ended = event
        self._sweep()
        if self._tell(call) and len(self._over) < _MOST_LINGERING:
            self._over.append((self._now(), call))
        else:
            self._forget(call)

    # -- by user -------------------------------------------------------------------------------------------------------

    def _place(self, call: LiveCall) -> None:
        """Find out who is in it.

        A name is one of ours only on the side that is: the domain of a trunk has its own alice.
        """
        started = call.started
        caller = None if started.direction == "inbound" else self._people.named(started.caller_user)
        is_outside = started.direction == "outbound" and not started.callee_uri.startswith("tel:")
        callee = None if is_outside else self._people.named(started.callee_user)
        call.caller = None if caller is None else caller.id
        call.callee = None if callee is None else callee.id
        for user in call.users:
            self._by_user.setdefault(user, {})[started.id] = call

    def _tell(self, call: LiveCall) -> bool:
        heard = [listener(user) for user in call.users for listener in self._listeners]
        return any(heard)

    def _sweep(self) -> None:
        """Forget the calls that have been over for long enough."""
        while self._over and self._over[0][0] + LINGER_SECONDS <= self._now():
            self._forget(self._over.popleft()[1])

    def _forget(self, call: LiveCall) -> None:
        for user in call.users:
            held = self._by_user.get(user)
            if held is not None:
                held.pop(call.started.id, None)
                if not held:
                    del self._by_user[user]
