"""What the API shows of the calls that go on, as records, and how it is told that a command came to nothing."""

from __future__ import annotations

from typing import Literal

import attrs

from gosip_py.events import Direction

__all__ = ["CommandFailed", "Commanded", "LegState", "LiveCall", "LiveLeg", "LiveNote"]

LegState = Literal["trying", "ringing", "established", "ended"]
CallState = Literal["trying", "ringing", "answered", "held", "parked", "transferring", "ended"]


class CommandFailed(Exception):
    """A command did not happen. ``status`` is that of HTTP or of the SIP response, ``text`` says what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


@attrs.frozen
class LiveNote:
    """Something that happened to a call: a transfer, a pickup, a forward. ``at`` is in epoch seconds."""

    at: float
    kind: str
    by: str = ""
    target: str = ""
    result: str = ""
    call_id: str = ""


@attrs.frozen
class LiveLeg:
    """One phone in a call. ``is_held``: the phone itself holds the other; times are in epoch seconds."""

    id: str
    role: Literal["caller", "callee", "target", "parked"]
    party: str
    state: LegState
    display: str = ""
    uri: str = ""
    kind: str = "outside"
    user_id: int | None = None
    device_id: int | None = None
    is_held: bool = False
    user_agent: str = ""
    codecs: tuple[str, ...] = ()
    answered_at: float | None = None


@attrs.frozen
class LiveCall:
    """One call. ``id`` is that of its journal row, ``orbit`` where it is parked; times are in epoch seconds.

    A ``proxied`` call travels between the phones themselves, which take no commands: it can only be hung up.
    """

    id: str
    kind: Literal["bridged", "proxied"]
    state: CallState
    direction: Direction
    caller: str
    callee: str
    caller_uri: str
    callee_uri: str
    started_at: float
    answered_at: float | None = None
    legs: tuple[LiveLeg, ...] = ()
    history: tuple[LiveNote, ...] = ()
    linked_to: tuple[str, ...] = ()
    orbit: str = ""

    @property
    def user_ids(self) -> frozenset[int]:
        """Our people in it."""
        return frozenset(leg.user_id for leg in self.legs if leg.user_id is not None)

    @property
    def device_ids(self) -> frozenset[int]:
        """Our devices in it."""
        return frozenset(leg.device_id for leg in self.legs if leg.device_id is not None)


@attrs.frozen
class Commanded:
    """What came of a command: ``status`` is that of the SIP response that settled it."""

    call_id: str
    status: int
    text: str
    state: CallState
    orbit: str = ""
