"""With what the names that are dialled begin: whether digits may become one of them when more are dialled."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["LONGEST", "NumberPrefixes"]

LONGEST = 32
"""How many digits of a name are looked at."""

_DIGITS = re.compile(rf"[0-9]{{1,{LONGEST}}}")


class NumberPrefixes:
    """Counts the digits that names begin with; a name that is there twice is taken out twice."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, dialled: str) -> bool:
        """Whether a longer name begins with these digits."""
        return dialled in self._counts

    def add(self, name: str) -> None:
        """There is one more name."""
        counts = self._counts
        for prefix in _prefixes_of(name):
            counts[prefix] = counts.get(prefix, 0) + 1

    def remove(self, name: str) -> None:
        """A name that was added is gone."""
        counts = self._counts
        for prefix in _prefixes_of(name):
            if counts[prefix] > 1:
                counts[prefix] -= 1
            else:
                del counts[prefix]


def _prefixes_of(name: str) -> Iterator[str]:
    match = _DIGITS.match(name)
    if match is not None:
        whole = len(match[0]) == len(name)
        for length in range(1, len(match[0]) + (not whole)):
            yield name[:length]
