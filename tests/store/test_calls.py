"""The call journal, on both databases."""

from __future__ import annotations

from typing import Any

import attrs

from gosip_py.store.calls import CallJournal
from gosip_py.store.database import IntegrityError
from gosip_py.store.records import CallRow, CallStats
from tests.store.databases import NOW, DatabaseCase, OnPostgres

FULL = CallRow(
    id="0001",
    call_id="abc@host",
    direction="internal",
    invite_at=NOW,
    init_branch="z9hG4bK1",
    from_tag="ft",
    to_tag="tt",
    caller_user="alice",
    callee_user="Bob",
    caller_uri="sip:alice@example.org",
    callee_uri="sip:Bob@example.org",
    did_id=3,
    device_id=4,
    first_18x_at=NOW + 0.5,
    answer_at=NOW + 2.5,
    end_at=NOW + 10,
    result="answered",
    final_code=200,
    final_reason="OK",
    ring_ms=2000,
    talk_ms=7500,
    ended_by="callee",
    rule="Default",
    spam_score=0.25,
    recording_id="r1",
    node="n1",
)


def opened(row_id: str, **others: Any) -> CallRow:
    row = CallRow(id=row_id, call_id=f"call-{row_id}", direction="inbound", invite_at=NOW + int(row_id))
    return attrs.evolve(row, **others)


class CallJournalTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.journal = CallJournal(self.database)

    async def ids(self, **filters: object) -> list[str]:
        return [row.id for row in (await self.journal.list(filters=filters)).rows]

    async def test_every_field_comes_back(self) -> None:
        await self.journal.write([FULL, opened("0002")])
        self.assertEqual(await self.journal.get("0001"), FULL)
        self.assertEqual(await self.journal.get("0002"), opened("0002"))
        self.assertIsNone(await self.journal.get("0003"))

    async def test_a_row_is_closed_by_writing_it_again(self) -> None:
        await self.journal.write([opened("1")])
        closed = opened("1", end_at=NOW + 9, result="cancelled", final_code=487, ended_by="caller")
        await self.journal.write([closed])
        await self.journal.write([closed])
        self.assertEqual((await self.journal.list()).rows, (closed,))

    async def test_a_row_is_open_or_closed_and_nothing_between(self) -> None:
        for halves in ({"end_at": NOW}, {"result": "answered"}):
            with self.assertRaises(IntegrityError) as caught:
                await self.journal.write([opened("1", **halves)])
            self.assertEqual(caught.exception.violation, "check")

    async def test_the_newest_come_first_and_every_filter_filters(self) -> None:
        await self.journal.write(
            [
                opened("1", caller_user="alice", callee_user="bob"),
                opened("2", caller_user="carol", callee_user="+4930123", direction="outbound", device_id=5),
                opened("3", callee_user="alice", end_at=NOW + 4, result="no_answer", did_id=6),
            ]
        )
        self.assertEqual(await self.ids(), ["3", "2", "1"])
        for filters, expected in (
            ({"from_time": NOW + 2}, ["3", "2"]),
            ({"to_time": NOW + 2}, ["1"]),
            ({"user": "alice"}, ["3", "1"]),
            ({"user": ("bob", "carol")}, ["2", "1"]),
            ({"user": ()}, []),
            ({"number": "30123"}, ["2"]),
            ({"number": "ALI"}, ["3", "1"]),
            ({"result": "no_answer"}, ["3"]),
            ({"result": ["no_answer", "failed"]}, ["3"]),
            ({"direction": "outbound"}, ["2"]),
            ({"call_id": "call-1"}, ["1"]),
            ({"device_id": 5}, ["2"]),
            ({"did_id": 6}, ["3"]),
            ({"is_open": True}, ["2", "1"]),
            ({"is_open": False}, ["3"]),
            ({"user": "alice", "is_open": True}, ["1"]),
        ):
            self.assertEqual(await self.ids(**filters), expected, str(filters))

    async def test_pages_and_sorting(self) -> None:
        await self.journal.write([opened(f"{number}", talk_ms=None if number == 2 else -number) for number in range(5)])
        page = await self.journal.list(offset=1, limit=2, sort="talk_ms", descending=False)
        self.assertEqual([row.id for row in page.rows], ["3", "1"])
        self.assertEqual(page.total, 5)
        last = await self.journal.list(offset=4, limit=2, sort="talk_ms", descending=False)
        self.assertEqual([row.id for row in last.rows], ["2"])

    async def test_stats(self) -> None:
        await self.journal.write(
            [
                attrs.evolve(FULL, id="1", talk_ms=1000, ring_ms=100),
                attrs.evolve(FULL, id="2", talk_ms=4000, ring_ms=300),
                opened("3", end_at=NOW, result="rejected"),
                opened("4"),
            ]
        )
        expected = CallStats(
            total=4,
            open=1,
            by_result={"answered": 2, "rejected": 1},
            by_direction={"internal": 2, "inbound": 2},
            talk_ms=5000,
            mean_ring_ms=200.0,
            mean_talk_ms=2500.0,
        )
        self.assertEqual(await self.journal.stats(), expected)
        self.assertEqual((await self.journal.stats({"direction": "internal"})).total, 2)

    async def test_stats_of_nothing(self) -> None:
        self.assertEqual(await self.journal.stats(), CallStats(0, 0, {}, {}, 0, None, None))

    async def test_half_open_rows_are_closed_at_the_start(self) -> None:
        await self.journal.write(
            [
                opened("1"),
                opened("2", first_18x_at=NOW + 3, answer_at=NOW + 5.5),
                opened("3", node="other"),
                opened("4", end_at=NOW, result="answered", ended_by="callee"),
            ]
        )
        self.assertEqual(await self.journal.close_open(NOW + 60), 2)
        self.assertEqual(await self.journal.close_open(NOW + 90), 0)
        first, second = await self.journal.get("1"), await self.journal.get("2")
        assert first is not None and second is not None
        self.assertEqual((first.result, first.ended_by, first.end_at), ("failed", "system", NOW + 60))
        self.assertEqual((first.ring_ms, first.talk_ms), (None, None))
        self.assertEqual((second.result, second.ring_ms, second.talk_ms), ("failed", 2500, 54500))
        self.assertEqual(await self.ids(is_open=True), ["3"])

    async def test_prune_leaves_open_rows_alone(self) -> None:
        await self.journal.write([opened("1"), *(opened(f"{n}", end_at=NOW, result="failed") for n in (2, 3))])
        self.assertEqual(await self.journal.prune(NOW + 3), 1)
        self.assertEqual(await self.ids(), ["3", "1"])


class CallJournalOnPostgresTests(OnPostgres, CallJournalTests):
    pass
