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
from benchmarks.peers import CALL_USERS, FIRST_BRIDGED, Floor, Peer, PeerFailed, Server

WARM_UP_RATE = 500
WARM_UP_CALLS = 100
BINDING_RATE = 1500
HOLD_RATE = 250
BRIDGED_HOLD_RATE = 150
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


FULL = Plan(3, 1.0, bisections=3, bindings=10_000, held_calls=1000, settle_seconds=34.0, budget_seconds=900.0)
QUICK = Plan(1, 0.5, bisections=0, bindings=2000, held_calls=250, settle_seconds=0.0, budget_seconds=150.0)


def prepare_calls(load: Load, first: int) -> Tally:
    """Register the users who call, where there is a registrar, and make the first calls, which cost more."""
    registered = load.register(WARM_UP_RATE, CALL_USERS, first=first) if load.has_registrar else Tally.nothing()
    called = load.call(WARM_UP_CALLS, WARM_UP_CALLS, users=CALL_USERS, first=first)
    return registered if registered.failed else called


REGISTRATION = Workload(
    name="registration",
    title="REGISTER 401 REGISTER 200, digest, distinct users",
    unit="binding",
    prepare=lambda load: load.register(WARM_UP_RATE, CALL_USERS),
    run=lambda load, rate, calls: load.register(rate, calls),
    phases=(Phase("light", 100, 3.0), Phase("high", 1000, 4.0)),
)
CALL_PHASES = (Phase("light", 50, 3.0), Phase("middle", 250, 3.0), Phase("high", 400, 4.0))
CALL = Workload(
    name="call",
    title="INVITE 100 180 200 ACK BYE 200, proxied with Record-Route",
    unit="call",
    prepare=lambda load: prepare_calls(load, 0),
    run=lambda load, rate, calls: load.call(rate, calls, users=CALL_USERS),
    phases=CALL_PHASES,
)
BRIDGED_CALL = Workload(
    name="bridged",
    title="INVITE 100 180 200 ACK BYE 200, bridged: a dialog on either side (B2BUA)",
    unit="call",
    prepare=lambda load: prepare_calls(load, FIRST_BRIDGED),
    run=lambda load, rate, calls: load.call(rate, calls, users=CALL_USERS, first=FIRST_BRIDGED),
    phases=CALL_PHASES,
)
WORKLOADS = (REGISTRATION, CALL, BRIDGED_CALL)


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


@attrs.frozen
class BridgedMemory:
    """Resident KiB (as `ps` shows it) of a server with nothing but its users, and with idle bridged calls.

    `held_kib` when the last call has just been answered, `idle_kib` when the transactions of their INVITEs have ended.
    """

    peer: str
    calls: int
    before_kib: int
    held_kib: int
    idle_kib: int
    failed: int


@attrs.define
class Results:
    """Everything that was measured, and in `notes` what was not and why."""

    samples: list[Sample] = attrs.field(factory=list)
    ceilings: list[Ceiling] = attrs.field(factory=list)
    memories: list[Memory] = attrs.field(factory=list)
    bridged_memories: list[BridgedMemory] = attrs.field(factory=list)
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
        """All rounds, then memory, then the highest rates."""
        plan = self._plan
        for number in range(1, plan.rounds + 1):
            for workload in workloads:
                turn = partial(self._take_turn, workload=workload, number=number)
                self._each(f"round {number}, {workload.name}", 16.0 * plan.seconds_scale, turn, workload)
        if REGISTRATION in workloads or CALL in workloads:
            self._each("memory", plan.settle_seconds + 32.0, self._weigh, REGISTRATION)
        if BRIDGED_CALL in workloads:
            self._each("memory of bridged calls", plan.settle_seconds + 20.0, self._weigh_bridged, BRIDGED_CALL)
        if plan.bisections:
            for workload in workloads:
                turn = partial(self._find_ceiling, workload=workload)
                self._each(f"highest rate, {workload.name}", 20.0, turn, workload)
        return self.results

    def _each(self, turn: str, seconds: float, take: Callable[[Peer], None], workload: Workload) -> None:
        """Let the peers that serve this take this turn, as long as its seconds fit into what is left of the time."""
        for peer in self._peers:
            if peer.name in self._failed or workload.name not in peer.workloads:
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
            has_registrar = REGISTRATION.name in peer.workloads
            yield server, Load(server.port, directory, self._cores, server.callees_port, has_registrar)

    def _take_turn(self, peer: Peer, workload: Workload, number: int) -> None:
        with self._serving(peer) as (server, load):
            warmed = workload.prepare(load)
            if warmed.failed:
                self.results.notes.append(f"{peer.name}, before {workload.name}: {warmed.failed} failed")
            for phase in workload.phases:
                shortened = attrs.evolve(phase, seconds=phase.seconds * self._plan.seconds_scale)
                if phase.rate <= peer.highest_rate:
                    self.results.samples.append(measure(server, load, workload, shortened, number))

    def _find_ceiling(self, peer: Peer, workload: Workload) -> None:
        if isinstance(peer, Floor) and workload is CALL:
            return  # it answers calls itself, which says nothing of a proxy
        with self._serving(peer) as (server, load):
            workload.prepare(load)
            start = min(workload.phases[-1].rate, peer.highest_rate)
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
            called, (held,) = load.hold(HOLD_RATE, plan.held_calls, lambda: server.memory_kib, (0.0,), users=CALL_USERS)
        failed = registered.failed + called.failed
        self.results.memories.append(
            Memory(peer.name, plan.bindings, plan.held_calls, idle, loaded, settled, before, held, failed)
        )

    def _weigh_bridged(self, peer: Peer) -> None:
        plan = self._plan
        with self._serving(peer) as (server, load):
            if load.has_registrar:
                load.register(BINDING_RATE, CALL_USERS, first=FIRST_BRIDGED)
            before = server.resident_kib
            called, (held, idle) = load.hold(
                BRIDGED_HOLD_RATE,
                plan.held_calls,
                lambda: server.resident_kib,
                (0.0, plan.settle_seconds),
                users=CALL_USERS,
                first=FIRST_BRIDGED,
            )
        self.results.bridged_memories.append(
            BridgedMemory(peer.name, plan.held_calls, before, held, idle, called.failed)
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
