"""A MESSAGE on its way into the store and out again (RFC 3428 4, 7)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.messaging.stored import expiry_of, from_octets, to_octets
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from tests.conformance import conforms

NOW = 1_800_000_000.25
NOW_TEXT = "Fri, 15 Jan 2027 08:00:00 GMT"
BODY = bytes(range(256)) * 4
KEEP = 7 * 86400.0


def message(*more: str, cseq: int = 7, body: bytes = BODY) -> Request:
    lines = (
        "MESSAGE sip:bob@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKx",
        'From: "Al \udcff ice" <sip:alice@example.com>;tag=from',
        "To: <sip:bob@example.com>",
        "i: call@example.com",
        f"CSeq: {cseq} MESSAGE",
        *more,
    )
    parsed = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body)
    assert isinstance(parsed, Request)
    return parsed


class OctetsTests(SynchronousTestCase):
    def test_what_is_between_the_two_ends_stays_as_it_was(self) -> None:
        kept = (
            "c: message/cpim",
            "Content-Encoding: gzip",
            "Subject: \udcff folded\r\n  line",
            "Require: recipient-list-message",
            "X-Own: a",
            "X-Own: b",
        )
        stored = from_octets(to_octets(message(*kept), NOW), 1)
        self.assertEqual(stored.body, BODY)
        for line in (*kept, 'From: "Al \udcff ice" <sip:alice@example.com>;tag=from', "i: call@example.com"):
            self.assertIn(line, stored.lines)

    def test_what_belongs_to_one_hop_goes(self) -> None:
        hops = (
            "Route: <sip:a>",
            "Record-Route: <sip:b>",
            "Max-Forwards: 3",
            "Max-Breadth: 3",
            "Proxy-Authorization: Digest x=y",
            "Authorization: Digest x=y",
            "Proxy-Require: sec",
            "Timestamp: 1",
            "Contact: <sip:c>",
        )
        stored = from_octets(to_octets(message(*hops), NOW), 1)
        gone = {"via", "route", "record-route", "proxy-authorization", "authorization", "proxy-require", "contact"}
        self.assertEqual((gone | {"timestamp", "max-breadth"}) & set(stored.names), set())
        self.assertEqual(stored.values("max-forwards"), ["70"])

    @conforms("RFC 3261 8.1.3.5")
    def test_each_attempt_has_a_cseq_of_its_own(self) -> None:
        octets = to_octets(message(), NOW)
        found = [from_octets(octets, attempt) for attempt in (1, 2, 3)]
        self.assertEqual([request.cseq.number for request in found], [8, 9, 10])
        self.assertEqual({(request.call_id, request.from_tag) for request in found}, {("call@example.com", "from")})
        self.assertEqual(from_octets(to_octets(message(cseq=2**31 - 1), NOW), 1).cseq.number, 0)

    @conforms("RFC 3428 7")
    def test_the_date_of_arrival_unless_the_sender_gave_one(self) -> None:
        self.assertEqual(from_octets(to_octets(message(), NOW), 1).value("date"), NOW_TEXT)
        said = "Sat, 13 Nov 2010 23:29:00 GMT"
        self.assertEqual(from_octets(to_octets(message(f"Date: {said}"), NOW), 1).values("date"), [said])

    def test_the_length_is_told_even_when_the_datagram_told_it(self) -> None:
        self.assertEqual(from_octets(to_octets(message(), NOW), 1).value("content-length"), str(len(BODY)))

    def test_octets_that_are_no_request(self) -> None:
        for octets in (b"", b"garbage", b"SIP/2.0 200 OK\r\nCSeq: 1 MESSAGE\r\n\r\n", b"MESSAGE sip:a SIP/2.0\r\n\r\n"):
            with self.assertRaises(ParseError):
                from_octets(octets, 1)


@conforms("RFC 3428 7")
class ExpiryTests(SynchronousTestCase):
    def test_without_expires(self) -> None:
        self.assertEqual(expiry_of(message(), NOW, KEEP), NOW + KEEP)

    def test_it_counts_from_now(self) -> None:
        self.assertEqual(expiry_of(message("Expires: 60"), NOW, KEEP), NOW + 60)

    def test_or_from_the_date(self) -> None:
        dated = message("Expires: 60", "Date: Fri, 15 Jan 2027 07:59:30 GMT")
        self.assertEqual(expiry_of(dated, NOW, KEEP), int(NOW) + 30)

    def test_it_may_be_over_when_it_comes(self) -> None:
        self.assertLessEqual(expiry_of(message("Expires: 60", "Date: Sat, 13 Nov 2010 23:29:00 GMT"), NOW, KEEP), NOW)
        self.assertLessEqual(expiry_of(message("Expires: 0"), NOW, KEEP), NOW)

    def test_nothing_is_kept_for_ever(self) -> None:
        self.assertEqual(expiry_of(message(f"Expires: {2**32 - 1}"), NOW, KEEP), NOW + KEEP)
        ahead = message("Expires: 60", "Date: Sat, 13 Nov 2109 23:29:00 GMT")
        self.assertEqual(expiry_of(ahead, NOW, KEEP), NOW + KEEP)

    def test_what_cannot_be_read_does_not_count(self) -> None:
        for lines in (("Expires: soon",), ("Expires: 9" + "9" * 40,), ("Expires: 60", "Date: today")):
            self.assertEqual(expiry_of(message(*lines), NOW, KEEP), NOW + KEEP)
