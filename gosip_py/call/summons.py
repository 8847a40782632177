"""Calls that somebody begins or takes by a click: their own phones are rung first (RFC 3725 4, RFC 5359 2.18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from gosip_py.call.bridge import Bridge
from gosip_py.call.call import judge
from gosip_py.call.delivery import Delivery
from gosip_py.call.dialling import Dialling
from gosip_py.call.incoming import Incoming
from gosip_py.call.leg import Leg, Quiet
from gosip_py.call.party import Party
from gosip_py.call.ringing import ELSEWHERE
from gosip_py.call.verdict import Attempt, Line, Ring, Stage, UseFeature
from gosip_py.dialog.session import session_of
from gosip_py.dialog.user import Ending
from gosip_py.media.sdp import inactive_answer
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Response
from gosip_py.sip.status import REASON_PHRASES
from gosip_py.sip.uri import Uri
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.call.switch import Switch

__all__ = ["ClickToCall", "Grab", "own_phones"]

Headers = tuple[tuple[str, str], ...]
Told = Callable[[int, str], None]
"""Told 200 when it worked so far, or the status and text of what stood in the way; once."""


def own_phones(switch: Switch, who: Party, device_id: int | None) -> Ring | Refusal:
    """How to ring somebody themselves, on all their phones or on one; nobody forwards that."""
    uri = Uri("sip", who.name, "")
    verdict = switch.router.route(Attempt(who, uri, who.name, switch.now(), "internal", is_transfer=True))
    if not isinstance(verdict, Ring):
        status = getattr(verdict, "status", 480)
        return Refusal(status, getattr(verdict, "explanation", "none of your phones can be rung"))
    lines = [line for stage in verdict.stages for line in stage.lines if _is_own(line, who, device_id)]
    if not lines:
        return Refusal(480, "none of your phones is registered, or not the one that you named")
    stage = Stage(tuple(lines), max(stage.seconds for stage in verdict.stages))
    return attrs.evolve(verdict, stages=(stage,), if_busy="", if_no_answer="", if_unavailable="", tally=None, lamp="")


def _is_own(line: Line, who: Party, device_id: int | None) -> bool:
    return line.party.user_id == who.user_id and device_id in (None, line.party.device_id)


class ClickToCall(Quiet):
    """Rings ``who`` and, when they have answered, the target. The role of their leg until they talk.

    The phone is asked for an offer, which the target hears; until then it is told that nothing is said. ``told`` hears
    when the target is being called.
    """

    def __init__(self, switch: Switch, who: Party, target: Uri, told: Told, headers: Headers = ()) -> None:
        self._switch = switch
        self._who = who
        self._told: Told | None = told
        self._headers = headers
        self._attempt = Attempt(who, target, target.user, switch.now(), "internal", is_transfer=True)
        self._delivery: Delivery | None = None
        self._leg: Leg | None = None
        self.call = switch.open_call(self._attempt, target.user)

    def start(self, phones: Ring) -> None:
        """Ring them; their phones show whom they want to call."""
        target, who, switch = self._attempt.uri, self._who, self._switch
        shown = Party(target.user, "", str(target))
        attempt = Attempt(who, Uri("sip", who.name, ""), who.name, switch.now(), "internal", is_transfer=True)
        own = _OwnPhones(self)
        Dialling(switch, self.call, attempt, offer=b"", user=own, shown=shown, headers=self._headers).start(phones)

    def _tell(self, status: int, text: str) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(status, text)

    # -- their own phones ----------------------------------------------------------------------------------------------

    def answered_by(self, leg: Leg, response: Response) -> None:
        """They have picked up."""
        self._leg = self.call.caller = leg
        leg.role = self
        offer = session_of(response)
        leg.dialog.acknowledge(leg.describe(inactive_answer(offer)))
        if not offer:
            self._give_up(488, REASON_PHRASES[488])
            return
        self._delivery = Delivery(leg, self, attrs.evolve(self._attempt, at=self._switch.now()), shown=self._who)
        self._tell(200, "OK")
        self._delivery.start()

    def unanswered(self, response: Response, is_ours: bool) -> None:
        """None of their phones did."""
        status, reason = response.status, response.reason
        self._tell(status, f"your phone: {status} {reason}")
        self.call.end(judge(status, is_ours), status, reason, "system" if is_ours else "caller")

    # -- the target ----------------------------------------------------------------------------------------------------

    def rang(self, status: int, reason: str) -> None:
        """Nothing can be said to a phone that was answered already."""

    def reached(self, target: Leg) -> None:
        target.role = self
        if self._delivery is not None:
            self._delivery.connect(self._connected)

    def unreached(self, status: int, reason: str) -> None:
        self._give_up(status, reason)

    def served(self, verdict: UseFeature) -> bool:
        """Features are for who dials them."""
        return False

    def _connected(self, status: int, _reason: str) -> None:
        target = self._delivery.target if self._delivery is not None else None
        leg, call = self._leg, self.call
        if target is None or leg is None or call.is_over:
            return
        if 200 <= status < 300:
            Bridge(self._switch, call, leg, target)
            call.answered(target)
        else:
            self._give_up(status, REASON_PHRASES.get(status, ""))
            target.hang_up()

    def _give_up(self, status: int, reason: str) -> None:
        """The phone that has been answered hears why it is hung up on."""
        self._tell(status, reason)
        self.call.end(judge(status, False), status, reason, "callee")
        if self._leg is not None:
            self._leg.hang_up(Reason("SIP", status, reason))

    def ended(self, leg: Leg, ending: Ending) -> None:
        """One of them hung up before they talked."""
        delivery = self._delivery
        if leg is not self._leg:
            self._give_up(480, REASON_PHRASES[480])
        else:
            if delivery is not None:
                delivery.stop()
            self.call.end("cancelled", 487, REASON_PHRASES[487], "caller")
            if delivery is not None and delivery.target is not None:
                delivery.target.hang_up(ending.reason)
        leg.drop()


class _OwnPhones:
    """Hears how the phones of who clicked ring."""

    def __init__(self, click: ClickToCall) -> None:
        self._click = click

    def rang(self, leg: Leg, response: Response) -> None:
        self._click.call.ringing(leg, response)

    def picked_up(self, leg: Leg, response: Response) -> None:
        self._click.answered_by(leg, response)

    def nobody(self, response: Response, is_ours: bool) -> None:
        self._click.unanswered(response, is_ours)

    def served(self, verdict: UseFeature) -> bool:
        return False


class Grab:
    """Takes a call that rings elsewhere to the phones of ``who``: they are rung instead, and the caller rings on."""

    def __init__(self, incoming: Incoming, who: Party, told: Told) -> None:
        self._incoming = incoming
        self._who = who
        self._told: Told | None = told

    def start(self, phones: Ring) -> None:
        """Stop the others, and ring them."""
        incoming, call = self._incoming, self._incoming.call
        before = incoming.dialling
        attempt = attrs.evolve(call.attempt, at=incoming.switch.now())
        dialling = Dialling(incoming.switch, call, attempt, offer=incoming.leg.dialog.remote_sdp, user=self)
        incoming.dialling = dialling
        if before is not None:
            dialling.headers, dialling.shown, dialling.max_forwards = before.headers, before.shown, before.max_forwards
            before.stop(ELSEWHERE)
        dialling.start(phones)

    def rang(self, leg: Leg, response: Response) -> None:
        self._incoming.rang(leg, response)

    def picked_up(self, leg: Leg, response: Response) -> None:
        call = self._incoming.call
        call.note("pickup", by=self._who.name, target=call.attempt.dialled, result="done")
        self._incoming.picked_up(leg, response)
        self._tell(200, "OK")

    def nobody(self, response: Response, is_ours: bool) -> None:
        self._tell(response.status, f"your phone: {response.status} {response.reason}")
        self._incoming.nobody(response, is_ours)

    def served(self, verdict: UseFeature) -> bool:
        return False

    def _tell(self, status: int, text: str) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(status, text)
