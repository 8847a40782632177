"""The certificates that are served, those that are asked for, and their reload."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.certs.self_signed import make_self_signed
from gosip_py.certs.store import CertificateStore, CertificateUnusable, ClientAuthorities
from tests.certs.authority import Authority, Issued, client_context, handshake
from tests.conformance import conforms

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class CertificateStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.certificate, self.key = directory / "certificate.pem", directory / "key.pem"
        self.renew()

    def renew(self) -> None:
        certificate, key = make_self_signed(["localhost"], NOW)
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)

    def store(self) -> CertificateStore:
        return CertificateStore(self.certificate, self.key)

    def test_what_it_tells(self) -> None:
        store = self.store()
        self.assertEqual(store.expires_at, NOW + timedelta(days=825))
        self.assertTrue(store.is_self_signed)
        self.assertRegex(store.fingerprint, r"\A([0-9A-F]{2}:){31}[0-9A-F]{2}\Z")

    def test_a_reload_serves_what_is_there_now_and_leaves_the_old_context_alone(self) -> None:
        store = self.store()
        context, fingerprint = store.context, store.fingerprint
        self.assertFalse(store.reload())
        self.renew()
        self.assertTrue(store.reload())
        self.assertIsNot(store.context, context)
        self.assertNotEqual(store.fingerprint, fingerprint)

    def test_what_cannot_be_used_is_refused_and_the_old_one_stays(self) -> None:
        store = self.store()
        context = store.context
        good = self.certificate.read_bytes(), self.key.read_bytes()
        _, other_key = make_self_signed(["localhost"], NOW)
        for certificate, key in ((b"", good[1]), (good[0], b""), (good[0], other_key), (b"junk", b"junk")):
            self.certificate.write_bytes(certificate)
            self.key.write_bytes(key)
            self.assertRaises(CertificateUnusable, store.reload)
            self.assertIs(store.context, context)
        self.key.unlink()
        self.assertRaises(CertificateUnusable, self.store)

    def test_the_error_names_the_file(self) -> None:
        self.certificate.write_bytes(b"junk")
        error = self.assertRaises(CertificateUnusable, self.store)
        self.assertIn(str(self.certificate), str(error))


class SeveralTests(SynchronousTestCase):
    """The certificate is chosen by the name that the client asks for."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = Authority()
        self.first = self.issue("first", "pbx.example.com", "example.com")
        self.second = self.issue("second", "sip.example.net", "*.example.org")
        self.third = self.issue("third", "pbx.example.com", "voice.example.org")
        self.store = CertificateStore(*self.first, (self.second, self.third))

    def issue(self, name: str, *names: str) -> tuple[Path, Path]:
        return self.authority.issue(name, *names).write(self.directory, name)

    def shown(self, name: str = "") -> str:
        """The common name of the certificate that a client of ``name`` is shown."""
        _, client = handshake(self.store.context, client_context(), name)
        certificate = client.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.subject.rfc4514_string()

    def test_by_the_exact_name_then_by_one_level_of_a_wildcard_else_the_first(self) -> None:
        for name, expected in (
            ("sip.example.net", "second"),
            ("SIP.Example.NET", "second"),
            ("a.example.org", "second"),
            ("voice.example.org", "third"),
            ("a.b.example.org", "first"),
            ("example.org", "first"),
            ("pbx.example.com", "first"),
            ("unknown.test", "first"),
            ("", "first"),
        ):
            self.assertEqual(self.shown(name), f"CN={expected}", name)

    def test_a_certificate_without_alternative_names_is_found_by_its_common_name(self) -> None:
        self.store = CertificateStore(*self.first, (self.issue("old.example.com"),))
        self.assertEqual(self.shown("old.example.com"), "CN=old.example.com")

    def test_a_reload_of_any_of_them_is_told_and_served(self) -> None:
        self.assertFalse(self.store.reload())
        before = self.store.context
        self.authority.issue("renewed", "sip.example.net").write(self.directory, "second")
        self.assertTrue(self.store.reload())
        self.assertIsNot(self.store.context, before)
        self.assertEqual(self.shown("sip.example.net"), "CN=renewed")
        self.assertEqual(self.shown("a.example.org"), "CN=first")
        self.assertEqual(self.shown(), "CN=first")

    def test_one_that_cannot_be_used_leaves_all_as_they_were(self) -> None:
        self.second[1].write_bytes(self.first[1].read_bytes())
        error = self.assertRaises(CertificateUnusable, self.store.reload)
        self.assertIn(str(self.second[1]), str(error))
        self.assertEqual(self.shown("sip.example.net"), "CN=second")


