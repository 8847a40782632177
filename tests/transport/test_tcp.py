"""One connection: framing at every cut, keep-alives, deadlines on virtual time, bounds."""

from __future__ import annotations

from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.headers import parse_via
from gosip_py.sip.message import Request
from gosip_py.transport.addressing import Addressing, Advertising
from gosip_py.transport.admission import Limits
from gosip_py.transport.connections import Connections
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Flow
from gosip_py.transport.reactor import ITransportReactor
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.reports import FailureReports
from gosip_py.transport.tcp import StreamConnection
from gosip_py.transport.tls import TlsTrust
from tests.conformance import conforms
from tests.transport.peers import WaitingUser, options

OURS = ("192.0.2.1", 5060)
REQUEST = options("SIP/2.0/TCP 192.0.2.9:5090;branch=z9hG4bKx", body=b"\r\n\r\nhello\r\n")


class Wire(StringTransport):
    """A transport that closes as Twisted's do: connectionLost comes by itself."""

    protocol: StreamConnection | None = None
    is_aborted = False
    is_half_closed = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nobody to keep alive."""

    def loseWriteConnection(self) -> None:
        self.is_half_closed = True

    def abortConnection(self) -> None:
        self.is_aborted = True
        self.end()

    def end(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone("gone")))


class StreamTestCase(SynchronousTestCase):
    limits = Limits()

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.counts = TransportCounts(Metrics())
        addressing = Addressing(Advertising())
        receiver = Receiver(self.counts, addressing.issued)
        self.user = receiver.user = WaitingUser(status=200)
        reports = FailureReports(self.reactor, receiver, self.counts)
        self.connections = Connections(
            cast(ITransportReactor, self.reactor),
            receiver,
            self.counts,
            addressing,
            reports.report,
            self.limits,
            TlsTrust(),
        )

    def accepted(self, port: int = 4711, host: str = "192.0.2.9") -> tuple[StreamConnection, Wire]:
        connection = self.connections.accept("TCP", OURS, (host, port))
        assert connection is not None
        return connection, self.wire(connection, host, port)

    def wire(self, connection: StreamConnection, host: str, port: int) -> Wire:
        wire = Wire(IPv4Address("TCP", *OURS), IPv4Address("TCP", host, port))
        wire.protocol = connection
        connection.makeConnection(wire)
        return wire

    def pass_time(self, seconds: float) -> None:
        """In steps as the layer sweeps."""
        for _ in range(int(seconds / 5)):
            self.reactor.advance(5)
            self.connections.sweep()


class ReceivingTests(StreamTestCase):
    @conforms("RFC 3261 18.3")
    def test_cut_at_every_index(self) -> None:
        for cut in range(1, len(REQUEST)):
            connection, wire = self.accepted(cut)
            connection.dataReceived(REQUEST[:cut])
            self.assertEqual(wire.value(), b"")
            connection.dataReceived(REQUEST[cut:])
            self.assertEqual(wire.value().count(b"SIP/2.0 200 OK"), 1, cut)
            wire.end()
        self.assertEqual(
            [request.body for request, _ in self.user.requests], [b"\r\n\r\nhello\r\n"] * (len(REQUEST) - 1)
        )

    def test_one_octet_at_a_time(self) -> None:
        connection, wire = self.accepted()
        for octet in REQUEST * 3:
            connection.dataReceived(bytes((octet,)))
        self.assertEqual(wire.value().count(b"SIP/2.0 200 OK"), 3)

    @conforms("RFC 3261 18.3")
    def test_many_in_one_segment(self) -> None:
        connection, _ = self.accepted()
        connection.dataReceived(REQUEST * 50 + REQUEST[:10])
        self.assertEqual(len(self.user.requests), 50)

    @conforms("RFC 5626 4.4.1", "RFC 5626 5.4")
    def test_a_ping_is_answered(self) -> None:
        connection, wire = self.accepted()
        connection.dataReceived(b"\r\n\r\n")
        self.assertEqual(wire.value(), b"\r\n")
        connection.dataReceived(b"\r\n")
        connection.dataReceived(b"\r\n" + REQUEST)
        self.assertEqual(wire.value().count(b"200 OK"), 1)
        self.assertTrue(wire.value().startswith(b"\r\n\r\nSIP"))
        self.assertEqual(self.counts.keep_alives, 2)

    @conforms("RFC 3261 18.3")
    def test_a_fault_is_answered_with_400_and_then_the_connection_closes(self) -> None:
        connection, wire = self.accepted()
        connection.dataReceived(REQUEST.replace(b"Content-Length: 11", b"Content-Length: eleven") + REQUEST)
        self.assertTrue(wire.value().startswith(b"SIP/2.0 400 Bad Request"))
        self.assertTrue(wire.is_half_closed)
        self.assertFalse(connection.flow.is_open)
        self.assertEqual(self.user.requests, [])
        connection.dataReceived(b"x" * 10_000_000)
        self.pass_time(5)
        self.assertTrue(wire.is_aborted)

    def test_a_body_of_10_mb_is_refused_from_its_head(self) -> None:
        connection, wire = self.accepted()
        head = REQUEST.replace(b"Content-Length: 11", b"Content-Length: 10000000")
        for _ in range(100):
            connection.dataReceived(head)
        self.assertEqual(wire.value().count(b"SIP/2.0 400"), 1)
        self.assertEqual(connection._framer.bytes_held, 0)

    def test_garbage_ends_the_connection(self) -> None:
        for data in (b"\xff\xfe" * 10000, b"GET / HTTP/1.1\r\n\r\n", b"A" * 70000, b"\x16\x03\x01" + b"\0" * 70000):
            connection, wire = self.accepted()
            connection.dataReceived(data)
            self.assertTrue(wire.is_half_closed)
            wire.end()
        self.assertEqual(self.counts.internal_errors, 0)

    def test_10000_headers(self) -> None:
        connection, wire = self.accepted()
        connection.dataReceived(REQUEST.replace(b"Call-ID", b"X: y\r\n" * 10000 + b"Call-ID"))
        self.assertTrue(wire.is_half_closed)

    def test_an_exception_of_ours_ends_this_connection_only(self) -> None:
        connection, wire = self.accepted()

        class BrokenFramer:
            is_dead = False
            bytes_held = 0

            def feed(self, data: bytes) -> list[object]:
                raise RuntimeError("we broke")

        connection._framer = BrokenFramer()  # type: ignore[assignment]  # no bytes are known that break the real one
        connection.dataReceived(b"x")
        self.assertTrue(wire.is_aborted)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.counts.internal_errors, len(self.connections)), (1, 0))


class FlowTests(StreamTestCase):
    @conforms("RFC 3261 18.4")
    def test_the_end_of_a_connection_is_told_once_and_not_from_inside_it(self) -> None:
        connection, wire = self.accepted()
        wire.end()
        self.assertEqual(self.user.failures, [])
        self.reactor.advance(0)
        self.reactor.advance(10)
        self.assertEqual([flow for flow, _ in self.user.failures], [connection.flow])

    def test_sending_on_an_ended_flow_is_told_again(self) -> None:
        connection, wire = self.accepted()
        wire.end()
        self.reactor.advance(0)
        connection.flow.send(REQUEST)
        connection.flow.send(REQUEST)
        self.reactor.advance(0)
        self.assertEqual(len(self.user.failures), 2)

    def test_a_user_that_breaks_over_a_failure_is_logged_and_the_others_are_told(self) -> None:
        told: list[Flow] = []

        class BrokenUser(WaitingUser):
            def flow_failed(self, flow: Flow, reason: str) -> None:
                told.append(flow)
                raise RuntimeError("we broke")

        self.connections.receiver.user = BrokenUser()
        flows = []
        for port in (1, 2):
            connection, wire = self.accepted(port)
            flows.append(connection.flow)
            wire.end()
        self.reactor.advance(0)
        self.assertEqual(told, flows)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    @conforms("RFC 3261 18.2.2", "RFC 3263 5")
    def test_responses_go_over_the_connection_of_the_request(self) -> None:
        connection, wire = self.accepted()
        via = parse_via("SIP/2.0/TCP 10.0.0.1:5090;received=192.0.2.9")
        self.assertIs(connection.flow.answering(via), connection.flow)
        wire.end()
        other = connection.flow.answering(via)
        self.assertEqual(other.remote, ("192.0.2.9", 5090))
        self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.9", 5090))

    @conforms("RFC 3261 18")
    def test_a_request_finds_the_connection_that_the_peer_opened(self) -> None:
        connection, _ = self.accepted()
        self.assertIs(self.connections.flow_to("TCP", "192.0.2.9", 4711), connection.flow)
        self.assertIsNot(self.connections.flow_to("TCP", "192.0.2.9", 4712), connection.flow)

    def test_an_alias_is_what_via_says_when_it_names_the_peers_own_address(self) -> None:
        connection, wire = self.accepted()
        connection.dataReceived(REQUEST)
        self.assertIs(self.connections.flow_to("TCP", "192.0.2.9", 5090), connection.flow)
        wire.end()
        self.assertIsNot(self.connections.flow_to("TCP", "192.0.2.9", 5090), connection.flow)

    def test_nobody_can_claim_the_address_of_another(self) -> None:
        connection, _ = self.accepted(host="192.0.2.66")
        connection.dataReceived(REQUEST.replace(b"SIP/2.0/TCP 192.0.2.9:5090", b"SIP/2.0/TCP 192.0.2.9:5090;alias"))
        self.assertIsNot(self.connections.flow_to("TCP", "192.0.2.9", 5090), connection.flow)

    def test_a_peer_behind_a_nat_gets_no_alias_for_a_port_that_may_be_its_neighbours(self) -> None:
        connection, _ = self.accepted()
        connection.dataReceived(REQUEST.replace(b"SIP/2.0/TCP 192.0.2.9:5090", b"SIP/2.0/TCP 10.0.0.7:5090"))
        self.assertIsNot(self.connections.flow_to("TCP", "192.0.2.9", 5090), connection.flow)

    def test_an_alias_does_not_take_the_place_of_an_open_connection(self) -> None:
        first, _ = self.accepted(1)
        first.dataReceived(REQUEST)
        second, _ = self.accepted(2)
        second.dataReceived(REQUEST)
        self.assertIs(self.connections.flow_to("TCP", "192.0.2.9", 5090), first.flow)

    def test_over_tls_a_peer_without_a_certificate_gets_no_alias(self) -> None:
        connection = self.connections.accept("TLS", OURS, ("192.0.2.9", 4711))
        assert connection is not None
        self.connections.offer_alias(connection.flow, parse_via("SIP/2.0/TLS 192.0.2.9:5061;alias"))
        self.assertIsNot(self.connections.flow_to("TLS", "192.0.2.9", 5061), connection.flow)


class ConnectingTests(StreamTestCase):
    limits = Limits(queued_octets=1000)

    def connect(self, host: str = "192.0.2.9") -> tuple[Flow, StreamConnection]:
        flow = self.connections.flow_to("TCP", host, 5060)
        factory = self.reactor.tcpClients[-1][2]
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, StreamConnection)
        return flow, protocol

    def test_what_is_sent_meanwhile_is_queued_in_order(self) -> None:
        flow, connection = self.connect()
        flow.send(b"1")
        flow.send(b"2")
        self.assertTrue(flow.is_open)
        self.assertIs(self.connections.flow_to("TCP", "192.0.2.9", 5060), flow)
        wire = self.wire(connection, "192.0.2.9", 5060)
        flow.send(b"3")
        self.assertEqual(wire.value(), b"123")

    def test_the_queue_is_bounded_and_the_flow_fails_once(self) -> None:
        flow, _ = self.connect()
        for _ in range(20):
            flow.send(b"x" * 100)
        self.reactor.advance(0)
        self.assertFalse(flow.is_open)
        self.assertEqual(len(self.user.failures), 1)

    def test_a_flow_that_ended_stops_connecting(self) -> None:
        self.connections.flow_to("TCP", "192.0.2.9", 5060).send(b"x" * 2000)
        self.assertTrue(self.reactor.connectors[-1]._disconnected)
        self.assertEqual(self.connections._connecting, {})

    def test_a_connection_that_comes_too_late_is_dropped(self) -> None:
        flow = self.connections.flow_to("TCP", "192.0.2.9", 5060)
        flow.send(b"x" * 2000)
        self.assertIsNone(self.reactor.tcpClients[-1][2].buildProtocol(None))

    @conforms("RFC 3261 18.4")
    def test_a_connection_that_is_refused_fails_once(self) -> None:
        flow = self.connections.flow_to("TCP", "192.0.2.8", 5060)
        self.reactor.tcpClients[-1][2].clientConnectionFailed(self.reactor.connectors[-1], Failure(OSError("no")))
        self.assertFalse(flow.is_open)
        self.reactor.advance(0)
        self.assertEqual(self.user.failures, [(flow, "connecting failed: no")])
        self.assertEqual(self.connections._flows, {})

    def test_a_name_is_no_address(self) -> None:
        flow = self.connections.flow_to("TCP", "pbx.example.com", 5060)
        self.assertFalse(flow.is_open)
        self.reactor.advance(0)
        self.assertEqual(self.user.failures, [(flow, "pbx.example.com is no address")])
        self.assertEqual((self.connections._flows, self.reactor.tcpClients), ({}, []))

    def test_over_tls_each_domain_has_a_connection_of_its_own(self) -> None:
        one = self.connections.flow_to("TLS", "192.0.2.9", 5061, "example.com")
        self.assertIs(self.connections.flow_to("TLS", "192.0.2.9", 5061, "example.com"), one)
        other = self.connections.flow_to("TLS", "192.0.2.9", 5061, "example.org")
        self.assertIsNot(other, one)
        self.assertIsNot(self.connections.flow_to("TLS", "192.0.2.9", 5061), other)
        self.assertIs(
            self.connections.flow_to("TCP", "192.0.2.9", 5060, "example.com"),
            self.connections.flow_to("TCP", "192.0.2.9", 5060, "example.org"),
        )


class DeadlineTests(StreamTestCase):
    @conforms("RFC 3261 18")
    def test_an_idle_connection_is_closed(self) -> None:
        _, wire = self.accepted()
        self.pass_time(595)
        self.assertFalse(wire.disconnecting)
        self.pass_time(15)
        self.assertTrue(wire.disconnecting)
        self.pass_time(10)
        self.assertTrue(wire.is_aborted)
        self.assertEqual(len(self.connections), 0)

    def test_a_keep_alive_keeps_it(self) -> None:
        connection, wire = self.accepted()
        for _ in range(30):
            self.pass_time(120)
            connection.dataReceived(b"\r\n")
        self.assertEqual((wire.disconnecting, wire.is_aborted), (False, False))

    def test_what_we_send_keeps_it(self) -> None:
        connection, wire = self.accepted()
        for _ in range(30):
            self.pass_time(120)
            connection.flow.send(REQUEST)
        self.assertFalse(wire.disconnecting)

    def test_a_message_in_drips_is_cut_off(self) -> None:
        connection, wire = self.accepted()
        for octet in REQUEST[:5]:
            self.assertFalse(wire.is_aborted)
            connection.dataReceived(bytes((octet,)))
            self.pass_time(5)
        self.pass_time(15)
        self.assertTrue(wire.is_aborted)
        self.assertEqual(self.counts.timed_out_connections, 1)

    def test_a_connection_that_is_never_between_messages_is_none_that_drips(self) -> None:
        connection, wire = self.accepted()
        for _ in range(20):
            connection.dataReceived(REQUEST[:50])
            self.pass_time(20)
            connection.dataReceived(REQUEST[50:] + REQUEST[:50])
            self.pass_time(20)
            connection.dataReceived(REQUEST[50:])
        self.assertFalse(wire.is_aborted)

    def test_a_peer_that_does_not_read_loses_its_connection_by_time(self) -> None:
        connection, wire = self.accepted()
        connection.pauseProducing()
        self.pass_time(25)
        self.assertFalse(wire.is_aborted)
        self.pass_time(5)
        self.assertTrue(wire.is_aborted)

    def test_a_peer_that_does_not_read_loses_its_connection_by_size(self) -> None:
        connection, wire = self.accepted()
        connection.pauseProducing()
        for _ in range(10):
            connection.flow.send(b"x" * 100_000)
        self.assertFalse(wire.is_aborted)
        connection.flow.send(b"x" * 100_000)
        self.assertTrue(wire.is_aborted)
        self.assertLess(len(wire.value()), 1_048_577)

    def test_a_peer_that_reads_again_is_forgiven(self) -> None:
        connection, wire = self.accepted()
        for _ in range(30):
            connection.pauseProducing()
            connection.flow.send(b"x" * 100_000)
            self.pass_time(20)
            connection.resumeProducing()
        self.assertFalse(wire.is_aborted)

    def test_a_tls_handshake_must_end(self) -> None:
        connection = self.connections.accept("TLS", OURS, ("192.0.2.9", 4711))
        assert connection is not None
        wire = self.wire(connection, "192.0.2.9", 4711)
        self.pass_time(5)
        self.assertFalse(wire.is_aborted)
        self.pass_time(5)
        self.assertTrue(wire.is_aborted)


class AdmissionTests(StreamTestCase):
    limits = Limits(connections=10, connections_per_address=3)

    def test_bounds_of_an_address_and_of_all(self) -> None:
        mine = [self.accepted(port) for port in range(3)]
        self.assertIsNone(self.connections.accept("TCP", OURS, ("192.0.2.9", 9)))
        for number in range(7):
            self.accepted(1, f"192.0.2.{100 + number}")
        self.assertIsNone(self.connections.accept("TCP", OURS, ("192.0.2.200", 1)))
        self.assertEqual(self.counts.refused_connections, 2)
        mine[0][1].end()
        self.assertIsNotNone(self.connections.accept("TCP", OURS, ("192.0.2.9", 9)))

    def test_a_flood_leaves_nothing_behind(self) -> None:
        for number in range(20000):
            connection = self.connections.accept("TCP", OURS, (f"10.0.{number % 200}.1", number))
            if connection is not None and number % 3 == 0:
                self.wire(connection, f"10.0.{number % 200}.1", number)
            elif connection is not None:
                self.wire(connection, f"10.0.{number % 200}.1", number).end()
        self.assertLess(len(self.connections), 11)
        self.assertLess(len(self.connections._flows), 11)
        for open_connection in tuple(self.connections._open):
            open_connection.connectionLost(connectionDone)
        self.reactor.advance(0)
        left = (len(self.connections), self.connections.admission.admitted, len(self.connections._flows))
        self.assertEqual(left, (0, 0, 0))
        self.assertEqual(self.connections.admission._by_host, {})


class RequestMarkTests(StreamTestCase):
    def test_the_via_of_a_request_is_marked_as_over_udp(self) -> None:
        connection, _ = self.accepted()
        connection.dataReceived(REQUEST.replace(b"192.0.2.9:5090", b"10.0.0.1:5090;rport"))
        request: Request = self.user.requests[0][0]
        parameters = request.top_via.parameters
        self.assertEqual((parameters["received"], parameters["rport"]), ("192.0.2.9", "4711"))
