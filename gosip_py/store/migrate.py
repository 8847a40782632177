"""Migrations: brings the schema to what this code knows, or refuses to touch it.

A file `sql/NNNN_name.sql` serves both databases; `NNNN_name.sqlite.sql` beside `NNNN_name.postgres.sql` serve one each.
Each file runs in one transaction together with its line in `schema_migrations`, under a lock that keeps other servers
out, so that no half state is ever seen. A file that was applied is never changed again: its checksum is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

import attrs

from gosip_py.store.database import Database, Dialect, Transaction

DEADLINE = 3600.0
"""Seconds one file may take, and the wait for another server's migration with it."""

# The bytes of "gosip" as a number: an advisory lock has no name.
LOCK = "SELECT pg_advisory_xact_lock(444251466096)"

TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
        applied_at DOUBLE PRECISION NOT NULL)"""

_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)(?:\.(?P<dialect>sqlite|postgres))?\.sql")


class MigrationError(Exception):
    """The schema and the files do not fit together; somebody has to look."""


@attrs.frozen
class Migration:
    """One file: its number, its name, its text."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(dialect: Dialect, directory: Traversable | None = None) -> list[Migration]:
    """The migrations for a database, in order; raises MigrationError when a number is missing or given twice.

    They are a package resource: `gosip_py/store/sql` is a link to the `sql` directory in a checkout, and its files in a
    wheel.
    """
    found = []
    for file in (directory or files("gosip_py.store.sql")).iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match and match["dialect"] in (None, dialect):
            found.append(Migration(int(match["version"]), match["name"], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if not found or [migration.version for migration in found] != list(range(1, len(found) + 1)):
        names = ", ".join(f"{migration.version:04}_{migration.name}" for migration in found)
        raise MigrationError(f"the migrations are not numbered 0001, 0002, ...: {names or 'there are none'}")
    return found


async def migrate(database: Database, now: float, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Apply what is missing; the migrations that this call applied.

    Raises MigrationError when an applied file was changed or the schema is newer than the files, and
    DatabaseUnavailable.
    """
    known = load(database.dialect) if migrations is None else migrations
    applied = []
    for migration in known:

        async def body(tx: Transaction, migration: Migration = migration) -> bool:
            return await _apply(tx, database.dialect, known, migration, now)

        if await database.transact(body, deadline=DEADLINE):
            applied.append(migration)
    return applied


async def _apply(
    tx: Transaction, dialect: Dialect, known: Sequence[Migration], migration: Migration, now: float
) -> bool:
    """Apply one migration unless it stands in the table; whether it did."""
    if dialect == "postgres":
        await tx.execute(LOCK)
    await tx.execute(TABLE)
    rows = await tx.execute("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    checksums = {row["version"]: row["checksum"] for row in rows}
    _compare(checksums, known)
    if migration.version in checksums:
        return False
    await tx.script(migration.sql)
    await tx.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
        (migration.version, migration.name, migration.checksum, now),
    )
    return True


def _compare(checksums: dict[int, str], known: Sequence[Migration]) -> None:
    newest = max(checksums, default=0)
    if newest > len(known):
        raise MigrationError(f"the schema is at {newest:04}, but this gosip knows {len(known):04} only: upgrade it")
    for migration in known:
        if checksums.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.version:04}_{migration.name} was changed after it had been applied")
