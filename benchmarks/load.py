"""Runs SIPp as registering phones and as both ends of calls, and reads what it counted."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import attrs

from benchmarks.measure import Cores, cpu_seconds, pinned

LOOPBACK = "127.0.0.1"
DOMAIN = "sip.test"
PASSWORD = "correct-horse"
SCENARIOS = Path(__file__).with_name("scenarios")
MAX_CALLS_OPEN = 15000
"""Above this SIPp asks for more file descriptors than it gets, although all calls share one socket."""
GRACE_SECONDS = 6.0
"""How long after its nominal end a run may still be retransmitting."""


@attrs.frozen
class Tally:
    """What one SIPp run counted. `busy` is the share of a processor that the load generators used."""

    asked: int
    created: int
    succeeded: int
    retransmissions: int
    seconds: float
    busy: float

    @classmethod
    def nothing(cls) -> Tally:
        """Of no run at all."""
        return cls(asked=0, created=0, succeeded=0, retransmissions=0, seconds=0.0, busy=0.0)

    @property
    def failed(self) -> int:
        """Calls that were asked for and did not end well, those never begun included."""
        return self.asked - self.succeeded

    @property
    def is_clean(self) -> bool:
        """Every call ended well and nothing had to be sent twice."""
        return self.failed == 0 and self.retransmissions == 0


def read_counts(statistics: Path) -> dict[str, str]:
    """The last line of SIPp's -trace_stat file by column; empty when it wrote none."""
    try:
        with statistics.open(encoding="ascii", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
    except FileNotFoundError:
        return {}
    return {name: value for name, value in rows[-1].items() if name} if rows else {}


def count(counts: dict[str, str], name: str) -> int:
    """One counter, 0 when SIPp ended before it wrote any."""
    return int(counts.get(name) or 0)


def free_port() -> int:
    """A loopback port that neither UDP nor TCP uses now."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as stream:
            datagram.bind((LOOPBACK, 0))
            port = int(datagram.getsockname()[1])
            try:
                stream.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise OSError("no free loopback port")


def is_bound(port: int) -> bool:
    """Whether somebody holds this UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def user(number: int) -> str:
    """The user name of this number."""
    return f"u{number:05d}"


def write_rows(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """A SIPp injection file that is read line by line, from the top again at its end."""
    path.write_text("SEQUENTIAL\n" + "".join(f"{first};{second}\n" for first, second in rows), encoding="ascii")
    return path


@attrs.frozen
class Load:
    """SIPp against one server, its files in `directory`; the callees listen on `contact_port` while calls are made."""

    server_port: int
    directory: Path
    cores: Cores
    contact_port: int
    has_registrar: bool

    def register(self, rate: int, calls: int, *, first: int = 0) -> Tally:
        """Register as many users from the number `first` on, `rate` a second."""
        names = [user(first + number) for number in range(calls)]
        rows = ((name, f"[authentication username={name} password={PASSWORD}]") for name in names)
        injected = write_rows(self.directory / "users.csv", rows)
        # Left to itself SIPp signs for its remote address instead of the Request-URI (RFC 7616 3.4.6: a 400).
        extra = ["-inf", str(injected), "-key", "contact_port", str(self.contact_port), "-auth_uri", DOMAIN]
        return self._run("register", rate, calls, extra, GRACE_SECONDS)

    def call(self, rate: int, calls: int, *, users: int, first: int = 0, hold_ms: int = 0) -> Tally:
        """Make calls between `users` users from `first` on, who are registered; each is held for `hold_ms` ms."""
        rows = ((user(first + number), user(first + users - 1 - number)) for number in range(users))
        injected = write_rows(self.directory / "calls.csv", rows)
        # sippy's threads may send the 180 after the 200; who gets it late must not hang up for that.
        extra = ["-inf", str(injected), "-d", str(hold_ms), "-default_behaviors", "all,-abortunexp"]
        with Callees(self, calls) as callees:
            tally = self._run("call_uac", rate, calls, extra, GRACE_SECONDS + hold_ms / 1000, callees.pid)
        return attrs.evolve(tally, retransmissions=tally.retransmissions + callees.retransmissions)

    def hold(
        self, rate: int, calls: int, read: Callable[[], int], after: Sequence[float], *, users: int, first: int = 0
    ) -> tuple[Tally, list[int]]:
        """Make calls, `read` something so many seconds after all of them stand, and hang up."""
        up = calls / rate + 1.0
        values: list[int] = []
        timers = [threading.Timer(up + seconds, lambda: values.append(read())) for seconds in after]
        for timer in timers:
            timer.start()
        try:
            hold_ms = round(1000 * (up + max(after) + 1.0))
            tally = self.call(rate, calls, users=users, first=first, hold_ms=hold_ms)
        finally:
            for timer in timers:
                timer.join()
        return tally, values

    def command(self, scenario: str, statistics: Path, extra: list[str]) -> list[str]:
        """The SIPp command of a scenario, pinned to the load's processor."""
        sipp = shutil.which("sipp") or "sipp"
        argv = [sipp, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", LOOPBACK, "-nostdin", "-key", "domain", DOMAIN]
        argv += ["-trace_stat", "-stf", str(statistics), "-fd", "1", "-l", str(MAX_CALLS_OPEN), *extra]
        return pinned(self.cores.load, argv, shutil.which("taskset"))

    def _run(self, scenario: str, rate: int, calls: int, extra: list[str], allowance: float, callees: int = 0) -> Tally:
        statistics = self.directory / f"{scenario}.csv"
        statistics.unlink(missing_ok=True)
        argv = self.command(scenario, statistics, ["-r", str(rate), "-m", str(calls), "-p", str(free_port()), *extra])
        used, began = generator_seconds(callees), time.monotonic()
        finish(spawn([*argv, f"{LOOPBACK}:{self.server_port}"], self.directory), calls / rate + allowance)
        seconds = time.monotonic() - began
        counts = read_counts(statistics)
        return Tally(
            asked=calls,
            created=count(counts, "TotalCallCreated"),
            succeeded=count(counts, "SuccessfulCall(C)"),
            retransmissions=count(counts, "Retransmissions(C)"),
            seconds=seconds,
            busy=(generator_seconds(callees) - used) / seconds,
        )


class Callees:
    """SIPp answering calls, for as long as the context lasts."""

    def __init__(self, load: Load, calls: int) -> None:
        self._statistics = load.directory / "call_uas.csv"
        self._statistics.unlink(missing_ok=True)
        extra = ["-p", str(load.contact_port), "-m", str(calls)]
        self._process = spawn(load.command("call_uas", self._statistics, extra), load.directory)
        self.pid = self._process.pid
        self.retransmissions = 0
        deadline = time.monotonic() + GRACE_SECONDS
        while not is_bound(load.contact_port) and time.monotonic() < deadline:
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # SIGUSR1 lets SIPp end its calls and write its last line; it is gone already when all calls came.
        self._process.send_signal(signal.SIGUSR1)
        finish(self._process, 2.0)
        self.retransmissions = count(read_counts(self._statistics), "Retransmissions(C)")


def spawn(argv: list[str], directory: Path) -> subprocess.Popen[bytes]:
    """Start a program whose screen nobody looks at; curses still wants to know a terminal."""
    environment = {**os.environ, "TERM": "xterm"}
    return subprocess.Popen(
        argv,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for the process to end, and end it when it does not, or when we are told to end ourselves."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass  # what it did not do shows in its statistics
    finally:
        process.kill()
        process.wait()


def generator_seconds(callees: int) -> float:
    """Processor time of the load generators: those that have ended, and the callees that still run."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + (cpu_seconds(callees) if callees else 0.0)
