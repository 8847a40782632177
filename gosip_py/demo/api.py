"""The server's HTTP API, as an administrator's program uses it."""

from __future__ import annotations

import json
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.error import ConnectError
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

__all__ = ["Api", "ApiRefused"]

_SECONDS = 5.0


class ApiRefused(Exception):
    """The server did not do what was asked; the text says what it answered."""


class Api:
    """The API at ``url``, without a slash at its end."""

    def __init__(self, reactor: Any, url: str) -> None:
        self.url = url
        # A connection that stayed open would outlive the demo.
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._client = HTTPClient(Agent(reactor, connectTimeout=_SECONDS, pool=pool))
        self._cookie = ""

    async def is_ready(self) -> bool:
        """Whether the server is there and says that it is ready."""
        try:
            status, _ = await self._ask("GET", "/ready")
        except ConnectError:
            return False
        return status == 200

    async def sign_in(self, email: str, password: str) -> None:
        """Ask as this person from now on."""
        await self._succeed("POST", "/api/auth/login", {"email": email, "password": password})

    async def create(self, path: str, **fields: object) -> dict[str, Any]:
        """The thing that a POST makes."""
        made: dict[str, Any] = json.loads(await self._succeed("POST", path, fields))["data"]
        return made

    async def rows(self, path: str) -> list[dict[str, Any]]:
        """The rows of a list, of which there are few."""
        rows: list[dict[str, Any]] = json.loads(await self._succeed("GET", f"{path}?per_page=100"))["data"]
        return rows

    async def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        text = await self._succeed("GET", "/metrics")
        for line in text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.partition(" ")[2])
        raise ApiRefused(f"there is no metric {name}")

    async def _succeed(self, method: str, path: str, fields: dict[str, object] | None = None) -> str:
        status, text = await self._ask(method, path, fields)
        if not 200 <= status < 300:
            raise ApiRefused(f"{method} {path} was answered with {status}: {text.strip()}")
        return text

    async def _ask(self, method: str, path: str, fields: dict[str, object] | None = None) -> tuple[int, str]:
        # Writes with a cookie are taken from our own origin only.
        headers = Headers({"Origin": [self.url], **({"Cookie": [self._cookie]} if self._cookie else {})})
        body = None
        if fields is not None:
            headers.addRawHeader("Content-Type", "application/json")
            body = json.dumps(fields).encode()
        response = await self._client.request(method, self.url + path, headers=headers, timeout=_SECONDS, data=body)
        for cookie in response.headers.getRawHeaders("Set-Cookie", []):
            self._cookie = cookie.partition(";")[0]
        return response.code, await treq.text_content(response)
