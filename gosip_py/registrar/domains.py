"""The names under which this server is addressed, and the addresses of record below them (RFC 3261 10.3 items 1 and 5).

A phone may know us by our domain or by any of our addresses: it is one set of users, so every name folds into one
canonical domain.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from gosip_py.sip.uri import Uri, escape_user

__all__ = ["Domains", "Listening"]


class Listening(Protocol):
    """Where the transports listen."""

    @property
    def port_numbers(self) -> Container[int]:
        """The ports of all listeners."""

    def names_us(self, host: str) -> bool:
        """Whether ``host``, lower case and an IPv6 address in brackets, is an address of a listener."""


class Domains:
    """Our domain, and the addresses on which we listen."""

    def __init__(self, domain: str, listening: Listening) -> None:
        if not domain:
            raise ValueError("a domain has a name")
        self.canonical = domain.lower()
        self._listening = listening

    def has_host(self, host: str) -> bool:
        """Whether ``host``, lower case and an IPv6 address in brackets, is a name of ours."""
        return host == self.canonical or self._listening.names_us(host)

    def contains(self, uri: Uri) -> bool:
        """Whether a request for ``uri`` is for us: a host of ours, and no port or one of ours.

        A phone on this very machine has our host and a port of its own.
        """
        return self.has_host(uri.host) and (uri.port is None or uri.port in self._listening.port_numbers)

    def aor(self, user: str) -> str:
        """The address of record of a user (unescaped) in its canonical form."""
        return f"sip:{escape_user(user)}@{self.canonical}"
