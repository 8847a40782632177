"""The table of a subscription."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.fsm import Refused
from gosip_py.notifier.machine import ENDED, SUBSCRIPTION, Effect, Signal, State
from tests.conformance import conforms

S, G, E = State, Signal, Effect


def walk(*signals: Signal) -> tuple[State, list[Effect]]:
    """Where these signals lead, and every effect on the way."""
    state, effects = S.INIT, list[Effect]()
    for signal in signals:
        state, more = SUBSCRIPTION.step(state, signal)
        effects += more
    return state, effects


class FigureTests(SynchronousTestCase):
    """The arcs of the figure in RFC 6665 4.2.2."""

    @conforms("RFC 6665 4.2.2")
    def test_each_way_from_active_to_terminated(self) -> None:
        for signals in (
            (G.SUBSCRIBED, G.FAILED),
            (G.SUBSCRIBED, G.CHANGED, G.FAILED),
            (G.SUBSCRIBED, G.SUBSCRIBED, G.FAILED),
            (G.SUBSCRIBED, G.DELIVERED, G.ENDED, G.DELIVERED),
            (G.SUBSCRIBED, G.DELIVERED, G.CHANGED, G.ENDED, G.FAILED),
            (G.SUBSCRIBED, G.ENDED, G.DELIVERED, G.DELIVERED),
            (G.SUBSCRIBED, G.ENDED, G.FAILED),
            (G.FETCHED, G.DELIVERED),
        ):
            state, effects = walk(*signals)
            self.assertEqual(state, S.TERMINATED, signals)
            self.assertEqual(effects[-1], E.FORGET)

    def test_each_end_but_a_failure_is_told(self) -> None:
        for state in S:
            if state is S.INIT or state in ENDED:
                continue
            following, effects = SUBSCRIPTION.step(state, G.ENDED)
            told = [*effects]
            if following is S.ENDING:
                told += SUBSCRIPTION.step(following, G.DELIVERED)[1]
            self.assertIn(E.FAREWELL, told, state)

    def test_a_change_after_another_is_told_once(self) -> None:
        state, effects = walk(G.SUBSCRIBED, G.CHANGED, G.CHANGED, G.DELIVERED, G.CHANGED, G.DUE, G.DELIVERED)
        self.assertEqual((state, effects), (S.CURRENT, [E.NOTIFY, E.START_PAUSE, E.NOTIFY]))

    def test_never_two_under_way(self) -> None:
        under_way = (S.NOTIFYING, S.STALE, S.ASKED, S.ENDING, S.FAREWELL)
        for state, _, _, effects in SUBSCRIPTION.arcs():
            if state in under_way and {E.NOTIFY, E.FAREWELL}.intersection(effects):
                arcs = [(s, g) for s, g, _, found in SUBSCRIPTION.arcs() if s is state and found is effects]
                self.assertEqual({signal for _, signal in arcs}, {G.DELIVERED})

    def test_only_a_bug_subscribes_to_what_is_over(self) -> None:
        for state in ENDED:
            with self.assertRaises(Refused):
                SUBSCRIPTION.step(state, G.SUBSCRIBED)

    def test_whoever_is_dropped_is_forgotten(self) -> None:
        for state in S:
            if state not in (S.INIT, S.TERMINATED):
                following, effects = SUBSCRIPTION.step(state, G.LOST)
                self.assertEqual((following, effects[-1]), (S.TERMINATED, E.FORGET))
