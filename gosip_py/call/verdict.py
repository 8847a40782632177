"""What a router is asked and what it may answer: an `Attempt` in, a `Verdict` out.

The switch can do what a verdict says and decides nothing; whoever decides knows nothing of dialogs. Times are epoch
seconds, durations seconds.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from gosip_py.call.party import Party
from gosip_py.call.router import Destination, Unavailable
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.events import Direction
from gosip_py.sip.uri import Uri
from gosip_py.transport.flow import Target

__all__ = [
    "Attempt",
    "DialOut",
    "LeaveToProxy",
    "Line",
    "Redirect",
    "Refuse",
    "Ring",
    "Router",
    "Stage",
    "Tally",
    "UseFeature",
    "Verdict",
    "forwarded",
]

Headers = tuple[tuple[str, str], ...]

# Made for each call: a frozen class without slots is made in half the time of one with them.


@attrs.frozen(slots=False)
class Attempt:
    """Somebody wants to reach somebody.

    ``dialled`` is the user part of ``uri``; a ``uri`` without a host is a name here. ``diverted`` are the logins of the
    people and the numbers of the groups that it was forwarded from, the newest last. When it ``is_transfer``, or the
    server calls for somebody, ``caller`` is whoever wants it: theirs are the rights, and it is not left to the proxy.
    ``source`` is the numeric address that the caller's phone is heard from.
    """

    caller: Party
    uri: Uri
    dialled: str
    at: float
    direction: Direction
    diverted: tuple[str, ...] = ()
    is_transfer: bool = False
    source: str = ""

    @property
    def is_secure(self) -> bool:
        """Whether nothing but TLS will do (RFC 3261 19.1)."""
        return self.uri.scheme == "sips"


@attrs.frozen(slots=False)
class Line:
    """One INVITE to send: to ``uri`` by way of ``target`` and ``routes``.

    ``q`` is in thousandths. ``fallbacks`` are other ways to the same phone, for when the flow is dead. ``from_`` is the
    whole From value to show without a tag, empty for the caller's own.
    """

    party: Party
    uri: str
    target: Target
    routes: tuple[str, ...] = ()
    q: int = 1000
    fallbacks: tuple[Line, ...] = ()
    credentials: ClientCredentials | None = None
    from_: str = ""
    headers: Headers = ()


@attrs.frozen(slots=False)
class Stage:
    """Lines that ring together, those of a higher q first, for at most so many seconds."""

    lines: tuple[Line, ...]
    seconds: float


class Tally(Protocol):
    """What a call does to the statistics of a group. One is made for each call; the party is that of a `Line`."""

    def rang(self, party: Party) -> None:
        """The INVITE was sent."""

    def answered(self, party: Party) -> None:
        """This line answered first."""

    def missed(self, party: Party) -> None:
        """This line was not answered: its time was over, it refused, or the caller gave up. Not: somebody else did."""

    def talked(self, party: Party, seconds: float) -> None:
        """The call that this line answered is over."""


@attrs.frozen(slots=False)
class Ring:
    """Ring these lines, one stage after the other.

    ``if_busy``, ``if_no_answer`` and ``if_unavailable`` are dialled strings for when nobody takes it: the router is
    asked again with `forwarded`. ``diverted`` are all whom the call was forwarded from by now, those of the attempt
    among them. ``lamp`` is the number of a group whose lamp shows this call (`events.LineChanged`), or empty.
    """

    callee: Party
    stages: tuple[Stage, ...]
    if_busy: str = ""
    if_no_answer: str = ""
    if_unavailable: str = ""
    tally: Tally | None = None
    headers: Headers = ()
    diverted: tuple[str, ...] = ()
    lamp: str = ""


@attrs.frozen(slots=False)
class DialOut:
    """Send it out by the trunk, not before ``delay`` seconds have gone by: trunks allow so many calls a second.

    ``number`` is in E.164 form but for an emergency number. ``diverted`` is as in `Ring`.
    """

    number: str
    line: Line
    is_emergency: bool = False
    delay: float = 0.0
    diverted: tuple[str, ...] = ()


@attrs.frozen(slots=False)
class Refuse:
    """Answer so; ``explanation`` goes into a Warning and says what to do."""

    status: int
    explanation: str
    headers: Headers = ()


@attrs.frozen(slots=False)
class Redirect:
    """Answer 302 with these Contact values."""

    contacts: tuple[str, ...]


@attrs.frozen(slots=False)
class UseFeature:
    """Let the server do it: ``name`` is one of `feature_codes.CATALOGUE`, or "park" or "retrieve" for an orbit."""

    name: str
    argument: str = ""


@attrs.frozen(slots=False)
class LeaveToProxy:
    """Forward or redirect it as a proxy does, or refuse it as the proxy would.

    The person called has call_schema proxy or redirect, or it is for another domain. ``found`` is what the router knows
    of the person, so that nobody need look them up again.
    """

    found: Destination | Unavailable | None = attrs.field(default=None, eq=False)


Verdict = Ring | DialOut | Refuse | Redirect | UseFeature | LeaveToProxy


class Router(Protocol):
    """Decides what becomes of a call."""

    def route(self, attempt: Attempt) -> Verdict:
        """Asked once for each attempt that is then made: what it costs (a call of the trunk's rate) is taken here."""


def forwarded(attempt: Attempt, ring: Ring, dialled: str, at: float) -> Attempt:
    """What to ask when nobody took the call: the attempt sent on to ``dialled`` by whom ``ring`` rang."""
    diverted = (*(ring.diverted or attempt.diverted), ring.callee.name)
    uri = Uri("sips" if attempt.is_secure else "sip", dialled, "")
    return attrs.evolve(attempt, uri=uri, dialled=dialled, at=at, diverted=diverted)
