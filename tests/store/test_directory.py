"""The directory in memory follows the store."""

from __future__ import annotations

import gc
import tracemalloc

import attrs

from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.feature_codes import FeatureCodes
from gosip_py.store.records import Device, FeatureCode, GroupMember, User
from gosip_py.store.ring_groups import RingGroups
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase


class DirectoryTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.users, self.devices = Users(self.database), Devices(self.database)
        self.groups, self.codes = RingGroups(self.database), FeatureCodes(self.database)
        self.directory = Directory(self.users, self.devices, self.groups, self.codes)
        self.alice = await self.users.create(login="alice", now=NOW)
        self.bob = await self.users.create(login="bob", now=NOW)
        self.first = await self.add("a1", self.alice.id)
        self.second = await self.add("a2", self.alice.id)
        await self.directory.load()

    async def add(self, username: str, user_id: int) -> Device:
        return await self.devices.create(
            user_id=user_id, username=username, realm="r", ha1_md5="m", ha1_sha256="s", now=NOW
        )

    async def test_what_was_loaded_is_found(self) -> None:
        self.assertEqual(self.directory.user(self.alice.id), self.alice)
        self.assertEqual(self.directory.user_by_login("alice"), self.alice)
        self.assertEqual(self.directory.user_by_login("Alice"), self.alice)
        self.assertEqual(self.directory.device(self.first.id), self.first)
        self.assertEqual(self.directory.device_by_username("a2"), self.second)
        self.assertIsNone(self.directory.device_by_username("A2"))
        self.assertEqual(self.directory.devices_of(self.alice.id), (self.first, self.second))
        self.assertEqual(self.directory.devices_of(self.bob.id), ())
        self.assertIsNone(self.directory.user(99))

    async def test_a_changed_user_is_seen_at_once(self) -> None:
        changed = await self.users.update(self.alice.id, {"login": "alicia"}, NOW)
        assert changed is not None
        self.directory.apply_user(changed)
        self.assertEqual(self.directory.user_by_login("alicia"), changed)
        self.assertIsNone(self.directory.user_by_login("alice"))
        self.assertEqual(self.directory.devices_of(self.alice.id), (self.first, self.second))

    async def test_a_device_that_moves_and_changes_its_name(self) -> None:
        await self.devices.update(self.first.id, {"user_id": self.bob.id, "username": "b1"}, NOW)
        moved = await self.directory.refresh_device(self.first.id)
        assert moved is not None
        self.assertEqual(self.directory.device_by_username("b1"), moved)
        self.assertIsNone(self.directory.device_by_username("a1"))
        self.assertEqual(self.directory.devices_of(self.alice.id), (self.second,))
        self.assertEqual(self.directory.devices_of(self.bob.id), (moved,))

    async def test_new_ones_come_and_old_ones_go(self) -> None:
        carol = await self.users.create(login="carol", now=NOW)
        phone = await self.add("c1", carol.id)
        await self.directory.refresh_user(carol.id)
        self.assertEqual(self.directory.devices_of(carol.id), (phone,))
        await self.users.delete(carol.id)
        self.assertIsNone(await self.directory.refresh_user(carol.id))
        self.assertIsNone(self.directory.user_by_login("carol"))
        self.assertIsNone(self.directory.device_by_username("c1"))
        await self.devices.delete(self.second.id)
        self.assertIsNone(await self.directory.refresh_device(self.second.id))
        self.assertEqual(self.directory.devices_of(self.alice.id), (self.first,))

    async def test_two_users_who_swapped_their_logins_before_we_heard_of_either(self) -> None:
        changed = [
            await self.users.update(user_id, {"login": login}, NOW)
            for user_id, login in ((self.alice.id, "x"), (self.bob.id, "ALICE"), (self.alice.id, "bob"))
        ]
        for user in (changed[1], changed[2]):
            assert user is not None
            self.directory.apply_user(user)
        for login, user_id in (("alice", self.bob.id), ("bob", self.alice.id)):
            found = self.directory.user_by_login(login)
            assert found is not None
            self.assertEqual(found.id, user_id)

    async def test_two_users_who_swap_their_logins(self) -> None:
        for user_id, login in ((self.alice.id, "x"), (self.bob.id, "alice"), (self.alice.id, "bob")):
            changed = await self.users.update(user_id, {"login": login}, NOW)
            assert changed is not None
            self.directory.apply_user(changed)
        for user_id, login in ((self.alice.id, "bob"), (self.bob.id, "alice")):
            user = self.directory.user_by_login(login)
            assert user is not None
            self.assertEqual(user.id, user_id)

    async def test_digits_with_which_a_name_begins(self) -> None:
        def incomplete() -> list[str]:
            return [dialled for dialled in ("20", "200", "30", "40") if self.directory.is_incomplete(dialled)]

        bob = await self.users.update(self.bob.id, {"login": "2001"}, NOW)
        self.assertEqual(incomplete(), [])
        await self.add("401", self.alice.id)
        await self.directory.load()
        self.assertEqual(incomplete(), ["20", "200", "40"])
        assert bob is not None
        self.directory.apply_user(bob)
        self.directory.apply_device(attrs.evolve(self.first, username="300"))
        self.directory.apply_device(attrs.evolve(self.first, username="300"))
        self.assertEqual(incomplete(), ["20", "200", "30", "40"])
        self.directory.forget_user(self.bob.id)
        self.directory.forget_device(self.first.id)
        self.assertEqual(incomplete(), ["40"])
        self.directory.forget_user(self.alice.id)
        self.assertEqual(incomplete(), [])

    async def test_a_name_that_another_device_took_over(self) -> None:
        """As two changes may come back from a database in the other order."""
        first = attrs.evolve(self.first, id=90, username="desk-9")
        self.directory.apply_device(first)
        self.directory.apply_device(attrs.evolve(self.first, id=91, username="desk-9"))
        self.directory.apply_device(attrs.evolve(first, username="desk-10"))
        for username, device_id in (("desk-9", 91), ("desk-10", 90)):
            found = self.directory.device_by_username(username)
            assert found is not None
            self.assertEqual(found.id, device_id)

    async def test_groups(self) -> None:
        sales = await self.groups.create(number="600", name="Sales", members=[GroupMember(self.alice.id)], now=NOW)
        self.assertTrue(await self.directory.follow())
        self.assertFalse(await self.directory.follow())
        self.assertEqual((self.directory.group(sales.id), self.directory.groups()), (sales, (sales,)))
        self.assertEqual(self.directory.group_by_number("600"), sales)
        self.assertEqual(self.directory.group_by_name("sALES"), sales)
        self.assertIsNone(self.directory.group_by_number("Sales"))
        self.assertTrue(self.directory.is_incomplete("60"))
        changed = attrs.evolve(sales, number="700", name="")
        self.directory.apply_group(changed)
        self.assertIsNone(self.directory.group_by_number("600"))
        self.assertIsNone(self.directory.group_by_name("sales"))
        self.assertEqual(self.directory.group_by_number("700"), changed)
        self.assertEqual([self.directory.is_incomplete(digits) for digits in ("60", "70")], [False, True])
        self.directory.forget_group(sales.id)
        self.directory.forget_group(sales.id)
        self.assertEqual((self.directory.groups(), self.directory.group_by_number("700")), ((), None))
        self.assertFalse(self.directory.is_incomplete("70"))

    async def test_two_groups_of_one_name(self) -> None:
        first, second = [await self.groups.create(number=number, name="Sales", now=NOW) for number in ("1", "2")]
        await self.directory.load()
        self.assertEqual(self.directory.group_by_name("sales"), first)
        self.directory.forget_group(first.id)
        self.assertEqual(self.directory.group_by_name("sales"), second)

    async def test_members_that_go_leave_their_groups_and_those_that_change_stay(self) -> None:
        members = [GroupMember(self.alice.id), GroupMember(None, self.first.id), GroupMember(self.bob.id)]
        group = await self.groups.create(number="600", members=members, now=NOW)
        await self.directory.load()
        await self.directory.refresh_user(self.alice.id)
        await self.directory.refresh_device(self.first.id)
        self.directory.apply_user(self.alice)
        self.directory.apply_device(self.first)
        self.assertEqual(self.directory.group(group.id), group)
        await self.users.delete(self.alice.id)
        self.directory.forget_user(self.alice.id)
        self.assertEqual(self.directory.group(group.id), attrs.evolve(group, members=tuple(members[2:])))
        self.assertEqual(await self.groups.get(group.id), self.directory.group(group.id))

    async def test_a_device_that_is_gone_when_its_owner_is_read_again(self) -> None:
        group = await self.groups.create(number="600", members=[GroupMember(None, self.first.id)], now=NOW)
        await self.directory.load()
        await self.devices.delete(self.first.id)
        await self.directory.refresh_user(self.alice.id)
        self.assertEqual(self.directory.devices_of(self.alice.id), (self.second,))
        found = self.directory.group(group.id)
        self.assertEqual(found and found.members, ())

    async def test_feature_codes(self) -> None:
        self.assertIsNone(self.directory.feature_code("park"))
        code = FeatureCode("park", "*70", True, NOW)
        await self.codes.put(code)
        self.assertTrue(await self.directory.follow())
        self.assertEqual((self.directory.feature_code("park"), self.directory.feature_codes()), (code, (code,)))
        self.directory.apply_code(attrs.evolve(code, enabled=False))
        found = self.directory.feature_code("park")
        self.assertEqual(found and found.enabled, False)

    async def test_without_groups_and_codes(self) -> None:
        directory = Directory(self.users, self.devices)
        await directory.load()
        self.assertEqual((directory.groups(), directory.feature_codes()), ((), ()))
        self.assertFalse(await directory.follow())

    async def test_what_a_person_takes_of_memory(self) -> None:
        """With what most people have: no address, no forwards. 10,000 of them are to fit in 5 MB."""
        text = "INSERT INTO users (login, login_folded, email, display_name, role, enabled, call_schema, dnd,"
        text += " password_hash, created_at, updated_at) VALUES (?, ?, '', ?, 'user', true, 'b2bua', false, '', ?, ?)"
        rows = [(f"u{number}", f"u{number}", f"User {number}", NOW, NOW) for number in range(2000)]
        await self.database.transact(lambda tx: tx.executemany(text, rows))
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        users = await self.users.all()
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        self.assertEqual(len(users), 2002)
        self.assertLess(used / len(users), 500)

    async def test_who_is_made_while_everything_is_read_is_not_forgotten(self) -> None:
        """Seen as a phone that was refused for some seconds: its owner was made while a change was followed."""
        made: list[int] = []
        directory = self.directory

        class Interrupted(Users):
            async def all(self) -> tuple[User, ...]:
                rows = await super().all()
                if not made:
                    carol = await self.create(login="carol", now=NOW)
                    made.append(carol.id)
                    await directory.refresh_user(carol.id)
                return rows

        directory._users = Interrupted(self.database)
        await directory.load()
        self.assertIsNotNone(directory.user(made[0]))
        self.assertFalse(await directory.follow())

    async def test_one_change_after_the_other_leaves_what_is_known(self) -> None:
        directory = self.directory

        class Restless(Users):
            async def all(self) -> tuple[User, ...]:
                rows = await super().all()
                changed = await self.create(login=f"user{len(rows)}", now=NOW)
                directory.apply_user(changed)
                return rows

        directory._users = Restless(self.database)
        await directory.load()
        self.assertIsNotNone(directory.user_by_login("alice"))
        self.assertIsNotNone(directory.user_by_login("user4"))
        directory._users = self.users
        self.assertTrue(await directory.follow())
        self.assertFalse(await directory.follow())
