"""Which addresses lately failed: they are tried last (RFC 3263 4.3, RFC 3261 21.5.4)."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from gosip_py.transport.flow import Target

__all__ = ["OUTAGE_SECONDS", "Outages"]

OUTAGE_SECONDS = 30.0
_LONGEST = 600.0
_MOST_REMEMBERED = 1024

Place = tuple[str, str, int]


class Outages:
    """A bounded memory; what was noted first is forgotten first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._until: dict[Place, float] = {}

    def note(self, hop: Target, seconds: float = OUTAGE_SECONDS) -> bool:
        """Put a numeric target aside for so long, at most for ten minutes. Whether that is news."""
        place = _place(hop)
        before = self._until.pop(place, 0.0)
        if len(self._until) >= _MOST_REMEMBERED:
            del self._until[next(iter(self._until))]
        now = self._clock.seconds()
        self._until[place] = now + min(seconds, _LONGEST)
        return before <= now

    def forget(self, hop: Target) -> None:
        """It answered."""
        if self._until:
            self._until.pop(_place(hop), None)

    def last(self, hops: tuple[Target, ...]) -> tuple[Target, ...]:
        """The same, those put aside at the end: of them first the one that is to come back first."""
        if not self._until:
            return hops
        now = self._clock.seconds()
        return tuple(sorted(hops, key=lambda hop: max(0.0, self._until.get(_place(hop), 0.0) - now)))


def _place(hop: Target) -> Place:
    return hop.transport, hop.host, hop.port
