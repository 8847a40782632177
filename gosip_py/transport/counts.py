"""What the transports count: messages by method and direction, and what went wrong below the messages."""

from __future__ import annotations

import re
from functools import partial

from gosip_py.metrics import OTHER, Metrics

__all__ = ["METHODS", "TransportCounts"]

METHODS = (
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER", "REGISTER",
    "SUBSCRIBE", "UPDATE",
)  # fmt: skip

EVENTS = (
    "failed_reads", "failed_sends", "internal_errors", "keep_alives", "lost_sends", "refused_connections",
    "stray_responses", "stun_requests", "timed_out_connections",
)  # fmt: skip

_CSEQ = re.compile(rb"\r\nCSeq[ \t]*:\s*[0-9]+[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)", re.IGNORECASE)


class TransportCounts:
    """Plain sums since the start: the messages are cells of the metrics, the events are read at each scrape."""

    __slots__ = (
        "_other_sent",
        "_sent",
        "failed_reads",
        "failed_sends",
        "internal_errors",
        "keep_alives",
        "lost_sends",
        "other_received",
        "received",
        "refused_connections",
        "stray_responses",
        "stun_requests",
        "timed_out_connections",
    )

    def __init__(self, metrics: Metrics) -> None:
        child = metrics.messages.child
        self.received = {method: child(method, "in") for method in METHODS}
        self.other_received = child(OTHER, "in")
        self._sent = {method.encode(): child(method, "out") for method in METHODS}
        self._other_sent = child(OTHER, "out")
        self.failed_reads = 0
        self.failed_sends = 0  # the socket refused
        self.lost_sends = 0  # a bounded queue was full
        self.internal_errors = 0  # exceptions of our own, logged
        self.keep_alives = 0
        self.stray_responses = 0  # responses to what is not ours
        self.stun_requests = 0  # that were answered
        self.refused_connections = 0
        self.timed_out_connections = 0
        for event in EVENTS:
            metrics.transport_events.read_from(event, partial(getattr, self, event))

    def count_received(self, method: str) -> None:
        self.received.get(method, self.other_received).value += 1

    def count_sent(self, data: bytes) -> None:
        """Count the message in ``data`` under its method, which in a response only CSeq tells."""
        method = _method_of(data) if data[:4] == b"SIP/" else data[: data.find(b" ")]
        self._sent.get(method, self._other_sent).value += 1


def _method_of(data: bytes) -> bytes:
    at = data.find(b"\r\nCSeq: ")
    if at >= 0:
        end = data.find(b"\r\n", at + 8)
        return data[data.rfind(b" ", at, end) + 1 : end]
    match = _CSEQ.search(data)
    return match[1] if match is not None else b""
