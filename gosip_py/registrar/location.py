"""The location service: which contacts an address of record has now (RFC 3261 10).

Everything is in memory and each change is put to the store's writer. A contact is a binding record with the flow on
which its phone was heard. Expiry is one heap with one entry for each contact: a refresh leaves the entry, which finds
its new place when it comes up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from sys import intern
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gosip_py.events import BindingAdded, BindingRefreshed, BindingRemoved, Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.contacts import Wanted
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import split_commas
from gosip_py.sip.headers import parse_address
from gosip_py.sip.uri import parse_uri
from gosip_py.store.records import Binding, BindingKey
from gosip_py.transport.flow import Address, Flow, Target
from gosip_py.transport.resolve import target_of
from gosip_py.transport.via import DEFAULT_PORTS, bare_host

__all__ = ["BindingSource", "BindingWriter", "Contact", "Location"]

SWEEP_SECONDS = 1.0
_WEBSOCKETS = ("WS", "WSS")


class BindingWriter(Protocol):
    """Takes each change under its key, to write it when it suits; a key as the value means that the binding is gone."""

    def put(self, key: BindingKey, value: Binding | BindingKey) -> None:
        """Never blocks, never raises."""


class BindingSource(Protocol):
    """Where the bindings of the last run are."""

    async def load_all(self, now: float) -> tuple[Binding, ...]:
        """What has not expired at ``now``."""


class Contact:
    """A binding, and how its phone is reached now.

    ``flow`` is the one its last REGISTER came on, None after a restart or when the connection failed. ``is_at_source``
    says that the phone is reached at the address it was heard from rather than at the one in its contact URI, and
    ``is_translated`` that the two differ: it is behind a NAT. ``wanted`` is what its phone asked for last, None after a
    restart: a refresh in the same words need not be decoded again.
    """

    __slots__ = ("_id", "_queued_at", "binding", "flow", "is_at_source", "is_translated", "key", "wanted")

    def __init__(
        self, binding: Binding, flow: Flow | None, is_at_source: bool = True, wanted: Wanted | None = None
    ) -> None:
        self.binding = binding
        self.flow = flow
        self.is_at_source = is_at_source
        self.wanted = wanted
        self.key = binding.key
        self.is_translated = _is_translated(binding)
        self._queued_at = 0.0
        self._id = ""

    def __repr__(self) -> str:
        return f"<Contact {self.binding.contact} of {self.binding.aor}>"

    @property
    def uri_text(self) -> str:
        """What goes into the Request-URI of a request to this phone."""
        return self.binding.contact

    @property
    def id(self) -> str:
        """As that of the binding, made once."""
        if not self._id:
            self._id = self.binding.id
        return self._id

    @property
    def path(self) -> tuple[str, ...]:
        """The Route values that lead to the phone (RFC 3327 5.4)."""
        path = self.binding.path
        return tuple(split_commas(path)) if path else ()

    @property
    def is_cut_off(self) -> bool:
        """Whether its phone registered by a connection that is gone."""
        return self.binding.transport != "UDP" and (self.flow is None or not self.flow.is_open)

    @property
    def is_reachable(self) -> bool:
        """Whether a request may be sent: to a binding of one flow only while that flow stands (RFC 5626 7).

        So it is with every WebSocket: nobody opens a connection to a page in a browser (RFC 7118 4.1).
        """
        binding = self.binding
        is_of_one_flow = bool(binding.flow) or binding.transport in _WEBSOCKETS
        return not (is_of_one_flow and not binding.path and self.is_cut_off)

    @property
    def stays_on_flow(self) -> bool:
        """Whether later requests of a dialog reach the phone by the flow of the first one only."""
        if self.binding.path:
            return False
        return bool(self.binding.flow) or (self.is_at_source and self.is_translated)

    @property
    def target(self) -> Target:
        """Where a request for this phone is sent. ParseError when its path or contact cannot be read."""
        binding = self.binding
        flow = self.flow if self.is_at_source and self.flow is not None and self.flow.is_open else None
        if flow is not None:
            return Target(binding.transport, flow.remote[0], flow.remote[1], flow)
        if binding.path:
            return target_of(parse_address(self.path[0]).uri)
        if self.is_at_source and binding.transport == "UDP":
            return Target("UDP", *_address(binding.source))
        return target_of(parse_uri(binding.contact), binding.transport)


class Location:
    """Every contact of every address of record.

    Times are epoch seconds, ``seconds`` tells them. ``start`` makes it expire contacts by itself; an expired contact is
    never handed out in any case.
    """

    log = Logger()

    def __init__(
        self, writer: BindingWriter, bus: Bus, metrics: Metrics, seconds: Callable[[], float] = time.time
    ) -> None:
        self._seconds = seconds
        self._watcher: Callable[[Contact], object] | None = None
        self._writer = writer
        self._bus = bus
        self._contacts: dict[str, list[Contact]] = {}
        self._by_flow: dict[Flow, list[Contact]] = {}
        self._queue: list[tuple[float, int, Contact]] = []
        self._order = count()
        self._size = 0
        self._sweep: IDelayedCall | None = None
        metrics.registrations.read_from(self.__len__)

    def __len__(self) -> int:
        """How many contacts are registered, those included that expired since the last sweep."""
        return self._size

    def __iter__(self) -> Iterator[Contact]:
        """Every contact, as it is now."""
        return iter([contact for contacts in self._contacts.values() for contact in contacts])

    # -- asking -----------------------------------------------------------------------------------------------------

    def lookup(self, aor: str, now: float) -> list[Contact]:
        """The contacts of a canonical address of record that have not expired, in the order of registration."""
        contacts = self._contacts.get(aor)
        if contacts is None:
            return []
        return [contact for contact in contacts if contact.binding.expires_at > now]

    # -- changing ---------------------------------------------------------------------------------------------------

    def add(self, contact: Contact, now: float) -> None:
        """Take in a contact that its address of record does not have yet."""
        self._insert(contact)
        self._writer.put(contact.key, contact.binding)
        self._tell(BindingAdded, contact, "registered", now)

    def _tell(
        self, kind: type[BindingAdded | BindingRefreshed | BindingRemoved], contact: Contact, reason: str, now: float
    ) -> None:
        binding = contact.binding
        facts = (contact.id, binding.expires_at, binding.call_id, binding.cseq)
        self._bus.publish(kind(binding.aor, binding.contact, reason, now, *facts))

    def _insert(self, contact: Contact) -> None:
        self._contacts.setdefault(contact.binding.aor, []).append(contact)
        self._size += 1
        self._join_flow(contact)
        self._enqueue(contact)
        if self._watcher is not None:
            self._watcher(contact)

    def refresh(self, contact: Contact, binding: Binding, flow: Flow, now: float) -> None:
        """Give a contact a new record with the same address of record and contact, heard on ``flow``."""
        if contact.flow is not flow:
            self._leave_flow(contact)
            contact.flow = flow
            self._join_flow(contact)
        has_moved = binding.source is not contact.binding.source
        contact.binding = binding
        if has_moved:
            self._moved(contact)
        if binding.expires_at < contact._queued_at:
            self._enqueue(contact)
        self._writer.put(contact.key, binding)
        if self._bus.has_listeners(BindingRefreshed):
            self._tell(BindingRefreshed, contact, "refreshed", now)

    def _moved(self, contact: Contact) -> None:
        contact.is_translated = _is_translated(contact.binding)
        if self._watcher is not None:
            self._watcher(contact)

    def renew_gruus(self, contact: Contact, epoch: str) -> None:
        """Note that the temporary GRUUs of a phone are valid from ``epoch`` on only; nobody else need know."""
        contact.binding = attrs.evolve(contact.binding, gruu=epoch)
        self._writer.put(contact.key, contact.binding)

    def remove(self, contact: Contact, reason: str, now: float) -> None:
        """Take out a contact; one that is out already stays out."""
        aor = contact.binding.aor
        contacts = self._contacts.get(aor)
        if contacts is None or contact not in contacts:
            return
        contacts.remove(contact)
        if not contacts:
            del self._contacts[aor]
        self._size -= 1
        self._leave_flow(contact)
        contact._queued_at = 0.0
        self._writer.put(contact.key, contact.key)
        self._tell(BindingRemoved, contact, reason, now)

    def remove_key(self, key: BindingKey, reason: str, now: float) -> bool:
        """Take out the contact with this key; whether there was one."""
        for contact in self._contacts.get(key.aor, ()):
            if contact.key == key:
                self.remove(contact, reason, now)
                return True
        return False

    def holds(self, contact: Contact) -> bool:
        """Whether this very contact is still registered."""
        return contact in self._contacts.get(contact.binding.aor, ())

    def watch(self, watcher: Callable[[Contact], object]) -> None:
        """Have ``watcher`` told of each contact there is, of each that comes, and of each that moves. There is one."""
        self._watcher = watcher
        for contact in self:
            watcher(contact)

    # -- flows ------------------------------------------------------------------------------------------------------

    def _join_flow(self, contact: Contact) -> None:
        # A datagram flow cannot be lost, so nobody will ask which contacts were on it.
        flow = contact.flow
        if flow is not None and flow.is_reliable:
            self._by_flow.setdefault(flow, []).append(contact)

    def _leave_flow(self, contact: Contact) -> None:
        flow = contact.flow
        if flow is None or not flow.is_reliable:
            return
        others = self._by_flow.get(flow)
        if others is not None and contact in others:
            others.remove(contact)
            if not others:
                del self._by_flow[flow]

    def flow_failed(self, flow: Flow) -> None:
        """A connection is gone. Its contacts stay until they expire, and are reached at their own addresses.

        But what was registered for that very flow, or from a browser, is gone with it (RFC 5626 7), unless the flow
        ended at a proxy on the way.
        """
        for contact in self._by_flow.pop(flow, ()):
            contact.flow = None
            if not contact.is_reachable:
                self.remove(contact, "flow failed", self._seconds())

    # -- time -------------------------------------------------------------------------------------------------------

    def _enqueue(self, contact: Contact) -> None:
        expires_at = contact._queued_at = contact.binding.expires_at
        heappush(self._queue, (expires_at, next(self._order), contact))
        if len(self._queue) > 2 * self._size + 64:
            self._drop_leftovers()

    def _drop_leftovers(self) -> None:
        """Entries of contacts that left before their time; they would hold memory until it comes."""
        self._queue = [entry for entry in self._queue if entry[2]._queued_at == entry[0]]
        heapify(self._queue)

    def expire(self, now: float) -> int:
        """Take out every contact whose time has come; how many went."""
        expired = 0
        while self._queue and self._queue[0][0] <= now:
            queued_at, _, contact = heappop(self._queue)
            if contact._queued_at != queued_at:
                continue
            if contact.binding.expires_at > now:
                self._enqueue(contact)
                continue
            self.remove(contact, "expired", now)
            expired += 1
        return expired

    def start(self, clock: IReactorTime) -> None:
        """Expire contacts every second from now on. ``clock.seconds()`` counts epoch seconds, as a reactor's does."""
        self._sweep = clock.callLater(SWEEP_SECONDS, self._sweep_again, clock)

    def _sweep_again(self, clock: IReactorTime) -> None:
        self._sweep = clock.callLater(SWEEP_SECONDS, self._sweep_again, clock)
        self.expire(clock.seconds())

    def stop(self) -> None:
        """Expire nothing any more; the contacts stay, in memory and in the store."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def restore(self, source: BindingSource, now: float) -> int:
        """Take in what ``source`` kept, but for who registered meanwhile; how many contacts that were.

        A flow that was a connection does not survive; its binding stays unreachable, and keeps the temporary GRUUs of
        its phone valid until that registers again. A page in a browser without any is dropped.
        """
        restored = 0
        for binding in await source.load_all(now):
            key = binding.key
            if any(contact.key == key for contact in self._contacts.get(binding.aor, ())):
                continue
            contact = Contact(_slim(binding), None)
            if binding.transport in _WEBSOCKETS and not contact.is_reachable and not binding.gruu:
                self._writer.put(key, key)
                continue
            self._insert(contact)
            restored += 1
        self.log.info("{count} registrations restored", count=restored)
        return restored

    def reattach(self, find: Callable[[Address, Address], Flow | None]) -> None:
        """Give restored contacts behind NATs the flow from the socket of ours that they know.

        ``find`` gives the datagram flow between our address and another, if we listen there: call this when we do.
        """
        for contact in self:
            binding = contact.binding
            if contact.flow is None and binding.transport == "UDP" and not binding.path:
                contact.flow = find(_address(binding.local), _address(binding.source))


def _slim(binding: Binding) -> Binding:
    """The binding with one object for each text that thousands of bindings have in common."""
    return attrs.evolve(
        binding, transport=intern(binding.transport), local=intern(binding.local), user_agent=intern(binding.user_agent)
    )


def _address(text: str) -> Address:
    """What `source_text` wrote."""
    host, _, port = text.rpartition(":")
    return bare_host(host), int(port)


def _is_translated(binding: Binding) -> bool:
    """Whether the contact is not where the phone was heard; the port of a connection is no port to call."""
    try:
        uri = parse_uri(binding.contact)
    except ParseError:
        return False  # a record of the store that another version wrote
    host, port = _address(binding.source)
    if bare_host(uri.host) != host:
        return True
    return binding.transport == "UDP" and (uri.port or DEFAULT_PORTS["UDP"]) != port
