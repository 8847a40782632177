"""Play seeds: ``python -m tests.chaos --seeds 10000``; one again with its ladder: ``--seed N --ladder``.

The exit code is 1 when an invariant is broken, and each seed that broke one is printed with what it was.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence

from tests.chaos.play import play

_CHUNK = 25
_PROGRESS_SECONDS = 10.0

Outcome = tuple[int, list[str]]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them (default: 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--ladder", action="store_true", help="with --seed: print what happened")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    if options.seed is not None:
        run = play(options.seed)
        if options.ladder:
            print(run.ladder())
        elif not run.breaches:
            print(f"seed {options.seed} breaks nothing")
        return _report([(options.seed, run.breaches)])
    started = time.monotonic()
    failed = _report(_play_all(range(options.first, options.first + options.seeds), options.jobs))
    seconds = time.monotonic() - started
    print(f"{options.seeds} seeds in {seconds:.1f} s, {options.seeds / seconds:.0f} a second")
    return failed


def _play_all(seeds: range, jobs: int) -> Iterable[Outcome]:
    if jobs == 1:
        gc.freeze()
        yield from _shown(map(_outcome, seeds), len(seeds))
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from _shown(pool.imap_unordered(_outcome, seeds, _CHUNK), len(seeds))


def _outcome(seed: int) -> Outcome:
    return seed, play(seed).breaches


def _shown(outcomes: Iterable[Outcome], count: int) -> Iterable[Outcome]:
    """The same, with a line of progress now and then."""
    shown = time.monotonic()
    for done, outcome in enumerate(outcomes, 1):
        yield outcome
        if time.monotonic() - shown > _PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{done} of {count} seeds", flush=True)


def _report(outcomes: Iterable[Outcome]) -> int:
    failed = 0
    for seed, breaches in outcomes:
        for breach in breaches:
            print(f"seed {seed}: {breach}", flush=True)
        failed += bool(breaches)
    if failed:
        print(f"{failed} seeds broke an invariant; see one with --seed N --ladder")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
