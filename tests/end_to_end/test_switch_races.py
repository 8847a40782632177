"""Bridged calls in which both sides, or the answer and the request that gives up on it, cross on the wire."""

from __future__ import annotations

from tests.conformance import conforms
from tests.end_to_end.books import LATE, PATIENCE
from tests.end_to_end.phone import Leg
from tests.end_to_end.received import Received
from tests.end_to_end.switch_cases import SwitchCase, session
from tests.running import until


class CancelTests(SwitchCase):
    """The caller gives up while the callee does something else."""

    @conforms("RFC 3261 9.1", "RFC 3261 9.2")
    async def test_before_the_callee_said_anything(self) -> None:
        """The CANCEL of the other side waits for a provisional response."""
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user)
        called = await callee.called()
        await calling.expect(100)
        calling.cancel()
        await calling.expect(200, "CANCEL")
        await calling.refused(487)
        self.assertEqual(callee.heard("CANCEL"), 0)
        called.respond(180)
        called.respond(200, request=await called.expect("CANCEL"))
        called.respond(487)
        await called.expect("ACK")
        await self.assert_closed(calling.call_id, "cancelled", 487, "caller")

    @conforms("RFC 3261 9.1", "RFC 3261 9.2", "RFC 3326 2")
    async def test_while_it_rings(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone())
        calling.cancel()
        await calling.expect(200, "CANCEL")
        await calling.refused(487)
        called.respond(200, request=await called.expect("CANCEL"))
        called.respond(487)
        await called.expect("ACK")
        await self.assert_closed(calling.call_id, "cancelled", 487, "caller")

    @conforms("RFC 3261 9.1", "RFC 3261 13.2.2.4")
    async def test_the_answer_comes_after_the_cancel(self) -> None:
        """Bob picks up as the CANCEL is on its way: he is acknowledged and hung up, Alice has long been told 487."""
        calling, called = await self.ringing(await self.phone(), await self.phone())
        calling.cancel()
        cancel = await called.expect("CANCEL")
        called.answer()
        called.respond(200, request=cancel)
        await calling.expect(200, "CANCEL")
        await calling.refused(487)
        await called.expect("ACK")
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "cancelled", 487, "caller")

    @conforms("RFC 3261 9.2")
    async def test_the_cancel_comes_after_the_answer(self) -> None:
        """It has no effect any more; the call stands until somebody hangs up."""
        calling, called = await self.ringing(await self.phone(), await self.phone())
        called.answer()
        response = await calling.expect(200, "INVITE")
        calling.cancel()
        await calling.phone.final("CANCEL", call_id=calling.call_id)
        calling.ack(response)
        await called.expect("ACK")
        self.assertEqual(called.phone.heard("BYE"), 0)
        await self.hang_up(calling, called)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def test_the_callee_refuses_as_the_cancel_comes(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone())
        calling.cancel()
        called.respond(486)
        await calling.expect(200, "CANCEL")
        await calling.refused(487)
        await called.expect("ACK")
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("cancelled", 487))

    @conforms("RFC 3261 15.1.1")
    async def test_a_bye_while_it_rings_ends_the_call_too(self) -> None:
        """A caller may hang up an early dialog by BYE (RFC 3261 15)."""
        calling, called = await self.ringing(await self.phone(), await self.phone())
        calling.follow(await self.ring_again(calling, called))
        calling.ask("BYE")
        await calling.expect(200, "BYE")
        await calling.phone.final("INVITE", call_id=calling.call_id)
        called.respond(200, request=await called.expect("CANCEL"))
        called.respond(487)
        await called.expect("ACK")
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["ended_by"]), ("cancelled", "caller"))

    async def ring_again(self, calling: Leg, called: Leg) -> Received:
        """A second provisional response."""
        called.respond(183, body=session(42000))
        return await calling.expect(183)


class OfferGlareTests(SwitchCase):
    """Both sides change the session at the same time."""

    @conforms("RFC 3261 14.1", "RFC 3261 14.2", "RFC 3261 21.4.27")
    async def test_both_offers_cross(self) -> None:
        """Each side is refused with 491, and the next to try succeeds."""
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.invite(body=session(41000, "sendonly", 2))
        asked = await called.expect("INVITE")
        called.invite(body=session(42000, "inactive", 2))
        await called.refused(491)
        called.respond(491, request=asked)
        await calling.refused(491, seconds=6.0)
        await self.negotiate(called, calling, session(42000, "inactive", 3), session(41000, "inactive", 3))
        await self.negotiate(calling, called, session(41000, version=4), session(42000, version=4))
        await self.hang_up(calling, called)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 14.2")
    async def test_a_second_offer_waits_for_the_first(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.invite(body=session(41000, "sendonly", 2))
        asked = await called.expect("INVITE")
        called.invite(body=session(42000, "sendonly", 2))
        await called.refused(491)
        called.respond(200, request=asked, body=session(42000, "recvonly", 3))
        await calling.answered()
        await called.expect("ACK")
        await self.negotiate(called, calling, session(42000, "inactive", 4), session(41000, "inactive", 3))
        await self.hang_up(called, calling)
        await self.assert_closed(calling.call_id, "answered", 200, "callee")

    @conforms("RFC 3261 15.1.2")
    async def test_the_other_side_hangs_up_meanwhile(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.invite(body=session(41000, "sendonly", 2))
        asked = await called.expect("INVITE")
        called.bye()
        await called.expect(200, "BYE")
        called.respond(487, request=asked)
        await calling.final_of_invite()
        await calling.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "callee")

    async def test_whoever_asked_hangs_up_meanwhile(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.invite(body=session(41000, "sendonly", 2))
        asked = await called.expect("INVITE")
        calling.bye()
        await calling.expect(200, "BYE")
        await called.hung_up_on()
        called.respond(487, request=asked)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 9.2")
    async def test_a_re_invite_is_given_up(self) -> None:
        """The call goes on as it was."""
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.invite(body=session(41000, "sendonly", 2))
        asked = await called.expect("INVITE")
        called.respond(100, request=asked)
        calling.cancel()
        await calling.expect(200, "CANCEL")
        await calling.refused(487)
        cancel = await called.expect("CANCEL")
        called.respond(200, request=cancel)
        called.respond(487, request=asked)
        await called.expect("ACK")
        await self.negotiate(called, calling, session(42000, version=2), session(41000, version=3))
        await self.hang_up(calling, called)


class LateTests(SwitchCase):
    """What comes after all was said."""

    @conforms("RFC 3261 13.3.1.4")
    async def test_the_caller_never_acknowledges(self) -> None:
        """The answer is repeated, and then both sides are hung up."""
        calling, called = await self.ringing(await self.phone(), await self.phone())
        called.answer()
        response = await calling.expect(200, "INVITE")
        await called.expect("ACK")
        calling.follow(response)
        called.respond(200, request=await called.expect("BYE", seconds=PATIENCE + LATE))
        calling.respond(200, request=await calling.expect("BYE"))
        self.assertGreater(calling.phone.heard("SIP/2.0 200"), 2)
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["ended_by"]), ("answered", "system"))

    @conforms("RFC 6026 8.6", "RFC 3261 13.2.2.4")
    async def test_an_answer_that_is_repeated_is_acknowledged_again(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone())
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        before = called.phone.heard("ACK")
        called.answer()
        await self.server_heard(called, "ACK", before + 1)
        await self.hang_up(calling, called)

    async def server_heard(self, leg: Leg, start: str, count: int) -> None:
        """Wait until the phone has heard so many messages that begin so."""

        async def probe() -> int:
            return leg.phone.heard(start)

        await until(probe, lambda heard: heard >= count)
