"""The modes in which somebody can be called, under each policy of the session timer, between SIPp phones.

One server serves all the calls of a policy: a mode that was changed over the API holds from the next call on.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.books import nothing_is_left
from tests.interop.sipp import SippPhone
from tests.interop.test_session_timers import Mode, settings
from tests.running import RunningServer, serving, until

HOLD_MS = 100
ANSWERED = ("answered", 200, "caller")
REDIRECTED = ("redirected", 302, "system")


class Office:
    """Alice, and Bob, who is at two contacts of which the first is the better one."""

    def __init__(self, server: RunningServer, alice: SippPhone, bob: SippPhone) -> None:
        self.server = server
        self.alice = alice
        self.bob = bob

    @classmethod
    async def open(cls, case: TestCase, server: RunningServer) -> Office:
        alice = await SippPhone.make(case, server, "alice", "udp")
        bob = await SippPhone.make(case, server, "bob", "udp")
        await bob.run("register_two").succeeded()
        return cls(server, alice, bob)

    async def serve_bob_as(self, schema: str) -> None:
        (found,) = [user for user in await self.server.api.rows("/api/users") if user["login"] == "bob"]
        status, text = await self.server.api.ask("PATCH", f"/api/users/{found['id']}", {"call_schema": schema})
        assert status == 200, text

    async def talk(self, caller: str, callee: str) -> None:
        """Alice calls Bob, who answers; both go through their scenarios to the end."""
        answering = await self.bob.await_call(callee)
        await self.alice.run(caller, peer="bob", hold_ms=HOLD_MS).succeeded()
        await answering.succeeded()

    async def tries(self, scenario: str) -> None:
        """Alice calls Bob, whose phone is sent nothing: nobody listens there."""
        await self.alice.run(scenario, peer="bob").succeeded()

    async def rows(self, count: int) -> list[tuple[str, int, str]]:
        """What the journal says of so many calls, in their order, once all are over and nothing is left of them."""

        def are_closed(rows: list[dict[str, Any]]) -> bool:
            return len(rows) >= count and all(row["end_at"] is not None for row in rows)

        found = await until(lambda: self.server.api.rows("/api/call_journals"), are_closed)
        await nothing_is_left(self.server)
        found.sort(key=lambda row: str(row["invite_at"]))
        return [(row["result"], row["final_code"], row["ended_by"]) for row in found]

    async def sessions(self) -> int:
        """How many there were: a call that is redirected has none."""
        return len(await self.server.api.rows("/api/sessions"))


class ModeTests(TestCase):
    timeout = 120

    async def each_mode(self, policy: Mode, caller: str, callee: str) -> None:
        """Proxy, redirect, b2bua and proxy again, with the calls of this policy; a bridged call has two dialogs."""
        async with serving(self, settings(policy)) as server:
            office = await Office.open(self, server)
            await office.talk(caller, callee)
            await office.serve_bob_as("redirect")
            await office.tries("call_redirected")
            if policy == "require":
                await office.tries("timer_required")
            for schema in ("b2bua", "proxy"):
                await office.serve_bob_as(schema)
                await office.talk(caller, callee)
            self.assertEqual(await office.rows(4), [ANSWERED, REDIRECTED, ANSWERED, ANSWERED])
            self.assertEqual(await office.sessions(), 4)

    @conforms("RFC 3261 8.3", "RFC 3261 21.3.3")
    async def test_without_session_timers(self) -> None:
        await self.each_mode("off", "call", "answer_untimed")

    @conforms("RFC 3261 8.3", "RFC 4028 8.1", "RFC 4028 8.2")
    async def test_with_session_timers(self) -> None:
        await self.each_mode("accept", "call_timed", "answer")

    @conforms("RFC 3261 8.3", "RFC 3261 21.4.15", "RFC 4028 8.2")
    async def test_with_session_timers_required(self) -> None:
        """Whoever does not know them is told so before anything else, also by somebody who redirects."""
        await self.each_mode("require", "call_timed", "answer")
