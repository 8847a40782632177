"""A softphone without a voice: registers, calls, answers and hangs up over UDP (RFC 3261 as a user agent)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from gosip_py import __version__
from gosip_py.demo.dialog import Dialog, new_request
from gosip_py.demo.watched import Note, WatchedTransport
from gosip_py.metrics import Metrics
from gosip_py.sip.digest import answer_challenge, ha1, parse_challenge
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address
from gosip_py.sip.ids import new_call_id, new_tag, new_token
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.user import Failure
from gosip_py.transaction.validation import Validation, allowed_methods, supported_extensions, syntax
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.layer import TransportLayer

__all__ = ["Account", "Answering", "NoAnswer", "Refused", "Softphone"]

LOOPBACK = "127.0.0.1"
METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS")
# Where the responses to a challenge go, and what brought it (RFC 3261 22.2, 22.3).
_CHALLENGES = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}


class NoAnswer(Exception):
    """A request got no final response; the text says to what and why."""


class Refused(Exception):
    """A request was refused; the text has the code and the reason."""


@attrs.frozen
class Account:
    """Who the phone is to the server, and its password."""

    user: str
    domain: str
    password: str = attrs.field(repr=False)

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{self.domain}"


@attrs.frozen
class Answering:
    """What a phone does with a call: looks for its person, rings, and answers with ``status``. Times are in seconds."""

    looks: float = 0.3
    rings: float = 0.5
    status: int = 200


class Softphone:
    """Listens on a free loopback port from the start; ``server`` is its outbound proxy. ``async stop()`` at the end."""

    def __init__(
        self, reactor: Any, account: Account, server: Target, note: Note, answering: Answering | None = None
    ) -> None:
        self.reactor = reactor
        self.answering = answering or Answering()
        self.incoming: dict[tuple[str, str, str], _Incoming] = {}
        self._called: set[tuple[str, str, str]] = set()
        self._account = account
        self._server = server
        self._number = 0
        metrics = Metrics()
        self._transport = TransportLayer(reactor, metrics)
        self._watched = WatchedTransport(self._transport, note)
        self._watched.layer = self._layer = TransactionLayer(reactor, self._watched, self, metrics)
        self.port = self._transport.listen_udp(LOOPBACK, 0).port
        self.contact = f"<sip:{account.user}@{LOOPBACK}:{self.port}>"
        self._validation = Validation(*syntax(), allowed_methods(METHODS), supported_extensions(()))

    async def stop(self) -> None:
        """Close the socket; nobody is told."""
        for incoming in tuple(self.incoming.values()):
            incoming.close()
        self._layer.stop()
        await self._transport.stop()

    # -- what its person does ------------------------------------------------------------------------------------------

    async def register(self) -> None:
        """Register for five minutes (10.2); Refused or NoAnswer when that fails."""
        aor = self._account.aor
        us = Address("", aor, {"tag": new_tag()})
        request = new_request(
            "REGISTER", f"sip:{self._account.domain}", us, Address("", aor), new_call_id(LOOPBACK), self._next_number()
        )
        request.add("contact", self.contact)
        request.add("expires", "300")
        await self._succeed(request, self._server)

    async def call(self, user: str) -> Dialog:
        """The dialog with whoever answers for ``user``, acknowledged; Refused or NoAnswer when nobody does (13.2)."""
        account = self._account
        callee = f"sip:{user}@{account.domain}"
        us = Address(account.user.capitalize(), account.aor, {"tag": new_tag()})
        request = new_request("INVITE", callee, us, Address("", callee), new_call_id(LOOPBACK), self._next_number())
        request.add("contact", self.contact)
        request.add("allow", ", ".join(METHODS))
        request.set_body(silence(), "application/sdp")
        dialog = Dialog.of_caller(await self._succeed(request, self._server))
        self._called.add(dialog.id)
        return dialog

    async def hang_up(self, dialog: Dialog) -> None:
        """End the dialog (15.1.1); Refused or NoAnswer when the other side does not confirm it."""
        self._called.discard(dialog.id)
        await self._succeed(dialog.request("BYE", self._next_number()), dialog.next_hop)

    # -- asking --------------------------------------------------------------------------------------------------------

    async def _succeed(self, request: Request, hop: Target) -> Response:
        """The 2xx to the request, after one challenge at most."""
        response = await self._ask(request.copy(), hop)
        credentials = self._credentials(request, response)
        if credentials is not None:
            again = request.copy()
            again.set("cseq", f"{self._next_number()} {request.method}")
            again.add(*credentials)
            response = await self._ask(again, hop)
        if response.status >= 300:
            user = self._account.user
            raise Refused(f"{user}'s {request.method} was refused with {response.status} {response.reason}")
        return response

    async def _ask(self, request: Request, hop: Target) -> Response:
        request.add("user-agent", f"gosip-demo/{__version__}")
        owner = _Outgoing(f"{self._account.user}'s {request.method}", self._acknowledge)
        self._layer.start_client_to(request, hop, owner)
        return await owner.answered

    def _credentials(self, request: Request, response: Response) -> tuple[str, str] | None:
        """The header that answers the first challenge that we know how to (RFC 8760 2.4); None when there is none."""
        asked, answered = _CHALLENGES.get(response.status, ("", ""))
        account = self._account
        for value in response.values(asked) if asked else ():
            try:
                challenge = parse_challenge(value)
                secret = ha1(challenge.algorithm, account.user, challenge.realm, account.password)
                credentials = answer_challenge(
                    challenge, account.user, secret, request.method, request.uri_text, new_token(16)
                )
            except ParseError:
                continue
            return answered, str(credentials)
        return None

    def _acknowledge(self, request: Request, response: Response) -> None:
        """Confirm a 2xx to our INVITE, each time that it comes (13.2.2.4)."""
        dialog = Dialog.of_caller(response)
        ack = dialog.request("ACK", response.cseq.number)
        for name in ("authorization", "proxy-authorization"):
            for value in request.values(name):
                ack.add(name, value)
        self._layer.send_stateless(ack, self._watched.flow_to(dialog.next_hop, len(ack.to_bytes())))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # -- being asked ---------------------------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        """A request for this phone."""
        request = transaction.request
        refusal = self._validation.refuse(request)
        if refusal is not None:
            refusal.send(transaction)
        elif self._layer.is_merged(transaction):
            transaction.reply(482)
        elif request.method == "OPTIONS":
            transaction.reply(200, headers=(("allow", ", ".join(METHODS)),))
        elif request.method == "INVITE" and not request.to_tag:
            _Incoming(self, transaction).start()
        else:
            self._receive_in_dialog(transaction, request)

    def _receive_in_dialog(self, transaction: ServerTransaction, request: Request) -> None:
        incoming = self._find(request)
        if incoming is None and _dialog_id(request) not in self._called:
            transaction.reply(481)
        elif request.method != "BYE":
            transaction.reply(488)  # 14.2: what was agreed on stays as it is
        else:
            transaction.reply(200)
            self._called.discard(_dialog_id(request))
            if incoming is not None:
                incoming.ended()

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        """The other side has our 2xx."""
        incoming = self._find(ack)
        if incoming is not None:
            incoming.acknowledged()

    def _find(self, request: Request) -> _Incoming | None:
        return self.incoming.get(_dialog_id(request))


class _Outgoing:
    """The owner of a request of ours; ``answered`` fires with its first final response, or fails with NoAnswer."""

    def __init__(self, name: str, acknowledge: Callable[[Request, Response], None]) -> None:
        self.answered: Deferred[Response] = Deferred()
        self._name = name
        self._acknowledge = acknowledge

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        if response.status < 200:
            return
        try:
            if transaction.method == "INVITE" and response.status < 300:
                self._acknowledge(transaction.request, response)
        except ParseError as error:
            self._fail(f"got an answer that makes no dialog: {error.reason}")
        if not self.answered.called:
            self.answered.callback(response)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        self._fail(f"got no answer: {failure.value}")

    def _fail(self, reason: str) -> None:
        if not self.answered.called:
            self.answered.errback(NoAnswer(f"{self._name} {reason}"))


class _Incoming:
    """A call that comes in, from its INVITE to the end of its dialog."""

    def __init__(self, phone: Softphone, transaction: ServerTransaction) -> None:
        self._phone = phone
        self._transaction = transaction
        self._request = transaction.request
        self._dialog = Dialog.of_callee(transaction.request, transaction.to_tag)
        self._timing = Timing()
        self._timer: IDelayedCall | None = None
        transaction.owner = self

    def start(self) -> None:
        """Take the call. Until the phone rings, the transaction layer says 100."""
        self._phone.incoming[self._dialog.id] = self
        self._after(self._phone.answering.looks, self._ring)

    def acknowledged(self) -> None:
        """Our 2xx has arrived: it is repeated no more."""
        if self._transaction.is_final_sent:
            self._cancel_timer()

    def ended(self) -> None:
        """The caller hung up, perhaps before we answered (15.1.2)."""
        self.close()
        self._transaction.reply(487)

    def close(self) -> None:
        """Nothing more is to be done for this call."""
        self._cancel_timer()
        self._phone.incoming.pop(self._dialog.id, None)

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up (9.2)."""
        self.close()
        transaction.reply(487)

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        self.close()

    def _ring(self) -> None:
        ringing = reply(self._request, 180, to_tag=self._dialog.local.tag)
        self._add_dialog_headers(ringing)
        self._transaction.respond(ringing)
        self._after(self._phone.answering.rings, self._answer)

    def _answer(self) -> None:
        status = self._phone.answering.status
        if status >= 300:
            self.close()
            self._transaction.reply(status)
            return
        response = reply(self._request, status, to_tag=self._dialog.local.tag)
        self._add_dialog_headers(response)
        response.add("allow", ", ".join(METHODS))
        response.set_body(silence(), "application/sdp")
        self._send(response, self._timing.t1, self._phone.reactor.seconds() + 64 * self._timing.t1)

    def _send(self, response: Response, interval: float, deadline: float) -> None:
        """Send the 2xx, again and again until its ACK comes (13.3.1.4)."""
        if self._phone.reactor.seconds() >= deadline:
            self.close()
            return
        self._transaction.respond(response)
        self._after(interval, self._send, response, min(2 * interval, self._timing.t2), deadline)

    def _add_dialog_headers(self, response: Response) -> None:
        """What makes a dialog of a response (12.1.1)."""
        for value in self._request.values("record-route"):
            response.add("record-route", value)
        response.add("contact", self._phone.contact)

    def _after(self, seconds: float, step: Callable[..., None], *arguments: object) -> None:
        self._timer = self._phone.reactor.callLater(seconds, step, *arguments)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _dialog_id(request: Request) -> tuple[str, str, str]:
    """The dialog that a request from the other side belongs to."""
    return request.call_id, request.to_tag, request.from_tag


def silence() -> bytes:
    """An SDP body (RFC 8866) of a phone that has no voice: one audio stream, inactive, on the discard port."""
    number = int(new_token(12), 16)
    lines = (
        "v=0", f"o=- {number} 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0", "m=audio 9 RTP/AVP 0",
        "a=inactive", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()
