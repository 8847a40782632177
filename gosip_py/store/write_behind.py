"""Rows on their way to the store: collected under their key, written in one go, kept while the database is away.

The packet path only fills a dictionary here. A row that is put again before it was written takes the place of the older
one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gosip_py.store.database import DatabaseError, DatabaseUnavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CHUNK = 1000
FIRST_DELAY = 1.0
LAST_DELAY = 30.0

log = Logger()


class WriteBehind(Generic[K, V]):
    """`write` must be able to do the same rows again: after a time-out nobody knows whether they went in.

    `interval` is in seconds. Beyond `limit` rows the oldest is dropped, and `dropped` counts it; a row that the
    database refuses for its content is dropped too, alone. One write is in flight at a time, so the rows of a key
    arrive in order.
    """

    def __init__(
        self,
        clock: IReactorTime,
        write: Callable[[list[V]], Awaitable[None]],
        interval: float = 0.25,
        limit: int = 100_000,
    ) -> None:
        self._clock = clock
        self._write = write
        self._interval = interval
        self._limit = limit
        self._rows: OrderedDict[K, V] = OrderedDict()
        self._in_flight: OrderedDict[K, V] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._round: Deferred[None] | None = None
        self._is_writing = False
        self._is_closed = False
        self._failures = 0
        self._waiting: list[Deferred[None]] = []
        self.dropped = 0

    @property
    def pending(self) -> int:
        """Rows that are not known to be in the database, those in flight among them."""
        return len(self._rows) + len(self._in_flight)

    def put(self, key: K, value: V) -> None:
        """Take a row; it is written within the interval, or when the database is back. After `close` it is dropped."""
        if self._is_closed:
            self.dropped += 1
            return
        rows = self._rows
        rows[key] = value
        if self._timer is None and not self._is_writing:
            self._timer = self._clock.callLater(self._interval, self._start)
        if len(rows) > self._limit:
            rows.popitem(last=False)
            self.dropped += 1

    async def flush(self) -> None:
        """Return when every row put so far is written; raises DatabaseUnavailable when not, and the rows stay."""
        # A round that is under way does not take what came after it began; the next one does.
        for _ in range(2):
            if not self._is_writing and not self._rows:
                return
            done: Deferred[None] = Deferred()
            self._waiting.append(done)
            if not self._is_writing:
                self._start()
            await done

    async def close(self) -> None:
        """Write what is left, once; what the database does not take then is lost, logged and counted in `dropped`."""
        self._is_closed = True
        try:
            await self.flush()
        except DatabaseUnavailable as error:
            log.error("{count} rows were lost at the end: {error}", count=self.pending, error=error)
            self.dropped += self.pending
            self._rows.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._is_writing = True
        self._round = Deferred.fromCoroutine(self._write_round()).addErrback(_log)

    async def _write_round(self) -> None:
        error: Exception | None = None
        try:
            await self._write_pending()
            self._failures = 0
        except DatabaseUnavailable as unavailable:
            error = self._keep(unavailable)
        except Exception as mistake:  # our own mistake must not stop the writing for ever
            log.failure("a write failed, its rows are kept")
            error = self._keep(mistake)
        self._is_writing = False
        self._schedule()
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if error is None:
                done.callback(None)
            else:
                done.errback(error)

    async def _write_pending(self) -> None:
        left = len(self._rows)
        while left > 0 and self._rows:
            count = min(left, CHUNK, len(self._rows))
            if count == len(self._rows):
                self._in_flight, self._rows = self._rows, OrderedDict()
            else:
                self._in_flight = OrderedDict(self._rows.popitem(last=False) for _ in range(count))
            await self._write_rows(list(self._in_flight.values()))
            self._in_flight = OrderedDict()
            left -= count

    async def _write_rows(self, rows: list[V]) -> None:
        try:
            await self._write(rows)
        except DatabaseUnavailable:
            raise
        except DatabaseError as error:
            if len(rows) > 1:
                # One row is bad: halve until it stands alone, so that it takes nobody with it.
                middle = len(rows) // 2
                await self._write_rows(rows[:middle])
                await self._write_rows(rows[middle:])
                return
            log.error("the database refused a row: {error}", error=error)
            self.dropped += 1

    def _keep(self, error: Exception) -> Exception:
        """Put the rows in flight back before the others, unless a newer row has their key."""
        self._in_flight.update(self._rows)
        self._rows, self._in_flight = self._in_flight, OrderedDict()
        while len(self._rows) > self._limit:
            self._rows.popitem(last=False)
            self.dropped += 1
        if self._failures == 0:
            log.warn("the store takes no rows, {count} are kept: {error}", count=len(self._rows), error=error)
        self._failures += 1
        return error

    def _schedule(self) -> None:
        if self._rows and not self._is_closed:
            delay = min(FIRST_DELAY * 2 ** (self._failures - 1), LAST_DELAY) if self._failures else self._interval
            self._timer = self._clock.callLater(delay, self._start)


def _log(failure: Failure) -> None:
    log.failure("a write round failed", failure)
