"""The stateful proxy (RFC 3261 16): forwards requests to targets that were chosen, and in dialogs along their routes.

Who is called and whether the caller may is decided above; here is only how a request travels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from gosip_py.proxy.bye import ByeBothWays
from gosip_py.proxy.flow_token import Flows, FlowTokens, asks_for_its_flow, is_token
from gosip_py.proxy.fork import Outcome, Patience, ResponseContext
from gosip_py.proxy.onward import Dereference, Onward, along
from gosip_py.proxy.outcome import CallOutcome, NoOutcome, SessionOutcome
from gosip_py.proxy.redirect import Lookup, contacts
from gosip_py.proxy.route import (
    DIALOG_FORMING,
    ProxyTarget,
    RouteRecorder,
    aim,
    has_hops_left,
    take_routes,
)
from gosip_py.proxy.session import Caller, Session, Sessions
from gosip_py.proxy.target_set import keep_whole
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.reply import explain, reply
from gosip_py.sip.uri import Uri
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy, ask
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Flow, Target

__all__ = ["Proxy"]

NO_TIMERS = SessionTimerPolicy("off")
RING_SECONDS = 30.0


class Transport(Flows, Protocol):
    """What the proxy asks of the transports."""

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port names one of our listeners."""


class Proxy:
    """Forwards; owns no dialog, but tells the sessions what passes, and hangs up for them.

    ``session_timer`` is what it asks for in a request that begins or refreshes a session (RFC 4028 8). ``ring_seconds``
    is how long the phones of one q ring before those of the next do; ``recurses`` whether a 3xx of one of our phones is
    followed to another of our people.

    ``tokens`` bind dialogs to the flows of their phones; without them they are proved by a secret of this run.
    ``is_own_domain`` knows the names under which we serve, besides the addresses. ``dereference`` finds who a GRUU in a
    dialog stands for.
    """

    def __init__(
        self,
        sender: Sender,
        transport: Transport,
        sessions: Sessions,
        timer_c_seconds: float,
        session_timer: SessionTimerPolicy = NO_TIMERS,
        ring_seconds: float = RING_SECONDS,
        recurses: bool = True,
        tokens: FlowTokens | None = None,
        is_own_domain: Callable[[Uri], bool] | None = None,
        dereference: Dereference | None = None,
    ) -> None:
        self._sender = sender
        self._transport = transport
        self._sessions = sessions
        self._patience = Patience(timer_c_seconds, ring_seconds)
        self._recurses = recurses
        self._session_timer = session_timer
        self._no_outcome = NoOutcome()
        self._is_own_domain = is_own_domain
        self._tokens = tokens if tokens is not None else FlowTokens(os.urandom(32), transport)
        self._recorder = RouteRecorder(self._tokens, caller_stays=False)
        self._staying_recorder = RouteRecorder(self._tokens, caller_stays=True)
        self._onward = Onward(self._tokens, self._is_local, dereference)
        sessions.farewell = ByeBothWays(sender, self.is_ours, dereference)

    def is_ours(self, uri: Uri) -> bool:
        """Whether a Route value names this server: an address or a name of ours, and no user but a flow token."""
        if uri.user and not is_token(uri.user):
            return False
        return self._is_local(uri) or (self._is_own_domain is not None and self._is_own_domain(uri))

    def _is_local(self, uri: Uri) -> bool:
        return self._transport.is_local(uri.host, uri.port)

    # -- what arrives -----------------------------------------------------------------------------------------------

    def start_call(
        self,
        transaction: ServerTransaction,
        request: Request,
        targets: tuple[ProxyTarget, ...],
        caller: Caller,
        callee_user: str,
        lookup: Lookup | None = None,
    ) -> None:
        """Forward an initial INVITE to every target as ``request``, and open its journal row.

        ``lookup`` finds those of our own people that a phone sends the call on to; None when the Request-URI is not
        ours to change (RFC 3261 16.5).
        """
        named = self._named_by_route(transaction, request, targets)
        if isinstance(named, Refusal):
            self.refuse_call(transaction, named.status, named.explanation, caller, callee_user)
            return
        call = self._sessions.start(transaction.request, transaction.flow, caller, callee_user)
        transaction.reply(100)
        outcome = CallOutcome(self._sessions, call, self._session_timer)
        context = self._context(transaction, outcome, lookup, outcome.ask)
        call.give_up = context.give_up
        try:
            context.start(named, request)
        except Exception:
            # Our own mistake, answered with 500 and logged by the transaction; the books close all the same.
            call.end("failed", 500, "Server Internal Error", "system")
            raise

    def refuse_call(
        self, transaction: ServerTransaction, status: int, explanation: str, caller: Caller, callee_user: str
    ) -> None:
        """Answer an initial INVITE ourselves; it has its journal row like any call."""
        request = transaction.request
        call = self._sessions.start(request, transaction.flow, caller, callee_user)
        transaction.reply(status, explanation=explanation)
        CallOutcome(self._sessions, call).failure(reply(request, status), True)

    def relay(
        self,
        transaction: ServerTransaction,
        request: Request,
        targets: tuple[ProxyTarget, ...],
        outcome: Outcome | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        """Forward a request outside of any session as ``request``: MESSAGE, SUBSCRIBE, OPTIONS and the like.

        ``outcome`` hears what becomes of it, and may answer in place of whoever refused it. ``lookup`` as in
        `start_call`.
        """
        named = self._named_by_route(transaction, request, targets)
        if isinstance(named, Refusal):
            self._refuse(transaction, named, outcome or self._no_outcome)
        else:
            self._context(transaction, outcome or self._no_outcome, lookup).start(named, request)

    def redirect_call(
        self,
        transaction: ServerTransaction,
        request: Request,
        targets: tuple[ProxyTarget, ...],
        caller: Caller,
        callee_user: str,
    ) -> None:
        """Answer an initial INVITE with the contacts of whoever it is for, and open and close its journal row."""
        call = self._sessions.start(transaction.request, transaction.flow, caller, callee_user)
        self.redirect(transaction, request, targets)
        CallOutcome(self._sessions, call).failure(reply(transaction.request, transaction.status), True)

    def redirect(self, transaction: ServerTransaction, request: Request, targets: tuple[ProxyTarget, ...]) -> None:
        """Tell the sender of any request where to send it (RFC 3261 8.3).

        404 when that is nowhere else than where it was sent to.
        """
        found = contacts(targets, request.uri_text)
        if found:
            transaction.reply(302, headers=[("contact", value) for value in found])
        else:
            transaction.reply(404, explanation="whoever has this address is nowhere else")

    def relay_in_dialog(self, transaction: ServerTransaction, copy: Request, session: Session | None) -> None:
        """Forward ``copy``, which has no Route of ours but a flow token, along its route set (12.2, 16.4).

        ParseError when a Route or the Request-URI cannot be read.
        """
        request = transaction.request
        if request.method == "INVITE":
            transaction.reply(100)
        target = self._onward.target(copy, session, transaction.flow)
        outcome: Outcome = self._no_outcome
        if session is not None:
            asked = ask(self._session_timer, copy)
            self._sessions.heard(session, request, transaction.flow)
            outcome = SessionOutcome(self._sessions, session, request, asked)
        if isinstance(target, Refusal):
            self._refuse(transaction, target, outcome)
        else:
            self._context(transaction, outcome).start_copy(target, copy)

    def receive_ack(self, copy: Request, arrived_on: Flow, session: Session | None, is_granted: bool) -> None:
        """The ACK of a 2xx travels end to end and has no transaction (13.2.2.4, 16.11).

        One that cannot travel is dropped. Nobody can be asked for credentials here, so it must belong to a dialog that
        we know; ``is_granted`` says that its INVITE bore some. Whoever writes our Record-Route into any other has no
        name looked up and no connection made for it: of a dialog that we forgot, it goes to an address at most.
        """
        try:
            was_ours = take_routes(copy, arrived_on, self.is_ours)
            if not has_hops_left(copy) or (session is None and not was_ours):
                return
            target = self._onward.target(copy, session, arrived_on)
            if isinstance(target, Refusal):
                return
            keep_whole(copy)
            where = aim(copy, target)
        except ParseError:
            return
        if session is not None or is_granted or _costs_nothing(where):
            self._sender.send_stateless(copy, where)

    # -- how it travels ---------------------------------------------------------------------------------------------

    def _context(
        self,
        transaction: ServerTransaction,
        outcome: Outcome,
        lookup: Lookup | None = None,
        prepare: Callable[[Request], None] | None = None,
    ) -> ResponseContext:
        recorder: RouteRecorder | None = None
        if transaction.method in DIALOG_FORMING:
            stays = asks_for_its_flow(transaction.request, transaction.flow)
            recorder = self._staying_recorder if stays else self._recorder
        lookup = lookup if self._recurses else None
        return ResponseContext(transaction, self._sender, outcome, self._patience, recorder, lookup, prepare)

    def _named_by_route(
        self, transaction: ServerTransaction, request: Request, targets: tuple[ProxyTarget, ...]
    ) -> tuple[ProxyTarget, ...] | Refusal:
        """The targets, or in their place the flow that a Route of ours names (RFC 5626 5.3.1)."""
        if "route" not in request.names:
            return targets
        named = self._tokens.take(request, transaction.flow)
        if isinstance(named, Flow):
            return (ProxyTarget(request.uri_text, along(named), is_direct=True, stays_on_flow=True),)
        return named or targets

    def _refuse(self, transaction: ServerTransaction, refusal: Refusal, outcome: Outcome) -> None:
        """Answer a request that cannot travel; whoever keeps its books is told as if it had."""
        response = reply(transaction.request, refusal.status, to_tag=transaction.to_tag)
        outcome.failure(explain(response, refusal.explanation), True)
        transaction.respond(response)


def _costs_nothing(where: Target) -> bool:
    """Whether what is sent there is one packet, and nothing before it."""
    if where.flow is not None and where.flow.is_open:
        return True
    return where.transport == "UDP" and numeric_address(where.host) is not None
