"""SQLite: one connection on one thread of its own.

Writes that queue up while the thread is busy share one transaction, each within a savepoint (group commit), and are
answered after the COMMIT. What was asked first is done first. WAL with synchronous=NORMAL: a killed process loses
nothing it acknowledged; a power cut may lose the last moments, never the file.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Literal, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from gosip_py.store.database import (
    Body,
    Changed,
    DatabaseError,
    DatabaseUnavailable,
    IntegrityError,
    Observe,
    Params,
    Row,
    Violation,
    unheard,
    unobserved,
)

T = TypeVar("T")

GROUP_LIMIT = 256
"""Works taken from the queue at once: the most that one COMMIT answers."""

# "UNIQUE constraint failed: users.login_folded", "CHECK constraint failed: role IN (...", "FOREIGN KEY constraint
# failed"
_REFUSED = re.compile(r"(UNIQUE|FOREIGN|NOT|CHECK)[A-Z ]* constraint failed(?:: (?:\w+\.)?(\w+))?")
_VIOLATIONS: dict[str, Violation] = {"UNIQUE": "unique", "FOREIGN": "foreign", "NOT": "not_null", "CHECK": "check"}

_UNAVAILABLE = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL),
        *(
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_PROTOCOL,
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        ),
        *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERRUPT),
    }
)

Kind = Literal["read", "write", "check"]


class _Undone(Exception):
    """A full disk or an I/O error made SQLite undo the whole transaction, the works of the others with it."""


@attrs.define(eq=False)
class _Work:
    """One thing to do on the thread, and who waits for it."""

    kind: Kind
    perform: Callable[[sqlite3.Connection], Any]
    asked: Deferred[Any]
    outcome: Any = None


class SqliteDatabase:
    """A Database in one file, or in memory for the path ":memory:".

    `busy_seconds` is how long a write waits for another process to let go of the file before it is DatabaseUnavailable.
    """

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(
        self,
        path: str,
        reactor: IReactorFromThreads,
        *,
        observe: Observe = unobserved,
        changed: Changed = unheard,
        busy_seconds: float = 5.0,
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._observe = observe
        self._changed = changed
        self._busy_seconds = busy_seconds
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_available = False

    @property
    def is_available(self) -> bool:
        return self._is_available

    async def open(self) -> None:
        """Start the thread and connect; makes the directory and the file, which only its owner may read."""
        opened: Deferred[None] = Deferred()
        self._closed: Deferred[None] = Deferred()
        thread = threading.Thread(target=self._run, args=(opened,), name=f"sqlite {self._path}", daemon=True)
        thread.start()
        await opened
        self._thread = thread
        self._hear(True)

    async def close(self) -> None:
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        self._queue.put(None)
        await self._closed
        thread.join()
        self._hear(False)

    async def query(self, sql: str, params: Params = ()) -> list[Row]:
        rows: list[Row] = await self._ask("read", "query", lambda connection: _rows(connection, sql, params))
        return rows

    async def transact(self, body: Body[T], *, deadline: float | None = None) -> T:
        result: T = await self._ask("write", "transact", lambda connection: _drive(body(_Savepoint(connection))))
        return result

    async def check(self) -> None:
        """Take the write lock; after a failure also write, for a full disk shows only then."""
        await self._ask("check", "check", _lock if self._is_available else _lock_and_write)

    async def _ask(self, kind: Kind, operation: str, perform: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._thread is None:
            raise DatabaseUnavailable("the database is closed")
        asked: Deferred[Any] = Deferred()
        began = perf_counter()
        self._queue.put(_Work(kind, perform, asked))
        try:
            return await asked
        finally:
            self._observe(operation, perf_counter() - began)

    def _deliver(self, works: Sequence[_Work]) -> None:
        for work in works:
            if isinstance(work.outcome, Failure):
                if work.outcome.check(DatabaseUnavailable):
                    self._hear(False)
                work.asked.errback(work.outcome)
            else:
                # A read proves nothing: a full disk can be read.
                if work.kind != "read":
                    self._hear(True)
                work.asked.callback(work.outcome)

    def _hear(self, is_available: bool) -> None:
        if is_available != self._is_available:
            self._is_available = is_available
            self._changed(is_available)

    # What follows runs on the thread.

    def _run(self, opened: Deferred[None]) -> None:
        try:
            connection = _connect(self._path, self._busy_seconds)
        except (sqlite3.Error, OSError) as error:
            failure = Failure(DatabaseUnavailable(f"{self._path}: {error}"))
            self._reactor.callFromThread(opened.errback, failure)
            return
        self._reactor.callFromThread(opened.callback, None)
        while self._work_on(connection):
            pass
        connection.close()
        self._reactor.callFromThread(self._closed.callback, None)

    def _work_on(self, connection: sqlite3.Connection) -> bool:
        """Do what is queued, in order; False once the end of the queue has come."""
        works, is_open = self._take()
        for is_write, run in groupby(works, key=lambda work: work.kind == "write"):
            group = list(run)
            if is_write:
                _write(connection, group)
            else:
                for work in group:
                    _attempt(work, connection)
            self._reactor.callFromThread(self._deliver, group)
        return is_open

    def _take(self) -> tuple[list[_Work], bool]:
        works: list[_Work] = []
        work = self._queue.get()
        while work is not None:
            works.append(work)
            if len(works) == GROUP_LIMIT:
                return works, True
            try:
                work = self._queue.get_nowait()
            except Empty:
                return works, True
        return works, False


class _Savepoint:
    """The Transaction of one write within the group."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def execute(self, sql: str, params: Params = ()) -> list[Row]:
        return _rows(self._connection, sql, params)

    async def executemany(self, sql: str, rows: Sequence[Params]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise _mapped(error) from error

    async def script(self, sql: str) -> None:
        for statement in statements(sql):
            _rows(self._connection, statement, ())


def statements(script: str) -> list[str]:
    """The statements of a script, for SQLite takes one at a time (and its own script call would commit first)."""
    found, pending = [], ""
    for piece in re.split("(?<=;)", script):
        pending += piece
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return [*found, pending] if pending.strip() else found


def _connect(path: str, busy_seconds: float) -> sqlite3.Connection:
    if path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if not Path(path).exists():
            # It holds what passwords are checked against; SQLite gives its side files the same mode.
            Path(path).touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, cached_statements=256)
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    # SQLite's own lower() knows ASCII only.
    connection.create_function("lower", 1, lambda text: text and str(text).lower(), deterministic=True)
    return connection


