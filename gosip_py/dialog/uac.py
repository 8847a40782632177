"""Our INVITE on its way, and what comes back: early dialogs, the answer, those of other forks (RFC 3261 13.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.dialog.offer import Signal as OfferSignal
from gosip_py.dialog.offer import State as OfferState
from gosip_py.dialog.offer import negotiate
from gosip_py.dialog.peer import Peer
from gosip_py.dialog.refresh import ask, ask_again
from gosip_py.dialog.reliable import receive_reliable, session_from
from gosip_py.dialog.session import session_of
from gosip_py.dialog.table import Signal
from gosip_py.dialog.within import CHALLENGES
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import explain, reply
from gosip_py.transaction.sending import Sending
from gosip_py.transport.flow import Flow, Target

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["CANCELLED", "Calling"]

CANCELLED = "The call was cancelled: nothing need be done."

# Dialogs that one INVITE may begin: a phone that answers with ever new tags is no phone.
_MOST_FORKS = 32
_MOST_REQUESTS = 32  # of an early dialog, after which an INVITE is not tried again
_LATE = 0
_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
_REFUSALS = {
    3: Signal.RECEIVE_3XX,
    4: Signal.RECEIVE_4XX,
    5: Signal.RECEIVE_5XX,
    6: Signal.RECEIVE_6XX,
}
_UNREADABLE = "The answer has a Record-Route that cannot be read."


class Calling(Sending):
    """One INVITE; when it is challenged, another takes its place.

    ``number`` is its CSeq. ``has_offer`` tells whether the answer comes in the response and not in our ACK. ``is_ours``
    is set when the final response is one that was made here.
    """

    __slots__ = (
        "_ack_sdp",
        "_asked",
        "_forks",
        "_has_flow",
        "_late",
        "_tag",
        "_taken",
        "dialog",
        "has_offer",
        "is_ours",
        "number",
    )

    def __init__(self, dialog: Dialog, request: Request, target: Target) -> None:
        Sending.__init__(self, dialog.registry.sender, request, target)
        self.dialog = dialog
        self.number = dialog.number
        self.has_offer = bool(request.body)
        self.is_ours = False
        self._asked = request.uri_text
        self._has_flow = target.flow is not None
        self._tag: str | None = None  # of the first 2xx
        self._taken: Peer | None = None  # whoever sent it, unless it came too late
        self._ack_sdp: bytes | None = b"" if self.has_offer else None  # None: the answer is not known yet
        self._forks: dict[str, Peer] | None = None  # of the other 2xx responses
        self._late: tuple[int, str] | None = None

    # -- what sending asks of its kinds -------------------------------------------------------------------------------

    def dress(self, request: Request, flow: Flow) -> None:
        dialog = self.dialog
        dialog.flow = flow
        contact = dialog.contact = dialog.contact_at(flow)
        names = request.names
        if "contact" in names:
            request.lines[names.index("contact")] = f"Contact: {contact}"
        else:
            names.append("contact")
            request.lines.append(f"Contact: {contact}")

    def received(self, response: Response) -> None:
        status = response.status
        if status >= 300:
            self._refused(response)
        elif status >= 200:
            self._accepted(response)
        elif status > 100:
            self._progressed(response)
        else:
            self.dialog.step(Signal.RECEIVE_1XX, response)

    def unanswered(self, status: int, text: str) -> None:
        """Told when `send` has returned, as everything: nobody hears of a call that they have not yet begun."""
        self._late = (status, text)
        self.dialog.wheel.start(0, self, _LATE)

    def timer_fired(self, kind: int) -> None:
        if self._late is not None:
            status, text = self._late
            signal = Signal.TRANSACTION_TIMEOUT if status == 408 else Signal.TRANSACTION_ERROR
            self._end(signal, self.made(487, CANCELLED) if self.is_cancelled else self.made(status, text), True)

    def made(self, status: int, text: str) -> Response:
        """A final response of our own to this INVITE."""
        return explain(reply(self.request, status, to_tag=self.dialog.local_tag), text)

    # -- before the answer --------------------------------------------------------------------------------------------

    def _progressed(self, response: Response) -> None:
        dialog = self.dialog
        peer = self._early_peer(response) if response.to_tag else None
        if "rseq" in response.names and not (peer is not None and receive_reliable(dialog, peer, response)):
            return
        dialog.step(Signal.ALERT_CALL if response.status == 180 else Signal.RECEIVE_1XX, response)

    def _early_peer(self, response: Response) -> Peer | None:
        """Whoever sent this provisional response, from now on the one that we speak to (12.1.2)."""
        dialog, tag = self.dialog, response.to_tag
        known = dialog.peer_of(tag)
        if known is not None:
            return known
        try:
            peer = Peer.of_response(response, self._flow, self._asked)
        except ParseError:
            return None
        return peer if dialog.turn_to(peer, _MOST_FORKS) else None

    @property
    def _flow(self) -> Flow | None:
        """The flow that leads to whoever answers, when it was given with the target."""
        return self.client.flow if self._has_flow and self.client is not None else None

    # -- a refusal ----------------------------------------------------------------------------------------------------

    def _refused(self, response: Response) -> None:
        status = response.status
        if not ((status in CHALLENGES or status == 422) and self._try_again(response)):
            self._end(_REFUSALS[status // 100], response, False)

    def _end(self, signal: Signal, response: Response, is_ours: bool) -> None:
        dialog = self.dialog
        self.is_ours = is_ours
        negotiate(dialog, OfferSignal.RECEIVE_REFUSAL)
        dialog.step(signal, response)
        if dialog.calling is self:
            dialog.calling = None

    def _try_again(self, response: Response) -> bool:
        """With credentials (22.2), or with a longer session interval (RFC 4028 7.3), in another INVITE of the call."""
        dialog, client = self.dialog, self.client
        if client is None or not dialog.is_unanswered or dialog.number >= _MOST_REQUESTS:
            return False
        copy = dialog.copy_of(client.request)
        if response.status == 422:
            if not ask_again(dialog, response):
                return False
            ask(dialog, copy)
        elif not dialog.answer_challenge(copy, response):
            return False
        dialog.call(copy, self.target)
        return True

    # -- the answer ---------------------------------------------------------------------------------------------------

    def _accepted(self, response: Response) -> None:
        dialog, tag = self.dialog, response.to_tag
        if self._tag is None and dialog.calling is self:
            self._tag = tag
            if dialog.is_unanswered:
                self._taken = self._answering_peer(response)
                if self._taken is None:
                    self.turn_down(response)
                    self._end(Signal.ERROR, self.made(502, _UNREADABLE), True)
                    return
            dialog.step(Signal.RECEIVE_2XX, response)
        elif tag == self._tag and self._taken is not None:
            self._acknowledge()  # it is repeated: our ACK was lost (13.2.2.4)
        else:
            self.turn_down(response)

    def _answering_peer(self, response: Response) -> Peer | None:
        """Whoever sent this 2xx; None when no request could be sent to them."""
        known = self.dialog.peer_of(response.to_tag)
        if known is not None and not known.routes and "record-route" not in response.names:
            known.move(response)
            return known
        # 13.2.2.4: the route set is that of the 2xx, whatever came before
        try:
            peer = Peer.of_response(response, self._flow, self._asked)
        except ParseError:
            return None
        peer.number = known.number if known is not None else 0
        return peer

    def confirm(self, response: Response) -> None:
        """Take the dialog that this 2xx confirms."""
        dialog = self.dialog
        if self._taken is not None:
            dialog.settle_on(self._taken)
        sdp = session_of(response)
        if dialog.progress is not None:
            sdp = session_from(dialog, dialog.remote_tag, self.number) or sdp
        if sdp:
            dialog.remote_sdp = sdp
        if self._ack_sdp is None and dialog.negotiation is not OfferState.OWING:
            self._ack_sdp = b""  # their offer stood in a reliable response, and our answer in its PRACK
        if self._ack_sdp is not None:
            self._acknowledge()
            dialog.calling = None

    def acknowledge(self, sdp: bytes) -> None:
        """The ACK with our answer, where the 2xx bore the offer."""
        if self._ack_sdp is None and self._taken is not None:
            self._ack_sdp = sdp
            self._acknowledge()
            self.dialog.calling = None

    def _acknowledge(self) -> None:
        if self._ack_sdp is not None and self._taken is not None:
            self._send_ack(self._taken, self._ack_sdp)

    def _send_ack(self, peer: Peer, sdp: bytes) -> None:
        self.dialog.send_ack(self.number, sdp, peer, self.request)

    def turn_down(self, response: Response) -> None:
        """Acknowledge a 2xx that is not wanted, and hang up if it is the first of its dialog (9.1, 13.2.2.4)."""
        tag = response.to_tag
        forks = self._forks
        if forks is None:
            forks = self._forks = {}
        known = forks.get(tag)
        if known is not None:
            self._send_ack(known, b"")
        elif len(forks) < _MOST_FORKS:
            peer = forks[tag] = self._peer_of_unwanted(response)
            self._send_ack(peer, b"")
            self._hang_up(peer)

    def _peer_of_unwanted(self, response: Response) -> Peer:
        try:
            return Peer.of_response(response, self._flow, self._asked)
        except ParseError:
            # There is no telling which way leads there; the one by which it was called is the best guess.
            flow = self.client.flow if self.client is not None else None
            return Peer(response.require("to"), response.to_tag, self._asked, (), flow)

    def _hang_up(self, peer: Peer) -> None:
        dialog = self.dialog
        reason = _ELSEWHERE if dialog.is_established else dialog.bye_reason
        headers = (("reason", reason),) if reason else ()
        # Above whatever was sent in this early dialog: a PRACK, perhaps.
        bye = dialog.compose("BYE", dialog.number + 1, headers=headers, peer=peer)
        dialog.send(bye, dialog.bye_answered if not dialog.is_established else _unheard, peer)


def _unheard(_response: Response | None) -> None:
    """Nobody waits for the end of a dialog that nobody took."""
