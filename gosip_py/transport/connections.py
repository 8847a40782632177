"""All connections, WebSockets too: accepted, made, found again, timed out, closed (RFC 3261 18.1.1, RFC 5923 4)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from gosip_py.sip.headers import Via
from gosip_py.transport.addressing import Addressing, numeric_address
from gosip_py.transport.admission import Admission, Limits
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Address, Flow
from gosip_py.transport.reactor import ITransportReactor
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.tcp import FlowKey, StreamConnection, StreamFlow, StreamOwner, TlsFlow
from gosip_py.transport.tls import TlsTrust, client_factory
from gosip_py.transport.via import DEFAULT_PORTS, bare_host
from gosip_py.transport.websocket import SecureWebSocketFlow, WebSocketFlow

__all__ = ["AcceptingFactory", "Build", "Connections", "bind_tcp"]

_BACKLOG = 512
_FLOWS = {"TCP": StreamFlow, "TLS": TlsFlow, "WS": WebSocketFlow, "WSS": SecureWebSocketFlow}

Build = Callable[[StreamOwner, StreamFlow, str], StreamConnection]


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening, non-blocking socket at the numeric ``host``. OSError when it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _key(transport: str, host: str, port: int, domain: str = "") -> FlowKey:
    """Where a connection stands in the table; only TLS asks who is at the other end."""
    return transport, host, port, domain if transport == "TLS" else ""


class Connections:
    """The table of connections; ``report(flow, reason)`` takes note of a flow that failed."""

    def __init__(
        self,
        reactor: ITransportReactor,
        receiver: Receiver,
        counts: TransportCounts,
        addressing: Addressing,
        report: Callable[[Flow, str], None],
        limits: Limits,
        trust: TlsTrust,
    ) -> None:
        self.counts = counts
        self.limits = limits
        self.receiver = receiver
        self.trust = trust
        self.seconds = reactor.seconds
        self.failed = report
        self.admission = Admission(limits)
        self.reactor = reactor
        self._addressing = addressing
        self._listening: dict[str, Address] = {}
        self._open: set[StreamConnection] = set()
        self._flows: dict[FlowKey, StreamFlow] = {}
        self._connecting: dict[StreamFlow, _Outgoing] = {}
        self._drained: list[Deferred[None]] = []
        self._is_stopping = False

    def __len__(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def note_listening(self, transport: str, address: Address) -> None:
        """The first address of a transport is what our Vias on connections that we make will name."""
        self._listening.setdefault(transport, address)

    # -- flows -------------------------------------------------------------------------------------------------------

    def flow_to(self, transport: str, host: str, port: int, domain: str = "") -> StreamFlow:
        """The open connection to a numeric host, or a new one that is being made.

        Over TLS its certificate must name ``domain``, or the host itself when there is none; a connection that was
        verified for one domain does not serve another (RFC 5922 7.3).
        """
        key = _key(transport, bare_host(host).lower(), port, domain)
        flow = self._flows.get(key)
        if flow is None or not flow.is_open:
            flow = self._flows[key] = self._new_flow(transport, key[1], port)
            flow.aliases = (key,)
            self._connect(flow, domain)
        return flow

    def flow_to_address(self, transport: str, address: Address) -> Flow:
        return self.flow_to(transport, address[0], address[1])

    def _new_flow(self, transport: str, host: str, port: int) -> StreamFlow:
        wildcard = "::" if ":" in host else "0.0.0.0"
        bound, bound_port = self._listening.get(transport, (wildcard, DEFAULT_PORTS[transport]))
        identity = self._addressing.identity(transport, bound, bound_port, host)
        return _FLOWS[transport](self, transport, identity, (bound, bound_port), (host, port))

    def accept(
        self, transport: str, bound: Address, peer: Address, build: Build = StreamConnection
    ) -> StreamConnection | None:
        """The protocol for a connection that a peer opened, or None when there are too many."""
        if self._is_stopping or not self.admission.admit(peer[0]):
            self.counts.refused_connections += 1
            return None
        identity = self._addressing.identity(transport, bound[0], bound[1], peer[0])
        flow = _FLOWS[transport](self, transport, identity, bound, peer)
        self._flows[_key(transport, *peer)] = flow
        return build(self, flow, peer[0])

    def offer_alias(self, flow: StreamFlow, via: Via) -> None:
        """Send to where the peer says it listens over the connection that it opened (RFC 5923 4).

        Only for the peer's own address, and over TLS only when nobody asks for proof: the peer showed no certificate.
        """
        if bare_host(via.host).lower() != flow.remote[0] or (flow.is_secure and self.trust.verify_peer):
            return
        key = _key(flow.transport, flow.remote[0], via.port or DEFAULT_PORTS[flow.transport])
        known = self._flows.get(key)
        if known is None or not known.is_open:
            self._flows[key] = flow
            flow.aliases = (*flow.aliases, key)

    # -- making connections ------------------------------------------------------------------------------------------

    def _connect(self, flow: StreamFlow, domain: str) -> None:
        if self._is_stopping:
            flow.end("the server is stopping")
            return
        if isinstance(flow, WebSocketFlow):
            flow.end("no connection: a WebSocket is opened by its client only (RFC 7118 4.1)")
            return
        if numeric_address(flow.remote[0]) is None:
            flow.end(f"{flow.remote[0]} is no address")
            return
        outgoing = self._connecting[flow] = _Outgoing(self, flow, domain or flow.remote[0])
        outgoing.connect()

    # -- what connections tell ---------------------------------------------------------------------------------------

    def opened(self, connection: StreamConnection) -> None:
        self._open.add(connection)
        self._connecting.pop(connection.flow, None)

    def ended(self, connection: StreamConnection) -> None:
        self._open.discard(connection)
        if connection.admitted_host:
            self.admission.release(connection.admitted_host)
        while self._drained and not self._open:
            self._drained.pop().callback(None)

    def forget(self, flow: StreamFlow) -> None:
        """The flow ended: nobody shall find it any more, and nobody connects for it."""
        outgoing = self._connecting.pop(flow, None)
        if outgoing is not None:
            outgoing.give_up()
        for key in (*flow.aliases, _key(flow.transport, *flow.remote)):
            if self._flows.get(key) is flow:
                del self._flows[key]

    # -- time and end ------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Look at every connection's deadlines."""
        now = self.seconds()
        for connection in tuple(self._open):
            connection.check(now)

    async def stop(self) -> None:
        """Close each when what was written is sent; what takes longer than ``close_seconds`` is cut off."""
        self._is_stopping = True
        for flow in tuple(self._flows.values()):
            if not flow.is_connected:
                flow.end("the server is stopping")
        for connection in tuple(self._open):
            connection.close()
        if not self._open:
            return
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        cut = self.reactor.callLater(self.limits.close_seconds, self._abort_all)
        await drained
        if cut.active():
            cut.cancel()

    def _abort_all(self) -> None:
        for connection in tuple(self._open):
            connection.abort()


