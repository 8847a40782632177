"""What a dialog does when its machine says so: each effect of the table as a function of the dialog.

``message`` is what the signal came with: a response to our INVITE, one of ours to theirs, a CANCEL or an ACK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gosip_py.dialog.offer import Signal as OfferSignal
from gosip_py.dialog.offer import State as OfferState
from gosip_py.dialog.offer import negotiate
from gosip_py.dialog.refresh import ask, begin
from gosip_py.dialog.reliable import hear_only
from gosip_py.dialog.session import session_of
from gosip_py.dialog.table import DIALOG, Effect, Signal, State
from gosip_py.dialog.uac import CANCELLED
from gosip_py.dialog.uas import Acceptance
from gosip_py.dialog.user import Ending
from gosip_py.media.sdp import inactive_answer
from gosip_py.sip.message import Message, Request, Response

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["ROWS", "Perform", "Rows"]

Perform = Callable[["Dialog", Any], None]
Rows = dict[State, dict[Signal, tuple[State, tuple[Perform, ...]]]]

_GIVEN_UP = "Nobody took the call: try again later."


# -- we call -----------------------------------------------------------------------------------------------------------


def _invite(dialog: Dialog, request: Request) -> None:
    ask(dialog, request)
    negotiate(dialog, OfferSignal.SEND_INVITE if request.body else OfferSignal.SEND_EMPTY_INVITE)
    dialog.call(request, dialog.first_hop)


def _progress(dialog: Dialog, response: Response) -> None:
    if response.status > 100:
        dialog.user.progressed(dialog, response)


def _confirm(dialog: Dialog, response: Response) -> None:
    if dialog.calling is not None:
        hear_only(dialog, response.to_tag, dialog.calling.has_offer)
        negotiate(dialog, OfferSignal.RECEIVE_2XX)
        dialog.calling.confirm(response)
        begin(dialog, response, False)
        dialog.note_abilities(response)
        dialog.establish()
        dialog.user.answered(dialog, response)
        dialog.go_on()


def _cancel(dialog: Dialog, _message: object) -> None:
    if dialog.calling is not None:
        dialog.calling.cancel(dialog.bye_reason or None)


def _turn_down(dialog: Dialog, response: Response) -> None:
    if dialog.calling is not None:
        dialog.calling.turn_down(response)


def _fail(dialog: Dialog, response: Response | None) -> None:
    if dialog.is_told:
        return
    dialog.is_told = True
    calling = dialog.calling
    is_ours = calling is None or calling.is_ours
    if calling is not None and (response is None or response.status < 300):
        # the 2xx came too late, or nothing came at all
        response, is_ours = calling.made(487, CANCELLED), True
    dialog.tell_waiting(response)
    if response is not None:
        dialog.user.failed(dialog, response, is_ours)


# -- we are called -----------------------------------------------------------------------------------------------------


def _ring(dialog: Dialog, response: Response) -> None:
    if dialog.answering is not None:
        dialog.answering.server.respond(response)


def _accept(dialog: Dialog, response: Response) -> None:
    answering = dialog.answering
    if answering is not None:
        server = answering.server
        negotiate(dialog, OfferSignal.SEND_2XX)
        begin(dialog, response, True)
        _settle_answering(dialog)
        server.owner = None  # from here on it is the ACK that counts
        if response.body:
            dialog.local_sdp = response.body
        Acceptance(dialog, server, response, server.request.cseq.number).start()
        dialog.establish()


def _reject(dialog: Dialog, response: Response | None) -> None:
    answering = dialog.answering
    if answering is not None:
        negotiate(dialog, OfferSignal.SEND_REFUSAL)
        _settle_answering(dialog)
        if isinstance(response, Response):
            answering.server.respond(response)
        else:
            answering.server.reply(480, explanation=_GIVEN_UP, headers=dialog.bye_headers)
        dialog.tell_waiting(None)


def _refuse_cancelled(dialog: Dialog, _message: object) -> None:
    answering = dialog.answering
    if answering is not None:
        negotiate(dialog, OfferSignal.SEND_REFUSAL)
        _settle_answering(dialog)
        answering.server.reply(487)


def _settle_answering(dialog: Dialog) -> None:
    """Their INVITE has its final response."""
    dialog.answering = None
    if dialog.reliable is not None:
        dialog.reliable.stop()


def _withdraw(dialog: Dialog, message: Message | None) -> None:
    if not dialog.is_told:
        dialog.is_told = True
        cancel = message if isinstance(message, Request) and message.method == "CANCEL" else None
        dialog.user.cancelled(dialog, cancel)


# -- both --------------------------------------------------------------------------------------------------------------


def _acknowledge(dialog: Dialog, ack: Request) -> None:
    sdp = session_of(ack)
    if sdp:
        dialog.remote_sdp = sdp
    negotiate(dialog, OfferSignal.RECEIVE_ACK)
    dialog.user.acknowledged(dialog, sdp)
    dialog.go_on()


def _bye(dialog: Dialog, message: object) -> None:
    # 15: not before the ACK of our 2xx is here, or will not come any more
    if dialog.is_caller or dialog.acceptance is None or dialog.acceptance.then is not None:
        _bye_now(dialog, message)


def _bye_now(dialog: Dialog, _message: object) -> None:
    if not dialog.is_bye_sent:
        dialog.is_bye_sent = True
        if dialog.negotiation is OfferState.OWING:
            # 13.2.2.4: their 2xx has its ACK first, with an answer that takes no media
            dialog.acknowledge(inactive_answer(dialog.open_offer))
        dialog.send(dialog.compose("BYE", headers=dialog.bye_headers), dialog.bye_answered)


def _end(dialog: Dialog, message: object) -> None:
    if dialog.is_told:
        return
    dialog.is_told = True
    dialog.calling = None
    ending = dialog.ending
    if ending is None:
        ending = dialog.ending = Ending("us", 200)
    dialog.disestablish(ending)
    dialog.tell_waiting(message if isinstance(message, Response) else None)
    dialog.user.ended(dialog, ending)


def _close(dialog: Dialog, message: Any) -> None:
    if dialog.answered_at is not None:
        _end(dialog, message)
    else:
        _fail(dialog, message)
    dialog.tell_waiting(message if isinstance(message, Response) else None)  # who asked when it was told already


def _forget(dialog: Dialog, _message: object) -> None:
    dialog.stop()


_PERFORM: dict[Effect, Perform] = {
    Effect.INVITE: _invite,
    Effect.PROGRESS: _progress,
    Effect.CONFIRM: _confirm,
    Effect.FAIL: _fail,
    Effect.CANCEL: _cancel,
    Effect.TURN_DOWN: _turn_down,
    Effect.RING: _ring,
    Effect.ACCEPT: _accept,
    Effect.REJECT: _reject,
    Effect.REFUSE_CANCELLED: _refuse_cancelled,
    Effect.WITHDRAW: _withdraw,
    Effect.ACKNOWLEDGE: _acknowledge,
    Effect.BYE: _bye,
    Effect.BYE_NOW: _bye_now,
    Effect.END: _end,
    Effect.CLOSE: _close,
    Effect.FORGET: _forget,
}

ROWS: Rows = {
    state: {signal: (after, tuple(_PERFORM[effect] for effect in effects)) for signal, (after, effects) in row.items()}
    for state, row in DIALOG.rows.items()
}
"""The rows of the machine, with what is done in place of the effects: looked up once, not at each step."""
