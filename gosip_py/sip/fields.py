"""Decoded values of the headers that are asked for now and then (RFC 3261 20 and the RFCs that added headers).

Every kind of value is read by a ``parse_...(text)`` from one element (no commas outside of quotes, folds undone) and
written by ``str()``. Which header holds which kind stands in decode.py. Reading raises ParseError and nothing else.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import (
    Parameters,
    is_token,
    parse_digits,
    parse_parameters,
    quote,
    split_outside_quotes,
    unquote,
    write_parameters,
)

__all__ = [
    "Accepted",
    "DeltaSeconds",
    "Disposition",
    "Event",
    "MediaType",
    "RAck",
    "Reason",
    "Reference",
    "Replaces",
    "RetryAfter",
    "SessionExpires",
    "SipDate",
    "Timestamp",
    "WarningValue",
    "parse_accept",
    "parse_accepted",
    "parse_call_id",
    "parse_date",
    "parse_delta_seconds",
    "parse_disposition",
    "parse_event",
    "parse_expires",
    "parse_max_forwards",
    "parse_media_type",
    "parse_mime_version",
    "parse_privacy",
    "parse_q",
    "parse_rack",
    "parse_reason",
    "parse_reference",
    "parse_replaces",
    "parse_retry_after",
    "parse_rseq",
    "parse_session_expires",
    "parse_timestamp",
    "parse_token",
    "parse_warning",
]

_LARGEST_DELTA = 2**32 - 1  # RFC 3261 20.19
_LARGEST_HOPS = 255  # RFC 3261 20.22
_LARGEST_NUMBER = 2**32 - 1  # RFC 3262 3
_Q = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_REFERENCE = re.compile(r"<([^<>\x00-\x20\x7f]++)>[ \t]*+(;.*)?\Z", re.DOTALL)
_WARNING = re.compile(r'([0-9]{3})[ \t]++([^ \t",]++)[ \t]++("(?:[^"\\]++|\\.)*+")\Z', re.DOTALL)
_TIMESTAMP = re.compile(r"([0-9]++(?:\.[0-9]*+)?)(?:[ \t]++([0-9]*+(?:\.[0-9]*+)?))?\Z")
_VERSION = re.compile(r"[0-9]{1,5}\.[0-9]{1,5}\Z")
_RACK = re.compile(r"([0-9]++)[ \t]++([0-9]++)[ \t]++([A-Za-z0-9\-.!%*_+`'~]++)\Z")
# A Session-Expires as nearly everybody writes it.
_PLAIN_SESSION_EXPIRES = re.compile(r"([0-9]{1,9})(?:;refresher=(ua[cs]))?\Z")
_CALL_ID = re.compile(r"""[A-Za-z0-9\-.!%*_+`'~()<>:\\"/\[\]?{}]++(?:@[A-Za-z0-9\-.!%*_+`'~()<>:\\"/\[\]?{}]++)?\Z""")
_COMMENT_STEP = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([0-9]{4})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT\Z"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


# -- what the kinds share ---------------------------------------------------------------------------------------------


def parse_token(text: str) -> str:
    """A single token: an option tag, a method, a language, a priority."""
    if not is_token(text):
        raise ParseError("a token is empty or holds a character that none may hold")
    return text


def parse_q(text: str) -> int:
    """A q value in thousandths, 0..1000 (RFC 3261 25.1, qvalue)."""
    if _Q.match(text) is None:
        raise ParseError("q is not a number from 0 to 1 with at most three decimals")
    whole, _, decimals = text.partition(".")
    return int(whole) * 1000 + int(decimals.ljust(3, "0"))


def _write_q(thousandths: int) -> str:
    return "" if thousandths == 1000 else f";q={thousandths / 1000:g}"


def _parameters(text: str) -> Parameters:
    """As `parse_parameters`, but every name must be a token."""
    parameters = parse_parameters(text)
    for name in parameters:
        parse_token(name)
    return parameters


def _token_and_parameters(text: str) -> tuple[str, Parameters]:
    token, _, rest = text.partition(";")
    return parse_token(token.strip(" \t")), _parameters(rest) if rest else {}


# -- negotiation: Accept, Accept-Encoding, Accept-Language, Content-Type, Content-Disposition --------------------------


@attrs.frozen
class Accepted:
    """One thing that the sender can take, and how gladly: ``q`` in thousandths."""

    value: str
    q: int = 1000
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.value}{write_parameters(self.parameters)}{_write_q(self.q)}"


