"""A network in memory, on virtual time: datagrams are lost, late, doubled and overtaken as a seed decides.

`MemoryTransport` stands where the room above expects a `TransportLayer`. What is received takes the
real way in: parser, Via marks, counts. Streams lose nothing and keep their order.

    clock = Clock()
    network = MemoryNetwork(clock, seed=7, loss=0.2)
    ours, theirs = network.transport("192.0.2.1"), network.transport("192.0.2.2")
    ours.user = TransactionLayer(clock, ours, ...)
    flow = ours.flow_to(Target("UDP", "192.0.2.2", 5060), 400)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.task import Clock

from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.transport.addressing import Addressing, Advertising, Identity
from gosip_py.transport.counts import TransportCounts
from gosip_py.transport.flow import Address, Flow, Target, TransportUser
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.via import DEFAULT_PORTS, response_address

__all__ = ["MemoryFlow", "MemoryNetwork", "MemoryTransport", "Packet", "RecordingUser"]

# RFC 3261 18.1.1
LARGEST_OVER_UDP = 1300

_CALL_ID = b"\r\nCall-ID: "
_CSEQ = b"\r\nCSeq: "
_Kind = tuple[Address, Address, bytes, bytes, bytes]


@attrs.frozen
class Packet:
    """Something that was sent: when, how, from where to where; ``is_lost`` when the network dropped it."""

    time: float
    transport: str
    source: Address
    destination: Address
    data: bytes
    is_lost: bool
    delay: float = 0.0
    """Seconds until it arrives, if it is not lost."""

    @property
    def message(self) -> Message:
        return parse_message(self.data)

    @property
    def title(self) -> str:
        """The method of a request, or the code and method of a response: ``INVITE``, ``180 INVITE``."""
        message = self.message
        return message.method if isinstance(message, Request) else f"{self.data[8:11].decode()} {message.cseq.method}"


class MemoryNetwork:
    """Carries what its transports send.

    ``delay`` is the range in seconds within which each datagram falls: a wide one reorders. ``loss`` and ``duplicate``
    are probabilities. Of ``late``, a probability and seconds, some take up to so much longer. No more than
    ``most_lost`` datagrams of one kind are lost, if that is given: what source, destination, method or status, Call-ID
    and CSeq have in common. So whatever the timers of RFC 3261 promise comes true.

    The same seed gives the same run: chance is asked once for each thing that is sent, whatever its octets are.
    ``packets`` is everything that was ever sent, in order; ``watch`` is told of each.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int = 0,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay: tuple[float, float] = (0.001, 0.001),
        late: tuple[float, float] = (0.0, 0.0),
        most_lost: int | None = None,
    ) -> None:
        self.clock = clock
        self.loss = loss
        self.duplicate = duplicate
        self.delay = delay
        self.late = late
        self.most_lost = most_lost
        self.packets: list[Packet] = []
        self.watch: Callable[[Packet], object] | None = None
        self._lost: dict[_Kind, int] = {}
        self._streams: list[MemoryFlow] = []
        self._random = random.Random(seed)
        self._listening: dict[tuple[str, Address], MemoryTransport] = {}

    def transport(
        self, host: str, port: int = 5060, *, advertising: Advertising | None = None, metrics: Metrics | None = None
    ) -> MemoryTransport:
        """A new transport that listens at ``host`` for UDP and TCP on ``port`` and for TLS on the next."""
        transport = MemoryTransport(self, host, port, advertising or Advertising(), metrics or Metrics())
        for name in DEFAULT_PORTS:
            self._listening[name, transport.address(name)] = transport
        return transport

    def detach(self, transport: MemoryTransport) -> None:
        """Nothing arrives there any more: the peer is switched off."""
        for key in [key for key, other in self._listening.items() if other is transport]:
            del self._listening[key]

    def listener(self, transport: str, address: Address) -> MemoryTransport | None:
        return self._listening.get((transport, address))

    def titles(self) -> list[str]:
        """The ladder: `Packet.title` of each packet that was not lost."""
        return [packet.title for packet in self.packets if not packet.is_lost]

    @property
    def streams(self) -> list[MemoryFlow]:
        """The connections that are open, each as whoever made it holds it, the oldest first."""
        self._streams = [flow for flow in self._streams if flow.is_open]
        return self._streams

    def connected(self, flow: MemoryFlow) -> None:
        """A connection was made."""
        self._streams.append(flow)

    def carry_datagram(self, flow: MemoryFlow, data: bytes) -> None:
        copies = 2 if self._random.random() < self.duplicate else 1
        for _ in range(copies):
            if self._random.random() < self.loss and self._may_lose(flow, data):
                self._note(flow, data, True)
                continue
            delay = self._random.uniform(*self.delay)
            if self.late[0] and self._random.random() < self.late[0]:
                delay += self._random.uniform(0, self.late[1])
            self._note(flow, data, False, delay)
            self.clock.callLater(delay, self._deliver_datagram, flow.local, flow.remote, data)

    def carry_segment(self, flow: MemoryFlow, data: bytes) -> None:
        # One delay for all of a stream: its segments never overtake each other.
        self._note(flow, data, False, self.delay[0])
        self.clock.callLater(self.delay[0], flow.deliver, data)

    def _may_lose(self, flow: MemoryFlow, data: bytes) -> bool:
        if self.most_lost is None:
            return True
        kind = (flow.local, flow.remote, _first_word(data), _line(data, _CALL_ID), _line(data, _CSEQ))
        lost = self._lost[kind] = self._lost.get(kind, 0) + 1
        return lost <= self.most_lost

    def _note(self, flow: MemoryFlow, data: bytes, is_lost: bool, delay: float = 0.0) -> None:
        packet = Packet(self.clock.seconds(), flow.transport, flow.local, flow.remote, data, is_lost, delay)
        self.packets.append(packet)
        if self.watch is not None:
            self.watch(packet)

    def _deliver_datagram(self, source: Address, destination: Address, data: bytes) -> None:
        receiver = self.listener("UDP", destination)
        if receiver is not None:
            receiver.receive("UDP", data, receiver.flow_of("UDP", source))


