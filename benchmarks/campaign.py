"""What is measured, in which order.

Peers take turns, round after round, so that a slow minute of the machine meets all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs

from benchmarks.load import Load, Tally
from benchmarks.measure import Cores
from benchmarks.peers import Floor, Peer, PeerFailed, Server

WARM_UP_RATE = 500
CALL_USERS = 500
BINDING_RATE = 1500
HOLD_RATE = 250
PROBE_SECONDS = 1.5
MAX_RATE = 32_000
"""Where the search for the highest rate ends even if nothing gave way."""


@attrs.frozen
class Phase:
    """A rate in operations per second, held for so many seconds."""

    name: str
    rate: int
    seconds: float

    @property
    def operations(self) -> int:
        """How many operations that makes."""
        return round(self.rate * self.seconds)


@attrs.frozen
class Workload:
    """One kind of operation. `prepare` warms the server up and leaves it with what `run` needs."""

    name: str
    title: str
    unit: str
    prepare: Callable[[Load], Tally]
    run: Callable[[Load, int, int], Tally]
    phases: Sequence[Phase]


@attrs.frozen
class Plan:
    """How much of it: `settle_seconds` lets transactions end (RFC 3261: up to 32 s) before memory is read."""

    rounds: int
    seconds_scale: float
    bisections: int
    bindings: int
    held_calls: int
    settle_seconds: float
    budget_seconds: float


FULL = Plan(3, 1.0, bisections=3, bindings=10_000, held_calls=1000, settle_seconds=34.0, budget_seconds=470.0)
QUICK = Plan(1, 0.5, bisections=0, bindings=2000, held_calls=250, settle_seconds=0.0, budget_seconds=85.0)

REGISTRATION = Workload(
    name="registration",
    title="REGISTER 401 REGISTER 200, digest, distinct users",
    unit="binding",
    prepare=lambda load: load.register(WARM_UP_RATE, CALL_USERS),
    run=lambda load, rate, calls: load.register(rate, calls),
    phases=(Phase("light", 100, 3.0), Phase("high", 1000, 4.0)),
)
CALL = Workload(
    name="call",
    title="INVITE 100 180 200 ACK BYE 200, proxied with Record-Route",
    unit="call",
    prepare=lambda load: load.register(WARM_UP_RATE, CALL_USERS),
    run=lambda load, rate, calls: load.call(rate, calls, users=CALL_USERS),
    phases=(Phase("light", 50, 3.0), Phase("high", 400, 4.0)),
)
WORKLOADS = (REGISTRATION, CALL)


@attrs.frozen
class Sample:
    """The server's CPU time for one phase of one round."""

    peer: str
    workload: str
    phase: str
    round: int
    cpu_ms: float
    tally: Tally


@attrs.frozen
class Ceiling:
    """The highest rate without a retransmission; `limit` is who gave way above it: server, load, or nobody."""

    peer: str
    workload: str
    rate: int
    limit: str


@attrs.frozen
class Memory:
    """Resident KiB: nothing registered, all bindings there, their transactions ended.

    Then a fresh server's before and while calls are held: in the one that had the bindings, freed memory would be used
    again and the calls seem to take none.
    """

    peer: str
    bindings: int
    calls: int
    idle_kib: int
    loaded_kib: int
    settled_kib: int
    before_calls_kib: int
    held_kib: int
    failed: int

    @property
    def kib_per_binding(self) -> float:
        """What a binding takes once its transactions are gone."""
        return (self.settled_kib - self.idle_kib) / self.bindings

    @property
    def kib_per_call(self) -> float:
        """What a held call takes, its transactions included."""
        return (self.held_kib - self.before_calls_kib) / self.calls


@attrs.define
class Results:
    """Everything that was measured, and in `notes` what was not and why."""

    samples: list[Sample] = attrs.field(factory=list)
    ceilings: list[Ceiling] = attrs.field(factory=list)
    memories: list[Memory] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)


