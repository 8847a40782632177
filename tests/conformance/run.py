"""Finds the marked tests, and runs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner
from twisted.trial.unittest import TestSuite

from tests.conformance import sections_of

__all__ = ["Result", "marked", "run_marked"]


@attrs.frozen
class Result:
    """One test: its dotted name, the sections it shows, and what came of it (``passed`` when all was well)."""

    test: str
    sections: tuple[str, ...]
    outcome: str


def marked() -> list[Any]:
    """Every test case with a mark, in the order of their names."""
    found = [case for case in _cases(TestLoader().loadByName("tests", recurse=True)) if sections_of(case)]
    return sorted(found, key=lambda case: str(case.id()))


def _cases(suite: Any) -> Iterator[Any]:
    try:
        inner = list(suite)
    except TypeError:
        yield suite
        return
    for one in inner:
        yield from _cases(one)


class _Outcomes(TreeReporter):
    """Trial's own report, and beside it the outcome of each test by its name."""

    seen: dict[str, str]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.seen = {}

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.seen.setdefault(test.id(), "passed")

    def addFailure(self, test: Any, fail: Any) -> None:
        super().addFailure(test, fail)
        self.seen[test.id()] = "failed"

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        if hasattr(test, "id"):
            self.seen[test.id()] = "failed"

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)
        self.seen[test.id()] = "skipped"


def run_marked() -> list[Result]:
    """Run them; whoever did not even begin is ``not run``."""
    cases = marked()
    wanted = [(str(case.id()), sections_of(case)) for case in cases]
    runner = TrialRunner(_Outcomes, workingDirectory="_trial_temp_conformance")
    outcomes: Any = runner.run(TestSuite(cases))
    seen: dict[str, str] = outcomes.seen
    return [Result(name, sections, seen.get(name, "not run")) for name, sections in wanted]
