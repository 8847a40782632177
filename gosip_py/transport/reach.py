"""Whether a phone is reached where it was heard, or where its contact says (RFC 3261 10, RFC 3581, RFC 5626 in spirit).

Behind a NAT the contact names an address that nobody else can reach, and the source of the REGISTER is the only way
back. A contact may also name a third party on purpose, and then the source is the wrong place.
"""

from __future__ import annotations

from gosip_py.sip.headers import Via
from gosip_py.sip.uri import Uri
from gosip_py.transport.flow import Address, Flow
from gosip_py.transport.via import bare_host

__all__ = ["is_at_source", "source_text"]

_DEFAULT_PORT = 5060
# What a contact may call the transport of the connection it came by: sips with transport=tcp is TLS (RFC 3261 26.2.2),
# ws is said for both (RFC 7118 5.2).
_ALIASES = {"TLS": "TCP", "WSS": "WS"}
_UNREACHABLE = ".invalid"  # RFC 2606 2: no such name has an address


def source_text(address: Address) -> str:
    """``host:port``, an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_at_source(contact: Uri, via: Via, flow: Flow, has_path: bool) -> bool:
    """Whether requests for ``contact`` go to where its REGISTER, with this top Via, came from.

    With a Path the sender was a proxy on the way: its connection is used, but a datagram goes to the address in the
    Path.
    """
    if has_path:
        return flow.is_reliable
    if contact.transport not in ("", flow.transport, _ALIASES.get(flow.transport)):
        return False
    said = bare_host(contact.host)
    sent_by = bare_host(via.host.lower())
    if contact.transport == "WS" or said.endswith(_UNREACHABLE):
        # A page in a browser does not know its address and makes up a host (RFC 7118 B.1); nobody else opens its
        # connection (RFC 7118 4.1).
        return True
    if flow.is_reliable:
        # The port of a connection is no port to call, so only the host tells who speaks.
        return said in (flow.remote[0], sent_by)
    if (said, contact.port or _DEFAULT_PORT) == flow.remote:
        return True
    return said == sent_by and _is_translated(via, flow)


def _is_translated(via: Via, flow: Flow) -> bool:
    """Whether the sender is not where it believes to be.

    A port alone tells so only of one that listens where it sends from (RFC 3581 3).
    """
    host, port = flow.remote
    if bare_host(via.host.lower()) != host:
        return True
    return "rport" in via.parameters and (via.port or _DEFAULT_PORT) != port
