"""Devices: the repository of phones and their SIP credentials.

A username is unique and its case matters: it is the user part of a SIP URI (RFC 3261 19.1.4) and goes into the digest
as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gosip_py.store.database import Database, IntegrityError, Params, Row, Transaction
from gosip_py.store.listing import CHUNK, DEFAULT_LIMIT, Listing, Stamp, UnknownField, contains, equals, stamp_of
from gosip_py.store.records import Device, Page

COLUMNS = ", ".join(field.name for field in attrs.fields(Device))
CHANGEABLE = frozenset(
    {"user_id", "name", "username", "type", "enabled", "recording_enabled", "realm", "ha1_md5", "ha1_sha256"}
)
SORTABLE = ("id", "user_id", "name", "username", "type", "enabled", "recording_enabled", "created_at", "updated_at")

LISTING = Listing(
    table="devices",
    record=Device,
    columns=COLUMNS,
    sorts={name: name for name in SORTABLE},
    filters={
        "user_id": equals("user_id"),
        "username": equals("username"),
        "type": equals("type"),
        "enabled": equals("enabled"),
        "recording_enabled": equals("recording_enabled"),
        "search": contains("lower(name)", "lower(username)"),
    },
)

INSERT = f"""
    INSERT INTO devices (user_id, name, username, type, enabled, recording_enabled, realm, ha1_md5, ha1_sha256,
                         created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    RETURNING {COLUMNS}"""


class Devices:
    """Every method may raise DatabaseUnavailable; those that write raise IntegrityError ("username" or "user_id")."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stamp(self) -> Stamp:
        """What changes when the table does, whoever changed it."""
        return await stamp_of(self._database, "devices")

    async def get(self, device_id: int) -> Device | None:
        """The device of this id."""
        rows = await self._database.query(f"SELECT {COLUMNS} FROM devices WHERE id = ?", (device_id,))
        return Device(**rows[0]) if rows else None

    async def by_username(self, username: str) -> Device | None:
        """The device that authenticates under this name."""
        rows = await self._database.query(f"SELECT {COLUMNS} FROM devices WHERE username = ?", (username,))
        return Device(**rows[0]) if rows else None

    async def by_user(self, user_id: int) -> tuple[Device, ...]:
        """The devices of a user, by id."""
        rows = await self._database.query(f"SELECT {COLUMNS} FROM devices WHERE user_id = ? ORDER BY id", (user_id,))
        return tuple(Device(**row) for row in rows)

    async def all(self) -> tuple[Device, ...]:
        """Every device, by id."""
        found: list[Device] = []
        text = f"SELECT {COLUMNS} FROM devices WHERE id > ? ORDER BY id LIMIT {CHUNK}"
        while rows := await self._database.query(text, (found[-1].id if found else 0,)):
            found += [Device(**row) for row in rows]
        return tuple(found)

    async def count(self, filters: Mapping[str, object] | None = None) -> int:
        """How many devices the filters leave."""
        return await LISTING.count(self._database, filters or {})

    async def create(
        self,
        *,
        user_id: int,
        username: str,
        realm: str,
        ha1_md5: str,
        ha1_sha256: str,
        now: float,
        name: str = "",
        type: str = "softphone",
        enabled: bool = True,
        recording_enabled: bool = False,
    ) -> Device:
        """Add a device; the hashes come from `credentials.ha1`."""
        params = (user_id, name, username, type, enabled, recording_enabled, realm, ha1_md5, ha1_sha256, now, now)
        rows = await self._database.transact(lambda tx: _owned(tx, INSERT, params))
        return Device(**rows[0])

    async def update(self, device_id: int, changes: Mapping[str, object], now: float) -> Device | None:
        """Change the named fields; None when there is no such device, UnknownField when one may not be changed."""
        for column in changes:
            if column not in CHANGEABLE:
                raise UnknownField(column)
        columns = {**changes, "updated_at": now}
        assignments = ", ".join(f"{column} = ?" for column in columns)
        text = f"UPDATE devices SET {assignments} WHERE id = ? RETURNING {COLUMNS}"
        rows = await self._database.transact(lambda tx: _owned(tx, text, (*columns.values(), device_id)))
        return Device(**rows[0]) if rows else None

    async def delete(self, device_id: int) -> bool:
        """Remove the device; False when there was none."""
        text = "DELETE FROM devices WHERE id = ? RETURNING id"
        return bool(await self._database.transact(lambda tx: tx.execute(text, (device_id,))))

    async def list(
        self,
        *,
        offset: int = 0,
        limit: int = DEFAULT_LIMIT,
        sort: str = "id",
        descending: bool = False,
        filters: Mapping[str, object] | None = None,
    ) -> Page[Device]:
        """A page of devices. Filters: user_id, username, type, enabled, recording_enabled, search (part of a name)."""
        return await LISTING.page(
            self._database, offset=offset, limit=limit, sort=sort, descending=descending, filters=filters or {}
        )


async def _owned(tx: Transaction, text: str, params: Params) -> list[Row]:
    try:
        return await tx.execute(text, params)
    except IntegrityError as error:
        if error.violation != "foreign":
            raise
        # SQLite does not say which reference is broken; a device has one only.
        raise IntegrityError("foreign", "user_id") from error
