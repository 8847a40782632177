"""What goes on at the numbers that are nobody's own, as the calls tell it: park orbits and ring groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gosip_py.events import Bus, LineChanged

__all__ = ["LineStates"]

_NOTHING: Mapping[str, str] = {}


class LineStates:
    """The calls at each line, as states of RFC 4235: early or confirmed.

    ``changed`` is told which line is not as it was.
    """

    def __init__(self, bus: Bus) -> None:
        self.changed: Callable[[str], object] = _unheard
        self._calls: dict[str, dict[str, str]] = {}
        bus.subscribe(LineChanged, self._line_changed)

    def at(self, line: str) -> Mapping[str, str]:
        """The state of each call at a line, by the name of the call."""
        return self._calls.get(line, _NOTHING)

    def _line_changed(self, event: LineChanged) -> None:
        calls = self._calls.setdefault(event.line, {})
        if event.state == "terminated":
            calls.pop(event.call, None)
        else:
            calls[event.call] = event.state
        if not calls:
            del self._calls[event.line]
        self.changed(event.line)


def _unheard(_line: str) -> None:
    """Nobody watches yet."""
