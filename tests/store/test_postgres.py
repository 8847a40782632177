"""PostgreSQL on its bad days: restarts, dead connections, statements that never end, and a name to look up first."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from gosip_py.store.database import DatabaseError, DatabaseTimeout, DatabaseUnavailable, Transaction
from gosip_py.store.postgres import FIRST_DELAY, LAST_DELAY, PostgresDatabase
from tests.postgres import PostgresServer, shared_server

INSERT = "INSERT INTO things (id, name) VALUES (?, ?)"


class WatchedClock(Clock):
    """A Clock that tells of each pause it is asked for, as soon as it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []
        self._next: Deferred[float] = Deferred()

    def callLater(self, when: float, what: Callable[..., Any], *args: Any, **kwargs: Any) -> IDelayedCall:
        call: IDelayedCall = super().callLater(when, what, *args, **kwargs)
        self.delays.append(when)
        heard, self._next = self._next, Deferred()
        heard.callback(when)
        return call

    async def pause_of(self, longest: float) -> float:
        """The next pause that is not longer than this."""
        while True:
            seconds = await self._next
            if seconds <= longest:
                return seconds


class _Case(TestCase):
    """Opens databases, hears when they come and go, and closes them."""

    def setUp(self) -> None:
        self.server = shared_server()
        self.dsn = self.server.fresh_schema()
        self.heard: list[bool] = []
        self._listening: list[tuple[bool, Deferred[None]]] = []

    async def opened(self, **options: Any) -> PostgresDatabase:
        options = {"connections": 1, "changed": self._hear, **options}
        database = PostgresDatabase(options.pop("dsn", self.dsn), reactor, **options)
        await database.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(database.close()))
        return database

    def _hear(self, is_available: bool) -> None:
        self.heard.append(is_available)
        for wanted, waiting in list(self._listening):
            if wanted == is_available:
                self._listening.remove((wanted, waiting))
                waiting.callback(None)

    async def hears(self, is_available: bool) -> None:
        waiting: Deferred[None] = Deferred()
        self._listening.append((is_available, waiting))
        await waiting


async def _pid(database: PostgresDatabase) -> int:
    return int((await database.query("SELECT pg_backend_pid() AS pid"))[0]["pid"])


async def _locked(database: PostgresDatabase, number: int) -> None:
    await database.query("SELECT pg_advisory_lock(?)", (number,))


class TransactionTests(_Case):
    async def setUp(self) -> None:
        super().setUp()
        self.timed: list[str] = []
        self.database = await self.opened(observe=lambda operation, seconds: self.timed.append(operation))
        await self.database.query("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")

    async def names(self) -> list[str]:
        return [row["name"] for row in await self.database.query("SELECT name FROM things ORDER BY id")]

    async def test_the_body_runs_and_is_committed(self) -> None:
        async def body(tx: Transaction) -> int:
            await tx.execute(INSERT, (1, "100 % 'quoted' ?"))
            await tx.executemany(INSERT, [(n, f"name {n} %s ?") for n in range(2, 300)])
            await tx.executemany(INSERT, [])
            return 42

        self.assertEqual(await self.database.transact(body), 42)
        stored = self.server.run_sql(f"SELECT count(*), min(name) FROM {self.dsn.split('=')[-1].strip(chr(39))}.things")
        self.assertEqual(stored, [(299, "100 % 'quoted' ?")])

    async def test_a_body_that_fails_leaves_nothing(self) -> None:
        async def body(tx: Transaction) -> None:
            await tx.execute(INSERT, (1, "one"))
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            await self.database.transact(body)
        self.assertEqual(await self.names(), [])

    async def test_a_body_that_goes_on_after_an_error_is_told(self) -> None:
        async def body(tx: Transaction) -> None:
            await tx.execute(INSERT, (1, "one"))
            try:
                await tx.execute(INSERT, (1, "one"))
            except DatabaseError:
                return

        with self.assertRaisesRegex(DatabaseError, "went on"):
            await self.database.transact(body)
        self.assertEqual(await self.names(), [])

    async def test_mistakes_and_impossible_values_are_ours(self) -> None:
        for sql, params in (("SELEC 1", ()), ("SELECT ?", ("\0",)), ("SELECT ?", ("\udc80",)), ("SELECT ?, ?", (1,))):
            with self.assertRaises(DatabaseError) as caught:
                await self.database.query(sql, params)
            self.assertNotIsInstance(caught.exception, DatabaseUnavailable)
        with self.assertRaises(DatabaseError):
            await self.database.transact(lambda tx: tx.executemany(INSERT, [(1, "\0")]))
        self.assertTrue(self.database.is_available)
        self.assertEqual(self.heard, [True])

    async def test_every_operation_is_timed(self) -> None:
        self.timed.clear()
        await self.names()
        await self.database.check()
        await self.database.transact(lambda tx: tx.execute("SELECT 1"))
        self.assertEqual(self.timed, ["query", "check", "transact"])

    async def test_a_deadline_of_its_own(self) -> None:
        text = "SHOW statement_timeout"
        [row] = await self.database.transact(lambda tx: tx.execute(text), deadline=3600.0)
        self.assertEqual(row["statement_timeout"], "54min")
        [row] = await self.database.query(text)
        self.assertEqual(row["statement_timeout"], "9s")

    async def test_closing_finishes_what_was_asked(self) -> None:
        asked = [Deferred.fromCoroutine(self.database.query("SELECT 1 AS one")) for _ in range(5)]
        await self.database.close()
        self.assertEqual(await gatherResults(asked), [[{"one": 1}]] * 5)
        with self.assertRaises(DatabaseUnavailable):
            await self.database.query("SELECT 1")
        self.assertFalse(self.database.is_available)
        await self.database.open()
        self.assertEqual(await self.names(), [])


