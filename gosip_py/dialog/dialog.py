"""One dialog that an INVITE of ours or of somebody else begins (RFC 3261 12 to 15).

It keeps its place in the machine and performs what the table asks for (effects.py); what comes and goes meanwhile is
kept by parts of its own, which are made when they are needed: the INVITE on its way (uac.py, uas.py), offers and
reliable responses, the session timer, references.
"""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.dialog.abilities import Abilities, abilities_of
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.dialog_state import DialogState, Headers, Registry
from gosip_py.dialog.effects import ROWS
from gosip_py.dialog.exchange import Exchange, abandon, is_negotiating
from gosip_py.dialog.offer import SETTLED, negotiate
from gosip_py.dialog.offer import Signal as OfferSignal
from gosip_py.dialog.offer import State as OfferState
from gosip_py.dialog.peer import Peer
from gosip_py.dialog.proposal import Proposals, refresh_session, send_offer
from gosip_py.dialog.refer import References, send_refer
from gosip_py.dialog.refresh import SessionRefresh, stop
from gosip_py.dialog.reliable import Progress, Ringing, acknowledge, ring_reliably
from gosip_py.dialog.table import OFFERED, OVER, TALKING, UNANSWERED, Signal, State
from gosip_py.dialog.uac import Calling
from gosip_py.dialog.uas import Acceptance, Answering, is_reliable, respond
from gosip_py.dialog.user import DialogUser, EndedBy, Ending, Outcome
from gosip_py.dialog.within import Then, Within
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason, Replaces
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.reply import explain
from gosip_py.transport.flow import Target

__all__ = ["Dialog"]


