"""Who really sent a request: the peer of the connection, or the address that a trusted proxy names for it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["ProxyTrust", "subnet"]


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 peers as ::ffff:192.0.2.1; both spellings are one peer.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def subnet(address: str) -> str:
    """What failures are counted under: an IPv4 address, or the /64 of an IPv6 one, which a single host may roam in."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed or address)


class ProxyTrust:
    """Knows the networks of the proxies whose X-Forwarded-For and X-Request-Id may be believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)

    def is_trusted(self, address: str) -> bool:
        """Whether this address is one of our proxies."""
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def real_address(self, peer: str, forwarded: Iterable[str]) -> str:
        """The nearest address that is no trusted proxy, without port.

        `forwarded` holds the X-Forwarded-For lines in order. What stands left of that address was written by somebody
        whom we do not trust.
        """
        hops = [hop.strip() for line in forwarded for hop in line.split(",")]
        address = _parsed(peer)
        while address is not None and hops and self.is_trusted(str(address)):
            hop = _parsed(hops.pop())
            if hop is None:
                break
            address = hop
        return str(address or peer)
