"""The caller of a call that is being set up: hears how it rings, and is answered or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.call.bridge import Bridge, join, relay_early, relay_request
from gosip_py.call.call import Call, judge
from gosip_py.call.dialling import Dialling
from gosip_py.call.headers import passed_answer
from gosip_py.call.leg import GONE, Leg, Quiet
from gosip_py.call.refusal import translated
from gosip_py.call.verdict import UseFeature
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.session import session_of
from gosip_py.dialog.user import Ending
from gosip_py.events import Result
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason, parse_reason
from gosip_py.sip.message import Request, Response
from gosip_py.sip.status import REASON_PHRASES
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from gosip_py.call.switch import Switch

__all__ = ["Incoming", "reason_of"]


class Incoming(Quiet):
    """The role of the caller until there is an answer, and the user of the `Dialling` that looks for one.

    Of several lines that send early media the first is heard, until it fails.
    """

    __slots__ = ("_heard", "_is_settled", "_said", "call", "dialling", "leg", "switch")

    def __init__(self, switch: Switch, call: Call, leg: Leg) -> None:
        self.switch = switch
        self.call = call
        self.leg = leg
        self.dialling: Dialling | None = None
        self._heard: Leg | None = None  # whose early media the caller hears
        self._is_settled = False
        self._said = 0  # the last provisional response to the caller

    # -- what the lines say -------------------------------------------------------------------------------------------

    def rang(self, leg: Leg, response: Response) -> None:
        self.call.ringing(leg, response)
        status, sdp = response.status, session_of(response)
        heard = self._heard
        if sdp and (heard is None or heard is leg or (heard.role is GONE and not self._is_settled)):
            self._heard = leg
            # RFC 6337 3.1.1: a session in a reliable response is the answer, and there is no other to this offer
            self._is_settled = "rseq" in response.names and self.leg.dialog.remote_supports("100rel")
            if self.dialling is not None:
                self.dialling.heard = leg
        elif sdp:
            sdp, status = b"", 180
        if sdp or status != self._said or self._is_alone:
            self._said = status
            caller = self.leg
            is_reliable = True if "rseq" in response.names else None
            caller.dialog.ring(status, sdp=caller.describe(sdp), headers=passed_answer(response), reliable=is_reliable)

    @property
    def _is_alone(self) -> bool:
        dialling = self.dialling
        return dialling is None or len(dialling.legs) <= 1

    def picked_up(self, leg: Leg, response: Response) -> None:
        caller, heard = self.leg, self._heard
        sdp = session_of(response) or leg.dialog.remote_sdp
        is_delayed = self.dialling is not None and not self.dialling.offer
        self.dialling = None
        Bridge(self.switch, self.call, caller, leg, leg if is_delayed else None)
        caller.dialog.accept(caller.describe(sdp), passed_answer(response))
        self.call.answered(leg)
        if heard is not None and heard is not leg and caller.peer is leg:
            # The caller took somebody else's early media for the answer, and need not look at another (13.2.1).
            join(caller, leg, _nothing)

    def nobody(self, response: Response, is_ours: bool) -> None:
        status, explanation, headers = translated(response, is_ours)
        if is_ours and 300 <= status < 400:
            headers = tuple(("contact", value) for value in response.values("contact"))
        result = judge(response.status if response.status >= 400 or is_ours else status, is_ours)
        self.refuse(status, explanation, headers, result, is_ours)

    def served(self, verdict: UseFeature) -> bool:
        features = self.switch.features
        if features is None:
            return False
        features.use(self.call, verdict)
        return True

    def refuse(
        self,
        status: int,
        explanation: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        result: Result = "failed",
        is_ours: bool = True,
    ) -> None:
        """Answer the caller that it came to nothing, and close the books."""
        leg = self.leg
        self.dialling = None
        self.call.end(result, status, _phrase(status), "system" if is_ours else "callee")
        leg.drop()
        leg.dialog.reject(status, explanation=explanation, headers=headers)

    # -- what the caller does -----------------------------------------------------------------------------------------

    def cancelled(self, leg: Leg, cancel: Request | None) -> None:
        """By CANCEL, by a BYE that came early, or by going away. Whoever rings is told, with the caller's own words."""
        dialling, self.dialling = self.dialling, None
        if dialling is not None:
            dialling.stop(reason_of(cancel) if cancel is not None else None)
        self.call.end("cancelled", 487, _phrase(487), "caller")
        leg.drop()

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        relay_early(exchange, leg, self._heard)

    def requested(self, leg: Leg, transaction: ServerTransaction) -> None:
        """An INFO to whose early media is heard: keys to a voice menu that answers later."""
        heard = self._heard
        if heard is not None and heard.role is not GONE:
            relay_request(transaction, leg, heard)
        else:
            Quiet.requested(self, leg, transaction)

    def ended(self, leg: Leg, ending: Ending) -> None:
        """A BYE before the answer (15), or no way to the caller any more."""
        dialling, self.dialling = self.dialling, None
        if dialling is not None:
            dialling.stop(ending.reason)
        self.call.end("cancelled", 487, _phrase(487), "caller")
        leg.drop()


def reason_of(request: Request) -> Reason | None:
    """The first Reason of a CANCEL or BYE; None when there is none that can be read."""
    try:
        return parse_reason(request.first("reason")) if "reason" in request.names else None
    except ParseError:
        return None


def _phrase(status: int) -> str:
    return REASON_PHRASES.get(status, "")


def _nothing(_is_joined: bool) -> None:
    """They talk, or one of them hung up."""
