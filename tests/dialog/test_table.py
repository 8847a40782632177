"""The machine of a dialog, by feeding signals."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.table import DIALOG, LEAVING, OFFERED, OVER, TALKING, UNANSWERED, Effect, Signal, State
from gosip_py.fsm import Refused
from tests.conformance import conforms

S, G, E = State, Signal, Effect


def feed(*signals: Signal, start: State = S.IDLE) -> tuple[State, list[Effect]]:
    """Where these signals lead, and every effect on the way."""
    state = start
    done: list[Effect] = []
    for signal in signals:
        state, effects = DIALOG.step(state, signal)
        done += effects
    return state, done


class CallerTests(SynchronousTestCase):
    @conforms("RFC 3261 13.2.2")
    def test_a_call_is_heard_rings_and_is_answered(self) -> None:
        state, done = feed(G.SEND_INVITE, G.RECEIVE_1XX, G.ALERT_CALL, G.RECEIVE_2XX)
        self.assertEqual(state, S.ESTABLISHED)
        self.assertEqual(done, [E.INVITE, E.PROGRESS, E.PROGRESS, E.CONFIRM])

    def test_another_provisional_does_not_stop_the_ringing(self) -> None:
        self.assertEqual(feed(G.SEND_INVITE, G.ALERT_CALL, G.RECEIVE_1XX)[0], S.RINGING)

    def test_every_refusal_fails_the_call_from_every_state(self) -> None:
        ends = (G.RECEIVE_3XX, G.RECEIVE_4XX, G.RECEIVE_5XX, G.RECEIVE_6XX, G.TRANSACTION_TIMEOUT, G.TRANSACTION_ERROR)
        for state in UNANSWERED:
            for signal in ends:
                self.assertEqual(feed(signal, start=state), (S.FAILED, [E.FORGET, E.FAIL]))

    @conforms("RFC 3261 9.1")
    def test_a_2xx_that_crosses_the_cancel_is_turned_down(self) -> None:
        state, done = feed(G.SEND_INVITE, G.ALERT_CALL, G.SEND_CANCEL, G.RECEIVE_2XX)
        self.assertEqual(state, S.TERMINATING)
        self.assertEqual(done[-3:], [E.CANCEL, E.TURN_DOWN, E.FAIL])
        self.assertEqual(feed(G.TERMINATE, start=state), (S.TERMINATED, [E.FORGET, E.CLOSE]))

    def test_the_487_after_a_cancel_ends_it(self) -> None:
        state, done = feed(G.SEND_INVITE, G.SEND_CANCEL, G.RECEIVE_4XX)
        self.assertEqual((state, done[-1]), (S.TERMINATED, E.CLOSE))

    def test_an_invite_that_fails_while_the_cancel_is_out_ends_it(self) -> None:
        for signal in (G.TRANSACTION_TIMEOUT, G.TRANSACTION_ERROR, G.RECEIVE_6XX):
            self.assertEqual(feed(signal, start=S.TERMINATING), (S.TERMINATED, [E.FORGET, E.CLOSE]))

    def test_a_2xx_after_the_end_is_turned_down_still(self) -> None:
        for state in OVER:
            self.assertEqual(feed(G.RECEIVE_2XX, start=state), (state, [E.TURN_DOWN]))


class CalleeTests(SynchronousTestCase):
    def test_a_call_comes_rings_and_is_taken(self) -> None:
        state, done = feed(G.RECEIVE_INVITE, G.ALERT_CALL, G.ALERT_CALL, G.ACCEPT_CALL, G.RECEIVE_ACK)
        self.assertEqual(state, S.ESTABLISHED)
        self.assertEqual(done, [E.RING, E.RING, E.ACCEPT, E.ACKNOWLEDGE])

    @conforms("RFC 3261 9.2")
    def test_a_cancel_is_answered_with_487_until_the_answer_and_means_nothing_after_it(self) -> None:
        for state in OFFERED:
            after, done = feed(G.RECEIVE_CANCEL, start=state)
            self.assertEqual((after, done), (S.TERMINATED, [E.REFUSE_CANCELLED, E.FORGET, E.WITHDRAW]))
        for state in TALKING:
            self.assertEqual(feed(G.RECEIVE_CANCEL, start=state), (state, []))

    @conforms("RFC 3261 15")
    def test_whoever_hangs_up_before_the_answer_refuses_the_call(self) -> None:
        for state in OFFERED:
            self.assertEqual(feed(G.SEND_BYE, start=state), (S.FAILED, [E.REJECT, E.FORGET]))

    @conforms("RFC 3261 15")
    def test_a_bye_of_ours_that_waits_goes_out_with_the_ack_or_without_hope_of_one(self) -> None:
        for signal in (G.RECEIVE_ACK, G.TIMEOUT):
            state, done = feed(G.RECEIVE_INVITE, G.ACCEPT_CALL, G.SEND_BYE, signal)
            self.assertEqual((state, done[-2:]), (S.TERMINATING, [E.BYE, E.BYE_NOW]))

    def test_no_ack_ends_the_call(self) -> None:
        self.assertEqual(feed(G.TIMEOUT, start=S.ESTABLISHED), (S.TERMINATING, [E.BYE, E.END]))


class EndTests(SynchronousTestCase):
    @conforms("RFC 3261 15.1.2")
    def test_a_bye_ends_every_state_of_a_call_whatever_is_referred_or_replaced(self) -> None:
        for state in TALKING:
            self.assertEqual(feed(G.RECEIVE_BYE, start=state), (S.TERMINATED, [E.FORGET, E.END]))
            self.assertEqual(feed(G.SEND_BYE, start=state), (S.TERMINATING, [E.BYE]))

    def test_every_state_but_the_first_has_a_way_out(self) -> None:
        for state in State:
            if state is not S.IDLE:
                after, _ = feed(G.TERMINATE, start=state)
                self.assertIn(after, OVER)

    def test_each_way_out_tells_the_user_and_forgets(self) -> None:
        tellers = {E.FAIL, E.WITHDRAW, E.END, E.CLOSE, E.REJECT}
        for state, signal, after, effects in DIALOG.arcs():
            if after in OVER and state not in OVER:
                self.assertIn(E.FORGET, effects, f"{state.name} {signal.name}")
                self.assertTrue(tellers & set(effects), f"{state.name} {signal.name}")

    def test_a_bye_of_both_ends_once(self) -> None:
        self.assertEqual(feed(G.RECEIVE_BYE, start=S.TERMINATING), (S.TERMINATING, []))

    def test_nothing_begins_twice(self) -> None:
        for state in State:
            if state is not S.IDLE:
                for signal in (G.SEND_INVITE, G.RECEIVE_INVITE):
                    self.assertRaises(Refused, DIALOG.step, state, signal)


class ReferenceTests(SynchronousTestCase):
    def end_of(self, signals: Iterable[Signal]) -> State:
        return feed(*signals, start=S.ESTABLISHED)[0]

    @conforms("RFC 3515 2.4.4")
    def test_a_refer_of_ours_is_accepted_then_pending_then_over(self) -> None:
        self.assertEqual(self.end_of([G.SEND_REFER]), S.REFERRING)
        self.assertEqual(self.end_of([G.SEND_REFER, G.REFER_ACCEPTED]), S.REFER_PENDING)
        self.assertEqual(self.end_of([G.SEND_REFER, G.REFER_ACCEPTED, G.RECEIVE_1XX]), S.REFER_PENDING)
        self.assertEqual(self.end_of([G.SEND_REFER, G.REFER_ACCEPTED, G.RECEIVE_2XX]), S.ESTABLISHED)
        self.assertEqual(self.end_of([G.SEND_REFER, G.REFER_FAILED]), S.ESTABLISHED)

    def test_a_notify_that_overtakes_the_202_ends_it_too(self) -> None:
        self.assertEqual(self.end_of([G.SEND_REFER, G.RECEIVE_4XX, G.REFER_ACCEPTED]), S.ESTABLISHED)

    def test_a_refer_of_theirs_waits_for_our_answer_only(self) -> None:
        self.assertEqual(self.end_of([G.RECEIVE_REFER]), S.REFERRED)
        self.assertEqual(self.end_of([G.RECEIVE_REFER, G.REFER_ACCEPTED]), S.ESTABLISHED)
        self.assertEqual(self.end_of([G.RECEIVE_REFER, G.REFER_FAILED]), S.ESTABLISHED)

    @conforms("RFC 3891 3")
    def test_a_dialog_that_is_replaced_is_hung_up_and_one_that_rings_is_cancelled(self) -> None:
        self.assertEqual(feed(G.RECEIVE_REPLACES, G.REPLACE_SUCCESS, start=S.ESTABLISHED), (S.REPLACED, [E.BYE]))
        self.assertEqual(feed(G.REPLACE_SUCCESS, start=S.RINGING), (S.REPLACED, [E.CANCEL]))
        self.assertEqual(feed(G.RECEIVE_REPLACES, G.REPLACE_FAILED, start=S.ESTABLISHED), (S.ESTABLISHED, []))
        for state in LEAVING:
            self.assertEqual(feed(G.TERMINATE, start=state)[0], S.TERMINATED)
