from __future__ import annotations

from random import Random
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.proposal import back_off
from gosip_py.dialog.user import Outcome
from tests.conformance import conforms
from tests.dialog.pair import ANSWER, Ends, EndsCase, sdp
from tests.dialog.test_exchange import HELD, HOLD, hold_back
from tests.proxy.switchboard import Names


class QueueTests(EndsCase):
    @conforms("RFC 3264 4")
    def test_one_offer_waits_for_the_one_before_and_no_more(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        refused, tell = self.outcomes()
        ends.caller.dialog.offer(sdp(4000, 2), then)
        ends.caller.dialog.offer(sdp(4000, 3), then)
        ends.caller.dialog.offer(sdp(4000, 4), tell)
        self.assertEqual(done + refused, [])
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [200, 200])
        self.assertEqual([outcome.status for outcome in refused], [491])
        self.assertEqual(ends.callee.dialog.remote_sdp, sdp(4000, 3))

    @conforms("RFC 3264 4")
    def test_our_offer_waits_for_our_answer_to_theirs(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, lambda outcome: None)
        ends.run(0.5)
        ends.callee.dialog.offer(sdp(5000, 9), then)
        ends.run(1)
        self.assertEqual(ends.sent(ends.callee, "INVITE"), [])
        ends.callee.exchanges[0].accept(HELD)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [200])
        self.assertEqual(ends.caller.dialog.remote_sdp, sdp(5000, 9))

    @conforms("RFC 3261 14.1")
    def test_our_offer_waits_for_the_ack_of_the_invite(self) -> None:
        ends = self.use(Ends())
        done, then = self.outcomes()

        def accept_and_offer(dialog: Any) -> None:
            dialog.accept(ANSWER)
            dialog.offer(sdp(5000, 2), then)

        ends.callee.on_invite = accept_and_offer
        ends.talk()
        self.assertEqual(ends.titles(), ["INVITE", "200 INVITE", "ACK", "INVITE", "200 INVITE", "ACK"])
        self.assertEqual([outcome.status for outcome in done], [200])

    def test_an_offer_in_the_early_dialog_waits_for_the_answer(self) -> None:
        ends = self.use(Ends(callee_supported=("timer",)))
        done, then = self.outcomes()
        ends.callee.on_invite = lambda dialog: dialog.ring()
        ends.call()
        ends.run(1)
        ends.caller.dialog.offer(HOLD, then)
        ends.run(1)
        self.assertEqual(ends.titles(), ["INVITE", "180 INVITE"])
        ends.callee.dialog.accept(ANSWER)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [200])
        self.assertEqual(ends.callee.dialog.remote_sdp, HOLD)

    def test_what_waits_is_sent_though_the_one_before_could_not_be(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = lambda dialog: dialog.ring(183, sdp=ANSWER, reliable=True)
        ends.talk()
        done, then = self.outcomes()
        caller = ends.caller.dialog
        target = caller.remote_target
        caller.peer.aim("sip:bob@unknown.example")
        caller.offer(HOLD, then)
        caller.offer(sdp(4000, 9), then)
        caller.peer.aim(target)
        names = cast("Names", ends.caller.dialogs.sender._locator)
        names.answer()  # there is no such host
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [408, 200])

    def test_the_end_of_the_dialog_is_an_outcome(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done: list[Outcome] = []
        ends.callee.on_offer = hold_back
        for _ in range(2):
            ends.caller.dialog.offer(HOLD, done.append)
        ends.run(0.3)
        ends.callee.dialog.hang_up()
        ends.run(1)
        ends.caller.dialog.offer(HOLD, done.append)
        self.assertEqual(len(done), 2)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [481, 481, 481])


class OptionTests(EndsCase):
    @conforms("RFC 3262 5")
    def test_who_asks_for_an_offer_takes_none_before_the_2xx(self) -> None:
        """That of a reliable 18x would have to be answered in its PRACK."""
        ends = self.use(Ends())
        ends.talk()
        ends.caller.dialog.offer(b"", lambda outcome: ends.caller.dialog.acknowledge(sdp(4000, 2)))
        ends.run(1)
        ends.caller.dialog.offer(sdp(4000, 3), lambda outcome: None)
        ends.run(1)
        asked = [packet.message for packet in ends.network.packets if packet.title == "INVITE"]
        self.assertEqual([invite.has_token("supported", "100rel") for invite in asked], [True, False, True])
        self.assertEqual(ends.callee.dialog.remote_sdp, sdp(4000, 3))


