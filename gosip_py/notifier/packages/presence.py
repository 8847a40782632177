"""Whether a user can be reached (RFC 3856), in the words of RFC 3863.

What the user's phones published is told as they said it. Of a user who publishes nothing it is known whether a phone is
registered, whether the user wants to be left alone, and whether they are in a call.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from gosip_py.events import BindingAdded, BindingRemoved, Bus, DeviceChanged, UserChanged
from gosip_py.notifier.calls import CallStates
from gosip_py.notifier.markup import DECLARATION, local_name, namespace, node, read_tree, text_of, write_tree
from gosip_py.notifier.package import EventPackage, Resource, Watch, is_colleague
from gosip_py.notifier.people import People
from gosip_py.notifier.publication import Publications
from gosip_py.registrar.location import Location
from gosip_py.sip.errors import ParseError
from gosip_py.transaction.validation import Refusal

__all__ = ["Presence"]

PIDF = "urn:ietf:params:xml:ns:pidf"
MOST_OCTETS = 48 * 1024
"""Of what was published, in one document: the oldest is left out when there is more."""

_PREFIXES = {
    "urn:ietf:params:xml:ns:pidf:data-model": "dm",
    "urn:ietf:params:xml:ns:pidf:rpid": "rpid",
}
_PARTS = ("tuple", "note", "")  # in the order of RFC 3863 4.4; the last stands for what others define
_ON_THE_PHONE = '<dm:person id="person"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person>'


class Presence(EventPackage):
    """The package ``presence``, and what PUBLISH says of it."""

    name = "presence"
    content_type = "application/pidf+xml"
    default_expires = 3600  # RFC 3856 6.4
    interval = 5.0  # RFC 3856 6.10
    published_type = "application/pidf+xml"

    def __init__(
        self,
        *,
        publications: Publications,
        location: Location,
        calls: CallStates,
        people: People,
        bus: Bus,
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._publications = publications
        self._location = location
        self._calls = calls
        self._people = people
        self._bus = bus
        self._now = now
        self._unsubscribe: tuple[Callable[[], None], ...] = ()
        publications.open(self.changed)

    # -- who may, and when to tell -------------------------------------------------------------------------------------

    def refuse(self, watch: Watch) -> Refusal | None:
        """Everybody of this office may watch everybody."""
        return None if is_colleague(watch.watcher) else Refusal(403, "subscribe with a device of this office")

    def begin(self) -> None:
        self._calls.listen(self._call_changed)
        self._unsubscribe = (
            self._bus.subscribe(BindingAdded, self._binding_changed),
            self._bus.subscribe(BindingRemoved, self._binding_changed),
            self._bus.subscribe(UserChanged, self._user_changed),
            self._bus.subscribe(DeviceChanged, self._device_changed),
        )

    def cease(self) -> None:
        self._calls.unlisten(self._call_changed)
        for unsubscribe in self._unsubscribe:
            unsubscribe()

    def _binding_changed(self, event: BindingAdded | BindingRemoved) -> None:
        owner = self._people.owner_of(event.aor)
        if owner is not None:
            self.changed(owner)

    def _user_changed(self, event: UserChanged) -> None:
        self.changed(event.id)

    def _device_changed(self, event: DeviceChanged) -> None:
        owner = self._people.owner_of_device(event.id)
        if owner is not None:
            self.changed(owner)

    def _call_changed(self, user_id: int) -> bool:
        self.changed(user_id)
        return False  # a call that is over is of no interest here

    # -- what to tell --------------------------------------------------------------------------------------------------

    def document(self, watch: Watch, version: int) -> bytes:
        """The presence document (RFC 3863 4.1); it bears no version, so that one that says nothing new is not sent."""
        resource = watch.resource
        published = self._published(resource.user_id)
        user = self._people.user(resource.user_id)
        parts = published if published and user is not None and user.enabled else self._derived(resource)
        declared = {f"xmlns:{prefix}": space for space, prefix in _PREFIXES.items()}
        attributes: dict[str, object] = {"xmlns": PIDF, **declared, "entity": resource.aor}
        return (DECLARATION + node("presence", attributes, *parts)).encode()

    def _published(self, user_id: int) -> tuple[str, ...]:
        """Tuples first, then notes, then the rest, whichever phone said them (RFC 3903 10.3)."""
        left = MOST_OCTETS
        shown: list[tuple[str, ...]] = []
        for publication in reversed(self._publications.of(user_id)):
            left -= sum(len(part.encode()) for part in publication.parts)
            if left >= 0:
                shown.insert(0, publication.parts)
        return tuple(parts[index] for index in range(len(_PARTS)) for parts in shown)

    def _derived(self, resource: Resource) -> tuple[str, ...]:
        user = self._people.user(resource.user_id)
        now = self._now()
        aors = self._people.aors_of(resource.user_id)
        phones = (contact for aor in aors for contact in self._location.lookup(aor, now))
        is_here = user is not None and user.enabled and any(phone.is_reachable for phone in phones)
        wants_calls = user is not None and not user.dnd
        is_talking = self._calls.is_talking(resource.user_id)
        note = "" if wants_calls else "Do not disturb"
        if is_here and wants_calls and is_talking:
            note = "On the phone"
        told = node("note", {}, note) if note else ""
        basic = node("basic", {}, "open" if is_here and wants_calls else "closed")
        contact = node("contact", {}, text_of(resource.aor))
        status = node("tuple", {"id": "phones"}, node("status", {}, basic), contact, told)
        return status, _ON_THE_PHONE if is_talking else ""

    # -- what is published ---------------------------------------------------------------------------------------------

    def read(self, resource: Resource, body: bytes, prefix: str) -> tuple[str, ...]:
        """The children of a presence document that is about this user; ParseError when it is not."""
        root = read_tree(body)
        if root.tag != f"{{{PIDF}}}presence":
            raise ParseError(f"the body must be a presence document of the namespace {PIDF}")
        if not self._is_about(resource, root.get("entity", "")):
            raise ParseError(f"entity must be the user that is published for: {resource.aor}")
        parts = dict.fromkeys(_PARTS, "")
        for child in root:
            _rename(child, prefix)
            name = local_name(child.tag) if namespace(child.tag) == PIDF else ""
            parts[name if name in parts else ""] += write_tree(child, PIDF, _PREFIXES)
            if sum(map(len, parts.values())) > MOST_OCTETS:
                # A name that stands once in the body may have to be written with every element.
                raise ParseError(f"the body takes more than {MOST_OCTETS} octets once its namespaces are written out")
        return tuple(parts.values())

    def _is_about(self, resource: Resource, entity: str) -> bool:
        try:
            return self._people.is_address_of(entity, resource.user_id)
        except ParseError:
            return False


def _rename(child: Element, prefix: str) -> None:
    """Make the identifier of a tuple differ from those that other phones use, and remain the same (RFC 3903 10.4)."""
    name = child.get("id")
    if name is not None:
        child.set("id", prefix + name)
