"""Calling somebody: an INVITE to each line of a stage, the next stage when nobody took it, and the first who answers.

Each line is a dialog of our own: Call-ID, tags, CSeq and Contact are ours, so nothing of one side shows on the other.
What a proxy does with its branches (RFC 3261 16.7) is done with legs: all of one q ring together, the first 2xx wins,
the best of the other answers is told when nobody is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import attrs

from gosip_py.call.bridge import relay_early
from gosip_py.call.leg import Leg, Quiet
from gosip_py.call.party import Party
from gosip_py.call.refusal import NOBODY, made, rank
from gosip_py.call.verdict import Line, Stage, Tally
from gosip_py.dialog.exchange import Exchange
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Response
from gosip_py.transaction.timers import Timer

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.switch import Switch

__all__ = ["BREADTH", "ELSEWHERE", "NO_ANSWER", "Ringing", "RingingUser"]

ELSEWHERE = Reason("SIP", 200, "Call completed elsewhere")
"""RFC 3326 2: the phones that did not answer show no missed call."""
NO_ANSWER = Reason("SIP", 408, "No answer")

BREADTH = 60
"""How many lines ring at a time, unless a caller's Max-Breadth says less (RFC 5393 5.3.3)."""

# A flow that says so, or nothing at all, is given up for another to the same phone (RFC 5626 7).
_FLOW_IS_DEAD = frozenset((408, 430))
_STAGE_OVER = 0
_DIAL = 1


class RingingUser(Protocol):
    """Who rings somebody. Exactly one of `picked_up` and `nobody` is told, unless it is stopped; then nothing more."""

    def rang(self, leg: Leg, response: Response) -> None:
        """A provisional response above 100 of one line."""

    def picked_up(self, leg: Leg, response: Response) -> None:
        """The first 2xx; the others are being cancelled. The leg has the role that it is given now."""

    def nobody(self, response: Response, is_ours: bool) -> None:
        """Nobody took it; the best response, one of our own when ``is_ours``: see `refusal.made`."""


