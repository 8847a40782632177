"""What is alive in other rooms and shown here, as Protocols, and the view of the location service that fits them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

import attrs

from gosip_py.call.live_rows import Commanded, LiveCall
from gosip_py.call.rung import Rung
from gosip_py.registrar.location import Location
from gosip_py.store.directory import Directory
from gosip_py.store.records import Binding, BindingKey, Device, GroupStatistics, SessionRow, User
from gosip_py.web.ownership import aor_user

__all__ = [
    "GroupCounts",
    "LiveCalls",
    "LiveLadders",
    "LiveRegistrations",
    "LiveSessions",
    "LocationView",
    "end_bindings_of_device",
    "end_bindings_of_user",
]


class LiveRegistrations(Protocol):
    """The bindings of now."""

    def list(self) -> Sequence[Binding]:
        """Every binding that has not expired."""
        ...

    def remove(self, key: BindingKey) -> bool:
        """End a binding at once, as an administrator's doing; False when there was none."""
        ...


class LiveSessions(Protocol):
    """The SIP dialogs of now."""

    def list(self) -> Sequence[SessionRow]:
        """Every dialog, early and active."""
        ...


class LiveCalls(Protocol):
    """The calls of now, and what can be done to them.

    A command returns when it really happened, and raises CommandFailed when it did not. `by` is the id of the user who
    wants it, None when that is none of those in the call; `leg` names the phone that acts, "" lets the call choose.
    """

    def list(self) -> Sequence[LiveCall]: ...

    def get(self, call_id: str) -> LiveCall | None: ...

    async def hang_up(self, call_id: str, *, by: int | None = None) -> Commanded: ...

    async def hold(self, call_id: str, *, leg: str = "", by: int | None = None) -> Commanded: ...

    async def resume(self, call_id: str, *, leg: str = "", by: int | None = None) -> Commanded: ...

    async def transfer(
        self, call_id: str, *, target: str, kind: Literal["blind", "attended"], leg: str = "", by: int | None = None
    ) -> Commanded: ...

    async def park(self, call_id: str, *, orbit: str = "", leg: str = "", by: int | None = None) -> Commanded: ...

    async def pick_up(self, call_id: str, *, by: int, device_id: int | None = None) -> Commanded: ...

    async def dtmf(
        self, call_id: str, *, digits: str, leg: str = "", by: int | None = None, milliseconds: int = 160
    ) -> Commanded: ...

    async def record(self, call_id: str) -> Commanded: ...

    async def start(
        self, *, by: int, target: str, device_id: int | None = None, auto_answer: bool = False
    ) -> LiveCall: ...


class LiveLadders(Protocol):
    """The SIP messages of calls."""

    async def read(self, call: str) -> Sequence[Rung] | None:
        """Those of a call by its id in the journal, None when there are none; raises DatabaseUnavailable."""
        ...


class GroupCounts(Protocol):
    """What is counted of ring groups."""

    def of(self, group_id: int) -> Sequence[GroupStatistics]:
        """The row of the group itself, whose member is "", and those of its members; none before its first call."""
        ...


@attrs.frozen
class LocationView:
    """LiveRegistrations over a Location. `clock` gives epoch seconds."""

    location: Location
    clock: Callable[[], float]

    def list(self) -> Sequence[Binding]:
        now = self.clock()
        return [contact.binding for contact in self.location if contact.binding.expires_at > now]

    def remove(self, key: BindingKey) -> bool:
        return self.location.remove_key(key, "ended by an administrator", self.clock())


def _end(registrations: LiveRegistrations, bindings: Iterable[Binding]) -> None:
    for binding in bindings:
        registrations.remove(binding.key)


def end_bindings_of_device(registrations: LiveRegistrations, device: Device) -> None:
    """End whatever the device registered, under its own name or its owner's."""
    _end(
        registrations,
        [
            binding
            for binding in registrations.list()
            if binding.device_id == device.id
            or (binding.device_id is None and aor_user(binding.aor) == device.username)
        ],
    )


def end_bindings_of_user(registrations: LiveRegistrations, directory: Directory, user: User) -> None:
    """End the bindings of all the user's devices, and those under the user's own name."""
    devices = directory.devices_of(user.id)
    ids, names = {device.id for device in devices}, {user.login, *(device.username for device in devices)}
    _end(
        registrations,
        [
            binding
            for binding in registrations.list()
            if binding.device_id in ids or (binding.device_id is None and aor_user(binding.aor) in names)
        ],
    )
