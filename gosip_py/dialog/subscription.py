"""The subscription that a REFER makes, at the end that reports (RFC 3515 2.4.4, RFC 6665 4.2).

It lives in the dialog of the REFER beside the call, and outlives it when there is still something to report (RFC 5057
3.1). At most one NOTIFY is under way: what happens meanwhile is told afterwards, as it then is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Protocol

from gosip_py.fsm import Table, complete
from gosip_py.sip.message import Response
from gosip_py.sip.status import REASON_PHRASES
from gosip_py.transaction.timers import Timer, TimerWheel

__all__ = ["REFER_SUBSCRIPTION", "Carrier", "Effect", "ReferNotifier", "Signal", "State", "event_of", "granted"]

SIPFRAG = "message/sipfrag;version=2.0"
EXPIRES = 180
"""Seconds that a subscription lasts at first: longer than a phone rings (3.4)."""
_LONGEST_EXPIRES = 3600
_PAUSE_SECONDS = 1.0  # 3.10: not more than one a second
# RFC 6665 4.2.2, RFC 5057 5.1: the answers after which the subscriber is gone.
_LOST = frozenset((404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604))


class State(IntEnum):
    INIT = 0
    CURRENT = 1
    """Whoever referred us knows how things are."""
    NOTIFYING = 2
    """A NOTIFY is under way."""
    STALE = 3
    """A NOTIFY is under way that is not true any more."""
    PAUSING = 4
    """Something changed: it is told in a second, with whatever else changes until then."""
    ENDING = 5
    """A NOTIFY is under way, and the last one goes out afterwards."""
    FAREWELL = 6
    """The last NOTIFY is under way."""
    TERMINATED = 7


class Signal(IntEnum):
    ACCEPTED = 0
    """The REFER was answered with 202: a NOTIFY follows at once (2.4.4)."""
    REFRESHED = 1
    """A SUBSCRIBE was answered with 200."""
    CHANGED = 2
    """There is a new provisional result."""
    CONCLUDED = 3
    """There is a final result, it expired, or its subscriber ended it."""
    DUE = 4
    """The pause is over."""
    DELIVERED = 5
    FAILED = 6
    """The NOTIFY was refused for good, or nobody answered it."""
    LOST = 7
    """It is dropped without a word."""


class Effect(IntEnum):
    NOTIFY = 0
    FAREWELL = 1
    START_PAUSE = 2
    STOP_PAUSE = 3
    FORGET = 4


S, G, E = State, Signal, Effect
_UNDER_WAY = (S.NOTIFYING, S.STALE, S.ENDING, S.FAREWELL)

_ARCS: dict[tuple[State, Signal], tuple[State, tuple[Effect, ...]]] = {
    (S.INIT, G.ACCEPTED): (S.NOTIFYING, (E.NOTIFY,)),
    (S.CURRENT, G.REFRESHED): (S.NOTIFYING, (E.NOTIFY,)),
    (S.CURRENT, G.CHANGED): (S.PAUSING, (E.START_PAUSE,)),
    (S.CURRENT, G.CONCLUDED): (S.FAREWELL, (E.FAREWELL,)),
    (S.NOTIFYING, G.REFRESHED): (S.STALE, ()),
    (S.NOTIFYING, G.CHANGED): (S.STALE, ()),
    (S.NOTIFYING, G.CONCLUDED): (S.ENDING, ()),
    (S.NOTIFYING, G.DELIVERED): (S.CURRENT, ()),
    (S.STALE, G.CONCLUDED): (S.ENDING, ()),
    (S.STALE, G.DELIVERED): (S.PAUSING, (E.START_PAUSE,)),
    (S.PAUSING, G.DUE): (S.NOTIFYING, (E.NOTIFY,)),
    (S.PAUSING, G.REFRESHED): (S.NOTIFYING, (E.STOP_PAUSE, E.NOTIFY)),
    # The final result waits for nobody: a call hangs on it.
    (S.PAUSING, G.CONCLUDED): (S.FAREWELL, (E.STOP_PAUSE, E.FAREWELL)),
    (S.ENDING, G.DELIVERED): (S.FAREWELL, (E.FAREWELL,)),
    (S.FAREWELL, G.DELIVERED): (S.TERMINATED, (E.FORGET,)),
    (S.INIT, G.LOST): (S.TERMINATED, (E.FORGET,)),
    **{(state, G.FAILED): (S.TERMINATED, (E.FORGET,)) for state in _UNDER_WAY},
    **{(state, G.LOST): (S.TERMINATED, (E.STOP_PAUSE, E.FORGET)) for state in (S.CURRENT, S.PAUSING, *_UNDER_WAY)},
}
_ABSORBED = [
    *((state, G.CHANGED) for state in (S.STALE, S.PAUSING, S.ENDING, S.FAREWELL, S.TERMINATED)),
    *((state, G.CONCLUDED) for state in (S.ENDING, S.FAREWELL, S.TERMINATED)),
    *((state, G.REFRESHED) for state in (S.STALE, S.ENDING, S.FAREWELL)),
    # the answer to what was under way when it was dropped may still come
    *((S.TERMINATED, signal) for signal in (G.DELIVERED, G.FAILED, G.LOST)),
]
_REFUSED = [
    *((S.INIT, signal) for signal in Signal if signal not in (G.ACCEPTED, G.LOST)),
    *((state, G.ACCEPTED) for state in State if state is not S.INIT),
    *((state, G.DUE) for state in State if state not in (S.INIT, S.PAUSING)),
    *((state, signal) for state in (S.CURRENT, S.PAUSING) for signal in (G.DELIVERED, G.FAILED)),
    (S.TERMINATED, G.REFRESHED),
]

REFER_SUBSCRIPTION: Table[State, Signal, Effect] = complete(
    "Subscription of a REFER", State, Signal, _ARCS, _ABSORBED, _REFUSED
)

_OVER = frozenset((S.ENDING, S.FAREWELL, S.TERMINATED))
_PAUSE, _EXPIRY = 0, 1


class Carrier(Protocol):
    """The dialog in which a subscription lives; ``now`` is in epoch seconds."""

    @property
    def wheel(self) -> TimerWheel: ...

    @property
    def now(self) -> Callable[[], float]: ...

    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str = "",
        headers: Iterable[tuple[str, str]] = (),
        then: Callable[[Response | None], None],
    ) -> int:
        """Send a request within the dialog, also when its call is over; its CSeq number."""


def event_of(number: int) -> str:
    """The Event value of the subscription with this id; 0 stands for none."""
    return f"refer;id={number}" if number else "refer"


def granted(expires: int | None) -> int:
    """For how long a SUBSCRIBE that asks for so many seconds extends a subscription; None: it does not say."""
    return EXPIRES if expires is None else min(expires, _LONGEST_EXPIRES)


class ReferNotifier:
    """Reports to whoever sent a REFER what became of it. ``forget`` is called once, when it is over.

    ``id`` is the number in its Event headers, 0 for none.
    """

    __slots__ = ("_carrier", "_expires_at", "_expiry", "_forget", "_line", "_pause", "_reason", "_state", "id")

    def __init__(self, carrier: Carrier, number: int, forget: Callable[[ReferNotifier], None]) -> None:
        self.id = number
        self._carrier = carrier
        self._forget = forget
        self._state = State.INIT
        self._line = _status_line(100, "")
        self._reason = ""
        self._expires_at = 0.0
        self._expiry: Timer | None = None
        self._pause: Timer | None = None

    def __repr__(self) -> str:
        return f"<ReferNotifier {self.id} {self._state.name}>"

    @property
    def is_live(self) -> bool:
        """Whether it can be refreshed, and has not said its last word."""
        return self._state not in _OVER

    def start(self) -> None:
        """The REFER was accepted."""
        self._extend(EXPIRES)
        self._step(Signal.ACCEPTED)

    def report(self, status: int, reason: str = "") -> None:
        """The request that was asked for got this response; a final one is the last that is told."""
        if not self.is_live:
            return
        self._line = _status_line(status, reason)
        if status < 200:
            self._step(Signal.CHANGED)
        else:
            self._end("noresource")  # 2.4.7

    def refuse(self, status: int, reason: str = "") -> None:
        """It was accepted, and then not followed after all (2.4.7)."""
        if self.is_live:
            self._line = _status_line(status, reason)
            self._end("rejected")

    def refresh(self, seconds: int) -> None:
        """A SUBSCRIBE was answered with this many seconds; a NOTIFY follows.

        0 ends the subscription, not what was asked for.
        """
        if seconds:
            self._extend(seconds)
            self._step(Signal.REFRESHED)
        else:
            self._end("timeout")

    def drop(self) -> None:
        """End it without a word."""
        self._step(Signal.LOST)

    def timer_fired(self, kind: int) -> None:
        if kind == _PAUSE:
            self._pause = None
            self._step(Signal.DUE)
        else:
            self._expiry = None
            self._end("timeout")

    # -- what the machine asks for -------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._step(Signal.CONCLUDED)

    def _step(self, signal: Signal) -> None:
        self._state, effects = REFER_SUBSCRIPTION.rows[self._state][signal]
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        if effect is Effect.NOTIFY:
            seconds = max(1, round(self._expires_at - self._carrier.now()))
            self._notify(f"active;expires={seconds}")
        elif effect is Effect.FAREWELL:
            self._stop_expiry()
            self._notify(f"terminated;reason={self._reason}")
        elif effect is Effect.START_PAUSE:
            self._pause = self._carrier.wheel.start(_PAUSE_SECONDS, self, _PAUSE)
        elif effect is Effect.STOP_PAUSE:
            if self._pause is not None:
                self._pause.cancel()
                self._pause = None
        else:
            self._stop_expiry()
            self._forget(self)

    def _notify(self, state: str) -> None:
        headers = (("event", event_of(self.id)), ("subscription-state", state))
        self._carrier.request("NOTIFY", body=self._line, content_type=SIPFRAG, headers=headers, then=self._answered)

    def _answered(self, response: Response | None) -> None:
        status = 408 if response is None else response.status
        self._step(Signal.FAILED if status in _LOST else Signal.DELIVERED)

    def _extend(self, seconds: int) -> None:
        self._stop_expiry()
        self._expires_at = self._carrier.now() + seconds
        self._expiry = self._carrier.wheel.start(seconds, self, _EXPIRY)

    def _stop_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None


def _status_line(status: int, reason: str) -> bytes:
    """The body of a NOTIFY (2.4.5). ``reason`` may be a peer's: it stays on its line."""
    text = reason or REASON_PHRASES.get(status, "Unknown")
    line = " ".join(text.split())[:_LONGEST_REASON]
    return f"SIP/2.0 {status} {line}\r\n".encode("utf-8", "surrogateescape")


_LONGEST_REASON = 200
