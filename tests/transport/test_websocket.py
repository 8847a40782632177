"""SIP over WebSocket: the handshake, frames at every cut, bounds, deadlines on virtual time; then on real sockets."""

from __future__ import annotations

import random
from collections.abc import Collection
from functools import partial

from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint

from gosip_py.sip.headers import parse_via
from gosip_py.sip.message import Request
from gosip_py.transport.admission import Limits
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.tcp import StreamConnection
from gosip_py.transport.websocket import WebSocketConnection
from tests.conformance import conforms
from tests.transport.browser import Browser, BrowserPeer
from tests.transport.peers import options
from tests.transport.test_tcp import StreamTestCase, Wire
from tests.transport.test_tls import Phone, TlsTestCase

OURS = ("192.0.2.1", 8088)
VIA = "SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKx"
REQUEST = options(VIA, body=b"\r\n\r\nhello\r\n")


class WebSocketTestCase(StreamTestCase):
    def connected(
        self, port: int = 4711, origins: Collection[str] = (), transport: str = "WS"
    ) -> tuple[StreamConnection, Wire]:
        """A connection on which nothing was said yet."""
        build = partial(WebSocketConnection, origins=origins)
        connection = self.connections.accept(transport, OURS, ("192.0.2.9", port), build)
        assert connection is not None
        return connection, self.wire(connection, "192.0.2.9", port)

    def shaken(self, port: int = 4711) -> tuple[StreamConnection, Wire, Browser]:
        """A connection whose handshake was accepted."""
        connection, wire = self.connected(port)
        browser = Browser()
        connection.dataReceived(browser.hello())
        self.hear(browser, wire)
        self.assertEqual(browser.status, 101)
        return connection, wire, browser

    def hear(self, browser: Browser, wire: Wire) -> bytes:
        """The browser reads what was written; what it answers."""
        answer = browser.read(wire.value())
        wire.clear()
        return answer

    def failure(self) -> str:
        """The reason of the only flow that failed."""
        self.reactor.advance(0)
        ((_, reason),) = self.user.failures
        return reason


@conforms("RFC 7118 4.1")
class HandshakeTests(WebSocketTestCase):
    def test_sip_is_agreed_on_whatever_the_path_and_the_other_offers(self) -> None:
        for subprotocols, path in ((["sip"], "/"), (["xmpp", "sip"], "/ws?token=1"), (["sip", "mqtt"], "/a/b")):
            connection, wire = self.connected()
            browser = Browser()
            connection.dataReceived(browser.hello(subprotocols, path=path))
            self.hear(browser, wire)
            self.assertEqual((browser.status, browser.subprotocol), (101, "sip"))
            wire.end()

    def test_cut_at_every_index(self) -> None:
        for cut in range(1, len(Browser().hello())):
            connection, wire = self.connected(cut)
            browser = Browser()
            hello = browser.hello()
            connection.dataReceived(hello[:cut])
            self.assertEqual(wire.value(), b"")
            connection.dataReceived(hello[cut:])
            self.hear(browser, wire)
            self.assertEqual(browser.status, 101, cut)
            wire.end()

    def test_without_the_subprotocol_it_is_refused_with_a_reason(self) -> None:
        for subprotocols in ([], ["xmpp"], ["SIP"]):
            connection, wire = self.connected()
            browser = Browser()
            connection.dataReceived(browser.hello(subprotocols))
            self.hear(browser, wire)
            self.assertEqual(browser.status, 400)
            self.assertIn(b"Sec-WebSocket-Protocol: sip", browser.refusal)
            self.assertTrue(wire.is_half_closed)
            self.assertFalse(connection.flow.is_open)
            wire.end()
        self.assertEqual(self.counts.refused_connections, 3)

    def test_a_refused_handshake_is_a_failure_of_the_flow(self) -> None:
        connection, wire = self.connected()
        connection.dataReceived(Browser().hello([]))
        wire.end()
        self.assertIn("handshake was refused: SIP is spoken here", self.failure())

    def test_what_is_no_handshake_is_refused(self) -> None:
        hello = Browser().hello()
        cases = (
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"400", b"Upgrade"),
            (hello.replace(b"GET", b"POST"), b"400", b"GET"),
            (hello.replace(b"Version: 13", b"Version: 8"), b"426", b"Version"),
            (hello.replace(b"pbx.example.com", b"\xff\xfe.example"), b"400", b"cannot be read"),
            (hello.replace(b"Protocol: sip", b"Protocol: s\xefp"), b"400", b"cannot be read"),
            (REQUEST, b"400", b""),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400", b""),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, b"400", b""),
        )
        for data, status, reason in cases:
            connection, wire = self.connected()
            connection.dataReceived(data)
            line, _, rest = wire.value().partition(b"\r\n")
            self.assertTrue(line.startswith(b"HTTP/1.1 " + status), (data[:60], line))
            self.assertIn(reason, rest.partition(b"\r\n\r\n")[2])
            self.assertTrue(wire.is_half_closed)
            wire.end()
        self.assertEqual((self.counts.internal_errors, self.user.requests), (0, []))

    def test_what_is_said_after_a_refusal_is_not_heard(self) -> None:
        connection, wire = self.connected()
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        said = len(wire.value())
        connection.dataReceived(Browser().hello())
        self.assertEqual(len(wire.value()), said)

    def test_pages_of_other_origins_are_refused(self) -> None:
        ours = frozenset(("https://phone.example.com",))
        for origin, status in (
            ("https://phone.example.com", 101),
            ("https://Phone.Example.com", 101),
            ("", 101),  # no browser
            ("https://evil.example", 403),
            ("null", 403),
            ("https://phone.example.com.evil.example", 403),
        ):
            connection, wire = self.connected(origins=ours)
            browser = Browser()
            connection.dataReceived(browser.hello(origin=origin))
            self.hear(browser, wire)
            self.assertEqual(browser.status, status, origin)
            wire.end()

    def test_it_must_end_in_time(self) -> None:
        _, wire = self.connected()
        self.pass_time(5)
        self.assertFalse(wire.is_aborted)
        self.pass_time(5)
        self.assertTrue(wire.is_aborted)
        self.assertEqual(self.counts.timed_out_connections, 1)

    def test_over_tls_the_end_of_its_handshake_is_not_the_end_of_ours(self) -> None:
        connection, wire = self.connected(transport="WSS")
        connection._encrypted()
        self.assertFalse(connection.flow.is_connected)
        self.pass_time(10)
        self.assertTrue(wire.is_aborted)


