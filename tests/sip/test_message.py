"""The header table: reading, changing, copying, writing."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from tests.conformance import conforms
from tests.sip.vectors import octets, parsed, with_headers


class Reading(SynchronousTestCase):
    def test_first_value_and_all_values(self) -> None:
        message = parsed("values")
        self.assertEqual(message.value("route"), "<sip:p1.example;lr>,<sip:p2.example;lr;x=a,b>")
        self.assertEqual(
            message.values("route"), ["<sip:p1.example;lr>", "<sip:p2.example;lr;x=a,b>", "<sip:p3.example;lr>"]
        )
        self.assertEqual(message.values("subject"), ["one, two, three"])
        self.assertEqual((message.value("priority"), message.values("priority")), (None, []))

    def test_tokens(self) -> None:
        message = parsed("values")
        self.assertTrue(message.has_token("allow", "ack"))
        self.assertFalse(message.has_token("allow", "REFER"))
        self.assertFalse(message.has_token("supported", "timer"))

    def test_decoded_headers(self) -> None:
        message = cast("Request", parsed("quoted"))
        self.assertEqual((message.cseq.number, message.cseq.method), (1, "MESSAGE"))
        self.assertEqual((message.call_id, message.from_tag, message.to_tag), ("quoted-1", "q1", ""))
        self.assertEqual(message.top_via.parameters["note"], "a;b, c > d")
        self.assertEqual(message.from_.display_name, 'Omar "the <Miller>, esq." \\ Sons')
        self.assertEqual(message.to.uri.user, "ruth")
        self.assertEqual(message.uri.host, "harbour.example")
        self.assertEqual([a.display_name for a in message.addresses("contact")], ["A, B", "<not a uri>", ""])
        self.assertIs(message.top_via, message.top_via)

    def test_top_of_several_vias(self) -> None:
        self.assertEqual(parsed("values").top_via.branch, "z9hG4bK1")
        self.assertEqual(parsed("ok").top_via.host, "edge.harbour.example")

    def test_the_first_of_several(self) -> None:
        self.assertEqual(parsed("values").first("route"), "<sip:p1.example;lr>")
        for lines, reason in (
            ((), "Route is missing"),
            (("Route: ,",), "Route is empty"),
            (("Route:",), "Route is empty"),
        ):
            error = self.assertRaises(ParseError, parse_message(with_headers(*lines)).first, "route")
            self.assertEqual(error.reason, reason)

    def test_a_via_of_commas_only(self) -> None:
        for text in ("Via: ,", "v: , ,,"):
            self.assertRaises(ParseError, getattr, parse_message(with_headers(text)), "top_via")

    def test_missing(self) -> None:
        message = parse_message(with_headers("Subject: x"))
        for name in ("top_via", "cseq", "call_id", "from_tag", "to_tag", "from_", "to"):
            error = self.assertRaises(ParseError, getattr, message, name)
            self.assertIn("is missing", error.reason)

    def test_a_class_of_its_own_for_each(self) -> None:
        self.assertIn("INVITE", repr(parsed("invite")))
        self.assertIn("200", repr(parsed("ok")))
        self.assertRaises(NotImplementedError, getattr, Message([], []), "start_line")


class RequestUris(SynchronousTestCase):
    """Table 1 of RFC 3261 19.1.1: no headers in a Request-URI."""

    @conforms("RFC 3261 19.1.1", "RFC 4475 3.1.2.11")
    def test_headers_are_refused(self) -> None:
        message = parse_message(with_headers(start="OPTIONS sip:ruth@harbour.example?Route=%3Csip:x%3E SIP/2.0"))
        error = self.assertRaises(ParseError, getattr, message, "uri")
        self.assertIn("headers", error.reason)

    @conforms("RFC 3261 16.6")
    def test_headers_of_a_contact_are_left_out(self) -> None:
        message = cast("Request", parse_message(with_headers()))
        for text, wanted in (
            ("sip:ruth@harbour.example;lr?Route=x", "sip:ruth@harbour.example;lr"),
            ("sip:ruth?@harbour.example?a=b?c", "sip:ruth?@harbour.example"),
            ("sip:harbour.example?a=b", "sip:harbour.example"),
            ("sip:what?now@harbour.example", "sip:what?now@harbour.example"),
        ):
            message.set_uri(text)
            self.assertEqual(message.uri_text, wanted)
            self.assertEqual(message.uri.headers, "")


class Changing(SynchronousTestCase):
    def setUp(self) -> None:
        self.message = cast("Request", parsed("values"))

    def test_prepend(self) -> None:
        self.assertEqual(self.message.top_via.host, "one.example")
        self.message.prepend("via", "SIP/2.0/UDP zero.example;branch=z9hG4bK0")
        self.assertEqual(self.message.top_via.host, "zero.example")
        self.assertEqual(len(self.message.values("via")), 5)
        self.message.prepend("x-first", "1")
        self.assertEqual(self.message.lines[0], "X-First: 1")

    def test_set(self) -> None:
        self.message.set("route", "<sip:only.example;lr>")
        self.assertEqual(self.message.values("route"), ["<sip:only.example;lr>"])
        self.message.set("cseq", "2 INVITE")
        self.assertEqual(self.message.cseq.number, 2)
        self.message.set("priority", "urgent")
        self.assertEqual(self.message.lines[-1], "Priority: urgent")
        self.assertEqual(len(self.message.names), len(self.message.lines))

    def test_remove(self) -> None:
        self.message.remove("via")
        self.assertNotIn("via", self.message)
        self.assertRaises(ParseError, getattr, self.message, "top_via")
        self.message.remove("via")
        self.assertEqual(self.message.value("call-id"), "values-1")

    def test_pop_value(self) -> None:
        popped = []
        while (value := self.message.pop_value("via")) is not None:
            popped.append(value.split()[1].partition(";")[0])
        self.assertEqual(popped, ["one.example", "two.example:5070", "three.example", "four.example"])
        self.assertNotIn("via", self.message)

    def test_body(self) -> None:
        self.message.set_body(b"hello", "text/plain")
        self.assertEqual(self.message.value("content-length"), "5")
        self.assertTrue(self.message.to_bytes().endswith(b"\r\n\r\nhello"))
        self.message.set_body(b"")
        self.assertEqual(self.message.values("content-length"), ["0"])

    def test_request_uri(self) -> None:
        self.assertEqual(self.message.uri.user, "ruth")
        self.message.set_uri("sip:zoe@dock.example")
        self.assertEqual(self.message.uri.user, "zoe")
        self.assertTrue(self.message.to_bytes().startswith(b"INVITE sip:zoe@dock.example SIP/2.0\r\n"))

    def test_folded_lines_survive_and_are_read_as_one(self) -> None:
        message = parsed("folding")
        self.assertEqual(message.value("subject"), "first second third")
        self.assertEqual(message.top_via.branch, "z9hG4bKf")
        self.assertEqual(message.value("call-id"), "fold-1")
        self.assertEqual(message.from_.display_name, "Omar of the Mill")
        self.assertEqual((message.cseq.method, message.value("max-forwards")), ("OPTIONS", "70"))
        self.assertEqual(message.to_bytes(), octets("folding"))


class Copying(SynchronousTestCase):
    def test_the_twin_goes_its_own_way(self) -> None:
        for name in ("invite", "ok"):
            message = parsed(name)
            via = message.top_via
            twin = message.copy() if isinstance(message, Request | Response) else None
            assert twin is not None
            self.assertIs(twin.top_via, via)
            twin.prepend("via", "SIP/2.0/UDP new.example;branch=z9hG4bKn")
            twin.set_body(b"other", "text/plain")
            self.assertEqual(message.to_bytes(), octets(name))
            self.assertIs(message.top_via, via)
            self.assertEqual(twin.top_via.host, "new.example")

    def test_a_changed_request_uri(self) -> None:
        message = cast("Request", parsed("invite"))
        self.assertEqual(message.uri.user, "ruth")
        twin = message.copy()
        twin.set_uri("sip:zoe@dock.example")
        self.assertEqual((message.uri.user, twin.uri.user), ("ruth", "zoe"))


class Building(SynchronousTestCase):
    def test_by_hand(self) -> None:
        request = Request("OPTIONS", "sip:h", [], [])
        for name, value in (("via", "SIP/2.0/UDP h;branch=z9hG4bK"), ("call-id", "1"), ("max-forwards", "70")):
            request.add(name, value)
        self.assertEqual(
            request.to_bytes(),
            b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK\r\nCall-ID: 1\r\nMax-Forwards: 70\r\n\r\n",
        )

    def test_response(self) -> None:
        self.assertEqual(Response(404, "Not Found", [], []).to_bytes(), b"SIP/2.0 404 Not Found\r\n\r\n")
