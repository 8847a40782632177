"""A browser's end of a WebSocket, as octets in and octets out, and the same on a real loopback socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

__all__ = ["Browser", "BrowserPeer"]


class Browser:
    """``messages`` are the complete ones that came, as str or bytes; ``status`` is what answered the handshake."""

    def __init__(self) -> None:
        self._socket = WSConnection(ConnectionType.CLIENT)
        self._piece: str | bytes | None = None
        self.messages: list[str | bytes] = []
        self.status = 0
        self.subprotocol: str | None = None
        self.refusal = b""
        self.pings = 0
        self.pongs: list[bytes] = []
        self.closed_with: tuple[int, str] | None = None

    def hello(self, subprotocols: Sequence[str] = ("sip",), origin: str = "", path: str = "/") -> bytes:
        """The handshake request."""
        headers = [(b"Origin", origin.encode())] if origin else []
        request = Request("pbx.example.com", path, subprotocols=list(subprotocols), extra_headers=headers)
        return self._socket.send(request)

    def text(self, message: str, is_last: bool = True) -> bytes:
        """A text frame."""
        return self._socket.send(TextMessage(message, message_finished=is_last))

    def binary(self, message: bytes, is_last: bool = True) -> bytes:
        """A binary frame."""
        return self._socket.send(BytesMessage(message, message_finished=is_last))

    def ping(self, payload: bytes = b"") -> bytes:
        """A ping frame."""
        return self._socket.send(Ping(payload))

    def pong(self) -> bytes:
        """A pong frame."""
        return self._socket.send(Pong())

    def close(self) -> bytes:
        """A close frame."""
        return self._socket.send(CloseConnection(1000, "bye"))

    def read(self, data: bytes) -> bytes:
        """Take in what came; what a browser answers by itself."""
        self._socket.receive_data(data)
        return b"".join(map(self._note, self._socket.events()))

    def _note(self, event: Event) -> bytes:
        if isinstance(event, AcceptConnection):
            self.status, self.subprotocol = 101, event.subprotocol
        elif isinstance(event, RejectConnection):
            self.status = event.status_code
        elif isinstance(event, RejectData):
            self.refusal += event.data
        elif isinstance(event, TextMessage | BytesMessage):
            self._gather(event)
        elif isinstance(event, Ping):
            self.pings += 1
            return self._socket.send(event.response())
        elif isinstance(event, Pong):
            self.pongs.append(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self.closed_with = (int(event.code), event.reason or "")
        return b""

    def _gather(self, event: TextMessage | BytesMessage) -> None:
        piece = event.data if isinstance(event, TextMessage) else bytes(event.data)
        self._piece = piece if self._piece is None else self._piece + piece  # type: ignore[operator]  # of one kind
        if event.message_finished:
            self.messages.append(self._piece)
            self._piece = None


class BrowserPeer(Protocol):
    """A browser on a connection: ``received`` gives its messages as octets, ``closed`` fires at its end."""

    def __init__(self, subprotocols: Sequence[str] = ("sip",), origin: str = "") -> None:
        self.browser = Browser()
        self.received: DeferredQueue[bytes] = DeferredQueue()
        self.shaken: Deferred[int] = Deferred()
        self.closed: Deferred[str] = Deferred()
        self.is_closed = False
        self._hello = (subprotocols, origin)

    @classmethod
    async def connect(
        cls, endpoint: IStreamClientEndpoint, subprotocols: Sequence[str] = ("sip",), origin: str = ""
    ) -> BrowserPeer:
        """A connection whose handshake was answered: `status` says how."""
        peer = await connectProtocol(endpoint, cls(subprotocols, origin))
        await peer.shaken
        return peer

    @property
    def status(self) -> int:
        """What the handshake was answered with."""
        return self.browser.status

    @property
    def port(self) -> int:
        """Its own port."""
        return cast(IPv4Address, self._wire.getHost()).port

    @property
    def _wire(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def connectionMade(self) -> None:
        self._wire.write(self.browser.hello(*self._hello))

    def dataReceived(self, data: bytes) -> None:
        answer = self.browser.read(data)
        if answer:
            self._wire.write(answer)
        if self.browser.status and not self.shaken.called:
            self.shaken.callback(self.browser.status)
        messages, self.browser.messages = self.browser.messages, []
        for message in messages:
            self.received.put(message.encode() if isinstance(message, str) else message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_closed = True
        if not self.shaken.called:
            self.shaken.callback(0)
        self.closed.callback(reason.getErrorMessage())

    def send(self, message: bytes) -> None:
        """One message, as a browser sends it: text."""
        self._wire.write(self.browser.text(message.decode()))

    async def close(self) -> None:
        """Cut the connection."""
        if not self.is_closed:
            self._wire.abortConnection()
            await self.closed
