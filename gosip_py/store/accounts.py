"""What lets a person or a program in: the repositories of browser sessions and of API tokens.

Neither ever sees a token, only its hash (`credentials.token_hash`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from gosip_py.store.database import Database, Row
from gosip_py.store.records import ApiToken, WebSession
from gosip_py.store.upsert import column_names

SESSION_COLUMNS = ", ".join(column_names(WebSession))
TOKEN_COLUMNS = ", ".join(column_names(ApiToken))

INSERT_SESSION = f"INSERT INTO web_sessions ({SESSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_TOKEN = f"""
    INSERT INTO api_tokens (user_id, name, token_hash, scopes, expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?)
    RETURNING {TOKEN_COLUMNS}"""


class WebSessions:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, session: WebSession) -> None:
        """Add a signed-in browser; raises IntegrityError when the user is gone."""
        values = (
            *(session.token_hash, session.user_id, session.created_at, session.expires_at),
            *(session.address, session.user_agent),
        )
        await self._database.transact(lambda tx: tx.execute(INSERT_SESSION, values))

    async def get(self, token_hash: str, now: float) -> WebSession | None:
        """The session behind the hash, unless it has expired."""
        text = f"SELECT {SESSION_COLUMNS} FROM web_sessions WHERE token_hash = ? AND expires_at > ?"
        rows = await self._database.query(text, (token_hash, now))
        return WebSession(**rows[0]) if rows else None

    async def extend(self, token_hash: str, expires_at: float) -> None:
        """Let the session slide on to this time."""
        text = "UPDATE web_sessions SET expires_at = ? WHERE token_hash = ?"
        await self._database.transact(lambda tx: tx.execute(text, (expires_at, token_hash)))

    async def delete(self, token_hash: str) -> None:
        """Sign the browser out."""
        text = "DELETE FROM web_sessions WHERE token_hash = ?"
        await self._database.transact(lambda tx: tx.execute(text, (token_hash,)))

    async def delete_of_user(self, user_id: int, keep: str = "") -> int:
        """Sign the user out everywhere but in the session with the hash `keep`; how many sessions ended."""
        text = "DELETE FROM web_sessions WHERE user_id = ? AND token_hash <> ? RETURNING token_hash"
        return len(await self._database.transact(lambda tx: tx.execute(text, (user_id, keep))))

    async def prune(self, now: float) -> int:
        """Delete what has expired; how many rows went."""
        text = "DELETE FROM web_sessions WHERE expires_at <= ? RETURNING token_hash"
        return len(await self._database.transact(lambda tx: tx.execute(text, (now,))))


class ApiTokens:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        *,
        user_id: int,
        name: str,
        token_hash: str,
        now: float,
        scopes: Sequence[str] = (),
        expires_at: float | None = None,
    ) -> ApiToken:
        """Add a token; without `expires_at` it never ends. Raises IntegrityError when the user is gone."""
        values = (user_id, name, token_hash, json.dumps(list(scopes)), expires_at, now)
        rows = await self._database.transact(lambda tx: tx.execute(INSERT_TOKEN, values))
        return _token(rows[0])

    async def by_hash(self, token_hash: str, now: float) -> ApiToken | None:
        """The token behind the hash, unless it has expired."""
        text = f"SELECT {TOKEN_COLUMNS} FROM api_tokens WHERE token_hash = ? AND (expires_at IS NULL OR expires_at > ?)"
        rows = await self._database.query(text, (token_hash, now))
        return _token(rows[0]) if rows else None

    async def by_user(self, user_id: int) -> tuple[ApiToken, ...]:
        """The tokens of a user, expired ones too, by id."""
        text = f"SELECT {TOKEN_COLUMNS} FROM api_tokens WHERE user_id = ? ORDER BY id"
        return tuple(_token(row) for row in await self._database.query(text, (user_id,)))

    async def touch(self, token_id: int, now: float) -> None:
        """Note that the token was used."""
        text = "UPDATE api_tokens SET last_used_at = ? WHERE id = ?"
        await self._database.transact(lambda tx: tx.execute(text, (now, token_id)))

    async def delete(self, token_id: int, user_id: int) -> bool:
        """Revoke a token of this user; False when there was none."""
        text = "DELETE FROM api_tokens WHERE id = ? AND user_id = ? RETURNING id"
        return bool(await self._database.transact(lambda tx: tx.execute(text, (token_id, user_id))))


def _token(row: Row) -> ApiToken:
    return ApiToken(**{**row, "scopes": tuple(json.loads(row["scopes"]))})
