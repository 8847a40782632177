"""Calls as the API sees them, without phones: rows that a test puts there, and a list of what was commanded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gosip_py.call.live_rows import Commanded, CommandFailed, LiveCall, LiveLeg

__all__ = ["Calls", "leg", "live"]


def leg(name: str, user_id: int | None = None, device_id: int | None = None, **fields: Any) -> LiveLeg:
    """An answered leg whose id is its party's name with "-leg"."""
    given: dict[str, Any] = {"role": "caller", "state": "established", "kind": "user"}
    return LiveLeg(id=f"{name}-leg", party=name, user_id=user_id, device_id=device_id, **given | fields)


def live(name: str, *legs: LiveLeg, **fields: Any) -> LiveCall:
    """An answered call between two people."""
    given: dict[str, Any] = {"kind": "bridged", "state": "answered", "direction": "internal", "started_at": 1000.0}
    given |= {"caller": "alice", "callee": "bob", "caller_uri": "sip:alice@h", "callee_uri": "sip:bob@h"}
    return LiveCall(id=name, legs=legs, **given | fields)


class Calls:
    """LiveCalls whose commands succeed at once, unless `failure` is set."""

    def __init__(self) -> None:
        self.rows: list[LiveCall] = []
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.failure: CommandFailed | None = None

    def list(self) -> Sequence[LiveCall]:
        return self.rows

    def get(self, call_id: str) -> LiveCall | None:
        return next((row for row in self.rows if row.id == call_id), None)

    def _do(self, command: str, call_id: str, orbit: str = "", **options: Any) -> Commanded:
        self.commands.append((command, options))
        if self.failure is not None:
            raise self.failure
        return Commanded(call_id, 200, "OK", "answered", orbit)

    async def hang_up(self, call_id: str, *, by: int | None = None) -> Commanded:
        return self._do("hang_up", call_id, by=by)

    async def hold(self, call_id: str, *, leg: str = "", by: int | None = None) -> Commanded:
        return self._do("hold", call_id, leg=leg, by=by)

    async def resume(self, call_id: str, *, leg: str = "", by: int | None = None) -> Commanded:
        return self._do("resume", call_id, leg=leg, by=by)

    async def transfer(
        self, call_id: str, *, target: str, kind: Literal["blind", "attended"], leg: str = "", by: int | None = None
    ) -> Commanded:
        return self._do("transfer", call_id, target=target, kind=kind, leg=leg, by=by)

    async def park(self, call_id: str, *, orbit: str = "", leg: str = "", by: int | None = None) -> Commanded:
        return self._do("park", call_id, orbit or "701", leg=leg, by=by)

    async def pick_up(self, call_id: str, *, by: int, device_id: int | None = None) -> Commanded:
        return self._do("pick_up", call_id, by=by, device_id=device_id)

    async def dtmf(
        self, call_id: str, *, digits: str, leg: str = "", by: int | None = None, milliseconds: int = 160
    ) -> Commanded:
        return self._do("dtmf", call_id, digits=digits, leg=leg, by=by, milliseconds=milliseconds)

    async def record(self, call_id: str) -> Commanded:
        return self._do("record", call_id)

    async def start(self, *, by: int, target: str, device_id: int | None = None, auto_answer: bool = False) -> LiveCall:
        self._do("start", "", by=by, target=target, device_id=device_id, auto_answer=auto_answer)
        made = live("new", state="ringing", callee=target)
        self.rows.append(made)
        return made
