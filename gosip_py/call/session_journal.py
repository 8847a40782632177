"""The sessions list: what passes through the proxy and the dialogs of our own as rows, live and written behind."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from gosip_py.dialog.dialog import Dialog
from gosip_py.events import EndedBy
from gosip_py.metrics import Metrics
from gosip_py.proxy.session import Session, Sessions
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import parse_address
from gosip_py.store.records import SessionRow
from gosip_py.store.write_behind import WriteBehind

__all__ = ["LiveSession", "LiveSessions", "SessionJournal", "row_of", "row_of_dialog"]

Write = Callable[[Sequence[SessionRow]], Awaitable[None]]


class SessionJournal:
    """Writes each session when it is answered, refreshed and ended; a short one only once.

    ``node`` names this server.
    """

    def __init__(self, clock: IReactorTime, write: Write, metrics: Metrics, node: str = "") -> None:
        self._node = node
        self._write_rows = write
        self._behind: WriteBehind[str, Session | Dialog] = WriteBehind(clock, self._write)
        metrics.rows_dropped.read_from("sessions", lambda: self._behind.dropped)

    def note(self, session: Session | Dialog) -> None:
        """Take over the session as it is when it is written."""
        self._behind.put(session.id, session)

    async def close(self) -> None:
        """Write what is left."""
        await self._behind.close()

    async def _write(self, sessions: list[Session | Dialog]) -> None:
        await self._write_rows([_row(session, self._node) for session in sessions])


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

    def __init__(self, sessions: Sessions, dialogs: Iterable[Dialog], node: str = "") -> None:
        self._sessions = sessions
        self._dialogs = dialogs
        self._node = node

    def list(self) -> Sequence[SessionRow]:
        """Every dialog, early and active."""
        ours = [row_of_dialog(dialog, self._node) for dialog in self._dialogs if _state_of(dialog) != "terminated"]
        return [*(self._live(session) for session in self._sessions), *ours]

    def _live(self, session: Session) -> LiveSession:
        row = attrs.asdict(row_of(session, self._node), recurse=False)
        return LiveSession(
            **row, expires_at=session.expires_at, min_se=session.min_se, refreshed_by=session.refreshed_by
        )


def _row(session: Session | Dialog, node: str) -> SessionRow:
    return row_of_dialog(session, node) if isinstance(session, Dialog) else row_of(session, node)


def row_of_dialog(dialog: Dialog, node: str) -> SessionRow:
    """A leg as it is now. We are one of its sides; the remote target is that of the other."""
    peer = dialog.peer
    ours, theirs = _uri_of(dialog.local), _uri_of(peer.address)
    is_caller = dialog.is_caller
    return SessionRow(
        id=f"{int(dialog.created_at * 1000):012x}{dialog.local_tag[:12]}",
        call_id=dialog.call_id,
        from_tag=dialog.local_tag if is_caller else peer.tag,
        to_tag=peer.tag if is_caller else dialog.local_tag,
        state=_state_of(dialog),
        caller_uri=ours if is_caller else theirs,
        callee_uri=theirs if is_caller else ours,
        created_at=dialog.created_at,
        remote_target=peer.target_uri,
        route_set=json.dumps(peer.routes),
        answered_at=dialog.answered_at,
        ended_at=dialog.ended_at,
        ended_by=_ended_by(dialog),
        session_expires=dialog.session_expires,
        refresher=dialog.refresher,
        node=node,
    )


def _state_of(dialog: Dialog) -> str:
    """One that was left is over, though its BYE or CANCEL may have to be answered yet."""
    return "active" if dialog.is_established else "early" if dialog.is_early else "terminated"


def _ended_by(dialog: Dialog) -> EndedBy | None:
    """In the words of the sessions: a caller is whoever sent the INVITE, and what was not the other side is us."""
    if dialog.ended_by is None:
        return None
    if dialog.ended_by != "peer":
        return "system"
    return "callee" if dialog.is_caller else "caller"


def _uri_of(address: str) -> str:
    try:
        return parse_address(address).uri_text
    except ParseError:
        return ""


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
