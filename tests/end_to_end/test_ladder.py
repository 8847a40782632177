"""The SIP messages of a call, read from the API while it goes on and after it has ended, against the real process."""

from __future__ import annotations

import json
from typing import Any

from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Phone, sdp
from tests.running import until

KEY = "c3RyZW5nIGdlaGVpbSBiaXR0ZSBuaWNodCB6ZWlnZW4"


class LadderTests(CallCase):
    """One call each, between two phones of one kind."""

    async def somebody(self, user: str, call_schema: str) -> Phone:
        await self.server.api.add_phone(user, call_schema)
        return await self.phone("udp", user)

    async def ladder(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.server.api.read(f"/api/call_journals/{row['id']}/ladder"))["data"][
            "messages"
        ]
        return found

    async def talk(self, name: str, call_schema: str) -> list[dict[str, Any]]:
        """The ladder of a call that is over; while it went on it was there already."""
        caller = await self.somebody(f"{name}-a", call_schema)
        callee = await self.somebody(f"{name}-b", call_schema)
        body = sdp() + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n".encode()
        calling = await caller.call(callee.user, body=body)
        called = await callee.called("" if call_schema == "b2bua" else calling.call_id)
        called.respond(180)
        await calling.expect(180)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        row = await self.server.open_row(calling.call_id, is_answered=True)
        going_on = [rung["first_line"] for rung in await self.ladder(row)]
        self.assertTrue(any(line.startswith("SIP/2.0 180") for line in going_on), going_on)
        self.assertFalse(any(line.startswith("BYE") for line in going_on))
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        row = await self.server.closed_row(calling.call_id)

        async def stored() -> list[dict[str, Any]]:
            return await self.ladder(row)

        # The second 200 to the BYE is the last; after some seconds all of it comes from the store.
        return await until(stored, lambda rungs: sum(_is_answer_to_bye(rung) for rung in rungs) == 2)

    def check(self, rungs: list[dict[str, Any]], caller: str) -> None:
        """What holds for every kind of call: both sides, both ways, in order, and no secret."""
        self.assertEqual([rung["at"] for rung in rungs], sorted(rung["at"] for rung in rungs))
        titles = [f"{rung['direction']} {_title(rung)}" for rung in rungs]
        for title in (
            "in INVITE",
            "out INVITE",
            "in 180",
            "out 180",
            "in 200",
            "out 200",
            "in ACK",
            "out ACK",
            "in BYE",
            "out BYE",
        ):
            self.assertIn(title, titles)
        text = json.dumps(rungs)
        self.assertNotIn(KEY, text)
        self.assertIn("inline:***", text)
        self.assertNotIn("response=", text)
        self.assertIn("Authorization: Digest ***", text)
        self.assertEqual({rung["transport"] for rung in rungs}, {"UDP"})
        self.assertEqual(len({rung["peer"] for rung in rungs}), 2)
        self.assertIn(f"sip:{caller}@", rungs[0]["text"])

    async def test_a_proxied_call(self) -> None:
        rungs = await self.talk("ladder-proxied", "proxy")
        self.check(rungs, "ladder-proxied-a")
        self.assertEqual({rung["leg"] for rung in rungs}, {1})

    async def test_a_bridged_call(self) -> None:
        rungs = await self.talk("ladder-bridged", "b2bua")
        self.check(rungs, "ladder-bridged-a")
        self.assertEqual({rung["leg"] for rung in rungs}, {1, 2})
        call_ids = {line for rung in rungs for line in rung["text"].split("\r\n") if line.startswith("Call-ID")}
        self.assertEqual(len(call_ids), 2)

    async def test_after_a_restart_it_comes_from_the_store(self) -> None:
        rungs = await self.talk("ladder-kept", "b2bua")
        (row,) = (await self.server.api.read("/api/call_journals?user=ladder-kept-a"))["data"]
        await self.server.stop()
        await self.server.start()
        self.assertEqual(await self.ladder(row), rungs)

    async def test_a_call_to_nobody_has_one_too(self) -> None:
        caller = await self.somebody("ladder-lost", "b2bua")
        calling = await caller.call("nobody-at-all")
        await calling.refused(404)
        row = await self.server.closed_row(calling.call_id)
        lines = [rung["first_line"] for rung in await self.ladder(row)]
        self.assertTrue(any("404" in line for line in lines), lines)
        status, _ = await self.server.api.ask("GET", "/api/call_journals/no-such-call/ladder")
        self.assertEqual(status, 404)


def _title(rung: dict[str, Any]) -> str:
    """The method of a request, the code of a response."""
    first, second, *_ = rung["first_line"].split(" ")
    return str(second if first == "SIP/2.0" else first)


def _is_answer_to_bye(rung: dict[str, Any]) -> bool:
    text: str = rung["text"]
    return text.startswith("SIP/2.0 200") and " BYE\r\n" in text
