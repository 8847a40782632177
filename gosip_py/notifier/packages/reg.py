"""The registrations of a user, for that user's own phones (RFC 3680).

Watching a login shows its address and those of its devices, which are one person here; watching a device's address
shows that alone. The whole state each time, with the contacts that have just gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from hashlib import blake2b

import attrs

from gosip_py.events import BindingAdded, BindingRefreshed, BindingRemoved, Bus
from gosip_py.notifier.markup import DECLARATION, node, text_of
from gosip_py.notifier.package import EventPackage, Resource, Watch, is_owner
from gosip_py.notifier.people import People
from gosip_py.registrar.gruu import public_gruu
from gosip_py.registrar.location import Contact, Location
from gosip_py.transaction.validation import Refusal

__all__ = ["Registrations"]

NAMESPACE = "urn:ietf:params:xml:ns:reginfo"
GRUU_NAMESPACE = "urn:ietf:params:xml:ns:gruuinfo"
LINGER_SECONDS = 10.0
"""How long a contact that is gone is still told of: longer than two NOTIFYs keep apart."""
_MOST_LINGERING = 10_000

# RFC 3680 4.7.1. Who was taken out otherwise than by its own wish may come back at once.
_EVENTS = {"unregistered": "unregistered", "expired": "expired", "replaced": "unregistered"}
_TAKEN_OUT = "deactivated"


@attrs.frozen
class _Recent:
    """What happened to a contact a moment ago."""

    at: float
    aor: str
    id: str
    contact: str
    event: str
    is_gone: bool


class Registrations(EventPackage):
    """The package ``reg``. Registrations cost nothing more than before while nobody watches any."""

    name = "reg"
    content_type = "application/reginfo+xml"
    default_expires = 3761  # 4.4
    interval = 5.0  # 4.10

    def __init__(self, location: Location, bus: Bus, people: People, now: Callable[[], float]) -> None:
        super().__init__()
        self._location = location
        self._bus = bus
        self._people = people
        self._now = now
        self._recent: dict[str, dict[str, _Recent]] = {}  # by address of record and id of the contact
        self._order: deque[_Recent] = deque()
        self._unsubscribe: tuple[Callable[[], None], ...] = ()

    # -- who may, and when to tell -------------------------------------------------------------------------------------

    def key(self, resource: Resource) -> Hashable:
        return resource.user_id if resource.device_id is None else resource.aor

    def refuse(self, watch: Watch) -> Refusal | None:
        if is_owner(watch.watcher, watch.resource):
            return None
        return Refusal(403, f"where {watch.resource.login} is registered is for {watch.resource.login} to see")

    def begin(self) -> None:
        self._unsubscribe = (
            self._bus.subscribe(BindingAdded, self._added),
            self._bus.subscribe(BindingRefreshed, self._refreshed),
            self._bus.subscribe(BindingRemoved, self._removed),
        )

    def cease(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._recent.clear()
        self._order.clear()

    def _added(self, event: BindingAdded) -> None:
        self._note(_Recent(self._now(), event.aor, event.id, event.contact, "registered", False))

    def _refreshed(self, event: BindingRefreshed) -> None:
        self._note(_Recent(self._now(), event.aor, event.id, event.contact, "refreshed", False))

    def _removed(self, event: BindingRemoved) -> None:
        what = _EVENTS.get(event.reason, _TAKEN_OUT)
        self._note(_Recent(self._now(), event.aor, event.id, event.contact, what, True))

    def _note(self, recent: _Recent) -> None:
        self._sweep()
        owner = self._people.owner_of(recent.aor)
        by_address = self.changed(recent.aor)
        by_user = owner is not None and self.changed(owner)
        if (by_address or by_user) and len(self._order) < _MOST_LINGERING:
            self._recent.setdefault(recent.aor, {})[recent.id] = recent
            self._order.append(recent)

    def _sweep(self) -> None:
        while self._order and self._order[0].at + LINGER_SECONDS <= self._now():
            old = self._order.popleft()
            held = self._recent.get(old.aor, {})
            if held.get(old.id) is old:
                del held[old.id]
                if not held:
                    del self._recent[old.aor]

    # -- what to tell --------------------------------------------------------------------------------------------------

    def document(self, watch: Watch, version: int) -> bytes:
        self._sweep()
        resource = watch.resource
        if resource.device_id is None:
            aors = self._people.aors_of(resource.user_id) or (resource.aor,)
        else:
            aors = (resource.aor,)
        attributes = {"xmlns": NAMESPACE, "version": version, "state": "full"}
        return (DECLARATION + node("reginfo", attributes, *map(self._registration, aors))).encode()

    def _registration(self, aor: str) -> str:
        contacts = self._location.lookup(aor, self._now())
        recent = self._recent.get(aor, {})
        gone = [each for each in recent.values() if each.is_gone]
        state = "active" if contacts else "terminated" if gone else "init"
        written = [self._contact(contact, recent.get(contact.id)) for contact in contacts]
        name = blake2b(aor.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        return node("registration", {"aor": aor, "id": name, "state": state}, *written, *map(_gone, gone))

    def _contact(self, contact: Contact, recent: _Recent | None) -> str:
        binding, now = contact.binding, self._now()
        attributes = {
            "id": contact.id,
            "state": "active",
            "event": "registered" if recent is None else recent.event,
            "duration-registered": max(0, int(now - binding.registered_at)),
            "expires": max(0, round(binding.expires_at - now)),
            "q": f"{binding.q / 1000:g}",
            "callid": binding.call_id,
            "cseq": binding.cseq,
        }
        parameters = (("+sip.instance", binding.instance), ("reg-id", binding.reg_id))
        more = [node("unknown-param", {"name": name}, text_of(value)) for name, value in parameters if value]
        public = public_gruu(binding)
        if public:  # RFC 5628 5.1
            more.append(node("pub-gruu", {"xmlns": GRUU_NAMESPACE, "uri": public}))
        return node("contact", attributes, node("uri", {}, text_of(binding.contact)), *more)


def _gone(recent: _Recent) -> str:
    attributes = {"id": recent.id, "state": "terminated", "event": recent.event}
    return node("contact", attributes, node("uri", {}, text_of(recent.contact)))
