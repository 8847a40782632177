"""Two baresip phones register, call each other, talk and hang up, over UDP, TCP and TLS."""

from __future__ import annotations

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.baresip import BaresipPhone
from tests.interop.books import closed_row, outcome
from tests.running import RunningServer, Settings, clock, serving

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

    async def second_start(self, server: RunningServer, user: str) -> BaresipPhone:
        """A phone that gave up at its first challenge tries again, as baresip does by itself after half a minute."""
        await server.api.add_phone(user)
        phone = await BaresipPhone.start(self, server, user, "udp", "auto")
        await phone.program.seen("Function not implemented")
        await phone.quit()
        await deferLater(clock(), 1.1)  # two requests closer together may have crossed the challenge
        phone = await BaresipPhone.start(self, server, user, "udp", "auto")
        await phone.registered()
        return phone

    @conforms("RFC 8760 2.4")
    async def test_a_phone_that_a_choice_of_algorithms_baffles_registers_and_calls(self) -> None:
        """With the settings of a fresh installation: the second try is offered MD5 alone, and so is what follows."""
        async with serving(self, {"auth": {"algorithms": ["SHA-256", "MD5"]}}) as server:
            bob = await self.second_start(server, "bob")
            alice = await self.second_start(server, "alice")
            alice.dial("bob")
            for phone in (alice, bob):
                await phone.heard("CALL_ESTABLISHED")
            alice.hang_up()
            await bob.heard("CALL_CLOSED")

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
