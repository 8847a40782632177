"""What is alive in other rooms and shown here, as Protocols, and the view of the location service that fits them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs

from gosip_py.registrar.location import Location
from gosip_py.store.directory import Directory
from gosip_py.store.records import Binding, BindingKey, Device, SessionRow, User
from gosip_py.web.ownership import aor_user

__all__ = ["LiveRegistrations", "LiveSessions", "LocationView", "end_bindings_of_device", "end_bindings_of_user"]


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
