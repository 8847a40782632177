"""Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3), as keys of one string each.

A string is smaller than a tuple of the same parts, and hashed once. The parts cannot run into each other: methods,
branches and hosts hold no space, and no header holds a line end.
"""

from __future__ import annotations

from gosip_py.sip.headers import Via
from gosip_py.sip.ids import MAGIC_COOKIE
from gosip_py.sip.message import Request, Response

__all__ = ["client_key", "has_cookie", "merge_key", "old_ack_key", "response_key", "server_key"]

_COOKIE_LENGTH = len(MAGIC_COOKIE)
# What the transport writes into a Via is no part of what the client sent.
_OURS = ("received", "rport")


def has_cookie(branch: str) -> bool:
    """Whether the branch is one of RFC 3261. The cookie alone identifies nothing (RFC 4475 3.2.1)."""
    return branch[:_COOKIE_LENGTH] == MAGIC_COOKIE and len(branch) > _COOKIE_LENGTH


def server_key(request: Request, method: str) -> str:
    """The key of the server transaction of ``method`` that ``request`` belongs to.

    ``method`` is the request's own, or the one that an ACK or CANCEL is about. ParseError when a header that is
    compared cannot be read.
    """
    via = request.top_via
    branch = via.parameters.get("branch") or ""
    if branch[:_COOKIE_LENGTH] == MAGIC_COOKIE and len(branch) > _COOKIE_LENGTH:
        return f"{method} {via.sent_by} {branch}"
    return f"{method}\n{request.to_tag}\n{_old_identity(request, via)}"


def old_ack_key(request: Request, to_tag: str) -> str:
    """The key by which an ACK finds an INVITE without a branch: by the To tag of the response that it acknowledges."""
    return f"{to_tag}\n{_old_identity(request, request.top_via)}"


def client_key(method: str, branch: str) -> str:
    return f"{method} {branch}"


def response_key(response: Response) -> str:
    """The key of the client transaction that a response belongs to. ParseError when Via or CSeq cannot be read."""
    return f"{response.cseq.method} {response.top_via.parameters.get('branch') or ''}"


def merge_key(request: Request) -> str:
    """What two requests have in common that are one request on two ways (8.2.2.2)."""
    return f"{request.from_tag}\n{request.call_id}\n{request.cseq}"


def _old_identity(request: Request, via: Via) -> str:
    """What RFC 2543 had in place of a branch: Request-URI, From tag, Call-ID, CSeq number, and the whole top Via."""
    parameters = sorted((name, value) for name, value in via.parameters.items() if name not in _OURS)
    via_text = f"{via.transport} {via.sent_by} {parameters}"
    return f"{request.uri_text}\n{request.from_tag}\n{request.call_id}\n{request.cseq.number}\n{via_text}"