class Campaign:
    """Runs a plan over the peers that are present, each server alone on the machine."""

    def __init__(self, peers: Sequence[Peer], plan: Plan, directory: Path, say: Callable[[str], None]) -> None:
        self._peers = peers
        self._plan = plan
        self._directory = directory
        self._say = say
        self._cores = Cores.available()
        self._turns = 0
        self._deadline = time.monotonic() + plan.budget_seconds
        self._failed: set[str] = set()
        self.results = Results()

    def run(self, workloads: Sequence[Workload]) -> Results:
        """All rounds, then the highest rates, then memory."""
        plan = self._plan
        for number in range(1, plan.rounds + 1):
            for workload in workloads:
                turn = partial(self._take_turn, workload=workload, number=number)
                self._each(f"round {number}, {workload.name}", 12.0 * plan.seconds_scale, turn)
        self._each("memory", plan.settle_seconds + 32.0, self._weigh)
        if plan.bisections:
            for workload in workloads:
                self._each(f"highest rate, {workload.name}", 20.0, partial(self._find_ceiling, workload=workload))
        return self.results

    def _each(self, turn: str, seconds: float, take: Callable[[Peer], None]) -> None:
        """Let the peers that start take this turn, as long as its seconds fit into what is left of the time."""
        for peer in self._peers:
            if peer.name in self._failed:
                continue
            if time.monotonic() + seconds > self._deadline:
                self.results.notes.append(f"{turn}: {peer.name} left out, the time was up")
                continue
            self._say(f"{turn}: {peer.name}")
            try:
                take(peer)
            except PeerFailed as failure:
                self._failed.add(peer.name)
                self.results.notes.append(str(failure))

    @contextmanager
    def _serving(self, peer: Peer) -> Iterator[tuple[Server, Load]]:
        self._turns += 1
        directory = self._directory / f"{self._turns:03d}-{peer.name}"
        with Server(peer, directory, self._cores) as server:
            yield server, Load(server.port, directory, self._cores)

    def _take_turn(self, peer: Peer, workload: Workload, number: int) -> None:
        with self._serving(peer) as (server, load):
            warmed = workload.prepare(load)
            if warmed.failed:
                self.results.notes.append(f"{peer.name}, before {workload.name}: {warmed.failed} registrations failed")
            for phase in workload.phases:
                shortened = attrs.evolve(phase, seconds=phase.seconds * self._plan.seconds_scale)
                self.results.samples.append(measure(server, load, workload, shortened, number))

    def _find_ceiling(self, peer: Peer, workload: Workload) -> None:
        if isinstance(peer, Floor) and workload is CALL:
            return  # it answers calls itself, which says nothing of a proxy
        with self._serving(peer) as (server, load):
            workload.prepare(load)
            start = workload.phases[-1].rate
            rate, limit = ceiling(lambda rate: probe(server, load, workload, rate), start, self._plan.bisections)
            self.results.ceilings.append(Ceiling(peer.name, workload.name, rate, limit))

    def _weigh(self, peer: Peer) -> None:
        if isinstance(peer, Floor):
            return  # it keeps nothing
        plan = self._plan
        with self._serving(peer) as (server, load):
            idle = server.memory_kib
            registered = load.register(BINDING_RATE, plan.bindings)
            loaded = server.memory_kib
            time.sleep(plan.settle_seconds)
            settled = server.memory_kib
        with self._serving(peer) as (server, load):
            load.register(BINDING_RATE, CALL_USERS)
            before = server.memory_kib
            called, held = load.hold(HOLD_RATE, plan.held_calls, lambda: server.memory_kib, users=CALL_USERS)
        failed = registered.failed + called.failed
        self.results.memories.append(
            Memory(peer.name, plan.bindings, plan.held_calls, idle, loaded, settled, before, held, failed)
        )


def measure(server: Server, load: Load, workload: Workload, phase: Phase, number: int) -> Sample:
    """One phase on a server that has come to rest."""
    server.settle()
    before = server.cpu_seconds
    tally = workload.run(load, phase.rate, phase.operations)
    used = server.cpu_seconds - before
    return Sample(server.name, workload.name, phase.name, number, 1000 * used / max(1, tally.succeeded), tally)


def probe(server: Server, load: Load, workload: Workload, rate: int) -> str:
    """Who gives way at this rate: "" when nobody does, else "server" or "load". A first failure is tried again."""
    verdict = ""
    for _ in range(2):
        server.settle()
        tally = workload.run(load, rate, round(rate * PROBE_SECONDS))
        if tally.busy > 0.9 or (tally.is_clean and tally.seconds > 1.3 * PROBE_SECONDS):
            verdict = "load"
        elif tally.is_clean:
            return ""
        else:
            verdict = "server"
    return verdict


def ceiling(try_rate: Callable[[int], str], start: int, bisections: int) -> tuple[int, str]:
    """The highest rate that `try_rate` does not complain about, and of whom it complains above.

    The rate is 0 when `start` is already too much.
    """
    good, rate, verdict = 0, start, try_rate(start)
    while not verdict and rate < MAX_RATE:
        good, rate = rate, rate * 2
        verdict = try_rate(rate)
    if not verdict:
        return rate, "nobody"
    bad = rate
    for _ in range(bisections):
        rate = (good + bad) // 2
        complaint = try_rate(rate)
        if complaint:
            bad, verdict = rate, complaint
        else:
            good = rate
    return good, verdict
