"""Coroutines that nobody waits for: named while they run, logged when they fail, awaited at shutdown."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Background"]


class Background:
    """The running coroutines of one service."""

    log = Logger()

    def __init__(self) -> None:
        self._running: dict[Deferred[None], str] = {}
        self._is_stopping = False
        self._stops: list[Deferred[None]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """What runs now, oldest first."""
        return tuple(self._running.values())

    def start(self, name: str, coroutine: Coroutine[Deferred[Any], Any, object]) -> Deferred[None]:
        """Run `coroutine` under `name`. The Deferred fires with None when it has ended, however it ended.

        A failure is logged once, with the name. Once the registry stops, nothing new is run: the coroutine is closed
        unstarted.
        """
        if self._is_stopping:
            coroutine.close()
            self.log.warn("{name} was not started: shutting down", name=name)
            return succeed(None)
        running: Deferred[None] = Deferred.fromCoroutine(coroutine).addCallback(_forget)
        self._running[running] = name
        return running.addBoth(self._finish, running, name)

    async def stop(self) -> None:
        """Cancel everything that runs, and wait until all of it has ended."""
        # Cancelling twice would interrupt what a coroutine still tidies up after the first time.
        was_stopping, self._is_stopping = self._is_stopping, True
        for running in () if was_stopping else tuple(self._running):
            running.cancel()
        if self._running:
            drained: Deferred[None] = Deferred()
            self._stops.append(drained)
            await drained

    def _finish(self, result: Failure | None, running: Deferred[None], name: str) -> None:
        del self._running[running]
        if isinstance(result, Failure) and not result.check(CancelledError):
            self.log.failure("{name} failed", result, name=name)
        while self._stops and not self._running:
            self._stops.pop().callback(None)


def _forget(_result: object) -> None:
    """The result of a background coroutine is nobody's."""
