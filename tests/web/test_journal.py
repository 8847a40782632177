from __future__ import annotations

import csv
import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.rung import Rung
from gosip_py.store.calls import CallJournal
from gosip_py.store.records import CallRow
from gosip_py.web import journal
from gosip_py.web.journal import csv_cell
from gosip_py.web.routing import _Reader
from tests.web.server import NOW, NOW_TEXT, WebCase

FIELDS = (
    "id call_id init_branch from_tag to_tag caller_user callee_user caller_uri callee_uri direction did_id device_id"
    " invite_at first_18x_at answer_at end_at result final_code final_reason ring_ms talk_ms ended_by rule spam_score"
    " recording_id history linked_to"
).split()


def row(name: str, at: float, **fields: Any) -> CallRow:
    given: dict[str, Any] = {"direction": "internal", "caller_user": "alice-desk", "callee_user": "bob"}
    given |= {"end_at": NOW + at + 9, "result": "answered", "final_code": 200, "ring_ms": 1000, "talk_ms": 5000}
    return CallRow(id=name, call_id=f"call-{name}", invite_at=NOW + at, **given | fields)


class JournalTests(WebCase):
    async def setUp(self) -> None:
        await super().setUp()
        await CallJournal(self.database).write(
            [
                row("01", -300),
                row("02", -200, caller_user="bob", callee_user="+4790000000", direction="outbound", result="failed"),
                row(
                    "03",
                    -100,
                    caller_user="=1+1",
                    callee_user="alice",
                    direction="inbound",
                    final_reason='Said "no"',
                ),
                row("04", -50, caller_user="x", end_at=None, result=None, talk_ms=None, ring_ms=None),
            ]
        )

    async def names(self, query: str = "", who: str = "admin") -> list[str]:
        return [call["id"] for call in (await self.get(f"/api/call_journals{query}", who)).one]

    async def test_both_names_show_the_same(self) -> None:
        for path in ("", "/01", "/stats", "/export", "?result=failed"):
            first, second = await self.get(f"/api/call_journals{path}"), await self.get(f"/api/cdrs{path}")
            self.assertEqual((first.status, first.content), (200, second.content))

    async def test_the_newest_stands_first(self) -> None:
        self.assertEqual(await self.names(), ["04", "03", "02", "01"])
        self.assertEqual(await self.names("?sort=invite_at&order=asc&per_page=2&page=2"), ["03", "04"])

    async def test_filters(self) -> None:
        for query, expected in (
            ("result=failed&result=answered", ["03", "02", "01"]),
            ("direction=inbound", ["03"]),
            ("user=bob", ["04", "02", "01"]),
            ("number=4790", ["02"]),
            ("call_id=call-01", ["01"]),
            ("is_open=true", ["04"]),
            ("from_time=2026-01-02T03:02:00Z", ["04", "03"]),
            ("to_time=2026-01-02T03:00:00Z", ["01"]),
        ):
            self.assertEqual(await self.names(f"?{query}"), expected, query)
        for query in ("result=great", "from_time=yesterday", "is_open=perhaps", "device_id=0", "from_time=1"):
            self.assertEqual((await self.get(f"/api/cdrs?{query}")).status, 400, query)

    async def test_a_user_sees_the_own_calls_only(self) -> None:
        self.assertEqual(await self.names("", "alice"), ["03", "01"])
        self.assertEqual(await self.names("?user=bob", "alice"), [])
        self.assertEqual(await self.names("?user=alice", "alice"), ["03"])
        self.assertEqual((await self.get("/api/cdrs/02", "alice")).status, 404)
        self.assertEqual((await self.get("/api/cdrs/03", "alice")).status, 200)
        self.assertEqual((await self.get("/api/cdrs/stats", "alice")).one["total"], 2)
        exported = (await self.get("/api/cdrs/export", "alice")).content.decode().splitlines()
        self.assertEqual([line.split(",")[0] for line in exported], ["id", "01", "03"])

    async def test_the_shape(self) -> None:
        shown = (await self.get("/api/call_journals/01")).one
        self.assertEqual((shown["invite_at"], shown["answer_at"]), ("2026-01-02T02:59:05.678Z", None))
        self.assertEqual(shown["talk_ms"], 5000)
        self.assertEqual(list(shown), FIELDS)
        self.assertEqual((await self.get("/api/call_journals/none")).status, 404)

    async def test_what_happened_on_the_way(self) -> None:
        note = {"at": NOW, "kind": "transfer", "by": "bob", "target": "carol", "result": "answered", "call_id": "01"}
        told = row("05", -10, history=json.dumps([note]), linked_to=json.dumps(["01"]))
        await CallJournal(self.database).write([told])
        shown = (await self.get("/api/call_journals/05")).one
        self.assertEqual(shown["history"], [note | {"at": NOW_TEXT}])
        self.assertEqual(shown["linked_to"], ["01"])
        self.assertEqual((await self.get("/api/call_journals/01")).one["history"], [])

    async def test_the_ladder(self) -> None:
        sent = Rung(NOW, "out", "UDP", "127.0.0.1:5060", "192.0.2.1:5060", 2, b"BYE sip:b SIP/2.0\r\nTo: \xff\r\n\r\n")
        self.ladders.kept["03"] = (sent, Rung(NOW, "note", "", "", "", 0, b"park by=bob"))
        first, second = (await self.get("/api/call_journals/03/ladder", "alice")).one["messages"]
        self.assertEqual(
            first,
            {
                "at": NOW_TEXT,
                "direction": "out",
                "transport": "UDP",
                "local": "127.0.0.1:5060",
                "peer": "192.0.2.1:5060",
                "leg": 2,
                "first_line": "BYE sip:b SIP/2.0",
                "text": "BYE sip:b SIP/2.0\r\nTo: \ufffd\r\n\r\n",
            },
        )
        self.assertEqual((second["direction"], second["text"]), ("note", "park by=bob"))
        self.assertEqual((await self.get("/api/cdrs/03/ladder", "bob")).status, 404)
        self.assertEqual((await self.get("/api/cdrs/01/ladder")).status, 404)
        self.assertEqual((await self.get("/api/cdrs/none/ladder")).status, 404)

    async def test_stats(self) -> None:
        self.assertEqual(
            (await self.get("/api/call_journals/stats")).one,
            {
                "total": 4,
                "open": 1,
                "by_result": {"answered": 2, "failed": 1},
                "by_direction": {"internal": 2, "outbound": 1, "inbound": 1},
                "talk_ms": 15000,
                "mean_ring_ms": 1000.0,
                "mean_talk_ms": 5000.0,
            },
        )
        self.assertEqual((await self.get("/api/call_journals/stats?direction=inbound")).one["total"], 1)
        self.assertEqual((await self.get("/api/call_journals/stats?page=1")).status, 400)

    async def test_the_file(self) -> None:
        reply = await self.get("/api/call_journals/export")
        self.assertEqual(reply.headers["Content-Type"], "text/csv; charset=utf-8")
        self.assertEqual(reply.headers["Content-Disposition"], 'attachment; filename="calls.csv"')
        rows = list(csv.DictReader(reply.content.decode().splitlines()))
        self.assertEqual([call["id"] for call in rows], ["01", "02", "03", "04"])
        self.assertEqual((rows[1]["callee_user"], rows[2]["caller_user"]), ("+4790000000", "'=1+1"))
        self.assertEqual((rows[2]["final_reason"], rows[3]["end_at"]), ('Said "no"', ""))
        self.assertEqual((await self.request("HEAD", "/api/call_journals/export")).content, b"")

    async def test_a_long_file_has_each_call_once(self) -> None:
        self.patch(journal, "EXPORT_ROWS", 7)
        # Many calls of one moment, more than are read at a time, and some before and after.
        calls = [row(f"n{number:03}", -1000 - number // 20 * (number % 3)) for number in range(96)]
        await CallJournal(self.database).write(calls)
        lines = (await self.get("/api/cdrs/export")).content.decode().splitlines()
        names = [line.split(",")[0] for line in lines[1:]]
        self.assertEqual((len(names), len(set(names))), (100, 100))

    async def test_a_file_that_breaks_half_way_does_not_look_whole(self) -> None:
        self.patch(journal, "EXPORT_ROWS", 2)
        calls, real = [], CallJournal.list

        async def fail_later(of: CallJournal, **options: Any) -> Any:
            calls.append(options)
            if len(calls) > 1:
                raise ValueError("broken on purpose")
            return await real(of, **options)

        self.patch(CallJournal, "list", fail_later)
        with self.assertRaises(Exception) as caught:
            await self.get("/api/cdrs/export")
        self.assertIn("Response", type(caught.exception).__name__)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class CellTests(SynchronousTestCase):
    def test_no_cell_is_a_formula(self) -> None:
        for text in ("=1+1", "@SUM(A1)", "+1-1", "-x", "\t=1", "+cmd|' /C calc'!A0"):
            self.assertEqual(csv_cell(text), f"'{text}")
        for text in ("+4790000000", "-1.5", "sip:a@b", ""):
            self.assertEqual(csv_cell(text), text)


class ReaderTests(SynchronousTestCase):
    """A slow reader makes the writer wait, and one that left lets it go."""

    def setUp(self) -> None:
        self.reader = _Reader()

    def wait(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.reader.ready())

    def test_a_quick_reader(self) -> None:
        self.assertIsNone(self.successResultOf(self.wait()))

    def test_paused_and_resumed(self) -> None:
        self.reader.pauseProducing()
        waiting = self.wait()
        self.assertNoResult(waiting)
        self.reader.resumeProducing()
        self.successResultOf(waiting)

    def test_left(self) -> None:
        self.reader.pauseProducing()
        waiting = self.wait()
        self.reader.stopProducing()
        self.successResultOf(waiting)
        self.assertTrue(self.reader.has_left)
