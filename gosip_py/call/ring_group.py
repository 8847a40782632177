"""Ring groups: one number that rings several people, in the order that its strategy makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from gosip_py.call.group_tally import GroupBooks
from gosip_py.call.limits import LegCounts
from gosip_py.call.lines import Phones
from gosip_py.call.party import Party
from gosip_py.call.router import Destination, NotFound, Unavailable
from gosip_py.call.verdict import Attempt, Line, Ring, Stage
from gosip_py.store.records import Device, GroupMember, GroupStatistics, RingGroup, User

__all__ = ["GroupState", "Offer", "RingGroups", "order"]


@attrs.define
class GroupState:
    """What a strategy remembers from call to call: who was first the last time, and when each talked last."""

    first: str = ""
    talked_at: Mapping[str, float] = attrs.field(factory=dict)


def order(strategy: str, members: Sequence[GroupMember], state: GroupState) -> tuple[tuple[GroupMember, ...], ...]:
    """Who rings together, and who after whom; ``members`` are those that can be rung now, by position.

    round_robin begins behind whoever was first the last time, longest_idle with whoever has not talked for longest.
    """
    if strategy == "simultaneous":
        return (tuple(members),) if members else ()
    arranged = list(members)
    if strategy == "round_robin":
        keys = [member.key for member in members]
        start = keys.index(state.first) + 1 if state.first in keys else 0
        arranged = arranged[start:] + arranged[:start]
    elif strategy == "longest_idle":
        arranged.sort(key=lambda member: state.talked_at.get(member.key, 0.0))
    return tuple((member,) for member in arranged)


class Directory(Protocol):
    """Groups, people and phones, in memory."""

    def group_by_number(self, number: str) -> RingGroup | None: ...

    def group_by_name(self, name: str) -> RingGroup | None: ...

    def groups(self) -> tuple[RingGroup, ...]: ...

    def user(self, user_id: int) -> User | None: ...

    def device(self, device_id: int) -> Device | None: ...


class Reach(Protocol):
    """Who finds the phones: the `ExtensionRouter`."""

    def reach_user(self, user: User, now: float) -> Destination | Unavailable: ...

    def reach_device(self, device: Device, now: float) -> Destination | Unavailable | NotFound: ...


@attrs.frozen
class Offer:
    """What a group can do for a call: its stages, or none; then ``is_busy`` tells whether somebody only talks."""

    stages: tuple[Stage, ...]
    is_busy: bool = False


class RingGroups:
    """Plans the calls of the groups, and knows who may take whose call.

    ``seconds`` is how long a stage rings where the group does not say.
    """

    def __init__(
        self,
        directory: Directory,
        reach: Reach,
        phones: Phones,
        counts: LegCounts,
        books: GroupBooks,
        seconds: float = 30.0,
    ) -> None:
        self._directory = directory
        self._reach = reach
        self._phones = phones
        self._counts = counts
        self._books = books
        self._seconds = seconds
        self._first: dict[int, str] = {}

    def by_number(self, number: str) -> RingGroup | None:
        """The group with this number."""
        return self._directory.group_by_number(number)

    def by_name(self, name: str) -> RingGroup | None:
        """The group of this name, in any case of letters."""
        return self._directory.group_by_name(name)

    def of(self, group_id: int) -> tuple[GroupStatistics, ...]:
        """The statistics of a group, its own first, and of its members."""
        return self._books.of(group_id)

    # -- a call for a group -------------------------------------------------------------------------------------------

    def ring(self, group: RingGroup, offer: Offer, attempt: Attempt) -> Ring:
        """The verdict for a call that somebody can take; a new tally begins with it."""
        callee = Party(group.number, group.name, "", None, None, "server")
        onward = group.fallback
        tally = self._books.begin(group)
        return Ring(callee, offer.stages, onward, onward, onward, tally, (), attempt.diverted, group.number)

    def offer(self, group: RingGroup, attempt: Attempt) -> Offer:
        """Who can be rung now, in the order of the strategy. Never the phone that calls."""
        lines: dict[str, tuple[Line, ...]] = {}
        members: list[GroupMember] = []
        is_busy = False
        for member in group.members:
            if group.skip_busy and self._is_busy(member):
                is_busy = True
                continue
            found = self._lines(member, attempt)
            if found:
                lines[member.key] = found
                members.append(member)
        state = GroupState(self._first.get(group.id, ""), self._books.talked_at(group.id))
        stages = order(group.strategy, members, state)
        if stages and group.strategy == "round_robin":
            self._first[group.id] = stages[0][0].key
        seconds = float(group.ring_seconds) or self._seconds
        return Offer(tuple(Stage(_once(stage, lines), seconds) for stage in stages), is_busy)

    def _is_busy(self, member: GroupMember) -> bool:
        if member.user_id is not None:
            return self._counts.of_user(member.user_id) > 0
        return member.device_id is not None and self._counts.of_device(member.device_id) > 0

    def _lines(self, member: GroupMember, attempt: Attempt) -> tuple[Line, ...]:
        """The lines to a member. Nobody's forwards count, and who does not want to be disturbed is not."""
        found = self._find(member, attempt.at)
        if not isinstance(found, Destination):
            return ()
        own = attempt.caller.device_id
        lines = self._phones.lines(found)
        return lines if own is None else tuple([line for line in lines if line.party.device_id != own])

    def _find(self, member: GroupMember, now: float) -> Destination | Unavailable | NotFound | None:
        if member.user_id is not None:
            user = self._directory.user(member.user_id)
            return self._reach.reach_user(user, now) if user is not None else None
        device = self._directory.device(member.device_id) if member.device_id is not None else None
        return self._reach.reach_device(device, now) if device is not None else None

    # -- taking the calls of others -----------------------------------------------------------------------------------

    def may_pick_up(self, who: Party, called: Party) -> bool:
        """Whether somebody may take a call that rings at ``called``: both must be of this office."""
        return who.user_id is not None and (called.user_id is not None or self._group_of(called) is not None)

    def may_group_pick_up(self, who: Party, called: Party) -> bool:
        """Whether they share a ring group, or ``called`` is a group of theirs."""
        if who.user_id is None:
            return False
        rung = self._group_of(called)
        if rung is not None:
            return self._is_member(rung, who)
        if called.user_id is None:
            return False
        return any(self._is_member(group, who) and self._is_member(group, called) for group in self._directory.groups())

    def _group_of(self, party: Party) -> RingGroup | None:
        return self._directory.group_by_number(party.name) if party.kind == "server" else None

    def _is_member(self, group: RingGroup, party: Party) -> bool:
        """A person is one by any of their devices."""
        return any(self._owner(member) == party.user_id for member in group.members)

    def _owner(self, member: GroupMember) -> int | None:
        if member.user_id is not None:
            return member.user_id
        device = self._directory.device(member.device_id) if member.device_id is not None else None
        return None if device is None else device.user_id


def _once(members: Iterable[GroupMember], lines: Mapping[str, tuple[Line, ...]]) -> tuple[Line, ...]:
    """The lines of those who ring together: a phone that is in the group twice rings once."""
    return tuple({(line.uri, line.target): line for member in members for line in lines[member.key]}.values())