@conforms("RFC 5922 7.4")
class ClientTests(SynchronousTestCase):
    """Clients are asked for a certificate."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = Authority()
        self.first = Authority("another").issue("first", "example.com").write(self.directory, "first")
        self.second = Authority("another").issue("second", "example.net").write(self.directory, "second")
        self.bundle = self.directory / "clients.pem"
        self.bundle.write_bytes(Authority("a third").pem + self.authority.pem)

    def store(self, is_required: bool = False) -> CertificateStore:
        clients = ClientAuthorities(self.bundle, is_required)
        return CertificateStore(*self.first, (self.second,), clients)

    def seen(self, store: CertificateStore, client: Issued | None, name: str = "") -> x509.Certificate | None:
        """The certificate that the server saw and believed."""
        server, _ = handshake(store.context, client_context(client), name)
        return server.get_peer_certificate(as_cryptography=True)

    def test_one_that_the_bundle_vouches_for_is_seen_whatever_name_was_asked_for(self) -> None:
        phone = self.authority.issue("phone", "sip:alice@example.com")
        for is_required in (False, True):
            for name in ("", "example.com", "example.net"):
                self.assertEqual(self.seen(self.store(is_required), phone, name), phone.certificate)

    def test_none_is_refused_only_where_one_is_required(self) -> None:
        for name in ("", "example.net"):
            self.assertIsNone(self.seen(self.store(), None, name))
            self.assertRaises(SSL.Error, self.seen, self.store(True), None, name)

    def test_one_that_nobody_vouches_for_is_refused_even_where_none_is_required(self) -> None:
        for issued in (
            Authority().issue("stranger", "sip:alice@example.com"),  # another authority of the same name
            self.authority.issue("old", "sip:alice@example.com", ended=True),
            self.authority.issue("server", "sip:alice@example.com", usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        ):
            for name in ("", "example.net"):
                self.assertRaises(SSL.Error, self.seen, self.store(), issued, name)

    def test_a_single_certificate_in_the_bundle_is_believed_and_vouches_for_nobody(self) -> None:
        phone = Authority("its own").issue("phone", "sip:alice@example.com")
        self.bundle.write_bytes(phone.pem)
        self.assertEqual(self.seen(self.store(True), phone), phone.certificate)
        self.assertRaises(SSL.Error, self.seen, self.store(True), self.authority.issue("other"))

    def test_without_authorities_nobody_is_asked(self) -> None:
        store = CertificateStore(*self.first, (self.second,))
        self.assertIsNone(self.seen(store, self.authority.issue("phone"), "example.net"))

    def test_browsers_are_not_asked_and_are_shown_the_same(self) -> None:
        store = self.store(True)
        source = store.anonymous
        for name, expected in (("", "first"), ("example.net", "second")):
            server, client = handshake(source.context, client_context(self.authority.issue("phone")), name)
            certificate = client.get_peer_certificate(as_cryptography=True)
            assert certificate is not None
            self.assertEqual(certificate.subject.rfc4514_string(), f"CN={expected}")
            self.assertIsNone(server.get_peer_certificate())
        before = source.context
        store.reload()
        self.assertIsNot(source.context, before)

    def test_a_reload_takes_a_new_bundle(self) -> None:
        store = self.store(True)
        phone = Authority("new").issue("phone")
        self.assertRaises(SSL.Error, self.seen, store, phone)
        self.bundle.write_bytes(phone.pem)
        self.assertTrue(store.reload())
        self.assertEqual(self.seen(store, phone), phone.certificate)

    def test_a_bundle_that_cannot_be_read(self) -> None:
        store = self.store()
        context = store.context
        for content in (b"", b"junk"):
            self.bundle.write_bytes(content)
            error = self.assertRaises(CertificateUnusable, store.reload)
            self.assertIn(str(self.bundle), str(error))
            self.assertIs(store.context, context)
        self.bundle.unlink()
        self.assertRaises(CertificateUnusable, store.reload)

    def test_a_session_is_never_resumed(self) -> None:
        """Who a client is must be proven each time."""
        context = self.store(True).context
        certificate, key = self.authority.issue("phone").write(self.directory, "phone")
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            client.load_cert_chain(certificate, key)
            client.maximum_version = newest
            session = self.connect(context, client, None).session
            self.assertFalse(self.connect(context, client, session).session_reused)

    def connect(self, server: SSL.Context, client: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
        """A client that was let in, after all that the server says to it."""
        end = SSL.Connection(server, None)
        end.set_accept_state()
        came, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        other = client.wrap_bio(came, sent, session=session)
        for _ in range(4):
            for step in (other.do_handshake, end.do_handshake):
                try:
                    step()
                except (ssl.SSLWantReadError, SSL.WantReadError):
                    pass
                if sent.pending:
                    end.bio_write(sent.read())
                try:
                    came.write(end.bio_read(65536))
                except SSL.WantReadError:
                    pass
        end.send(b"welcome")
        came.write(end.bio_read(65536))
        self.assertEqual(other.read(), b"welcome")
        self.assertIsNotNone(end.get_peer_certificate())
        return other
