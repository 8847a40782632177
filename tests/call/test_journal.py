"""The journal: one row for each call, from the events of the bus; written behind, kept while the store is away."""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.journal import MOST_NOTES, Journal
from gosip_py.events import Bus, CallAnswered, CallEnded, CallNoted, CallRinging, CallStarted
from gosip_py.metrics import Metrics
from gosip_py.store.calls import CallJournal
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.records import CallRow
from tests.store.databases import DatabaseCase

T = 1_800_000_000.0


def started(id: str = "c1") -> CallStarted:
    return CallStarted(
        id=id,
        at=T,
        call_id="call@192.0.2.9",
        init_branch="z9hG4bKx",
        from_tag="ft",
        caller_user="alice",
        callee_user="bob",
        caller_uri="sip:alice@example.com",
        callee_uri="sip:bob@example.com",
        direction="inbound",
        did_id=7,
        device_id=9,
    )


class Store:
    """Takes rows, or is away."""

    def __init__(self) -> None:
        self.writes: list[list[CallRow]] = []
        self.is_away = False

    async def write(self, rows: Sequence[CallRow]) -> None:
        if self.is_away:
            raise DatabaseUnavailable("away")
        self.writes.append(list(rows))


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = Bus()
        self.store = Store()
        self.metrics = Metrics()
        self.journal = Journal(self.clock, self.store.write, self.bus, self.metrics, node="n1")

    def publish(self, *events: object) -> None:
        for event in events:
            self.bus.publish(event)

    def row(self) -> CallRow:
        """The last that was written."""
        self.clock.advance(1)
        return self.store.writes[-1][-1]

    def test_a_call_that_goes_on(self) -> None:
        self.publish(started())
        row = self.row()
        self.assertEqual(
            row,
            CallRow(
                id="c1",
                call_id="call@192.0.2.9",
                direction="inbound",
                invite_at=T,
                init_branch="z9hG4bKx",
                from_tag="ft",
                caller_user="alice",
                callee_user="bob",
                caller_uri="sip:alice@example.com",
                callee_uri="sip:bob@example.com",
                did_id=7,
                device_id=9,
                node="n1",
            ),
        )

    def test_a_call_that_was_answered(self) -> None:
        self.publish(started(), CallRinging("c1", T + 1, 183), CallAnswered("c1", T + 5.25, "tt", 200, "OK"))
        row = self.row()
        self.assertEqual((row.to_tag, row.first_18x_at, row.answer_at), ("tt", T + 1, T + 5.25))
        self.assertEqual((row.ring_ms, row.talk_ms, row.end_at, row.result), (4250, None, None, None))
        self.publish(CallEnded("c1", T + 65.25, "answered", 200, "OK", "callee"))
        row = self.row()
        self.assertEqual((row.ring_ms, row.talk_ms, row.end_at), (4250, 60000, T + 65.25))
        self.assertEqual(
            (row.result, row.final_code, row.final_reason, row.ended_by), ("answered", 200, "OK", "callee")
        )

    def test_a_call_that_was_answered_without_ringing(self) -> None:
        self.publish(
            started(), CallAnswered("c1", T + 1, "tt"), CallEnded("c1", T + 2, "answered", 200, "OK", "caller")
        )
        row = self.row()
        self.assertEqual((row.first_18x_at, row.ring_ms, row.talk_ms), (None, None, 1000))

    def test_a_call_that_rang_in_vain(self) -> None:
        self.publish(started(), CallRinging("c1", T + 1), CallEnded("c1", T + 31, "cancelled", 487, "Gone", "caller"))
        row = self.row()
        self.assertEqual((row.ring_ms, row.talk_ms, row.answer_at, row.to_tag), (30000, None, None, ""))
        self.assertEqual((row.result, row.final_code, row.ended_by), ("cancelled", 487, "caller"))

    def test_a_call_that_was_refused_at_once(self) -> None:
        self.publish(started(), CallEnded("c1", T, "failed", 404, "Not Found", "system"))
        row = self.row()
        self.assertEqual((row.end_at, row.ring_ms, row.talk_ms, row.final_code), (T, None, None, 404))

    def test_a_short_call_is_written_once(self) -> None:
        self.publish(
            started(),
            CallRinging("c1", T + 0.01),
            CallAnswered("c1", T + 0.02),
            CallEnded("c1", T + 0.1, "answered", 200, "OK", "caller"),
        )
        self.assertEqual(self.journal.backlog, 1)
        self.clock.advance(10)
        self.assertEqual([len(write) for write in self.store.writes], [1])
        self.assertEqual(self.journal.backlog, 0)

    def test_what_happens_on_the_way(self) -> None:
        self.publish(
            started(),
            CallNoted("c1", T + 5, "transfer", {"by": "bob", "target": "carol", "result": "answered", "call_id": "c0"}),
            CallNoted("c1", T + 6, "park", {"target": "701", "odd": "x"}),
            CallNoted("c1", T + 7, "transfer", {"call_id": "c0"}),
            CallNoted("c9", T + 7, "transfer", {"call_id": "c0"}),
        )
        row = self.row()
        first, second, third = json.loads(row.history)
        expected = {"by": "bob", "target": "carol", "result": "answered", "call_id": "c0"}
        self.assertEqual(first, {"at": T + 5, "kind": "transfer", **expected})
        self.assertEqual(second, {"at": T + 6, "kind": "park", "by": "", "target": "701", "result": "", "call_id": ""})
        self.assertEqual((third["call_id"], row.linked_to), ("c0", '["c0"]'))

    def test_a_note_is_written_though_the_call_goes_on(self) -> None:
        self.publish(started())
        self.clock.advance(1)
        self.publish(CallNoted("c1", T + 5, "pickup", {}))
        self.clock.advance(1)
        self.assertEqual(len(self.store.writes), 2)
        self.publish(CallEnded("c1", T + 9, "answered", 200, "OK", "caller"), CallNoted("c1", T + 10, "late", {}))
        self.assertEqual([note["kind"] for note in json.loads(self.row().history)], ["pickup"])

    def test_no_more_than_a_row_holds(self) -> None:
        self.publish(started(), *(CallNoted("c1", T, "transfer", {}) for _ in range(MOST_NOTES + 9)))
        self.assertEqual(len(json.loads(self.row().history)), MOST_NOTES)

    def test_many_calls_are_written_together(self) -> None:
        for number in range(50):
            self.publish(started(f"c{number}"))
        self.clock.advance(1)
        self.assertEqual([len(write) for write in self.store.writes], [50])

    def test_ringing_alone_is_not_worth_a_write(self) -> None:
        self.publish(started())
        self.clock.advance(1)
        self.publish(CallRinging("c1", T + 1))
        self.clock.advance(10)
        self.assertEqual(len(self.store.writes), 1)

    def test_the_store_is_away_and_comes_back(self) -> None:
        self.store.is_away = True
        self.publish(started("c1"), started("c2"))
        self.clock.advance(1)
        self.publish(CallEnded("c1", T + 9, "failed", 500, "x", "system"))
        self.clock.pump([1] * 60)
        self.assertEqual(self.journal.backlog, 2)
        backlog = self.metrics.journal_backlog
        self.assertEqual([family.samples[0].value for family in backlog.exposed()], [2])
        self.assertEqual(self.store.writes, [])
        self.store.is_away = False
        self.clock.pump([1] * 60)
        self.assertEqual(self.journal.backlog, 0)
        self.assertEqual(
            {row.id: row.end_at for write in self.store.writes for row in write}, {"c1": T + 9, "c2": None}
        )

    def test_flush_and_close(self) -> None:
        self.publish(started())
        self.successResultOf(Deferred.fromCoroutine(self.journal.flush()))
        self.assertEqual(len(self.store.writes), 1)
        self.publish(CallEnded("c1", T + 9, "failed", 500, "x", "system"))
        self.successResultOf(Deferred.fromCoroutine(self.journal.close()))
        self.assertEqual(self.store.writes[-1][0].end_at, T + 9)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_flush_says_that_the_store_is_away(self) -> None:
        self.store.is_away = True
        self.publish(started())
        self.failureResultOf(Deferred.fromCoroutine(self.journal.flush()), DatabaseUnavailable)
        self.assertEqual(self.journal.backlog, 1)


class StoredTests(DatabaseCase):
    """With the real repository."""

    async def test_a_call_is_one_closed_row(self) -> None:
        bus, rows = Bus(), CallJournal(self.database)
        journal = Journal(Clock(), rows.write, bus, Metrics())
        for event in (started(), CallAnswered("c1", T + 1, "tt")):
            bus.publish(event)
            await journal.flush()
        bus.publish(CallNoted("c1", T + 2, "transfer", {"by": "\udcff\0", "call_id": "c0"}))
        bus.publish(CallEnded("c1", T + 3, "answered", 200, "OK", "callee"))
        await journal.close()
        page = await rows.list()
        self.assertEqual(page.rows[0].linked_to, '["c0"]')
        self.assertEqual(json.loads(page.rows[0].history)[0]["kind"], "transfer")
        self.assertEqual([(row.id, row.talk_ms, row.ended_by) for row in page.rows], [("c1", 2000, "callee")])
