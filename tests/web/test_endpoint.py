from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.web.endpoint import Call, Done, One, endpoint, endpoints_of
from gosip_py.web.shapes import Body, Nothing, Patch, View, iso_time


class Fruit(View):
    name: str


class FruitReplace(Body):
    """A fruit."""

    name: str
    note: str | None = None


class FruitResource:
    @endpoint("GET", "/api/fruits/{id}", role="user")
    async def get(self, call: Call[Nothing, Nothing], id: int) -> One[Fruit]:
        """A fruit.

        And more of it.
        """
        return One(Fruit(name=str(id)))

    @endpoint("PATCH", "/api/fruits/{id}/{part}")
    async def patch(self, call: Call[Patch[FruitReplace], Nothing], id: int, part: str) -> Done:
        return Done()


class NoCall:
    @endpoint("GET", "/x")
    async def get(self, call: int) -> Done:
        return Done()


class NoAnswer:
    @endpoint("GET", "/x")
    async def get(self, call: Call[Nothing, Nothing]) -> int:
        return 1


class NoArgument:
    @endpoint("GET", "/x/{id}")
    async def get(self, call: Call[Nothing, Nothing]) -> Done:
        return Done()


class DeclarationTests(SynchronousTestCase):
    def test_all_of_it_is_read_off_the_signature(self) -> None:
        get, patch = endpoints_of(FruitResource())
        self.assertEqual((get.method, get.path, get.role, get.summary), ("GET", "/api/fruits/{id}", "user", "A fruit."))
        self.assertEqual(
            (get.shape, get.view, get.body, get.tag, get.scope), (One, Fruit, Nothing, "fruits", "fruits:read")
        )
        self.assertEqual(get.route, "/api/fruits/<int(max=9007199254740991):id>")
        self.assertEqual((patch.role, patch.shape, patch.view, patch.scope), ("admin", Done, None, "fruits:write"))
        self.assertEqual(patch.route, "/api/fruits/<int(max=9007199254740991):id>/<part>")
        self.assertEqual(patch.body.__name__, "FruitPatch")

    def test_a_wrong_signature_is_refused_at_the_start(self) -> None:
        for resource in (NoCall(), NoAnswer(), NoArgument()):
            self.assertRaises(TypeError, endpoints_of, resource)


class PatchTests(SynchronousTestCase):
    def test_missing_is_not_null(self) -> None:
        twin = Patch[FruitReplace]
        self.assertIs(twin, Patch[FruitReplace])
        self.assertEqual(twin.model_validate_json("{}").changes(), {})
        self.assertEqual(twin.model_validate_json('{"note": null}').changes(), {"note": None})
        self.assertRaises(ValueError, twin.model_validate_json, '{"name": null}')
        self.assertRaises(ValueError, twin.model_validate_json, '{"names": "x"}')


class TimeTests(SynchronousTestCase):
    def test_milliseconds_in_utc(self) -> None:
        self.assertEqual(iso_time(1_767_323_045.678), "2026-01-02T03:04:05.678Z")
        self.assertEqual(iso_time(0), "1970-01-01T00:00:00.000Z")
