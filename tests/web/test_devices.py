from __future__ import annotations

from gosip_py.events import DeviceChanged
from gosip_py.store.credentials import ha1
from gosip_py.store.records import BindingKey
from tests.web.server import NOW_TEXT, WebCase


class DeviceTests(WebCase):
    def bind(self) -> None:
        self.add_binding(self.phone, "sip:alice@example.org", "sip:a@127.0.0.1:1")
        self.add_binding(self.other_phone, "sip:bob@example.org", "sip:b@127.0.0.1:2")

    def aors(self) -> list[str]:
        return [contact.binding.aor for contact in self.location]

    async def test_a_missing_password_is_made_and_shown_once(self) -> None:
        body = {"user_id": self.alice.id, "username": "alice-cell", "name": "Cell", "type": "softphone"}
        created = await self.request("POST", "/api/devices", body)
        password = created.one["password"]
        self.assertEqual((created.status, len(password)), (201, 20))
        shown = (await self.get(created.headers["Location"])).one
        self.assertEqual(
            shown,
            {
                **body,
                "id": 3,
                "enabled": True,
                "recording_enabled": False,
                "created_at": NOW_TEXT,
                "updated_at": NOW_TEXT,
            },
        )
        known = self.directory.device_by_username("alice-cell")
        assert known is not None
        self.assertEqual((known.ha1_md5, known.realm), (ha1("MD5", "alice-cell", "gosip", password), "gosip"))
        self.assertEqual(known.ha1_sha256, ha1("SHA-256", "alice-cell", "gosip", password))
        self.assertEqual(self.changes, [DeviceChanged(3)])

    async def test_a_given_password_is_not_shown(self) -> None:
        body = {"user_id": self.alice.id, "username": "x", "password": "known to me"}
        created = await self.request("POST", "/api/devices", body)
        self.assertIsNone(created.one["password"])
        known = self.directory.device_by_username("x")
        self.assertEqual(known and known.ha1_md5, ha1("MD5", "x", "gosip", "known to me"))

    async def test_taken_unknown_and_bad(self) -> None:
        taken = await self.request("POST", "/api/devices", {"user_id": self.bob.id, "username": "alice-desk"})
        self.assertEqual((taken.status, taken.fields), (409, ["username"]))
        nobody = await self.request("POST", "/api/devices", {"user_id": 99, "username": "x"})
        self.assertEqual((nobody.status, nobody.fields), (400, ["user_id"]))
        bad = await self.request("POST", "/api/devices", {"user_id": "1", "username": "a:b", "password": ""})
        self.assertEqual((bad.status, sorted(bad.fields)), (400, ["password", "user_id", "username"]))

    async def test_a_new_username_needs_the_password(self) -> None:
        path = f"/api/devices/{self.phone.id}"
        refused = await self.request("PATCH", path, {"username": "renamed"})
        self.assertEqual((refused.status, refused.fields), (400, ["password"]))
        changed = await self.request("PATCH", path, {"username": "renamed", "password": "known to me"})
        self.assertEqual((changed.status, changed.one["username"]), (200, "renamed"))
        known = self.directory.device_by_username("renamed")
        self.assertEqual(known and known.ha1_md5, ha1("MD5", "renamed", "gosip", "known to me"))
        self.assertIsNone(self.directory.device_by_username("alice-desk"))

    async def test_put_keeps_the_password(self) -> None:
        body = {"user_id": self.alice.id, "username": "alice-desk", "name": "Desk", "recording_enabled": True}
        put = await self.request("PUT", f"/api/devices/{self.phone.id}", body)
        self.assertEqual((put.one["name"], put.one["recording_enabled"]), ("Desk", True))
        known = self.directory.device(self.phone.id)
        self.assertEqual(known and known.ha1_md5, "m")

    async def test_new_credentials_and_disabling_end_bindings(self) -> None:
        path = f"/api/devices/{self.phone.id}"
        for body in ({"password": "something new"}, {"enabled": False}, {"user_id": self.bob.id}):
            self.location.remove_key(BindingKey("sip:bob@example.org", "sip:b@127.0.0.1:2"), "test", 0)
            self.bind()
            self.assertEqual((await self.request("PATCH", path, body)).status, 200)
            self.assertEqual(self.aors(), ["sip:bob@example.org"], body)

    async def test_a_new_name_ends_nothing(self) -> None:
        self.bind()
        await self.request("PATCH", f"/api/devices/{self.phone.id}", {"name": "Desk"})
        self.assertEqual(len(self.location), 2)

    async def test_delete(self) -> None:
        self.bind()
        self.assertEqual((await self.request("DELETE", f"/api/devices/{self.phone.id}")).status, 204)
        self.assertEqual(self.aors(), ["sip:bob@example.org"])
        self.assertIsNone(self.directory.device(self.phone.id))
        self.assertEqual((await self.request("DELETE", f"/api/devices/{self.phone.id}")).status, 404)

    async def test_a_user_lists_only_the_own(self) -> None:
        listed = await self.get("/api/devices", "alice")
        self.assertEqual(([row["id"] for row in listed.one], listed.json["total"]), ([self.phone.id], 1))
        self.assertEqual((await self.get(f"/api/devices?user_id={self.bob.id}", "alice")).one, [])
        self.assertEqual((await self.get("/api/devices?search=bob", "alice")).one, [])
        self.assertEqual(len((await self.get(f"/api/devices?user_id={self.bob.id}")).one), 1)
