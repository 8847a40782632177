"""What a repository asks of a database, whichever it is.

One SQL text serves both: `?` marks, `ON CONFLICT`, `RETURNING`, epoch seconds, JSON as text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")

Row = Mapping[str, Any]
Params = Sequence[object]
Dialect = Literal["sqlite", "postgres"]
Violation = Literal["unique", "foreign", "not_null", "check"]

Observe = Callable[[str, float], None]
"""Hears each operation ("query", "transact", "check") and its seconds."""

Changed = Callable[[bool], None]
"""Hears the moment a database goes away (False) or comes back (True)."""


def unobserved(_operation: str, _seconds: float) -> None:
    """An Observe for those who do not count."""


def unheard(_is_available: bool) -> None:
    """A Changed for those who do not listen."""


class DatabaseError(Exception):
    """The database refused a statement: our bug, or a value that does not fit."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot serve now: away, locked, read-only or full. The same work may succeed later."""


class DatabaseTimeout(DatabaseUnavailable):
    """The deadline passed. Whether a write took effect is not known, so only repeat what may be repeated."""


class IntegrityError(DatabaseError):
    """A constraint refused the row; `field` is the column it speaks of, or "" when the database does not tell."""

    def __init__(self, violation: Violation, field: str, detail: str = "") -> None:
        super().__init__(detail or f"{violation} constraint on {field or 'a column'}")
        self.violation = violation
        # A folded column stands for the one that people know.
        self.field = field.removesuffix("_folded")


class Transaction(Protocol):
    """What the body of a transaction may use, and may await; nothing else."""

    async def execute(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement; rows for SELECT and RETURNING, else []."""
        ...

    async def executemany(self, sql: str, rows: Sequence[Params]) -> None:
        """Run one statement for each of `rows`, in order."""
        ...

    async def script(self, sql: str) -> None:
        """Run several statements without parameters (a migration)."""
        ...


Body = Callable[[Transaction], Awaitable[T]]


class Database(Protocol):
    """A database that is opened once, used from the reactor thread, and closed once.

    Every method but `open` and `close` raises DatabaseUnavailable, DatabaseTimeout, IntegrityError or DatabaseError.
    """

    @property
    def dialect(self) -> Dialect:
        """Which migrations apply."""
        ...

    @property
    def is_available(self) -> bool:
        """Whether the last thing heard of the database was good."""
        ...

    async def open(self) -> None:
        """Connect; raises DatabaseUnavailable, after which it may be called again."""
        ...

    async def close(self) -> None:
        """Finish what was asked so far, then disconnect. Later calls raise DatabaseUnavailable."""
        ...

    async def query(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement on its own."""
        ...

    async def transact(self, body: Body[T], *, deadline: float | None = None) -> T:
        """Run `body` in one transaction: all of it happens, and is durable when this returns, or none of it.

        `body` may run on another thread (SQLite), so it touches nothing but its arguments. `deadline` in seconds
        replaces the database's own where it has one.
        """
        ...

    async def check(self) -> None:
        """Return when the database can take a write; else raise DatabaseUnavailable (for /ready)."""
        ...
