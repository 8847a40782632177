"""Who is meant by a Request-URI, and where they can be reached now (RFC 3261 16.5).

Looks into memory only. A person's login stands for everything that person registered, a device's name for that device
alone, and a GRUU for one phone (RFC 5627 6.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from gosip_py.registrar.domains import Domains
from gosip_py.registrar.gruu import Gruus, instance_key, instance_of_public
from gosip_py.registrar.location import Contact
from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import Uri
from gosip_py.store.records import Binding, Device, User
from gosip_py.transport.flow import Target

__all__ = ["Destination", "Elsewhere", "ExtensionRouter", "LocalTarget", "NotFound", "Unavailable"]

_SEPARATORS = re.compile(r"[\-.()]")  # RFC 3966 5.1.1


class Directory(Protocol):
    """The users and devices, in memory."""

    def user(self, user_id: int) -> User | None: ...

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...

    def devices_of(self, user_id: int) -> tuple[Device, ...]: ...

    def is_incomplete(self, dialled: str) -> bool: ...


class Contacts(Protocol):
    """The location service."""

    def lookup(self, aor: str, now: float) -> list[Contact]: ...


@attrs.frozen(slots=False)  # made for each call, in half the time that slots of a frozen class take
class LocalTarget:
    """One registered phone.

    ``uri_text`` is the Request-URI to write, ``path`` the Route values on the way, ``q`` is in thousandths. Later
    requests of a dialog must come by the flow of the first one when it ``stays_on_flow``. ``fallbacks`` are other ways
    to the same phone, the most recent first.
    """

    uri_text: str
    target: Target
    path: tuple[str, ...]
    q: int
    device_id: int | None
    user_id: int
    stays_on_flow: bool = False
    fallbacks: tuple[LocalTarget, ...] = ()


@attrs.frozen
class Destination:
    """Somebody who can be reached: their phones, the preferred first. ``device`` is None when a person was called.

    ``is_instance``: one phone was meant, by a GRUU; it is neither redirected nor forwarded (RFC 5627 6.1).
    """

    targets: tuple[LocalTarget, ...]
    user: User
    device: Device | None = None
    is_instance: bool = False


@attrs.frozen
class Unavailable:
    """Somebody who cannot be reached now, to be answered with 480; ``explanation`` says why."""

    explanation: str
    user: User
    device: Device | None = None


@attrs.frozen
class NotFound:
    """Nobody here has this name, to be answered with 404; with 484 when it ``is_incomplete``: some longer number is."""

    name: str
    is_incomplete: bool = False


@attrs.frozen
class Elsewhere:
    """The domain is not ours."""

    host: str


class ExtensionRouter:
    """Finds people by login, in any case of letters, and devices by exactly their name. A login goes first.

    ``gruus`` reads temporary GRUUs; without it there are none.
    """

    def __init__(self, directory: Directory, location: Contacts, domains: Domains, gruus: Gruus | None = None) -> None:
        self._directory = directory
        self._location = location
        self._domains = domains
        self._gruus = gruus

    def find(self, uri: Uri, now: float) -> Destination | Unavailable | NotFound | Elsewhere:
        """The phones of whoever ``uri`` names at ``now``, in epoch seconds."""
        if uri.scheme == "tel":
            return self._find_name(_SEPARATORS.sub("", uri.user), now)
        if not self._domains.contains(uri):
            return Elsewhere(uri.host)
        if "gr" in uri.parameters:
            return self._find_instance(uri, now)
        return self._find_name(uri.user, now)

    def dereference(self, uri: Uri, now: float) -> Destination | Unavailable | NotFound | None:
        """The phone that a GRUU of ours stands for; None when ``uri`` is none.

        For a dialog that is there already: nobody is too busy for that.
        """
        if "gr" not in uri.parameters or not self._domains.contains(uri):
            return None
        return self._find_instance(uri, now, is_in_dialog=True)

    def _find_name(self, name: str, now: float) -> Destination | Unavailable | NotFound:
        directory = self._directory
        if not name:
            return NotFound(name)
        user = directory.user_by_login(name)
        if user is not None:
            return self.reach_user(user, now)
        device = directory.device_by_username(name)
        return self.reach_device(device, now) if device is not None else NotFound(name, directory.is_incomplete(name))

    def _find_instance(self, uri: Uri, now: float, is_in_dialog: bool = False) -> Destination | Unavailable | NotFound:
        """The phone of a GRUU. One that is not valid is as unknown as any other name (RFC 5627 6.1)."""
        value = uri.parameters["gr"]
        if value:
            name, is_meant = uri.user, _of_instance(instance_of_public(value))
        else:
            temporary = self._gruus.read(uri.user) if self._gruus is not None else None
            if temporary is None:
                return NotFound(uri.user)
            name, is_meant = temporary.user, _of_instance(temporary.instance, temporary.epoch)
        named = self._find_owner(name)
        if named is None:
            return NotFound(uri.user)
        user, device = named
        contacts = self._location.lookup(self._domains.aor(user.login if device is None else device.username), now)
        meant = [contact for contact in contacts if is_meant(contact.binding)]
        if not meant and not value:
            return NotFound(uri.user)
        usable = {each.id for each in self._directory.devices_of(user.id) if each.enabled}
        targets = _targets([contact for contact in meant if contact.binding.device_id in usable], user.id)
        if _closed(user, device, is_in_dialog) or not targets:
            # in words that do not tell whose a temporary GRUU is
            return Unavailable("this phone cannot be reached now", user, device)
        return Destination(targets, user, device, is_instance=True)

    def _find_owner(self, name: str) -> tuple[User, Device | None] | None:
        """The person of this login, or the device of this name with its owner."""
        user = self._directory.user_by_login(name)
        if user is not None:
            return user, None
        device = self._directory.device_by_username(name)
        owner = self._directory.user(device.user_id) if device is not None else None
        return (owner, device) if owner is not None else None

    def reach_user(self, user: User, now: float) -> Destination | Unavailable:
        """Everything that a person registered: the bindings of the login, and those of each device that may be used."""
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

    def reach_device(self, device: Device, now: float) -> Destination | Unavailable | NotFound:
        """What was registered under the name of a device."""
        user = self._directory.user(device.user_id)
        if user is None:
            return NotFound(device.username)
        closed = _closed(user, device)
        if closed:
            return Unavailable(closed, user, device)
        contacts = self._location.lookup(self._domains.aor(device.username), now)
        targets = _targets([contact for contact in contacts if contact.binding.device_id == device.id], user.id)
        if not targets:
            return Unavailable(f"the device {device.username} is not registered", user, device)
        return Destination(targets, user, device)


def _closed(user: User, device: Device | None = None, is_in_dialog: bool = False) -> str:
    """Why nobody may ring this person, or an empty string."""
    if not user.enabled:
        return f"{user.login} is disabled"
    if user.dnd and not is_in_dialog:
        return f"{user.login} does not want to be disturbed"
    return f"the device {device.username} is disabled" if device is not None and not device.enabled else ""


def _of_instance(instance: str, epoch: str = "") -> Callable[[Binding], bool]:
    """Whether a binding is of this phone, and in this epoch of its temporary GRUUs if one is given."""

    def is_meant(binding: Binding) -> bool:
        return instance_key(binding.instance) == instance and epoch in ("", binding.gruu)

    return is_meant


def _targets(contacts: Iterable[Contact], user_id: int) -> tuple[LocalTarget, ...]:
    """One target for each phone, the highest q first; a phone that registered under two names rings once."""
    phones: dict[tuple[object, str], list[Contact]] = {}
    for contact in contacts:
        if contact.is_reachable:
            binding = contact.binding
            phone: tuple[object, str] = (binding.contact, binding.source)
            if binding.instance:
                phone = (binding.device_id, instance_key(binding.instance))
            phones.setdefault(phone, []).append(contact)
    found = [target for ways in phones.values() if (target := _target(ways, user_id)) is not None]
    return tuple(sorted(found, key=lambda each: -each.q))


def _target(ways: list[Contact], user_id: int) -> LocalTarget | None:
    """Of several bindings of one phone the most recent, with the others behind it (RFC 5626 7, RFC 5627 6.1)."""
    if len(ways) == 1:
        return _way(ways[0], user_id)
    found: dict[tuple[str, str, str], LocalTarget] = {}
    for contact in sorted(ways, key=lambda contact: -contact.binding.refreshed_at):
        binding = contact.binding
        place = (binding.contact, binding.source, binding.local)
        if place not in found and (way := _way(contact, user_id)) is not None:
            found[place] = way
    first, *others = found.values() or (None,)
    return attrs.evolve(first, fallbacks=tuple(others)) if first is not None and others else first


def _way(contact: Contact, user_id: int) -> LocalTarget | None:
    """One binding; None when it cannot be read."""
    binding = contact.binding
    try:
        target = contact.target
    except ParseError:  # a record of the store that another version wrote
        return None
    return LocalTarget(
        binding.contact, target, contact.path, binding.q, binding.device_id, user_id, contact.stays_on_flow
    )
