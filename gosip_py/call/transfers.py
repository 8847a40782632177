"""Who may transfer which call to whom: REFERs within a call, and the same from the API (RFC 3515, RFC 5589).

The transferor must be one of our own people, and the target is called by their rights: who may not call a number cannot
send anybody else there. The target sees who is transferred as the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gosip_py.call.bridge import Bridge
from gosip_py.call.incoming import Incoming
from gosip_py.call.leg import Leg
from gosip_py.call.parting import Parting
from gosip_py.call.transfer import Report, Transfer
from gosip_py.call.verdict import Attempt
from gosip_py.dialog.refer import Refer
from gosip_py.events import CallEnded
from gosip_py.sip.uri import Uri
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.call.switch import Switch

__all__ = ["ParksCalls", "Transfers"]

_MOST_TRANSFERS = 16
"""Of one call: two phones that send it back and forth by themselves shall not do so for ever."""

_OURS = frozenset(("user", "device"))

_NOT_OURS = Refusal(403, "calls are transferred by the people of this office only: use a phone that is registered here")
_BUSY = Refusal(491, "something else is being done with this call: try again in a moment")
_TOO_OFTEN = Refusal(482, "this call was transferred too often: hang up, and try again")
_TO_ITSELF = Refusal(482, "that is who is to be transferred, or the same call: name a third person")
_NO_CONFERENCE = Refusal(501, "nobody is joined to a call: use Replaces in its place, or leave it out")
_NOT_YOURS = Refusal(403, "the call named in Replaces is none of yours: name a call of your own")


class ParksCalls(Protocol):
    """Who is asked when the target is a park orbit."""

    def park(self, parker: Leg, parked: Leg, orbit: str, report: Report) -> None:
        """Let ``parked`` wait at ``orbit``, or at any if that is empty."""


class ReferReport:
    """Tells the phone that sent the REFER, by NOTIFY."""

    has_patience = True

    def __init__(self, refer: Refer) -> None:
        self._refer = refer

    def accepted(self) -> None:
        self._refer.accept()

    def rang(self, status: int, reason: str) -> None:
        self._refer.report(status, reason)

    def succeeded(self, reason: str) -> None:
        self._refer.report(200, reason)

    def failed(self, status: int, reason: str) -> None:
        self._refer.report(status, reason)


class Transfers:
    """Begins the transfers of a switch; each goes on by itself then."""

    def __init__(self, switch: Switch, parking: ParksCalls) -> None:
        self.switch = switch
        self.parking = parking
        self._open: dict[str, Transfer] = {}
        switch.bus.subscribe(CallEnded, self._call_ended)

    # -- from the phone ------------------------------------------------------------------------------------------------

    def referred(self, bridge: Bridge, leg: Leg, refer: Refer) -> None:
        """A REFER on a leg that talks."""
        refusal = self._serve(leg, refer)
        if refusal is not None:
            refer.refuse(refusal.status, refusal.explanation)

    def _serve(self, leg: Leg, refer: Refer) -> Refusal | None:
        if refer.reference.joins is not None:
            return _NO_CONFERENCE
        report, replaces = ReferReport(refer), refer.replaces
        headers = tuple(refer.headers.items())
        if refer.referred_by:
            headers += (("referred-by", refer.referred_by),)
        if replaces is None:
            return self.blind(leg, refer.target.uri, report, headers)
        consultation = self.switch.leg_of(replaces)
        if consultation is not None:
            return self.attended(leg, consultation, report)
        # A dialog that does not pass through us, as that of a proxied call: the phone that has it knows it (RFC 3891).
        return self.blind(leg, refer.target.uri, report, (*headers, ("replaces", str(replaces))))

    # -- while they go on ---------------------------------------------------------------------------------------------

    def began(self, transfer: Transfer) -> None:
        """Called by each as it begins."""
        self._open[transfer.call.id] = transfer

    def is_over(self, transfer: Transfer) -> None:
        """Called by each at its end."""
        self._open.pop(transfer.call.id, None)

    def _call_ended(self, event: CallEnded) -> None:
        transfer = self._open.pop(event.id, None)
        if transfer is not None:
            transfer.abandon()

    # -- what both ask for ---------------------------------------------------------------------------------------------

    def blind(
        self, transferor: Leg, uri: Uri, report: Report, headers: tuple[tuple[str, str], ...] = ()
    ) -> Refusal | None:
        """Connect the other one with whoever ``uri`` names; or why not."""
        refusal = self._refuse(transferor)
        transferee = transferor.peer
        if refusal is not None or transferee is None:
            return refusal or _BUSY
        if _names(uri, transferee):
            return _TO_ITSELF
        before, flow = transferor.call.attempt, transferor.dialog.flow
        attempt = Attempt(
            caller=transferor.party,
            uri=uri,
            dialled=uri.user,
            at=self.switch.now(),
            direction=before.direction,
            is_transfer=True,
            source=before.source if flow is None else flow.remote[0],
        )
        Transfer(self, transferor, transferee, report).ring(attempt, headers)
        return None

    def attended(self, transferor: Leg, consultation: Leg, report: Report) -> Refusal | None:
        """Connect the other one with whoever the transferor talks to, or rings, in another call; or why not."""
        refusal = self._refuse(transferor)
        transferee = transferor.peer
        if refusal is not None or transferee is None:
            return refusal or _BUSY
        if not is_same_person(transferor, consultation):
            return _NOT_YOURS
        target, incoming = consultation.peer, consultation.role
        if consultation.call is transferor.call:
            return _TO_ITSELF
        transfer = Transfer(self, transferor, transferee, report)
        if isinstance(incoming, Bridge) and not isinstance(incoming, Parting) and target is not None:
            transfer.attend(consultation, target)
        elif isinstance(incoming, Incoming) and incoming.dialling is not None:
            ringing, incoming.dialling = incoming.dialling, None
            transfer.ring_on(consultation, ringing)
        else:
            return _BUSY
        return None

    def _refuse(self, transferor: Leg) -> Refusal | None:
        if transferor.party.kind not in _OURS:
            return _NOT_OURS
        if not isinstance(transferor.role, Bridge) or isinstance(transferor.role, Parting):
            return _BUSY
        done = sum(note.kind == "transfer" for note in transferor.call.history)
        return _TOO_OFTEN if done >= _MOST_TRANSFERS else None


def is_same_person(one: Leg, other: Leg) -> bool:
    """Whether both legs are those of one of our people, whichever phones they hold."""
    ours, theirs = one.party, other.party
    if ours.user_id is not None:
        return ours.user_id == theirs.user_id
    return ours.device_id is not None and ours.device_id == theirs.device_id


def _names(uri: Uri, leg: Leg) -> bool:
    """Whether ``uri`` is the name of this party itself."""
    name, party = uri.user.casefold(), leg.party
    if not name or party.kind not in _OURS:
        return False
    return name == party.name.casefold()
