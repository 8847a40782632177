"""The sections that ask nothing of this server, read from elsewhere.txt beside this file.

A line is ``RFC NUMBER SECTION REASON``. The reason is ``user agents`` (what only a phone does), ``informative`` (a
heading, an explanation, an example) or ``elsewhere: `` and why the matter does not come up here.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["REASONS", "load_reasons"]

REASONS = ("user agents", "informative", "elsewhere: ")
_REASONS = Path(__file__).with_name("elsewhere.txt")


def load_reasons() -> dict[str, str]:
    """Why nothing is asked, by the section as a mark names it."""
    reasons: dict[str, str] = {}
    for line in _REASONS.read_text("utf-8").splitlines():
        rfc, number, section, reason = line.split(" ", 3)
        reasons[f"{rfc} {number} {section}"] = reason
    return reasons
