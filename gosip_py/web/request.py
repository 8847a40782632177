"""A request as it comes in: bounded, named, counted and logged; and the site that makes them.

Twisted reads a body before anybody can look at it, so what is too long is refused here, while it arrives.
"""

from __future__ import annotations

import re
import secrets
from io import BytesIO
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from gosip_py.metrics import OTHER, Metrics
from gosip_py.web.peer import ProxyTrust
from gosip_py.web.problem import Problem

__all__ = ["BODY_LIMIT", "WebRequest", "WebSite"]

BODY_LIMIT = 1 << 20
"""Bytes of the longest body."""

LINGER_SECONDS = 5.0
IDLE_SECONDS = 60.0

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
QUIET = frozenset(("/health", "/ready", "/metrics"))

NOTHING_LOADS = "default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = (
    ("Server", "gosip"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not no-referrer: with it a browser sends "Origin: null" with our own forms, as it does with a stranger's.
    ("Referrer-Policy", "same-origin"),
    ("Content-Security-Policy", NOTHING_LOADS),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")


if TYPE_CHECKING:

    class _Request(Request):
        """What we use of Twisted's, with the types that it does not give."""

        channel: Any
        content: Any

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None: ...
        def process(self) -> None: ...
        def setHeader(self, name: str | bytes, value: str | bytes) -> None: ...
        def addCookie(
            self,
            k: str,
            v: str,
            expires: str | None = None,
            domain: str | None = None,
            path: str | None = None,
            max_age: str | None = None,
            comment: str | None = None,
            secure: bool | None = None,
            httpOnly: bool = False,
            sameSite: str | None = None,
        ) -> None: ...
        def getCookie(self, key: bytes) -> bytes | None: ...
        def isSecure(self) -> bool: ...
        def registerProducer(self, producer: object, streaming: bool) -> None: ...
        def unregisterProducer(self) -> None: ...
        def write(self, data: bytes) -> None: ...
        def finish(self) -> None: ...

    class _Site(Site):
        def __init__(self, resource: Resource, **options: Any) -> None: ...

else:
    _Request, _Site = Request, Site


class WebRequest(_Request):
    """One request.

    `route` is the declared path that it matched, `request_id` names it in the log and in the answer, `peer` is the
    address of who really sent it, `body` what came with it.
    """

    log = Logger()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.route = OTHER
        self.request_id = ""
        self.peer = ""
        self.body = b""
        self._started_at = 0.0
        self._read = 0
        self._is_refused = False

    def __repr__(self) -> str:
        # Twisted's shows the query, and a log event carries its source.
        return f"<WebRequest {self.request_id} {self.route}>"

    # -- the body ---------------------------------------------------------------------------------------------------

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > BODY_LIMIT:
            # The channel would say 100 Continue after our refusal.
            self.requestHeaders.removeHeader(b"Expect")
            self._refuse()

    def handleContentChunk(self, chunk: bytes) -> None:
        self._read += len(chunk)
        if self._read > BODY_LIMIT:
            self._refuse()
        elif not self._is_refused:
            self.content.write(chunk)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._is_refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def _refuse(self) -> None:
        """Answer 413 at once, then read on for a while.

        Closing on bytes that nobody read would take the answer away from the peer (RFC 9112 9.6).
        """
        if self._is_refused:
            return
        self._is_refused = True
        self.content = BytesIO()
        site: WebSite = self.channel.site
        problem = Problem(413, "PAYLOAD_TOO_LARGE", f"A body has at most {BODY_LIMIT} bytes")
        body = problem.render()
        head = f"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        headers = "".join(f"{name}: {value}\r\n" for name, value in site.headers)
        self.channel.transport.write(f"{head}{headers}Connection: close\r\n\r\n".encode() + body)
        site.metrics.http_requests.child(OTHER, OTHER, problem.status).inc()
        # The channel's own time-out starts again with each byte; this one does not.
        site.clock.callLater(LINGER_SECONDS, self.channel.loseConnection)

    # -- the answer -------------------------------------------------------------------------------------------------

    def process(self) -> None:
        site: WebSite = self.channel.site
        self._started_at = perf_counter()
        # The file is closed as soon as the client leaves, which may be before somebody reads it.
        self.body = self.content.getvalue()
        self.peer = self._real_address(site.proxies)
        self.request_id = self._given_id(site.proxies) or secrets.token_hex(8)
        site.metrics.http_in_flight.inc()
        _ = self.notifyFinish().addBoth(self._ended, site.metrics)
        for name, value in (*site.headers, ("X-Request-Id", self.request_id)):
            self.setHeader(name, value)
        if _is_text(unquote_to_bytes(self.path)):
            super().process()
        else:
            self.send(Problem(400, "VALIDATION_ERROR", "The path is not UTF-8"))

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        # Twisted introduces itself with its version; what is already said stays.
        if name != b"Server":
            super().setHeader(name, value)

    def send(self, problem: Problem) -> None:
        """Answer with the problem."""
        self.write(self.prepare(problem))
        self.finish()

    def prepare(self, problem: Problem) -> bytes:
        """Set status and headers for the problem; returns the body to write."""
        body = problem.render()
        self.setResponseCode(problem.status)
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *problem.headers)
        for name, value in headers:
            self.setHeader(name, value)
        return body

    def _real_address(self, proxies: ProxyTrust) -> str:
        forwarded = self.requestHeaders.getRawHeaders("X-Forwarded-For", [])
        return proxies.real_address(_host(self), forwarded or ())

    def _given_id(self, proxies: ProxyTrust) -> str:
        given = self.getHeader("X-Request-Id") or ""
        is_usable = re.fullmatch(r"[A-Za-z0-9._\-]{1,64}", given) and proxies.is_trusted(_host(self))
        return given if is_usable else ""

    def _ended(self, reason: object, metrics: Metrics) -> None:
        """Count and log, once, whether the answer went out (reason is None) or its reader had gone."""
        seconds = perf_counter() - self._started_at
        # 499 is nginx's: the client closed the connection before it was answered.
        status = self.code if reason is None else 499
        method = self.method.decode() if self.method in METHODS else OTHER
        metrics.http_in_flight.dec()
        metrics.http_requests.child(method, self.route, status).inc()
        metrics.http_request_seconds.child(method, self.route).observe(seconds)
        self.log.emit(
            LogLevel.debug if self.route in QUIET else LogLevel.info,
            "{method} {route} {status} to {peer}, {milliseconds} ms, request {request_id}",
            # The route, not the path: a query may hold a code.
            method=method,
            route=self.route,
            status=status,
            peer=self.peer,
            milliseconds=round(seconds * 1000, 1),
            request_id=self.request_id,
        )


def _host(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", ""))


def _is_text(path: bytes) -> bool:
    try:
        return "\0" not in path.decode()
    except UnicodeDecodeError:
        return False


class WebSite(_Site):
    """Makes WebRequests, and holds what each of them needs. `is_https` says that browsers reach us by TLS."""

    displayTracebacks = False

    def __init__(
        self, root: Resource, *, metrics: Metrics, proxies: ProxyTrust, clock: IReactorTime, is_https: bool = False
    ) -> None:
        super().__init__(
            root, requestFactory=WebRequest, parsePOSTFormSubmission=False, timeout=IDLE_SECONDS, reactor=clock
        )
        self.metrics = metrics
        self.proxies = proxies
        self.clock = clock
        self.is_https = is_https
        self.headers = (*SECURITY_HEADERS, *((STRICT_TRANSPORT,) if is_https else ()))

    def log(self, request: Any) -> None:
        """Nothing: a WebRequest logs itself."""
