"""The lines to somebody: each registered phone of theirs that may take one more call."""

from __future__ import annotations

from typing import Protocol

from gosip_py.call.limits import CallLimits
from gosip_py.call.party import Party
from gosip_py.call.router import Destination, LocalTarget
from gosip_py.call.verdict import Line
from gosip_py.store.records import Device, User

__all__ = ["Phones", "party_of"]


class Directory(Protocol):
    """The devices, in memory."""

    def device(self, device_id: int) -> Device | None: ...


def party_of(user: User, device: Device | None = None) -> Party:
    """Who is called: a person, or one device of theirs."""
    if device is None:
        return Party(user.login, user.display_name, "", user.id, None, "user")
    return Party(device.username, user.display_name, "", user.id, device.id, "device")


class Phones:
    """Turns what was registered into lines."""

    def __init__(self, directory: Directory, limits: CallLimits) -> None:
        self._directory = directory
        self._limits = limits

    def lines(self, found: Destination) -> tuple[Line, ...]:
        """A line to each phone; none to one that has as many calls as it may have."""
        is_full = self._limits.is_full
        user = found.user
        return tuple([self._line(target, user) for target in found.targets if not is_full(target.device_id)])

    def _line(self, target: LocalTarget, user: User) -> Line:
        device_id = target.device_id
        device = self._directory.device(device_id) if device_id is not None else None
        name = user.login if device is None else device.username
        party = Party(name, user.display_name, target.uri_text, user.id, device_id, "device")
        fallbacks = tuple([self._line(each, user) for each in target.fallbacks]) if target.fallbacks else ()
        return Line(party, target.uri_text, target.target, target.path, target.q, fallbacks)
