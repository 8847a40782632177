"""What the operating system's signals mean to the server.

SIGTERM and SIGINT end with exit code 0 once everything is closed, where Twisted would end by the signal; a second one
hurries. SIGHUP reloads.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["Signals"]


class Signals:
    """Takes the signals over when the reactor runs, and gives them back."""

    def __init__(self, reactor: Any, stop: Callable[[], object], reload: Callable[[], object]) -> None:
        self._reactor = reactor
        self._stop = stop
        self._reload = reload
        self._before: dict[int, Any] = {}
        self._is_given_back = False
        self._is_stopping = False
        self.is_hurried = False

    def take(self) -> None:
        """From now on, or from when the reactor runs: it installs its own handlers then."""
        self._reactor.callWhenRunning(self._install)

    def give_back(self) -> None:
        """Whoever handled them before does so again."""
        self._is_given_back = True
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _install(self) -> None:
        if not self._is_given_back:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._received_stop)
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._received_reload)

    def _received_stop(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopping:
            self.is_hurried = True
        else:
            self._is_stopping = True
            self._reactor.callFromThread(self._stop)

    def _received_reload(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._reload)
