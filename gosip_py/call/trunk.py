"""The trunk: how a number of the outside is called through it.

A trunk asks for three things before it takes a call: its own host in the Request-URI, the number in the form of E.164,
and a caller ID that is ours. It takes so many calls a second and no more.
"""

from __future__ import annotations

from math import ceil

import attrs

from gosip_py.call.numbers import is_global
from gosip_py.call.party import Party
from gosip_py.call.verdict import Headers, Line, Refuse
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.sip.grammar import quote
from gosip_py.sip.uri import Uri, escape_user, parse_uri
from gosip_py.transport.flow import Target
from gosip_py.transport.resolve import target_of

__all__ = ["CallRate", "Gateway", "Trunk"]

LONGEST_WAIT = 2.0
"""Seconds that a caller is kept waiting for their turn on the trunk."""


@attrs.frozen
class Trunk:
    """What is agreed with whoever runs it.

    ``uri`` names its host and how to get there ("sip:example.pstn.twilio.com;transport=tls"), ``from_domain`` our
    domain as it knows it, which is its host when empty. ``caller_id`` is our number. When it ``passes_caller_id``, the
    number of whoever calls is shown where a call is forwarded out. ``calls_per_second`` 0 is as many as come.
    """

    uri: str
    credentials: ClientCredentials | None = None
    caller_id: str = ""
    from_domain: str = ""
    passes_caller_id: bool = False
    calls_per_second: float = 1.0


class CallRate:
    """A token bucket that holds one call, or what comes in a second if that is more. Times are in seconds."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second if per_second > 0 else 0.0
        self._burst = max(1.0, per_second) * self._interval
        self._free_at = 0.0  # when the bucket is full again

    def reserve(self, now: float, longest: float = LONGEST_WAIT) -> float | None:
        """Take a turn: in how many seconds it is. None when that is later than ``longest``; then none is taken."""
        taken_until = max(self._free_at, now) + self._interval
        wait = max(0.0, taken_until - now - self._burst)
        if wait > longest:
            return None
        self._free_at = taken_until
        return wait

    def take(self, now: float) -> None:
        """Take a turn at once, whoever else waits."""
        self._free_at = max(self._free_at, now) + self._interval

    def next_turn(self, now: float) -> float:
        """In how many seconds there is one."""
        return max(0.0, self._free_at + self._interval - now - self._burst)


class Gateway:
    """The way out. ParseError when the URI of the trunk cannot be read or is not served."""

    def __init__(self, trunk: Trunk) -> None:
        self._trunk = trunk
        self._uri = parse_uri(trunk.uri)
        self._target: Target = target_of(self._uri)
        self._domain = trunk.from_domain or self._uri.host
        self._rate = CallRate(trunk.calls_per_second)

    def wait(self, now: float) -> float | Refuse:
        """Take a turn of its rate: the seconds until it comes."""
        wait = self._rate.reserve(now)
        if wait is not None:
            return wait
        later = str(max(1, ceil(self._rate.next_turn(now) - LONGEST_WAIT)))
        return Refuse(503, "too many calls begin on the trunk at once: try again soon", (("retry-after", later),))

    def take_turn(self, now: float) -> None:
        """Take one at once: for calls that do not wait."""
        self._rate.take(now)

    def line(self, number: str, payer: int | None, shown: Party | None = None) -> Line:
        """The INVITE to ``number``.

        ``payer`` is the person for whom it is forwarded or transferred out, ``shown`` whoever called them.
        """
        own = self._trunk.caller_id
        seen = shown.name if shown is not None and self._trunk.passes_caller_id and is_global(shown.name) else own
        display = shown.display if shown is not None and seen != own else ""
        return self._line(number, payer, seen, own, display)

    def emergency_line(self, number: str, caller_id: str) -> Line:
        """The INVITE for help, from a location that is known by ``caller_id``."""
        seen = caller_id or self._trunk.caller_id
        return self._line(number, None, seen, seen, "")

    def _line(self, number: str, payer: int | None, seen: str, own: str, display: str) -> Line:
        trunk = self._trunk
        uri = str(attrs.evolve(self._uri, user=number))
        user = seen or (trunk.credentials.username if trunk.credentials is not None else "anonymous")
        name = f"{quote(display)} " if display else ""
        return Line(
            Party(number, "", uri, payer, None, "trunk"),
            uri,
            self._target,
            credentials=trunk.credentials,
            from_=f"{name}<{self._address(user)}>",
            headers=self._asserted(own),
        )

    def _asserted(self, own: str) -> Headers:
        """RFC 3325 9.1: which number of ours it is, whatever From shows."""
        return (("p-asserted-identity", f"<{self._address(own)}>"),) if own else ()

    def _address(self, user: str) -> str:
        return f"{_scheme(self._uri)}:{escape_user(user)}@{self._domain}"


def _scheme(uri: Uri) -> str:
    return "sips" if uri.is_secure else "sip"
