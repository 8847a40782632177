"""A call of the switch: its legs, and its books, which close exactly once whatever ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import attrs

from gosip_py.call.leg import Leg
from gosip_py.call.party import Party
from gosip_py.call.verdict import Attempt, Tally
from gosip_py.events import (
    CallAnswered,
    CallEnded,
    CallNoted,
    CallRinging,
    CallStarted,
    EndedBy,
    LegStarted,
    LineChanged,
    Result,
)
from gosip_py.sip.fields import Reason
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Response

if TYPE_CHECKING:
    from gosip_py.call.bridge import Bridge
    from gosip_py.call.ringing import Ringing
    from gosip_py.call.switch import Switch

__all__ = ["Call", "CallNote", "CallState", "judge"]

CallState = Literal["trying", "ringing", "answered", "held", "parked", "transferring", "ended"]

_MOST_NOTES = 64
# As the proxy counts them: who refused said so for the person at the phone, other codes tell of trouble on the way.
_REJECTIONS = frozenset((403, 406, 486, 488, 600, 603, 606))
_NO_ANSWER = frozenset((408, 480))


def judge(status: int, is_ours: bool) -> Result:
    """What a final response to the INVITE means in the books."""
    if 300 <= status < 400:
        return "redirected"
    if status in _REJECTIONS and not is_ours:
        return "rejected"
    return "no_answer" if status in _NO_ANSWER else "failed"


@attrs.frozen
class CallNote:
    """Something that happened on the way: a forward, a transfer, a pickup, a park. ``at`` is in epoch seconds."""

    at: float
    kind: str
    what: dict[str, str]


class Call:
    """One call. ``id`` sorts by time; ``caller`` and ``callee`` are the legs that talk or shall.

    ``legs`` are all that belong to it now, those that ring too; ``ringings`` who is still being called. A call that has
    neither is over.
    """

    __slots__ = (
        "answered_at",
        "attempt",
        "bridge",
        "callee",
        "caller",
        "history",
        "id",
        "is_rung",
        "lamp",
        "legs",
        "ringings",
        "started_at",
        "state",
        "switch",
        "tally",
    )

    def __init__(self, switch: Switch, attempt: Attempt, started: CallStarted) -> None:
        self.id = started.id
        self.switch = switch
        self.attempt = attempt
        self.started_at = started.at
        self.answered_at: float | None = None
        self.caller: Leg | None = None
        self.callee: Leg | None = None
        self.legs: list[Leg] = []
        self.ringings: tuple[Ringing, ...] = ()
        self.bridge: Bridge | None = None
        self.state: CallState = "trying"
        self.history: list[CallNote] = []
        self.is_rung = False
        self.lamp = ""
        self.tally: tuple[Tally, Party] | None = None

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.state}>"

    @property
    def is_over(self) -> bool:
        return self.state == "ended"

    # -- legs ---------------------------------------------------------------------------------------------------------

    def join(self, leg: Leg) -> None:
        """Called by each leg as it begins."""
        self.legs.append(leg)
        counts = self.switch.counts
        if counts is not None:
            counts.add(leg.party, leg.is_received)

    def leave(self, leg: Leg) -> None:
        """Called by a leg that is dropped. A call does not outlive its legs."""
        if leg in self.legs:
            self.legs.remove(leg)
            counts = self.switch.counts
            if counts is not None:
                counts.remove(leg.party, leg.is_received)
        if not self.legs and not self.ringings and self.state != "ended":
            if self.answered_at is not None:
                self.end("answered", 200, "OK", "system")
            else:
                self.end("failed", 500, "Nobody is left", "system")

    def adopt(self, leg: Leg) -> None:
        """Take over a leg of another call, which goes on without it."""
        before = leg.call
        leg.call = self
        self.join(leg)
        before.leave(leg)

    def invited(self, leg: Leg) -> None:
        """An INVITE went out on ``leg``."""
        bus = self.switch.bus
        if bus.has_listeners(LegStarted):
            bus.publish(LegStarted(self.id, self.switch.now(), leg.dialog.call_id))

    # -- books --------------------------------------------------------------------------------------------------------

    def ringing(self, leg: Leg, response: Response) -> None:
        """A phone rings; only the first is told of."""
        if self.is_rung or self.state == "ended":
            return
        self.is_rung = True
        if self.state == "trying":
            self.state = "ringing"
        dialog, now = leg.dialog, self.switch.now()
        bus = self.switch.bus
        bus.publish(CallRinging(self.id, now, response.status, response.to_tag, dialog.call_id, dialog.local_tag))
        if self.lamp:
            bus.publish(LineChanged(self.lamp, self.id, now, "early"))

    def answered(self, leg: Leg) -> None:
        """Caller and callee talk; ``leg`` is who answered. Only the first time is told of."""
        if self.state == "ended":
            return
        self.state = "answered"
        self.callee = leg
        if self.answered_at is not None:
            return
        switch = self.switch
        self.answered_at = now = switch.now()
        caller = self.caller
        switch.bus.publish(CallAnswered(self.id, now, caller.dialog.local_tag if caller is not None else ""))
        switch.setup_seconds.observe(now - self.started_at)
        switch.reaper.watch(self)
        if self.lamp:
            switch.bus.publish(LineChanged(self.lamp, self.id, now, "confirmed"))

    def note(self, kind: str, **what: str) -> None:
        """Write something down for the journal: ``by``, ``target``, ``result``, ``call_id`` (of another call)."""
        if self.state != "ended" and len(self.history) < _MOST_NOTES:
            at = self.switch.now()
            self.history.append(CallNote(at, kind, what))
            self.switch.bus.publish(CallNoted(self.id, at, kind, what))

    def set_lamp(self, number: str) -> None:
        """The lamp of this group shows the call from now on; an empty ``number`` turns it off."""
        before, self.lamp = self.lamp, number
        if before == number or not (self.is_rung or self.answered_at is not None):
            return
        publish, now = self.switch.bus.publish, self.switch.now()
        if before:
            publish(LineChanged(before, self.id, now, "terminated"))
        if number:
            publish(LineChanged(number, self.id, now, "early" if self.answered_at is None else "confirmed"))

    def end(self, result: Result, code: int, text: str, by: EndedBy) -> None:
        """Close the books; only the first ending counts. The legs are not asked."""
        if self.state == "ended":
            return
        self.set_lamp("")
        self.state = "ended"
        now = self.switch.now()
        if self.tally is not None and self.answered_at is not None:
            tally, party = self.tally
            tally.talked(party, now - self.answered_at)
        self.tally = self.bridge = None
        self.switch.call_ended(self, CallEnded(self.id, now, result, code, text, by))

    def hang_up(
        self, reason: Reason | None = None, by: EndedBy = "system", then: Callable[[], None] | None = None
    ) -> None:
        """End it, whatever goes on: who rings is cancelled, who waits is refused with the cause, who talks gets a BYE.

        ``then`` is called once when every BYE was answered or nobody will.
        """
        waiting = _Farewells(then) if then is not None else None
        was_answered = self.answered_at is not None
        text = (reason.text if reason is not None else None) or "The call was ended"
        status = _refusal(reason)
        code, said = (200, "OK") if was_answered else (status, text)
        ringings = self.ringings
        self.end("answered" if was_answered else "cancelled" if by == "caller" else "failed", code, said, by)
        for ringing in ringings:
            ringing.stop(reason)
        for leg in tuple(self.legs):
            dialog = leg.dialog
            if not dialog.is_caller and not dialog.is_established and not dialog.is_over:
                leg.drop()
                dialog.reject(status, explanation=f"{text}.")
            elif waiting is not None and dialog.is_established:
                leg.hang_up(reason, waiting.expect())
            else:
                leg.hang_up(reason)
        self.caller = self.callee = None
        if waiting is not None:
            waiting.begin()


def _refusal(reason: Reason | None) -> int:
    """The code for a caller who was not answered."""
    cause = reason.cause if reason is not None else None
    return cause if cause is not None and 400 <= cause < 700 else 480


class _Farewells:
    """Waits for the answers to several BYEs."""

    __slots__ = ("_is_open", "_then", "_waiting")

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._waiting = 0
        self._is_open = False

    def expect(self) -> Callable[[Response | None], None]:
        self._waiting += 1
        return self._answered

    def begin(self) -> None:
        """All were sent."""
        self._is_open = True
        self._check()

    def _answered(self, _response: Response | None) -> None:
        self._waiting -= 1
        self._check()

    def _check(self) -> None:
        if self._is_open and self._waiting == 0:
            self._is_open = False
            self._then()


def new_id(now: float) -> str:
    """A name for a call that begins at ``now``, in epoch seconds; later ones sort after it."""
    return f"{int(now * 1000):012x}{new_token(12)}"
