"""What the other side offers within a dialog, or asks an offer for: re-INVITE, UPDATE and PRACK (RFC 3261 14.2, 3311).

An offer that changes nothing is answered here, as is an UPDATE without one: both refresh the session (RFC 4028 7.4).
Everything else is for the user of the dialog. Until an offer was accepted the session, and the remote target, stay as
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from gosip_py.dialog.offer import OPEN, Effect, Signal, State, negotiate
from gosip_py.dialog.refresh import grant_to
from gosip_py.dialog.session import session_of
from gosip_py.dialog.uas import Acceptance, respond
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.user import Failure

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["Exchange", "abandon", "is_negotiating", "negotiate", "offered_by", "receive_offer"]

_log = Logger()

_GLARE = "An offer of ours is under way: try again after a random time (RFC 3261 14.1)"
_LEAVING = "The call is over and its BYE on its way: nothing need be done"
_BUSY = "The request before this one is not answered yet: try again later"
_LONGEST_WAIT = 10  # seconds: RFC 3261 14.2, RFC 3311 5.2
_WAITING_FOR_UPDATE = frozenset((State.UPDATED, State.CALLING_REMOTE, State.RINGING_REMOTE))

_RECEIVED = {
    ("INVITE", True): Signal.RECEIVE_INVITE,
    ("INVITE", False): Signal.RECEIVE_EMPTY_INVITE,
    ("UPDATE", True): Signal.RECEIVE_UPDATE,
    ("PRACK", True): Signal.RECEIVE_PRACK_OFFER,
}


class Exchange:
    """An offer of the other side, in a re-INVITE, UPDATE or PRACK; or a re-INVITE that asks for ours: ``sdp`` is empty.

    To be answered once, by `accept` or `refuse`, now or later; an UPDATE or PRACK soon, for its sender waits no longer
    than 64*T1. ``is_over``: it was answered, the other side has taken it back, or the dialog is over. Of the last two
    ``when_withdrawn`` is told, once.
    """

    __slots__ = ("_server", "dialog", "is_over", "method", "request", "sdp", "when_withdrawn")

    def __init__(self, dialog: Dialog, server: ServerTransaction) -> None:
        self._server = server
        self.dialog = dialog
        self.request: Request = server.request
        self.method = self.request.method
        self.sdp = session_of(self.request)
        self.is_over = False
        self.when_withdrawn: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {'over' if self.is_over else 'open'}>"

    def accept(self, sdp: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer with a 2xx. ``sdp`` is the answer; to whom asks for it, the offer: then `acknowledged` has the answer.

        Later calls do nothing.
        """
        if not self._decide():
            return
        dialog, request = self.dialog, self.request
        response = respond(dialog, request, 200, "", headers, sdp)
        if self.method == "INVITE":
            dialog.peer.heard(request, self._server.flow)
            grant_to(dialog, request, response)
            negotiate(dialog, Signal.SEND_2XX)
            self._settle(sdp)
            self._server.owner = None
            ours = b"" if self.sdp else sdp
            Acceptance(dialog, self._server, response, request.cseq.number, _Acknowledged(dialog, ours).hear).start()
        else:
            if self.method == "UPDATE":
                dialog.peer.heard(request, self._server.flow)
                _grant_if_established(dialog, request, response)
            negotiate(dialog, Signal.SEND_ANSWER)
            self._settle(sdp)
            self._server.respond(response)
        dialog.go_on()

    def refuse(
        self, status: int, reason: str = "", explanation: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer with a refusal, as 488: the session stays as it was. Later calls do nothing."""
        if self._decide():
            self._roll_back()
            self._server.reply(status, reason, explanation, headers)
            self.dialog.go_on()

    def _decide(self) -> bool:
        if self.is_over:
            return False
        self.is_over = True
        self.dialog.exchange = None
        return True

    def _settle(self, sdp: bytes) -> None:
        if self.sdp:
            self.dialog.remote_sdp = self.sdp
            if sdp:
                self.dialog.local_sdp = sdp

    def _roll_back(self) -> None:
        negotiate(self.dialog, Signal.SEND_REFUSAL if self.method == "INVITE" else Signal.SEND_REJECTION)

    # -- what its transaction says -------------------------------------------------------------------------------------

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The re-INVITE is taken back, the dialog goes on (RFC 3261 9.2)."""
        self.withdraw()

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """Nobody waits for the answer any more."""
        self.withdraw()

    def withdraw(self) -> None:
        """Nobody wants to know the answer any more. For the dialog room only."""
        if not self.is_over:
            self.refuse(487)
            if self.when_withdrawn is not None:
                self.when_withdrawn()


class _Acknowledged:
    """Waits for the ACK to a 2xx of ours to a re-INVITE: it has the answer to ``offer``, if there is one (13.2.1)."""

    __slots__ = ("_dialog", "_offer")

    def __init__(self, dialog: Dialog, offer: bytes) -> None:
        self._dialog = dialog
        self._offer = offer

    def hear(self, sdp: bytes) -> None:
        dialog = self._dialog
        negotiate(dialog, Signal.RECEIVE_ACK)
        if self._offer and sdp:
            dialog.local_sdp, dialog.remote_sdp = self._offer, sdp
        dialog.user.acknowledged(dialog, sdp if self._offer else b"")
        dialog.go_on()


def receive_offer(dialog: Dialog, transaction: ServerTransaction) -> None:
    """A re-INVITE or UPDATE of the other side, in order."""
    request = transaction.request
    if not (dialog.is_established or dialog.is_early):
        transaction.reply(481, explanation=_LEAVING)
    elif request.method == "UPDATE" and not session_of(request):
        _refresh(dialog, transaction)
    else:
        offered_by(dialog, transaction)


def offered_by(dialog: Dialog, transaction: ServerTransaction) -> None:
    """As `receive_offer`, and a PRACK that brings an offer."""
    exchange = Exchange(dialog, transaction)
    (effect,) = negotiate(dialog, _RECEIVED[exchange.method, bool(exchange.sdp)])
    if effect is Effect.GLARE:
        transaction.reply(491, explanation=_GLARE)
    elif effect is Effect.BUSY:
        _put_off(dialog, transaction)
    else:
        if exchange.method == "INVITE":
            _imply_ack(dialog)
        transaction.owner = dialog.exchange = exchange
        if exchange.sdp and exchange.sdp == dialog.remote_sdp and dialog.local_sdp:
            exchange.accept(dialog.local_sdp)
        else:
            _ask(exchange)


def _imply_ack(dialog: Dialog) -> None:
    """Whoever sends another INVITE has had our 2xx: it is not repeated any more, though its ACK did not come yet."""
    acceptance = dialog.acceptance
    if acceptance is not None:
        acceptance.stop()
        if acceptance.then is not None:
            acceptance.then(b"")
        else:
            dialog.user.acknowledged(dialog, b"")


def _ask(exchange: Exchange) -> None:
    try:
        exchange.dialog.user.offered(exchange.dialog, exchange)
    except Exception:
        _log.failure("the user of a dialog failed at an offer")
        exchange.refuse(500)


def _refresh(dialog: Dialog, transaction: ServerTransaction) -> None:
    """An UPDATE that offers nothing: it refreshes the session and the remote target, and says who its sender is."""
    if dialog.negotiation in _WAITING_FOR_UPDATE:
        # RFC 3311 5.2: the one before has no final response yet
        _put_off(dialog, transaction)
        return
    request = transaction.request
    response = respond(dialog, request, 200, "", (), b"")
    dialog.peer.heard(request, transaction.flow)
    _grant_if_established(dialog, request, response)
    transaction.respond(response)


def _put_off(dialog: Dialog, transaction: ServerTransaction) -> None:
    seconds = dialog.registry.random.randint(0, _LONGEST_WAIT)
    transaction.reply(500, explanation=_BUSY, headers=(("retry-after", str(seconds)),))


def _grant_if_established(dialog: Dialog, request: Request, response: Response) -> None:
    if dialog.is_established:
        grant_to(dialog, request, response)


def is_negotiating(dialog: Dialog) -> bool:
    """Whether one side owes the other an offer or an answer."""
    return dialog.negotiation in OPEN


def abandon(dialog: Dialog) -> None:
    """The dialog is over: whoever waits for our answer gets one (RFC 3261 15.1.2)."""
    if dialog.exchange is not None:
        dialog.exchange.withdraw()
