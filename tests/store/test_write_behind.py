"""WriteBehind, with a store and a clock that do what they are told; and once with a real database."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.store.calls import CallJournal
from gosip_py.store.database import DatabaseError, DatabaseTimeout, DatabaseUnavailable
from gosip_py.store.records import CallRow
from gosip_py.store.write_behind import CHUNK, WriteBehind
from tests.store.databases import NOW, DatabaseCase


class Store:
    """Takes batches: at once, later, or not at all."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refused: set[str] = set()
        self.is_away = False
        self.waits: Deferred[None] | None = None

    async def write(self, rows: list[str]) -> None:
        self.batches.append(rows)
        await (self.waits or succeed(None))
        if self.is_away:
            raise DatabaseUnavailable("away")
        if self.refused.intersection(rows):
            raise DatabaseError("refused")

    @property
    def rows(self) -> list[str]:
        return [row for batch in self.batches for row in batch]


class WriteBehindTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Store()
        self.writing = self.make()

    def make(self, limit: int = 100_000) -> WriteBehind[str, str]:
        return WriteBehind(self.clock, self.store.write, interval=0.25, limit=limit)

    def flush(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.writing.flush())

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.writing.close())

    def test_rows_wait_for_the_interval_and_the_last_of_a_key_wins(self) -> None:
        for key, value in (("a", "a1"), ("b", "b1"), ("a", "a2")):
            self.writing.put(key, value)
        self.assertEqual(self.writing.pending, 2)
        self.clock.advance(0.24)
        self.assertEqual(self.store.batches, [])
        self.clock.advance(0.01)
        self.assertEqual(self.store.batches, [["a2", "b1"]])
        self.assertEqual(self.writing.pending, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_write_at_a_time(self) -> None:
        self.store.waits = Deferred()
        self.writing.put("a", "a1")
        self.clock.advance(0.25)
        self.writing.put("a", "a2")
        self.clock.advance(10)
        self.assertEqual(self.store.batches, [["a1"]])
        self.assertEqual(self.writing.pending, 2)
        waiting, self.store.waits = self.store.waits, None
        waiting.callback(None)
        self.clock.advance(0.25)
        self.assertEqual(self.store.batches, [["a1"], ["a2"]])

    def test_many_rows_go_in_chunks(self) -> None:
        for number in range(2 * CHUNK + 1):
            self.writing.put(str(number), str(number))
        self.clock.advance(0.25)
        self.assertEqual([len(batch) for batch in self.store.batches], [CHUNK, CHUNK, 1])
        self.assertEqual(self.store.rows, [str(number) for number in range(2 * CHUNK + 1)])

    def test_while_the_store_is_away_rows_are_kept(self) -> None:
        self.store.is_away = True
        self.writing.put("a", "a1")
        self.writing.put("b", "b1")
        self.clock.advance(0.25)
        self.writing.put("a", "a2")
        self.writing.put("c", "c1")
        self.assertEqual(self.writing.pending, 3)
        self.store.is_away = False
        self.store.batches.clear()
        self.clock.advance(1)
        self.assertEqual(self.store.batches, [["a2", "b1", "c1"]])
        self.assertEqual((self.writing.pending, self.writing.dropped), (0, 0))

    def test_the_pauses_grow_to_half_a_minute_and_start_over(self) -> None:
        self.store.is_away = True
        self.writing.put("a", "a1")
        self.clock.advance(0.25)
        for seconds in (1, 2, 4, 8, 16, 30, 30):
            count = len(self.store.batches)
            self.clock.advance(seconds - 0.01)
            self.assertEqual(len(self.store.batches), count)
            self.clock.advance(0.01)
            self.assertEqual(len(self.store.batches), count + 1, seconds)
        self.store.is_away = False
        self.clock.advance(30)
        self.store.is_away = True
        self.writing.put("b", "b1")
        self.clock.advance(0.25)
        self.assertEqual([call.getTime() - self.clock.seconds() for call in self.clock.getDelayedCalls()], [1.0])

    def test_a_timeout_is_tried_again_too(self) -> None:
        failures: list[Exception] = [DatabaseTimeout("slow")]

        async def write(rows: list[str]) -> None:
            if failures:
                raise failures.pop()
            self.store.batches.append(rows)

        writing: WriteBehind[str, str] = WriteBehind(self.clock, write)
        writing.put("a", "a1")
        self.clock.advance(0.25)
        self.assertEqual(writing.pending, 1)
        self.clock.advance(1)
        self.assertEqual(self.store.batches, [["a1"]])

    def test_beyond_the_limit_the_oldest_go(self) -> None:
        self.writing = self.make(limit=3)
        self.store.is_away = True
        for key in "abcde":
            self.writing.put(key, key)
        self.assertEqual((self.writing.pending, self.writing.dropped), (3, 2))
        self.store.waits = Deferred()
        self.clock.advance(0.25)
        for key in "fg":
            self.writing.put(key, key)
        self.store.waits.callback(None)
        self.assertEqual((self.writing.pending, self.writing.dropped), (3, 4))
        self.store.is_away = False
        self.store.batches.clear()
        self.clock.advance(1)
        self.assertEqual(self.store.rows, ["e", "f", "g"])

    def test_a_row_that_is_refused_goes_alone(self) -> None:
        self.store.refused = {"d"}
        for key in "abcdefg":
            self.writing.put(key, key)
        self.clock.advance(0.25)
        self.assertEqual((self.writing.pending, self.writing.dropped), (0, 1))
        accepted = [row for batch in self.store.batches if "d" not in batch for row in batch]
        self.assertEqual(sorted(accepted), list("abcefg"))

    def test_our_own_mistake_is_logged_and_the_rows_stay(self) -> None:
        async def write(rows: list[str]) -> None:
            raise ZeroDivisionError

        writing: WriteBehind[str, str] = WriteBehind(self.clock, write)
        writing.put("a", "a1")
        self.clock.advance(0.25)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(writing.pending, 1)

    def test_flush_writes_now(self) -> None:
        self.assertIsNone(self.successResultOf(self.flush()))
        self.writing.put("a", "a1")
        self.assertIsNone(self.successResultOf(self.flush()))
        self.assertEqual(self.store.batches, [["a1"]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_flush_waits_for_what_is_under_way_and_for_what_came_after(self) -> None:
        waiting = self.store.waits = Deferred()
        self.writing.put("a", "a1")
        self.clock.advance(0.25)
        self.writing.put("b", "b1")
        flushed = self.flush()
        self.assertNoResult(flushed)
        self.store.waits = None
        waiting.callback(None)
        self.successResultOf(flushed)
        self.assertEqual(self.store.batches, [["a1"], ["b1"]])

    def test_flush_tells_when_the_store_is_away(self) -> None:
        self.store.is_away = True
        self.writing.put("a", "a1")
        self.failureResultOf(self.flush(), DatabaseUnavailable)
        self.assertEqual(self.writing.pending, 1)

    def test_close_writes_what_is_left_and_takes_no_more(self) -> None:
        self.writing.put("a", "a1")
        self.successResultOf(self.close())
        self.writing.put("b", "b1")
        self.assertEqual(self.store.rows, ["a1"])
        self.assertEqual((self.writing.pending, self.writing.dropped), (0, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_gives_up_on_a_store_that_is_away(self) -> None:
        self.store.is_away = True
        for key in "abc":
            self.writing.put(key, key)
        self.successResultOf(self.close())
        self.assertEqual((self.writing.pending, self.writing.dropped), (0, 3))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class JournalBehindTests(DatabaseCase):
    async def test_rows_reach_the_journal(self) -> None:
        journal = CallJournal(self.database)
        clock = Clock()
        writing: WriteBehind[str, CallRow] = WriteBehind(clock, journal.write)
        row = CallRow(id="1", call_id="c", direction="internal", invite_at=NOW)
        writing.put(row.id, row)
        await writing.flush()
        closed = attrs.evolve(row, end_at=NOW + 1, result="answered")
        writing.put(row.id, closed)
        await writing.close()
        self.assertEqual((await journal.list()).rows, (closed,))
