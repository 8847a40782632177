"""Signing in: cookies, lock-out, tokens, and whose page it was that made the browser ask."""

from __future__ import annotations

from collections.abc import Sequence

from gosip_py.store.accounts import ApiTokens
from gosip_py.store.credentials import token_hash
from tests.web.server import NOW, PASSWORD, WebCase


class SignInTests(WebCase):
    async def test_a_cookie_opens_and_closes(self) -> None:
        reply = await self.sign_in("alice@example.org")
        self.assertEqual((reply.status, reply.one["login"]), (200, "alice"))
        cookie = reply.headers["Set-Cookie"]
        for attribute in ("HttpOnly", "SameSite=strict", "Max-Age=86400", "Path=/"):
            self.assertIn(attribute, cookie)
        self.assertNotIn("Secure", cookie)
        sent = {"Cookie": cookie.partition(";")[0]}
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", sent)).one["email"], "alice@example.org")
        out = await self.request("POST", "/api/auth/logout", None, "", sent)
        self.assertEqual(out.status, 204)
        self.assertIn("Max-Age=0", out.headers["Set-Cookie"])
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", sent)).status, 401)

    async def test_only_a_hash_of_the_cookie_is_kept(self) -> None:
        cookie = (await self.cookie_of("alice")).partition("=")[2]
        rows = await self.database.query("SELECT * FROM web_sessions")
        self.assertEqual(rows[0]["token_hash"], token_hash(cookie))
        self.assertNotIn(cookie, [str(value) for value in rows[0].values()])

    async def test_the_session_slides_and_ends_after_a_day_of_silence(self) -> None:
        sent = {"Cookie": await self.cookie_of("alice")}
        for _ in range(3):
            self.clock.advance(80_000)
            reply = await self.request("GET", "/api/auth/me", None, "", sent)
            self.assertEqual(reply.status, 200)
            self.assertIn("Max-Age=86400", reply.headers["Set-Cookie"])
        self.clock.advance(86_401)
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", sent)).status, 401)

    async def test_a_planted_cookie_is_not_taken_over(self) -> None:
        planted = {"Cookie": "gosip_session=planted"}
        reply = await self.request("POST", "/api/auth/login", {"email": "alice", "password": PASSWORD}, "", planted)
        self.assertNotIn("planted", reply.headers["Set-Cookie"])
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", planted)).status, 401)

    async def test_unknown_wrong_and_disabled_are_told_alike(self) -> None:
        await self.request("PATCH", f"/api/users/{self.bob.id}", {"enabled": False})
        replies = [
            await self.sign_in("nobody@example.org"),
            await self.sign_in("alice", "wrong"),
            await self.sign_in("bob"),
        ]
        self.assertEqual({(reply.status, reply.content) for reply in replies}, {(401, replies[0].content)})

    async def test_an_old_hash_is_made_anew(self) -> None:
        before = self.directory.user(self.alice.id)
        await self.sign_in("alice")
        after = await self.users.get(self.alice.id)
        assert before is not None and after is not None
        self.assertTrue(self.passwords.needs_rehash(before.password_hash))
        self.assertFalse(self.passwords.needs_rehash(after.password_hash))
        self.assertEqual((await self.sign_in("alice")).status, 200)


