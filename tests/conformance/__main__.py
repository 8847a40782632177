"""Runs every marked test and writes docs/conformance.md from what came of it.

``python -m tests.conformance`` runs and prints a summary; ``--write`` writes the page too. Exit code 1 when a marked
test failed or was skipped.
"""

from __future__ import annotations

import sys

from tests.conformance.page import PAGE, render
from tests.conformance.run import run_marked


def main(arguments: list[str]) -> int:
    results = run_marked()
    bad = [result for result in results if result.outcome != "passed"]
    for result in bad:
        print(f"{result.outcome}: {result.test}")
    print(f"{len(results)} marked tests, {len(bad)} of them not passed")
    if "--write" in arguments:
        PAGE.write_text(render(results), "utf-8")
        print(f"{PAGE.name} is written")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
