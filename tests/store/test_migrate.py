"""Migrations, on both databases: fresh, again, changed, newer, two at once, and one that fails half-way."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.store.bindings import Bindings
from gosip_py.store.database import Database, DatabaseError, Transaction
from gosip_py.store.migrate import Migration, MigrationError, load, migrate
from gosip_py.store.postgres import PostgresDatabase
from gosip_py.store.sqlite import SqliteDatabase
from tests.postgres import shared_server
from tests.store.databases import NOW

FIRST = Migration(1, "first", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);\n-- 100 % of it?\n")
SECOND = Migration(2, "second", "INSERT INTO a VALUES (2);\nCREATE TABLE b (x TEXT DEFAULT ';');")
BROKEN = Migration(2, "broken", "CREATE TABLE b (x INTEGER); INSERT INTO a VALUES (2); INSERT INTO nowhere VALUES (1);")


OLD_BINDING = {
    "aor": "sip:alice@example.com",
    "contact": "",
    "call_id": "call-1",
    "cseq": 7,
    "q": 1000,
    "expires_at": NOW + 60,
    "registered_at": NOW - 5,
    "transport": "UDP",
    "source": "192.0.2.5:5060",
    "local": "192.0.2.1:5060",
    "path": "",
    "user_agent": "Phone/1",
    "instance": "",
    "reg_id": None,
    "device_id": 10,
}


class MigrateTests(TestCase):
    def make(self) -> Database:
        return SqliteDatabase(self.path, IReactorFromThreads(reactor))

    async def setUp(self) -> None:
        self.path = self.mktemp()
        self.database = await self.opened()

    async def opened(self) -> Database:
        database = self.make()
        await database.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(database.close()))
        return database

    async def numbers(self) -> list[int]:
        return [row["x"] for row in await self.database.query("SELECT x FROM a ORDER BY x")]

    async def test_a_fresh_database_and_again(self) -> None:
        self.assertEqual(await migrate(self.database, NOW, [FIRST]), [FIRST])
        self.assertEqual(await migrate(self.database, NOW + 1, [FIRST, SECOND]), [SECOND])
        self.assertEqual(await migrate(self.database, NOW + 2, [FIRST, SECOND]), [])
        self.assertEqual(await self.numbers(), [1, 2])
        rows = await self.database.query("SELECT version, name, applied_at FROM schema_migrations ORDER BY version")
        self.assertEqual([tuple(row.values()) for row in rows], [(1, "first", NOW), (2, "second", NOW + 1)])

    async def test_the_real_files(self) -> None:
        known = load(self.database.dialect)
        self.assertEqual(await migrate(self.database, NOW), known)
        self.assertEqual(await migrate(self.database, NOW), [])
        for table in ("users", "devices", "bindings", "calls", "sessions", "api_tokens", "web_sessions"):
            self.assertEqual(await self.database.query(f"SELECT * FROM {table}"), [])

    async def test_bindings_of_the_first_release(self) -> None:
        """They are found again, can be refreshed and removed, and have no flow or GRUU yet."""
        known = load(self.database.dialect)
        await migrate(self.database, NOW, known[:2])
        columns = ", ".join(OLD_BINDING)
        text = f"INSERT INTO bindings ({columns}) VALUES ({', '.join('?' * len(OLD_BINDING))})"
        rows = [tuple((OLD_BINDING | {"contact": f"sip:{name}@192.0.2.5"}).values()) for name in "ab"]

        async def body(tx: Transaction) -> None:
            await tx.executemany(text, rows)

        await self.database.transact(body)
        self.assertEqual(await migrate(self.database, NOW), known[2:])
        repository = Bindings(self.database)
        first, second = await repository.load_all(NOW)
        self.assertEqual((first.contact, first.flow, first.gruu), ("sip:a@192.0.2.5", "", ""))
        self.assertEqual((first.refreshed_at, first.reg_id, first.device_id), (NOW - 5, None, 10))
        await repository.write([attrs.evolve(first, cseq=8)], [second.key])
        (left,) = await repository.load_all(NOW)
        self.assertEqual((left.contact, left.cseq), (first.contact, 8))

    async def test_an_applied_file_may_not_change(self) -> None:
        await migrate(self.database, NOW, [FIRST])
        changed = Migration(1, "first", FIRST.sql + " ")
        with self.assertRaisesRegex(MigrationError, "0001_first was changed"):
            await migrate(self.database, NOW, [changed, SECOND])
        self.assertEqual(await self.numbers(), [1])

    async def test_a_newer_schema_is_left_alone(self) -> None:
        await migrate(self.database, NOW, [FIRST, SECOND])
        with self.assertRaisesRegex(MigrationError, "at 0002, but this gosip knows 0001"):
            await migrate(self.database, NOW, [FIRST])

    async def test_a_file_that_fails_leaves_nothing(self) -> None:
        with self.assertRaises(DatabaseError):
            await migrate(self.database, NOW, [FIRST, BROKEN])
        self.assertEqual(await self.numbers(), [1])
        self.assertEqual(await migrate(self.database, NOW, [FIRST, SECOND]), [SECOND])
        self.assertEqual(await self.numbers(), [1, 2])

    async def test_two_servers_at_once(self) -> None:
        other = await self.opened()
        known = load(self.database.dialect)
        both = [Deferred.fromCoroutine(migrate(database, NOW)) for database in (self.database, other)]
        mine, theirs = await gatherResults(both)
        self.assertEqual(sorted([*mine, *theirs], key=lambda migration: migration.version), known)


class MigrateOnPostgresTests(MigrateTests):
    def make(self) -> Database:
        return PostgresDatabase(self.dsn, reactor, connections=1)

    async def setUp(self) -> None:
        self.dsn = shared_server().fresh_schema()
        await super().setUp()


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def write(self, *names: str) -> None:
        for name in names:
            (self.directory / name).write_text(f"-- {name}")

    def test_each_database_gets_its_files_in_order(self) -> None:
        self.write("0002_b.sqlite.sql", "0002_b.postgres.sql", "0001_a.sql", "0003_c_d.sql", "notes.txt")
        found = load("postgres", self.directory)
        self.assertEqual(
            [(each.version, each.name, each.sql) for each in found],
            [(1, "a", "-- 0001_a.sql"), (2, "b", "-- 0002_b.postgres.sql"), (3, "c_d", "-- 0003_c_d.sql")],
        )
        self.assertEqual(load("sqlite", self.directory)[1].sql, "-- 0002_b.sqlite.sql")

    def test_numbers_that_are_missing_or_given_twice(self) -> None:
        self.assertRaises(MigrationError, load, "sqlite", self.directory)
        self.write("0001_a.sql", "0002_b.postgres.sql", "0003_c.sql")
        self.assertRaises(MigrationError, load, "sqlite", self.directory)
        self.write("0002_b.sqlite.sql")
        self.assertEqual(len(load("sqlite", self.directory)), 3)
        self.write("0003_d.sql")
        self.assertRaises(MigrationError, load, "sqlite", self.directory)

    def test_both_databases_get_the_same_numbers_and_names(self) -> None:
        names = [[(each.version, each.name) for each in load(dialect)] for dialect in ("sqlite", "postgres")]
        self.assertEqual(names[0], names[1])
