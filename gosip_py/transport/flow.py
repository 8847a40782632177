"""What the transports are to the rooms above: flows, targets, and the Protocol of whoever receives.

A flow is one way to reach one peer (RFC 5626 3.1): our socket, the peer's address, the transport. For UDP it costs
nothing to make, to share and to drop; for TCP and TLS it is the connection.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via
from gosip_py.sip.message import Message, Request, Response

__all__ = ["Address", "Flow", "Tap", "Target", "TransportUser"]

KEEP_ALIVE = b"\r\n\r\n"  # RFC 3261 7.5, RFC 5626 3.5.1

Address = tuple[str, int]  # numeric host without brackets, port


class Flow:
    """One way to reach one peer.

    ``via_head`` is our Via value up to the branch (``SIP/2.0/UDP 192.0.2.1:5060;rport;branch=``); ``sent_by`` the
    host and port in it; ``record_route`` the value that brings later requests of a dialog back to the same socket
    (``<sip:192.0.2.1:5060;transport=tcp;lr>``). ``identities`` are the SIP domains and user URIs that the verified
    certificate of a client names (RFC 5922 7.1), empty where nobody showed one. ``is_only_way`` says that nothing but
    this flow reaches the peer: when it is gone, no response can go by another (RFC 7118 5).
    """

    __slots__ = ("local", "record_route", "remote", "sent_by", "transport", "via_head")

    is_reliable = False
    is_secure = False
    is_only_way = False
    identities: tuple[str, ...] = ()

    transport: str  # "UDP", "TCP", "TLS", "WS", "WSS"
    local: Address
    remote: Address
    via_head: str
    sent_by: str
    record_route: str

    @property
    def is_open(self) -> bool:
        """Whether a send may still arrive. A flow that is connecting counts as open."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Hand ``data`` to the socket. Never blocks, never raises: failures go to the user as ``flow_failed``."""
        raise NotImplementedError

    def keep_alive(self) -> None:
        """Send what is no message, so that a NAT on the way keeps the way open. Never raises, as `send`."""
        self.send(KEEP_ALIVE)

    def answering(self, via: Via) -> Flow:
        """The flow for responses to a request with this top Via that arrived here (RFC 3261 18.2.2, RFC 3581 4)."""
        raise NotImplementedError


@attrs.frozen(slots=False)  # made for each request, in half the time that slots of a frozen class take
class Target:
    """Where a request should go: numeric or named host; ``flow`` is tried first while it is open (RFC 5626 5.3).

    What a URI leaves open is found out by `Locator` (RFC 3263 4): an empty ``transport``, which must be one with TLS if
    ``is_secure``, and ``port`` 0. ``domain`` is the name that was asked for, where ``host`` is an address that was
    found for it: a certificate must name it (RFC 5922 4).
    """

    transport: str
    host: str
    port: int
    flow: Flow | None = None
    domain: str = ""
    is_secure: bool = False


class Tap(Protocol):
    """Whoever keeps what comes and goes, as it was on the wire. Must be quick, and must not raise."""

    def received(self, message: Message, flow: Flow, octets: bytes) -> None:
        """A message came; ``octets`` are empty where it came out of a stream."""

    def sent(self, octets: bytes, flow: Flow) -> None:
        """A message, or a keep-alive, was sent."""


class TransportUser(Protocol):
    """Whoever stands above the transports: the transaction layer."""

    def receive_request(self, request: Request, flow: Flow) -> None:
        """A request whose top Via has been marked with received and rport."""

    def receive_response(self, response: Response, flow: Flow) -> None:
        """A response."""

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        """Bytes that are no SIP message; ``error.message`` is set when the sender can be answered."""

    def flow_failed(self, flow: Flow, reason: str) -> None:
        """What was sent on ``flow`` may be lost. Never called from inside ``send``.

        For a connection: once, when it ends, however it ended, and again when somebody still sends on it. For UDP: the
        socket refused a datagram to this peer; the flow stays open, for the next one may pass.
        """
