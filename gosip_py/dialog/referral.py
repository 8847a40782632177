"""A REFER of ours and the subscription that it makes, at the end that hears the reports (RFC 3515 2.4.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from gosip_py.dialog.reference import status_of
from gosip_py.dialog.subscription import EXPIRES
from gosip_py.dialog.table import Signal
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Event, parse_event, parse_expires
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["Referral"]

_LONGEST_EXPIRES = 3600
_MOST_REFRESHES = 20
_SIPFRAG = "message/sipfrag"
# What a subscription that ended before a final result says of it (RFC 6665 4.1.3).
_UNTOLD = {"rejected": (603, "Decline"), "timeout": (408, "Request Timeout"), "giveup": (408, "Request Timeout")}
_ACCEPTED = (202, "Accepted")
_FIRST, _EXPIRY, _REST = 0, 1, 2
_OF_CLASS = {
    1: Signal.RECEIVE_1XX,
    2: Signal.RECEIVE_2XX,
    3: Signal.RECEIVE_3XX,
    4: Signal.RECEIVE_4XX,
    5: Signal.RECEIVE_5XX,
    6: Signal.RECEIVE_6XX,
}


class Referral:
    """``progress`` hears the provisional results, ``then`` the final one, once.

    That is the status of the REFER itself when it was refused, 408 when nothing was heard, and 202 when the other side
    accepted and tells no more. ``number`` is the CSeq of the REFER, 0 until it was accepted.
    """

    __slots__ = ("_dialog", "_event", "_is_silent", "_is_told", "_progress", "_refreshes", "_then", "_timer", "number")

    log = Logger()

    def __init__(
        self,
        dialog: Dialog,
        *,
        is_silent: bool,
        progress: Callable[[int, str], None] | None,
        then: Callable[[int, str], None],
    ) -> None:
        self.number = 0
        self._dialog = dialog
        self._is_silent = is_silent
        self._progress = progress
        self._then = then
        self._is_told = False
        self._event = ""  # of the last NOTIFY, once there was one
        self._refreshes = 0
        self._timer: Timer | None = None

    def send(self, headers: Iterable[tuple[str, str]]) -> None:
        """Send the REFER."""
        self._dialog.request("REFER", headers=headers, then=self._answered)

    def unsubscribe(self) -> None:
        """Hear no more of it; what was asked for goes on (2.4.4). ``then`` is told 202 when it was told nothing yet."""
        if self._event:
            self._send_subscribe(0, _unheard)
        self._conclude(*_ACCEPTED)

    def give_up(self, status: int, reason: str) -> None:
        """Nothing will be heard any more."""
        self._conclude(status, reason)

    # -- the REFER itself ----------------------------------------------------------------------------------------------

    def _answered(self, response: Response | None) -> None:
        if self._dialog.references is None or self._is_over:
            return
        if response is None:
            self._fail(408, "Request Timeout")
        elif response.status >= 300:
            self._fail(response.status, response.reason)
        else:
            self.number = response.cseq.number
            self._accepted(_is_silent(response))

    def _fail(self, status: int, reason: str) -> None:
        self._dialog.note_reference(Signal.REFER_FAILED)
        self._conclude(status, reason)

    def _accepted(self, is_silent: bool) -> None:
        if not self._event:
            self._dialog.note_reference(Signal.REFER_ACCEPTED)
        if self._is_silent and is_silent:
            self._conclude(*_ACCEPTED)
        elif self._timer is None:
            # RFC 6665 4.1.2.4, Timer N
            self._start(64 * self._dialog.timing.t1, _FIRST)

    # -- the reports ---------------------------------------------------------------------------------------------------

    def notified(self, transaction: ServerTransaction) -> None:
        """A NOTIFY of this subscription."""
        try:
            state = parse_event(transaction.request.require("subscription-state"))
            seconds = _seconds_of(state)
            result = _result_of(transaction.request)
        except ParseError as error:
            transaction.reply(400, explanation=f"{error.reason}: correct that, and send the NOTIFY again")
            return
        event = transaction.request.require("event")
        transaction.reply(200)
        if not self._event and not self.number:
            self._dialog.note_reference(Signal.REFER_ACCEPTED)
        self._event = event
        self._take(result, state, seconds)

    def _take(self, result: tuple[int, str] | None, state: Event, seconds: int) -> None:
        if result is not None:
            self._dialog.note_reference(_OF_CLASS[result[0] // 100])
        is_final = result is not None and result[0] >= 200
        if state.name.lower() == "terminated":
            untold = _UNTOLD.get((state.parameters.get("reason") or "").lower(), _ACCEPTED)
            self._conclude(*(result if result is not None and is_final else untold))
        elif result is not None and is_final:
            # The last word without an end of the subscription: that may follow for a while.
            self._tell(*result)
            self._start(64 * self._dialog.timing.t1, _REST)
        else:
            self._start(max(1.0, seconds / 2), _EXPIRY)
            if result is not None and self._progress is not None and not self._is_told:
                self._call(self._progress, *result)

    def timer_fired(self, kind: int) -> None:
        self._timer = None
        if kind != _EXPIRY or self._is_told:
            self._conclude(408, "Request Timeout")
        elif self._dialog.is_over or self._refreshes >= _MOST_REFRESHES:
            # Nobody waits for ever: what is not told until the subscription expires is not told at all.
            self._start(EXPIRES / 2, _REST)
        else:
            self._refreshes += 1
            self._send_subscribe(EXPIRES, self._refreshed)

    def _send_subscribe(self, seconds: int, then: Callable[[Response | None], None]) -> None:
        headers = (("event", self._event), ("expires", str(seconds)))
        self._dialog.request("SUBSCRIBE", headers=headers, then=then)

    def _refreshed(self, response: Response | None) -> None:
        if self._is_over:
            return
        if response is None or response.status >= 300:
            self._conclude(408, "Request Timeout")
        elif self._timer is None:
            self._start(max(1.0, _expires_of(response) / 2), _EXPIRY)

    # -- the end -------------------------------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        references = self._dialog.references
        return references is None or not references.has(self)

    def _conclude(self, status: int, reason: str) -> None:
        self._stop()
        if not self._is_told:
            # The machine may wait for a result that will not come.
            self._dialog.note_reference(_OF_CLASS[status // 100])
        if not self._is_over:
            assert self._dialog.references is not None
            self._dialog.references.forget(self)
        self._tell(status, reason)

    def _tell(self, status: int, reason: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._call(self._then, status, reason)

    def _call(self, listener: Callable[[int, str], None], status: int, reason: str) -> None:
        try:
            listener(status, reason)
        except Exception:
            self.log.failure("whoever sent a REFER failed when it heard of {status}", status=status)

    def _start(self, seconds: float, kind: int) -> None:
        self._stop()
        self._timer = self._dialog.wheel.start(seconds, self, kind)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_silent(response: Response) -> bool:
    """Whether the other side will not report (RFC 4488 4)."""
    return (response.value("refer-sub") or "").partition(";")[0].strip(" \t").lower() == "false"


def _seconds_of(state: Event) -> int:
    """For how long the subscription goes on (RFC 6665 4.1.3)."""
    value = state.parameters.get("expires")
    return EXPIRES if value is None else min(parse_digits(value, "expires", 2**32 - 1), _LONGEST_EXPIRES)


def _expires_of(response: Response) -> int:
    try:
        return min(parse_expires(response.require("expires")), _LONGEST_EXPIRES)
    except ParseError:
        return EXPIRES


def _result_of(notify: Request) -> tuple[int, str] | None:
    """What the body says of the request that was asked for; None without a body."""
    if not notify.body:
        return None
    kind = (notify.value("content-type") or "").partition(";")[0].strip(" \t").lower()
    if kind != _SIPFRAG:
        raise ParseError(f"the body is not {_SIPFRAG}")
    return status_of(notify.body)


def _unheard(_response: Response | None) -> None:
    """Nobody waits for the answer to an unsubscription."""
