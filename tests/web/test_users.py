from __future__ import annotations

from gosip_py.events import DeviceChanged, UserChanged
from tests.web.server import NOW_TEXT, WebCase


class UserTests(WebCase):
    async def test_create_get_and_the_shape(self) -> None:
        created = await self.request("POST", "/api/users", {"login": "carol", "email": "c@example.org", "dnd": True})
        self.assertEqual(created.status, 201)
        self.assertEqual(
            created.one,
            {
                "id": 4,
                "login": "carol",
                "email": "c@example.org",
                "display_name": "",
                "role": "user",
                "enabled": True,
                "call_schema": "b2bua",
                "dnd": True,
                "forward_always": "",
                "forward_busy": "",
                "forward_no_answer": "",
                "ring_seconds": 0,
                "created_at": NOW_TEXT,
                "updated_at": NOW_TEXT,
            },
        )
        self.assertEqual((await self.get(created.headers["Location"])).one, created.one)
        known = self.directory.user_by_login("carol")
        self.assertEqual(known and known.id, 4)
        self.assertEqual(self.changes, [UserChanged(4)])

    async def test_the_login_comes_from_the_address(self) -> None:
        created = await self.request("POST", "/api/users", {"email": "dora.m@example.org"})
        self.assertEqual(created.one["login"], "dora.m")
        refused = await self.request("POST", "/api/users", {})
        self.assertEqual((refused.status, refused.fields), (400, ["login"]))

    async def test_a_taken_name_is_a_conflict_whatever_its_case(self) -> None:
        for body, field in (({"login": "ALICE"}, "login"), ({"login": "x", "email": "Alice@Example.org"}, "email")):
            refused = await self.request("POST", "/api/users", body)
            self.assertEqual((refused.status, refused.code, refused.fields), (409, "CONFLICT", [field]))

    async def test_what_is_wrong_is_told_by_field_and_without_the_value(self) -> None:
        body = {"login": "a:b", "role": "king", "enabled": "yes", "password": "short", "nonsense": 1}
        refused = await self.request("POST", "/api/users", body)
        self.assertEqual((refused.status, refused.code), (400, "VALIDATION_ERROR"))
        self.assertEqual(sorted(refused.fields), ["enabled", "login", "nonsense", "password", "role"])
        self.assertNotIn(b'"short"', refused.content)

    async def test_put_replaces(self) -> None:
        path = f"/api/users/{self.alice.id}"
        await self.request("PATCH", path, {"display_name": "Alice", "dnd": True})
        got = (await self.get(path)).one
        # What was got may be put, with the fields that only answers have.
        self.assertEqual((await self.request("PUT", path, got)).one["display_name"], "Alice")
        put = await self.request("PUT", path, {"login": "alice"})
        self.assertEqual((put.status, put.one["display_name"], put.one["dnd"], put.one["email"]), (200, "", False, ""))
        self.assertEqual((await self.sign_in("alice")).status, 200)
        self.assertEqual((await self.request("PUT", path, {})).fields, ["login"])

    async def test_patch_changes_only_what_is_named(self) -> None:
        patched = await self.request("PATCH", f"/api/users/{self.alice.id}", {"dnd": True})
        self.assertEqual((patched.one["dnd"], patched.one["email"]), (True, "alice@example.org"))
        known = self.directory.user(self.alice.id)
        self.assertTrue(known and known.dnd)
        refused = await self.request("PATCH", f"/api/users/{self.alice.id}", {"dnd": None, "login": None})
        self.assertEqual((refused.status, sorted(refused.fields)), (400, ["dnd", "login"]))

    async def test_forwards(self) -> None:
        path = f"/api/users/{self.alice.id}"
        changes = {
            "forward_always": "+4790000000",
            "forward_busy": "bob",
            "forward_no_answer": "*97",
            "ring_seconds": 25,
        }
        patched = await self.request("PATCH", path, changes, "alice")
        self.assertEqual({name: patched.one[name] for name in changes}, changes)
        known = self.directory.user(self.alice.id)
        self.assertEqual(known and (known.forward_busy, known.ring_seconds), ("bob", 25))
        self.assertEqual((await self.request("PATCH", path, {"forward_always": ""}, "alice")).one["forward_always"], "")
        put = await self.request("PUT", path, {"login": "alice"})
        self.assertEqual([put.one[name] for name in changes], ["", "", "", 0])

    async def test_forwards_that_lead_nowhere(self) -> None:
        path = f"/api/users/{self.alice.id}"
        for body in (
            {"forward_always": "Alice"},
            {"forward_busy": "sip:eve@evil.example"},
            {"forward_no_answer": "1" * 65},
            {"forward_no_answer": "a b"},
            {"ring_seconds": -1},
            {"ring_seconds": 601},
            {"ring_seconds": "9"},
        ):
            refused = await self.request("PATCH", path, body, "alice")
            self.assertEqual((refused.status, refused.fields), (400, [*body]), body)
        refused = await self.request("POST", "/api/users", {"login": "7", "forward_busy": "7"})
        self.assertEqual((refused.status, refused.fields), (400, ["forward_busy"]))

    async def test_the_number_of_a_group_is_no_login(self) -> None:
        await self.request("POST", "/api/ring_groups", {"number": "600"})
        for method, path, body in (
            ("POST", "/api/users", {"login": "600"}),
            ("PATCH", f"/api/users/{self.alice.id}", {"login": "600"}),
        ):
            refused = await self.request(method, path, body)
            self.assertEqual((refused.status, refused.fields), (409, ["login"]))
        device: dict[str, object] = {"user_id": self.alice.id, "username": "600"}
        self.assertEqual((await self.request("POST", "/api/devices", device)).fields, ["username"])

    async def test_a_new_password_signs_the_user_out(self) -> None:
        cookie = {"Cookie": await self.cookie_of("alice")}
        await self.request("PATCH", f"/api/users/{self.alice.id}", {"password": "battery staple"})
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", cookie)).status, 401)
        self.assertEqual((await self.sign_in("alice", "battery staple")).status, 200)

    async def test_disabling_ends_sessions_and_registrations(self) -> None:
        cookie = {"Cookie": await self.cookie_of("alice")}
        self.add_binding(self.phone, "sip:alice@example.org", "sip:a@127.0.0.1:1")
        self.add_binding(None, "sip:alice@example.org", "sip:a@127.0.0.1:2")
        self.add_binding(self.other_phone, "sip:bob@example.org", "sip:b@127.0.0.1:3")
        await self.request("PATCH", f"/api/users/{self.alice.id}", {"enabled": False})
        self.assertEqual([contact.binding.aor for contact in self.location], ["sip:bob@example.org"])
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", cookie)).status, 401)
        await self.request("PATCH", f"/api/users/{self.alice.id}", {"enabled": True})
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", cookie)).status, 401)

    async def test_a_new_login_ends_registrations_under_the_old_one(self) -> None:
        self.add_binding(self.phone, "sip:alice@example.org", "sip:a@127.0.0.1:1")
        await self.request("PATCH", f"/api/users/{self.alice.id}", {"login": "alicia"})
        self.assertEqual(len(self.location), 0)
        self.assertIsNone(self.directory.user_by_login("alice"))

    async def test_delete_takes_devices_and_bindings_along(self) -> None:
        self.add_binding(self.phone, "sip:alice-desk@example.org", "sip:a@127.0.0.1:1")
        self.assertEqual((await self.request("DELETE", f"/api/users/{self.alice.id}")).status, 204)
        self.assertEqual(len(self.location), 0)
        self.assertIsNone(self.directory.device_by_username("alice-desk"))
        self.assertEqual((await self.get(f"/api/devices/{self.phone.id}")).status, 404)
        self.assertEqual(self.changes, [DeviceChanged(self.phone.id), UserChanged(self.alice.id)])
        self.assertEqual((await self.request("DELETE", f"/api/users/{self.alice.id}")).status, 404)

    async def test_the_last_administrator_stays(self) -> None:
        path = f"/api/users/{self.admin.id}"
        for method, body in (("DELETE", None), ("PATCH", {"role": "user"}), ("PATCH", {"enabled": False})):
            refused = await self.request(method, path, body)
            self.assertEqual((refused.status, refused.code), (409, "CONFLICT"))
        self.assertEqual((await self.request("PUT", path, {"login": "admin"})).fields, ["role"])
        await self.request("PATCH", f"/api/users/{self.bob.id}", {"role": "admin"})
        self.assertEqual((await self.request("PATCH", path, {"role": "user"})).status, 200)

    async def test_paging_sorting_and_filters(self) -> None:
        page = await self.get("/api/users?per_page=2&page=2&sort=login&order=desc")
        self.assertEqual([row["login"] for row in page.one], ["admin"])
        self.assertEqual([page.json[key] for key in ("page", "per_page", "total")], [2, 2, 3])
        self.assertEqual([row["login"] for row in (await self.get("/api/users?role=admin")).one], ["admin"])
        self.assertEqual([row["login"] for row in (await self.get("/api/users?search=LIC")).one], ["alice"])
        self.assertEqual((await self.get("/api/users?enabled=false")).json["data"], [])

    async def test_a_bad_query_is_told(self) -> None:
        for query, field in (
            ("per_page=101", "per_page"),
            ("page=0", "page"),
            ("page=99999999999999999999", "page"),
            ("sort=password_hash", "sort"),
            ("order=up", "order"),
            ("rolle=admin", "rolle"),
            ("page=1&page=2", "page"),
            ("search=%00", "search"),
        ):
            refused = await self.get(f"/api/users?{query}")
            self.assertEqual((refused.status, refused.fields), (400, [field]), query)
        self.assertEqual((await self.get("/api/users?search=%ff")).status, 400)

    async def test_ids_that_name_nothing(self) -> None:
        for user_id in ("99", "0", "x", "-1", "9" * 30, "1.0", "%31%00"):
            self.assertIn((await self.get(f"/api/users/{user_id}")).status, (400, 404), user_id)