class DeadlineTests(_Case):
    async def test_the_server_ends_a_slow_statement(self) -> None:
        database = await self.opened(deadline=0.2)
        before = await _pid(database)
        with self.assertRaises(DatabaseTimeout):
            await database.query("SELECT pg_sleep(30)")
        self.assertEqual(await _pid(database), before)
        self.assertEqual(self.heard, [True])

    async def test_a_server_that_does_not_answer_loses_the_connection(self) -> None:
        clock = WatchedClock()
        database = await self.opened(clock=clock)
        frozen = await _pid(database)
        os.kill(frozen, signal.SIGSTOP)
        self.addCleanup(os.kill, frozen, signal.SIGCONT)
        asked = Deferred.fromCoroutine(database.query("SELECT 1"))
        queued = Deferred.fromCoroutine(database.query("SELECT 1"))
        clock.advance(10.0)
        await self.assertFailure(asked, DatabaseTimeout)
        await self.assertFailure(queued, DatabaseUnavailable)
        self.assertEqual(self.heard, [True, False])
        back = Deferred.fromCoroutine(self.hears(True))
        clock.advance(FIRST_DELAY)
        await back
        self.assertNotEqual(await _pid(database), frozen)

    async def test_who_waits_too_long_for_a_connection_is_told(self) -> None:
        clock = Clock()
        database, other = await self.opened(connections=1, clock=clock), await self.opened()
        await _locked(other, 1)
        asked = Deferred.fromCoroutine(
            database.transact(lambda tx: tx.execute("SELECT pg_advisory_lock(1)"), deadline=60)
        )
        queued = Deferred.fromCoroutine(database.query("SELECT 1"))
        clock.advance(10.0)
        await self.assertFailure(queued, DatabaseTimeout)
        await other.query("SELECT pg_advisory_unlock(1)")
        await asked
        await database.query("SELECT 1")

    async def test_who_stops_waiting_does_not_stop_the_query(self) -> None:
        database, other = await self.opened(), await self.opened()
        await _locked(other, 2)
        asked = Deferred.fromCoroutine(_locked(database, 2))
        behind = Deferred.fromCoroutine(_pid(database))
        asked.cancel()
        await self.assertFailure(asked, CancelledError)
        self.assertNoResult(behind)
        await other.query("SELECT pg_advisory_unlock(2)")
        self.assertEqual(await behind, await _pid(database))
        self.assertEqual(self.heard, [True, True])