class MemoryFlow(Flow):
    """A flow of the network. A TCP or TLS flow has a ``twin``, the same connection as the peer holds it."""

    __slots__ = ("_is_closed", "_transport", "twin")

    def __init__(self, transport: MemoryTransport, name: str, local: Address, remote: Address) -> None:
        identity = transport.identity(name, remote[0])
        self.transport = name
        self.local = local
        self.remote = remote
        self.via_head = identity.via_head
        self.sent_by = identity.sent_by
        self.record_route = identity.record_route
        self.twin: MemoryFlow | None = None
        self._transport = transport
        self._is_closed = False

    @property
    def is_reliable(self) -> bool:
        return self.transport != "UDP"

    @property
    def is_secure(self) -> bool:
        return self.transport == "TLS"

    @property
    def is_only_way(self) -> bool:
        return self.transport in ("WS", "WSS")

    @property
    def is_open(self) -> bool:
        return not self._is_closed

    def send(self, data: bytes) -> None:
        network = self._transport.network
        self._transport.counts.count_sent(data)
        if self._is_closed:
            self._transport.report(self, "the flow is closed")
        elif self.transport == "UDP":
            network.carry_datagram(self, data)
        else:
            network.carry_segment(self, data)

    def answering(self, via: Via) -> Flow:
        address = response_address(via)
        if self.is_open and (self.is_reliable or address == self.remote):
            return self
        return self._transport.flow_of(self.transport, address)

    def deliver(self, data: bytes) -> None:
        """Bytes of ours come out at the twin; without one nobody listens there, and the connection fails."""
        if self._is_closed:
            return
        if self.twin is None:
            self.fail("connection refused")
        elif not self.twin._is_closed:
            self.twin._transport.receive(self.transport, data, self.twin)

    def fail(self, reason: str) -> None:
        """Break the flow at both ends, as a connection that is lost."""
        for flow in (self, self.twin):
            if flow is not None and not flow._is_closed:
                flow._is_closed = True
                flow._transport.report(flow, reason)


