"""Fills gosip's store before its first start: `python -m benchmarks.seeding FILE COUNT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import react

from benchmarks.load import DOMAIN, PASSWORD, user
from benchmarks.peers import FIRST_BRIDGED
from gosip_py.store.credentials import ha1
from gosip_py.store.database import Transaction
from gosip_py.store.devices import INSERT as INSERT_DEVICE
from gosip_py.store.migrate import migrate
from gosip_py.store.sqlite import SqliteDatabase

INSERT_USER = """
    INSERT INTO users (id, login, login_folded, email, display_name, role, enabled, call_schema, dnd, password_hash,
                       created_at, updated_at)
    VALUES (?, ?, ?, '', '', 'user', TRUE, ?, FALSE, '', ?, ?)"""


async def fill(tx: Transaction, users: int, now: float) -> None:
    """Users who each own one device of the same name; calls to the last ones are bridged, to the others proxied."""
    names = [user(number) for number in range(users)]
    schemas = ["b2bua" if number >= FIRST_BRIDGED else "proxy" for number in range(users)]
    people = [(number, name, name, schemas[number - 1], now, now) for number, name in enumerate(names, 1)]
    await tx.executemany(INSERT_USER, people)
    hashes = [(ha1("MD5", name, DOMAIN, PASSWORD), ha1("SHA-256", name, DOMAIN, PASSWORD)) for name in names]
    devices = [
        (number, "", name, "softphone", True, False, DOMAIN, md5, sha256, now, now)
        for number, (name, (md5, sha256)) in enumerate(zip(names, hashes, strict=True), 1)
    ]
    await tx.executemany(INSERT_DEVICE, devices)


async def seed(reactor: IReactorFromThreads, path: Path, users: int) -> None:
    """Make the store with so many users, in one transaction."""
    database = SqliteDatabase(str(path), reactor)
    await database.open()
    try:
        now = time.time()
        await migrate(database, now)
        await database.transact(lambda tx: fill(tx, users, now))
    finally:
        await database.close()


if __name__ == "__main__":
    react(lambda reactor, path, users: Deferred.fromCoroutine(seed(reactor, Path(path), int(users))), sys.argv[1:])
