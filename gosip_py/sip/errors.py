"""The one error that reading from the wire may raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gosip_py.sip.message import Message

__all__ = ["ParseError", "TooLarge"]


class ParseError(ValueError):
    """Bytes from a peer that are not what the grammar asks for.

    ``reason`` is one line for the peer and the log, ``offset`` the place in the text where reading stopped.
    ``message`` is what could be read of a whole message, so that a 400 can still be sent to whoever stands in its
    Via; None when there is nobody to answer. ``status`` is the code of that answer.
    """

    status = 400

    def __init__(self, reason: str, offset: int = 0, message: Message | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.message = message


class TooLarge(ParseError):
    """A message beyond what is read of any (RFC 3261 21.5.7)."""

    status = 513
