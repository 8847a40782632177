"""What DNS says of a SIP domain, and which of it counts in which order (RFC 3263 4, RFC 2782, RFC 2915 2). Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Literal, Protocol, TypeVar

import attrs

__all__ = [
    "SERVICE_PREFIXES",
    "Answer",
    "Kind",
    "Naptr",
    "Record",
    "Records",
    "Srv",
    "Told",
    "chosen_services",
    "host_name",
    "shuffled",
]

Kind = Literal["A", "AAAA", "SRV", "NAPTR"]

SERVICE_PREFIXES = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
"""Before a domain they make the name of its SRV records (RFC 3263 4.2), the transport that we like best first."""

# RFC 3263 4.1. That of RFC 7118 8 is not among them: nobody can be called by WebSocket.
_SERVICES = {b"SIP+D2U": "UDP", b"SIP+D2T": "TCP", b"SIPS+D2T": "TLS"}

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+\Z")
# What a C library takes for an address in one of its old notations, though it looks like a name.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_LONGEST_NAME = 253


@attrs.frozen
class Srv:
    """One server of a service; ``host`` is empty when the domain says that it has none (RFC 2782, "Target")."""

    priority: int
    weight: int
    port: int
    host: str


@attrs.frozen
class Naptr:
    """One service of a domain; ``replacement`` is the name of its SRV records."""

    order: int
    preference: int
    flags: bytes
    service: bytes
    regexp: bytes
    replacement: str


Record = Srv | Naptr | str
"""A str is a numeric address."""


@attrs.frozen
class Answer:
    """What was said to one question. ``ttl`` is in seconds and holds for "there is none" too.

    ``is_silent`` says that nobody knew: no server answered, or none could.
    """

    records: tuple[Record, ...]
    ttl: float
    is_silent: bool = False


Told = Callable[[Answer], None]


class Records(Protocol):
    """Whoever can be asked for records."""

    def ask(self, name: str, kind: Kind, told: Told) -> None:
        """Tell ``told`` the records of a name, at once or later, exactly once; none when nobody answers."""


class Ranked(Protocol):
    """Something with a place in a list of servers."""

    @property
    def priority(self) -> int: ...

    @property
    def weight(self) -> int: ...


R = TypeVar("R", bound=Ranked)


def host_name(text: str) -> str:
    """``text`` as a name to ask for, in lower case and without the last dot; empty when it is none."""
    name = text.lower().removesuffix(".")
    if len(name) > _LONGEST_NAME or _NAME.match(name) is None:
        return ""
    return "" if _NUMBER.match(name.rpartition(".")[2]) else name


def chosen_services(records: Iterable[Record], is_secure: bool) -> list[tuple[str, str]]:
    """Transport and name of the SRV records of each service that we can use, the preferred first (RFC 3263 4.1).

    Of a higher order nothing counts, once there is something in a lower one (RFC 2915 2).
    """
    usable = [
        (record.order, record.preference, transport, record.replacement)
        for record in records
        if isinstance(record, Naptr) and (transport := _transport_of(record, is_secure)) and record.replacement
    ]
    lowest = min((each[0] for each in usable), default=0)
    ordered = sorted((each for each in usable if each[0] == lowest), key=lambda each: each[1])
    return list(dict.fromkeys((transport, replacement) for _, _, transport, replacement in ordered))


def _transport_of(record: Naptr, is_secure: bool) -> str:
    service = record.service.upper()
    if record.flags.lower() != b"s" or record.regexp or (is_secure and not service.startswith(b"SIPS+")):
        return ""
    return _SERVICES.get(service, "")


def shuffled(ranked: Sequence[R], chance: random.Random) -> list[R]:
    """By priority, and within one by chance as the weights have it (RFC 2782, "Weight")."""
    ordered: list[R] = []
    for _, group in groupby(sorted(ranked, key=lambda each: each.priority), key=lambda each: each.priority):
        # Those without a weight come first, so that they have a chance at all.
        left = sorted(group, key=lambda each: each.weight > 0)
        while len(left) > 1:
            ordered.append(left.pop(_drawn([each.weight for each in left], chance)))
        ordered += left
    return ordered


def _drawn(weights: Sequence[int], chance: random.Random) -> int:
    """The first at which the running sum reaches a number that is drawn between 0 and the sum of all, inclusive."""
    wanted = chance.randint(0, sum(weights))
    for at, weight in enumerate(weights):
        wanted -= weight
        if wanted <= 0:
            return at
    return 0
