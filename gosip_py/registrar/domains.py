"""The names under which this server is addressed, and the addresses of record below them (RFC 3261 10.3 items 1 and 5).

A phone may know us by our domain or by any of our addresses: it is one set of users, so every name folds into one canonical domain.
"""

from __future__ import annotations

from collections.abc import Iterable

from gosip_py.sip.uri import Uri, escape_user

__all__ = ["Domains"]


class Domains:
    """Our domain, and the numeric addresses and ports on which we listen.

    ``addresses`` are (numeric host without brackets, port) as the transports say them.
    """

    def __init__(self, domain: str, addresses: Iterable[tuple[str, int]] = ()) -> None:
        if not domain:
            raise ValueError("a domain has a name")
        pairs = tuple(addresses)
        self.canonical = domain.lower()
        self._hosts = frozenset((self.canonical, *(_bracketed(host) for host, _ in pairs)))
        self._ports = frozenset(port for _, port in pairs)

    def has_host(self, host: str) -> bool:
        """Whether ``host``, lower case and an IPv6 address in brackets, is a name of ours."""
        return host in self._hosts

    def contains(self, uri: Uri) -> bool:
        """Whether a request for ``uri`` is for us: a host of ours, and no port or one of ours.

        A phone on this very machine has our host and a port of its own.
        """
        return uri.host in self._hosts and (uri.port is None or uri.port in self._ports)

    def aor(self, user: str) -> str:
        """The address of record of a user (unescaped) in its canonical form."""
        return f"sip:{escape_user(user)}@{self.canonical}"


def _bracketed(host: str) -> str:
    return f"[{host.lower()}]" if ":" in host else host.lower()
