"""What the calls of the ring groups come to: kept in memory, and written to the store behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs

from gosip_py.call.party import Party
from gosip_py.store.records import GroupStatistics, RingGroup

__all__ = ["CallTally", "GroupBooks"]

Key = tuple[int, str]

GROUP = ""
"""Under this member the group itself is counted: each call once."""


class Writer(Protocol):
    """Where rows go on their way to the store."""

    def put(self, key: Key, value: GroupStatistics) -> None: ...


class GroupBooks:
    """The statistics of every group. ``now`` tells epoch seconds."""

    def __init__(self, writer: Writer, now: Callable[[], float]) -> None:
        self._writer = writer
        self._now = now
        self._rows: dict[int, dict[str, GroupStatistics]] = {}
        self._talked_at: dict[int, dict[str, float]] = {}

    def restore(self, rows: Iterable[GroupStatistics]) -> None:
        """Take over what the store has."""
        for row in rows:
            self._rows.setdefault(row.group_id, {})[row.member] = row
            if row.member != GROUP and row.last_answered_at is not None:
                self._talked_at.setdefault(row.group_id, {})[row.member] = row.last_answered_at

    def forget(self, group_id: int) -> None:
        """The group is gone."""
        self._rows.pop(group_id, None)
        self._talked_at.pop(group_id, None)

    def of(self, group_id: int) -> tuple[GroupStatistics, ...]:
        """The rows of a group, its own first."""
        rows = self._rows.get(group_id, {})
        return tuple(rows[member] for member in sorted(rows))

    def talked_at(self, group_id: int) -> Mapping[str, float]:
        """When each member last answered or ended a call of the group."""
        return self._talked_at.get(group_id, {})

    def begin(self, group: RingGroup) -> CallTally:
        """The tally of one call for ``group``."""
        return CallTally(self, group)

    def count(
        self, group_id: int, member: str, *, offered: int = 0, answered: int = 0, missed: int = 0, talked: float = 0.0
    ) -> None:
        """Add to the row of a member."""
        row = self._rows.setdefault(group_id, {}).get(member) or GroupStatistics(group_id, member)
        now = self._now()
        row = attrs.evolve(
            row,
            offered=row.offered + offered,
            answered=row.answered + answered,
            missed=row.missed + missed,
            talk_seconds=row.talk_seconds + talked,
            last_answered_at=now if answered else row.last_answered_at,
        )
        self._rows[group_id][member] = row
        if answered or talked:
            self._talked_at.setdefault(group_id, {})[member] = now
        self._writer.put((group_id, member), row)


class CallTally:
    """One call. However many phones of a member ring, it is offered to them once, and missed or answered once."""

    __slots__ = ("_answered", "_books", "_devices", "_group_id", "_missed", "_offered")

    def __init__(self, books: GroupBooks, group: RingGroup) -> None:
        self._books = books
        self._group_id = group.id
        self._devices = frozenset(member.device_id for member in group.members if member.device_id is not None)
        self._offered: set[str] = set()
        self._missed: set[str] = set()
        self._answered = ""

    def rang(self, party: Party) -> None:
        """The INVITE was sent."""
        self._count_once(self._offered, self._member(party), "offered")

    def answered(self, party: Party) -> None:
        """This line answered first. A member who was thought to miss the call, on another phone, did not."""
        member = self._member(party)
        if self._answered:
            return
        self._answered = member
        for each in (member, GROUP):
            missed = -1 if each in self._missed else 0
            self._missed.discard(each)
            self._books.count(self._group_id, each, answered=1, missed=missed)

    def missed(self, party: Party) -> None:
        """This line was not answered. The group misses a call when nobody answers it."""
        member = self._member(party)
        if member != self._answered:
            self._count_once(self._missed, member, "missed", is_groups=not self._answered)

    def talked(self, party: Party, seconds: float) -> None:
        """The call that this line answered is over."""
        for each in (self._member(party), GROUP):
            self._books.count(self._group_id, each, talked=max(0.0, seconds))

    def _count_once(self, counted: set[str], member: str, what: str, is_groups: bool = True) -> None:
        for each in (member, GROUP) if is_groups else (member,):
            if each not in counted:
                counted.add(each)
                self._books.count(self._group_id, each, **{what: 1})

    def _member(self, party: Party) -> str:
        """The key of the member whose line this is; a device that is a member itself goes before its owner."""
        return f"device:{party.device_id}" if party.device_id in self._devices else f"user:{party.user_id}"
