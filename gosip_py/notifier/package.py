"""What an event package is to the notifier, and what is watched (RFC 6665 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import attrs

from gosip_py.proxy.session import Caller
from gosip_py.sip.grammar import Parameters
from gosip_py.transaction.validation import Refusal

__all__ = ["EventPackage", "Resource", "Watch", "is_colleague", "is_owner"]

Changed = Callable[[Hashable], bool]


@attrs.frozen
class Resource:
    """Whose state it is: a user, or with ``device_id`` one phone of theirs; ``aor`` is the canonical address.

    With ``line`` it is a number that is nobody's own, such as a park orbit; ``user_id`` is 0 then.
    """

    user_id: int
    login: str
    aor: str
    device_id: int | None = None
    line: str = ""


@attrs.frozen
class Watch:
    """Who watches whom; ``parameters`` are those of the Event header."""

    resource: Resource
    watcher: Caller
    parameters: Parameters = attrs.field(factory=dict)


def is_colleague(caller: Caller) -> bool:
    """Whether somebody belongs to this office: one of our devices, or whom a trusted neighbour calls one of ours."""
    return caller.device_id is not None or caller.direction == "internal"


def is_owner(caller: Caller, resource: Resource) -> bool:
    """Whether somebody asks for what is their own."""
    return is_colleague(caller) and caller.user.casefold() == resource.login.casefold()


class EventPackage:
    """One kind of state. A package says what there is to tell, and that something changed; the notifier does the rest.

    ``default_expires`` is the duration in seconds of a subscription that does not ask for any, ``interval`` the least
    number of seconds between two NOTIFYs of one subscription. ``published_type`` is the media type that may be
    published, empty when nobody may publish. ``has_lines`` says that it can tell of a `Resource.line`.
    """

    name = ""
    content_type = ""
    default_expires = 3600
    interval = 1.0
    published_type = ""
    has_lines = False

    def __init__(self) -> None:
        self.watchers = 0
        self._changed: Changed = _unheard

    # -- what a package answers ----------------------------------------------------------------------------------------

    def key(self, resource: Resource) -> Hashable:
        """Under which changes of this resource are told of."""
        return resource.line or resource.user_id

    def refuse(self, watch: Watch) -> Refusal | None:
        """Why somebody may not watch this, or None."""
        raise NotImplementedError

    def document(self, watch: Watch, version: int) -> bytes:
        """The whole state as this watcher may see it; ``version`` counts the documents of a subscription from 0."""
        raise NotImplementedError

    def read(self, resource: Resource, body: bytes, prefix: str) -> tuple[str, ...]:
        """What was published, fit to become part of a document; ParseError says what is wrong with it.

        ``prefix`` makes the identifiers in it differ from those of other publications.
        """
        raise NotImplementedError

    # -- who wants to hear of it ---------------------------------------------------------------------------------------

    def open(self, changed: Changed) -> None:
        """From now on tell ``changed`` the key of what changed; it says whether anybody watches that."""
        self._changed = changed

    def changed(self, key: Hashable) -> bool:
        """Something changed; whether anybody watches it."""
        return self.watchers > 0 and self._changed(key)

    def arrive(self) -> None:
        """One more subscription."""
        self.watchers += 1
        if self.watchers == 1:
            self.begin()

    def leave(self) -> None:
        """One subscription less."""
        self.watchers -= 1
        if self.watchers == 0:
            self.cease()

    def begin(self) -> None:
        """Somebody watches: what nobody had to follow before is followed from now on."""

    def cease(self) -> None:
        """Nobody watches any more."""


def _unheard(_key: Hashable) -> bool:
    return False
