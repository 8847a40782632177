"""The stateful proxy (RFC 3261 16): forwards requests to the targets that somebody chose, and within dialogs along their routes.

Who is called and whether the caller may is decided above; here is only how a request travels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gosip_py.proxy.fork import Outcome, ResponseContext
from gosip_py.proxy.outcome import CallOutcome, NoOutcome, SessionOutcome
from gosip_py.proxy.route import DIALOG_FORMING, TARGET_REFRESH, ProxyTarget, aim, next_hop, take_routes
from gosip_py.proxy.session import Caller, Session, Sessions
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from gosip_py.sip.uri import Uri
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = ["Proxy"]


class Transport(Protocol):
    """What the proxy asks of the transports."""

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        """A flow to a numeric target."""

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port names one of our listeners."""


class Resolver(Protocol):
    """How names become addresses."""

    def resolve(self, host: str, callback: Callable[[tuple[str, ...]], None]) -> None:
        """Call back with numeric addresses, at once when ``host`` is one; with none when there are none."""


class Proxy:
    """Forwards; owns no dialog, but tells the sessions what passes."""

    def __init__(
        self,
        layer: TransactionLayer,
        transport: Transport,
        resolver: Resolver,
        sessions: Sessions,
        timer_c_seconds: float,
    ) -> None:
        self._layer = layer
        self._transport = transport
        self._resolver = resolver
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
        call = self._sessions.start(transaction.request, caller, callee_user)
        transaction.reply(100)
        self._context(transaction, CallOutcome(self._sessions, call, transaction.flow)).start(targets, request)

    def refuse_call(
        self, transaction: ServerTransaction, status: int, explanation: str, caller: Caller, callee_user: str
    ) -> None:
        """Answer an initial INVITE ourselves; it has its journal row like any call."""
        call = self._sessions.start(transaction.request, caller, callee_user)
        transaction.reply(status, explanation=explanation)
        CallOutcome(self._sessions, call, transaction.flow).failure(reply(transaction.request, status), True)

    def relay(self, transaction: ServerTransaction, request: Request, targets: tuple[ProxyTarget, ...]) -> None:
        """Forward a request outside of any session as ``request``: MESSAGE, SUBSCRIBE, OPTIONS and the like."""
        self._context(transaction, self._no_outcome).start(targets, request)

    def relay_in_dialog(self, transaction: ServerTransaction, session: Session | None) -> None:
        """Forward along the route set (12.2, 16.4). ParseError when a Route or the Request-URI cannot be read."""
        request = transaction.request
        if request.method == "INVITE":
            transaction.reply(100)
        copy = request.copy()
        take_routes(copy, transaction.flow, self.is_ours)
        target = self._in_dialog_target(copy, session)
        outcome: Outcome = self._no_outcome
        if session is not None:
            if request.method in TARGET_REFRESH:
                self._sessions.refreshed(session, request, session.sides(request.from_tag)[0])
            outcome = SessionOutcome(self._sessions, session, request)
        self._context(transaction, outcome).start_copies([(target, copy)])

    def receive_ack(self, ack: Request, arrived_on: Flow) -> None:
        """The ACK of a 2xx travels end to end and has no transaction (13.2.2.4, 16.11). One that cannot travel is dropped."""
        session = self._sessions.find(ack)
        copy = ack.copy()
        try:
            take_routes(copy, arrived_on, self.is_ours)
            if session is None and self.is_ours(next_hop(copy)):
                return
            target = self._in_dialog_target(copy, session)
            aim(copy, target)
        except ParseError:
            return
        self.reach(target.target, 0, lambda flow: None if flow is None else self._layer.send_stateless(copy, flow))

    # -- how it travels ---------------------------------------------------------------------------------------------

    def _context(self, transaction: ServerTransaction, outcome: Outcome) -> ResponseContext:
        is_dialog_forming = transaction.method in DIALOG_FORMING
        return ResponseContext(transaction, self._layer, self, outcome, self._timer_c_seconds, is_dialog_forming)

    def _in_dialog_target(self, copy: Request, session: Session | None) -> ProxyTarget:
        """The next Route, or the remote target on the flow it was heard on: a phone behind a NAT is reached no other way."""
        flow = None
        if session is not None and "route" not in copy.names:
            receiver = session.sides(copy.from_tag)[1]
            if receiver.contact == copy.uri_text or self.is_ours(copy.uri):
                flow = receiver.flow
        where = target_of(next_hop(copy))
        return ProxyTarget(
            copy.uri_text, where if flow is None else Target(where.transport, where.host, where.port, flow)
        )

    def reach(self, target: Target, size: int, then: Callable[[Flow | None], None], allow_upgrade: bool = True) -> None:
        """Find a flow to ``target`` and hand it on; a name is looked up first."""
        if target.flow is not None and target.flow.is_open:
            then(self._transport.flow_to(target, size, allow_upgrade))
            return

        def resolved(addresses: tuple[str, ...]) -> None:
            if not addresses:
                then(None)
                return
            numeric = Target(target.transport, addresses[0], target.port)
            then(self._transport.flow_to(numeric, size, allow_upgrade))

        self._resolver.resolve(target.host, resolved)
