"""The repository of bindings, on both databases."""

from __future__ import annotations

from typing import Any

import attrs

from gosip_py.store.bindings import Bindings
from gosip_py.store.migrate import load, migrate
from gosip_py.store.records import Binding, BindingKey
from tests.store.databases import NOW, DatabaseCase, OnPostgres


def binding(contact: str, **others: Any) -> Binding:
    first = Binding(
        aor="sip:alice@example.org",
        contact=contact,
        call_id="c1",
        cseq=1,
        q=1000,
        expires_at=NOW + 3600,
        registered_at=NOW,
        transport="UDP",
        source="127.0.0.1:5070",
        local="127.0.0.1:5060",
        path="<sip:edge.example.org;lr>",
        user_agent="Phone/1",
        instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>",
        reg_id=1,
        device_id=7,
    )
    return attrs.evolve(first, **others)


class BindingsTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.bindings = Bindings(self.database)

    async def test_what_was_written_is_loaded(self) -> None:
        full = binding("sip:alice@127.0.0.1:5070;transport=udp")
        bare = Binding("sip:bob@example.org", "sip:bob@[::1]", "c", 2**31 - 1, 500, NOW + 60.5, NOW + 1, "TCP", "", "")
        await self.bindings.write([full, bare])
        self.assertEqual(await self.bindings.load_all(NOW), (full, bare))

    async def test_written_again(self) -> None:
        first = binding("sip:a")
        await self.bindings.write([first])
        again = attrs.evolve(first, cseq=2, expires_at=NOW + 7200, reg_id=None)
        await self.bindings.write([again])
        self.assertEqual(await self.bindings.load_all(NOW), (again,))

    async def test_written_and_deleted_at_once(self) -> None:
        await self.bindings.write([binding("sip:a"), binding("sip:b")])
        await self.bindings.write([binding("sip:c")], [binding("sip:a").key])
        self.assertEqual([each.contact for each in await self.bindings.load_all(NOW)], ["sip:b", "sip:c"])

    async def test_apply_takes_bindings_and_keys_as_they_come(self) -> None:
        await self.bindings.write([binding("sip:a")])
        await self.bindings.apply([binding("sip:b"), BindingKey("sip:alice@example.org", "sip:a"), binding("sip:c")])
        self.assertEqual([each.contact for each in await self.bindings.load_all(NOW)], ["sip:b", "sip:c"])

    async def test_the_expired_are_not_loaded_and_can_be_pruned(self) -> None:
        await self.bindings.write([binding("sip:a", expires_at=NOW + 10), binding("sip:b", expires_at=NOW + 20)])
        self.assertEqual([each.contact for each in await self.bindings.load_all(NOW + 10)], ["sip:b"])
        self.assertEqual(await self.bindings.prune(NOW + 10), 1)
        self.assertEqual(len(await self.bindings.load_all(NOW)), 1)

    async def test_bytes_of_a_peer_that_no_column_holds(self) -> None:
        await self.bindings.write([binding("sip:a", user_agent="bad \udcff\udcc3 and \0 nul", path="\udce4")])
        [loaded] = await self.bindings.load_all(NOW)
        self.assertEqual(loaded.user_agent, "bad \ufffd\ufffd and \ufffd nul")

    async def test_two_flows_of_a_phone_with_one_contact(self) -> None:
        first, second = (binding("sip:a", flow=f"{number};<urn:uuid:1>", gruu="00000001") for number in (1, 2))
        await self.bindings.write([first, second])
        self.assertEqual(await self.bindings.load_all(NOW), (first, second))
        await self.bindings.write([], [first.key])
        self.assertEqual(await self.bindings.load_all(NOW), (second,))

    async def test_many_rows_in_one_batch(self) -> None:
        many = [binding(f"sip:{number:05}") for number in range(2500)]
        await self.bindings.write(many)
        self.assertEqual(await self.bindings.load_all(NOW), tuple(many))


class BindingsOnPostgresTests(OnPostgres, BindingsTests):
    pass


class UpgradeTests(DatabaseCase):
    """A database of before there were several flows of a phone."""

    async def setUp(self) -> None:
        self.database = self.make()
        await self.database.open()
        self.known = load(self.database.dialect)
        await migrate(self.database, NOW, self.known[:3])

    async def test_its_bindings_are_kept(self) -> None:
        before = attrs.asdict(binding("sip:a"))
        for name in ("flow", "gruu", "refreshed_at"):
            del before[name]
        marks = ", ".join("?" * len(before))
        text = f"INSERT INTO bindings ({', '.join(before)}) VALUES ({marks})"
        await self.database.transact(lambda tx: tx.execute(text, tuple(before.values())))
        await migrate(self.database, NOW, self.known)
        self.assertEqual(await Bindings(self.database).load_all(NOW), (binding("sip:a", refreshed_at=NOW),))


class UpgradeOnPostgresTests(OnPostgres, UpgradeTests):
    pass
