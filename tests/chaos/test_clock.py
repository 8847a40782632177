"""The clock makes each call in its moment, and in the order in which calls of one moment were asked for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.clock import SwiftClock


class SwiftClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SwiftClock()
        self.made: list[tuple[str, float]] = []

    def make(self, name: str) -> None:
        self.made.append((name, self.clock.seconds()))

    def test_each_call_is_made_in_its_moment(self) -> None:
        for name, delay in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("never", 9.0)):
            self.clock.callLater(delay, self.make, name)
        self.clock.run(5.0)
        self.assertEqual(self.made, [("a", 1.0), ("b", 1.0), ("c", 3.0)])
        self.assertEqual((self.clock.seconds(), len(self.clock.getDelayedCalls())), (5.0, 1))

    def test_a_call_may_ask_for_another(self) -> None:
        self.clock.callLater(1.0, self.clock.callLater, 0, self.make, "inner")
        self.clock.advance(1.0)
        self.assertEqual(self.made, [("inner", 1.0)])

    def test_what_is_cancelled_is_not_made(self) -> None:
        call = self.clock.callLater(1.0, self.make, "a")
        call.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.run(5.0)
        self.assertEqual((self.made, call.active()), ([], False))

    def test_a_call_that_is_moved_is_made_once(self) -> None:
        later, sooner = (self.clock.callLater(2.0, self.make, name) for name in ("later", "sooner"))
        later.reset(4.0)
        sooner.reset(1.0)
        self.clock.run(9.0)
        self.assertEqual(self.made, [("sooner", 1.0), ("later", 4.0)])
