"""The command line of the benchmark, and its table."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.campaign import (
    BRIDGED_CALL,
    CALL,
    FULL,
    QUICK,
    WORKLOADS,
    BridgedMemory,
    Campaign,
    Memory,
    Phase,
    Plan,
    Results,
    Sample,
    Workload,
)
from benchmarks.installing import Installed
from benchmarks.peers import SEEDED_USERS, Floor, Gosip, Kamailio, Peer, Sippy

OURS = "gosip"
OTHER_B2BUA = "sippy"
SIPPY_VERSION = "2.5.0"
MOST_OF_SIPPY = 0.5
MOST_OF_PROXIED = 2.2
MOST_RESIDENT_MB = 150
"""What a bridged call may cost as a multiple of sippy's and of our proxied one, and a thousand idle ones in RSS."""
TOLERATED_FAILURES = 0.001
NOTHING = "-"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="The cost of the server beside its peers, on loopback."
    )
    parser.add_argument("--quick", action="store_true", help="one short round, no search for the highest rate")
    parser.add_argument(
        "--only",
        action="append",
        choices=[workload.name for workload in WORKLOADS],
        help="this workload (repeatable; default all)",
    )
    parser.add_argument("--peer", action="append", metavar="NAME", help="measure this one (repeatable; default all)")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how many rounds (default {FULL.rounds})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    return parser.parse_args(argv)


def main(argv: Sequence[str] = sys.argv[1:]) -> int:
    """Measure, print, and return 0 when ours was measured and no more than 0.1 % of any load failed."""
    asked = arguments(argv)
    if shutil.which("sipp") is None:
        print("SIPp makes the load and is not installed (apt-get install sip-tester)", file=sys.stderr)
        return 2
    # Leaving by an exception ends the server and the load too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan = QUICK if asked.quick else FULL
    plan = attrs.evolve(plan, rounds=asked.rounds) if asked.rounds else plan
    workloads = [workload for workload in WORKLOADS if not asked.only or workload.name in asked.only]
    with tempfile.TemporaryDirectory(prefix="gosip-bench-") as room:
        candidates: list[Peer] = [
            Gosip(Path(room) / "seed.sqlite"),
            Kamailio(),
            Floor(),
            Sippy(Installed("sippy", SIPPY_VERSION)),
        ]
        wanted = [peer for peer in candidates if not asked.peer or peer.name in asked.peer]
        present = [peer for peer in wanted if not peer.absence()]
        absent = [f"{peer.name} is absent: {peer.absence()}" for peer in wanted if peer.absence()]
        campaign = Campaign(present, plan, Path(room), lambda line: print(f"  {line}", file=sys.stderr, flush=True))
        results = campaign.run(workloads)
    results.notes.extend(absent)
    print(report(results, workloads, plan))
    if asked.json:
        asked.json.write_text(json.dumps(everything(results, plan), indent=2) + "\n", encoding="utf-8")
    has_ours = any(sample.peer == OURS for sample in results.samples)
    return 0 if has_ours and not any(has_failed(results.samples, peer.name) for peer in present) else 1


def report(results: Results, workloads: Sequence[Workload], plan: Plan) -> str:
    """The tables of all workloads, memory, and the notes."""
    parts = [f"{platform.platform()}, Python {platform.python_version()}, medians of {plan.rounds} round(s)"]
    parts += [workload_table(results, workload) for workload in workloads]
    parts += [bridged_table(results)] if BRIDGED_CALL in workloads else []
    parts += [memory_table(results.memories, plan)] if results.memories else []
    parts += [bridged_memory_table(results.bridged_memories, plan)] if results.bridged_memories else []
    parts += ["\n".join(f"! {note}" for note in results.notes)] if results.notes else []
    return "\n\n".join(parts)


def workload_table(results: Results, workload: Workload) -> str:
    """CPU per operation, ours as a multiple of each peer, the highest rate, what failed."""
    samples = [sample for sample in results.samples if sample.workload == workload.name]
    names = list(dict.fromkeys(sample.peer for sample in samples))
    head = ["", *(f"ms at {phase.rate}/s" for phase in workload.phases)]
    head += [f"ours/peer {phase.name}" for phase in workload.phases]
    rows = [[*head, "highest rate", "retransmitted", "failed"]]
    for name in names:
        own = [sample for sample in samples if sample.peer == name]
        cells = [name, *(cost(samples, name, phase) for phase in workload.phases)]
        cells += [ratio(samples, name, phase) for phase in workload.phases]
        repeated = sum(sample.tally.retransmissions for sample in own)
        rows.append([*cells, highest(results, workload, name), str(repeated), failures(samples, name)])
    return f"{workload.name}: {workload.title}; server CPU per operation\n{aligned(rows)}"


def bridged_table(results: Results) -> str:
    """What a bridged call costs, as a multiple of what it may be compared with."""
    bridged = [sample for sample in results.samples if sample.workload == BRIDGED_CALL.name]
    ours = [sample for sample in bridged if sample.peer == OURS]
    proxied = [sample for sample in results.samples if (sample.peer, sample.workload) == (OURS, CALL.name)]
    rows = [["", *(f"{phase.rate}/s" for phase in BRIDGED_CALL.phases), "goal", ""]]
    for name, others, most in (
        ("bridged / sippy", [sample for sample in bridged if sample.peer == OTHER_B2BUA], MOST_OF_SIPPY),
        ("bridged / proxied", proxied, MOST_OF_PROXIED),
    ):
        values = [quotient(ours, others, phase) for phase in BRIDGED_CALL.phases]
        by_rate = {f"{phase.rate}/s": value for phase, value in zip(BRIDGED_CALL.phases, values, strict=True)}
        rows.append([name, *map(two_digits, values), f"<= {most}", judged(by_rate, most)])
    return f"a bridged call as a multiple, server CPU\n{aligned(rows)}"


