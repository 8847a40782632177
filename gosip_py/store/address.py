"""From the URL of the store in the settings to its database."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from gosip_py.store.database import Changed, Database, Observe, unheard, unobserved
from gosip_py.store.sqlite import SqliteDatabase


def database_at(url: str, reactor: Any, *, observe: Observe = unobserved, changed: Changed = unheard) -> Database:
    """The database that a URL names, not yet open; raises ValueError for any other kind.

    `sqlite:///relative/path`, `sqlite:////absolute/path` and `sqlite://` (in memory);
    `postgresql://user:password@host/name`, or any other libpq URL.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        path = unquote(rest.removeprefix("/"))
        return SqliteDatabase(path or ":memory:", reactor, observe=observe, changed=changed)
    if separator and scheme in ("postgresql", "postgres"):
        # 6 MiB of libraries that most servers, on SQLite, never use
        from gosip_py.store.postgres import PostgresDatabase  # noqa: PLC0415 # see above

        return PostgresDatabase(url, reactor, observe=observe, changed=changed)
    raise ValueError(f"a store URL begins with sqlite:// or postgresql://, not {scheme!r}")
