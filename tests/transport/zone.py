"""What DNS says, as a table, for tests that ask no name server; and addresses that the system knows."""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.transport.records import Answer, Kind, Record

__all__ = ["System", "Zone"]

NEGATIVE_TTL = 20.0


class Zone:
    """Records by kind and name. While it ``is_held`` answers wait for `release`; an ``is_silent`` one knows nothing."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, Kind], Answer] = {}
        self.asked: list[tuple[str, Kind]] = []
        self.is_held = False
        self.is_silent = False
        self._held: list[Callable[[], None]] = []

    def put(self, name: str, kind: Kind, *records: Record, ttl: float = 300.0) -> None:
        self.answers[name, kind] = Answer(records, ttl)

    def ask(self, name: str, kind: Kind, told: Callable[[Answer], None]) -> None:
        self.asked.append((name, kind))
        answer = self.answers.get((name, kind), Answer((), NEGATIVE_TTL))
        if self.is_silent:
            answer = Answer((), 5.0, is_silent=True)
        if self.is_held:
            self._held.append(lambda: told(answer))
        else:
            told(answer)

    def release(self) -> None:
        """Give the answers that wait, the last question first."""
        held, self._held = self._held, []
        for each in reversed(held):
            each()


class System:
    """What the system's own resolver knows."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, ...]] = {}
        self.asked: list[str] = []
        self.is_held = False

    def resolve(self, host: str, callback: Callable[[tuple[str, ...]], None]) -> None:
        self.asked.append(host)
        if not self.is_held:
            callback(self.known.get(host, ()))
