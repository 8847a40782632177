"""gosip as its users start it: `twistd -n gosip` in its own process, on free loopback ports, driven over its HTTP API.

Also the other programs that such tests start. Each has a deadline for what it is asked to do, is killed when the test
ends, and what it printed stands in the message of the failure.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar
from urllib.parse import urlencode

import attrs
import treq
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import defer
from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "correct-horse-battery-staple"
PHONE_PASSWORD = "staple-battery-horse"
START_SECONDS = 20.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
OUTPUT_SHOWN = 6000

_CHANCE = SystemRandom()  # tests that run side by side must not choose alike
_SERVICE_PORTS = (20_000, 32_000)  # below what Linux takes for the near ends of connections

Settings = dict[str, dict[str, object]]


class ProgramFailed(AssertionError):
    """A program did not do what the test waited for; the text ends with what it printed."""


class Program(ProcessProtocol):
    """A child process, everything it printed kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._printed = bytearray()
        self._exit_code: int | None = None
        self._exits: list[Deferred[int]] = []
        self._awaited: list[tuple[bytes, Deferred[None]]] = []

    @classmethod
    def start(
        cls,
        case: TestCase,
        name: str,
        argv: Sequence[str],
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> Program:
        """Start it for the time of this test; on a `terminal` it prints at once what it would buffer for a pipe."""
        program = cls(name)
        variables = {**os.environ, "TERM": "xterm", **(environment or {})}
        spawner = IReactorProcess(default_reactor)
        spawner.spawnProcess(program, argv[0], argv, env=variables, path=str(directory), usePTY=terminal)
        case.addCleanup(program.kill)
        return program

    @property
    def output(self) -> str:
        """What it printed so far, on both streams."""
        return self._printed.decode("utf-8", "replace")

    def seen(self, text: str, seconds: float = 10.0) -> Deferred[None]:
        """Fires once it has printed this, in any case of letters; fails with ProgramFailed when it ends before."""
        wanted = text.lower().encode()
        waiting: Deferred[None] = Deferred()
        if wanted in self._printed.lower():
            waiting.callback(None)
        elif self._exit_code is not None:
            waiting.errback(Failure(self.failed(f"ended with {self._exit_code} before it printed {text!r}")))
        else:
            self._awaited.append((wanted, waiting))
        return self._within(waiting, seconds, f"print {text!r}")

    def exited(self, seconds: float = 30.0) -> Deferred[int]:
        """Its exit code, minus the number of the signal that ended it; ProgramFailed when it goes on for so long."""
        waiting: Deferred[int] = Deferred()
        if self._exit_code is None:
            self._exits.append(waiting)
        else:
            waiting.callback(self._exit_code)
        return self._within(waiting, seconds, "end")

    async def stop(self, signal: str = "TERM", seconds: float = STOP_SECONDS) -> int:
        """Send the signal and wait for the exit code."""
        self._signal(signal)
        return await self.exited(seconds)

    def kill(self) -> Deferred[int]:
        """End it at once, if it has not ended."""
        self._signal("KILL")
        return self.exited(5.0)

    def failed(self, what: str) -> ProgramFailed:
        """The exception for a test that waited in vain."""
        return ProgramFailed(f"{self.name} {what}; it printed:\n{self.output[-OUTPUT_SHOWN:]}")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._printed += data
        printed = self._printed.lower()
        ready = [pair for pair in self._awaited if pair[0] in printed]
        self._awaited = [pair for pair in self._awaited if pair not in ready]
        for _, waiting in ready:
            waiting.callback(None)

    def processEnded(self, reason: Failure) -> None:
        self._exit_code = exit_code(reason)
        awaited, self._awaited = self._awaited, []
        for wanted, waiting in awaited:
            waiting.errback(Failure(self.failed(f"ended with {self._exit_code} before it printed {wanted!r}")))
        exits, self._exits = self._exits, []
        for exit_ in exits:
            exit_.callback(self._exit_code)

    def _signal(self, signal: str) -> None:
        if self._exit_code is None and self.transport is not None:
            try:
                self.transport.signalProcess(signal)
            except ProcessExitedAlready:
                pass

    def _within(self, waiting: Deferred[T], seconds: float, what: str) -> Deferred[T]:
        def give_up(failure: Failure) -> Failure:
            if failure.check(defer.TimeoutError):
                return Failure(self.failed(f"did not {what} within {seconds} s"))
            return failure

        return waiting.addTimeout(seconds, clock()).addErrback(give_up)


def clock() -> IReactorTime:
    """The reactor that the tests run on."""
    return IReactorTime(default_reactor)


def exit_code(reason: Failure) -> int:
    """0, the code, or minus the signal's number."""
    if reason.check(ProcessDone):
        return 0
    ended = reason.value
    assert isinstance(ended, ProcessTerminated)
    return -int(ended.signal) if ended.exitCode is None else int(ended.exitCode)


async def until(probe: Callable[[], Awaitable[T]], accept: Callable[[T], bool], seconds: float = 5.0) -> T:
    """The first value of `probe` that is accepted: the books follow the call, so they are asked until they are there.

    Fails with the last value when the deadline passes.
    """
    deadline = clock().seconds() + seconds
    while True:
        value = await probe()
        if accept(value):
            return value
        if clock().seconds() > deadline:
            raise AssertionError(f"after {seconds} s it is still {value!r}")
        await deferLater(clock(), POLL_SECONDS)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that neither UDP nor TCP uses now.

    Of those that the system gives to nobody by itself: a connection that is made meanwhile cannot take one.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = _CHANCE.randrange(*_SERVICE_PORTS)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        ):
            try:
                datagram.bind((LOOPBACK, port))
                stream.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


