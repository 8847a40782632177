"""TLS over real loopback sockets."""

from __future__ import annotations

import ssl as python_ssl
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from OpenSSL import SSL
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from gosip_py.certs.self_signed import make_self_signed
from gosip_py.certs.store import CertificateStore, ClientAuthorities
from gosip_py.metrics import Metrics
from gosip_py.transport.admission import Limits
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.layer import TransportLayer
from gosip_py.transport.tls import TlsTrust
from tests.certs.authority import Authority, Issued, client_context
from tests.conformance import conforms
from tests.transport.peers import REACTOR, StreamPeer, WaitingUser, options


@implementer(IOpenSSLClientConnectionCreator)
class Phone:
    """A phone that believes anybody, up to a version of TLS; it may show a certificate and ask for a name."""

    def __init__(self, newest: int = SSL.TLS1_3_VERSION, shows: Issued | None = None, asks: str = "") -> None:
        self._context = client_context(shows)
        self._context.set_min_proto_version(SSL.TLS1_VERSION)
        self._context.set_max_proto_version(newest)
        self._context.set_cipher_list(b"ALL:@SECLEVEL=0")
        self._asks = asks

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._asks:
            connection.set_tlsext_host_name(self._asks.encode())
        return connection


class TlsTestCase(TestCase):
    timeout = 20
    limits = Limits(close_seconds=0.2, connections_per_address=5)

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.certificate, self.key = directory / "certificate.pem", directory / "key.pem"
        self.renew()
        self.store = CertificateStore(self.certificate, self.key)
        self.layer = self.new_layer(TlsTrust())
        self.user = self.layer.user = WaitingUser(status=200)
        self.port = self.layer.listen_tls("127.0.0.1", 0, self.store).port

    def new_layer(self, trust: TlsTrust) -> TransportLayer:
        layer = TransportLayer(REACTOR, Metrics(), limits=self.limits, trust=trust)
        self.addCleanup(layer.stop)
        layer.user = WaitingUser()
        return layer

    def renew(self, *names: str) -> None:
        certificate, key = make_self_signed(names or ("127.0.0.1",), datetime.now(UTC))
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)

    async def phone(
        self, newest: int = SSL.TLS1_3_VERSION, shows: Issued | None = None, port: int = 0, asks: str = ""
    ) -> StreamPeer:
        phone = Phone(newest, shows, asks)
        peer = await StreamPeer.connect(SSL4ClientEndpoint(reactor, "127.0.0.1", port or self.port, phone))
        self.addCleanup(peer.close)
        return peer


class ServerTests(TlsTestCase):
    async def test_a_request_comes_in_and_its_response_goes_back(self) -> None:
        for newest in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            peer = await self.phone(newest)
            peer.send(options(f"SIP/2.0/TLS 127.0.0.1:{peer.port};branch=z9hG4bKx"))
            _, flow = await self.user.requested.get()
            self.assertEqual((flow.transport, flow.is_secure, flow.is_reliable), ("TLS", True, True))
            self.assertEqual(flow.record_route, f"<sip:127.0.0.1:{self.port};transport=tls;lr>")
            self.assertIn(b"SIP/2.0 200 OK", await peer.received.get())

    async def test_tls_1_1_is_refused_and_the_flow_says_why(self) -> None:
        peer = await self.phone(SSL.TLS1_1_VERSION)
        peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
        await peer.closed
        self.assertEqual(self.user.requests, [])
        flow, reason = await self.user.failed.get()
        self.assertEqual((flow.transport, reason), ("TLS", "TLS failed: unsupported protocol"))

    async def test_plain_text_is_refused(self) -> None:
        peer = await StreamPeer.connect(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port))
        self.addCleanup(peer.close)
        peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
        await peer.closed
        self.assertEqual(self.user.requests, [])

    async def test_a_fault_is_answered_and_closes(self) -> None:
        peer = await self.phone()
        peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx", body=b"x" * 10_000_000))
        self.assertIn(b"SIP/2.0 400", await peer.received.get())
        await peer.closed

    async def test_a_renewed_certificate_is_served_without_a_restart(self) -> None:
        def seen() -> str:
            served = python_ssl.get_server_certificate(("127.0.0.1", self.port))
            return sha256(python_ssl.PEM_cert_to_DER_cert(served)).hexdigest()

        old = await self.phone()
        before = await deferToThread(seen)
        self.assertEqual(before, self.store.fingerprint.replace(":", "").lower())
        self.renew()
        self.store.reload()
        after = await deferToThread(seen)
        self.assertNotEqual(after, before)
        self.assertEqual(after, self.store.fingerprint.replace(":", "").lower())
        old.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
        self.assertIn(b"200 OK", await old.received.get())

    async def test_too_many_connections_of_one_address(self) -> None:
        peers = [await StreamPeer.connect(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)) for _ in range(8)]
        for peer in peers[5:]:
            await peer.closed
        self.assertEqual((self.layer.connections, self.layer.counts.refused_connections), (5, 3))
        for peer in peers[:5]:
            await peer.close()

    async def test_stop_closes_connections(self) -> None:
        peer = await self.phone()
        peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
        await peer.received.get()
        await self.layer.stop()
        await peer.closed
        self.assertEqual(self.layer.connections, 0)


