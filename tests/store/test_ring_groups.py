"""The repositories of ring groups and of feature codes, on both databases."""

from __future__ import annotations

import attrs

from gosip_py.store.database import IntegrityError
from gosip_py.store.devices import Devices
from gosip_py.store.feature_codes import FeatureCodes
from gosip_py.store.listing import UnknownField
from gosip_py.store.records import FeatureCode, GroupMember, GroupStatistics, RingGroup
from gosip_py.store.ring_groups import RingGroups
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase, OnPostgres


class RingGroupTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.groups, self.users = RingGroups(self.database), Users(self.database)
        self.devices = Devices(self.database)
        self.alice = await self.users.create(login="alice", now=NOW)
        self.bob = await self.users.create(login="bob", now=NOW)
        self.desk = await self.devices.create(
            user_id=self.bob.id, username="desk", realm="r", ha1_md5="m", ha1_sha256="s", now=NOW
        )
        self.members = (GroupMember(self.bob.id), GroupMember(None, self.desk.id), GroupMember(self.alice.id))

    async def test_create_and_get(self) -> None:
        group = await self.groups.create(
            number="600",
            name="Sales",
            strategy="longest_idle",
            ring_seconds=9,
            fallback="bob",
            skip_busy=False,
            members=self.members,
            now=NOW,
        )
        expected = RingGroup(group.id, "600", "Sales", "longest_idle", 9, "bob", False, NOW, NOW, self.members)
        self.assertEqual(group, expected)
        self.assertEqual(await self.groups.get(group.id), expected)
        self.assertEqual(await self.groups.all(), (expected,))
        self.assertIsNone(await self.groups.get(group.id + 1))
        self.assertEqual([member.key for member in self.members][:2], [f"user:{self.bob.id}", f"device:{self.desk.id}"])

    async def test_a_number_is_there_once(self) -> None:
        await self.groups.create(number="600", now=NOW)
        with self.assertRaises(IntegrityError) as caught:
            await self.groups.create(number="600", now=NOW)
        self.assertEqual((caught.exception.violation, caught.exception.field), ("unique", "number"))

    async def test_members_that_are_nobody(self) -> None:
        for member in (GroupMember(99), GroupMember(None, 99)):
            with self.assertRaises(IntegrityError) as caught:
                await self.groups.create(number="600", members=[member], now=NOW)
            self.assertEqual((caught.exception.violation, caught.exception.field), ("foreign", "members"))
        for odd in (GroupMember(), GroupMember(self.bob.id, self.desk.id)):
            with self.assertRaises(IntegrityError):
                await self.groups.create(number="600", members=[odd], now=NOW)
        self.assertEqual(await self.groups.all(), ())

    async def test_update(self) -> None:
        group = await self.groups.create(number="600", members=self.members, now=NOW)
        changed = await self.groups.update(group.id, {"name": "X", "skip_busy": False}, NOW + 1)
        self.assertEqual(changed, attrs.evolve(group, name="X", skip_busy=False, updated_at=NOW + 1))
        stamp = await self.groups.stamp()
        changed = await self.groups.update(group.id, {"members": self.members[::-1]}, NOW + 2)
        self.assertEqual(changed and changed.members, self.members[::-1])
        self.assertNotEqual(await self.groups.stamp(), stamp)
        changed = await self.groups.update(group.id, {"members": ()}, NOW + 2)
        self.assertEqual(changed and changed.members, ())
        self.assertIsNone(await self.groups.update(99, {"members": self.members}, NOW))
        with self.assertRaises(UnknownField):
            await self.groups.update(group.id, {"id": 9}, NOW)
        with self.assertRaises(IntegrityError):
            await self.groups.update(group.id, {"strategy": "random"}, NOW)

    async def test_a_change_that_fails_changes_nothing(self) -> None:
        group = await self.groups.create(number="600", members=self.members, now=NOW)
        with self.assertRaises(IntegrityError):
            await self.groups.update(group.id, {"name": "X", "members": [GroupMember(99)]}, NOW + 1)
        self.assertEqual(await self.groups.get(group.id), group)

    async def test_who_is_deleted_leaves(self) -> None:
        group = await self.groups.create(number="600", members=self.members, now=NOW)
        await self.users.delete(self.bob.id)
        left = await self.groups.get(group.id)
        self.assertEqual(left and left.members, self.members[2:])

    async def test_list(self) -> None:
        for number, name in (("600", "Sales"), ("601", "Support"), ("602", "")):
            await self.groups.create(number=number, name=name, members=self.members[:1], now=NOW)
        page = await self.groups.list(sort="number", descending=True, limit=2)
        self.assertEqual([(row.number, len(row.members)) for row in page.rows], [("602", 1), ("601", 1)])
        self.assertEqual(page.total, 3)
        for filters, expected in (({"search": "sUp"}, ["601"]), ({"search": "60"}, ["600", "601", "602"])):
            page = await self.groups.list(filters=filters)
            self.assertEqual([row.number for row in page.rows], expected)
        self.assertEqual((await self.groups.list(filters={"number": "9"})).rows, ())

    async def test_statistics(self) -> None:
        first = await self.groups.create(number="600", now=NOW)
        second = await self.groups.create(number="601", now=NOW)
        rows = [GroupStatistics(first.id, "", 2, 1, 1, 9.5, NOW), GroupStatistics(first.id, "user:1", 2)]
        await self.groups.write_statistics([*rows, GroupStatistics(second.id, "", 1), GroupStatistics(99, "", 1)])
        self.assertEqual(await self.groups.statistics(first.id), tuple(rows))
        self.assertEqual([row.group_id for row in await self.groups.statistics()], [first.id, first.id, second.id])
        more = GroupStatistics(first.id, "user:1", 3, 1, 2, 0.5, NOW)
        await self.groups.write_statistics([more])
        self.assertEqual(await self.groups.statistics(first.id), (rows[0], more))
        self.assertTrue(await self.groups.delete(first.id))
        self.assertEqual(await self.groups.statistics(first.id), ())
        self.assertFalse(await self.groups.delete(first.id))


class FeatureCodeTests(DatabaseCase):
    async def test_put_and_all(self) -> None:
        codes = FeatureCodes(self.database)
        before = await codes.stamp()
        await codes.put(FeatureCode("park", "*70", True, NOW))
        await codes.put(FeatureCode("dnd_on", "*1", False, NOW))
        await codes.put(FeatureCode("park", "*71", False, NOW + 1))
        expected = (FeatureCode("dnd_on", "*1", False, NOW), FeatureCode("park", "*71", False, NOW + 1))
        self.assertEqual(await codes.all(), expected)
        self.assertNotEqual(await codes.stamp(), before)


class RingGroupsOnPostgresTests(OnPostgres, RingGroupTests):
    pass


class FeatureCodesOnPostgresTests(OnPostgres, FeatureCodeTests):
    pass
