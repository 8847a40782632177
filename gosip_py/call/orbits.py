"""The numbers at which calls are parked, and which of them are taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Orbits"]

P = TypeVar("P")

_MOST = 1000


class Orbits(Generic[P]):
    """The orbits from ``first`` to ``last``, both among them; with each at most one thing that is parked there."""

    def __init__(self, first: int = 701, last: int = 720) -> None:
        if not 0 <= first <= last < first + _MOST:
            raise ValueError(
                f"the last orbit, {last}, must be at or after the first, {first}, and {_MOST} are the most"
            )
        self._numbers = tuple(str(number) for number in range(first, last + 1))
        self._all = frozenset(self._numbers)
        self._taken: dict[str, P] = {}

    def __iter__(self) -> Iterator[tuple[str, P]]:
        """What is parked and where, the oldest first."""
        return iter(tuple(self._taken.items()))

    def __len__(self) -> int:
        """How many are taken."""
        return len(self._taken)

    def contains(self, number: str) -> bool:
        """Whether ``number`` is an orbit."""
        return number in self._all

    def at(self, orbit: str) -> P | None:
        """What is parked there."""
        return self._taken.get(orbit)

    def take(self, parked: P, orbit: str = "") -> str:
        """Park at ``orbit``, or at the lowest that is free; where, or an empty string when there is no room."""
        if not orbit:
            orbit = next((number for number in self._numbers if number not in self._taken), "")
        if orbit not in self._all or orbit in self._taken:
            return ""
        self._taken[orbit] = parked
        return orbit

    def leave(self, orbit: str) -> P | None:
        """The orbit is free again; what was there."""
        return self._taken.pop(orbit, None)
