"""Play seeds: ``python -m tests.chaos --seeds 10000``; one again with its ladder: ``--seed N --ladder``.

The exit code is 1 when an invariant is broken, and each seed that broke one is printed with what it was.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tests.chaos.play import Run, play, play_office

_CHUNK = 25
_PROGRESS_SECONDS = 10.0

_KINDS: dict[str, Callable[[int], Run]] = {"proxy": play, "switch": play_office}

Outcome = tuple[int, list[str]]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them (default: 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--ladder", action="store_true", help="with --seed: print what happened")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: as many as fit)")
    parser.add_argument("--only", choices=("proxy", "switch"), help="worlds of this kind (default: of both)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    kinds = (options.only,) if options.only else tuple(_KINDS)
    if options.seed is not None:
        return max([_play_one(kind, options.seed, options.ladder) for kind in kinds])
    return max([_play_many(kind, options) for kind in kinds])


def _play_one(kind: str, seed: int, has_ladder: bool) -> int:
    run = _KINDS[kind](seed)
    if has_ladder:
        print(run.ladder())
    elif not run.breaches:
        print(f"seed {seed} breaks nothing with a {kind}")
    return _report(kind, [(seed, run.breaches)])


def _play_many(kind: str, options: argparse.Namespace) -> int:
    started = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    failed = _report(kind, _play_all(kind, seeds, options.jobs))
    seconds = time.monotonic() - started
    print(f"{options.seeds} seeds with a {kind} in {seconds:.1f} s, {options.seeds / seconds:.0f} a second", flush=True)
    return failed


def _play_all(kind: str, seeds: range, jobs: int) -> Iterable[Outcome]:
    outcome = partial(_outcome, kind)
    if jobs == 1:
        gc.freeze()
        yield from _shown(map(outcome, seeds), len(seeds))
        return
    with multiprocessing.Pool(jobs, gc.freeze) as pool:
        yield from _shown(pool.imap_unordered(outcome, seeds, _CHUNK), len(seeds))


def _outcome(kind: str, seed: int) -> Outcome:
    return seed, _KINDS[kind](seed).breaches


def _shown(outcomes: Iterable[Outcome], count: int) -> Iterable[Outcome]:
    """The same, with a line of progress now and then."""
    shown = time.monotonic()
    for done, outcome in enumerate(outcomes, 1):
        yield outcome
        if time.monotonic() - shown > _PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{done} of {count} seeds", flush=True)


def _report(kind: str, outcomes: Iterable[Outcome]) -> int:
    failed = 0
    for seed, breaches in outcomes:
        for breach in breaches:
            print(f"seed {seed}: {breach}", flush=True)
        failed += bool(breaches)
    if failed:
        print(f"{failed} seeds broke an invariant; see one with --only {kind} --seed N --ladder")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
