"""Session timers through the proxy, between phones that know them and phones that do not (RFC 4028 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gosip_py.proxy.session import Session
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.conformance import conforms
from tests.proxy.switchboard import CALL_SECONDS, GRACE, Dialog, Phone, SwitchboardCase

KNOWS = "Supported: timer"
POLICY = SessionTimerPolicy("accept", min_se=120, session_expires=1800, max_se=3600)
ENDED = ("answered", 200, "system")

Headers = tuple[tuple[str, str], ...]


def timer(value: str) -> Headers:
    """What a UAS that knows the timer puts into its 2xx."""
    return (("session-expires", value), ("require", "timer"))


class TimerCase(SwitchboardCase):
    session_timer: ClassVar[SessionTimerPolicy] = POLICY

    def call(self, *more: str, answer: Headers = ()) -> tuple[Request, Response]:
        """The INVITE as Bob gets it, and the 200 as Alice gets it."""
        sent = self.alice.ask("INVITE", "sip:bob@example.com", *more)
        got = self.bob.request("INVITE")
        answered = self.bob.respond(got, 200, *answer)
        response = self.alice.response(200)
        self.calling = Dialog(self.alice, sent, response, is_caller=True)
        self.called = Dialog(self.bob, got, answered, is_caller=False)
        self.calling.send("ACK")
        self.bob.request("ACK")
        return got, response

    def refresh(
        self, side: Dialog, other: Phone, method: str, *more: str, answer: Headers = ()
    ) -> tuple[Request, Response]:
        """As `call`, within the dialog."""
        side.send(method, *more)
        got = other.request(method)
        other.respond(got, 200, *answer)
        response = side.phone.response(200, method)
        if method == "INVITE":
            side.send("ACK")
            other.request("ACK")
        return got, response

    @property
    def session(self) -> Session:
        (session,) = self.board.sessions
        return session

    def assert_timer(self, seconds: int | None, refresher: str | None, refreshed_by: str | None) -> None:
        session = self.session
        self.assertEqual(
            (session.session_expires, session.refresher, session.refreshed_by), (seconds, refresher, refreshed_by)
        )
        if seconds is None:
            self.assertIsNone(session.expires_at)
        else:
            assert session.expires_at is not None
            self.assertApproximates(session.expires_at, self.board.now() + seconds, 1)

    def assert_expires(self, seconds: float) -> None:
        """In so many seconds, and a time of grace; both phones are told."""
        self.board.run(seconds + GRACE - 1)
        self.assertEqual(self.board.books.ended, [])
        self.board.run(2)
        self.assertEqual(self.board.books.endings, [ENDED])
        for phone in (self.alice, self.bob):
            bye = phone.request("BYE")
            self.assertIn("Session expired", bye.require("reason"))
            phone.respond(bye, 200)


class FourWaysTests(TimerCase):
    """Who knows the timer, and who does not."""

    @conforms("RFC 4028 8.1", "RFC 4028 8.2", "RFC 4028 3")
    def test_both(self) -> None:
        got, response = self.call(KNOWS, answer=timer("1800;refresher=uas"))
        self.assertEqual((got.values("session-expires"), got.values("min-se")), (["1800"], []))
        self.assertEqual(response.values("session-expires"), ["1800;refresher=uas"])
        self.assertEqual(response.values("require"), ["timer"])
        self.assert_timer(1800, "uas", "callee")
        self.assertEqual(self.session.min_se, 90)
        self.assert_expires(1800)

    @conforms("RFC 4028 8.2")
    def test_the_caller_alone(self) -> None:
        got, response = self.call(KNOWS)
        self.assertEqual(got.values("session-expires"), ["1800"])
        self.assertEqual(response.values("session-expires"), ["1800;refresher=uac"])
        self.assertEqual(response.values("require"), ["timer"])
        self.assert_timer(1800, "uac", "caller")
        self.assert_expires(1800)

    @conforms("RFC 4028 8.1", "RFC 4028 9")
    def test_the_callee_alone(self) -> None:
        got, response = self.call(answer=timer("900;refresher=uas"))
        self.assertEqual((got.values("session-expires"), got.values("min-se")), (["1800"], ["120"]))
        self.assertEqual(response.values("session-expires"), ["900;refresher=uas"])
        self.assert_timer(900, "uas", "callee")
        self.assertEqual(self.session.min_se, 120)
        self.assert_expires(900)

    @conforms("RFC 4028 8.2")
    def test_neither(self) -> None:
        got, response = self.call()
        self.assertEqual(got.values("session-expires"), ["1800"])
        self.assertNotIn("session-expires", response)
        self.assertNotIn("require", response)
        self.assert_timer(None, None, None)
        self.board.run(CALL_SECONDS - 10)
        self.assertEqual(self.board.books.ended, [])

    def test_the_rest_of_the_messages_stays(self) -> None:
        got, response = self.call(KNOWS, "X-One: a ,b", answer=(("x-two", "c"),))
        self.assertIn("X-One: a ,b", got.lines)
        self.assertEqual(response.value("x-two"), "c")

    @conforms("RFC 4028 8.2")
    def test_a_repeated_2xx_says_the_same(self) -> None:
        self.alice.ask("INVITE", "sip:bob@example.com", KNOWS)
        got = self.bob.request("INVITE")
        responses = []
        for _ in range(2):
            self.bob.respond(got, 200)
            responses.append(self.alice.response(200).to_bytes())
            self.board.run(1)
        self.assertEqual(responses[0], responses[1])
        self.assertIn(b"Session-Expires: 1800;refresher=uac\r\n", responses[0])

    @conforms("RFC 4028 8.2")
    def test_each_fork_has_its_own(self) -> None:
        second = Phone(self.board, "192.0.2.21", "bob")
        second.register("bob", 20)
        self.alice.ask("INVITE", "sip:bob@example.com", KNOWS)
        one, other = self.bob.request("INVITE"), second.request("INVITE")
        self.bob.respond(one, 200, *timer("300;refresher=uas"))
        second.respond(other, 200)
        values = {self.alice.response(200).require("session-expires") for _ in range(2)}
        self.assertEqual(values, {"300;refresher=uas", "1800;refresher=uac"})
        self.assertEqual({session.session_expires for session in self.board.sessions}, {300, 1800})


class IntervalTests(TimerCase):
    """Too short, too long."""

    @conforms("RFC 4028 6", "RFC 4028 7.3")
    def test_too_short_and_then_long_enough(self) -> None:
        for _ in range(3):
            self.alice.ask("INVITE", "sip:bob@example.com", KNOWS, "Session-Expires: 60")
            refusal = self.alice.response(422)
            self.assertEqual(refusal.values("min-se"), ["120"])
            self.assertIn("120", refusal.require("warning"))
        self.assertNotIn("INVITE", self.bob.titles)
        self.assertEqual(self.board.books.endings, [])
        got, _ = self.call(KNOWS, "x: 120;refresher=uac", "Min-SE: 120", answer=timer("120;refresher=uac"))
        self.assertEqual((got.value("session-expires"), got.value("min-se")), ("120;refresher=uac", "120"))
        self.assert_timer(120, "uac", "caller")

    @conforms("RFC 4028 8.1")
    def test_too_short_for_somebody_who_does_not_know_it(self) -> None:
        got, _ = self.call("Session-Expires: 60", answer=timer("120;refresher=uas"))
        self.assertEqual((got.value("session-expires"), got.value("min-se")), ("120", "120"))
        self.assert_timer(120, "uas", "callee")

    @conforms("RFC 4028 8.1")
    def test_too_long(self) -> None:
        got, response = self.call(KNOWS, "Session-Expires: 86400;refresher=uac")
        self.assertEqual(got.value("session-expires"), "3600;refresher=uac")
        self.assertEqual(response.value("session-expires"), "3600;refresher=uac")
        self.assert_expires(3600)

    @conforms("RFC 4028 8.2")
    def test_somebody_behind_us_wants_longer_intervals(self) -> None:
        self.alice.ask("INVITE", "sip:bob@example.com", KNOWS, "Session-Expires: 200")
        self.bob.respond(self.bob.request("INVITE"), 422, ("min-se", "500"))
        self.assertEqual(self.alice.response(422).values("min-se"), ["500"])
        self.assertEqual(self.board.books.endings, [("failed", 422, "callee")])

    @conforms("RFC 4028 4")
    def test_what_cannot_be_read(self) -> None:
        self.alice.ask("INVITE", "sip:bob@example.com", KNOWS, "Session-Expires: soon")
        self.assertIn("Session-Expires", self.alice.response(400).require("warning"))
        self.assertEqual((self.board.books.started, "INVITE" in self.bob.titles), ({}, False))

    @conforms("RFC 4028 8.2")
    def test_an_answer_that_cannot_be_read_has_no_timer(self) -> None:
        _, response = self.call(KNOWS, answer=(("session-expires", "soon"),))
        self.assertEqual(response.values("session-expires"), ["soon"])
        self.assert_timer(None, None, None)


class RefreshTests(TimerCase):
    """Re-INVITE and UPDATE within the dialog."""

    @conforms("RFC 4028 7.4", "RFC 4028 10", "RFC 4028 8")
    def test_a_refresh_keeps_it_up(self) -> None:
        self.call(KNOWS)
        for method in ("INVITE", "UPDATE", "INVITE"):
            self.board.run(1700)
            got, response = self.refresh(self.calling, self.bob, method, KNOWS, "Session-Expires: 1800;refresher=uac")
            self.assertEqual(got.value("session-expires"), "1800;refresher=uac")
            self.assertEqual(response.value("session-expires"), "1800;refresher=uac")
            self.assert_timer(1800, "uac", "caller")
        self.assert_expires(1800)

    @conforms("RFC 4028 8.1")
    def test_a_timer_is_put_into_every_refresh(self) -> None:
        """A re-INVITE that was sent for another purpose refreshes too (RFC 4028 7.2)."""
        self.call(KNOWS)
        for method in ("UPDATE", "INVITE"):
            got, response = self.refresh(self.calling, self.bob, method, KNOWS)
            self.assertEqual(got.value("session-expires"), "1800")
            self.assertEqual(response.value("session-expires"), "1800;refresher=uac")

    @conforms("RFC 4028 9")
    def test_the_callee_refreshes(self) -> None:
        """Whoever sends the refresh is its UAC (RFC 4028 9)."""
        self.call(KNOWS, answer=timer("1800;refresher=uas"))
        got, _ = self.refresh(
            self.called, self.alice, "UPDATE", KNOWS, "x: 600;refresher=uac", answer=timer("600;refresher=uac")
        )
        self.assertEqual(got.value("session-expires"), "600;refresher=uac")
        self.assert_timer(600, "uac", "callee")
        self.refresh(self.called, self.alice, "INVITE", answer=timer("700;refresher=uas"))
        self.assert_timer(700, "uas", "caller")

    @conforms("RFC 4028 8.1")
    def test_a_refresh_that_is_too_short_changes_nothing(self) -> None:
        self.call(KNOWS)
        self.board.run(900)
        self.calling.send("UPDATE", KNOWS, "Session-Expires: 60")
        self.assertEqual(self.alice.response(422, "UPDATE").values("min-se"), ["120"])
        self.assertNotIn("UPDATE", self.bob.titles)
        self.assert_expires(900)

    @conforms("RFC 4028 10", "RFC 3311 5.3")
    def test_a_refresh_that_is_refused_changes_nothing(self) -> None:
        self.call(KNOWS)
        self.board.run(900)
        self.calling.send("UPDATE", KNOWS)
        self.bob.respond(self.bob.request("UPDATE"), 422, ("min-se", "5000"))
        self.alice.response(422, "UPDATE")
        self.assert_expires(900)

    @conforms("RFC 4028 7.2", "RFC 4028 8.2")
    def test_the_timer_is_turned_off(self) -> None:
        self.call(answer=timer("1800;refresher=uas"))
        self.refresh(self.calling, self.bob, "UPDATE")
        self.assert_timer(None, None, None)
        self.assertIsNone(self.session.min_se)
        self.board.run(4000)
        self.assertEqual(self.board.books.ended, [])

    @conforms("RFC 3311 5.1")
    def test_an_early_dialog(self) -> None:
        """RFC 3311 5.1: what an UPDATE agrees on while it rings is forgotten when the answer says otherwise."""
        sent = self.alice.ask("INVITE", "sip:bob@example.com", KNOWS)
        got = self.bob.request("INVITE")
        self.bob.respond(got, 183)
        early = Dialog(self.alice, sent, self.alice.response(183), is_caller=True)
        early.send("UPDATE", KNOWS)
        self.bob.respond(self.bob.request("UPDATE"), 200, *timer("300;refresher=uac"))
        self.alice.response(200, "UPDATE")
        self.assertEqual(self.session.state, "early")
        self.board.run(100)
        self.bob.respond(got, 200, *timer("600;refresher=uac"))
        self.alice.response(200)
        self.assert_timer(600, "uac", "caller")
        self.assert_expires(600)


class OffTests(TimerCase):
    """The headers pass; what the phones agree on counts all the same."""

    session_timer = SessionTimerPolicy("off", 120, 1800, 3600)

    def test_what_is_not_there_is_not_put_in(self) -> None:
        got, response = self.call(KNOWS)
        for message in (got, response):
            self.assertNotIn("session-expires", message)
        self.assert_timer(None, None, None)

    @conforms("RFC 4028 8.1")
    def test_what_is_there_is_left_alone(self) -> None:
        got, response = self.call(KNOWS, "Session-Expires: 60", "Min-SE: 50", answer=timer("60;refresher=uac"))
        self.assertEqual((got.values("session-expires"), got.values("min-se")), (["60"], ["50"]))
        self.assertEqual(response.values("session-expires"), ["60;refresher=uac"])
        self.assert_timer(60, "uac", "caller")
        self.assertIsNone(self.session.min_se)
        self.assert_expires(60)

    def test_what_cannot_be_read_passes(self) -> None:
        got, _ = self.call("Session-Expires: soon")
        self.assertEqual(got.value("session-expires"), "soon")


class RequireTests(TimerCase):
    """A caller without the timer cannot call; nobody is asked for credentials before that."""

    session_timer = SessionTimerPolicy("require", 120, 1800, 3600)
    trusted: ClassVar[Sequence[str]] = ()

    @conforms("RFC 4028 12.3", "RFC 3261 21.4.15")
    def test_the_caller_does_not_know_it(self) -> None:
        for more in ((), ("Supported: 100rel",), ("Session-Expires: 1800",)):
            self.alice.ask("INVITE", "sip:bob@example.com", *more)
            refusal = self.alice.response(421)
            self.assertEqual(refusal.values("require"), ["timer"])
            self.assertIn("Supported: timer", refusal.require("warning"))
        self.assertEqual((self.board.books.started, self.bob.titles), ({}, []))

    @conforms("RFC 4028 8.2")
    def test_the_caller_knows_it(self) -> None:
        sent = self.alice.ask("INVITE", "sip:bob@example.com", KNOWS, from_user="alice-desk")
        challenge = self.alice.response(407)
        again = self.alice.again(sent, challenge, username="alice-desk")
        got = self.bob.request("INVITE")
        self.assertEqual(got.value("session-expires"), "1800")
        answer = self.bob.respond(got, 200)
        response = self.alice.response(200)
        self.assertEqual(response.value("session-expires"), "1800;refresher=uac")
        Dialog(self.alice, again, response, is_caller=True).send("ACK")
        self.bob.request("ACK")
        called = Dialog(self.bob, got, answer, is_caller=False)
        # Bob, who does not know the timer, puts Alice on hold; she refreshes from now on, as the answerer.
        _, response = self.refresh(called, self.alice, "INVITE", answer=timer("1800;refresher=uas"))
        self.assertEqual(response.value("session-expires"), "1800;refresher=uas")
        self.assert_timer(1800, "uas", "caller")

    def test_too_short_is_told_before_the_challenge_too(self) -> None:
        self.alice.ask("INVITE", "sip:bob@example.com", KNOWS, "Session-Expires: 5")
        self.assertEqual(self.alice.response(422).values("min-se"), ["120"])
