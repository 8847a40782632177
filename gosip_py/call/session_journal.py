"""The sessions list: what passes through the proxy as rows, live from memory and written behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from gosip_py.events import EndedBy
from gosip_py.metrics import Metrics
from gosip_py.proxy.session import Session, Sessions
from gosip_py.store.records import SessionRow
from gosip_py.store.write_behind import WriteBehind

__all__ = ["LiveSession", "LiveSessions", "SessionJournal", "row_of"]

Write = Callable[[Sequence[SessionRow]], Awaitable[None]]


class SessionJournal:
    """Writes each session when it is answered, refreshed and ended; a short one only once.

    ``node`` names this server.
    """

    def __init__(self, clock: IReactorTime, write: Write, metrics: Metrics, node: str = "") -> None:
        self._node = node
        self._write_rows = write
        self._behind: WriteBehind[str, Session] = WriteBehind(clock, self._write)
        metrics.rows_dropped.read_from("sessions", lambda: self._behind.dropped)

    def note(self, session: Session) -> None:
        """Take over the session as it is when it is written."""
        self._behind.put(session.id, session)

    async def close(self) -> None:
        """Write what is left."""
        await self._behind.close()

    async def _write(self, sessions: list[Session]) -> None:
        await self._write_rows([row_of(session, self._node) for session in sessions])


@attrs.frozen
class LiveSession(SessionRow):
    """A row with what is true only while the session goes on: the rest of its session timer (RFC 4028).

    It expires at ``expires_at`` in epoch seconds unless ``refreshed_by`` refreshes it.
    """

    expires_at: float | None = None
    min_se: int | None = None
    refreshed_by: EndedBy | None = None


class LiveSessions:
    """The sessions of now, for the API."""

    def __init__(self, sessions: Sessions, node: str = "") -> None:
        self._sessions = sessions
        self._node = node

    def list(self) -> Sequence[SessionRow]:
        """Every dialog, early and active."""
        return [self._live(session) for session in self._sessions]

    def _live(self, session: Session) -> LiveSession:
        row = attrs.asdict(row_of(session, self._node), recurse=False)
        return LiveSession(
            **row, expires_at=session.expires_at, min_se=session.min_se, refreshed_by=session.refreshed_by
        )


def row_of(session: Session, node: str) -> SessionRow:
    """The session as it is now; the remote target is the callee's, where the caller's requests go."""
    return SessionRow(
        id=session.id,
        call_id=session.call_id,
        from_tag=session.caller.tag,
        to_tag=session.callee.tag,
        state=session.state,
        caller_uri=session.caller_uri,
        callee_uri=session.callee_uri,
        created_at=session.created_at,
        remote_target=session.callee.contact,
        route_set=session.route_set_json,
        answered_at=session.answered_at,
        ended_at=session.ended_at,
        ended_by=session.ended_by,
        session_expires=session.session_expires,
        refresher=session.refresher,
        node=node,
    )