@conforms("RFC 7118 4.2", "RFC 7118 5")
class MessageTests(WebSocketTestCase):
    def test_a_request_comes_in_and_its_response_goes_back(self) -> None:
        connection, wire, browser = self.shaken()
        connection.dataReceived(browser.text(REQUEST.decode()))
        self.hear(browser, wire)
        (message,) = browser.messages
        self.assertIsInstance(message, str)
        self.assertIn("SIP/2.0 200 OK", str(message))
        request, flow = self.user.requests[0]
        self.assertEqual(request.body, b"\r\n\r\nhello\r\n")
        self.assertEqual((flow.transport, flow.is_reliable, flow.is_secure), ("WS", True, False))
        self.assertEqual(flow.remote, ("192.0.2.9", 4711))
        self.assertEqual(flow.via_head, "SIP/2.0/WS 192.0.2.1:8088;branch=")
        self.assertEqual(flow.record_route, "<sip:192.0.2.1:8088;transport=ws;lr>")

    def test_cut_at_every_index(self) -> None:
        connection, _wire, browser = self.shaken()
        for cut in range(1, len(browser.text(REQUEST.decode()))):
            frame = browser.text(REQUEST.decode())
            connection.dataReceived(frame[:cut])
            connection.dataReceived(frame[cut:])
            self.assertEqual(len(self.user.requests), cut)
        self.assertEqual({request.body for request, _ in self.user.requests}, {b"\r\n\r\nhello\r\n"})

    def test_binary_frames_are_taken_too(self) -> None:
        connection, _wire, browser = self.shaken()
        connection.dataReceived(browser.binary(REQUEST))
        self.assertEqual(self.user.methods, ["OPTIONS"])

    def test_what_is_not_utf_8_is_sent_as_binary(self) -> None:
        connection, wire, browser = self.shaken()
        connection.flow.send("Grüße".encode())
        connection.flow.send(b"\xff\x00")
        self.hear(browser, wire)
        self.assertEqual(browser.messages, ["Grüße", b"\xff\x00"])

    def test_many_frames_of_one_message_and_many_messages_of_one_segment(self) -> None:
        connection, _wire, browser = self.shaken()
        text = REQUEST.decode()
        fragments = [browser.text(octet, False) for octet in text[:-1]] + [browser.text(text[-1])]
        connection.dataReceived(b"".join(fragments) + browser.text(text) * 3)
        self.assertEqual(len(self.user.requests), 4)

    def test_a_character_cut_by_a_frame(self) -> None:
        connection, _wire, browser = self.shaken()
        octets = REQUEST.replace(b"<sip:alice@", "Grüße <sip:alice@".encode())
        for frame in (
            browser.binary(octets[: octets.index(b"\xc3") + 1], False),
            browser.binary(octets[octets.index(b"\xc3") + 1 :]),
        ):
            connection.dataReceived(frame)
        self.assertEqual(len(self.user.requests), 1)

    def test_content_length_is_not_needed(self) -> None:
        connection, _wire, browser = self.shaken()
        connection.dataReceived(browser.text(REQUEST.replace(b"Content-Length: 11\r\n", b"").decode()))
        self.assertEqual(self.user.requests[0][0].body, b"\r\n\r\nhello\r\n")

    def test_one_message_each(self) -> None:
        connection, _wire, browser = self.shaken()
        connection.dataReceived(browser.text((REQUEST * 2).decode()))
        self.assertEqual(len(self.user.requests), 1)

    def test_a_fault_is_answered_and_the_next_message_is_taken(self) -> None:
        connection, wire, browser = self.shaken()
        connection.dataReceived(browser.text(REQUEST.replace(b"Length: 11", b"Length: eleven").decode()))
        connection.dataReceived(browser.text("what is this?"))
        connection.dataReceived(browser.text(REQUEST.decode()))
        self.hear(browser, wire)
        self.assertEqual([str(message)[:11] for message in browser.messages], ["SIP/2.0 400", "SIP/2.0 200"])
        self.assertEqual(len(self.user.faults), 2)

    @conforms("RFC 7118 5.3")
    def test_responses_go_over_the_connection_of_the_request_or_not_at_all(self) -> None:
        connection, wire, _ = self.shaken()
        via = parse_via(f"{VIA};received=192.0.2.9")
        self.assertIs(connection.flow.answering(via), connection.flow)
        wire.end()
        self.assertIs(connection.flow.answering(via), connection.flow)
        self.assertEqual(self.reactor.tcpClients, [])

    @conforms("RFC 7118 6")
    def test_keep_alives_of_both_kinds(self) -> None:
        connection, wire, browser = self.shaken()
        for message in ("\r\n\r\n", "\r\n", ""):
            connection.dataReceived(browser.text(message))
        connection.dataReceived(browser.ping(b"are you there?"))
        self.hear(browser, wire)
        self.assertEqual((browser.messages, browser.pongs), (["\r\n"], [b"are you there?"]))
        self.assertEqual(self.counts.keep_alives, 4)
        self.assertEqual(self.user.faults, [])


