"""The signals of the operating system, raised in this very process."""

from __future__ import annotations

import signal
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.signals import Signals

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Loop:
    """Runs when it is told; what comes from a handler waits for its next turn, as the reactor has it."""

    def __init__(self) -> None:
        self._starting: list[Callable[[], object]] = []
        self._waiting: list[Callable[[], object]] = []

    def callWhenRunning(self, function: Callable[[], object]) -> None:
        self._starting.append(function)

    def callFromThread(self, function: Callable[[], object]) -> None:
        self._waiting.append(function)

    def run(self) -> None:
        starting, self._starting = self._starting, []
        for function in starting:
            function()

    def turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for function in waiting:
            function()


class SignalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = [signal.getsignal(number) for number in OURS]
        self.heard: list[str] = []
        self.loop = Loop()
        self.signals = Signals(self.loop, lambda: self.heard.append("stop"), lambda: self.heard.append("reload"))
        self.addCleanup(self.signals.give_back)
        self.signals.take()

    def run_and_raise(self, *numbers: int) -> list[str]:
        self.loop.run()
        for number in numbers:
            signal.raise_signal(number)
        self.loop.turn()
        return self.heard

    def test_nothing_is_taken_before_the_reactor_runs(self) -> None:
        """It installs handlers of its own when it starts, over whatever was there."""
        self.assertEqual([signal.getsignal(number) for number in OURS], self.before)

    def test_either_stops(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.heard.clear()
            self.signals.give_back()
            self.signals = Signals(self.loop, lambda: self.heard.append("stop"), lambda: None)
            self.signals.take()
            self.assertEqual(self.run_and_raise(number), ["stop"])
            self.assertFalse(self.signals.is_hurried)
        self.signals.give_back()

    def test_nothing_happens_inside_of_the_handler(self) -> None:
        """It may interrupt anything."""
        self.loop.run()
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.heard, [])

    def test_a_second_one_hurries(self) -> None:
        self.assertEqual(self.run_and_raise(signal.SIGTERM, signal.SIGINT, signal.SIGTERM), ["stop"])
        self.assertTrue(self.signals.is_hurried)

    def test_sighup_reloads_each_time(self) -> None:
        self.assertEqual(self.run_and_raise(signal.SIGHUP, signal.SIGHUP), ["reload", "reload"])
        self.assertFalse(self.signals.is_hurried)

    def test_given_back(self) -> None:
        self.loop.run()
        self.assertNotEqual([signal.getsignal(number) for number in OURS], self.before)
        self.signals.give_back()
        self.assertEqual([signal.getsignal(number) for number in OURS], self.before)

    def test_given_back_before_the_reactor_runs(self) -> None:
        self.signals.give_back()
        self.loop.run()
        self.assertEqual([signal.getsignal(number) for number in OURS], self.before)
