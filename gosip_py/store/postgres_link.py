"""One live connection to PostgreSQL: connects, runs statements, and says when it has died.

txpostgres polls the socket and wraps the cursors. Its runInteraction is not used: it logs a traceback for a rollback on
a connection that is gone. Nothing here ever cancels a query, for psycopg2 would block the whole process meanwhile;
`close` is the way out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, TypeVar

import psycopg2
from psycopg2 import errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from txpostgres import txpostgres

from gosip_py.store.database import (
    Body,
    DatabaseError,
    DatabaseTimeout,
    DatabaseUnavailable,
    IntegrityError,
    Params,
    Row,
    Violation,
)
from gosip_py.store.marks import with_percent_marks

T = TypeVar("T")

ROWS_PER_MESSAGE = 100
"""Rows of an executemany that share one message: few enough not to hold the reactor up, many enough to pay."""

_VIOLATIONS: dict[str, Violation] = {"23505": "unique", "23503": "foreign", "23502": "not_null", "23514": "check"}
_FAILED = (psycopg2.Error, ConnectionClosed, txpostgres.UnexpectedPollResult, txpostgres.AlreadyPolling)
# What psycopg2 raises for NUL, for text that is not Unicode, and for too few or too many parameters.
_UNFIT = (ValueError, IndexError, TypeError)

KEEPALIVE: Mapping[str, object] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class _Connection(txpostgres.Connection):  # type: ignore[misc]  # txpostgres has no types
    """A txpostgres connection that leaves nothing behind in the reactor, and tells its owner when it dies idle.

    libpq closes its socket without a word, and another socket soon has the same number. So nothing may be registered
    while libpq works: the original leaves a reader there while it connects, while a query is sent, and when it is
    closed during a query.
    """

    def __init__(self, reactor: Any, lost: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._lost = lost

    def doRead(self) -> None:
        self._advance()

    def doWrite(self) -> None:
        self._advance()

    def _advance(self) -> None:
        self.unwatch()
        is_idle = self._pollingD is None
        try:
            self.continuePolling()
        except psycopg2.Error:
            self._lost()
        else:
            if is_idle:
                self.watch()

    def watch(self) -> None:
        """Have the reactor tell when the server says something unasked, such as goodbye."""
        try:
            self.reactor.addReader(self)
        except ValueError:
            # No descriptor: libpq has closed the socket.
            self._lost()

    def unwatch(self) -> None:
        """Take the connection out of the reactor, with the query under way on it."""
        for each in (self, *self._cursors):
            self.reactor.removeReader(each)
            self.reactor.removeWriter(each)

    def cursorFinished(self, cursor: Any) -> None:
        self._cursors.remove(cursor)
        if not self.closed:
            self.watch()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._lost()


class Link:
    """A connection from `connect` to its end; one operation at a time, which its user sees to.

    `gone` fires once, when the connection is of no more use, whatever ended it. As a Transaction it maps every error to
    those of `database`.
    """

    def __init__(self, reactor: Any) -> None:
        self.gone: Deferred[None] = Deferred()
        self._reactor = reactor
        self._connection = _Connection(reactor, self.close)
        self._has_expired = False
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._is_closed

    async def connect(self, parameters: Mapping[str, Any], seconds: float) -> None:
        """Connect by libpq parameters; the server ends statements after `seconds`. Raises DatabaseUnavailable."""
        try:
            resolved = await _resolved(self._reactor, parameters)
            if self._is_closed:
                raise DatabaseUnavailable("closed while the name was looked up")
            await self._connection.connect(**{**KEEPALIVE, **resolved}, client_encoding="utf8")
            await self.execute(f"SET statement_timeout = {_milliseconds(seconds)}")
            # Should this process freeze, the server lets go of the locks.
            await self.execute(f"SET idle_in_transaction_session_timeout = {_milliseconds(2 * seconds)}")
        except (*_FAILED, OSError) as error:
            self.close()
            raise DatabaseUnavailable(str(error).strip()) from error
        except DatabaseError:
            self.close()
            raise

    def expire(self) -> None:
        """End it because the server does not answer: what is under way is a DatabaseTimeout."""
        self._has_expired = True
        self.close()

    def close(self) -> None:
        """Disconnect; what is under way fails."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._connection.pollable() is not None:
            self._connection.unwatch()
            self._connection.close()
        self.gone.callback(None)

    async def transact(self, body: Body[T], seconds: float | None) -> T:
        """BEGIN, the body, COMMIT; or ROLLBACK and the error of the body. `seconds` limits its statements."""
        await self.execute("BEGIN")
        try:
            if seconds is not None:
                await self.execute(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}")
            result = await body(self)
        except Exception:
            await self._roll_back()
            raise
        if await self._run("COMMIT") != "COMMIT":
            # PostgreSQL answers ROLLBACK, and no error, to the COMMIT of a transaction in which a statement failed.
            raise DatabaseError("the body went on after a statement had failed")
        return result

    async def _roll_back(self) -> None:
        try:
            await self.execute("ROLLBACK")
        except DatabaseError:
            self.close()

    async def execute(self, sql: str, params: Params = ()) -> list[Row]:
        cursor = self._cursor()
        await self._polled(cursor, with_percent_marks(sql) if params else sql, tuple(params) or None)
        if cursor.description is None:
            return []
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    async def executemany(self, sql: str, rows: Sequence[Params]) -> None:
        # An asynchronous psycopg2 connection has no executemany; statements that share a message cost one round trip.
        text = with_percent_marks(sql)
        for start in range(0, len(rows), ROWS_PER_MESSAGE):
            cursor = self._cursor()
            try:
                statements = [cursor.mogrify(text, tuple(row)) for row in rows[start : start + ROWS_PER_MESSAGE]]
            except _UNFIT as error:
                raise DatabaseError(str(error)) from error
            await self._polled(cursor, b";".join(statements), None)

    async def script(self, sql: str) -> None:
        await self._run(sql)

    async def _run(self, sql: str) -> str:
        cursor = self._cursor()
        await self._polled(cursor, sql, None)
        status: str = cursor.statusmessage
        return status

    def _cursor(self) -> Any:
        try:
            return self._connection.cursor()
        except _FAILED as error:
            raise self._mapped(error) from error

    async def _polled(self, cursor: Any, text: str | bytes, params: Params | None) -> None:
        self._connection.unwatch()
        try:
            await cursor.execute(text, params)
        except _UNFIT as error:
            self._connection.watch()
            raise DatabaseError(str(error)) from error
        except CancelledError as error:
            # How txpostgres spells a statement that the server ended.
            raise DatabaseTimeout("the statement took too long") from error
        except _FAILED as error:
            raise self._mapped(error) from error

    def _mapped(self, error: Exception) -> DatabaseError:
        detail = str(error).strip()
        if self._has_expired:
            return DatabaseTimeout("the server did not answer in time")
        if self._connection.closed or not isinstance(error, psycopg2.Error) or not error.pgcode:
            # Without a code it does not come from the server.
            if isinstance(error, psycopg2.ProgrammingError):
                return DatabaseError(detail)
            self.close()
            return DatabaseUnavailable(detail or "the connection was closed")
        return _of_the_server(error, detail)


