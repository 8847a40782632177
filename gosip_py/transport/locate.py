"""Which addresses a target leads to, in which order, and what is remembered of them (RFC 3263 4).

What DNS said is kept as long as it says; the order among servers of one priority is drawn anew for each request, and
addresses that lately failed come last.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Target
from gosip_py.transport.hosts import HostAddresses
from gosip_py.transport.outages import OUTAGE_SECONDS, Outages
from gosip_py.transport.records import SERVICE_PREFIXES, Records, host_name, shuffled
from gosip_py.transport.search import Families, Search, Server

__all__ = ["Locator"]

_SEARCH_SECONDS = 5.0
_MOST_SEARCHES = 256
_MOST_REMEMBERED = 1024
_MOST_HOPS = 16
_SHORTEST_TTL = 1.0
_LONGEST_TTL = 86400.0

Hops = tuple[Target, ...]
Then = Callable[[Hops], None]
Place = tuple[str, str, int, bool]


@attrs.frozen
class _Known:
    servers: tuple[Server, ...]
    until: float


class Locator:
    """Answers for one transport layer. ``families`` gives the IP versions that a transport of ours can use, best first.

    ``chance`` draws among servers of one priority; a seeded one gives the same order each time.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        records: Records,
        hosts: HostAddresses,
        families: Families,
        chance: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._records = records
        self._hosts = hosts
        self._families = families
        self._chance = chance or random.Random()
        self._outages = Outages(clock)
        self._known: dict[Place, _Known] = {}
        self._searches: dict[Place, _Running] = {}

    def locate(self, target: Target, then: Then) -> None:
        """Call ``then`` with the numeric targets to try, one after the other; with none when there are none.

        At once when nobody need be asked; else later, at the latest after five seconds.
        """
        address = numeric_address(target.host)
        if address is not None:
            # Of IPv4 there is one notation only.
            written = target.host if address.version == 4 else str(address)
            then((target,) if written == target.host else (attrs.evolve(target, host=written),))
            return
        place = (target.transport, target.host, target.port, target.is_secure)
        known = self._known.get(place)
        if known is not None and known.until > self._clock.seconds():
            then(self._in_order(known.servers))
        else:
            self._search(target, place, then)

    def failed(self, hop: Target, seconds: float = OUTAGE_SECONDS) -> None:
        """``hop``, which `locate` gave, timed out, refused, or wants to be left alone: for so long it comes last."""
        if self._outages.note(hop, seconds):
            self.log.info(
                "{host}:{port}/{transport}, a server of {domain}, fails: it is tried last from now on",
                host=hop.host,
                port=hop.port,
                transport=hop.transport,
                domain=hop.domain,
            )

    def answered(self, hop: Target) -> None:
        """It works."""
        self._outages.forget(hop)

    def stop(self) -> None:
        """Tell nobody anything any more."""
        for running in self._searches.values():
            running.end()
        self._searches.clear()

    # -- searching ---------------------------------------------------------------------------------------------------

    def _search(self, target: Target, place: Place, then: Then) -> None:
        running = self._searches.get(place)
        if running is not None:
            running.waiting.append(then)
        elif not host_name(target.host) or target.transport not in (*SERVICE_PREFIXES, ""):
            then(())
        elif len(self._searches) >= _MOST_SEARCHES:
            self.log.warn("{count} names are being looked up: {host} is not", count=_MOST_SEARCHES, host=target.host)
            then(())
        else:
            found = partial(self._found, place)
            search = Search(target, self._records, self._hosts, self._families, found)
            deadline = self._clock.callLater(_SEARCH_SECONDS, search.give_up)
            self._searches[place] = _Running(search, deadline, [then])
            search.start()

    def _found(self, place: Place, servers: tuple[Server, ...], ttl: float) -> None:
        running = self._searches.pop(place)
        running.end()
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[place] = _Known(servers, self._clock.seconds() + min(max(ttl, _SHORTEST_TTL), _LONGEST_TTL))
        for then in running.waiting:
            try:
                then(self._in_order(servers))
            except Exception:
                # One request's bug must not cost the others their answer.
                self.log.failure("whoever looked for {host} failed", host=place[1])

    def _in_order(self, servers: tuple[Server, ...]) -> Hops:
        hops = dict.fromkeys(hop for server in shuffled(servers, self._chance) for hop in server.hops)
        return self._outages.last(tuple(hops)[:_MOST_HOPS])


@attrs.define
class _Running:
    """A search, its deadline, and who waits for what it finds."""

    search: Search
    deadline: IDelayedCall
    waiting: list[Then]

    def end(self) -> None:
        self.search.is_over = True
        if self.deadline.active():
            self.deadline.cancel()