class LockoutTests(WebCase):
    async def test_five_failures_of_an_account_lock_it_for_a_quarter_of_an_hour(self) -> None:
        for name in ("alice", "ALICE@example.org", "alice", "alice", "Alice"):
            self.assertEqual((await self.sign_in(name, "wrong")).status, 401)
        refused = await self.sign_in("alice")
        self.assertEqual((refused.status, refused.code), (429, "TOO_MANY_REQUESTS"))
        self.assertEqual(refused.headers["Retry-After"], "900")
        self.clock.advance(899)
        self.assertEqual((await self.sign_in("alice")).status, 429)
        self.clock.advance(2)
        self.assertEqual((await self.sign_in("alice")).status, 200)

    async def test_the_address_is_locked_whatever_the_account_and_the_port(self) -> None:
        for number in range(5):
            self.assertEqual((await self.sign_in(f"guess{number}", "wrong")).status, 401)
        self.assertEqual((await self.sign_in("alice")).status, 429)

    async def test_four_failures_a_minute_lock_nothing(self) -> None:
        for _ in range(3):
            for _ in range(4):
                self.assertEqual((await self.sign_in("alice", "wrong")).status, 401)
            self.clock.advance(61)
        self.assertEqual((await self.sign_in("alice")).status, 200)

    async def test_a_stranger_cannot_name_another_address(self) -> None:
        for number in range(5):
            await self.sign_in(f"guess{number}", "wrong", headers={"X-Forwarded-For": f"192.0.2.{number}"})
        refused = await self.sign_in("alice", headers={"X-Forwarded-For": "192.0.2.99"})
        self.assertEqual(refused.status, 429)

    async def test_the_present_password_is_guarded_as_well(self) -> None:
        body = {"current_password": "wrong", "new_password": "new password"}
        for _ in range(5):
            refused = await self.request("POST", "/api/auth/password", body, "alice")
            self.assertEqual((refused.status, refused.fields), (400, ["current_password"]))
        self.assertEqual((await self.request("POST", "/api/auth/password", body, "alice")).status, 429)


class TrustedProxyTests(WebCase):
    trusted_proxies: Sequence[str] = ("127.0.0.0/8", "10.0.0.0/8")

    async def test_behind_a_proxy_each_client_is_counted_alone(self) -> None:
        for number in range(5):
            # What stands left of the first address that is no proxy of ours was made up by the client.
            forwarded = {"X-Forwarded-For": f"198.51.100.{number}, 192.0.2.1, 10.1.1.1"}
            self.assertEqual((await self.sign_in(f"guess{number}", "wrong", headers=forwarded)).status, 401)
        self.assertEqual((await self.sign_in("alice", headers={"X-Forwarded-For": "192.0.2.1"})).status, 429)
        self.assertEqual((await self.sign_in("alice", headers={"X-Forwarded-For": "192.0.2.2"})).status, 200)


class HttpsTests(WebCase):
    public_url = "https://pbx.example.org"

    async def test_the_cookie_is_secure_and_the_header_strict(self) -> None:
        reply = await self.sign_in("alice")
        self.assertIn("Secure", reply.headers["Set-Cookie"])
        self.assertIn("max-age=", reply.headers["Strict-Transport-Security"])

    async def test_the_public_origin_is_ours(self) -> None:
        self.assertEqual((await self.sign_in("alice", headers={"Origin": self.public_url})).status, 200)


