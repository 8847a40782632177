"""A phone dies in each state of a bridged call: the other side is not left behind, and the books are closed once.

Its socket is closed without a word; over UDP the server learns that by silence, over TCP by the end of the connection.
"""

from __future__ import annotations

from tests.conformance import conforms
from tests.end_to_end.books import LATE, PATIENCE
from tests.end_to_end.phone import Leg
from tests.end_to_end.switch_cases import BRIDGED, RING_SECONDS, SwitchCase, session
from tests.running import LOOPBACK, Settings

PING_SECONDS = 0.5
GIVEN_UP = PING_SECONDS + PATIENCE + LATE
WATCHFUL: Settings = {**BRIDGED, "limits": {"call_seconds": 60.0, "ping_seconds": PING_SECONDS}}


class DyingCase(SwitchCase):
    """The server asks the phones often whether they are there."""

    over = WATCHFUL


class CalleeDiesTests(DyingCase):
    """Bob's phone is gone."""

    transport = "udp"

    async def test_before_it_said_anything(self) -> None:
        caller, callee = await self.phone(), await self.phone(self.transport)
        calling = await caller.call(callee.user)
        await callee.called()
        await callee.vanish()
        refusal = await calling.final_of_invite(seconds=PATIENCE + RING_SECONDS + LATE)
        self.assertIn(refusal.status, (408, 480, 500, 503))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["final_code"], row["answer_at"]), (refusal.status, None))

    async def test_while_it_rang(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone(self.transport))
        await called.phone.vanish()
        refusal = await calling.final_of_invite(seconds=RING_SECONDS + PATIENCE + LATE)
        self.assertIn(refusal.status, (408, 480, 500, 503))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual(row["final_code"], refusal.status)

    async def test_while_it_rang_and_the_caller_gives_up(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone(self.transport))
        await called.phone.vanish()
        calling.cancel()
        await calling.refused(487)
        await self.assert_closed(calling.call_id, "cancelled", 487, "caller", PATIENCE + LATE)

    async def test_right_after_it_answered(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone(self.transport))
        called.answer()
        answer = await calling.expect(200, "INVITE")
        await called.phone.vanish()
        calling.ack(answer)
        calling.respond(200, request=await calling.expect("BYE", seconds=GIVEN_UP))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("answered", 200))

    @conforms("RFC 3261 12.2.1.2")
    async def test_during_the_call(self) -> None:
        """Nobody says anything: the server asks, hears nothing, and tells the other."""
        calling, called = await self.talking(await self.phone(), await self.phone(self.transport))
        await called.phone.vanish()
        calling.respond(200, request=await calling.expect("BYE", seconds=GIVEN_UP))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("answered", 200))

    async def test_during_the_call_and_the_caller_hangs_up(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone(self.transport))
        await called.phone.vanish()
        await calling.hang_up()
        row = await self.server.closed_row(calling.call_id, PATIENCE + LATE)
        self.assertEqual(row["result"], "answered")

    @conforms("RFC 3261 14.1")
    async def test_while_the_session_is_changed(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone(self.transport))
        calling.invite(body=session(41000, "sendonly", 2))
        await called.expect("INVITE")
        await called.phone.vanish()
        calling.respond(200, request=await calling.expect("BYE", seconds=GIVEN_UP))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("answered", 200))


class CalleeOverTcpDiesTests(CalleeDiesTests):
    transport = "tcp"


