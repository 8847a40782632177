"""Every call ends in exactly one closed journal row, whatever ends it: the ways in which phones end one."""

from __future__ import annotations

from tests.conformance import conforms
from tests.end_to_end.books import CALL_SECONDS, LATE, PATIENCE, TIMER_C, CallCase
from tests.end_to_end.phone import Leg
from tests.running import LOOPBACK, until


class AnsweredTests(CallCase):
    """Calls that were answered."""

    @conforms("RFC 3261 15.1.1", "RFC 3261 16.6")
    async def test_the_caller_hangs_up(self) -> None:
        for transport in ("udp", "tcp"):
            caller, callee = await self.phone(transport), await self.phone(transport)
            calling, called = await self.talking(caller, callee)
            calling.bye()
            await called.hung_up_on()
            await calling.expect(200, "BYE")
            row = await self.assert_closed(calling.call_id, "answered", 200, "caller")
            self.assertEqual((row["caller_user"], row["callee_user"]), (caller.user, callee.user))
            self.assertEqual((row["direction"], row["to_tag"]), ("internal", called.tag))
            self.assertIsNotNone(row["first_18x_at"])

    @conforms("RFC 3261 15.1.1")
    async def test_the_callee_hangs_up(self) -> None:
        for transports in (("udp", "tcp"), ("tcp", "udp")):
            caller, callee = [await self.phone(transport) for transport in transports]
            calling, called = await self.talking(caller, callee)
            called.bye()
            await calling.hung_up_on()
            await called.expect(200, "BYE")
            await self.assert_closed(calling.call_id, "answered", 200, "callee")

    @conforms("RFC 3261 15.1.2")
    async def test_both_hang_up_at_once(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.bye()
        called.bye()
        await calling.hung_up_on()
        await called.hung_up_on()
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("answered", 200))
        self.assertIn(row["ended_by"], ("caller", "callee"))

    async def test_the_session_is_listed_as_active_and_then_as_terminated(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone())
        (early,) = await self.server.rows("/api/sessions", calling.call_id)
        self.assertEqual((early["state"], early["to_tag"]), ("early", called.tag))
        called.answer()
        await calling.answered()
        (active,) = await self.server.rows("/api/sessions", calling.call_id)
        self.assertEqual((active["state"], active["id"]), ("active", early["id"]))
        self.assertEqual(active["remote_target"], called.phone.contact)
        calling.bye()
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")
        (ended,) = await self.server.rows("/api/sessions", calling.call_id)
        self.assertEqual((ended["state"], ended["ended_by"], ended["id"]), ("terminated", "caller", early["id"]))

    async def test_the_bye_gets_no_answer(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        await called.phone.vanish()
        calling.bye()
        await self.assert_closed(calling.call_id, "answered", 200, "caller", PATIENCE + LATE)

    @conforms("RFC 3261 15.1.1")
    async def test_the_bye_gets_a_481(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.bye()
        called.respond(481, request=await called.expect("BYE"))
        await calling.expect(481, "BYE")
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def test_nobody_ever_hangs_up_and_the_session_timer_runs_out(self) -> None:
        timer = (("Session-Expires", "1;refresher=uac"), ("Require", "timer"))
        calling, called = await self.talking(await self.phone(), await self.phone(), timer)
        (session,) = await self.server.rows("/api/sessions", calling.call_id)
        self.assertEqual((session["session_expires"], session["refresher"]), (1, "uac"))
        await calling.phone.vanish()
        await called.phone.vanish()
        row = await self.assert_closed(calling.call_id, "answered", 200, "system", 1 + PATIENCE + LATE)
        self.assertApproximates(row["talk_ms"], 1000 * (1 + PATIENCE), 1000 * LATE)

    async def test_nobody_ever_hangs_up_and_there_is_no_session_timer(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        await calling.phone.vanish()
        await called.phone.vanish()
        row = await self.assert_closed(calling.call_id, "answered", 200, "system", CALL_SECONDS + LATE)
        self.assertApproximates(row["talk_ms"], 1000 * CALL_SECONDS, 1000 * LATE)

    async def test_the_caller_never_acknowledges(self) -> None:
        """The callee gives up and says BYE (RFC 3261 13.3.1.4)."""
        calling, called = await self.ringing(await self.phone(), await self.phone())
        called.answer()
        await calling.expect(200, "INVITE")
        called.bye()
        await calling.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "callee")

    async def test_the_caller_never_acknowledges_and_the_callee_does_not_mind(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone())
        called.answer()
        await calling.expect(200, "INVITE")
        await self.assert_closed(calling.call_id, "answered", 200, "system", CALL_SECONDS + LATE)

    @conforms("RFC 3261 15.1.2", "RFC 3261 12.2.2")
    async def test_a_bye_of_somebody_else_ends_nothing(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        stranger = Leg(await self.phone(), calling.call_id, calling.target)
        stranger.local, stranger.remote, stranger.routes = "<sip:x@y>;tag=other", calling.remote, calling.routes
        stranger.bye()
        challenge = await stranger.expect(407, "BYE")
        stranger.bye(stranger.phone.credentials(challenge, "BYE", stranger.target))
        refusal = await stranger.phone.final("BYE", call_id=calling.call_id)
        self.assertGreaterEqual(refusal.status, 400)
        (session,) = await self.server.rows("/api/sessions", calling.call_id)
        self.assertEqual(session["state"], "active")
        calling.bye()
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def test_an_answer_that_is_repeated_after_the_end_begins_nothing(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        called.answer((("X-Again", "1"),))
        # A second call over the same sockets: what was sent before it has been seen.
        again, _ = await self.ringing(calling.phone, called.phone)
        self.assertEqual(await self.server.api.metric("sip_dialog_entries"), 1)
        again.cancel()
        await again.final_of_invite(PATIENCE + TIMER_C + LATE)
        row = await self.assert_closed(calling.call_id, "answered", 200, "caller")
        self.assertEqual(row["to_tag"], called.tag)
        await until(
            lambda: self.server.rows("/api/sessions", calling.call_id),
            lambda rows: [row["ended_by"] for row in rows] == ["caller"],
        )

    @conforms("RFC 3261 16.7", "RFC 3326 2")
    async def test_two_phones_ring_and_one_answers(self) -> None:
        caller, winner = await self.phone(), await self.phone()
        loser = await self.phone("tcp", winner.user)
        calling = await caller.call(winner.user)
        won, lost = await winner.called(calling.call_id), await loser.called(calling.call_id)
        for each in (won, lost):
            each.respond(180)
            await calling.expect(180)
        won.answer()
        cancel = await lost.expect("CANCEL")
        self.assertIn("cause=200", cancel["reason"])
        lost.respond(200, request=cancel)
        lost.respond(487)
        await lost.expect("ACK")
        response = await calling.answered()
        self.assertEqual(response.to_tag, won.tag)
        await won.expect("ACK")
        calling.bye()
        await won.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")
        self.assertEqual(winner.heard("CANCEL"), 0)


class UnansweredTests(CallCase):
    """Calls that were not.

    Whoever refuses does so over TCP: over UDP the server keeps each refusal for 32 s. `RefusedOverUdpTests` do that,
    and run before.
    """

    async def test_busy(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        called.respond(486)
        await called.expect("ACK")
        await calling.refused(486)
        row = await self.assert_closed(calling.call_id, "rejected", 486, "callee")
        self.assertIsNone(row["answer_at"])

    async def test_busy_and_the_caller_never_acknowledges(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        called.respond(486)
        await calling.expect(486)
        await self.assert_closed(calling.call_id, "rejected", 486, "callee")

    async def test_declined_everywhere(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        called.respond(603)
        await calling.refused(603)
        await self.assert_closed(calling.call_id, "rejected", 603, "callee")

    async def test_moved(self) -> None:
        calling = await (await self.phone()).call((callee := await self.phone("tcp")).user)
        elsewhere = ("Contact", "<sip:elsewhere@example.com>")
        (await callee.called(calling.call_id)).respond(302, (elsewhere,))
        response = await calling.refused(302)
        self.assertIn("<sip:elsewhere@example.com>", response.all("contact"))
        row = await self.assert_closed(calling.call_id, "redirected", 302, "callee")
        self.assertIsNone(row["ring_ms"])

    @conforms("RFC 3261 16.5")
    async def test_nobody_of_that_name(self) -> None:
        calling = await (await self.phone()).call("nobody")
        await calling.refused(404)
        row = await self.assert_closed(calling.call_id, "failed", 404, "system")
        self.assertEqual(row["callee_user"], "nobody")

    @conforms("RFC 3261 16.5")
    async def test_not_registered(self) -> None:
        caller, callee = await self.phone(), await self.silent_phone()
        calling = await caller.call(callee.user)
        await calling.refused(480)
        await self.assert_closed(calling.call_id, "no_answer", 480, "system")

    async def test_a_call_without_credentials_is_no_call(self) -> None:
        caller, callee = await self.silent_phone(), await self.phone("tcp")
        calling = Leg(caller, f"stranger@{LOOPBACK}", f"sip:{callee.user}@{LOOPBACK}")
        calling.local, calling.remote = f"<sip:{caller.user}@{LOOPBACK}>;tag=x", f"<sip:{callee.user}@{LOOPBACK}>"
        calling.invite()
        await calling.refused(407)
        # The journal is written within moments; a call that ends later than this one is there before the look at it.
        busy, called = await self.ringing(await self.phone(), callee)
        called.respond(486)
        await busy.refused(486)
        await self.server.closed_row(busy.call_id)
        self.assertEqual(await self.server.rows("/api/call_journals", calling.call_id), [])

    @conforms("RFC 3261 9.1", "RFC 3261 16.10")
    async def test_the_caller_gives_up(self) -> None:
        for transport in ("udp", "tcp"):
            calling, called = await self.ringing(await self.phone(transport), await self.phone("tcp"))
            calling.cancel()
            await calling.expect(200, "CANCEL")
            called.respond(200, request=await called.expect("CANCEL"))
            called.respond(487)
            await called.expect("ACK")
            await calling.refused(487)
            await self.assert_closed(calling.call_id, "cancelled", 487, "caller")

    @conforms("RFC 3261 9.1")
    async def test_the_caller_gives_up_before_anything_was_said(self) -> None:
        """No CANCEL may be sent before a provisional response (RFC 3261 9.1), and here comes none."""
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user)
        await callee.called(calling.call_id)
        calling.cancel()
        await calling.expect(200, "CANCEL")
        response = await calling.final_of_invite(PATIENCE + TIMER_C + LATE)
        self.assertIn(response.status, (408, 487))
        await self.assert_closed(calling.call_id, "cancelled", response.status, "caller")
        self.assertEqual(callee.heard("CANCEL"), 0)

    async def test_the_cancel_meets_a_callee_that_says_nothing_more(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        calling.cancel()
        await called.expect("CANCEL")
        response = await calling.final_of_invite(PATIENCE + TIMER_C + LATE)
        await self.assert_closed(calling.call_id, "cancelled", response.status, "caller")

    @conforms("RFC 3261 9.1")
    async def test_the_cancel_crosses_the_answer(self) -> None:
        """Who cancelled too late has a call, and ends it: ACK, then BYE (RFC 3261 9.1)."""
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        calling.cancel()
        cancel = await called.expect("CANCEL")
        called.answer()
        called.respond(481, request=cancel)
        await calling.answered()
        await called.expect("ACK")
        calling.bye()
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 16.8")
    async def test_it_rings_and_nobody_picks_up(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        cancel = await called.expect("CANCEL", seconds=TIMER_C + LATE)
        called.respond(200, request=cancel)
        called.respond(487)
        await calling.refused(408)
        row = await self.assert_closed(calling.call_id, "no_answer", 408, "system")
        self.assertApproximates(row["ring_ms"], 1000 * TIMER_C, 1000 * LATE)

    @conforms("RFC 3261 16.9")
    async def test_the_callee_is_gone_before_it_said_anything(self) -> None:
        """Timer B (RFC 3261 17.1.1.2), without a CANCEL for a phone that never answered."""
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user)
        await callee.called(calling.call_id)
        await calling.refused(408, PATIENCE + LATE)
        await self.assert_closed(calling.call_id, "no_answer", 408, "system")
        self.assertEqual(callee.heard("CANCEL"), 0)
        self.assertGreater(callee.heard("INVITE"), 5)

    async def test_the_connection_of_the_callee_breaks_while_it_rings(self) -> None:
        """The answer may still come, on another connection (RFC 3261 18.2.2); Timer C sees that it does not."""
        calling, called = await self.ringing(await self.phone(), await self.phone("tcp"))
        await called.phone.vanish()
        await calling.refused(408, TIMER_C + PATIENCE + LATE)
        await self.assert_closed(calling.call_id, "no_answer", 408, "system")

    async def test_the_caller_is_gone_while_it_rings(self) -> None:
        for transport in ("udp", "tcp"):
            calling, called = await self.ringing(await self.phone(transport), await self.phone("tcp"))
            await calling.phone.vanish()
            called.respond(486)
            await called.expect("ACK")
            row = await self.server.closed_row(calling.call_id)
            self.assertIn(row["result"], ("rejected", "failed"))
