"""A message that a phone of the demo sent or received."""

from __future__ import annotations

import attrs

from gosip_py.sip.message import Message, Response

__all__ = ["Sighting"]


@attrs.frozen
class Sighting:
    """A message that ``phone`` sent or received at ``at``, in epoch seconds."""

    at: float
    phone: str
    is_sent: bool
    message: Message

    @property
    def kind(self) -> str:
        """The method of a request; code and method of a response, as in "200 INVITE"."""
        message = self.message
        method = message.cseq.method
        return f"{message.status} {method}" if isinstance(message, Response) else method
