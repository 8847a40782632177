"""What the answer to a forwarded request means for the books: calls, sessions, or nothing."""

from __future__ import annotations

from gosip_py.events import EndedBy, Result
from gosip_py.proxy.session import Call, Party, Session, Sessions
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.session_timer import REFRESHING, Asked, SessionTimerPolicy, agree, ask
from gosip_py.transport.flow import Flow

__all__ = ["CallOutcome", "NoOutcome", "SessionOutcome"]

_CHALLENGES = frozenset((401, 407))
# Who refused said so for the person at the phone; other codes tell of trouble on the way.
_REJECTIONS = frozenset((403, 406, 486, 488, 600, 603, 606))
_NO_ANSWER = frozenset((408, 480))


class CallOutcome:
    """The answers to an initial INVITE. ``session_timer`` is what `ask` asks for."""

    __slots__ = ("_asked", "_call", "_session_timer", "_sessions", "_was_cancelled")

    def __init__(self, sessions: Sessions, call: Call, session_timer: SessionTimerPolicy | None = None) -> None:
        self._sessions = sessions
        self._call = call
        self._session_timer = session_timer
        self._asked: Asked | None = None
        self._was_cancelled = False

    def ask(self, copy: Request) -> None:
        """Put the session timer into a copy of the INVITE that goes downstream; of each it is the same."""
        if self._session_timer is not None:
            self._asked = ask(self._session_timer, copy)

    def provisional(self, response: Response, phone_flow: Flow | None) -> None:
        self._call.ringing(response.status, response.to_tag)
        self._sessions.early(self._call, response, phone_flow)

    def success(self, response: Response, phone_flow: Flow | None) -> None:
        agree(self._asked, response)
        session = self._sessions.early(self._call, response, phone_flow)
        if session is not None:
            self._sessions.answered(self._call, session, response, self._asked)

    def failure(self, response: Response, is_ours: bool) -> None:
        result, ended_by = self._judge(response.status, is_ours)
        self._call.end(result, response.status, response.reason, ended_by)

    def cancelled(self) -> None:
        self._was_cancelled = True

    def _judge(self, status: int, is_ours: bool) -> tuple[Result, EndedBy]:
        ended_by: EndedBy = "system" if is_ours else "callee"
        if self._was_cancelled:
            return "cancelled", "caller"
        if 300 <= status < 400:
            return "redirected", ended_by
        if status in _REJECTIONS and not is_ours:
            return "rejected", ended_by
        if status in _NO_ANSWER:
            return "no_answer", ended_by
        return "failed", ended_by


class SessionOutcome:
    """The answers to a request within a tracked dialog. ``asked`` is the session timer that it asks for."""

    __slots__ = ("_asked", "_receiver", "_request", "_sender_side", "_session", "_sessions")

    def __init__(self, sessions: Sessions, session: Session, request: Request, asked: Asked | None = None) -> None:
        self._asked = asked
        self._sessions = sessions
        self._session = session
        self._request = request
        from_tag = request.from_tag
        self._sender_side: EndedBy = session.side_name(from_tag)
        self._receiver: Party = session.sides(from_tag)[1]

    def provisional(self, response: Response, phone_flow: Flow | None) -> None:
        """A ringing re-INVITE changes nothing."""

    def success(self, response: Response, phone_flow: Flow | None) -> None:
        method = self._request.method
        if method == "BYE":
            self._sessions.ended(self._session, self._sender_side)
        elif method in REFRESHING:
            agree(self._asked, response)
            self._sessions.refreshed(self._session, response, self._receiver, self._asked)

    def failure(self, response: Response, is_ours: bool) -> None:
        """A BYE ends the dialog whatever answers it (RFC 3261 15.1.1), but a challenge: to that another BYE follows."""
        if self._request.method == "BYE" and response.status not in _CHALLENGES:
            self._sessions.ended(self._session, self._sender_side)

    def cancelled(self) -> None:
        """A cancelled re-INVITE leaves the session as it was (RFC 3261 14.1)."""


class NoOutcome:
    """Requests that no book is kept of."""

    __slots__ = ()

    def provisional(self, response: Response, phone_flow: Flow | None) -> None:
        """Nothing to note."""

    def success(self, response: Response, phone_flow: Flow | None) -> None:
        """Nothing to note."""

    def failure(self, response: Response, is_ours: bool) -> None:
        """Nothing to note."""

    def cancelled(self) -> None:
        """Nothing to note."""
