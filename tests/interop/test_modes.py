"""The modes in which somebody can be called, with SIPp phones: as proxy, as redirect server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.books import outcome
from tests.interop.sipp import SippPhone
from tests.interop.sipp_calls import MD5
from tests.running import RunningServer, serving


class ModeTests(TestCase):
    timeout = 120

    async def phones(self, server: RunningServer, schema: str) -> tuple[SippPhone, SippPhone]:
        """Alice, and Bob, who is registered and called in this mode."""
        alice = await SippPhone.make(self, server, "alice", "udp")
        bob = await SippPhone.make(self, server, "bob", "udp")
        await bob.register()
        (found,) = [user for user in await server.api.rows("/api/users") if user["login"] == "bob"]
        status, _ = await server.api.ask("PATCH", f"/api/users/{found['id']}", {"call_schema": schema})
        self.assertEqual(status, 200)
        return alice, bob

    async def test_proxy(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.phones(server, "proxy")
            answering = await bob.await_call("answer")
            await alice.run("call", peer="bob", hold_ms=100).succeeded()
            await answering.succeeded()
            self.assertEqual(await outcome(server), ("answered", 200, "caller"))

    @conforms("RFC 3261 8.3", "RFC 3261 21.3.3")
    async def test_redirect(self) -> None:
        async with serving(self, MD5) as server:
            alice, _ = await self.phones(server, "redirect")
            await alice.run("call_redirected", peer="bob").succeeded()
            self.assertEqual(await outcome(server), ("redirected", 302, "system"))

    async def test_b2bua_is_served_by_the_proxy(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.phones(server, "b2bua")
            answering = await bob.await_call("answer")
            await alice.run("call", peer="bob", hold_ms=100).succeeded()
            await answering.succeeded()
            self.assertEqual(await outcome(server), ("answered", 200, "caller"))
