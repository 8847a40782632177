"""A page of a table: filters and sort columns come from a list in the repository, never from the person who asks.

A filter turns a value into a condition with `?` marks and its parameters. The values are always bound, and only names
that the repository chose reach the SQL text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs

from gosip_py.store.database import Database
from gosip_py.store.records import Page

T = TypeVar("T")

Condition = tuple[str, tuple[object, ...]]
Filter = Callable[[Any], Condition]

DEFAULT_LIMIT = 20

CHUNK = 1000
"""Rows read at a time where all are wanted: as records they take a third of the memory that they take as rows."""


@attrs.frozen
class Stamp:
    """What tells whether a table changed: how many rows there are, and when the last one was."""

    rows: int
    updated_at: float


async def stamp_of(database: Database, table: str) -> Stamp:
    """The stamp of a table with a column `updated_at`; the name comes from a repository."""
    text = f"SELECT count(*) AS rows, coalesce(max(updated_at), 0) AS updated_at FROM {table}"
    return Stamp(**(await database.query(text))[0])


class UnknownField(ValueError):
    """Somebody asked to sort, filter or change by a name that is not on the list."""

    def __init__(self, field: str) -> None:
        super().__init__(f"unknown field: {field}")
        self.field = field


def equals(column: str) -> Filter:
    """The column has the value; None asks for the missing ones."""
    return lambda value: (f"{column} IS NULL", ()) if value is None else (f"{column} = ?", (value,))


def at_least(column: str) -> Filter:
    """The column is the value or more."""
    return lambda value: (f"{column} >= ?", (value,))


def less_than(column: str) -> Filter:
    """The column is below the value."""
    return lambda value: (f"{column} < ?", (value,))


def one_of(*columns: str) -> Filter:
    """Any of the columns equals the value, or one of the values when it is a sequence."""

    def condition(value: str | Sequence[str]) -> Condition:
        values = (value,) if isinstance(value, str) else tuple(value)
        if not values:
            return "1 = 0", ()
        marks = ", ".join("?" * len(values))
        return "(" + " OR ".join(f"{column} IN ({marks})" for column in columns) + ")", values * len(columns)

    return condition


def contains(*columns: str) -> Filter:
    """Any of the columns, which hold text in lower case, has the value somewhere in it, in any case.

    Beyond ASCII, PostgreSQL's lower() needs a database made with a locale other than "C".
    """

    def condition(value: str) -> Condition:
        pattern = "%" + _escaped(value.casefold()) + "%"
        return "(" + " OR ".join(f"{column} LIKE ? ESCAPE '!'" for column in columns) + ")", (pattern,) * len(columns)

    return condition


def _escaped(value: str) -> str:
    return value.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def is_null(column: str) -> Filter:
    """True asks for the rows without a value in the column, False for the others."""
    return lambda value: (f"{column} IS NULL" if value else f"{column} IS NOT NULL", ())


@attrs.frozen
class Listing(Generic[T]):
    """How one table is listed.

    `sorts` maps the names people use to ORDER BY expressions, `nullable` names those that may be NULL, and `key` makes
    the order total, so that no row stands on two pages.
    """

    table: str
    record: Callable[..., T]
    columns: str
    sorts: Mapping[str, str]
    filters: Mapping[str, Filter]
    nullable: frozenset[str] = frozenset()
    key: str = "id"

    def where(self, filters: Mapping[str, object]) -> Condition:
        """The WHERE clause of the filters, or "" when there are none; raises UnknownField."""
        conditions = [self._condition(name, value) for name, value in filters.items()]
        if not conditions:
            return "", ()
        text = " AND ".join(text for text, _ in conditions)
        return f" WHERE {text}", tuple(value for _, values in conditions for value in values)

    def _condition(self, name: str, value: object) -> Condition:
        if name not in self.filters:
            raise UnknownField(name)
        return self.filters[name](value)

    def order(self, sort: str, descending: bool) -> str:
        """The ORDER BY clause; raises UnknownField."""
        if sort not in self.sorts:
            raise UnknownField(sort)
        direction = "DESC" if descending else "ASC"
        if sort == self.key:
            return f" ORDER BY {self.key} {direction}"
        # The two databases differ on where NULL sorts. Said only where it matters: PostgreSQL would leave the index
        # aside.
        nulls = " NULLS LAST" if sort in self.nullable else ""
        return f" ORDER BY {self.sorts[sort]} {direction}{nulls}, {self.key} {direction}"

    async def count(self, database: Database, filters: Mapping[str, object]) -> int:
        """How many rows the filters leave."""
        where, params = self.where(filters)
        rows = await database.query(f"SELECT count(*) AS total FROM {self.table}{where}", params)
        return int(rows[0]["total"])

    async def page(
        self,
        database: Database,
        *,
        offset: int,
        limit: int,
        sort: str,
        descending: bool,
        filters: Mapping[str, object],
    ) -> Page[T]:
        """`limit` rows from `offset` on; raises UnknownField before anything is asked of the database."""
        where, params = self.where(filters)
        text = f"SELECT {self.columns} FROM {self.table}{where}{self.order(sort, descending)} LIMIT ? OFFSET ?"
        rows = await database.query(text, (*params, limit, offset))
        return Page(tuple(self.record(**row) for row in rows), await self.count(database, filters))
