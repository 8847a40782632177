"""The repository of sessions, on both databases."""

from __future__ import annotations

import attrs

from gosip_py.store.records import SessionRow
from gosip_py.store.sessions import Sessions
from tests.store.databases import NOW, DatabaseCase, OnPostgres

FIRST = SessionRow(
    id="s1",
    call_id="c1",
    from_tag="f",
    to_tag="t",
    state="active",
    caller_uri="sip:Alice@example.org",
    callee_uri="sip:bob@example.org",
    created_at=NOW,
    remote_target="sip:bob@127.0.0.1:5070",
    route_set='["<sip:p1;lr>", "<sip:p2;lr>"]',
    answered_at=NOW + 1,
    session_expires=2**32,
    refresher="uac",
)


class SessionsTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.sessions = Sessions(self.database)
        self.second = attrs.evolve(FIRST, id="s2", call_id="c2", state="early", created_at=NOW + 5, node="other")
        await self.sessions.write([FIRST, self.second])

    async def ids(self, **filters: object) -> list[str]:
        return [row.id for row in (await self.sessions.list(filters=filters)).rows]

    async def test_get(self) -> None:
        self.assertEqual(await self.sessions.get("s1"), FIRST)
        self.assertIsNone(await self.sessions.get("s3"))

    async def test_written_again(self) -> None:
        ended = attrs.evolve(FIRST, state="terminated", ended_at=NOW + 9, ended_by="callee")
        await self.sessions.write([ended])
        self.assertEqual(await self.sessions.get("s1"), ended)

    async def test_list(self) -> None:
        for filters, expected in (
            ({}, ["s2", "s1"]),
            ({"state": "early"}, ["s2"]),
            ({"state": ("early", "active")}, ["s2", "s1"]),
            ({"call_id": "c1"}, ["s1"]),
            ({"uri": "alice@"}, ["s2", "s1"]),
            ({"from_time": NOW + 5}, ["s2"]),
            ({"to_time": NOW + 5}, ["s1"]),
        ):
            self.assertEqual(await self.ids(**filters), expected, str(filters))

    async def test_close_open_ends_what_this_node_left(self) -> None:
        self.assertEqual(await self.sessions.close_open(NOW + 60), 1)
        closed = await self.sessions.get("s1")
        assert closed is not None
        self.assertEqual((closed.state, closed.ended_at, closed.ended_by), ("terminated", NOW + 60, "system"))
        self.assertEqual(await self.sessions.get("s2"), self.second)
        self.assertEqual(await self.sessions.close_open(NOW + 60, node="other"), 1)

    async def test_prune_leaves_living_sessions_alone(self) -> None:
        self.assertEqual(await self.sessions.prune(NOW + 60), 0)
        await self.sessions.close_open(NOW + 60)
        self.assertEqual(await self.sessions.prune(NOW + 60), 1)
        self.assertEqual(await self.ids(), ["s2"])


class SessionsOnPostgresTests(OnPostgres, SessionsTests):
    pass
