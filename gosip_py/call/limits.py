"""How many calls there may be at a time: of a device, on an account, on the trunk."""

from __future__ import annotations

import attrs

from gosip_py.call.party import Party
from gosip_py.call.verdict import Refuse

__all__ = ["CallLimits", "LegCounts"]

_RETRY_AFTER = (("retry-after", "10"),)


class LegCounts:
    """The legs that there are now, by whom they belong to. The switch tells of each one."""

    def __init__(self) -> None:
        self._devices: dict[int, int] = {}
        self._users: dict[int, int] = {}
        self._made: dict[int, int] = {}
        self._trunk = 0

    def add(self, party: Party, is_received: bool) -> None:
        """A leg begins; ``is_received``: they called us."""
        self._step(party, is_received, 1)

    def remove(self, party: Party, is_received: bool) -> None:
        """It is over; both arguments are as they were."""
        self._step(party, is_received, -1)

    def _step(self, party: Party, is_received: bool, by: int) -> None:
        user_id = party.user_id
        if party.kind == "trunk":
            self._trunk += by
            if user_id is not None:  # who forwards or transfers it out
                _count(self._made, user_id, by)
            return
        if party.device_id is not None:
            _count(self._devices, party.device_id, by)
        if user_id is not None:
            _count(self._users, user_id, by)
            if is_received:
                _count(self._made, user_id, by)

    def of_device(self, device_id: int) -> int:
        """Its legs, one that rings among them."""
        return self._devices.get(device_id, 0)

    def of_user(self, user_id: int) -> int:
        """The legs of all phones of a person."""
        return self._users.get(user_id, 0)

    def made_by(self, user_id: int) -> int:
        """The calls on the account of a person: those that they make, and those that they send on to the outside."""
        return self._made.get(user_id, 0)

    @property
    def of_trunk(self) -> int:
        """The legs that we made by the trunk."""
        return self._trunk


def _count(counts: dict[int, int], key: int, by: int) -> None:
    count = counts.get(key, 0) + by
    if count > 0:
        counts[key] = count
    else:
        counts.pop(key, None)


@attrs.frozen
class CallLimits:
    """The most calls at a time; 0 is as many as there are."""

    counts: LegCounts
    per_device: int = 0
    per_account: int = 0
    per_trunk: int = 0

    def refuse_caller(self, caller: Party) -> Refuse | None:
        """Why they may not call anybody now."""
        device_id = caller.device_id
        if device_id is not None and self.is_full(device_id):
            return Refuse(486, f"this phone has {self.per_device} calls, and may have no more: end one and try again")
        return self.refuse_account(caller.user_id)

    def refuse_account(self, user_id: int | None) -> Refuse | None:
        """Why nothing more goes on their account now."""
        if self.per_account and user_id is not None and self.counts.made_by(user_id) >= self.per_account:
            return Refuse(
                486, f"there are {self.per_account} calls on this account, and may be no more: end one and try again"
            )
        return None

    def refuse_trunk(self) -> Refuse | None:
        """Why nothing more goes out by the trunk now."""
        if self.per_trunk and self.counts.of_trunk >= self.per_trunk:
            return Refuse(503, f"all {self.per_trunk} lines of the trunk are taken: try again soon", _RETRY_AFTER)
        return None

    def is_full(self, device_id: int | None) -> bool:
        """Whether a phone has as many calls as it may have."""
        return bool(self.per_device) and device_id is not None and self.counts.of_device(device_id) >= self.per_device
