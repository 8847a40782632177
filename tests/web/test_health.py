from __future__ import annotations

import gosip_py
from tests.web.server import WebCase


class HealthTests(WebCase):
    async def test_alive(self) -> None:
        reply = await self.get("/health", "")
        self.assertEqual((reply.status, reply.json), (200, {"status": "alive"}))

    async def test_ready_and_not(self) -> None:
        self.assertEqual((await self.get("/ready", "")).json, {"status": "ready"})
        self.missing = {"store": "away", "disk": "99 % full"}
        reply = await self.get("/ready", "")
        self.assertEqual((reply.status, reply.code), (503, "NOT_READY"))
        self.assertEqual(reply.json["error"]["details"][1], {"field": "store", "message": "away"})
        self.assertIn("Retry-After", reply.headers)

    async def test_alive_though_the_store_is_away(self) -> None:
        await self.database.close()
        for path in ("/health", "/metrics", "/"):
            self.assertEqual((await self.get(path, "")).status, 200, path)


class SystemTests(WebCase):
    async def test_what_runs(self) -> None:
        self.clock.advance(90)
        self.assertEqual(
            (await self.get("/api/system")).one,
            {
                "version": gosip_py.__version__,
                "started_at": "2026-01-02T03:04:05.678Z",
                "uptime": 90,
                "domain": "example.org",
                "realm": "gosip",
                "listening": [
                    {"transport": "UDP", "address": "127.0.0.1", "port": 5060},
                    {"transport": "TLS", "address": "::1", "port": 5061},
                ],
                "certificate": {
                    "subject": "CN=gosip",
                    "expires_at": "2026-01-03T03:04:05.678Z",
                    "is_self_signed": True,
                },
            },
        )
