"""The layer on real loopback sockets: listening, connecting, reuse, the switch to TCP, what is local, the end."""

from __future__ import annotations

from ipaddress import ip_network
from typing import cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, serverFromString
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.parser import parse_message
from gosip_py.transport.addressing import Advertising
from gosip_py.transport.admission import Limits
from gosip_py.transport.connections import bind_tcp
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.layer import TransportLayer
from gosip_py.transport.udp import bind_udp
from tests.conformance import conforms
from tests.transport.peers import REACTOR, StreamPeer, UdpPeer, WaitingUser, options


def free_port() -> int:
    """A port at which nobody listens for TCP."""
    with bind_tcp("127.0.0.1", 0) as bound:
        port: int = bound.getsockname()[1]
        return port


class ClosingPeer(Protocol):
    """Accepts, and wants nothing."""

    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).abortConnection()


class LayerTestCase(TestCase):
    timeout = 20
    limits = Limits(close_seconds=0.2)

    def setUp(self) -> None:
        self.metrics = Metrics()
        self.layer = self.new_layer()
        self.user = self.layer.user = WaitingUser(status=200)

    def new_layer(self, advertising: Advertising = Advertising()) -> TransportLayer:  # noqa: B008 # frozen
        layer = TransportLayer(REACTOR, self.metrics, advertising, self.limits)
        self.addCleanup(layer.stop)
        return layer

    async def connected(self, port: int, host: str = "127.0.0.1") -> StreamPeer:
        endpoint = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        peer = await StreamPeer.connect(endpoint(reactor, host, port))
        self.addCleanup(peer.close)
        return peer


