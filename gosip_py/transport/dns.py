"""Questions to name servers, by `twisted.names` (RFC 1035, RFC 2308, RFC 2782, RFC 3403).

The servers are those given, or those of the system as its file names them now. Whatever they say, an answer is a
bounded number of records of the name that was asked for, or of the one that its CNAMEs lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol, cast
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConnector, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.names import client, dns
from twisted.names.error import DNSNameError
from twisted.python.failure import Failure

from gosip_py.transport.records import Answer, Kind, Naptr, Record, Srv, Told, host_name

__all__ = ["NameServers", "parse_server", "system_servers"]

Address = tuple[str, int]
Sections = tuple[list[dns.RRHeader], list[dns.RRHeader], list[dns.RRHeader]]

RESOLV_CONF = Path("/etc/resolv.conf")
_PORT = 53
_MOST_SERVERS = 3
_MOST_RECORDS = 32
_MOST_ALIASES = 8
_LONGEST_TTL = 86400.0
_NEGATIVE = (5.0, 300.0)
_NEGATIVE_UNSAID = 30.0  # when there is none, and no SOA record says for how long
_SILENCE = Answer((), _NEGATIVE[0], is_silent=True)

_TYPES: Mapping[Kind, int] = {"A": dns.A, "AAAA": dns.AAAA, "SRV": dns.SRV, "NAPTR": dns.NAPTR}


def parse_server(text: str) -> Address:
    """``address:port``, or a numeric address alone, as host and port. ValueError when it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port or (":" in host and not host.startswith("[")):
        host, port = text, str(_PORT)
    return str(ip_address(host.strip("[]"))), int(port)


