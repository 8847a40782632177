"""Requests of our own, as a UAC makes them (RFC 3261 8.1.1); Via is put on when they are sent."""

from __future__ import annotations

from collections.abc import Iterable

from gosip_py.sip.message import Request
from gosip_py.sip.names import wire_name

__all__ = ["compose"]

MAX_FORWARDS = 70


def compose(
    method: str,
    uri_text: str,
    *,
    from_: str,
    to: str,
    call_id: str,
    cseq: int,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str = "",
) -> Request:
    """A request with the headers that each must have, then ``headers`` as (canonical name, value).

    ``from_`` and ``to`` are whole values, with their tags. A body needs its ``content_type``.
    """
    pairs = [
        ("max-forwards", str(MAX_FORWARDS)),
        ("from", from_),
        ("to", to),
        ("call-id", call_id),
        ("cseq", f"{cseq} {method}"),
        *headers,
    ]
    if body:
        pairs.append(("content-type", content_type))
    pairs.append(("content-length", str(len(body))))
    names = [name for name, _ in pairs]
    return Request(method, uri_text, names, [f"{wire_name(name)}: {value}" for name, value in pairs], body)