def parse_accepted(text: str) -> Accepted:
    """An element of Accept-Encoding or Accept-Language (RFC 3261 20.2, 20.3)."""
    value, parameters = _token_and_parameters(text)
    return Accepted(value, _take_q(parameters), parameters)


def parse_accept(text: str) -> Accepted:
    """An element of Accept: a media range (RFC 3261 20.1)."""
    media = parse_media_type(text)
    return Accepted(f"{media.kind}/{media.subtype}", _take_q(media.parameters), media.parameters)


def _take_q(parameters: Parameters) -> int:
    return parse_q(parameters.pop("q") or "") if "q" in parameters else 1000


@attrs.frozen
class MediaType:
    """A media type, ``kind`` and ``subtype`` in lower case (RFC 3261 20.15)."""

    kind: str
    subtype: str
    parameters: Parameters = attrs.field(factory=dict)

    @property
    def essence(self) -> str:
        """The type without parameters: ``application/sdp``."""
        return f"{self.kind}/{self.subtype}"

    def __str__(self) -> str:
        return f"{self.essence}{write_parameters(self.parameters)}"


def parse_media_type(text: str) -> MediaType:
    """The value of Content-Type."""
    essence, _, rest = text.partition(";")
    kind, slash, subtype = (part.strip(" \t").lower() for part in essence.partition("/"))
    if not (slash and is_token(kind) and is_token(subtype)):
        raise ParseError("a media type is not type/subtype")
    return MediaType(kind, subtype, _parameters(rest) if rest else {})


@attrs.frozen
class Disposition:
    """What a body is for (RFC 3261 20.11), ``kind`` in lower case."""

    kind: str
    parameters: Parameters = attrs.field(factory=dict)

    @property
    def is_required(self) -> bool:
        """Whether a body that is not understood must be refused; so it is without a ``handling``."""
        return (self.parameters.get("handling") or "required").lower() != "optional"

    def __str__(self) -> str:
        return f"{self.kind}{write_parameters(self.parameters)}"


def parse_disposition(text: str) -> Disposition:
    kind, parameters = _token_and_parameters(text)
    return Disposition(kind.lower(), parameters)


def parse_mime_version(text: str) -> str:
    if _VERSION.match(text) is None:
        raise ParseError("MIME-Version is not two numbers with a dot between")
    return text


# -- numbers and times -------------------------------------------------------------------------------------------------


def parse_expires(text: str) -> int:
    """Seconds, 0..2**32-1 (RFC 3261 20.19). What a malformed value counts as is for the registrar to say (10.2.1.1)."""
    return parse_digits(text, "the number of seconds", _LARGEST_DELTA)


def parse_max_forwards(text: str) -> int:
    return parse_digits(text, "Max-Forwards", _LARGEST_HOPS)


def parse_rseq(text: str) -> int:
    """The number of a reliable provisional response (RFC 3262 7.1)."""
    return parse_digits(text, "RSeq", _LARGEST_NUMBER)


@attrs.frozen
class DeltaSeconds:
    """Seconds with parameters: Min-SE (RFC 4028 5)."""

    seconds: int
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.seconds}{write_parameters(self.parameters)}"


def parse_delta_seconds(text: str) -> DeltaSeconds:
    seconds, _, rest = text.partition(";")
    return DeltaSeconds(parse_expires(seconds.rstrip(" \t")), _parameters(rest) if rest else {})