def system_servers(path: Path) -> list[Address]:
    """The servers that a resolv.conf(5) names; none when it cannot be read."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for words in map(str.split, lines):
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append((str(ip_address(words[1])), _PORT))
            except ValueError:
                continue
    return found[:_MOST_SERVERS]


class DnsReactor(Protocol):
    """What a resolver needs of the reactor."""

    def seconds(self) -> float: ...
    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall: ...
    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> IListeningPort: ...
    def connectTCP(self, host: str, port: int, factory: ClientFactory[Any], timeout: float = 30) -> IConnector: ...


class _Sockets:
    """Stands between the resolver and the reactor: each question has a port that the kernel chose, unlogged."""

    def __init__(self, reactor: DnsReactor, connect_seconds: float) -> None:
        self._reactor = reactor
        self._connect_seconds = connect_seconds
        self._calls: WeakSet[IDelayedCall] = WeakSet()
        self.seconds = reactor.seconds

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:
        call = self._reactor.callLater(delay, callable, *args)
        self._calls.add(call)
        return call

    def stop(self) -> None:
        """The resolver lets its timers run on when a question is cancelled."""
        for call in tuple(self._calls):
            if call.active():
                call.cancel()

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> IListeningPort:
        protocol.noisy = False
        return self._reactor.listenUDP(0, protocol, interface, maxPacketSize)

    def connectTCP(self, host: str, port: int, factory: ClientFactory[Any], timeout: float = 30) -> IConnector:
        return self._reactor.connectTCP(host, port, factory, self._connect_seconds)


class NameServers:
    """Asks ``servers`` or, when there are none, those of ``resolv_conf``; nothing is opened before the first question.

    A question ends after ``seconds``, however many servers there are.
    """

    log = Logger()

    def __init__(
        self,
        reactor: object,
        servers: tuple[str, ...] = (),
        resolv_conf: Path = RESOLV_CONF,
        seconds: float = 2.0,
    ) -> None:
        self._clock = cast(IReactorTime, reactor)
        self._sockets = _Sockets(cast(DnsReactor, reactor), seconds)
        self._given = [parse_server(text) for text in servers]
        self._resolv_conf = resolv_conf
        self._seconds = seconds
        self._read_at: tuple[int, int] | None = None
        self._servers: list[Address] = []
        self._resolver: client.Resolver | None = None
        self._asked: set[Deferred[Sections]] = set()
        self._is_stopped = False

    def ask(self, name: str, kind: Kind, told: Told) -> None:
        """Tell ``told`` the records of a name; none when nobody answers in time."""
        resolver = None if self._is_stopped else self._current()
        if resolver is None:
            told(_SILENCE)
            return
        # Each server is asked twice: the first question may be lost.
        patience = (self._seconds / 2 / len(self._servers),) * 2
        asked: Deferred[Sections] = resolver.query(dns.Query(name.encode(), _TYPES[kind], dns.IN), patience)
        self._asked.add(asked)
        # The library itself is more patient over TCP.
        timed = asked.addTimeout(self._seconds, self._clock)
        _ = timed.addBoth(self._answered, asked, name, kind, told).addErrback(self._broken)

    def stop(self) -> None:
        """Ask nobody any more; whoever waits is told that there is nothing."""
        self._is_stopped = True
        for asked in tuple(self._asked):
            asked.cancel()
        self._sockets.stop()
        for connection in tuple(self._resolver.connections) if self._resolver is not None else ():
            for _, patience in connection.liveMessages.values():
                patience.cancel()
            connection.liveMessages.clear()
            connection.transport.abortConnection()

    # -- the servers -------------------------------------------------------------------------------------------------

    def _current(self) -> client.Resolver | None:
        servers = self._given or self._of_the_system()
        if servers != self._servers:
            self._servers = servers
            self._resolver = client.Resolver(servers=list(servers), reactor=self._sockets) if servers else None
        return self._resolver

    def _of_the_system(self) -> list[Address]:
        try:
            status = self._resolv_conf.stat()
        except OSError:
            self._read_at = None
            return []
        read_at = (status.st_mtime_ns, status.st_ino)
        if read_at == self._read_at:
            return self._servers
        self._read_at = read_at
        return system_servers(self._resolv_conf)

    # -- the answers -------------------------------------------------------------------------------------------------

    def _answered(
        self, result: Sections | Failure, asked: Deferred[Sections], name: str, kind: Kind, told: Told
    ) -> None:
        self._asked.discard(asked)
        told(_read_failure(result) if isinstance(result, Failure) else _read(name, kind, result))

    def _broken(self, failure: Failure) -> None:
        self.log.failure("the answer of a name server broke us", failure)


def _read(name: str, kind: Kind, sections: Sections) -> Answer:
    """The records of the name: what else stands in the answer may be a lie."""
    answers, authority, _ = sections
    owner, ttl = _follow(name, answers)
    found: list[Record] = []
    for each in answers:
        if owner and _name_of(each.name) == owner and each.type == _TYPES[kind] and each.cls == dns.IN:
            record = _READ[kind](each.payload)
            if record is not None and len(found) < _MOST_RECORDS:
                found.append(record)
                ttl = min(ttl, float(each.ttl))
    return Answer(tuple(found), max(ttl, 1.0)) if found else _negative(authority)


def _follow(name: str, answers: list[dns.RRHeader]) -> tuple[str, float]:
    """Where the CNAMEs in an answer lead, and for how long."""
    aliases = {_name_of(each.name): each for each in reversed(answers) if each.type == dns.CNAME}
    ttl = _LONGEST_TTL
    for _ in range(_MOST_ALIASES):
        alias = aliases.get(name)
        if alias is None:
            break
        name, ttl = _name_of(cast(Any, alias.payload).name), min(ttl, float(alias.ttl))
    return name, ttl


def _negative(authority: list[dns.RRHeader]) -> Answer:
    """RFC 2308 5, within bounds: a domain that is being set up shall be found soon."""
    soa = next((each for each in authority if each.type == dns.SOA), None)
    if soa is None:
        return Answer((), _NEGATIVE_UNSAID)
    said = min(float(soa.ttl), float(cast(Any, soa.payload).minimum))
    return Answer((), min(max(said, _NEGATIVE[0]), _NEGATIVE[1]))


def _read_failure(failure: Failure) -> Answer:
    """A name that does not exist; or a server that fails, that cannot be reached, or does not know this kind."""
    error = failure.value
    if isinstance(error, DNSNameError) and error.args:
        return _negative(error.args[0].authority)
    return _SILENCE


def _name_of(name: dns.Name) -> str:
    return host_name(name.name.decode("ascii", "replace"))


def _read_srv(payload: Any) -> Record | None:
    if payload.target.name in (b"", b"."):
        return Srv(payload.priority, payload.weight, payload.port, "")
    host = _name_of(payload.target)
    return Srv(payload.priority, payload.weight, payload.port, host) if host and payload.port else None


def _read_naptr(payload: Any) -> Record | None:
    strings = (payload.flags.string, payload.service.string, payload.regexp.string)
    return Naptr(payload.order, payload.preference, *strings, _name_of(payload.replacement))


def _read_address(payload: Any) -> Record | None:
    """As text, unless it is one that names no single host."""
    address = ip_address(payload.address)
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        return None
    return str(address)


_READ: Mapping[Kind, Callable[[Any], Record | None]] = {
    "A": _read_address,
    "AAAA": _read_address,
    "SRV": _read_srv,
    "NAPTR": _read_naptr,
}