class TcpTests(LayerTestCase):
    @conforms("RFC 3261 18", "RFC 3261 18.2.1")
    async def test_a_request_comes_in_and_its_response_goes_back(self) -> None:
        for host in ("127.0.0.1", "::1"):
            port = self.layer.listen_tcp(host, 0).port
            peer = await self.connected(port, host)
            peer.send(options(f"SIP/2.0/TCP 10.0.0.1:{peer.port};branch=z9hG4bKx;rport"))
            request, flow = await self.user.requested.get()
            self.assertEqual(request.top_via.parameters["received"], host)
            self.assertEqual((flow.local, flow.remote), ((host, port), (host, peer.port)))
            self.assertIn(b"SIP/2.0 200 OK", await peer.received.get())

    @conforms("RFC 3261 18")
    async def test_two_layers_talk_over_one_connection(self) -> None:
        other = self.new_layer()
        other.user = WaitingUser()
        port = self.layer.listen_tcp("127.0.0.1", 0).port
        back = other.listen_tcp("127.0.0.1", 0).port
        flow = other.flow_to(Target("TCP", "127.0.0.1", port), 300)
        self.assertEqual(flow.sent_by, f"127.0.0.1:{back}")
        flow.send(options(flow.via_head + "z9hG4bKx"))
        flow.send(options(flow.via_head + "z9hG4bKy"))
        for _ in range(2):
            response, arrived_by = await other.user.responded.get()
            self.assertEqual(response.status, 200)
            self.assertIs(arrived_by, flow)
        self.assertIs(other.flow_to(Target("TCP", "127.0.0.1", port), 300), flow)
        # and in the other direction, for the Via named where the other one listens
        self.assertEqual(self.layer.flow_to(Target("TCP", "127.0.0.1", back), 300).remote, flow.local)
        self.assertEqual((self.layer.connections, other.connections), (1, 1))

    @conforms("RFC 3261 18.4")
    async def test_connection_refused_is_reported_once_and_later(self) -> None:
        flow = self.layer.flow_to(Target("TCP", "127.0.0.1", free_port()), 300)
        for _ in range(3):
            flow.send(options(flow.via_head + "z9hG4bKx"))
        self.assertEqual(self.user.failures, [])
        failed, reason = await self.user.failed.get()
        self.assertIs(failed, flow)
        self.assertIn("refused", reason)
        self.assertFalse(flow.is_open)
        self.assertEqual(len(self.user.failures), 1)

    async def test_a_name_is_no_address_and_each_send_is_told_once(self) -> None:
        self.layer.listen_udp("127.0.0.1", 0)
        for transport in ("UDP", "TCP"):
            flow = self.layer.flow_to(Target(transport, "nowhere.invalid", 5060), 300)
            for _ in range(100):
                flow.send(b"x")
            self.assertFalse(flow.is_open)
            failed, _reason = await self.user.failed.get()
            self.assertIs(failed, flow)
            flow.send(b"whoever sends on it again hears it again")
            failed, _reason = await self.user.failed.get()
            self.assertIs(failed, flow)
        self.assertEqual(len(self.user.failures), 4)

    async def test_the_way_to_a_name(self) -> None:
        """By the hosts file: names of one word are never asked of name servers."""
        peer = UdpPeer()
        self.addCleanup(peer.close)
        self.layer.listen_udp("127.0.0.1", 0)
        found: Deferred[tuple[Target, ...]] = Deferred()
        self.layer.locator.locate(Target("", "localhost", peer.port), found.callback)
        (hop,) = await found
        self.assertEqual(hop, Target("UDP", "127.0.0.1", peer.port, domain="localhost"))
        self.layer.flow_to(hop, 300).send(b"first")
        self.assertEqual(await peer.received.get(), b"first")

    async def test_addresses_of_families_that_have_no_socket_are_not_found(self) -> None:
        for listen, families in ((self.layer.listen_udp, ("::1",)), (self.layer.listen_tcp, ("::1", "127.0.0.1"))):
            for host in families:
                listen(host, 0)
        self.assertEqual(self.layer._families("UDP"), (6,))
        self.assertEqual(sorted(self.layer._families("TCP")), [4, 6])
        self.assertEqual(sorted(self.layer._families("TLS")), [4, 6])
        self.assertEqual(self.new_layer()._families("UDP"), ())
        self.assertEqual(self.new_layer()._families("TCP"), (4,))

    @conforms("RFC 3261 18.4")
    async def test_the_peer_closes_while_we_send(self) -> None:
        port = self.layer.listen_tcp("127.0.0.1", 0).port
        peer = await self.connected(port)
        peer.send(options("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx"))
        _, flow = await self.user.requested.get()
        await peer.close()
        flow.send(b"x" * 500_000)
        failed, _ = await self.user.failed.get()
        self.assertIs(failed, flow)
        self.assertEqual(len(self.user.failures), 1)

    async def test_a_peer_that_accepts_and_closes_at_once(self) -> None:
        closing = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
        port = await closing.listen(Factory.forProtocol(ClosingPeer))
        self.addCleanup(port.stopListening)
        flow = self.layer.flow_to(Target("TCP", "127.0.0.1", port.getHost().port), 300)
        flow.send(options(flow.via_head + "z9hG4bKx"))
        failed, _ = await self.user.failed.get()
        self.assertIs(failed, flow)
        self.assertEqual(len(self.user.failures), 1)

    async def test_stop_while_connecting(self) -> None:
        with bind_tcp("127.0.0.1", 0) as bound:
            flow = self.layer.flow_to(Target("TCP", "127.0.0.1", bound.getsockname()[1]), 300)
            flow.send(b"x")
            await self.layer.stop()
        self.assertFalse(flow.is_open)

    async def test_10_mb_get_their_400_before_the_connection_closes(self) -> None:
        port = self.layer.listen_tcp("127.0.0.1", 0).port
        peer = await self.connected(port)
        request = options("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx", body=b"x" * 10_000_000)
        peer.send(request)
        self.assertIn(b"SIP/2.0 400 Bad Request", await peer.received.get())
        await peer.closed
        self.assertEqual(self.user.requests, [])

    async def test_a_flood_of_connections_is_bounded(self) -> None:
        layer = TransportLayer(REACTOR, self.metrics, limits=Limits(connections_per_address=5, close_seconds=0.2))
        self.addCleanup(layer.stop)
        layer.user = self.user
        port = layer.listen_tcp("127.0.0.1", 0).port
        peers = [await self.connected(port) for _ in range(40)]
        await DeferredList([peer.closed for peer in peers[5:]])
        self.assertEqual((layer.connections, layer.counts.refused_connections), (5, 35))
        peers[0].send(options("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx"))
        self.assertIn(b"200 OK", await peers[0].received.get())


