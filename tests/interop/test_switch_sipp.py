"""The switch between SIPp phones: the scenarios of the proxy again, and those that two dialogs make harder."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop import sipp_calls
from tests.interop.books import closed_row, nothing_is_left, outcome
from tests.interop.sipp import Run, SippPhone
from tests.interop.sipp_script import Script, sdp
from tests.running import RunningServer, Settings, serving

HOLD_MS = 200
SETTINGS: Settings = {"auth": {"algorithms": ["MD5"]}, "sip": {"timer_t1": 0.03}}
TIMED: Settings = {
    **SETTINGS,
    "session_timers": {"mode": "accept", "min_se": 2, "session_expires": 2, "max_se": 2},
}
WATCHFUL: Settings = {**SETTINGS, "limits": {"ping_seconds": 0.3}}


class UdpTests(sipp_calls.CallTests):
    transport = "udp"
    call_schema = "b2bua"
    unanswered = 480


class TcpTests(sipp_calls.CallTests):
    transport = "tcp"
    call_schema = "b2bua"
    unanswered = 480


class TlsTests(sipp_calls.CallTests):
    """Each phone stands behind a relay that speaks TLS for it."""

    transport = "tls"
    call_schema = "b2bua"
    unanswered = 480


class ScriptCase(TestCase):
    """Alice calls Bob."""

    timeout = 120
    transport = "udp"

    async def phones(self, server: RunningServer) -> tuple[SippPhone, SippPhone]:
        """Both; Bob is registered."""
        alice, bob = [await SippPhone.make(self, server, name, self.transport, "b2bua") for name in ("alice", "bob")]
        await bob.register()
        return alice, bob

    async def play(self, caller: Script, callee: Script, settings: Settings = SETTINGS) -> tuple[str, int, str]:
        """Both go through their scripts; what the books say of the call."""
        async with serving(self, settings) as server:
            alice, bob = await self.phones(server)
            answering = await bob.await_call(callee)
            await alice.run(caller, peer="bob", hold_ms=HOLD_MS).succeeded()
            await answering.succeeded()
            return await outcome(server)


def answered(callee: Script, *headers: str) -> Script:
    """It rings, is answered and acknowledged."""
    return callee.respond(180).respond(200, *headers, body=sdp(40002)).await_("ACK")


def connected(caller: Script) -> Script:
    """The answer is there, and acknowledged."""
    return caller.take(180, optional=True).take(200, body="m=audio 40002 ").ack()


def hung_up(script: Script) -> Script:
    """The other side says BYE."""
    return script.await_("BYE").respond(200, tag=False)


def hanging_up(script: Script) -> Script:
    """This side says BYE."""
    return script.request("BYE").take(200)


class SessionTests(ScriptCase):
    @conforms("RFC 3261 13.2.1", "RFC 6337 2.2")
    async def test_the_invite_bears_no_offer(self) -> None:
        caller = Script("call_without_offer").call(body="").take(180, optional=True).take(200, body="m=audio 40002 ")
        hanging_up(caller.ack(body=sdp(40000)).pause())
        callee = Script("offer_in_200").called().respond(180).respond(200, body=sdp(40002))
        hung_up(callee.await_("ACK", body="m=audio 40000 "))
        self.assertEqual(await self.play(caller, callee), ("answered", 200, "caller"))

    @conforms("RFC 3261 13.3.1.1")
    async def test_early_media(self) -> None:
        caller = Script("call_early").call().take(183, body="m=audio 40002 ")
        hanging_up(connected(caller).pause())
        callee = Script("answer_early").called().respond(183, body=sdp(40002)).pause(100)
        hung_up(callee.respond(200, body=sdp(40002)).await_("ACK"))
        self.assertEqual(await self.play(caller, callee), ("answered", 200, "caller"))

    @conforms("RFC 3262 4", "RFC 3262 7.2")
    async def test_a_reliable_provisional_response(self) -> None:
        caller = Script("call_reliably").call("Supported: 100rel")
        caller.take(183, body="m=audio 40002 ", copies={"RSeq": "rseq"})
        caller.request("PRACK", "RAck: [$rseq] 2 INVITE").take(200)
        # The 200 bears no session any more: the answer was in the 183 (RFC 6337 3.1.1).
        hanging_up(caller.take(200).ack().pause())
        callee = Script("answer_reliably").called(keep=True, checks={"Supported": "100rel"})
        callee.respond(183, "Require: 100rel", "RSeq: 7001", body=sdp(40002))
        callee.await_("PRACK", checks={"RAck": "7001 [0-9]+ INVITE"}).respond(200, tag=False)
        hung_up(callee.answer_kept(200, body=sdp(40002)).await_("ACK"))
        self.assertEqual(await self.play(caller, callee), ("answered", 200, "caller"))

    @conforms("RFC 3264 8.4", "RFC 3261 14.1")
    async def test_hold_from_both_sides(self) -> None:
        caller = connected(Script("call_and_hold").call())
        caller.request("INVITE", body=sdp(40000, "sendonly", 2)).take(100, optional=True).take(200, body="a=recvonly")
        caller.ack().await_("INVITE", body="a=inactive").respond(200, body=sdp(40000, "inactive", 3), tag=False)
        hanging_up(caller.await_("ACK").pause())
        callee = answered(Script("held_and_holds").called()).await_("INVITE", body="a=sendonly")
        callee.respond(200, body=sdp(40002, "recvonly", 2), tag=False).await_("ACK")
        callee.request("INVITE", body=sdp(40002, "inactive", 3)).take(100, optional=True).take(200, body="a=inactive")
        hung_up(callee.ack())
        self.assertEqual(await self.play(caller, callee), ("answered", 200, "caller"))


class TcpSessionTests(SessionTests):
    transport = "tcp"


class GlareTests(ScriptCase):
    @conforms("RFC 3261 9.1", "RFC 3261 13.2.2.4")
    async def test_the_answer_crosses_the_cancel(self) -> None:
        """Bob's 200 comes when the CANCEL is already there: he is acknowledged, and hung up."""
        caller = Script("call_cancelled_late").call().take(180).cancel().take(200, checks={"CSeq": "CANCEL"})
        caller.take(487).ack_refusal()
        callee = Script("answer_the_cancelled").called(keep=True).respond(180)
        callee.await_("CANCEL").respond(200, tag=False).answer_kept(200, body=sdp(40002))
        hung_up(callee.await_("ACK"))
        self.assertEqual(await self.play(caller, callee), ("cancelled", 487, "caller"))

    @conforms("RFC 3261 14.1", "RFC 3261 14.2", "RFC 3261 21.4.27")
    async def test_both_change_the_session_at_once(self) -> None:
        """Each is refused with 491; then it is Bob's turn first."""
        caller = connected(Script("call_glare").call())
        caller.request("INVITE", body=sdp(40000, "sendonly", 2)).take(100, optional=True).take(491).ack_refusal()
        caller.await_("INVITE", body="a=inactive").respond(200, body=sdp(40000, "inactive", 3), tag=False)
        hanging_up(caller.await_("ACK").pause())
        callee = answered(Script("answer_glare").called()).await_("INVITE", keep=True, body="a=sendonly")
        callee.request("INVITE", body=sdp(40002, "inactive", 2)).take(100, optional=True).take(491).ack_refusal()
        callee.answer_kept(491).await_("ACK").pause(300)
        callee.request("INVITE", body=sdp(40002, "inactive", 3)).take(100, optional=True).take(200, body="a=inactive")
        hung_up(callee.ack())
        self.assertEqual(await self.play(caller, callee), ("answered", 200, "caller"))


