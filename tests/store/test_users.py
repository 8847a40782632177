"""The repository of users, on both databases."""

from __future__ import annotations

import attrs

from gosip_py.store.database import IntegrityError
from gosip_py.store.devices import Devices
from gosip_py.store.listing import UnknownField
from gosip_py.store.records import User
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase, OnPostgres


class UsersTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.users = Users(self.database)

    async def test_create_and_get(self) -> None:
        user = await self.users.create(login="alice", email="Alice@Example.org", display_name="Älice", now=NOW)
        expected = User(user.id, "alice", "Alice@Example.org", "Älice", "user", True, "b2bua", False, "", NOW, NOW)
        self.assertEqual(user, expected)
        self.assertEqual(await self.users.get(user.id), expected)
        self.assertIsNone(await self.users.get(user.id + 1))
        self.assertIs(user.enabled, True)

    async def test_password_hash_does_not_show(self) -> None:
        user = await self.users.create(login="alice", password_hash="$argon2id$secret", now=NOW)
        self.assertEqual(user.password_hash, "$argon2id$secret")
        self.assertNotIn("secret", repr(user))

    async def test_by_login_takes_login_or_address_in_any_case(self) -> None:
        alice = await self.users.create(login="Alice", email="a@Example.org", now=NOW)
        for name in ("alice", "ALICE", "A@example.ORG"):
            self.assertEqual(await self.users.by_login(name), alice)
        self.assertIsNone(await self.users.by_login("bob"))
        self.assertIsNone(await self.users.by_login(""))

    async def test_by_login_prefers_the_login(self) -> None:
        await self.users.create(login="first", email="bob@example.org", now=NOW)
        bob = await self.users.create(login="bob@example.org", now=NOW)
        self.assertEqual(await self.users.by_login("bob@example.org"), bob)

    async def test_login_is_unique_whatever_its_case(self) -> None:
        await self.users.create(login="straße", now=NOW)
        with self.assertRaises(IntegrityError) as caught:
            await self.users.create(login="STRASSE", now=NOW)
        self.assertEqual((caught.exception.violation, caught.exception.field), ("unique", "login"))

    async def test_email_is_unique_but_may_be_missing(self) -> None:
        for login in ("one", "two"):
            await self.users.create(login=login, now=NOW)
        await self.users.create(login="three", email="x@example.org", now=NOW)
        with self.assertRaises(IntegrityError) as caught:
            await self.users.create(login="four", email="X@EXAMPLE.org", now=NOW)
        self.assertEqual(caught.exception.field, "email")
        self.assertEqual(await self.users.count(), 3)

    async def test_a_role_that_is_none_is_refused(self) -> None:
        with self.assertRaises(IntegrityError) as caught:
            await self.users.create(login="mallory", role="root", now=NOW)
        self.assertEqual((caught.exception.violation, caught.exception.field), ("check", "role"))

    async def test_update_changes_the_named_fields_only(self) -> None:
        user = await self.users.create(login="alice", email="a@example.org", now=NOW)
        changed = await self.users.update(user.id, {"login": "Alicia", "dnd": True}, NOW + 5)
        assert changed is not None
        self.assertEqual((changed.login, changed.dnd, changed.email), ("Alicia", True, "a@example.org"))
        self.assertEqual((changed.created_at, changed.updated_at), (NOW, NOW + 5))
        self.assertEqual(await self.users.by_login("alicia"), changed)
        self.assertIsNone(await self.users.by_login("alice"))

    async def test_update_of_nobody(self) -> None:
        self.assertIsNone(await self.users.update(77, {"dnd": True}, NOW))

    async def test_update_refuses_other_columns(self) -> None:
        user = await self.users.create(login="alice", now=NOW)
        for name in ("id", "created_at", "login_folded", "dnd = TRUE --"):
            with self.assertRaises(UnknownField) as caught:
                await self.users.update(user.id, {name: 1}, NOW)
            self.assertEqual(caught.exception.field, name)

    async def test_update_keeps_logins_unique(self) -> None:
        await self.users.create(login="alice", now=NOW)
        bob = await self.users.create(login="bob", now=NOW)
        with self.assertRaises(IntegrityError) as caught:
            await self.users.update(bob.id, {"login": "ALICE"}, NOW)
        self.assertEqual(caught.exception.field, "login")

    async def test_delete_takes_the_devices_along(self) -> None:
        user = await self.users.create(login="alice", now=NOW)
        devices = Devices(self.database)
        await devices.create(user_id=user.id, username="a1", realm="r", ha1_md5="m", ha1_sha256="s", now=NOW)
        self.assertTrue(await self.users.delete(user.id))
        self.assertFalse(await self.users.delete(user.id))
        self.assertEqual(await devices.all(), ())

    async def test_an_id_is_never_used_twice(self) -> None:
        first = await self.users.create(login="alice", now=NOW)
        await self.users.delete(first.id)
        second = await self.users.create(login="bob", now=NOW)
        self.assertGreater(second.id, first.id)

    async def test_pages(self) -> None:
        for number in range(5):
            await self.users.create(login=f"user{number}", role="admin" if number < 2 else "user", now=NOW + number)
        page = await self.users.list(offset=1, limit=2, sort="login", descending=True)
        self.assertEqual([user.login for user in page.rows], ["user3", "user2"])
        self.assertEqual(page.total, 5)
        admins = await self.users.list(filters={"role": "admin", "enabled": True})
        self.assertEqual([user.login for user in admins.rows], ["user0", "user1"])
        self.assertEqual(admins.total, 2)
        self.assertEqual(await self.users.count({"role": "user"}), 3)

    async def test_forwards(self) -> None:
        user = await self.users.create(login="alice", now=NOW)
        self.assertEqual((user.forward_always, user.forward_no_answer, user.ring_seconds), ("", "", 0))
        changes = {"forward_always": "bob", "forward_busy": "+47", "forward_no_answer": "*97", "ring_seconds": 20}
        changed = await self.users.update(user.id, changes, NOW + 1)
        assert changed is not None
        self.assertEqual(attrs.asdict(changed), attrs.asdict(user) | changes | {"updated_at": NOW + 1})
        made = await self.users.create(login="bob", forward_busy="alice", ring_seconds=9, now=NOW)
        self.assertEqual((made.forward_busy, made.ring_seconds), ("alice", 9))

    async def test_the_missing_sort_last(self) -> None:
        for login, email in (("a", ""), ("b", "x@x"), ("c", "a@x")):
            await self.users.create(login=login, email=email, now=NOW)
        for descending, expected in ((False, "cba"), (True, "bca")):
            page = await self.users.list(sort="email", descending=descending)
            self.assertEqual("".join(user.login for user in page.rows), expected)

    async def test_search_takes_its_text_as_it_is(self) -> None:
        await self.users.create(login="al%ce", display_name="Ärger", now=NOW)
        await self.users.create(login="alice", email="al@example.org", now=NOW)
        for text, expected in (("L%", ["al%ce"]), ("EXAMPLE", ["alice"]), ("äRG", ["al%ce"]), ("l_c", []), ("!", [])):
            page = await self.users.list(filters={"search": text})
            self.assertEqual([user.login for user in page.rows], expected, text)

    async def test_only_known_names_sort_and_filter(self) -> None:
        with self.assertRaises(UnknownField):
            await self.users.list(sort="password_hash")
        with self.assertRaises(UnknownField):
            await self.users.list(filters={"1=1; --": "x"})


class UsersOnPostgresTests(OnPostgres, UsersTests):
    pass
