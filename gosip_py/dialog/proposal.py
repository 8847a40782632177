"""What we offer within a dialog: re-INVITE, and UPDATE while it is early (RFC 3261 14.1, RFC 3311 5.1).

One offer is under way at a time and one waits; each ends in exactly one `Outcome`. An offer that met one of the other
side (491) is tried again after a random time that differs for the two ends. A refusal leaves the session as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from gosip_py.dialog.offer import UPDATABLE, Signal, State, negotiate
from gosip_py.dialog.refresh import ask, ask_again, begin
from gosip_py.dialog.reinvite import ReInvite
from gosip_py.dialog.reliable import session_from
from gosip_py.dialog.session import SDP, session_of
from gosip_py.dialog.user import Describes, Outcome
from gosip_py.dialog.within import CHALLENGES
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import parse_retry_after
from gosip_py.sip.message import Request, Response

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.transaction.timers import Timer

__all__ = ["Proposal", "Proposals", "back_off", "refresh_session", "send_offer"]

_MOST_TRIES = 8
_LONGEST_WAIT = 10.0  # seconds: RFC 3261 14.2, RFC 3311 5.2
_PATIENCE = 90.0  # seconds for a re-INVITE that rings somewhere: then it is cancelled

_LOST = frozenset((408, 481))  # RFC 3261 12.2.1.2: these end the dialog

_TRY = 0
_GIVE_UP = 1

_SENT = {True: Signal.SEND_INVITE, False: Signal.SEND_EMPTY_INVITE}

Headers = tuple[tuple[str, str], ...]


def back_off(is_caller: bool, random: Random) -> float:
    """How long to wait after a 491, in steps of 10 ms (RFC 3261 14.1). The caller made the Call-ID."""
    return (random.randint(210, 400) if is_caller else random.randint(0, 200)) / 100


class Proposal:
    """One offer of ours. ``sdp`` empty asks for theirs; ``retries``: whether it is tried again after a glare."""

    __slots__ = ("headers", "retries", "sdp", "then", "tries")

    def __init__(self, sdp: bytes, then: Callable[[Outcome], None], headers: Headers, retries: bool) -> None:
        self.sdp = sdp
        self.then = then
        self.headers = headers
        self.retries = retries
        self.tries = 0


class _Later:
    """Tells an outcome when whoever is at work has returned."""

    __slots__ = ("_outcome", "_then")

    def __init__(self, then: Callable[[Outcome], None], outcome: Outcome) -> None:
        self._then = then
        self._outcome = outcome

    def timer_fired(self, kind: int) -> None:
        self._then(self._outcome)


class Proposals:
    """The offers of ours in one dialog."""

    __slots__ = ("_before", "_current", "_dialog", "_is_starting", "_queued", "_reinvite", "_timer", "_update")

    def __init__(self, dialog: Dialog) -> None:
        self._dialog = dialog
        self._before = (b"", b"")  # the session when the re-INVITE was sent
        self._current: Proposal | None = None
        self._queued: Proposal | None = None
        self._reinvite: ReInvite | None = None
        self._update = False
        self._is_starting = False
        self._timer: Timer | None = None

    @property
    def is_idle(self) -> bool:
        return self._current is None

    @property
    def open_offer(self) -> bytes:
        """Their offer in the 2xx to a re-INVITE of ours, while it waits for our answer."""
        return self._reinvite.offer if self._reinvite is not None else b""

    def add(self, proposal: Proposal) -> None:
        """Send it as soon as may be. One waits; for another the time is not."""
        if self._dialog.is_over:
            self._tell_later(proposal, 481)
        elif self._current is None:
            self._current = proposal
            self.go_on()
        elif self._queued is None:
            self._queued = proposal
        else:
            self._tell_later(proposal, 491)

    def go_on(self) -> None:
        """Send what waits, if nothing stands in its way any more."""
        if self._reinvite is not None or self._update or self._timer is not None:
            return
        if self._current is None:
            self._current, self._queued = self._queued, None
        proposal, dialog = self._current, self._dialog
        if proposal is None:
            return
        if dialog.is_established:
            # RFC 3261 14.1: their INVITE must be confirmed first, whatever an UPDATE settled meanwhile
            if dialog.negotiation is State.STABLE and dialog.acceptance is None:
                self._start(self._send_invite, proposal)
        elif dialog.is_early and dialog.negotiation in UPDATABLE and proposal.sdp and dialog.remote_allows("UPDATE"):
            self._start(self._send_update, proposal)

    def acknowledge(self, sdp: bytes) -> bool:
        """Our answer to the offer that a re-INVITE of ours asked for; False when none waits for it."""
        reinvite = self._reinvite
        if reinvite is None or not reinvite.offer:
            return False
        dialog = self._dialog
        reinvite.acknowledge(sdp)
        dialog.local_sdp, dialog.remote_sdp = sdp, reinvite.offer
        negotiate(dialog, Signal.SEND_ACK)
        self._reinvite = self._current = None
        self.go_on()
        return True

    def withdraw(self, then: Callable[[Outcome], None] | None) -> None:
        """Take back the offer that tells ``then``, or the last one: a re-INVITE is cancelled, an UPDATE cannot be."""
        queued, current = self._queued, self._current
        if queued is not None and then in (None, queued.then):
            self._queued = None
            self._tell_later(queued, 487)
        elif current is None or then not in (None, current.then) or self._update:
            return
        elif self._reinvite is not None:
            self._reinvite.cancel(None)
        else:
            self._stop_timer()
            self._current = None
            self._tell_later(current, 487)
            self.go_on()

    def close(self) -> None:
        """The dialog is over: nothing is sent any more, and no answer waited for."""
        self._stop_timer()
        reinvite, self._reinvite = self._reinvite, None
        waiting, self._current, self._queued = (self._current, self._queued), None, None
        owes_answer = reinvite is not None and bool(reinvite.offer)
        if reinvite is not None:
            reinvite.cancel(None)
            if owes_answer:
                reinvite.acknowledge(b"")  # RFC 3261 13.2.2.4: a 2xx is acknowledged whatever comes after
        self._update = False
        for proposal in waiting:
            if proposal is not None and not (owes_answer and proposal is waiting[0]):
                self._tell_later(proposal, 481)

    # -- sending -------------------------------------------------------------------------------------------------------

    def _start(self, send: Callable[[Proposal], None], proposal: Proposal) -> None:
        proposal.tries += 1
        self._is_starting = True
        try:
            send(proposal)
        except ParseError:
            self._failed(proposal, 502, None)  # their target cannot be reached: it is none
        finally:
            self._is_starting = False

    def _send_invite(self, proposal: Proposal) -> None:
        self._send(proposal, self._compose("INVITE", proposal))

    def _send_credentials(self, proposal: Proposal, reinvite: ReInvite, response: Response) -> bool:
        """Answer a challenge (22.2); False when we cannot."""
        client, dialog = reinvite.client, self._dialog
        if client is None or dialog.is_over or dialog.negotiation is not State.STABLE:
            return False
        copy = dialog.copy_of(client.request)
        if not dialog.answer_challenge(copy, response):
            return False
        try:
            self._send(proposal, copy)
        except ParseError:
            return False  # their target cannot be reached any more
        return True

    def _send(self, proposal: Proposal, request: Request) -> None:
        dialog = self._dialog
        reinvite = ReInvite(dialog, request, dialog.peer.hop, self)
        self._reinvite = reinvite
        self._before = (dialog.local_sdp, dialog.remote_sdp)
        self._timer = dialog.wheel.start(_PATIENCE, self, _GIVE_UP)
        negotiate(dialog, _SENT[bool(proposal.sdp)])
        reinvite.send()

    def _send_update(self, proposal: Proposal) -> None:
        dialog = self._dialog
        request = self._compose("UPDATE", proposal)
        negotiate(dialog, Signal.SEND_UPDATE)
        self._update = True
        dialog.send(request, lambda response: self._updated(proposal, response))

    def _compose(self, method: str, proposal: Proposal) -> Request:
        user = self._dialog.user
        if proposal.sdp and isinstance(user, Describes):
            proposal.sdp = user.describe(proposal.sdp)
        return _composed(self._dialog, method, proposal.headers, proposal.sdp)

    # -- what comes of it ----------------------------------------------------------------------------------------------

    def accepted(self, reinvite: ReInvite, response: Response) -> None:
        """The first 2xx to our re-INVITE."""
        proposal = self._current
        if reinvite is not self._reinvite or proposal is None:
            reinvite.acknowledge(b"")  # the dialog was over meanwhile, and so is the offer
            return
        self._stop_timer()
        dialog = self._dialog
        dialog.peer.move(response)
        begin(dialog, response, False)
        negotiate(dialog, Signal.RECEIVE_2XX)
        sdp = session_from(dialog, dialog.remote_tag, reinvite.number) or session_of(response)
        outcome = Outcome(response.status, response, sdp)
        if proposal.sdp:
            reinvite.acknowledge(b"")
            self._agree(proposal, sdp)
            self._done(proposal, outcome)
        elif sdp:
            reinvite.offer = sdp
            proposal.then(outcome)
        else:
            # They were asked for an offer, and made none.
            reinvite.acknowledge(b"")
            negotiate(dialog, Signal.SEND_ACK)
            self._done(proposal, outcome)

    def refused(self, reinvite: ReInvite, status: int, response: Response | None) -> None:
        """Another final response to our re-INVITE; None: nobody answers."""
        proposal = self._current
        if reinvite is not self._reinvite or proposal is None:
            return
        self._stop_timer()
        self._reinvite = None
        dialog = self._dialog
        negotiate(dialog, Signal.RECEIVE_REFUSAL)
        # RFC 6337 3.4: also what a reliable response settled meanwhile
        dialog.local_sdp, dialog.remote_sdp = self._before
        if response is not None and status in CHALLENGES and self._send_credentials(proposal, reinvite, response):
            return
        self._failed(proposal, status, response)
        if status in _LOST:
            dialog.judge(status, "" if response is None else response.reason)

    def _updated(self, proposal: Proposal, response: Response | None) -> None:
        if proposal is not self._current or not self._update:
            return
        self._update = False
        dialog = self._dialog
        status = 408 if response is None else response.status
        if response is None or status >= 300:
            negotiate(dialog, Signal.RECEIVE_REJECTION)
            self._failed(proposal, status, response)
            return
        if dialog.is_established:
            begin(dialog, response, False)
        negotiate(dialog, Signal.RECEIVE_ANSWER)
        sdp = session_of(response)
        self._agree(proposal, sdp)
        self._done(proposal, Outcome(status, response, sdp))

    def _agree(self, proposal: Proposal, sdp: bytes) -> None:
        if sdp:
            self._dialog.local_sdp, self._dialog.remote_sdp = proposal.sdp, sdp

    def _failed(self, proposal: Proposal, status: int, response: Response | None) -> None:
        wait = self._wait(proposal, status, response)
        if wait is None:
            self._done(proposal, Outcome(status, response), status not in _LOST)
        else:
            self._try_again(wait)

    def _wait(self, proposal: Proposal, status: int, response: Response | None) -> float | None:
        """How long to wait before it is tried again; None: not at all."""
        dialog = self._dialog
        if response is None or dialog.is_over or proposal.tries >= _MOST_TRIES:
            return None
        if status == 422:
            return 0.0 if ask_again(dialog, response) else None
        if not proposal.retries:
            return None
        if status == 491:
            return back_off(dialog.is_caller, dialog.registry.random)
        return _retry_after(response) if status == 500 else None

    def _try_again(self, seconds: float) -> None:
        self._timer = self._dialog.wheel.start(seconds, self, _TRY)

    def timer_fired(self, kind: int) -> None:
        self._timer = None
        if kind == _TRY:
            self.go_on()
        elif self._reinvite is not None:
            self._reinvite.cancel(None)

    def _done(self, proposal: Proposal, outcome: Outcome, goes_on: bool = True) -> None:
        self._current = self._reinvite = None
        if self._is_starting:
            self._dialog.wheel.start(0, _Later(proposal.then, outcome), 0)
        else:
            proposal.then(outcome)
        if goes_on:
            self.go_on()
        elif self._queued is not None:
            self._try_again(0.0)  # unless the dialog ends with this

    def _tell_later(self, proposal: Proposal, status: int) -> None:
        self._dialog.wheel.start(0, _Later(proposal.then, Outcome(status, None)), 0)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _retry_after(response: Response) -> float | None:
    """The seconds of a 500 that met an offer of its own; None when it is another sort of 500."""
    value = response.value("retry-after")
    if value is None:
        return None
    try:
        seconds = parse_retry_after(value).seconds
    except ParseError:
        return None
    return float(seconds) if seconds <= _LONGEST_WAIT else None


def _composed(dialog: Dialog, method: str, headers: Headers, sdp: bytes) -> Request:
    """An INVITE or UPDATE within the dialog. It says what we can do, as the first INVITE did (RFC 4028 7.4)."""
    registry = dialog.registry
    request = dialog.compose(method, headers=headers, body=sdp, content_type=SDP if sdp else "", contact=True)
    request.names += registry.ability_names
    # The offer of a reliable 18x would have to be answered in its PRACK: who asks for an offer takes none so early.
    request.lines += registry.ability_lines if sdp or method != "INVITE" else registry.certain_lines
    if dialog.is_established:
        ask(dialog, request)
    return request


def proposals_of(dialog: Dialog) -> Proposals:
    """Those of ``dialog``, made at the first."""
    proposals = dialog.proposals
    if proposals is None:
        proposals = dialog.proposals = Proposals(dialog)
    return proposals


def send_offer(
    dialog: Dialog, sdp: bytes, then: Callable[[Outcome], None], headers: Headers = (), retries: bool = True
) -> None:
    """Offer ``sdp`` as soon as may be, or ask for their offer with an empty one: `Dialog.offer` says more."""
    proposals_of(dialog).add(Proposal(sdp, then, headers, retries))


# -- the refreshes of the session timer (RFC 4028 7.4) ----------------------------------------------------------------


def refresh_session(dialog: Dialog, failed: Callable[[int], None]) -> None:
    """Refresh the session: by an UPDATE that offers nothing where they know it, else by the last offer once more.

    A 2xx starts the session timer anew; ``failed`` hears another final status, 0 when nothing could be sent or nobody
    answered.
    """
    if dialog.remote_allows("UPDATE"):
        _refresh_by_update(dialog, failed, 0)
    else:
        _refresh_by_invite(dialog, failed)


def _refresh_by_update(dialog: Dialog, failed: Callable[[int], None], tries: int) -> None:
    def receive(response: Response | None) -> None:
        if dialog.is_over:
            return
        status = 0 if response is None else response.status
        if response is None:
            failed(status)
        elif status < 300:
            begin(dialog, response, False)
        elif status == 422 and tries < _MOST_TRIES and ask_again(dialog, response):
            _refresh_by_update(dialog, failed, tries + 1)
        elif status in (405, 501):
            _refresh_by_invite(dialog, failed)
        else:
            failed(status)

    try:
        dialog.send(_composed(dialog, "UPDATE", (), b""), receive)
    except ParseError:
        failed(0)


def _refresh_by_invite(dialog: Dialog, failed: Callable[[int], None]) -> None:
    proposals = proposals_of(dialog)
    if not dialog.local_sdp or not proposals.is_idle:
        failed(0)  # an offer that is under way refreshes as well
        return

    def told(outcome: Outcome) -> None:
        if outcome.status >= 300:
            failed(outcome.status)

    proposals.add(Proposal(dialog.local_sdp, told, (), True))
