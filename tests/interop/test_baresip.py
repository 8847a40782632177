"""Two baresip phones register, call each other, talk and hang up, over UDP, TCP and TLS."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.interop.baresip import BaresipPhone
from tests.interop.books import closed_row, outcome
from tests.running import RunningServer, Settings, serving

# baresip 1.0 refuses a challenge that offers SHA-256 beside MD5, in whatever order.
MD5: Settings = {"auth": {"algorithms": ["MD5"]}}


class BaresipTests(TestCase):
    timeout = 120

    async def talk(self, server: RunningServer, transport: str) -> tuple[BaresipPhone, BaresipPhone]:
        """Alice called Bob, who answered, and each hears the other's RTP."""
        bob = await BaresipPhone.make(self, server, "bob", transport, answer="auto")
        alice = await BaresipPhone.make(self, server, "alice", transport, answer="manual")
        alice.dial("bob")
        for phone in (alice, bob):
            await phone.heard("CALL_ESTABLISHED")
        await alice.heard("CALL_RTPESTAB")
        return alice, bob

    async def check(self, transport: str, hangs_up: str) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.talk(server, transport)
            (alice if hangs_up == "caller" else bob).hang_up()
            for phone in (alice, bob):
                await phone.heard("CALL_CLOSED")
            self.assertEqual(await outcome(server), ("answered", 200, hangs_up))
            row = await closed_row(server)
            self.assertEqual((row["caller_user"], row["callee_user"]), ("alice", "bob"))
            registrations = await server.api.rows("/api/registrations")
            self.assertEqual({row["transport"].lower() for row in registrations}, {transport})
            for phone in (alice, bob):
                await phone.quit()

    async def test_udp_the_caller_hangs_up(self) -> None:
        await self.check("udp", "caller")

    async def test_udp_the_callee_hangs_up(self) -> None:
        await self.check("udp", "callee")

    async def test_tcp_the_caller_hangs_up(self) -> None:
        await self.check("tcp", "caller")

    async def test_tcp_the_callee_hangs_up(self) -> None:
        await self.check("tcp", "callee")

    async def test_tls_the_caller_hangs_up(self) -> None:
        await self.check("tls", "caller")

    async def test_tls_the_callee_hangs_up(self) -> None:
        await self.check("tls", "callee")