@conforms("RFC 5922 7.4")
class MutualTests(TlsTestCase):
    """Clients are asked for a certificate."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority()
        self.bundle = self.certificate.with_name("clients.pem")
        self.bundle.write_bytes(self.authority.pem)

    def listen(self, is_required: bool = False) -> int:
        clients = ClientAuthorities(self.bundle, is_required)
        store = CertificateStore(self.certificate, self.key, ((self.certificate, self.key),), clients)
        return self.layer.listen_tls("127.0.0.1", 0, store).port

    async def identities(self, port: int, shows: Issued | None) -> tuple[str, ...]:
        """What the flow of a request says of its sender."""
        peer = await self.phone(shows=shows, port=port, asks="127.0.0.1")
        peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
        _, flow = await self.user.requested.get()
        return flow.identities

    async def test_the_flow_says_whom_the_certificate_names(self) -> None:
        port = self.listen()
        both = self.authority.issue("x", "sip:alice@example.com", "sip:example.com", "host.example.com")
        self.assertEqual(await self.identities(port, both), ("example.com", "sip:alice@example.com"))
        self.assertEqual(await self.identities(port, self.authority.issue("edge.example.com")), ("edge.example.com",))

    async def test_who_shows_none_is_nobody(self) -> None:
        self.assertEqual(await self.identities(self.listen(), None), ())

    async def test_where_nobody_is_asked_everybody_is_nobody(self) -> None:
        self.assertEqual(await self.identities(self.port, self.authority.issue("x", "sip:alice@example.com")), ())

    async def test_who_shows_none_where_one_is_required_is_refused(self) -> None:
        peer = await self.phone(port=self.listen(True))
        peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
        await peer.closed
        _, reason = await self.user.failed.get()
        self.assertEqual((reason, self.user.requests), ("TLS failed: peer did not return a certificate", []))

    async def test_who_shows_one_that_nobody_vouches_for_is_refused_and_the_flow_says_why(self) -> None:
        port = self.listen()
        for shown, fault in (
            (Authority("stranger").issue("x", "sip:alice@example.com"), "unable to get issuer cert locally"),
            (self.authority.issue("x", "sip:alice@example.com", ended=True), "cert has expired"),
        ):
            peer = await self.phone(shows=shown, port=port)
            peer.send(options("SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx"))
            await peer.closed
            _, reason = await self.user.failed.get()
            self.assertEqual(reason, f"TLS failed: certificate verify failed (its certificate: {fault})")
        self.assertEqual(self.user.requests, [])


@conforms("RFC 5922 7.3")
class ClientTests(TlsTestCase):
    async def reach(self, layer: TransportLayer, domain: str = "") -> Flow:
        flow = layer.flow_to(Target("TLS", "127.0.0.1", self.port, domain=domain), 300)
        flow.send(options(flow.via_head + "z9hG4bKx"))
        return flow

    def trusting(self) -> TransportLayer:
        root = ssl.Certificate.loadPEM(self.certificate.read_bytes())
        return self.new_layer(TlsTrust(roots=(root,)))

    async def test_a_peer_that_is_trusted(self) -> None:
        layer = self.trusting()
        flow = await self.reach(layer)
        response, arrived_by = await _user(layer).responded.get()
        self.assertEqual(response.status, 200)
        self.assertIs(arrived_by, flow)
        self.assertIs(layer.flow_to(Target("TLS", "127.0.0.1", self.port), 300), flow)

    async def test_a_peer_that_nobody_vouches_for(self) -> None:
        layer = self.new_layer(TlsTrust())
        flow = await self.reach(layer)
        failed, reason = await _user(layer).failed.get()
        self.assertIs(failed, flow)
        self.assertIn("TLS failed: certificate verify failed (its certificate: depth zero self signed cert)", reason)
        self.assertEqual((self.user.requests, _user(layer).failures[1:]), ([], []))

    async def test_a_peer_whose_certificate_names_another(self) -> None:
        self.renew("other.example.com")
        self.store.reload()
        layer = self.trusting()
        flow = await self.reach(layer)
        failed, reason = await _user(layer).failed.get()
        self.assertIs(failed, flow)
        self.assertEqual(reason, "the certificate of the peer is not for 127.0.0.1 but for other.example.com")
        self.assertEqual((self.user.requests, _user(layer).failures[1:]), ([], []))

    async def test_a_name_is_verified_as_a_name(self) -> None:
        self.renew("localhost")
        self.store.reload()
        layer = self.trusting()
        await self.reach(layer, "localhost")
        response, _ = await _user(layer).responded.get()
        self.assertEqual(response.status, 200)

    async def test_its_own_certificate_must_name_the_host_and_no_wildcard_does(self) -> None:
        """Behind the name of a host, a certificate of the domain above it is no proof."""
        authority = Authority()
        roots = (ssl.Certificate.loadPEM(authority.pem),)
        for names, allowed, status in (
            (("localhost",), False, 200),
            (("sip:localhost",), False, 200),
            (("sip:other.example", "localhost"), False, 0),
            (("sip:anybody@localhost",), False, 0),
            (("*.localhost",), True, 0),
            ((), False, 0),  # its common name is another
        ):
            authority.issue("x", *names).write(self.certificate.parent, "certificate")
            self.key.write_bytes(self.certificate.with_name("certificate.key").read_bytes())
            self.store.reload()
            layer = self.new_layer(TlsTrust(roots=roots, allow_wildcards=allowed))
            await self.reach(layer, "localhost")
            if status:
                response, _ = await _user(layer).responded.get()
                self.assertEqual(response.status, status, names)
            else:
                _, reason = await _user(layer).failed.get()
                self.assertIn("is not for localhost", reason)
            await layer.stop()

    async def test_a_connection_serves_another_domain_only_if_its_certificate_names_it(self) -> None:
        self.renew("a.example", "b.example")
        self.store.reload()
        layer = self.trusting()
        flows = [layer.flow_to(Target("TLS", "127.0.0.1", self.port, domain=f"{name}.example"), 300) for name in "aabc"]
        self.assertIs(flows[0], flows[1])
        for flow in flows[1:]:
            flow.send(options(flow.via_head + "z9hG4bKx"))
        for _ in range(2):
            response, arrived_by = await _user(layer).responded.get()
            self.assertEqual(response.status, 200)
            self.assertIn(arrived_by, flows[1:3])
        failed, reason = await _user(layer).failed.get()
        self.assertIs(failed, flows[3])
        self.assertEqual(reason, "the certificate of the peer is not for c.example but for a.example, b.example")

    async def test_nothing_is_written_to_a_peer_that_is_somebody_else(self) -> None:
        self.renew("other.example.com")
        self.store.reload()
        layer = self.trusting()
        flow = layer.flow_to(Target("TLS", "127.0.0.1", self.port), 300)
        for _ in range(50):
            flow.send(options(flow.via_head + "z9hG4bKx"))
        await _user(layer).failed.get()
        await self.user.failed.get()
        self.assertEqual(self.user.requests, [])

    async def test_we_ask_for_the_name_that_we_want(self) -> None:
        authority = Authority()
        local = authority.issue("x", "localhost").write(self.certificate.parent, "local")
        store = CertificateStore(self.certificate, self.key, (local,))
        port = self.layer.listen_tls("127.0.0.1", 0, store).port
        layer = self.new_layer(TlsTrust(roots=(ssl.Certificate.loadPEM(authority.pem),)))
        flow = layer.flow_to(Target("TLS", "127.0.0.1", port, domain="localhost"), 300)
        flow.send(options(flow.via_head + "z9hG4bKx"))
        response, _ = await _user(layer).responded.get()
        self.assertEqual(response.status, 200)

    async def test_without_verification_anybody_is_believed(self) -> None:
        layer = self.new_layer(TlsTrust(verify_peer=False))
        await self.reach(layer)
        response, _ = await _user(layer).responded.get()
        self.assertEqual(response.status, 200)


def _user(layer: TransportLayer) -> WaitingUser:
    user = layer.user
    assert isinstance(user, WaitingUser)
    return user
