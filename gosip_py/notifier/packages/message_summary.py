"""The messages that wait for a user: the lamp of a mailbox (RFC 3842)."""

from __future__ import annotations

from typing import Protocol

import attrs

from gosip_py.notifier.package import EventPackage, Watch, is_owner
from gosip_py.notifier.people import People
from gosip_py.transaction.validation import Refusal

__all__ = ["Mailbox", "MessageSummary", "WaitingMessages"]

_LARGEST = 2**32 - 1  # 3.5


@attrs.frozen
class WaitingMessages:
    """How many voice messages wait, and how many of these are urgent."""

    new: int = 0
    old: int = 0
    urgent_new: int = 0
    urgent_old: int = 0


class Mailbox(Protocol):
    """Whoever keeps the messages."""

    def waiting(self, user_id: int) -> WaitingMessages:
        """What waits for this user now, from memory."""


class MessageSummary(EventPackage):
    """The package ``message-summary``. Whoever keeps the messages calls `mailbox_changed` with the id of a user."""

    name = "message-summary"
    content_type = "application/simple-message-summary"
    default_expires = 3600  # 3.4
    interval = 1.0  # 3.11

    def __init__(self, mailbox: Mailbox, people: People) -> None:
        super().__init__()
        self._mailbox = mailbox
        self._people = people

    def mailbox_changed(self, user_id: int) -> None:
        """A message came, was listened to, or was deleted."""
        self.changed(user_id)

    def refuse(self, watch: Watch) -> Refusal | None:
        if is_owner(watch.watcher, watch.resource):
            return None
        return Refusal(403, f"the mailbox of {watch.resource.login} is for {watch.resource.login} to see")

    def document(self, watch: Watch, version: int) -> bytes:
        counts = self._mailbox.waiting(watch.resource.user_id)
        new, old, urgent_new, urgent_old = (min(count, _LARGEST) for count in attrs.astuple(counts))
        account = (self._people.aors_of(watch.resource.user_id) or (watch.resource.aor,))[0]
        lines = (
            f"Messages-Waiting: {'yes' if new else 'no'}",
            f"Message-Account: {account}",
            f"Voice-Message: {new}/{old} ({urgent_new}/{urgent_old})",
        )
        return "".join(f"{line}\r\n" for line in lines).encode()
