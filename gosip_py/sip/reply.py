"""Responses to a request, as a UAS makes them (RFC 3261 8.2.6)."""

from __future__ import annotations

from gosip_py.sip.grammar import quote
from gosip_py.sip.message import Request, Response
from gosip_py.sip.status import REASON_PHRASES

__all__ = ["explain", "reply"]

_COPIED = frozenset(("via", "from", "to", "call-id", "cseq"))


def reply(request: Request, status: int, reason: str = "", *, to_tag: str = "") -> Response:
    """A response without a body to ``request``: Via, From, To, Call-ID and CSeq are its own.

    ``reason`` defaults to the RFC's phrase. ``to_tag`` is put on a To that has no tag, except in a 100 (8.2.6.2).
    """
    names: list[str] = []
    lines: list[str] = []
    for name, line in zip(request.names, request.lines, strict=True):
        if name in _COPIED:
            if name == "to" and to_tag and status > 100 and not request.to_tag:
                line = f"{line};tag={to_tag}"
            names.append(name)
            lines.append(line)
    names.append("content-length")
    lines.append("Content-Length: 0")
    return Response(status, reason or REASON_PHRASES.get(status, "Unknown"), names, lines)


def explain(response: Response, text: str) -> Response:
    """Add the Warning 399 that says what to do about a refusal (RFC 3261 20.43); returns the response."""
    response.add("warning", f"399 gosip {quote(text)}")
    return response
