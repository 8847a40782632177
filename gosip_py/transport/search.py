"""One search for the servers of a domain, from the first question to the last address (RFC 3263 4.1, 4.2).

NAPTR and SRV are asked for at the same time: that saves a round trip, and a name server that drops what it does not
know costs nothing but its own records. Nobody is called at more than sixteen hosts, whatever DNS says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Target
from gosip_py.transport.hosts import HostAddresses
from gosip_py.transport.records import SERVICE_PREFIXES, Answer, Kind, Records, Srv, chosen_services, host_name
from gosip_py.transport.resolve import Addresses
from gosip_py.transport.via import DEFAULT_PORTS

__all__ = ["Families", "Found", "Search", "Server"]

_MOST_SERVICES = 4
_MOST_SERVERS = 16
_TTL_OF_FAILURE = 5.0

Families = Callable[[str], tuple[int, ...]]
"""The IP versions (4, 6) that a transport of ours can use, the best first; none when it cannot be used at all."""

Question = tuple[str, Kind]


@attrs.frozen
class Server:
    """Where one host serves SIP: ``hops`` are its addresses, each a numeric target."""

    priority: int
    weight: int
    hops: tuple[Target, ...]


Found = Callable[[tuple[Server, ...], float], None]
"""Takes the servers and the seconds for which they hold."""


@attrs.frozen
class _Named:
    """A server whose addresses are not known yet."""

    priority: int
    weight: int
    transport: str
    host: str
    port: int


class Search:
    """Tells ``found`` once: when everything is answered, or in `give_up`. Nothing is told once ``is_over`` is set.

    ``target`` has a name for its host, and a transport that has servers.
    """

    def __init__(
        self, target: Target, records: Records, hosts: HostAddresses, families: Families, found: Found
    ) -> None:
        self.is_over = False
        self._target = target
        self._name = host_name(target.host)
        self._records = records
        self._hosts = hosts
        self._families = families
        self._found = found
        wanted = (target.transport,) if target.transport else ("TLS",) if target.is_secure else SERVICE_PREFIXES
        self._transports = [transport for transport in wanted if families(transport)]
        self._answers: dict[Question, Answer] = {}
        self._servers: Sequence[_Named] = ()
        self._addresses: dict[str, Addresses] = {}
        self._pending = 0
        self._ttl = float("inf")
        self._is_silent = False

    def start(self) -> None:
        """Ask."""
        if not self._transports:
            self._finish()
        elif self._target.port or "." not in self._name:
            self._look_up([self._plain(self._transports[0])])
        else:
            questions: list[Question] = [(SERVICE_PREFIXES[each] + self._name, "SRV") for each in self._transports]
            if not self._target.transport:
                questions.append((self._name, "NAPTR"))
            self._ask(questions, self._choose)

    def give_up(self) -> None:
        """Make do with what is known."""
        if not self.is_over:
            self._is_silent = True
            self._finish()

    # -- services ----------------------------------------------------------------------------------------------------

    def _ask(self, questions: Sequence[Question], then: Callable[[], None]) -> None:
        asked = [question for question in questions if question not in self._answers and host_name(question[0])]
        self._pending = len(asked)
        for question in asked:
            self._records.ask(*question, partial(self._told, question, then))
        if not asked:
            then()

    def _told(self, question: Question, then: Callable[[], None], answer: Answer) -> None:
        if self.is_over:
            return
        self._answers[question] = answer
        if answer.is_silent:
            self._is_silent = True
        else:
            self._ttl = min(self._ttl, answer.ttl)
        self._pending -= 1
        if self._pending == 0:
            then()

    def _choose(self) -> None:
        """The services that NAPTR names, else the first of ours that has SRV records."""
        naptr = self._answers.get((self._name, "NAPTR"))
        chosen = chosen_services(naptr.records, self._target.is_secure) if naptr is not None else []
        usable = [service for service in chosen if service[0] in self._transports][:_MOST_SERVICES]
        if usable:
            self._ask([(name, "SRV") for _, name in usable], lambda: self._use(usable))
            return
        usual = [(transport, SERVICE_PREFIXES[transport] + self._name) for transport in self._transports]
        offered = [service for service in usual if any(srv.host for srv in self._srvs(service[1]))]
        self._use((offered or usual)[:1])

    def _use(self, services: Sequence[tuple[str, str]]) -> None:
        servers = [
            _Named(rank << 16 | srv.priority, srv.weight, transport, srv.host, srv.port)
            for rank, (transport, name) in enumerate(services)
            for srv in self._srvs(name)
            if srv.host
        ]
        if servers:
            servers.sort(key=lambda each: (each.priority, -each.weight))
            self._look_up(servers[:_MOST_SERVERS])
        elif any(self._srvs(name) for name, kind in self._answers if kind == "SRV"):
            self._finish()  # RFC 2782: a target of "." says that the service is not there
        else:
            self._look_up([self._plain(services[0][0])])

    def _srvs(self, name: str) -> list[Srv]:
        answer = self._answers.get((name, "SRV"))
        return [] if answer is None else [record for record in answer.records if isinstance(record, Srv)]

    def _plain(self, transport: str) -> _Named:
        """The host itself, which has no SRV records or needs none."""
        return _Named(0, 0, transport, self._name, self._target.port or DEFAULT_PORTS[transport])

    # -- addresses ---------------------------------------------------------------------------------------------------

    def _look_up(self, servers: Sequence[_Named]) -> None:
        self._servers = servers
        families = dict.fromkeys(family for each in servers for family in self._families(each.transport))
        names = dict.fromkeys(each.host for each in servers)
        self._pending = len(names)
        # Name servers that said nothing about the domain will say nothing about its address.
        is_deaf = bool(self._answers) and all(answer.is_silent for answer in self._answers.values())
        find = self._hosts.ask_system if is_deaf else self._hosts.find
        for name in names:
            find(name, tuple(families), partial(self._host_found, name))

    def _host_found(self, name: str, addresses: Addresses, ttl: float) -> None:
        if self.is_over:
            return
        self._addresses[name] = addresses
        self._ttl = min(self._ttl, ttl)
        self._pending -= 1
        if self._pending == 0:
            self._finish()

    def _finish(self) -> None:
        self.is_over = True
        servers = tuple(
            Server(each.priority, each.weight, hops) for each in self._servers if (hops := self._hops(each))
        )
        is_doubtful = self._pending > 0 or (self._is_silent and not servers)
        self._found(servers, _TTL_OF_FAILURE if is_doubtful else self._ttl)

    def _hops(self, server: _Named) -> tuple[Target, ...]:
        families = self._families(server.transport)
        return tuple(
            Target(server.transport, address, server.port, domain=self._name)
            for address in self._addresses.get(server.host, ())
            if (numeric := numeric_address(address)) and numeric.version in families
        )
