"""The session timer at an end of a dialog (RFC 4028 7, 9, 10).

Asked for in each INVITE and UPDATE of ours, granted in our 2xx to theirs. Whoever refreshes does so when half of the
interval has passed; the other side hangs up shortly before the session expires. What stands in the headers is decided
in transaction/session_timer.py, what a request is refused for in its `session_timer` check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.session_timer import TIMER, SessionTimerPolicy, grant, min_se_of, timer_of

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.transaction.timers import Timer

__all__ = ["EXPIRED", "SessionRefresh", "ask", "ask_again", "begin", "grant_to", "stop"]

EXPIRED = Reason("SIP", 408, "Session expired")

_DEFAULT_MIN_SE = 90  # RFC 4028 5
_LARGEST_MIN_SE = 86400  # a 422 that asks for more wants no calls at all
_LONGEST_MARGIN = 32.0  # RFC 4028 10
_SHORTEST_PAUSE = 2.0  # between a refresh that failed and the next one

_REFRESH = 0
_EXPIRE = 1


class SessionRefresh:
    """The session timer of one dialog, made when the first one is agreed on.

    ``seconds`` is the interval, 0 when a later answer turned it off; ``is_ours`` says whether we refresh, ``min_se`` is
    the largest Min-SE that was heard in the dialog (7.4), ``expires_at`` is on the clock of the registry.
    """

    __slots__ = ("_deadline", "_dialog", "_timer", "expires_at", "is_ours", "min_se", "seconds")

    def __init__(self, dialog: Dialog) -> None:
        self._dialog = dialog
        self._timer: Timer | None = None
        self._deadline = 0.0
        self.seconds = 0
        self.is_ours = False
        self.min_se = 0
        self.expires_at = 0.0

    def run(self, seconds: int, is_ours: bool) -> None:
        """From now on the session lives for ``seconds``."""
        now = self._dialog.registry.now()
        self.seconds = seconds
        self.is_ours = is_ours
        self.expires_at = now + seconds
        # "slightly before", as many a NAT closes with the session (10); who refreshes gives up then too.
        self._deadline = self.expires_at - min(_LONGEST_MARGIN, seconds / 3)
        if is_ours:
            self._start(seconds / 2, _REFRESH)
        else:
            self._start(self._deadline - now, _EXPIRE)

    def stop(self) -> None:
        """The session does not expire any more."""
        self.seconds = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def timer_fired(self, kind: int) -> None:
        self._timer = None
        dialog = self._dialog
        if not dialog.is_established:
            return
        if kind == _REFRESH:
            self._start(self._left, _EXPIRE)
            dialog.refresh_session(self._failed)
        else:
            self.seconds = 0
            dialog.expire(EXPIRED)

    def _failed(self, status: int) -> None:
        """The refresh had no 2xx: another try, as long as there is time (10). Errors that end the dialog ended it."""
        if self.seconds and self._dialog.is_established:
            pause = max(self._left / 2, _SHORTEST_PAUSE)
            if pause < self._left:
                self._start(pause, _REFRESH)

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - self._dialog.registry.now())

    def _start(self, seconds: float, kind: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._dialog.wheel.start(seconds, self, kind)


# -- as a UAC (7) -----------------------------------------------------------------------------------------------------


def ask(dialog: Dialog, request: Request) -> None:
    """Ask for a session timer in an INVITE or UPDATE of ours (7.1, 7.4). Supported has the option tag already."""
    policy = dialog.registry.session_timers
    if policy.mode == "off":
        return
    kept = dialog.session_refresh
    least = _least(policy, kept)
    if kept is None:
        request.names.append("session-expires")
        request.lines.append(f"Session-Expires: {policy.session_expires}")
    else:
        request.set("session-expires", _asked(policy, kept, least))  # one that is sent again has it already
    if least > _DEFAULT_MIN_SE:
        request.set("min-se", str(least))
    if policy.mode == "require" and not request.has_token("require", TIMER):
        request.add("require", TIMER)


def _least(policy: SessionTimerPolicy, kept: SessionRefresh | None) -> int:
    return policy.min_se if kept is None else max(policy.min_se, kept.min_se)


def _asked(policy: SessionTimerPolicy, kept: SessionRefresh, least: int) -> str:
    """The value of Session-Expires. The role stays with whoever has it (7.4)."""
    if not kept.seconds:
        return str(max(policy.session_expires, least))
    return f"{max(kept.seconds, least)};refresher={'uac' if kept.is_ours else 'uas'}"


def ask_again(dialog: Dialog, response: Response) -> bool:
    """After a 422: whether its Min-SE is news, so that the request may be sent again with what `ask` now says (7.3)."""
    policy = dialog.registry.session_timers
    wanted = min_se_of(response)
    kept = dialog.session_refresh
    if policy.mode == "off" or not _least(policy, kept) < wanted <= _LARGEST_MIN_SE:
        return False
    if kept is None:
        kept = dialog.session_refresh = SessionRefresh(dialog)
    kept.min_se = wanted
    return True


def begin(dialog: Dialog, response: Response, is_ours: bool) -> None:
    """A 2xx to an INVITE settles the session timer.

    ``is_ours``: we are about to send it, and the timer is put on. Else it came, and is followed (7.2).
    """
    policy = dialog.registry.session_timers
    if policy.mode == "off":
        return
    if is_ours:
        if dialog.answering is not None:
            grant_to(dialog, dialog.answering.request, response)
        return
    kept = dialog.session_refresh
    if kept is not None and not kept.expires_at:
        kept.min_se = 0  # 7.4: what was heard before there was a dialog counts for its INVITE alone
    seconds, refresher = timer_of(response)
    if seconds is None and policy.mode == "require":
        # 7.2: a peer that knows no timer; we keep one for us.
        seconds, refresher = policy.session_expires, "uac"
    if seconds:
        # No UAS may go below the default (9): whoever does would have us refresh all the time.
        seconds = max(seconds, min(_DEFAULT_MIN_SE, policy.min_se))
    _settle(dialog, seconds or 0, refresher or "uac", refresher != "uas")


# -- as a UAS (9) -----------------------------------------------------------------------------------------------------


def grant_to(dialog: Dialog, request: Request, response: Response) -> None:
    """Put the session timer on our 2xx to their INVITE or UPDATE."""
    granted = grant(dialog.registry.session_timers, request)
    if granted is None:
        _settle(dialog, 0, None, False)
        return
    granted.put_into(response)
    _settle(dialog, granted.seconds, granted.refresher, granted.refresher == "uas")
    if "min-se" in request.names and dialog.session_refresh is not None:
        kept = dialog.session_refresh
        kept.min_se = max(kept.min_se, min(min_se_of(request), _LARGEST_MIN_SE))


# -- both -------------------------------------------------------------------------------------------------------------


def _settle(dialog: Dialog, seconds: int, refresher: str | None, is_ours: bool) -> None:
    kept = dialog.session_refresh
    dialog.session_expires, dialog.refresher = (seconds, refresher) if seconds else (None, None)
    if seconds:
        if kept is None:
            kept = dialog.session_refresh = SessionRefresh(dialog)
        kept.run(seconds, is_ours)
    elif kept is not None:
        kept.stop()


def stop(dialog: Dialog) -> None:
    """The dialog is over."""
    if dialog.session_refresh is not None:
        dialog.session_refresh.stop()
        dialog.session_refresh = None
