"""The sections of the RFCs that docs/conformance.md lists: numbers and titles, read from outline.txt beside this file.

A line is ``RFC NUMBER TITLE`` or ``SECTION TITLE`` below it. ``python -m tests.conformance.outline DIRECTORY`` makes it
anew from the texts of the RFCs (rfcNNNN.txt).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["RFCS", "Outline", "load"]

# What is claimed, and of RFC 3261 which sections; the rest of a text is introduction, grammar and references.
RFCS = {
    3261: ("The Session Initiation Protocol", range(8, 19)),
    3262: ("Reliability of provisional responses (PRACK)", range(3, 6)),
    3263: ("Locating SIP servers", range(4, 6)),
    3264: ("Offer and answer", range(5, 9)),
    3311: ("UPDATE", range(4, 6)),
    3327: ("Path", range(4, 6)),
    3515: ("REFER", range(2, 4)),
    3581: ("rport", range(3, 5)),
    3608: ("Service-Route", range(4, 7)),
    3891: ("Replaces", range(3, 7)),
    3892: ("Referred-By", range(2, 4)),
    3911: ("Join", range(3, 7)),
    4028: ("Session timers", range(4, 12)),
    4235: ("Dialog events", range(3, 5)),
    4320: ("Non-INVITE transactions", range(4, 5)),
    4488: ("REFER without a subscription", range(3, 7)),
    5359: ("Call flows of services", range(2, 3)),
    5393: ("Loops and amplification", range(4, 6)),
    5589: ("Transfer", range(3, 13)),
    5626: ("Outbound", range(4, 9)),
    5627: ("GRUU", range(3, 7)),
    6026: ("2xx to INVITE", range(7, 9)),
    6337: ("Use of offer and answer", range(2, 6)),
    6665: ("Event notification", range(4, 6)),
    7118: ("WebSocket", range(3, 9)),
    8760: ("Digest algorithms", range(2, 3)),
}

_OUTLINE = Path(__file__).with_name("outline.txt")
# Text is indented and headings are not; a table of contents ends in page numbers.
_HEADING = re.compile(r"([0-9]+(?:\.[0-9]+)*)\.? +(\S.*)\Z")
_CONTENTS = re.compile(r".*(?:\. +|[. ]\. *)[0-9]+\Z")

Outline = dict[int, dict[str, str]]


def load() -> Outline:
    """Titles by section, by RFC, in the order of the texts."""
    outline: Outline = {}
    sections: dict[str, str] = {}
    for line in _OUTLINE.read_text("utf-8").splitlines():
        number, _, title = line.partition(" ")
        if number == "RFC":
            sections = outline[int(title)] = {}
        else:
            sections[number] = title
    return outline


def read(text: str, chapters: range) -> dict[str, str]:
    """The headings of these chapters."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading is None or _CONTENTS.match(line) is not None:
            continue
        if int(heading[1].partition(".")[0]) in chapters and heading[1] not in found:
            found[heading[1]] = " ".join(heading[2].split())
    return found


def main(directory: str) -> None:
    lines: list[str] = []
    for rfc, (_, chapters) in RFCS.items():
        lines.append(f"RFC {rfc}")
        sections = read((Path(directory) / f"rfc{rfc}.txt").read_text("utf-8"), chapters)
        lines += [f"{number} {title}" for number, title in sections.items()]
    _OUTLINE.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
