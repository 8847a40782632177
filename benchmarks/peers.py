"""The servers that are measured: each knows whether it is here and how it is started; `Server` is one that runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

import attrs

from benchmarks.installing import Installed
from benchmarks.load import DOMAIN, LOOPBACK, PASSWORD, free_port
from benchmarks.measure import Cores, cpu_seconds, memory_kib, pinned, resident_kib

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 20.0
SEEDED_USERS = 10_000
CALL_USERS = 500
"""Who call each other: the first of the users through the proxy, the last through the B2BUA."""
FIRST_BRIDGED = SEEDED_USERS - CALL_USERS
ANY_RATE = 1_000_000

KAMAILIO_CONFIG = Path(__file__).with_name("kamailio.cfg")
GOSIP_CONFIG = """\
[sip]
domain = "{domain}"
udp = ["127.0.0.1:{port}"]
tcp = []
tls = []

[auth]
realm = "{domain}"
# SIPp 3.6 ends at once when the first challenge is not MD5.
algorithms = ["MD5"]
trusted_networks = ["127.0.0.1/32"]

[http]
listen = ["127.0.0.1:{http_port}"]

[store]
url = "sqlite:///{database}"
"""
OPTIONS = """\
OPTIONS sip:127.0.0.1:{port} SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:{local};branch=z9hG4bKready\r
Max-Forwards: 70\r
From: <sip:ready@127.0.0.1>;tag=1\r
To: <sip:127.0.0.1:{port}>\r
Call-ID: ready@127.0.0.1\r
CSeq: 1 OPTIONS\r
Content-Length: 0\r
\r
"""


class PeerFailed(Exception):
    """A server did not start; says which and what it printed last."""


@attrs.frozen
class Launch:
    """How a server is started, and how to see that it answers."""

    argv: list[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = attrs.field(factory=dict)


class Peer(Protocol):
    """A server that may be measured."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def workloads(self) -> frozenset[str]:
        """The names of the workloads that it can do."""
        ...

    @property
    def highest_rate(self) -> int:
        """Operations per second at which it is still measured."""
        ...

    def absence(self) -> str:
        """Why it cannot be measured here, "" when it can."""
        ...

    def launch(self, directory: Path, port: int, callees_port: int) -> Launch:
        """Write its configuration into `directory`; it will serve UDP on this loopback port.

        Whoever is called listens on `callees_port`, for a server that is told so and not by registrations.
        """
        ...


class Gosip:
    """Ours, started as a user starts it. The store with its users is made once and copied for each start."""

    name = "gosip"
    workloads = frozenset({"registration", "call", "bridged"})
    highest_rate = ANY_RATE

    def __init__(self, seed: Path) -> None:
        self._seed = seed

    def absence(self) -> str:
        """Ours is absent only from a broken checkout."""
        dropin = ROOT / "twisted" / "plugins" / "gosip_plugin.py"
        return "" if dropin.exists() else f"no {dropin.relative_to(ROOT)} in this checkout"

    def launch(self, directory: Path, port: int, callees_port: int) -> Launch:
        """`twistd -n gosip` on the checkout's own code."""
        environment = {"PYTHONPATH": str(ROOT)}
        if not self._seed.exists():
            command = [sys.executable, "-m", "benchmarks.seeding", str(self._seed), str(SEEDED_USERS)]
            subprocess.run(command, cwd=ROOT, check=True)
        shutil.copy(self._seed, directory / "gosip.sqlite")
        http_port = free_port()
        config = directory / "gosip.toml"
        text = GOSIP_CONFIG.format(
            domain=DOMAIN, port=port, http_port=http_port, database=(directory / "gosip.sqlite").absolute()
        )
        config.write_text(text, encoding="utf-8")
        argv = [twistd(), "-n", "--pidfile=", "gosip", "--config", str(config), "--data-dir", str(directory)]
        return Launch(argv, lambda: is_http_ready(http_port), environment)


