"""The directory: users, devices, groups and feature codes in memory, for the packet path, which may not wait."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from gosip_py.store.devices import Devices
from gosip_py.store.feature_codes import FeatureCodes
from gosip_py.store.listing import Stamp
from gosip_py.store.prefixes import NumberPrefixes
from gosip_py.store.records import Device, FeatureCode, RingGroup, User
from gosip_py.store.ring_groups import RingGroups
from gosip_py.store.users import Users

_ATTEMPTS = 3


class Directory:
    """A snapshot that follows the store: loaded once, then told of each change as it is made.

    Without `groups` and `codes` there are no ring groups, and every feature code is as it came.
    """

    def __init__(
        self, users: Users, devices: Devices, groups: RingGroups | None = None, codes: FeatureCodes | None = None
    ) -> None:
        self._users = users
        self._devices = devices
        self._ring_groups = groups
        self._codes = codes
        self._user: dict[int, User] = {}
        self._by_login: dict[str, User] = {}
        self._device: dict[int, Device] = {}
        self._by_username: dict[str, Device] = {}
        self._owned: dict[int, tuple[Device, ...]] = {}
        self._prefixes = NumberPrefixes()
        self._group: dict[int, RingGroup] = {}
        self._by_number: dict[str, RingGroup] = {}
        self._by_name: dict[str, RingGroup] = {}
        self._code: dict[str, FeatureCode] = {}
        self._stamp: tuple[Stamp, ...] | None = None
        self._changes = 0

    async def load(self) -> None:
        """Read everything; raises DatabaseUnavailable and then keeps what it had.

        What is changed here meanwhile is newer than what was read: then it is read again, or left to the next time.
        """
        for _ in range(_ATTEMPTS):
            changes = self._changes
            stamp = await self._stamp_now()
            users, devices = await self._users.all(), await self._devices.all()
            groups = await self._ring_groups.all() if self._ring_groups is not None else ()
            codes = await self._codes.all() if self._codes is not None else ()
            if changes == self._changes:
                self._stamp = stamp
                self._take(users, devices)
                self._take_numbers(groups, codes)
                return

    async def _stamp_now(self) -> tuple[Stamp, ...]:
        sources = (self._users, self._devices, self._ring_groups, self._codes)
        return tuple([await source.stamp() for source in sources if source is not None])

    def _take(self, users: Iterable[User], devices: Iterable[Device]) -> None:
        self._user = {user.id: user for user in users}
        self._by_login = {user.login.casefold(): user for user in users}
        self._device = {device.id: device for device in devices}
        self._by_username = {device.username: device for device in devices}
        owned: dict[int, list[Device]] = {}
        for device in devices:
            owned.setdefault(device.user_id, []).append(device)
        self._owned = {user_id: tuple(theirs) for user_id, theirs in owned.items()}
        self._prefixes = NumberPrefixes()
        for user in self._user.values():
            self._prefixes.add(user.login)
        for device in self._device.values():
            self._prefixes.add(device.username)

    def _take_numbers(self, groups: Iterable[RingGroup], codes: Iterable[FeatureCode]) -> None:
        self._group = {group.id: group for group in groups}
        self._code = {code.feature: code for code in codes}
        self._index_groups()
        for number in self._by_number:
            self._prefixes.add(number)

    def _index_groups(self) -> None:
        """There are few groups, and of those with one name the oldest has it: the indexes are made anew each time."""
        newest_first = sorted(self._group.values(), key=lambda group: -group.id)
        self._by_number = {group.number: group for group in newest_first}
        self._by_name = {group.name.casefold(): group for group in newest_first if group.name}

    async def follow(self) -> bool:
        """Read everything again if another process changed something since; whether that was so."""
        is_new = self._stamp != await self._stamp_now()
        if is_new:
            await self.load()
        return is_new

    def all_devices(self) -> tuple[Device, ...]:
        """Every device."""
        return tuple(self._device.values())

    def user(self, user_id: int) -> User | None:
        """The user of this id."""
        return self._user.get(user_id)

    def user_by_login(self, login: str) -> User | None:
        """The user of this login, in any case of letters: no two logins differ in that alone."""
        return self._by_login.get(login.casefold())

    def device(self, device_id: int) -> Device | None:
        """The device of this id."""
        return self._device.get(device_id)

    def device_by_username(self, username: str) -> Device | None:
        """The device that authenticates under exactly this name."""
        return self._by_username.get(username)

    def is_incomplete(self, dialled: str) -> bool:
        """Whether a login, the name of a device or the number of a group is longer, and begins with these digits."""
        return dialled in self._prefixes

    def devices_of(self, user_id: int) -> tuple[Device, ...]:
        """The devices of a user, by id."""
        return self._owned.get(user_id, ())

    def group(self, group_id: int) -> RingGroup | None:
        """The ring group of this id."""
        return self._group.get(group_id)

    def group_by_number(self, number: str) -> RingGroup | None:
        """The ring group with exactly this number."""
        return self._by_number.get(number)

    def group_by_name(self, name: str) -> RingGroup | None:
        """The ring group of this name, in any case of letters."""
        return self._by_name.get(name.casefold())

    def groups(self) -> tuple[RingGroup, ...]:
        """Every ring group."""
        return tuple(self._group.values())

    def feature_code(self, feature: str) -> FeatureCode | None:
        """The code of a feature if it was changed."""
        return self._code.get(feature)

    def feature_codes(self) -> tuple[FeatureCode, ...]:
        """The codes that were changed."""
        return tuple(self._code.values())

    async def refresh_user(self, user_id: int) -> User | None:
        """Read one user again, gone or not, and the devices with it."""
        user = await self._users.get(user_id)
        if user is None:
            self.forget_user(user_id)
            return None
        devices = await self._devices.by_user(user_id)
        kept = {device.id for device in devices}
        for device in self.devices_of(user_id):
            if device.id not in kept:
                self.forget_device(device.id)
        self.apply_user(user)
        for device in devices:
            self.apply_device(device)
        return user

    async def refresh_device(self, device_id: int) -> Device | None:
        """Read one device again, gone or not."""
        device = await self._devices.get(device_id)
        if device:
            self.apply_device(device)
        else:
            self.forget_device(device_id)
        return device

    def apply_user(self, user: User) -> None:
        """Take over a user as the store now has it."""
        self._changes += 1
        self._forget_login(self._user.get(user.id))
        self._prefixes.add(user.login)
        self._user[user.id] = user
        self._by_login[user.login.casefold()] = user

    def apply_device(self, device: Device) -> None:
        """Take over a device as the store now has it."""
        self._drop_device(device.id)
        self._device[device.id] = device
        self._by_username[device.username] = device
        self._prefixes.add(device.username)
        owned = (*self.devices_of(device.user_id), device)
        self._owned[device.user_id] = tuple(sorted(owned, key=lambda each: each.id))

    def forget_user(self, user_id: int) -> None:
        """Drop a user who was deleted, with the devices."""
        self._changes += 1
        for device in self.devices_of(user_id):
            self.forget_device(device.id)
        self._leave_groups("user_id", user_id)
        self._forget_login(self._user.pop(user_id, None))

    def _forget_login(self, user: User | None) -> None:
        """Drop the login that a user had, unless somebody else has it by now."""
        if user is None:
            return
        self._prefixes.remove(user.login)
        login = user.login.casefold()
        if self._by_login.get(login, user).id == user.id:
            self._by_login.pop(login, None)

    def forget_device(self, device_id: int) -> None:
        """Drop a device that was deleted."""
        self._leave_groups("device_id", device_id)
        self._drop_device(device_id)

    def _drop_device(self, device_id: int) -> None:
        self._changes += 1
        device = self._device.pop(device_id, None)
        if device is None:
            return
        self._prefixes.remove(device.username)
        if self._by_username.get(device.username, device).id == device_id:  # unless another has the name by now
            self._by_username.pop(device.username, None)
        left = tuple(each for each in self.devices_of(device.user_id) if each.id != device_id)
        if left:
            self._owned[device.user_id] = left
        else:
            self._owned.pop(device.user_id, None)

    def apply_group(self, group: RingGroup) -> None:
        """Take over a ring group as the store now has it."""
        self._drop_group(group.id)
        self._group[group.id] = group
        self._prefixes.add(group.number)
        self._index_groups()

    def forget_group(self, group_id: int) -> None:
        """Drop a ring group that was deleted."""
        self._drop_group(group_id)
        self._index_groups()

    def _drop_group(self, group_id: int) -> None:
        self._changes += 1
        group = self._group.pop(group_id, None)
        if group is not None:
            self._prefixes.remove(group.number)

    def _leave_groups(self, kind: str, left: int) -> None:
        """Take a person (`user_id`) or a device (`device_id`) that is gone out of every group, as the store does."""
        for group in self.groups():
            members = tuple(member for member in group.members if getattr(member, kind) != left)
            if len(members) < len(group.members):
                self.apply_group(attrs.evolve(group, members=members))

    def apply_code(self, code: FeatureCode) -> None:
        """Take over the code of a feature as the store now has it."""
        self._changes += 1
        self._code[code.feature] = code
