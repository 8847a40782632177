"""UDP over real loopback sockets."""

from __future__ import annotations

import errno
import os
import socket

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.headers import parse_via
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from gosip_py.transport.addressing import Addressing, Advertising
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.layer import TransportLayer
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.udp import UdpFlow, UdpSocket, bind_udp
from tests.conformance import conforms
from tests.network import RecordingUser
from tests.transport.peers import REACTOR, UdpPeer, WaitingUser, options


class UdpTests(TestCase):
    """A phone at 127.0.0.1 and the layer."""

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

    def via(self, rest: str = ";rport") -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"SIP/2.0/UDP {host}:{self.phone.port};branch=z9hG4bKx{rest}"

    @conforms("RFC 3261 18", "RFC 3581 4")
    async def test_a_request_comes_in_and_its_response_goes_out(self) -> None:
        self.phone.send(options(self.via()), self.port)
        request, flow = await self.user.requested.get()
        self.assertEqual(request.top_via.parameters["rport"], str(self.phone.port))
        self.assertEqual(flow.remote, (self.host, self.phone.port))
        response = parse_message(await self.phone.received.get())
        self.assertEqual(response.start_line, "SIP/2.0 200 OK")
        counted = [self.metrics.messages.child("OPTIONS", direction).value for direction in ("in", "out")]
        self.assertEqual(counted, [1, 1])

    @conforms("RFC 3261 18.2.2")
    async def test_without_rport_the_response_goes_to_the_port_in_via(self) -> None:
        other = UdpPeer(self.host)
        self.phone.send(options(self.via("").replace(str(self.phone.port), str(other.port))), self.port)
        self.assertIn(b"200 OK", await other.received.get())
        await other.close()

    @conforms("RFC 3261 18.1.2")
    async def test_a_request_goes_out_and_its_response_comes_in(self) -> None:
        flow = self.layer.flow_to(Target("udp", self.host, self.phone.port), 300)
        flow.send(options(flow.via_head + "z9hG4bKout"))
        request = await self.phone.received.get()
        self.assertIn(flow.via_head.encode(), request)
        lines = request.split(b"\r\n")
        self.phone.send(b"\r\n".join([b"SIP/2.0 180 Ringing", *lines[1:2], *lines[5:]]), self.port)
        response, back = await self.user.responded.get()
        self.assertEqual(response.status, 180)
        self.assertIs(back, flow)

    async def test_keep_alives_are_taken_in_silence(self) -> None:
        for data in (b"", b"\r\n", b"\r\n\r\n", b"\x00\x00\x00\x00", b"\x00"):
            self.phone.send(data, self.port)
        self.phone.send(options(self.via()), self.port)
        await self.user.requested.get()
        self.assertEqual(self.layer.counts.keep_alives, 5)
        self.assertEqual(self.user.faults, [])

    async def test_garbage_is_a_fault(self) -> None:
        self.phone.send(b"\xde\xad\xbe\xef" * 100, self.port)
        error, _ = await self.user.faulted.get()
        self.assertIsNone(error.message)

    async def test_a_burst_larger_than_one_turn(self) -> None:
        for _ in range(200):
            self.phone.send(options(self.via()), self.port)
        for _ in range(200):
            await self.user.requested.get()

    @conforms("RFC 3261 18.4")
    async def test_a_datagram_that_is_too_large_fails_once_and_the_flow_stays_open(self) -> None:
        flow = self.layer.flow_to(Target("UDP", self.host, self.phone.port), 300)
        flow.send(b"x" * 70000)
        flow.send(b"x" * 70000)
        self.assertEqual(self.user.failures, [])
        failed, reason = await self.user.failed.get()
        self.assertIs(failed, flow)
        self.assertIn("too long", reason)
        flow.send(b"still there")
        self.assertEqual(await self.phone.received.get(), b"still there")
        self.assertEqual((len(self.user.failures), self.layer.counts.failed_sends), (1, 2))

    async def test_nothing_is_received_after_stop(self) -> None:
        flow = self.layer.flow_to(Target("UDP", self.host, self.phone.port), 300)
        await self.layer.stop()
        self.assertFalse(flow.is_open)
        flow.send(b"into the void")
        self.phone.send(options(self.via()), self.port)
        turn: Deferred[None] = Deferred()
        REACTOR.callLater(0, turn.callback, None)
        await turn
        self.assertEqual((self.user.requests, self.user.failures), ([], []))


class Udp6Tests(UdpTests):
    """The same over IPv6."""

    host = "::1"


class ScriptedSocket(socket.socket):
    """A real socket whose sends do what ``script`` says: an error number, or 0 to send; then they send."""

    script: list[int]
    read_script: list[int]

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self.script and (number := self.script.pop(0)):
            raise OSError(number, os.strerror(number))
        return super().sendto(data, address)

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, tuple[str, int]]:
        if self.read_script and (number := self.read_script.pop(0)):
            raise OSError(number, os.strerror(number))
        return super().recvfrom(size, flags)


