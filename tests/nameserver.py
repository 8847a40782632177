"""A name server on a free loopback port, over UDP and TCP, that says what the test puts into it; it can lie too.

server = await NameServer.start(self)
server.put("_sip._udp.carrier.test", dns.Record_SRV(10, 0, 5060, b"a.carrier.test"))
server.put("a.carrier.test", dns.Record_A("127.0.0.1"))
... server.address ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet import reactor as default_reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorUDP
from twisted.names import dns
from twisted.names.server import DNSServerFactory
from twisted.trial.unittest import TestCase

from tests.running import LOOPBACK, free_ports

__all__ = ["NameServer"]

LARGEST_DATAGRAM = 512  # RFC 1035 4.2.1
NEGATIVE_TTL = 60


class NameServer(DNSServerFactory):
    """``asked`` are the questions so far: transport, name and kind. ``twist`` may change each response before it goes.

    One that ``is_silent``, or ``is_silent_over_tcp``, hears and answers nothing. A name exists when it has any records,
    though it may have none of a kind.
    """

    noisy = False

    def __init__(self, port: int) -> None:
        super().__init__()
        self.address = f"{LOOPBACK}:{port}"
        self.asked: list[tuple[str, str, str]] = []
        self.is_silent = False
        self.is_silent_over_tcp = False
        self.code = dns.OK
        self.twist: Callable[[dns.Message], None] | None = None
        self._port = port
        self._records: dict[str, list[dns.RRHeader]] = {}
        self._listening: list[IListeningPort] = []

    @classmethod
    async def start(cls, case: TestCase) -> NameServer:
        """One that listens until the end of the test."""
        server = cls(*free_ports(1))
        datagrams = dns.DNSDatagramProtocol(server)
        datagrams.noisy = False
        server._listening.append(IReactorUDP(default_reactor).listenUDP(server._port, datagrams, LOOPBACK, 8192))
        server._listening.append(IReactorTCP(default_reactor).listenTCP(server._port, server, interface=LOOPBACK))
        case.addCleanup(server.stop)
        return server

    async def stop(self) -> None:
        for port in self._listening:
            await maybeDeferred(port.stopListening)
        for connection in tuple(self.connections):
            connection.transport.abortConnection()

    def put(self, name: str, *records: Any, ttl: int = 300) -> None:
        """More records of a name."""
        found = self._records.setdefault(name, [])
        found += [dns.RRHeader(name.encode(), each.TYPE, dns.IN, ttl, each) for each in records]

    # -- what the server asks of its subclasses ------------------------------------------------------------------------

    def handleQuery(self, message: dns.Message, protocol: Any, address: tuple[str, int] | None) -> None:
        query = message.queries[0]
        name = query.name.name.decode().lower()
        kind = dns.QUERY_TYPES.get(query.type, str(query.type))
        self.asked.append(("udp" if address else "tcp", name, kind))
        if self.is_silent or (self.is_silent_over_tcp and address is None):
            return
        response = cast(dns.Message, self._responseFromMessage(message, self.code))
        response.queries = message.queries
        self._fill(response, name, query.type)
        if self.twist is not None:
            self.twist(response)
        if address is not None and len(response.toStr()) > LARGEST_DATAGRAM:
            response.trunc, response.answers = 1, []
        self.sendReply(protocol, response, address)

    def _fill(self, response: dns.Message, name: str, kind: int) -> None:
        soa = dns.Record_SOA(b"ns.test", b"root.ns.test", 1, 3600, 600, 86400, NEGATIVE_TTL)
        known = self._records.get(name)
        if known is None and response.rCode == dns.OK:
            response.rCode = dns.ENAME
        alias = next((each for each in known or () if each.type == dns.CNAME), None)
        response.answers = [each for each in known or () if each.type == kind]
        if alias is not None and not response.answers:
            target = cast(Any, alias.payload).name.name.decode()
            response.answers = [alias, *(each for each in self._records.get(target, ()) if each.type == kind)]
        if not response.answers:
            response.authority = [dns.RRHeader(b"test", dns.SOA, dns.IN, 3600, soa)]