@attrs.frozen(slots=False)  # made for each call that has a session timer
class SessionExpires:
    """The session interval in seconds and who refreshes: ``uac``, ``uas`` or an empty string (RFC 4028 4)."""

    seconds: int
    refresher: str = ""
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        refresher = f";refresher={self.refresher}" if self.refresher else ""
        return f"{self.seconds}{refresher}{write_parameters(self.parameters)}"


def parse_session_expires(text: str) -> SessionExpires:
    match = _PLAIN_SESSION_EXPIRES.match(text)
    if match is not None:
        return SessionExpires(int(match[1]), match[2] or "")
    plain = parse_delta_seconds(text)
    refresher = ""
    if "refresher" in plain.parameters:
        refresher = (plain.parameters.pop("refresher") or "").lower()
        if refresher not in ("uac", "uas"):
            raise ParseError("the refresher in Session-Expires is neither uac nor uas")
    return SessionExpires(plain.seconds, refresher, plain.parameters)


@attrs.frozen
class RetryAfter:
    """When to try again, in seconds (RFC 3261 20.33). ``comment`` stands without its parentheses."""

    seconds: int
    comment: str = ""
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        comment = f" ({self.comment})" if self.comment else ""
        return f"{self.seconds}{comment}{write_parameters(self.parameters)}"


def parse_retry_after(text: str) -> RetryAfter:
    opening = text.find("(")
    if opening < 0 or -1 < text.find(";") < opening:
        plain = parse_delta_seconds(text)
        return RetryAfter(plain.seconds, "", plain.parameters)
    end = _comment_end(text, opening)
    rest = text[end:].lstrip(" \t")
    if rest and rest[0] != ";":
        raise ParseError("after the comment in Retry-After stands no parameter", end)
    seconds = parse_expires(text[:opening].rstrip(" \t"))
    return RetryAfter(seconds, text[opening + 1 : end - 1], _parameters(rest) if rest else {})


def _comment_end(text: str, opening: int) -> int:
    """Where the comment ends that begins at ``opening``; comments nest (RFC 3261 25.1)."""
    depth = 0
    for step in _COMMENT_STEP.finditer(text, opening):
        depth += {"(": 1, ")": -1}.get(step[0], 0)
        if depth == 0:
            return step.end()
    raise ParseError("a comment is not closed", opening)


@attrs.frozen
class SipDate:
    """A moment with a precision of one second, always UTC (RFC 3261 20.17)."""

    moment: datetime

    def __str__(self) -> str:
        # strftime would write the names of the process's locale
        at = self.moment.astimezone(UTC)
        return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S} GMT"


def parse_date(text: str) -> SipDate:
    match = _DATE.match(text)
    if match is None:
        raise ParseError("Date is not of the form Sat, 13 Nov 2010 23:29:00 GMT")
    day, month, *numbers = match.groups()
    year, hour, minute, second = map(int, numbers)
    try:
        return SipDate(datetime(year, _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC))
    except ValueError:
        raise ParseError("Date names a day or an hour that does not exist") from None


@attrs.frozen
class Timestamp:
    """When the UAC sent the request and how long the UAS held it (RFC 3261 20.38).

    Both are decimal text, since they are echoed as they came.
    """

    value: str
    delay: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.delay}" if self.delay else self.value


def parse_timestamp(text: str) -> Timestamp:
    match = _TIMESTAMP.match(text)
    if match is None:
        raise ParseError("Timestamp is not a decimal number, with or without a delay")
    return Timestamp(match[1], match[2] or "")


# -- pointers and explanations -----------------------------------------------------------------------------------------


@attrs.frozen
class Reference:
    """A URI of any scheme in angle brackets: Alert-Info, Call-Info, Error-Info (RFC 3261 20.4, 20.9, 20.18)."""

    uri_text: str
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"<{self.uri_text}>{write_parameters(self.parameters)}"


def parse_reference(text: str) -> Reference:
    match = _REFERENCE.match(text)
    if match is None or ":" not in match[1]:
        raise ParseError("not a URI in angle brackets")
    return Reference(match[1], _parameters(match[2]) if match[2] else {})


