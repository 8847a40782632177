"""Text of a peer as a log may hold it."""

from __future__ import annotations

__all__ = ["printable"]

_MOST = 200


def printable(text: str) -> str:
    """One line of ASCII, at most 200 characters of ``text``: no line end forges a line, no octet breaks the writer."""
    return text[:_MOST].encode("unicode_escape").decode("ascii")
