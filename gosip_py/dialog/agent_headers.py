"""What an application may write into the messages of its user agent."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gosip_py.sip.grammar import is_token
from gosip_py.sip.names import canonical_name

__all__ = ["checked_headers", "checked_text"]

# What the stack writes itself: an application that wrote it too would break its dialogs.
_OURS = frozenset(
    "allow call-id contact content-length content-type cseq from max-forwards record-route route supported to"
    " user-agent via".split()
)
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def checked_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers of an application, by their canonical names; ValueError for one that may not be sent."""
    return tuple(_checked(name, value) for name, value in headers)


def _checked(name: str, value: str) -> tuple[str, str]:
    canonical = canonical_name(name)
    if canonical in _OURS:
        raise ValueError(f"{name} is written by the user agent")
    if not is_token(canonical):
        raise ValueError(f"{name!r} is no name of a header")
    return canonical, checked_text(value)


def checked_text(text: str) -> str:
    """``text`` as it is; ValueError when it would not stay on its line."""
    if _CONTROLS.search(text) is not None:
        raise ValueError(f"{text[:40]!r} has more than one line, or control characters")
    return text
