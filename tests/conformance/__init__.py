"""Which test shows which section of which RFC, as marks on the tests themselves.

    @conforms("RFC 3261 16.7", "RFC 3326 2")
    def test_the_losers_of_a_fork_are_cancelled_with_a_reason(self) -> None: ...

A mark on a class stands for each of its tests. docs/conformance.md is written from a run of the marked tests and from
nothing else: ``python -m tests.conformance --write``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["conforms", "sections_of"]

T = TypeVar("T", bound=Callable[..., Any])

_SECTION = re.compile(r"RFC [0-9]{4}(?: (?:[0-9]+|[A-Z])(?:\.[0-9]+)*)?\Z")
_MARK = "conforms_to"


def conforms(*sections: str) -> Callable[[T], T]:
    """Mark a test, or a class of tests, as showing these sections: ``RFC 3261 17.1.1``."""
    for section in sections:
        if _SECTION.match(section) is None:
            raise ValueError(f"{section!r} is not written as in 'RFC 3261 17.1.1'")

    def mark(marked: T) -> T:
        setattr(marked, _MARK, tuple(dict.fromkeys((*vars(marked).get(_MARK, ()), *sections))))
        return marked

    return mark


def sections_of(case: object) -> tuple[str, ...]:
    """What one test case shows, by its class and by its method."""
    method = getattr(case, str(getattr(case, "_testMethodName", "")), None)
    marks = (*getattr(type(case), _MARK, ()), *getattr(method, _MARK, ()))
    return tuple(dict.fromkeys(marks))