class Kamailio:
    """The field's fast proxy, with one worker so that it too has one processor."""

    name = "kamailio"
    workloads = frozenset({"registration", "call"})
    highest_rate = ANY_RATE

    def absence(self) -> str:
        """Whether the program is installed."""
        return "" if kamailio() else "not installed (apt-get install kamailio)"

    def launch(self, directory: Path, port: int, callees_port: int) -> Launch:
        """In the foreground, with its run files in `directory`."""
        text = KAMAILIO_CONFIG.read_text(encoding="ascii").replace("@PORT@", str(port)).replace("@PASSWORD@", PASSWORD)
        config = directory / "kamailio.cfg"
        config.write_text(text, encoding="ascii")
        argv = [kamailio(), "-f", str(config), "-DD", "-E", "-m", "256", "-M", "16"]
        return Launch([*argv, "-P", str(directory / "kamailio.pid"), "-Y", str(directory)], lambda: is_answering(port))


class Floor:
    """A bare Twisted answer: what no server on Twisted can be cheaper than."""

    name = "floor"
    workloads = frozenset({"registration", "call"})
    highest_rate = ANY_RATE

    def absence(self) -> str:
        """It is part of this package."""
        return ""

    def launch(self, directory: Path, port: int, callees_port: int) -> Launch:
        """See floor.py."""
        argv = [sys.executable, "-m", "benchmarks.floor", str(port)]
        return Launch(argv, lambda: is_answering(port), {"PYTHONPATH": str(ROOT)})


class Sippy:
    """The known B2BUA in Python, its plain form: every INVITE goes on to the callees, and nothing is logged."""

    name = "sippy"
    workloads = frozenset({"bridged"})
    highest_rate = 250
    """Above this it is out of processor time and repeats itself, so that its cost is no longer that of a call."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed

    def absence(self) -> str:
        """It is installed when it is not there."""
        return self._installed.absence()

    def launch(self, directory: Path, port: int, callees_port: int) -> Launch:
        """In the foreground."""
        argv = [str(self._installed.program("b2bua_simple")), "-f", "-l", LOOPBACK, "-p", str(port)]
        argv += ["-n", f"{LOOPBACK}:{callees_port}"]
        return Launch(argv, lambda: is_answering(port), {"SIPLOG_BEND": "none"})


class Server:
    """A running peer, as a context; raises PeerFailed when it does not come up."""

    def __init__(self, peer: Peer, directory: Path, cores: Cores) -> None:
        directory.mkdir(parents=True)
        self.name = peer.name
        self.port = free_port()
        self.callees_port = free_port()
        self._output = directory / "output.log"
        launch = peer.launch(directory, self.port, self.callees_port)
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                pinned(cores.server, launch.argv, shutil.which("taskset")),
                cwd=directory,
                env={**os.environ, **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._await(launch.is_ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far, of all its processes."""
        return cpu_seconds(self._process.pid)

    @property
    def memory_kib(self) -> int:
        """Resident memory now, of all its processes, shared pages once."""
        return memory_kib(self._process.pid)

    @property
    def resident_kib(self) -> int:
        """Resident memory now, of all its processes, as `ps` shows it."""
        return resident_kib(self._process.pid)

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until it has nothing left to do, at most so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = self.cpu_seconds
            time.sleep(0.2)
            if self.cpu_seconds - before < 0.01:
                return

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for who does not listen."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _await(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
                raise PeerFailed("\n".join([f"{self.name} did not start:", *lines[-8:]]))
            time.sleep(0.05)


def twistd() -> str:
    """The twistd beside this interpreter."""
    beside = Path(sys.executable).with_name("twistd")
    return str(beside) if beside.exists() else shutil.which("twistd") or "twistd"


def kamailio() -> str:
    """Where Debian puts it, which is not on every user's PATH; "" when it is not installed."""
    return shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin") or ""


def is_answering(port: int) -> bool:
    """Whether an OPTIONS to this UDP port gets any response within 0.2 s."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        probe.settimeout(0.2)
        probe.connect((LOOPBACK, port))
        try:
            probe.send(OPTIONS.format(port=port, local=probe.getsockname()[1]).encode("ascii"))
            return probe.recv(2048).startswith(b"SIP/2.0 ")
        except OSError:
            return False


def is_http_ready(port: int) -> bool:
    """Whether GET /ready says 200."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/ready", timeout=1.0) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
