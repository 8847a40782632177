"""What happens in the dialog of a user agent's call, and what is done about it without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from gosip_py.dialog.agent_call import Call, CallFailed
from gosip_py.dialog.described import answer_to, next_version, turned
from gosip_py.dialog.session import session_of
from gosip_py.dialog.user import Ending
from gosip_py.media.sdp import inactive_answer
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.dialog.exchange import Exchange
    from gosip_py.dialog.refer import Refer

__all__ = ["Application", "CallUser"]

_DTMF_TYPES = ("application/dtmf-relay", "application/dtmf")
_SIGNAL = re.compile(rb"(?:\A|\n)[ \t]*(?:Signal[ \t]*=[ \t]*)?([0-9A-Da-d*#])[ \t]*(?:\r?\n|\Z)")


class Application(Protocol):
    """Whoever uses the user agent, as far as a call asks it anything."""

    on_offer: Callable[[Call, bytes], bytes] | None
    on_dtmf: Callable[[Call, str], None] | None

    def later(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call it in a turn of its own."""

    def referred(self, call: Call, refer: Refer) -> None:
        """A REFER came within the call."""

    def ended(self, call: Call) -> None:
        """The call was answered, and is over."""


class CallUser:
    """The user of one dialog: keeps its call up to date, answers offers, hears digits."""

    log = Logger()

    def __init__(self, application: Application, call: Call) -> None:
        self._application = application
        self._call = call

    # -- the INVITE ----------------------------------------------------------------------------------------------------

    def progressed(self, dialog: Dialog, response: Response) -> None:
        self._note(response)

    def answered(self, dialog: Dialog, response: Response) -> None:
        self._note(response)
        if not self._call.sdp:
            # Whoever hears of the new state first may answer the offer. The ACK waits for nobody else.
            self._application.later(self._decline, response)

    def failed(self, dialog: Dialog, response: Response, is_ours: bool) -> None:
        self._call.fail(CallFailed(response.status, response.reason, is_ours=is_ours))
        self._note(response)

    def cancelled(self, dialog: Dialog, cancel: Request | None) -> None:
        self._call.fail(CallFailed(487, "Request Terminated"))

    def acknowledged(self, dialog: Dialog, sdp: bytes) -> None:
        """Nothing is to be done: the dialog has taken the answer over."""

    def _note(self, response: Response) -> None:
        call = self._call
        call.response = response
        if call.follows is not None:
            call.follows.report(response.status, response.reason)

    def _decline(self, response: Response) -> None:
        if not self._call.sdp and self._call.dialog.is_established:
            self._call.acknowledge(inactive_answer(session_of(response)))

    # -- within the call -----------------------------------------------------------------------------------------------

    def offered(self, dialog: Dialog, exchange: Exchange) -> None:
        self._application.later(self._answer, exchange)

    def _answer(self, exchange: Exchange) -> None:
        """Answer an offer, or make one for whoever asks for it (RFC 3261 14.2)."""
        call = self._call
        if not exchange.sdp:
            call.sdp = next_version(call.sdp)
            exchange.accept(turned(call.sdp, call.is_on_hold))
            return
        try:
            answer = self._answer_to(exchange.sdp)
        except Exception:
            self.log.failure("an application failed to answer an offer")
            exchange.refuse(500)
            return
        if answer:
            exchange.accept(answer)
        else:
            exchange.refuse(488, explanation="No stream of this offer can be served: the session stays as it was")

    def _answer_to(self, offer: bytes) -> bytes:
        asked = self._application.on_offer
        if asked is not None:
            return asked(self._call, offer)
        call = self._call
        call.sdp = next_version(call.sdp)
        return answer_to(offer, turned(call.sdp, call.is_on_hold))

    def referred(self, dialog: Dialog, refer: Refer) -> None:
        self._application.referred(self._call, refer)

    def requested(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        request = transaction.request
        if request.method != "INFO":
            transaction.reply(501, explanation=f"{request.method} is not served within a call")
            return
        kind = (request.value("content-type") or "").partition(";")[0].strip(" \t").lower()
        digit = _SIGNAL.search(request.body) if kind in _DTMF_TYPES else None
        if request.body and digit is None:
            accept = (("accept", ", ".join(_DTMF_TYPES)),)
            transaction.reply(415, explanation="Only digits are read in an INFO", headers=accept)
            return
        transaction.reply(200)
        heard = self._application.on_dtmf
        if digit is not None and heard is not None:
            self._application.later(heard, self._call, digit[1].decode().upper())

    def ended(self, dialog: Dialog, ending: Ending) -> None:
        self._call.ending = ending
        self._application.ended(self._call)
