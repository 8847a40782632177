"""Parking: a party waits on hold at an orbit until somebody dials it, or until the parker is rung back.

What happens is in park_table.py; here it is done. A call is parked by transferring it to the code for that, or to an
orbit, or from the API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from gosip_py.call.bridge import Bridge, connect
from gosip_py.call.delivery import Delivery
from gosip_py.call.hold import answer_on_hold
from gosip_py.call.incoming import Incoming
from gosip_py.call.leg import Leg, Quiet
from gosip_py.call.orbits import Orbits
from gosip_py.call.park_table import PARK, Effect, Signal, State
from gosip_py.call.parting import GRACE_SECONDS, Parting, dismiss, ended_by, move_caller, owing_in, settle, take_place
from gosip_py.call.party import Party
from gosip_py.call.verdict import Attempt, UseFeature
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.user import Ending, Outcome
from gosip_py.events import CallEnded, LineChanged
from gosip_py.media.sdp import with_direction
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Response
from gosip_py.sip.uri import Uri
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.switch import Switch
    from gosip_py.call.transfer import Report

__all__ = ["Parking", "ParkingTimes"]

PARKED = Reason("SIP", 200, "Call parked")
NOBODY_CAME = Reason("SIP", 480, "Nobody took the parked call")

_NO_ROOM = 486, "No orbit is free"
_TAKEN = 486, "The orbit is taken"


@attrs.frozen
class ParkingTimes:
    """Seconds until the parker is rung back, for how long that rings, and how often a call is then parked again."""

    timeout: float = 90.0
    ring: float = 30.0
    retries: int = 2


class Parking:
    """The parked calls of a switch. ``orbits`` are where they may be."""

    def __init__(self, switch: Switch, orbits: Orbits[Parked] | None = None, times: ParkingTimes | None = None) -> None:
        self.switch = switch
        self.times = times or ParkingTimes()
        self.orbits: Orbits[Parked] = Orbits() if orbits is None else orbits
        switch.bus.subscribe(CallEnded, self._call_ended)

    def contains(self, number: str) -> bool:
        """Whether this is an orbit."""
        return self.orbits.contains(number)

    def park(self, parker: Leg, parked: Leg, orbit: str, report: Report) -> None:
        """Let ``parked`` wait at ``orbit``, or at the lowest that is free; ``report`` hears what came of it.

        The two talk with each other, or are about to part.
        """
        entry = Parked(self, parker, parked, report)
        taken = self.orbits.take(entry, orbit)
        Parting(self.switch, parker.call, parked, parker, entry)
        report.accepted()
        if taken:
            entry.begin(taken)
        else:
            entry.give_back()
            report.failed(*(_TAKEN if orbit else _NO_ROOM))

    def retrieve(self, call: Call, orbit: str) -> Refusal | None:
        """Connect the unanswered caller of ``call`` with who is parked there; or why not."""
        entry = self.orbits.at(orbit)
        if entry is None or call.caller is None:
            return Refusal(404, f"nobody is parked at {orbit}: check the lamps, or ask who parked the call")
        return entry.retrieve(call)

    def entry_of(self, leg: Leg) -> Parked | None:
        """The parked call of this leg."""
        return leg.role if isinstance(leg.role, Parked) else None

    def orbit_of(self, call: Call) -> str:
        """Where a call is parked; empty when it is not."""
        return next((orbit for orbit, entry in self.orbits if entry.call is call), "")

    def _call_ended(self, event: CallEnded) -> None:
        if self.orbits:
            for _, entry in self.orbits:
                if entry.call.id == event.id:
                    entry.forget()


class Parked(Quiet):
    """One party that waits at ``orbit``, and the role of its leg. ``call`` goes on with it."""

    __slots__ = (
        "_attempts",
        "_delivery",
        "_is_parker_there",
        "_is_shown",
        "_parking",
        "_report",
        "_retrieving",
        "_timer",
        "call",
        "orbit",
        "parked",
        "parker",
        "state",
    )

    def __init__(self, parking: Parking, parker: Leg, parked: Leg, report: Report) -> None:
        self._parking = parking
        self._report = report
        self.call = parked.call
        self.parker = parker
        self.parked = parked
        self.orbit = ""
        self.state = State.HOLDING
        self._attempts = 0
        self._delivery: Delivery | None = None
        self._is_parker_there = True
        self._is_shown = False
        self._retrieving: Call | None = None
        self._timer: Timer | None = None

    def begin(self, orbit: str) -> None:
        """Put the party on hold there."""
        self.orbit = orbit
        self._hold()

    def retrieve(self, call: Call) -> Refusal | None:
        """The caller of ``call`` dialled the orbit, or replaces the leg."""
        if self.state not in (State.PARKED, State.CALLING_BACK):
            return Refusal(486, f"the call at {self.orbit} is being taken by somebody else: try again")
        self._retrieving = call
        self._step(Signal.WANTED)
        return None

    def forget(self) -> None:
        """The call was ended from outside: by an administrator, or because the server stops."""
        if self.state is not State.OVER:
            was_promised, self.state = self.state is State.HOLDING, State.OVER
            self._stop_calling()
            self._release()
            self._drop_other()
            if was_promised:
                self._report.failed(487, "The call was ended")

    # -- what the party does -------------------------------------------------------------------------------------------

    def ended(self, leg: Leg, ending: Ending) -> None:
        self.left(leg, ending)

    def left(self, leg: Leg, ending: Ending) -> None:
        """A dialog is over."""
        settle(self.call)
        if leg is self.parked:
            by = ended_by(self.call, leg, ending)
            self._step(Signal.PARTY_LEFT)
            self.call.end("answered", 200, "OK", by)
            leg.drop()
        elif leg is self.parker:
            self._is_parker_there = False
            leg.drop()
        else:
            leg.drop()
            self._step(Signal.NOT_CONNECTED)

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        if leg is self.parked and self.state in (State.PARKED, State.CALLING_BACK):
            answer_on_hold(leg, exchange)
        else:
            Quiet.offered(self, leg, exchange)

    def timer_fired(self, _kind: int) -> None:
        self._timer = None
        self._step(Signal.TIMED_OUT)

    # -- what the delivery to the parker says --------------------------------------------------------------------------

    def rang(self, status: int, reason: str) -> None:
        """Nobody waits for that."""

    def reached(self, target: Leg) -> None:
        target.role = self
        self._stop_timer()
        self._step(Signal.REACHED)

    def unreached(self, status: int, reason: str) -> None:
        self._delivery = None
        self._stop_timer()
        self.call.note("ringback", target=self.parker.party.name, result=f"{status} {reason}")
        is_last = self._attempts > self._parking.times.retries
        self._step(Signal.EXHAUSTED if is_last else Signal.UNREACHED)

    def served(self, verdict: UseFeature) -> bool:
        return False

    # -- what the table says -------------------------------------------------------------------------------------------

    def _step(self, signal: Signal) -> None:
        self.state, effects = PARK.rows[self.state][signal]
        for effect in effects:
            self._perform[effect](self)

    def _hold(self) -> None:
        leg = self.parked
        leg.dialog.offer(leg.describe(with_direction(leg.dialog.local_sdp, "inactive")), self._held)

    def _held(self, outcome: Outcome) -> None:
        self._step(Signal.HELD if 200 <= outcome.status < 300 else Signal.NOT_HELD)

    def _announce(self) -> None:
        call, parker, orbit = self.call, self.parker, self.orbit
        settle(call)
        call.bridge = None
        self.parked.role, self.parked.peer, parker.peer = self, None, None
        call.state = "parked"
        call.note("park", by=parker.party.name, target=orbit, result="done")
        self._show("confirmed")
        # A phone that has not heard our 2xx yet would deny that there is such a dialog, and that would end it.
        is_settled = self._is_parker_there and parker.dialog.acceptance is None
        if is_settled and parker.dialog.remote_allows("MESSAGE"):
            text = f"Parked at {orbit}".encode()
            parker.dialog.request("MESSAGE", body=text, content_type="text/plain", then=_heard)
        dismiss(parker, PARKED, GRACE_SECONDS if self._report.has_patience else 0)
        self._report.succeeded(f"Parked at {orbit}")

    def _show(self, state: Literal["confirmed", "terminated"]) -> None:
        self._is_shown = state == "confirmed"
        switch = self._parking.switch
        switch.bus.publish(LineChanged(self.orbit, self.call.id, switch.now(), state))

    def _refuse(self) -> None:
        self.give_back()
        self._report.failed(488, "The call cannot be put on hold")

    def give_back(self) -> None:
        """The two go on as before, unless one of them is gone."""
        self.state = State.OVER
        call, parker, parked = self.call, self.parker, self.parked
        if not parked.dialog.is_established and not parked.dialog.is_early:
            parker.hang_up()
        elif self._is_parker_there:
            Bridge(self._parking.switch, call, parked, parker, owing_in(call))
            call.state = "held" if parked.is_held or parker.is_held else "answered"
        else:
            self._hang_up()

    def _wait(self) -> None:
        self.call.state = "parked"
        self._start_timer(self._parking.times.timeout)

    def _call_back(self) -> None:
        """Ring the parker: they see who waits, and where."""
        self._attempts += 1
        party, switch = self.parker.party, self._parking.switch
        caller = Party("anonymous", "Anonymous") if self.parked.is_private else self.parked.party
        shown = attrs.evolve(caller, display=f"{self.orbit}: {caller.display or caller.name}")
        before = self.call.attempt
        attempt = Attempt(party, Uri("sip", party.name, ""), party.name, switch.now(), before.direction)
        self._delivery = Delivery(self.parked, self, attrs.evolve(attempt, is_transfer=True), shown=shown)
        self._start_timer(self._parking.times.ring)
        self._delivery.start()

    def _stop_calling(self) -> None:
        self._stop_timer()
        delivery, self._delivery = self._delivery, None
        if delivery is not None and delivery.is_ringing:
            delivery.stop()
            if self.state is State.CALLING_BACK:
                self.unreached(408, "No answer")

    def _connect(self) -> None:
        self._stop_timer()
        call = self._retrieving
        if call is not None and call.caller is not None:
            connect(self._parking.switch, self.call, self.parked, call.caller, self._connected)

    def _connect_back(self) -> None:
        if self._delivery is not None:
            self._delivery.connect(self._returned)

    def _returned(self, status: int, _reason: str) -> None:
        self._connected(200 <= status < 300)

    def _connected(self, is_connected: bool) -> None:
        self._step(Signal.CONNECTED if is_connected else Signal.NOT_CONNECTED)

    def _release(self) -> None:
        self._stop_timer()
        self._parking.orbits.leave(self.orbit)
        if self._is_shown:
            self._show("terminated")

    def _hand_over(self) -> None:
        """Whoever came takes the place of the parker."""
        call, retrieving, delivery = self.call, self._retrieving, self._delivery
        target = retrieving.caller if retrieving is not None else delivery.target if delivery is not None else None
        if target is None:
            return
        take_place(call, self.parker, target)
        if retrieving is not None:
            move_caller(retrieving, call, "retrieve", self.orbit)
        else:
            call.note("ringback", target=self.parker.party.name, result="done")
            Bridge(self._parking.switch, call, self.parked, target)
        call.state = "answered"

    def _hang_up(self) -> None:
        self.call.end("answered", 200, "OK", "system")
        self.parked.hang_up(NOBODY_CAME)

    def _drop_other(self) -> None:
        """Whoever came is not connected."""
        retrieving, self._retrieving = self._retrieving, None
        delivery, self._delivery = self._delivery, None
        if retrieving is not None and retrieving.caller is not None:
            role = retrieving.caller.role
            if isinstance(role, Incoming):
                role.refuse(480, "The call that was parked could not be connected: try again.")
        if delivery is not None and delivery.target is not None:
            delivery.stop()
            delivery.target.hang_up()

    # -- the timer -----------------------------------------------------------------------------------------------------

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._parking.switch.wheel.start(seconds, self, 0)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    _perform: ClassVar[dict[Effect, Callable[[Parked], None]]] = {
        Effect.ANNOUNCE: _announce,
        Effect.REFUSE: _refuse,
        Effect.WAIT: _wait,
        Effect.CALL_BACK: _call_back,
        Effect.STOP_CALLING: _stop_calling,
        Effect.CONNECT: _connect,
        Effect.CONNECT_BACK: _connect_back,
        Effect.HOLD: _hold,
        Effect.RELEASE: _release,
        Effect.HAND_OVER: _hand_over,
        Effect.HANG_UP: _hang_up,
        Effect.DROP_OTHER: _drop_other,
    }


def _heard(_response: Response | None) -> None:
    """Some phones do not show messages: the lamp of the orbit does it too."""
