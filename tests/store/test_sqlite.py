"""SQLite: group commit, what is lost and what is not, and the ways a file can let us down."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
import threading
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.store.database import DatabaseError, DatabaseUnavailable, IntegrityError, Transaction
from gosip_py.store.sqlite import SqliteDatabase, statements

THREADS = IReactorFromThreads(reactor)
INSERT = "INSERT INTO things (id, name) VALUES (?, ?)"


class _Case(TestCase):
    """A database in a file, with one table."""

    async def setUp(self) -> None:
        self.path = str(Path(self.mktemp()) / "gosip.db")
        self.heard: list[bool] = []
        self.timed: list[str] = []
        self.database = SqliteDatabase(
            self.path,
            THREADS,
            observe=lambda operation, seconds: self.timed.append(operation) if seconds > 0 else None,
            changed=self.heard.append,
            busy_seconds=0.05,
        )
        await self.database.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.database.close()))
        await self.database.query("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")

    async def add(self, number: int, name: str = "") -> None:
        await self.database.transact(lambda tx: tx.execute(INSERT, (number, name or f"name{number}")))

    async def ids(self) -> list[int]:
        return [row["id"] for row in await self.database.query("SELECT id FROM things ORDER BY id")]


class TransactionTests(_Case):
    async def test_rows_have_the_names_of_their_columns(self) -> None:
        await self.add(1, "one")
        rows = await self.database.query("SELECT id, name AS called FROM things WHERE id = ?", (1,))
        self.assertEqual(rows, [{"id": 1, "called": "one"}])

    async def test_the_value_of_the_body_comes_back(self) -> None:
        async def body(tx: Transaction) -> int:
            await tx.executemany(INSERT, [(n, f"name{n}") for n in range(5)])
            return int((await tx.execute("SELECT count(*) AS n FROM things"))[0]["n"])

        self.assertEqual(await self.database.transact(body), 5)

    async def test_a_body_that_fails_leaves_nothing(self) -> None:
        async def body(tx: Transaction) -> None:
            await tx.execute(INSERT, (1, "one"))
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            await self.database.transact(body)
        self.assertEqual(await self.ids(), [])

    async def test_a_body_may_not_wait_for_anything_else(self) -> None:
        async def body(tx: Transaction) -> None:
            await tx.execute(INSERT, (1, "one"))
            await Deferred()

        with self.assertRaisesRegex(RuntimeError, "await nothing"):
            await self.database.transact(body)
        self.assertEqual(await self.ids(), [])

    async def test_everything_runs_on_one_thread_of_its_own(self) -> None:
        async def body(tx: Transaction) -> int:
            return threading.get_ident()

        seen = {await self.database.transact(body) for _ in range(3)}
        self.assertEqual(len(seen), 1)
        self.assertNotIn(threading.get_ident(), seen)

    async def test_who_stops_waiting_does_not_stop_the_work(self) -> None:
        waiting = Deferred.fromCoroutine(self.add(1))
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(await self.ids(), [1])

    async def test_mistakes_in_the_text_are_ours(self) -> None:
        for sql in ("SELEC 1", "SELECT * FROM nowhere", "SELECT ?, ?"):
            with self.assertRaises(DatabaseError) as caught:
                await self.database.query(sql, (1,))
            self.assertNotIsInstance(caught.exception, DatabaseUnavailable)
        self.assertTrue(self.database.is_available)

    async def test_values_that_no_column_holds(self) -> None:
        for value in (2**63, "\udc80"):
            with self.assertRaises(DatabaseError):
                await self.database.query("SELECT ?", (value,))

    async def test_every_operation_is_timed(self) -> None:
        self.timed.clear()
        await self.add(1)
        await self.ids()
        await self.database.check()
        self.assertEqual(self.timed, ["transact", "query", "check"])

    async def test_foreign_keys_hold(self) -> None:
        await self.database.query("CREATE TABLE parts (thing INTEGER REFERENCES things (id))")
        with self.assertRaises(IntegrityError) as caught:
            await self.database.query("INSERT INTO parts VALUES (5)")
        self.assertEqual(caught.exception.violation, "foreign")


class GroupCommitTests(_Case):
    async def test_writes_that_queue_share_a_commit(self) -> None:
        asked = [Deferred.fromCoroutine(self.add(number)) for number in range(200)]
        before = await self._commits()
        await gatherResults(asked)
        self.assertEqual(await self.ids(), list(range(200)))
        self.assertLess(await self._commits() - before, 50)

    async def _commits(self) -> int:
        # Each commit in WAL mode appends frames, the last of which holds the size of the database in pages.
        log = Path(self.path + "-wal").read_bytes()[32:]
        frames = (log[start : start + 8] for start in range(0, len(log), 24 + 4096))
        return sum(frame[4:8] != bytes(4) for frame in frames)

    async def test_one_that_fails_hurts_nobody_else(self) -> None:
        asked = [Deferred.fromCoroutine(self.add(number, "twin" if number in (3, 4) else "")) for number in range(8)]
        await self.assertFailure(asked[4], IntegrityError)
        await gatherResults(asked[:4] + asked[5:])
        self.assertEqual(await self.ids(), [0, 1, 2, 3, 5, 6, 7])

    async def test_reads_and_writes_keep_their_order(self) -> None:
        first = Deferred.fromCoroutine(self.add(1))
        read = Deferred.fromCoroutine(self.ids())
        second = Deferred.fromCoroutine(self.add(2))
        self.assertEqual(await read, [1])
        await gatherResults([first, second])

    async def test_nobody_is_answered_before_the_commit(self) -> None:
        seen_elsewhere: list[int] = []

        def look(_: None) -> None:
            with sqlite3.connect(self.path) as other:
                seen_elsewhere.append(other.execute("SELECT count(*) FROM things").fetchone()[0])
            other.close()

        def add(number: int) -> Deferred[None]:
            return Deferred.fromCoroutine(self.add(number)).addCallback(look)

        asked = [add(number) for number in range(3)]
        await gatherResults(asked)
        self.assertTrue(all(count >= place + 1 for place, count in enumerate(seen_elsewhere)), seen_elsewhere)

    async def test_closing_finishes_what_was_asked(self) -> None:
        asked = [Deferred.fromCoroutine(self.add(number)) for number in range(50)]
        await self.database.close()
        await gatherResults(asked)
        with self.assertRaises(DatabaseUnavailable):
            await self.ids()
        await self.database.open()
        self.assertEqual(len(await self.ids()), 50)


class TroubleTests(_Case):
    async def test_a_full_disk(self) -> None:
        await self.database.query("PRAGMA max_page_count = 20")
        big = "x" * 200_000
        asked = [Deferred.fromCoroutine(self.add(1)), Deferred.fromCoroutine(self.add(2, big))]
        asked.append(Deferred.fromCoroutine(self.add(3)))
        await self.assertFailure(asked[1], DatabaseUnavailable)
        self.assertFalse(self.database.is_available)
        # The others were undone with it, unless they were in another group; nobody is told otherwise.
        stored = await self.ids()
        for number, waiting in ((1, asked[0]), (3, asked[2])):
            if number in stored:
                await waiting
            else:
                await self.assertFailure(waiting, DatabaseUnavailable)

    async def test_a_disk_that_is_still_full_is_not_available(self) -> None:
        await self.database.query("PRAGMA max_page_count = 20")
        await self.assertFailure(Deferred.fromCoroutine(self.add(1, "x" * 200_000)), DatabaseUnavailable)
        self.assertEqual(await self.ids(), [])
        self.assertFalse(self.database.is_available)
        await self.database.query("PRAGMA max_page_count = 2000")
        await self.database.check()
        self.assertTrue(self.database.is_available)
        self.assertEqual(self.heard, [True, False, True])
        await self.add(1, "x" * 200_000)

    async def test_a_file_that_may_not_be_written(self) -> None:
        await self.database.query("PRAGMA query_only = ON")
        await self.assertFailure(Deferred.fromCoroutine(self.add(1)), DatabaseUnavailable)
        await self.assertFailure(Deferred.fromCoroutine(self.database.check()), DatabaseUnavailable)
        await self.database.query("PRAGMA query_only = OFF")
        await self.database.check()
        self.assertTrue(self.database.is_available)

    async def test_another_process_that_holds_the_file(self) -> None:
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await self.assertFailure(Deferred.fromCoroutine(self.add(1)), DatabaseUnavailable)
        await self.assertFailure(Deferred.fromCoroutine(self.database.check()), DatabaseUnavailable)
        other.execute("ROLLBACK")
        other.close()
        await self.add(1)
        self.assertTrue(self.database.is_available)

    async def test_a_place_where_no_file_can_be(self) -> None:
        database = SqliteDatabase("/dev/null/gosip.db", THREADS)
        with self.assertRaises(DatabaseUnavailable):
            await database.open()
        with self.assertRaises(DatabaseUnavailable):
            await database.query("SELECT 1")

    async def test_a_file_that_is_no_database(self) -> None:
        path = self.mktemp()
        Path(path).write_bytes(b"not a database" * 100)
        with self.assertRaises(DatabaseUnavailable):
            await SqliteDatabase(path, THREADS).open()

    async def test_only_the_owner_may_read_the_file(self) -> None:
        await self.add(1)
        for suffix in ("", "-wal", "-shm"):
            self.assertEqual(stat.S_IMODE(Path(self.path + suffix).stat().st_mode), 0o600, suffix)


# Writes row after row, in groups, and says which were acknowledged.
WRITER = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from gosip_py.store.sqlite import SqliteDatabase

async def write(database, number):
    await database.transact(lambda tx: tx.execute("INSERT INTO things VALUES (?)", (number,)))
    sys.stdout.write(f"{number}\\n")
    if number % 10 == 0:
        sys.stdout.flush()
    started.append(Deferred.fromCoroutine(write(database, number + 40)))
    started.pop(0)

async def main():
    database = SqliteDatabase(sys.argv[1], reactor)
    await database.open()
    await database.query("CREATE TABLE things (id INTEGER PRIMARY KEY)")
    started.extend([Deferred.fromCoroutine(write(database, number)) for number in range(40)])

started = []
reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
reactor.run()
"""


