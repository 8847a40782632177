"""One TCP or TLS connection: its flow, and what is between the flow and the socket (RFC 3261 18, RFC 5626 4.4.1).

A `StreamFlow` lives from the moment somebody wants a connection; the `StreamConnection` is Twisted's end of it, from
the moment there is one.
"""

from __future__ import annotations

from typing import Protocol as Interface
from typing import cast

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via
from gosip_py.sip.message import Message, Request
from gosip_py.sip.stream import Ping, StreamFramer
from gosip_py.transport.addressing import Identity
from gosip_py.transport.admission import Limits
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Address, Flow
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.tls import Encrypted, PeerRefused, fault_text, peer_of
from gosip_py.transport.via import response_address

__all__ = ["FlowKey", "StreamConnection", "StreamFlow", "StreamOwner", "TlsFlow"]

FlowKey = tuple[str, str, int, str]
"""Transport, host and port of a peer, and the domain that its certificate was asked to name."""

_PONG = b"\r\n"
# Up to three octets may be line ends that wait to become a ping; they are no message that was begun.
_LINE_ENDS_HELD = 3


class StreamOwner(Interface):
    """What a connection needs of the table that it stands in."""

    counts: TransportCounts
    limits: Limits
    receiver: Receiver

    def seconds(self) -> float:
        """The time on the reactor's clock."""

    def opened(self, connection: StreamConnection) -> None:
        """The connection is made."""

    def ended(self, connection: StreamConnection) -> None:
        """The connection is gone."""

    def forget(self, flow: StreamFlow) -> None:
        """The flow ended."""

    def failed(self, flow: Flow, reason: str, /) -> None:
        """The user shall hear that the flow ended, or that somebody sent on it after its end."""

    def offer_alias(self, flow: StreamFlow, via: Via) -> None:
        """A request came in whose sender says in ``via`` where it listens."""

    def flow_to_address(self, transport: str, address: Address) -> Flow:
        """A new or an open connection to a numeric address."""


class StreamFlow(Flow):
    """A TCP connection to a peer: being made, open, or ended for good."""

    __slots__ = ("_connection", "_end", "_owner", "_queue", "_queued", "aliases", "identities")

    is_reliable = True

    def __init__(self, owner: StreamOwner, transport: str, identity: Identity, local: Address, remote: Address) -> None:
        self.transport = transport
        self.local = local
        self.remote = remote
        self.via_head = identity.via_head
        self.sent_by = identity.sent_by
        self.record_route = identity.record_route
        self.aliases: tuple[FlowKey, ...] = ()  # keys under which the table finds it, beside its remote
        self.identities: tuple[str, ...] = ()
        self._owner = owner
        self._connection: StreamConnection | None = None
        self._end = ""
        self._queue: list[bytes] = []
        self._queued = 0

    @property
    def is_open(self) -> bool:
        connection = self._connection
        return not self._end and (connection is None or connection.is_open)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and self.is_open

    def send(self, data: bytes) -> None:
        owner = self._owner
        owner.counts.count_sent(data)
        if owner.receiver.tap is not None:
            owner.receiver.tap.sent(data, self)
        if not self.is_open:
            owner.failed(self, self._end or "the connection is closing")
        elif self._connection is not None:
            self._connection.write(data)
        elif self._queued + len(data) > owner.limits.queued_octets:
            self.end("too much was sent before the connection was made")
        else:
            self._queue.append(data)
            self._queued += len(data)

    def answering(self, via: Via) -> Flow:
        # RFC 3261 18.2.2: over the connection of the request; when that is gone, over one to where the sender listens
        if self.is_open:
            return self
        return self._owner.flow_to_address(self.transport, response_address(via))

    def attach(self, connection: StreamConnection, local: Address, remote: Address) -> None:
        """The connection is ready: what waited for it is sent."""
        self._connection = connection
        self.local = local
        self.remote = remote
        queue, self._queue, self._queued = self._queue, [], 0
        for data in queue:
            connection.write(data)

    def end(self, reason: str) -> None:
        """Nothing can be sent any more; the user hears it once."""
        if not self._end:
            self._end = reason
            self._queue.clear()
            self._owner.forget(self)
            self._owner.failed(self, reason)


class TlsFlow(StreamFlow):
    """The same over TLS."""

    __slots__ = ()

    is_secure = True


class _Wire(Interface):
    """What we use of a TCP transport of Twisted's, bare or behind TLS."""

    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def loseConnection(self) -> None: ...
    def loseWriteConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def setTcpNoDelay(self, enabled: bool) -> None: ...
    def setTcpKeepAlive(self, enabled: bool) -> None: ...
    def getHost(self) -> IPv4Address | IPv6Address: ...
    def getPeer(self) -> IPv4Address | IPv6Address: ...


