"""Feature codes: what is dialled for each feature of the server, and whether that does anything."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from gosip_py.call.feature_codes import CATALOGUE, Feature
from gosip_py.events import Bus, FeatureCodeChanged
from gosip_py.store import feature_codes as store
from gosip_py.store.directory import Directory
from gosip_py.store.records import FeatureCode
from gosip_py.web.endpoint import Call, One, Paged, endpoint
from gosip_py.web.problem import conflict, not_found
from gosip_py.web.shapes import Body, ListQuery, Nothing, Patch, View

__all__ = ["FeatureCodeReplace", "FeatureCodeResource", "FeatureCodeView"]

Code = Annotated[str, StringConstraints(pattern=r"^[0-9*#]{1,10}$")]


class FeatureCodeView(View):
    """A feature and its code; `default_code` is the one that it came with."""

    feature: str
    title: str
    code: str
    default_code: str
    enabled: bool
    takes_argument: bool
    needs_media: bool


class FeatureCodeReplace(Body):
    """What may be changed of a feature code."""

    readonly = frozenset({"feature", "title", "default_code", "takes_argument", "needs_media"})
    code: Code
    enabled: bool


class FeatureCodeResource:
    """list, get and patch."""

    def __init__(self, codes: store.FeatureCodes, directory: Directory, bus: Bus) -> None:
        self._codes = codes
        self._directory = directory
        self._bus = bus

    @endpoint("GET", "/api/feature_codes", role="user")
    async def index(self, call: Call[Nothing, ListQuery]) -> Paged[FeatureCodeView]:
        """A page of what can be dialled, in the order of the catalogue."""
        query = call.query
        features = [*reversed(CATALOGUE)] if query.is_descending else [*CATALOGUE]
        shown = features[query.offset : query.offset + query.per_page]
        return Paged([self._view(feature) for feature in shown], len(features), query.page, query.per_page)

    @endpoint("GET", "/api/feature_codes/{feature}", role="user")
    async def get(self, call: Call[Nothing, Nothing], feature: str) -> One[FeatureCodeView]:
        """A feature code."""
        return One(self._view(_find(feature)))

    @endpoint("PATCH", "/api/feature_codes/{feature}")
    async def patch(self, call: Call[Patch[FeatureCodeReplace], Nothing], feature: str) -> One[FeatureCodeView]:
        """Choose another code for a feature, or turn it on or off."""
        meant = _find(feature)
        changes = call.body.changes()
        wanted: str = changes.get("code", self._code(meant))
        is_enabled: bool = changes.get("enabled", self._is_enabled(meant))
        if is_enabled:
            self._check(meant, wanted)
        code = FeatureCode(feature, wanted, is_enabled, call.now)
        await self._codes.put(code)
        self._directory.apply_code(code)
        self._bus.publish(FeatureCodeChanged(feature))
        return One(self._view(meant))

    def _check(self, meant: Feature, code: str) -> None:
        """Raise a 409 when the code would take something from somebody."""
        directory = self._directory
        for other in CATALOGUE:
            if other is not meant and self._is_enabled(other) and self._code(other) == code:
                raise conflict("code", f"is the code of {other.name}")
        names = (directory.user_by_login(code), directory.device_by_username(code), directory.group_by_number(code))
        if any(name is not None for name in names):
            raise conflict("code", "is the name of a user, a device or a ring group")

    def _code(self, feature: Feature) -> str:
        changed = self._directory.feature_code(feature.name)
        return changed.code if changed is not None else feature.code

    def _is_enabled(self, feature: Feature) -> bool:
        changed = self._directory.feature_code(feature.name)
        return changed is None or changed.enabled

    def _view(self, feature: Feature) -> FeatureCodeView:
        return FeatureCodeView(
            feature=feature.name,
            title=feature.title,
            code=self._code(feature),
            default_code=feature.code,
            enabled=self._is_enabled(feature),
            takes_argument=feature.takes_argument,
            needs_media=feature.needs_media,
        )


def _find(name: str) -> Feature:
    found = next((feature for feature in CATALOGUE if feature.name == name), None)
    if found is None:
        raise not_found("feature")
    return found
