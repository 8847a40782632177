"""SIP over WebSocket, as the server: browsers connect to us, and nobody can connect to them (RFC 7118, RFC 6455).

wsproto speaks the handshake and the frames; here is what SIP adds: the subprotocol, one message for each WebSocket
message, the bounds. Compression is not offered: a small frame must not become a large message.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
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
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, RemoteProtocolError

from gosip_py.sip.headers import Via
from gosip_py.sip.parser import LARGEST_MESSAGE
from gosip_py.transport.flow import Flow
from gosip_py.transport.tcp import StreamConnection, StreamFlow, StreamOwner

__all__ = ["SecureWebSocketFlow", "WebSocketConnection", "WebSocketFlow"]

_SUBPROTOCOL = "sip"
_PING = b"\r\n\r\n"
_PONG = b"\r\n"


class WebSocketFlow(StreamFlow):
    """A WebSocket that a client opened."""

    __slots__ = ()

    is_only_way = True

    def answering(self, via: Via) -> Flow:
        # RFC 7118 5.3: responses can only be sent over the connection of the request
        return self


class SecureWebSocketFlow(WebSocketFlow):
    """The same over TLS."""

    __slots__ = ()

    is_secure = True


class WebSocketConnection(StreamConnection):
    """Frames of one connection to messages, and back.

    ``origins`` are the web sites whose pages may connect, as browsers write them (``https://phone.example.com``); with
    none every page may. A client that is no browser sends no Origin and is not asked for one (RFC 6455 10.2).
    """

    def __init__(
        self, owner: StreamOwner, flow: StreamFlow, admitted_host: str = "", origins: Collection[str] = ()
    ) -> None:
        super().__init__(owner, flow, admitted_host)
        self._is_handshaking = True  # until the upgrade, with TLS below it or without
        self._origins = origins
        self._socket = WSConnection(ConnectionType.SERVER)
        self._message = bytearray()
        self._is_unfinished = False  # a message has begun
        self._is_heard = True
        self._is_pinged = False
        self._heard_at = owner.seconds()

    def _encrypted(self) -> None:
        """The upgrade is still to come."""

    def _take(self, data: bytes) -> None:
        self._is_heard = True
        if self._is_handshaking:
            self._shake_hands(data)
        else:
            self._read_frames(data)

    # -- the handshake (RFC 7118 4.1) --------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        try:
            self._socket.receive_data(data)
            for event in self._socket.events():
                if isinstance(event, Request):
                    self._answer(event)
        except (ProtocolError, ValueError) as error:  # a header that is not ASCII is a ValueError
            hint = error.event_hint if isinstance(error, RemoteProtocolError) else None
            if isinstance(hint, RejectConnection):
                self._decline(hint.status_code, str(error), hint.headers)
            else:
                self._decline(400, "the request cannot be read")

    def _answer(self, request: Request) -> None:
        origin = b", ".join(value for name, value in request.extra_headers if name == b"origin").decode("latin-1")
        if _SUBPROTOCOL not in request.subprotocols:
            self._decline(400, "SIP is spoken here: ask for it with Sec-WebSocket-Protocol: sip")
        elif self._origins and origin and origin.lower() not in self._origins:
            self._decline(403, "pages of this origin may not connect")
        else:
            self._wire.write(self._socket.send(AcceptConnection(subprotocol=_SUBPROTOCOL)))
            self._is_handshaking = False
            self._is_active = True
            self._attach()

    def _decline(self, status: int, reason: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        body = f"{reason}\n".encode("ascii", "replace")
        fields = [
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"close"),
            *headers,
        ]
        answer = RejectConnection(status_code=status, headers=fields, has_body=True)
        self._wire.write(self._socket.send(answer) + self._socket.send(RejectData(body)))
        self._owner.counts.refused_connections += 1
        self.flow.end(f"the WebSocket handshake was refused: {reason}")
        self._refuse()

    # -- receiving ---------------------------------------------------------------------------------------------------

    def _read_frames(self, data: bytes) -> None:
        self._is_pinged = False
        self._socket.receive_data(data)
        has_frame = False
        for event in self._socket.events():
            has_frame = True
            self._receive_event(event)
            if self._closing_at is not None:
                return
        if has_frame and not self._is_unfinished:
            self._begun_at = None
        elif self._begun_at is None:
            self._begun_at = self._owner.seconds()

    def _receive_event(self, event: Event) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._is_active = True
            self._gather(event)
        elif isinstance(event, Ping):
            self._is_active = True
            self._owner.counts.keep_alives += 1
            super().write(self._socket.send(event.response()))
        elif isinstance(event, CloseConnection):
            self._receive_close(event)
        elif isinstance(event, Pong):
            pass  # it told that the client is there, and nothing else

    def _gather(self, piece: TextMessage | BytesMessage) -> None:
        """A message comes in pieces, of one frame or of several."""
        self._message += piece.data.encode() if isinstance(piece, TextMessage) else piece.data
        if len(self._message) > LARGEST_MESSAGE:
            self.close(CloseReason.MESSAGE_TOO_BIG, "a message is larger than 64 KiB")
            return
        self._is_unfinished = not piece.message_finished
        if piece.message_finished:
            message = bytes(self._message)
            self._message.clear()
            self._begun_at = None
            self._receive_message(message)

    def _receive_message(self, message: bytes) -> None:
        if len(message) <= len(_PING) and not message.strip(b"\r\n"):
            # RFC 7118 6: the keep-alive of RFC 5626 is usable here as well
            self._owner.counts.keep_alives += 1
            if message == _PING:
                self.write(_PONG)
        else:
            # A fault does not end the connection: the next message begins where its frame begins.
            self._owner.receiver.receive_datagram(message, self.flow)

    def _receive_close(self, event: CloseConnection) -> None:
        """The client says that it closes, or wsproto that its frames cannot be read."""
        if self._socket.state is ConnectionState.REMOTE_CLOSING:
            super().write(self._socket.send(event.response()))
            super().close()
        else:
            self.close(CloseReason(event.code), event.reason or "")

    # -- sending -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """One message, as text where it is UTF-8 and else as binary (RFC 7118 4.2)."""
        try:
            event: Event = TextMessage(data.decode())
        except UnicodeDecodeError:
            event = BytesMessage(data)
        super().write(self._socket.send(event))

    def close(self, code: CloseReason = CloseReason.GOING_AWAY, reason: str = "") -> None:
        """Say so, then close after what was written has been sent."""
        if self._closing_at is None and self._socket.state is ConnectionState.OPEN:
            self._wire.write(self._socket.send(CloseConnection(code, reason)))
        super().close()

    # -- deadlines ---------------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Close what is over its time; ask whoever is silent whether it is still there.

        Pages cannot send pings, and what is between them and us cuts connections that nobody uses.
        """
        super().check(now)
        if self._is_heard:
            self._is_heard = False
            self._heard_at = now
        elif self.is_open and not self._is_handshaking and now - self._heard_at >= self._owner.limits.ping_seconds:
            self._ping(now)

    def _ping(self, now: float) -> None:
        if self._is_pinged:
            self._owner.counts.timed_out_connections += 1
            self.abort()
            return
        self._is_pinged = True
        self._heard_at = now
        self._wire.write(self._socket.send(Ping()))
