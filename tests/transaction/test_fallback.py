"""Phones that a choice of algorithms baffles are offered MD5 alone."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from gosip_py.transaction.fallback import Fallback
from tests.conformance import conforms

NOW = 1_800_000_000.0


def request(source: str = "192.0.2.5", user: str = "alice") -> Request:
    text = (
        f"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.7;branch=z9hG4bK1;received={source}\r\n"
        f"From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: 1\r\n"
        "CSeq: 1 REGISTER\r\n\r\n"
    )
    return cast(Request, parse_message(text.encode()))


@conforms("RFC 8760 2.4")
class FallbackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fallback = Fallback()

    def asks(self, seconds: float, **who: str) -> bool:
        return self.fallback.is_baffled(request(**who), NOW + seconds)

    def test_the_first_challenge_has_the_choice(self) -> None:
        self.assertFalse(self.asks(0))

    def test_who_comes_again_without_an_answer_is_baffled_and_stays_so(self) -> None:
        self.asks(0)
        self.assertTrue(self.asks(30))
        self.fallback.note_answer(request())
        self.assertTrue(self.asks(31))

    def test_who_answers_had_no_trouble(self) -> None:
        self.asks(0)
        self.fallback.note_answer(request())
        self.assertFalse(self.asks(30))

    def test_a_late_answer_is_an_answer(self) -> None:
        self.asks(0)
        self.fallback.note_answer(request())
        self.assertFalse(self.asks(7))

    def test_two_requests_at_once_have_crossed_the_challenge(self) -> None:
        self.asks(0)
        self.assertFalse(self.asks(0.5))

    def test_others_are_not_concerned(self) -> None:
        self.asks(0)
        self.assertFalse(self.asks(30, user="bob"))
        self.assertFalse(self.asks(30, source="192.0.2.6"))

    def test_what_is_remembered_is_bounded(self) -> None:
        for number in range(50_000):
            self.asks(0, user=f"u{number}")
        self.assertLessEqual(len(self.fallback), 40_000)

    def test_who_was_not_heard_of_for_hours_is_forgotten(self) -> None:
        self.asks(0)
        self.assertTrue(self.asks(60))
        self.asks(7300, user="bob")
        self.asks(14_700, user="bob")
        self.assertFalse(self.asks(14_701))
