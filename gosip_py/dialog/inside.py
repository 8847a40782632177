"""Requests that the other side sends within a dialog (RFC 3261 12.2.2, 14.2, 15.1.2)."""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.exchange import receive_offer
from gosip_py.dialog.refer import receive_notify, receive_refer, receive_subscribe
from gosip_py.dialog.reliable import receive_prack
from gosip_py.dialog.session import SDP
from gosip_py.dialog.table import LEAVING, Signal
from gosip_py.dialog.user import Ending
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason, parse_reason
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction

__all__ = ["receive_within"]

_OVER = "the call is over, and nothing else lives in its dialog"
_OUT_OF_ORDER = "a request with a higher CSeq was served before: send a higher CSeq"
# What a subscription may still have to say when the call is over (RFC 5057 4.1).
_OF_SUBSCRIPTIONS = frozenset(("NOTIFY", "SUBSCRIBE"))


def receive_within(dialog: Dialog, transaction: ServerTransaction, request: Request) -> None:
    """Answer a request of the other side, or hand it on to who does. ParseError when it cannot be read."""
    method = request.method
    peer = dialog.peer_of(request.from_tag)
    number = request.cseq.number
    receive = _RECEIVE.get(method)
    if peer is None or (dialog.is_over and method not in _OF_SUBSCRIPTIONS):
        transaction.reply(481, explanation=_OVER)
    elif number < peer.number:
        transaction.reply(500, explanation=_OUT_OF_ORDER)  # 12.2.2
    else:
        peer.number = number
        dialog.flow = transaction.flow
        if receive is not None:
            receive(dialog, transaction)
        elif dialog.state in LEAVING:
            transaction.reply(481, explanation=_OVER)  # its user expects nothing more
        else:
            dialog.user.requested(dialog, transaction)


def _receive_bye(dialog: Dialog, transaction: ServerTransaction) -> None:
    reason = _reason_of(transaction.request)
    transaction.reply(200)
    if dialog.is_established:
        dialog.ending = Ending("peer", 200, reason, (reason and reason.text) or "")
    if dialog.state in LEAVING and dialog.answered_at is not None and not dialog.is_bye_sent:
        dialog.step(Signal.TERMINATE)  # ours still waits for an ACK, and need not be sent any more
    else:
        dialog.step(Signal.RECEIVE_BYE)


def _reason_of(request: Request) -> Reason | None:
    if "reason" not in request.names:
        return None
    try:
        return parse_reason(request.first("reason"))
    except ParseError:
        return None


def _receive_options(dialog: Dialog, transaction: ServerTransaction) -> None:
    """11.2: as it would be answered outside of a dialog."""
    transaction.reply(200, headers=(*dialog.registry.abilities, ("accept", SDP)))


_RECEIVE: dict[str, Callable[[Dialog, ServerTransaction], None]] = {
    "BYE": _receive_bye,
    "INVITE": receive_offer,
    "NOTIFY": receive_notify,
    "OPTIONS": _receive_options,
    "PRACK": receive_prack,
    "REFER": receive_refer,
    "SUBSCRIBE": receive_subscribe,
    "UPDATE": receive_offer,
}
