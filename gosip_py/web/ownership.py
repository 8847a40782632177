"""What belongs to a user: devices, the names they are called by, and the bindings under these."""

from __future__ import annotations

from gosip_py.store.directory import Directory
from gosip_py.store.records import Binding, User

__all__ = ["aor_user", "call_names", "owns_binding"]


def aor_user(aor: str) -> str:
    """The user part of an address of record, with or without its scheme; "" when it has none."""
    rest = aor.partition(":")[2] if aor.startswith(("sip:", "sips:")) else aor
    user, at, _ = rest.rpartition("@")
    return user if at else ""


def call_names(directory: Directory, user: User) -> tuple[str, ...]:
    """The names that the user's calls are made and received under."""
    return tuple(dict.fromkeys((user.login, *(device.username for device in directory.devices_of(user.id)))))


def owns_binding(directory: Directory, user: User, binding: Binding) -> bool:
    """Whether a phone of the user registered it; where no phone is known, whether it is under a name of the user's."""
    if binding.device_id is not None:
        device = directory.device(binding.device_id)
        return device is not None and device.user_id == user.id
    return aor_user(binding.aor) in call_names(directory, user)
