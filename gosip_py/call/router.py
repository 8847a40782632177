"""Who is meant by a Request-URI, and where they can be reached now (RFC 3261 16.5).

Looks into memory only. A person's login stands for everything that person registered, a device's name for that device
alone.
"""

from __future__ import annotations

import re
from typing import Protocol

import attrs

from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Contact
from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import Uri
from gosip_py.store.records import Device, User
from gosip_py.transport.flow import Target

__all__ = ["Destination", "Elsewhere", "ExtensionRouter", "LocalTarget", "NotFound", "Unavailable"]

_SEPARATORS = re.compile(r"[\-.()]")  # RFC 3966 5.1.1


class Directory(Protocol):
    """The users and devices, in memory."""

    def user(self, user_id: int) -> User | None: ...

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...

    def devices_of(self, user_id: int) -> tuple[Device, ...]: ...


class Contacts(Protocol):
    """The location service."""

    def lookup(self, aor: str, now: float) -> list[Contact]: ...


@attrs.frozen
class LocalTarget:
    """One registered phone.

    ``uri_text`` is the Request-URI to write, ``path`` the Route values on the way, ``q`` is in thousandths.
    """

    uri_text: str
    target: Target
    path: tuple[str, ...]
    q: int
    device_id: int | None
    user_id: int


@attrs.frozen
class Destination:
    """Somebody who can be reached: their phones, the preferred first. ``device`` is None when a person was called."""

    targets: tuple[LocalTarget, ...]
    user: User
    device: Device | None = None


@attrs.frozen
class Unavailable:
    """Somebody who cannot be reached now, to be answered with 480; ``explanation`` says why."""

    explanation: str
    user: User
    device: Device | None = None


@attrs.frozen
class NotFound:
    """Nobody here has this name, to be answered with 404."""

    name: str


@attrs.frozen
class Elsewhere:
    """The domain is not ours."""

    host: str


class ExtensionRouter:
    """Finds people by login, in any case of letters, and devices by exactly their name. A login goes first."""

    def __init__(self, directory: Directory, location: Contacts, domains: Domains) -> None:
        self._directory = directory
        self._location = location
        self._domains = domains

    def find(self, uri: Uri, now: float) -> Destination | Unavailable | NotFound | Elsewhere:
        """The phones of whoever ``uri`` names at ``now``, in epoch seconds."""
        if uri.scheme == "tel":
            return self._find_name(_SEPARATORS.sub("", uri.user), now)
        if not self._domains.contains(uri):
            return Elsewhere(uri.host)
        return self._find_name(uri.user, now)

    def _find_name(self, name: str, now: float) -> Destination | Unavailable | NotFound:
        directory = self._directory
        if not name:
            return NotFound(name)
        user = directory.user_by_login(name)
        if user is not None:
            return self._reach_user(user, now)
        device = directory.device_by_username(name)
        return self._reach_device(device, now) if device is not None else NotFound(name)

    def _reach_user(self, user: User, now: float) -> Destination | Unavailable:
        """The bindings of the login, and those of each device of the person that may be used."""
        closed = _closed(user)
        if closed:
            return Unavailable(closed, user)
        devices = [device for device in self._directory.devices_of(user.id) if device.enabled]
        usable = {device.id for device in devices}
        names = dict.fromkeys((user.login, *(device.username for device in devices)))
        contacts = [
            contact
            for name in names
            for contact in self._location.lookup(self._domains.aor(name), now)
            if contact.binding.device_id in usable
        ]
        targets = _targets(contacts, user.id)
        return Destination(targets, user) if targets else Unavailable(f"{user.login} has no phone registered", user)

    def _reach_device(self, device: Device, now: float) -> Destination | Unavailable | NotFound:
        user = self._directory.user(device.user_id)
        if user is None:
            return NotFound(device.username)
        closed = _closed(user) or ("" if device.enabled else f"the device {device.username} is disabled")
        if closed:
            return Unavailable(closed, user, device)
        contacts = self._location.lookup(self._domains.aor(device.username), now)
        targets = _targets([contact for contact in contacts if contact.binding.device_id == device.id], user.id)
        if not targets:
            return Unavailable(f"the device {device.username} is not registered", user, device)
        return Destination(targets, user, device)


def _closed(user: User) -> str:
    """Why nobody may ring this person, or an empty string."""
    if not user.enabled:
        return f"{user.login} is disabled"
    return f"{user.login} does not want to be disturbed" if user.dnd else ""


def _targets(contacts: list[Contact], user_id: int) -> tuple[LocalTarget, ...]:
    """One target for each phone, the highest q first; a phone that registered under two names rings once."""
    found: dict[tuple[str, str], LocalTarget] = {}
    for contact in contacts:
        binding = contact.binding
        try:
            target = LocalTarget(binding.contact, contact.target, contact.path, binding.q, binding.device_id, user_id)
        except ParseError:  # a record of the store that another version wrote
            continue
        found.setdefault((binding.contact, binding.source), target)
    return tuple(sorted(found.values(), key=lambda each: -each.q))
