"""Which of several servers of a domain asked for credentials: the request that bears them goes there again.

A challenge holds where it was made, and servers of one domain need not know each other's nonces (RFC 3261 22.3).
"""

from __future__ import annotations

from gosip_py.transaction.timers import Timer, TimerWheel
from gosip_py.transport.flow import Target

__all__ = ["Challengers"]

_SECONDS = 32.0
_MOST_REMEMBERED = 1024

Place = tuple[str, str]


class Challengers:
    """Remembers each for 32 s, by Call-ID and the host that was asked for."""

    __slots__ = ("_entries", "_wheel")

    def __init__(self, wheel: TimerWheel) -> None:
        self._wheel = wheel
        self._entries: dict[Place, _Entry] = {}

    def note(self, call_id: str, host: str, hop: Target) -> None:
        """``hop``, a server of ``host``, said 401 or 407."""
        place = (call_id, host)
        if place not in self._entries and len(self._entries) >= _MOST_REMEMBERED:
            self._drop(next(iter(self._entries)))
        self._drop(place)
        entry = self._entries[place] = _Entry(self._entries, place, hop)
        entry.timer = self._wheel.start(_SECONDS, entry, 0)

    def first(self, call_id: str, host: str, hops: tuple[Target, ...]) -> tuple[Target, ...]:
        """The same, with the one that asked for credentials before the others."""
        entry = self._entries.get((call_id, host))
        if entry is None or entry.hop not in hops:
            return hops
        return entry.hop, *(hop for hop in hops if hop != entry.hop)

    def _drop(self, place: Place) -> None:
        entry = self._entries.pop(place, None)
        if entry is not None and entry.timer is not None:
            entry.timer.cancel()


class _Entry:
    __slots__ = ("_entries", "_place", "hop", "timer")

    def __init__(self, entries: dict[Place, _Entry], place: Place, hop: Target) -> None:
        self._entries = entries
        self._place = place
        self.hop = hop
        self.timer: Timer | None = None

    def timer_fired(self, kind: int) -> None:
        """It is too late for credentials."""
        del self._entries[self._place]
