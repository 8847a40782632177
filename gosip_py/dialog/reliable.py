"""Reliable provisional responses, both ends (RFC 3262), and the offers and answers that they and their PRACK bear.

As a UAC each is acknowledged at once, but for one that brings an offer: that waits for our answer. As a UAS one is
under way at a time; it is repeated until its PRACK comes, and the INVITE refused when none does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from gosip_py.dialog.exchange import offered_by
from gosip_py.dialog.offer import Effect, Signal, State, negotiate
from gosip_py.dialog.session import SDP, session_of
from gosip_py.dialog.table import OFFERED
from gosip_py.dialog.table import Signal as DialogSignal
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import parse_rack, parse_rseq
from gosip_py.sip.message import Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.dialog.peer import Peer
    from gosip_py.transaction.timers import Timer

__all__ = [
    "RELIABLE",
    "Progress",
    "Ringing",
    "acknowledge",
    "hear_only",
    "receive_prack",
    "receive_reliable",
    "ring_reliably",
    "session_from",
]

RELIABLE = "100rel"
"""The option tag (RFC 3262 8.1)."""

_MOST_WAITING = 8
_LARGEST_FIRST = 2**31 - 1  # RFC 3262 3
_NO_MATCH = "No reliable response waits for this PRACK: send RSeq, CSeq and method of the response in RAck"
_UNACKNOWLEDGED = "No PRACK came for a reliable provisional response: send one, or do without 100rel"


# -- as a UAC (4) -----------------------------------------------------------------------------------------------------


@attrs.frozen
class _Owed:
    """A response whose offer we have to answer, in its PRACK."""

    peer: Peer
    rack: str
    sdp: bytes


class Progress:
    """What we heard reliably of an INVITE of ours: the last RSeq of each early dialog, and its session description.

    ``settled`` is the tag of the one whose description is that of the dialog.
    """

    __slots__ = ("heard", "number", "owed", "sessions", "settled")

    def __init__(self, number: int) -> None:
        self.number = number
        self.heard: dict[str, int] = {}
        self.sessions: dict[str, bytes] = {}
        self.settled = ""
        self.owed: _Owed | None = None


def receive_reliable(dialog: Dialog, peer: Peer, response: Response) -> bool:
    """A provisional response with RSeq to an INVITE of ours; False when it is to be dropped.

    So are repetitions, and what is out of order: it will be repeated until its turn has come.
    """
    try:
        rseq = parse_rseq(response.require("rseq"))
        if not response.has_token("require", RELIABLE):
            return True
        number = response.cseq.number
    except ParseError:
        return True  # it is not reliable, whatever it says
    progress = dialog.progress
    if progress is None or progress.number != number:
        progress = dialog.progress = Progress(number)
    last = progress.heard.get(peer.tag)
    if last is not None and rseq != last + 1:
        return False
    progress.heard[peer.tag] = rseq
    dialog.note_abilities(response)
    sdp = session_of(response)
    if sdp:
        progress.sessions.setdefault(peer.tag, sdp)
    _answer(dialog, progress, peer, f"{rseq} {number} INVITE", sdp)
    return True


def session_from(dialog: Dialog, tag: str, number: int) -> bytes:
    """What whoever has this tag said reliably before their 2xx to the INVITE with this CSeq.

    It stands, whatever the 2xx repeats (RFC 6337 3.1.1).
    """
    progress = dialog.progress
    if progress is None or progress.number != number:
        return b""
    # an UPDATE may have changed it since
    return dialog.remote_sdp if progress.settled == tag else progress.sessions.get(tag, b"")


def hear_only(dialog: Dialog, tag: str, has_offer: bool) -> None:
    """Whoever has this tag answered our INVITE, with our offer or without: what other forks agreed on is void."""
    progress = dialog.progress
    if progress is None:
        return
    progress.owed = None  # this 2xx is acknowledged, and no response before it
    if progress.settled not in ("", tag):
        dialog.negotiation = State.INVITING if has_offer else State.ASKING


def _answer(dialog: Dialog, progress: Progress, peer: Peer, rack: str, sdp: bytes) -> None:
    effects = negotiate(dialog, Signal.RECEIVE_1XX) if sdp else ()
    if Effect.ANSWER in effects:
        progress.owed = _Owed(peer, rack, sdp)
        return
    if Effect.SETTLE in effects:
        dialog.remote_sdp = sdp
        progress.settled = peer.tag
        negotiate(dialog, Signal.SEND_PRACK)
    _send_prack(dialog, peer, rack, b"", bool(effects))


def acknowledge(dialog: Dialog, sdp: bytes) -> bool:
    """Answer the offer of a provisional response; False when there was none."""
    progress = dialog.progress
    if progress is None or progress.owed is None:
        return False
    owed, progress.owed = progress.owed, None
    if dialog.negotiation is not State.OWING:
        return False
    negotiate(dialog, Signal.SEND_PRACK)
    dialog.local_sdp, dialog.remote_sdp = sdp, owed.sdp
    progress.settled = owed.peer.tag
    _send_prack(dialog, owed.peer, owed.rack, sdp, True)
    return True


def _send_prack(dialog: Dialog, peer: Peer, rack: str, sdp: bytes, is_counted: bool) -> None:
    """``is_counted``: what it acknowledges had an offer or an answer, so that we may offer when it is over."""

    def receive(response: Response | None) -> None:
        if is_counted and not dialog.is_over:
            is_good = response is not None and response.status < 300
            negotiate(dialog, Signal.RECEIVE_ANSWER if is_good else Signal.RECEIVE_REJECTION)
            dialog.go_on()

    content_type = SDP if sdp else ""
    request = dialog.compose("PRACK", headers=(("rack", rack),), body=sdp, content_type=content_type, peer=peer)
    dialog.send(request, receive, peer)


# -- as a UAS (3) -----------------------------------------------------------------------------------------------------


class Ringing:
    """The reliable provisional responses of ours to an INVITE.

    One is ``_sent`` and not acknowledged, the others wait: the first one for its number to be known, and each for the
    sake of order. `accept` waits too while a session description is unacknowledged.
    """

    __slots__ = (
        "_accepts",
        "_dialog",
        "_interval",
        "_left",
        "_rack",
        "_rseq",
        "_sent",
        "_server",
        "_timer",
        "_waiting",
    )

    def __init__(self, dialog: Dialog, server: ServerTransaction) -> None:
        self._dialog = dialog
        self._server = server
        self._rseq = dialog.registry.random.randint(1, _LARGEST_FIRST)
        self._rack: tuple[int, int, str] | None = None
        self._sent: Response | None = None
        self._waiting: list[Response] = []
        self._accepts: tuple[bytes, tuple[tuple[str, str], ...]] | None = None
        self._timer: Timer | None = None
        self._interval = self._left = 0.0

    def ring(self, response: Response) -> None:
        """Send ``response`` when those before it have their PRACK. Nobody rings on and on: what is too much is lost."""
        if self._sent is None:
            self._send(response)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(response)

    def holds(self, sdp: bytes, headers: tuple[tuple[str, str], ...]) -> bool:
        """Whether the 2xx must wait for a PRACK (3): then it is kept here, and accepted later."""
        sent = self._sent
        if sent is None or not (sent.body or any(response.body for response in self._waiting)):
            return False
        if self._accepts is None:
            self._accepts = (sdp, headers)
        return True

    def stop(self) -> None:
        """The INVITE has its final response: nothing is repeated. A PRACK on its way is still known."""
        self._waiting.clear()
        self._accepts = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def acknowledges(self, rseq: int, number: int, method: str) -> Response | None:
        """The response that a PRACK acknowledges, at most once."""
        if self._rack != (rseq, number, method):
            return None
        sent, self._sent, self._rack = self._sent, None, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return sent

    def go_on(self) -> None:
        """A PRACK was answered: send what waits for it."""
        dialog = self._dialog
        if self._sent is not None or dialog.state not in OFFERED:
            return
        if self._waiting:
            self._send(self._waiting.pop(0))
        elif self._accepts is not None:
            accepts, self._accepts = self._accepts, None
            dialog.accept(*accepts)

    def _send(self, response: Response) -> None:
        dialog = self._dialog
        number = self._server.request.cseq.number
        self._rack = (self._rseq, number, "INVITE")
        registry = dialog.registry
        response.names += registry.ability_names  # RFC 3311 4: who says UPDATE here may be sent one while it rings
        response.lines += registry.ability_lines
        response.add("require", RELIABLE)
        response.add("rseq", str(self._rseq))
        self._rseq += 1
        self._sent = response
        if response.body:
            self._offer(session_of(response))
        timing = dialog.timing
        self._interval, self._left = timing.t1, 64 * timing.t1
        dialog.step(DialogSignal.ALERT_CALL, response)
        self._timer = dialog.wheel.start(self._interval, self, 0)

    def _offer(self, sdp: bytes) -> None:
        dialog = self._dialog
        if dialog.negotiation in (State.INVITED, State.ASKED):
            dialog.local_sdp = sdp
            negotiate(dialog, Signal.SEND_1XX)

    def timer_fired(self, kind: int) -> None:
        self._timer = None
        dialog, sent = self._dialog, self._sent
        if sent is None or dialog.state not in OFFERED:
            return
        self._left -= self._interval
        if self._left <= 0:
            dialog.turn_away(504, _UNACKNOWLEDGED)
            return
        self._server.respond(sent)
        self._interval = min(2 * self._interval, self._left)
        self._timer = dialog.wheel.start(self._interval, self, 0)


def ring_reliably(dialog: Dialog, response: Response) -> None:
    """Send a provisional response of ours to their INVITE as a reliable one."""
    ringing, answering = dialog.reliable, dialog.answering
    if ringing is None and answering is not None:
        ringing = dialog.reliable = Ringing(dialog, answering.server)
    if ringing is not None:
        ringing.ring(response)


def receive_prack(dialog: Dialog, transaction: ServerTransaction) -> None:
    """A PRACK of the other side, in order."""
    request = transaction.request
    try:
        rack = parse_rack(request.require("rack"))
    except ParseError as error:
        transaction.reply(400, explanation=error.reason)
        return
    ringing = dialog.reliable
    response = None if ringing is None else ringing.acknowledges(rack.rseq, rack.cseq, rack.method)
    if ringing is None or response is None:
        transaction.reply(481, explanation=_NO_MATCH)
        return
    _acknowledged(dialog, transaction, session_of(request), bool(response.body))
    ringing.go_on()
    dialog.go_on()


def _acknowledged(dialog: Dialog, transaction: ServerTransaction, sdp: bytes, had_sdp: bool) -> None:
    state = dialog.negotiation
    if state is State.OFFERED and had_sdp:
        negotiate(dialog, Signal.RECEIVE_PRACK)
        transaction.respond(reply(transaction.request, 200))
        if sdp:
            dialog.remote_sdp = sdp
        dialog.user.acknowledged(dialog, sdp)
    elif sdp and not dialog.is_over:
        offered_by(dialog, transaction)
    else:
        if had_sdp:
            negotiate(dialog, Signal.RECEIVE_PRACK)
        transaction.respond(reply(transaction.request, 200))
