"""Flow tokens: a Record-Route that brings the later requests of a dialog back to the very flow of a phone (RFC 5626 5).

The token is the user of our own URI. It says between which addresses the flow runs and proves that we said so; nothing
is kept for a datagram flow, so its tokens survive a restart when the secret does. A connection is found only while it
stands.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from ipaddress import ip_address
from typing import Protocol

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via, parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import Uri
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Address, Flow
from gosip_py.transport.via import DEFAULT_PORTS, bare_host

__all__ = ["FlowTokens", "Flows", "asks_for_its_flow", "is_token"]

_PREFIX = "flow."
_PROOF_OCTETS = 11  # 88 bits; with an IPv4 flow the token is a multiple of three octets and needs no padding
_TRANSPORTS = ("UDP", "TCP", "TLS", "WS", "WSS")
_LEAST_REMEMBERED = 64

_TAMPERED = Refusal(403, "this Route was not made here as it stands: send the route set of the dialog unchanged")
_GONE = Refusal(430, "the connection to the phone is gone: it must register or call again")


class Flows(Protocol):
    """What is asked of the transports."""

    def datagram_flow(self, local: Address, remote: Address) -> Flow | None:
        """The flow from our socket at ``local`` to ``remote``; None when we do not listen there any more."""


class FlowTokens:
    """Makes tokens and reads them; ``secret`` is what they are proved with.

    Of a connection the token is kept until the connection is closed, and until as many tokens were made again.
    """

    def __init__(self, secret: bytes, flows: Flows) -> None:
        self._key = hmac.digest(secret, b"flow token", "sha256")
        self._flows = flows
        self._connections: dict[str, Flow] = {}
        self._enough = _LEAST_REMEMBERED

    def route(self, flow: Flow) -> str:
        """The Record-Route value that names ``flow``: as that of its socket, with the token as user."""
        return f"<sip:{self._token(flow)}@{flow.record_route[5:]}"

    def _token(self, flow: Flow) -> str:
        facts = _pack(flow)
        octets = self._prove(facts) + facts
        token = _PREFIX + urlsafe_b64encode(octets).decode()
        if flow.is_reliable and token not in self._connections:
            self._remember(token, flow)
        return token

    def _prove(self, facts: bytes) -> bytes:
        return hmac.digest(self._key, facts, "sha256")[:_PROOF_OCTETS]

    def _remember(self, token: str, flow: Flow) -> None:
        if len(self._connections) >= self._enough:
            self._connections = {known: each for known, each in self._connections.items() if each.is_open}
            self._enough = 2 * len(self._connections) + _LEAST_REMEMBERED
        self._connections[token] = flow

    def find(self, token: str) -> Flow | Refusal:
        """The flow that a token of ours leads to; 403 when it is none of ours, 430 when the flow is gone (5.3.1)."""
        try:
            octets = urlsafe_b64decode(token.removeprefix(_PREFIX))
            proof, facts = octets[:_PROOF_OCTETS], octets[_PROOF_OCTETS:]
            if not hmac.compare_digest(proof, self._prove(facts)):
                return _TAMPERED
        except ValueError:
            return _TAMPERED
        if facts[0]:
            flow: Flow | None = self._connections.get(token)
        else:
            flow = self._flows.datagram_flow(*_unpack(facts))
        return flow if flow is not None and flow.is_open else _GONE

    def take(self, request: Request, arrived_on: Flow) -> Flow | Refusal | None:
        """The flow that the topmost Route of ``request`` names by a token; that Route is taken off.

        None when there is no token, or the request came by that flow itself: then it is on its way out (5.3). Changes
        ``request``; ParseError when the Route cannot be read.
        """
        value = request.value("route")
        if value is None or _PREFIX not in value:
            return None
        token = parse_address(request.values("route")[0]).uri.user
        if not is_token(token):
            return None
        request.pop_value("route")
        flow = self.find(token)
        if not isinstance(flow, Refusal) and _is_same_flow(flow, arrived_on):
            return None
        return flow


def is_token(user: str) -> bool:
    """Whether the user of a URI of ours says that it is a flow token; what it is worth is for `FlowTokens.find`."""
    return user.startswith(_PREFIX)


def _is_same_flow(one: Flow, other: Flow) -> bool:
    return one is other or (one.transport, one.local, one.remote) == (other.transport, other.local, other.remote)


def _pack(flow: Flow) -> bytes:
    """Transport, the two addresses with their ports; IPv6 zones stay behind."""
    return bytes((_TRANSPORTS.index(flow.transport),)) + _octets(flow.local) + _octets(flow.remote)


def _octets(address: Address) -> bytes:
    host, port = address
    numeric = numeric_address(host.partition("%")[0])
    if numeric is None:
        raise ValueError(f"a flow runs between addresses, and {host!r} is none")
    return numeric.packed + port.to_bytes(2)


def _unpack(facts: bytes) -> tuple[Address, Address]:
    half = (len(facts) - 1) // 2
    first, second = facts[1 : 1 + half], facts[1 + half :]
    return _address(first), _address(second)


def _address(octets: bytes) -> Address:
    return str(ip_address(octets[:-2])), int.from_bytes(octets[-2:])


# -- who needs one -----------------------------------------------------------------------------------------------------


def asks_for_its_flow(request: Request, arrived_on: Flow) -> bool:
    """Whether the sender of a request that forms a dialog is reached by the flow it came on, and no other way.

    It says so by ``ob`` in its Contact (RFC 5626 5.3.2), or is behind a NAT: its contact is the address that it
    believes to have, and that is not where it was heard. Only of a sender that nobody stands before.
    """
    if request.names.count("via") != 1:
        return False
    contact = request.value("contact")
    if contact is None:
        return False
    if ";ob" not in contact and _names(contact, arrived_on.remote):
        return False
    try:
        contacts = request.addresses("contact")
        is_first_hop = "," not in request.require("via")
        return bool(contacts) and is_first_hop and _needs_flow(contacts[0].uri, request.top_via, arrived_on)
    except ParseError:
        return False


def _names(contact: str, remote: Address) -> bool:
    """Whether the contact is plainly the address that the request came from."""
    text = f"{remote[0]}:{remote[1]}"
    at = contact.find(text)
    return at > 0 and contact[at - 1] in "@:" and not contact[at + len(text) : at + len(text) + 1].isdigit()


def _needs_flow(contact: Uri, via: Via, flow: Flow) -> bool:
    if "ob" in contact.parameters:
        return True
    said, sent_by = bare_host(contact.host), bare_host(via.host.lower())
    host, port = flow.remote
    if said != sent_by:
        return False  # a third party, that a NAT of the sender has no part in
    if said != host:
        return True
    default = DEFAULT_PORTS.get(flow.transport, 5060)
    return not flow.is_reliable and "rport" in via.parameters and (via.port or default) != port
