"""Session timers (RFC 4028): what is refused, what a proxy asks for, what a UAS grants, and what a 2xx agreed on.

Pure functions over messages and a policy. Whoever keeps sessions ends them; here is only what the headers say.
"""

from __future__ import annotations

from typing import Literal

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import DeltaSeconds, SessionExpires, parse_delta_seconds, parse_session_expires
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.validation import Check, Refusal, Stage

__all__ = [
    "REFRESHING",
    "TIMER",
    "Asked",
    "Granted",
    "Mode",
    "SessionTimerPolicy",
    "agree",
    "ask",
    "grant",
    "min_se_of",
    "session_timer",
    "timer_of",
]

Mode = Literal["off", "accept", "require"]

REFRESHING = frozenset(("INVITE", "UPDATE"))
"""The session refresh requests (RFC 4028 2)."""

TIMER = "timer"
"""The option tag (RFC 4028 12.3)."""

# Where a request says anything about timers: looked for at once, for most say nothing.
_INTERVALS = frozenset(("min-se", "session-expires"))
_ABILITIES = frozenset(("require", "supported"))
_DEFAULT_MIN_SE = 90  # RFC 4028 5: what an absent Min-SE stands for


@attrs.frozen
class SessionTimerPolicy:
    """What we want of session timers; every figure in seconds.

    ``off`` lets the headers pass as they are, ``accept`` asks for a timer on every session, ``require`` refuses a
    caller who cannot have one. ``session_expires`` is asked for where nobody else asks; more than ``max_se`` is
    lowered, less than ``min_se`` refused. RFC 4028 5 wants a ``min_se`` of 90 at least.
    """

    mode: Mode = "accept"
    min_se: int = 90
    session_expires: int = 1800
    max_se: int = 7200

    def __attrs_post_init__(self) -> None:
        if not 0 < self.min_se <= self.session_expires <= self.max_se:
            raise ValueError("0 < min_se <= session_expires <= max_se does not hold")


@attrs.frozen(slots=False)  # made for each call, as Target
class Asked:
    """What a forwarded refresh asks of its UAS, remembered until it is answered (RFC 4028 8.1).

    ``seconds`` stands in its Session-Expires, ``min_se`` is the least that it may be lowered to, ``is_known`` says
    whether the UAC supports the timer.
    """

    seconds: int
    min_se: int
    is_known: bool


# -- what is refused --------------------------------------------------------------------------------------------------


def session_timer(policy: SessionTimerPolicy) -> Check:
    """400 for a timer that cannot be read, 421 for a caller without one where it is required, 422 for one too short.

    A request within a dialog is never refused with 421: its timer was settled by the INVITE, and is kept by whichever
    side can.
    """

    def pass_all(request: Request) -> Refusal | None:
        return None

    def refuse(request: Request) -> Refusal | None:
        if request.method not in REFRESHING:
            return None
        if policy.mode == "require" and not _supports(request) and not request.to_tag:
            return _EXTENSION_REQUIRED
        return None if _INTERVALS.isdisjoint(request.names) else _refuse_interval(policy, request)

    return Check(Stage.SESSION_TIMER, pass_all if policy.mode == "off" else refuse)


_EXTENSION_REQUIRED = Refusal(
    421,
    "calls here need a session timer: use a phone that supports it, and send Supported: timer (RFC 4028)",
    (("require", TIMER),),
)


def _refuse_interval(policy: SessionTimerPolicy, request: Request) -> Refusal | None:
    try:
        expires, _ = _read(request)
    except ParseError as error:
        return Refusal(400, f"{error.reason}: send Session-Expires and Min-SE as a number of seconds")
    # Who does not support the timer could not do better: Min-SE is raised for them (8.1).
    if expires is None or expires.seconds >= policy.min_se or not _supports(request):
        return None
    text = f"Session-Expires is {expires.seconds}: ask for at least {policy.min_se} seconds, and send Min-SE with it"
    return Refusal(422, text, (("min-se", str(policy.min_se)),))


def _read(message: Message) -> tuple[SessionExpires | None, DeltaSeconds | None]:
    """Session-Expires and Min-SE, None where they are missing; ParseError names the one that cannot be read."""
    expires, least = message.value("session-expires"), message.value("min-se")
    try:
        read = None if expires is None else parse_session_expires(expires)
    except ParseError as error:
        raise ParseError(f"Session-Expires cannot be read, {error.reason}") from None
    try:
        return read, None if least is None else parse_delta_seconds(least)
    except ParseError as error:
        raise ParseError(f"Min-SE cannot be read, {error.reason}") from None


