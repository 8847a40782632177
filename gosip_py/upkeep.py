"""What goes on beside the calls while the server runs: following changes that others make, dropping what is too old."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger

from gosip_py.background import Background
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.directory import Directory

__all__ = ["DAY", "Upkeep"]

FOLLOW_SECONDS = 5.0  # how soon a change that another process made to users and devices is seen
TIDY_SECONDS = 3600.0
DAY = 86400.0

Prune = tuple[Callable[[float], Awaitable[object]], float]
"""Drops what is older than a point in time, and how many seconds are kept."""


class Upkeep:
    """Runs until its background is stopped. While the store is away it waits for the next turn."""

    log = Logger()

    def __init__(self, reactor: Any, background: Background, directory: Directory, prunes: Sequence[Prune]) -> None:
        self._reactor = reactor
        self._background = background
        self._directory = directory
        self._prunes = prunes

    def start(self) -> None:
        """Begin both chores."""
        _ = self._background.start("follow the directory", self._follow())
        _ = self._background.start("tidy the store", self._tidy())

    async def _follow(self) -> None:
        while True:
            await deferLater(self._reactor, FOLLOW_SECONDS)
            try:
                await self._directory.follow()
            except DatabaseUnavailable:
                continue  # what is in memory goes on serving

    async def _tidy(self) -> None:
        while True:
            try:
                for prune, kept_seconds in self._prunes:
                    await prune(self._reactor.seconds() - kept_seconds)
            except DatabaseUnavailable:
                self.log.info("the store is not tidied now: it does not answer")
            await deferLater(self._reactor, TIDY_SECONDS)