class CallerDiesTests(DyingCase):
    """Alice's phone is gone."""

    transport = "udp"

    async def test_while_it_rang(self) -> None:
        """Bob answers, nobody acknowledges, Bob is hung up."""
        calling, called = await self.ringing(await self.phone(self.transport), await self.phone())
        await calling.phone.vanish()
        called.answer()
        await called.expect("ACK")
        called.respond(200, request=await called.expect("BYE", seconds=PATIENCE + GIVEN_UP))
        await self.server.closed_row(calling.call_id)

    async def test_before_anything_was_said_and_the_callee_refuses(self) -> None:
        caller, callee = await self.phone(self.transport), await self.phone()
        calling = await caller.call(callee.user)
        called = await callee.called()
        await caller.vanish()
        called.respond(486)
        await called.expect("ACK")
        row = await self.server.closed_row(calling.call_id, PATIENCE + LATE)
        self.assertEqual((row["result"], row["final_code"]), ("rejected", 486))

    async def test_before_it_acknowledged(self) -> None:
        calling, called = await self.ringing(await self.phone(self.transport), await self.phone())
        called.answer()
        await calling.expect(200, "INVITE")
        await calling.phone.vanish()
        await called.expect("ACK")
        called.respond(200, request=await called.expect("BYE", seconds=PATIENCE + GIVEN_UP))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual(row["result"], "answered")

    @conforms("RFC 3261 12.2.1.2")
    async def test_during_the_call(self) -> None:
        calling, called = await self.talking(await self.phone(self.transport), await self.phone())
        await calling.phone.vanish()
        called.respond(200, request=await called.expect("BYE", seconds=GIVEN_UP))
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("answered", 200))

    async def test_both_during_the_call(self) -> None:
        calling, called = await self.talking(await self.phone(self.transport), await self.phone())
        await calling.phone.vanish()
        await called.phone.vanish()
        row = await self.server.closed_row(calling.call_id, GIVEN_UP + PATIENCE)
        self.assertEqual((row["result"], row["ended_by"]), ("answered", "system"))


class CallerOverTcpDiesTests(CallerDiesTests):
    transport = "tcp"


class TransferDiesTests(SwitchCase):
    """Bob sends Alice to Carol, and somebody's phone is gone before it is done."""

    async def transferring(self) -> tuple[Leg, Leg, Leg]:
        """The legs of Alice, Bob and Carol, whose phone rings."""
        carol = await self.phone()
        calling, called = await self.talking(await self.phone(), await self.phone())
        contact = ("Contact", f"<{called.phone.contact}>")
        called.ask("REFER", (("Refer-To", f"<sip:{carol.user}@{LOOPBACK}>"), contact))
        await called.expect(202, "REFER")
        ringing = await carol.called()
        ringing.respond(180)
        return calling, called, ringing

    async def last_word(self, leg: Leg, seconds: float) -> bytes:
        """What the final NOTIFY says of the transfer."""
        while True:
            notify = await leg.expect("NOTIFY", seconds=seconds)
            leg.respond(200, request=notify)
            if notify["subscription-state"].startswith("terminated"):
                return notify.body

    @conforms("RFC 3515 2.4.5")
    async def test_the_target_and_the_call_is_given_back(self) -> None:
        calling, called, ringing = await self.transferring()
        await ringing.phone.vanish()
        word = await self.last_word(called, RING_SECONDS + PATIENCE + LATE)
        self.assertTrue(word.startswith((b"SIP/2.0 4", b"SIP/2.0 5")), word)
        await self.negotiate(called, calling, session(42000, "sendonly", 2), session(41000, "recvonly", 2))
        await self.hang_up(calling, called)
        await self.server.closed_row(calling.call_id, PATIENCE + LATE)

    async def test_the_transferor_and_the_transfer_goes_on(self) -> None:
        calling, called, ringing = await self.transferring()
        await called.phone.vanish()
        ringing.respond(200, body=session(44000))
        await ringing.expect("ACK")
        joined = await calling.expect("INVITE")
        if joined.body:
            self.assertIn(b"m=audio 44000 ", joined.body)
        calling.respond(200, request=joined, body=session(41000, version=2))
        await calling.expect("ACK")
        calling.bye()
        await calling.expect(200, "BYE")
        await ringing.hung_up_on()
        await self.server.closed_row(calling.call_id, PATIENCE + LATE)

    async def test_who_is_transferred(self) -> None:
        calling, called, ringing = await self.transferring()
        await calling.phone.vanish()
        ringing.respond(200, body=session(44000))
        await ringing.expect("ACK")
        ringing.respond(200, request=await ringing.expect("BYE", seconds=PATIENCE + LATE))
        called.respond(200, request=await called.expect("BYE", seconds=PATIENCE + LATE))
        await self.server.closed_row(calling.call_id, PATIENCE + LATE)
