"""REFER within a dialog, both ends (RFC 3515, RFC 4488, RFC 3892).

`References` are all of one dialog; it is made when the first REFER comes or goes. They do not hold up the call: it may
end at any time, and the dialog stays for the subscriptions alone until they are over (RFC 5057 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from gosip_py.dialog.reference import Reference, read_refer, refer_to
from gosip_py.dialog.referral import Referral
from gosip_py.dialog.subscription import ReferNotifier, granted
from gosip_py.dialog.table import Signal
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Event, Replaces, parse_event, parse_expires
from gosip_py.sip.headers import Address
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["Refer", "References", "receive_notify", "receive_refer", "receive_subscribe", "send_refer"]

_MOST_REFERENCES = 8  # at once in a dialog, each way
_log = Logger()


class Refer:
    """A REFER that came: answer it by `accept` or `refuse`, then `report` what comes of it.

    A person who is asked may take long: when half of the time of its transaction has passed it is accepted, and what
    `refuse` says is told by a NOTIFY (2.4.2).
    """

    __slots__ = ("_dialog", "_notifier", "_timer", "_transaction", "reference", "request")

    def __init__(self, dialog: Dialog, transaction: ServerTransaction, reference: Reference, number: int) -> None:
        self.reference = reference
        self.request: Request = transaction.request
        self._dialog = dialog
        self._transaction = transaction
        self._notifier: ReferNotifier | None = None
        if not reference.is_silent:
            self._notifier = ReferNotifier(dialog, number, self._forget)
        self._timer: Timer | None = dialog.wheel.start(32 * dialog.timing.t1, self, 0)

    def __repr__(self) -> str:
        return f"<Refer to {self.reference.target.uri_text}>"

    @property
    def target(self) -> Address:
        """Whom to call; its URI has no headers."""
        return self.reference.target

    @property
    def replaces(self) -> Replaces | None:
        """The dialog of the target that our INVITE shall replace."""
        return self.reference.replaces

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of our INVITE, by canonical name; Referred-By is not among them."""
        return dict(self.reference.headers)

    @property
    def referred_by(self) -> str:
        """The Referred-By to pass on as it is, empty when there is none (RFC 3892 2.2)."""
        return self.reference.referred_by

    @property
    def is_silent(self) -> bool:
        """Whether nothing is to be reported (RFC 4488)."""
        return self.reference.is_silent

    @property
    def is_open(self) -> bool:
        """Whether it was neither accepted nor refused yet."""
        return self._timer is not None

    def accept(self) -> None:
        """Say 202, and report 100 at once. Later calls do nothing."""
        if not self._decide():
            return
        headers = [("contact", self._dialog.contact)]
        if self.is_silent:
            headers.append(("refer-sub", "false"))
        self._transaction.reply(202, headers=headers)
        self._dialog.note_reference(Signal.REFER_ACCEPTED)
        if self._notifier is not None:
            self._notifier.start()
        else:
            self._conclude()

    def refuse(self, status: int, explanation: str = "", reason: str = "") -> None:
        """Do not follow it. After `accept` this is told by the last NOTIFY."""
        if self._decide():
            self._transaction.reply(status, reason, explanation)
            self._dialog.note_reference(Signal.REFER_FAILED)
            self._notifier = None
            self._conclude()
        elif self._notifier is not None:
            self._notifier.refuse(status, reason)

    def report(self, status: int, reason: str = "") -> None:
        """The request that was asked for got this response. A final one is the last that is told."""
        self.accept()
        if self._notifier is not None:
            self._notifier.report(status, reason)

    def timer_fired(self, _kind: int) -> None:
        self.accept()

    # -- for References ------------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """The CSeq number of the REFER."""
        return self.request.cseq.number

    def refresh(self, transaction: ServerTransaction, expires: int | None) -> bool:
        """Answer a SUBSCRIBE to what is reported; False when nothing is reported (any more)."""
        notifier = self._notifier
        if notifier is None or self.is_open or not notifier.is_live:
            return False
        seconds = granted(expires)
        transaction.reply(200, headers=(("contact", self._dialog.contact), ("expires", str(seconds))))
        notifier.refresh(seconds)
        return True

    def drop(self) -> None:
        """Forget it without a word."""
        self._stop_timer()
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.drop()

    def _decide(self) -> bool:
        was_open = self.is_open
        self._stop_timer()
        return was_open

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self, _notifier: ReferNotifier) -> None:
        self._notifier = None
        self._conclude()

    def _conclude(self) -> None:
        references = self._dialog.references
        if references is not None:
            references.forget(self)


