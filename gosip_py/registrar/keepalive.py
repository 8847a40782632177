"""Keeps phones behind NATs in reach: something goes to each often enough that its NAT keeps the way open.

Only for datagrams: a connection is kept alive by its phone (RFC 5626 4.4.1). Line ends cost next to nothing and are the
default; an OPTIONS also tells whether the phone is still there, and one that is silent three times in a row is taken
out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Literal, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gosip_py.registrar.location import Contact, Location
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.ids import new_call_id, new_tag
from gosip_py.sip.message import Response
from gosip_py.transaction.sending import Errand, Sender
from gosip_py.transport.flow import Flow, Target

__all__ = ["KeepAlive", "LineEnds", "Method", "Options", "Ping"]

Method = Literal["crlf", "options", "off"]

MOST_UNANSWERED = 3
TICK_SECONDS = 0.1
# A crowd that registered at once is spread out: no tick takes more than its share of everybody, twice over.
_HURRY = 2
_LEAST_PER_TICK = 4


class Ping(Protocol):
    """What is sent to one contact."""

    def send(self, contact: Contact) -> None:
        """Send it once; never raises."""

    def forget(self, contact: Contact) -> None:
        """The contact is gone, or needs no pings any more."""


class KeepAlive:
    """Pings every contact that is reached by datagrams through a NAT once in ``interval`` seconds."""

    def __init__(
        self,
        location: Location,
        ping: Ping,
        clock: IReactorTime,
        interval: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._location = location
        self._ping = ping
        self._clock = clock
        self._interval = interval
        self._chance = chance
        self._order = count()
        self._queue: list[tuple[float, int, Contact]] = []
        self._enrolled: set[Contact] = set()
        self._tick: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many contacts are pinged."""
        return len(self._enrolled)

    def start(self) -> None:
        """Begin with whoever is registered, and go on with whoever comes."""
        self._location.watch(self._enrol)
        self._tick = self._clock.callLater(TICK_SECONDS, self._turn)

    def stop(self) -> None:
        """Ping nobody any more."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _enrol(self, contact: Contact) -> None:
        # At any time within the interval: a NAT forgets soon, and whoever registered together shall not stay together.
        if contact not in self._enrolled and _needs_pings(contact):
            self._enrolled.add(contact)
            self._enqueue(contact, self._interval * self._chance())

    def _enqueue(self, contact: Contact, delay: float) -> None:
        heappush(self._queue, (self._clock.seconds() + delay, next(self._order), contact))

    def _turn(self) -> None:
        self._tick = self._clock.callLater(TICK_SECONDS, self._turn)
        now = self._clock.seconds()
        left = _LEAST_PER_TICK + int(len(self._queue) * _HURRY * TICK_SECONDS / self._interval)
        while left and self._queue and self._queue[0][0] <= now:
            left -= 1
            contact = heappop(self._queue)[2]
            if self._location.holds(contact) and _needs_pings(contact):
                self._enqueue(contact, self._interval)
                self._ping.send(contact)
            else:
                self._enrolled.discard(contact)
                self._ping.forget(contact)


def _needs_pings(contact: Contact) -> bool:
    binding = contact.binding
    return binding.transport == "UDP" and contact.is_at_source and contact.is_translated and not binding.path


class LineEnds:
    """Two line ends, which a SIP phone passes over (RFC 3261 7.5). ``flow_to`` is that of the transports."""

    def __init__(self, flow_to: Callable[[Target, int], Flow]) -> None:
        self._flow_to = flow_to

    def send(self, contact: Contact) -> None:
        """To the address that the phone was heard from."""
        try:
            flow = self._flow_to(contact.target, 0)
        except ParseError:  # a record of the store that another version wrote
            return
        flow.keep_alive()

    def forget(self, contact: Contact) -> None:
        """Nothing is kept of a contact."""


class Options:
    """An OPTIONS that any phone answers in some way; ``domain`` is what it comes from."""

    def __init__(self, location: Location, sender: Sender, domain: str, seconds: Callable[[], float]) -> None:
        self._location = location
        self._sender = sender
        self._from = f"<sip:{domain}>"
        self._domain = domain
        self._seconds = seconds
        self._waiting: set[Contact] = set()
        self._unanswered: dict[Contact, int] = {}

    def send(self, contact: Contact) -> None:
        """Unless the last one still waits for its answer."""
        if contact in self._waiting:
            return
        uri_text = contact.uri_text
        request = compose(
            "OPTIONS",
            uri_text,
            from_=f"{self._from};tag={new_tag()}",
            to=f"<{uri_text}>",
            call_id=new_call_id(self._domain),
            cseq=1,
        )
        try:
            errand = Errand(self._sender, request, contact.target, partial(self._heard, contact))
        except ParseError:  # a record of the store that another version wrote
            return
        self._waiting.add(contact)
        errand.send()

    def _heard(self, contact: Contact, response: Response | None) -> None:
        self._waiting.discard(contact)
        if response is not None:
            self._unanswered.pop(contact, None)
        elif self._location.holds(contact) and _needs_pings(contact):
            self._count(contact)

    def _count(self, contact: Contact) -> None:
        missed = self._unanswered[contact] = self._unanswered.get(contact, 0) + 1
        if missed >= MOST_UNANSWERED:
            self._unanswered.pop(contact)
            self._location.remove(contact, "not answering", self._seconds())

    def forget(self, contact: Contact) -> None:
        """Count its silence no more."""
        self._unanswered.pop(contact, None)
