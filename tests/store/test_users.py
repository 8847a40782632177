"""The repository of users, on both databases."""

from __future__ import annotations

from gosip_py.store.database import IntegrityError
from gosip_py.store.devices import Devices
from gosip_py.store.listing import UnknownField
from gosip_py.store.records import User
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase, OnPostgres, OnSqlite


class UsersTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.users = Users(self.database)

    async def test_create_and_get(self) -> None:
        user = await self.users.create(login="alice", email="Alice@Example.org", display_name="Alice", now=NOW)
        expected = User(
            user.id, "alice", "Alice@Example.org", "Alice", "user", True, "b2bua", False, "", NOW, NOW
        )
        self.assertEqual(user, expected)
        self.assertEqual(await self.users.get(user.id), expected)
        self.assertIsNone(await self.users.get(user.id + 1))


class UsersOnSqlite(UsersTests, OnSqlite): ...
class UsersOnPostgres(UsersTests, OnPostgres): ...
