"""The registrar: from a REGISTER to bindings, all of them or none (RFC 3261 10.3, RFC 3327 5.3).

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

from gosip_py.registrar.contacts import WILDCARD, Wanted, contact_value, expires_header, read_wanted
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Contact, Location
from gosip_py.registrar.reach import is_at_source, source_text
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import parse_uri
from gosip_py.store.records import Binding
from gosip_py.transaction.authenticate import Authenticator, Identity
from gosip_py.transaction.validation import Refusal, Validation, supported_extensions
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.transaction.server import ServerTransaction

__all__ = ["Registrar", "RegistrationLimits", "RegistrationRule"]

EXTENSIONS = frozenset(("path",))
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
class _Origin:
    """What all bindings of one REGISTER have in common."""

    request: Request
    flow: Flow
    aor: str
    device_id: int
    path: str
    now: float


@attrs.frozen
class _Step:
    """One tentative change: ``expires`` 0 removes ``contact``, which is None when it is not registered yet."""

    wanted: Wanted
    contact: Contact | None
    expires: int


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
    ) -> None:
        self._location = location
        self._authenticator = authenticator
        self._rule = rule
        self._domains = domains
        self._limits = limits
        self._seconds = seconds
        self._validation = Validation(supported_extensions(EXTENSIONS))
        self._date = ("date", "")
        self._date_at = -1

    def receive_request(self, transaction: ServerTransaction) -> None:
        """Answer a REGISTER whose Request-URI is ours and whose syntax has been checked."""
        request = transaction.request
        refusal = self._validation.refuse(request)
        if refusal is not None:
            refusal.send(transaction)
            return
        identity = self._authenticator.authenticate(request, proxy=False)
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
            explanation=refusal.explanation,
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
            refusal = self._update(request, flow, aor, identity, now)
        except ParseError as error:
            return Refusal(400, error.reason)
        return refusal if refusal is not None else self._current(request, aor, now)

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

    def _update(self, request: Request, flow: Flow, aor: str, identity: Identity, now: float) -> Refusal | None:
        """Items 6 and 7: change what the request asks for."""
        if "contact" not in request.names:
            return None
        origin = _Origin(request, flow, aor, identity.device_id, _path_of(request), now)
        contacts = self._location.lookup(aor, now)
        values = _contact_values(request, contacts)
        if WILDCARD in values:
            return self._remove_all(origin, contacts, values)
        plan = self._plan(origin, contacts, values)
        if isinstance(plan, Refusal):
            return plan
        refusal = (
            self._make_room(contacts, plan, now) if len(contacts) + len(plan) > self._limits.max_contacts else None
        )
        if refusal is None:
            for step in plan:
                self._commit(origin, step)
        return refusal

    # -- what would change ------------------------------------------------------------------------------------------

    def _remove_all(self, origin: _Origin, contacts: list[Contact], values: list[str]) -> Refusal | None:
        """Item 6: ``*`` takes every binding away, if none of them is newer than the request."""
        if len(values) > 1 or expires_header(origin.request) != 0:
            return Refusal(400, "send Contact: * alone and with Expires: 0, or list the contacts")
        if any(_is_outdated(origin, contact) for contact in contacts):
            return _out_of_order()
        for contact in contacts:
            self._location.remove(contact, "unregistered", origin.now)
        return None

    def _plan(self, origin: _Origin, contacts: list[Contact], values: list[str]) -> list[_Step] | Refusal:
        """Item 7: a step for each Contact value. Of two values for one contact the later stands."""
        plan: list[_Step] = []
        for value in values:
            contact, wanted = _recognise(contacts, value)
            expires = wanted.expires
            if expires is None:
                expires = expires_header(origin.request)
            if expires is None:
                expires = self._limits.default_expires
            if 0 < expires < self._limits.min_expires and expires < _BRIEF:
                return self._too_brief()
            if contact is not None and _is_outdated(origin, contact):
                return _out_of_order()
            step = _Step(wanted, contact, min(expires, self._limits.max_expires))
            if plan:
                plan = [other for other in plan if not _is_same_contact(other.wanted.uri_text, wanted.uri_text)]
            plan.append(step)
        return plan

    def _too_brief(self) -> Refusal:
        least = str(self._limits.min_expires)
        return Refusal(423, f"register for at least {least} seconds", (("min-expires", least),))

    def _make_room(self, contacts: list[Contact], plan: list[_Step], now: float) -> Refusal | None:
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

    def _commit(self, origin: _Origin, step: _Step) -> None:
        contact, wanted = step.contact, step.wanted
        if contact is None:
            if step.expires:
                self._add(origin, wanted, step.expires, origin.now)
        elif not step.expires:
            self._location.remove(contact, "unregistered", origin.now)
        elif contact.binding.contact != wanted.uri_text:
            # The same contact in other words: its text is its key in the store.
            self._location.remove(contact, "replaced", origin.now)
            self._add(origin, wanted, step.expires, contact.binding.registered_at)
        else:
            self._refresh(origin, contact, wanted, step.expires)

    def _add(self, origin: _Origin, wanted: Wanted, expires: int, registered_at: float) -> None:
        flow = origin.flow
        binding = Binding(
            origin.aor,
            wanted.uri_text,
            origin.request.call_id,
            origin.request.cseq.number,
            wanted.q,
            origin.now + expires,
            registered_at,
            intern(flow.transport),
            source_text(flow.remote),
            intern(source_text(flow.local)),
            origin.path,
            intern(origin.request.value("user-agent") or ""),
            wanted.instance,
            wanted.reg_id,
            origin.device_id,
        )
        at_source = is_at_source(parse_uri(wanted.uri_text), origin.request.top_via, flow, bool(origin.path))
        self._location.add(Contact(binding, flow, at_source, wanted), origin.now)

    def _refresh(self, origin: _Origin, contact: Contact, wanted: Wanted, expires: int) -> None:
        """Give a contact a new record, which shares the texts that did not change with the old one."""
        flow, path, old, before = origin.flow, origin.path, contact.binding, contact.flow
        is_unmoved = before is not None and before.remote == flow.remote and before.transport == flow.transport
        if not is_unmoved or contact.wanted is not wanted or path != old.path:
            contact.is_at_source = is_at_source(parse_uri(wanted.uri_text), origin.request.top_via, flow, bool(path))
            contact.wanted = wanted
        call_id = origin.request.call_id
        is_same_agent = old.call_id == call_id
        binding = Binding(
            old.aor,
            old.contact,
            old.call_id if is_same_agent else call_id,
            origin.request.cseq.number,
            wanted.q,
            origin.now + expires,
            old.registered_at,
            old.transport if is_unmoved else intern(flow.transport),
            old.source if is_unmoved else source_text(flow.remote),
            old.local if is_unmoved else intern(source_text(flow.local)),
            path,
            old.user_agent if is_same_agent else intern(origin.request.value("user-agent") or ""),
            wanted.instance,
            wanted.reg_id,
            origin.device_id,
        )
        self._location.refresh(contact, binding, flow, origin.now)

    # -- the answer -------------------------------------------------------------------------------------------------

    def _current(self, request: Request, aor: str, now: float) -> list[tuple[str, str]]:
        """Item 8: every binding with what is left of it, and the Path that was taken (RFC 3327 5.3)."""
        headers = [("contact", contact_value(contact.binding, now)) for contact in self._location.lookup(aor, now)]
        if "path" in request.names:
            headers.append(("path", _path_of(request)))
        if self._date_at != int(now):
            self._date_at = int(now)
            self._date = ("date", formatdate(self._date_at, usegmt=True))
        headers.append(self._date)
        return headers


def _contact_values(request: Request, contacts: list[Contact]) -> list[str]:
    """The Contact values, not looked at for commas when it is the one that a contact was registered with."""
    if request.names.count("contact") == 1:
        value = request.require("contact")
        if any(contact.wanted is not None and contact.wanted.written == value for contact in contacts):
            return [value]
    return request.values("contact")


def _recognise(contacts: list[Contact], value: str) -> tuple[Contact | None, Wanted]:
    """The contact that a Contact value is about, by the comparison rules of URIs (19.1.4), and the decoded value."""
    for contact in contacts:
        if contact.wanted is not None and contact.wanted.written == value:
            return contact, contact.wanted
    wanted = read_wanted(value)
    for contact in contacts:
        if _is_same_contact(contact.binding.contact, wanted.uri_text):
            return contact, wanted
    return None, wanted


def _is_same_contact(first: str, second: str) -> bool:
    return first == second or parse_uri(first).is_equivalent(parse_uri(second))


def _is_outdated(origin: _Origin, contact: Contact) -> bool:
    """Whether a request of the same phone that was sent later, or this very one, has been served already."""
    binding = contact.binding
    return binding.call_id == origin.request.call_id and origin.request.cseq.number <= binding.cseq


def _out_of_order() -> Refusal:
    return Refusal(500, "a REGISTER with this Call-ID and a CSeq as high was served before: send a higher CSeq")


def _path_of(request: Request) -> str:
    """The Path as it is kept and given back; ParseError when a request could not be sent along it."""
    if "path" not in request.names:
        return ""
    values = request.values("path")
    for value in values:
        parse_address(value).uri  # noqa: B018 - decoding is the check
    return ", ".join(values)