class AcceptingFactory(Factory[StreamConnection]):
    """For a listening socket bound to ``bound``; ``build`` makes the protocol of a connection."""

    noisy = False

    def __init__(
        self, connections: Connections, transport: str, bound: Address, build: Build = StreamConnection
    ) -> None:
        self._connections = connections
        self._transport = transport
        self._bound = bound
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> StreamConnection | None:
        host, port = getattr(addr, "host", ""), getattr(addr, "port", 0)
        return self._connections.accept(self._transport, self._bound, (host, port), self._build)


class _Outgoing(ClientFactory[StreamConnection]):
    """One attempt to connect; over TLS to a server of ``domain``."""

    noisy = False

    def __init__(self, connections: Connections, flow: StreamFlow, domain: str) -> None:
        self._connections = connections
        self._flow = flow
        self._domain = domain
        self._connector: IConnector | None = None

    def connect(self) -> None:
        connections = self._connections
        factory: ClientFactory[Any] = self
        if self._flow.is_secure:
            factory = client_factory(connections.trust, self._domain, self, connections.reactor)
        host, port = self._flow.remote
        self._connector = connections.reactor.connectTCP(
            host, port, factory, timeout=connections.limits.connect_seconds
        )

    def give_up(self) -> None:
        if self._connector is not None:
            self._connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> StreamConnection | None:
        return StreamConnection(self._connections, self._flow) if self._flow.is_open else None

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._flow.end(f"connecting failed: {reason.getErrorMessage()}")
