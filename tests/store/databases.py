"""The databases of the repository tests: a test class runs on SQLite, its subclass with OnPostgres on PostgreSQL."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from gosip_py.store.database import Database
from gosip_py.store.migrate import migrate
from gosip_py.store.postgres import PostgresDatabase
from gosip_py.store.sqlite import SqliteDatabase
from tests.postgres import shared_server

NOW = 1_700_000_000.0


class DatabaseCase(TestCase):
    """A test with an open and migrated database of its own: SQLite in memory, unless it says otherwise."""

    database: Database

    def make(self) -> Database:
        """A database with nothing in it, not yet open."""
        return SqliteDatabase(":memory:", IReactorFromThreads(reactor))

    async def setUp(self) -> None:
        self.database = self.make()
        await self.database.open()
        await migrate(self.database, NOW)

    async def tearDown(self) -> None:
        await self.database.close()


class OnPostgres:
    """Stands before a DatabaseCase to run it on PostgreSQL, in a schema of its own."""

    def make(self) -> Database:
        return PostgresDatabase(shared_server().fresh_schema(), reactor, connections=2)
