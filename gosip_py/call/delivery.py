"""Ringing somebody for a party that waits in an established leg, and connecting the two (RFC 3725 4).

The target is offered the session of who waits, as it was last told; who waits is then offered the target's answer. Only
where the two do not fit, because who waits answers with another address or key, the target hears of it once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gosip_py.call.bridge import join
from gosip_py.call.dialling import Dialling
from gosip_py.call.headers import ANONYMOUS
from gosip_py.call.leg import Leg
from gosip_py.call.party import Party
from gosip_py.call.verdict import Attempt, UseFeature
from gosip_py.dialog.session import session_of
from gosip_py.dialog.user import Outcome
from gosip_py.media.sdp import direction, streams, with_direction
from gosip_py.sip.message import Response

if TYPE_CHECKING:
    from gosip_py.call.ringing import Ringing

__all__ = ["Delivery", "DeliveryUser", "has_same_transport", "offer_for"]

Connected = Callable[[int, str], None]
"""Told 200, or the status and text of what stood in the way."""

_NOT_ACCEPTABLE = 488
_KEYS = (b"a=crypto:", b"a=fingerprint:", b"a=ice-ufrag:", b"a=ice-pwd:", b"a=setup:")


class DeliveryUser(Protocol):
    """Who wants somebody reached. Exactly one of `reached`, `unreached` and a `served` that says True is told."""

    def rang(self, status: int, reason: str) -> None:
        """A phone of the target says so."""

    def reached(self, target: Leg) -> None:
        """Somebody took it, and has the role now that the user gives them. `Delivery.connect` is next."""

    def served(self, verdict: UseFeature) -> bool:
        """The target is a feature of the server; False when it is of no use here."""

    def unreached(self, status: int, reason: str) -> None:
        """Nobody took it."""


class Delivery:
    """One such errand; ``shown`` is who calls, as the target sees it. ``target`` is the leg that answered."""

    __slots__ = (
        "_answer",
        "_is_taken_over",
        "_offered",
        "_ringing",
        "_then",
        "_user",
        "attempt",
        "headers",
        "shown",
        "target",
        "waiting",
    )

    def __init__(
        self,
        waiting: Leg,
        user: DeliveryUser,
        attempt: Attempt,
        *,
        shown: Party | str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.waiting = waiting
        self.attempt = attempt
        self.shown: Party | str = shown or (ANONYMOUS if waiting.is_private else waiting.party)
        self.headers = headers
        self.target: Leg | None = None
        self._user = user
        self._ringing: Ringing | None = None
        self._offered = offer_for(waiting)
        self._answer = b""
        self._is_taken_over = False
        self._then: Connected | None = None

    @property
    def is_ringing(self) -> bool:
        return self._ringing is not None

    def start(self) -> None:
        """Ask the router, and ring."""
        call = self.waiting.call
        dialling = self._ringing = Dialling(
            call.switch, call, self.attempt, offer=self._offered, user=self, shown=self.shown, headers=self.headers
        )
        dialling.start()

    def take_over(self, ringing: Ringing) -> None:
        """Instead of `start`: somebody is being rung already, in another call. It goes on here."""
        call, before = self.waiting.call, ringing.call
        before.ringings = tuple(each for each in before.ringings if each is not ringing)
        self._ringing, ringing.user, ringing.call = ringing, self, call
        self._offered = ringing.offer
        self._is_taken_over = True
        call.ringings += (ringing,)
        for leg in ringing.legs:
            call.adopt(leg)

    def stop(self) -> None:
        """Cancel whoever rings, and forget about connecting; nothing more is told."""
        self._then = None
        ringing, self._ringing = self._ringing, None
        if ringing is not None:
            ringing.stop()

    # -- what the ringing says ----------------------------------------------------------------------------------------

    def rang(self, leg: Leg, response: Response) -> None:
        self._user.rang(response.status, response.reason)

    def picked_up(self, leg: Leg, response: Response) -> None:
        self._ringing = None
        self.target = leg
        self._answer = session_of(response) or leg.dialog.remote_sdp  # it may have come in a reliable 18x
        self._user.reached(leg)

    def nobody(self, response: Response, is_ours: bool) -> None:
        self._ringing = None
        if response.status == _NOT_ACCEPTABLE and self._offered:
            # What was offered may be less than who waits can do: the target shall say what it can.
            self._offered = b""
            self.start()
        else:
            self._user.unreached(response.status, response.reason)

    def served(self, verdict: UseFeature) -> bool:
        is_served = self._user.served(verdict)
        if is_served:
            self._ringing = None
        return is_served

    # -- connecting ---------------------------------------------------------------------------------------------------

    def connect(self, then: Connected) -> None:
        """Connect who waits with the ``target`` that answered; ``then`` is called once, unless it is stopped."""
        self._then = then
        waiting, target = self.waiting, self.target
        if self._is_taken_over and self._offered and target is not None:
            # What was offered is the session of somebody else, who is not needed any more.
            join(waiting, target, self._joined)
        else:
            waiting.dialog.offer(waiting.describe(self._answer), self._accepted)

    def _accepted(self, outcome: Outcome) -> None:
        """Who waits has answered."""
        target = self.target
        if self._then is None or target is None:
            return
        if not 200 <= outcome.status < 300:
            self._finish(outcome)
        elif not self._offered:
            target.dialog.acknowledge(target.describe(outcome.sdp))
            self._finish(outcome)
        elif has_same_transport(outcome.sdp, self._offered):
            self._finish(outcome)
        else:
            target.dialog.offer(target.describe(outcome.sdp), self._finish)

    def _joined(self, is_joined: bool) -> None:
        self._finish(Outcome(200 if is_joined else _NOT_ACCEPTABLE, None))

    def _finish(self, outcome: Outcome) -> None:
        then, self._then = self._then, None
        if then is not None:
            reason = "" if outcome.response is None else outcome.response.reason
            then(outcome.status, reason)


def offer_for(waiting: Leg) -> bytes:
    """What to offer for somebody who waits: their session as they last described it.

    That they only listen may be because they are held; who holds the call themselves goes on doing so.
    """
    sdp = waiting.dialog.remote_sdp
    return sdp if waiting.is_held or not sdp else with_direction(sdp, "sendrecv")


def has_same_transport(one: bytes, other: bytes) -> bool:
    """Whether two descriptions of one party mean the same places, ways and keys: codecs were agreed on before."""
    return direction(one) == direction(other) and _transports(one) == _transports(other)


def _transports(sdp: bytes) -> tuple[object, ...]:
    places = [(stream.media, stream.port, stream.protocol, stream.address) for stream in streams(sdp)]
    return (*places, *(line.strip() for line in sdp.split(b"\n") if line.startswith(_KEYS)))
