"""Sessions: the repository of SIP dialogs that the server tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gosip_py.store.database import Database
from gosip_py.store.listing import DEFAULT_LIMIT, Listing, at_least, contains, equals, less_than, one_of
from gosip_py.store.records import Page, SessionRow
from gosip_py.store.upsert import column_names, upsert, values_of

COLUMNS = column_names(SessionRow)
SELECTED = ", ".join(COLUMNS)
UPSERT = upsert("sessions", COLUMNS, ("id",))

_values = values_of(COLUMNS)

LISTING = Listing(
    table="sessions",
    record=SessionRow,
    columns=SELECTED,
    sorts={name: name for name in ("id", "created_at", "answered_at", "ended_at", "state", "caller_uri", "callee_uri")},
    nullable=frozenset({"answered_at", "ended_at"}),
    filters={
        "state": one_of("state"),
        "call_id": equals("call_id"),
        "uri": contains("lower(caller_uri)", "lower(callee_uri)"),
        "from_time": at_least("created_at"),
        "to_time": less_than("created_at"),
    },
)

CLOSE_OPEN = """
    UPDATE sessions SET state = 'terminated', ended_at = ?, ended_by = 'system'
    WHERE state <> 'terminated' AND node = ? RETURNING id"""


class Sessions:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, rows: Sequence[SessionRow]) -> None:
        """Insert or replace the rows in one transaction; an id stands among them once."""
        values = [_values(row) for row in rows]
        await self._database.transact(lambda tx: tx.executemany(UPSERT, values))

    async def get(self, session_id: str) -> SessionRow | None:
        """The session of this id."""
        rows = await self._database.query(f"SELECT {SELECTED} FROM sessions WHERE id = ?", (session_id,))
        return SessionRow(**rows[0]) if rows else None

    async def list(
        self,
        *,
        offset: int = 0,
        limit: int = DEFAULT_LIMIT,
        sort: str = "created_at",
        descending: bool = True,
        filters: Mapping[str, object] | None = None,
    ) -> Page[SessionRow]:
        """A page of sessions, newest first. Filters: state (or several), call_id, uri (a part), from_time, to_time."""
        return await LISTING.page(
            self._database, offset=offset, limit=limit, sort=sort, descending=descending, filters=filters or {}
        )

    async def close_open(self, now: float, node: str = "") -> int:
        """Terminate what this node left behind, as ended by the system; how many there were."""
        return len(await self._database.transact(lambda tx: tx.execute(CLOSE_OPEN, (now, node))))

    async def prune(self, before: float) -> int:
        """Delete the terminated sessions that began before this time; how many went."""
        text = "DELETE FROM sessions WHERE created_at < ? AND state = 'terminated' RETURNING id"
        return len(await self._database.transact(lambda tx: tx.execute(text, (before,))))
