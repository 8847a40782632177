"""A call: one initial INVITE, from its arrival to the one ending that the journal gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from gosip_py.events import CallAnswered, CallEnded, CallRinging, Direction, EndedBy, Result
from gosip_py.proxy.dialog import Session, contact_of, is_first_hand
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Request, Response
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.proxy.session import Sessions

__all__ = ["Call", "Caller"]


@attrs.frozen
class Caller:
    """Who makes a call: ``user`` as authenticated (or as From says, when trusted), and the device that it came from."""

    user: str
    direction: Direction = "internal"
    device_id: int | None = None


class Call:
    """One initial INVITE and what became of it. ``id`` sorts by time.

    Of the INVITE only what the sessions need is kept: a call may last for hours.
    """

    __slots__ = (
        "answered_at",
        "callee_uri",
        "caller_contact",
        "caller_flow",
        "caller_number",
        "caller_uri",
        "direction",
        "early",
        "give_up",
        "gone",
        "id",
        "is_over",
        "is_ringing",
        "live",
        "registry",
        "started_at",
    )

    def __init__(
        self, registry: Sessions, request: Request, arrived_on: Flow, started_at: float, direction: Direction
    ) -> None:
        self.id = f"{int(started_at * 1000):012x}{new_token(12)}"
        self.registry = registry
        self.caller_contact = contact_of(request)
        self.caller_flow = arrived_on if is_first_hand(request) else None
        self.caller_number = request.cseq.number
        self.caller_uri = request.from_.uri_text
        self.callee_uri = request.to.uri_text
        self.started_at = started_at
        self.direction = direction
        self.is_ringing = False
        self.answered_at: float | None = None
        self.live = 0  # sessions of this call that are active
        self.early: list[Session] = []
        self.gone: tuple[str, ...] = ()  # To tags of sessions that were active: their 2xx may be repeated
        self.is_over = False
        self.give_up: Callable[[str], None] | None = None  # refuses the INVITE and stops who rings

    def ringing(self, code: int, to_tag: str) -> None:
        if not self.is_ringing:
            self.is_ringing = True
            self.registry.bus.publish(CallRinging(self.id, self.registry.now(), code, to_tag))

    def answered(self, response: Response) -> None:
        self.give_up = None
        if self.answered_at is None:
            self.answered_at = now = self.registry.now()
            self.registry.bus.publish(CallAnswered(self.id, now, response.to_tag, response.status, response.reason))
            self.registry.metrics.call_setup_seconds.child().observe(now - self.started_at)

    def end(self, result: Result, code: int, reason: str, ended_by: EndedBy) -> None:
        """Close the books of this call; only the first ending counts."""
        if self.is_over:
            return
        self.is_over = True
        self.give_up = None
        for session in tuple(self.early):
            self.registry.terminate(session, ended_by)
        self.registry.call_ended(self, CallEnded(self.id, self.registry.now(), result, code, reason, ended_by))