class _Killer(ProcessProtocol):
    """Kills the writer, with no chance to tidy up, once it has acknowledged enough."""

    def __init__(self, enough: int) -> None:
        self.ended: Deferred[list[int]] = Deferred()
        self._enough = enough
        self._output = b""
        self._complaint = b""

    def outReceived(self, data: bytes) -> None:
        self._output += data
        if self._output.count(b"\n") > self._enough and self.transport is not None and self.transport.pid:
            os.kill(self.transport.pid, signal.SIGKILL)

    def errReceived(self, data: bytes) -> None:
        self._complaint += data

    def processEnded(self, reason: Failure) -> None:
        if not isinstance(reason.value, ProcessTerminated) or reason.value.signal != signal.SIGKILL:
            self.ended.errback(AssertionError(self._complaint.decode()))
            return
        # The last line may be cut.
        self.ended.callback([int(line) for line in self._output.rpartition(b"\n")[0].split()])


class KillTests(TestCase):
    async def test_nothing_acknowledged_is_lost(self) -> None:
        path = self.mktemp()
        killer = _Killer(enough=3000)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        reactor.spawnProcess(killer, sys.executable, [sys.executable, "-c", WRITER, path], environment)
        acknowledged = await killer.ended
        database = SqliteDatabase(path, THREADS)
        await database.open()
        stored = {row["id"] for row in await database.query("SELECT id FROM things")}
        await database.close()
        self.assertGreater(len(acknowledged), 3000)
        self.assertEqual(set(acknowledged) - stored, set())


class StatementsTests(SynchronousTestCase):
    def test_a_script_is_cut_between_statements_only(self) -> None:
        table = "-- a; comment\nCREATE TABLE a (t TEXT DEFAULT ';');"
        trigger = "\nCREATE TRIGGER b AFTER INSERT ON a BEGIN\n  DELETE FROM a;\nEND;"
        self.assertEqual(statements(f"{table}{trigger} SELECT 1"), [table, trigger, " SELECT 1"])

    def test_nothing_to_do(self) -> None:
        self.assertEqual(statements("\n  \n"), [])
