"""Secret keys: made once, and the same for every server of this database ever after."""

from __future__ import annotations

import secrets

from gosip_py.store.database import Database, Transaction

__all__ = ["SecretKeys"]

_OCTETS = 32
_INSERT = "INSERT INTO secret_keys (name, key) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_SELECT = "SELECT key FROM secret_keys WHERE name = ?"


class SecretKeys:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def obtain(self, name: str) -> bytes:
        """The 32 random octets of this name, made when there are none."""
        offered = secrets.token_hex(_OCTETS)

        async def body(tx: Transaction) -> str:
            await tx.execute(_INSERT, (name, offered))
            (row,) = await tx.execute(_SELECT, (name,))
            return str(row["key"])

        return bytes.fromhex(await self._database.transact(body))
