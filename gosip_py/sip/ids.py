"""Identifiers that we make: branches, tags and Call-IDs (RFC 3261 8.1.1.7, 19.3).

Taken from a pool of system randomness: a call of the kernel for each would cost more than the message that it stands
in.
"""

from __future__ import annotations

import os

__all__ = ["MAGIC_COOKIE", "new_branch", "new_call_id", "new_tag", "new_token"]

MAGIC_COOKIE = "z9hG4bK"
_POOL_BYTES = 8192


class _Pool:
    """Hexadecimal digits of system randomness, refilled when used up."""

    __slots__ = ("_at", "_digits")

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def take(self, count: int) -> str:
        at = self._at
        end = at + count
        if end > len(self._digits):
            self._digits = os.urandom(_POOL_BYTES).hex()
            at, end = 0, count
        self._at = end
        return self._digits[at:end]


_take = _Pool().take


def new_token(digits: int) -> str:
    """``digits`` (at most 16384) random hexadecimal digits."""
    return _take(digits)


def new_branch() -> str:
    """A Via branch: the magic cookie and 80 random bits."""
    return MAGIC_COOKIE + _take(20)


def new_tag() -> str:
    """A From or To tag of 64 random bits (RFC 3261 19.3 asks for 32)."""
    return _take(16)


def new_call_id(host: str) -> str:
    """A Call-ID of 96 random bits at ``host``."""
    return f"{_take(24)}@{host}"
