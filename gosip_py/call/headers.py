"""What passes from one leg of a call to the other besides the session description, and what never does.

A switch begins a new dialog on each leg: all that routes, identifies or authenticates is its own there, and so is what
tells of the software and the addresses behind it. The rest is for people and their phones, and passes:

* always: Subject, Priority, Organization, Accept-Language, User-to-User (RFC 7433), Privacy (RFC 3323), Geolocation and
  Geolocation-Routing (RFC 6442), In-Reply-To, Reason; of answers Retry-After, Error-Info and Alert-Info besides;
* from our own people only: Alert-Info, Call-Info, Answer-Mode and Priv-Answer-Mode (RFC 5373), for they make a phone
  answer by itself; and headers of their own that begin with ``X-``.

Nothing else: not P-Asserted-Identity, which says who somebody is among those who trust each other (RFC 3325 5), nor
History-Info and Diversion, which tell of the way here. At most 16 lines of at most 512 characters pass.
"""

from __future__ import annotations

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.message import Message, Request, Response

__all__ = [
    "ANONYMOUS",
    "body_headers",
    "breadth_of",
    "hops_of",
    "passed_answer",
    "passed_request",
    "wants_privacy",
]

ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""Who calls, where that shall not be told (RFC 3323 4.1.1.3)."""

Headers = tuple[tuple[str, str], ...]

_ALWAYS = frozenset(
    "accept-language geolocation geolocation-routing in-reply-to organization priority privacy reason subject "
    "user-to-user".split()
)
_OWN = frozenset("alert-info answer-mode call-info priv-answer-mode".split())
_OWN_PREFIX = "x-"
_ANSWER = frozenset(
    "alert-info call-info error-info organization reason retry-after subject user-to-user priority".split()
)
# What describes a body that passes (RFC 3261 20.11 to 20.13).
_OF_BODIES = frozenset("content-disposition content-encoding content-language info-package mime-version".split())
# What nearly every message has, and none of it passes: looked at in one step.
_PLAIN = frozenset(
    "accept accept-encoding allow allow-events authorization call-id contact content-disposition content-length "
    "content-type cseq date expires from max-breadth max-forwards mime-version min-se p-asserted-identity "
    "p-preferred-identity proxy-authorization record-route remote-party-id replaces require route rseq server "
    "session-expires supported timestamp to user-agent via warning".split()
)
_HIDING = frozenset(("header", "id", "user"))
_MOST_HOPS = 70
_MOST_BREADTH = 60
_MOST_LINES = 16
_MOST_CHARACTERS = 512


def passed_request(request: Message, is_own: bool) -> Headers:
    """What of a request that begins or goes through a call passes. ``is_own``: it is from one of our own people."""
    return () if _PLAIN.issuperset(request.names) else _take(request, _ALWAYS | _OWN if is_own else _ALWAYS, is_own)


def passed_answer(response: Response) -> Headers:
    """What of a response passes."""
    return () if _PLAIN.issuperset(response.names) else _take(response, _ANSWER, False)


def body_headers(request: Message, is_own: bool) -> Headers:
    """What passes with a body that is relayed as it is: an INFO or MESSAGE within a call."""
    return _take(request, _ALWAYS | _OF_BODIES | (_OWN if is_own else frozenset()), is_own)


def wants_privacy(request: Request) -> bool:
    """Whether the caller asks not to be named (RFC 3323 4.2, RFC 3325 9.3)."""
    return any(
        not _HIDING.isdisjoint(piece.strip(" \t").lower() for piece in value.split(";"))
        for value in request.values("privacy")
    )


def hops_of(request: Request) -> int:
    """Max-Forwards for the other leg: the hops of a call are counted across its legs, so that none goes on for ever.

    ParseError when it is no number.
    """
    names = request.names
    if "max-forwards" not in names:
        return _MOST_HOPS
    line = request.lines[names.index("max-forwards")]
    if line == "Max-Forwards: 70":
        return 69
    return max(0, parse_digits(line.partition(":")[2].strip(" \t\r\n"), "Max-Forwards", 255) - 1)


def breadth_of(request: Request) -> int:
    """How many lines may ring at a time if the request says so (RFC 5393 5.3.3), else 0; ParseError as there."""
    if "max-breadth" not in request.names:
        return 0
    breadth = parse_digits(request.require("max-breadth"), "Max-Breadth", 2**31 - 1)
    if breadth == 0:
        raise ParseError("Max-Breadth is not a positive number")
    return min(breadth, _MOST_BREADTH)


def _take(message: Message, names: frozenset[str], is_own: bool) -> Headers:
    found: list[tuple[str, str]] = []
    for name, line in zip(message.names, message.lines, strict=True):
        if name in names or (is_own and name.startswith(_OWN_PREFIX)):
            value = " ".join(line.partition(":")[2].split()) if "\n" in line else line.partition(":")[2].strip(" \t")
            if 0 < len(value) <= _MOST_CHARACTERS and len(found) < _MOST_LINES:
                found.append((name, value))
    return tuple(found)