@implementer(IPushProducer, IHandshakeListener)
class StreamConnection(Protocol):
    """Bytes of one connection to messages, and back. Its deadlines are looked at in `check`, every few seconds."""

    log = Logger()

    def __init__(self, owner: StreamOwner, flow: StreamFlow, admitted_host: str = "") -> None:
        self.flow = flow
        self.admitted_host = admitted_host  # empty when we made the connection
        self.is_open = False
        self._owner = owner
        self._framer = StreamFramer()
        self._is_handshaking = flow.is_secure
        self._is_active = True
        self._offers_alias = bool(admitted_host)
        self._quiet_since = self._opened_at = owner.seconds()
        self._begun_at: float | None = None
        self._paused_at: float | None = None
        self._closing_at: float | None = None
        self._unsent = 0

    # -- the life of the connection ----------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.is_open = True
        self._wire = cast(_Wire, self.transport)
        self._wire.setTcpNoDelay(True)
        self._wire.setTcpKeepAlive(True)
        self._wire.registerProducer(self, True)
        self._owner.opened(self)
        if not self._is_handshaking:
            self._attach()

    def handshakeCompleted(self) -> None:
        """TLS is up; nothing was written before it is known who the peer is (RFC 5922 7.3)."""
        try:
            peer = peer_of(cast(Encrypted, self.transport))
        except PeerRefused as refusal:
            self.flow.end(str(refusal))
            self.abort()
            return
        if self.admitted_host:
            self.flow.identities = peer.texts
        self._encrypted()

    def _encrypted(self) -> None:
        self._is_handshaking = False
        self._attach()

    def _attach(self) -> None:
        """Give the flow its connection, unless it ended while there was none."""
        if not self.flow.is_open:
            self.abort()
            return
        host, peer = self._wire.getHost(), self._wire.getPeer()
        self.flow.attach(self, (host.host, host.port), (peer.host, peer.port))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False
        self._owner.ended(self)
        self.flow.end(self._why(reason))

    def _why(self, reason: Failure) -> str:
        if isinstance(reason.value, SSL.Error):
            return fault_text(cast(Encrypted, self.transport), reason.value)
        return f"{'during the handshake: ' if self._is_handshaking else ''}{reason.getErrorMessage()}"

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self._closing_at is None:
            self.is_open = False
            self._closing_at = self._owner.seconds()
            self._wire.unregisterProducer()
            self._wire.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self.is_open = False
        if self._closing_at is None:
            self._closing_at = self._owner.seconds()
        self._wire.abortConnection()

    def _refuse(self) -> None:
        """Say no more, but read on: closing over octets that were not read would take our answer from the peer."""
        if self.flow.is_secure or self._closing_at is not None:
            self.close()
            return
        self.is_open = False
        self._closing_at = self._owner.seconds()
        self._wire.unregisterProducer()
        self._wire.loseWriteConnection()

    # -- receiving ---------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self._closing_at is not None:
            return
        try:
            self._take(data)
        except Exception:
            self._owner.counts.internal_errors += 1
            self.log.failure("a stream from {host} broke us", host=self.flow.remote[0])
            self.abort()

    def _take(self, data: bytes) -> None:
        self._is_active = True
        found = self._framer.feed(data)
        for item in found:
            self._receive(item)
        held = self._framer.bytes_held
        if not held or (held <= _LINE_ENDS_HELD and data[-1:] in b"\r\n"):
            self._begun_at = None
        elif found or self._begun_at is None:
            self._begun_at = self._owner.seconds()

    def _receive(self, item: Message | Ping | ParseError) -> None:
        if self._closing_at is not None:
            return  # the connection was given up over an earlier message of the same segment
        if isinstance(item, Message):
            self._owner.receiver.receive(item, self.flow)
            if self._offers_alias and isinstance(item, Request):
                self._offer_alias(item)
        elif isinstance(item, Ping):
            self._owner.counts.keep_alives += 1
            self.write(_PONG)
        else:
            self._owner.receiver.receive_fault(item, self.flow)
            self._refuse()

    def _offer_alias(self, request: Request) -> None:
        self._offers_alias = False
        try:
            self._owner.offer_alias(self.flow, request.top_via)
        except ParseError:
            pass  # the fault has been passed up by the receiver

    # -- sending -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Hand on to Twisted, which buffers; a peer for whom too much gathers loses its connection."""
        if self._paused_at is not None:
            self._unsent += len(data)
            if self._unsent > self._owner.limits.unsent_octets:
                self._owner.counts.timed_out_connections += 1
                self.abort()
                return
        self._is_active = True
        self._wire.write(data)

    def pauseProducing(self) -> None:
        if self._paused_at is None:
            self._paused_at = self._owner.seconds()

    def resumeProducing(self) -> None:
        self._paused_at = None
        self._unsent = 0

    def stopProducing(self) -> None:
        """Twisted gives the connection up; connectionLost follows."""

    # -- deadlines ---------------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Close what is over its time."""
        if self._is_active:
            self._is_active = False
            self._quiet_since = now
        if self._closing_at is not None:
            if now - self._closing_at >= self._owner.limits.close_seconds:
                self._wire.abortConnection()
        elif self._is_stuck(now):
            self._owner.counts.timed_out_connections += 1
            self.abort()
        elif now - self._quiet_since >= self._owner.limits.idle_seconds:
            self._owner.counts.timed_out_connections += 1
            self.close()

    def _is_stuck(self, now: float) -> bool:
        limits = self._owner.limits
        return (
            (self._is_handshaking and now - self._opened_at >= limits.handshake_seconds)
            or (self._begun_at is not None and now - self._begun_at >= limits.message_seconds)
            or (self._paused_at is not None and now - self._paused_at >= limits.write_seconds)
        )
