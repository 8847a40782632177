"""Whose address of record is whose: the rule by which devices register (RFC 3261 10.3 item 4)."""

from __future__ import annotations

from typing import Protocol

from gosip_py.store.records import Device, User
from gosip_py.transaction.authenticate import Identity

__all__ = ["DirectoryRule"]


class Directory(Protocol):
    """The users and devices, in memory."""

    def user(self, user_id: int) -> User | None: ...

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...


class DirectoryRule:
    """A device registers its own name, and the login of its owner."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def registrable(self, identity: Identity, user: str) -> str | None:
        """The canonical spelling of ``user`` when it is the device's name or its owner's login; None when it is not.

        A login is compared without case. A device whose name is another person's login does not get that person's
        calls.
        """
        if user == identity.username:
            other = self._directory.user_by_login(user)
            return user if other is None or other.id == identity.user_id else None
        owner = self._directory.user(identity.user_id)
        if owner is not None and owner.login.casefold() == user.casefold():
            return owner.login
        return None
