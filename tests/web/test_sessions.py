from __future__ import annotations

from typing import Any

import attrs

from gosip_py.call.session_journal import LiveSession
from gosip_py.store.records import SessionRow
from gosip_py.store.sessions import Sessions
from tests.web.server import NOW, WebCase


def row(name: str, state: str, at: float, **fields: Any) -> SessionRow:
    given: dict[str, Any] = {"call_id": f"call-{name}", "from_tag": "f", "to_tag": "t"}
    given |= {"caller_uri": "sip:alice@x", "callee_uri": f"sip:{name}@x", "created_at": NOW + at}
    return SessionRow(id=name, state=state, **given | fields)


class SessionTests(WebCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.dialogs.rows = [
            row("early", "early", -1),
            row("talk", "active", -5, answered_at=NOW - 4, route_set='["<sip:p1;lr>"]', session_expires=1800),
        ]
        ended = [row(f"old{n}", "terminated", -10 - n, ended_at=NOW - n, ended_by="caller") for n in range(3)]
        # What the store still has as active is in memory, and shown from there.
        await Sessions(self.database).write([*ended, row("talk", "active", -5)])

    async def names(self, query: str = "") -> list[str]:
        return [session["id"] for session in (await self.get(f"/api/sessions{query}")).one]

    async def test_live_ones_first_then_the_ended(self) -> None:
        listed = await self.get("/api/sessions")
        self.assertEqual([session["id"] for session in listed.one], ["early", "talk", "old0", "old1", "old2"])
        self.assertEqual(listed.json["total"], 5)
        self.assertEqual(await self.names("?order=asc"), ["talk", "early", "old2", "old1", "old0"])
        self.assertEqual(await self.names("?sort=answered_at"), ["talk", "early", "old2", "old1", "old0"])
        self.assertEqual(await self.names("?sort=answered_at&order=asc"), ["talk", "early", "old0", "old1", "old2"])

    async def test_pages_run_over_the_seam(self) -> None:
        pages = [await self.names(f"?per_page=2&page={page}") for page in (1, 2, 3, 4)]
        self.assertEqual(pages, [["early", "talk"], ["old0", "old1"], ["old2"], []])
        self.assertEqual(await self.names("?per_page=3"), ["early", "talk", "old0"])

    async def test_filters(self) -> None:
        self.assertEqual(await self.names("?state=active"), ["talk"])
        self.assertEqual(await self.names("?state=early&state=terminated&per_page=2"), ["early", "old0"])
        self.assertEqual(await self.names("?call_id=call-old1"), ["old1"])
        self.assertEqual(await self.names("?uri=TALK"), ["talk"])
        self.assertEqual(await self.names("?from_time=2026-01-02T03:04:04Z"), ["early"])
        self.assertEqual(await self.names("?to_time=2026-01-02T03:03:55Z"), ["old1", "old2"])

    async def test_the_session_timer(self) -> None:
        plain = attrs.asdict(row("timed", "active", -2, session_expires=1800, refresher="uac"))
        self.dialogs.rows.append(LiveSession(**plain, expires_at=NOW + 1798, min_se=90, refreshed_by="caller"))
        live = (await self.get("/api/sessions/timed")).one
        self.assertEqual((live["session_expires"], live["refresher"], live["min_se"]), (1800, "uac", 90))
        self.assertEqual((live["expires_at"], live["refreshed_by"]), ("2026-01-02T03:34:03.678Z", "caller"))
        for name in ("talk", "old0"):
            other = (await self.get(f"/api/sessions/{name}")).one
            self.assertEqual((other["expires_at"], other["min_se"], other["refreshed_by"]), (None, None, None))

    async def test_one(self) -> None:
        live = (await self.get("/api/sessions/talk")).one
        self.assertEqual((live["route_set"], live["session_expires"]), (["<sip:p1;lr>"], 1800))
        self.assertEqual(live["answered_at"], "2026-01-02T03:04:01.678Z")
        ended = (await self.get("/api/sessions/old0")).one
        self.assertEqual((ended["state"], ended["ended_by"]), ("terminated", "caller"))
        self.assertEqual((await self.get("/api/sessions/none")).status, 404)
