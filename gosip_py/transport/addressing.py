"""Under which address a peer finds us: what Via and Record-Route say, and whether an address is ours.

A socket bound to all addresses has none of its own: the routing table knows which one the peer will see. Behind a NAT
it is the advertised address, except for peers in the local networks.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import attrs

from gosip_py.transport.via import bare_host, uri_host

__all__ = ["Addressing", "Advertising", "Identity", "numeric_address", "route_source"]

_MOST_REMEMBERED = 4096
_WILDCARDS = ("0.0.0.0", "::", "")  # compared with, not bound to
# Documentation addresses (RFC 5737, RFC 3849): the route to them is the default route.
_ANYWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}


@attrs.frozen
class Advertising:
    """The address that the world sees instead of our own, numeric or a name; empty when there is no NAT."""

    address: str = ""
    local_networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def is_local(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self.local_networks)


@attrs.frozen
class Identity:
    """What a flow writes into messages; the fields are explained at `Flow`."""

    via_head: str
    sent_by: str
    record_route: str


@lru_cache(maxsize=4096)  # parsing one takes longer than forwarding a message
def numeric_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` (with or without brackets) spells, or None for a name."""
    try:
        return ip_address(bare_host(host))
    except ValueError:
        return None


def route_source(remote: IPv4Address | IPv6Address) -> str:
    """The local address from which the kernel would send to ``remote``; the loopback address when there is no route."""
    family = socket.AF_INET if remote.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # connect() on a datagram socket asks the routing table and sends nothing
            probe.connect((str(remote), 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1" if remote.version == 4 else "::1"


class Addressing:
    """Answers for one transport layer. What the routing table said is remembered until `forget`."""

    def __init__(self, advertising: Advertising) -> None:
        self.issued: set[str] = set()
        self._advertising = advertising
        self._sources: dict[str, str] = {}
        self._identities: dict[tuple[str, str, int], Identity] = {}

    def identity(self, transport: str, host: str, port: int, remote: str) -> Identity:
        """Of a socket bound to ``host`` and ``port``, towards ``remote``, which may still be a name."""
        key = (transport, self.local_host(host, remote), port)
        identity = self._identities.get(key)
        if identity is None:
            identity = self._identities[key] = _identity_of(*key)
            self.issued.add(identity.sent_by)
        return identity

    def local_host(self, bound: str, remote: str) -> str:
        """The host that ``remote`` knows us by, when our socket is bound to ``bound``."""
        advertised = self._advertising.address
        address = numeric_address(remote)
        if advertised and not (address is not None and (address.is_loopback or self._advertising.is_local(address))):
            return advertised
        if bound not in _WILDCARDS:
            return bound
        return self.source_towards(remote if address is not None else _ANYWHERE[6 if ":" in bound else 4])

    def source_towards(self, remote: str) -> str:
        """The local address that the routing table gives for the numeric address ``remote``."""
        source = self._sources.get(remote)
        if source is None:
            if len(self._sources) >= _MOST_REMEMBERED:
                self._sources.clear()
            source = self._sources[remote] = route_source(ip_address(bare_host(remote)))
        return source

    def has_ipv6_route(self) -> bool:
        """Whether there is a way to the IPv6 addresses of the world."""
        return not ip_address(self.source_towards(_ANYWHERE[6])).is_loopback

    def names_socket(self, host: str, bound: str) -> bool:
        """Whether ``host`` out of a URI names a socket that is bound to ``bound``."""
        host = bare_host(host).lower()
        if host == self._advertising.address.lower() or host == bound:
            return bool(host)
        address = numeric_address(host)
        if address is None or bound not in _WILDCARDS or (address.version == 6) != (":" in bound):
            return False
        # The kernel sends to one of its own addresses from that same address.
        return address.is_loopback or self.source_towards(str(address)) == str(address)

    def forget(self) -> None:
        """Ask the routing table anew: addresses come and go while we run."""
        self._sources.clear()


def _identity_of(transport: str, host: str, port: int) -> Identity:
    sent_by = f"{uri_host(host)}:{port}"
    if transport == "UDP":
        # RFC 3581 3: a client behind a NAT, or unsure of it, asks for rport
        return Identity(f"SIP/2.0/UDP {sent_by};rport;branch=", sent_by, f"<sip:{sent_by};lr>")
    parameter = "ws" if transport == "WSS" else transport.lower()  # RFC 7118 5.2
    record_route = f"<sip:{sent_by};transport={parameter};lr>"
    return Identity(f"SIP/2.0/{transport} {sent_by};branch=", sent_by, record_route)
