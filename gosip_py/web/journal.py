"""The call journal: one row for each call, with filters, sums and CSV. /api/cdrs is the same by its other name."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import AsyncIterator, Sequence
from io import StringIO
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from gosip_py.store import calls as store
from gosip_py.store.directory import Directory
from gosip_py.store.records import CallRow
from gosip_py.web.endpoint import Call, One, Paged, Stream, endpoint
from gosip_py.web.live import LiveLadders
from gosip_py.web.ownership import call_names
from gosip_py.web.problem import not_found
from gosip_py.web.shapes import Instant, IsoTime, ListQuery, Nothing, RowId, Text, View, iso_time, one_of

__all__ = ["JournalQuery", "JournalResource", "JournalView", "StatsView", "csv_cell"]

EXPORT_ROWS = 200
"""Rows read and sent at a time: some milliseconds of work, for calls are not to wait behind it."""

Outcome = Literal["answered", "rejected", "cancelled", "no_answer", "failed", "redirected", "voicemail", "blocked"]
Direction = Literal["inbound", "outbound", "internal"]


def _read_json(given: object) -> object:
    return json.loads(given) if isinstance(given, str) else given


class NoteView(View):
    """Something that happened to a call, such as a transfer or a pickup. `call_id` is the id of another call."""

    at: IsoTime
    kind: str
    by: str = ""
    target: str = ""
    result: str = ""
    call_id: str = ""


class JournalView(View):
    """One call; `ring_ms` and `talk_ms` are milliseconds, `result` is null while the call lasts.

    `linked_to` has the ids of the calls that came of this one or that it came of.
    """

    id: str
    call_id: str
    init_branch: str
    from_tag: str
    to_tag: str
    caller_user: str
    callee_user: str
    caller_uri: str
    callee_uri: str
    direction: Direction
    did_id: int | None
    device_id: int | None
    invite_at: IsoTime
    first_18x_at: IsoTime | None
    answer_at: IsoTime | None
    end_at: IsoTime | None
    result: Outcome | None
    final_code: int | None
    final_reason: str
    ring_ms: int | None
    talk_ms: int | None
    ended_by: Literal["caller", "callee", "system"] | None
    rule: str
    spam_score: float | None
    recording_id: str | None
    history: Annotated[list[NoteView], BeforeValidator(_read_json)]
    linked_to: Annotated[list[str], BeforeValidator(_read_json)]


class RungView(View):
    """One SIP message of a call, with its secrets masked; `direction` is "note" for a remark of the server.

    `leg` counts the Call-IDs of the call from 1; 0 is all of them.
    """

    at: IsoTime
    direction: Literal["in", "out", "note"]
    transport: str
    local: str
    peer: str
    leg: int
    first_line: str
    text: str


class LadderView(View):
    """The SIP messages of a call, in the order of time."""

    id: str
    messages: list[RungView]


class StatsView(View):
    """Sums over calls; the means are null when there is nothing to average."""

    total: int
    open: int
    by_result: dict[str, int]
    by_direction: dict[str, int]
    talk_ms: int
    mean_ring_ms: float | None
    mean_talk_ms: float | None


class _Filters(BaseModel):
    """What may be asked for; `from_time` is inclusive, `to_time` is not."""

    from_time: Instant | None = None
    to_time: Instant | None = None
    user: tuple[Text, ...] | None = Field(None, description="The caller or the callee.")
    number: Text | None = Field(None, description="A part of the caller or the callee.")
    result: tuple[Outcome, ...] | None = None
    direction: tuple[Direction, ...] | None = None
    call_id: Text | None = None
    device_id: RowId | None = None
    did_id: RowId | None = None
    is_open: bool | None = Field(None, description="Whether the call still lasts.")


class JournalQuery(ListQuery, _Filters):
    """Filters of the journal."""

    sort: Annotated[str, *one_of(store.LISTING.sorts)] = "id"
    order: Literal["asc", "desc"] = "desc"


class SumQuery(_Filters):
    """Filters of sums and of the CSV file."""

    model_config = ListQuery.model_config

    def filters(self) -> dict[str, object]:
        """The filters that were given."""
        return {name: value for name, value in self if value is not None}


class JournalResource:
    """list, get, ladder, stats and export. A user sees the calls made or received under the own names."""

    def __init__(self, journal: store.CallJournal, directory: Directory, ladders: LiveLadders) -> None:
        self._journal = journal
        self._directory = directory
        self._ladders = ladders

    @endpoint("GET", "/api/cdrs", role="user")
    @endpoint("GET", "/api/call_journals", role="user")
    async def index(self, call: Call[Nothing, JournalQuery]) -> Paged[JournalView]:
        """A page of calls, the newest first."""
        query = call.query
        page = await self._journal.list(
            offset=query.offset,
            limit=query.per_page,
            sort=query.sort,
            descending=query.is_descending,
            filters=self._visible(call, query.filters()),
        )
        return Paged([JournalView.model_validate(row) for row in page.rows], page.total, query.page, query.per_page)

    @endpoint("GET", "/api/cdrs/stats", role="user")
    @endpoint("GET", "/api/call_journals/stats", role="user")
    async def stats(self, call: Call[Nothing, SumQuery]) -> One[StatsView]:
        """Sums over the calls that the filters leave."""
        sums = await self._journal.stats(self._visible(call, call.query.filters()))
        return One(StatsView.model_validate(sums))

    @endpoint("GET", "/api/cdrs/export", role="user", media_type="text/csv")
    @endpoint("GET", "/api/call_journals/export", role="user", media_type="text/csv")
    async def export(self, call: Call[Nothing, SumQuery]) -> Stream:
        """The calls that the filters leave as a CSV file, the oldest first."""
        filters = self._visible(call, call.query.filters())
        # Calls that come while it is written would push rows from one read into the next.
        filters.setdefault("to_time", call.now)
        return Stream(self._lines(filters), "text/csv; charset=utf-8", "calls.csv")

    @endpoint("GET", "/api/cdrs/{id}", role="user")
    @endpoint("GET", "/api/call_journals/{id}", role="user")
    async def get(self, call: Call[Nothing, Nothing], id: str) -> One[JournalView]:
        """A call."""
        return One(JournalView.model_validate(await self._find(call, id)))

    @endpoint("GET", "/api/cdrs/{id}/ladder", role="user")
    @endpoint("GET", "/api/call_journals/{id}/ladder", role="user")
    async def ladder(self, call: Call[Nothing, Nothing], id: str) -> One[LadderView]:
        """The SIP messages of a call, also while it goes on."""
        row = await self._find(call, id)
        rungs = await self._ladders.read(row.id)
        if rungs is None:
            raise not_found("ladder")
        return One(LadderView(id=row.id, messages=[RungView.model_validate(rung) for rung in rungs]))

    async def _find(self, call: Call[Any, Any], wanted: str) -> CallRow:
        row = await self._journal.get(wanted)
        if row is None or not self._is_visible(call, row):
            raise not_found("call")
        return row

    def _is_visible(self, call: Call[Any, Any], row: CallRow) -> bool:
        names = call_names(self._directory, call.user)
        return call.is_admin or row.caller_user in names or row.callee_user in names

    def _visible(self, call: Call[Any, Any], filters: dict[str, Any]) -> dict[str, Any]:
        """The filters, narrowed to what the caller may see."""
        if call.is_admin:
            return filters
        names = call_names(self._directory, call.user)
        wanted = filters.get("user", names)
        return filters | {"user": tuple(name for name in wanted if name in names)}

    async def _lines(self, filters: dict[str, Any]) -> AsyncIterator[bytes]:
        columns = tuple(JournalView.model_fields)
        yield _csv_lines([columns])
        seen, is_more = 0, True
        while is_more:
            page = await self._journal.list(
                offset=seen, limit=EXPORT_ROWS, sort="invite_at", descending=False, filters=filters
            )
            rows, is_more = page.rows, len(page.rows) == EXPORT_ROWS
            yield _csv_lines([[_text(name, getattr(row, name)) for name in columns] for row in rows])
            filters, seen = _after(rows, filters, seen)


def _after(rows: Sequence[CallRow], filters: dict[str, Any], seen: int) -> tuple[dict[str, Any], int]:
    """The filters for what follows these rows, and how many rows of that moment have been seen.

    A time is found by its index; an offset alone would be counted out anew for each part of a long file.
    """
    if not rows:
        return filters, seen
    last = rows[-1].invite_at
    here = sum(row.invite_at == last for row in rows)
    return filters | {"from_time": last}, here + (seen if filters.get("from_time") == last else 0)


def _csv_lines(rows: Any) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    return iso_time(value) if name.endswith("_at") and isinstance(value, float) else csv_cell(str(value))


def csv_cell(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula; numbers stay as they are.

    What is in it was chosen by whoever called.
    """
    is_formula = text.startswith(("=", "@", "\t", "\r", "+", "-")) and not re.fullmatch(r"[+\-]?[0-9.]+", text)
    return f"'{text}" if is_formula else text
