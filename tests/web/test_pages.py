from __future__ import annotations

from urllib.parse import urlencode

from tests.web.server import CODE, Reply, WebCase

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class StatusTests(WebCase):
    async def test_everybody_sees_whether_it_works(self) -> None:
        for path in ("/", "/admin"):
            reply = await self.get(path, "")
            self.assertEqual(reply.headers["Content-Type"], "text/html; charset=utf-8")
            self.assertIn(b"ready", reply.content)
            self.assertNotIn(b"5060", reply.content)
            self.assertNotIn(b"<script", reply.content)
            self.assertNotIn(b"style=", reply.content)
        self.missing = {"store": "away & gone"}
        self.assertIn(b"store: away &amp; gone", (await self.get("/", "")).content)

    async def test_an_administrator_sees_what_runs(self) -> None:
        self.add_binding(self.phone, "sip:alice@example.org", "sip:a@127.0.0.1:1")
        cookie = {"Cookie": await self.cookie_of("admin")}
        content = (await self.request("GET", "/", None, "", cookie)).content.decode()
        for text in (
            "UDP 127.0.0.1 port 5060",
            "CN=gosip, self-signed",
            "<th>Registrations</th><td>1</td>",
            "example.org",
        ):
            self.assertIn(text, content)
        self.assertNotIn(b"5060", (await self.get("/", "alice")).content)

    async def test_a_bad_token_is_nobody(self) -> None:
        reply = await self.request("GET", "/", None, "", {"Authorization": "Bearer no"})
        self.assertEqual(reply.status, 200)

    async def test_the_style_sheet(self) -> None:
        reply = await self.get("/style.css", "")
        self.assertEqual(reply.headers["Content-Type"], "text/css; charset=utf-8")
        self.assertIn("style-src 'self'", (await self.get("/", "")).headers["Content-Security-Policy"])


class SetupPageTests(WebCase):
    has_people = False

    async def submit(self, **fields: str) -> Reply:
        return await self.request("POST", "/setup", None, "", FORM, urlencode(fields).encode())

    async def test_the_printed_link_shows_the_form(self) -> None:
        self.assertIn(b"waits for the first administrator", (await self.get("/", "")).content)
        content = (await self.get("/setup?code=a%22%3E%3Cb", "")).content.decode()
        self.assertIn('value="a&quot;&gt;&lt;b"', content)
        self.assertIn('method="post"', content)

    async def test_the_form_makes_the_administrator(self) -> None:
        reply = await self.submit(code=CODE, email="root@example.org", display_name="", password="long enough")
        self.assertEqual(reply.status, 200)
        self.assertIn(b"root is the administrator", reply.content)
        self.assertEqual((await self.sign_in("root", "long enough")).one["role"], "admin")
        self.assertIn(b"is set up", (await self.get("/setup", "")).content)
        again = await self.submit(code=CODE, email="x@example.org", password="long enough")
        self.assertEqual(again.status, 403)

    async def test_what_is_wrong_is_shown_and_the_rest_kept(self) -> None:
        reply = await self.submit(code=CODE, email="root@example.org", display_name="<Root>", password="short")
        self.assertEqual(reply.status, 400)
        text = reply.content.decode()
        self.assertIn("password: ", text)
        self.assertIn("&lt;Root&gt;", text)
        self.assertNotIn("short", text.replace("should", ""))
        wrong = await self.submit(code="guess", email="root@example.org", password="long enough")
        self.assertEqual(wrong.status, 403)
        self.assertIn(b"code: is not the one", wrong.content)

    async def test_a_strangers_form_is_refused(self) -> None:
        content = urlencode({"code": CODE, "email": "root@example.org", "password": "long enough"}).encode()
        headers = {**FORM, "Origin": "http://evil.example"}
        self.assertEqual((await self.request("POST", "/setup", None, "", headers, content)).status, 403)

    async def test_the_api_takes_no_form(self) -> None:
        self.assertEqual((await self.request("POST", "/api/setup", None, "", FORM, b"code=x")).status, 415)
