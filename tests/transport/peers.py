"""Peers on real loopback sockets, and a user that can be waited for."""

from __future__ import annotations

from typing import cast

import attrs
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredQueue, maybeDeferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IReactorUDP, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import DatagramProtocol, Protocol, connectionDone
from twisted.python.failure import Failure

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transport.flow import Flow
from gosip_py.transport.reactor import ITransportReactor
from tests.network import RecordingUser

__all__ = ["REACTOR", "StreamPeer", "UdpPeer", "WaitingUser", "options"]

REACTOR = cast(ITransportReactor, reactor)


def options(via: str, *, body: bytes = b"", method: str = "OPTIONS") -> bytes:
    """A request whose Via value is ``via``."""
    head = (
        f"{method} sip:bob@127.0.0.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:alice@127.0.0.1>;tag=a1\r\nTo: <sip:bob@127.0.0.1>\r\n"
        f"Call-ID: c1\r\nCSeq: 7 {method}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@attrs.define
class WaitingUser(RecordingUser):
    """Puts everything into queues too; answers requests with ``status``, and faults with 400, when it is set."""

    status: int = 0
    requested: DeferredQueue[tuple[Request, Flow]] = attrs.field(factory=DeferredQueue)
    responded: DeferredQueue[tuple[Response, Flow]] = attrs.field(factory=DeferredQueue)
    faulted: DeferredQueue[tuple[ParseError, Flow]] = attrs.field(factory=DeferredQueue)
    failed: DeferredQueue[tuple[Flow, str]] = attrs.field(factory=DeferredQueue)

    def receive_request(self, request: Request, flow: Flow) -> None:
        if self.status:
            flow.answering(request.top_via).send(reply(request, self.status).to_bytes())
        RecordingUser.receive_request(self, request, flow)
        self.requested.put((request, flow))

    def receive_response(self, response: Response, flow: Flow) -> None:
        RecordingUser.receive_response(self, response, flow)
        self.responded.put((response, flow))

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        if self.status and isinstance(error.message, Request):
            flow.answering(error.message.top_via).send(reply(error.message, 400).to_bytes())
        RecordingUser.receive_fault(self, error, flow)
        self.faulted.put((error, flow))

    def flow_failed(self, flow: Flow, reason: str) -> None:
        RecordingUser.flow_failed(self, flow, reason)
        self.failed.put((flow, reason))


class UdpPeer(DatagramProtocol):
    """A phone's UDP socket: ``received`` gives its datagrams."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.received: DeferredQueue[bytes] = DeferredQueue()
        self._listening = cast(IReactorUDP, reactor).listenUDP(0, self, host, 65535)
        self.host = host
        self.port = cast(IPv4Address, self._listening.getHost()).port

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.put(datagram)

    def send(self, data: bytes, port: int) -> None:
        assert self.transport is not None
        self.transport.write(data, (self.host, port))

    async def close(self) -> None:
        await maybeDeferred(self._listening.stopListening)


class StreamPeer(Protocol):
    """A phone's connection: ``received`` gives what comes in, ``closed`` fires with the reason at its end."""

    def __init__(self) -> None:
        self.received: DeferredQueue[bytes] = DeferredQueue()
        self.closed: Deferred[str] = Deferred()
        self.is_closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_closed = True
        self.closed.callback(reason.getErrorMessage())

    @classmethod
    async def connect(cls, endpoint: IStreamClientEndpoint) -> StreamPeer:
        return await connectProtocol(endpoint, cls())

    def send(self, data: bytes) -> None:
        self.wire.write(data)

    @property
    def wire(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    @property
    def port(self) -> int:
        return cast(IPv4Address, self.wire.getHost()).port

    async def close(self) -> None:
        if not self.is_closed:
            self.wire.abortConnection()
            await self.closed
