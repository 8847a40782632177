"""The statement that writes a record whether or not its row exists, so that a late or repeated write does no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import attrs


def column_names(record: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    """The columns of a record's table, in the record's order."""
    return tuple(field.name for field in attrs.fields(record))


def upsert(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """INSERT of all columns, or UPDATE of those outside `key` where the key is there."""
    marks = ", ".join("?" * len(columns))
    assignments = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assignments}"
    )


def values_of(columns: Sequence[str]) -> Callable[[Any], tuple[object, ...]]:
    """A function that takes the values of the columns out of a record, in order; two columns or more."""
    take = attrgetter(*columns)

    def values(record: Any) -> tuple[object, ...]:
        taken: tuple[object, ...] = take(record)
        # One look at all texts: hardly a row has one that must be changed.
        text = "".join([value for value in taken if type(value) is str])
        if text.isascii() and "\0" not in text:
            return taken
        return tuple([storable(value) if type(value) is str else value for value in taken])

    return values


def storable(text: str) -> str:
    """The text without what no database column holds.

    A message is decoded with surrogateescape, so what a peer sent may carry lone surrogates and NULs; PostgreSQL
    refuses both, and the row of a call must not be lost to them.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
