"""RingGroups: the repository of numbers that ring several people, with their members and what is counted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from gosip_py.store.database import Database, IntegrityError, Row, Transaction
from gosip_py.store.listing import DEFAULT_LIMIT, Listing, Stamp, UnknownField, contains, equals, stamp_of
from gosip_py.store.records import GroupMember, GroupStatistics, Page, RingGroup
from gosip_py.store.upsert import column_names, upsert, values_of

OWN = tuple(name for name in column_names(RingGroup) if name != "members")
COLUMNS = ", ".join(OWN)
CHANGEABLE = frozenset({"number", "name", "strategy", "ring_seconds", "fallback", "skip_busy"})
SORTABLE = ("id", "number", "name", "strategy", "created_at", "updated_at")

STATISTICS = column_names(GroupStatistics)
UPSERT_STATISTICS = upsert("ring_group_statistics", STATISTICS, ("group_id", "member"))

_statistics_values = values_of(STATISTICS)

LISTING = Listing(
    table="ring_groups",
    record=RingGroup,
    columns=COLUMNS,
    sorts={name: name for name in SORTABLE},
    filters={
        "number": equals("number"),
        "strategy": equals("strategy"),
        "search": contains("lower(name)", "lower(number)"),
    },
)

MEMBERS = "SELECT group_id, user_id, device_id FROM ring_group_members{where} ORDER BY group_id, position"
INSERT_MEMBER = "INSERT INTO ring_group_members (group_id, position, user_id, device_id) VALUES (?, ?, ?, ?)"


class RingGroups:
    """Every method may raise DatabaseUnavailable; those that write raise IntegrityError ("number" or "members")."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stamp(self) -> Stamp:
        """What changes when the table does, whoever changed it."""
        return await stamp_of(self._database, "ring_groups")

    async def get(self, group_id: int) -> RingGroup | None:
        """The group of this id."""
        rows = await self._database.query(f"SELECT {COLUMNS} FROM ring_groups WHERE id = ?", (group_id,))
        if not rows:
            return None
        members = await self._database.query(MEMBERS.format(where=" WHERE group_id = ?"), (group_id,))
        return RingGroup(**rows[0], members=_members(members))

    async def all(self) -> tuple[RingGroup, ...]:
        """Every group, by id."""
        rows = await self._database.query(f"SELECT {COLUMNS} FROM ring_groups ORDER BY id")
        return await self._with_members(tuple(RingGroup(**row) for row in rows))

    async def create(
        self,
        *,
        number: str,
        now: float,
        name: str = "",
        strategy: str = "simultaneous",
        ring_seconds: int = 0,
        fallback: str = "",
        skip_busy: bool = True,
        members: Sequence[GroupMember] = (),
    ) -> RingGroup:
        """Add a group; members that do not exist are an IntegrityError ("members")."""
        columns = {"number": number, "name": name, "strategy": strategy, "ring_seconds": ring_seconds}
        columns |= {"fallback": fallback, "skip_busy": skip_busy, "created_at": now, "updated_at": now}
        marks = ", ".join("?" * len(columns))
        text = f"INSERT INTO ring_groups ({', '.join(columns)}) VALUES ({marks}) RETURNING {COLUMNS}"

        async def insert(tx: Transaction) -> Row:
            row = (await tx.execute(text, tuple(columns.values())))[0]
            await _put_members(tx, row["id"], members)
            return row

        return RingGroup(**await self._database.transact(insert), members=tuple(members))

    async def update(self, group_id: int, changes: Mapping[str, object], now: float) -> RingGroup | None:
        """Change the named fields, `members` as a whole; None when there is no such group, else as `create`."""
        columns = {name: value for name, value in changes.items() if name != "members"} | {"updated_at": now}
        for name in columns:
            if name not in CHANGEABLE and name != "updated_at":
                raise UnknownField(name)
        assignments = ", ".join(f"{column} = ?" for column in columns)
        text = f"UPDATE ring_groups SET {assignments} WHERE id = ? RETURNING id"
        members = changes.get("members")

        async def change(tx: Transaction) -> bool:
            if not await tx.execute(text, (*columns.values(), group_id)):
                return False
            if isinstance(members, Sequence):
                await tx.execute("DELETE FROM ring_group_members WHERE group_id = ?", (group_id,))
                await _put_members(tx, group_id, members)
            return True

        return await self.get(group_id) if await self._database.transact(change) else None

    async def delete(self, group_id: int) -> bool:
        """Remove the group, with what was counted of it; False when there was none."""

        async def remove(tx: Transaction) -> bool:
            await tx.execute("DELETE FROM ring_group_statistics WHERE group_id = ?", (group_id,))
            return bool(await tx.execute("DELETE FROM ring_groups WHERE id = ? RETURNING id", (group_id,)))

        return await self._database.transact(remove)

    async def list(
        self,
        *,
        offset: int = 0,
        limit: int = DEFAULT_LIMIT,
        sort: str = "id",
        descending: bool = False,
        filters: Mapping[str, object] | None = None,
    ) -> Page[RingGroup]:
        """A page of groups. Filters: number, strategy, search (a part of the name or the number)."""
        page = await LISTING.page(
            self._database, offset=offset, limit=limit, sort=sort, descending=descending, filters=filters or {}
        )
        return Page(await self._with_members(page.rows), page.total)

    async def statistics(self, group_id: int | None = None) -> tuple[GroupStatistics, ...]:
        """What was counted of one group, or of all that there are."""
        text = f"SELECT {', '.join(STATISTICS)} FROM ring_group_statistics WHERE group_id "
        order = " ORDER BY group_id, member"
        if group_id is None:
            rows = await self._database.query(f"{text} IN (SELECT id FROM ring_groups){order}")
        else:
            rows = await self._database.query(f"{text} = ?{order}", (group_id,))
        return tuple(GroupStatistics(**row) for row in rows)

    async def write_statistics(self, rows: Sequence[GroupStatistics]) -> None:
        """Insert or replace the rows in one transaction; a member of a group stands among them once."""
        values = [_statistics_values(row) for row in rows]
        await self._database.transact(lambda tx: tx.executemany(UPSERT_STATISTICS, values))

    async def _with_members(self, groups: tuple[RingGroup, ...]) -> tuple[RingGroup, ...]:
        marks = ", ".join("?" * len(groups))
        ids = tuple(group.id for group in groups)
        rows = await self._database.query(MEMBERS.format(where=f" WHERE group_id IN ({marks})"), ids) if ids else []
        found: dict[int, list[Row]] = {}
        for row in rows:
            found.setdefault(row["group_id"], []).append(row)
        return tuple(attrs.evolve(group, members=_members(found.get(group.id, ()))) for group in groups)


def _members(rows: Sequence[Row]) -> tuple[GroupMember, ...]:
    return tuple(GroupMember(row["user_id"], row["device_id"]) for row in rows)


async def _put_members(tx: Transaction, group_id: int, members: Sequence[GroupMember]) -> None:
    rows = [(group_id, place, member.user_id, member.device_id) for place, member in enumerate(members)]
    if not rows:
        return
    try:
        await tx.executemany(INSERT_MEMBER, rows)
    except IntegrityError as error:
        if error.violation != "foreign":
            raise
        raise IntegrityError("foreign", "members") from error
