"""UDP: one descriptor over one non-blocking socket (RFC 3261 18).

Twisted's own datagram port makes objects and logs around each datagram; this one reads many in a turn and hands each
straight to the receiver.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from gosip_py.sip.headers import Via
from gosip_py.transport import stun
from gosip_py.transport.addressing import Addressing, numeric_address
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import KEEP_ALIVE, Address, Flow
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.via import bare_host, response_address

__all__ = ["UdpFlow", "UdpSocket", "bind_udp"]

# Datagrams read before others get a turn: at 50 us each, 3 ms.
_BURST = 64
_LARGEST_DATAGRAM = 65535
_LARGEST_KEEP_ALIVE = 16
_KEEP_ALIVE_BYTES = b"\r\n\x00 \t"
_MOST_QUEUED = 4096
_MOST_FLOWS = 8192
_BUFFER = 4 * 1024 * 1024

SocketAddress = tuple[str, int] | tuple[str, int, int, int]  # as recvfrom gives it, for IPv4 and IPv6


def bind_udp(host: str, port: int) -> socket.socket:
    """A non-blocking socket bound to the numeric ``host``, with the largest buffers that we get; OSError if not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            bound.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


class UdpFlow(Flow):
    """A peer as one socket of ours sees it. Shared by everything that goes there while it is remembered."""

    __slots__ = ("_socket", "address")

    def __init__(self, udp: UdpSocket, address: SocketAddress) -> None:
        self.transport = "UDP"
        self.local = udp.local
        self.remote = (address[0], address[1])
        identity = udp.addressing.identity("UDP", udp.local[0], udp.local[1], address[0])
        self.via_head = identity.via_head
        self.sent_by = identity.sent_by
        self.record_route = identity.record_route
        self.address = address
        self._socket = udp

    @property
    def is_open(self) -> bool:
        return self._socket.is_open

    def send(self, data: bytes) -> None:
        self._socket.send(data, self)

    def keep_alive(self) -> None:
        self._socket.push(KEEP_ALIVE, self)

    def answering(self, via: Via) -> Flow:
        if "rport" in via.parameters:
            return self  # marked by us with the very address that the request came from
        address = response_address(via)
        if address == self.remote or numeric_address(address[0]) is None:
            return self
        return self._socket.flow_for(address)


@implementer(IReadDescriptor, IWriteDescriptor)
class UdpSocket:
    """One bound socket. ``report(flow, reason)`` takes note of a datagram that the socket refused."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        bound: socket.socket,
        receiver: Receiver,
        counts: TransportCounts,
        addressing: Addressing,
        report: Callable[[Flow, str], None],
    ) -> None:
        self.addressing = addressing
        self.local: Address = bound.getsockname()[:2]
        self.is_open = True
        self.is_ipv6 = bound.family == socket.AF_INET6
        self._reactor = reactor
        self._bound = bound
        self._sendto = bound.sendto
        self._counts = counts
        self._receiver = receiver
        self._receive_datagram = receiver.receive_datagram
        self._report = report
        # Two generations: when the young one is full it becomes the old one, and what nobody asked for is forgotten.
        self._flows: dict[tuple[object, ...], UdpFlow] = {}
        self._older: dict[tuple[object, ...], UdpFlow] = {}
        self._queue: deque[tuple[bytes, UdpFlow]] = deque()
        reactor.addReader(self)

    # -- receiving ---------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self._bound.fileno()

    def logPrefix(self) -> str:
        return "UDP"

    def doRead(self) -> None:
        recvfrom = self._bound.recvfrom
        flows = self._flows
        for _ in range(_BURST):
            try:
                data, source = recvfrom(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self._counts.failed_reads += 1  # of one datagram: the socket goes on
                continue
            if len(data) <= _LARGEST_KEEP_ALIVE and not data.strip(_KEEP_ALIVE_BYTES):
                # RFC 5626 keeps UDP flows alive by STUN; phones send line ends or zeros, and want no answer
                self._counts.keep_alives += 1
                continue
            flow = flows.get(source)
            if flow is None:
                flow = self._flow_from(source)
                flows = self._flows
            if data[0] > stun.LARGEST_FIRST_OCTET or not self._answered_stun(data, flow):
                self._receive_datagram(data, flow)
            if not self.is_open:
                return

    def _answered_stun(self, data: bytes, flow: UdpFlow) -> bool:
        answer = stun.answer(data, flow.remote)
        if answer is None:
            return False
        self._counts.stun_requests += 1
        self.push(answer, flow)
        return True

    def flow_for(self, remote: Address) -> UdpFlow:
        """The flow to a numeric address of this socket's family."""
        if not self.is_ipv6:
            return self._flows.get(remote) or self._flow_from(remote)
        address = IPv6Address(bare_host(remote[0]))
        zone = address.scope_id or ""
        index = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0
        return self._flow_from((str(address), remote[1], 0, index))

    def _flow_from(self, source: SocketAddress) -> UdpFlow:
        flow = self._flows.get(source) or self._older.get(source) or UdpFlow(self, source)
        if len(self._flows) >= _MOST_FLOWS:
            self._flows, self._older = {}, self._flows
        self._flows[source] = flow
        return flow

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, data: bytes, flow: UdpFlow) -> None:
        """Count a message and `push` it."""
        self._counts.count_sent(data)
        tap = self._receiver.tap
        if tap is not None:
            tap.sent(data, flow)
        self.push(data, flow)

    def push(self, data: bytes, flow: UdpFlow) -> None:
        """Send now, or queue behind what waits for the socket; what does not fit there is lost, as UDP may lose it."""
        if self._queue:
            self._enqueue(data, flow)
            return
        try:
            self._sendto(data, flow.address)
        except BlockingIOError:
            self._enqueue(data, flow)
            self._reactor.addWriter(self)
        except (OSError, OverflowError) as error:
            self._refused(flow, error)

    def doWrite(self) -> None:
        while self._queue:
            data, flow = self._queue[0]
            try:
                self._sendto(data, flow.address)
            except BlockingIOError:
                return
            except (OSError, OverflowError) as error:
                self._refused(flow, error)
            self._queue.popleft()
        self._reactor.removeWriter(self)

    def _enqueue(self, data: bytes, flow: UdpFlow) -> None:
        if len(self._queue) < _MOST_QUEUED:
            self._queue.append((data, flow))
        else:
            self._counts.lost_sends += 1

    def _refused(self, flow: UdpFlow, error: Exception) -> None:
        self._counts.failed_sends += 1
        self._report(flow, f"sending failed: {error}")

    # -- closing -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close at once; what is still queued is lost."""
        if self.is_open:
            self.is_open = False
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._queue.clear()
            self._bound.close()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives the descriptor up."""
        self.close()
