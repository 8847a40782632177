"""Registrations of flows: several ways to one phone, each named by its reg-id (RFC 5626 6)."""

from __future__ import annotations

from gosip_py.registrar.contacts import Wanted
from gosip_py.registrar.gruu import instance_key
from gosip_py.sip.message import Request
from gosip_py.transaction.validation import Refusal

__all__ = ["OPTION_TAG", "flow_of", "is_first_hop", "registers_flows"]

OPTION_TAG = "outbound"

_LACKS_OUTBOUND = Refusal(439, "the first proxy does not support outbound: register without, or by way of another")


def is_first_hop(request: Request) -> bool:
    """Whether nobody forwarded the request before it came to us."""
    names = request.names
    return names.count("via") == 1 and "," not in request.lines[names.index("via")]


def registers_flows(request: Request) -> bool | Refusal:
    """Whether a reg-id counts in this REGISTER; 439 when the phone relies on it and its first proxy does not.

    That proxy is the only one that may write ``ob`` into Path (5.1). ParseError when Path cannot be read.
    """
    if not (request.has_token("supported", OPTION_TAG) or request.has_token("require", OPTION_TAG)):
        return False
    if is_first_hop(request) or any("ob" in address.uri.parameters for address in request.addresses("path")):
        return True
    return _LACKS_OUTBOUND


def flow_of(wanted: Wanted, has_flows: bool) -> str:
    """What names the flow among those of its address of record; "" for a binding by the contact alone.

    A reg-id means nothing without an instance.
    """
    if not has_flows or wanted.reg_id is None or not wanted.instance:
        return ""
    return f"{wanted.reg_id};{instance_key(wanted.instance)}"
