"""What the headers of a session timer say, and what we do about them (RFC 4028)."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.session_timer import Asked, Mode, SessionTimerPolicy, agree, ask, session_timer, timer_of
from gosip_py.transaction.validation import Refusal, Stage
from tests.conformance import conforms
from tests.transaction.test_validation import invite

POLICY = SessionTimerPolicy("accept", min_se=120, session_expires=1800, max_se=3600)
KNOWS = "Supported: 100rel, Timer"


def update(*more: str) -> Request:
    return invite(*more, method="UPDATE", CSeq="7 UPDATE")


def in_dialog(*more: str, method: str = "INVITE") -> Request:
    return invite(*more, method=method, To="<sip:alice@example.com>;tag=t1", CSeq=f"7 {method}")


def refused(request: Request, mode: Mode = "accept") -> Refusal | None:
    return session_timer(attrs.evolve(POLICY, mode=mode)).refuse(request)


class PolicyTests(SynchronousTestCase):
    def test_the_figures_rise(self) -> None:
        for figures in ((0, 1800, 7200), (1900, 1800, 7200), (90, 1800, 1700)):
            self.assertRaises(ValueError, SessionTimerPolicy, "accept", *figures)
        self.assertEqual(attrs.astuple(SessionTimerPolicy()), ("accept", 90, 1800, 7200))


class RefusalTests(SynchronousTestCase):
    """The check of the validation chain."""

    def assert_refused(self, refusal: Refusal | None, status: int, *words: str) -> Refusal:
        assert refusal is not None
        self.assertEqual(refusal.status, status, refusal)
        for word in words:
            self.assertIn(word, refusal.explanation)
        return refusal

    def test_its_stage(self) -> None:
        for mode in ("off", "accept", "require"):
            check = session_timer(SessionTimerPolicy(mode))
            self.assertEqual(check.stage, Stage.SESSION_TIMER)
            self.assertTrue(Stage.SYNTAX < check.stage < Stage.AUTHENTICATION)

    def test_nothing_is_wrong(self) -> None:
        for mode in ("off", "accept", "require"):
            for request in (
                invite(KNOWS),
                invite(KNOWS, "Session-Expires: 120"),
                update(KNOWS, "x: 1800;refresher=uas", "Min-SE: 90"),
                invite(KNOWS, "Session-Expires: 4294967295", "Min-SE: 4294967295"),
            ):
                self.assertIsNone(refused(request, mode))

    @conforms("RFC 4028 6", "RFC 4028 8.1")
    def test_too_short(self) -> None:
        for request in (
            invite(KNOWS, "Session-Expires: 119"),
            invite("Require: timer", "x: 90"),
            invite("k: timer", "Session-Expires: 0;refresher=uac"),
            update(KNOWS, "Session-Expires: 60"),
            in_dialog(KNOWS, "Session-Expires: 60"),
        ):
            for mode in ("accept", "require"):
                refusal = self.assert_refused(refused(request, mode), 422, "Session-Expires", "120", "Min-SE")
                self.assertEqual(refusal.headers, (("min-se", "120"),))

    def test_who_asks_again_is_told_the_same(self) -> None:
        """No loop makes the figure grow."""
        tried = [refused(invite(KNOWS, f"Session-Expires: {n}", f"Min-SE: {n}")) for n in (1, 90, 119, 119)]
        self.assertEqual({refusal.headers for refusal in tried if refusal is not None}, {(("min-se", "120"),)})
        self.assertIsNone(refused(invite(KNOWS, "Session-Expires: 120", "Min-SE: 120")))

    @conforms("RFC 4028 8.1")
    def test_too_short_for_somebody_who_could_not_do_better(self) -> None:
        self.assertIsNone(refused(invite("Session-Expires: 30")))
        self.assertIsNone(refused(invite("Supported: 100rel", "Session-Expires: 30")))

    @conforms("RFC 4028 4", "RFC 4028 5")
    def test_what_cannot_be_read(self) -> None:
        for name, value in (
            ("Session-Expires", "soon"),
            ("Session-Expires", ""),
            ("Session-Expires", "-1"),
            ("Session-Expires", "1800;refresher=me"),
            ("Session-Expires", "99999999999999999999999"),
            ("x", "1 800"),
            ("Min-SE", "many"),
            ("Min-SE", "90, 91"),
        ):
            written = "Session-Expires" if name == "x" else name
            for request in (invite(KNOWS, f"{name}: {value}"), update(f"{name}: {value}")):
                self.assert_refused(refused(request), 400, written, "number of seconds")

    @conforms("RFC 4028 12.3")
    def test_required(self) -> None:
        for request in (invite(), invite("Supported: 100rel"), invite("Session-Expires: 1800"), update()):
            refusal = self.assert_refused(refused(request, "require"), 421, "Supported: timer")
            self.assertEqual(refusal.headers, (("require", "timer"),))
            self.assertIsNone(refused(request, "accept"))

    def test_a_dialog_has_settled_it(self) -> None:
        """The callee may put the call on hold, though it does not know the timer: the caller does."""
        for method in ("INVITE", "UPDATE"):
            self.assertIsNone(refused(in_dialog(method=method), "require"))

    def test_other_requests_have_no_timer(self) -> None:
        for method in ("BYE", "ACK", "OPTIONS", "REGISTER"):
            request = invite("Session-Expires: soon", method=method, CSeq=f"7 {method}")
            self.assertIsNone(refused(request, "require"))

    def test_off(self) -> None:
        for request in (invite(), invite(KNOWS, "Session-Expires: 1"), invite("Session-Expires: soon")):
            self.assertIsNone(refused(request, "off"))


class AskTests(SynchronousTestCase):
    """What a forwarded refresh carries (RFC 4028 8.1)."""

    def assert_asked(
        self,
        given: tuple[str, ...],
        expires: str,
        min_se: str | None,
        asked: Asked,
        policy: SessionTimerPolicy = POLICY,
    ) -> None:
        for request in (invite(*given), update(*given), in_dialog(*given)):
            before = request.copy()
            self.assertEqual(ask(policy, request), asked, given)
            self.assertEqual(request.values("session-expires"), [expires], given)
            self.assertEqual(request.values("min-se"), [min_se] if min_se is not None else [], given)
            for name in ("session-expires", "min-se"):
                before.remove(name)
                request.remove(name)
            self.assertEqual(request.to_bytes(), before.to_bytes())

    @conforms("RFC 4028 8.1")
    def test_a_timer_is_put_in(self) -> None:
        self.assert_asked((KNOWS,), "1800", None, Asked(1800, 90, True))
        self.assert_asked((KNOWS, "Min-SE: 2000"), "2000", "2000", Asked(2000, 2000, True))

    @conforms("RFC 4028 8.1")
    def test_one_that_is_long_is_lowered(self) -> None:
        self.assert_asked((KNOWS, "x: 7200;refresher=uas;a=b"), "3600;refresher=uas;a=b", None, Asked(3600, 90, True))

    @conforms("RFC 4028 8.1")
    def test_but_not_below_min_se(self) -> None:
        given = (KNOWS, "Session-Expires: 7200", "Min-SE: 5000")
        self.assert_asked(given, "5000", "5000", Asked(5000, 5000, True))

    @conforms("RFC 4028 8.1")
    def test_one_that_fits_stays(self) -> None:
        for value in ("120", "1800", "3600;refresher=uac"):
            seconds = int(value.partition(";")[0])
            self.assert_asked((KNOWS, f"Session-Expires: {value}"), value, None, Asked(seconds, 90, True))

    @conforms("RFC 4028 8.1")
    def test_one_below_min_se_is_raised(self) -> None:
        given = (KNOWS, "Session-Expires: 200", "Min-SE: 300")
        self.assert_asked(given, "300", "300", Asked(300, 300, True))

    @conforms("RFC 4028 8.1", "RFC 4028 11.1")
    def test_min_se_of_who_knows_the_timer_is_theirs(self) -> None:
        given = (KNOWS, "Session-Expires: 1800", "Min-SE: 90")
        self.assert_asked(given, "1800", "90", Asked(1800, 90, True))

    @conforms("RFC 4028 8.1")
    def test_who_does_not_know_the_timer(self) -> None:
        """Min-SE is put in or raised, and Session-Expires follows it."""
        plain = Asked(1800, 120, False)
        self.assert_asked((), "1800", "120", plain)
        self.assert_asked(("Session-Expires: 1800",), "1800", "120", plain)
        self.assert_asked(("Session-Expires: 60",), "120", "120", Asked(120, 120, False))
        self.assert_asked(("Session-Expires: 60", "Min-SE: 60;a=b"), "120", "120;a=b", Asked(120, 120, False))
        self.assert_asked(("Session-Expires: 60", "Min-SE: 500"), "500", "500", Asked(500, 500, False))
        self.assert_asked(("Min-SE: 5000",), "5000", "5000", Asked(5000, 5000, False))

    def test_the_default_of_min_se_is_not_written(self) -> None:
        policy = SessionTimerPolicy()
        self.assert_asked((), "1800", None, Asked(1800, 90, False), policy)
        self.assert_asked(("Session-Expires: 60",), "90", "90", Asked(90, 90, False), policy)

    def test_a_policy_below_the_least_of_the_rfc(self) -> None:
        policy = SessionTimerPolicy("accept", 1, 2, 3)
        self.assert_asked((KNOWS, "Session-Expires: 2"), "2", None, Asked(2, 1, True), policy)
        self.assert_asked((), "2", None, Asked(2, 1, False), policy)

    def test_other_requests(self) -> None:
        for method in ("BYE", "OPTIONS", "PRACK", "REGISTER"):
            request = invite(method=method, CSeq=f"7 {method}")
            self.assertIsNone(ask(POLICY, request))
            self.assertNotIn("session-expires", request)

    def test_off_touches_nothing(self) -> None:
        for given in ((), (KNOWS, "Session-Expires: 5"), ("Session-Expires: soon", "Min-SE: 7")):
            request = invite(*given)
            before = request.to_bytes()
            self.assertIsNone(ask(SessionTimerPolicy("off"), request))
            self.assertEqual(request.to_bytes(), before)

    def test_what_nobody_checked(self) -> None:
        for given in ("Session-Expires: soon", "Min-SE: x"):
            self.assertRaises(ParseError, ask, POLICY, invite(given))


class AgreeTests(SynchronousTestCase):
    """The 2xx on its way to the UAC (RFC 4028 8.2)."""

    def response(self, *headers: tuple[str, str]) -> Response:
        response = reply(invite(), 200, to_tag="t1")
        for name, value in headers:
            response.add(name, value)
        return response

    def assert_untouched(self, asked: Asked | None, response: Response) -> None:
        before = response.to_bytes()
        agree(asked, response)
        self.assertEqual(response.to_bytes(), before)

    @conforms("RFC 4028 8.2")
    def test_the_uas_does_not_know_the_timer_and_the_uac_does(self) -> None:
        response = self.response()
        agree(Asked(1800, 90, True), response)
        self.assertEqual(response.values("session-expires"), ["1800;refresher=uac"])
        self.assertEqual(response.values("require"), ["timer"])
        self.assert_untouched(Asked(1800, 90, True), response)

    @conforms("RFC 4028 8.2")
    def test_beside_other_extensions(self) -> None:
        response = self.response(("require", "100rel"), ("require", "path"))
        agree(Asked(1800, 90, True), response)
        self.assertEqual(response.values("require"), ["100rel", "path", "timer"])
        response = self.response(("require", "Timer"))
        agree(Asked(1800, 90, True), response)
        self.assertEqual(response.values("require"), ["Timer"])

    @conforms("RFC 4028 8.2")
    def test_neither_knows_the_timer(self) -> None:
        self.assert_untouched(Asked(1800, 90, False), self.response())

    @conforms("RFC 4028 8.2")
    def test_the_uas_knows_it(self) -> None:
        for value in ("90;refresher=uas", "1800;refresher=uac", "5"):
            for is_known in (True, False):
                self.assert_untouched(Asked(1800, 90, is_known), self.response(("session-expires", value)))

    def test_nothing_was_asked_for(self) -> None:
        self.assert_untouched(None, self.response())

    @conforms("RFC 4028 4")
    def test_what_it_says(self) -> None:
        for value, read in {
            "90": (90, None),
            " 1800 ; Refresher=UAS": (1800, "uas"),
            "1800;other=x;refresher=uac": (1800, "uac"),
            "soon": (None, None),
            "-1": (None, None),
            "99999999999": (None, None),
        }.items():
            self.assertEqual(timer_of(self.response(("session-expires", value))), read)
        self.assertEqual(timer_of(self.response()), (None, None))