class ConnectionTests(_Case):
    async def test_a_connection_that_dies_idle_is_replaced(self) -> None:
        database, other = await self.opened(), await self.opened(changed=lambda _: None)
        before = await _pid(database)
        lost = Deferred.fromCoroutine(self.hears(False))
        await other.query("SELECT pg_terminate_backend(?)", (before,))
        await lost
        with self.assertRaisesRegex(DatabaseUnavailable, "no connection"):
            await database.query("SELECT 1")
        await self.hears(True)
        self.assertNotEqual(await _pid(database), before)

    async def test_one_of_several_may_die_unnoticed(self) -> None:
        database, other = await self.opened(connections=2), await self.opened(changed=lambda _: None)
        await _locked(other, 4)
        held = Deferred.fromCoroutine(_locked(database, 4))
        second = await _pid(database)
        await other.query("SELECT pg_advisory_unlock(4)")
        await held
        self.server.run_sql(f"SELECT pg_terminate_backend({second})")
        for _ in range(5):
            try:
                await database.query("SELECT 1")
            except DatabaseUnavailable:
                # At most the one statement that was handed to the dead connection.
                self.assertTrue(database.is_available)
        self.assertEqual(self.heard, [True])

    async def test_connections_work_side_by_side(self) -> None:
        database, other = await self.opened(connections=2), await self.opened(changed=lambda _: None)
        await _locked(other, 3)
        held = Deferred.fromCoroutine(_locked(database, 3))
        self.assertGreater(await _pid(database), 0)
        self.assertNoResult(held)
        await other.query("SELECT pg_advisory_unlock(3)")
        await held

    async def test_a_name_is_looked_up_off_the_reactor(self) -> None:
        database = await self.opened(dsn=self.dsn.replace("host=127.0.0.1", "host=localhost"))
        self.assertGreater(await _pid(database), 0)

    async def test_a_name_that_is_none(self) -> None:
        dsn = self.dsn.replace("host=127.0.0.1", "host=nowhere.invalid")
        with self.assertRaises(DatabaseUnavailable):
            await self.opened(dsn=dsn)

    async def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with self.assertRaises(DatabaseUnavailable):
            await self.opened(dsn=f"host=127.0.0.1 port={port} user=gosip dbname=postgres")
        self.assertEqual(self.heard, [])

    async def test_a_server_that_takes_the_connection_and_says_nothing(self) -> None:
        clock = WatchedClock()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            dsn = f"host=127.0.0.1 port={silent.getsockname()[1]} user=gosip dbname=postgres"
            opening = Deferred.fromCoroutine(self.opened(dsn=dsn, clock=clock))
            clock.advance(10.0)
            await self.assertFailure(opening, DatabaseUnavailable)


class RestartTests(_Case):
    """With a server of their own, which they stop and start."""

    def setUp(self) -> None:
        super().setUp()
        self.server = PostgresServer()
        self.addCleanup(self.server.remove)
        self.server.start()
        self.dsn = self.server.dsn

    async def test_the_server_goes_away_and_comes_back(self) -> None:
        database = await self.opened(connections=3)
        await database.query("CREATE TABLE things (id INTEGER)")
        under_way = Deferred.fromCoroutine(database.query("SELECT pg_sleep(30)"))
        lost = Deferred.fromCoroutine(self.hears(False))
        self.server.stop("immediate")
        await self.assertFailure(under_way, DatabaseUnavailable)
        await lost
        with self.assertRaises(DatabaseUnavailable):
            await database.check()
        back = Deferred.fromCoroutine(self.hears(True))
        self.server.start()
        await back
        await database.check()
        await database.transact(lambda tx: tx.execute("INSERT INTO things VALUES (1)"))
        self.assertEqual(self.server.run_sql("SELECT id FROM things"), [(1,)])

    async def test_the_delays_grow(self) -> None:
        clock = WatchedClock()
        await self.opened(clock=clock, draw=lambda: 1.0, deadline=60.0)
        first = Deferred.fromCoroutine(clock.pause_of(LAST_DELAY))
        self.server.stop("fast")
        delays = [await first]
        for _ in range(9):
            following = Deferred.fromCoroutine(clock.pause_of(LAST_DELAY))
            clock.advance(delays[-1])
            delays.append(await following)
        self.assertEqual(delays[:4], [0.1, 0.2, 0.4, 0.8])
        self.assertEqual(delays[-2:], [LAST_DELAY, LAST_DELAY])

    async def test_a_standby_takes_no_writes(self) -> None:
        self.server.stop()
        self.server.make_standby()
        self.server.start()
        database = await self.opened()
        with self.assertRaisesRegex(DatabaseUnavailable, "standby"):
            await database.check()
        with self.assertRaises(DatabaseUnavailable):
            await database.transact(lambda tx: tx.execute("CREATE TABLE things (id INTEGER)"))
