"""How long the timers of a transaction run (RFC 3261 table 4, RFC 6026), and the wheel on which all of them turn.

A delayed call of the reactor for each timer would cost more than the message that it guards, and nearly every timer is
cancelled. Here a timer is an entry in the dictionary of its tick, and the reactor knows one delayed call: that of the
earliest tick.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gosip_py.transaction.machines import Effect, Signal

__all__ = ["Lengths", "Timer", "TimerOwner", "TimerWheel", "Timing"]

Lengths = dict[Effect, tuple[Signal, float]]
"""For each effect that starts a timer: the signal that the timer gives when it fires, and its seconds."""

_TRYING_SECONDS = 0.2  # RFC 3261 17.2.1
# Rounds up to a whole tick, but takes what the last bits of a float are away from one for that one.
_UP = 1 - 1e-6


@attrs.frozen
class Timing:
    """The estimates from which every timer follows, all in seconds.

    A network with a long round trip wants a larger ``t1``.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0
    """Timer D does not follow T1, because the server's T1 is not known (RFC 3261 17.1.1.2)."""

    def lengths(self, *, is_reliable: bool) -> Lengths:
        """The timers that end a state. Zero means at once: over a reliable transport there is nothing to wait for."""
        patience = 64 * self.t1
        linger, clear, ack = (0.0, 0.0, 0.0) if is_reliable else (patience, self.t4, max(self.d, patience))
        return {
            Effect.START_B: (Signal.TIMER_B, patience),
            Effect.START_D: (Signal.TIMER_D, ack),
            Effect.START_F: (Signal.TIMER_F, patience),
            Effect.START_H: (Signal.TIMER_H, patience),
            Effect.START_I: (Signal.TIMER_I, clear),
            Effect.START_J: (Signal.TIMER_J, linger),
            Effect.START_K: (Signal.TIMER_K, clear),
            Effect.START_L: (Signal.TIMER_L, patience),
            Effect.START_M: (Signal.TIMER_M, patience),
            Effect.START_TRYING: (Signal.TIMER_TRYING, _TRYING_SECONDS),
            Effect.START_LATE_TRYING: (Signal.TIMER_TRYING, self.seconds_to_t2),
            Effect.START_EXPIRY: (Signal.TIMER_EXPIRY, patience),
            Effect.START_CANCEL_WAIT: (Signal.TIMER_CANCEL_WAIT, patience),
        }

    @property
    def seconds_to_t2(self) -> float:
        """The time until a client's Timer E is reset to T2: when a non-INVITE must have its 100 (RFC 4320 4.1)."""
        interval, passed = self.t1, self.t1
        while interval * 2 < self.t2:
            interval *= 2
            passed += interval
        return passed


class TimerOwner(Protocol):
    """Whoever is told that a timer fired."""

    def timer_fired(self, kind: int) -> None:
        """The timer that was started as ``kind`` fired; it need not be cancelled any more."""


class Timer:
    """One running timer. Once it fired or was cancelled it holds nothing."""

    __slots__ = ("_slot", "kind", "owner")

    def __init__(self, slot: dict[Timer, None], owner: TimerOwner, kind: int) -> None:
        self._slot: dict[Timer, None] | None = slot
        self.owner: TimerOwner | None = owner
        self.kind = kind

    @property
    def is_running(self) -> bool:
        return self._slot is not None

    def cancel(self) -> None:
        """Never fire. Harmless when the timer fired already."""
        slot = self._slot
        if slot is not None:
            del slot[self]
            self._slot = self.owner = None

    def fire(self) -> None:
        """Tell the owner, unless the timer was cancelled meanwhile."""
        owner = self.owner
        if owner is not None:
            self._slot = self.owner = None
            owner.timer_fired(self.kind)


class TimerWheel:
    """Timers in ticks of ``granularity`` seconds.

    Each fires at the end of its tick: up to one tick late, and never early.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, granularity: float = 0.02) -> None:
        self._clock = clock
        self._seconds = clock.seconds
        self._origin: float = clock.seconds()
        self._rate = 1 / granularity
        self._slots: dict[int, dict[Timer, None]] = {}
        self._ticks: list[int] = []
        self._call: IDelayedCall | None = None
        self._called_for = 0
        self._is_turning = False
        self._is_stopped = False

    def __len__(self) -> int:
        """How many timers run."""
        return sum(map(len, self._slots.values()))

    def start(self, delay: float, owner: TimerOwner, kind: int) -> Timer:
        """Tell ``owner`` in ``delay`` seconds that ``kind`` fired. Once the wheel has stopped, nothing fires."""
        tick = int((self._seconds() - self._origin + delay) * self._rate + _UP)
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._open(tick)
        timer = Timer(slot, owner, kind)
        slot[timer] = None
        return timer

    def stop(self) -> None:
        """Cancel every timer, for good."""
        self._is_stopped = True
        for slot in self._slots.values():
            for timer in tuple(slot):
                timer.cancel()
        self._slots.clear()
        self._ticks.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _open(self, tick: int) -> dict[Timer, None]:
        if self._is_stopped:
            return {}
        slot = self._slots[tick] = {}
        heappush(self._ticks, tick)
        if not self._is_turning and (self._call is None or tick < self._called_for):
            self._call_at_first_tick()
        return slot

    def _call_at_first_tick(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._ticks:
            self._called_for = tick = self._ticks[0]
            delay = self._origin + tick / self._rate - self._seconds()
            self._call = self._clock.callLater(max(0.0, delay), self._turn)

    def _turn(self) -> None:
        """Fire what is due. What is started meanwhile waits for the next turn, so nobody can hold up the reactor."""
        self._call = None
        self._is_turning = True
        now = int((self._seconds() - self._origin) * self._rate + 1 - _UP)
        due = []
        while self._ticks and self._ticks[0] <= now:
            due.append(self._slots.pop(heappop(self._ticks)))
        for slot in due:
            self._fire(slot)
        self._is_turning = False
        self._call_at_first_tick()

    def _fire(self, slot: dict[Timer, None]) -> None:
        for timer in tuple(slot):
            try:
                timer.fire()
            except Exception:
                # One owner's bug must not cost the others of this tick their timers.
                self.log.failure("a timer's owner failed")