class TimerTests(ScriptCase):
    @conforms("RFC 4028 7.4", "RFC 4028 10")
    async def test_the_server_refreshes_the_side_of_the_callee(self) -> None:
        timer = "Session-Expires: 2;refresher=uac"
        caller = hanging_up(connected(Script("call_long").call()).pause(2600))
        callee = Script("answer_refreshed_by_the_switch").called(checks={"Session-Expires": "2"})
        callee = answered(callee, timer, "Require: timer", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE")
        for _ in range(2):
            callee.await_("UPDATE", checks={"Session-Expires": "2;refresher=uac"})
            callee.respond(200, timer, "Require: timer", tag=False)
        hung_up(callee)
        self.assertEqual(await self.play(caller, callee, TIMED), ("answered", 200, "caller"))

    @conforms("RFC 4028 10")
    async def test_a_caller_who_was_to_refresh_does_not(self) -> None:
        timer = ("Supported: timer", "Session-Expires: 2;refresher=uac", "Min-SE: 2")
        caller = Script("call_and_forget").call(*timer).take(180, optional=True)
        caller.take(200, checks={"Session-Expires": "2;refresher=uac", "Require": "timer"}).ack()
        hung_up(caller)
        callee = hung_up(answered(Script("answer_the_forgetful").called()))
        self.assertEqual(await self.play(caller, callee, TIMED), ("answered", 200, "system"))


class KilledTests(ScriptCase):
    """One SIPp is killed in each state; the other must reach the end of its script."""

    async def killed(self, caller: Script, callee: Script, *, victim: str, when: str) -> tuple[str, str]:
        """Kill `victim` once it has seen the text; result and ended_by of the only row."""
        async with serving(self, WATCHFUL) as server:
            alice, bob = await self.phones(server)
            answering = await bob.await_call(callee)
            calling = alice.run(caller, peer="bob", hold_ms=HOLD_MS)
            dying, living = (answering, calling) if victim == "callee" else (calling, answering)
            await self.kill(dying, when)
            await living.succeeded()
            row = await closed_row(server)
            await nothing_is_left(server)
            return row["result"], row["ended_by"]

    async def kill(self, dying: Run, when: str) -> None:
        await dying.saw(when)
        await dying.program.kill()

    async def test_the_callee_before_it_rings(self) -> None:
        caller = Script("call_the_dead").call().take(480).ack_refusal()
        callee = Script("die_silently").called().pause(20_000)
        result, _ = await self.killed(caller, callee, victim="callee", when="INVITE sip:")
        self.assertIn(result, ("failed", "no_answer"))

    async def test_the_callee_after_it_answered(self) -> None:
        caller = hung_up(connected(Script("call_the_dying").call()))
        callee = Script("answer_and_die").called().respond(180).respond(200, body=sdp(40002)).pause(20_000)
        self.assertEqual(
            await self.killed(caller, callee, victim="callee", when="SIP/2.0 200 Said"), ("answered", "system")
        )

    async def test_the_callee_in_the_call(self) -> None:
        caller = hung_up(connected(Script("call_the_mortal").call()))
        callee = answered(Script("talk_and_die").called()).pause(20_000)
        self.assertEqual(await self.killed(caller, callee, victim="callee", when="ACK sip:"), ("answered", "system"))

    async def test_the_caller_while_it_rings(self) -> None:
        """Bob answers nobody, and is hung up when no ACK comes."""
        caller = Script("call_and_die").call().take(180).pause(20_000)
        callee = Script("answer_the_dead").called().respond(180).pause(500).respond(200, body=sdp(40002))
        hung_up(callee.await_("ACK"))
        result, _ = await self.killed(caller, callee, victim="caller", when="SIP/2.0 180")
        self.assertEqual(result, "answered")

    async def test_the_caller_in_the_call(self) -> None:
        caller = connected(Script("talk_then_die").call()).pause(20_000)
        callee = hung_up(answered(Script("outlive_the_caller").called()))
        self.assertEqual(await self.killed(caller, callee, victim="caller", when="ACK sip:"), ("answered", "system"))
