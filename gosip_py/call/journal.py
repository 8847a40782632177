"""The journal: listens to the calls and keeps one row for each, open with the INVITE and closed exactly once.

Rows are made when they are written, not when a call changes: a short call costs one row, however many events it had.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from gosip_py.events import Bus, CallAnswered, CallEnded, CallNoted, CallRinging, CallStarted
from gosip_py.metrics import Metrics
from gosip_py.store.records import CallRow
from gosip_py.store.write_behind import WriteBehind

__all__ = ["Journal"]

MOST_NOTES = 64
"""How much of what happens to one call its row tells: whoever transfers in a circle must not fill the store."""

TOLD = ("by", "target", "result", "call_id")

Write = Callable[[Sequence[CallRow]], Awaitable[None]]


class _Entry:
    """One call as far as it is known."""

    __slots__ = ("answered", "ended", "notes", "ringing_at", "started")

    def __init__(self, started: CallStarted) -> None:
        self.started = started
        self.ringing_at: float | None = None
        self.answered: CallAnswered | None = None
        self.ended: CallEnded | None = None
        self.notes: tuple[CallNoted, ...] = ()


class Journal:
    """Writes the rows behind the calls. ``node`` names this server in them."""

    def __init__(self, clock: IReactorTime, write: Write, bus: Bus, metrics: Metrics, node: str = "") -> None:
        self._node = node
        self._open: dict[str, _Entry] = {}
        self._write_rows = write
        self._behind: WriteBehind[str, _Entry] = WriteBehind(clock, self._write)
        metrics.journal_backlog.read_from(lambda: self._behind.pending)
        metrics.rows_dropped.read_from("calls", lambda: self._behind.dropped)
        bus.subscribe(CallStarted, self._started)
        bus.subscribe(CallRinging, self._ringing)
        bus.subscribe(CallAnswered, self._answered)
        bus.subscribe(CallNoted, self._noted)
        bus.subscribe(CallEnded, self._ended)

    @property
    def backlog(self) -> int:
        """Rows that are not in the store yet."""
        return self._behind.pending

    async def flush(self) -> None:
        """Write what is known so far; raises DatabaseUnavailable when the store is away."""
        await self._behind.flush()

    async def close(self) -> None:
        """Write what is left; called after every call was ended."""
        await self._behind.close()

    def _started(self, event: CallStarted) -> None:
        entry = self._open[event.id] = _Entry(event)
        self._behind.put(event.id, entry)

    def _ringing(self, event: CallRinging) -> None:
        self._open[event.id].ringing_at = event.at

    def _answered(self, event: CallAnswered) -> None:
        entry = self._open[event.id]
        entry.answered = event
        self._behind.put(event.id, entry)

    def _noted(self, event: CallNoted) -> None:
        entry = self._open.get(event.id)
        if entry is not None and len(entry.notes) < MOST_NOTES:
            entry.notes += (event,)
            self._behind.put(event.id, entry)

    def _ended(self, event: CallEnded) -> None:
        entry = self._open.pop(event.id)
        entry.ended = event
        self._behind.put(event.id, entry)

    async def _write(self, entries: list[_Entry]) -> None:
        await self._write_rows([self._row(entry) for entry in entries])

    def _row(self, entry: _Entry) -> CallRow:
        started, answered, ended = entry.started, entry.answered, entry.ended
        answer_at = answered.at if answered is not None else None
        end_at = ended.at if ended is not None else None
        history, linked_to = _told(entry.notes)
        return CallRow(
            id=started.id,
            call_id=started.call_id,
            direction=started.direction,
            invite_at=started.at,
            init_branch=started.init_branch,
            from_tag=started.from_tag,
            to_tag=answered.to_tag if answered is not None else "",
            caller_user=started.caller_user,
            callee_user=started.callee_user,
            caller_uri=started.caller_uri,
            callee_uri=started.callee_uri,
            did_id=started.did_id,
            device_id=started.device_id,
            first_18x_at=entry.ringing_at,
            answer_at=answer_at,
            end_at=end_at,
            result=ended.result if ended is not None else None,
            final_code=ended.final_code if ended is not None else (answered.code if answered is not None else None),
            final_reason=ended.final_reason if ended is not None else "",
            ring_ms=_milliseconds(entry.ringing_at, answer_at if answer_at is not None else end_at),
            talk_ms=_milliseconds(answer_at, end_at),
            ended_by=ended.ended_by if ended is not None else None,
            node=self._node,
            history=history,
            linked_to=linked_to,
        )


def _told(notes: Sequence[CallNoted]) -> tuple[str, str]:
    """What happened on the way, and the other calls that it links this one to, each once."""
    if not notes:
        return "[]", "[]"
    history = [{"at": note.at, "kind": note.kind, **{name: note.what.get(name, "") for name in TOLD}} for note in notes]
    linked = dict.fromkeys(call_id for note in notes if (call_id := note.what.get("call_id", "")))
    return json.dumps(history), json.dumps(list(linked))


def _milliseconds(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else round((end - start) * 1000)
