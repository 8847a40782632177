"""Users: the repository of people.

Logins and addresses are unique whatever their case, since "Alice" and "alice" must not be two people; the folding is
done here and not in SQL, where the two databases disagree beyond ASCII.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gosip_py.store.database import Database
from gosip_py.store.listing import CHUNK, DEFAULT_LIMIT, Listing, Stamp, UnknownField, contains, equals, stamp_of
from gosip_py.store.records import Page, User

COLUMNS = ", ".join(field.name for field in attrs.fields(User))
FORWARDS = ("forward_always", "forward_busy", "forward_no_answer")
CHANGEABLE = frozenset(
    {"login", "email", "display_name", "role", "enabled", "call_schema", "dnd", "password_hash", "ring_seconds"}
).union(FORWARDS)

LISTING = Listing(
    table="users",
    record=User,
    columns=COLUMNS,
    sorts={
        "id": "id",
        "login": "login_folded",
        "email": "email_folded",
        "display_name": "display_name",
        "role": "role",
        "enabled": "enabled",
        "call_schema": "call_schema",
        "dnd": "dnd",
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
    nullable=frozenset({"email"}),
    filters={
        "login": lambda value: ("login_folded = ?", (value.casefold(),)),
        "email": lambda value: ("email_folded = ?", (value.casefold(),)),
        "role": equals("role"),
        "enabled": equals("enabled"),
        "call_schema": equals("call_schema"),
        "dnd": equals("dnd"),
        "search": contains("login_folded", "email_folded", "lower(display_name)"),
    },
)


class Users:
    """Every method may raise DatabaseUnavailable; those that write raise IntegrityError ("login" or "email")."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stamp(self) -> Stamp:
        """What changes when the table does, whoever changed it."""
        return await stamp_of(self._database, "users")

    async def get(self, user_id: int) -> User | None:
        """The user of this id."""
        rows = await self._database.query(f"SELECT {COLUMNS} FROM users WHERE id = ?", (user_id,))
        return User(**rows[0]) if rows else None

    async def by_login(self, name: str) -> User | None:
        """The user who signs in under `name`: a login, or else an address; case does not matter."""
        folded = name.casefold()
        rows = await self._database.query(
            f"SELECT {COLUMNS} FROM users WHERE login_folded = ? OR email_folded = ? "
            "ORDER BY CASE WHEN login_folded = ? THEN 0 ELSE 1 END LIMIT 1",
            (folded, folded, folded),
        )
        return User(**rows[0]) if rows else None

    async def all(self) -> tuple[User, ...]:
        """Everybody, by id."""
        found: list[User] = []
        text = f"SELECT {COLUMNS} FROM users WHERE id > ? ORDER BY id LIMIT {CHUNK}"
        while rows := await self._database.query(text, (found[-1].id if found else 0,)):
            found += [User(**row) for row in rows]
        return tuple(found)

    async def count(self, filters: Mapping[str, object] | None = None) -> int:
        """How many users the filters leave."""
        return await LISTING.count(self._database, filters or {})

    async def create(
        self,
        *,
        login: str,
        now: float,
        email: str = "",
        display_name: str = "",
        role: str = "user",
        enabled: bool = True,
        call_schema: str = "b2bua",
        dnd: bool = False,
        password_hash: str = "",
        forward_always: str = "",
        forward_busy: str = "",
        forward_no_answer: str = "",
        ring_seconds: int = 0,
    ) -> User:
        """Add a user; an empty `password_hash` lets nobody in."""
        columns = _stored({"login": login, "email": email})
        columns |= {"display_name": display_name, "role": role, "enabled": enabled, "call_schema": call_schema}
        columns |= {"dnd": dnd, "forward_always": forward_always, "forward_busy": forward_busy}
        columns |= {"forward_no_answer": forward_no_answer, "ring_seconds": ring_seconds}
        columns |= {"password_hash": password_hash, "created_at": now, "updated_at": now}
        marks = ", ".join("?" * len(columns))
        text = f"INSERT INTO users ({', '.join(columns)}) VALUES ({marks}) RETURNING {COLUMNS}"
        rows = await self._database.transact(lambda tx: tx.execute(text, tuple(columns.values())))
        return User(**rows[0])

    async def update(self, user_id: int, changes: Mapping[str, object], now: float) -> User | None:
        """Change the named fields; None when there is no such user, UnknownField when one may not be changed."""
        for name in changes:
            if name not in CHANGEABLE:
                raise UnknownField(name)
        columns = _stored(changes) | {"updated_at": now}
        assignments = ", ".join(f"{column} = ?" for column in columns)
        text = f"UPDATE users SET {assignments} WHERE id = ? RETURNING {COLUMNS}"
        rows = await self._database.transact(lambda tx: tx.execute(text, (*columns.values(), user_id)))
        return User(**rows[0]) if rows else None

    async def delete(self, user_id: int) -> bool:
        """Remove the user, with devices, tokens and web sessions; False when there was none."""
        text = "DELETE FROM users WHERE id = ? RETURNING id"
        return bool(await self._database.transact(lambda tx: tx.execute(text, (user_id,))))

    async def list(
        self,
        *,
        offset: int = 0,
        limit: int = DEFAULT_LIMIT,
        sort: str = "id",
        descending: bool = False,
        filters: Mapping[str, object] | None = None,
    ) -> Page[User]:
        """A page of users. Filters: login, email, role, enabled, call_schema, dnd, search (a part of any name)."""
        return await LISTING.page(
            self._database, offset=offset, limit=limit, sort=sort, descending=descending, filters=filters or {}
        )


def _stored(changes: Mapping[str, object]) -> dict[str, object]:
    """The columns of these fields: login and email bring their folded twins along."""
    columns = dict(changes)
    if "login" in changes:
        columns["login_folded"] = str(changes["login"]).casefold()
    if "email" in changes:
        # NULL, so that any number of people may have no address.
        columns["email_folded"] = str(changes["email"]).casefold() or None
    return columns
