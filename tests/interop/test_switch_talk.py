"""Two baresip phones talk through the switch: what they hear, hold and resume, digits, and what they do not learn."""

from __future__ import annotations

from tests.conformance import conforms
from tests.interop.baresip import BaresipPhone
from tests.interop.switchboard import MD5, SwitchCase
from tests.running import RunningServer, Settings, serving, until


class TalkTests(SwitchCase):
    async def talking(
        self, server: RunningServer, transports: tuple[str, str] = ("udp", "udp")
    ) -> tuple[BaresipPhone, BaresipPhone]:
        """Alice called Bob, who answered."""
        bob = await self.phone(server, "bob", transport=transports[1])
        alice = await self.phone(server, "alice", answer="manual", transport=transports[0])
        await self.talk(alice, bob)
        return alice, bob

    async def check(self, transports: tuple[str, str], hangs_up: str) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.talking(server, transports)
            (alice if hangs_up == "caller" else bob).hang_up()
            for phone in (alice, bob):
                await phone.heard("CALL_CLOSED")
            await self.over(alice, bob)
            self.assertEqual((alice.hears(alice, bob), bob.hears(alice, bob)), (["bob"], ["alice"]))
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["final_code"], row["ended_by"]), ("answered", 200, hangs_up))
            self.assertEqual((row["caller_user"], row["callee_user"]), ("alice", "bob"))

    async def test_udp_to_udp(self) -> None:
        await self.check(("udp", "udp"), "caller")

    async def test_tcp_to_udp(self) -> None:
        await self.check(("tcp", "udp"), "callee")

    async def test_udp_to_tls(self) -> None:
        await self.check(("udp", "tls"), "callee")

    async def test_tls_to_tcp(self) -> None:
        await self.check(("tls", "tcp"), "caller")

    @conforms("RFC 3261 12.1.1", "RFC 3261 12.1.2")
    async def test_neither_learns_how_the_other_is_reached(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.talking(server)
            ids = [phone.control.all("CALL_ESTABLISHED")[0]["id"] for phone in (alice, bob)]
            contacts = {row["contact"] for row in await server.api.rows("/api/registrations")}
            own = {phone.user: next(each for each in contacts if phone.user in each) for phone in (alice, bob)}
            for phone, other, foreign in ((alice, "bob", ids[1]), (bob, "alice", ids[0])):
                self.assertFalse(phone.has_seen(foreign), "the other's Call-ID")
                self.assertFalse(phone.has_seen(own[other].strip("<>")), "the other's Contact")
                self.assertFalse(phone.has_seen("Record-Route"), "a proxy's header")
            alice.hang_up()
            await self.over(alice, bob)
            await self.journal(server)

    async def hold_and_resume(self, holder: str) -> None:
        async with serving(self, MD5) as server:
            phones = await self.talking(server)
            alice, bob = phones
            holding, held = phones if holder == "caller" else phones[::-1]
            holding.hold()
            await held.heard("CALL_REMOTE_SDP", 2)
            await until(holding.calls, lambda said: "(on hold)" in said)
            (call,) = await self.live(server, lambda rows: any(leg["is_held"] for leg in rows[0]["legs"]))
            self.assertEqual([leg["role"] for leg in call["legs"] if leg["is_held"]], [holder])
            holding.resume()
            await held.heard("CALL_REMOTE_SDP", 3)
            await self.live(server, lambda rows: not any(leg["is_held"] for leg in rows[0]["legs"]))
            await self.has_audio(alice, bob)
            alice.hang_up()
            await self.over(alice, bob)
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["ended_by"]), ("answered", "caller"))

    @conforms("RFC 3264 8.4", "RFC 3261 14.1")
    async def test_the_caller_holds_and_resumes(self) -> None:
        await self.hold_and_resume("caller")

    @conforms("RFC 3264 8.4", "RFC 3261 14.2")
    async def test_the_callee_holds_and_resumes(self) -> None:
        await self.hold_and_resume("callee")

    async def test_digits_reach_the_other_side(self) -> None:
        async with serving(self, MD5) as server:
            alice, bob = await self.talking(server)
            for digit in "7#":
                alice.press(digit)
                await self.speak()
            await bob.heard("CALL_DTMF_END", 2)
            self.assertEqual([event["param"] for event in bob.control.all("CALL_DTMF_START")], ["7", "#"])
            bob.hang_up()
            await self.over(alice, bob)
            await self.journal(server)

    async def test_who_is_called_declines(self) -> None:
        async with serving(self, MD5) as server:
            bob = await self.phone(server, "bob", answer="manual")
            alice = await self.phone(server, "alice", answer="manual")
            await self.ring(alice, bob)
            bob.hang_up()
            await alice.heard("CALL_CLOSED")
            self.assertIn("486", alice.control.all("CALL_CLOSED")[0]["param"])
            await self.over(alice, bob)
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["final_code"], row["ended_by"]), ("rejected", 486, "callee"))

    @conforms("RFC 3261 9.1", "RFC 3261 9.2")
    async def test_the_caller_gives_up(self) -> None:
        async with serving(self, MD5) as server:
            bob = await self.phone(server, "bob", answer="manual")
            alice = await self.phone(server, "alice", answer="manual")
            await self.ring(alice, bob)
            alice.hang_up()
            await bob.heard("CALL_CLOSED")
            await self.over(alice, bob)
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["final_code"], row["ended_by"]), ("cancelled", 487, "caller"))

    @conforms("RFC 3261 15")
    async def test_a_phone_that_is_killed_is_missed(self) -> None:
        """Bob's baresip dies; when Alice hangs up, the call is over although Bob's side never answers."""
        impatient: Settings = {**MD5, "sip": {"timer_t1": 0.02}}
        async with serving(self, impatient) as server:
            alice, bob = await self.talking(server)
            await bob.program.kill()
            alice.hang_up()
            await self.over(alice)
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["ended_by"]), ("answered", "caller"))
