"""OfflineMessages: the repository of MESSAGEs that wait for somebody who is away (RFC 3428 7).

They are addressed to a person, or to one device when that was called. What has expired is never handed out.
"""

from __future__ import annotations

from gosip_py.store.database import Database
from gosip_py.store.records import MessageQueue, OfflineMessage
from gosip_py.store.upsert import column_names, storable

COLUMNS = ", ".join(column_names(OfflineMessage))

INSERT = """
    INSERT INTO offline_messages (user_id, device_id, sender, received_at, expires_at, request)
    VALUES (?, ?, ?, ?, ?, ?) RETURNING id"""

# No device has the number 0: it stands for those that are addressed to the person.
FIRST = f"""
    SELECT {COLUMNS} FROM offline_messages
    WHERE user_id = ? AND coalesce(device_id, 0) = ? AND expires_at > ? ORDER BY id LIMIT 1"""

QUEUES = """
    SELECT user_id, device_id, count(*) AS messages FROM offline_messages
    GROUP BY user_id, device_id ORDER BY min(id)"""

PRUNE = "DELETE FROM offline_messages WHERE expires_at <= ? RETURNING user_id, device_id"


class OfflineMessages:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """Keep a message; its id, once it is durable. IntegrityError when the recipient was deleted meanwhile."""
        params = (user_id, device_id, storable(sender), received_at, expires_at, request)
        rows = await self._database.transact(lambda tx: tx.execute(INSERT, params))
        return int(rows[0]["id"])

    async def first(self, user_id: int, device_id: int | None, now: float) -> OfflineMessage | None:
        """The one that waits longest for this recipient and has not expired."""
        rows = await self._database.query(FIRST, (user_id, device_id or 0, now))
        return OfflineMessage(**rows[0]) if rows else None

    async def delete(self, message_id: int) -> bool:
        """Drop one message; False when there was none."""
        text = "DELETE FROM offline_messages WHERE id = ? RETURNING id"
        return bool(await self._database.transact(lambda tx: tx.execute(text, (message_id,))))

    async def queues(self) -> tuple[MessageQueue, ...]:
        """Who is waited for and by how many messages, the expired among them; the one that waits longest first."""
        return tuple(MessageQueue(**row) for row in await self._database.query(QUEUES))

    async def prune(self, now: float) -> tuple[tuple[int, int | None], ...]:
        """Delete what has expired: user and device of each row that went."""
        rows = await self._database.transact(lambda tx: tx.execute(PRUNE, (now,)))
        return tuple((row["user_id"], row["device_id"]) for row in rows)
