from __future__ import annotations

from gosip_py.call.feature_codes import CATALOGUE
from gosip_py.events import FeatureCodeChanged
from gosip_py.store.records import FeatureCode
from tests.web.server import NOW, WebCase

PATH = "/api/feature_codes"


class FeatureCodeTests(WebCase):
    async def test_as_they_come(self) -> None:
        listed = await self.get(f"{PATH}?per_page=100", "alice")
        self.assertEqual(listed.json["total"], len(CATALOGUE))
        self.assertEqual([row["feature"] for row in listed.one], [feature.name for feature in CATALOGUE])
        park = (await self.get(f"{PATH}/park", "alice")).one
        self.assertEqual((park["code"], park["default_code"], park["enabled"]), ("*68", "*68", True))
        self.assertEqual(sorted(park), sorted(next(row for row in listed.one if row["feature"] == "park")))
        self.assertEqual((await self.get(f"{PATH}/tea")).status, 404)

    async def test_change(self) -> None:
        changed = await self.request("PATCH", f"{PATH}/park", {"code": "*700"})
        self.assertEqual((changed.one["code"], changed.one["default_code"]), ("*700", "*68"))
        changed = await self.request("PATCH", f"{PATH}/park", {"enabled": False})
        self.assertEqual((changed.one["code"], changed.one["enabled"]), ("*700", False))
        expected = FeatureCode("park", "*700", False, NOW)
        self.assertEqual(self.directory.feature_code("park"), expected)
        self.assertEqual(await self.codes.all(), (expected,))
        self.assertEqual(self.changes, [FeatureCodeChanged("park")] * 2)

    async def test_a_code_that_is_taken(self) -> None:
        refused = await self.request("PATCH", f"{PATH}/park", {"code": "*78"})
        self.assertEqual((refused.status, refused.fields), (409, ["code"]))
        await self.request("PATCH", f"{PATH}/dnd_on", {"enabled": False})
        self.assertEqual((await self.request("PATCH", f"{PATH}/park", {"code": "*78"})).status, 200)
        self.assertEqual((await self.request("PATCH", f"{PATH}/dnd_on", {"enabled": True})).status, 409)
        await self.request("POST", "/api/ring_groups", {"number": "600"})
        self.assertEqual((await self.request("PATCH", f"{PATH}/park", {"code": "600"})).status, 409)

    async def test_what_is_no_code(self) -> None:
        for code in ("", "abc", "*" * 11, "*7 8"):
            self.assertEqual((await self.request("PATCH", f"{PATH}/park", {"code": code})).fields, ["code"])
        self.assertEqual(
            (await self.request("PATCH", f"{PATH}/park", {"title": "x", "enabled": 1})).fields, ["enabled"]
        )