class OriginTests(WebCase):
    async def write_with(self, **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Cookie"] = await self.cookie_of("admin")
        return (await self.request("POST", "/api/users", {"login": "eve"}, "", sent)).status

    async def test_writes_of_a_strangers_page_are_refused(self) -> None:
        self.assertEqual(await self.write_with(Sec_Fetch_Site="cross-site"), 403)
        self.assertEqual(await self.write_with(Sec_Fetch_Site="same-site"), 403)
        self.assertEqual(await self.write_with(Origin="http://evil.example"), 403)
        self.assertEqual(await self.write_with(Origin="null"), 403)
        self.assertEqual(await self.users.count({"login": "eve"}), 0)

    async def test_our_own_page_may_write(self) -> None:
        self.assertEqual(await self.write_with(Origin=f"http://127.0.0.1:{self.port_number}"), 201)

    async def test_so_may_a_browser_that_says_where_it_is(self) -> None:
        self.assertEqual(await self.write_with(Sec_Fetch_Site="same-origin"), 201)

    async def test_nobody_is_signed_in_from_elsewhere(self) -> None:
        reply = await self.sign_in("alice", headers={"Sec-Fetch-Site": "cross-site"})
        self.assertEqual(reply.status, 403)

    async def test_a_token_is_no_ambient_authority(self) -> None:
        reply = await self.request("POST", "/api/users", {"login": "eve"}, headers={"Sec-Fetch-Site": "cross-site"})
        self.assertEqual(reply.status, 201)


class PasswordTests(WebCase):
    async def test_changing_it_ends_the_other_sessions(self) -> None:
        here, there = {"Cookie": await self.cookie_of("alice")}, {"Cookie": await self.cookie_of("alice")}
        body = {"current_password": PASSWORD, "new_password": "battery staple"}
        self.assertEqual((await self.request("POST", "/api/auth/password", body, "", here)).status, 204)
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", here)).status, 200)
        self.assertEqual((await self.request("GET", "/api/auth/me", None, "", there)).status, 401)
        self.assertEqual((await self.sign_in("alice")).status, 401)
        self.assertEqual((await self.sign_in("alice", "battery staple")).status, 200)


class TokenTests(WebCase):
    async def make(self, who: str = "admin", **body: object) -> tuple[int, str]:
        reply = await self.request("POST", "/api/auth/tokens", {"name": "robot", **body}, who)
        self.assertEqual(reply.status, 201, reply.content)
        self.assertEqual(reply.headers["Location"], f"/api/auth/tokens/{reply.one['id']}")
        return reply.one["id"], reply.one["token"]

    async def get_with(self, token: str, path: str = "/api/auth/me") -> int:
        return (await self.request("GET", path, None, "", {"Authorization": f"Bearer {token}"})).status

    async def test_it_is_shown_once_works_and_is_revoked(self) -> None:
        token_id, token = await self.make()
        self.assertEqual(await self.get_with(token), 200)
        listed = await self.get("/api/auth/tokens")
        self.assertEqual([row["name"] for row in listed.one], ["test", "robot"])
        self.assertNotIn(token.encode(), listed.content)
        self.assertEqual(listed.one[1]["last_used_at"], "2026-01-02T03:04:05.678Z")
        stored = await ApiTokens(self.database).by_hash(token_hash(token), NOW)
        assert stored is not None
        self.assertEqual((await self.request("DELETE", f"/api/auth/tokens/{token_id}")).status, 204)
        self.assertEqual(await self.get_with(token), 401)

    async def test_it_expires(self) -> None:
        _, token = await self.make(expires_at="2026-01-02T05:04:05+01:00")
        self.assertEqual(await self.get_with(token), 200)
        self.clock.advance(3600)
        self.assertEqual(await self.get_with(token), 401)
        refused = await self.request("POST", "/api/auth/tokens", {"name": "x", "expires_at": "2025-01-01T00:00:00Z"})
        self.assertEqual((refused.status, refused.fields), (400, ["expires_at"]))

    async def test_its_scopes_bound_it(self) -> None:
        _, token = await self.make(scopes=["users:read", "auth:write"])
        self.assertEqual(await self.get_with(token, "/api/users"), 200)
        self.assertEqual(await self.get_with(token, "/api/devices"), 403)
        bearer = {"Authorization": f"Bearer {token}"}
        refused = await self.request("POST", "/api/users", {"login": "x"}, "", bearer)
        self.assertEqual((refused.status, refused.code), (403, "FORBIDDEN"))
        # Nor may it make itself a wider one.
        for scopes in ([], ["devices:read"]):
            body = {"name": "wider", "scopes": scopes}
            self.assertEqual((await self.request("POST", "/api/auth/tokens", body, "", bearer)).status, 403)
        narrower = await self.request("POST", "/api/auth/tokens", {"name": "n", "scopes": ["users:read"]}, "", bearer)
        self.assertEqual(narrower.status, 201)

    async def test_unknown_scopes_are_refused(self) -> None:
        refused = await self.request("POST", "/api/auth/tokens", {"name": "x", "scopes": ["everything"]})
        self.assertEqual((refused.status, refused.fields), (400, ["scopes"]))

    async def test_the_token_of_a_disabled_user_is_dead(self) -> None:
        self.assertEqual((await self.get("/api/auth/me", "bob")).status, 200)
        await self.request("PATCH", f"/api/users/{self.bob.id}", {"enabled": False})
        self.assertEqual((await self.get("/api/auth/me", "bob")).status, 401)

    async def test_other_schemes_and_bad_tokens_get_a_challenge(self) -> None:
        for value in ("Basic YTpi", "Bearer", "Bearer no"):
            reply = await self.request("GET", "/api/auth/me", None, "", {"Authorization": value})
            self.assertEqual((reply.status, reply.headers["Www-Authenticate"]), (401, "Bearer"))
