"""Opens the store: the database of the settings, its schema, and what an earlier run left open in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger

from gosip_py.config import Settings
from gosip_py.events import StoreAvailable, StoreUnavailable
from gosip_py.service.ground import Ground
from gosip_py.store.address import database_at
from gosip_py.store.bindings import Bindings
from gosip_py.store.calls import CallJournal
from gosip_py.store.database import Database, DatabaseUnavailable, Observe, unheard, unobserved
from gosip_py.store.migrate import migrate
from gosip_py.store.sessions import Sessions

__all__ = ["Storage", "open_store"]

PATIENCE = 60.0
"""Seconds that a start waits for a database that is not there yet."""


async def open_store(
    reactor: Any,
    settings: Settings,
    data_dir: Path,
    *,
    observe: Observe = unobserved,
    changed: Callable[[bool], None] = unheard,
) -> Database:
    """The database of the settings, open and with its schema up to date; DatabaseUnavailable or MigrationError."""
    url = settings.store.url or f"sqlite:///{data_dir / 'gosip.sqlite'}"
    database = database_at(url, reactor, observe=observe, changed=changed)
    await database.open()
    try:
        _ = await migrate(database, reactor.seconds())
    except BaseException:
        await database.close()
        raise
    return database


class Storage:
    """The open database and the repositories that more than one part of the wiring uses."""

    log = Logger()

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._is_settled = False
        self.database: Database
        self.calls: CallJournal
        self.sessions: Sessions
        self.bindings: Bindings

    async def open(self) -> None:
        """Wait for the database, and close the rows of calls that an earlier run did not survive."""
        ground = self._ground
        database = self.database = await self._wait()
        ground.closing.push_async_callback(database.close)
        self.calls, self.sessions, self.bindings = CallJournal(database), Sessions(database), Bindings(database)
        left = await self.calls.close_open(ground.now())
        await self.sessions.close_open(ground.now())
        if left:
            self.log.warn("{count} calls of an earlier run were open and are closed as failed", count=left)

    def tell_changes(self, is_wanted: bool) -> None:
        """Whether the log hears when the store goes and comes: while we open or close it, whoever does so tells."""
        self._is_settled = is_wanted

    async def _wait(self) -> Database:
        """A database that starts together with us may take a while; one that is wrong is told from it by patience."""
        ground = self._ground
        deadline = ground.now() + PATIENCE
        while True:
            try:
                return await open_store(
                    ground.reactor, ground.settings, ground.data_dir, observe=self._observe, changed=self._changed
                )
            except DatabaseUnavailable as error:
                if ground.now() >= deadline:
                    raise
                self.log.warn("waiting for the store: {reason}", reason=str(error))
                await deferLater(ground.reactor, 1.0)

    def _observe(self, operation: str, seconds: float) -> None:
        self._ground.metrics.store_seconds.child(operation).observe(seconds)

    def _changed(self, is_available: bool) -> None:
        now, bus = self._ground.now(), self._ground.bus
        bus.publish(StoreAvailable(now) if is_available else StoreUnavailable(now, "the store does not answer"))
        if self._is_settled and is_available:
            self.log.info("the store answers again")
        elif self._is_settled:
            self.log.error("the store does not answer; calls and registrations go on from memory")
