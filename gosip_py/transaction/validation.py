"""What a request must be before anybody acts on it (RFC 3261 8.2, 16.3).

Checks run in a fixed order, and the first that fails answers. A check is a callable with a stage, a chain a sorted
tuple of them, and a verdict a value: None, or the refusal to send.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import Parameters, parse_digits, parse_parameters
from gosip_py.sip.headers import parse_address, parse_via
from gosip_py.sip.message import Request
from gosip_py.sip.names import SINGLE, wire_name

if TYPE_CHECKING:
    from gosip_py.transaction.server import ServerTransaction

__all__ = [
    "Check",
    "Refusal",
    "Stage",
    "Validation",
    "allowed_methods",
    "check_syntax",
    "check_version",
    "hops_left",
    "readable_body",
    "supported_extensions",
    "syntax",
    "unreadable",
]

# RFC 3261 8.1.1, in its order. Max-Forwards is the sixth there: a peer of RFC 2543 does not know it, and 16.3 item 3
# lets it be absent.
_MANDATORY = ("to", "from", "cseq", "call-id", "via")
_MANDATORY_SET = frozenset(_MANDATORY)
# What is said twice here leaves open who is meant or how long; a second User-Agent hurts nobody.
_SINGLE = SINGLE - {"user-agent"}
_SCHEMES = frozenset(("sip", "sips", "tel"))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*\Z")
# The From or To of nearly every request: what matches needs no closer look.
_PLAIN_ADDRESS = re.compile(
    r"[FTft][A-Za-z]*[ \t]*:[ \t]*(?:\"[^\"\\\r\n]*\"[ \t]*|[A-Za-z0-9\-.!%*_+`'~]*[ \t]*)"
    r"<sips?:(?:[A-Za-z0-9\-_.!~*'()&=+$]+@)?[A-Za-z0-9.\-]+(?::[0-9]{1,5})?>"
    r"(?:;[A-Za-z0-9\-.]+(?:=[A-Za-z0-9\-.!%*_+`'~]+)?)*\Z"
)
_MOST_HOPS = 255
_CHALLENGES = frozenset((401, 407))
_ENCRYPTED = "application/pkcs7-mime"  # RFC 3261 23.3


class Stage(enum.IntEnum):
    """When a check runs: what is cheap and says nothing about anybody comes first."""

    SYNTAX = 0
    SESSION_TIMER = 10
    AUTHENTICATION = 20
    LOGIC = 30


@attrs.frozen
class Refusal:
    """Why a request will not be served.

    ``explanation`` goes into a Warning and says what to do; ``headers`` are (canonical name, value).
    """

    status: int
    explanation: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def send(self, transaction: ServerTransaction) -> None:
        """Answer the transaction with this refusal; nothing is kept of whoever is only challenged."""
        answer = transaction.reply_and_forget if self.status in _CHALLENGES else transaction.reply_once
        answer(self.status, self.reason, self.explanation, self.headers)


@attrs.frozen
class Check:
    """One thing that is looked at; ``refuse`` gives None when nothing is wrong."""

    stage: int
    refuse: Callable[[Request], Refusal | None]


class Validation:
    """A chain of checks in the order of their stages; checks of one stage run in the order given."""

    def __init__(self, *checks: Check) -> None:
        self._chain = tuple(check.refuse for check in sorted(checks, key=lambda check: check.stage))

    def refuse(self, request: Request) -> Refusal | None:
        """The refusal of the first check that fails, or None."""
        for check in self._chain:
            refusal = check(request)
            if refusal is not None:
                return refusal
        return None


def syntax() -> tuple[Check, Check]:
    """The checks that every request goes through, whoever will serve it."""
    return Check(Stage.SYNTAX, check_version), Check(Stage.SYNTAX, check_syntax)


def check_version(request: Request) -> Refusal | None:
    """505 for a version that is not ours (RFC 3261 21.5.6)."""
    if request.version == "SIP/2.0":
        return None
    return Refusal(505, "send SIP/2.0 in the request line; no other version is spoken here")


def check_syntax(request: Request) -> Refusal | None:
    """400 for mandatory headers that are missing, doubled or not readable, 416 for a scheme that is not ours.

    A 400 lists everything that is missing. Safe on what the parser could read of a broken message.
    """
    names = request.names
    distinct = set(names)
    if not distinct.issuperset(_MANDATORY_SET):
        return _missing(distinct)
    if len(distinct) != len(names):
        doubled = [wire_name(name) for name in sorted(distinct & _SINGLE) if names.count(name) > 1]
        if doubled:
            return Refusal(400, f"send {_listed(doubled)} once only")
    try:
        if request.cseq.method != request.method:
            return Refusal(400, f"the method in CSeq must be that of the request, {request.method}")
        _read_routing(request, distinct)
    except ParseError as error:
        return unreadable(error)
    return _check_uri(request)


def unreadable(error: ParseError) -> Refusal:
    """400 for a header that cannot be read; the error says which, and why."""
    return Refusal(400, f"{error.reason}: correct that, and send the request again")


def _missing(present: set[str]) -> Refusal:
    missing = [wire_name(name) for name in _MANDATORY if name not in present]
    return Refusal(400, f"add the mandatory header{'s' if len(missing) > 1 else ''} {_listed(missing)}")


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _read_routing(request: Request, distinct: set[str]) -> None:
    """ParseError when a header that every element needs cannot be read."""
    names, lines = request.names, request.lines
    if not request.call_id:
        raise ParseError("Call-ID is empty")
    request.top_via  # noqa: B018 - decoding is the check
    line = lines[names.index("via")]
    if "," in line or ";;" in line or names.count("via") > 1:
        _read_vias(request)
    for name in ("from", "to"):
        line = lines[names.index(name)]
        if _PLAIN_ADDRESS.match(line) is None:
            _read_address(request, name)
    if "max-forwards" in distinct:
        value = lines[names.index("max-forwards")].partition(":")[2].strip(" \t\r\n")
        if value != "70":
            parse_digits(value, "Max-Forwards", _MOST_HOPS)


def _read_vias(request: Request) -> None:
    """All of them, where there are several or separators without anything between them (RFC 4475 3.1.2.1)."""
    for value in request.values("via"):
        parse_via(value)


def _read_address(request: Request, name: str) -> None:
    try:
        address = parse_address(request.require(name))
        # A scheme that is not ours may stand here: nobody is routed by it (RFC 4475 3.3.4).
        scheme = _scheme_of(address.uri_text)
        if scheme is None or scheme in _SCHEMES:
            address.uri  # noqa: B018 - decoding is the check
    except ParseError as error:
        raise ParseError(f"{wire_name(name)} cannot be read: {error.reason}") from None


def _check_uri(request: Request) -> Refusal | None:
    try:
        request.uri  # noqa: B018 - decoding is the check, and whoever routes the request asks for it again
    except ParseError as error:
        scheme = _scheme_of(request.uri_text)
        if scheme is not None and scheme not in _SCHEMES:
            return Refusal(416, "use a sip, sips or tel URI in the request line")
        return Refusal(400, f"{error.reason}: correct the Request-URI, a sip, sips or tel URI is asked for")
    return None


def _scheme_of(uri_text: str) -> str | None:
    scheme, colon, _ = uri_text.partition(":")
    return scheme.lower() if colon and _SCHEME.match(scheme) is not None else None


# -- for whoever forwards (16.3)
# -----------------------------------------------------------------------------------------


def hops_left() -> Check:
    """483 for a request that must not be forwarded again; not for one that we answer ourselves (16.3 item 3, 11)."""
    return Check(Stage.LOGIC, _refuse_last_hop)


def _refuse_last_hop(request: Request) -> Refusal | None:
    value = request.value("max-forwards")
    if value is None or value.strip("0"):
        return None
    return Refusal(483, "Max-Forwards reached 0 here: look for a loop, or send a larger value")


# -- for whoever answers (8.2)
# -------------------------------------------------------------------------------------------


def allowed_methods(methods: Collection[str]) -> Check:
    """405 with Allow for any other method (8.2.1)."""
    allow = ", ".join(sorted(methods))

    def refuse(request: Request) -> Refusal | None:
        if request.method in methods:
            return None
        return Refusal(405, f"{request.method} is not served at this address; Allow lists what is", (("allow", allow),))

    return Check(Stage.LOGIC, refuse)


def supported_extensions(tokens: Collection[str], header: str = "require") -> Check:
    """420 with Unsupported for an option tag that is not in ``tokens``.

    ``header`` is ``require`` (8.2.2.3) or ``proxy-require`` (16.3 item 5).
    """
    known = frozenset(token.lower() for token in tokens)

    def refuse(request: Request) -> Refusal | None:
        if header not in request.names:
            return None
        try:
            unknown = [token for token in request.values(header) if token.lower() not in known]
        except ParseError as error:
            return Refusal(400, f"{wire_name(header)} cannot be read, {error.reason}: send option tags with commas")
        if not unknown:
            return None
        listed = ", ".join(unknown)
        text = f"{wire_name(header)} asks for {listed}, which is not known here: send the request without it"
        return Refusal(420, text, (("unsupported", listed),))

    return Check(Stage.LOGIC, refuse)


def readable_body(*types: str) -> Check:
    """415 with Accept or Accept-Encoding for a body that cannot be read and is not marked as optional (8.2.3).

    493 when it is encrypted: there is no key here. ``types`` are media types in lower case; with none of them, only an
    empty body can be read.
    """
    accept = (("accept", ", ".join(types)),)

    def refuse(request: Request) -> Refusal | None:
        if not request.body:
            return None
        encoding = (request.value("content-encoding") or "identity").lower()
        if encoding != "identity":
            text = f"Content-Encoding {encoding[:32]} is not known here: send the body without it"
            return Refusal(415, text, (("accept-encoding", "identity"),))
        media_type = (request.value("content-type") or "").partition(";")[0].strip(" \t").lower()
        if media_type in types or _is_optional(request):
            return None
        if media_type == _ENCRYPTED:
            return Refusal(493, "the body is encrypted and nobody here has a key: send it in the clear")
        named = media_type or "a body without Content-Type"
        return Refusal(415, f"{named} is not read here: send {' or '.join(types) or 'no body'}", accept)

    return Check(Stage.LOGIC, refuse)


def _is_optional(request: Request) -> bool:
    """Whether the sender does not mind that the body is ignored (20.11)."""
    disposition = request.value("content-disposition") or ""
    parameters: Parameters = {}
    try:
        parameters = parse_parameters(disposition.partition(";")[2])
    except ParseError:
        return False
    return (parameters.get("handling") or "required").lower() == "optional"
