"""Whom a message is for, how long and how many are kept, and what the rooms above tell of where people are."""

from __future__ import annotations

from typing import Protocol

import attrs

from gosip_py.proxy.route import ProxyTarget

__all__ = ["Correspondents", "MessageLimits", "Recipient"]


@attrs.frozen
class Recipient:
    """A person, or one device of theirs when that was called."""

    user_id: int
    device_id: int | None = None


class Correspondents(Protocol):
    """Who is reached where: asked each time, for phones come and go while a message waits."""

    def at(self, aor: str) -> tuple[Recipient, ...]:
        """Whose messages a phone can take that registered under this address of record."""

    def targets(self, recipient: Recipient) -> tuple[ProxyTarget, ...]:
        """The phones of a recipient now; none when they are away, or nobody may disturb them."""


@attrs.frozen
class MessageLimits:
    """What bounds the messages that wait; times are seconds.

    ``octets`` is the largest body that is taken, ``per_recipient`` and ``total`` count messages. A message is kept for
    ``keep_seconds``, or less when its Expires says so. ``patience`` is how long the phones may think about one before
    it is kept and the sender told: well below the 64*T1 after which the sender gives up (RFC 4320 4.2). An attempt that
    failed is repeated after ``first_delay``, then after twice as long each time, up to ``last_delay``. ``at_once``
    recipients are served at the same time.
    """

    octets: int = 65536
    per_recipient: int = 500
    total: int = 20_000
    keep_seconds: float = 7 * 86400.0
    patience: float = 16.0
    first_delay: float = 60.0
    last_delay: float = 3600.0
    at_once: int = 32
