"""Looks after calls that nobody looks after: a leg without a session timer is asked whether it is still there.

The OPTIONS goes within the dialog (RFC 5057 6): a phone that was switched off answers nothing, one that was started
again says 481, and either ends the dialog. Where the connection is refused, it may come back: the dialog ends when that
is so twice in a row. Calls are asked in turn, a few each second, so that nothing comes at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gosip_py.call.leg import Leg
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.table import Signal
from gosip_py.sip.message import Response
from gosip_py.transaction.timers import Timer, TimerWheel

if TYPE_CHECKING:
    from gosip_py.call.call import Call

__all__ = ["Reaper"]

_STEP = 1.0  # seconds


class Reaper:
    """Asks each leg of ``calls`` every ``seconds``; 0 asks nobody. The timer runs while there is a call that talks."""

    def __init__(self, wheel: TimerWheel, calls: dict[str, Call], seconds: float) -> None:
        self._wheel = wheel
        self._calls = calls
        self._seconds = seconds
        self._turn: list[Call] = []
        self._share = 0.0
        self._due = 0.0
        self._missed: set[Dialog] = set()  # those that did not answer the last time
        self._timer: Timer | None = None

    def watch(self, call: Call) -> None:
        """It was answered."""
        if self._timer is None and self._seconds > 0:
            self._begin_turn()

    def rest(self) -> None:
        """The last call is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._turn.clear()
        self._missed.clear()

    def _begin_turn(self) -> None:
        """Whoever is there now is asked within the next ``seconds``; the newest last."""
        self._turn = list(reversed(self._calls.values()))
        self._share = len(self._turn) * _STEP / self._seconds
        self._due = 0.0
        if self._missed:
            self._missed = {dialog for dialog in self._missed if dialog.is_established}
        self._timer = self._wheel.start(min(_STEP, self._seconds), self, 0)

    def timer_fired(self, kind: int) -> None:
        self._timer = None
        self._due += self._share
        while self._due >= 1 - 1e-6 and self._turn:
            self._due -= 1
            call = self._turn.pop()
            if call.answered_at is not None and not call.is_over:
                for leg in tuple(call.legs):
                    self._ask(leg)
        if not self._calls:
            self._turn.clear()
        elif self._turn:
            self._timer = self._wheel.start(min(_STEP, self._seconds), self, 0)
        else:
            self._begin_turn()

    def _ask(self, leg: Leg) -> None:
        dialog = leg.dialog
        # Whoever has not acknowledged our answer may not have heard it, and would know of no dialog yet.
        if dialog.is_established and not dialog.session_expires and dialog.acceptance is None:
            dialog.request("OPTIONS", then=partial(self._heard, dialog))

    def _heard(self, dialog: Dialog, response: Response | None) -> None:
        """From a 408 or 481 the dialog itself draws the conclusion (RFC 3261 12.2.1.2)."""
        if response is not None:
            self._missed.discard(dialog)
        elif dialog not in self._missed:
            self._missed.add(dialog)
        elif dialog.is_established:
            dialog.lost(503, "Nobody can be reached any more", Signal.TRANSACTION_TIMEOUT)
