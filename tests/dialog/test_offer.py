from __future__ import annotations

import random
from collections import deque

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.offer import NEGOTIATION, OPEN, UPDATABLE, Effect, Signal, State, negotiate
from gosip_py.fsm import Refused
from tests.conformance import conforms

S, G, E = State, Signal, Effect


@attrs.define
class End:
    """One end of a dialog, as the table sees it."""

    negotiation: State = State.STABLE

    def take(self, *signals: Signal) -> list[Effect]:
        return [effect for signal in signals for effect in negotiate(self, signal)]


class PatternTests(SynchronousTestCase):
    """The six patterns of RFC 6337 2.2, at both ends."""

    def check(self, ours: list[Signal], theirs: list[Signal], settled: tuple[State, State]) -> None:
        for signals, state in ((ours, settled[0]), (theirs, settled[1])):
            end = End()
            effects = end.take(*signals)
            self.assertEqual(effects.count(E.SETTLE), 1, signals)
            self.assertNotIn(E.ROLL_BACK, effects)
            self.assertIs(end.negotiation, state)

    @conforms("RFC 6337 2.2", "RFC 3261 13.2.1", "RFC 3264 5")
    def test_an_offer_in_the_invite_is_answered_by_its_2xx(self) -> None:
        self.check([G.SEND_INVITE, G.RECEIVE_2XX], [G.RECEIVE_INVITE, G.SEND_2XX, G.RECEIVE_ACK], (S.STABLE, S.STABLE))

    @conforms("RFC 6337 2.2", "RFC 3261 13.2.1")
    def test_an_offer_in_the_2xx_is_answered_by_the_ack(self) -> None:
        self.check(
            [G.SEND_EMPTY_INVITE, G.RECEIVE_2XX, G.SEND_ACK],
            [G.RECEIVE_EMPTY_INVITE, G.SEND_2XX, G.RECEIVE_ACK],
            (S.STABLE, S.STABLE),
        )

    @conforms("RFC 6337 2.2", "RFC 3262 5")
    def test_an_offer_in_the_invite_is_answered_by_a_reliable_1xx(self) -> None:
        self.check(
            [G.SEND_INVITE, G.RECEIVE_1XX], [G.RECEIVE_INVITE, G.SEND_1XX, G.RECEIVE_PRACK], (S.CALLING, S.RINGING)
        )

    @conforms("RFC 6337 2.2", "RFC 3262 5")
    def test_an_offer_in_a_reliable_1xx_is_answered_by_the_prack(self) -> None:
        self.check(
            [G.SEND_EMPTY_INVITE, G.RECEIVE_1XX, G.SEND_PRACK],
            [G.RECEIVE_EMPTY_INVITE, G.SEND_1XX, G.RECEIVE_PRACK],
            (S.CALLING_LOCAL, S.RINGING),
        )

    @conforms("RFC 6337 2.2", "RFC 3262 5")
    def test_an_offer_in_the_prack_is_answered_by_its_2xx(self) -> None:
        caller, callee = End(S.CALLING), End(S.ANSWERED)
        self.assertEqual(caller.take(G.SEND_PRACK, G.RECEIVE_ANSWER), [E.SETTLE])
        self.assertEqual(callee.take(G.RECEIVE_PRACK_OFFER, G.SEND_ANSWER), [E.ASK, E.SETTLE])
        self.assertEqual((caller.negotiation, callee.negotiation), (S.CALLING, S.RINGING))

    @conforms("RFC 6337 2.2", "RFC 3311 5.1")
    def test_an_offer_in_an_update_is_answered_by_its_2xx(self) -> None:
        for state in UPDATABLE:
            ours, theirs = End(state), End(state)
            self.assertEqual(ours.take(G.SEND_UPDATE, G.RECEIVE_ANSWER), [E.SETTLE])
            self.assertEqual(theirs.take(G.RECEIVE_UPDATE, G.SEND_ANSWER), [E.ASK, E.SETTLE])
            self.assertEqual((ours.negotiation, theirs.negotiation), (state, state))