def bridged_memory_table(memories: Sequence[BridgedMemory], plan: Plan) -> str:
    """Resident memory with idle bridged calls; a MB has 1,000,000 octets."""
    rows = [["", "before MB", "calls up MB", f"{plan.settle_seconds:.0f} s later MB", "KiB/call", "failed", "goal", ""]]
    for memory in memories:
        sizes = [f"{megabytes(kib):.1f}" for kib in (memory.before_kib, memory.held_kib, memory.idle_kib)]
        row = [memory.peer, *sizes, f"{(memory.idle_kib - memory.before_kib) / memory.calls:.2f}", str(memory.failed)]
        is_ours = memory.peer == OURS
        goal = (
            [f"< {MOST_RESIDENT_MB}", judged({"": megabytes(memory.idle_kib)}, MOST_RESIDENT_MB)]
            if is_ours
            else ["", ""]
        )
        rows.append([*row, *goal])
    title = f"memory: {plan.held_calls} bridged calls held, resident (RSS); ours with {SEEDED_USERS} accounts"
    return f"{title}\n{aligned(rows)}"


def judged(values: Mapping[str, float | None], most: float) -> str:
    """Whether all that was measured is as it should be, and where it is not."""
    measured = {name: value for name, value in values.items() if value is not None}
    missed = [name for name, value in measured.items() if value > most]
    if not measured:
        return "not measured"
    return f"MISSED {', '.join(missed)}" if missed else "met"


def megabytes(kib: int) -> float:
    """KiB as MB."""
    return kib * 1024 / 1e6


def memory_table(memories: Sequence[Memory], plan: Plan) -> str:
    """Resident memory in all, and per binding and call."""
    head = [
        "",
        "idle MiB",
        "loaded MiB",
        "settled MiB",
        "KiB/binding",
        "before calls MiB",
        "calls held MiB",
        "KiB/call",
    ]
    rows = [[*head, "failed"]]
    for memory in memories:
        bindings = [mebibytes(kib) for kib in (memory.idle_kib, memory.loaded_kib, memory.settled_kib)]
        calls = [mebibytes(kib) for kib in (memory.before_calls_kib, memory.held_kib)]
        cells = [memory.peer, *bindings, f"{memory.kib_per_binding:.2f}", *calls, f"{memory.kib_per_call:.2f}"]
        rows.append([*cells, str(memory.failed)])
    later = f"read again {plan.settle_seconds:.0f} s later"
    title = f"memory: {plan.bindings} bindings, {later}; on a fresh server {plan.held_calls} calls held"
    return f"{title}\n{aligned(rows)}"


def mebibytes(kib: int) -> str:
    """KiB as MiB with one decimal."""
    return f"{kib / 1024:.1f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns under their heads: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def costs(samples: Sequence[Sample], phase: Phase) -> dict[int, float]:
    """CPU milliseconds by round; a round in which nothing succeeded has no cost."""
    own = [sample for sample in samples if sample.phase == phase.name]
    return {sample.round: sample.cpu_ms for sample in own if sample.tally.succeeded}


def cost(samples: Sequence[Sample], name: str, phase: Phase) -> str:
    """The median of the rounds of this peer."""
    values = costs([sample for sample in samples if sample.peer == name], phase).values()
    return f"{statistics.median(values):.3f}" if values else NOTHING


def quotient(ones: Sequence[Sample], others: Sequence[Sample], phase: Phase) -> float | None:
    """How many times the CPU of the others the ones take; None when there is nothing to compare.

    The median of each round's own ratio, since rounds differ more than ratios do.
    """
    above, below = costs(ones, phase), costs(others, phase)
    values = [above[number] / below[number] for number in above if below.get(number)]
    return statistics.median(values) if values else None


def two_digits(value: float | None) -> str:
    """A ratio as text."""
    return NOTHING if value is None else f"{value:.2f}"


def ratio(samples: Sequence[Sample], name: str, phase: Phase) -> str:
    """How many times the peer's CPU ours takes."""
    ours = [sample for sample in samples if sample.peer == OURS]
    return two_digits(quotient(ours, [sample for sample in samples if sample.peer == name], phase))


def highest(results: Results, workload: Workload, name: str) -> str:
    """The highest clean rate; ">=" when the load generator gave way before the server."""
    for found in results.ceilings:
        if (found.peer, found.workload) == (name, workload.name):
            return f"{found.rate}/s" if found.limit == "server" else f">={found.rate}/s"
    return NOTHING


def has_failed(samples: Sequence[Sample], name: str) -> bool:
    """Whether more than the tolerated share of this peer's operations failed."""
    own = [sample.tally for sample in samples if sample.peer == name]
    return sum(tally.failed for tally in own) > TOLERATED_FAILURES * sum(tally.asked for tally in own)


def failures(samples: Sequence[Sample], name: str) -> str:
    """How many operations failed, marked when they are too many to believe the row."""
    own = [sample.tally for sample in samples if sample.peer == name]
    mark = " (!)" if has_failed(samples, name) else ""
    return f"{sum(tally.failed for tally in own)} of {sum(tally.asked for tally in own)}{mark}"


def everything(results: Results, plan: Plan) -> dict[str, object]:
    """All samples as they were, for a machine to read."""
    machine = {"platform": platform.platform(), "python": platform.python_version()}
    return {**machine, "plan": attrs.asdict(plan), **attrs.asdict(results)}


if __name__ == "__main__":
    sys.exit(main())
