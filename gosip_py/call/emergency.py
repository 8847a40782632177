"""Calls for help: which numbers they are, and from where they seem to come.

They go out by the trunk at once, whatever else the dial plan, the limits or an administrator who drains the server say.
Those who answer find the place by the caller ID, so each location has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from twisted.logger import Logger

from gosip_py.call.verdict import Attempt
from gosip_py.events import Bus, EmergencyCalled

__all__ = ["EmergencyNumbers"]


class EmergencyNumbers:
    """The emergency numbers, and the caller ID of each location.

    ``locations`` tells the number to show for the phones of a network, ``caller_id`` that for all others. ValueError
    when a network cannot be read.
    """

    log = Logger()

    def __init__(
        self, numbers: Iterable[str], bus: Bus, caller_id: str = "", locations: Mapping[str, str] | None = None
    ) -> None:
        self._numbers = frozenset(numbers)
        self._bus = bus
        self._caller_id = caller_id
        # the narrowest network first: a floor within a house has its own number
        networks = [(ip_network(network, strict=False), number) for network, number in (locations or {}).items()]
        self._locations: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
            sorted(networks, key=lambda place: -place[0].prefixlen)
        )

    def __contains__(self, dialled: str) -> bool:
        return dialled in self._numbers

    def caller_id(self, source: str) -> str:
        """The number to show for a phone at the numeric address ``source``; empty when none is set."""
        if self._locations and source:
            address = ip_address(source.partition("%")[0])
            for network, number in self._locations:
                if address in network:
                    return number
        return self._caller_id

    def announce(self, attempt: Attempt, number: str, caller_id: str, is_sent: bool) -> None:
        """Tell everybody who wants to know that somebody calls for help."""
        caller = attempt.caller
        self.log.warn(
            "{caller} at {source} dials the emergency number {number}, shown as {caller_id}; sent: {is_sent}",
            caller=caller.name,
            source=attempt.source or "an unknown address",
            number=number,
            caller_id=caller_id or "nobody",
            is_sent=is_sent,
        )
        self._bus.publish(
            EmergencyCalled(attempt.at, number, caller.name, caller_id, attempt.source, caller.device_id, is_sent)
        )
