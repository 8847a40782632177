"""The transport layer: what listens, and the flow to whoever must be reached (RFC 3261 18)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort

from gosip_py.metrics import Metrics
from gosip_py.transport.addressing import Addressing, Advertising, numeric_address
from gosip_py.transport.admission import Limits
from gosip_py.transport.connections import AcceptingFactory, Build, Connections, bind_tcp
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.dns import NameServers
from gosip_py.transport.flow import Address, Flow, Tap, Target, TransportUser
from gosip_py.transport.hosts import HostAddresses
from gosip_py.transport.locate import Locator
from gosip_py.transport.reactor import ITransportReactor
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.reports import FailureReports
from gosip_py.transport.resolve import Resolver
from gosip_py.transport.tcp import StreamConnection
from gosip_py.transport.tls import ContextSource, TlsTrust, server_factory
from gosip_py.transport.udp import UdpSocket, bind_udp
from gosip_py.transport.unreachable import UnreachableFlow
from gosip_py.transport.via import bare_host, uri_host
from gosip_py.transport.websocket import WebSocketConnection

__all__ = ["LARGEST_OVER_UDP", "Listener", "TransportLayer"]

LARGEST_OVER_UDP = 1300  # octets; RFC 3261 18.1.1, for a path MTU that nobody knows
_SWEEP_SECONDS = 5.0
_ROUTES_HOLD_SECONDS = 60.0
_MOST_REMEMBERED = 4096


@attrs.frozen
class Listener:
    """Where we listen: the port is the real one when 0 was asked for."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport.lower()}://{uri_host(self.host)}:{self.port}"


