"""PostgreSQL, kept alive: a few slots, each with one connection that is replaced when it dies.

txpostgres has a pool, but it hands out dead connections and never tries a failed start again. Here a free connection
goes to whoever has waited longest; where none is left the answer is DatabaseUnavailable at once, and the slots connect
again with growing, jittered delays.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any, Literal, TypeVar

from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gosip_py.store.database import (
    Body,
    Changed,
    DatabaseTimeout,
    DatabaseUnavailable,
    Observe,
    Params,
    Row,
    unheard,
    unobserved,
)
from gosip_py.store.postgres_link import Link

T = TypeVar("T")

WAITING_LIMIT = 1000
FIRST_DELAY = 0.1
LAST_DELAY = 15.0

log = Logger()


class PostgresDatabase:
    """A Database on a server. `dsn` is a libpq connection string or URL; the reactor has descriptors, time and threads.

    `deadline` in seconds bounds each operation with its wait for a connection, and each attempt to connect. `clock`
    measures the deadlines and delays; it is the reactor but in tests.
    """

    dialect: Literal["postgres"] = "postgres"

    def __init__(
        self,
        dsn: str,
        reactor: Any,
        *,
        connections: int = 4,
        deadline: float = 10.0,
        observe: Observe = unobserved,
        changed: Changed = unheard,
        clock: IReactorTime | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._parameters: dict[str, Any] = parse_dsn(dsn)
        self._reactor = reactor
        self._clock: IReactorTime = clock or reactor
        self._connections = connections
        self._deadline = deadline
        self._observe = observe
        self._changed = changed
        self._draw = draw
        self._links: set[Link] = set()
        self._connecting: set[Link] = set()
        self._idle: deque[Link] = deque()
        self._waiting: deque[Deferred[Link]] = deque()
        self._slots: list[Deferred[None]] = []
        self._pauses: set[Deferred[None]] = set()
        self._running = 0
        self._drained: Deferred[None] | None = None
        self._is_open = False

    @property
    def is_available(self) -> bool:
        return bool(self._links)

    async def open(self) -> None:
        first = await self._connected()
        self._is_open = True
        self._slots = [Deferred.fromCoroutine(self._keep(first))]
        self._slots += [Deferred.fromCoroutine(self._keep()) for _ in range(self._connections - 1)]

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._running:
            self._drained = Deferred()
            await self._drained
            self._drained = None
        for link in self._links | self._connecting:
            link.close()
        for pause in list(self._pauses):
            pause.callback(None)
        await gatherResults(self._slots)

    async def query(self, sql: str, params: Params = ()) -> list[Row]:
        return await self._ask("query", self._deadline, lambda link: link.execute(sql, params))

    async def transact(self, body: Body[T], *, deadline: float | None = None) -> T:
        return await self._ask("transact", deadline or self._deadline, lambda link: link.transact(body, deadline))

    async def check(self) -> None:
        await self._ask("check", self._deadline, _check)

    async def _ask(self, operation: str, deadline: float, work: Callable[[Link], Awaitable[T]]) -> T:
        if not self._is_open:
            raise DatabaseUnavailable("the database is closed")
        began = perf_counter()
        self._running += 1
        try:
            return await _sheltered(self._perform(deadline, work))
        finally:
            self._observe(operation, perf_counter() - began)

    async def _perform(self, deadline: float, work: Callable[[Link], Awaitable[T]]) -> T:
        try:
            link = await self._free_link(deadline)
            timer = self._clock.callLater(deadline, link.expire)
            try:
                return await work(link)
            finally:
                if timer.active():
                    timer.cancel()
                self._hand_on(link)
        finally:
            self._running -= 1
            if self._drained is not None and not self._running:
                self._drained.callback(None)

    async def _free_link(self, deadline: float) -> Link:
        if self._idle:
            return self._idle.popleft()
        if not self._links:
            raise DatabaseUnavailable("there is no connection to the server")
        if len(self._waiting) >= WAITING_LIMIT:
            raise DatabaseUnavailable("too many wait for a connection")
        turn: Deferred[Link] = Deferred()
        self._waiting.append(turn)
        timer = self._clock.callLater(deadline, self._give_up, turn)
        try:
            return await turn
        finally:
            if timer.active():
                timer.cancel()

    def _give_up(self, turn: Deferred[Link]) -> None:
        self._waiting.remove(turn)
        turn.errback(DatabaseTimeout("no connection became free in time"))

    def _hand_on(self, link: Link) -> None:
        if link.is_closed:
            return
        if self._waiting:
            self._waiting.popleft().callback(link)
        else:
            self._idle.append(link)

    # The slots.

    async def _keep(self, link: Link | None = None) -> None:
        """Keep one connection alive until the database is closed."""
        attempts = 0
        while self._is_open:
            try:
                link = link or await self._connected()
            except DatabaseUnavailable as error:
                log.debug("no connection to PostgreSQL: {error}", error=error)
                attempts += 1
            else:
                attempts = 0
                self._arrive(link)
                await link.gone
                self._depart(link)
            link = None
            if self._is_open:
                await self._pause(min(FIRST_DELAY * 2**attempts, LAST_DELAY) * (0.5 + self._draw() / 2))

    async def _connected(self) -> Link:
        link = Link(self._reactor)
        self._connecting.add(link)
        timer = self._clock.callLater(self._deadline, link.expire)
        try:
            await link.connect(self._parameters, self._deadline)
        finally:
            self._connecting.discard(link)
            if timer.active():
                timer.cancel()
        return link

    def _arrive(self, link: Link) -> None:
        self._links.add(link)
        self._hand_on(link)
        if len(self._links) == 1:
            log.info("PostgreSQL is there")
            self._changed(True)

    def _depart(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if self._links:
            return
        if self._is_open:
            log.warn("PostgreSQL is gone")
        self._changed(False)
        while self._waiting:
            self._waiting.popleft().errback(DatabaseUnavailable("the connection to the server was lost"))

    async def _pause(self, seconds: float) -> None:
        pause: Deferred[None] = Deferred()
        self._pauses.add(pause)
        timer: IDelayedCall = self._clock.callLater(seconds, pause.callback, None)
        try:
            await pause
        finally:
            self._pauses.discard(pause)
            if timer.active():
                timer.cancel()


async def _check(link: Link) -> None:
    rows = await link.execute("SELECT pg_is_in_recovery() AS is_standby")
    if rows[0]["is_standby"]:
        raise DatabaseUnavailable("the server is a standby and takes no writes")


async def _sheltered(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """Wait for the work; whoever cancels this stops waiting, and the work goes on, for a query may not be cancelled."""
    relay: Deferred[T] = Deferred()
    _ = Deferred.fromCoroutine(work).chainDeferred(relay)
    return await relay
