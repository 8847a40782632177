"""Header names: every spelling to the one canonical form, and back to how it is written (RFC 3261 7.3.3, 20).

The canonical form is the full name in lower case. It is an interned string, so that looking for a name in a message's
table compares addresses.
"""

from __future__ import annotations

import sys

__all__ = ["COMMA_SEPARATED", "METHODS", "SINGLE", "SPELLINGS", "canonical_name", "wire_name"]

_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

_WRITTEN = (
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Allow-Events",
    "Authentication-Info", "Authorization", "Call-ID", "Call-Info", "Contact", "Content-Disposition",
    "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "CSeq", "Date", "Diversion",
    "Error-Info", "Event", "Expires", "Flow-Timer", "From", "History-Info", "Identity", "Identity-Info",
    "In-Reply-To", "Join", "Max-Breadth", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE",
    "Organization", "P-Asserted-Identity", "P-Preferred-Identity", "Path", "Priority", "Privacy",
    "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck", "Reason", "Record-Route", "Refer-Sub",
    "Refer-To", "Referred-By", "Reject-Contact", "Replaces", "Reply-To", "Request-Disposition", "Require",
    "Retry-After", "Route", "RSeq", "Server", "Service-Route", "Session-Expires", "SIP-ETag", "SIP-If-Match",
    "Subject", "Subscription-State", "Supported", "Timestamp", "To", "Unsupported", "User-Agent", "Via",
    "Warning", "WWW-Authenticate",
)  # fmt: skip

# A comma in one of these separates elements (RFC 3261 7.3.1); elsewhere it is part of the value.
COMMA_SEPARATED = frozenset(
    "accept accept-contact accept-encoding accept-language alert-info allow allow-events call-info contact "
    "content-encoding content-language diversion error-info history-info in-reply-to p-asserted-identity "
    "p-preferred-identity path proxy-require reason record-route reject-contact require route service-route supported "
    "unsupported via warning".split()
)

# The methods that IANA lists; a parser knows their request lines at a glance.
METHODS = frozenset(
    "ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE".split()
)

# At most one of each may stand in a message.
SINGLE = frozenset(
    "call-id content-length content-type cseq expires event from max-forwards min-expires min-se session-expires "
    "subscription-state to user-agent".split()
)

_WIRE = {sys.intern(name.lower()): name for name in _WRITTEN}


def _spellings() -> dict[str, str]:
    table: dict[str, str] = {}
    for canonical, written in _WIRE.items():
        for spelling in (written, canonical, written.upper()):
            table[spelling] = canonical
    for short, canonical in _COMPACT.items():
        table[short] = table[short.upper()] = sys.intern(canonical)
    return table


SPELLINGS = _spellings()


def canonical_name(name: str) -> str:
    """The canonical form of a header name in any case or in compact form, with or without space before the colon."""
    known = SPELLINGS.get(name)
    if known is not None:
        return known
    name = name.rstrip(" \t").lower()
    return SPELLINGS.get(name, name)


def wire_name(canonical: str) -> str:
    """How we write the header with this canonical name."""
    known = _WIRE.get(canonical)
    return known if known is not None else "-".join(part.capitalize() for part in canonical.split("-"))
