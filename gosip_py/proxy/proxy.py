"""The stateful proxy (RFC 3261 16): forwards requests to targets that were chosen, and in dialogs along their routes.

Who is called and whether the caller may is decided above; here is only how a request travels.
"""

from __future__ import annotations

from typing import Protocol

from gosip_py.proxy.fork import Outcome, ResponseContext
from gosip_py.proxy.outcome import CallOutcome, NoOutcome, SessionOutcome
from gosip_py.proxy.route import (
    DIALOG_FORMING,
    TARGET_REFRESH,
    ProxyTarget,
    aim,
    has_hops_left,
    next_hop,
    take_routes,
)
from gosip_py.proxy.session import Caller, Session, Sessions
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from gosip_py.sip.uri import Uri, parse_uri
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = ["Proxy"]


class Transport(Protocol):
    """What the proxy asks of the transports."""

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port names one of our listeners."""


class Proxy:
    """Forwards; owns no dialog, but tells the sessions what passes."""

    def __init__(
        self,
        sender: Sender,
        transport: Transport,
        sessions: Sessions,
        timer_c_seconds: float,
    ) -> None:
        self._sender = sender
        self._transport = transport
        self._sessions = sessions
        self._timer_c_seconds = timer_c_seconds
        self._no_outcome = NoOutcome()

    def is_ours(self, uri: Uri) -> bool:
        """Whether a Route value names this server: an address of ours and no user (our Record-Route has none)."""
        return not uri.user and self._transport.is_local(uri.host, uri.port)

    # -- what arrives -----------------------------------------------------------------------------------------------

    def start_call(
        self,
        transaction: ServerTransaction,
        request: Request,
        targets: tuple[ProxyTarget, ...],
        caller: Caller,
        callee_user: str,
    ) -> None:
        """Forward an initial INVITE to every target as ``request``, and open its journal row."""
        call = self._sessions.start(transaction.request, transaction.flow, caller, callee_user)
        transaction.reply(100)
        context = self._context(transaction, CallOutcome(self._sessions, call))
        call.give_up = context.give_up
        try:
            context.start(targets, request)
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

    def relay(self, transaction: ServerTransaction, request: Request, targets: tuple[ProxyTarget, ...]) -> None:
        """Forward a request outside of any session as ``request``: MESSAGE, SUBSCRIBE, OPTIONS and the like."""
        self._context(transaction, self._no_outcome).start(targets, request)

    def relay_in_dialog(self, transaction: ServerTransaction, copy: Request, session: Session | None) -> None:
        """Forward ``copy``, which has no Route of ours, along its route set (12.2, 16.4).

        ParseError when a Route or the Request-URI cannot be read.
        """
        request = transaction.request
        if request.method == "INVITE":
            transaction.reply(100)
        target = self._in_dialog_target(copy, session)
        outcome: Outcome = self._no_outcome
        if session is not None:
            if request.method in TARGET_REFRESH:
                self._sessions.moved(session, request, transaction.flow)
            outcome = SessionOutcome(self._sessions, session, request)
        self._context(transaction, outcome).start_copies([(target, copy)])

    def receive_ack(self, ack: Request, arrived_on: Flow) -> None:
        """The ACK of a 2xx travels end to end and has no transaction (13.2.2.4, 16.11).

        One that cannot travel is dropped. Nobody can be asked for credentials here, so it must belong to a dialog that
        we know, or bear our Record-Route.
        """
        session = self._sessions.find(ack)
        copy = ack.copy()
        try:
            was_ours = take_routes(copy, arrived_on, self.is_ours)
            if not has_hops_left(copy) or (session is None and not was_ours):
                return
            where = aim(copy, self._in_dialog_target(copy, session))
        except ParseError:
            return
        self._sender.send_stateless(copy, where)

    # -- how it travels ---------------------------------------------------------------------------------------------

    def _context(self, transaction: ServerTransaction, outcome: Outcome) -> ResponseContext:
        is_dialog_forming = transaction.method in DIALOG_FORMING
        return ResponseContext(transaction, self._sender, outcome, self._timer_c_seconds, is_dialog_forming)

    def _in_dialog_target(self, copy: Request, session: Session | None) -> ProxyTarget:
        """The next Route, or the remote target on the flow of its phone: one behind a NAT is reached no other way."""
        if session is None or "route" in copy.names:
            return ProxyTarget(copy.uri_text, target_of(next_hop(copy)))
        receiver = session.sides(copy.from_tag)[1]
        uri_text, uri = copy.uri_text, copy.uri
        if uri_text != receiver.contact and receiver.contact and self._transport.is_local(uri.host, uri.port):
            # Some send to our address and not to the remote target (12.2.1.1); the dialog tells whom they mean.
            uri_text, uri = receiver.contact, parse_uri(receiver.contact)
        where = target_of(uri)
        if receiver.flow is not None and uri_text == receiver.contact:
            where = Target(where.transport, where.host, where.port, receiver.flow)
        return ProxyTarget(uri_text, where)
