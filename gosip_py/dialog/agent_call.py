"""A call of a user agent: what its application sees and does, over one dialog."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, Protocol

from twisted.internet.defer import Deferred, fail, succeed

from gosip_py.dialog.agent_headers import checked_headers, checked_text
from gosip_py.dialog.described import next_version, turned
from gosip_py.dialog.refer import send_refer
from gosip_py.dialog.session import session_of
from gosip_py.dialog.table import OVER, TALKING, State
from gosip_py.dialog.user import Ending, Outcome
from gosip_py.media.sdp import inactive_answer
from gosip_py.sip.fields import Reason
from gosip_py.sip.headers import parse_address
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.names import canonical_name
from gosip_py.sip.uri import parse_uri

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.dialog.refer import Refer
    from gosip_py.dialog.referral import Referral

__all__ = ["Agent", "Call", "CallFailed", "Direction"]

Direction = Literal["outgoing", "incoming"]
Headers = Iterable[tuple[str, str]]

_DTMF = "application/dtmf-relay"
_DIGITS = re.compile(r"[0-9A-D*#]*\Z")
_DTMF_MILLISECONDS = 160
_NO_CALL = 481


class CallFailed(Exception):
    """The call came to nothing; ``is_ours`` says that nobody answered, and the status was made here (408, 503, 487)."""

    def __init__(self, status: int, reason: str, *, is_ours: bool = False) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.is_ours = is_ours


class Agent(Protocol):
    """What a call asks of its user agent."""

    @property
    def uri(self) -> str: ...

    def later(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call an application in a turn of its own; when it raises, that is logged."""

    def changed(self, call: Call, before: State, after: State) -> None:
        """The state of a call."""

    def refers(self) -> None:
        """A REFER is sent."""