class Dialog(DialogState):
    """One end of a dialog. ``user`` hears what happens, and may be changed at any time.

    ``is_caller`` tells that the INVITE is ours. ``local`` is our From or To value with ``local_tag``, ``contact`` our
    Contact value; ``peer`` is the other side. ``flow`` is where it was heard or sent to last. ``local_sdp`` and
    ``remote_sdp`` are the session descriptions that were sent and received last. ``created_at``, ``answered_at`` and
    ``ended_at`` are epoch seconds, ``session_expires`` seconds. ``watch`` is told each change of state.
    """

    __slots__ = (
        "__weakref__",
        "_abilities",
        "_waiting",
        "acceptance",
        "answered_at",
        "answering",
        "bye_headers",
        "calling",
        "created_at",
        "ended_at",
        "ending",
        "exchange",
        "first_hop",
        "is_bye_sent",
        "is_caller",
        "is_told",
        "local_sdp",
        "negotiation",
        "progress",
        "proposals",
        "reason",
        "references",
        "refresher",
        "reliable",
        "remote_sdp",
        "session_expires",
        "session_refresh",
        "state",
        "user",
        "watch",
    )

    first_hop: Target  # of our INVITE

    def __init__(
        self,
        registry: Registry,
        user: DialogUser,
        call_id: str,
        local: str,
        local_tag: str,
        peer: Peer,
        *,
        is_caller: bool,
        contact_user: str,
        is_secure: bool,
        credentials: ClientCredentials | None = None,
    ) -> None:
        DialogState.__init__(self, registry, call_id, local, local_tag, peer, contact_user, is_secure, credentials)
        self.user = user
        self.is_caller = is_caller
        self.state = State.IDLE
        self.watch: Callable[[Dialog, State, State], None] | None = None
        self.created_at = registry.now()
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ending: Ending | None = None
        self.local_sdp = self.remote_sdp = b""
        self.session_expires: int | None = None
        self.refresher: str | None = None
        # what is there for a time, or not at all
        self.calling: Calling | None = None
        self.answering: Answering | None = None
        self.acceptance: Acceptance | None = None
        self.exchange: Exchange | None = None
        self.negotiation = OfferState.STABLE
        self.progress: Progress | None = None
        self.proposals: Proposals | None = None
        self.references: References | None = None
        self.reliable: Ringing | None = None
        self.session_refresh: SessionRefresh | None = None
        self.reason: Reason | None = None  # of our CANCEL or BYE
        self.bye_headers: tuple[tuple[str, str], ...] = ()
        self.is_bye_sent = False
        self.is_told = False  # the user has heard how it ended
        self._abilities: Abilities | None = None
        self._waiting: list[Then] | None = None

    def __repr__(self) -> str:
        return f"<Dialog {self.state.name} {self.call_id}>"

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def is_unanswered(self) -> bool:
        """Whether our INVITE still has no final response, and nobody cancelled it."""
        return self.state in UNANSWERED

    @property
    def is_offered(self) -> bool:
        """Whether their INVITE still has no final response."""
        return self.state in OFFERED

    @property
    def is_early(self) -> bool:
        """Whether an INVITE, of either side, waits for its final response."""
        return self.state in UNANSWERED or self.state in OFFERED

    @property
    def is_established(self) -> bool:
        return self.state in TALKING

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def is_negotiating(self) -> bool:
        """Whether an offer of either side waits for its answer."""
        return is_negotiating(self)

    @property
    def open_offer(self) -> bytes:
        """The offer of a 2xx to an INVITE of ours that waits for our answer."""
        return (self.proposals.open_offer if self.proposals is not None else b"") or self.remote_sdp

    @property
    def ended_by(self) -> EndedBy | None:
        return self.ending.by if self.ending is not None else None

    def remote_allows(self, method: str) -> bool:
        """Whether the other side said so in Allow; of who said nothing, what RFC 3261 asks of everybody."""
        return abilities_of(self._abilities).allows(method)

    def remote_supports(self, tag: str) -> bool:
        """Whether the other side named this option in Supported."""
        return abilities_of(self._abilities).supports(tag)

    # -- we are called -------------------------------------------------------------------------------------------------

    def ring(self, status: int = 180, *, sdp: bytes = b"", headers: Headers = (), reliable: bool | None = None) -> None:
        """Send a provisional response above 100.

        Reliably (RFC 3262) if ``reliable``, where the caller can; None: only where the caller insists.
        """
        answering = self.answering
        if answering is not None:
            response = respond(self, answering.request, status, "", headers, sdp)
            if is_reliable(answering.request, reliable):
                ring_reliably(self, response)
            else:
                self.step(Signal.ALERT_CALL, response)

    def accept(self, sdp: bytes, headers: Headers = ()) -> None:
        """Answer with 200; ``sdp`` is the answer, or the offer where the INVITE had none."""
        answering = self.answering
        if answering is not None and not (self.reliable is not None and self.reliable.holds(sdp, tuple(headers))):
            if self.negotiation in SETTLED:
                sdp = b""  # RFC 6337 3.1.1: the answer stood in a reliable response before
            self.step(Signal.ACCEPT_CALL, respond(self, answering.request, 200, "", headers, sdp))

    def reject(self, status: int, reason: str = "", explanation: str = "", headers: Headers = ()) -> None:
        """Answer with this status, 300 or above."""
        answering = self.answering
        if answering is not None:
            response = respond(self, answering.request, status, reason, headers, b"")
            self.step(Signal.REJECT_CALL, explain(response, explanation) if explanation else response)

    # -- we call -------------------------------------------------------------------------------------------------------

    def acknowledge(self, sdp: bytes) -> None:
        """Give our answer to an offer that a response of the other side bore: in the ACK, or the PRACK."""
        if self.progress is not None and acknowledge(self, sdp):
            return
        if self.proposals is not None and self.proposals.acknowledge(sdp):
            return
        if self.calling is not None and self.answered_at is not None:
            self.local_sdp = sdp
            negotiate(self, OfferSignal.SEND_ACK)
            self.calling.acknowledge(sdp)
            self.go_on()

    def cancel(self, reason: Reason | None = None) -> None:
        """Give up an INVITE of ours; the user hears `DialogUser.failed` when it is settled (RFC 3261 9.1)."""
        self._give_reason(reason, ())
        self.step(Signal.SEND_CANCEL)

    # -- both ----------------------------------------------------------------------------------------------------------

    def hang_up(self, reason: Reason | None = None, then: Then | None = None, headers: Headers = ()) -> None:
        """End it, whatever it is: CANCEL, 480 or BYE. ``reason`` goes into what is sent.

        ``then`` hears the response to our BYE or our INVITE once it is over; None when there was none.
        """
        if then is not None:
            if self.is_over:
                then(None)
                return
            self._waiting = [*(self._waiting or ()), then]
        self._give_reason(reason, headers)
        self.step(Signal.SEND_BYE)

    def offer(
        self, sdp: bytes, then: Callable[[Outcome], None], *, headers: Headers = (), retries: bool = True
    ) -> None:
        """Offer a change of the session, by re-INVITE, or by UPDATE while early; with no ``sdp`` ask for an offer."""
        send_offer(self, sdp, then, tuple(headers), retries)

    def withdraw(self, then: Callable[[Outcome], None] | None = None) -> None:
        """Take back the `offer` that tells ``then``, or the last one: it hears 487, or what was faster."""
        if self.proposals is not None:
            self.proposals.withdraw(then)

    def refer(
        self,
        target: str,
        *,
        replaces: Dialog | Replaces | None = None,
        referred_by: str = "",
        silent: bool = False,
        progress: Callable[[int, str], None] | None = None,
        then: Callable[[int, str], None],
    ) -> None:
        """Ask the other side to call ``target`` (RFC 3515); see `send_refer`."""
        send_refer(
            self, target, replaces=replaces, referred_by=referred_by, silent=silent, progress=progress, then=then
        )

    def request(
        self, method: str, *, body: bytes = b"", content_type: str = "", headers: Headers = (), then: Then
    ) -> int:
        """Send a request of another kind within the dialog; its CSeq number. ``then`` hears its final response."""
        is_target_refresh = method in ("NOTIFY", "REFER", "SUBSCRIBE", "UPDATE")
        request = self.compose(method, headers=headers, body=body, content_type=content_type, contact=is_target_refresh)
        number = self.number
        self.send(request, then)
        return number

    def begin_replacing(self) -> None:
        """An INVITE that came shall take the place of this dialog (RFC 3891 3)."""
        self.step(Signal.RECEIVE_REPLACES)

    def finish_replacing(self, succeeded: bool, reason: Reason | None = None) -> None:
        """It did, and this one ends; or it did not."""
        if succeeded:
            self._give_reason(reason, ())
            self.step(Signal.REPLACE_SUCCESS)
        else:
            self.step(Signal.REPLACE_FAILED)

    def let_go(self) -> None:
        """The last subscription of a dialog that is over has ended."""
        if self.is_over:
            self.references = None
            self.registry.forget(self)

    # -- the machine ---------------------------------------------------------------------------------------------------

    def step(self, signal: Signal, message: Message | None = None) -> None:
        """Let the machine take ``signal``. For the dialog room only."""
        before = self.state
        after, effects = ROWS[before][signal]
        self.state = after
        if after is not before and self.watch is not None:
            self.watch(self, before, after)
        for perform in effects:
            perform(self, message)

    def note_reference(self, signal: Signal) -> None:
        """What a REFER came to, for the machine; it means nothing once the dialog is being left."""
        if self.state in TALKING:
            self.step(signal)

    def judge(self, status: int, text: str) -> None:
        """End the dialog if this answer to a request within it says that it is gone (12.2.1.2).

        While our INVITE is unanswered only its response can say that: others may ring, and it must be cancelled.
        """
        if self.is_unanswered:
            return
        if self.acceptance is not None:
            return  # whoever has not acknowledged our 2xx may not know of the dialog yet: it is repeated
        if status == 481:
            self.lost(status, text, Signal.ERROR)
        elif status == 408:
            self.lost(status, text, Signal.TRANSACTION_TIMEOUT)

    def lost(self, status: int, text: str, signal: Signal, reason: Reason | None = None) -> None:
        """It ends, and neither side asked for it. ``reason`` goes into our BYE."""
        if self.state in TALKING:
            self.ending = Ending("network", status, reason, text)
            if reason is not None:
                self._give_reason(reason, ())
        self.step(signal)

    # -- for the parts of the dialog -----------------------------------------------------------------------------------

    @property
    def bye_reason(self) -> str:
        """The value of Reason in our CANCEL or BYE, empty when there is none."""
        return str(self.reason) if self.reason is not None else ""

    def _give_reason(self, reason: Reason | None, headers: Headers) -> None:
        if self.reason is None and not self.bye_headers and not self.is_over:
            self.reason = reason
            self.bye_headers = (*((("reason", str(reason)),) if reason is not None else ()), *headers)

    def send(self, request: Request, then: Then, peer: Peer | None = None) -> None:
        """Send a request that `compose` made, other than INVITE and ACK; ``then`` hears its final response or None."""
        try:
            sending = Within(self, peer or self.peer, request, then)
        except ParseError:
            then(None)  # its target names nobody that can be asked
        else:
            sending.send()

    def go_on(self) -> None:
        """An offer was settled: the next one may go out."""
        if self.proposals is not None:
            self.proposals.go_on()

    def refresh_session(self, failed: Callable[[int], None]) -> None:
        """Refresh the session timer; ``failed`` hears the status when that has no 2xx."""
        refresh_session(self, failed)

    def expire(self, reason: Reason) -> None:
        """Nobody refreshed the session (RFC 4028 10)."""
        self.lost(408, reason.text or "", Signal.TIMEOUT, reason)

    def turn_away(self, status: int, explanation: str) -> None:
        """Refuse an INVITE whose sender does not go on with it as they should; the user hears that they gave up."""
        if self.answering is not None:
            response = explain(respond(self, self.answering.request, status, "", (), b""), explanation)
            self.step(Signal.TIMEOUT, response)

    def call(self, invite: Request, target: Target) -> None:
        """Send our INVITE, or the next one after a challenge."""
        self.calling = calling = Calling(self, invite, target)
        calling.send()

    def note_abilities(self, message: Message) -> None:
        """Take over what the other side says of Allow and Supported."""
        self._abilities = Abilities.of(message) or self._abilities

    def establish(self) -> None:
        """The INVITE is answered."""
        self.answered_at = self.registry.now()
        self.registry.established(self)

    def disestablish(self, ending: Ending) -> None:
        """It was answered, and is over."""
        self.ended_at = self.registry.now()
        self.registry.over(self)

    def stop(self) -> None:
        """It is over: what runs for it ends. It stays known while a subscription lives in it (RFC 5057 4.1)."""
        if self.acceptance is not None:
            self.acceptance.stop()
        self._forks = None
        abandon(self)
        stop(self)
        if self.proposals is not None:
            self.proposals.close()
            self.proposals = None
        if self.reliable is not None:
            self.reliable.stop()
            self.reliable = None
        if self.references is None or not self.references.is_busy:
            self.references = None
            self.registry.forget(self)

    def bye_answered(self, response: Response | None) -> None:
        """Our BYE has its answer, or will have none; either way it is over (15.1.1)."""
        if self.ending is None and self.answered_at is not None:
            status, text = (408, "Nobody answered the BYE") if response is None else (response.status, response.reason)
            self.ending = Ending("us", status, self.reason, text)
        self.step(Signal.TERMINATE, response)

    def tell_waiting(self, response: Response | None) -> None:
        """Whoever asked for the end hears of it."""
        waiting, self._waiting = self._waiting, None
        for then in waiting or ():
            then(response)
