"""Ring groups: numbers that ring several people, with their members and what is counted of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gosip_py.events import Bus, GroupChanged
from gosip_py.store import ring_groups as store
from gosip_py.store.directory import Directory
from gosip_py.store.records import GroupMember, GroupStatistics, RingGroup
from gosip_py.web.endpoint import Call, Created, Done, One, Paged, endpoint
from gosip_py.web.live import GroupCounts
from gosip_py.web.problem import Detail, conflict, invalid, not_found
from gosip_py.web.shapes import (
    Body,
    Dialled,
    IsoTime,
    ListQuery,
    Nothing,
    Patch,
    RingSeconds,
    RowId,
    Text,
    View,
    one_of,
)

__all__ = ["RingGroupQuery", "RingGroupReplace", "RingGroupResource", "RingGroupView", "StatisticsView"]

MOST_MEMBERS = 100

Strategy = Literal["simultaneous", "sequential", "round_robin", "longest_idle"]
Number = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_+*#][0-9A-Za-z._+*#\-]{0,31}$")]


class MemberView(View):
    """A person or a device of a group."""

    user_id: int | None
    device_id: int | None


class RingGroupView(View):
    """A ring group; its members are in the order in which they ring."""

    id: RowId
    number: str
    name: str
    strategy: Strategy
    ring_seconds: int
    fallback: str
    skip_busy: bool
    members: list[MemberView]
    created_at: IsoTime
    updated_at: IsoTime


class CountsView(View):
    """Calls offered, answered and missed, and how long was talked."""

    offered: int = 0
    answered: int = 0
    missed: int = 0
    talk_seconds: float = 0.0
    last_answered_at: IsoTime | None = None


class MemberCountsView(CountsView):
    """The same of one member."""

    user_id: int | None
    device_id: int | None


class StatisticsView(CountsView):
    """What is counted of a group, and of each of its members."""

    id: RowId
    members: list[MemberCountsView]


class Member(Body):
    """A person with all phones, or one device."""

    user_id: RowId | None = None
    device_id: RowId | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Member:
        if (self.user_id is None) == (self.device_id is None):
            raise ValueError("either user_id or device_id is asked for")
        return self


def _each_once(members: list[Member]) -> list[Member]:
    if len({(member.user_id, member.device_id) for member in members}) < len(members):
        raise ValueError("a member stands there once")
    return members


class RingGroupReplace(Body):
    """All of a ring group; what is missing gets its default.

    `ring_seconds` is for each stage, 0 leaves it to the server; `fallback` is dialled when nobody answers.
    """

    readonly = frozenset({"id", "created_at", "updated_at"})
    number: Number
    name: Text = ""
    strategy: Strategy = "simultaneous"
    ring_seconds: RingSeconds = 0
    fallback: Dialled = ""
    skip_busy: bool = True
    members: Annotated[list[Member], Field(max_length=MOST_MEMBERS), AfterValidator(_each_once)] = []  # noqa: RUF012

    def changes(self) -> dict[str, Any]:
        """Every field."""
        return dict(self)


class RingGroupQuery(ListQuery):
    """Filters of the list of ring groups."""

    sort: Annotated[str, *one_of(store.LISTING.sorts)] = "id"
    number: Text | None = None
    strategy: Strategy | None = None
    search: Text | None = Field(None, description="A part of the name or the number.")


class RingGroupResource:
    """list, create, get, put, patch, delete and statistics."""

    def __init__(self, groups: store.RingGroups, directory: Directory, bus: Bus, counts: GroupCounts) -> None:
        self._groups = groups
        self._directory = directory
        self._bus = bus
        self._counts = counts

    @endpoint("GET", "/api/ring_groups")
    async def index(self, call: Call[Nothing, RingGroupQuery]) -> Paged[RingGroupView]:
        """A page of ring groups."""
        query = call.query
        page = await self._groups.list(
            offset=query.offset,
            limit=query.per_page,
            sort=query.sort,
            descending=query.is_descending,
            filters=query.filters(),
        )
        return Paged([RingGroupView.model_validate(row) for row in page.rows], page.total, query.page, query.per_page)

    @endpoint("POST", "/api/ring_groups")
    async def create(self, call: Call[RingGroupReplace, Nothing]) -> Created[RingGroupView]:
        """Add a ring group."""
        columns = self._columns(call.body.changes(), call.body.number)
        group = await self._groups.create(**columns, now=call.now)
        return Created(self._tell(group), f"/api/ring_groups/{group.id}")

    @endpoint("GET", "/api/ring_groups/{id}")
    async def get(self, call: Call[Nothing, Nothing], id: int) -> One[RingGroupView]:
        """A ring group."""
        return One(RingGroupView.model_validate(await self._find(id)))

    @endpoint("GET", "/api/ring_groups/{id}/statistics")
    async def statistics(self, call: Call[Nothing, Nothing], id: int) -> One[StatisticsView]:
        """What was counted of a ring group and of each member."""
        group = await self._find(id)
        return One(_statistics(group, {row.member: row for row in self._counts.of(id)}))

    @endpoint("PUT", "/api/ring_groups/{id}")
    async def put(self, call: Call[RingGroupReplace, Nothing], id: int) -> One[RingGroupView]:
        """Replace a ring group."""
        return One(await self._change(id, call.body.changes(), call.now))

    @endpoint("PATCH", "/api/ring_groups/{id}")
    async def patch(self, call: Call[Patch[RingGroupReplace], Nothing], id: int) -> One[RingGroupView]:
        """Change some fields of a ring group; members are given as a whole."""
        return One(await self._change(id, call.body.changes(), call.now))

    @endpoint("DELETE", "/api/ring_groups/{id}")
    async def delete(self, call: Call[Nothing, Nothing], id: int) -> Done:
        """Remove a ring group, with what was counted of it."""
        if not await self._groups.delete(id):
            raise not_found("ring group")
        self._directory.forget_group(id)
        self._bus.publish(GroupChanged(id))
        return Done()

    async def _find(self, group_id: int) -> RingGroup:
        group = await self._groups.get(group_id)
        if group is None:
            raise not_found("ring group")
        return group

    async def _change(self, group_id: int, changes: dict[str, Any], now: float) -> RingGroupView:
        before = await self._find(group_id)
        group = await self._groups.update(group_id, self._columns(changes, before.number), now)
        if group is None:
            raise not_found("ring group")
        return self._tell(group)

    def _columns(self, changes: dict[str, Any], number: str) -> dict[str, Any]:
        """The columns of these fields; raises a 409 for a number that somebody else has."""
        number = changes.get("number", number)
        if "number" in changes and (
            self._directory.user_by_login(number) is not None or self._directory.device_by_username(number) is not None
        ):
            raise conflict("number", "is the name of a user or a device")
        if changes.get("fallback") == number:
            raise invalid(Detail("fallback", "leads back to this group"))
        columns = {**changes}
        if "members" in changes:
            columns["members"] = tuple(GroupMember(each.user_id, each.device_id) for each in changes["members"])
        return columns

    def _tell(self, group: RingGroup) -> RingGroupView:
        self._directory.apply_group(group)
        self._bus.publish(GroupChanged(group.id))
        return RingGroupView.model_validate(group)


def _statistics(group: RingGroup, rows: dict[str, GroupStatistics]) -> StatisticsView:
    """The counts of the group, and of who is in it now: nought for those who were never rung."""
    members = [
        MemberCountsView(
            user_id=member.user_id,
            device_id=member.device_id,
            **_counts(rows.get(member.key, GroupStatistics(group.id))),
        )
        for member in group.members
    ]
    return StatisticsView(id=group.id, members=members, **_counts(rows.get("", GroupStatistics(group.id))))


def _counts(row: GroupStatistics) -> dict[str, Any]:
    return {name: getattr(row, name) for name in CountsView.model_fields}
