"""Makes of an INVITE what a router is asked: who calls, and whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gosip_py.call.party import Party
from gosip_py.call.verdict import Attempt
from gosip_py.proxy.session import Caller
from gosip_py.registrar.domains import Domains
from gosip_py.sip.message import Request
from gosip_py.store.records import Device, User
from gosip_py.transport.flow import Flow

__all__ = ["Attempts"]

_NOBODY = "sip:anonymous@anonymous.invalid"  # RFC 3323 4.1.1.3


class People(Protocol):
    """The users and devices, in memory."""

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...


class Attempts:
    """``now`` tells epoch seconds."""

    def __init__(self, people: People, domains: Domains, now: Callable[[], float]) -> None:
        self._people = people
        self._domains = domains
        self._now = now

    def of(self, request: Request, arrived_on: Flow, caller: Caller) -> Attempt:
        """The attempt that an INVITE of ``caller`` is; ParseError when its Request-URI or From cannot be read."""
        uri = request.uri
        party = self.party(request, caller)
        return Attempt(party, uri, uri.user, self._now(), caller.direction, source=arrived_on.remote[0])

    def party(self, request: Request, caller: Caller) -> Party:
        """Who sent a request: one of our people by name, others as their From says.

        Whoever calls in is shown at our domain, so they may not have the name of somebody here.
        """
        shown = request.from_
        if caller.device_id is None:
            is_borrowed = caller.direction == "inbound" and self._is_known(caller.user)
            return Party(caller.user, shown.display_name, _NOBODY if is_borrowed else shown.uri_text)
        user = self._people.user_by_login(caller.user)
        if user is None:  # deleted while the request was on its way
            return Party(caller.user, shown.display_name, shown.uri_text, device_id=caller.device_id)
        display = user.display_name or shown.display_name
        return Party(user.login, display, self._domains.aor(user.login), user.id, caller.device_id, "device")

    def _is_known(self, name: str) -> bool:
        return self._people.user_by_login(name) is not None or self._people.device_by_username(name) is not None
