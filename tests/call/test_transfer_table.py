"""What becomes of a transfer, whoever does something first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.transfer_table import TRANSFER, Effect, Signal, State

E, G, S = Effect, Signal, State

_PARTED = {
    # who of the three is left, by what has been done
    E.DISMISS: "transferor",
    E.HANG_UP_TRANSFEROR: "transferor",
    E.HANG_UP_TRANSFEREE: "transferee",
    E.HANG_UP_TARGET: "target",
    E.CANCEL: "target",
}
_LEFT = {
    G.TARGET_FAILED: "target",
    G.TARGET_LEFT: "target",
    G.TRANSFEROR_LEFT: "transferor",
    G.TRANSFEREE_LEFT: "transferee",
}


def play(*signals: Signal) -> tuple[State, list[Effect]]:
    """The state after these signals, and all effects."""
    state, performed = State.RINGING, list[Effect]()
    for signal in signals:
        state, effects = TRANSFER.step(state, signal)
        performed += effects
    return state, performed


class TransferTableTests(SynchronousTestCase):
    def assert_played(self, signals: Sequence[Signal], state: State, *effects: Effect) -> None:
        self.assertEqual(play(*signals), (state, list(effects)))

    def test_it_succeeds(self) -> None:
        signals = (G.TARGET_RANG, G.TARGET_ANSWERED, G.JOINED, G.TRANSFEROR_LEFT)
        self.assert_played(signals, S.DONE, E.REPORT_RINGING, E.JOIN, E.REPORT_DONE, E.DISMISS)

    def test_the_transferor_does_not_wait(self) -> None:
        signals = (G.TRANSFEROR_LEFT, G.TARGET_ANSWERED, G.JOINED)
        self.assert_played(signals, S.DONE, E.JOIN, E.REPORT_DONE)
        in_vain = (G.TRANSFEROR_LEFT, G.TARGET_FAILED)
        self.assert_played(in_vain, S.FAILED, E.REPORT_FAILED, E.HANG_UP_TRANSFEREE)

    def test_a_failure_gives_the_call_back(self) -> None:
        self.assert_played((G.TARGET_RANG, G.TARGET_FAILED), S.FAILED, E.REPORT_RINGING, E.REPORT_FAILED, E.GIVE_BACK)
        signals = (G.TARGET_ANSWERED, G.NOT_JOINED)
        self.assert_played(signals, S.FAILED, E.JOIN, E.HANG_UP_TARGET, E.REPORT_FAILED, E.GIVE_BACK)

    def test_nobody_is_left_alone(self) -> None:
        """Whatever happens in whatever order: at the end two are connected, or none is left (a call never outlives)."""
        ends = 0
        for signals in product(Signal, repeat=4):
            left, state, effects = {"transferor", "transferee", "target"}, State.RINGING, list[Effect]()
            for signal in signals:
                if (state, signal) in TRANSFER.refused or _LEFT.get(signal, "transferee") not in left:
                    break
                left.discard(_LEFT.get(signal, ""))
                state, done = TRANSFER.step(state, signal)
                effects += done
                left -= {_PARTED[effect] for effect in done if effect in _PARTED}
                if state in (State.DONE, State.FAILED):
                    ends += 1
                    pairs = {State.DONE: {"transferee", "target"}, State.FAILED: {"transferor", "transferee"}}
                    self.assertIn(left, (pairs[state], set()), signals)
                    reports = [effect for effect in effects if effect in (E.REPORT_DONE, E.REPORT_FAILED)]
                    self.assertEqual(len(reports), 1, signals)
                    break
        self.assertGreater(ends, 100)