@attrs.frozen
class WarningValue:
    """One warning: a code of three digits, who warns, and the text for a person (RFC 3261 20.43)."""

    code: int
    agent: str
    text: str

    def __str__(self) -> str:
        return f"{self.code:03} {self.agent} {quote(self.text)}"


def parse_warning(text: str) -> WarningValue:
    match = _WARNING.match(text)
    if match is None:
        raise ParseError("Warning is not three digits, an agent and a quoted text")
    return WarningValue(int(match[1]), match[2], unquote(match[3]))


@attrs.frozen
class Reason:
    """Why a request was sent (RFC 3326): ``protocol`` as written, ``cause`` None when it is not given."""

    protocol: str
    cause: int | None = None
    text: str | None = None
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        cause = f";cause={self.cause}" if self.cause is not None else ""
        text = f";text={quote(self.text)}" if self.text is not None else ""
        return f"{self.protocol}{cause}{text}{write_parameters(self.parameters)}"


def parse_reason(text: str) -> Reason:
    protocol, parameters = _token_and_parameters(text)
    cause = parameters.pop("cause", None)
    return Reason(
        protocol,
        None if cause is None else parse_digits(cause, "the cause in Reason", 2**31 - 1),
        parameters.pop("text", None),
        parameters,
    )


@attrs.frozen
class Event:
    """An event package or a subscription state with its parameters: Event, Subscription-State (RFC 6665 8.2)."""

    name: str
    parameters: Parameters = attrs.field(factory=dict)

    @property
    def id(self) -> str:
        return self.parameters.get("id") or ""

    def __str__(self) -> str:
        return f"{self.name}{write_parameters(self.parameters)}"


def parse_event(text: str) -> Event:
    return Event(*_token_and_parameters(text))


def parse_privacy(text: str) -> tuple[str, ...]:
    """The wishes of a Privacy header in lower case (RFC 3323 4.2)."""
    return tuple(parse_token(piece).lower() for piece in split_outside_quotes(text))


# -- dialogs and reliable responses ------------------------------------------------------------------------------------


def parse_call_id(text: str) -> str:
    if _CALL_ID.match(text) is None:
        raise ParseError("a Call-ID is not word or word@word")
    return text


@attrs.frozen
class Replaces:
    """The dialog that a new one takes the place of (RFC 3891 6.1), or joins (RFC 3911).

    ``to_tag`` is the receiver's own tag in it, ``from_tag`` the other side's.
    """

    call_id: str
    to_tag: str
    from_tag: str
    is_early_only: bool = False
    parameters: Parameters = attrs.field(factory=dict)

    def __str__(self) -> str:
        early = ";early-only" if self.is_early_only else ""
        tags = f";to-tag={self.to_tag};from-tag={self.from_tag}"
        return f"{self.call_id}{tags}{early}{write_parameters(self.parameters)}"


def parse_replaces(text: str) -> Replaces:
    call_id, _, rest = text.partition(";")
    parameters = _parameters(rest)
    to_tag, from_tag = parameters.pop("to-tag", None), parameters.pop("from-tag", None)
    # RFC 3891 3: exactly one of each, whatever else stands there
    names = [piece.partition("=")[0].rstrip(" \t").lower() for piece in split_outside_quotes(rest)]
    if names.count("to-tag") != 1 or names.count("from-tag") != 1:
        raise ParseError("Replaces has not exactly one to-tag and one from-tag")
    is_early_only = "early-only" in parameters
    parameters.pop("early-only", None)
    return Replaces(
        parse_call_id(call_id.strip(" \t")),
        parse_token(to_tag or ""),
        parse_token(from_tag or ""),
        is_early_only,
        parameters,
    )


@attrs.frozen
class RAck:
    """Which reliable provisional response a PRACK acknowledges (RFC 3262 7.2)."""

    rseq: int
    cseq: int
    method: str

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def parse_rack(text: str) -> RAck:
    match = _RACK.match(text)
    if match is None:
        raise ParseError("RAck is not two numbers and a method")
    return RAck(parse_rseq(match[1]), parse_digits(match[2], "the CSeq in RAck", 2**31 - 1), match[3])