class RejectionTests(SynchronousTestCase):
    @conforms("RFC 3261 14.1", "RFC 6337 2.3", "RFC 6337 3.4")
    def test_a_refused_invite_rolls_back(self) -> None:
        for state in (S.INVITING, S.ASKING, S.OWING, S.CALLING):
            end = End(state)
            self.assertEqual(end.take(G.RECEIVE_REFUSAL), [E.ROLL_BACK])
            self.assertIs(end.negotiation, S.STABLE)
        for state in (S.INVITED, S.ASKED, S.OFFERED, S.ANSWERED, S.RINGING):
            end = End(state)
            self.assertEqual(end.take(G.SEND_REFUSAL), [E.ROLL_BACK])
            self.assertIs(end.negotiation, S.STABLE)

    @conforms("RFC 3311 5.3", "RFC 6337 2.3")
    def test_a_refused_update_rolls_back(self) -> None:
        self.assertEqual(End(S.UPDATING).take(G.RECEIVE_REJECTION), [E.ROLL_BACK])
        self.assertEqual(End(S.UPDATED).take(G.SEND_REJECTION), [E.ROLL_BACK])


class CollisionTests(SynchronousTestCase):
    def verdict(self, state: State, signal: Signal) -> Effect:
        end = End(state)
        (effect,) = end.take(signal)
        self.assertIs(end.negotiation, state)
        return effect

    @conforms("RFC 6337 4.3", "RFC 3261 14.2")
    def test_an_invite_that_meets_one_of_ours_is_491(self) -> None:
        for state in (S.INVITING, S.ASKING, S.OWING, S.CALLING, S.CALLING_LOCAL, S.CALLING_REMOTE, S.UPDATING):
            self.assertIs(self.verdict(state, G.RECEIVE_INVITE), E.GLARE)
            self.assertIs(self.verdict(state, G.RECEIVE_EMPTY_INVITE), E.GLARE)

    @conforms("RFC 6337 4.3", "RFC 3261 14.2")
    def test_a_second_invite_before_the_first_is_answered_is_500(self) -> None:
        for state in (S.INVITED, S.ASKED, S.OFFERED, S.ANSWERED, S.RINGING, S.UPDATED):
            self.assertIs(self.verdict(state, G.RECEIVE_INVITE), E.BUSY)

    @conforms("RFC 3311 5.2", "RFC 6337 4.3")
    def test_an_update_that_meets_an_offer_of_ours_is_491(self) -> None:
        for state in (S.INVITING, S.ASKING, S.UPDATING, S.CALLING_LOCAL, S.RINGING_LOCAL):
            self.assertIs(self.verdict(state, G.RECEIVE_UPDATE), E.GLARE)

    @conforms("RFC 3311 5.2", "RFC 6337 4.3")
    def test_an_update_while_we_owe_an_answer_is_500(self) -> None:
        for state in (S.INVITED, S.ASKED, S.OFFERED, S.ANSWERED, S.UPDATED, S.RINGING_REMOTE, S.CALLING_REMOTE):
            self.assertIs(self.verdict(state, G.RECEIVE_UPDATE), E.BUSY)

    @conforms("RFC 6337 2.2")
    def test_a_prack_may_offer_only_when_the_answer_is_given(self) -> None:
        self.assertIs(self.verdict(S.INVITED, G.RECEIVE_PRACK_OFFER), E.BUSY)
        self.assertIs(self.verdict(S.RINGING_LOCAL, G.RECEIVE_PRACK_OFFER), E.GLARE)

    @conforms("RFC 3264 4")
    def test_we_never_offer_while_an_offer_is_open(self) -> None:
        for state in OPEN:
            for signal in (G.SEND_INVITE, G.SEND_EMPTY_INVITE, G.SEND_UPDATE):
                self.assertRaises(Refused, End(state).take, signal)

    @conforms("RFC 3261 14.1")
    def test_no_invite_of_ours_while_another_goes_on(self) -> None:
        for state in set(State) - {S.STABLE}:
            self.assertRaises(Refused, End(state).take, G.SEND_INVITE)

    def test_whoever_goes_on_after_our_2xx_has_had_it(self) -> None:
        self.assertEqual(End(S.ACCEPTED).take(G.RECEIVE_INVITE), [E.ASK])
        self.assertEqual(End(S.ACCEPTED).take(G.RECEIVE_UPDATE), [E.ASK])


