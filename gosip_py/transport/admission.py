"""How many connections peers may open: altogether, and from one address."""

from __future__ import annotations

import attrs

__all__ = ["Admission", "Limits"]


@attrs.frozen
class Limits:
    """Bounds of the stream transports; times in seconds, sizes in octets."""

    connections: int = 10_000
    connections_per_address: int = 200
    idle_seconds: float = 600.0
    message_seconds: float = 30.0  # from the first octet of a message to its last
    handshake_seconds: float = 10.0
    connect_seconds: float = 5.0
    write_seconds: float = 30.0  # how long a peer may take nothing of what waits for it
    close_seconds: float = 5.0
    ping_seconds: float = 25.0  # how long a WebSocket may be silent before it must answer a ping
    queued_octets: int = 65_536  # while a connection is being made
    unsent_octets: int = 1_048_576  # while a peer does not read


class Admission:
    """Counts what is open. Whoever was admitted must be released once."""

    def __init__(self, limits: Limits) -> None:
        self.admitted = 0
        self._limits = limits
        self._by_host: dict[str, int] = {}

    def admit(self, host: str) -> bool:
        """Whether one more connection from ``host`` may stay."""
        of_host = self._by_host.get(host, 0)
        if self.admitted >= self._limits.connections or of_host >= self._limits.connections_per_address:
            return False
        self.admitted += 1
        self._by_host[host] = of_host + 1
        return True

    def release(self, host: str) -> None:
        self.admitted -= 1
        remaining = self._by_host[host] - 1
        if remaining:
            self._by_host[host] = remaining
        else:
            del self._by_host[host]