class SendingTests(SynchronousTestCase):
    """What the socket refuses."""

    def setUp(self) -> None:
        self.failed: list[tuple[Flow, str]] = []
        self.counts = TransportCounts(Metrics())
        self.reactor = MemoryReactorClock()
        receiver = self.receiver = Receiver(self.counts, set())
        receiver.user = RecordingUser()
        self.bound = ScriptedSocket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bound.script, self.bound.read_script = [], []
        self.bound.setblocking(False)
        self.bound.bind(("127.0.0.1", 0))
        addressing = Addressing(Advertising())
        self.udp = UdpSocket(
            self.reactor,
            self.bound,
            receiver,
            self.counts,
            addressing,
            lambda flow, why: self.failed.append((flow, why)),
        )
        self.peer = bind_udp("127.0.0.1", 0)
        self.flow = self.udp.flow_for(self.peer.getsockname())
        self.addCleanup(self.udp.close)
        self.addCleanup(self.peer.close)

    def received(self) -> list[bytes]:
        found = []
        try:
            while True:
                found.append(self.peer.recv(100))
        except BlockingIOError:
            return found

    def test_what_the_socket_cannot_take_waits_in_order(self) -> None:
        self.bound.script = [errno.EAGAIN, errno.EAGAIN]
        for data in (b"1", b"2", b"3"):
            self.flow.send(data)
        self.assertEqual(self.received(), [])
        self.assertIn(self.udp, self.reactor.getWriters())
        self.udp.doWrite()
        self.assertEqual(self.received(), [])
        self.udp.doWrite()
        self.assertEqual(self.received(), [b"1", b"2", b"3"])
        self.assertNotIn(self.udp, self.reactor.getWriters())

    def test_the_queue_is_bounded(self) -> None:
        self.bound.script = [errno.EAGAIN]
        for _ in range(5000):
            self.flow.send(b"x")
        self.assertEqual(self.counts.lost_sends, 5000 - 4096)
        self.assertEqual(self.failed, [])

    @conforms("RFC 3261 18.4")
    def test_a_refused_datagram_is_reported_and_the_queue_goes_on(self) -> None:
        self.bound.script = [errno.EAGAIN, errno.ENETUNREACH, 0]
        self.flow.send(b"1")
        self.flow.send(b"2")
        self.udp.doWrite()
        self.assertEqual(self.received(), [b"2"])
        self.assertEqual([flow for flow, _ in self.failed], [self.flow])

    def test_every_refusal_is_counted_and_none_raises(self) -> None:
        numbers = [errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED]
        self.bound.script = list(numbers)
        for _ in numbers:
            self.flow.send(b"x")
        self.udp.flow_for(("127.0.0.1", 70000)).send(b"x")
        self.assertEqual(self.counts.failed_sends, 6)

    def test_flows_are_shared_while_they_are_remembered_and_forgotten_in_bounded_time(self) -> None:
        self.assertIs(self.flow, self.udp.flow_for(self.peer.getsockname()))
        for port in range(1, 30000):
            self.udp.flow_for(("127.0.0.2", port))
        self.assertLess(len(self.udp._flows) + len(self.udp._older), 2 * 8192 + 1)

    @conforms("RFC 3261 18.2.2", "RFC 3581 4")
    def test_the_flow_of_a_response(self) -> None:
        remote = self.flow.remote
        marked = parse_via(f"SIP/2.0/UDP 10.0.0.1;received={remote[0]};rport={remote[1]}")
        self.assertIs(self.flow.answering(marked), self.flow)
        plain = self.flow.answering(parse_via("SIP/2.0/UDP 127.0.0.1:5999"))
        self.assertIsInstance(plain, UdpFlow)
        self.assertEqual(plain.remote, ("127.0.0.1", 5999))
        self.assertIs(self.flow.answering(parse_via("SIP/2.0/UDP not.marked.example.com")), self.flow)

    def test_an_error_of_a_read_is_counted_and_reading_goes_on(self) -> None:
        self.bound.read_script = [errno.ECONNREFUSED, 0, errno.EHOSTUNREACH]
        for _ in range(2):
            self.peer.sendto(b"\r\n\r\n", self.udp.local)
        self.udp.doRead()
        self.assertEqual((self.counts.failed_reads, self.counts.keep_alives), (2, 2))

    def test_closing_in_the_middle_of_a_burst(self) -> None:
        class ClosingUser(RecordingUser):
            def receive_request(user, request: Request, flow: Flow) -> None:  # noqa: N805 # self is the test
                RecordingUser.receive_request(user, request, flow)
                self.udp.connectionLost(connectionDone)

        user = self.receiver.user = ClosingUser()
        for _ in range(2):
            self.peer.sendto(options("SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx"), self.udp.local)
        self.udp.doRead()
        self.assertEqual((len(user.requests), self.udp.is_open), (1, False))


class BindTests(SynchronousTestCase):
    def test_the_buffers_are_larger_than_the_default(self) -> None:
        with bind_udp("127.0.0.1", 0) as bound, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            asked, default = (each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for each in (bound, plain))
            self.assertGreaterEqual(asked, default)

    def test_ipv6_leaves_ipv4_alone(self) -> None:
        with bind_udp("::", 0) as six, bind_udp("0.0.0.0", six.getsockname()[1]):
            pass

    def test_a_port_in_use_is_an_error(self) -> None:
        with bind_udp("127.0.0.1", 0) as bound:
            self.assertRaises(OSError, bind_udp, "127.0.0.1", bound.getsockname()[1])
