"""Via, addresses and CSeq."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address, CSeq, ForeignVia, Via, parse_address, parse_cseq, parse_via, read_tag
from tests.conformance import conforms


class Vias(SynchronousTestCase):
    def test_read(self) -> None:
        via = parse_via("SIP/2.0/udp Mill.Example:5060;branch=z9hG4bK1;rport;Received=192.0.2.1")
        self.assertEqual((via.transport, via.host, via.port), ("UDP", "Mill.Example", 5060))
        self.assertEqual(via.parameters, {"branch": "z9hG4bK1", "rport": None, "received": "192.0.2.1"})
        self.assertEqual((via.branch, via.sent_by), ("z9hG4bK1", "mill.example:5060"))

    def test_without_port_and_branch(self) -> None:
        via = parse_via("SIP/2.0/TLS [2001:DB8::1]")
        self.assertEqual((via.host, via.port, via.branch, via.sent_by), ("[2001:DB8::1]", None, "", "[2001:db8::1]"))

    def test_space_everywhere(self) -> None:
        via = parse_via('SIP / 2.0 / UDP \t h.example : 5066 ; branch = z9 ; note = "a;b"')
        self.assertEqual(str(via), 'SIP/2.0/UDP h.example:5066;branch=z9;note="a;b"')

    def test_refused(self) -> None:
        for text in (
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 h",
            "SIP//UDP h",
            "/2.0/UDP h",
            "SIP/2.0//UDP h",
            "SIP/7.0/UDP h:65536",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:65536",
            "SIP/2.0/UDP h x",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0/UDP a@b",
            "SIP/2.0/UDP [::1",
            'SIP/2.0/UDP h;x="',
            "SIP/2.0/U DP h",
        ):
            self.assertRaises(ParseError, parse_via, text)

    def test_there_and_back(self) -> None:
        for via in (
            Via("TCP", "[::1]", 5061, {"branch": "z9hG4bK", "rport": None}),
            ForeignVia("UDP", "h", None, {"branch": "x"}, "SIP/7.0"),
        ):
            self.assertEqual(parse_via(str(via)), via)

    @conforms("RFC 4475 3.1.2.16")
    def test_of_another_protocol(self) -> None:
        via = parse_via("sip / 7.0 / udp h:5070;branch=x")
        self.assertEqual((via.transport, via.sent_by, via.branch), ("UDP", "h:5070", "x"))
        self.assertEqual(str(via), "sip/7.0/UDP h:5070;branch=x")


class Addresses(SynchronousTestCase):
    def test_the_one_that_stands_for_all(self) -> None:
        self.assertEqual(str(parse_address("*")), "*")
        for text in ("*;expires=0", '"All" <*>'):
            address = parse_address(text)
            self.assertEqual(parse_address(str(address)), address)
            self.assertRaises(ParseError, getattr, address, "uri")

    def test_forms(self) -> None:
        for text, wanted in (
            ("<sip:a@b>", Address("", "sip:a@b")),
            ("sip:a@b", Address("", "sip:a@b")),
            ("sip:a@b;tag=1", Address("", "sip:a@b", {"tag": "1"})),
            ("Al Bo <sip:a@b;lr>;tag=1", Address("Al Bo", "sip:a@b;lr", {"tag": "1"})),
            ('"Al \\"x\\", Bo" <sip:a@b> ; tag = 1', Address('Al "x", Bo', "sip:a@b", {"tag": "1"})),
            ('"<sip:x@y>"<sip:a@b>;k=">"', Address("<sip:x@y>", "sip:a@b", {"k": ">"})),
            ("Zoë <sip:a@b>", Address("Zoë", "sip:a@b")),
            ("<sip:a@b?Subject=a,b>", Address("", "sip:a@b?Subject=a,b")),
            ("*", Address("", "*")),
        ):
            self.assertEqual(parse_address(text), wanted, text)
            self.assertEqual(parse_address(str(wanted)), wanted, text)

    def test_refused(self) -> None:
        for text in (
            "",
            "sip:a b@c",
            '(x)@"',
            "sip:a@b?x=y",
            "sip:a@b,sip:c@d",
            "<sip:a@b",
            "sip:a@b>;x<",
            "<sip:<a>@b>",
            "<sip:a@b> x",
            '"al <sip:a@b>',
            "a, b <sip:a@b>",
            "a;b <sip:a@b>",
            '"a" "b" <sip:a@b>',
            'a"b" <sip:a@b>',
            "<sip:a@b>x;y",
            "a<b>c<d>",
        ):
            self.assertRaises(ParseError, parse_address, text)

    def test_uri_is_decoded_when_asked_for(self) -> None:
        self.assertEqual(parse_address("<sip:ruth@Mill.Example>").uri.host, "mill.example")
        self.assertRaises(ParseError, lambda: parse_address("<weird>").uri)

    def test_contact_for_all_is_written_bare(self) -> None:
        self.assertEqual(str(parse_address("*")), "*")

    def test_tag(self) -> None:
        self.assertEqual(parse_address("<sip:a@b>;TAG=x").tag, "x")
        self.assertEqual(parse_address("<sip:a@b>;tag").tag, "")


class Tags(SynchronousTestCase):
    def test_read_without_the_rest(self) -> None:
        for text, wanted in (
            ("<sip:a@b>;tag=x1", "x1"),
            ("<sip:a@b> ; TAG = x1;y", "x1"),
            ("sip:a@b;tag=x1", "x1"),
            ("<sip:a@b;tag=no>", ""),
            ("<sip:a@b;tag=no>;mytag=no;tag=yes", "yes"),
            ('"x;tag=no" <sip:a@b>', ""),
            ('"x" <sip:a@b>;k=";tag=no";tag=yes', "yes"),
            ("", ""),
        ):
            self.assertEqual(read_tag(text), wanted, text)


class CSeqs(SynchronousTestCase):
    def test_read(self) -> None:
        self.assertEqual(parse_cseq("0009 \t INVITE"), CSeq(9, "INVITE"))
        self.assertEqual(str(CSeq(9, "x!")), "9 x!")
        self.assertEqual(parse_cseq("2147483647 ACK").number, 2147483647)

    def test_refused(self) -> None:
        for text in (
            "",
            "1",
            "INVITE",
            "1INVITE",
            "-1 ACK",
            "2147483648 ACK",
            "1 A B",
            "1 A,B",
            "\u0661 ACK",
            "9" * 40 + " X",
        ):
            self.assertRaises(ParseError, parse_cseq, text)
