"""Brings each message from the transports to its transaction, and what is new to the user (RFC 3261 17)."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from gosip_py.metrics import HistogramCell, Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.ids import new_branch, new_tag
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import explain, reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.index import KNOWN_METHODS, TransactionIndex, method_label
from gosip_py.transaction.machines import Signal
from gosip_py.transaction.matching import has_cookie, merge_key, old_ack_key, response_key, server_key
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import TimerWheel, Timing
from gosip_py.transaction.user import ClientOwner, TransactionUser
from gosip_py.transport.flow import Flow, Target

__all__ = ["FlowSource", "Limits", "TransactionLayer"]


class FlowSource(Protocol):
    """Whoever gives flows: the transport layer."""

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        """A flow to ``target`` for a message of ``size`` octets."""


@attrs.frozen
class Limits:
    """``transactions`` in flight above which a new request is refused, to be tried again in ``retry_after`` seconds."""

    transactions: int = 200_000
    retry_after: int = 5


class TransactionLayer:
    """Stands between the transports, whose user it is, and ``user``.

    ``wheel`` is there for the longer timers of whoever stands above. ``strays`` counts responses that belong to no
    transaction.
    """

    def __init__(
        self,
        clock: IReactorTime,
        transport: FlowSource,
        user: TransactionUser,
        metrics: Metrics,
        timing: Timing | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.wheel = TimerWheel(clock)
        self.strays = 0
        self._transport = transport
        self._metrics = metrics
        self._limits = limits or Limits()
        self._most = self._limits.transactions
        self._index = TransactionIndex(self.wheel, timing or Timing(), user, metrics)
        self._servers = self._index.servers
        self._clients = self._index.clients
        self._seconds: dict[str, HistogramCell] = {}
        # One tag for whatever is answered without a transaction, by which its ACK is known (RFC 3261 8.2.7).
        self._stateless_tag = new_tag()
        metrics.transactions_in_flight.read_from(self._index.__len__)
        metrics.transport_events.read_from("unmatched_responses", lambda: self.strays)

    @property
    def user(self) -> TransactionUser:
        """Who gets what is new. May be set until the first message arrives."""
        return self._index.user

    @user.setter
    def user(self, user: TransactionUser) -> None:
        self._index.user = user

    @property
    def in_flight(self) -> int:
        """How many transactions are not yet terminated."""
        return len(self._index)

    def stop(self) -> None:
        """End every transaction, telling nobody; new requests are refused from now on."""
        self._most = 0
        for transaction in self._index.everything():
            transaction.end()
        self._index.settled.clear()
        self.wheel.stop()

    # -- what the user asks for --------------------------------------------------------------------------------------

    def start_client(
        self, request: Request, flow: Flow, owner: ClientOwner | None, mark: str = ""
    ) -> ClientTransaction:
        """Send ``request`` on ``flow`` with our Via put on top, whose branch ends in ``mark``.

        The request is the layer's from now on: fork a ``copy()``.
        """
        branch = new_branch() + mark
        request.push_via(flow.via_head + branch)
        transaction = ClientTransaction(self._index, request, flow, branch, owner)
        transaction.start()
        return transaction

    def start_client_to(
        self, request: Request, target: Target, owner: ClientOwner | None, *, allow_upgrade: bool = True
    ) -> ClientTransaction:
        """As ``start_client``, on the flow that the transports choose for a message of this size.

        When a large request went by TCP in place of UDP and fails, RFC 3261 18.1.1 wants it tried again with
        ``allow_upgrade`` False.
        """
        size = len(request.to_bytes()) + len(target.host) + _VIA_SIZE
        return self.start_client(request, self._transport.flow_to(target, size, allow_upgrade), owner)

    def send_stateless(self, request: Request, flow: Flow) -> None:
        """Send ``request`` once on ``flow`` with our Via put on top: the ACK of a 2xx (RFC 3261 13.2.2.4, 16.11)."""
        request.push_via(flow.via_head + new_branch())
        flow.send(request.to_bytes())

    def is_merged(self, transaction: ServerTransaction) -> bool:
        """Whether this request reached us before on another way, and is to be refused with 482 (RFC 3261 8.2.2.2).

        For whoever is the UAS of the request, to be asked before the first response, once. A proxy does not ask: what
        is merged to a UAS is a spiral to a proxy.
        """
        request = transaction.request
        if request.to_tag:
            return False
        key = merge_key(request)
        first = self._index.merging.setdefault(key, transaction)
        if first is transaction:
            transaction._merge_key = key
        return first is not transaction

    # -- what the transports tell ------------------------------------------------------------------------------------

    def receive_request(self, request: Request, flow: Flow) -> None:
        """A request with a marked top Via. ParseError when it has nothing to match it by."""
        if self._index.settled:
            self._drop_settled()
        method = request.method
        if method == "ACK":
            self._receive_ack(request, flow)
            return
        key = server_key(request, method)
        known = self._servers.get(key)
        if known is not None:
            known.step(Signal.REQUEST, request)
        elif len(self._servers) + len(self._clients) >= self._most and not self._relieves(request):
            headers = (("retry-after", str(self._limits.retry_after)),)
            self._answer_statelessly(request, flow, 503, "The server is overloaded: try again later", headers)
        elif method == "CANCEL":
            self._receive_cancel(ServerTransaction(self._index, key, request, flow), request)
        else:
            self._receive_new(ServerTransaction(self._index, key, request, flow), method)

    def receive_response(self, response: Response, flow: Flow) -> None:
        """A response. One that nobody waits for is dropped (RFC 6026 7.3, RFC 4320 4.2)."""
        if self._index.settled:
            self._drop_settled()
        transaction = self._clients.get(response_key(response))
        if transaction is None:
            self.strays += 1
        else:
            transaction.receive(response)

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        """Bytes that are no SIP message: counted, and answered with a 400 or 513 where that is possible."""
        message = error.message
        kind = "garbage" if message is None else "request" if isinstance(message, Request) else "response"
        self._metrics.parse_errors.child(kind).inc()
        if isinstance(message, Request) and message.method != "ACK":
            try:
                self._answer_statelessly(message, flow, error.status, error.reason)
            except ParseError:
                pass  # without a Via that can be read there is no way back

    def flow_failed(self, flow: Flow, reason: str) -> None:
        """Tell the transactions on ``flow``."""
        for transaction in tuple(self._index.by_flow.get(flow, ())):
            transaction.fail_flow()

    # -- steps of these ----------------------------------------------------------------------------------------------

    def _drop_settled(self) -> None:
        """Let go of the requests that were answered: whoever answered them has returned by now."""
        settled = self._index.settled
        for transaction in settled:
            transaction.drop_request()
        settled.clear()

    def _relieves(self, request: Request) -> bool:
        """Whether a request is welcome even above the limit: it ends what is going on."""
        return request.method == "CANCEL" and self._find_cancelled(request) is not None

    def _receive_new(self, transaction: ServerTransaction, method: str) -> None:
        cell = self._seconds.get(method) or self._seconds_cell(method)
        start = perf_counter()
        transaction.step(Signal.REQUEST)
        cell.observe(perf_counter() - start)
        if transaction.status == 0:
            transaction.step(Signal.UNANSWERED)

    def _seconds_cell(self, method: str) -> HistogramCell:
        cell = self._metrics.handler_seconds.child(method_label(method))
        if method in KNOWN_METHODS:
            self._seconds[method] = cell
        return cell

    def _receive_ack(self, ack: Request, flow: Flow) -> None:
        invite = (
            self._servers.get(server_key(ack, "INVITE")) if has_cookie(ack.top_via.branch) else self._old_invite(ack)
        )
        if invite is not None:
            invite.step(Signal.ACK, ack)
            if invite.is_terminated:
                invite._let_go()  # over a reliable transport there is no Timer I to wait for
        elif ack.to_tag != self._stateless_tag:
            self._index.user.receive_ack(ack, flow)

    def _old_invite(self, ack: Request) -> ServerTransaction | None:
        return self._index.old_acks.get(old_ack_key(ack, ack.to_tag))

    def _receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """RFC 3261 9.2: answered hop by hop, by us; only an INVITE without a final response cares."""
        # No machine passes a CANCEL up; its transaction is here to answer retransmissions.
        transaction.receive_unseen()
        cancelled = self._find_cancelled(cancel)
        if cancelled is None:
            transaction.reply(
                481,
                explanation="No transaction matches this CANCEL, or it is over: send it with the branch of its request",
            )
            return
        if cancelled.method == "INVITE":
            transaction.to_tag = cancelled.to_tag
        transaction.reply(200)
        if cancelled.method == "INVITE" and not cancelled.is_final_sent:
            self._cancel(cancelled, cancel)

    def _find_cancelled(self, cancel: Request) -> ServerTransaction | None:
        found = self._servers.get(server_key(cancel, "INVITE"))
        if found is not None:
            return found
        others = KNOWN_METHODS - {"ACK", "CANCEL", "INVITE"}
        keys = (server_key(cancel, method) for method in sorted(others))
        return next((self._servers[key] for key in keys if key in self._servers), None)

    def _cancel(self, invite: ServerTransaction, cancel: Request) -> None:
        if invite.owner is None:
            invite.reply(487)
        else:
            invite.owner.receive_cancel(invite, cancel)

    def _answer_statelessly(
        self, request: Request, flow: Flow, status: int, explanation: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        response = explain(reply(request, status, to_tag=self._stateless_tag), explanation)
        for name, value in headers:
            response.add(name, value)
        flow.answering(request.top_via).send(response.to_bytes())
        self._index.response_cell(request.method, status).inc()


_VIA_SIZE = 80  # octets that our Via will add, besides the host in it
