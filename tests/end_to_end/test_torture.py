"""Every tortuous message at once over real sockets: the process answers what can be answered, and is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import ClassVar

from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from gosip_py.sip.parser import LARGEST_MESSAGE
from tests.conformance import conforms
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Phone, message
from tests.fuzz.test_corpus import inputs
from tests.running import LOOPBACK, Settings, until
from tests.sip.torture import TEXTS, archive, mended
from tests.sip.vectors import FOLDER

GROWTH = 8 * 1024 * 1024
PAUSE_EVERY = 20  # datagrams; the socket's buffer is not endless
_numbers = count(1)

Octets = Iterator[tuple[str, bytes]]


class Connection(Protocol):
    """A bare connection: what came back on it, and when it was closed."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)

    def say(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)

    def leave(self) -> Deferred[bytes]:
        assert self.transport is not None
        if not self.closed.called:
            self.transport.loseConnection()
        return self.closed


def tortuous() -> Octets:
    """The messages of both RFCs where their texts are at hand, and always our own."""
    for number in (4475, 5118):
        if (TEXTS / f"rfc{number}.txt").exists():
            for name, octets in archive(number).items():
                yield name, octets
                yield f"{name}, mended", mended(octets)
    for path in sorted(FOLDER.rglob("*.sip")):
        yield path.stem, path.read_bytes()


def hostile(via: str) -> Octets:
    """Messages that are large, deep, or full of numbers that nothing can hold."""
    big = "9" * 3000
    yield "a datagram of all that fits", b"OPTIONS sip:x SIP/2.0\r\n" + b"a" * 65_000
    yield "a body of all that fits", options(via, body=b"z" * 60_000)
    yield "two thousand headers", options(via, *((f"X-{at}", "y") for at in range(2000)))
    yield "one header of 60,000 commas", options(via, ("Accept", "," * 60_000))
    yield "a comment of 30,000 levels", options(via, ("Server", "(" * 30_000), ("Retry-After", f"5 {'(' * 4000}"))
    yield "quotes without end", options(via, ("Contact", '"\\' * 4000))
    yield "folds without end", options(via, ("Subject", "x" + "\r\n y" * 2000))
    for name in ("CSeq", "Max-Forwards", "Expires", "Content-Length", "Min-SE", "Session-Expires", "RSeq", "Timestamp"):
        for value in (big, "-1", "2147483648", "4294967296", "18446744073709551616", "0x10", "٣", ""):
            method = f"{value} OPTIONS" if name == "CSeq" else value
            yield f"{name}: {value[:20]}", options(via, (name, method))
    for port in ("0", "65536", "99999", big):
        yield f"port {port[:5]}", options(via, uri=f"sip:x@{LOOPBACK}:{port}")
        yield f"Via with port {port[:5]}", options(f"SIP/2.0/UDP {LOOPBACK}:{port};branch=z9hG4bKport{port[:5]}")


def options(via: str, *headers: tuple[str, str], uri: str = f"sip:{LOOPBACK}", body: bytes = b"") -> bytes:
    """An OPTIONS; a header that is named here stands in place of the usual one."""
    named = {name for name, _ in headers}
    usual = (
        ("Via", via),
        ("From", f"<sip:x@{LOOPBACK}>;tag=x"),
        ("To", f"<{uri}>"),
        ("Call-ID", f"torture-{next(_numbers)}"),
        ("CSeq", "1 OPTIONS"),
        ("Max-Forwards", "70"),
    )
    kept = (pair for pair in usual if pair[0] not in named)
    octets = message(f"OPTIONS {uri} SIP/2.0", *kept, *headers, body=body)
    if "Content-Length" in named:
        octets = octets.replace(b"\r\nContent-Length: 0\r\n", b"\r\n")
    return octets


class TortureTests(ServerCase):
    """Whatever was sent: an OPTIONS is answered, nothing was logged as a failure, and the process has not grown."""

    over: ClassVar[Settings] = {"auth": {"trusted_networks": [f"{LOOPBACK}/32"]}, "sip": {"timer_c": 2.0}}

    async def setUp(self) -> None:
        await super().setUp()
        self.probe = await self.silent_phone()
        await self.is_alive()
        self.resident = self.server.resident_octets()

    async def is_alive(self) -> None:
        call_id = f"alive-{next(_numbers)}"
        self.probe.send(options(self.probe.via(), ("Call-ID", call_id)))
        await self.probe.expect(200, call_id=call_id)

    async def unharmed(self) -> None:
        await self.is_alive()
        await self.server.nothing_goes_on()
        self.assertLess(self.server.resident_octets(), self.resident + GROWTH)
        self.assertNotIn("Traceback", self.server.log)

    async def connect(self) -> Connection:
        endpoint = TCP4ClientEndpoint(default_reactor, LOOPBACK, self.server.sip_port, timeout=10)
        connection = await connectProtocol(endpoint, Connection())
        self.addCleanup(connection.leave)
        return connection

    async def send_all(self, phone: Phone, messages: Octets) -> None:
        for at, (_, octets) in enumerate(messages):
            if len(octets) <= LARGEST_MESSAGE - 100:
                phone.send(octets)
            if at % PAUSE_EVERY == 0:
                await self.is_alive()
        await self.is_alive()

    @conforms("RFC 4475 3", "RFC 5118 4")
    async def test_by_datagram(self) -> None:
        await self.send_all(await self.silent_phone(), tortuous())
        await self.unharmed()

    async def test_hostile_datagrams(self) -> None:
        phone = await self.silent_phone()
        await self.send_all(phone, hostile(phone.via()))
        await self.unharmed()

    async def test_what_the_fuzzer_starts_from(self) -> None:
        await self.send_all(await self.silent_phone(), ((path.name, path.read_bytes()) for path in inputs()))
        await self.unharmed()

    @conforms("RFC 4475 3", "RFC 5118 4")
    async def test_each_over_a_connection_of_its_own(self) -> None:
        for what, octets in (*tortuous(), *hostile(f"SIP/2.0/TCP {LOOPBACK};branch=z9hG4bKhostile")):
            connection = await self.connect()
            connection.say(octets)
            await connection.leave()
            self.assertNotIn("Traceback", self.server.log, what)
        await self.unharmed()

    @conforms("RFC 4475 3.1.2.3", "RFC 4475 3.3.9")
    async def test_a_stream_whose_lengths_make_no_sense_is_closed(self) -> None:
        for name in ("length-below-zero", "two-lengths"):
            connection = await self.connect()
            connection.say((FOLDER / "tortuous" / f"{name}.sip").read_bytes())
            await self.answered(connection, 400)
            self.assertEqual((await connection.closed).count(b"SIP/2.0 "), 1, name)
        await self.unharmed()

    @conforms("RFC 4475 3.1.2.2")
    async def test_a_stream_waits_for_a_body_that_does_not_come(self) -> None:
        connection = await self.connect()
        connection.say((FOLDER / "tortuous" / "length-too-large.sip").read_bytes())
        await self.is_alive()
        self.assertEqual(connection.received, b"")
        connection.say(b"x" * 5000)
        await self.answered(connection, 403)
        await connection.leave()
        await self.unharmed()

    async def answered(self, connection: Connection, status: int) -> None:
        """Wait until this status came back on the connection."""

        async def received() -> bytes:
            return connection.received

        await until(received, lambda data: b"SIP/2.0 %d " % status in data)
