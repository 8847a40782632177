"""What must stand in the books once a call is over."""

from __future__ import annotations

from typing import Any

from tests.running import RunningServer, until

LINGER_SECONDS = 10.0
"""More than 64 T1 of the servers that these tests start (RFC 3261 17.1.2.2), whose T1 is 50 ms."""


async def closed_row(server: RunningServer) -> dict[str, Any]:
    """The one row of the journal, once it is closed; fails when there are more, also later."""

    async def probe() -> list[dict[str, Any]]:
        return await server.api.rows("/api/call_journals")

    def is_closed(rows: list[dict[str, Any]]) -> bool:
        return len(rows) > 0 and all(row["end_at"] is not None for row in rows)

    rows = await until(probe, is_closed)
    if len(rows) != 1:
        raise AssertionError(f"one call has {len(rows)} rows: {rows}")
    return rows[0]


async def outcome(server: RunningServer) -> tuple[str, int, str]:
    """result, final_code and ended_by of the only call, once everything else is back where it was before it."""
    row = await closed_row(server)
    await nothing_is_left(server)
    return row["result"], row["final_code"], row["ended_by"]


async def nothing_is_left(server: RunningServer) -> None:
    """Every session is terminated and the gauges of the dialogs are 0."""

    async def probe() -> tuple[list[str], float, float]:
        states = [row["state"] for row in await server.api.rows("/api/sessions")]
        active = await server.api.metric("sip_active_dialogs")
        return states, active, await server.api.metric("sip_dialog_entries")

    await until(probe, lambda found: set(found[0]) <= {"terminated"} and found[1:] == (0.0, 0.0))


async def transactions_end(server: RunningServer) -> None:
    """sip_transactions_in_flight is 0 again, as soon as the timers allow."""
    await until(lambda: server.api.metric("sip_transactions_in_flight"), lambda count: count == 0.0, LINGER_SECONDS)
