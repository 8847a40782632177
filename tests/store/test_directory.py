"""The directory in memory follows the store."""

from __future__ import annotations

import attrs

from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.records import Device, User
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase


class DirectoryTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.users, self.devices = Users(self.database), Devices(self.database)
        self.directory = Directory(self.users, self.devices)
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
