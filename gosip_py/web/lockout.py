"""Lock-out: five failures of an account or an address within a minute shut it out for fifteen minutes."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = ["Lockout"]

FAILURES = 5
WINDOW_SECONDS = 60.0
LOCK_SECONDS = 900.0
LIMIT = 10_000
BUSY_SECONDS = 1.0


@attrs.define(eq=False)
class _Tally:
    """The recent failures of one key, and how many attempts are being checked just now."""

    failures: list[float] = attrs.Factory(list)
    pending: int = 0
    locked_until: float = 0.0

    def wait(self, now: float) -> float:
        if self.locked_until > now:
            return self.locked_until - now
        self.failures = [at for at in self.failures if at > now - WINDOW_SECONDS]
        # Attempts sent all at once must not slip past while none of them has failed yet.
        return BUSY_SECONDS if len(self.failures) + self.pending >= FAILURES else 0.0

    def is_idle(self, now: float) -> bool:
        return not self.pending and not self.wait(now) and not self.failures

    def fail(self, now: float) -> None:
        self.failures.append(now)
        if len(self.failures) >= FAILURES:
            self.failures, self.locked_until = [], now + LOCK_SECONDS


class Lockout:
    """Tallies by key, in bounded memory: at most `limit` keys; the oldest without a lock goes first."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._tallies: dict[str, _Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def begin(self, keys: Sequence[str], now: float) -> float:
        """Start an attempt; 0 when it may go on, and then `end` or `withdraw` must follow, else the seconds to wait."""
        wait = max(self._tallies[key].wait(now) if key in self._tallies else 0.0 for key in keys)
        if not wait:
            for key in keys:
                self._tally(key, now).pending += 1
        return wait

    def withdraw(self, keys: Sequence[str]) -> None:
        """The attempt came to no result."""
        for key in keys:
            if key in self._tallies:
                self._tallies[key].pending = max(0, self._tallies[key].pending - 1)

    def fail(self, keys: Sequence[str], now: float) -> None:
        """The attempt failed."""
        self.withdraw(keys)
        for key in keys:
            self._tally(key, now).fail(now)

    def succeed(self, account: str, keys: Sequence[str]) -> None:
        """The attempt succeeded, and the account is forgiven.

        The address is not: it could go on guessing between successes of its own.
        """
        self.withdraw(keys)
        tally = self._tallies.get(account)
        if tally is not None:
            tally.failures.clear()

    def _tally(self, key: str, now: float) -> _Tally:
        if key not in self._tallies:
            if len(self._tallies) >= self._limit:
                self._make_room(now)
            self._tallies[key] = _Tally()
        return self._tallies[key]

    def _make_room(self, now: float) -> None:
        for key in [key for key, tally in self._tallies.items() if tally.is_idle(now)]:
            del self._tallies[key]
        if len(self._tallies) >= self._limit:
            free = (key for key, tally in self._tallies.items() if tally.locked_until <= now and not tally.pending)
            del self._tallies[next(free, next(iter(self._tallies)))]
