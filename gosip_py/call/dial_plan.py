"""The dial plan: what becomes of a call by what was dialled.

Help first, then what the server does itself, then people, then the world. It looks into memory only, and decides; the
switch and the proxy do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from gosip_py.call.feature_codes import Dialled, FeatureCodes
from gosip_py.call.forwarding import divert, has_visited, refuse_circle, ring_seconds
from gosip_py.call.intercom import auto_answer
from gosip_py.call.limits import CallLimits
from gosip_py.call.lines import Phones, party_of
from gosip_py.call.numbers import undecorated
from gosip_py.call.outside import Outside
from gosip_py.call.ring_group import RingGroups
from gosip_py.call.router import Destination, Elsewhere, ExtensionRouter, NotFound, Unavailable
from gosip_py.call.verdict import Attempt, LeaveToProxy, Refuse, Ring, Stage, UseFeature, Verdict
from gosip_py.registrar.domains import Domains
from gosip_py.sip.uri import Uri
from gosip_py.store.records import Device, RingGroup, User

__all__ = ["DialPlan"]

_USE_A_PHONE = "use a phone that is registered here"


class Directory(Protocol):
    """The users and devices, in memory."""

    def user(self, user_id: int) -> User | None: ...

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...

    def devices_of(self, user_id: int) -> Sequence[Device]: ...


class Orbits(Protocol):
    """The numbers that calls are parked at."""

    def contains(self, number: str) -> bool: ...


class DialPlan:
    """The default router.

    ``ring_seconds`` is how long phones ring where their owner does not say. In order: emergency numbers, feature codes,
    park orbits, ring groups, people and devices, numbers of the outside.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        router: ExtensionRouter,
        domains: Domains,
        phones: Phones,
        groups: RingGroups,
        codes: FeatureCodes,
        orbits: Orbits,
        outside: Outside,
        limits: CallLimits,
        ring_seconds: float = 30.0,
    ) -> None:
        self._directory = directory
        self._router = router
        self._domains = domains
        self._phones = phones
        self._groups = groups
        self._codes = codes
        self._orbits = orbits
        self._outside = outside
        self._limits = limits
        self._ring_seconds = ring_seconds

    # -- asking -------------------------------------------------------------------------------------------------------

    def is_emergency(self, uri: Uri) -> bool:
        """Whether a call to ``uri`` is a call for help, which nothing may hold up."""
        return self._is_ours(uri) and self._outside.is_emergency(undecorated(uri.user))

    def line_of(self, uri: Uri) -> str:
        """The number of the park orbit or the ring group that ``uri`` names; empty when it names neither."""
        if not self._is_ours(uri) or "gr" in uri.parameters:
            return ""
        if self._orbits.contains(uri.user):
            return uri.user
        group = self._find_group(uri.user)
        return "" if group is None else group.number

    def route(self, attempt: Attempt) -> Verdict:
        """What becomes of this call. A forward that is followed here and now is followed to its end."""
        uri = attempt.uri
        if not self._is_ours(uri):
            refusal = self._refuse_caller(attempt)
            return refusal if refusal is not None else self._outside.leave(attempt)
        if "gr" in uri.parameters:
            return self._refuse_caller(attempt) or self._call_people(attempt, uri)
        name = undecorated(uri.user) if uri.scheme == "tel" else uri.user
        dialled = undecorated(name)
        is_stranger = _is_stranger(attempt)
        if not is_stranger and not attempt.diverted and self._outside.is_emergency(dialled):
            return self._outside.call_help(attempt, dialled)
        return self._refuse_caller(attempt) or self._look_up(attempt, name, is_stranger)

    def takes_calls(self, user: User, dialled: str) -> bool:
        """Whether ``user`` may forward calls to ``dialled``: somebody else here, or a number of the outside."""
        found = self._directory.user_by_login(dialled)
        device = self._directory.device_by_username(dialled) if found is None else None
        owner = found.id if found is not None else device.user_id if device is not None else None
        if owner is not None:
            return owner != user.id
        return (
            self._find_group(dialled) is not None
            or any(code.feature.is_destination for code in self._codes.find(dialled))
            or self._outside.has_number(undecorated(dialled))
        )

    def _is_ours(self, uri: Uri) -> bool:
        return uri.scheme == "tel" or not uri.host or self._domains.contains(uri)

    def _refuse_caller(self, attempt: Attempt) -> Refuse | None:
        """Who transfers or is forwarded has their leg already."""
        if attempt.diverted or attempt.is_transfer:
            return None
        return self._limits.refuse_caller(attempt.caller)

    def _look_up(self, attempt: Attempt, name: str, is_stranger: bool) -> Verdict:
        if not is_stranger or attempt.diverted:
            code = self._find_code(name, attempt)
            if code is not None:
                return self._use(attempt, code)
            if self._orbits.contains(name) and not attempt.diverted:
                if attempt.caller.user_id is None:
                    return Refuse(403, f"calls at {name} are for the people of this office: {_USE_A_PHONE}")
                return UseFeature("park" if attempt.is_transfer else "retrieve", name)
        group = self._find_group(name)
        if group is not None:
            return self._call_group(attempt, group)
        return self._call_people(attempt, Uri("sip", name, self._domains.canonical))

    # -- what the server does itself ----------------------------------------------------------------------------------

    def _find_code(self, name: str, attempt: Attempt) -> Dialled | None:
        """The code that was dialled: the longest, but one whose extension exists goes before one whose does not."""
        found = self._codes.find(name)
        if attempt.diverted:
            found = [dialled for dialled in found if dialled.feature.is_destination]
        if not found or (found[0].argument and self._is_known(name)):
            return None
        if len(found) == 1 or not found[0].argument:
            return found[0]
        return next((dialled for dialled in found if self._is_known(dialled.argument)), found[0])

    def _use(self, attempt: Attempt, code: Dialled) -> Verdict:
        feature, argument = code.feature, code.argument
        if feature.needs_media:
            return Refuse(501, f"{feature.title!r} ({feature.code}) needs media, which is not served here: do without")
        if attempt.caller.user_id is None:
            return Refuse(403, f"{feature.code} is for the people of this office: {_USE_A_PHONE}")
        if feature.name == "intercom":
            return self._speak(attempt, argument)
        if feature.name == "pickup" and not argument:
            return UseFeature("group_pickup")
        return UseFeature(feature.name, argument)

    def _speak(self, attempt: Attempt, extension: str) -> Verdict:
        """Ring somebody's phones so that they answer by themselves; nobody forwards that."""
        uri = Uri("sip", extension, self._domains.canonical)
        found = self._router.find(uri, attempt.at)
        if not isinstance(found, Destination):
            return self._nobody(found, extension) if isinstance(found, NotFound) else _away(found)
        ring = self._ring(attempt, found)
        if not isinstance(ring, Ring):
            return ring
        headers = auto_answer(self._domains.canonical)
        return attrs.evolve(ring, if_busy="", if_no_answer="", if_unavailable="", headers=headers)

    def _is_known(self, name: str) -> bool:
        """Whether somebody here is called so."""
        directory = self._directory
        return (
            directory.user_by_login(name) is not None
            or directory.device_by_username(name) is not None
            or self._find_group(name) is not None
        )

    # -- groups -------------------------------------------------------------------------------------------------------

    def _find_group(self, name: str) -> RingGroup | None:
        """By its number, or by its name where that is nobody's login or device."""
        group = self._groups.by_number(name)
        if group is None:
            group = self._groups.by_name(name)
            if group is not None and (
                self._directory.user_by_login(name) is not None or self._directory.device_by_username(name) is not None
            ):
                return None
        return group

    def _call_group(self, attempt: Attempt, group: RingGroup) -> Verdict:
        refusal = refuse_circle(attempt, group.number)
        if refusal is not None:
            return refusal
        offer = self._groups.offer(group, attempt)
        if offer.stages:
            return self._groups.ring(group, offer, attempt)
        if group.fallback:
            return self.route(divert(attempt, group.number, group.fallback))
        name = group.name or group.number
        if offer.is_busy:
            return Refuse(486, f"everybody in the group {name} is in a call: try again later")
        return Refuse(480, f"nobody in the group {name} can be reached: try again later")

    # -- people -------------------------------------------------------------------------------------------------------

    def _call_people(self, attempt: Attempt, uri: Uri) -> Verdict:
        found = self._router.find(uri, attempt.at)
        if isinstance(found, Elsewhere):
            return self._outside.leave(attempt)
        if isinstance(found, NotFound):
            dialled = "" if "gr" in uri.parameters else undecorated(uri.user)
            return self._outside.dial(attempt, dialled) or self._nobody(found, uri.user)
        user = found.user
        if user.call_schema != "b2bua" and not attempt.diverted and not attempt.is_transfer:
            return LeaveToProxy(found)
        if isinstance(found, Destination) and found.is_instance:
            return self._ring(attempt, found)
        if isinstance(found, Unavailable) and ("gr" in uri.parameters or not user.enabled):
            return _away(found)
        refusal = refuse_circle(
            attempt, user.login, *(device.username for device in self._directory.devices_of(user.id))
        )
        if refusal is not None:
            return refusal
        if user.forward_always:
            return self.route(divert(attempt, user.login, user.forward_always))
        return self._deliver(attempt, found)

    def _deliver(self, attempt: Attempt, found: Destination | Unavailable) -> Verdict:
        """To the phones of somebody, or where they want their calls to go instead."""
        user = found.user
        if user.dnd:
            if user.forward_busy:
                return self.route(divert(attempt, user.login, user.forward_busy))
            return Refuse(486, f"{user.login} does not want to be disturbed: try again later")
        if isinstance(found, Unavailable):
            is_closed = found.device is not None and not found.device.enabled
            if user.forward_no_answer and not is_closed:
                return self.route(divert(attempt, user.login, user.forward_no_answer))
            return _away(found)
        ring = self._ring(attempt, found)
        if isinstance(ring, Refuse) and user.forward_busy:
            return self.route(divert(attempt, user.login, user.forward_busy))
        return ring

    def _ring(self, attempt: Attempt, found: Destination) -> Ring | Refuse:
        """The phones of somebody, all at once as their q says."""
        user = found.user
        lines = self._phones.lines(found)
        callee = party_of(user, found.device)
        if not lines:
            return Refuse(486, f"{callee.name} has as many calls as there may be: try again later")
        stages = (Stage(lines, ring_seconds(user, self._ring_seconds)),)
        if found.is_instance:  # RFC 5627 6.1: this phone is meant and no other
            return Ring(callee, stages, diverted=attempt.diverted)
        no_answer = _onward(attempt, user.forward_no_answer)
        busy = _onward(attempt, user.forward_busy)
        return Ring(callee, stages, busy, no_answer, no_answer, diverted=attempt.diverted)

    def _nobody(self, found: NotFound, name: str) -> Refuse:
        """404 for a name that nobody has, 484 for one that may become somebody's (RFC 3261 21.4.22)."""
        name = name[:64]
        if found.is_incomplete:
            return Refuse(484, f"the numbers here that begin with {name} are longer: add the digits that follow")
        return Refuse(404, f"nobody here is called {name!r}: check the number or name")


def _is_stranger(attempt: Attempt) -> bool:
    """Whether it comes from the outside: what the server does itself is not for them.

    One of our people may transfer a call that came in.
    """
    return attempt.caller.user_id is None and (attempt.direction == "inbound" or attempt.is_transfer)


def _onward(attempt: Attempt, forward: str) -> str:
    """Where an unanswered call goes; nowhere when it came from there."""
    return "" if forward and has_visited(attempt, forward) else forward


def _away(found: Unavailable | Elsewhere) -> Refuse:
    explanation = found.explanation if isinstance(found, Unavailable) else f"{found.host} is not served here"
    return Refuse(480, f"{explanation}: try again later")
