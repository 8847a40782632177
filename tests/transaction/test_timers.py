"""Timer lengths and the wheel."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transaction.machines import Effect, Signal
from gosip_py.transaction.timers import Timer, TimerWheel, Timing
from tests.conformance import conforms
from tests.transaction.fakes import run


class Listener:
    """Writes down when which timer fired."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fired: list[tuple[float, int]] = []

    def timer_fired(self, kind: int) -> None:
        self.fired.append((round(self.clock.seconds(), 6), kind))


class TimingTests(SynchronousTestCase):
    @conforms("RFC 3261 17.1.1.1", "RFC 3261 17.1.2.1")
    def test_the_defaults_are_those_of_table_4_over_udp(self) -> None:
        lengths = {signal.name: seconds for signal, seconds in Timing().lengths(is_reliable=False).values()}
        expected = {"B": 32, "D": 32, "F": 32, "H": 32, "I": 5, "J": 32, "K": 5, "L": 32, "M": 32}
        self.assertEqual({name: lengths[f"TIMER_{name}"] for name in expected}, expected)

    def test_nothing_lingers_over_a_reliable_transport(self) -> None:
        lengths = {signal.name[-1]: seconds for signal, seconds in Timing().lengths(is_reliable=True).values()}
        self.assertEqual([lengths[name] for name in "DIJK"], [0, 0, 0, 0])
        self.assertEqual([lengths[name] for name in "BFHLM"], [32, 32, 32, 32, 32])

    def test_a_slow_network_scales_with_t1_but_timer_d_never_falls_below_its_minimum(self) -> None:
        slow, fast = Timing(t1=1.0).lengths(is_reliable=False), Timing(t1=0.1).lengths(is_reliable=False)
        self.assertEqual((slow[Effect.START_B][1], slow[Effect.START_D][1]), (64, 64))
        self.assertAlmostEqual(fast[Effect.START_B][1], 6.4)
        self.assertEqual(fast[Effect.START_D][1], 32)

    def test_timer_e_reaches_t2_after_three_and_a_half_seconds(self) -> None:
        self.assertEqual(Timing().seconds_to_t2, 3.5)
        self.assertEqual(Timing(t1=2.0, t2=4.0).seconds_to_t2, 2.0)
        self.assertEqual(Timing().lengths(is_reliable=False)[Effect.START_LATE_TRYING], (Signal.TIMER_TRYING, 3.5))


class WheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.123)
        self.wheel = TimerWheel(self.clock, 0.02)
        self.listener = Listener(self.clock)

    def test_timers_fire_in_the_order_of_their_time(self) -> None:
        for kind, delay in enumerate((0.5, 0.1, 0.3)):
            self.wheel.start(delay, self.listener, kind)
        for _ in range(100):
            self.clock.advance(0.01)
        self.assertEqual([kind for _, kind in self.listener.fired], [1, 2, 0])

    def test_none_is_early_and_none_later_than_a_tick(self) -> None:
        due = {}
        for kind in range(400):
            delay = (kind * 7919 % 1000) / 997
            due[kind] = self.clock.seconds() + delay
            self.wheel.start(delay, self.listener, kind)
            self.clock.advance(0.00137)
        for _ in range(2000):
            self.clock.advance(0.001)
        self.assertEqual(len(self.listener.fired), 400)
        for fired, kind in self.listener.fired:
            self.assertGreaterEqual(fired, due[kind] - 1e-6)
            self.assertLess(fired, due[kind] + 0.02 + 0.0015)

    def test_a_whole_number_of_ticks_fires_exactly_then(self) -> None:
        clock = Clock()
        wheel, listener = TimerWheel(clock, 0.02), Listener(clock)
        for delay in (0.5, 1.5, 3.5, 7.5, 15.5, 32.0):
            wheel.start(delay, listener, 0)
        run(clock, 33)
        self.assertEqual([time for time, _ in listener.fired], [0.5, 1.5, 3.5, 7.5, 15.5, 32.0])

    def test_a_cancelled_timer_never_fires_and_holds_nothing(self) -> None:
        timer = self.wheel.start(0.5, self.listener, 1)
        self.assertTrue(timer.is_running)
        timer.cancel()
        timer.cancel()
        self.assertEqual((timer.is_running, timer.owner, len(self.wheel)), (False, None, 0))
        gone = weakref.ref(self.listener)
        self.listener = Listener(self.clock)
        self.assertIsNone(gone())
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_timer_that_fired_holds_nothing_and_can_be_cancelled(self) -> None:
        timer = self.wheel.start(0.5, self.listener, 1)
        self.clock.advance(0.5)
        timer.cancel()
        self.assertEqual((timer.owner, len(self.listener.fired), len(self.wheel)), (None, 1, 0))

    def test_the_reactor_knows_one_delayed_call(self) -> None:
        for kind in range(1000):
            self.wheel.start(10 - kind / 100, self.listener, kind)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0.03)
        self.assertEqual(len(self.listener.fired), 2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_one_timer_may_cancel_another_of_its_own_tick(self) -> None:
        timers: list[Timer] = []

        class Canceller(Listener):
            def timer_fired(self, kind: int) -> None:
                super().timer_fired(kind)
                for timer in timers:
                    timer.cancel()

        canceller = Canceller(self.clock)
        timers += [self.wheel.start(0.1, canceller, kind) for kind in range(3)]
        self.clock.advance(0.2)
        self.assertEqual([kind for _, kind in canceller.fired], [0])

    def test_a_timer_that_starts_itself_without_delay_does_not_hold_up_the_turn(self) -> None:
        wheel = self.wheel

        class Restarting(Listener):
            def timer_fired(self, kind: int) -> None:
                super().timer_fired(kind)
                if kind:
                    wheel.start(0, self, kind - 1)

        restarting = Restarting(self.clock)
        wheel.start(0, restarting, 3)
        self.clock.pump([0.02] * 10)
        self.assertEqual([kind for _, kind in restarting.fired], [3, 2, 1, 0])

    def test_a_late_reactor_fires_everything_that_is_due(self) -> None:
        for kind in range(50):
            self.wheel.start(kind / 10, self.listener, kind)
        self.clock.advance(60)
        self.assertEqual([kind for _, kind in self.listener.fired], list(range(50)))

    def test_an_owner_that_fails_costs_the_others_nothing(self) -> None:
        class Failing(Listener):
            def timer_fired(self, kind: int) -> None:
                raise ZeroDivisionError

        self.wheel.start(0.1, Failing(self.clock), 0)
        self.wheel.start(0.1, self.listener, 1)
        self.wheel.start(0.2, self.listener, 2)
        self.clock.advance(0.1)
        self.clock.advance(0.1)
        self.assertEqual([kind for _, kind in self.listener.fired], [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop_cancels_everything_for_good(self) -> None:
        self.wheel.start(0.1, self.listener, 0)
        self.wheel.stop()
        self.wheel.start(0.1, self.listener, 1)
        self.assertEqual((len(self.wheel), self.clock.getDelayedCalls()), (0, []))
        self.clock.advance(10)
        self.assertEqual(self.listener.fired, [])

    def test_cancelled_timers_leave_nothing_behind(self) -> None:
        for _ in range(20_000):
            self.wheel.start(32, self.listener, 0).cancel()
        gc.collect()
        self.assertEqual(len(self.wheel), 0)
        self.assertEqual(sum(isinstance(thing, Timer) for thing in gc.get_objects()), 0)
