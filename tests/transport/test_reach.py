"""Whether a phone is reached where it was heard."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.headers import parse_via
from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Address
from gosip_py.transport.reach import is_at_source, source_text
from tests.conformance import conforms
from tests.registrar.fakes import StillFlow


def heard(contact: str, via: str, source: Address, transport: str = "UDP", has_path: bool = False) -> bool:
    return is_at_source(
        parse_uri(contact), parse_via(f"SIP/2.0/{transport} {via}"), StillFlow(transport, source), has_path
    )


class DatagramTests(SynchronousTestCase):
    def test_a_phone_without_nat(self) -> None:
        self.assertTrue(heard("sip:a@192.0.2.5:5062", "192.0.2.5:5062", ("192.0.2.5", 5062)))
        self.assertTrue(heard("sip:a@192.0.2.5", "192.0.2.5", ("192.0.2.5", 5060)))

    def test_behind_a_nat(self) -> None:
        self.assertTrue(
            heard("sip:a@10.0.0.7:5060", "10.0.0.7:5060;rport=40000;received=203.0.113.9", ("203.0.113.9", 40000))
        )
        self.assertTrue(heard("sip:a@10.0.0.7:5060", "10.0.0.7:5060", ("203.0.113.9", 40000)))

    def test_a_port_translated_on_one_host(self) -> None:
        self.assertTrue(heard("sip:a@192.0.2.5:5060", "192.0.2.5:5060;rport=40000", ("192.0.2.5", 40000)))

    def test_a_phone_that_sends_from_another_port_than_it_listens_on(self) -> None:
        # Without rport it never promised to listen where it sends from (RFC 3581 3).
        self.assertFalse(heard("sip:a@192.0.2.5:5060", "192.0.2.5:5060", ("192.0.2.5", 40000)))
        self.assertFalse(heard("sip:a@192.0.2.5:5070", "192.0.2.5:5060", ("192.0.2.5", 5060)))

    def test_a_third_party(self) -> None:
        self.assertFalse(heard("sip:box@192.0.2.99", "192.0.2.5:5060", ("192.0.2.5", 5060)))
        self.assertFalse(heard("sip:box@192.0.2.99", "10.0.0.7:5060;rport=40000", ("203.0.113.9", 40000)))

    def test_a_contact_with_another_transport(self) -> None:
        self.assertFalse(heard("sip:a@192.0.2.5:5060;transport=tcp", "192.0.2.5:5060", ("192.0.2.5", 5060)))

    def test_ipv6(self) -> None:
        self.assertTrue(heard("sip:a@[2001:db8::5]:5060", "[2001:db8::5]:5060", ("2001:db8::5", 5060)))

    @conforms("RFC 3327 5.4")
    def test_through_a_proxy_with_a_path(self) -> None:
        self.assertFalse(heard("sip:a@192.0.2.5", "192.0.2.8", ("192.0.2.8", 5060), has_path=True))


class ConnectionTests(SynchronousTestCase):
    def test_the_port_of_a_connection_does_not_count(self) -> None:
        for transport in ("TCP", "TLS"):
            parameter = transport.lower()
            self.assertTrue(
                heard(f"sip:a@192.0.2.5:5060;transport={parameter}", "192.0.2.5:5060", ("192.0.2.5", 51234), transport)
            )
        self.assertTrue(heard("sip:a@192.0.2.5", "192.0.2.5", ("192.0.2.5", 51234), "TCP"))
        self.assertTrue(heard("sips:a@192.0.2.5;transport=tcp", "192.0.2.5", ("192.0.2.5", 51234), "TLS"))

    def test_behind_a_nat(self) -> None:
        self.assertTrue(heard("sip:a@10.0.0.7;transport=tcp", "10.0.0.7", ("203.0.113.9", 51234), "TCP"))
        self.assertTrue(heard("sip:a@x3f.invalid;transport=ws", "x3f.invalid", ("203.0.113.9", 51234), "WSS"))

    def test_a_third_party(self) -> None:
        self.assertFalse(heard("sip:a@192.0.2.99;transport=tcp", "192.0.2.5", ("192.0.2.5", 51234), "TCP"))

    def test_a_contact_with_another_transport(self) -> None:
        self.assertFalse(heard("sip:a@192.0.2.5;transport=udp", "192.0.2.5", ("192.0.2.5", 51234), "TCP"))

    def test_through_a_proxy_with_a_path(self) -> None:
        self.assertTrue(heard("sip:a@192.0.2.5", "192.0.2.8", ("192.0.2.8", 5060), "TCP", has_path=True))


@conforms("RFC 7118 4.1")
class WebSocketTests(SynchronousTestCase):
    def test_a_made_up_host_is_where_its_connection_is(self) -> None:
        for transport in ("WS", "WSS"):
            self.assertTrue(heard("sip:a@x3f.invalid;transport=ws", "x3f.invalid", ("203.0.113.9", 51234), transport))
            self.assertTrue(heard("sip:a@other.invalid", "x3f.invalid", ("203.0.113.9", 51234), transport))
            self.assertTrue(heard("sip:a@192.0.2.1;transport=ws", "x3f.invalid", ("203.0.113.9", 51234), transport))

    def test_what_is_no_websocket_is_elsewhere(self) -> None:
        for contact in ("sip:a@192.0.2.99:5060;transport=udp", "sip:a@192.0.2.99", "sip:a@x3f.invalid;transport=tcp"):
            self.assertFalse(heard(contact, "x3f.invalid", ("203.0.113.9", 51234), "WS"))
        self.assertFalse(heard("sip:a@x3f.invalid;transport=ws", "x3f.invalid", ("203.0.113.9", 51234), "TCP"))


class SourceTextTests(SynchronousTestCase):
    def test_both_families(self) -> None:
        self.assertEqual(source_text(("192.0.2.5", 5060)), "192.0.2.5:5060")
        self.assertEqual(source_text(("2001:db8::5", 5060)), "[2001:db8::5]:5060")
