"""What passes from one leg to the other, and what does not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.headers import body_headers, breadth_of, hops_of, passed_answer, passed_request, wants_privacy
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.parser import parse_message
from tests.conformance import conforms


def request(*lines: str) -> Request:
    head = ("INVITE sip:bob@example.com SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bKx", "Call-ID: 1", *lines, "", "")
    message = parse_message("\r\n".join(head).encode())
    assert isinstance(message, Request)
    return message


def response(*lines: str) -> Response:
    message = parse_message("\r\n".join(("SIP/2.0 200 OK", "Call-ID: 1", *lines, "", "")).encode())
    assert isinstance(message, Response)
    return message


class PassedTests(SynchronousTestCase):
    def test_an_ordinary_invite_has_nothing_that_passes(self) -> None:
        ordinary = request("User-Agent: x", "Allow: INVITE", "Supported: timer", "Contact: <sip:a@h>", "Date: x")
        self.assertEqual(passed_request(ordinary, True), ())

    def test_for_people(self) -> None:
        message = request("s: hello", "Priority: urgent", "User-to-User: 01;encoding=hex", "Geolocation: <cid:x>")
        expected = (
            ("subject", "hello"),
            ("priority", "urgent"),
            ("user-to-user", "01;encoding=hex"),
            ("geolocation", "<cid:x>"),
        )
        self.assertEqual(passed_request(message, False), expected)

    def test_what_makes_a_phone_answer_by_itself_is_taken_from_our_own_only(self) -> None:
        lines = (
            "Alert-Info: <x>",
            "Answer-Mode: Auto",
            "Priv-Answer-Mode: Auto",
            "Call-Info: <x>;answer-after=0",
            "X-Own: 1",
        )
        self.assertEqual(len(passed_request(request(*lines), True)), 5)
        self.assertEqual(passed_request(request(*lines), False), ())

    @conforms("RFC 3325 5")
    def test_what_routes_or_names_somebody_never_passes(self) -> None:
        lines = (
            "P-Asserted-Identity: <sip:boss@example.com>",
            "Remote-Party-ID: <sip:boss@example.com>",
            "Diversion: <sip:a@b>",
            "History-Info: <sip:a@b>",
            "Route: <sip:evil;lr>",
            "Replaces: 1;to-tag=2;from-tag=3",
            "Identity: abc",
            "Authorization: Digest x",
            "P-Charging-Vector: x",
        )
        self.assertEqual(passed_request(request(*lines), True), ())

    def test_it_is_bounded_and_on_one_line(self) -> None:
        many = request(*(f"X-{number}: {number}" for number in range(100)))
        self.assertEqual(len(passed_request(many, True)), 16)
        self.assertEqual(passed_request(request("Subject: " + "x" * 600, "X-A:"), True), ())
        self.assertEqual(passed_request(request("Subject: a\r\n  b"), True), (("subject", "a b"),))

    def test_answers(self) -> None:
        answer = response(
            "Alert-Info: <x>", "Retry-After: 5", 'Warning: 399 10.0.0.1 "x"', "Server: x", "Www-Authenticate: x"
        )
        self.assertEqual(passed_answer(answer), (("alert-info", "<x>"), ("retry-after", "5")))
        self.assertEqual(passed_answer(response("Allow: INVITE")), ())

    def test_bodies(self) -> None:
        message = request("Content-Disposition: render", "Info-Package: dtmf", "Server: x")
        self.assertEqual(body_headers(message, True), (("content-disposition", "render"), ("info-package", "dtmf")))


class NumberTests(SynchronousTestCase):
    def test_hops(self) -> None:
        self.assertEqual([hops_of(request(f"Max-Forwards: {given}")) for given in (70, 71, 1, 0)], [69, 70, 0, 0])
        self.assertEqual(hops_of(request()), 70)
        self.assertRaises(ParseError, hops_of, request("Max-Forwards: x"))

    def test_breadth(self) -> None:
        self.assertEqual([breadth_of(request(f"Max-Breadth: {given}")) for given in (1, 60, 1000)], [1, 60, 60])
        self.assertEqual(breadth_of(request()), 0)
        for given in ("0", "x"):
            self.assertRaises(ParseError, breadth_of, request(f"Max-Breadth: {given}"))

    @conforms("RFC 3323 4.2")
    def test_privacy(self) -> None:
        for value, is_wanted in (("id", True), ("critical; User", True), ("none", False), ("session", False)):
            self.assertEqual(wants_privacy(request(f"Privacy: {value}")), is_wanted)