def _of_the_server(error: Any, detail: str) -> DatabaseError:
    if error.pgcode in _VIOLATIONS:
        return IntegrityError(_VIOLATIONS[error.pgcode], _column(error.diag), detail)
    # A server that became a standby is read-only; it may be promoted again.
    if isinstance(error, (psycopg2.OperationalError, errors.ReadOnlySqlTransaction)):
        return DatabaseUnavailable(detail)
    return DatabaseError(detail)


def _column(diagnostics: Any) -> str:
    """The column that a refused row is about: PostgreSQL names a constraint TABLE_COLUMN_key, _fkey or _check."""
    if diagnostics.column_name:
        return str(diagnostics.column_name)
    name = (diagnostics.constraint_name or "").removeprefix(f"{diagnostics.table_name}_")
    for suffix in ("_key", "_fkey", "_check"):
        name = name.removesuffix(suffix)
    return str(name)


def _milliseconds(seconds: float) -> int:
    """Nine tenths of it, so that the server ends a statement before the deadline ends the connection."""
    return max(1, int(seconds * 900))


async def _resolved(reactor: Any, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters with the host's addresses, which libpq would look up in the reactor thread. May raise OSError."""
    host = str(parameters.get("host", ""))
    if not host or host.startswith("/") or "," in host or "hostaddr" in parameters or _is_address(host):
        return parameters
    found = await deferToThreadPool(
        reactor, reactor.getThreadPool(), socket.getaddrinfo, host, None, type=socket.SOCK_STREAM
    )
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return {**parameters, "host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
