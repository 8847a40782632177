"""What an administrator does to the store from a shell, whether the server runs or not.

A running server takes up the change within a few seconds.
"""

from __future__ import annotations

import argparse
import getpass
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure

from gosip_py.config import Settings
from gosip_py.service.storage import open_store
from gosip_py.store.accounts import WebSessions
from gosip_py.store.credentials import NAME_PATTERN, SHORTEST_PASSWORD, device_hashes, device_password
from gosip_py.store.database import Database, DatabaseError, DatabaseUnavailable, IntegrityError
from gosip_py.store.devices import Devices
from gosip_py.store.migrate import MigrationError
from gosip_py.store.passwords import Passwords
from gosip_py.store.users import Users

__all__ = ["CommandFailed", "Place", "add_device", "add_user", "set_password"]

_NAME = re.compile(NAME_PATTERN)


class CommandFailed(Exception):
    """The command could not do what was asked; the text says why."""


@attrs.frozen
class Place:
    """Which server's store is meant."""

    settings: Settings
    data_dir: Path


def add_user(place: Place, options: argparse.Namespace) -> int:
    """Add a person who can sign in with a password."""
    _check_name(options.login)
    password = _read_password()

    async def work(database: Database) -> None:
        user = await Users(database).create(
            login=options.login,
            email=options.email,
            display_name=options.name or options.login,
            role=options.role,
            password_hash=await _hash(password),
            now=time.time(),
        )
        print(f"user {user.login} has the id {user.id}")

    return _on_store(place, work)


def set_password(place: Place, options: argparse.Namespace) -> int:
    """Give a person a new password and end the web sessions that the old one opened."""
    password = _read_password()

    async def work(database: Database) -> None:
        users = Users(database)
        user = await users.by_login(options.login)
        if user is None:
            raise CommandFailed(f"there is no user {options.login}")
        await users.update(user.id, {"password_hash": await _hash(password)}, time.time())
        await WebSessions(database).delete_of_user(user.id)
        print(f"user {user.login} has a new password")

    return _on_store(place, work)


def add_device(place: Place, options: argparse.Namespace) -> int:
    """Add a phone with a password made here and shown this once."""
    _check_name(options.username)
    password = device_password()
    realm = place.settings.auth.realm

    async def work(database: Database) -> None:
        owner = await Users(database).by_login(options.owner)
        if owner is None:
            raise CommandFailed(f"there is no user {options.owner}")
        device = await Devices(database).create(
            user_id=owner.id,
            username=options.username,
            realm=realm,
            **device_hashes(options.username, realm, password),
            name=options.name or options.username,
            type=options.type,
            now=time.time(),
        )
        print(f"device {device.username} has the id {device.id} and the password {password}")

    return _on_store(place, work)


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise CommandFailed("a name has 1 to 64 letters, digits and . _ + -, and begins with none of . and -")


def _read_password() -> str:
    password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        raise CommandFailed(f"a password has at least {SHORTEST_PASSWORD} characters")
    return password


async def _hash(password: str) -> str:
    passwords = Passwords(reactor)  # type: ignore[arg-type]  # the reactor module stands for the reactor
    passwords.start()
    try:
        return await passwords.hash(password)
    finally:
        passwords.stop()


def _on_store(place: Place, work: Callable[[Database], Awaitable[None]]) -> int:
    """Run ``work`` with the store open; raises CommandFailed for what a person can mend."""
    faults: list[Failure] = []

    async def opened() -> None:
        database = await open_store(reactor, place.settings, place.data_dir)
        try:
            await work(database)
        finally:
            await database.close()

    def main(_reactor: object) -> Deferred[None]:
        return Deferred.fromCoroutine(opened()).addErrback(faults.append)

    with suppress(SystemExit):  # react ends by it, whatever happened
        react(main, ())
    if faults:
        raise CommandFailed(_explain(faults[0]))
    return 0


def _explain(fault: Failure) -> str:
    error = fault.value
    if isinstance(error, IntegrityError):
        return f"the {error.field or 'name'} is taken already"
    if isinstance(error, DatabaseUnavailable):
        return f"the store is not there: {error}"
    if isinstance(error, CommandFailed | MigrationError | DatabaseError):
        return str(error)
    return fault.getTraceback()