class BoundTests(WebSocketTestCase):
    limits = Limits(connections_per_address=3)

    def test_a_message_of_more_than_64_kib_is_refused_before_it_is_there(self) -> None:
        for is_one_frame in (True, False):
            connection, wire, browser = self.shaken()
            if is_one_frame:
                connection.dataReceived(browser.binary(b"x" * 10_000_000)[:70_000])
            for _ in range(0 if is_one_frame else 70):
                connection.dataReceived(browser.binary(b"x" * 1000, False))
            self.hear(browser, wire)
            self.assertEqual(browser.closed_with, (1009, "a message is larger than 64 KiB"))
            self.assertTrue(wire.disconnecting)
            wire.end()
        self.assertEqual(self.user.faults, [])

    def test_a_message_of_64_kib_is_taken(self) -> None:
        connection, _wire, browser = self.shaken()
        request = options(VIA, body=b"x" * 60_000)
        connection.dataReceived(browser.binary(request + b"y" * (65_536 - len(request))))
        self.assertEqual(len(self.user.requests), 1)

    def test_frames_that_cannot_be_read_end_the_connection(self) -> None:
        frames = (
            b"\x81\x05hello",  # not masked
            b"\x83\x80\0\0\0\0",  # no such opcode
            b"\xc1\x80\0\0\0\0",  # compressed, which nobody agreed on
            b"\x80\x80\0\0\0\0",  # a continuation of nothing
            b"\x81\x81\0\0\0\0\xff",  # no UTF-8
            b"\x89\xfe\x00\x80\0\0\0\0",  # a ping of 128 octets
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # 2**64 octets
            b"\x88\x81\0\0\0\0x",  # a close with half a code
            b"GET / HTTP/1.1\r\n\r\n",
        )
        for frame in frames:
            connection, wire, browser = self.shaken()
            connection.dataReceived(frame)
            self.hear(browser, wire)
            self.assertIsNotNone(browser.closed_with, frame)
            self.assertTrue(wire.disconnecting, frame)
            connection.dataReceived(b"more")
            wire.end()
        self.assertEqual((self.counts.internal_errors, self.user.requests), (0, []))

    def test_octets_that_are_changed_at_random_break_nothing(self) -> None:
        chance = random.Random(7118)
        self.user.status = 0
        for _ in range(2000):
            connection, wire = self.connected()
            connection.dataReceived(_changed(Browser().hello(), chance))
            wire.end()
            connection, wire, browser = self.shaken()
            frames = browser.text("\r\n\r\n") + browser.binary(REQUEST, False) + browser.ping(b"x")
            frames = _changed(frames + browser.binary(b"tail") + browser.text(REQUEST.decode()), chance)
            cut = chance.randrange(len(frames))
            connection.dataReceived(frames[:cut])
            connection.dataReceived(frames[cut:])
            connection.check(self.reactor.seconds())
            wire.end()
        self.assertEqual(self.counts.internal_errors, 0)
        self.assertEqual((len(self.connections), self.connections._flows), (0, {}))
        self.assertGreater(len(self.user.requests), 500)

    def test_connections_are_bounded_and_released(self) -> None:
        wires = [self.connected(port)[1] for port in range(3)]
        self.assertIsNone(self.connections.accept("WS", OURS, ("192.0.2.9", 9), WebSocketConnection))
        wires[0].end()
        self.connected(10)
        self.assertEqual(self.counts.refused_connections, 1)

    def test_a_peer_that_does_not_read_loses_its_connection_by_time_and_by_size(self) -> None:
        connection, wire, browser = self.shaken(1)
        connection.pauseProducing()
        self.pass_time(30)
        self.assertTrue(wire.is_aborted)
        connection, wire, browser = self.shaken(2)
        connection.pauseProducing()
        for _ in range(20_000):
            connection.dataReceived(browser.ping(b"x" * 125))
        self.assertTrue(wire.is_aborted)
        self.assertLess(len(wire.value()), 1_100_000)


