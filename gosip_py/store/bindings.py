"""Bindings: the repository behind the location service; read once at the start, written in batches ever after."""

from __future__ import annotations

from collections.abc import Sequence

from gosip_py.store.database import Database, Transaction
from gosip_py.store.records import Binding, BindingKey
from gosip_py.store.upsert import column_names, upsert, values_of

COLUMNS = column_names(Binding)
SELECTED = ", ".join(COLUMNS)
UPSERT = upsert("bindings", COLUMNS, ("aor", "contact", "flow"))
DELETE = "DELETE FROM bindings WHERE aor = ? AND contact = ? AND flow = ?"

_values = values_of(COLUMNS)


class Bindings:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_all(self, now: float) -> tuple[Binding, ...]:
        """Every binding that has not expired, in the order of registration."""
        text = f"SELECT {SELECTED} FROM bindings WHERE expires_at > ? ORDER BY registered_at, aor, contact, flow"
        return tuple(Binding(**row) for row in await self._database.query(text, (now,)))

    async def write(self, upserts: Sequence[Binding], deletes: Sequence[BindingKey] = ()) -> None:
        """Write and delete in one transaction; a key stands in one of the two lists only."""

        async def body(tx: Transaction) -> None:
            if deletes:
                await tx.executemany(DELETE, [(key.aor, key.contact, key.flow) for key in deletes])
            if upserts:
                await tx.executemany(UPSERT, [_values(binding) for binding in upserts])

        await self._database.transact(body)

    async def apply(self, changes: Sequence[Binding | BindingKey]) -> None:
        """`write` for a WriteBehind keyed by BindingKey: a Binding is written, a BindingKey deleted."""
        await self.write(
            [change for change in changes if isinstance(change, Binding)],
            [change for change in changes if isinstance(change, BindingKey)],
        )

    async def prune(self, now: float) -> int:
        """Delete what has expired; how many rows went."""
        text = "DELETE FROM bindings WHERE expires_at <= ? RETURNING aor"
        return len(await self._database.transact(lambda tx: tx.execute(text, (now,))))
