"""STUN Binding requests on a SIP port (RFC 5626 8, RFC 8489)."""

from __future__ import annotations

import random
from ipaddress import ip_address
from struct import pack, unpack_from

from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.metrics import OTHER, Metrics
from gosip_py.transport.layer import TransportLayer
from gosip_py.transport.stun import answer
from tests.conformance import conforms
from tests.transport.peers import REACTOR, UdpPeer, WaitingUser, options

COOKIE = 0x2112A442
TRANSACTION = bytes(range(12))
SOURCE = ("203.0.113.9", 40001)


def message(attributes: bytes = b"", kind: int = 0x0001, cookie: int = COOKIE, length: int | None = None) -> bytes:
    return pack("!HHI", kind, len(attributes) if length is None else length, cookie) + TRANSACTION + attributes


def attribute(number: int, value: bytes = b"") -> bytes:
    return pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def read(octets: bytes | None) -> tuple[int, list[tuple[int, bytes]]]:
    """Type and attributes of a message whose header is as it must be."""
    assert octets is not None
    kind, length, cookie = unpack_from("!HHI", octets)
    assert (length, cookie, octets[8:20]) == (len(octets) - 20, COOKIE, TRANSACTION)
    found, at = [], 20
    while at < len(octets):
        number, size = unpack_from("!HH", octets, at)
        found.append((number, octets[at + 4 : at + 4 + size]))
        at += 4 + size + -size % 4
    assert at == len(octets)
    return kind, found


def unmask(value: bytes) -> tuple[str, int]:
    """What an XOR-MAPPED-ADDRESS says, by whole numbers and not by octets as the server does."""
    family, port = unpack_from("!HH", value)
    width = {1: 4, 2: 16}[family]
    mask = int.from_bytes((COOKIE.to_bytes(4) + TRANSACTION)[:width])
    number = int.from_bytes(value[4:]) ^ mask
    return str(ip_address(number.to_bytes(width))), port ^ 0x2112


class AnswerTests(SynchronousTestCase):
    @conforms("RFC 8489 14.2", "RFC 8489 6.3.1", "RFC 5626 8")
    def test_the_address_that_the_request_came_from(self) -> None:
        for source in (SOURCE, ("0.0.0.0", 1), ("2001:db8::9", 65535), ("::1", 5060)):
            kind, found = read(answer(message(), source))
            self.assertEqual((kind, [number for number, _ in found]), (0x0101, [0x0020]))
            self.assertEqual(unmask(found[0][1]), source)

    def test_a_link_local_address_has_no_zone(self) -> None:
        _, found = read(answer(message(), ("fe80::1%eth0", 5060)))
        self.assertEqual(unmask(found[0][1]), ("fe80::1", 5060))

    @conforms("RFC 8489 6.3.1", "RFC 8489 14.13")
    def test_what_must_be_understood_and_is_not(self) -> None:
        asked = attribute(0x0003, b"\0\0\0\6") + attribute(0x7FFF) + attribute(0x0003) + attribute(0x8022, b"phone")
        kind, found = read(answer(message(asked), SOURCE))
        self.assertEqual(kind, 0x0111)
        self.assertEqual(found, [(0x0009, b"\0\0\4\x14Unknown Attribute"), (0x000A, b"\0\3\x7f\xff")])

    @conforms("RFC 8489 6.3", "RFC 8489 14")
    def test_what_may_be_ignored(self) -> None:
        for number in (0x8000, 0x8022, 0x8028, 0xFFFF, 0x0006, 0x0008, 0x0014, 0x0015):
            self.assertEqual(read(answer(message(attribute(number, b"abcde")), SOURCE))[0], 0x0101, hex(number))

    @conforms("RFC 8489 5", "RFC 8489 6.3")
    def test_what_is_no_binding_request_is_not_answered(self) -> None:
        for octets in (
            b"",
            message()[:19],
            message(kind=0x0011),  # an indication
            message(kind=0x0101),
            message(kind=0x0111),
            message(kind=0x0003),  # another method
            message(kind=0x4001),
            message(cookie=0),
            message(length=4),
            message(b"\0\0\0\0", length=0),
            message(b"\0\0"),
            message(pack("!HH", 0x8022, 5) + b"abcd"),
            message(pack("!HH", 0x8022, 0xFFFF) + bytes(8)),
        ):
            self.assertIsNone(answer(octets, SOURCE), octets)

    def test_nobody_gains_by_a_false_source(self) -> None:
        """What is sent to a third party in somebody's name stays below three times what it cost to ask for."""
        for source in (SOURCE, ("2001:db8::9", 40001)):
            for count in range(300):
                asked = message(b"".join(attribute(number) for number in range(0x100, 0x100 + count)))
                answered = answer(asked, source)
                assert answered is not None
                self.assertLess(len(answered), 3 * len(asked))

    def test_no_octets_break_it(self) -> None:
        chance = random.Random(4)
        for _ in range(20_000):
            octets = bytearray(message(chance.randbytes(4 * chance.randrange(9))))
            for _ in range(chance.randrange(4)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            answered = answer(bytes(octets[: chance.randrange(len(octets) + 1)]), SOURCE)
            self.assertTrue(answered is None or len(answered) % 4 == 0)


class SocketTests(TestCase):
    """On the port on which SIP is spoken."""

    host = "127.0.0.1"
    timeout = 20

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.layer = TransportLayer(REACTOR, self.metrics)
        self.user = self.layer.user = WaitingUser(status=200)
        self.port = self.layer.listen_udp(self.host, 0).port
        self.phone = UdpPeer(self.host)

    async def tearDown(self) -> None:
        await self.phone.close()
        await self.layer.stop()

    @conforms("RFC 5626 3.5.2", "RFC 5626 5.4", "RFC 5626 8")
    async def test_answered_between_sip_messages(self) -> None:
        uri_host = f"[{self.host}]" if ":" in self.host else self.host
        self.phone.send(message(), self.port)
        kind, found = read(await self.phone.received.get())
        self.assertEqual((kind, unmask(found[0][1])), (0x0101, (self.host, self.phone.port)))
        self.phone.send(options(f"SIP/2.0/UDP {uri_host}:{self.phone.port};branch=z9hG4bKx;rport"), self.port)
        self.assertIn(b"200 OK", await self.phone.received.get())
        self.assertEqual(self.layer.counts.stun_requests, 1)
        self.assertEqual(self.metrics.messages.child(OTHER, "out").value, 0)

    async def test_what_cannot_be_answered_counts_as_any_other_garbage(self) -> None:
        self.phone.send(message(cookie=1), self.port)
        error, _ = await self.user.faulted.get()
        self.assertIsNone(error.message)
        self.assertEqual(self.layer.counts.stun_requests, 0)

    async def test_a_keep_alive_of_ours_is_no_message(self) -> None:
        flow = self.layer.datagram_flow((self.host, self.port), (self.host, self.phone.port))
        assert flow is not None
        flow.keep_alive()
        self.assertEqual(await self.phone.received.get(), b"\r\n\r\n")
        self.assertEqual(self.metrics.messages.child(OTHER, "out").value, 0)

    async def test_a_datagram_flow_leaves_from_the_socket_that_was_named(self) -> None:
        second = self.layer.listen_udp(self.host, 0).port
        for port in (self.port, second):
            flow = self.layer.datagram_flow((self.host, port), (self.host, self.phone.port))
            assert flow is not None
            self.assertEqual(flow.local, (self.host, port))
        self.assertIsNone(self.layer.datagram_flow((self.host, 9), (self.host, self.phone.port)))


class Socket6Tests(SocketTests):
    host = "::1"
