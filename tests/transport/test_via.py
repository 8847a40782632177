"""What the transport writes into the top Via, and where it reads that responses go."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import parse_via
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_head
from gosip_py.transport.via import mark_via, response_address, uri_host
from tests.conformance import conforms


def request(*vias: str) -> Request:
    lines = ["OPTIONS sip:b@192.0.2.1 SIP/2.0", *vias, "Call-ID: 1"]
    message = parse_head("\r\n".join(lines))
    assert isinstance(message, Request)
    return message


def marked(*vias: str, host: str = "192.0.2.9", port: int = 4711) -> Request:
    message = request(*vias)
    mark_via(message, host, port)
    return message


@conforms("RFC 3261 18.2.1", "RFC 3581 4")
class MarkTests(SynchronousTestCase):
    """RFC 3261 18.2.1, RFC 3581 4."""

    def test_rport_asked_is_filled_in_with_received_even_when_it_says_nothing_new(self) -> None:
        message = marked("Via: SIP/2.0/UDP 192.0.2.9:4711;branch=z9hG4bKx;rport")
        self.assertEqual(
            message.lines[0], "Via: SIP/2.0/UDP 192.0.2.9:4711;branch=z9hG4bKx;rport=4711;received=192.0.2.9"
        )

    def test_rport_in_the_middle_of_the_parameters(self) -> None:
        message = marked("v: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx")
        self.assertEqual(message.lines[0], "v: SIP/2.0/UDP 10.0.0.1;rport=4711;received=192.0.2.9;branch=z9hG4bKx")

    def test_every_spelling_of_rport(self) -> None:
        for spelling in (";RPORT", "; rport", ";rport ;branch=1", ";rport=", ";rport=99", ";Rport;received=1.2.3.4"):
            via = marked(f"Via: SIP/2.0/UDP 10.0.0.1{spelling}").top_via
            self.assertEqual((via.parameters["rport"], via.parameters["received"]), ("4711", "192.0.2.9"), spelling)

    def test_another_parameter_that_begins_with_rport_asks_for_nothing(self) -> None:
        via = marked("Via: SIP/2.0/UDP 192.0.2.9;rportal=1;branch=z9hG4bKx").top_via
        self.assertNotIn("rport", via.parameters)
        self.assertNotIn("received", via.parameters)

    def test_received_when_the_host_differs(self) -> None:
        for host in ("10.0.0.1", "phone.example.com", "192.0.2.90"):
            via = marked(f"Via: SIP/2.0/UDP {host}:5062;branch=z9hG4bKx").top_via
            self.assertEqual(via.parameters, {"branch": "z9hG4bKx", "received": "192.0.2.9"})
            self.assertEqual((via.host, via.port), (host, 5062))

    def test_no_received_when_the_host_is_the_source(self) -> None:
        self.assertNotIn("received", marked("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx").top_via.parameters)
        message = marked("Via: SIP/2.0/UDP [2001:DB8::9]:5060;branch=z9hG4bKx", host="2001:db8::9")
        self.assertNotIn("received", message.top_via.parameters)

    def test_received_of_the_sender_does_not_stand(self) -> None:
        for via in (
            "192.0.2.9;received=203.0.113.1",
            "10.0.0.1;received=203.0.113.1;rport",
            "10.0.0.1;RECEIVED=203.0.113.1;rport",
        ):
            text = marked(f"Via: SIP/2.0/UDP {via}").lines[0]
            self.assertNotIn("203.0.113.1", text)

    def test_only_the_top_value_of_a_line_is_marked(self) -> None:
        message = marked("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport, SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKb;rport")
        first, second = message.values("via")
        self.assertIn("rport=4711", first)
        self.assertEqual(second, "SIP/2.0/TCP 10.0.0.2;branch=z9hG4bKb;rport")

    def test_only_the_top_line_is_marked(self) -> None:
        below = "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKb;rport"
        message = marked("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport", below)
        self.assertEqual(message.lines[1], below)

    def test_a_folded_line(self) -> None:
        via = marked('Via: SIP/2.0/UDP\r\n 10.0.0.1\r\n\t;branch=z9hG4bKx;comment="a, b"').top_via
        self.assertEqual(via.parameters["received"], "192.0.2.9")
        self.assertEqual(via.branch, "z9hG4bKx")

    def test_a_quoted_rport_is_none(self) -> None:
        via = marked('Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx;note=";rport;"').top_via
        self.assertNotIn("rport", via.parameters)

    def test_ipv6_stands_without_brackets(self) -> None:
        via = marked("Via: SIP/2.0/UDP [2001:db8::1];branch=z9hG4bKx;rport", host="2001:db8::9").top_via
        self.assertEqual(via.parameters["received"], "2001:db8::9")

    def test_no_via_and_no_readable_via(self) -> None:
        for vias in ((), ("Via:",), ("Via: nonsense",), ("Via: SIP/2.0/UDP",), ('Via: SIP/2.0/UDP 1.2.3.4;a="',)):
            with self.assertRaises(ParseError):
                marked(*vias)


@conforms("RFC 3261 18.2.2", "RFC 3581 4", "RFC 3263 5")
class ResponseAddressTests(SynchronousTestCase):
    """RFC 3261 18.2.2, RFC 3581 4."""

    def test_every_case(self) -> None:
        cases = {
            "SIP/2.0/UDP 10.0.0.1;received=192.0.2.9;rport=4711": ("192.0.2.9", 4711),
            "SIP/2.0/UDP 10.0.0.1:5070;received=192.0.2.9": ("192.0.2.9", 5070),
            "SIP/2.0/UDP 192.0.2.9": ("192.0.2.9", 5060),
            "SIP/2.0/UDP 192.0.2.9;rport=99999": ("192.0.2.9", 5060),
            "SIP/2.0/UDP 192.0.2.9;rport=0": ("192.0.2.9", 5060),
            "SIP/2.0/UDP 192.0.2.9;maddr=203.0.113.1": ("192.0.2.9", 5060),
            "SIP/2.0/UDP [2001:db8::1]:5062": ("2001:db8::1", 5062),
            "SIP/2.0/TLS 192.0.2.9": ("192.0.2.9", 5061),
            "SIP/2.0/TCP 192.0.2.9:5080;rport=4711": ("192.0.2.9", 5080),
        }
        for text, address in cases.items():
            self.assertEqual(response_address(parse_via(text)), address, text)


class UriHostTests(SynchronousTestCase):
    def test_brackets_and_zones(self) -> None:
        self.assertEqual(uri_host("192.0.2.1"), "192.0.2.1")
        self.assertEqual(uri_host("fe80::1%eth0"), "[fe80::1]")
        self.assertEqual(uri_host("PBX.example.com"), "pbx.example.com")
