"""The repository of messages that wait, on both databases."""

from __future__ import annotations

from typing import Any

from gosip_py.store.database import IntegrityError
from gosip_py.store.devices import Devices
from gosip_py.store.offline_messages import OfflineMessages
from gosip_py.store.records import MessageQueue
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase, OnPostgres

OCTETS = b"MESSAGE sip:bob@example.com SIP/2.0\r\nSubject: \xff\xfe\r\n\r\n" + bytes(range(256))


class OfflineMessagesTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.messages = OfflineMessages(self.database)
        self.users, self.devices = Users(self.database), Devices(self.database)
        self.bob = await self.add_user("bob")
        device = await self.devices.create(
            user_id=self.bob, username="200", realm="r", ha1_md5="m", ha1_sha256="s", now=NOW
        )
        self.desk = device.id

    async def add_user(self, login: str) -> int:
        user = await self.users.create(
            login=login, email="", display_name=login, role="user", password_hash="", now=NOW
        )
        return user.id

    async def add(self, device_id: int | None = None, **others: Any) -> int:
        values = {"user_id": self.bob, "sender": "sip:alice@example.com", "received_at": NOW, "expires_at": NOW + 60}
        return await self.messages.add(**{**values, "device_id": device_id, "request": OCTETS, **others})

    async def test_every_octet_comes_back(self) -> None:
        added = await self.add()
        message = await self.messages.first(self.bob, None, NOW)
        assert message is not None
        self.assertEqual((message.id, message.user_id, message.device_id), (added, self.bob, None))
        self.assertEqual((message.request, type(message.request)), (OCTETS, bytes))
        self.assertEqual((message.sender, message.received_at), ("sip:alice@example.com", NOW))

    async def test_what_it_says_shows_nowhere(self) -> None:
        await self.add(request=b"MESSAGE secret")
        self.assertNotIn("secret", repr(await self.messages.first(self.bob, None, NOW)))

    async def test_in_the_order_of_arrival(self) -> None:
        added = [await self.add(received_at=NOW - number) for number in range(3)]
        self.assertEqual(added, sorted(added))
        for expected in added:
            message = await self.messages.first(self.bob, None, NOW)
            assert message is not None
            self.assertEqual(message.id, expected)
            self.assertTrue(await self.messages.delete(message.id))
        self.assertIsNone(await self.messages.first(self.bob, None, NOW))
        self.assertFalse(await self.messages.delete(added[0]))

    async def test_a_person_and_a_device_wait_apart(self) -> None:
        to_desk = await self.add(self.desk)
        to_bob = await self.add()
        for device_id, expected in ((self.desk, to_desk), (None, to_bob)):
            message = await self.messages.first(self.bob, device_id, NOW)
            assert message is not None
            self.assertEqual((message.id, message.device_id), (expected, device_id))

    async def test_an_id_is_never_used_twice(self) -> None:
        first = await self.add()
        await self.messages.delete(first)
        self.assertGreater(await self.add(), first)

    async def test_the_queues(self) -> None:
        for device_id in (self.desk, None, self.desk):
            await self.add(device_id)
        carol = await self.add_user("carol")
        await self.add(user_id=carol)
        expected = (MessageQueue(self.bob, self.desk, 2), MessageQueue(self.bob, None, 1), MessageQueue(carol, None, 1))
        self.assertEqual(await self.messages.queues(), expected)

    async def test_the_expired_are_not_handed_out_and_can_be_pruned(self) -> None:
        await self.add(expires_at=NOW + 10)
        late = await self.add(expires_at=NOW + 20)
        await self.add(self.desk, expires_at=NOW + 10)
        message = await self.messages.first(self.bob, None, NOW + 10)
        assert message is not None
        self.assertEqual(message.id, late)
        gone = await self.messages.prune(NOW + 10)
        self.assertEqual(sorted(gone, key=str), sorted([(self.bob, None), (self.bob, self.desk)], key=str))
        self.assertEqual(await self.messages.queues(), (MessageQueue(self.bob, None, 1),))

    async def test_who_is_deleted_takes_them_along(self) -> None:
        await self.add(self.desk)
        await self.add()
        await self.devices.delete(self.desk)
        self.assertEqual(await self.messages.queues(), (MessageQueue(self.bob, None, 1),))
        await self.users.delete(self.bob)
        self.assertEqual(await self.messages.queues(), ())

    async def test_for_nobody(self) -> None:
        for unknown in ({"user_id": 999}, {"device_id": 999}):
            with self.assertRaises(IntegrityError):
                await self.add(**unknown)

    async def test_bytes_of_a_peer_that_no_column_holds(self) -> None:
        await self.add(sender="sip:\udcff\0@example.com")
        message = await self.messages.first(self.bob, None, NOW)
        assert message is not None
        self.assertEqual(message.sender, "sip:\ufffd\ufffd@example.com")


class OfflineMessagesOnPostgresTests(OnPostgres, OfflineMessagesTests):
    pass
