"""Sessions: the SIP dialogs that the server tracks, those of now from memory, those that have ended from the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import attrs
from pydantic import Field

from gosip_py.store import sessions as store
from gosip_py.store.records import SessionRow
from gosip_py.web.endpoint import Call, One, Paged, endpoint
from gosip_py.web.live import LiveSessions
from gosip_py.web.problem import not_found
from gosip_py.web.shapes import Instant, IsoTime, ListQuery, Nothing, Shown, Text, View, one_of

__all__ = ["SessionQuery", "SessionResource", "SessionView"]

State = Literal["early", "active", "terminated"]


class SessionView(View):
    """A dialog (RFC 3261 12) and its session timer (RFC 4028).

    `session_expires` and `min_se` are in seconds, `refresher` is as the last answer said it. Until it ends, a session
    with a timer tells when it expires, and which side is to refresh it before.
    """

    id: str
    call_id: Shown
    from_tag: Shown
    to_tag: Shown
    state: State
    caller_uri: Shown
    callee_uri: Shown
    remote_target: Shown
    route_set: list[Shown]
    created_at: IsoTime
    answered_at: IsoTime | None
    ended_at: IsoTime | None
    ended_by: str | None
    session_expires: int | None
    refresher: str | None
    min_se: int | None = None
    expires_at: IsoTime | None = None
    refreshed_by: Literal["caller", "callee"] | None = None


class SessionQuery(ListQuery):
    """Filters of the list of sessions; `from_time` is inclusive, `to_time` is not."""

    sort: Annotated[str, *one_of(store.LISTING.sorts)] = "created_at"
    order: Literal["asc", "desc"] = "desc"
    state: tuple[State, ...] | None = None
    call_id: Text | None = None
    uri: Text | None = Field(None, description="A part of the caller's or callee's URI.")
    from_time: Instant | None = None
    to_time: Instant | None = None

    def matches(self, row: SessionRow) -> bool:
        """Whether the filters leave a live session."""
        if self.uri is not None and not any(
            self.uri.casefold() in uri.casefold() for uri in (row.caller_uri, row.callee_uri)
        ):
            return False
        return (
            (self.state is None or row.state in self.state)
            and (self.call_id is None or row.call_id == self.call_id)
            and (self.from_time is None or row.created_at >= self.from_time)
            and (self.to_time is None or row.created_at < self.to_time)
        )


def _view(row: SessionRow) -> SessionView:
    return SessionView.model_validate(attrs.asdict(row, recurse=False) | {"route_set": json.loads(row.route_set)})


class SessionResource:
    """list and get."""

    def __init__(self, live: LiveSessions, stored: store.Sessions) -> None:
        self._live = live
        self._stored = stored

    @endpoint("GET", "/api/sessions")
    async def index(self, call: Call[Nothing, SessionQuery]) -> Paged[SessionView]:
        """A page of sessions: those of now first, then those that have ended, each in the order asked for."""
        query = call.query
        live = self._sorted_live(query)
        shown = live[query.offset : query.offset + query.per_page]
        ended, total = await self._ended(query, max(0, query.offset - len(live)), query.per_page - len(shown))
        rows = [_view(row) for row in (*shown, *ended)]
        return Paged(rows, len(live) + total, query.page, query.per_page)

    @endpoint("GET", "/api/sessions/{id}")
    async def get(self, call: Call[Nothing, Nothing], id: str) -> One[SessionView]:
        """A session."""
        row = next((row for row in self._live.list() if row.id == id), None) or await self._stored.get(id)
        if row is None:
            raise not_found("session")
        return One(_view(row))

    def _sorted_live(self, query: SessionQuery) -> list[SessionRow]:
        def key(row: SessionRow) -> tuple[bool, Any, str]:
            value = getattr(row, query.sort)
            # As the store has it: what has no value comes last, whichever the order.
            return (value is None) is not query.is_descending, value if value is not None else 0, row.id

        found = [row for row in self._live.list() if query.matches(row)]
        return sorted(found, key=key, reverse=query.is_descending)

    async def _ended(self, query: SessionQuery, offset: int, limit: int) -> tuple[Sequence[SessionRow], int]:
        if query.state is not None and "terminated" not in query.state:
            return (), 0
        page = await self._stored.list(
            offset=offset,
            limit=limit,
            sort=query.sort,
            descending=query.is_descending,
            # A row that the store holds as live is either in memory, and shown from there, or not yet written as ended.
            filters=query.filters() | {"state": "terminated"},
        )
        return page.rows, page.total
