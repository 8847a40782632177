"""Whose address is whose, as the packages ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gosip_py.registrar.domains import Domains
from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import parse_uri

__all__ = ["Directory", "People", "Person", "Phone"]


class Person(Protocol):
    """A user."""

    @property
    def id(self) -> int: ...

    @property
    def login(self) -> str: ...

    @property
    def display_name(self) -> str: ...

    @property
    def enabled(self) -> bool: ...

    @property
    def dnd(self) -> bool: ...


class Phone(Protocol):
    """A device."""

    @property
    def id(self) -> int: ...

    @property
    def user_id(self) -> int: ...

    @property
    def username(self) -> str: ...

    @property
    def enabled(self) -> bool: ...


class Directory(Protocol):
    """The users and devices, in memory."""

    def user(self, user_id: int) -> Person | None: ...

    def user_by_login(self, login: str) -> Person | None: ...

    def device(self, device_id: int) -> Phone | None: ...

    def device_by_username(self, username: str) -> Phone | None: ...

    def devices_of(self, user_id: int) -> Sequence[Phone]: ...


class People:
    """Users and their addresses of record: that of the login, and one for each device."""

    def __init__(self, directory: Directory, domains: Domains) -> None:
        self._directory = directory
        self._domains = domains

    def user(self, user_id: int) -> Person | None:
        """The user of this id."""
        return self._directory.user(user_id)

    def named(self, name: str) -> Person | None:
        """Whoever has this login, or a device of this name; a login goes first, as when somebody calls."""
        user = self._directory.user_by_login(name)
        if user is None:
            device = self._directory.device_by_username(name)
            user = None if device is None else self._directory.user(device.user_id)
        return user

    def owner_of(self, aor: str) -> int | None:
        """The user to whom a canonical address of record belongs."""
        try:
            user = self.named(parse_uri(aor).user)
        except ParseError:
            return None
        return None if user is None else user.id

    def owner_of_device(self, device_id: int) -> int | None:
        """The user to whom a device belongs."""
        device = self._directory.device(device_id)
        return None if device is None else device.user_id

    def aors_of(self, user_id: int) -> tuple[str, ...]:
        """The addresses of record of a user, that of the login first."""
        user = self._directory.user(user_id)
        if user is None:
            return ()
        names = dict.fromkeys((user.login, *(device.username for device in self._directory.devices_of(user_id))))
        return tuple(map(self._domains.aor, names))

    def is_address_of(self, uri_text: str, user_id: int) -> bool:
        """Whether a sip, sips or pres URI names this user in our domain. ParseError when it is none of these."""
        scheme, colon, rest = uri_text.partition(":")
        uri = parse_uri(f"sip:{rest}" if scheme.lower() == "pres" and colon else uri_text)
        user = self.named(uri.user) if self._domains.has_host(uri.host) else None
        return user is not None and user.id == user_id
