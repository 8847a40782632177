"""Whom a certificate is for (RFC 5922 7.1, 7.2)."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transport.identities import SipIdentities, identities_of
from tests.certs.authority import Authority
from tests.conformance import conforms


class IdentitiesTestCase(SynchronousTestCase):
    def found(self, common_name: str, *names: str) -> SipIdentities:
        return identities_of(Authority().issue(common_name, *names).certificate)


@conforms("RFC 5922 7.1")
class FindingTests(IdentitiesTestCase):
    def test_a_sip_uri_without_a_user_is_a_domain_and_then_dns_names_do_not_count(self) -> None:
        found = self.found("cn.example", "host.example.com", "sip:example.com", "SIP:Voice.Example.NET;transport=tls")
        self.assertEqual(found.domains, ("example.com", "voice.example.net"))

    def test_dns_names_count_where_no_uri_names_a_domain(self) -> None:
        found = self.found(
            "cn.example", "PBX.Example.com", "example.net", "sip:alice@example.org", "https://example.biz"
        )
        self.assertEqual(found.domains, ("pbx.example.com", "example.net"))
        self.assertEqual(found.users, ("sip:alice@example.org",))

    def test_a_dns_name_that_looks_like_a_user_is_none(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name) for name in ("sip:alice@example.com", "exa mple.com", "@", "Example.com")]
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([]))
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.assertEqual(identities_of(certificate).texts, ("example.com",))

    def test_other_schemes_do_not_count(self) -> None:
        found = self.found("cn.example", "sips:example.com", "https://example.com", "sips:alice@example.com")
        self.assertEqual(found, SipIdentities())

    def test_users_stand_without_port_and_parameters(self) -> None:
        found = self.found("x", "sip:Alice%20B@Example.com:5061;transport=tls?x=y", "sip:bob:secret@example.com")
        self.assertEqual(found.users, ("sip:Alice%20B@example.com", "sip:bob@example.com"))
        self.assertEqual(found.texts, found.users)

    def test_the_common_name_counts_only_without_alternative_names(self) -> None:
        self.assertEqual(self.found("PBX.Example.com").domains, ("pbx.example.com",))
        self.assertEqual(self.found("pbx.example.com", "192.0.2.1").domains, ())
        self.assertEqual(self.found("pbx.example.com", "sip:alice@example.com").domains, ())
        self.assertEqual(self.found("Example Inc. (PBX)").domains, ())

    def test_what_cannot_be_read_is_left_out(self) -> None:
        found = self.found("x", "sip:", "sip:%zz@example.com", "sip:a b@example.com", "sip:@", "sip:ok.example.com")
        self.assertEqual((found.domains, found.users), (("ok.example.com",), ()))

    def test_thousands_of_names_are_cut_short(self) -> None:
        many = [f"h{number}.example.com" for number in range(2000)]
        self.assertEqual(len(self.found("x", *many).domains), 256)

    def test_alternative_names_that_are_no_der(self) -> None:
        broken = Authority().issue("pbx.example.com", "example.com").certificate.public_bytes(Encoding.DER)
        at = broken.index(b"\x82\x0bexample.com")
        certificate = x509.load_der_x509_certificate(broken[:at] + b"\x87\x0bexample.com" + broken[at + 13 :])
        self.assertEqual(identities_of(certificate), SipIdentities())


@conforms("RFC 5922 7.2")
class ComparingTests(IdentitiesTestCase):
    def test_names_match_in_their_entirety_in_any_case(self) -> None:
        found = self.found("x", "example.com")
        for domain in ("example.com", "EXAMPLE.com", "example.com."):
            self.assertTrue(found.name(domain), domain)
        for domain in ("foo.example.com", "com", "ample.com", "example.com.evil.test", "", "example.net"):
            self.assertFalse(found.name(domain), domain)

    def test_wildcards_match_nothing_unless_that_is_allowed(self) -> None:
        found = self.found("x", "*.example.com", ".example.net")
        self.assertFalse(found.name("foo.example.com"))
        self.assertFalse(found.name("foo.example.net", True))
        self.assertTrue(found.name("foo.example.com", True))
        self.assertFalse(found.name("a.foo.example.com", True))
        self.assertFalse(found.name("example.com", True))

    def test_addresses_match_addresses(self) -> None:
        found = self.found("x", "192.0.2.1", "2001:db8::1", "192.0.2.9.example.com")
        for address in ("192.0.2.1", "2001:db8::1", "[2001:DB8:0::1]"):
            self.assertTrue(found.name(address), address)
        for address in ("192.0.2.9", "192.0.2.10", "2001:db8::2"):
            self.assertFalse(found.name(address), address)
        self.assertFalse(self.found("192.0.2.1").name("192.0.2.1"))