class TransportLayer:
    """Set ``user``, then listen, then ask for flows. ``async stop()`` at the end.

    ``limits`` bound the connections, ``trust`` says whom outgoing TLS connections believe. ``dns_servers`` are asked in
    place of the system's, each ``address:port``. ``locator`` finds out where targets are.
    """

    def __init__(
        self,
        reactor: ITransportReactor,
        metrics: Metrics,
        advertising: Advertising = Advertising(),  # noqa: B008 # frozen
        limits: Limits = Limits(),  # noqa: B008 # frozen
        trust: TlsTrust = TlsTrust(),  # noqa: B008 # frozen
        dns_servers: tuple[str, ...] = (),
    ) -> None:
        self.counts = TransportCounts(metrics)
        self._name_servers = NameServers(reactor, dns_servers)
        hosts = HostAddresses(self._name_servers, Resolver(reactor, reactor.nameResolver))
        self.locator = Locator(reactor, self._name_servers, hosts, self._families)
        self._reactor = reactor
        self._addressing = Addressing(advertising)
        self._receiver = Receiver(self.counts, self._addressing.issued)
        self._reports = FailureReports(reactor, self._receiver, self.counts)
        self._connections = Connections(
            reactor,
            self._receiver,
            self.counts,
            self._addressing,
            self._reports.report,
            limits,
            trust,
        )
        self._sockets: list[UdpSocket] = []
        self._accepting: list[IListeningPort] = []
        self._listeners: list[Listener] = []
        self._local: dict[tuple[str, int | None], bool] = {}
        self._hosts: dict[str, bool] = {}
        self._ports: frozenset[int] = frozenset()
        self._routes_until = 0.0
        self._sweep: IDelayedCall | None = None

    @property
    def user(self) -> TransportUser:
        return self._receiver.user

    @user.setter
    def user(self, user: TransportUser) -> None:
        self._receiver.user = user

    @property
    def tap(self) -> Tap | None:
        """Who sees each message as it was on the wire."""
        return self._receiver.tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._receiver.tap = tap

    @property
    def connections(self) -> int:
        """How many TCP and TLS connections are open."""
        return len(self._connections)

    # -- listening ---------------------------------------------------------------------------------------------------

    def listen_udp(self, host: str, port: int) -> Listener:
        """Receive datagrams at the numeric ``host``; port 0 takes a free one. OSError when the socket cannot be had."""
        bound = bind_udp(bare_host(host), port)
        udp = UdpSocket(self._reactor, bound, self._receiver, self.counts, self._addressing, self._reports.report)
        self._sockets.append(udp)
        return self._note("UDP", udp.local)

    def listen_tcp(self, host: str, port: int) -> Listener:
        """Accept TCP connections; as `listen_udp`."""
        return self._accept("TCP", host, port, lambda factory: factory)

    def listen_tls(self, host: str, port: int, source: ContextSource) -> Listener:
        """Accept TLS connections with the certificates of ``source``; as `listen_udp`."""
        return self._accept("TLS", host, port, lambda factory: server_factory(source, factory, self._reactor))

    def listen_ws(self, host: str, port: int, origins: Collection[str] = ()) -> Listener:
        """Accept WebSockets from pages of these ``origins``, of any when there are none; as `listen_udp`."""
        return self._accept("WS", host, port, lambda factory: factory, _websocket_of(origins))

    def listen_wss(self, host: str, port: int, source: ContextSource, origins: Collection[str] = ()) -> Listener:
        """Accept secure WebSockets with the certificates of ``source``; as `listen_ws`."""
        build = _websocket_of(origins)
        return self._accept("WSS", host, port, lambda factory: server_factory(source, factory, self._reactor), build)

    def _accept(
        self,
        transport: str,
        host: str,
        port: int,
        wrap: Callable[[AcceptingFactory], Any],
        build: Build = StreamConnection,
    ) -> Listener:
        with bind_tcp(bare_host(host), port) as bound:
            address: Address = bound.getsockname()[:2]
            factory = wrap(AcceptingFactory(self._connections, transport, address, build))
            accepting = self._reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
        self._accepting.append(accepting)
        self._connections.note_listening(transport, address)
        return self._note(transport, address)

    def _note(self, transport: str, address: Address) -> Listener:
        listener = Listener(transport, *address)
        self._listeners.append(listener)
        self._ports |= {listener.port}
        self._forget_names()
        if self._sweep is None:
            self._sweep = self._reactor.callLater(_SWEEP_SECONDS, self._look_around)
        return listener

    def ports(self) -> tuple[Listener, ...]:
        """Everything that listens, in the order in which it was opened."""
        return tuple(self._listeners)

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether host and port of a URI are ours; no port means one of the two default ports (RFC 3261 19.1.2)."""
        key = (host, port)
        is_ours = self._local.get(key)
        if is_ours is None:
            if len(self._local) >= _MOST_REMEMBERED:
                self._local.clear()
            asked = (5060, 5061) if port is None else (port,)
            named = (listener for listener in self._listeners if listener.port in asked)
            is_ours = any(self._addressing.names_socket(host, listener.host) for listener in named)
            self._local[key] = is_ours
        return is_ours

    @property
    def port_numbers(self) -> frozenset[int]:
        """The ports of all listeners."""
        return self._ports

    def names_us(self, host: str) -> bool:
        """Whether the host of a URI is the address of a listener, on whichever port."""
        is_ours = self._hosts.get(host)
        if is_ours is None:
            if len(self._hosts) >= _MOST_REMEMBERED:
                self._hosts.clear()
            is_ours = self._hosts[host] = any(
                self._addressing.names_socket(host, listener.host) for listener in self._listeners
            )
        return is_ours

    # -- flows -------------------------------------------------------------------------------------------------------

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        """The flow for a request of ``size`` octets, at once; one that cannot be had is reported as failed afterwards.

        ``target`` has an open flow, or is one that the locator gave: its host is an address. A request too large for
        UDP gets a TCP flow (RFC 3261 18.1.1). When that fails, ask again without ``allow_upgrade`` and send with the
        Via of the flow that then comes.
        """
        if target.flow is not None and target.flow.is_open:
            return target.flow
        transport = target.transport.upper()
        if transport in ("TCP", "TLS", "WS", "WSS"):
            return self._connections.flow_to(transport, target.host, target.port, target.domain)
        if size > LARGEST_OVER_UDP and allow_upgrade and transport == "UDP":
            return self._connections.flow_to("TCP", target.host, target.port)
        return self._udp_flow(target)

    def _udp_flow(self, target: Target) -> Flow:
        address = numeric_address(target.host) if target.transport.upper() == "UDP" else None
        host = "" if address is None else str(address)
        udp = self._socket_towards(host) if host else None
        if udp is not None:
            try:
                return udp.flow_for((host, target.port))
            except (OSError, ValueError):
                pass  # an IPv6 zone that this machine does not have
        return self._unreachable(target)

    def _unreachable(self, target: Target) -> Flow:
        local = self._sockets[0].local if self._sockets else ("0.0.0.0", 5060)
        identity = self._addressing.identity("UDP", *local, target.host)
        remote = (bare_host(target.host), target.port)
        reason = f"none of our UDP sockets reaches {remote[0]}"
        flow = UnreachableFlow(identity, local, remote, reason, self._reports.report)
        self._reports.report(flow, reason)
        return flow

    def datagram_flow(self, local: Address, remote: Address) -> Flow | None:
        """The flow to ``remote`` from our UDP socket at ``local``; None when there is no such socket any more."""
        for udp in self._sockets:
            if udp.local == local and udp.is_open:
                return udp.flow_for(remote)
        return None

    def _socket_towards(self, host: str) -> UdpSocket | None:
        """The socket of the address's family; of several the one from which the kernel would send there."""
        found = [udp for udp in self._sockets if udp.is_open and udp.is_ipv6 == (":" in host)]
        if len(found) > 1 and numeric_address(host) is not None:
            source = self._addressing.source_towards(host)
            found.sort(key=lambda udp: udp.local[0] != source)
        return found[0] if found else None

    def _families(self, transport: str) -> tuple[int, ...]:
        """The IP versions of our sockets for a transport; IPv6 first where there is a way into its world (RFC 6724 6).

        Over TCP and TLS also those of the others: for our Vias must name an address at which somebody of ours listens.
        """
        listening = [each for each in self._listeners if each.transport == transport]
        if not listening and transport == "UDP":
            return ()
        hosts = [each.host for each in listening or self._listeners]
        has_four = any(":" not in host for host in hosts)
        has_six = any(":" in host for host in hosts)
        if has_four and has_six:
            return (6, 4) if self._addressing.has_ipv6_route() else (4, 6)
        return (6,) if has_six else (4,)

    # -- time and end ------------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        self._sweep = self._reactor.callLater(_SWEEP_SECONDS, self._look_around)
        self._connections.sweep()
        if self._reactor.seconds() >= self._routes_until:
            self._routes_until = self._reactor.seconds() + _ROUTES_HOLD_SECONDS
            self._addressing.forget()
            self._forget_names()

    async def stop(self) -> None:
        """Listen no more, send what waits, close everything. Failures are not reported any more."""
        self._reports.stop()
        self.locator.stop()
        self._name_servers.stop()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        accepting, self._accepting = self._accepting, []
        for port in accepting:
            await maybeDeferred(port.stopListening)
        await self._connections.stop()
        for udp in self._sockets:
            udp.doWrite()
            udp.close()
        self._listeners.clear()
        self._ports = frozenset()
        self._forget_names()

    def _forget_names(self) -> None:
        """Which hosts are ours changes with the listeners and with the machine's addresses."""
        self._local.clear()
        self._hosts.clear()


def _websocket_of(origins: Collection[str]) -> Build:
    return partial(WebSocketConnection, origins=frozenset(origin.lower() for origin in origins))
