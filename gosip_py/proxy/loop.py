"""Loop detection for a proxy that forks (RFC 5393 4.2).

A forked request bears a mark in our branch: a digest over what decided where it went. When a request comes that would
get a mark which stands in one of its Vias, it was here before and nothing has changed since: it would go round. With
another Request-URI the mark is another one, and the request is a spiral, which is allowed.
"""

from __future__ import annotations

from gosip_py.sip.message import Request

__all__ = ["has_looped", "loop_mark"]

_MASK = 0xFFFF_FFFF_FFFF_FFFF


def loop_mark(request: Request) -> str:
    """What follows the random part of our branches of ``request``, as it was received: a dot and 16 digits.

    It depends on all that the choice of targets depends on, the Request-URI and the Route, and on what tells one
    request from another, but not on the method (RFC 5393 4.2.1). Nobody outside knows the seed of hash(), so whoever
    bears a mark got it from us.
    """
    where = (request.uri_text, *request.values("route"))
    which = (request.call_id, request.from_tag, request.to_tag, request.cseq.number)
    return f".{hash(where + which) & _MASK:016x}"


def has_looped(request: Request, mark: str) -> bool:
    """Whether a Via of ``request`` bears ``mark`` (RFC 5393 4.2.2). The Vias of others are not decoded for that."""
    return any(mark in line for name, line in zip(request.names, request.lines, strict=True) if name == "via")
