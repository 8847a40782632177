"""Background coroutines: their names, their failures, and how they are stopped."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.background import Background


async def wait(event: Deferred[None]) -> str:
    await event
    return "done"


async def fail(event: Deferred[None]) -> None:
    await event
    raise ValueError("broken")


class StartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.background = Background()

    def test_runs_at_once_and_under_its_name_until_it_ends(self) -> None:
        event: Deferred[None] = Deferred()
        ended = self.background.start("waiter", wait(event))
        self.assertEqual(self.background.names, ("waiter",))
        self.assertNoResult(ended)
        event.callback(None)
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(self.background.names, ())

    def test_two_may_have_one_name(self) -> None:
        first: Deferred[None] = Deferred()
        second: Deferred[None] = Deferred()
        ends = [self.background.start("waiter", wait(event)) for event in (first, second)]
        first.callback(None)
        self.assertEqual(self.background.names, ("waiter",))
        self.successResultOf(ends[0])
        self.assertNoResult(ends[1])

    def test_one_that_ends_before_it_waits(self) -> None:
        event: Deferred[None] = Deferred()
        event.callback(None)
        self.successResultOf(self.background.start("quick", wait(event)))
        self.assertEqual(self.background.names, ())

    def test_a_failure_is_logged_once_and_goes_no_further(self) -> None:
        event: Deferred[None] = Deferred()
        ended = self.background.start("breaker", fail(event))
        event.callback(None)
        self.assertIsNone(self.successResultOf(ended))
        (logged,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(logged.value), "broken")
        self.assertEqual(self.background.names, ())

    def test_the_log_names_it(self) -> None:
        event: Deferred[None] = Deferred()
        event.callback(None)
        with capturedLogs() as logged:
            self.successResultOf(self.background.start("breaker", fail(event)))
        self.assertEqual([formatEvent(line) for line in logged], ["breaker failed"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class StopTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.background = Background()
        self.ended: list[str] = []

    async def tidy(self, event: Deferred[None], farewell: Deferred[None]) -> None:
        try:
            await event
        except CancelledError:
            await farewell
            self.ended.append("tidied")
            raise

    def test_cancels_all_and_waits_for_what_they_do_about_it(self) -> None:
        farewells: list[Deferred[None]] = [Deferred(), Deferred()]
        for farewell in farewells:
            self.assertNoResult(self.background.start("tidy", self.tidy(Deferred(), farewell)))
        stopped = Deferred.fromCoroutine(self.background.stop())
        farewells[1].callback(None)
        self.assertEqual(self.ended, ["tidied"])
        self.assertNoResult(stopped)
        farewells[0].callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.ended, ["tidied", "tidied"])
        self.assertEqual(self.background.names, ())

    def test_being_cancelled_is_no_failure(self) -> None:
        ended = self.background.start("waiter", wait(Deferred()))
        self.successResultOf(Deferred.fromCoroutine(self.background.stop()))
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_failure_while_stopping_is_logged_and_the_rest_is_still_awaited(self) -> None:
        breaking: Deferred[None] = Deferred(lambda deferred: deferred.callback(None))
        for coroutine in (fail(breaking), wait(Deferred())):
            self.assertNoResult(self.background.start("task", coroutine))
        self.successResultOf(Deferred.fromCoroutine(self.background.stop()))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.background.names, ())

    def test_nothing_starts_afterwards(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.background.stop()))
        event: Deferred[None] = Deferred()
        event.callback(None)
        self.assertIsNone(self.successResultOf(self.background.start("late", fail(event))))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stopping_twice_waits_twice(self) -> None:
        farewell: Deferred[None] = Deferred()
        self.assertNoResult(self.background.start("tidy", self.tidy(Deferred(), farewell)))
        stops = [Deferred.fromCoroutine(self.background.stop()) for _ in range(2)]
        for stopped in stops:
            self.assertNoResult(stopped)
        farewell.callback(None)
        for stopped in stops:
            self.successResultOf(stopped)