class SwitchTests(LayerTestCase):
    """RFC 3261 18.1.1."""

    def setUp(self) -> None:
        super().setUp()
        self.port = self.layer.listen_udp("127.0.0.1", 0).port

    @conforms("RFC 3261 18.1.1")
    def test_a_large_request_goes_by_tcp(self) -> None:
        target = Target("UDP", "127.0.0.1", free_port())
        sizes = {1300: "UDP", 1301: "TCP"}
        self.assertEqual({size: self.layer.flow_to(target, size).transport for size in sizes}, sizes)

    @conforms("RFC 3261 18.1.1")
    def test_but_not_when_the_target_is_a_flow_that_is_open(self) -> None:
        flow = self.layer.flow_to(Target("UDP", "127.0.0.1", 9), 300)
        self.assertIs(self.layer.flow_to(Target("UDP", "127.0.0.1", 9, flow), 5000), flow)

    @conforms("RFC 3261 18.1.1")
    async def test_back_to_udp_when_tcp_is_refused(self) -> None:
        phone = UdpPeer()
        self.addCleanup(phone.close)
        target = Target("UDP", "127.0.0.1", phone.port)
        flow = self.layer.flow_to(target, 5000)
        flow.send(options(flow.via_head + "z9hG4bKx", body=b"x" * 5000))
        await self.user.failed.get()
        flow = self.layer.flow_to(target, 5000, allow_upgrade=False)
        flow.send(options(flow.via_head + "z9hG4bKx", body=b"x" * 5000))
        request = parse_message(await phone.received.get())
        self.assertEqual((request.top_via.transport, len(request.body)), ("UDP", 5000))


class ChoiceTests(LayerTestCase):
    async def test_a_target_whose_flow_is_gone_is_reached_by_its_address(self) -> None:
        port = self.layer.listen_tcp("127.0.0.1", 0).port
        peer = await self.connected(port)
        peer.send(options("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx"))
        _, flow = await self.user.requested.get()
        target = Target("TCP", "127.0.0.1", port, flow)
        self.assertIs(self.layer.flow_to(target, 300), flow)
        await peer.close()
        await self.user.failed.get()
        self.assertIsNot(self.layer.flow_to(target, 300), flow)

    async def test_no_socket_of_the_family(self) -> None:
        self.layer.listen_udp("127.0.0.1", 0)
        for target in (Target("UDP", "::1", 5060), Target("UDP", "fe80::1%nowhere", 5060), Target("SCTP", "::1", 1)):
            flow = self.layer.flow_to(target, 300)
            self.assertFalse(flow.is_open)
            failed, _ = await self.user.failed.get()
            self.assertIs(failed, flow)

    def test_of_several_sockets_the_one_on_the_route(self) -> None:
        self.layer.listen_udp("127.0.0.5", 0)
        right = self.layer.listen_udp("127.0.0.1", 0)
        flow = self.layer.flow_to(Target("UDP", "127.0.0.1", 9), 300)
        self.assertEqual(flow.local, (right.host, right.port))

    def test_brackets_are_no_part_of_an_address(self) -> None:
        port = self.layer.listen_udp("::1", 0).port
        flow = self.layer.flow_to(Target("UDP", "[0::0:1]", 5080), 300)
        self.assertEqual((flow.remote, flow.sent_by), (("::1", 5080), f"[::1]:{port}"))


