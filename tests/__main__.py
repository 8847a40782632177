"""Runs every test, in lanes side by side: one computes, the others wait for real peers over real sockets.

What each lane prints is what trial prints; that of the next comes when the one before is done. The last lines sum all
up in trial's own words.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import attrs

TESTS = Path(__file__).parent
WAITING = (("tests.end_to_end",), ("tests.interop",))
_CLOSING = re.compile(rb"^(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)
_RAN = re.compile(rb"^Ran ([0-9]+) tests? in ", re.MULTILINE)


@attrs.frozen
class Lane:
    """A trial of its own, with a directory of its own; ``output`` gets everything that it prints."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    @classmethod
    def start(cls, names: Iterable[str], directory: Path, options: Iterable[str]) -> Lane:
        directory.mkdir()
        output = (directory / "output").open("w+b")
        argv = [sys.executable, "-W", "error::RuntimeWarning", "-m", "twisted.trial"]
        argv += ["--temp-directory", str(directory / "trial"), *options, *names]
        return cls(subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT), output)

    def show(self) -> bytes:
        """Wait until it is done, and print what it says as it comes."""
        said = b""
        while True:
            is_over = self._ends_within(0.2)
            self.output.seek(len(said))
            fresh = self.output.read()
            said += fresh
            sys.stdout.buffer.write(fresh)
            sys.stdout.flush()
            if is_over and not fresh:
                return said

    def _ends_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def computing() -> Iterator[str]:
    """The name of every module and room of tests that is in none of the lanes of `WAITING`."""
    elsewhere = {name for lane in WAITING for name in lane}
    for path in sorted(TESTS.iterdir()):
        is_room = (path / "__init__.py").exists()
        if is_room or (path.name.startswith("test_") and path.suffix == ".py"):
            name = f"tests.{path.stem}"
            if name not in elsewhere:
                yield name


def sum_up(said: Iterable[bytes]) -> tuple[int, Counter[str]]:
    """How many tests ran, and how many came to each outcome; a lane that did not finish counts as an error."""
    ran, outcomes = 0, Counter[str]()
    for text in said:
        closing, count = _CLOSING.findall(text), _RAN.findall(text)
        if not closing or not count:
            outcomes["errors"] += 1
            continue
        ran += int(count[-1])
        for outcome in filter(None, closing[-1].decode().split(", ")):
            name, _, number = outcome.partition("=")
            outcomes[name] += int(number)
    return ran, outcomes


def main(options: list[str]) -> int:
    """Run everything; ``options`` are trial's. Returns the exit code."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gosip-tests-") as directory:
        lanes = [
            Lane.start(names, Path(directory) / str(number), options)
            for number, names in enumerate((tuple(computing()), *WAITING))
        ]
        said = [lane.show() for lane in lanes]
        has_failed = any(lane.process.returncode for lane in lanes)
    ran, outcomes = sum_up(said)
    has_failed = has_failed or outcomes["errors"] > 0
    print(f"\nRan {ran} tests in {time.monotonic() - start:.3f}s\n")
    figures = ", ".join(f"{name}={number}" for name, number in sorted(outcomes.items()))
    print(f"{'FAILED' if has_failed else 'PASSED'} ({figures})")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