class LifeTests(WebSocketTestCase):
    def test_the_client_closes(self) -> None:
        connection, wire, browser = self.shaken()
        connection.dataReceived(browser.close())
        self.hear(browser, wire)
        self.assertEqual(browser.closed_with, (1000, "bye"))
        self.assertTrue(wire.disconnecting)
        self.assertFalse(connection.flow.is_open)
        wire.end()
        self.assertEqual(self.connections._flows, {})
        self.failure()

    def test_we_close(self) -> None:
        connection, wire, browser = self.shaken()
        connection.close()
        self.hear(browser, wire)
        self.assertEqual(browser.closed_with, (1001, ""))
        connection.flow.send(REQUEST)
        self.assertEqual(wire.value(), b"")

    def test_a_request_finds_the_connection_that_the_browser_opened(self) -> None:
        connection, _, _ = self.shaken()
        self.assertIs(self.connections.flow_to("WS", "192.0.2.9", 4711), connection.flow)

    def test_nobody_can_be_connected_to(self) -> None:
        for host in ("192.0.2.9", "df7jal23ls0d.invalid"):
            flow = self.connections.flow_to("WSS", host, 443)
            self.assertFalse(flow.is_open)
        self.reactor.advance(0)
        self.assertEqual([reason.partition(":")[0] for _, reason in self.user.failures], ["no connection"] * 2)
        self.assertEqual((self.reactor.tcpClients, self.connections._flows), ([], {}))

    def test_what_is_sent_before_the_handshake_waits_for_it(self) -> None:
        connection, wire = self.connected()
        connection.flow.send(REQUEST)
        self.assertEqual(wire.value(), b"")
        browser = Browser()
        connection.dataReceived(browser.hello())
        self.hear(browser, wire)
        self.assertEqual(browser.messages, [REQUEST.decode()])

    def test_a_silent_browser_is_asked_and_its_answer_keeps_it(self) -> None:
        connection, wire, browser = self.shaken()
        for _ in range(10):
            self.pass_time(35)
            answer = self.hear(browser, wire)
            if answer:
                connection.dataReceived(answer)
        self.assertGreaterEqual(browser.pings, 9)
        self.assertFalse(wire.is_aborted)

    def test_one_that_does_not_answer_is_gone(self) -> None:
        _, wire, _ = self.shaken()
        self.pass_time(50)
        self.assertFalse(wire.is_aborted)
        self.pass_time(20)
        self.assertTrue(wire.is_aborted)
        self.assertEqual(self.counts.timed_out_connections, 1)

    def test_pongs_alone_do_not_keep_an_idle_connection(self) -> None:
        connection, wire, browser = self.shaken()
        for _ in range(25):
            self.pass_time(25)
            connection.dataReceived(browser.pong())
        self.hear(browser, wire)
        self.assertEqual(browser.closed_with, (1001, ""))

    def test_messages_and_pings_of_the_client_keep_it(self) -> None:
        connection, wire, browser = self.shaken()
        for _ in range(50):
            self.pass_time(25)
            connection.dataReceived(browser.ping())
        self.assertFalse(wire.disconnecting)

    def test_a_message_in_drips_is_cut_off_though_pings_come_between(self) -> None:
        connection, wire, browser = self.shaken()
        for _ in range(6):
            self.assertFalse(wire.is_aborted)
            connection.dataReceived(browser.text("x", False) + browser.ping())
            self.pass_time(5)
        self.assertTrue(wire.is_aborted)

    def test_an_exception_of_ours_ends_this_connection_only(self) -> None:
        connection, wire, browser = self.shaken()

        class BrokenReceiver:
            def receive_datagram(self, data: bytes, flow: Flow) -> None:
                raise RuntimeError("we broke")

        self.connections.receiver = BrokenReceiver()  # type: ignore[assignment]  # the real one does not raise
        connection.dataReceived(browser.text("x"))
        self.assertTrue(wire.is_aborted)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.counts.internal_errors, 1)