class MemoryTransport:
    """What `TransportLayer` is to the room above. Set ``user`` before anything arrives."""

    def __init__(
        self, network: MemoryNetwork, host: str, port: int, advertising: Advertising, metrics: Metrics
    ) -> None:
        self.network = network
        self.metrics = metrics
        self.counts = TransportCounts(self.metrics)
        self.addressing = Addressing(advertising)
        self._host = host
        self._port = port
        self._receiver = Receiver(self.counts, self.addressing.issued)
        self._flows: dict[tuple[str, Address], MemoryFlow] = {}
        self._reported: set[MemoryFlow] = set()

    @property
    def user(self) -> TransportUser:
        return self._receiver.user

    @user.setter
    def user(self, user: TransportUser) -> None:
        self._receiver.user = user

    def address(self, transport: str) -> Address:
        """Where this transport listens."""
        return self._host, self._port + (transport == "TLS")

    def identity(self, transport: str, remote: str) -> Identity:
        return self.addressing.identity(transport, *self.address(transport), remote)

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        if target.flow is not None and target.flow.is_open:
            return target.flow
        transport = target.transport.upper()
        if transport == "UDP" and size > LARGEST_OVER_UDP and allow_upgrade:
            transport = "TCP"
        return self.flow_of(transport, (target.host, target.port))

    def datagram_flow(self, local: Address, remote: Address) -> Flow | None:
        return self.flow_of("UDP", remote) if local == self.address("UDP") else None

    def is_local(self, host: str, port: int | None) -> bool:
        ports = (self._port, self._port + 1)
        return (port or 5060) in ports and self.addressing.names_socket(host, self._host)

    @property
    def flows(self) -> list[MemoryFlow]:
        """The last flow to each peer, by each transport."""
        return list(self._flows.values())

    def flow_of(self, transport: str, remote: Address) -> MemoryFlow:
        """The open flow to ``remote``, made when there is none."""
        flow = self._flows.get((transport, remote))
        if flow is None or not flow.is_open:
            flow = MemoryFlow(self, transport, self.address(transport), remote)
            self._flows[transport, remote] = flow
            if flow.is_reliable:
                self._connect(flow)
        return flow

    def receive(self, transport: str, data: bytes, flow: Flow) -> None:
        self._receiver.receive_datagram(data, flow)

    def report(self, flow: MemoryFlow, reason: str) -> None:
        """Tell the user of a failure once a turn, never from inside a send."""
        if flow not in self._reported:
            self._reported.add(flow)
            self.network.clock.callLater(0, self._tell, flow, reason)

    def _tell(self, flow: MemoryFlow, reason: str) -> None:
        self._reported.discard(flow)
        self.user.flow_failed(flow, reason)

    def _connect(self, flow: MemoryFlow) -> None:
        peer = self.network.listener(flow.transport, flow.remote)
        if peer is not None:
            twin = MemoryFlow(peer, flow.transport, flow.remote, flow.local)
            flow.twin, twin.twin = twin, flow
            # The peer finds the way back over the same connection.
            known = peer._flows.get((flow.transport, flow.local))
            if known is None or not known.is_open:
                peer._flows[flow.transport, flow.local] = twin
            self.network.connected(flow)


@attrs.define
class RecordingUser:
    """A `TransportUser` that writes down what it is told."""

    requests: list[tuple[Request, Flow]] = attrs.field(factory=list)
    responses: list[tuple[Response, Flow]] = attrs.field(factory=list)
    faults: list[tuple[ParseError, Flow]] = attrs.field(factory=list)
    failures: list[tuple[Flow, str]] = attrs.field(factory=list)

    def receive_request(self, request: Request, flow: Flow) -> None:
        self.requests.append((request, flow))

    def receive_response(self, response: Response, flow: Flow) -> None:
        self.responses.append((response, flow))

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        self.faults.append((error, flow))

    def flow_failed(self, flow: Flow, reason: str) -> None:
        self.failures.append((flow, reason))

    @property
    def methods(self) -> Sequence[str]:
        return [request.method for request, _ in self.requests]


def _first_word(data: bytes) -> bytes:
    """The method of a request, the status of a response."""
    return data[8:11] if data.startswith(b"SIP/2.0 ") else data[: data.find(b" ")]


def _line(data: bytes, start: bytes) -> bytes:
    """The value of a header in the form that we write ourselves; empty when it is not there."""
    at = data.find(start)
    return data[at + len(start) : data.find(b"\r", at + 2)] if at >= 0 else b""
