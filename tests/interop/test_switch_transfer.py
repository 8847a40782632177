"""Three phones: blind transfers between baresips; attended ones by a script, for baresip 1.0 knows no Replaces."""

from __future__ import annotations

from urllib.parse import quote

from tests.conformance import conforms
from tests.end_to_end.phone import Leg, Phone
from tests.end_to_end.switch_cases import session
from tests.interop.baresip import BaresipPhone
from tests.interop.switchboard import MD5, SwitchCase
from tests.running import LOOPBACK, RunningServer, serving


class BlindTransferTests(SwitchCase):
    async def office(
        self, server: RunningServer, carol_answers: str = "auto"
    ) -> tuple[BaresipPhone, BaresipPhone, BaresipPhone]:
        """Alice talks to Bob; Carol is there."""
        carol = await self.phone(server, "carol", answer=carol_answers)
        bob = await self.phone(server, "bob")
        alice = await self.phone(server, "alice", answer="manual")
        await self.talk(alice, bob)
        return alice, bob, carol

    async def transferred(self, by_caller: bool) -> None:
        """Who transfers is out of it; the two others hear each other."""
        async with serving(self, MD5) as server:
            alice, bob, carol = await self.office(server)
            who, stays = (alice, bob) if by_caller else (bob, alice)
            who.transfer("carol")
            await carol.heard("CALL_ESTABLISHED")
            await who.heard("CALL_CLOSED")
            self.assertEqual(stays.control.all("CALL_CLOSED"), [])
            await self.speak()
            stays.hang_up()
            await carol.heard("CALL_CLOSED")
            await self.over(alice, bob, carol)
            self.assertEqual(carol.hears(alice, bob), [stays.user])
            self.assertIn(stays.user, carol.control.all("CALL_ESTABLISHED")[0]["peeruri"])
            rows = await self.journal(server)
            self.assertEqual(rows[0]["result"], "answered")

    @conforms("RFC 3515 2.4.2", "RFC 5589 6.1")
    async def test_the_callee_transfers_the_caller(self) -> None:
        await self.transferred(by_caller=False)

    @conforms("RFC 3515 2.4.2", "RFC 5589 6.1")
    async def test_the_caller_transfers_the_callee(self) -> None:
        await self.transferred(by_caller=True)

    async def fails(self, target: str, status: str) -> None:
        """The transfer fails, and Bob is told why; then this phone hangs up by itself, and the call is over."""
        async with serving(self, MD5) as server:
            alice, bob, carol = await self.office(server, "manual")
            bob.transfer(target)
            if target == carol.user:
                await carol.heard("CALL_INCOMING")
                self.assertEqual(alice.control.all("CALL_CLOSED") + bob.control.all("CALL_CLOSED"), [])
                carol.hang_up()
            await bob.heard("TRANSFER_FAILED")
            self.assertIn(status, bob.control.all("TRANSFER_FAILED")[0]["param"])
            await self.over(alice, bob, carol)
            (row,) = await self.journal(server)
            self.assertEqual((row["result"], row["ended_by"]), ("answered", "callee"))

    @conforms("RFC 3515 2.4.5", "RFC 5589 6.2")
    async def test_nobody_of_that_name(self) -> None:
        await self.fails("nobody", "404")

    @conforms("RFC 3515 2.4.5", "RFC 5589 6.2")
    async def test_the_target_declines(self) -> None:
        await self.fails("carol", "486")


class AttendedTransferTests(SwitchCase):
    """Bob is a script, Alice and Carol are baresips."""

    async def consulting(
        self, server: RunningServer, carol_answers: str = "auto"
    ) -> tuple[BaresipPhone, BaresipPhone, Leg, Leg]:
        """Alice called Bob, who put her on hold and calls Carol."""
        carol = await self.phone(server, "carol", answer=carol_answers)
        alice = await self.phone(server, "alice", answer="manual")
        await server.api.add_phone("bob", "b2bua")
        bob = Phone.udp(self, server.sip_port, "bob")
        await bob.register()
        alice.dial("bob")
        first = await bob.called()
        first.respond(180)
        first.respond(200, body=session(43000))
        await first.expect("ACK")
        await alice.heard("CALL_ESTABLISHED")
        first.invite(body=session(43000, "sendonly", 2))
        held = await first.answered()
        self.assertIn(b"a=recvonly", held.body)
        second = await bob.call("carol", body=session(43002))
        return alice, carol, first, second

    def refer(self, first: Leg, second: Leg) -> None:
        """Alice shall take Bob's place at Carol."""
        mine, hers = (value.partition(";tag=")[2] for value in (second.local, second.remote))
        replaces = quote(f"{second.call_id};to-tag={hers};from-tag={mine}", safe="")
        target = f"<sip:carol@{LOOPBACK}?Replaces={replaces}>"
        contact = f"<{first.phone.contact}>"
        first.ask("REFER", (("Refer-To", target), ("Referred-By", f"<sip:bob@{LOOPBACK}>"), ("Contact", contact)))

    async def told(self, leg: Leg) -> list[bytes]:
        """The sipfrags of the NOTIFYs, up to the last one."""
        await leg.expect(202, "REFER")
        told: list[bytes] = []
        while True:
            notify = await leg.expect("NOTIFY")
            leg.respond(200, request=notify)
            told.append(notify.body.split(b"\r\n")[0])
            if notify["subscription-state"].startswith("terminated"):
                return told

    async def completed(self, alice: BaresipPhone, carol: BaresipPhone) -> None:
        """The two hear each other."""
        await self.has_audio(alice, carol)
        self.assertEqual(alice.control.all("CALL_CLOSED") + carol.control.all("CALL_CLOSED"), [])
        alice.hang_up()
        await carol.heard("CALL_CLOSED")
        await self.over(alice, carol)
        self.assertEqual(carol.hears(alice), ["alice"])

    @conforms("RFC 3891 3", "RFC 5589 7.1", "RFC 3515 2.4.5")
    async def test_after_the_consultation(self) -> None:
        async with serving(self, MD5) as server:
            alice, carol, first, second = await self.consulting(server)
            await second.answered()
            await carol.heard("CALL_ESTABLISHED")
            self.refer(first, second)
            told = await self.told(first)
            self.assertEqual(told[-1][:11], b"SIP/2.0 200")
            for leg in (first, second):
                await leg.hung_up_on()
            await self.completed(alice, carol)
            rows = await self.journal(server, 2)
            self.assertEqual([row["result"] for row in rows], ["answered", "answered"])
            self.assertEqual(rows[0]["linked_to"], [rows[1]["id"]])

    @conforms("RFC 5589 7.2", "RFC 3515 2.4.5")
    async def test_while_the_target_still_rings(self) -> None:
        async with serving(self, MD5) as server:
            alice, carol, first, second = await self.consulting(server, "manual")
            await carol.heard("CALL_INCOMING")
            second.follow(await second.expect(180))
            self.refer(first, second)
            await first.expect(202, "REFER")
            carol.accept()
            await carol.heard("CALL_ESTABLISHED")
            await self.completed(alice, carol)
            await self.journal(server, 2)