# What each message is to whoever receives it, and what the answer of a user that accepts everything is.
_ARRIVES = {
    G.SEND_INVITE: G.RECEIVE_INVITE,
    G.SEND_EMPTY_INVITE: G.RECEIVE_EMPTY_INVITE,
    G.SEND_UPDATE: G.RECEIVE_UPDATE,
    G.SEND_2XX: G.RECEIVE_2XX,
    G.SEND_REFUSAL: G.RECEIVE_REFUSAL,
    G.SEND_ANSWER: G.RECEIVE_ANSWER,
    G.SEND_REJECTION: G.RECEIVE_REJECTION,
    G.SEND_ACK: G.RECEIVE_ACK,
}
_FINALS = (G.SEND_2XX, G.SEND_REFUSAL, G.SEND_ANSWER, G.SEND_REJECTION)
_ASKING = {G.RECEIVE_INVITE: "INVITE", G.RECEIVE_EMPTY_INVITE: "INVITE", G.RECEIVE_UPDATE: "UPDATE"}


class _Talk:
    """Two ends that offer at random to each other; what is under way arrives in order, but crosses."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ends = (End(), End())
        self.ways: tuple[deque[Signal], deque[Signal]] = (deque(), deque())
        self.open: list[list[str]] = [[], []]
        self.settled = [0, 0]

    def send(self, at: int, signal: Signal) -> None:
        self.settled[at] += self.ends[at].take(signal).count(E.SETTLE)
        self.ways[at].append(signal)

    def offer(self, at: int) -> None:
        if self.ends[at].negotiation is S.STABLE:
            self.send(at, self.random.choice((G.SEND_INVITE, G.SEND_EMPTY_INVITE, G.SEND_UPDATE)))

    def answer(self, at: int) -> None:
        method = self.open[at].pop()
        accepts = self.random.random() < 0.8
        if method == "INVITE":
            self.send(at, G.SEND_2XX if accepts else G.SEND_REFUSAL)
        else:
            self.send(at, G.SEND_ANSWER if accepts else G.SEND_REJECTION)

    def deliver(self, to: int) -> None:
        sent = self.ways[1 - to].popleft()
        end = self.ends[to]
        before = end.negotiation
        effects = end.take(_ARRIVES[sent])
        self.settled[to] += effects.count(E.SETTLE)
        if E.ASK in effects:
            self.open[to].append(_ASKING[_ARRIVES[sent]])
        elif E.GLARE in effects or E.BUSY in effects:
            # refused by the transaction, whose state the table does not know
            self.ways[to].append(G.SEND_REFUSAL if sent != G.SEND_UPDATE else G.SEND_REJECTION)
        elif sent is G.SEND_2XX:
            if E.ANSWER in effects:
                self.send(to, G.SEND_ACK)
            elif before in (S.INVITING, S.CALLING):
                self.ways[to].append(G.SEND_ACK)

    def run(self, steps: int) -> None:
        for step in range(steps):
            choices = [self.deliver for _ in range(1)]
            at = self.random.randrange(2)
            if step < steps // 2 and self.random.random() < 0.3:
                self.offer(at)
            elif self.open[at]:
                self.answer(at)
            elif self.ways[1 - at]:
                choices[0](at)


class TalkTests(SynchronousTestCase):
    @conforms("RFC 3264 4", "RFC 6337 4.2")
    def test_two_ends_that_offer_at_random_agree_in_the_end(self) -> None:
        """Whatever crosses: nobody is refused by the table, and both are stable when nothing is under way."""
        settled = 0
        for seed in range(300):
            talk = _Talk(seed)
            talk.run(400)
            self.assertEqual([len(way) for way in talk.ways], [0, 0], seed)
            self.assertEqual([end.negotiation for end in talk.ends], [S.STABLE, S.STABLE], seed)
            self.assertEqual(talk.settled[0], talk.settled[1], seed)
            settled += talk.settled[0]
        self.assertGreater(settled, 2000)


class TableTests(SynchronousTestCase):
    def test_it_begins_and_ends_in_stable(self) -> None:
        self.assertIs(NEGOTIATION.initial, S.STABLE)
        self.assertNotIn(S.STABLE, OPEN)
        self.assertEqual(UPDATABLE & OPEN, frozenset())

    def test_a_plain_call_is_stable_again(self) -> None:
        caller, callee = End(), End()
        caller.take(G.SEND_INVITE, G.RECEIVE_2XX)
        callee.take(G.RECEIVE_INVITE, G.SEND_2XX, G.RECEIVE_ACK)
        self.assertEqual((caller.negotiation, callee.negotiation), (S.STABLE, S.STABLE))
