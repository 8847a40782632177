"""The registrar: from a REGISTER to bindings, all of them or none (RFC 3261 10.3, RFC 5626 6, RFC 5627 5).

Who may register what is asked of an authenticator and a rule; the bindings live in the location service.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import formatdate
from sys import intern
from typing import TYPE_CHECKING, Protocol

import attrs
from twisted.logger import Logger

from gosip_py.registrar.contacts import WILDCARD, Wanted, contact_value, expires_header
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.gruu import Gruus, instance_key, new_epoch
from gosip_py.registrar.location import Contact, Location
from gosip_py.registrar.outbound import OPTION_TAG, is_first_hop, registers_flows
from gosip_py.registrar.plan import (
    Origin,
    Step,
    contact_values,
    is_outdated,
    is_reached_at_source,
    is_same_binding,
    one_flow_at_a_time,
    out_of_order,
    path_of,
    recognise,
)
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request
from gosip_py.sip.printable import printable
from gosip_py.sip.uri import Uri, parse_uri
from gosip_py.store.records import Binding
from gosip_py.transaction.authenticate import Authenticator, Identity
from gosip_py.transaction.validation import Refusal, Validation, supported_extensions
from gosip_py.transport.flow import Flow
from gosip_py.transport.reach import source_text

if TYPE_CHECKING:
    from gosip_py.transaction.server import ServerTransaction

__all__ = ["Registrar", "RegistrationLimits", "RegistrationOffers", "RegistrationRule"]

EXTENSIONS = frozenset(("gruu", OPTION_TAG, "path"))
_BRIEF = 3600  # seconds; only what is shorter may be refused as too brief (10.3 item 7)
# The To of nearly every REGISTER: no display name with quotes, no escapes, no parameters.
_PLAIN_TO = re.compile(
    r"[Tt][Oo]?[ \t]*:[^<>\"]*<sips?:([A-Za-z0-9\-_.!~*'()&=+$]+)@([a-z0-9.\-]+)(?::[0-9]{1,5})?>[^,\r\n]*\Z"
)


class RegistrationRule(Protocol):
    """Who may change which bindings."""

    def registrable(self, identity: Identity, user: str) -> str | None:
        """``user`` in its canonical spelling; None when that address of record is not this identity's."""


@attrs.frozen
class RegistrationLimits:
    """Expiry in seconds, and how many contacts one address of record may have."""

    default_expires: int = 1800
    min_expires: int = 60
    max_expires: int = 7200
    max_contacts: int = 10


@attrs.frozen
class RegistrationOffers:
    """What a phone is told besides its bindings.

    ``flow_timer`` is how many seconds we wait for a keep-alive at most (RFC 5626 4.4), 0 to leave that to the phone.
    ``service_route`` are the URIs that its requests shall visit first (RFC 3608), each with ``lr``. Without ``gruus``
    it gets none.
    """

    flow_timer: int = 120
    service_route: tuple[str, ...] = ()
    gruus: Gruus | None = None

    def __attrs_post_init__(self) -> None:
        for text in self.service_route:
            if "lr" not in parse_uri(text).parameters:
                raise ValueError(f"a service route is a SIP URI with ;lr, and {text!r} is none")