@attrs.frozen
class Identity:
    """A certificate for 127.0.0.1 that nobody but the test trusts, and its key; `both` holds the two in one file."""

    certificate: Path
    key: Path
    both: Path


def make_identity(directory: Path) -> Identity:
    """Write a new one into the directory."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    identity = Identity(directory / "certificate.pem", directory / "key.pem", directory / "both.pem")
    identity.certificate.write_bytes(certificate)
    identity.key.write_bytes(private)
    identity.both.write_bytes(private + certificate)
    return identity


class Api:
    """The HTTP API, signed in as the administrator."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        # A connection that stays open would outlive the test.
        pool = HTTPConnectionPool(default_reactor, persistent=False)
        self._client = treq.client.HTTPClient(Agent(default_reactor, connectTimeout=5.0, pool=pool))
        self._cookie = ""

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and body of one request."""
        headers = Headers({"Origin": [self.url], **({"Cookie": [self._cookie]} if self._cookie else {})})
        response = await self._client.request(method, self.url + path, headers=headers, json=body, timeout=10)
        for cookie in response.headers.getRawHeaders("Set-Cookie", []):
            self._cookie = cookie.partition(";")[0]
        return response.code, await response.text()

    async def sign_in(self) -> None:
        """Become the administrator of the first start."""
        status, text = await self.ask("POST", "/api/auth/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
        if status not in (200, 204):
            raise AssertionError(f"signing in: {status} {text}")

    async def read(self, path: str) -> Any:
        """What a GET answers, decoded; the whole envelope."""
        status, text = await self.ask("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {text}")
        return json.loads(text)

    async def create(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The thing that a POST makes."""
        status, text = await self.ask("POST", path, dict(body))
        if status != 201:
            raise AssertionError(f"POST {path}: {status} {text}")
        made: dict[str, Any] = json.loads(text)["data"]
        return made

    async def add_phone(self, username: str, call_schema: str = "proxy") -> None:
        """A user of this login who has one device of the same name, with PHONE_PASSWORD."""
        user = await self.create("/api/users", {"login": username, "call_schema": call_schema})
        device = {"user_id": user["id"], "name": username, "username": username, "password": PHONE_PASSWORD}
        await self.create("/api/devices", device)

    async def rows(self, path: str, **filters: str) -> list[dict[str, Any]]:
        """The first hundred rows of a list that pass the filters."""
        page = await self.read(f"{path}?{urlencode({'per_page': 100, **filters})}")
        rows: list[dict[str, Any]] = page["data"]
        return rows

    async def metric(self, name: str) -> float:
        """The sum over all labels of a metric."""
        _, text = await self.ask("GET", "/metrics")
        samples = [line.rpartition(" ") for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        if not samples:
            raise AssertionError(f"there is no metric {name}")
        return sum(float(value) for _, _, value in samples)


@attrs.frozen
class RunningServer:
    """A gosip that has said that it is ready. UDP and TCP share `sip_port`."""

    program: Program
    directory: Path
    sip_port: int
    tls_port: int
    http_port: int
    identity: Identity
    api: Api

    def port(self, transport: str) -> int:
        """Where it serves "udp", "tcp" or "tls"."""
        return self.tls_port if transport == "tls" else self.sip_port


def settings_text(settings: Settings) -> str:
    """The settings as TOML: JSON's strings, numbers, booleans and lists are written alike."""
    tables = []
    for section, options in settings.items():
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        tables.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(tables) + "\n"


def settings_for(sip_port: int, tls_port: int, http_port: int, identity: Identity, over: Settings) -> Settings:
    """A server on loopback only, whose transactions linger for 3.2 s instead of 32; `over` wins option by option."""
    settings: Settings = {
        "sip": {
            "domain": LOOPBACK,
            "udp": [f"{LOOPBACK}:{sip_port}"],
            "tcp": [f"{LOOPBACK}:{sip_port}"],
            "tls": [f"{LOOPBACK}:{tls_port}"],
            "tls_certificate": str(identity.certificate),
            "tls_private_key": str(identity.key),
            "tls_verify_peer": False,
            "timer_t1": 0.05,
            "timer_t2": 0.4,
            "timer_t4": 0.5,
        },
        "auth": {"realm": "gosip-test"},
        "http": {"listen": [f"{LOOPBACK}:{http_port}"]},
    }
    for section, options in over.items():
        settings.setdefault(section, {}).update(options)
    return settings


def twistd() -> str:
    """The twistd beside this interpreter, else the one on the PATH."""
    beside = Path(sys.executable).with_name("twistd")
    return str(beside) if beside.exists() else shutil.which("twistd") or "twistd"


@asynccontextmanager
async def serving(case: TestCase, over: Settings | None = None) -> AsyncIterator[RunningServer]:
    """A server, its administrator signed in. At the end it must heed SIGTERM, exit with 0, without a traceback."""
    directory = Path(case.mktemp()).absolute()
    directory.mkdir(parents=True)
    identity = make_identity(directory)
    sip_port, tls_port, http_port = free_ports(3)
    config = directory / "gosip.toml"
    config.write_text(settings_text(settings_for(sip_port, tls_port, http_port, identity, over or {})), "utf-8")
    # The checkout's own code and plugin, wherever else a gosip may be installed.
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment |= {"GOSIP_ADMIN_EMAIL": ADMIN_EMAIL, "GOSIP_ADMIN_PASSWORD": ADMIN_PASSWORD}
    argv = [twistd(), "-n", "--pidfile=", "gosip", "--config", str(config), "--data-dir", str(directory / "kept")]
    program = Program.start(case, "gosip", argv, directory, environment=environment)
    await program.seen("is ready", START_SECONDS)
    api = Api(http_port)
    await api.read("/ready")
    await api.sign_in()
    try:
        yield RunningServer(program, directory, sip_port, tls_port, http_port, identity, api)
    except Exception as error:
        error.add_note(f"gosip printed:\n{program.output[-OUTPUT_SHOWN:]}")
        raise
    code = await program.stop()
    if code != 0 or "Traceback" in program.output:
        raise program.failed(f"ended with {code}")
