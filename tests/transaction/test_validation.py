"""What is wrong with a request, and what we say about it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from gosip_py.transaction.validation import (
    Check,
    Refusal,
    Stage,
    Validation,
    allowed_methods,
    check_syntax,
    check_version,
    hops_left,
    readable_body,
    supported_extensions,
    syntax,
)
from tests.conformance import conforms

HEADERS = {
    "Via": "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1",
    "Max-Forwards": "70",
    "From": '"Bob" <sip:bob@example.com>;tag=f1',
    "To": "<sip:alice@example.com>",
    "Call-ID": "c1@192.0.2.5",
    "CSeq": "7 INVITE",
}


def invite(
    *more: str, uri: str = "sip:alice@example.com", method: str = "INVITE", body: str = "", **changed: str | None
) -> Request:
    """A request. ``changed`` replaces headers, None leaves one out; underscores stand for hyphens."""
    headers = dict(HEADERS)
    for name, value in changed.items():
        written = name.replace("_", "-")
        if value is None:
            del headers[written]
        else:
            headers[written] = value
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers.items()), *more]
    message = parse_message(("\r\n".join((*lines, f"Content-Length: {len(body)}")) + "\r\n\r\n" + body).encode())
    assert isinstance(message, Request)
    return message


def without(name: str) -> Request:
    request = invite()
    request.remove(name.lower())
    return request


class SyntaxTests(SynchronousTestCase):
    def assert_refused(self, request: Request, status: int, *words: str) -> None:
        refusal = Validation(*syntax()).refuse(request)
        assert refusal is not None, request.to_bytes()
        self.assertEqual(refusal.status, status, refusal)
        for word in words:
            self.assertIn(word, refusal.explanation)

    def assert_good(self, request: Request) -> None:
        self.assertIsNone(Validation(*syntax()).refuse(request))

    def test_good(self) -> None:
        self.assert_good(invite())

    def test_each_mandatory_header(self) -> None:
        for name in ("To", "From", "CSeq", "Call-ID", "Via"):
            self.assert_refused(without(name), 400, name)

    def test_all_that_is_missing_is_listed(self) -> None:
        self.assert_refused(invite(To=None, CSeq=None, Call_ID=None), 400, "headers To, CSeq, Call-ID")

    def test_a_peer_of_rfc_2543_sends_no_max_forwards(self) -> None:
        self.assert_good(invite(Max_Forwards=None))

    def test_compact_names_are_the_same_headers(self) -> None:
        self.assert_good(invite("t: <sip:alice@example.com>", "f: <sip:bob@example.com>;tag=1", To=None, From=None))
        self.assert_refused(invite("t: <sip:alice@example.com>"), 400, "To", "once")

    def test_doubled(self) -> None:
        self.assert_refused(invite("Call-ID: c2", "CSeq: 7 INVITE"), 400, "CSeq", "Call-ID", "once")
        self.assert_good(
            invite(
                "User-Agent: a", "User-Agent: b", "Via: SIP/2.0/UDP 192.0.2.6", "Route: <sip:a;lr>", "Route: <sip:b;lr>"
            )
        )

    def test_the_method_of_cseq(self) -> None:
        self.assert_refused(invite(CSeq="7 BYE"), 400, "CSeq", "INVITE")
        self.assert_refused(invite(CSeq="7 invite"), 400, "CSeq")

    def test_what_cannot_be_read(self) -> None:
        for name, value in (
            ("CSeq", "seven INVITE"),
            ("CSeq", "4294967296 INVITE"),
            ("Via", "SIP/2.0 192.0.2.5"),
            ("Call_ID", ""),
            ("Max_Forwards", "many"),
            ("Max_Forwards", "-1"),
            ("Max_Forwards", "256"),
            ("From", "<sip:bob@example.com"),
            ("To", '"Alice <sip:alice@example.com>'),
            ("To", "<sip:alice@exa mple.com>"),
            ("To", "<sip:@example.com>"),
        ):
            self.assert_refused(invite(**{name: value}), 400, name.replace("_", "-"))

    def test_addresses_of_every_kind(self) -> None:
        for value in (
            "sip:alice@example.com;tag=1",
            "Alice Liddell <sip:alice@example.com:5062>;tag=1",
            '"Alice \\"A\\" Liddell, née <x>" <sips:alice%20l@[2001:db8::1];transport=tls>;tag=1;x="a b"',
            "<tel:+4930123;phone-context=x>",
            "<urn:service:sos>",
            "<unknown:whatever>",
            "<sip:example.com>",
        ):
            self.assert_good(invite(From=value, To=value))

    def test_the_request_uri(self) -> None:
        self.assert_good(invite(uri="sips:alice@example.com;user=phone"))
        self.assert_good(invite(uri="tel:+4930123"))
        self.assert_refused(invite(uri="sip:"), 400, "Request-URI")
        self.assert_refused(invite(uri="<sip:alice@example.com>"), 400, "Request-URI")

    def test_a_scheme_that_is_not_ours(self) -> None:
        for uri in ("http://example.com", "urn:service:sos", "h323:alice@example.com", "soap.beep://192.0.2.103:3002"):
            self.assert_refused(invite(uri=uri), 416, "sip, sips or tel")

    def test_another_version(self) -> None:
        request = invite()
        request.version = "SIP/7.0"
        self.assert_refused(request, 505, "SIP/2.0")
        self.assertIsNone(check_version(invite()))

    def test_what_is_left_of_a_broken_message(self) -> None:
        refusal = check_syntax(Request("INVITE", "sip:x", [], []))
        assert refusal is not None
        self.assertEqual(refusal.explanation, "add the mandatory headers To, From, CSeq, Call-ID, Via")


class ChainTests(SynchronousTestCase):
    def check(self, stage: int, status: int) -> Check:
        return Check(stage, lambda _: Refusal(status))

    def test_the_first_that_fails_answers_in_the_order_of_stages(self) -> None:
        stages = ((Stage.LOGIC, 404), (Stage.AUTHENTICATION, 401), (Stage.SYNTAX, 400), (Stage.SESSION_TIMER, 422))
        checks = [self.check(stage, status) for stage, status in stages]
        for status in (400, 422, 401, 404):
            refusal = Validation(*checks).refuse(invite())
            assert refusal is not None
            self.assertEqual(refusal.status, status)
            checks = [check for check in checks if check.refuse(invite()) != refusal]

    def test_one_stage_keeps_the_order_given(self) -> None:
        refusal = Validation(self.check(Stage.LOGIC, 405), self.check(Stage.LOGIC, 420)).refuse(invite())
        self.assertEqual(refusal, Refusal(405))

    def test_nothing_to_check(self) -> None:
        self.assertIsNone(Validation().refuse(invite()))


class ForwardingTests(SynchronousTestCase):
    def test_hops(self) -> None:
        check = Validation(hops_left())
        for value in ("0", "00"):
            refusal = check.refuse(invite(Max_Forwards=value))
            assert refusal is not None
            self.assertEqual(refusal.status, 483)
        for value in ("1", "10", "70"):
            self.assertIsNone(check.refuse(invite(Max_Forwards=value)))
        self.assertIsNone(check.refuse(invite(Max_Forwards=None)))

    def test_extensions_asked_of_a_proxy(self) -> None:
        check = Validation(supported_extensions((), "proxy-require"))
        refusal = check.refuse(invite("Proxy-Require: foo, bar", "Proxy-Require: baz"))
        assert refusal is not None
        self.assertEqual((refusal.status, refusal.headers), (420, (("unsupported", "foo, bar, baz"),)))
        self.assertIn("Proxy-Require", refusal.explanation)
        self.assertIsNone(check.refuse(invite("Require: foo")))


class AnsweringTests(SynchronousTestCase):
    def test_extensions(self) -> None:
        check = Validation(supported_extensions(("path", "Timer")))
        self.assertIsNone(check.refuse(invite()))
        self.assertIsNone(check.refuse(invite("Require: PATH, timer")))
        refusal = check.refuse(invite("Require: timer, 100rel"))
        assert refusal is not None
        self.assertEqual((refusal.status, refusal.headers), (420, (("unsupported", "100rel"),)))
        refusal = check.refuse(invite('Require: "a,b'))
        assert refusal is not None
        self.assertEqual(refusal.status, 400)

    def test_methods(self) -> None:
        check = Validation(allowed_methods(("REGISTER", "OPTIONS")))
        refusal = check.refuse(invite())
        assert refusal is not None
        self.assertEqual((refusal.status, refusal.headers), (405, (("allow", "OPTIONS, REGISTER"),)))
        self.assertIsNone(check.refuse(invite(method="OPTIONS", CSeq="7 OPTIONS")))

    def test_bodies(self) -> None:
        check = Validation(readable_body("application/sdp"))
        self.assertIsNone(check.refuse(invite()))
        self.assertIsNone(check.refuse(invite("Content-Type: application/SDP ;charset=x", body="v=0")))
        self.assertIsNone(check.refuse(invite("c: application/sdp", "Content-Encoding: Identity", body="v=0")))
        for headers in (("Content-Type: text/plain",), ()):
            refusal = check.refuse(invite(*headers, body="v=0"))
            assert refusal is not None
            self.assertEqual((refusal.status, refusal.headers), (415, (("accept", "application/sdp"),)))

    def test_a_body_that_may_be_ignored(self) -> None:
        check = Validation(readable_body())
        optional = "Content-Disposition: render;handling=Optional"
        self.assertIsNone(check.refuse(invite("Content-Type: text/plain", optional, body="x")))
        for other in (
            "Content-Disposition: render;handling=required",
            "Content-Disposition: render",
            'Content-Disposition: a;b="',
        ):
            refusal = check.refuse(invite("Content-Type: text/plain", other, body="x"))
            assert refusal is not None
            self.assertEqual(refusal.status, 415)

    @conforms("RFC 3261 21.4.28")
    def test_an_encrypted_body(self) -> None:
        check = Validation(readable_body("application/sdp"))
        refusal = check.refuse(invite("Content-Type: application/PKCS7-mime; smime-type=enveloped-data", body="x"))
        assert refusal is not None
        self.assertEqual(refusal.status, 493)
        self.assertIn("in the clear", refusal.explanation)

    def test_an_encoding(self) -> None:
        refusal = Validation(readable_body("application/sdp")).refuse(
            invite(
                "Content-Type: application/sdp", "e: gzip", "Content-Disposition: session;handling=optional", body="x"
            )
        )
        assert refusal is not None
        self.assertEqual((refusal.status, refusal.headers), (415, (("accept-encoding", "identity"),)))