class BackOffTests(SynchronousTestCase):
    @conforms("RFC 3261 14.1", "RFC 3311 5.3")
    def test_the_owner_of_the_call_id_waits_longer_than_the_other_in_steps_of_10_ms(self) -> None:
        random = Random(5)
        owners = [back_off(True, random) for _ in range(4000)]
        others = [back_off(False, random) for _ in range(4000)]
        self.assertEqual((min(owners), max(owners)), (2.1, 4.0))
        self.assertEqual((min(others), max(others)), (0.0, 2.0))
        self.assertTrue(all(abs(wait * 100 - round(wait * 100)) < 1e-6 for wait in owners + others))


class WithdrawalTests(EndsCase):
    @conforms("RFC 3261 9.1", "RFC 3261 9.2")
    def test_an_offer_under_way_is_cancelled_and_the_other_user_is_told(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        withdrawn: list[bool] = []

        def hold_back_and_watch(exchange: Exchange) -> None:
            exchange.when_withdrawn = lambda: withdrawn.append(exchange.is_over)

        ends.callee.on_offer = hold_back_and_watch
        ends.caller.dialog.offer(HOLD, then)
        ends.run(0.5)
        ends.caller.dialog.withdraw(then)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [487])
        self.assertEqual(withdrawn, [True])
        self.assertTrue(ends.caller.dialog.is_established and ends.callee.dialog.is_established)
        self.assertFalse(ends.caller.dialog.is_negotiating or ends.callee.dialog.is_negotiating)

    def test_one_that_waits_is_forgotten(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        first, tell_first = self.outcomes()
        second, tell_second = self.outcomes()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, tell_first)
        ends.caller.dialog.offer(sdp(4000, 3), tell_second)
        ends.caller.dialog.withdraw(tell_second)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in second], [487])
        ends.callee.exchanges[0].accept(HELD)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in first], [200])
        self.assertEqual(len(ends.callee.exchanges), 1)
        ends.caller.dialog.withdraw()  # there is none
        ends.caller.dialog.withdraw(tell_first)

    @conforms("RFC 3261 14.1")
    def test_one_that_waits_after_a_glare_is_not_tried_again(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: exchange.refuse(491)
        ends.caller.dialog.offer(HOLD, then)
        ends.run(1)
        ends.caller.dialog.withdraw()
        ends.run(10)
        self.assertEqual([outcome.status for outcome in done], [487])
        self.assertEqual(len(ends.callee.exchanges), 1)

    def test_an_answer_that_is_faster_than_the_cancel_counts(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, then)
        ends.run(0.5)
        ends.callee.exchanges[0].accept(HELD)
        ends.caller.dialog.withdraw()
        ends.run(1)
        self.assertEqual([(outcome.status, outcome.sdp) for outcome in done], [(200, HELD)])
        self.assertEqual(ends.callee.dialog.remote_sdp, HOLD)

    def test_the_end_of_the_dialog_tells_of_what_is_open(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        withdrawn: list[Exchange] = []

        def hold_back_and_watch(exchange: Exchange) -> None:
            exchange.when_withdrawn = lambda: withdrawn.append(exchange)

        ends.callee.on_offer = hold_back_and_watch
        ends.caller.dialog.offer(HOLD, lambda outcome: None)
        ends.run(0.5)
        ends.caller.dialog.hang_up()
        ends.run(1)
        self.assertEqual(withdrawn, ends.callee.exchanges)

    def test_a_re_invite_that_nobody_finishes_does_not_outlive_its_dialog(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, lambda outcome: None)
        ends.run(1)
        self.assertIn("100 INVITE", ends.titles())
        ends.network.detach(ends.callee.transport)
        ends.caller.dialog.hang_up()
        ends.run(120)
        self.assertEqual(ends.caller.layer.in_flight, 0)
