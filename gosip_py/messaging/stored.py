"""A MESSAGE as it lies in the store, and how long it is good for (RFC 3428 4, 7)."""

from __future__ import annotations

from datetime import UTC, datetime

from gosip_py.sip.compose import MAX_FORWARDS
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import SipDate, parse_date
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message

__all__ = ["expiry_of", "from_octets", "to_octets"]

# What belongs to the way it came, or to its sender's own transaction. The rest is between the two ends.
_OF_ONE_HOP = (
    "authorization",
    "contact",
    "max-breadth",
    "max-forwards",
    "proxy-authorization",
    "proxy-require",
    "record-route",
    "route",
    "timestamp",
    "via",
)
_CSEQ_MASK = 2**31 - 1  # RFC 3261 8.1.1.5
_LONGEST_EXPIRES = 2**32 - 1  # RFC 3261 20.19


def to_octets(request: Request, received_at: float) -> bytes:
    """The request without what belongs to one hop; a Date tells when it came, unless its sender said when it was sent.

    The sender's own Date stays: Expires counts from it, and a signature may cover it (RFC 3428 7, 11.4).
    """
    kept = request.copy()
    for name in _OF_ONE_HOP:
        kept.remove(name)
    if "date" not in kept.names:
        kept.add("date", str(SipDate(datetime.fromtimestamp(int(received_at), UTC))))
    # By datagram it may have come without one.
    kept.set("content-length", str(len(kept.body)))
    return kept.to_bytes()


def from_octets(octets: bytes, attempt: int) -> Request:
    """The request as it is sent for the ``attempt``-th time, 0 being the sender's own: with a CSeq of its own.

    The same Call-ID and From for each attempt (RFC 3261 8.1.3.5) let a phone see that it is the same message.
    ParseError when these octets are no request.
    """
    request = parse_message(octets)
    if not isinstance(request, Request):
        raise ParseError("what is stored is no request")
    request.set("cseq", f"{(request.cseq.number + attempt) & _CSEQ_MASK} {request.method}")
    request.add("max-forwards", str(MAX_FORWARDS))
    return request


def expiry_of(request: Request, received_at: float, keep_seconds: float) -> float:
    """When it is not worth delivering any more, in epoch seconds; ``keep_seconds`` from now at the latest.

    Expires counts from Date, or from now when there is none (RFC 3428 7). One that cannot be read does not count.
    """
    latest = received_at + keep_seconds
    value = request.value("expires")
    if value is None:
        return latest
    try:
        seconds = parse_digits(value, "Expires", _LONGEST_EXPIRES)
        date = request.value("date")
        since = parse_date(date).moment.timestamp() if date is not None else received_at
    except ParseError:
        return latest
    return min(since + seconds, latest)
