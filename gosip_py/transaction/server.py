"""The server side of a transaction: one request that we answer (RFC 3261 17.2, RFC 6026, RFC 4320)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via
from gosip_py.sip.ids import new_tag
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.reply import explain, reply
from gosip_py.transaction.index import TransactionIndex
from gosip_py.transaction.machines import INVITE_SERVER, NON_INVITE_SERVER, Effect, Signal, State
from gosip_py.transaction.matching import has_cookie, old_ack_key
from gosip_py.transaction.transaction import SHARED_EFFECTS, Perform, Rows, Transaction, performed
from gosip_py.transaction.user import Failure, ServerOwner
from gosip_py.transport.flow import Flow

__all__ = ["ServerTransaction"]

_TERMINATED = State.TERMINATED
_TAG_MASK = 0xFFFF_FFFF_FFFF_FFFF


class ServerTransaction(Transaction):
    """A request that was received, and the responses to it.

    Whoever takes it sets ``owner`` and responds, at once or later. ``request`` is there until the call in which the
    final response was sent has returned to the reactor: who needs it longer keeps it. ``flow`` is where the request
    came from, ``status`` the code that was sent last (0 before the first).
    """

    __slots__ = ("_answering", "_merge_key", "_old_ack_key", "_to_tag", "_via", "owner", "status")

    _invite_rows: ClassVar[Rows]
    _other_rows: ClassVar[Rows]

    def __init__(self, index: TransactionIndex, key: str, request: Request, flow: Flow) -> None:
        rows = self._invite_rows if request.method == "INVITE" else self._other_rows
        Transaction.__init__(self, index, rows, key, request, flow)
        self.owner: ServerOwner | None = None
        self.status = 0
        self._answering: Flow | None = None
        self._via: Via | None = None
        self._to_tag = ""
        self._merge_key = ""
        self._old_ack_key = ""
        index.servers[key] = self
        if flow.is_reliable:
            # Datagrams fail one by one: there the timers notice it.
            index.watch(flow, self)

    @property
    def to_tag(self) -> str:
        """The To tag of every response that we make ourselves: the request's, or one of ours. A UAS may set its own."""
        tag = self._to_tag
        if not tag:
            tag = self._to_tag = _tag_of(self.request) or new_tag()
        return tag

    @to_tag.setter
    def to_tag(self, tag: str) -> None:
        self._to_tag = tag

    @property
    def is_final_sent(self) -> bool:
        return self.status >= 200

    def reply_and_forget(
        self, status: int, reason: str = "", explanation: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """As `reply`, keeping nothing: the answer to a retransmission is made anew, with the same To tag (8.2.7).

        For challenges, which anybody may ask for. An INVITE is kept, for its refusal is followed by an ACK.
        """
        if self.method != "INVITE" and not self._to_tag and not _tag_of(self.request):
            # Nobody outside knows the seed of hash().
            self._to_tag = f"{hash(self._key) & _TAG_MASK:016x}"
        self.reply_once(status, reason, explanation, headers)
        if self.method != "INVITE":
            self.end()

    def reply_once(
        self, status: int, reason: str = "", explanation: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """As `reply`, with a refusal that is repeated only for who repeats the request.

        Else each INVITE with a forged address would send many responses there (26.3.2.4). After a 100, which ends the
        repeating of the INVITE, it is a `reply`.
        """
        was_silent = self.status == 0
        self.reply(status, reason, explanation, headers)
        if was_silent and self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None

    def receive_unseen(self) -> None:
        """Take a CANCEL, which the layer answers and the TU never sees as a transaction.

        For the transaction room only.
        """
        self._state = State.TRYING

    def reply(
        self, status: int, reason: str = "", explanation: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Respond with a response without a body: ``headers`` are canonical names with values.

        ``explanation`` says in a Warning what to do about it. Nothing happens after the final response.
        """
        if self.status >= 200 or self._state is _TERMINATED:
            return
        request = self.request
        response = _trying(request) if status == 100 else reply(request, status, reason, to_tag=self.to_tag)
        if explanation:
            explain(response, explanation)
        for name, value in headers:
            response.add(name, value)
        self.respond(response)

    def respond(self, response: Response) -> None:
        """Send ``response``, which the caller made or forwards.

        What the machine has no use for any more is dropped silently.
        """
        status = response.status
        if status >= 200:
            if status == 408 and self.method != "INVITE":
                return  # RFC 4320 4.2: it would come too late; the transaction ends without a response
            self.step(Signal.RESPONSE_2XX if status < 300 else Signal.RESPONSE_3XX_6XX, response)
        elif self.method == "INVITE" or self._may_send_provisional(status):
            self.step(Signal.RESPONSE_1XX, response)

    def _may_send_provisional(self, status: int) -> bool:
        """RFC 4320 4.1: to a non-INVITE only a 100, and by datagram only once our timer has sent one."""
        return status == 100 and (self.flow.is_reliable or self._state is not State.TRYING)

    def _finish(self) -> None:
        index = self._index
        Transaction._finish(self)
        index.servers.pop(self._key, None)
        if self._merge_key:
            index.merging.pop(self._merge_key, None)
        if self._old_ack_key:
            index.old_acks.pop(self._old_ack_key, None)
        if self.flow.is_reliable:
            index.unwatch(self.flow, self)

    def _let_go(self) -> None:
        self.owner = None
        self.drop_request()

    def _fail(self, failure: Failure) -> None:
        owner = self.owner
        if self._state is _TERMINATED:
            _ = self.to_tag  # an owner who is still busy may make a response, of which nothing will come
            self._let_go()
        if owner is not None:
            owner.server_failed(self, failure)

    def _settle(self, response: Response) -> None:
        """The final response is on its way: keep what its retransmissions need, and no more."""
        if self.method != "INVITE":
            self.owner = None
        else:
            self._settle_invite(response)
        self._index.settled.append(self)

    def _settle_invite(self, response: Response) -> None:
        # While the request is here: a CANCEL may ask for the tag later.
        self._to_tag = _tag_of(response) or self.to_tag
        if not has_cookie(self.request.top_via.branch):
            self._old_ack_key = old_ack_key(self.request, self._to_tag)
            self._index.old_acks[self._old_ack_key] = self
        if response.status < 300:
            self._sent = b""  # RFC 6026 7.1: retransmissions of a 2xx are the TU's
            if self.flow.is_reliable:
                self._via = self.request.top_via

    def _way(self) -> Flow:
        """Where responses go: another connection when the one before is gone (RFC 3261 18.2.2)."""
        way = self._answering
        if way is None or (not way.is_open and self.status < 200):
            return self.flow.answering(self.request.top_via)
        # A 2xx is repeated until its ACK comes (13.3.1.4), and by now the request may have been dropped.
        return way if way.is_open or self._via is None else self.flow.answering(self._via)


def _tag_of(message: Message) -> str:
    try:
        return message.to_tag
    except ParseError:
        return ""  # a To that cannot be read is copied as it is, and refused by whoever validates


def _trying(request: Request) -> Response:
    """The 100 of our own. It alone repeats the Timestamp (RFC 3261 8.2.6.1)."""
    response = reply(request, 100)
    if "timestamp" in request.names:
        response.add("timestamp", request.require("timestamp"))
    return response


def _send(transaction: ServerTransaction, response: Response) -> None:
    way = transaction._answering
    if way is None or not way.is_open:
        way = transaction._answering = transaction._way()
    transaction._sent = data = response.to_bytes()
    way.send(data)
    if transaction.status < 200:
        status = transaction.status = response.status
        transaction._index.response_cell(transaction.method, status).inc()
        if status >= 200:
            transaction._settle(response)


def _resend(transaction: ServerTransaction, _message: object) -> None:
    if transaction._sent and transaction._answering is not None:
        transaction._answering.send(transaction._sent)


def _send_trying(transaction: ServerTransaction, _message: object) -> None:
    _send(transaction, _trying(transaction.request))


def _pass_up(transaction: ServerTransaction, _message: object) -> None:
    """Hand the request to the TU. Whatever it cannot cope with is answered all the same."""
    try:
        transaction._index.user.receive_request(transaction)
    except ParseError as error:
        # A header that nobody looked at before turned out to be none.
        transaction.reply(400, explanation=error.reason)
    except Exception:
        transaction.log.failure("a {method} request broke its user", method=transaction.method)
        transaction.reply(500)


def _pass_ack_up(transaction: ServerTransaction, ack: Request) -> None:
    transaction._index.user.receive_ack(ack, transaction.flow)


def _time_out(transaction: ServerTransaction, _message: object) -> None:
    transaction._fail(Failure.TIMEOUT)


def _transport_error(transaction: ServerTransaction, _message: object) -> None:
    transaction._fail(Failure.TRANSPORT)


_EFFECTS: dict[Effect, Perform] = SHARED_EFFECTS | {
    Effect.SEND: _send,
    Effect.RESEND: _resend,
    Effect.SEND_TRYING: _send_trying,
    Effect.PASS_UP: _pass_up,
    Effect.PASS_ACK_UP: _pass_ack_up,
    Effect.TIMEOUT: _time_out,
    Effect.TRANSPORT_ERROR: _transport_error,
}
ServerTransaction._invite_rows = performed(INVITE_SERVER, _EFFECTS)
ServerTransaction._other_rows = performed(NON_INVITE_SERVER, _EFFECTS)
