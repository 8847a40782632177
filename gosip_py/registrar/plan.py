"""What a REGISTER would change: one step for each of its contacts (RFC 3261 10.3 item 7, RFC 5626 6)."""

from __future__ import annotations

import attrs

from gosip_py.registrar.contacts import Wanted, read_wanted
from gosip_py.registrar.location import Contact
from gosip_py.registrar.outbound import flow_of
from gosip_py.sip.headers import parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow
from gosip_py.transport.reach import is_at_source

__all__ = [
    "Origin",
    "Step",
    "contact_values",
    "is_outdated",
    "is_reached_at_source",
    "is_same_binding",
    "one_flow_at_a_time",
    "out_of_order",
    "path_of",
    "recognise",
]


@attrs.define  # never changed; to freeze it would cost each refresh twice the time
class Origin:
    """What all bindings of one REGISTER have in common."""

    request: Request
    flow: Flow
    aor: str
    device_id: int
    path: str
    now: float
    has_flows: bool
    """Whether a reg-id counts in it."""


@attrs.define  # as above
class Step:
    """One tentative change: ``expires`` 0 removes ``contact``, which is None when it is not registered yet.

    ``flow`` is as in the binding.
    """

    wanted: Wanted
    contact: Contact | None
    expires: int
    flow: str


def contact_values(request: Request, contacts: list[Contact]) -> list[str]:
    """The Contact values, not looked at for commas when it is the one that a contact was registered with."""
    if request.names.count("contact") == 1:
        value = request.require("contact")
        if any(contact.wanted is not None and contact.wanted.written == value for contact in contacts):
            return [value]
    return request.values("contact")


def recognise(contacts: list[Contact], value: str, has_flows: bool) -> tuple[Contact | None, Wanted, str]:
    """The contact that a Contact value is about, the decoded value, and the flow that it names.

    A flow is told by its name alone (RFC 5626 6), everything else by the comparison rules of URIs (19.1.4).
    """
    for contact in contacts:
        known = contact.wanted
        if known is not None and known.written == value:
            flow = flow_of(known, has_flows) if has_flows else ""
            if contact.binding.flow == flow:
                return contact, known, flow
    wanted = read_wanted(value)
    flow = flow_of(wanted, has_flows)
    for contact in contacts:
        if contact.binding.flow == flow and (flow or _is_same_contact(contact.binding.contact, wanted.uri_text)):
            return contact, wanted, flow
    return None, wanted, flow


def is_reached_at_source(origin: Origin, step: Step) -> bool:
    """What is registered for a flow is reached by that flow, whatever its contact says (RFC 5626 7)."""
    has_path = bool(origin.path)
    if step.flow and not has_path:
        return True
    return is_at_source(parse_uri(step.wanted.uri_text), origin.request.top_via, origin.flow, has_path)


def is_same_binding(one: Step, other: Step) -> bool:
    return one.flow == other.flow and (bool(one.flow) or _is_same_contact(one.wanted.uri_text, other.wanted.uri_text))


def one_flow_at_a_time(plan: list[Step]) -> Refusal | None:
    """A REGISTER comes by one flow, and so it can register one only (RFC 5626 6)."""
    kept = [step for step in plan if step.expires]
    if len(kept) > 1 and any(step.flow for step in kept):
        return Refusal(400, "register one contact at a time when it has a reg-id")
    return None


def _is_same_contact(first: str, second: str) -> bool:
    return first == second or parse_uri(first).is_equivalent(parse_uri(second))


def is_outdated(origin: Origin, contact: Contact) -> bool:
    """Whether a request of the same phone that was sent later, or this very one, has been served already."""
    binding = contact.binding
    return binding.call_id == origin.request.call_id and origin.request.cseq.number <= binding.cseq


def out_of_order() -> Refusal:
    return Refusal(500, "a REGISTER with this Call-ID and a CSeq as high was served before: send a higher CSeq")


def path_of(request: Request) -> str:
    """The Path as it is kept and given back; ParseError when a request could not be sent along it."""
    if "path" not in request.names:
        return ""
    values = request.values("path")
    for value in values:
        parse_address(value).uri  # noqa: B018 - decoding is the check
    return ", ".join(values)
