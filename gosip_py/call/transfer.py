"""One transfer: connecting somebody who talks with the transferor to a target, who is rung or talks already.

What happens is in transfer_table.py; here it is done. While the target rings, transferee and transferor stay together.
If the transferor does not wait and nobody takes the call, the transferee is hung up on and told why, as other exchanges
do: who hung up is not rung again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

from gosip_py.call.bridge import Bridge, join
from gosip_py.call.call import Call
from gosip_py.call.delivery import Delivery
from gosip_py.call.dialling import Dialling
from gosip_py.call.hold import answer_on_hold
from gosip_py.call.leg import Leg, Quiet
from gosip_py.call.parting import GRACE_SECONDS, Parting, dismiss, ended_by, owing_in, settle, take_place
from gosip_py.call.transfer_table import TRANSFER, Effect, Signal, State
from gosip_py.call.verdict import Attempt, UseFeature
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.user import Ending
from gosip_py.events import EndedBy
from gosip_py.sip.fields import Reason
from gosip_py.sip.status import REASON_PHRASES

if TYPE_CHECKING:
    from gosip_py.call.ringing import Ringing
    from gosip_py.call.transfers import Transfers

__all__ = ["Report", "Transfer"]

TRANSFERRED = Reason("SIP", 200, "Call transferred")


class Report(Protocol):
    """Who asked for a transfer. Of `succeeded` and `failed` exactly one is told. ``has_patience``: see `dismiss`."""

    has_patience: bool

    def accepted(self) -> None:
        """It is being tried."""

    def rang(self, status: int, reason: str) -> None:
        """The target rings."""

    def succeeded(self, reason: str) -> None:
        """Transferee and target talk."""

    def failed(self, status: int, reason: str) -> None:
        """They do not: the status is that of the target's final response."""