def _rows(connection: sqlite3.Connection, sql: str, params: Params) -> list[Row]:
    try:
        cursor = connection.execute(sql, params)
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (sqlite3.Error, ValueError, OverflowError) as error:
        raise _mapped(error) from error


def _drive(awaitable: Awaitable[T]) -> T:
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    steps.close()
    raise RuntimeError("the body of a transaction may await nothing but its transaction")


def _attempt(work: _Work, connection: sqlite3.Connection) -> None:
    try:
        work.outcome = work.perform(connection)
    except Exception:  # carried to the one who asked
        work.outcome = Failure()


def _write(connection: sqlite3.Connection, group: Sequence[_Work]) -> None:
    """Do the works in one transaction; when that fails as a whole, so does each of them."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work in group:
            _write_one(connection, work)
        connection.execute("COMMIT")
    except (sqlite3.Error, _Undone) as error:
        _roll_back(connection)
        for work in group:
            work.outcome = Failure(_mapped(error))


def _write_one(connection: sqlite3.Connection, work: _Work) -> None:
    connection.execute("SAVEPOINT work")
    _attempt(work, connection)
    if not connection.in_transaction:
        raise _Undone(f"the transaction was undone: {work.outcome}")
    if isinstance(work.outcome, Failure):
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")


def _roll_back(connection: sqlite3.Connection) -> None:
    # What undoes the transaction on its own accord leaves nothing to roll back.
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _lock(connection: sqlite3.Connection, *writes: str) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for sql in writes:
            connection.execute(sql)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        raise _mapped(error) from error


def _lock_and_write(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    _lock(connection, f"PRAGMA user_version = {version}")


def _mapped(error: Exception) -> DatabaseError:
    detail = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        match = _REFUSED.match(detail)
        word, column = match.groups(default="") if match else ("", "")
        return IntegrityError(_VIOLATIONS.get(word, "check"), column, detail)
    if isinstance(error, _Undone) or _primary_code(error) in _UNAVAILABLE:
        return DatabaseUnavailable(detail)
    return DatabaseError(detail)


def _primary_code(error: Exception) -> int | None:
    # The upper bytes only refine it: https://www.sqlite.org/rescode.html
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