class Ringing(Quiet):
    """The role of every leg that it rings. ``breadth`` is how many may ring at a time, those beyond all after another.

    ``shown`` is the From value for lines that bring none, ``to`` the To value; both without tags. ``offer`` may be
    empty: then whoever answers offers. ``heard`` is the line whose early media somebody hears; the user sets it.
    """

    __slots__ = (
        "_best",
        "_best_is_ours",
        "_declined",
        "_stages",
        "_timer",
        "breadth",
        "call",
        "contact_user",
        "has_timed_out",
        "headers",
        "heard",
        "is_over",
        "legs",
        "max_forwards",
        "offer",
        "shown",
        "switch",
        "tally",
        "to",
        "user",
    )

    def __init__(
        self,
        switch: Switch,
        call: Call,
        caller: Party,
        stages: Sequence[Stage],
        offer: bytes,
        user: RingingUser,
        headers: tuple[tuple[str, str], ...] = (),
        max_forwards: int = 70,
        to: str = "",
        shown: str = "",
        tally: Tally | None = None,
        breadth: int = 0,
    ) -> None:
        self.switch = switch
        self.call = call
        self.contact_user = caller.name
        self.offer = offer
        self.user = user
        self.headers = headers
        self.max_forwards = max_forwards
        self.to = to
        self.shown = shown or switch.shown(caller)
        self.tally = tally
        self.breadth = breadth
        self.legs: list[Leg] = []
        self.heard: Leg | None = None
        self.is_over = False
        self.has_timed_out = False  # the last stage that rang, rang for too long
        self._stages: Sequence[Stage] = stages
        self._best: Response | None = None
        self._best_is_ours = False
        self._declined: tuple[int, ...] = ()
        self._timer: Timer | None = None

    def start(self) -> None:
        """Ring the first stage."""
        self.call.ringings += (self,)
        self._ring_next()

    def stop(self, reason: Reason | None = None) -> None:
        """Cancel whoever rings; nothing more is told."""
        if not self.is_over:
            self._finish()
            for leg in self._drop_all():
                self._missed(leg.party)
                leg.dialog.cancel(reason)

    # -- stages -------------------------------------------------------------------------------------------------------

    def _ring_next(self) -> None:
        """The next stage that has a line, or the end."""
        while self._stages:
            stage, self._stages = self._stages[0], self._stages[1:]
            lines = stage.lines
            if len(lines) > 1:
                lines, stage = self._cut(stage)
            if self._declined:
                lines = tuple(line for line in lines if line.party.user_id not in self._declined)
            if lines:
                self.has_timed_out = False
                self._timer = self.switch.wheel.start(stage.seconds, self, _STAGE_OVER)
                self._ring_all(lines)
                return
        best = self._best
        if best is None:
            self.exhausted(made(480, "None of their phones can be reached now: try again later."), True)
        else:
            self.exhausted(best, self._best_is_ours)

    def _cut(self, stage: Stage) -> tuple[tuple[Line, ...], Stage]:
        """The lines that ring first: of one q, and no more than may ring at a time. The others become stages."""
        ordered = sorted(stage.lines, key=_by_q)
        most = self.breadth or BREADTH
        groups = [tuple(group) for _, group in groupby(ordered, _by_q)]
        parts = [group[at : at + most] for group in groups for at in range(0, len(group), most)]
        stages = [Stage(part, stage.seconds / len(parts)) for part in parts]
        self._stages = (*stages[1:], *self._stages)
        return parts[0], stages[0]

    def _ring_all(self, lines: tuple[Line, ...]) -> None:
        headers = self.headers
        for at, line in enumerate(lines):
            if self.breadth:
                share = self.breadth // len(lines) + (at < self.breadth % len(lines))
                headers = (*self.headers, ("max-breadth", str(share)))
            self._ring(line, headers)

    def _ring(self, line: Line, headers: tuple[tuple[str, str], ...]) -> None:
        party = line.party
        leg = Leg(self.call, party, self)
        leg.line = line
        self.legs.append(leg)
        shown = line.from_ or self.shown
        leg.dialog = dialog = self.switch.dialogs.invite(
            leg,
            uri=line.uri,
            target=line.target,
            routes=line.routes,
            from_=shown,
            to=self.to or f"<{line.uri}>",
            contact_user=self.contact_user,
            sdp=leg.describe(self.offer),
            headers=(*headers, *line.headers) if line.headers else headers,
            max_forwards=self.max_forwards,
            credentials=line.credentials,
            # A reliable response to an INVITE without an offer bears one, and nobody could answer that in the PRACK.
            has_reliable=bool(self.offer),
        )
        if not party.is_own:
            dialog.is_outside = True
        if self.tally is not None:
            self.tally.rang(party)
        self.call.invited(leg)

    def timer_fired(self, kind: int) -> None:
        """They have rung for long enough. Who still answers now is turned down by its dialog."""
        self._timer = None
        self.has_timed_out = True
        for leg in self._drop_all():
            self._missed(leg.party)
            leg.dialog.cancel(NO_ANSWER)
        self._keep(made(480, NOBODY), True)
        self._ring_next()

    # -- what the lines say -------------------------------------------------------------------------------------------

    def progressed(self, leg: Leg, response: Response) -> None:
        self.user.rang(leg, response)

    def answered(self, leg: Leg, response: Response) -> None:
        self.legs.remove(leg)
        leg.line = None
        others = self._drop_all()
        for other in others:
            other.dialog.cancel(ELSEWHERE)
        if self.tally is not None:
            self.tally.answered(leg.party)
            self.call.tally = (self.tally, leg.party)
        self.user.picked_up(leg, response)
        self._finish()

    def failed(self, leg: Leg, response: Response, is_ours: bool) -> None:
        self.legs.remove(leg)
        line, status = leg.line, response.status
        is_dead = not leg.has_rung and (is_ours or status in _FLOW_IS_DEAD)
        if line is not None and line.fallbacks and is_dead:
            self._ring_instead(line)
            leg.drop()
            return
        self._missed(leg.party)
        self._keep(response, is_ours)
        if status >= 600:
            self._decline(leg.party)
        if not self.legs:
            self._stop_timer()
            self._ring_next()
        leg.drop()

    def ended(self, leg: Leg, ending: object) -> None:
        """It never was established: it cannot end."""

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        """An UPDATE before the answer: for the caller, if that hears this line."""
        relay_early(exchange, leg, self.call.caller if leg is self.heard else None)

    def _ring_instead(self, line: Line) -> None:
        """By another flow to the same phone, that of the most recent registration first."""
        first, *others = line.fallbacks
        self._ring(attrs.evolve(first, fallbacks=tuple(others)), self.headers)

    def _decline(self, party: Party) -> None:
        """A 6xx speaks for all phones of that person, and for nobody else (RFC 3261 21.6)."""
        user_id = party.user_id
        if user_id is None:
            return
        self._declined += (user_id,)
        for other in [leg for leg in self.legs if leg.party.user_id == user_id]:
            self.legs.remove(other)
            self._missed(other.party)
            other.drop()
            other.dialog.cancel()

    def _keep(self, response: Response, is_ours: bool) -> None:
        best = self._best
        if best is None or rank(response, is_ours) < rank(best, self._best_is_ours):
            self._best, self._best_is_ours = response, is_ours

    # -- the end ------------------------------------------------------------------------------------------------------

    def exhausted(self, response: Response, is_ours: bool) -> None:
        """Nobody is left to ring."""
        self.user.nobody(response, is_ours)
        self._finish()

    def _finish(self) -> None:
        """Be no part of the call any more, once whoever shall go on has been told."""
        if not self.is_over:
            self.is_over = True
            self._stop_timer()
            self._stages = ()
            call = self.call
            call.ringings = tuple(each for each in call.ringings if each is not self)
            if not call.legs and not call.is_over:
                call.end("failed", 480, "Nobody is left", "system")

    def _drop_all(self) -> Iterable[Leg]:
        legs, self.legs = self.legs, []
        for leg in legs:
            leg.drop()
        return legs

    def _missed(self, party: Party) -> None:
        if self.tally is not None:
            self.tally.missed(party)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _by_q(line: Line) -> int:
    return -line.q
