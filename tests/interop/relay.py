"""A TLS front for a phone that speaks only TCP, as Debian's SIPp does: what it sends goes to the server over TLS.

What the server sends, on that connection or on one that it opens to the relay's own TLS port, goes to the phone's
connection, or, while it has none, to the port on which the phone listens. The connection to the server stays up between
the phone's runs, as that of a real phone does after it has registered.
"""

from __future__ import annotations

from twisted.internet import reactor as default_reactor
from twisted.internet import ssl
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.running import LOOPBACK, Identity


class Side(Protocol):
    """One connection of the relay, either to the phone or to the server."""

    def __init__(self, relay: Relay, is_phone: bool) -> None:
        self.relay = relay
        self.is_phone = is_phone
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.relay.opened(self)

    def dataReceived(self, data: bytes) -> None:
        self.relay.received(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.relay.closed(self)
        self.lost.callback(None)

    def write(self, data: bytes) -> None:
        """Send on this connection."""
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> Deferred[None]:
        """Cut it; fires when it is cut."""
        ITCPTransport(self.transport).abortConnection()
        return self.lost


class SideFactory(Factory):
    """Makes the connections of one kind."""

    noisy = False

    def __init__(self, relay: Relay, is_phone: bool) -> None:
        self.relay = relay
        self.is_phone = is_phone

    def buildProtocol(self, addr: object) -> Side:
        return Side(self.relay, self.is_phone)


def bound_port(port: IListeningPort) -> int:
    """The number of a listening port."""
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    return address.port


class Relay:
    """`tcp_port` is where the phone connects, `tls_port` what its Contact names, `phone_port` where it listens."""

    def __init__(self, server_port: int, phone_port: int, identity: Identity) -> None:
        self.tcp_port = 0
        self.tls_port = 0
        self._server_port = server_port
        self._phone_port = phone_port
        self._identity = identity
        self._sides: list[Side] = []
        self._calling: Deferred[None] | None = None
        self._for_phone = bytearray()
        self._heard: Side | None = None
        self._ports: list[IListeningPort] = []

    async def open(self, case: TestCase) -> None:
        """Listen, and connect to the server, whose certificate must be the one of `identity`, until the test ends."""
        case.addCleanup(lambda: Deferred.fromCoroutine(self.close()))
        certificate = ssl.PrivateCertificate.loadPEM(self._identity.both.read_bytes())
        phones = TCP4ServerEndpoint(default_reactor, 0, interface=LOOPBACK)
        servers = SSL4ServerEndpoint(default_reactor, 0, certificate.options(), interface=LOOPBACK)
        self._ports.append(await phones.listen(SideFactory(self, True)))
        self._ports.append(await servers.listen(SideFactory(self, False)))
        self.tcp_port, self.tls_port = (bound_port(port) for port in self._ports)
        trusted = ssl.Certificate.loadPEM(self._identity.certificate.read_bytes())
        options = ssl.optionsForClientTLS(LOOPBACK, trustRoot=trusted)
        to_server = wrapClientTLS(options, TCP4ClientEndpoint(default_reactor, LOOPBACK, self._server_port, timeout=5))
        await to_server.connect(SideFactory(self, False))

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        for port in self._ports:
            stopping = port.stopListening()
            if stopping is not None:
                await stopping
        for side in list(self._sides):
            await side.close()

    def opened(self, side: Side) -> None:
        """A connection is up; the phone gets what waited for it."""
        self._sides.append(side)
        if side.is_phone and self._for_phone:
            side.write(bytes(self._for_phone))
            self._for_phone.clear()

    def closed(self, side: Side) -> None:
        """A connection is gone."""
        if side in self._sides:
            self._sides.remove(side)

    def received(self, side: Side, data: bytes) -> None:
        """Pass it on to the other kind."""
        others = [other for other in self._sides if other.is_phone != side.is_phone]
        if side.is_phone:
            # An answer goes back where the request came from; our own connection, the oldest, is for all else.
            (self._heard if self._heard in others else others[0]).write(data)
        elif others:
            self._heard = side
            others[-1].write(data)
        else:
            self._heard = side
            self._for_phone += data
            self._call_phone()

    def _call_phone(self) -> None:
        if self._calling is not None:
            return
        endpoint = TCP4ClientEndpoint(default_reactor, LOOPBACK, self._phone_port, timeout=5)
        calling = endpoint.connect(SideFactory(self, True))
        self._calling = calling.addBoth(self._called)

    def _called(self, _: object) -> None:
        # A phone that is not there gets nothing, and the server no answer: that is what the test is to see.
        self._calling = None
