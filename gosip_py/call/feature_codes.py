"""What is dialled to have the server do something: the codes, as they come and as an administrator changed them.

The longest code that fits wins. A code never takes a name away from somebody: where a person, a device or a group is
called exactly what was dialled, only a code without an argument goes before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

import attrs

from gosip_py.store.records import FeatureCode

__all__ = ["CATALOGUE", "Dialled", "Feature", "FeatureCodes", "is_code"]

_CODE = re.compile(r"[0-9*#]{1,10}\Z")
_ARGUMENT = re.compile(r"\+?[0-9A-Za-z._\-]{1,64}\Z")


@attrs.frozen
class Feature:
    """Something that the server does when its ``code`` is dialled.

    With ``takes_argument`` an extension or a number may follow the code, with ``needs_argument`` it must. Calls may be
    forwarded to it when it ``is_destination``.
    """

    name: str
    code: str
    title: str
    takes_argument: bool = False
    needs_argument: bool = False
    needs_media: bool = False
    is_destination: bool = False


CATALOGUE = (
    Feature("echo_test", "*43", "Hear what you say", needs_media=True, is_destination=True),
    Feature("forward_on", "*72", "Forward all calls to a number", True, True),
    Feature("forward_off", "*73", "Do not forward all calls any more"),
    Feature("forward_busy_on", "*90", "Forward calls to a number while busy", True, True),
    Feature("forward_busy_off", "*91", "Do not forward calls while busy any more"),
    Feature("forward_no_answer_on", "*52", "Forward calls that are not answered to a number", True, True),
    Feature("forward_no_answer_off", "*53", "Do not forward calls that are not answered any more"),
    Feature("dnd_on", "*78", "Do not disturb"),
    Feature("dnd_off", "*79", "Calls ring again"),
    Feature("voicemail", "*97", "Listen to voicemail", needs_media=True, is_destination=True),
    Feature("pickup", "*8", "Take a call that rings elsewhere: in a group, or at an extension", True),
    Feature("park", "*68", "Park a call: transfer it here"),
    Feature("intercom", "*80", "Speak through the loudspeaker of an extension", True, True),
    Feature("page", "*62", "Speak through the loudspeakers of a group", True, True, needs_media=True),
    Feature("conference", "*63", "Enter a conference room", True, needs_media=True, is_destination=True),
)


def is_code(text: str) -> bool:
    """Whether this may be a feature code."""
    return _CODE.match(text) is not None


@attrs.frozen
class Dialled:
    """A feature code that was dialled, and what followed it."""

    feature: Feature
    argument: str


class Book(Protocol):
    """The codes that an administrator changed, in memory."""

    def feature_codes(self) -> tuple[FeatureCode, ...]: ...


class FeatureCodes:
    """Knows the codes as they are now."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._changes: tuple[FeatureCode, ...] = ()
        self._features = _arrange(())
        self._first = _first(self._features)

    def features(self) -> tuple[Feature, ...]:
        """Those that may be used, with the codes that they have now, the longest first."""
        changes = self._book.feature_codes()
        if changes != self._changes:
            self._changes = changes
            self._features = _arrange(changes)
            self._first = _first(self._features)
        return self._features

    def find(self, dialled: str) -> list[Dialled]:
        """What ``dialled`` may mean, the longest code first."""
        features = self.features()
        if dialled[:1] not in self._first:
            return []  # as nearly everything that is dialled
        found = []
        for feature in features:
            if dialled.startswith(feature.code):
                argument = dialled[len(feature.code) :]
                if not argument and not feature.needs_argument:
                    found.append(Dialled(feature, ""))
                elif argument and feature.takes_argument and _ARGUMENT.match(argument) is not None:
                    found.append(Dialled(feature, argument))
        return found


def _first(features: Iterable[Feature]) -> frozenset[str]:
    return frozenset(feature.code[0] for feature in features)


def _arrange(changes: Iterable[FeatureCode]) -> tuple[Feature, ...]:
    changed = {change.feature: change for change in changes}
    features = []
    for feature in CATALOGUE:
        change = changed.get(feature.name)
        if change is None:
            features.append(feature)
        elif change.enabled and is_code(change.code):
            features.append(attrs.evolve(feature, code=change.code))
    return tuple(sorted(features, key=lambda feature: -len(feature.code)))
