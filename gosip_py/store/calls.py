"""CallJournal: the repository of calls. One row for each, opened with the INVITE and closed exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gosip_py.store.database import Database
from gosip_py.store.listing import DEFAULT_LIMIT, Listing, at_least, contains, equals, is_null, less_than, one_of
from gosip_py.store.records import CallRow, CallStats, Page
from gosip_py.store.upsert import column_names, upsert, values_of

COLUMNS = column_names(CallRow)
SELECTED = ", ".join(COLUMNS)
UPSERT = upsert("calls", COLUMNS, ("id",))

_values = values_of(COLUMNS)

FILLED = ("id", "invite_at", "direction", "caller_user", "callee_user", "caller_uri", "callee_uri")
NULLABLE = ("answer_at", "end_at", "result", "final_code", "ring_ms", "talk_ms", "device_id", "did_id")

LISTING = Listing(
    table="calls",
    record=CallRow,
    columns=SELECTED,
    sorts={name: name for name in FILLED + NULLABLE},
    nullable=frozenset(NULLABLE),
    filters={
        "from_time": at_least("invite_at"),
        "to_time": less_than("invite_at"),
        "user": one_of("caller_user", "callee_user"),
        "number": contains("lower(caller_user)", "lower(callee_user)"),
        "result": one_of("result"),
        "direction": one_of("direction"),
        "call_id": equals("call_id"),
        "device_id": equals("device_id"),
        "did_id": equals("did_id"),
        "is_open": is_null("end_at"),
    },
)

STATS = """
    SELECT direction, result, count(*) AS calls, coalesce(sum(talk_ms), 0) AS talk, count(talk_ms) AS talked,
           coalesce(sum(ring_ms), 0) AS ring, count(ring_ms) AS rang
    FROM calls{where} GROUP BY direction, result"""

# The times that follow from the others are filled in where the call got that far.
CLOSE_OPEN = """
    UPDATE calls SET end_at = ?, result = 'failed', ended_by = 'system', final_reason = 'Server Restarted',
           ring_ms = coalesce(ring_ms, CAST(round((coalesce(answer_at, ?) - first_18x_at) * 1000) AS BIGINT)),
           talk_ms = coalesce(talk_ms, CAST(round((? - answer_at) * 1000) AS BIGINT))
    WHERE end_at IS NULL AND node = ? RETURNING id"""


class CallJournal:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, rows: Sequence[CallRow]) -> None:
        """Insert or replace the rows in one transaction; an id stands among them once."""
        values = [_values(row) for row in rows]
        await self._database.transact(lambda tx: tx.executemany(UPSERT, values))

    async def get(self, row_id: str) -> CallRow | None:
        """The row of this id."""
        rows = await self._database.query(f"SELECT {SELECTED} FROM calls WHERE id = ?", (row_id,))
        return CallRow(**rows[0]) if rows else None

    async def list(
        self,
        *,
        offset: int = 0,
        limit: int = DEFAULT_LIMIT,
        sort: str = "id",
        descending: bool = True,
        filters: Mapping[str, object] | None = None,
    ) -> Page[CallRow]:
        """A page of the journal, the newest first.

        Filters: from_time (inclusive) and to_time (exclusive) in epoch seconds; user, result and direction, each one
        value or several; number (a part of the caller or callee); call_id; device_id; did_id; is_open.
        """
        return await LISTING.page(
            self._database, offset=offset, limit=limit, sort=sort, descending=descending, filters=filters or {}
        )

    async def stats(self, filters: Mapping[str, object] | None = None) -> CallStats:
        """Sums over the rows that the filters of `list` leave."""
        where, params = LISTING.where(filters or {})
        groups = await self._database.query(STATS.format(where=where), params)
        by_result: dict[str, int] = {}
        by_direction: dict[str, int] = {}
        for group in groups:
            by_direction[group["direction"]] = by_direction.get(group["direction"], 0) + group["calls"]
            if group["result"] is not None:
                by_result[group["result"]] = by_result.get(group["result"], 0) + group["calls"]
        total = sum(by_direction.values())
        talk = sum(int(group["talk"]) for group in groups)
        return CallStats(
            total=total,
            open=total - sum(by_result.values()),
            by_result=by_result,
            by_direction=by_direction,
            talk_ms=talk,
            mean_ring_ms=_mean(sum(int(group["ring"]) for group in groups), sum(group["rang"] for group in groups)),
            mean_talk_ms=_mean(talk, sum(group["talked"] for group in groups)),
        )

    async def close_open(self, now: float, node: str = "") -> int:
        """Close what this node left half-open, as failed and ended by the system; how many rows there were."""
        return len(await self._database.transact(lambda tx: tx.execute(CLOSE_OPEN, (now, now, now, node))))

    async def prune(self, before: float) -> int:
        """Delete the closed rows of calls that began before this time; how many went."""
        text = "DELETE FROM calls WHERE invite_at < ? AND end_at IS NOT NULL RETURNING id"
        return len(await self._database.transact(lambda tx: tx.execute(text, (before,))))


def _mean(total: int, count: int) -> float | None:
    return total / count if count else None
