"""The repository of devices, on both databases."""

from __future__ import annotations

from typing import Any

from gosip_py.store.database import IntegrityError
from gosip_py.store.devices import Devices
from gosip_py.store.listing import UnknownField
from gosip_py.store.records import Device
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase, OnPostgres


class DevicesTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.user = await Users(self.database).create(login="alice", now=NOW)
        self.devices = Devices(self.database)

    async def add(self, username: str, **others: Any) -> Device:
        fields: dict[str, Any] = {
            "user_id": self.user.id,
            "realm": "example.org",
            "ha1_md5": "md5md5",
            "ha1_sha256": "shasha",
        }
        return await self.devices.create(username=username, now=NOW, **{**fields, **others})

    async def test_create_and_find(self) -> None:
        device = await self.add("a1", name="Desk", recording_enabled=True)
        self.assertEqual(
            device,
            Device(
                device.id,
                self.user.id,
                "Desk",
                "a1",
                "softphone",
                True,
                True,
                "example.org",
                "md5md5",
                "shasha",
                NOW,
                NOW,
            ),
        )
        self.assertEqual(await self.devices.get(device.id), device)
        self.assertEqual(await self.devices.by_username("a1"), device)
        self.assertIsNone(await self.devices.by_username("A1"))
        self.assertIsNone(await self.devices.get(device.id + 1))

    async def test_the_hashes_do_not_show(self) -> None:
        text = repr(await self.add("a1"))
        self.assertNotIn("md5md5", text)
        self.assertNotIn("shasha", text)

    async def test_username_is_unique(self) -> None:
        await self.add("a1")
        await self.add("A1")
        with self.assertRaises(IntegrityError) as caught:
            await self.add("a1")
        self.assertEqual((caught.exception.violation, caught.exception.field), ("unique", "username"))

    async def test_the_user_must_exist(self) -> None:
        with self.assertRaises(IntegrityError) as caught:
            await self.add("a1", user_id=self.user.id + 1)
        self.assertEqual((caught.exception.violation, caught.exception.field), ("foreign", "user_id"))

    async def test_by_user(self) -> None:
        other = await Users(self.database).create(login="bob", now=NOW)
        mine = [await self.add("a1"), await self.add("a2")]
        await self.add("b1", user_id=other.id)
        self.assertEqual(await self.devices.by_user(self.user.id), tuple(mine))
        self.assertEqual(len(await self.devices.all()), 3)

    async def test_update(self) -> None:
        device = await self.add("a1")
        changed = await self.devices.update(device.id, {"enabled": False, "ha1_md5": "new"}, NOW + 1)
        assert changed is not None
        self.assertEqual((changed.enabled, changed.ha1_md5, changed.updated_at), (False, "new", NOW + 1))
        self.assertIsNone(await self.devices.update(device.id + 1, {"enabled": False}, NOW))
        with self.assertRaises(UnknownField):
            await self.devices.update(device.id, {"id": 5}, NOW)

    async def test_delete(self) -> None:
        device = await self.add("a1")
        self.assertTrue(await self.devices.delete(device.id))
        self.assertFalse(await self.devices.delete(device.id))

    async def test_pages(self) -> None:
        for username in ("a1", "a2", "b1"):
            await self.add(username, enabled=username != "a2", name=f"Phone {username.upper()}")
        page = await self.devices.list(sort="username", descending=True, limit=2, filters={"enabled": True})
        self.assertEqual([device.username for device in page.rows], ["b1", "a1"])
        self.assertEqual(page.total, 2)
        found = await self.devices.list(filters={"search": "phone a", "user_id": self.user.id})
        self.assertEqual(found.total, 2)
        self.assertEqual(await self.devices.count({"username": "b1"}), 1)

    async def test_a_name_the_database_cannot_sort_by(self) -> None:
        with self.assertRaises(UnknownField):
            await self.devices.list(sort="ha1_md5")


class DevicesOnPostgresTests(OnPostgres, DevicesTests):
    pass
