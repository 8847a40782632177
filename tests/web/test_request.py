"""What holds for every request: errors, bounds, headers, names and counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from gosip_py.events import UserChanged
from gosip_py.metrics import Metrics
from gosip_py.web.peer import ProxyTrust
from gosip_py.web.request import BODY_LIMIT, LINGER_SECONDS, WebSite
from tests.web.server import WebCase


class ErrorTests(WebCase):
    async def test_nothing_is_there(self) -> None:
        for path in (
            "/api/nonsense",
            "/api/users/",
            "/api//users",
            "//evil.example/..",
            "/api/users/1/more",
            "/%2e%2e/",
        ):
            reply = await self.get(path)
            self.assertEqual((reply.status, reply.code), (404, "NOT_FOUND"), path)

    async def test_other_methods(self) -> None:
        for method, path, allow in (
            ("DELETE", "/api/users", "GET, HEAD, POST"),
            ("POST", "/api/users/1", "DELETE, GET, HEAD, PATCH, PUT"),
            ("OPTIONS", "/api/auth/login", "POST"),
            ("BREW", "/health", "GET, HEAD"),
        ):
            reply = await self.request(method, path)
            self.assertEqual((reply.status, reply.code), (405, "METHOD_NOT_ALLOWED"))
            self.assertEqual(reply.headers["Allow"], allow)

    async def test_head_is_get_without_the_body(self) -> None:
        got, head = await self.get("/api/users"), await self.request("HEAD", "/api/users")
        self.assertEqual((head.status, head.content), (200, b""))
        self.assertEqual(head.headers["Content-Length"], str(len(got.content)))

    async def test_only_json_is_read(self) -> None:
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            headers = {"Content-Type": media_type} if media_type else {}
            reply = await self.request("POST", "/api/users", headers=headers, content=b'{"login": "x"}')
            self.assertEqual((reply.status, reply.code), (415, "UNSUPPORTED_MEDIA_TYPE"), media_type)
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        self.assertEqual(
            (await self.request("POST", "/api/users", headers=headers, content=b'{"login": "x"}')).status, 201
        )

    async def test_what_is_no_json_is_told(self) -> None:
        nested = b'{"login":' * 100_000
        for content in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"login": "\\ud800"}', nested):
            headers = {"Content-Type": "application/json"}
            reply = await self.request("POST", "/api/users", headers=headers, content=content)
            self.assertEqual((reply.status, reply.code), (400, "VALIDATION_ERROR"), content[:20])
            self.assertTrue(reply.fields)

    async def test_a_body_that_is_too_long_is_refused(self) -> None:
        headers = {"Content-Type": "application/json"}
        reply = await self.request("POST", "/api/users", headers=headers, content=b" " * (BODY_LIMIT + 1))
        self.assertEqual((reply.status, reply.code), (413, "PAYLOAD_TOO_LARGE"))
        self.clock.advance(LINGER_SECONDS)

    async def test_the_store_is_away(self) -> None:
        await self.database.close()
        reply = await self.get("/api/users")
        self.assertEqual((reply.status, reply.code), (503, "STORE_UNAVAILABLE"))
        self.assertIn("Retry-After", reply.headers)
        self.assertEqual((await self.sign_in("alice")).status, 503)

    async def test_a_mistake_of_ours_is_logged_and_kept_quiet(self) -> None:
        self.dialogs.list = lambda: 1 // 0  # type: ignore[method-assign, assignment, return-value]  # breaks on purpose
        reply = await self.get("/api/sessions")
        self.assertEqual((reply.status, reply.code), (500, "INTERNAL_ERROR"))
        self.assertNotIn(b"Zero", reply.content)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class HeaderTests(WebCase):
    trusted_proxies: Sequence[str] = ()

    async def test_every_answer_is_guarded(self) -> None:
        for path in ("/api/users", "/health", "/nowhere", "/"):
            headers = (await self.get(path)).headers
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["X-Frame-Options"], "DENY")
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe-inline", headers["Content-Security-Policy"])
            self.assertEqual(headers["Server"], "gosip")
            self.assertNotIn("Strict-Transport-Security", headers)
            self.assertNotIn("Access-Control-Allow-Origin", headers)

    async def test_a_stranger_does_not_name_requests(self) -> None:
        reply = await self.request("GET", "/health", headers={"X-Request-Id": "mine"})
        self.assertRegex(reply.headers["X-Request-Id"], r"^[0-9a-f]{16}$")


class ProxyHeaderTests(WebCase):
    trusted_proxies: Sequence[str] = ("127.0.0.1",)

    async def test_our_proxy_names_requests(self) -> None:
        reply = await self.request("GET", "/health", headers={"X-Request-Id": "from-the-edge.1"})
        self.assertEqual(reply.headers["X-Request-Id"], "from-the-edge.1")
        reply = await self.request("GET", "/health", headers={"X-Request-Id": "no good"})
        self.assertNotEqual(reply.headers["X-Request-Id"], "no good")


class CountTests(WebCase):
    def counted(self) -> dict[tuple[str, ...], float]:
        return {labels: cell.value for labels, cell in self.metrics.http_requests.series.items()}

    async def test_requests_are_counted_by_their_route(self) -> None:
        await self.get("/api/users/1")
        await self.get("/api/users/2")
        await self.get("/api/users/99")
        await self.get("/nowhere/at/all")
        await self.request("BREW", "/health")
        self.assertEqual(
            self.counted(),
            {
                ("GET", "/api/users/{id}", "200"): 2,
                ("GET", "/api/users/{id}", "404"): 1,
                ("GET", "OTHER", "404"): 1,
                ("OTHER", "OTHER", "405"): 1,
            },
        )
        seconds = self.metrics.http_request_seconds.series["GET", "/api/users/{id}"]
        self.assertEqual(sum(seconds.counts), 3)
        self.assertEqual(self.metrics.http_in_flight.value, 0)

    async def test_the_scrape_tells_of_itself(self) -> None:
        reply = await self.get("/metrics", "")
        self.assertTrue(reply.headers["Content-Type"].startswith("text/plain"))
        self.assertIn(b"\nhttp_in_flight_requests 1.0\n", reply.content)
        self.assertIn(b"process_cpu_seconds_total", reply.content)


class LogTests(WebCase):
    async def test_requests_are_logged_by_name_and_without_what_is_secret(self) -> None:
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        reply = await self.get("/setup?code=very-secret", "")
        await self.sign_in("alice", "another-secret")
        # What the test's own client logs is not ours.
        texts = [formatEvent(event) for event in events if event["log_namespace"].startswith("gosip_py")]
        self.assertEqual(len(texts), 2)
        self.assertRegex(
            texts[0], r"^GET /setup 200 to 127\.0\.0\.1, [0-9.]+ ms, request " + reply.headers["X-Request-Id"]
        )
        self.assertRegex(texts[1], r"^POST /api/auth/login 401 to")
        self.assertNotIn("secret", "".join(map(repr, events)))


class WireTests(SynchronousTestCase):
    """One connection without a network, byte by byte where it matters."""

    def setUp(self) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.site = WebSite(Resource(), metrics=self.metrics, proxies=ProxyTrust(()), clock=self.clock)
        self.transport = StringTransport()
        self.channel: Any = cast("Any", self.site.buildProtocol(None))._channel
        self.channel.makeConnection(self.transport)

    def send(self, *chunks: bytes) -> bytes:
        for chunk in chunks:
            self.channel.dataReceived(chunk)
        return self.transport.value()

    def test_a_long_body_is_refused_before_it_comes(self) -> None:
        answer = self.send(
            b"POST /api/users HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n"
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 413 "))
        self.assertIn(b"Connection: close", head)
        self.assertIn(f"Content-Length: {len(body)}".encode(), head)
        self.assertEqual(json.loads(body)["error"]["code"], "PAYLOAD_TOO_LARGE")
        self.assertNotIn(b"100 Continue", answer)

    def test_what_comes_all_the_same_is_dropped_until_the_time_is_up(self) -> None:
        answer = self.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n", *[b"x" * 65536] * 64)
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertEqual(self.channel.requests[-1].content.getvalue(), b"")
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.transport.disconnecting)

    def test_a_chunked_body_is_bounded_too(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        self.assertEqual(self.send(head, *[chunk] * 16), b"")
        self.assertTrue(self.send(chunk).startswith(b"HTTP/1.1 413 "))
        self.assertEqual(self.send(chunk, b"0\r\n\r\n").count(b"HTTP/1.1"), 1)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.metrics.http_requests.series["OTHER", "OTHER", "413"].value, 1)

    def test_the_limit_itself_is_no_excess(self) -> None:
        self.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", b"x" * BODY_LIMIT)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 404 "))

    def test_whoever_leaves_is_counted_and_in_flight_no_more(self) -> None:
        class Waiting(Resource):
            isLeaf = 1

            def render(self, request: Any) -> Any:
                return NOT_DONE_YET

        self.site.resource = Waiting()
        self.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.metrics.http_in_flight.value, 1)
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.metrics.http_in_flight.value, 0)
        self.assertEqual(self.metrics.http_requests.series["GET", "OTHER", "499"].value, 1)

    def test_a_path_that_is_no_text_is_refused_in_silence(self) -> None:
        answer = self.send(b"GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "))
        self.assertEqual(self.flushLoggedErrors(), [])


class LeavingTests(WebCase):
    async def test_a_change_that_has_begun_is_finished_though_the_client_left(self) -> None:
        """Klein cancels what it waits for; the store would have the user, and the directory not."""
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        changed: Deferred[object] = Deferred()
        self.bus.subscribe(UserChanged, changed.callback)
        body = b'{"login": "eve"}'
        token = self.secrets["admin"]
        head = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        channel.dataReceived(f"POST /api/users HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body)
        channel.connectionLost(Failure(ConnectionLost()))
        await changed
        self.assertIsNotNone(self.directory.user_by_login("eve"))
        self.assertEqual(self.metrics.http_in_flight.value, 0)
        self.assertEqual(self.flushLoggedErrors(), [])
