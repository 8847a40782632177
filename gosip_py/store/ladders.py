"""CallLadders: the repository of the SIP messages of calls, one compressed row for each."""

from __future__ import annotations

from collections.abc import Sequence

from gosip_py.store.database import Database
from gosip_py.store.records import CallLadder
from gosip_py.store.upsert import column_names, upsert

COLUMNS = column_names(CallLadder)
UPSERT = upsert("call_ladders", COLUMNS, ("id",))


class CallLadders:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, rows: Sequence[CallLadder]) -> None:
        """Insert or replace the rows in one transaction; an id stands among them once."""
        values = [(row.id, row.ended_at, row.ladder) for row in rows]
        await self._database.transact(lambda tx: tx.executemany(UPSERT, values))

    async def get(self, row_id: str) -> CallLadder | None:
        """The ladder of this call."""
        text = f"SELECT {', '.join(COLUMNS)} FROM call_ladders WHERE id = ?"
        rows = await self._database.query(text, (row_id,))
        return CallLadder(**rows[0]) if rows else None

    async def prune(self, before: float) -> int:
        """Delete those of calls that ended before this time; how many went."""
        text = "DELETE FROM call_ladders WHERE ended_at < ? RETURNING id"
        return len(await self._database.transact(lambda tx: tx.execute(text, (before,))))
