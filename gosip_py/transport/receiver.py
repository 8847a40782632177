"""From received bytes to the user above: parse, mark, count, hand up. No exception of a message goes past here."""

from __future__ import annotations

from collections.abc import Container

from twisted.logger import Logger

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Flow, Tap, TransportUser
from gosip_py.transport.via import mark_via

__all__ = ["Receiver"]


class Receiver:
    """What every transport hands its bytes or messages to. ``user`` must be set before anything is received.

    ``issued`` holds the sent-by values that stand in Vias of ours. ``tap`` sees each message first, if there is one.
    """

    log = Logger()

    __slots__ = ("_counts", "_issued", "tap", "user")

    user: TransportUser

    def __init__(self, counts: TransportCounts, issued: Container[str]) -> None:
        self._counts = counts
        self._issued = issued
        self.tap: Tap | None = None

    def receive_datagram(self, data: bytes, flow: Flow) -> None:
        """One datagram that is not a keep-alive."""
        try:
            message = parse_message(data)
        except ParseError as error:
            self.receive_fault(error, flow)
            return
        except Exception:
            self._note_failure(flow)
            return
        if "content-length" not in message.names:
            # RFC 3261 16.6 item 9: it may travel on over a stream, where nothing else tells its end.
            message.add("content-length", str(len(message.body)))
        self.receive(message, flow, data)

    def receive(self, message: Message, flow: Flow, data: bytes = b"") -> None:
        """One message; ``data`` are its octets, where they stand by themselves."""
        try:
            if self.tap is not None:
                self.tap.received(message, flow, data)
            if isinstance(message, Request):
                self._counts.count_received(message.method)
                mark_via(message, flow.remote[0], flow.remote[1])
                self.user.receive_request(message, flow)
            elif isinstance(message, Response):
                self._receive_response(message, flow)
        except ParseError as error:
            error.message = error.message or message
            self._pass_fault(error, flow)
        except Exception:
            self._note_failure(flow)

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        """Bytes that are no message. A request that could be read far enough to be answered is marked too."""
        if isinstance(error.message, Request):
            self._counts.count_received(error.message.method)
            try:
                mark_via(error.message, flow.remote[0], flow.remote[1])
            except ParseError:
                pass  # nobody to answer; whoever counts the fault finds that out by the same Via
        self._pass_fault(error, flow)

    def _receive_response(self, response: Response, flow: Flow) -> None:
        self._counts.count_received(response.cseq.method)
        sent_by = response.top_via.sent_by
        # RFC 3261 18.1.2: a response whose top Via is not ours is dropped
        if sent_by == flow.sent_by or sent_by in self._issued:
            self.user.receive_response(response, flow)
        else:
            self._counts.stray_responses += 1

    def _pass_fault(self, error: ParseError, flow: Flow) -> None:
        try:
            self.user.receive_fault(error, flow)
        except Exception:
            self._note_failure(flow)

    def _note_failure(self, flow: Flow) -> None:
        self._counts.internal_errors += 1
        host, transport = flow.remote[0], flow.transport
        self.log.failure("a message from {host} over {transport} broke us", host=host, transport=transport)
