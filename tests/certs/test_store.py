"""The certificate that is served, and its reload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.certs.self_signed import make_self_signed
from gosip_py.certs.store import CertificateStore, CertificateUnusable

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
