"""The addresses of one host: as the hosts file has it, as DNS says, as the system finds out, in this order.

The system comes last because it does not tell how long an answer holds, and because it keeps a thread for each name
whose servers are slow. It knows what DNS does not: the names of containers and of the local network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from twisted.names.hosts import searchFileForAll
from twisted.python.filepath import FilePath

from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.records import Answer, Kind, Records, host_name
from gosip_py.transport.resolve import Addresses

__all__ = ["HostAddresses"]

HOSTS_FILE = Path("/etc/hosts")
_TTL = 30.0  # seconds, of what has none of its own
_TTL_OF_FAILURE = 5.0
_KINDS: dict[int, Kind] = {4: "A", 6: "AAAA"}

Found = Callable[[Addresses, float], None]
"""Takes the addresses and the seconds for which they hold."""


class System(Protocol):
    """The machine's own resolver."""

    def resolve(self, host: str, callback: Callable[[Addresses], None]) -> None:
        """Call back with the addresses of a name, at once or later; with none when it has none."""


class HostAddresses:
    """Remembers nothing itself."""

    def __init__(self, records: Records, system: System, hosts_file: Path = HOSTS_FILE) -> None:
        self._records = records
        self._system = system
        self._hosts_file = FilePath(str(hosts_file))

    def find(self, host: str, families: Sequence[int], found: Found) -> None:
        """Tell ``found`` the addresses of a name, those of the first of the families (4, 6) first; none if it has none.

        Called at once or later, exactly once.
        """
        name = host_name(host)
        if not name or not families:
            found((), _TTL_OF_FAILURE)
            return
        known = _sorted(searchFileForAll(self._hosts_file, name.encode()), families)
        if known:
            found(known, _TTL)
        elif "." in name:
            _Questions(self, name, families, found).ask(self._records)
        else:
            # No name server of the world knows a name of one word.
            self.ask_system(name, families, found)

    def ask_system(self, name: str, families: Sequence[int], found: Found, ttl: float = _TTL_OF_FAILURE) -> None:
        """The last resort; that there is no such name holds for ``ttl`` seconds."""

        def resolved(addresses: Addresses) -> None:
            usable = _sorted(addresses, families)
            found(usable, _TTL if usable else ttl)

        self._system.resolve(name, resolved)


class _Questions:
    """One name, asked for in each family at the same time."""

    def __init__(self, hosts: HostAddresses, name: str, families: Sequence[int], found: Found) -> None:
        self._hosts = hosts
        self._name = name
        self._families = families
        self._found = found
        self._answers: list[Answer] = []

    def ask(self, records: Records) -> None:
        for family in self._families:
            records.ask(self._name, _KINDS[family], self._told)

    def _told(self, answer: Answer) -> None:
        self._answers.append(answer)
        if len(self._answers) < len(self._families):
            return
        addresses = [record for each in self._answers for record in each.records if isinstance(record, str)]
        if addresses:
            ttl = min(each.ttl for each in self._answers if each.records)
            self._found(_sorted(addresses, self._families), ttl)
        else:
            ttl = min(each.ttl for each in self._answers)
            self._hosts.ask_system(self._name, self._families, self._found, ttl)


def _sorted(addresses: Sequence[str], families: Sequence[int]) -> Addresses:
    """Those of the families, the first family first."""
    versions = [(address, numeric.version) for address in addresses if (numeric := numeric_address(address))]
    return tuple(address for family in families for address, version in versions if version == family)
