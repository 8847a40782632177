"""One subscription: performs what its machine asks for (RFC 6665 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from gosip_py.notifier.machine import ENDED, SUBSCRIPTION, Effect, Signal, State
from gosip_py.notifier.package import EventPackage, Watch
from gosip_py.notifier.usage import DialogUsage
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Response
from gosip_py.transaction.sending import Errand, Sender
from gosip_py.transaction.timers import Timer, TimerWheel

__all__ = ["Registry", "Subscription"]

_EXPIRY, _PAUSE = 0, 1
# What says nothing about the subscription: glare, and trouble of the moment (RFC 5057 5.1). Every other refusal ends
# it, those first that RFC 6665 4.2.2 lists.
_PASSING = frozenset((491, 500, 503, 504))


class Registry(Protocol):
    """Where subscriptions are kept."""

    sender: Sender
    wheel: TimerWheel
    now: Callable[[], float]

    def forget(self, subscription: Subscription) -> None:
        """It is over."""

    def enqueue(self, subscription: Subscription) -> None:
        """Call its ``due`` when it is its turn."""


class Subscription:
    """Who watches what until when.

    ``event`` is the value of Event in each NOTIFY. ``expires_at`` is in epoch seconds.
    """

    __slots__ = (
        "_expiry",
        "_pause",
        "_reason",
        "_registry",
        "_said",
        "_says_state",
        "_sent_at",
        "_state",
        "_version",
        "event",
        "expires_at",
        "package",
        "usage",
        "watch",
    )

    def __init__(self, registry: Registry, package: EventPackage, watch: Watch, usage: DialogUsage, event: str) -> None:
        self.package = package
        self.watch = watch
        self.usage = usage
        self.event = event
        self.expires_at = 0.0
        self._registry = registry
        self._state = State.INIT
        self._version = 0
        self._said: int | None = None  # the hash of what the subscriber was told last
        self._sent_at = 0.0
        self._reason = ""
        self._says_state = False
        self._expiry: Timer | None = None
        self._pause: Timer | None = None

    def __repr__(self) -> str:
        return f"<Subscription {self.package.name} {self._state.name}>"

    @property
    def is_live(self) -> bool:
        """Whether it can be refreshed."""
        return self._state not in ENDED

    @property
    def key(self) -> Hashable:
        """Under which its package tells of changes."""
        return self.package.key(self.watch.resource)

    def is_twin_of(self, other: Subscription) -> bool:
        """Whether both bring the same to the same place."""
        return (self.package, self.key, self.event, self.usage.target_uri) == (
            other.package,
            other.key,
            other.event,
            other.usage.target_uri,
        )

    # -- what happens to it --------------------------------------------------------------------------------------------

    def subscribe(self, expires: int) -> None:
        """A SUBSCRIBE was answered with 200 and this many seconds; 0 ends it with a last look at the state."""
        self._stop_expiry()
        self.expires_at = self._registry.now() + expires
        if expires:
            self._expiry = self._registry.wheel.start(expires, self, _EXPIRY)
            self._step(Signal.SUBSCRIBED)
        elif self._state is State.INIT:
            self._reason, self._says_state = "timeout", True
            self._step(Signal.FETCHED)
        else:
            self.end("timeout", says_state=True)

    def change(self) -> None:
        """What it watches is not as it was."""
        self._step(Signal.CHANGED)

    def due(self) -> None:
        """It is its turn to send."""
        if self._state is State.WAITING:
            body = self.package.document(self.watch, self._version)
            self._step(Signal.UNCHANGED if hash(body) == self._said else Signal.DUE)

    def end(self, reason: str, *, says_state: bool = False) -> None:
        """Tell the subscriber that it is over (4.1.3); the first reason stands."""
        if self.is_live:
            self._reason, self._says_state = reason, says_state
        self._stop_expiry()
        self._step(Signal.ENDED)

    def abandon(self, reason: str) -> None:
        """Tell the subscriber at once and wait for no answer: the server stops."""
        self._reason, self._says_state = reason, False
        if self.is_live:
            self._send(self._farewell_headers(), b"", _unheard)
        self.drop()

    def drop(self) -> None:
        """End it without a word."""
        self._step(Signal.LOST)

    def timer_fired(self, kind: int) -> None:
        if kind == _EXPIRY:
            self._expiry = None
            self.end("timeout")
        else:
            self._pause = None
            self._registry.enqueue(self)

    # -- what the machine asks for -------------------------------------------------------------------------------------

    def _step(self, signal: Signal) -> None:
        self._state, effects = SUBSCRIPTION.rows[self._state][signal]
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        if effect is Effect.NOTIFY:
            self._notify(f"active;expires={max(1, round(self.expires_at - self._registry.now()))}")
        elif effect is Effect.FAREWELL:
            self._send(self._farewell_headers(), self._document() if self._says_state else b"", self._answered)
        elif effect is Effect.START_PAUSE:
            wait = self._sent_at + self.package.interval - self._registry.now()
            self._pause = self._registry.wheel.start(max(0.0, wait), self, _PAUSE)
        elif effect is Effect.STOP_PAUSE:
            self._stop_pause()
        else:
            self._stop_expiry()
            self._registry.forget(self)

    def _notify(self, state: str) -> None:
        body = self._document()
        self._said = hash(body)
        self._send(self._headers(state), body, self._answered)

    def _document(self) -> bytes:
        document = self.package.document(self.watch, self._version)
        self._version += 1
        return document

    def _headers(self, state: str) -> tuple[tuple[str, str], ...]:
        return ("event", self.event), ("subscription-state", state)

    def _farewell_headers(self) -> tuple[tuple[str, str], ...]:
        return self._headers(f"terminated;reason={self._reason}")

    def _send(self, headers: tuple[tuple[str, str], ...], body: bytes, then: Callable[[Response | None], None]) -> None:
        self._sent_at = self._registry.now()
        try:
            request, target = self.usage.compose("NOTIFY", headers, body, self.package.content_type)
        except ParseError:
            then(None)
            return
        Errand(self._registry.sender, request, target, then).send()

    def _answered(self, response: Response | None) -> None:
        status = 408 if response is None else response.status
        if status >= 300:
            self._said = None
        self._step(Signal.DELIVERED if status < 300 or status in _PASSING else Signal.FAILED)

    def _stop_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None


def _unheard(_response: Response | None) -> None:
    """The server stops: nobody waits for this answer."""
