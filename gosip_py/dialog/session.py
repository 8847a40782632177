"""The session description that a message bears (RFC 3261 13.2.1, RFC 5621)."""

from __future__ import annotations

import re

from gosip_py.sip.message import Message

__all__ = ["SDP", "session_of"]

SDP = "application/sdp"
_PLAIN = "Content-Type: application/sdp"
_BOUNDARY = re.compile(r";[ \t]*+boundary[ \t]*+=[ \t]*+(?:\"([^\"]{1,70})\"|([^; \t\"]{1,70}))", re.IGNORECASE)
_MOST_PARTS = 16


def session_of(message: Message) -> bytes:
    """The SDP of a message, also out of multipart/mixed; empty when it bears none that can be read."""
    body = message.body
    if not body:
        return b""
    names = message.names
    if "content-type" not in names:
        return b""
    if message.lines[names.index("content-type")] == _PLAIN:
        return body if "content-encoding" not in names else _unless_encoded(message)
    value = message.require("content-type")
    media_type = value.partition(";")[0].strip(" \t").lower()
    if media_type == SDP:
        return _unless_encoded(message)
    return _session_among_parts(value, body) if media_type.startswith("multipart/") else b""


def _unless_encoded(message: Message) -> bytes:
    return message.body if (message.value("content-encoding") or "identity").lower() == "identity" else b""


def _session_among_parts(content_type: str, body: bytes) -> bytes:
    """The first part that is SDP (RFC 2046 5.1.1)."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return b""
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "surrogateescape")
    for part in (b"\r\n" + body).split(delimiter, _MOST_PARTS)[1:]:
        if part.startswith(b"--"):
            break
        head, blank, content = part.partition(b"\r\n\r\n")
        if blank and _is_session(head):
            return content
    return b""


def _is_session(head: bytes) -> bool:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip(b" \t").lower() in (b"content-type", b"c"):
            return value.partition(b";")[0].strip(b" \t").lower() == SDP.encode()
    return False