class Call:
    """One call. ``request`` is the INVITE of the other side, ``response`` the last response to ours.

    ``replaces`` is the call of ours that this one shall take the place of, ``joins`` the one that it wants to be part
    of; ``is_replacing`` that it takes the place of a call here or there. ``sdp`` is our description as the application
    gave it, ``is_on_hold`` whether we hold the other side. ``follows`` is the REFER that this call was made for.

    What is asked of the other side gives a Deferred with the status of its answer: 408 when there is none, 481 when the
    call is over or nobody has been heard yet.
    """

    dialog: Dialog

    def __init__(self, agent: Agent, direction: Direction, sdp: bytes = b"", request: Request | None = None) -> None:
        self.direction = direction
        self.sdp = sdp
        self.request = request
        self.response: Response | None = None
        self.replaces: Call | None = None
        self.joins: Call | None = None
        self.follows: Refer | None = None
        self.is_replacing = False
        self.is_on_hold = False
        self.ending: Ending | None = None
        self._agent = agent
        self.failure: CallFailed | None = None
        self._answered: list[Deferred[Call]] = []
        self._over: list[Deferred[Call]] = []

    def __repr__(self) -> str:
        return f"<Call {self.direction} {self.state.name} {self.remote}>"

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.dialog.state

    @property
    def call_id(self) -> str:
        return self.dialog.call_id

    @property
    def local_tag(self) -> str:
        return self.dialog.local_tag

    @property
    def remote_tag(self) -> str:
        return self.dialog.remote_tag

    @property
    def remote(self) -> str:
        """The URI of the other side."""
        return parse_address(self.dialog.remote).uri_text

    @property
    def remote_sdp(self) -> bytes:
        """What the other side described last; empty when it has not."""
        return self.dialog.remote_sdp

    def header(self, name: str) -> str | None:
        """The first value of a header of the other side's INVITE, or of its last response to ours."""
        message: Message | None = self.request or self.response
        return None if message is None else message.value(canonical_name(name))

    def until_answered(self) -> Deferred[Call]:
        """Fires when the call is established; fails with CallFailed when it comes to nothing."""
        if self.dialog.is_established:
            return succeed(self)
        return fail(self.failure or _UNTOLD) if self.dialog.is_over else _waiting(self._answered)

    def until_over(self) -> Deferred[Call]:
        """Fires when the call is over, however it ended."""
        return succeed(self) if self.dialog.is_over else _waiting(self._over)

    # -- what is done with it ------------------------------------------------------------------------------------------

    def ring(self, status: int = 180, headers: Headers = ()) -> None:
        """Say that somebody is alerted. ValueError for a status, or a header, that cannot be sent so."""
        if not 100 < status < 200:
            raise ValueError(f"{status} is not provisional: 101 to 199")
        self.dialog.ring(status, headers=checked_headers(headers))

    def accept(self, sdp: bytes = b"", headers: Headers = ()) -> None:
        """Answer an incoming call; without ``sdp`` every stream of its offer is inactive or refused.

        ValueError for a header that cannot be sent.
        """
        checked = checked_headers(headers)
        self.sdp = sdp or self.sdp or inactive_answer(session_of(self.request) if self.request is not None else b"")
        self.dialog.accept(self.sdp, checked)

    def reject(self, status: int = 486, reason: str = "", explanation: str = "") -> None:
        """Refuse an incoming call. ValueError for a status that is none of a refusal, or a reason of several lines."""
        if not 300 <= status < 700:
            raise ValueError(f"{status} is no refusal: 300 to 699")
        self.dialog.reject(status, checked_text(reason), explanation)

    def hang_up(self, reason: Reason | None = None) -> Deferred[int]:
        """End the call, whatever its state: CANCEL, 480 or BYE. Fires when it is over."""
        done: Deferred[int] = Deferred()
        self.dialog.hang_up(reason, lambda response: self._tell(done, _status_of(response)))
        return done

    def hold(self) -> Deferred[int]:
        """Ask the other side to be silent, by a re-INVITE (RFC 3264 8.4)."""
        return self._turn(is_held=True)

    def resume(self) -> Deferred[int]:
        """Talk on."""
        return self._turn(is_held=False)

    def send_refer(
        self,
        target: str = "",
        replace: Call | None = None,
        *,
        progress: Callable[[int, str], None] | None = None,
        silent: bool = False,
    ) -> Deferred[int]:
        """Ask the other side to call ``target``, which may be left out to ``replace`` a call of ours (RFC 5589 7).

        Fires with the final status that it reports: 202 when it accepted and reports no more. Whoever cancels the
        Deferred unsubscribes from the reports; what was asked for goes on. ParseError for a ``target`` that is no URI.
        """
        if target or replace is None:
            parse_uri(target)
        if not self.dialog.is_established:
            return succeed(_NO_CALL)
        sent: list[Referral] = []
        done: Deferred[int] = Deferred(lambda _: sent[0].unsubscribe() if sent else None)
        other = None if replace is None else replace.dialog
        self._agent.refers()
        referral = send_refer(
            self.dialog,
            target or (other.remote_target if other is not None else ""),
            replaces=other,
            referred_by=f"<{self._agent.uri}>",
            silent=silent,
            progress=progress,
            then=lambda status, _reason: self._tell(done, status),
        )
        if referral is not None:
            sent.append(referral)
        return done

    def send_dtmf(self, digits: str, milliseconds: int = _DTMF_MILLISECONDS) -> Deferred[int]:
        """Send each digit in an INFO, one after the other. ValueError for anything but ``0`` to ``9``, ``A`` to ``D``,
        ``*`` and ``#``. Fires with the status of the last, or of the first that was refused.
        """
        digits = digits.upper()
        if not digits or _DIGITS.match(digits) is None:
            raise ValueError("digits are 0 to 9, A to D, * and #")
        if self.dialog.is_over or not self.remote_tag:
            return succeed(_NO_CALL)
        done: Deferred[int] = Deferred()

        def send(at: int) -> None:
            body = f"Signal={digits[at]}\r\nDuration={milliseconds}\r\n".encode()
            self.dialog.request("INFO", body=body, content_type=_DTMF, then=lambda response: answered(at, response))

        def answered(at: int, response: Response | None) -> None:
            status = _status_of(response)
            if status < 300 and at + 1 < len(digits) and self.dialog.is_established:
                send(at + 1)
            else:
                self._tell(done, status)

        send(0)
        return done

    def acknowledge(self, sdp: bytes) -> None:
        """Answer the offer of whoever accepted a call of ours that bore none."""
        self.sdp = sdp
        self.dialog.acknowledge(sdp)

    def _turn(self, *, is_held: bool) -> Deferred[int]:
        done: Deferred[int] = Deferred()

        def settled(outcome: Outcome) -> None:
            if outcome.status < 300:
                self.is_on_hold = is_held
            self._tell(done, outcome.status)

        if not self.sdp:
            return succeed(488)  # nothing was ever described
        self.sdp = next_version(self.sdp)
        self.dialog.offer(turned(self.sdp, is_held), settled)
        return done

    def _tell(self, done: Deferred[int], status: int) -> None:
        """Whoever waits is an application, and not called from here."""
        self._agent.later(_fire, done, status)

    # -- what the dialog tells, by way of its user ---------------------------------------------------------------------

    def moved(self, _dialog: Dialog, before: State, after: State) -> None:
        """The `watch` of the dialog."""
        self._agent.changed(self, before, after)
        if after in OVER:
            self._agent.later(self._tell_over)
        elif after is State.ESTABLISHED and before not in TALKING:
            self._agent.later(self._tell_answered)

    def fail(self, failure: CallFailed) -> None:
        """It came to nothing, for this reason."""
        self.failure = failure

    def _tell_answered(self) -> None:
        waiting, self._answered = self._answered, []
        for each in waiting:
            each.callback(self)

    def _tell_over(self) -> None:
        waiting, self._answered = self._answered, []
        for each in waiting:
            each.errback(self.failure or _UNTOLD)
        over, self._over = self._over, []
        for each in over:
            each.callback(self)


_UNTOLD = CallFailed(487, "Request Terminated", is_ours=True)


def _waiting(waiting: list[Deferred[Call]]) -> Deferred[Call]:
    """One more of them; whoever cancels it waits no longer."""
    each: Deferred[Call] = Deferred(waiting.remove)
    waiting.append(each)
    return each


def _fire(done: Deferred[int], status: int) -> None:
    """Unless whoever waited has given that up."""
    if not done.called:
        done.callback(status)


def _status_of(response: Response | None) -> int:
    return 408 if response is None else response.status