class PortTests(LayerTestCase):
    def test_the_real_ports_are_told(self) -> None:
        for listen in (self.layer.listen_udp, self.layer.listen_tcp):
            for host in ("127.0.0.1", "::1"):
                self.assertNotEqual(listen(host, 0).port, 0)
        listener = self.layer.ports()[-1]
        self.assertEqual([(each.transport, each.host) for each in self.layer.ports()], [
            ("UDP", "127.0.0.1"), ("UDP", "::1"), ("TCP", "127.0.0.1"), ("TCP", "::1"),
        ])  # fmt: skip
        self.assertEqual(str(listener), f"tcp://[::1]:{listener.port}")

    @conforms("RFC 3261 18.2.1")
    def test_udp_and_tcp_and_both_families_share_a_port(self) -> None:
        port = self.layer.listen_udp("0.0.0.0", 0).port
        for host in ("0.0.0.0", "::"):
            self.layer.listen_tcp(host, port)
        self.layer.listen_udp("::", port)

    def test_a_port_in_use_is_an_error(self) -> None:
        port = self.layer.listen_tcp("127.0.0.1", 0).port
        self.assertRaises(OSError, self.layer.listen_tcp, "127.0.0.1", port)
        with bind_udp("127.0.0.1", 0) as bound:
            self.assertRaises(OSError, self.layer.listen_udp, "127.0.0.1", bound.getsockname()[1])
        self.assertEqual(len(self.layer.ports()), 1)

    def test_what_is_local(self) -> None:
        layer = self.new_layer(Advertising("203.0.113.5", (ip_network("127.0.0.0/8"),)))
        port = layer.listen_udp("0.0.0.0", 0).port
        for host in ("127.0.0.1", "203.0.113.5"):
            for _ in range(2):
                self.assertTrue(layer.is_local(host, port), host)
            self.assertFalse(layer.is_local(host, port + 1))
            self.assertFalse(layer.is_local(host, None))
        self.assertFalse(layer.is_local("198.51.100.1", port))
        self.assertEqual(layer.port_numbers, {port})
        for _ in range(2):
            self.assertTrue(layer.names_us("203.0.113.5"))
            self.assertFalse(layer.names_us("198.51.100.1"))
        self.assertFalse(layer.is_local("example.com", port))

    async def test_stop_closes_every_port_and_can_be_called_twice(self) -> None:
        listeners = [self.layer.listen_tcp("127.0.0.1", 0), self.layer.listen_udp("127.0.0.1", 0)]
        peer = await self.connected(listeners[0].port)
        await self.layer.stop()
        await peer.closed
        await self.layer.stop()
        bind_tcp("127.0.0.1", listeners[0].port).close()
        bind_udp("127.0.0.1", listeners[1].port).close()
        self.assertEqual((self.layer.ports(), self.layer.connections), ((), 0))

    async def test_stop_sends_what_was_written_and_waits_for_no_peer_for_ever(self) -> None:
        port = self.layer.listen_tcp("127.0.0.1", 0).port
        reading, silent = await self.connected(port), await self.connected(port)
        flows: list[Flow] = []
        for peer in (reading, silent):
            peer.send(options("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx"))
            _, flow = await self.user.requested.get()
            await peer.received.get()
            flows.append(flow)
        silent.wire.pauseProducing()  # type: ignore[attr-defined]  # Twisted's own connections have it
        for flow in flows:
            flow.send(b"y" * 60_000)
        flows[1].send(b"y" * 900_000)
        await self.layer.stop()
        await reading.closed
        got = 0
        while reading.received.pending:
            got += len(await reading.received.get())
        self.assertEqual((got, self.layer.connections), (60_000, 0))

    async def test_nothing_connects_after_stop(self) -> None:
        await self.layer.stop()
        flow = self.layer.flow_to(Target("TCP", "127.0.0.1", free_port()), 300)
        self.assertFalse(flow.is_open)


class SweepTests(SynchronousTestCase):
    def test_the_sweep_goes_on_until_stop(self) -> None:
        clock = MemoryReactorClock()
        layer = TransportLayer(clock, Metrics())  # type: ignore[arg-type]  # all of the interface that is used here
        layer.listen_udp("127.0.0.1", 0)
        for _ in range(5):
            self.assertEqual(len(clock.getDelayedCalls()), 1)
            clock.advance(5)
        self.successResultOf(layer.stop())
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_the_routing_table_is_asked_anew_now_and_then(self) -> None:
        clock = MemoryReactorClock()
        layer = TransportLayer(clock, Metrics())  # type: ignore[arg-type]  # as above
        port = layer.listen_udp("0.0.0.0", 0).port
        self.addCleanup(lambda: self.successResultOf(layer.stop()))
        clock.advance(5)
        layer.is_local("198.51.100.7", port)
        remembered = layer._addressing._sources
        self.assertEqual(list(remembered), ["198.51.100.7"])
        for _ in range(12):
            clock.advance(5)
        self.assertEqual(remembered, {})
