"""What was published, under its entity-tags (RFC 3903 6, 8)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import attrs

from gosip_py.metrics import Metrics
from gosip_py.sip.ids import new_token
from gosip_py.transaction.timers import Timer, TimerWheel

__all__ = ["Publication", "PublicationLimits", "Publications"]

_TAG_DIGITS = 16

Changed = Callable[[int], object]


@attrs.frozen
class PublicationLimits:
    """How much may be published: publications in all and of one user, octets of one, and its duration in seconds."""

    total: int = 50_000
    per_user: int = 8
    octets: int = 16 * 1024
    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 7200


class Publication:
    """What one phone published for one user; ``tag`` changes with each PUBLISH, ``prefix`` never."""

    __slots__ = ("parts", "prefix", "tag", "timer", "user_id")

    def __init__(self, user_id: int, prefix: str) -> None:
        self.user_id = user_id
        self.prefix = prefix
        self.tag = ""
        self.parts: tuple[str, ...] = ()
        self.timer: Timer | None = None


class Publications:
    """The publications of one event package, by user."""

    def __init__(self, wheel: TimerWheel, limits: PublicationLimits, metrics: Metrics) -> None:
        self.limits = limits
        self._wheel = wheel
        self._by_user: dict[int, dict[str, Publication]] = {}
        self._size = 0
        self._serials = count(1)
        self._changed: Changed = _unheard
        metrics.publications.read_from(self.__len__)

    def __len__(self) -> int:
        return self._size

    @property
    def is_full(self) -> bool:
        return self._size >= self.limits.total

    def open(self, changed: Changed) -> None:
        """From now on tell ``changed`` whose publications are not as they were."""
        self._changed = changed

    # -- asking --------------------------------------------------------------------------------------------------------

    def of(self, user_id: int) -> tuple[Publication, ...]:
        """What is published for a user, the oldest first."""
        return tuple(self._by_user.get(user_id, {}).values())

    def find(self, user_id: int, tag: str) -> Publication | None:
        """The publication that has this entity-tag now."""
        return next((held for held in self.of(user_id) if held.tag == tag), None)

    # -- changing ------------------------------------------------------------------------------------------------------

    def new(self, user_id: int) -> Publication:
        """One that is not kept yet: see `keep`."""
        return Publication(user_id, f"p{next(self._serials)}.")

    def keep(self, publication: Publication, parts: tuple[str, ...] | None, expires: int) -> str:
        """Keep a publication for so many seconds, with new ``parts`` unless they are None; its new entity-tag.

        When a user has too many, the oldest goes: a phone that forgot its tag publishes anew.
        """
        held = self._by_user.setdefault(publication.user_id, {})
        if publication.prefix not in held:
            if len(held) >= self.limits.per_user:
                self._take_out(next(iter(held.values())))
            self._by_user.setdefault(publication.user_id, held)[publication.prefix] = publication
            self._size += 1
        publication.tag = new_token(_TAG_DIGITS)
        self._stop_timer(publication)
        publication.timer = self._wheel.start(expires, _Expiry(self, publication), 0)
        if parts is not None and parts != publication.parts:
            publication.parts = parts
            self._changed(publication.user_id)
        return publication.tag

    def remove(self, publication: Publication) -> None:
        """It is removed or has expired; one that is not kept stays out."""
        if self._take_out(publication):
            self._changed(publication.user_id)

    def remove_user(self, user_id: int) -> None:
        """A user is gone."""
        for publication in self.of(user_id):
            self._take_out(publication)

    def _take_out(self, publication: Publication) -> bool:
        self._stop_timer(publication)
        held = self._by_user.get(publication.user_id, {})
        if held.pop(publication.prefix, None) is None:
            return False
        self._size -= 1
        if not held:
            del self._by_user[publication.user_id]
        return True

    def _stop_timer(self, publication: Publication) -> None:
        if publication.timer is not None:
            publication.timer.cancel()
            publication.timer = None


class _Expiry:
    """The owner of a publication's timer."""

    __slots__ = ("_publication", "_publications")

    def __init__(self, publications: Publications, publication: Publication) -> None:
        self._publications = publications
        self._publication = publication

    def timer_fired(self, _kind: int) -> None:
        self._publications.remove(self._publication)


def _unheard(_user_id: int) -> None:
    """Nobody watches what is published."""
