"""Every arc of the figures of RFC 3261 17 with RFC 6026, by feeding signals; and what the machines do beyond."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.fsm import Refused
from gosip_py.transaction.machines import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Effect,
    Machine,
    Signal,
    State,
)
from tests.conformance import conforms

MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)
FINALS = ("RESPONSE_2XX", "RESPONSE_3XX_6XX")


class FigureTests(SynchronousTestCase):
    """Figures as lines of "STATE SIGNAL -> NEXT: effects". Only effects that the figures name are compared."""

    named = frozenset(
        {
            Effect.SEND,
            Effect.RESEND,
            Effect.SEND_ACK,
            Effect.SEND_TRYING,
            Effect.PASS_UP,
            Effect.PASS_ACK_UP,
            Effect.TIMEOUT,
            Effect.TRANSPORT_ERROR,
        }
    )

    def check(self, machine: Machine, figure: str) -> None:
        for line in figure.strip().splitlines():
            left, _, right = line.partition("->")
            following, _, effects = right.partition(":")
            state, signal = left.split()
            reached, performed = machine.step(State[state], Signal[signal])
            self.assertEqual(reached, State[following.strip()], line)
            expected = {Effect[name] for name in effects.split()}
            self.assertEqual(set(performed) & self.named, expected, line)

    @conforms("RFC 3261 17.1.1.2", "RFC 6026 7.2")
    def test_figure_5_invite_client(self) -> None:
        figure = """
            INITIAL START -> CALLING: SEND
            CALLING TIMER_A -> CALLING: RESEND
            CALLING TIMER_B -> TERMINATED: TIMEOUT
            CALLING TRANSPORT_ERROR -> TERMINATED: TRANSPORT_ERROR
            CALLING RESPONSE_1XX -> PROCEEDING: PASS_UP
            CALLING RESPONSE_2XX -> ACCEPTED: PASS_UP
            CALLING RESPONSE_3XX_6XX -> COMPLETED: SEND_ACK PASS_UP
            PROCEEDING RESPONSE_1XX -> PROCEEDING: PASS_UP
            PROCEEDING RESPONSE_2XX -> ACCEPTED: PASS_UP
            PROCEEDING RESPONSE_3XX_6XX -> COMPLETED: SEND_ACK PASS_UP
            COMPLETED RESPONSE_3XX_6XX -> COMPLETED: RESEND
            COMPLETED TRANSPORT_ERROR -> TERMINATED:
            COMPLETED TIMER_D -> TERMINATED:
            ACCEPTED RESPONSE_2XX -> ACCEPTED: PASS_UP
            ACCEPTED TIMER_M -> TERMINATED:
        """
        self.check(INVITE_CLIENT, figure)

    @conforms("RFC 3261 17.1.2.2")
    def test_figure_6_non_invite_client(self) -> None:
        figure = """
            INITIAL START -> TRYING: SEND
            TRYING TIMER_E -> TRYING: RESEND
            TRYING TIMER_F -> TERMINATED: TIMEOUT
            TRYING TRANSPORT_ERROR -> TERMINATED: TRANSPORT_ERROR
            TRYING RESPONSE_1XX -> PROCEEDING: PASS_UP
            TRYING RESPONSE_2XX -> COMPLETED: PASS_UP
            TRYING RESPONSE_3XX_6XX -> COMPLETED: PASS_UP
            PROCEEDING TIMER_E -> PROCEEDING: RESEND
            PROCEEDING TIMER_F -> TERMINATED: TIMEOUT
            PROCEEDING TRANSPORT_ERROR -> TERMINATED: TRANSPORT_ERROR
            PROCEEDING RESPONSE_1XX -> PROCEEDING: PASS_UP
            PROCEEDING RESPONSE_2XX -> COMPLETED: PASS_UP
            PROCEEDING RESPONSE_3XX_6XX -> COMPLETED: PASS_UP
            COMPLETED RESPONSE_2XX -> COMPLETED:
            COMPLETED RESPONSE_3XX_6XX -> COMPLETED:
            COMPLETED TIMER_K -> TERMINATED:
        """
        self.check(NON_INVITE_CLIENT, figure)

    @conforms("RFC 3261 17.2.1", "RFC 6026 7.1")
    def test_figure_7_invite_server(self) -> None:
        figure = """
            INITIAL REQUEST -> PROCEEDING: PASS_UP
            PROCEEDING TIMER_TRYING -> PROCEEDING: SEND_TRYING
            PROCEEDING REQUEST -> PROCEEDING: RESEND
            PROCEEDING RESPONSE_1XX -> PROCEEDING: SEND
            PROCEEDING RESPONSE_2XX -> ACCEPTED: SEND
            PROCEEDING RESPONSE_3XX_6XX -> COMPLETED: SEND
            PROCEEDING TRANSPORT_ERROR -> PROCEEDING: TRANSPORT_ERROR
            COMPLETED REQUEST -> COMPLETED: RESEND
            COMPLETED TIMER_G -> COMPLETED: RESEND
            COMPLETED TRANSPORT_ERROR -> COMPLETED: TRANSPORT_ERROR
            COMPLETED TIMER_H -> TERMINATED: TIMEOUT
            COMPLETED ACK -> CONFIRMED:
            CONFIRMED TIMER_I -> TERMINATED:
            ACCEPTED REQUEST -> ACCEPTED:
            ACCEPTED RESPONSE_2XX -> ACCEPTED: SEND
            ACCEPTED ACK -> ACCEPTED: PASS_ACK_UP
            ACCEPTED TRANSPORT_ERROR -> ACCEPTED: TRANSPORT_ERROR
            ACCEPTED TIMER_L -> TERMINATED:
        """
        self.check(INVITE_SERVER, figure)

    @conforms("RFC 3261 17.2.2", "RFC 4320 4.1")
    def test_figure_8_non_invite_server_with_rfc_6026_and_4320(self) -> None:
        figure = """
            INITIAL REQUEST -> TRYING: PASS_UP
            TRYING REQUEST -> TRYING:
            TRYING RESPONSE_1XX -> PROCEEDING: SEND
            TRYING RESPONSE_2XX -> COMPLETED: SEND
            TRYING RESPONSE_3XX_6XX -> COMPLETED: SEND
            TRYING TIMER_TRYING -> PROCEEDING: SEND_TRYING
            PROCEEDING REQUEST -> PROCEEDING: RESEND
            PROCEEDING RESPONSE_1XX -> PROCEEDING: SEND
            PROCEEDING RESPONSE_2XX -> COMPLETED: SEND
            PROCEEDING RESPONSE_3XX_6XX -> COMPLETED: SEND
            PROCEEDING TRANSPORT_ERROR -> PROCEEDING: TRANSPORT_ERROR
            PROCEEDING TIMER_EXPIRY -> TERMINATED: TIMEOUT
            COMPLETED REQUEST -> COMPLETED: RESEND
            COMPLETED RESPONSE_2XX -> COMPLETED:
            COMPLETED TIMER_J -> TERMINATED:
        """
        self.check(NON_INVITE_SERVER, figure)


@conforms("RFC 3261 9.1")
class CancelTests(SynchronousTestCase):
    def walk(self, *signals: Signal) -> list[tuple[str, list[str]]]:
        state, steps = State.INITIAL, []
        for signal in signals:
            state, effects = INVITE_CLIENT.step(state, signal)
            steps.append((state.name, [effect.name for effect in effects]))
        return steps

    def test_a_cancel_waits_for_a_provisional_response(self) -> None:
        steps = self.walk(Signal.START, Signal.CANCEL, Signal.TIMER_A, Signal.RESPONSE_1XX)
        self.assertEqual([state for state, _ in steps], ["CALLING", "CANCELLING", "CANCELLING", "CANCELLED"])
        self.assertIn("RESEND", steps[2][1])
        self.assertIn("SEND_CANCEL", steps[3][1])
        self.assertNotIn("SEND_CANCEL", steps[1][1])

    def test_a_cancel_goes_out_at_once_when_it_rings_and_only_once(self) -> None:
        steps = self.walk(Signal.START, Signal.RESPONSE_1XX, Signal.CANCEL, Signal.CANCEL, Signal.RESPONSE_3XX_6XX)
        self.assertEqual(steps[2], ("CANCELLED", ["SEND_CANCEL", "START_CANCEL_WAIT"]))
        self.assertEqual(steps[3], ("CANCELLED", []))
        self.assertIn("SEND_ACK", steps[4][1])

    def test_a_cancelled_invite_that_nobody_ends_ends_itself(self) -> None:
        steps = self.walk(Signal.START, Signal.RESPONSE_1XX, Signal.CANCEL, Signal.TIMER_CANCEL_WAIT)
        self.assertEqual(steps[3], ("TERMINATED", ["DONE", "TIMEOUT"]))

    def test_a_cancel_after_the_final_response_does_nothing(self) -> None:
        for final in (Signal.RESPONSE_2XX, Signal.RESPONSE_3XX_6XX):
            self.assertEqual(self.walk(Signal.START, final, Signal.CANCEL)[2][1], [])


class TableTests(SynchronousTestCase):
    def test_every_pair_is_placed(self) -> None:
        for machine in MACHINES:
            for state, signal in product(machine.states, machine.signals):
                try:
                    machine.step(state, signal)
                except Refused:
                    self.assertIn((state, signal), machine.refused)

    def test_nothing_from_the_network_or_the_user_is_refused_while_a_transaction_lives(self) -> None:
        outside = {"REQUEST", "ACK", "RESPONSE_1XX", *FINALS, "CANCEL", "TRANSPORT_ERROR"}
        for machine in MACHINES:
            for state, signal in machine.refused:
                if state not in (State.INITIAL, State.TERMINATED):
                    self.assertNotIn(signal.name, outside, f"{machine.name} {state.name}")

    def test_the_user_may_come_late_and_flows_may_fail_twice(self) -> None:
        for machine in MACHINES:
            self.assertEqual(machine.step(State.TERMINATED, Signal.TRANSPORT_ERROR), (State.TERMINATED, ()))
        for machine in (INVITE_SERVER, NON_INVITE_SERVER):
            self.assertEqual(machine.step(State.TERMINATED, Signal.RESPONSE_2XX), (State.TERMINATED, ()))

    def test_reaching_the_end_and_being_done_are_the_same(self) -> None:
        for machine in MACHINES:
            for state, signal, following, effects in machine.arcs():
                self.assertEqual(following is State.TERMINATED, Effect.DONE in effects, (state, signal))

    def test_no_timer_can_fire_where_the_table_refuses_it(self) -> None:
        for machine in MACHINES:
            seen: set[Place] = set()
            fresh: list[Place] = [(machine.initial, None, None)]
            while fresh:
                place = fresh.pop()
                if place not in seen:
                    seen.add(place)
                    fresh += following_places(machine, place)
            self.assertEqual({state for state, *_ in seen}, set(machine.states))
            ended = {place for place in seen if place[0] is State.TERMINATED}
            self.assertEqual(ended, {(State.TERMINATED, None, None)})


Place = tuple[State, Signal | None, Signal | None]
"""A state, the timer that runs to its end, and the one that repeats a message."""


def following_places(machine: Machine, place: Place) -> list[Place]:
    """Where anything that can happen leads. Raises Refused when a timer that runs must not fire."""
    state, ending, repeating = place
    found: list[Place] = []
    for signal in machine.signals:
        if signal in (ending, repeating):
            following, effects = machine.step(state, signal)
            left = (None if signal is ending else ending, None if signal is repeating else repeating)
            found.append((following, *timers_after(effects, *left)))
        elif not signal.name.startswith("TIMER_") and (state, signal) not in machine.refused:
            following, effects = machine.step(state, signal)
            found.append((following, *timers_after(effects, ending, repeating)))
    return found


def timers_after(
    effects: tuple[Effect, ...], ending: Signal | None, repeating: Signal | None
) -> tuple[Signal | None, Signal | None]:
    for effect in effects:
        verb, _, rest = effect.name.partition("_")
        name = rest.removesuffix("_AT_T2").removeprefix("LATE_")
        repeats = name in ("A", "E", "G")
        if effect is Effect.DONE:
            ending = repeating = None
        elif verb in ("START", "DOUBLE"):
            ending, repeating = (ending, Signal[f"TIMER_{name}"]) if repeats else (Signal[f"TIMER_{name}"], repeating)
        elif verb == "STOP":
            ending, repeating = (ending, None) if repeats else (None, repeating)
    return ending, repeating
