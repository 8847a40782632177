"""Every endpoint as nobody, as the user it belongs to, as another user, and as an administrator."""

from __future__ import annotations

from typing import Any

from gosip_py.store.accounts import ApiTokens
from gosip_py.store.calls import CallJournal
from gosip_py.store.records import CallRow
from tests.web.live_calls import leg, live
from tests.web.server import NOW, PASSWORD, WebCase

WHO = ("", "alice", "bob", "admin")

# Method, path, body, and the status for nobody, alice (whose the thing is), bob and the administrator.
TABLE: tuple[tuple[str, str, Any, tuple[int, int, int, int]], ...] = (
    ("GET", "/health", None, (200, 200, 200, 200)),
    ("GET", "/ready", None, (200, 200, 200, 200)),
    ("GET", "/metrics", None, (200, 200, 200, 200)),
    ("GET", "/api/openapi.json", None, (200, 200, 200, 200)),
    ("GET", "/", None, (200, 200, 200, 200)),
    ("GET", "/admin", None, (200, 200, 200, 200)),
    ("GET", "/style.css", None, (200, 200, 200, 200)),
    ("GET", "/setup", None, (200, 200, 200, 200)),
    ("POST", "/setup", None, (415, 415, 415, 415)),
    ("GET", "/api/setup", None, (200, 200, 200, 200)),
    ("POST", "/api/setup", {"code": "one-time-code", "email": "x@y", "password": "1234567890"}, (403, 403, 403, 403)),
    ("POST", "/api/auth/login", {"email": "alice", "password": PASSWORD}, (200, 200, 200, 200)),
    ("POST", "/api/auth/logout", None, (204, 204, 204, 204)),
    ("GET", "/api/auth/me", None, (401, 200, 200, 200)),
    ("POST", "/api/auth/password", {"current_password": PASSWORD, "new_password": PASSWORD}, (401, 204, 204, 204)),
    ("GET", "/api/auth/tokens", None, (401, 200, 200, 200)),
    ("POST", "/api/auth/tokens", {"name": "t"}, (401, 201, 201, 201)),
    ("DELETE", "/api/auth/tokens/{token}", None, (401, 204, 404, 404)),
    ("GET", "/api/users", None, (401, 403, 403, 200)),
    ("POST", "/api/users", {"login": "dora"}, (401, 403, 403, 201)),
    ("GET", "/api/users/{user}", None, (401, 200, 404, 200)),
    ("PUT", "/api/users/{user}", {"login": "alice"}, (401, 403, 403, 200)),
    ("PATCH", "/api/users/{user}", {"display_name": "A"}, (401, 200, 404, 200)),
    ("PATCH", "/api/users/{user}", {"role": "admin"}, (401, 403, 404, 200)),
    ("DELETE", "/api/users/{user}", None, (401, 403, 403, 204)),
    ("GET", "/api/devices", None, (401, 200, 200, 200)),
    ("POST", "/api/devices", {"user_id": 2, "username": "new"}, (401, 403, 403, 201)),
    ("GET", "/api/devices/{device}", None, (401, 200, 404, 200)),
    ("PUT", "/api/devices/{device}", {"user_id": 2, "username": "alice-desk"}, (401, 403, 403, 200)),
    ("PATCH", "/api/devices/{device}", {"name": "Desk"}, (401, 200, 404, 200)),
    ("PATCH", "/api/devices/{device}", {"recording_enabled": True}, (401, 403, 404, 200)),
    ("DELETE", "/api/devices/{device}", None, (401, 403, 403, 204)),
    ("GET", "/api/registrations", None, (401, 200, 200, 200)),
    ("GET", "/api/registrations/{registration}", None, (401, 200, 404, 200)),
    ("DELETE", "/api/registrations/{registration}", None, (401, 204, 404, 204)),
    ("GET", "/api/sessions", None, (401, 403, 403, 200)),
    ("GET", "/api/sessions/none", None, (401, 403, 403, 404)),
    *(
        (method, f"/api/{name}{path}", None, expected)
        for name in ("call_journals", "cdrs")
        for method, path, expected in (
            ("GET", "", (401, 200, 200, 200)),
            ("GET", "/stats", (401, 200, 200, 200)),
            ("GET", "/export", (401, 200, 200, 200)),
            ("GET", "/{call}", (401, 200, 404, 200)),
            ("GET", "/{call}/ladder", (401, 200, 404, 200)),
        )
    ),
    ("GET", "/api/calls", None, (401, 200, 200, 200)),
    ("POST", "/api/calls", {"target": "100"}, (401, 201, 201, 201)),
    ("GET", "/api/calls/{call}", None, (401, 200, 404, 200)),
    *(
        ("POST", f"/api/calls/{{call}}/{command}", body, (401, 200, 404, 200))
        for command, body in (
            ("hangup", None),
            ("hold", None),
            ("resume", None),
            ("transfer", {"target": "100"}),
            ("park", None),
            ("dtmf", {"digits": "1"}),
            ("record", None),
        )
    ),
    ("POST", "/api/calls/{call}/pickup", None, (401, 200, 200, 200)),  # who may is for the call to say
    ("GET", "/api/ring_groups", None, (401, 403, 403, 200)),
    ("POST", "/api/ring_groups", {"number": "601"}, (401, 403, 403, 201)),
    ("GET", "/api/ring_groups/{group}", None, (401, 403, 403, 200)),
    ("GET", "/api/ring_groups/{group}/statistics", None, (401, 403, 403, 200)),
    ("PUT", "/api/ring_groups/{group}", {"number": "601"}, (401, 403, 403, 200)),
    ("PATCH", "/api/ring_groups/{group}", {"name": "Sales"}, (401, 403, 403, 200)),
    ("DELETE", "/api/ring_groups/{group}", None, (401, 403, 403, 204)),
    ("GET", "/api/feature_codes", None, (401, 200, 200, 200)),
    ("GET", "/api/feature_codes/park", None, (401, 200, 200, 200)),
    ("PATCH", "/api/feature_codes/park", {"enabled": False}, (401, 403, 403, 200)),
    ("GET", "/api/system", None, (401, 403, 403, 200)),
)