def _supports(request: Request) -> bool:
    return request.has_token("supported", TIMER) or request.has_token("require", TIMER)


# -- what a proxy asks for (8.1) --------------------------------------------------------------------------------------


def ask(policy: SessionTimerPolicy, copy: Request) -> Asked | None:
    """Ask for a session timer in a refresh that is forwarded; it passed `session_timer`. Changes ``copy``.

    None when nothing was asked for.
    """
    if policy.mode == "off" or copy.method not in REFRESHING:
        return None
    expires, least = (None, None) if _INTERVALS.isdisjoint(copy.names) else _read(copy)
    is_known = not _ABILITIES.isdisjoint(copy.names) and _supports(copy)
    # A policy that allows less than the RFC does not raise anybody to the RFC's default.
    floor = least.seconds if least is not None else min(_DEFAULT_MIN_SE, policy.min_se)
    if not is_known and _needs_min_se(policy, expires, least, floor):
        floor = policy.min_se
        copy.set("min-se", str(attrs.evolve(least, seconds=floor) if least is not None else floor))
    if expires is None:
        seconds = max(policy.session_expires, floor)
        copy.add("session-expires", str(seconds))
    else:
        seconds = max(min(expires.seconds, policy.max_se), floor)
        if seconds != expires.seconds:
            copy.set("session-expires", str(attrs.evolve(expires, seconds=seconds)))
    return Asked(seconds, floor, is_known)


def _needs_min_se(
    policy: SessionTimerPolicy, expires: SessionExpires | None, least: DeltaSeconds | None, floor: int
) -> bool:
    """Whether Min-SE must be put in or raised for a UAC that does not know the timer (8.1)."""
    if least is not None:
        return least.seconds < policy.min_se
    return floor < policy.min_se or (expires is not None and expires.seconds < policy.min_se)


# -- what the answer agreed on (8.2) ----------------------------------------------------------------------------------


def agree(asked: Asked | None, response: Response) -> None:
    """Put into a 2xx that goes upstream the timer that its UAS did not know of, when the UAC does."""
    if asked is None or not asked.is_known or "session-expires" in response.names:
        return
    response.add("session-expires", f"{asked.seconds};refresher=uac")
    try:
        is_required = response.has_token("require", TIMER)
    except ParseError:
        is_required = False
    if not is_required:
        response.add("require", TIMER)


def timer_of(response: Response) -> tuple[int | None, str | None]:
    """Seconds and refresher (``uac`` or ``uas``) of a 2xx; None for both when it has no timer that can be read."""
    value = response.value("session-expires")
    if value is None:
        return None, None
    try:
        expires = parse_session_expires(value)
    except ParseError:
        return None, None
    return expires.seconds, expires.refresher or None


# -- what a UAS grants (9) --------------------------------------------------------------------------------------------


@attrs.frozen(slots=False)  # made for each call, as Asked
class Granted:
    """The session timer of a 2xx of ours. ``refresher`` is ``uac`` or ``uas``, ``is_known``: the UAC supports it."""

    seconds: int
    refresher: str
    is_known: bool

    def put_into(self, response: Response) -> None:
        """Say so in the 2xx. Whoever knows the timer is told that it counts (RFC 4028 9)."""
        response.add("session-expires", f"{self.seconds};refresher={self.refresher}")
        if self.is_known:
            response.add("require", TIMER)


def grant(policy: SessionTimerPolicy, request: Request) -> Granted | None:
    """The timer that a 2xx of ours to this refresh brings; it passed `session_timer`. None: there is none.

    Who knows the timer and leaves it open refreshes by itself (table 2 gives us the choice).
    """
    if policy.mode == "off":
        return None
    names = request.names
    try:
        expires, least = (None, None) if _INTERVALS.isdisjoint(names) else _read(request)
        is_known = not _ABILITIES.isdisjoint(names) and _supports(request)
    except ParseError:
        return None
    if expires is None and not is_known:
        return None
    floor = least.seconds if least is not None else min(_DEFAULT_MIN_SE, policy.min_se)
    if expires is None:
        return Granted(max(policy.session_expires, floor), "uac", True)
    # Reduced perhaps, and never increased: one too short that nobody could be told of is none.
    seconds = min(expires.seconds, max(policy.max_se, floor))
    if seconds < min(_DEFAULT_MIN_SE, policy.min_se):
        return None
    return Granted(seconds, (expires.refresher or "uac") if is_known else "uas", is_known)


def min_se_of(message: Message) -> int:
    """The seconds of Min-SE; 0 when there is none that can be read."""
    value = message.value("min-se")
    if value is None:
        return 0
    try:
        return parse_delta_seconds(value).seconds
    except ParseError:
        return 0
