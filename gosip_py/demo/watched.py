"""Stands between a phone's transactions and its transport, and notes each message that passes, with its time."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.layer import TransportLayer

__all__ = ["Sighting", "WatchedTransport"]


@attrs.frozen
class Sighting:
    """A message that ``phone`` sent or received at ``at``, in epoch seconds."""

    at: float
    phone: str
    is_sent: bool
    message: Message

    @property
    def kind(self) -> str:
        """The method of a request; code and method of a response, as in "200 INVITE"."""
        message = self.message
        method = message.cseq.method
        return f"{message.status} {method}" if isinstance(message, Response) else method


Note = Callable[[bool, Message], None]
"""Hears of a message: whether it was sent, and what it was."""


class WatchedTransport:
    """The transport as the transactions see it, and the user that the transport sees. Set ``layer`` before use."""

    layer: TransactionLayer

    def __init__(self, transport: TransportLayer, note: Note) -> None:
        self._transport = transport
        self._note = note
        self._flows: dict[Flow, _WatchedFlow] = {}
        transport.user = self

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        return self._watched(self._transport.flow_to(target, size, allow_upgrade))

    def receive_request(self, request: Request, flow: Flow) -> None:
        self._note(False, request)
        self.layer.receive_request(request, self._watched(flow))

    def receive_response(self, response: Response, flow: Flow) -> None:
        self._note(False, response)
        self.layer.receive_response(response, self._watched(flow))

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        self.layer.receive_fault(error, self._watched(flow))

    def flow_failed(self, flow: Flow, reason: str) -> None:
        self.layer.flow_failed(self._watched(flow), reason)

    def _watched(self, flow: Flow) -> _WatchedFlow:
        """The one watched flow of a flow: transactions are found by it."""
        watched = self._flows.get(flow)
        if watched is None:
            watched = self._flows[flow] = _WatchedFlow(flow, self._note, self._watched)
        return watched


class _WatchedFlow(Flow):
    """A flow whose messages are noted on the way out."""

    __slots__ = ("_flow", "_note", "_watched", "is_reliable", "is_secure")

    def __init__(self, flow: Flow, note: Note, watched: Callable[[Flow], Flow]) -> None:
        self.transport, self.local, self.remote = flow.transport, flow.local, flow.remote
        self.via_head, self.sent_by, self.record_route = flow.via_head, flow.sent_by, flow.record_route
        self.is_reliable, self.is_secure = flow.is_reliable, flow.is_secure
        self._flow = flow
        self._note = note
        self._watched = watched

    @property
    def is_open(self) -> bool:
        return self._flow.is_open

    def send(self, data: bytes) -> None:
        self._note(True, parse_message(data))
        self._flow.send(data)

    def answering(self, via: Via) -> Flow:
        return self._watched(self._flow.answering(via))
