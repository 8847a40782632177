"""Contact values of a REGISTER, and of its 200."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.registrar.contacts import contact_value, expires_header, read_wanted, requested_expires
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.registrar.fakes import NOW, binding


class WantedTests(SynchronousTestCase):
    def test_everything_a_contact_may_say(self) -> None:
        value = '"Alice" <sip:alice@192.0.2.5;transport=tcp>;q=0.75;expires=120;+sip.instance="<urn:uuid:1>";reg-id=2'
        wanted = read_wanted(value)
        self.assertEqual(
            (wanted.uri_text, wanted.expires, wanted.q, wanted.instance, wanted.reg_id, wanted.written),
            ("sip:alice@192.0.2.5;transport=tcp", 120, 750, "<urn:uuid:1>", 2, value),
        )

    def test_nothing_but_the_address(self) -> None:
        wanted = read_wanted("<sip:alice@192.0.2.5>")
        self.assertEqual((wanted.expires, wanted.q, wanted.instance, wanted.reg_id), (None, 1000, "", None))

    def test_without_angle_brackets_the_parameters_are_the_headers(self) -> None:
        wanted = read_wanted("sip:alice@192.0.2.5;expires=90")
        self.assertEqual((wanted.uri_text, wanted.expires), ("sip:alice@192.0.2.5", 90))

    @conforms("RFC 3261 10.2.1.2")
    def test_q(self) -> None:
        for text, thousandths in (("1", 1000), ("1.0", 1000), ("0", 0), ("0.001", 1), ("0.5", 500), ("0.", 0)):
            self.assertEqual(read_wanted(f"<sip:a@b>;q={text}").q, thousandths)

    def test_bad_q(self) -> None:
        for text in ("1.1", "2", "0.1234", "-1", "high", ".5", "1e0"):
            self.assertRaises(ParseError, read_wanted, f"<sip:a@b>;q={text}")

    def test_an_address_that_nobody_can_call(self) -> None:
        for value in ("<http://example.com>", "<sip:>", "nonsense", "<sip:a@b", "<sip:a@b>;reg-id=x"):
            self.assertRaises(ParseError, read_wanted, value)


class ExpiresTests(SynchronousTestCase):
    @conforms("RFC 3261 10.2.1.1")
    def test_malformed_counts_as_an_hour(self) -> None:
        # RFC 3261 10.2.1.1
        for text in ("", "soon", "-1", "1.5", "4294967296", "9" * 500, "٣"):
            self.assertEqual(requested_expires(text), 3600, text)

    def test_numbers(self) -> None:
        for text, seconds in (("0", 0), ("60", 60), ("0060", 60), ("4294967295", 4294967295)):
            self.assertEqual(requested_expires(text), seconds)

    def test_a_parameter_without_a_value_is_malformed(self) -> None:
        self.assertEqual(read_wanted("<sip:a@b>;expires").expires, 3600)

    def test_header(self) -> None:
        message = Request("REGISTER", "sip:example.com", [], [])
        self.assertIsNone(expires_header(message))
        message.add("expires", "0")
        self.assertEqual(expires_header(message), 0)


class ContactValueTests(SynchronousTestCase):
    def test_plain(self) -> None:
        self.assertEqual(contact_value(binding(), NOW), "<sip:alice@192.0.2.5:5060>;expires=60")

    @conforms("RFC 3261 10.3")
    def test_everything(self) -> None:
        full = binding(q=750, instance="<urn:uuid:1>", reg_id=2)
        self.assertEqual(
            contact_value(full, NOW),
            '<sip:alice@192.0.2.5:5060>;expires=60;q=0.75;+sip.instance="<urn:uuid:1>";reg-id=2',
        )

    def test_what_is_left_is_rounded_up(self) -> None:
        self.assertIn(";expires=1", contact_value(binding(expires_at=NOW + 0.2), NOW))
        self.assertIn(";expires=60", contact_value(binding(expires_at=NOW + 59.5), NOW))
