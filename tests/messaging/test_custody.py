"""The machine of one message, on every way through it."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.fsm import Refused
from gosip_py.messaging.custody import CUSTODY, Effect, Signal, State

Way = tuple[tuple[Signal, ...], tuple[Effect, ...]]
PHONES = frozenset((Signal.TAKEN, Signal.REFUSED, Signal.UNREACHED))


def ways(state: State = CUSTODY.initial, way: Way = ((), ()), writes: int = 0) -> Iterator[Way]:
    """Every way to the end. The phones answer once, and the store is asked again once at most."""
    if state is State.SETTLED:
        yield way
        return
    for signal in CUSTODY.signals:
        try:
            following, effects = CUSTODY.step(state, signal)
        except Refused:
            continue
        asked = writes + effects.count(Effect.WRITE)
        if asked <= 2:
            yield from ways(following, ((*way[0], signal), (*way[1], *effects)), asked)


class WayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ways = list(ways())

    def test_each_state_is_on_some_way(self) -> None:
        self.assertGreater(len(self.ways), 10)
        signals = {signal for taken, _ in self.ways for signal in taken}
        self.assertEqual(signals, set(Signal))

    def test_the_phones_answer_once_on_each_way(self) -> None:
        for signals, _ in self.ways:
            self.assertEqual(sum(signal in PHONES for signal in signals), 1, signals)

    def test_each_write_is_let_go_once(self) -> None:
        for signals, effects in self.ways:
            let_go = effects.count(Effect.RELEASE) + effects.count(Effect.DROP)
            self.assertEqual(let_go, effects.count(Effect.WRITE), signals)

    def test_nothing_is_accepted_that_is_not_written(self) -> None:
        for signals, effects in self.ways:
            if Effect.ACCEPT in effects:
                self.assertIn(Signal.WRITTEN, signals)
            self.assertLessEqual(effects.count(Effect.ACCEPT), 1)

    def test_what_a_phone_has_answered_does_not_stay(self) -> None:
        for signals, effects in self.ways:
            if Signal.WRITTEN in signals:
                self.assertEqual(Effect.DROP in effects, Signal.UNREACHED not in signals, signals)

    def test_the_sender_hears_something_when_the_phones_fail(self) -> None:
        """One of them, and one only; when the phones answer, the proxy passes that on."""
        for signals, effects in self.ways:
            told = effects.count(Effect.ACCEPT) + effects.count(Effect.APOLOGIZE)
            if Signal.UNREACHED in signals:
                self.assertEqual(told, 1, signals)
