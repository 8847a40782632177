"""Which URIs are ours."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.registrar.domains import Domains
from gosip_py.sip.uri import parse_uri
from tests.registrar.fakes import Addresses

OURS = Domains("Example.com", Addresses(("192.0.2.1", 5060), ("192.0.2.1", 5061), ("2001:db8::1", 5060)))


class DomainsTests(SynchronousTestCase):
    def test_every_name_of_ours(self) -> None:
        for text in (
            "sip:alice@example.com",
            "sip:alice@EXAMPLE.COM",
            "sips:alice@example.com:5061",
            "sip:192.0.2.1",
            "sip:alice@192.0.2.1:5060;transport=tcp",
            "sip:alice@[2001:DB8::1]:5060",
        ):
            self.assertTrue(OURS.contains(parse_uri(text)), text)

    def test_what_is_not_ours(self) -> None:
        for text in (
            "sip:alice@example.org",
            "sip:alice@sub.example.com",
            "sip:192.0.2.2",
            "tel:+4930123",
            "sip:a@[2001:db8::2]",
        ):
            self.assertFalse(OURS.contains(parse_uri(text)), text)

    def test_a_phone_on_the_same_machine_is_not_us(self) -> None:
        self.assertFalse(OURS.contains(parse_uri("sip:alice@192.0.2.1:5070")))

    def test_one_domain_for_all_names(self) -> None:
        self.assertEqual(OURS.aor("alice"), "sip:alice@example.com")
        self.assertEqual(OURS.aor("a b@c"), "sip:a%20b%40c@example.com")

    def test_a_domain_without_a_name_is_refused(self) -> None:
        self.assertRaises(ValueError, Domains, "", Addresses())
