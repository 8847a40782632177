"""What one request allows to another, and for how long."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.grants import Grants
from gosip_py.sip.compose import compose
from gosip_py.sip.message import Request

CONTACT = "sip:alice@192.0.2.10"


def request(method: str, call_id: str = "a", *, tag: str = "x", to_tag: str = "", expires: str = "") -> Request:
    """From whoever has the tag ``x``, with a contact."""
    to = f"<{CONTACT}>;tag={to_tag}" if to_tag else f"<{CONTACT}>"
    headers = [("contact", f"<{CONTACT}>"), *([("expires", expires)] if expires else [])]
    return compose(method, CONTACT, from_=f"<sip:b@c>;tag={tag}", to=to, call_id=call_id, cseq=1, headers=headers)


class GrantsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.grants = Grants(self.clock.seconds)

    def assert_allowed(
        self, is_allowed: bool, method: str, call_id: str = "a", tag: str = "", to_tag: str = ""
    ) -> None:
        asked = request(method, call_id, tag=tag, to_tag=to_tag)
        self.assertIs(self.grants.covers(asked), is_allowed, (method, call_id, tag, to_tag))

    def test_an_ack_of_who_invited(self) -> None:
        self.assert_allowed(False, "ACK", tag="x", to_tag="y")
        self.grants.note(request("INVITE"))
        self.assert_allowed(True, "ACK", tag="x", to_tag="y")
        for method, call_id, tag, to_tag in (
            ("ACK", "a", "y", "x"),
            ("ACK", "b", "x", "y"),
            ("NOTIFY", "a", "y", "x"),
            ("BYE", "a", "x", "y"),
            ("INVITE", "a", "x", "y"),
        ):
            self.assert_allowed(False, method, call_id, tag, to_tag)
        self.clock.advance(300)
        self.assert_allowed(False, "ACK", tag="x", to_tag="y")

    def test_a_notify_to_who_subscribed(self) -> None:
        for method in ("SUBSCRIBE", "REFER"):
            self.grants.note(request(method, method))
            self.assert_allowed(True, "NOTIFY", method, "y", "x")
            self.assert_allowed(False, "NOTIFY", method, "x", "y")
            self.assert_allowed(False, "ACK", method, "x", "y")

    def test_other_requests_allow_nothing(self) -> None:
        for method in ("BYE", "MESSAGE", "OPTIONS", "NOTIFY", "ACK", "DANCE"):
            self.grants.note(request(method))
        self.assertEqual(len(self.grants), 0)

    def test_for_as_long_as_was_asked(self) -> None:
        for expires, seconds in (("60", 60), ("0", 0), ("", 3600), ("many", 3600), ("999999", 86400)):
            self.grants.note(request("SUBSCRIBE", expires=expires))
            self.clock.advance(seconds + 200)
            self.assert_allowed(True, "NOTIFY", "a", "y", "x")
            self.clock.advance(100)
            self.assert_allowed(False, "NOTIFY", "a", "y", "x")

    def test_it_is_bounded(self) -> None:
        for number in range(5000):
            self.grants.note(request("SUBSCRIBE", str(number)))
        self.assertEqual(len(self.grants), 4096)
        self.assert_allowed(True, "NOTIFY", "4999", "y", "x")
        self.assert_allowed(False, "NOTIFY", "0", "y", "x")
