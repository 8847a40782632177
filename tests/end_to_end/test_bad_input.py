"""Bytes that are no SIP: a clear 4xx where an answer is possible, a count, no traceback, no growth; phones go on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from itertools import count
from typing import ClassVar

from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from tests.conformance import conforms
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Phone, message
from tests.requirements_gate import require
from tests.running import LOOPBACK, Settings, clock, until

MIB = 1024 * 1024
GROWTH = 6 * MIB
BODY = 10 * MIB
CONNECTIONS = 1000
PER_ADDRESS = 200
DESCRIPTORS = 4096
ADDRESSES = tuple(f"127.0.0.{last}" for last in range(2, 2 + CONNECTIONS // PER_ADDRESS))
"""Of this machine, as all of 127.0.0.0/8 is."""
_numbers = count(1)


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


def request(phone: Phone, *headers: tuple[str, str], body: bytes = b"", call_id: str = "") -> bytes:
    """An OPTIONS that the server answers by itself, each a new one."""
    return message(
        f"OPTIONS sip:{LOOPBACK} SIP/2.0",
        ("Via", phone.via()),
        ("From", f"<sip:x@{LOOPBACK}>;tag=x"),
        ("To", f"<sip:{LOOPBACK}>"),
        ("Call-ID", call_id or f"options-{next(_numbers)}"),
        ("CSeq", "1 OPTIONS"),
        ("Max-Forwards", "70"),
        *headers,
        body=body,
    )


def unparsable(phone: Phone) -> Iterator[tuple[str, bytes]]:
    """Requests that are not even a message, of which enough can be read to answer."""
    length = b"Content-Length: 0"
    many = [(f"X-{n}", "y") for n in range(10_000)]
    yield "too long a length", request(phone).replace(length, b"Content-Length: 5")
    yield "a huge length", request(phone).replace(length, b"Content-Length: " + b"9" * 30)
    yield "a negative length", request(phone).replace(length, b"Content-Length: -1")
    yield "a length in letters", request(phone).replace(length, b"Content-Length: zero")
    yield "two lengths", request(phone).replace(length, b"Content-Length: 0\r\nContent-Length: 5")
    yield "10,000 headers", request(phone, *many)[:60_000] + b"\r\n\r\n"
    yield "a long header", request(phone, ("Subject", "y" * 9000))
    yield "a NUL in a header", request(phone, ("Subject", "a\0b"))
    yield "bytes that are no UTF-8 and a NUL", request(phone, ("Subject", "\udcff\udcfe\0"))
    yield "a header without a colon", request(phone).replace(b"Max-Forwards: 70", b"Max-Forwards 70")
    yield "two spaces", request(phone).replace(b"OPTIONS sip:", b"OPTIONS  sip:")
    yield "half a message", request(phone, ("Subject", "x" * 50))[:-60]


def unacceptable(phone: Phone) -> Iterator[tuple[str, bytes]]:
    """Messages that say nothing one can act on."""
    yield "no Call-ID", request(phone).replace(b"Call-ID: ", b"X-Call: ")
    yield "a number that is none", request(phone).replace(b"CSeq: 1 ", b"CSeq: one ")
    yield "a URI that is none", request(phone).replace(b"From: <sip:x@", b"From: <sip:x@@@[")
    yield "another method in CSeq", request(phone).replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE")
    yield "two CSeqs", request(phone).replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 OPTIONS\r\nCSeq: 2 OPTIONS")


GARBAGE = (
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

    over: ClassVar[Settings] = {"limits": {"connections_per_address": PER_ADDRESS}}
    lingering = 10.0

    async def setUp(self) -> None:
        # The server inherits the limit; 1024, as is usual, is too little for it and for us.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        require(hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS, f"{DESCRIPTORS} open files are not allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
        await super().setUp()
        self.caller, self.callee = await self.phone(), await self.phone("tcp")
        await self.good_call()
        self.resident = self.server.resident_octets()
        self.faults = await self.server.bad_messages()

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
        await until(self.server.bad_messages, lambda found: found >= self.faults + faults)
        self.assertEqual(await self.server.bad_messages(), self.faults + faults)
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

    @conforms("RFC 3261 18.3", "RFC 3261 21.4.1")
    async def test_datagrams_that_can_be_answered(self) -> None:
        phone = await self.silent_phone()
        bad = list(unparsable(phone))
        for what, octets in (*bad, *unacceptable(phone)):
            phone.send(octets)
            answer = await phone.expect(400)
            self.assertTrue(answer["warning"], what)
        await self.unharmed(len(bad))

    @conforms("RFC 3261 18.3")
    async def test_a_datagram_with_more_than_its_length_says(self) -> None:
        """The rest is no part of the message (RFC 3261 18.3)."""
        phone = await self.silent_phone()
        phone.send(request(phone) + b"and more\0\xff")
        await phone.expect(200)
        await self.unharmed(0)

    async def test_text_that_is_no_utf_8_in_what_is_only_passed_on(self) -> None:
        phone = await self.silent_phone()
        phone.send(request(phone, ("Subject", "\udcff\udcfe")))
        await phone.expect(200)
        await self.unharmed(0)

    async def test_datagrams_that_cannot_be_answered(self) -> None:
        phone = await self.silent_phone()
        for octets in GARBAGE:
            phone.send(octets)
        # A datagram that follows them is answered, so all were seen.
        phone.send(request(phone, call_id="after"))
        await phone.expect(200, call_id="after")
        await self.unharmed(len(GARBAGE))
        self.assertEqual(phone.heard(""), 1)

    # -- TCP ---------------------------------------------------------------------------------------------------------

    @conforms("RFC 3261 18.3")
    async def test_streams_that_can_be_answered(self) -> None:
        phone = await self.silent_phone("tcp")
        waits = ("too long a length", "half a message")  # for the rest, on a connection
        bad = [pair for pair in unparsable(phone) if pair[0] not in waits]
        for what, octets in bad:
            stranger = await self.connect()
            stranger.say(octets)
            received = await stranger.closed
            self.assertTrue(received.startswith(b"SIP/2.0 400 "), (what, received))
            self.assertIn(b"\r\nWarning: 399 ", received, what)
        for what, octets in unacceptable(phone):
            phone.send(octets)
            answer = await phone.expect(400)
            self.assertTrue(answer["warning"], what)
        await self.unharmed(len(bad))

    async def test_streams_that_cannot_be_answered(self) -> None:
        bad = [octets for octets in GARBAGE if b"\r\n\r\n" in octets or len(octets) > 8192]
        for octets in bad:
            stranger = await self.connect()
            stranger.say(octets)
            self.assertEqual(await stranger.closed, b"", octets[:40])
        await self.unharmed(len(bad))

    async def test_a_stream_with_more_than_its_length_says(self) -> None:
        """The first message is answered; what follows begins no second one."""
        phone = await self.silent_phone("tcp")
        stranger = await self.connect()
        stranger.say(request(phone) + b"and more\r\n\r\n")
        received = await stranger.closed
        self.assertTrue(received.startswith(b"SIP/2.0 200 "), received)
        await self.unharmed(1)

    async def test_ten_megabytes_of_body(self) -> None:
        phone = await self.silent_phone("tcp")
        stranger = await self.connect()
        stranger.say(request(phone).replace(b"Content-Length: 0", b"Content-Length: %d" % BODY) + bytes(BODY))
        received = await stranger.closed
        self.assertTrue(received.startswith(b"SIP/2.0 400 "), received)
        await self.unharmed(1)

    async def test_ten_megabytes_without_an_end_of_line(self) -> None:
        stranger = await self.connect()
        stranger.say(b"a" * BODY)
        self.assertEqual(await stranger.closed, b"")
        await self.unharmed(1)

    async def test_ten_megabytes_of_good_messages_on_one_connection(self) -> None:
        phone = await self.silent_phone("tcp")
        messages = BODY // 32_768
        stranger = await self.connect()
        for _ in range(messages):
            stranger.say(request(phone, body=bytes(32_000)))

        async def answers() -> int:
            return stranger.received.count(b"SIP/2.0 200 ")

        await until(answers, lambda found: found == messages, 20.0)
        await self.unharmed(0)

    async def test_half_messages_and_then_silence(self) -> None:
        phone = await self.silent_phone("tcp")
        whole = request(phone, ("Subject", "x"), body=b"y" * 40)
        for end in range(1, len(whole), 7):
            stranger = await self.connect()
            stranger.say(whole[:end])
            await self.left(stranger)
        await self.unharmed(0)

    async def test_messages_that_come_one_byte_at_a_time_hinder_nobody(self) -> None:
        phone = await self.silent_phone("tcp")
        whole = request(phone, ("Subject", "x" * 5000))
        strangers = await gatherResults([Deferred.fromCoroutine(self.connect()) for _ in range(50)])
        octets = (whole[at : at + 1] for at in range(len(whole)))

        def drip() -> None:
            octet = next(octets)
            for stranger in strangers:
                stranger.say(octet)

        dripping = LoopingCall(drip)
        dripped = dripping.start(0.005)
        try:
            for _ in range(20):
                before = clock().seconds()
                await self.good_call()
                self.assertLess(clock().seconds() - before, 2.0)
        finally:
            dripping.stop()
        await dripped
        self.assertEqual([stranger.received for stranger in strangers], [b""] * len(strangers))
        await self.unharmed(0)

    async def test_a_thousand_connections(self) -> None:
        strangers: list[Stranger] = []
        for address in ADDRESSES:
            opening = [Deferred.fromCoroutine(self.connect(address)) for _ in range(PER_ADDRESS)]
            strangers += await gatherResults(opening)
        surplus = await self.connect(ADDRESSES[0])
        self.assertEqual(await surplus.closed, b"")
        await self.good_call()
        phone = await self.silent_phone("tcp")
        for stranger in strangers:
            stranger.say(request(phone))
            stranger.say(b"\r\n\r\n")

        async def answered() -> int:
            return sum(b"SIP/2.0 200 " in stranger.received for stranger in strangers)

        await until(answered, lambda found: found == CONNECTIONS, 20.0)
        await gatherResults([self.left(stranger) for stranger in strangers])
        await self.unharmed(0)
