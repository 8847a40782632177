"""What a SIP URI asks for (RFC 3263 4), and the system's own way from names to addresses.

Numeric hosts are answered at once; names by the reactor's resolver, A and AAAA, remembered for a short time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IReactorTime, IResolutionReceiver
from zope.interface import implementer

from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import Uri
from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.via import DEFAULT_PORTS, bare_host

__all__ = ["Resolver", "target_of"]

_TTL = 30.0  # seconds; getaddrinfo does not tell how long an answer holds
_TTL_OF_FAILURE = 5.0
_MOST_REMEMBERED = 1024

Addresses = tuple[str, ...]


def target_of(uri: Uri, default_transport: str = "", flow: Flow | None = None) -> Target:
    """What a SIP or SIPS URI asks for (RFC 3263 4.1, 4.2); ``default_transport`` is for one that names none.

    ``flow`` is the one that leads there, if there is one.

    What it leaves open stays so: port and transport of a named host may stand in DNS. ParseError when it cannot be
    served.
    """
    if uri.scheme == "tel":
        raise ParseError("a tel URI names no host")
    is_secure = uri.scheme == "sips"
    transport = uri.transport or default_transport
    if is_secure and transport in ("TCP", "UDP"):
        transport = "TLS"  # RFC 5630 3.1.3: the transport parameter of a sips URI says what is below TLS
    if transport and transport not in DEFAULT_PORTS:
        raise ParseError(f"the transport {transport[:20]} is not served")
    host = bare_host(uri.parameters.get("maddr") or uri.host)
    port = uri.port or 0
    if transport and port:
        return Target(transport, host, port, flow)
    is_numeric = numeric_address(host) is not None
    if not transport and (is_numeric or port):
        transport = "TLS" if is_secure else "UDP"
    if is_numeric:
        port = port or DEFAULT_PORTS[transport]
    return Target(transport, host, port, flow, "", is_secure and not transport)


@attrs.frozen
class _Known:
    addresses: Addresses
    until: float


class Resolver:
    """Numeric addresses of hosts, from a bounded cache or from ``names``; one look-up for all who ask at once."""

    def __init__(self, clock: IReactorTime, names: IHostnameResolver) -> None:
        self._clock = clock
        self._names = names
        self._known: dict[str, _Known] = {}
        self._waiting: dict[str, list[Callable[[Addresses], None]]] = {}

    def resolve(self, host: str, callback: Callable[[Addresses], None]) -> None:
        """Call ``callback`` with the addresses of ``host``, best first, or with none; at once when they are known."""
        known = self.known(host)
        if known is not None:
            callback(known)
            return
        name = host.lower()
        waiting = self._waiting.setdefault(name, [])
        waiting.append(callback)
        if len(waiting) == 1:
            self._names.resolveHostName(_Collector(lambda found: self._found(name, found)), name)

    def known(self, host: str) -> Addresses | None:
        """What is known without asking anybody: a numeric host is its own address."""
        address = numeric_address(host)
        if address is not None:
            return (str(address),)
        entry = self._known.get(host.lower())
        if entry is None or entry.until <= self._clock.seconds():
            return None
        return entry.addresses

    def _found(self, name: str, addresses: Addresses) -> None:
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        until = self._clock.seconds() + (_TTL if addresses else _TTL_OF_FAILURE)
        self._known[name] = _Known(addresses, until)
        for callback in self._waiting.pop(name, []):
            callback(addresses)


@implementer(IResolutionReceiver)
class _Collector:
    """Gathers one look-up's addresses."""

    def __init__(self, finish: Callable[[Addresses], None]) -> None:
        self._finish = finish
        self._hosts: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass  # a look-up is never cancelled: its answer is remembered for the next one

    def addressResolved(self, address: IAddress) -> None:
        host: Any = getattr(address, "host", None)
        if isinstance(host, str) and host not in self._hosts:
            self._hosts.append(host)

    def resolutionComplete(self) -> None:
        self._finish(tuple(self._hosts))
