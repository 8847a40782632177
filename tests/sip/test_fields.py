"""Decoded values: each form of each header, what is refused, and back to text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip import fields
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import (
    Accepted,
    DeltaSeconds,
    Disposition,
    Event,
    MediaType,
    RAck,
    Reason,
    Reference,
    Replaces,
    RetryAfter,
    SessionExpires,
    SipDate,
    Timestamp,
    WarningValue,
)
from tests.conformance import conforms


class FieldCase(SynchronousTestCase):
    def read(self, parse: Callable[[str], object], pairs: Iterable[tuple[str, object]]) -> None:
        """Each text gives the value, and what the value writes gives it again."""
        for text, wanted in pairs:
            self.assertEqual(parse(text), wanted, text)
            self.assertEqual(parse(str(wanted)), wanted, text)

    def refused(self, parse: Callable[[str], object], texts: Iterable[str]) -> None:
        for text in texts:
            try:
                value = parse(text)
            except ParseError:
                continue
            self.fail(f"{text!r} was taken for {value!r}")


class Negotiation(FieldCase):
    def test_q(self) -> None:
        for text, thousandths in (
            ("0", 0),
            ("0.", 0),
            ("0.5", 500),
            ("0.07", 70),
            ("0.001", 1),
            ("1", 1000),
            ("1.000", 1000),
        ):
            self.assertEqual(fields.parse_q(text), thousandths, text)
        self.refused(
            fields.parse_q, ("", ".5", "1.1", "1.001", "0.0001", "2", "-0", "+1", "0,5", "0.5 ", "1e0", "\u0660")
        )

    def test_accept(self) -> None:
        self.read(
            fields.parse_accept,
            (
                ("application/sdp", Accepted("application/sdp")),
                ("Text/* ; q=0.25", Accepted("text/*", 250)),
                ("*/*;level=1;q=0", Accepted("*/*", 0, {"level": "1"})),
            ),
        )
        self.refused(fields.parse_accept, ("", "sdp", "a/b/c", "/", "a/", "a/b;q=2", "a/b;q", "a b/c", "a/b;x y=1"))

    def test_accepted_encodings_and_languages(self) -> None:
        self.read(
            fields.parse_accepted,
            (("gzip", Accepted("gzip")), ("en-GB;q=0.8", Accepted("en-GB", 800)), ("*", Accepted("*"))),
        )
        self.refused(fields.parse_accepted, ("", "a b", "da;q=x", "é"))

    def test_media_type(self) -> None:
        self.read(
            fields.parse_media_type,
            (
                ("Application/SDP", MediaType("application", "sdp")),
                ('multipart/mixed; boundary="a;b, c"', MediaType("multipart", "mixed", {"boundary": "a;b, c"})),
                ("text / plain ;charset=UTF-8", MediaType("text", "plain", {"charset": "UTF-8"})),
            ),
        )
        self.assertEqual(fields.parse_media_type("TEXT/plain;x=y").essence, "text/plain")
        self.refused(fields.parse_media_type, ("", "text", "text/", "/plain", "text/pl ain", 'text/plain;x="'))

    def test_disposition(self) -> None:
        self.read(
            fields.parse_disposition,
            (
                ("Session", Disposition("session")),
                ("icon;handling=optional", Disposition("icon", {"handling": "optional"})),
            ),
        )
        self.assertTrue(fields.parse_disposition("session").is_required)
        self.assertTrue(fields.parse_disposition("x;handling=Required").is_required)
        self.assertFalse(fields.parse_disposition("x;handling=OPTIONAL").is_required)
        self.refused(fields.parse_disposition, ("", ";handling=optional", "a b"))

    def test_mime_version(self) -> None:
        self.assertEqual(fields.parse_mime_version("1.0"), "1.0")
        self.refused(fields.parse_mime_version, ("", "1", "1.", ".0", "1.0.0", "a.b"))

    def test_token(self) -> None:
        self.assertEqual(fields.parse_token("100rel"), "100rel")
        self.refused(fields.parse_token, ("", "a b", "a;b", '"a"'))


class Numbers(FieldCase):
    def test_expires(self) -> None:
        self.assertEqual([fields.parse_expires(text) for text in ("0", "3600", "4294967295")], [0, 3600, 2**32 - 1])
        self.refused(fields.parse_expires, ("", "4294967296", "-1", "1.5", "1h", "1 0", "9" * 5000))

    def test_max_forwards(self) -> None:
        self.assertEqual([fields.parse_max_forwards(text) for text in ("0", "70", "255")], [0, 70, 255])
        self.refused(fields.parse_max_forwards, ("", "256", "-1", "0x46"))

    def test_rseq_and_rack(self) -> None:
        self.assertEqual(fields.parse_rseq("988789"), 988789)
        self.read(fields.parse_rack, (("776656 \t 1 INVITE", RAck(776656, 1, "INVITE")),))
        self.refused(
            fields.parse_rack, ("", "1 INVITE", "1 2", "1 2 IN VITE", "a 1 INVITE", "4294967296 1 X", "1 4294967295 X")
        )

    def test_min_se_and_session_expires(self) -> None:
        self.read(fields.parse_delta_seconds, (("90", DeltaSeconds(90)), ("90 ;x=y", DeltaSeconds(90, {"x": "y"}))))
        self.read(
            fields.parse_session_expires,
            (
                ("1800", SessionExpires(1800)),
                ("1800;Refresher=UAC", SessionExpires(1800, "uac")),
                ("1800 ; refresher = uas ; x", SessionExpires(1800, "uas", {"x": None})),
            ),
        )
        self.refused(
            fields.parse_session_expires, ("", "x", "90;refresher", "90;refresher=me", "-90", ";refresher=uac")
        )

    def test_retry_after(self) -> None:
        self.read(
            fields.parse_retry_after,
            (
                ("18000;duration=3600", RetryAfter(18000, "", {"duration": "3600"})),
                ("120 (in (a) meeting)", RetryAfter(120, "in (a) meeting")),
                (r"5(a \) b);duration=1", RetryAfter(5, r"a \) b", {"duration": "1"})),
                ('5;x="(no comment)"', RetryAfter(5, "", {"x": "(no comment)"})),
            ),
        )
        self.refused(fields.parse_retry_after, ("", "(a)", "5 (a", "5 (a (b)", "5 (a) b", "5 a", r"5 (a\)", "5)"))

    def test_date(self) -> None:
        moment = datetime(2026, 2, 28, 23, 59, 5, tzinfo=UTC)
        self.read(fields.parse_date, (("Sat, 28 Feb 2026 23:59:05 GMT", SipDate(moment)),))
        self.assertEqual(str(SipDate(moment)), "Sat, 28 Feb 2026 23:59:05 GMT")
        east = moment.astimezone(timezone(timedelta(hours=9)))
        self.assertEqual(str(SipDate(east)), "Sat, 28 Feb 2026 23:59:05 GMT")
        self.refused(
            fields.parse_date,
            (
                "",
                "Sat, 28 Feb 2026 23:59:05 EST",
                "Sat, 29 Feb 2026 23:59:05 GMT",
                "Sat, 28 Feb 2026 24:00:00 GMT",
                "1772323145",
                "Sat, 28 Feb 2026 23:59:60 GMT",
                "sat, 28 feb 2026 23:59:05 gmt",
                "Sat, 1 Feb 2026 23:59:05 GMT",
                "Sat, 28 Feb 0000 23:59:05 GMT",
                "Sat, 28 Feb 26 23:59:05 GMT",
            ),
        )

    def test_timestamp(self) -> None:
        self.read(
            fields.parse_timestamp,
            (
                ("54", Timestamp("54")),
                ("54.21 0.3", Timestamp("54.21", "0.3")),
                ("54.", Timestamp("54.")),
                ("1 .5", Timestamp("1", ".5")),
            ),
        )
        self.refused(fields.parse_timestamp, ("", ".5", "-1", "1 2 3", "1,5", "now"))


class Explanations(FieldCase):
    def test_reference(self) -> None:
        self.read(
            fields.parse_reference,
            (
                ("<http://a.example/x?y>", Reference("http://a.example/x?y")),
                ("<cid:1@a> ; purpose = icon", Reference("cid:1@a", {"purpose": "icon"})),
            ),
        )
        self.refused(
            fields.parse_reference, ("", "http://a", "<http://a", "<>", "<no scheme>", "<relative>", "<a:b> c")
        )

    def test_warning(self) -> None:
        self.read(
            fields.parse_warning,
            (
                (
                    '307 a.example "Session \\"x\\", not understood"',
                    WarningValue(307, "a.example", 'Session "x", not understood'),
                ),
                ('399 192.0.2.1:5060  ""', WarningValue(399, "192.0.2.1:5060", "")),
                ('399 [::1]:5060 "é"', WarningValue(399, "[::1]:5060", "é")),
            ),
        )
        self.refused(
            fields.parse_warning,
            ("", '39 a "x"', '3990 a "x"', '399 "x"', "399 a x", '399 a "x', '399 a "x" y', 'abc a "x"'),
        )

    def test_reason(self) -> None:
        self.read(
            fields.parse_reason,
            (
                ('SIP ;cause=200 ;text="Call completed elsewhere"', Reason("SIP", 200, "Call completed elsewhere")),
                ("Q.850;cause=16", Reason("Q.850", 16)),
                ("preemption", Reason("preemption")),
                ('SIP;text="";x=1', Reason("SIP", None, "", {"x": "1"})),
            ),
        )
        self.refused(fields.parse_reason, ("", ";cause=1", "SIP;cause=x", "SIP;cause=", "S IP", 'SIP;text="'))

    def test_event(self) -> None:
        self.read(
            fields.parse_event,
            (
                ("message-summary", Event("message-summary")),
                ("dialog;id=7", Event("dialog", {"id": "7"})),
                ("terminated;reason=timeout", Event("terminated", {"reason": "timeout"})),
            ),
        )
        self.assertEqual((fields.parse_event("refer;ID=9").id, fields.parse_event("refer").id), ("9", ""))
        self.refused(fields.parse_event, ("", ";id=1", "a b"))

    def test_privacy(self) -> None:
        self.assertEqual(fields.parse_privacy("ID; Critical"), ("id", "critical"))
        self.refused(fields.parse_privacy, ("", "id;", "a b"))


class Dialogs(FieldCase):
    def test_call_id(self) -> None:
        for text in ("a84b4c76e66710", "f81d4fae@[2001:db8::1]", "w(x){y}?@h", '"<>:\\/'):
            self.assertEqual(fields.parse_call_id(text), text)
        self.refused(fields.parse_call_id, ("", "a b", "a@", "@a", "a@b@c", "a,b", "é", "a;b"))

    @conforms("RFC 3891 6.1")
    def test_replaces(self) -> None:
        self.read(
            fields.parse_replaces,
            (
                ("12adf2f34456gs5@x;to-tag=12345;from-tag=54321", Replaces("12adf2f34456gs5@x", "12345", "54321")),
                ("1 ; From-Tag = f ;early-only; To-Tag=t;x=y", Replaces("1", "t", "f", True, {"x": "y"})),
            ),
        )
        self.refused(
            fields.parse_replaces,
            (
                "",
                "1",
                "1;to-tag=a",
                "1;from-tag=a",
                "1;to-tag=a;from-tag=",
                "1;to-tag=a;from-tag=b;to-tag=c",
                ";to-tag=a;from-tag=b",
                "1 2;to-tag=a;from-tag=b",
                "1;to-tag;from-tag=b",
            ),
        )


class Values(SynchronousTestCase):
    def test_they_are_frozen(self) -> None:
        self.assertRaises(AttributeError, setattr, RAck(1, 1, "INVITE"), "rseq", 2)
        self.assertRaises(AttributeError, setattr, MediaType("a", "b"), "kind", "c")
