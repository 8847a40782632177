"""Reaching whom somebody dialled: what the router says is rung, and what is to be done when nobody takes it.

A forward on busy, on no answer or on nobody there asks the router again, with all whom the call came by; so does a
phone that answers 302. The router refuses what goes round in a circle.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, cast

import attrs

from gosip_py.call.party import Party
from gosip_py.call.refusal import made
from gosip_py.call.ringing import Ringing, RingingUser
from gosip_py.call.verdict import (
    Attempt,
    DialOut,
    Line,
    Redirect,
    Refuse,
    Ring,
    Stage,
    UseFeature,
    Verdict,
    forwarded,
)
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import parse_q
from gosip_py.sip.message import Response
from gosip_py.sip.uri import Uri

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.switch import Switch

__all__ = ["MOST_FORWARDS", "Dialling", "DiallingUser"]

MOST_FORWARDS = 5
"""How often a call is sent on, whatever the router says."""

_SECURE = frozenset(("TLS", "WSS"))
_BUSY = frozenset((486, 600, 603))
_DIAL_LATER = 1
_MOST_CONTACTS = 8


class DiallingUser(RingingUser, Protocol):
    """Who reaches for somebody."""

    def served(self, verdict: UseFeature) -> bool:
        """The number is a feature of the server. True when that is taken care of; else `nobody` is told."""


class Dialling(Ringing):
    """Rings as the verdicts for an attempt say, one after the other.

    ``shown`` is who calls, if it is not the caller; as text it is the From value of somebody who shall not be named.
    The other arguments are those of `Ringing`.
    """

    __slots__ = ("_delayed", "_forwards", "_ring_verdict", "attempt")

    def __init__(
        self,
        switch: Switch,
        call: Call,
        attempt: Attempt,
        *,
        offer: bytes,
        user: DiallingUser,
        shown: Party | str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        max_forwards: int = 70,
        breadth: int = 0,
    ) -> None:
        caller = shown if isinstance(shown, Party) else attempt.caller
        Ringing.__init__(self, switch, call, caller, (), offer, user, headers, max_forwards)
        if isinstance(shown, str) and shown:
            self.shown, self.contact_user = shown, "anonymous"
        self.breadth = breadth
        self.attempt = attempt
        self._ring_verdict: Ring | None = None
        self._delayed: DialOut | None = None
        self._forwards = 0

    def start(self, verdict: Verdict | None = None) -> None:
        """Follow ``verdict``, or what the router says."""
        self.call.ringings += (self,)
        self._follow(verdict if verdict is not None else self.switch.router.route(self.attempt))

    def _follow(self, verdict: Verdict) -> None:
        if isinstance(verdict, Ring):
            self._ring_people(verdict)
        elif isinstance(verdict, DialOut):
            self._dial_out(verdict)
        elif isinstance(verdict, Refuse):
            self._give_up(made(verdict.status, verdict.explanation, verdict.headers))
        elif isinstance(verdict, Redirect):
            self._give_up(made(302, headers=[("contact", value) for value in verdict.contacts]))
        elif isinstance(verdict, UseFeature) and cast(DiallingUser, self.user).served(verdict):
            self._finish()
        else:
            self._give_up(made(480, "This number cannot be reached this way: call it yourself."))

    # -- what verdicts say --------------------------------------------------------------------------------------------

    def _ring_people(self, verdict: Ring) -> None:
        if verdict.diverted:
            self._note_forwards(verdict.diverted, verdict.callee.name)
        self._ring_verdict = verdict
        self.tally = verdict.tally
        self.to = self.switch.address_of(self.attempt.dialled)
        if verdict.headers:
            self.headers += verdict.headers
        if verdict.lamp or self.call.lamp:
            self.call.set_lamp(verdict.lamp)
        self._begin(verdict.stages)

    def _dial_out(self, verdict: DialOut) -> None:
        """By the trunk, which names whom it calls by its own address."""
        if verdict.diverted:
            self._note_forwards(verdict.diverted, verdict.number)
        self._ring_verdict = None
        self.tally = None
        self.to = ""
        if verdict.delay > 0:
            self._delayed = verdict
            self._timer = self.switch.wheel.start(verdict.delay, self, _DIAL_LATER)
        else:
            self._begin((Stage((verdict.line,), self.switch.dial_out_seconds),), verdict.is_emergency)

    def _note_forwards(self, diverted: tuple[str, ...], target: str) -> None:
        """Those that the router followed by itself: forwards of somebody who takes no calls now."""
        for by, following in pairwise((*diverted[len(self.attempt.diverted) :], target)):
            self.call.note("forward", by=by, target=following)

    def _begin(self, stages: tuple[Stage, ...], is_emergency: bool = False) -> None:
        is_plain = is_emergency or not self.attempt.is_secure  # help must come whatever the trunk speaks
        self._stages = stages if is_plain else tuple(map(_secure, stages))
        self._best = None
        self._declined = ()
        self.has_timed_out = False
        self._ring_next()

    def timer_fired(self, kind: int) -> None:
        if kind == _DIAL_LATER and self._delayed is not None:
            self._timer = None
            line, self._delayed = self._delayed.line, None
            self._begin((Stage((line,), self.switch.dial_out_seconds),))
        else:
            Ringing.timer_fired(self, kind)

    # -- when nobody takes it -----------------------------------------------------------------------------------------

    def exhausted(self, response: Response, is_ours: bool) -> None:
        if not is_ours and 300 <= response.status < 400 and self._follow_contacts(response):
            return
        verdict = self._ring_verdict
        dialled = self._fallback(verdict, response.status) if verdict is not None else ""
        if verdict is None or not dialled:
            Ringing.exhausted(self, response, is_ours)
        else:
            self._forward(forwarded(self.attempt, verdict, dialled, self.switch.now()), verdict.callee.name)

    def _fallback(self, verdict: Ring, status: int) -> str:
        """Whom to call instead."""
        if self.has_timed_out or status == 408:
            return verdict.if_no_answer
        return verdict.if_busy if status in _BUSY else verdict.if_unavailable

    def _forward(self, attempt: Attempt, by: str) -> None:
        self._forwards += 1
        if self._forwards > MOST_FORWARDS:
            self._give_up(made(482, "The call was forwarded too often: ask whom you called to change that."))
            return
        self.call.note("forward", by=by, target=attempt.dialled)
        self.attempt = attempt
        self._follow(self.switch.router.route(attempt))

    def _follow_contacts(self, response: Response) -> bool:
        """A phone that sends its calls on (21.3): to the first contact that the router rings."""
        verdict = self._ring_verdict
        if verdict is None or self._forwards >= MOST_FORWARDS:
            return False
        for uri in _contacts(response):
            if self.attempt.is_secure:
                uri = attrs.evolve(uri, scheme="sips")
            attempt = attrs.evolve(forwarded(self.attempt, verdict, uri.user, self.switch.now()), uri=uri)
            found = self.switch.router.route(attempt)
            if isinstance(found, Ring | DialOut | UseFeature):
                self._forwards += 1
                self.call.note("forward", by=verdict.callee.name, target=attempt.dialled)
                self.attempt = attempt
                self._follow(found)
                return True
        return False

    def _give_up(self, response: Response) -> None:
        self._ring_verdict = None
        Ringing.exhausted(self, response, True)


def _secure(stage: Stage) -> Stage:
    """The lines of a stage that a call to a sips URI may use: TLS on each hop (RFC 3261 26.2.2)."""
    lines = (_secure_way(line) for line in stage.lines)
    return Stage(tuple(line for line in lines if line is not None), stage.seconds)


def _secure_way(line: Line) -> Line | None:
    """The first way to a phone that is secure, with the others that are behind it."""
    first, *others = [way for way in (line, *line.fallbacks) if _is_secure(way)] or (None,)
    return None if first is None else attrs.evolve(first, fallbacks=tuple(others))


def _is_secure(line: Line) -> bool:
    target = line.target
    return target.is_secure or target.transport in _SECURE


def _contacts(response: Response) -> list[Uri]:
    """Where a 3xx points to, the best first; what cannot be read is left out."""
    try:
        found = [(_q(address.parameters.get("q")), address.uri) for address in response.addresses("contact")]
    except ParseError:
        return []
    found.sort(key=lambda pair: -pair[0])
    return [uri for _, uri in found[:_MOST_CONTACTS] if uri.user]


def _q(text: str | None) -> int:
    try:
        return parse_q(text) if text else 1000
    except ParseError:
        return 0
