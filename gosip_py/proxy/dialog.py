"""One dialog that passes through the proxy (RFC 3261 12), and its two parties."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gosip_py.events import EndedBy
from gosip_py.sip.errors import ParseError
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.session_timer import Asked, timer_of
from gosip_py.transaction.timers import Timer
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.proxy.call import Call

__all__ = ["Party", "Session", "contact_of", "is_first_hand", "routes_of"]


class Party:
    """One side of a session: its tag, the contact that reaches it, and the flow on which its phone was heard.

    ``flow`` is None when others stand between us and the phone. ``number`` is the highest CSeq of its requests, 0
    before the first.
    """

    __slots__ = ("contact", "flow", "number", "tag")

    def __init__(self, tag: str, contact: str, flow: Flow | None, number: int = 0) -> None:
        self.tag = tag
        self.contact = contact
        self.flow = flow
        self.number = number


class Session:
    """One dialog between caller and callee; ``state`` is early, active or terminated.

    ``call`` is the call that opened it. ``calls`` are those that it answered: an INVITE that comes back to us on its
    way is a call of its own, with the same dialog (a spiral, RFC 3261 16.3).

    ``session_expires`` and ``refresher`` stand in the last 2xx that brought a session timer, ``refreshed_by`` is the
    side that is meant by it, ``expires_at`` in epoch seconds when nobody refreshes, ``min_se`` the least interval that
    was asked for.
    """

    __slots__ = (
        "__weakref__",
        "answered_at",
        "call",
        "call_id",
        "callee",
        "callee_uri",
        "caller",
        "caller_uri",
        "calls",
        "created_at",
        "ended_at",
        "ended_by",
        "expires_at",
        "id",
        "min_se",
        "refreshed_by",
        "refresher",
        "route_set",
        "session_expires",
        "state",
        "timer",
    )

    def __init__(self, call: Call, call_id: str, caller: Party, callee: Party, created_at: float) -> None:
        self.id = f"{int(created_at * 1000):012x}{new_token(12)}"
        self.call = call
        self.calls: tuple[Call, ...] = ()
        self.call_id = call_id
        self.caller = caller
        self.callee = callee
        self.caller_uri = call.caller_uri
        self.callee_uri = call.callee_uri
        self.state = "early"
        self.created_at = created_at
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by: EndedBy | None = None
        self.route_set: list[str] = []
        self.session_expires: int | None = None
        self.expires_at: float | None = None
        self.min_se: int | None = None
        self.refresher: str | None = None
        self.refreshed_by: EndedBy | None = None
        self.timer: Timer | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.call_id, self.caller.tag, self.callee.tag

    def sides(self, from_tag: str) -> tuple[Party, Party]:
        """The sender of a request with this From tag, and the other side."""
        return (self.caller, self.callee) if from_tag == self.caller.tag else (self.callee, self.caller)

    def is_from(self, request: Request, flow: Flow) -> bool:
        """Whether a request within it that came on ``flow`` is from where its sender was heard before.

        Who has an address of its own, and says so in its contact, shares that with nobody. Where others stand between,
        or the sender is none of ours, it cannot be told.
        """
        sender = self.sides(request.from_tag)[0]
        known = sender.flow
        if known is None or known is flow or (known.transport, known.remote) == (flow.transport, flow.remote):
            return True
        host = flow.remote[0]
        if known.remote[0] == host and f"@{f'[{host}]' if ':' in host else host}" in sender.contact:
            return True
        return self.call.direction == ("inbound" if sender is self.caller else "outbound")

    def side_name(self, from_tag: str) -> EndedBy:
        return "caller" if from_tag == self.caller.tag else "callee"

    @property
    def route_set_json(self) -> str:
        return json.dumps(self.route_set)

    def move(self, message: Message, sender: Party) -> None:
        """Take over the target that a re-INVITE, an UPDATE or its 2xx brings (RFC 3261 12.2)."""
        contact = contact_of(message)
        if contact:
            sender.contact = contact

    def refresh(self, response: Response, answering: Party, now: float, asked: Asked | None) -> None:
        """Take over what a 2xx to a refresh agreed on: with none in it there is no session timer (RFC 4028 8.2)."""
        self.move(response, answering)
        if "session-expires" not in response.names and self.session_expires is None:
            return
        self.session_expires, self.refresher = seconds, refresher = timer_of(response)
        self.expires_at = now + seconds if seconds else None
        self.min_se = asked.min_se if seconds and asked is not None else None
        is_caller = (answering is self.caller) is (refresher == "uas")
        self.refreshed_by = None if refresher is None else "caller" if is_caller else "callee"


def is_first_hand(request: Request) -> bool:
    """Whether nobody forwarded it: then its contact is reached where it came from, whatever a NAT does to addresses."""
    return request.names.count("via") == 1 and "," not in request.lines[request.names.index("via")]


def contact_of(message: Message) -> str:
    """The URI of the first Contact, empty when there is none or it cannot be read."""
    value = message.value("contact")
    if value is None:
        return ""
    start = value.find("<", value.find('"', 1) if value[0:1] == '"' else 0)
    if start >= 0:
        return value[start + 1 : value.find(">", start)]
    return value.partition(";")[0].strip()


def routes_of(response: Response) -> list[str]:
    """The Record-Route values; none when they cannot be told from each other.

    The phones make of them what they can: whoever forwards an answer need not understand it.
    """
    try:
        return response.values("record-route")
    except ParseError:
        return []
