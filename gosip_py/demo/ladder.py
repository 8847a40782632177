"""The ladder: who sent which message to whom and when, drawn in ASCII, 80 columns wide for three parties."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = ["Step", "draw"]

_GAP = 33  # columns between two lifelines
_TIME = 10
_LONGEST = _GAP - 7  # an arrow has a head, a shaft on both sides, and a space before and after its label


@attrs.frozen
class Step:
    """One message between two neighbours; ``at`` is in seconds of any one clock."""

    at: float
    source: str
    destination: str
    label: str


def draw(parties: Sequence[str], steps: Sequence[Step]) -> str:
    """The steps in the order of their times, in milliseconds since the first. ValueError when two are no neighbours."""
    ordered = sorted(steps, key=lambda step: step.at)
    start = ordered[0].at if ordered else 0.0
    lines = [_heading(parties), *(_row(parties, step, start) for step in ordered)]
    return "\n".join(line.rstrip() for line in lines)


def _heading(parties: Sequence[str]) -> str:
    # Each name stands in the middle over its lifeline.
    line = "ms".rjust(_TIME - 3)
    for at, party in enumerate(parties):
        column = _TIME + at * (_GAP + 1) - len(party) // 2
        line = line.ljust(column) + party
    return line


def _row(parties: Sequence[str], step: Step, start: float) -> str:
    source, destination = parties.index(step.source), parties.index(step.destination)
    if abs(source - destination) != 1:
        raise ValueError(f"{step.source} and {step.destination} do not stand side by side")
    gaps = [" " * _GAP] * (len(parties) - 1)
    gaps[min(source, destination)] = _arrow(step.label, destination > source)
    moment = f"{(step.at - start) * 1000:.1f}".rjust(_TIME - 1)
    return f"{moment} |{'|'.join(gaps)}|"


def _arrow(label: str, is_rightwards: bool) -> str:
    if len(label) > _LONGEST:
        label = f"{label[: _LONGEST - 3].rstrip()}..."
    shaft = f" {label} ".center(_GAP - 1, "-")
    return f"{shaft}>" if is_rightwards else f"<{shaft}"
