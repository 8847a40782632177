"""The client side of a transaction: one request that we send (RFC 3261 17.1, 9.1, RFC 6026)."""

from __future__ import annotations

from typing import ClassVar

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.index import TransactionIndex
from gosip_py.transaction.machines import INVITE_CLIENT, NON_INVITE_CLIENT, Effect, Signal, State
from gosip_py.transaction.matching import client_key
from gosip_py.transaction.transaction import SHARED_EFFECTS, Perform, Rows, Transaction, performed
from gosip_py.transaction.user import ClientOwner, Failure
from gosip_py.transport.flow import Flow

__all__ = ["ClientTransaction"]

_MAX_FORWARDS = "Max-Forwards: 70"
_COPIED = frozenset(("from", "call-id", "route"))
_OVER = frozenset((State.COMPLETED, State.TERMINATED))


class ClientTransaction(Transaction):
    """A request that was sent, and the responses to it.

    ``request`` has our Via on top, with ``branch``. It is there until the final response has been handed up, and that
    of an INVITE with a 2xx as long as further ones may come. ``owner`` None means that nobody cares about the
    responses.
    """

    __slots__ = ("_reason", "branch", "owner")

    _invite_rows: ClassVar[Rows]
    _other_rows: ClassVar[Rows]

    def __init__(
        self, index: TransactionIndex, request: Request, flow: Flow, branch: str, owner: ClientOwner | None
    ) -> None:
        rows = self._invite_rows if request.method == "INVITE" else self._other_rows
        key = client_key(request.method, branch)
        Transaction.__init__(self, index, rows, key, request, flow)
        self.owner = owner
        self.branch = branch
        self._reason: str | None = None
        index.clients[key] = self
        index.watch(flow, self)

    def start(self) -> None:
        """Send the request. For the transaction room only."""
        self.step(Signal.START)
        if not self.flow.is_open:
            # It told of its failure before we were there to hear it. The owner is told later, as of any failure.
            self._repeat_after(0, Signal.TRANSPORT_ERROR)

    def receive(self, response: Response) -> None:
        """A response that matches. For the transaction room only.

        ParseError when it is about another call than the request (RFC 3261 8.2.6.2), or its To cannot be read: handed
        up, it would set up a call that nobody could end.
        """
        self._compare(response)
        status = response.status
        if status < 200:
            self.step(Signal.RESPONSE_1XX, response)
        else:
            self.step(Signal.RESPONSE_2XX if status < 300 else Signal.RESPONSE_3XX_6XX, response)

    def _compare(self, response: Response) -> None:
        request = getattr(self, "request", None)
        if request is None:
            response.ids()
        elif not response.is_about(request):
            raise ParseError("Call-ID, From tag or CSeq of the response are not those of the request", 0, response)

    def cancel(self, reason: str | None = None) -> None:
        """Cancel an INVITE (9.1): after a provisional response, not at all after the final one, and at most once.

        ``reason`` is the value of a Reason header (RFC 3326). The owner gets the final response to the INVITE as
        always, which may be a 2xx that was faster, or a time-out when none comes within 64*T1. Refused for other
        methods.
        """
        if self._state is State.CALLING or self._state is State.PROCEEDING:
            self._reason = reason
        self.step(Signal.CANCEL)

    def _finish(self) -> None:
        Transaction._finish(self)
        self._index.clients.pop(self._key, None)
        self._index.unwatch(self.flow, self)

    def _let_go(self) -> None:
        self.owner = None
        self.drop_request()

    def _fail(self, failure: Failure) -> None:
        owner = self.owner
        self.owner = None
        if owner is not None:
            owner.client_failed(self, failure)
        self.drop_request()

    def _for_this_hop(self, method: str, answered: Message) -> Request:
        """A request about the INVITE, to where it went: what ACK (17.1.1.3) and CANCEL (9.1) have in common.

        The To is that of ``answered``.
        """
        request = self.request
        top = request.names.index("via")
        names, lines = ["via", "max-forwards"], [request.lines[top], _MAX_FORWARDS]
        for name, line in zip(request.names, request.lines, strict=True):
            if name in _COPIED:
                names.append(name)
                lines.append(line)
        names += ("to", "cseq", "content-length")
        lines += (
            answered.lines[answered.names.index("to")],
            f"CSeq: {request.cseq.number} {method}",
            "Content-Length: 0",
        )
        return Request(method, request.uri_text, names, lines)


def _send(transaction: ClientTransaction, _message: object) -> None:
    data = transaction.request.to_bytes()
    flow = transaction.flow
    if not flow.is_reliable:
        transaction._sent = data
    flow.send(data)


def _send_ack(transaction: ClientTransaction, response: Response) -> None:
    transaction._sent = data = transaction._for_this_hop(
        "ACK", response if "to" in response.names else transaction.request
    ).to_bytes()
    transaction.flow.send(data)


def _send_cancel(transaction: ClientTransaction, _message: object) -> None:
    """Cancel in a transaction of its own, whose responses say nothing that the INVITE's do not."""
    cancel = transaction._for_this_hop("CANCEL", transaction.request)
    if transaction._reason is not None:
        cancel.add("reason", transaction._reason)
    ClientTransaction(transaction._index, cancel, transaction.flow, transaction.branch, None).start()


def _pass_up(transaction: ClientTransaction, response: Response) -> None:
    owner = transaction.owner
    is_over = transaction._state in _OVER
    if is_over:
        transaction.owner = None
    try:
        if owner is not None:
            owner.receive_response(transaction, response)
    except Exception:
        transaction.log.failure("a {status} response broke its owner", status=response.status)
    if is_over:
        transaction.drop_request()
    elif transaction._state is State.ACCEPTED:
        transaction._sent = b""


def _time_out(transaction: ClientTransaction, _message: object) -> None:
    transaction._fail(Failure.TIMEOUT)


def _transport_error(transaction: ClientTransaction, _message: object) -> None:
    transaction._fail(Failure.TRANSPORT)


_EFFECTS: dict[Effect, Perform] = SHARED_EFFECTS | {
    Effect.SEND: _send,
    Effect.SEND_ACK: _send_ack,
    Effect.SEND_CANCEL: _send_cancel,
    Effect.PASS_UP: _pass_up,
    Effect.TIMEOUT: _time_out,
    Effect.TRANSPORT_ERROR: _transport_error,
}
ClientTransaction._invite_rows = performed(INVITE_CLIENT, _EFFECTS)
ClientTransaction._other_rows = performed(NON_INVITE_CLIENT, _EFFECTS)
