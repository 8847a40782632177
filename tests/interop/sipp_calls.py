"""What must hold between SIPp phones over every transport; test_sipp.py says over which.

A class that is imported by name would be run as a test of its own, hence a module of its own.
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.books import closed_row, outcome, transactions_end
from tests.interop.sipp import SippPhone
from tests.running import RunningServer, Settings, serving

# SIPp 3.6 knows no SHA-256, and ends at once when the first challenge is not MD5.
MD5: Settings = {"auth": {"algorithms": ["MD5"]}}
IMPATIENT: Settings = {"auth": {"algorithms": ["MD5"]}, "sip": {"timer_c": 1.0, "ring_seconds": 1.0}}
HOLD_MS = 200


class CallTests(TestCase):
    """Each test has a server of its own, so that its call is the only one in the books."""

    timeout = 120
    transport = ""
    call_schema = "proxy"
    unanswered = 408

    async def phones(self, server: RunningServer) -> tuple[SippPhone, SippPhone]:
        """Alice, and Bob, who is registered."""
        alice = await SippPhone.make(self, server, "alice", self.transport, self.call_schema)
        bob = await SippPhone.make(self, server, "bob", self.transport, self.call_schema)
        await bob.register()
        return alice, bob

    async def talk(self, server: RunningServer, caller: str, callee: str, code: int = 0) -> tuple[str, int, str]:
        """Run both scenarios to their good end; what the books say of the call."""
        alice, bob = await self.phones(server)
        answering = await bob.await_call(callee)
        await alice.run(caller, peer="bob", code=code, hold_ms=HOLD_MS).succeeded()
        await answering.succeeded()
        return await outcome(server)

    @conforms("RFC 3261 10.3", "RFC 3261 22.2")
    async def test_register_with_digest(self) -> None:
        async with serving(self, MD5) as server:
            await self.phones(server)
            (registration,) = await server.api.rows("/api/registrations")
            self.assertEqual(registration["transport"].lower(), self.transport)
            self.assertIn("bob@", registration["aor"])
            self.assertEqual(await server.api.metric("sip_registrations"), 1.0)

    @conforms("RFC 3261 18", "RFC 3261 15.1.1")
    async def test_the_caller_hangs_up(self) -> None:
        async with serving(self, MD5) as server:
            self.assertEqual(await self.talk(server, "call", "answer"), ("answered", 200, "caller"))
            row = await closed_row(server)
            self.assertEqual((row["caller_user"], row["callee_user"]), ("alice", "bob"))
            self.assertGreater(row["talk_ms"], HOLD_MS / 2)
            self.assertIsNotNone(row["first_18x_at"])
            await transactions_end(server)

    @conforms("RFC 3261 15.1.1")
    async def test_the_callee_hangs_up(self) -> None:
        async with serving(self, MD5) as server:
            books = await self.talk(server, "call_until_bye", "answer_and_hang_up")
            self.assertEqual(books, ("answered", 200, "callee"))

    @conforms("RFC 3261 14.1")
    async def test_a_reinvite_belongs_to_its_call(self) -> None:
        async with serving(self, MD5) as server:
            self.assertEqual(await self.talk(server, "call_reinvite", "answer_reinvite"), ("answered", 200, "caller"))

    @conforms("RFC 3261 9.1", "RFC 3261 16.10")
    async def test_the_caller_gives_up(self) -> None:
        async with serving(self, MD5) as server:
            books = await self.talk(server, "call_cancelled", "ring_until_cancel")
            self.assertEqual(books, ("cancelled", 487, "caller"))
            if self.transport != "udp":
                # Over UDP Timer D keeps the refused INVITE for 32 s whatever T1 is (RFC 3261 17.1.1.2).
                await transactions_end(server)

    @conforms("RFC 3261 16.7", "RFC 3261 17.1.1.3")
    async def test_the_callee_is_busy(self) -> None:
        async with serving(self, MD5) as server:
            self.assertEqual(await self.talk(server, "call_refused", "busy", code=486), ("rejected", 486, "callee"))

    @conforms("RFC 3261 16.5")
    async def test_nobody_of_that_name(self) -> None:
        async with serving(self, MD5) as server:
            alice = await SippPhone.make(self, server, "alice", self.transport, self.call_schema)
            await alice.run("call_refused", peer="nobody", code=404).succeeded()
            self.assertEqual(await outcome(server), ("failed", 404, "system"))

    @conforms("RFC 3261 16.8")
    async def test_the_callee_lets_it_ring(self) -> None:
        """Timer C ends it, or the patience of the switch: the phone is cancelled, the caller gets a refusal."""
        async with serving(self, IMPATIENT) as server:
            books = await self.talk(server, "call_refused", "ring_until_cancel", code=self.unanswered)
            self.assertEqual(books, ("no_answer", self.unanswered, "system"))
