"""The rows of messages that wait, in memory, where the room expects the repository."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gosip_py.store.database import DatabaseError
from gosip_py.store.records import MessageQueue, OfflineMessage

__all__ = ["MemoryShelf"]


class MemoryShelf:
    """Rows in memory. ``fault`` is raised by whatever is asked next; ``waits`` lets writes wait until `write`."""

    def __init__(self) -> None:
        self.rows: dict[int, OfflineMessage] = {}
        self.added = 0
        self.fault: DatabaseError | None = None
        self.waits = False
        self._waiting: list[Deferred[None]] = []

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def _turn(self) -> None:
        if self.waits:
            written: Deferred[None] = Deferred()
            self._waiting.append(written)
            await written
        self._check()

    def write(self, fault: DatabaseError | None = None) -> None:
        """What waits is written now, or fails, and nothing waits any more."""
        self.fault, self.waits = fault, False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def add(
        self,
        *,
        user_id: int,
        device_id: int | None,
        sender: str,
        received_at: float,
        expires_at: float,
        request: bytes,
    ) -> int:
        await self._turn()
        self.added += 1
        self.rows[self.added] = OfflineMessage(self.added, user_id, device_id, sender, received_at, expires_at, request)
        return self.added

    async def first(self, user_id: int, device_id: int | None, now: float) -> OfflineMessage | None:
        self._check()
        wanted = (user_id, device_id)
        found = (row for row in self.rows.values() if (row.user_id, row.device_id) == wanted and row.expires_at > now)
        return min(found, key=lambda row: row.id, default=None)

    async def delete(self, message_id: int) -> bool:
        await self._turn()
        return self.rows.pop(message_id, None) is not None

    async def queues(self) -> tuple[MessageQueue, ...]:
        self._check()
        found: dict[tuple[int, int | None], int] = {}
        for row in self.rows.values():
            found[row.user_id, row.device_id] = found.get((row.user_id, row.device_id), 0) + 1
        return tuple(MessageQueue(*key, count) for key, count in found.items())

    async def prune(self, now: float) -> tuple[tuple[int, int | None], ...]:
        self._check()
        gone = [row for row in self.rows.values() if row.expires_at <= now]
        for row in gone:
            del self.rows[row.id]
        return tuple((row.user_id, row.device_id) for row in gone)