class _Cell(WebCase):
    """Asks for one row of the table, on a fresh server for each caller."""

    async def ask(self, row: tuple[str, str, Any, Any], who: str) -> int:
        binding = self.add_binding(self.phone, "sip:alice-desk@example.org", "sip:alice-desk@127.0.0.1:5070")
        token = await ApiTokens(self.database).create(user_id=self.alice.id, name="own", token_hash="h", now=NOW)
        call = CallRow(
            id="01", call_id="c", direction="internal", invite_at=NOW - 9, caller_user="alice-desk", callee_user="else"
        )
        await CallJournal(self.database).write([call])
        group = await self.groups.create(number="600", now=NOW)
        self.calls.rows.append(live("01", leg("alice", self.alice.id), callee="else"))
        self.ladders.kept["01"] = ()
        ids = {"token": token.id, "user": self.alice.id, "device": self.phone.id, "call": "01", "group": group.id}
        method, path, body, _ = row
        path = path.format(**ids, registration=binding.id)
        reply = await self.request(method, path, body, who)
        if reply.status >= 400 and not path.startswith("/setup"):
            self.assertEqual(sorted(reply.json["error"]), ["code", "details", "message"])
        return reply.status


def _test_of(row: tuple[str, str, Any, tuple[int, ...]], who: str, expected: int) -> Any:
    async def test(self: _Cell) -> None:
        self.assertEqual(await self.ask(row, who), expected)

    return test


class TableTests(_Cell):
    async def test_no_endpoint_is_missing_in_the_table(self) -> None:
        declared = set()
        for rule in self.site.resource._app.url_map.iter_rules():
            declared |= {(method, rule.endpoint.partition(" ")[2]) for method in rule.methods - {"HEAD"}}
        names = dict.fromkeys(("user", "device", "token", "registration", "call", "group"), "id")
        listed = set()
        for method, path, _, _ in TABLE:
            for name, argument in names.items():
                path = path.replace(f"{{{name}}}", f"{{{argument}}}")
            path = path.replace("/sessions/none", "/sessions/{id}").replace(
                "/feature_codes/park", "/feature_codes/{feature}"
            )
            listed.add((method, path))
        self.assertEqual(declared, listed)


for index, row in enumerate(TABLE):
    for who, expected in zip(WHO, row[3], strict=True):
        words = "_".join(part for part in row[1].replace(".", "/").replace("{", "").replace("}", "").split("/") if part)
        setattr(TableTests, f"test_{index:02}_{row[0]}_{words}_as_{who or 'nobody'}", _test_of(row, who, expected))
