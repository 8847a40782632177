"""Bytes that are no SIP: a clear 4xx where an answer is possible, a count, no traceback, no growth; and the phones go on."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Phone, message
from tests.running import LOOPBACK, clock, until

MIB = 1024 * 1024
GROWTH = 6 * MIB
BODY = 10 * MIB
CONNECTIONS = 1000
PER_ADDRESS = 200
ADDRESSES = tuple(f"127.0.0.{last}" for last in range(2, 2 + CONNECTIONS // PER_ADDRESS))
"""Of this machine, as all of 127.0.0.0/8 is."""


class Stranger(Protocol):
    """A bare connection: what it was sent, and when it was closed."""

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

    def leave(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


def request(phone: Phone, *headers: tuple[str, str], body: bytes = b"", call_id: str = "bad") -> bytes:
    """An OPTIONS that the server answers by itself."""
    return message(
        f"OPTIONS sip:{LOOPBACK} SIP/2.0",
        ("Via", phone.via()),
        ("From", f"<sip:x@{LOOPBACK}>;tag=x"),
        ("To", f"<sip:{LOOPBACK}>"),
        ("Call-ID", call_id),
        ("CSeq", "1 OPTIONS"),
        ("Max-Forwards", "70"),
        *headers,
        body=body,
    )


def answerable(phone: Phone) -> Iterator[tuple[str, bytes]]:
    """Requests that are wrong, and tell who sent them."""
    good = request(phone)
    length = b"Content-Length: 0"
    yield "too long a length", request(phone).replace(length, b"Content-Length: 99999999")
    yield "a negative length", request(phone).replace(length, b"Content-Length: -1")
    yield "a length in letters", request(phone).replace(length, b"Content-Length: zero")
    yield "two lengths", request(phone).replace(length, b"Content-Length: 0\r\nContent-Length: 5")
    yield "10,000 headers", request(phone, *[(f"X-{n}", "y") for n in range(10_000)])[:60_000] + b"\r\n\r\n"
    yield "a long header", request(phone, ("Subject", "y" * 9000))
    yield "NULs", request(phone, ("Subject", "a\0b"))
    yield "no colon", request(phone).replace(b"Max-Forwards: 70", b"Max-Forwards 70")
    yield "two spaces", good.replace(b"OPTIONS sip:", b"OPTIONS  sip:").replace(b"branch=z9hG4bK", b"branch=z9hG4bKa")
    yield "no Call-ID", request(phone).replace(b"Call-ID: bad\r\n", b"")
    yield "a number that is none", request(phone).replace(b"CSeq: 1 ", b"CSeq: one ")
    yield "a URI that is none", request(phone).replace(b"From: <sip:x@", b"From: <sip:x@@@[")


GARBAGE = (
    b"\0",
    b"\0" * 1000,
    b"\xff\xfe\xfd" * 300,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client of TLS",
    b"OPTIONS\r\n\r\n",
    b"SIP/2.0\r\n\r\n",
    b"SIP/2.0 999 X\r\n\r\n",
    b"INVITE sip:a SIP/9.9\r\nVia: x\r\n\r\n",
    b"\xc3\x28 sip:\xa0\xa1 SIP/2.0\r\nVia: \xff\r\n\r\n",
    b": \r\n: \r\n\r\n",
    b"a" * 60_000,
)


class BadInputTests(ServerCase):
    """Every test ends with a look at the process, and a good call."""

    over = {"limits": {"connections_per_address": PER_ADDRESS}}
    lingering = 10.0

    async def setUp(self) -> None:
        await super().setUp()
        self.caller, self.callee = await self.phone(), await self.phone("tcp")
        await self.good_call()
        self.resident = self.server.resident_octets()
        self.faults = await self.bad_messages()

    async def bad_messages(self) -> float:
        return await self.server.api.metric("sip_bad_messages_total")

    async def good_call(self) -> None:
        calling = await self.caller.call(self.callee.user)
        called = await self.callee.called(calling.call_id)
        called.respond(180)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["ended_by"]), ("answered", "caller"))

    async def unharmed(self, faults: int) -> None:
        """So many messages were counted as bad; the process is as it was."""
        await until(self.bad_messages, lambda count: count >= self.faults + faults)
        self.assertEqual(await self.bad_messages(), self.faults + faults)
        await self.good_call()
        self.assertLess(self.server.resident_octets(), self.resident + GROWTH)
        self.assertNotIn("Traceback", self.server.log)

    async def connect(self, address: str = LOOPBACK) -> Stranger:
        endpoint = TCP4ClientEndpoint(
            default_reactor, LOOPBACK, self.server.sip_port, timeout=10, bindAddress=(address, 0)
        )
        stranger = await connectProtocol(endpoint, Stranger())
        self.addCleanup(self.left, stranger)
        return stranger

    def left(self, stranger: Stranger) -> Deferred[bytes]:
        if not stranger.closed.called:
            stranger.leave()
        return stranger.closed

    # -- UDP ---------------------------------------------------------------------------------------------------------

    async def test_datagrams_that_can_be_answered(self) -> None:
        phone = await self.silent_phone()
        bad = list(answerable(phone))
        for what, octets in bad:
            phone.send(octets)
            answer = await phone.final("OPTIONS") if what not in NAMELESS else await phone.expect(400)
            self.assertEqual(answer.status, 400, what)
            self.assertTrue(answer["warning"], what)
        await until(self.bad_messages, lambda count: count > self.faults)

    async def test_datagrams_that_cannot_be_answered(self) -> None:
        phone = await self.silent_phone()
        for octets in GARBAGE:
            phone.send(octets)
        # A datagram that follows them is answered, so all were seen.
        phone.send(request(phone, call_id="after"))
        await phone.expect(200, call_id="after")
        await self.unharmed(len(GARBAGE))
        self.assertEqual(phone.heard(""), 1)
