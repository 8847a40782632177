"""The plain pages: what runs here, and the form that makes the first administrator. They need no script."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from twisted.web.template import Tag, flattenString, tags

from gosip_py.store.credentials import SHORTEST_PASSWORD
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.web.access import Access
from gosip_py.web.endpoint import Call, Document, endpoint
from gosip_py.web.health import Readiness
from gosip_py.web.live import LiveRegistrations, LiveSessions
from gosip_py.web.problem import Detail, Problem
from gosip_py.web.request import WebRequest
from gosip_py.web.routing import fault_details
from gosip_py.web.setup import Setup, SetupBody
from gosip_py.web.shapes import Nothing
from gosip_py.web.system import SystemResource

__all__ = ["PageResource"]

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

STYLE = b"""body { font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 42rem;
  padding: 0 1rem; color: #1d2430; background: #fff; }
h1 { font-size: 1.6rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; vertical-align: top; }
label { display: block; margin: 1rem 0; }
input { display: block; font: inherit; padding: .4rem; width: 100%; max-width: 24rem; }
button { font: inherit; padding: .5rem 1.2rem; }
.wrong { color: #a4161a; }
.well { color: #1b6e3c; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ef; background: #161a22; }
  a { color: #8ab4f8; }
  .wrong { color: #ff8a8a; }
  .well { color: #7ddba0; }
}
"""

FIELDS = (
    ("email", "E-mail address", "email", "username"),
    ("display_name", "Name", "text", "name"),
    ("password", f"Password, {SHORTEST_PASSWORD} characters or more", "password", "new-password"),
)


class SetupLink(BaseModel):
    """The query of the link that was printed."""

    code: str = ""


class PageResource:
    """/, /admin, /setup and their style sheet."""

    def __init__(
        self,
        access: Access,
        setup: Setup,
        system: SystemResource,
        readiness: Readiness,
        registrations: LiveRegistrations,
        sessions: LiveSessions,
    ) -> None:
        self._access = access
        self._setup = setup
        self._system = system
        self._readiness = readiness
        self._registrations = registrations
        self._sessions = sessions

    @endpoint("GET", "/", role="nobody", media_type="text/html", is_page=True)
    @endpoint("GET", "/admin", role="nobody", media_type="text/html", is_page=True)
    async def status(self, call: Call[Nothing, Nothing]) -> Document:
        """What runs here; more of it for an administrator."""
        rows = [("Status", await self._status()), *(await self._details(call.request, call.now))]
        table = tags.table(*(tags.tr(tags.th(name), tags.td(text)) for name, text in rows))
        links = [tags.li(tags.a(path, href=path)) for path in ("/health", "/ready", "/metrics", "/api/openapi.json")]
        return await _page(call.request, "gosip", table, tags.p("For machines:"), tags.ul(*links))

    @endpoint("GET", "/style.css", role="nobody", media_type="text/css", is_page=True)
    async def style(self, call: Call[Nothing, Nothing]) -> Document:
        """How the pages look."""
        call.request.setHeader("Cache-Control", "max-age=3600")
        return Document(STYLE, "text/css; charset=utf-8")

    @endpoint("GET", "/setup", role="nobody", media_type="text/html", is_page=True)
    async def form(self, call: Call[Nothing, SetupLink]) -> Document:
        """The form for the first administrator; the link that was printed brings the code along."""
        if not await self._setup.is_open():
            return await _page(call.request, "gosip is set up", tags.p(tags.a("What runs here", href="/")))
        return await _form(call.request, {"code": call.query.code}, ())

    @endpoint("POST", "/setup", role="nobody", media_type="text/html", is_page=True)
    async def submit(self, call: Call[Nothing, Nothing]) -> Document:
        """The only place that takes an HTML form."""
        request = call.request
        media_type = (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded":
            raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", "This page takes its own form only")
        fields = _pairs(request.body)
        try:
            user = await self._setup.claim(SetupBody.model_validate(fields), request.peer, call.now)
        except ValidationError as error:
            return await _form(request, fields, fault_details(error), 400)
        except Problem as problem:
            for name, value in problem.headers:
                request.setHeader(name, value)
            return await _form(request, fields, problem.details or [Detail("", problem.message)], problem.status)
        welcome = tags.p(f"{user.login} is the administrator now. Sign in with POST /api/auth/login.")
        return await _page(request, "gosip is set up", welcome, tags.p(tags.a("What runs here", href="/")))

    async def _status(self) -> Tag:
        missing = await self._readiness()
        if not missing:
            return tags.span("ready", class_="well")
        lacks = "; ".join(f"{part}: {reason}" for part, reason in sorted(missing.items()))
        return tags.span(f"not ready - {lacks}", class_="wrong")

    async def _details(self, request: WebRequest, now: float) -> Sequence[tuple[str, str | Tag]]:
        """What else the table shows; with the store away, nobody can be recognised."""
        try:
            if await self._setup.is_open():
                return [("Set-up", "waits for the first administrator: open the link that the server printed")]
            identity = await self._access.identify(request, now)
        except (DatabaseUnavailable, Problem):
            return []
        return self._inner_details(now) if identity.is_admin else []

    def _inner_details(self, now: float) -> Sequence[tuple[str, str | Tag]]:
        system = self._system.describe(now)
        listening = [f"{each.transport} {each.address} port {each.port}" for each in system.listening]
        certificate = system.certificate
        shown = "none"
        if certificate is not None:
            shown = f"{certificate.subject}{', self-signed' if certificate.is_self_signed else ''}"
        return [
            ("Version", system.version),
            ("Up for", f"{system.uptime} seconds"),
            ("Domain", system.domain or "any"),
            ("Listening", tags.span(*(tags.div(line) for line in listening))),
            ("Certificate", shown),
            ("Registrations", str(len(self._registrations.list()))),
            ("Sessions", str(len(self._sessions.list()))),
        ]


def _pairs(text: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(text.decode(), keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError:
        return {}


async def _form(request: WebRequest, given: dict[str, str], faults: Sequence[Detail], status: int = 200) -> Document:
    wrong = [tags.p(f"{fault.field}: {fault.message}".removeprefix(": "), class_="wrong") for fault in faults]
    inputs = [
        tags.label(label, tags.input(**_input(name, kind, hint, "" if kind == "password" else given.get(name, ""))))
        for name, label, kind, hint in FIELDS
    ]
    code = tags.input(type="hidden", name="code", value=given.get("code", ""))
    form = tags.form(
        code, *inputs, tags.button("Create the administrator", type="submit"), method="post", action="/setup"
    )
    return await _page(request, "Set up gosip", *wrong, form, status=status)


def _input(name: str, kind: str, hint: str, value: str) -> dict[str, str]:
    required = {"required": "required"} if name != "display_name" else {}
    return {"name": name, "type": kind, "autocomplete": hint, "value": value, **required}


async def _page(request: WebRequest, title: str, *content: Tag, status: int = 200) -> Document:
    request.setHeader("Content-Security-Policy", POLICY)
    head = tags.head(
        tags.meta(charset="utf-8"),
        tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
        tags.title(title),
        tags.link(rel="stylesheet", href="/style.css"),
    )
    html = tags.html(head, tags.body(tags.h1(title), *content), lang="en")
    text = await flattenString(None, html)
    return Document(b"<!DOCTYPE html>\n" + text, "text/html; charset=utf-8", status)
