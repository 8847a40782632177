"""Who asks: a device by its certificate or its password, or whoever stands in a network that is trusted."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

from gosip_py.events import Direction
from gosip_py.proxy.session import Caller
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.registrar import RegistrationRule
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.store.records import User
from gosip_py.transaction.authenticate import Authenticator, Identity
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow

__all__ = ["NOT_YOURS", "Identification", "Trust"]

NOT_YOURS = Refusal(403, "this call is somebody else's: use the phone that is in it, or another one of its owner")

Network = IPv4Network | IPv6Network


class Owners(Protocol):
    """The people, in memory."""

    def user(self, user_id: int) -> User | None: ...


class Trust:
    """Whose requests are taken without a challenge: addresses within the given networks.

    What was asked is remembered, bounded.
    """

    _MOST_REMEMBERED = 4096

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def includes(self, flow: Flow) -> bool:
        """Whether the peer of this flow is trusted."""
        if not self._networks:
            return False
        host = flow.remote[0]
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= self._MOST_REMEMBERED:
                self._known.clear()
            address = ip_address(host.partition("%")[0])
            known = self._known[host] = any(address in network for network in self._networks)
        return known


class Identification:
    """Finds out whose request it is, or what to ask them."""

    def __init__(
        self,
        authenticator: Authenticator,
        rule: RegistrationRule,
        trust: Trust,
        owners: Owners,
        domains: Domains,
    ) -> None:
        self._authenticator = authenticator
        self._rule = rule
        self._trust = trust
        self._owners = owners
        self._domains = domains

    def identify(self, transaction: ServerTransaction, request: Request, *, as_proxy: bool) -> Caller | Refusal:
        """Whose request this is; a challenge when that is not known yet.

        It is a 407 ``as_proxy``, and a 401 of whoever answers the request (RFC 3261 22.2, 22.3).
        """
        if self._trust.includes(transaction.flow):
            return Caller(_from_user(request), self._direction_of_trusted(request))
        identity = self._authenticator.authenticate(request, proxy=as_proxy, flow=transaction.flow)
        if isinstance(identity, Refusal):
            return identity
        return self._caller(request, identity)

    def refuse_others(self, transaction: ServerTransaction, request: Request, owner_id: int | None) -> Refusal | None:
        """Why a request within a dialog is not taken for one of the person who has that end of it; None when it is.

        Whoever watches a phone that rings is told its dialog (RFC 4235 3.6): credentials alone do not do.
        """
        if self._trust.includes(transaction.flow):
            return None
        identity = self._authenticator.authenticate(request, proxy=False, flow=transaction.flow)
        if isinstance(identity, Refusal):
            return identity
        return None if identity.user_id == owner_id else NOT_YOURS

    def strip(self, request: Request) -> None:
        """Take the credentials that were for us out of a copy that is sent on (RFC 3261 22.3)."""
        if "proxy-authorization" in request.names:
            self._authenticator.strip(request)

    def _direction_of_trusted(self, request: Request) -> Direction:
        """A trunk calls in under its own domain, a neighbour that serves our people under ours."""
        return "internal" if self._domains.has_host(request.from_.uri.host) else "inbound"

    def _caller(self, request: Request, identity: Identity) -> Caller | Refusal:
        """From must be an address of the phone that asks: what the callee sees is who calls."""
        if self._rule.registrable(identity, _from_user(request)) is None:
            return Refusal(403, "use the device's own name or the login of its owner in From")
        owner = self._owners.user(identity.user_id)
        direction: Direction = "internal" if self._domains.contains(request.uri) else "outbound"
        return Caller(owner.login if owner is not None else identity.username, direction, identity.device_id)


def _from_user(request: Request) -> str:
    try:
        return request.from_.uri.user
    except ParseError:
        return ""
