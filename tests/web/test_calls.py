"""The calls of now: who sees them, who commands them, and what a command that fails is told as."""

from __future__ import annotations

from typing import Any

from gosip_py.call.live_rows import CommandFailed, LiveNote
from tests.web.live_calls import leg, live
from tests.web.server import NOW, NOW_TEXT, WebCase


class CallTests(WebCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.talk = live(
            "talk",
            leg("alice-desk", self.alice.id, self.phone.id, user_agent="desk \udcff", codecs=("PCMU", "opus")),
            leg("bob-desk", self.bob.id, self.other_phone.id, role="callee", is_held=True, answered_at=NOW),
            started_at=NOW,
            answered_at=NOW,
            history=(LiveNote(NOW, "transfer", "bob", "alice", "answered", "c0"),),
            linked_to=("c0",),
        )
        parked = live("parked", leg("bob", self.bob.id), started_at=NOW - 60, state="parked", orbit="701", caller="bob")
        proxied = live(
            "proxied", kind="proxied", started_at=NOW - 9, caller="alice-desk", callee="zoe", state="ringing"
        )
        self.calls.rows += [self.talk, parked, proxied]

    async def names(self, query: str = "", who: str = "admin") -> list[str]:
        return [row["id"] for row in (await self.get(f"/api/calls{query}", who)).one]

    async def command(self, name: str, body: Any = None, who: str = "alice", call: str = "talk") -> Any:
        return await self.request("POST", f"/api/calls/{call}/{name}", body, who)

    async def test_the_shape(self) -> None:
        shown = (await self.get("/api/calls/talk")).one
        first, second = shown.pop("legs")
        self.assertEqual(
            shown,
            {
                "id": "talk",
                "kind": "bridged",
                "state": "answered",
                "direction": "internal",
                "caller": "alice",
                "callee": "bob",
                "caller_uri": "sip:alice@h",
                "callee_uri": "sip:bob@h",
                "started_at": NOW_TEXT,
                "answered_at": NOW_TEXT,
                "history": [
                    {
                        "at": NOW_TEXT,
                        "kind": "transfer",
                        "by": "bob",
                        "target": "alice",
                        "result": "answered",
                        "call_id": "c0",
                    }
                ],
                "linked_to": ["c0"],
                "orbit": "",
            },
        )
        self.assertEqual(
            (first["user_agent"], first["codecs"], first["is_held"]), ("desk \ufffd", ["PCMU", "opus"], False)
        )
        self.assertEqual((second["role"], second["is_held"], second["answered_at"]), ("callee", True, NOW_TEXT))
        self.assertEqual((await self.get("/api/calls/none")).status, 404)

    async def test_who_sees_what(self) -> None:
        self.assertEqual(await self.names(), ["parked", "proxied", "talk"])
        self.assertEqual(await self.names(who="alice"), ["proxied", "talk"])
        self.assertEqual(await self.names(who="bob"), ["parked", "talk"])
        self.assertEqual((await self.get("/api/calls/parked", "alice")).status, 404)

    async def test_filters_and_order(self) -> None:
        self.assertEqual(await self.names("?order=desc&per_page=2"), ["talk", "proxied"])
        self.assertEqual(await self.names("?state=parked&state=ringing"), ["parked", "proxied"])
        self.assertEqual(await self.names("?kind=proxied"), ["proxied"])
        self.assertEqual(await self.names("?user=zoe"), ["proxied"])
        self.assertEqual((await self.get("/api/calls?state=odd")).status, 400)

    async def test_commands_say_what_happened(self) -> None:
        alice = self.alice.id
        for name, body, expected in (
            ("hangup", None, ("hang_up", {"by": alice})),
            ("hangup", {}, ("hang_up", {"by": alice})),
            ("hold", None, ("hold", {"leg": "", "by": alice})),
            ("resume", {"leg": "alice-desk-leg"}, ("resume", {"leg": "alice-desk-leg", "by": alice})),
            (
                "transfer",
                {"target": "carol"},
                ("transfer", {"target": "carol", "kind": "blind", "leg": "", "by": alice}),
            ),
            ("dtmf", {"digits": "12ab"}, ("dtmf", {"digits": "12AB", "leg": "", "by": alice, "milliseconds": 160})),
            ("record", None, ("record", {})),
        ):
            reply = await self.command(name, body)
            self.assertEqual((reply.status, self.calls.commands.pop()), (200, expected))
            said = {"call_id": "talk", "status": 200, "text": "OK", "state": "answered", "orbit": ""}
            self.assertEqual(reply.one, said)
        self.assertEqual((await self.command("park")).one["orbit"], "701")
        self.assertEqual((await self.command("park", {"orbit": "705"})).one["orbit"], "705")

    async def test_what_cannot_be_asked_for(self) -> None:
        for name, body, field in (
            ("transfer", {"target": ""}, "target"),
            ("transfer", {"target": "a b"}, "target"),
            ("transfer", {"target": "x", "kind": "odd"}, "kind"),
            ("transfer", {}, "target"),
            ("dtmf", {"digits": "x"}, "digits"),
            ("dtmf", {"digits": "1", "milliseconds": 9}, "milliseconds"),
            ("park", {"orbit": "somewhere"}, "orbit"),
            ("hangup", {"how": "at once"}, "how"),
        ):
            reply = await self.command(name, body)
            self.assertEqual((reply.status, reply.fields), (400, [field]), name)
        self.assertEqual((await self.command("transfer")).status, 415)
        self.assertEqual(self.calls.commands, [])

    async def test_nobody_lets_the_phone_of_another_act(self) -> None:
        refused = await self.command("transfer", {"target": "carol", "leg": "bob-desk-leg"})
        self.assertEqual((refused.status, self.calls.commands), (404, []))
        self.assertEqual((await self.command("hold", {"leg": "none"}, "admin")).status, 404)
        reply = await self.command("hold", {"leg": "bob-desk-leg"}, "admin")
        self.assertEqual((reply.status, self.calls.commands), (200, [("hold", {"leg": "bob-desk-leg", "by": None})]))
        for name in ("hangup", "hold", "resume", "park", "record"):
            self.assertEqual((await self.command(name, None, "alice", "parked")).status, 404)

    async def test_who_transferred_a_call_away_sees_it_and_lets_it_be(self) -> None:
        self.calls.rows.append(live("away", leg("bob-desk", self.bob.id), leg("zoe", role="callee"), caller="alice"))
        self.assertEqual((await self.get("/api/calls/away", "alice")).status, 200)
        for name, body in (("hangup", None), ("dtmf", {"digits": "1", "leg": "zoe-leg"})):
            self.assertEqual((await self.command(name, body, "alice", "away")).status, 403)
            self.assertEqual((await self.command(name, body, "bob", "away")).status, 200)
        self.assertEqual([command for command, _ in self.calls.commands], ["hang_up", "dtmf"])

    async def test_what_fails_is_an_error(self) -> None:
        for status, expected, code in (
            (400, 400, "VALIDATION_ERROR"),
            (404, 404, "NOT_FOUND"),
            (403, 403, "FORBIDDEN"),
            (409, 409, "CONFLICT"),
            (486, 409, "CONFLICT"),
            (603, 409, "CONFLICT"),
            (503, 503, "UNAVAILABLE"),
        ):
            self.calls.failure = CommandFailed(status, "carol is busy")
            reply = await self.command("transfer", {"target": "carol", "kind": "attended"})
            self.assertEqual(
                (reply.status, reply.code, reply.json["error"]["message"]), (expected, code, "carol is busy")
            )

    async def test_click_to_call(self) -> None:
        reply = await self.request("POST", "/api/calls", {"target": "+4790000000", "device_id": self.phone.id}, "alice")
        self.assertEqual((reply.status, reply.headers["Location"]), (201, "/api/calls/new"))
        self.assertEqual((reply.one["state"], reply.one["callee"]), ("ringing", "+4790000000"))
        given = {"by": self.alice.id, "target": "+4790000000", "device_id": self.phone.id, "auto_answer": False}
        self.assertEqual(self.calls.commands, [("start", given)])
        self.calls.failure = CommandFailed(480, "alice has no phone registered")
        self.assertEqual((await self.request("POST", "/api/calls", {"target": "9"}, "alice")).status, 409)

    async def test_click_to_call_for_somebody_else(self) -> None:
        body = {"target": "9", "user_id": self.bob.id}
        self.assertEqual((await self.request("POST", "/api/calls", body, "alice")).status, 403)
        self.assertEqual((await self.request("POST", "/api/calls", body)).status, 201)
        self.assertEqual(self.calls.commands[-1][1]["by"], self.bob.id)
        for odd, field in (({"user_id": 99}, "user_id"), ({"device_id": self.phone.id}, "device_id")):
            refused = await self.request("POST", "/api/calls", body | odd)
            self.assertEqual((refused.status, refused.fields), (400, [field]))

    async def test_pick_up(self) -> None:
        self.assertEqual((await self.command("pickup", None, "bob", "proxied")).status, 200)
        self.assertEqual(self.calls.commands, [("pick_up", {"by": self.bob.id, "device_id": None})])
        refused = await self.command("pickup", {"device_id": self.phone.id}, "bob", "proxied")
        self.assertEqual((refused.status, refused.fields), (400, ["device_id"]))
        self.assertEqual((await self.command("pickup", None, "bob", "none")).status, 404)
