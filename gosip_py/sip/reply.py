"""Responses to a request, as a UAS makes them (RFC 3261 8.2.6)."""

from __future__ import annotations

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import quote
from gosip_py.sip.message import Request, Response
from gosip_py.sip.status import REASON_PHRASES

__all__ = ["explain", "reply"]

_COPIED = frozenset(("via", "from", "to", "call-id", "cseq"))
# What is said of a refusal that comes without an explanation of its own.
_UNASKED = {
    487: "The call was cancelled: nothing need be done.",
    500: "The server made a mistake: try again, and tell its administrator when it stays so.",
}


def reply(request: Request, status: int, reason: str = "", *, to_tag: str = "") -> Response:
    """A response without a body to ``request``: Via, From, To, Call-ID and CSeq are its own.

    ``reason`` defaults to the RFC's phrase. ``to_tag`` is put on a To that has no tag, except in a 100 (8.2.6.2). A To
    that cannot be read goes back as it came: that it is wrong can be said all the same.
    """
    names: list[str] = []
    lines: list[str] = []
    for name, line in zip(request.names, request.lines, strict=True):
        if name in _COPIED:
            if name == "to" and to_tag and status > 100 and _lacks_tag(request):
                line = f"{line};tag={to_tag}"
            names.append(name)
            lines.append(line)
    names.append("content-length")
    lines.append("Content-Length: 0")
    if status in _UNASKED:
        names.append("warning")
        lines.append(f"Warning: 399 gosip {quote(_UNASKED[status])}")
    return Response(status, reason or REASON_PHRASES.get(status, "Unknown"), names, lines)


def _lacks_tag(request: Request) -> bool:
    try:
        return not request.to_tag
    except ParseError:
        return False


def explain(response: Response, text: str) -> Response:
    """Say in a Warning 399 what to do about a refusal (RFC 3261 20.43); returns the response."""
    response.set("warning", f"399 gosip {quote(text)}")
    return response