class Registrar:
    """Answers REGISTER requests for our domain. ``seconds`` tells the time in epoch seconds."""

    log = Logger()

    def __init__(
        self,
        location: Location,
        authenticator: Authenticator,
        rule: RegistrationRule,
        domains: Domains,
        limits: RegistrationLimits,
        seconds: Callable[[], float],
        offers: RegistrationOffers = RegistrationOffers(),
    ) -> None:
        self._location = location
        self._authenticator = authenticator
        self._rule = rule
        self._domains = domains
        self._limits = limits
        self._seconds = seconds
        self._gruus = offers.gruus
        self._flow_timer = offers.flow_timer
        route = ", ".join(f"<{uri_text}>" for uri_text in offers.service_route)
        self._service_route = [("service-route", route)] if route else []
        understood = EXTENSIONS if offers.gruus is not None else EXTENSIONS - {"gruu"}
        self._validation = Validation(supported_extensions(understood))
        self._date = ("date", "")
        self._date_at = -1

    def receive_request(self, transaction: ServerTransaction) -> None:
        """Answer a REGISTER whose Request-URI is ours and whose syntax has been checked."""
        request = transaction.request
        refusal = self._validation.refuse(request)
        if refusal is not None:
            refusal.send(transaction)
            return
        identity = self._authenticator.authenticate(request, proxy=False, flow=transaction.flow)
        if isinstance(identity, Refusal):
            identity.send(transaction)
            return
        answer = self.register(request, transaction.flow, identity)
        if isinstance(answer, Refusal):
            self._note(request, answer)
            answer.send(transaction)
            return
        transaction.reply(200, headers=answer)

    def _note(self, request: Request, refusal: Refusal) -> None:
        self.log.info(
            "registration refused: {status} {explanation}",
            status=refusal.status,
            explanation=printable(refusal.explanation),
            call_id=request.call_id,
        )

    def register(self, request: Request, flow: Flow, identity: Identity) -> list[tuple[str, str]] | Refusal:
        """Items 4 to 8: the headers of the 200 with every binding, or the refusal and no change."""
        now = self._seconds()
        # What has expired must be gone before its contact can be added again under the same key.
        self._location.expire(now)
        try:
            aor = self._address_of_record(request, identity)
            if isinstance(aor, Refusal):
                return aor
            verdict = self._update(request, flow, aor, identity, now)
        except ParseError as error:
            return Refusal(400, error.reason)
        if isinstance(verdict, Refusal):
            return verdict
        headers = self._current(request, aor, now)
        return [*headers, *self._of_flows(request)] if verdict else headers

    def _address_of_record(self, request: Request, identity: Identity) -> str | Refusal:
        """Items 4 and 5: the canonical address of record that To names; From is only whoever sent the request."""
        match = _PLAIN_TO.match(request.lines[request.names.index("to")])
        if match is not None:
            user, host = match.groups()
        else:
            uri = request.to.uri
            user, host = uri.user, uri.host
        if not self._domains.has_host(host) or not user:
            return Refusal(404, f"register a user of {self._domains.canonical} in To")
        name = self._rule.registrable(identity, user)
        if name is None:
            return Refusal(403, "these credentials may register their own device name and the login of its owner only")
        return self._domains.aor(name)

    def _update(self, request: Request, flow: Flow, aor: str, identity: Identity, now: float) -> Refusal | bool:
        """Items 6 and 7: change what the request asks for. Whether a flow was registered."""
        if "contact" not in request.names:
            return False
        contacts = self._location.lookup(aor, now)
        values = contact_values(request, contacts)
        has_flows = "reg-id" in "".join(values).lower() and registers_flows(request)
        if isinstance(has_flows, Refusal):
            return has_flows
        origin = Origin(request, flow, aor, identity.device_id, path_of(request), now, has_flows)
        if WILDCARD in values:
            return self._remove_all(origin, contacts, values) or False
        plan = self._plan(origin, contacts, values)
        if isinstance(plan, Refusal):
            return plan
        if len(contacts) + len(plan) > self._limits.max_contacts:
            refusal = self._make_room(contacts, plan, now)
            if refusal is not None:
                return refusal
        for step in plan:
            self._commit(origin, step)
        return has_flows and any(step.flow for step in plan)

    # -- what would change ------------------------------------------------------------------------------------------

    def _remove_all(self, origin: Origin, contacts: list[Contact], values: list[str]) -> Refusal | None:
        """Item 6: ``*`` takes every binding away, if none of them is newer than the request."""
        if len(values) > 1 or expires_header(origin.request) != 0:
            return Refusal(400, "send Contact: * alone and with Expires: 0, or list the contacts")
        if any(is_outdated(origin, contact) for contact in contacts):
            return out_of_order()
        for contact in contacts:
            self._location.remove(contact, "unregistered", origin.now)
        return None

    def _plan(self, origin: Origin, contacts: list[Contact], values: list[str]) -> list[Step] | Refusal:
        """Item 7: a step for each Contact value. Of two values for one contact the later stands."""
        plan: list[Step] = []
        for value in values:
            contact, wanted, flow = recognise(contacts, value, origin.has_flows)
            expires = wanted.expires
            if expires is None:
                expires = expires_header(origin.request)
            if expires is None:
                expires = self._limits.default_expires
            if 0 < expires < self._limits.min_expires and expires < _BRIEF:
                return self._too_brief()
            if contact is not None and is_outdated(origin, contact):
                return out_of_order()
            if contact is None or contact.wanted is not wanted:
                refusal = self._refuse_contact(origin, wanted, expires)
                if refusal is not None:
                    return refusal
            step = Step(wanted, contact, min(expires, self._limits.max_expires), flow)
            if plan:
                plan = [other for other in plan if not is_same_binding(other, step)]
            plan.append(step)
        if len(plan) > 1 and origin.has_flows:
            return one_flow_at_a_time(plan) or plan
        return plan

    def _refuse_contact(self, origin: Origin, wanted: Wanted, expires: int) -> Refusal | None:
        """403 for a contact that would lead back here: the address of record itself, or a GRUU of it (RFC 5627 5.1)."""
        uri = parse_uri(wanted.uri_text)
        if wanted.instance and uri.scheme == "tel":
            return Refusal(403, "register a SIP URI")
        if expires and self._domains.contains(uri) and self._names(uri, origin.aor):
            return Refusal(403, "register the address of the phone, not the one that leads to it by way of this server")
        return None

    def _names(self, uri: Uri, aor: str) -> bool:
        if self._domains.aor(uri.user) == aor:
            return True
        temporary = self._gruus.read(uri.user) if self._gruus is not None else None
        return temporary is not None and self._domains.aor(temporary.user) == aor

    def _too_brief(self) -> Refusal:
        least = str(self._limits.min_expires)
        return Refusal(423, f"register for at least {least} seconds", (("min-expires", least),))

    def _make_room(self, contacts: list[Contact], plan: list[Step], now: float) -> Refusal | None:
        """Keep within the limit of contacts.

        Those whose connection is gone give way, oldest first: their phones came back by another.
        """
        added = sum(step.contact is None and step.expires > 0 for step in plan)
        removed = sum(step.contact is not None and step.expires == 0 for step in plan)
        excess = len(contacts) + added - removed - self._limits.max_contacts
        if added <= removed or excess <= 0:
            return None
        touched = [step.contact for step in plan]
        lost = [contact for contact in contacts if contact.is_cut_off and contact not in touched]
        if len(lost) < excess:
            return Refusal(403, f"remove a contact first: there may be {self._limits.max_contacts} of them")
        for contact in lost[:excess]:
            self._location.remove(contact, "replaced", now)
        return None

    # -- changing it ------------------------------------------------------------------------------------------------

    def _commit(self, origin: Origin, step: Step) -> None:
        contact, wanted = step.contact, step.wanted
        if contact is None:
            if step.expires:
                self._add(origin, step, origin.now, self._epoch(origin, step))
        elif not step.expires:
            self._location.remove(contact, "unregistered", origin.now)
        elif contact.binding.contact != wanted.uri_text:
            # The same contact in other words, or the same flow with another: the text is part of its key in the store.
            epoch = self._epoch(origin, step)
            self._location.remove(contact, "replaced", origin.now)
            self._add(origin, step, contact.binding.registered_at, epoch)
        else:
            self._refresh(origin, contact, step)

    def _epoch(self, origin: Origin, step: Step) -> str:
        """In which epoch temporary GRUUs of the phone are made: another one when its Call-ID changed (RFC 5627 5.1)."""
        if not step.wanted.instance:
            return ""
        instance = instance_key(step.wanted.instance)
        there = self._location.lookup(origin.aor, origin.now)
        same = [contact for contact in there if instance_key(contact.binding.instance) == instance]
        before = [contact for contact in same if contact.binding.flow == step.flow] if step.flow else same
        if before:
            latest = max(before, key=lambda contact: contact.binding.refreshed_at).binding
            if latest.call_id == origin.request.call_id and latest.gruu:
                return latest.gruu
        elif same and same[0].binding.gruu:
            return same[0].binding.gruu
        epoch = new_epoch()
        for contact in same:
            self._location.renew_gruus(contact, epoch)
        return epoch

    def _add(self, origin: Origin, step: Step, registered_at: float, epoch: str) -> None:
        flow, wanted = origin.flow, step.wanted
        binding = Binding(
            origin.aor,
            wanted.uri_text,
            origin.request.call_id,
            origin.request.cseq.number,
            wanted.q,
            origin.now + step.expires,
            registered_at,
            intern(flow.transport),
            source_text(flow.remote),
            intern(source_text(flow.local)),
            origin.path,
            intern(origin.request.value("user-agent") or ""),
            wanted.instance,
            wanted.reg_id,
            origin.device_id,
            step.flow,
            epoch,
            origin.now,
        )
        self._location.add(Contact(binding, flow, is_reached_at_source(origin, step), wanted), origin.now)

    def _refresh(self, origin: Origin, contact: Contact, step: Step) -> None:
        """Give a contact a new record, which shares the texts that did not change with the old one."""
        flow, path, old, before, wanted = origin.flow, origin.path, contact.binding, contact.flow, step.wanted
        is_unmoved = before is not None and before.remote == flow.remote and before.transport == flow.transport
        if not is_unmoved or contact.wanted is not wanted or path != old.path:
            contact.is_at_source = is_reached_at_source(origin, step)
            contact.wanted = wanted
        call_id = origin.request.call_id
        is_same_agent = old.call_id == call_id
        epoch = ""
        if wanted.instance:
            is_same_phone = is_same_agent and old.gruu and old.instance == wanted.instance
            epoch = old.gruu if is_same_phone else self._epoch(origin, step)
        binding = Binding(
            old.aor,
            old.contact,
            old.call_id if is_same_agent else call_id,
            origin.request.cseq.number,
            wanted.q,
            origin.now + step.expires,
            old.registered_at,
            old.transport if is_unmoved else intern(flow.transport),
            old.source if is_unmoved else source_text(flow.remote),
            old.local if is_unmoved else intern(source_text(flow.local)),
            path,
            old.user_agent if is_same_agent else intern(origin.request.value("user-agent") or ""),
            wanted.instance,
            wanted.reg_id,
            origin.device_id,
            step.flow,
            epoch,
            origin.now,
        )
        self._location.refresh(contact, binding, flow, origin.now)

    # -- the answer -------------------------------------------------------------------------------------------------

    def _current(self, request: Request, aor: str, now: float) -> list[tuple[str, str]]:
        """Item 8: every binding with what is left of it, and the Path that was taken (RFC 3327 5.3)."""
        contacts = self._location.lookup(aor, now)
        gruus = self._gruus_for(request, contacts)
        headers = [
            ("contact", contact_value(contact.binding, now, "" if gruus is None else gruus.parameters(contact.binding)))
            for contact in contacts
        ]
        if "path" in request.names:
            headers.append(("path", path_of(request)))
        if self._date_at != int(now):
            self._date_at = int(now)
            self._date = ("date", formatdate(self._date_at, usegmt=True))
        headers.append(self._date)
        if self._service_route:
            headers += self._service_route
        return headers

    def _gruus_for(self, request: Request, contacts: list[Contact]) -> Gruus | None:
        """What makes GRUUs, if the phone knows what they are."""
        if self._gruus is not None:
            for contact in contacts:
                if contact.binding.instance:
                    return self._gruus if request.has_token("supported", "gruu") else None
        return None

    def _of_flows(self, request: Request) -> list[tuple[str, str]]:
        """What tells the phone that a flow was registered (RFC 5626 6), and how often to keep it alive."""
        headers = [("require", OPTION_TAG), ("supported", f"path, {OPTION_TAG}")]
        if self._flow_timer and is_first_hop(request):
            headers.append(("flow-timer", str(self._flow_timer)))
        return headers
