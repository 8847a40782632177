"""The certificate of the first start."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.certs.self_signed import ensure_self_signed
from gosip_py.certs.store import CertificateStore

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class SelfSignedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()) / "tls"

    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.directory / "self-signed.pem").read_bytes())

    def test_it_names_the_host_and_loopback(self) -> None:
        files = ensure_self_signed(self.directory, ["PBX.example.com", "bücher.example", "192.0.2.5", ""], NOW)
        self.assertTrue(files.is_new)
        names = self.certificate().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = ["localhost", "pbx.example.com", "xn--bcher-kva.example"]
        self.assertEqual(sorted(names.get_values_for_type(x509.DNSName)), hosts)
        addresses = {ip_address(text) for text in ("127.0.0.1", "::1", "192.0.2.5")}
        self.assertEqual(set(names.get_values_for_type(x509.IPAddress)), addresses)

    def test_nobody_else_can_read_the_key(self) -> None:
        files = ensure_self_signed(self.directory, [], NOW)
        self.assertEqual(stat.S_IMODE(files.key.stat().st_mode), 0o600)

    def test_it_is_used_again(self) -> None:
        ensure_self_signed(self.directory, ["pbx.example.com"], NOW)
        before = self.certificate()
        files = ensure_self_signed(self.directory, ["pbx.example.com"], NOW + timedelta(days=700))
        self.assertFalse(files.is_new)
        self.assertEqual(self.certificate(), before)

    def test_it_is_made_anew_before_it_expires(self) -> None:
        ensure_self_signed(self.directory, [], NOW)
        self.assertTrue(ensure_self_signed(self.directory, [], NOW + timedelta(days=800)).is_new)
        self.assertEqual(self.certificate().not_valid_after_utc, NOW + timedelta(days=800 + 825))

    def test_it_is_made_anew_for_a_name_that_it_lacks(self) -> None:
        ensure_self_signed(self.directory, ["old.example.com"], NOW)
        self.assertTrue(ensure_self_signed(self.directory, ["new.example.com"], NOW).is_new)

    def test_it_is_made_anew_when_a_file_is_broken_or_not_its_own(self) -> None:
        files = ensure_self_signed(self.directory, [], NOW)
        other = ensure_self_signed(self.directory.with_name("other"), [], NOW)
        for content in (b"", b"-----BEGIN nothing", other.key.read_bytes()):
            files.key.write_bytes(content)
            self.assertTrue(ensure_self_signed(self.directory, [], NOW).is_new, content)
            CertificateStore(files.certificate, files.key)

    def test_a_half_written_file_of_a_crash_is_no_obstacle(self) -> None:
        self.directory.mkdir(parents=True)
        (self.directory / "self-signed.key.new").write_bytes(b"half")
        self.assertTrue(ensure_self_signed(self.directory, [], NOW).is_new)
