from __future__ import annotations

from typing import Any

from gosip_py.events import GroupChanged
from gosip_py.store.records import GroupMember, GroupStatistics
from tests.web.server import NOW, NOW_TEXT, Reply, WebCase


class RingGroupTests(WebCase):
    async def add(self, **fields: Any) -> Reply:
        return await self.request("POST", "/api/ring_groups", {"number": "600", **fields})

    async def test_create_get_and_the_shape(self) -> None:
        members = [{"user_id": self.bob.id}, {"device_id": self.phone.id}]
        created = await self.add(
            name="Sales", strategy="sequential", ring_seconds=15, fallback="alice", members=members
        )
        self.assertEqual((created.status, created.headers["Location"]), (201, "/api/ring_groups/1"))
        self.assertEqual(
            created.one,
            {
                "id": 1,
                "number": "600",
                "name": "Sales",
                "strategy": "sequential",
                "ring_seconds": 15,
                "fallback": "alice",
                "skip_busy": True,
                "members": [
                    {"user_id": self.bob.id, "device_id": None},
                    {"user_id": None, "device_id": self.phone.id},
                ],
                "created_at": NOW_TEXT,
                "updated_at": NOW_TEXT,
            },
        )
        self.assertEqual((await self.get("/api/ring_groups/1")).one, created.one)
        known = self.directory.group_by_number("600")
        self.assertEqual(known and known.members, (GroupMember(self.bob.id), GroupMember(None, self.phone.id)))
        self.assertEqual(self.changes, [GroupChanged(1)])
        self.assertEqual((await self.request("PUT", "/api/ring_groups/1", created.one)).one, created.one)

    async def test_change(self) -> None:
        await self.add(members=[{"user_id": self.bob.id}])
        patched = await self.request("PATCH", "/api/ring_groups/1", {"number": "601", "skip_busy": False})
        self.assertEqual([patched.one[name] for name in ("number", "skip_busy")], ["601", False])
        self.assertEqual(len(patched.one["members"]), 1)
        self.assertIsNone(self.directory.group_by_number("600"))
        patched = await self.request("PATCH", "/api/ring_groups/1", {"members": [{"device_id": self.phone.id}]})
        self.assertEqual(patched.one["members"], [{"user_id": None, "device_id": self.phone.id}])
        put = await self.request("PUT", "/api/ring_groups/1", {"number": "602"})
        self.assertEqual((put.one["members"], put.one["skip_busy"]), ([], True))
        self.assertEqual((await self.request("PATCH", "/api/ring_groups/9", {"name": "x"})).status, 404)

    async def test_delete(self) -> None:
        await self.add()
        self.assertEqual((await self.request("DELETE", "/api/ring_groups/1")).status, 204)
        self.assertIsNone(self.directory.group(1))
        self.assertEqual(self.changes, [GroupChanged(1), GroupChanged(1)])
        self.assertEqual((await self.request("DELETE", "/api/ring_groups/1")).status, 404)

    async def test_what_is_taken(self) -> None:
        await self.add()
        self.assertEqual(((await self.add()).status, (await self.add()).fields), (409, ["number"]))
        for taken in ("Alice", "alice-desk"):
            refused = await self.add(number=taken)
            self.assertEqual((refused.status, refused.fields), (409, ["number"]))

    async def test_what_is_wrong(self) -> None:
        for fields, field in (
            ({"number": ""}, "number"),
            ({"number": "6 0"}, "number"),
            ({"strategy": "random"}, "strategy"),
            ({"ring_seconds": 601}, "ring_seconds"),
            ({"fallback": "600"}, "fallback"),
            ({"members": [{}]}, "members.0"),
            ({"members": [{"user_id": 1, "device_id": 1}]}, "members.0"),
            ({"members": [{"user_id": 1}, {"user_id": 1}]}, "members"),
            ({"members": [{"user_id": 99}]}, "members"),
            ({"members": [{"user_id": number} for number in range(1, 102)]}, "members"),
        ):
            refused = await self.add(**fields)
            self.assertEqual((refused.status, refused.fields), (400, [field]), fields)
        self.assertEqual(self.changes, [])

    async def test_list(self) -> None:
        await self.add(name="Sales", members=[{"user_id": self.bob.id}])
        await self.add(number="601", name="Support", strategy="round_robin")
        rows = (await self.get("/api/ring_groups?sort=number&order=desc")).one
        self.assertEqual([(row["number"], len(row["members"])) for row in rows], [("601", 0), ("600", 1)])
        for query in ("search=SUPP", "strategy=round_robin", "number=601"):
            self.assertEqual([row["number"] for row in (await self.get(f"/api/ring_groups?{query}")).one], ["601"])

    async def test_who_is_deleted_leaves_the_group(self) -> None:
        await self.add(members=[{"user_id": self.bob.id}, {"device_id": self.phone.id}, {"user_id": self.alice.id}])
        await self.request("DELETE", f"/api/users/{self.alice.id}")
        shown = (await self.get("/api/ring_groups/1")).one
        self.assertEqual(shown["members"], [{"user_id": self.bob.id, "device_id": None}])
        known = self.directory.group(1)
        self.assertEqual(known and known.members, (GroupMember(self.bob.id),))

    async def test_statistics(self) -> None:
        await self.add(members=[{"user_id": self.bob.id}, {"device_id": self.phone.id}])
        self.counts.rows += [
            GroupStatistics(1, "", 7, 5, 2, 61.5, NOW),
            GroupStatistics(1, f"user:{self.bob.id}", 7, 5, 2, 61.5, NOW),
            GroupStatistics(1, "user:99", 1),
            GroupStatistics(2, "", 99),
        ]
        counts = {"offered": 7, "answered": 5, "missed": 2, "talk_seconds": 61.5, "last_answered_at": NOW_TEXT}
        nothing = {"offered": 0, "answered": 0, "missed": 0, "talk_seconds": 0.0, "last_answered_at": None}
        self.assertEqual(
            (await self.get("/api/ring_groups/1/statistics")).one,
            {
                "id": 1,
                **counts,
                "members": [
                    {"user_id": self.bob.id, "device_id": None, **counts},
                    {"user_id": None, "device_id": self.phone.id, **nothing},
                ],
            },
        )
        self.assertEqual((await self.get("/api/ring_groups/2/statistics")).status, 404)
