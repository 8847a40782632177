"""The reports of a REFER, from whoever follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.subscription import REFER_SUBSCRIPTION, ReferNotifier, Signal, State, granted
from gosip_py.sip.message import Response
from gosip_py.transaction.timers import TimerWheel
from tests.conformance import conforms

OK = Response(200, "OK", [], [])


class Dialog:
    """Keeps what is sent in it, until the test answers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.now = self.clock.seconds
        self.sent: list[tuple[str, str, bytes]] = []
        self.waiting: list[Callable[[Response | None], None]] = []

    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str = "",
        headers: Iterable[tuple[str, str]] = (),
        then: Callable[[Response | None], None],
    ) -> int:
        assert (method, content_type) == ("NOTIFY", "message/sipfrag;version=2.0")
        fields = dict(headers)
        self.sent.append((fields["event"], fields["subscription-state"], body))
        self.waiting.append(then)
        return len(self.sent)

    def answer(self, response: Response | None = OK) -> None:
        self.waiting.pop(0)(response)

    def advance(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))


class NotifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dialog = Dialog()
        self.forgotten: list[ReferNotifier] = []
        self.notifier = ReferNotifier(self.dialog, 7, self.forgotten.append)

    def started(self) -> ReferNotifier:
        self.notifier.start()
        self.dialog.answer()
        self.dialog.sent.clear()
        return self.notifier

    def assert_over(self) -> None:
        self.assertEqual(self.forgotten, [self.notifier])
        self.assertEqual(len(self.dialog.wheel), 0)

    @conforms("RFC 3515 2.4.4", "RFC 3515 2.4.5", "RFC 3515 2.4.6")
    def test_the_first_notify_goes_out_at_once(self) -> None:
        self.notifier.start()
        self.assertEqual(self.dialog.sent, [("refer;id=7", "active;expires=180", b"SIP/2.0 100 Trying\r\n")])

    @conforms("RFC 3515 2.4.6")
    def test_the_first_refer_needs_no_id(self) -> None:
        ReferNotifier(self.dialog, 0, self.forgotten.append).start()
        self.assertEqual(self.dialog.sent[0][0], "refer")

    @conforms("RFC 3515 2.4.7")
    def test_the_final_result_ends_it_at_once(self) -> None:
        self.started().report(200)
        self.assertEqual(self.dialog.sent, [("refer;id=7", "terminated;reason=noresource", b"SIP/2.0 200 OK\r\n")])
        self.assertEqual(self.forgotten, [])
        self.dialog.answer()
        self.assert_over()
        self.notifier.report(486)
        self.notifier.refuse(603)
        self.notifier.drop()
        self.assertEqual(len(self.dialog.sent), 1)

    def test_a_final_result_waits_for_the_answer_to_the_notify_before_it(self) -> None:
        self.notifier.start()
        self.notifier.report(180)
        self.notifier.report(486, "Besetzt")
        self.assertEqual(len(self.dialog.sent), 1)
        self.dialog.answer()
        self.assertEqual(self.dialog.sent[1][1:], ("terminated;reason=noresource", b"SIP/2.0 486 Besetzt\r\n"))

    @conforms("RFC 3515 3.10")
    def test_what_is_provisional_is_told_once_a_second(self) -> None:
        notifier = self.started()
        for status in (180, 183, 182):
            notifier.report(status)
        self.dialog.advance(0.9)
        self.assertEqual(self.dialog.sent, [])
        self.dialog.advance(0.3)
        self.assertEqual([body for _, _, body in self.dialog.sent], [b"SIP/2.0 182 Queued\r\n"])
        notifier.report(183)
        self.dialog.answer()
        self.dialog.advance(1.2)
        self.assertEqual(len(self.dialog.sent), 2)

    def test_no_reason_of_a_peer_breaks_out_of_its_line(self) -> None:
        self.started().report(500, "a\r\nVia: x\n" + "b" * 1000)
        self.assertEqual(self.dialog.sent[0][2].count(b"\n"), 1)
        self.assertLess(len(self.dialog.sent[0][2]), 300)

    @conforms("RFC 3515 2.4.7")
    def test_it_may_be_refused_after_all(self) -> None:
        self.started().refuse(603)
        self.assertEqual(self.dialog.sent[0][1:], ("terminated;reason=rejected", b"SIP/2.0 603 Decline\r\n"))

    @conforms("RFC 3515 2.4.4", "RFC 6665 4.2.1")
    def test_it_is_refreshed_and_ended_by_its_subscriber(self) -> None:
        notifier = self.started()
        self.dialog.advance(170)
        notifier.refresh(60)
        self.assertEqual(self.dialog.sent[-1][1], "active;expires=60")
        self.dialog.answer()
        self.dialog.advance(50)
        self.assertTrue(notifier.is_live)
        notifier.refresh(0)
        self.assertEqual(self.dialog.sent[-1][1:], ("terminated;reason=timeout", b"SIP/2.0 100 Trying\r\n"))
        self.dialog.answer()
        self.assert_over()

    def test_how_long_it_may_be(self) -> None:
        self.assertEqual([granted(seconds) for seconds in (None, 0, 60, 10**9)], [180, 0, 60, 3600])

    @conforms("RFC 6665 4.2.2")
    def test_it_expires(self) -> None:
        self.started()
        self.dialog.advance(181)
        self.assertEqual([state for _, state, _ in self.dialog.sent], ["terminated;reason=timeout"])
        self.dialog.answer()
        self.assert_over()

    @conforms("RFC 6665 4.2.2")
    def test_a_subscriber_that_is_gone_hears_no_more(self) -> None:
        for answer in (None, Response(481, "", [], []), Response(408, "", [], [])):
            with self.subTest(answer=answer):
                self.setUp()
                self.notifier.start()
                self.notifier.report(200)
                self.dialog.answer(answer)
                self.assertEqual(len(self.dialog.sent), 1)
                self.assert_over()

    def test_another_refusal_does_not_end_it(self) -> None:
        self.notifier.start()
        self.dialog.answer(Response(500, "", [], []))
        self.notifier.report(200)
        self.assertEqual(len(self.dialog.sent), 2)

    def test_it_is_dropped_without_a_word_in_every_state(self) -> None:
        steps: list[Callable[[], None]] = [
            lambda: None,
            self.started_anew,
            self.notifier_started,
            lambda: self.notifier_started(180),
            lambda: self.notifier_started(200),
            lambda: self.started().report(180),
            lambda: self.started().report(200),
        ]
        for step in steps:
            self.setUp()
            step()
            sent = len(self.dialog.sent)
            self.notifier.drop()
            self.assert_over()
            while self.dialog.waiting:
                self.dialog.answer()
            self.assertEqual(len(self.dialog.sent), sent)
            self.assertEqual(len(self.forgotten), 1)

    def started_anew(self) -> None:
        self.started()

    def notifier_started(self, status: int = 0) -> None:
        self.notifier.start()
        if status:
            self.notifier.report(status)


class TableTests(SynchronousTestCase):
    def test_every_state_ends_by_loss(self) -> None:
        for state in State:
            self.assertEqual(REFER_SUBSCRIPTION.step(state, Signal.LOST)[0], State.TERMINATED)