class References:
    """The REFERs of one dialog that are not over, in both directions."""

    __slots__ = ("_dialog", "_incoming", "_outgoing", "_received")

    def __init__(self, dialog: Dialog) -> None:
        self._dialog = dialog
        self._incoming: list[Refer] = []
        self._outgoing: list[Referral] = []
        self._received = 0

    @property
    def is_busy(self) -> bool:
        """Whether the dialog must stay for them."""
        return bool(self._incoming or self._outgoing)

    def close(self) -> None:
        """Forget all of them: the dialog cannot carry anything any more. Who waits for a result is told 503."""
        for refer in tuple(self._incoming):
            refer.drop()
        self._incoming.clear()
        for referral in tuple(self._outgoing):
            referral.give_up(503, "The dialog is gone")

    # -- REFERs that come ----------------------------------------------------------------------------------------------

    def receive(self, transaction: ServerTransaction, reference: Reference) -> None:
        """A REFER that can be read; the dialog's user decides."""
        if len(self._incoming) >= _MOST_REFERENCES:
            Refusal(491, "too many REFERs of this dialog are being followed: try again later").send(transaction)
            return
        # 2.4.6: the first needs no id in its NOTIFYs
        self._received += 1
        number = transaction.request.cseq.number if self._received > 1 else 0
        refer = Refer(self._dialog, transaction, reference, number)
        self._incoming.append(refer)
        dialog = self._dialog
        dialog.note_reference(Signal.RECEIVE_REFER)
        try:
            dialog.user.referred(dialog, refer)
        except Exception:
            _log.failure("a REFER broke its user")
            refer.refuse(500)

    def subscribe(self, transaction: ServerTransaction, event: Event, expires: int | None) -> None:
        """A SUBSCRIBE to what we report: there is none but by REFER (2.4.4)."""
        for refer in self._incoming:
            is_meant = event.id == str(refer.number) if event.id else refer is self._incoming[0]
            if is_meant and refer.refresh(transaction, expires):
                return
        _NO_SUBSCRIPTION.send(transaction)

    def forget(self, refer: Refer | Referral) -> None:
        """It is over."""
        if isinstance(refer, Referral):
            self._outgoing.remove(refer)
        elif refer in self._incoming:
            self._incoming.remove(refer)
        if not self.is_busy and self._dialog.is_over:
            self._dialog.let_go()

    # -- REFERs that go ------------------------------------------------------------------------------------------------

    def has(self, referral: Referral) -> bool:
        return referral in self._outgoing

    def admit(self, referral: Referral) -> bool:
        """Whether there is room for one more."""
        if len(self._outgoing) >= _MOST_REFERENCES:
            return False
        self._outgoing.append(referral)
        return True

    def notify(self, transaction: ServerTransaction, event: Event) -> None:
        """A NOTIFY: it is of the REFER with its id; without one, or before the 202, of one that has heard nothing."""
        for referral in self._outgoing:
            if referral.number and event.id == str(referral.number):
                referral.notified(transaction)
                return
        for referral in self._outgoing:
            if not event.id or not referral.number:
                referral.notified(transaction)
                return
        transaction.reply(481, explanation="No REFER of this dialog waits for this NOTIFY: end the subscription")


_NO_SUBSCRIPTION = Refusal(403, "only a REFER makes a subscription to refer (RFC 3515 2.4.4): send a REFER")
_NOT_TALKING = Refusal(491, "the call is not answered yet, or is being ended: send the REFER within a call")
_BAD_EVENT = Refusal(489, "of all events only refer is told within a call", (("allow-events", "refer"),))


def references_of(dialog: Dialog) -> References:
    """Those of the dialog, made when there are none."""
    references = dialog.references
    if references is None:
        references = dialog.references = References(dialog)
    return references


def receive_refer(dialog: Dialog, transaction: ServerTransaction) -> None:
    """A REFER within ``dialog``: it is followed while the call goes on."""
    found = read_refer(transaction.request) if dialog.is_established else _NOT_TALKING
    if isinstance(found, Refusal):
        found.send(transaction)
    else:
        references_of(dialog).receive(transaction, found)


def receive_notify(dialog: Dialog, transaction: ServerTransaction) -> None:
    """A NOTIFY within ``dialog``, whose call may be over."""
    event = _event_of(transaction)
    if event is None:
        return
    if dialog.references is None:
        transaction.reply(481, explanation="Nothing was subscribed to within this dialog: end the subscription")
    else:
        dialog.references.notify(transaction, event)


def receive_subscribe(dialog: Dialog, transaction: ServerTransaction) -> None:
    """A SUBSCRIBE within ``dialog``, whose call may be over."""
    event = _event_of(transaction)
    if event is None:
        return
    try:
        value = transaction.request.value("expires")
        expires = None if value is None else parse_expires(value)
    except ParseError as error:
        transaction.reply(400, explanation=f"Expires cannot be read, {error.reason}: send a number of seconds")
        return
    if dialog.references is None:
        _NO_SUBSCRIPTION.send(transaction)
    else:
        dialog.references.subscribe(transaction, event, expires)


def _event_of(transaction: ServerTransaction) -> Event | None:
    """The Event header when it is about a REFER; otherwise the request has been refused."""
    try:
        event = parse_event(transaction.request.require("event"))
    except ParseError as error:
        transaction.reply(400, explanation=f"Event cannot be read, {error.reason}: send Event: refer")
        return None
    if event.name.lower() == "refer":
        return event
    _BAD_EVENT.send(transaction)
    return None


def send_refer(
    dialog: Dialog,
    target: str,
    *,
    replaces: Dialog | Replaces | None,
    referred_by: str,
    silent: bool,
    progress: Callable[[int, str], None] | None,
    then: Callable[[int, str], None],
) -> Referral | None:
    """Ask the other side to call ``target``, in place of ``replaces`` where that is given: see `Dialog.refer`.

    None when there are too many already; ``then`` has been told so.
    """
    referral = Referral(dialog, is_silent=silent, progress=progress, then=then)
    if not references_of(dialog).admit(referral):
        then(491, "Too many REFERs are under way")
        return None
    if replaces is not None and not isinstance(replaces, Replaces):
        # As the target sees it, its own tag is the to-tag (RFC 3891 3).
        replaces = Replaces(replaces.call_id, replaces.remote_tag, replaces.local_tag)
    headers = [("refer-to", refer_to(target, replaces))]
    if referred_by:
        headers.append(("referred-by", referred_by))
    if silent:
        headers += [("refer-sub", "false"), ("supported", "norefersub")]
    dialog.note_reference(Signal.SEND_REFER)
    referral.send(headers)
    return referral
