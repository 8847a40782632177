"""What every part of the wiring stands on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs

from gosip_py.background import Background
from gosip_py.config import Settings
from gosip_py.events import Bus
from gosip_py.metrics import Metrics

__all__ = ["Ground", "StartFailed", "Stop"]

Stop = Callable[[], Awaitable[object]]


class StartFailed(Exception):
    """The server cannot start as it is set up; the text says what to change."""


@attrs.frozen
class Ground:
    """One server's settings and what belongs to no room.

    ``closing`` takes what closes each thing that was opened, so a start that fails half-way, a stop, and a stop during
    the start all leave nothing behind.
    """

    reactor: Any
    settings: Settings
    data_dir: Path
    bus: Bus = attrs.field(factory=Bus)
    metrics: Metrics = attrs.field(factory=Metrics)
    background: Background = attrs.field(factory=Background)
    closing: AsyncExitStack = attrs.field(factory=AsyncExitStack)

    def now(self) -> float:
        """Epoch seconds."""
        return float(self.reactor.seconds())
