"""Writes docs/conformance.md: for each section of each RFC which tests show it, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conformance.elsewhere import load_reasons
from tests.conformance.outline import RFCS, load
from tests.conformance.run import Result

__all__ = ["PAGE", "render"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"

_HEAD = """\
# Conformance

Written by `make conformance` from one run of the tests that carry a mark, and from nothing else.

A section without a test says why. *user agents*: only a phone can do that, or a switch that is one. *informative*: a
heading, an explanation or an example. *elsewhere*: the matter does not come up here, for the reason given. *none*: it
is asked of a server like this one, and no test shows it. The table below counts what is shown of what is asked.
"""

_Shown = dict[str, list[Result]]


def render(results: Sequence[Result]) -> str:
    """The whole page."""
    shown: _Shown = {}
    for result in results:
        for section in result.sections:
            shown.setdefault(section, []).append(result)
    lines = [_HEAD, *_summary(shown)]
    for rfc, (title, _) in RFCS.items():
        lines += _table(rfc, title, shown)
    lines += _others(shown)
    return "\n".join(lines).rstrip() + "\n"


def _summary(shown: _Shown) -> Iterator[str]:
    outline, reasons = load(), load_reasons()
    yield "| RFC | what | sections shown | tests |"
    yield "|---|---|---|---|"
    for rfc, (title, _) in RFCS.items():
        names = [_name(rfc, section) for section in outline[rfc]]
        covered = [name for name in names if name in shown]
        asked = [name for name in names if name in shown or name not in reasons]
        tests = {result.test for name in covered for result in shown[name]}
        yield f"| {rfc} | {title} | {len(covered)} of {len(asked)} | {len(tests)} |"
    yield ""


def _table(rfc: int, title: str, shown: _Shown) -> Iterator[str]:
    reasons = load_reasons()
    yield f"## RFC {rfc}: {title}\n"
    yield "| section | tests | result |"
    yield "|---|---|---|"
    for section, heading in load()[rfc].items():
        name = _name(rfc, section)
        if name in shown or name not in reasons:
            yield _row(f"{section} {heading}", shown.get(name, []))
        else:
            yield f"| {section} {heading} | *{reasons[name]}* | |"
    yield ""


def _others(shown: _Shown) -> Iterator[str]:
    listed = {_name(rfc, section) for rfc, sections in load().items() for section in sections}
    rest = sorted(set(shown) - listed, key=_order)
    if rest:
        yield "## What tests show of other texts\n"
        yield "| section | tests | result |"
        yield "|---|---|---|"
        for section in rest:
            yield _row(section, shown[section])


def _row(section: str, results: list[Result]) -> str:
    if not results:
        return f"| {section} | none | |"
    bad = [result for result in results if result.outcome != "passed"]
    verdict = "passed" if not bad else ", ".join(f"{_short(result.test)} {result.outcome}" for result in bad)
    # The same test over another transport is a class of its own, and bears the same name.
    names = dict.fromkeys(f"`{_short(result.test)}`" for result in results)
    return f"| {section} | {', '.join(names)} | {verdict} |"


def _short(test: str) -> str:
    """``proxy.test_fork.test_the_losers_are_cancelled``: without what every name begins with, and without the class."""
    parts = test.removeprefix("tests.").split(".")
    return ".".join((*parts[:-2], parts[-1]))


def _name(rfc: int, section: str) -> str:
    return f"RFC {rfc} {section}"


def _order(name: str) -> tuple[int, list[int]]:
    _, rfc, *section = name.split(" ")
    numbers = section[0].split(".") if section else []
    return int(rfc), [int(number) if number.isdigit() else 1000 + ord(number[0]) for number in numbers]