class SocketTests(TlsTestCase):
    """The layer, over real sockets."""

    async def browser(self, port: int, is_secure: bool = False, origin: str = "") -> BrowserPeer:
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", port, Phone()) if is_secure else plain
        peer = await BrowserPeer.connect(endpoint, origin=origin)
        self.addCleanup(peer.close)
        return peer

    async def talk(self, peer: BrowserPeer, transport: str, port: int) -> Flow:
        self.assertEqual(peer.status, 101)
        peer.send(options(VIA.replace("WS", transport)))
        request, flow = await self.user.requested.get()
        assert isinstance(request, Request)
        self.assertIn(b"SIP/2.0 200 OK", await peer.received.get())
        self.assertEqual((flow.transport, flow.is_reliable), (transport, True))
        self.assertEqual(flow.via_head, f"SIP/2.0/{transport} 127.0.0.1:{port};branch=")
        return flow

    @conforms("RFC 7118 5.1", "RFC 7118 5.2")
    async def test_both_kinds(self) -> None:
        plain, secure = self.layer.listen_ws("127.0.0.1", 0), self.layer.listen_wss("127.0.0.1", 0, self.store)
        self.assertEqual((str(plain)[:5], str(secure)[:6]), ("ws://", "wss://"))
        flow = await self.talk(await self.browser(plain.port), "WS", plain.port)
        self.assertFalse(flow.is_secure)
        flow = await self.talk(await self.browser(secure.port, True), "WSS", secure.port)
        self.assertTrue(flow.is_secure)
        self.assertEqual(flow.record_route, f"<sip:127.0.0.1:{secure.port};transport=ws;lr>")

    async def test_a_request_of_ours_goes_over_the_open_connection(self) -> None:
        port = self.layer.listen_ws("127.0.0.1", 0).port
        peer = await self.browser(port)
        flow = await self.talk(peer, "WS", port)
        target = Target("WS", "df7jal23ls0d.invalid", 80, flow)
        self.assertIs(self.layer.flow_to(target, 5000), flow)
        await peer.close()
        await self.user.failed.get()
        gone = self.layer.flow_to(target, 5000)
        failed, reason = await self.user.failed.get()
        self.assertIs(failed, gone)
        self.assertIn("no connection", reason)

    async def test_origins(self) -> None:
        port = self.layer.listen_ws("127.0.0.1", 0, ["https://phone.example.com"]).port
        self.assertEqual((await self.browser(port, origin="https://phone.example.com")).status, 101)
        self.assertEqual((await self.browser(port, origin="https://evil.example")).status, 403)

    async def test_stop_closes_connections(self) -> None:
        peer = await self.browser(self.layer.listen_ws("127.0.0.1", 0).port)
        await self.layer.stop()
        await peer.closed
        self.assertEqual(peer.browser.closed_with, (1001, ""))
        self.assertEqual(self.layer.connections, 0)


def _changed(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)
