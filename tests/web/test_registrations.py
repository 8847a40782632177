from __future__ import annotations

from gosip_py.events import BindingRemoved
from gosip_py.web.ownership import aor_user
from tests.web.server import WebCase


class RegistrationTests(WebCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.add_binding(self.phone, "sip:alice@example.org", "sip:a@127.0.0.1:1", user_agent="Yealink \udcff", q=700)
        self.add_binding(None, "sip:alice-desk@example.org", "sip:a@127.0.0.1:2", transport="TLS")
        self.add_binding(self.other_phone, "sip:alice@example.org", "sip:b@127.0.0.1:3")
        self.add_binding(None, "sip:bob@example.org", "sip:gone@127.0.0.1:4", expires_at=1.0)

    async def contacts(self, query: str, who: str = "admin") -> list[str]:
        return [row["contact"][-1] for row in (await self.get(f"/api/registrations{query}", who)).one]

    async def test_the_shape(self) -> None:
        shown = (await self.get("/api/registrations?search=yealink")).one
        self.assertEqual(len(shown), 1)
        registration_id = shown[0].pop("id")
        self.assertEqual(
            shown[0],
            {
                "aor": "sip:alice@example.org",
                "contact": "sip:a@127.0.0.1:1",
                "transport": "UDP",
                "source": "127.0.0.1:5070",
                # Bytes that are no UTF-8 are shown as what they are, and break nothing.
                "user_agent": "Yealink \ufffd",
                "expires_at": "2026-01-02T03:14:05.678Z",
                "registered_at": "2026-01-02T03:04:05.678Z",
                "q": 0.7,
                "path": "",
                "device_id": self.phone.id,
            },
        )
        self.assertEqual((await self.get(f"/api/registrations/{registration_id}")).one["q"], 0.7)

    async def test_expired_ones_are_not_shown(self) -> None:
        self.assertEqual(await self.contacts(""), ["2", "1", "3"])

    async def test_filters_and_order(self) -> None:
        self.assertEqual(await self.contacts("?transport=TLS"), ["2"])
        self.assertEqual(await self.contacts("?aor=sip:alice@example.org&sort=contact&order=desc"), ["3", "1"])
        self.assertEqual(await self.contacts(f"?device_id={self.other_phone.id}"), ["3"])
        self.assertEqual(await self.contacts("?per_page=1&page=3"), ["3"])
        self.assertEqual((await self.get("/api/registrations?transport=SCTP")).status, 400)

    async def test_a_binding_belongs_to_the_owner_of_its_phone(self) -> None:
        # Bob's phone on alice's name is bob's, and a binding of no phone goes by its name.
        self.assertEqual(await self.contacts("", "alice"), ["2", "1"])
        self.assertEqual(await self.contacts("", "bob"), ["3"])

    async def test_delete_ends_the_binding(self) -> None:
        removed: list[BindingRemoved] = []
        self.bus.subscribe(BindingRemoved, removed.append)
        shown = (await self.get("/api/registrations?transport=TLS")).one[0]
        path = f"/api/registrations/{shown['id']}"
        self.assertEqual((await self.request("DELETE", path)).status, 204)
        self.assertEqual(await self.contacts("?transport=TLS"), [])
        self.assertEqual(
            [(event.contact, event.reason) for event in removed], [(shown["contact"], "ended by an administrator")]
        )
        self.assertEqual((await self.request("DELETE", path)).status, 404)

    def test_the_user_of_an_aor(self) -> None:
        for aor, user in (
            ("sip:a@b", "a"),
            ("sips:a@b", "a"),
            ("a@b", "a"),
            ("sip:b", ""),
            ("b", ""),
            ("sip:a:x@b", "a:x"),
        ):
            self.assertEqual(aor_user(aor), user)