class Transfer(Quiet):
    """The role of its parties while they are being connected.

    ``consultation`` is the transferor's leg in the call with the target.
    """

    __slots__ = (
        "_delivery",
        "_failure",
        "_lamp",
        "_said",
        "_transfers",
        "call",
        "consultation",
        "report",
        "state",
        "switch",
        "target",
        "transferee",
        "transferor",
    )

    def __init__(self, transfers: Transfers, transferor: Leg, transferee: Leg, report: Report) -> None:
        self._transfers = transfers
        self.switch = transfers.switch
        self.call = transferor.call
        self.transferor = transferor
        self.transferee = transferee
        self.report = report
        self.target: Leg | None = None
        self.consultation: Leg | None = None
        self.state = State.RINGING
        self._delivery: Delivery | None = None
        self._failure = 480, REASON_PHRASES[480]
        self._lamp = self.call.lamp
        self._said = 180, REASON_PHRASES[180]
        transfers.began(self)

    # -- the three ways to begin ---------------------------------------------------------------------------------------

    def ring(self, attempt: Attempt, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Blind: call the target for the transferee, by the rights of the transferor."""
        self._part()
        self._delivery = Delivery(self.transferee, self, attempt, headers=headers)
        self._delivery.start()

    def ring_on(self, consultation: Leg, ringing: Ringing) -> None:
        """Semi-attended (RFC 5589 7.6): the transferor rings the target already; the transferee waits instead."""
        self._part()
        other = consultation.call
        other.note("transfer", by=self.transferor.party.name, target=self.transferee.party.name, call_id=self.call.id)
        self._delivery = Delivery(self.transferee, self, _attempt_of(ringing, other.attempt))
        self._delivery.take_over(ringing)
        other.end("cancelled", 487, REASON_PHRASES[487], "caller")
        consultation.drop()
        consultation.dialog.reject(487, explanation="The call that rings was transferred.")
        if any(leg.has_rung for leg in ringing.legs):
            self.rang(*self._said)

    def attend(self, consultation: Leg, target: Leg) -> None:
        """Attended: the transferor talks with the target."""
        self.state = State.JOINING
        self.call.state = consultation.call.state = "transferring"
        self.report.accepted()
        self.consultation, self.target = consultation, target
        self._hold_together(consultation, target)
        self._join()

    def _part(self) -> None:
        self.call.state = "transferring"
        self.report.accepted()
        Parting(self.switch, self.call, self.transferee, self.transferor, self)

    def abandon(self) -> None:
        """The call was ended from outside: by an administrator, or because the server stops."""
        if self.state not in (State.DONE, State.FAILED):
            self.state = State.FAILED
            self._failure = 487, REASON_PHRASES[487]
            if self.target is not None and self.target.call is not self.call:
                self._hang_up_target()
            else:
                self._cancel()
            self._report_failed()

    # -- what the delivery says ----------------------------------------------------------------------------------------

    def rang(self, status: int, reason: str) -> None:
        self._said = status, reason
        self._step(Signal.TARGET_RANG)

    def reached(self, target: Leg) -> None:
        self.target = target
        target.role = self
        self._step(Signal.TARGET_ANSWERED)

    def unreached(self, status: int, reason: str) -> None:
        self._failure = status, reason
        self._step(Signal.TARGET_FAILED)

    def served(self, verdict: UseFeature) -> bool:
        """To be parked is the one feature that somebody can be sent to."""
        if verdict.name != "park":
            return False
        self._delivery = None
        self.state = State.DONE
        self._transfers.is_over(self)
        self._transfers.parking.park(self.transferor, self.transferee, verdict.argument, self.report)
        return True

    # -- what the parties do -------------------------------------------------------------------------------------------

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        if self.state is State.LONELY_RINGING:
            answer_on_hold(leg, exchange)
        else:
            Quiet.offered(self, leg, exchange)

    def ended(self, leg: Leg, ending: Ending) -> None:
        self.left(leg, ending)

    def left(self, leg: Leg, ending: Ending) -> None:
        """A dialog is over; when it is that of the transferee, so is the call."""
        settle(leg.call)
        if leg is self.consultation:
            self.consultation = None
            leg.drop()
        elif leg is self.transferor:
            leg.drop()
            self.transferee.role = self
            self._step(Signal.TRANSFEROR_LEFT)
        elif leg is self.transferee:
            self._failure = 487, REASON_PHRASES[487]
            self._step(Signal.TRANSFEREE_LEFT)
            self.call.end("answered", 200, "OK", ended_by(self.call, leg, ending))
            leg.drop()
        else:
            self._target_left(leg, ending)

    def _target_left(self, leg: Leg, ending: Ending) -> None:
        consultation, self.consultation = self.consultation, None
        self.target = None
        if consultation is not None:
            leg.call.end("answered", 200, "OK", ended_by(leg.call, leg, ending))
            consultation.hang_up(ending.reason)
        leg.drop()
        self._step(Signal.TARGET_LEFT)

    # -- what the table says -------------------------------------------------------------------------------------------

    def _step(self, signal: Signal) -> None:
        self.state, effects = TRANSFER.rows[self.state][signal]
        for effect in effects:
            self._perform[effect](self)

    def _report_ringing(self) -> None:
        self.report.rang(*self._said)

    def _report_done(self) -> None:
        self._transfers.is_over(self)
        self._note("done")
        self.report.succeeded(REASON_PHRASES[200])

    def _report_failed(self) -> None:
        self._transfers.is_over(self)
        status, reason = self._failure
        self._note(f"{status} {reason}")
        self.report.failed(status, reason)

    def _note(self, result: str) -> None:
        delivery, target = self._delivery, self.target
        name = target.party.name if target is not None else delivery.attempt.dialled if delivery is not None else ""
        self.call.note("transfer", by=self.transferor.party.name, target=name, result=result)

    def _join(self) -> None:
        """Nothing may come between: who offers now is asked to try again."""
        self._hold_together(self.transferor, self.transferee)
        delivery, target = self._delivery, self.target
        if delivery is not None:
            delivery.connect(self._connected)
        elif target is not None:
            join(self.transferee, target, self._joined)

    def _hold_together(self, *legs: Leg) -> None:
        for leg in legs:
            settle(leg.call)
            leg.call.bridge = None
            if leg.peer is not None:
                leg.role, leg.peer = self, None

    def _joined(self, is_joined: bool) -> None:
        self._connected(200 if is_joined else 488, "")

    def _connected(self, status: int, _reason: str) -> None:
        target = self.target
        if target is None or self.state in (State.DONE, State.FAILED):
            return
        if not 200 <= status < 300:
            self._failure = status, REASON_PHRASES.get(status, "")
            self._step(Signal.NOT_JOINED)
            return
        self._merge(target)
        self._step(Signal.JOINED)

    def _merge(self, target: Leg) -> None:
        """The target takes the place of the transferor; what was the consultation ends."""
        call, other = self.call, target.call
        take_place(call, self.transferor, target)
        if other is not call:
            self._close_consultation(other)
            call.adopt(target)
        Bridge(self.switch, call, self.transferee, target)
        call.state = "answered"

    def _close_consultation(self, other: Call) -> None:
        consultation, self.consultation = self.consultation, None
        by: EndedBy = "callee" if consultation is not None and consultation is other.callee else "caller"
        other.note("transfer", by=self.transferor.party.name, target=self.transferee.party.name, call_id=self.call.id)
        self.call.note("merge", by=self.transferor.party.name, call_id=other.id)
        other.end("answered", 200, "OK", by)
        if consultation is not None:
            consultation.hang_up(TRANSFERRED)

    def _dismiss(self) -> None:
        dismiss(self.transferor, TRANSFERRED, GRACE_SECONDS if self.report.has_patience else 0)

    def _give_back(self) -> None:
        """As it was before. Who is on hold is resumed by the phone that holds them."""
        call = self.call
        Bridge(self.switch, call, self.transferee, self.transferor, owing_in(call))
        call.set_lamp(self._lamp)
        call.state = "held" if self.transferee.is_held or self.transferor.is_held else "answered"

    def _cancel(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()

    def _hang_up_target(self) -> None:
        """The target is left to whoever consulted them, where somebody did."""
        self._cancel()
        target, consultation = self.target, self.consultation
        if target is not None and consultation is not None and not target.call.is_over:
            Bridge(self.switch, consultation.call, consultation, target)
            consultation.call.state = "answered"
        elif target is not None:
            if target.call is not self.call:
                target.call.end("answered", 200, "OK", "system")
            target.hang_up(self._reason)

    def _hang_up_transferee(self) -> None:
        self.call.end("answered", 200, "OK", "system")
        self.transferee.hang_up(self._reason)

    def _hang_up_transferor(self) -> None:
        self.transferor.hang_up()

    @property
    def _reason(self) -> Reason:
        status, reason = self._failure
        return Reason("SIP", status, reason or REASON_PHRASES.get(status))

    _perform: ClassVar[dict[Effect, Callable[[Transfer], None]]] = {
        Effect.REPORT_RINGING: _report_ringing,
        Effect.REPORT_DONE: _report_done,
        Effect.REPORT_FAILED: _report_failed,
        Effect.JOIN: _join,
        Effect.DISMISS: _dismiss,
        Effect.GIVE_BACK: _give_back,
        Effect.CANCEL: _cancel,
        Effect.HANG_UP_TARGET: _hang_up_target,
        Effect.HANG_UP_TRANSFEREE: _hang_up_transferee,
        Effect.HANG_UP_TRANSFEROR: _hang_up_transferor,
    }


def _attempt_of(ringing: Ringing, otherwise: Attempt) -> Attempt:
    return ringing.attempt if isinstance(ringing, Dialling) else otherwise
