"""What a newcomer does: set up, sign in, make a user and a phone, and look."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from tests.web.server import CODE, WebCase

ADMIN = {"email": "root@example.org", "password": "long enough", "display_name": "Root"}


class FirstRunTests(WebCase):
    has_people = False

    async def claim(self, code: str = CODE) -> int:
        return (await self.request("POST", "/api/setup", {**ADMIN, "code": code}, "")).status

    async def test_from_the_code_to_a_phone(self) -> None:
        self.assertEqual((await self.get("/api/setup", who="")).one, {"is_open": True})
        refused = await self.request("POST", "/api/setup", {**ADMIN, "code": "guess"}, "")
        self.assertEqual((refused.status, refused.code, refused.fields), (403, "FORBIDDEN", ["code"]))
        created = await self.request("POST", "/api/setup", {**ADMIN, "code": CODE}, "")
        self.assertEqual((created.status, created.headers["Location"]), (201, "/api/users/1"))
        self.assertEqual((created.one["login"], created.one["role"]), ("root", "admin"))
        self.assertEqual((await self.get("/api/setup", who="")).one, {"is_open": False})

        cookie = {"Cookie": await self.cookie_of("root@example.org", ADMIN["password"])}
        user = await self.request("POST", "/api/users", {"login": "carol"}, "", cookie)
        self.assertEqual(user.status, 201)
        fields = {"user_id": user.one["id"], "username": "carol-desk", "name": "Desk"}
        device = await self.request("POST", "/api/devices", fields, "", cookie)
        self.assertEqual((device.status, len(device.one["password"])), (201, 20))
        for path, names in (("/api/users", ["root", "carol"]), ("/api/devices", ["carol-desk"])):
            listed = await self.request("GET", path, None, "", cookie)
            self.assertEqual([row.get("login", row.get("username")) for row in listed.one], names)
            self.assertEqual((listed.json["page"], listed.json["per_page"]), (1, 20))
            self.assertEqual(listed.json["total"], len(names))
        self.assertIsNotNone(self.directory.device_by_username("carol-desk"))

    async def test_it_is_closed_for_ever_afterwards(self) -> None:
        self.assertEqual(await self.claim(), 201)
        again = await self.request("POST", "/api/setup", {**ADMIN, "code": CODE}, "")
        self.assertEqual((again.status, again.code), (403, "SETUP_CLOSED"))

    async def test_two_at_once_make_one_administrator(self) -> None:
        first, second = self.claim(), self.claim()
        statuses = await gatherResults([Deferred.fromCoroutine(first), Deferred.fromCoroutine(second)])
        self.assertEqual(sorted(statuses), [201, 403])
        self.assertEqual(await self.users.count(), 1)

    async def test_five_wrong_codes_lock_even_the_right_one_out(self) -> None:
        self.assertEqual([await self.claim("guess") for _ in range(5)], [403] * 5)
        refused = await self.request("POST", "/api/setup", {**ADMIN, "code": CODE}, "")
        self.assertEqual((refused.status, refused.headers["Retry-After"]), (429, "900"))
        self.clock.advance(901)
        self.assertEqual(await self.claim(), 201)

    async def test_a_bad_password_costs_no_code(self) -> None:
        refused = await self.request("POST", "/api/setup", {**ADMIN, "code": CODE, "password": "short"}, "")
        self.assertEqual((refused.status, refused.fields), (400, ["password"]))
        self.assertNotIn(b"short", refused.content.replace(b"should", b""))
        self.assertEqual(await self.claim(), 201)


class WithoutCodeTests(WebCase):
    has_people = False
    setup_code: str | None = None

    async def test_nobody_can_set_up(self) -> None:
        self.assertEqual((await self.get("/api/setup", who="")).one, {"is_open": False})
        refused = await self.request("POST", "/api/setup", {**ADMIN, "code": ""}, "")
        self.assertEqual(refused.code, "SETUP_CLOSED")
