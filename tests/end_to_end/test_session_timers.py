"""Session timers over real sockets (RFC 4028), and the BYEs by which the server ends a session on both sides."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.books import IMPATIENT, LATE, PATIENCE
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Leg, Phone, Received
from tests.end_to_end.server import Server
from tests.running import LOOPBACK, Settings, clock

EXPIRES = 2
KNOWS = ("Supported", "timer")


def settings(mode: str) -> Settings:
    """A server whose sessions expire within moments."""
    timers = {"mode": mode, "min_se": 1, "session_expires": EXPIRES, "max_se": 3}
    return IMPATIENT | {"session_timers": timers, "limits": {"call_seconds": 60.0, "drain_seconds": 0.3}}


class TimerCase(ServerCase):
    """Each class has a server of its own."""

    async def up(self, *headers: tuple[str, str], answer: tuple[tuple[str, str], ...] = ()) -> Received:
        """A call that was answered; the 200 as the caller got it."""
        caller, callee = await self.phone("tcp"), await self.phone()
        self.calling = await caller.call(callee.user, headers)
        self.called = await callee.called(self.calling.call_id)
        self.called.answer(answer)
        response = await self.calling.answered()
        await self.called.expect("ACK")
        return response

    @property
    def invited(self) -> Received:
        """The INVITE as the callee got it."""
        assert self.called.request is not None
        return self.called.request

    async def session(self) -> dict[str, Any]:
        (row,) = await self.server.rows("/api/sessions", self.calling.call_id)
        return row

    async def assert_ended(self, calling: Leg, ended_by: str) -> dict[str, Any]:
        """The one row of an answered call, and who ended it."""
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"], row["ended_by"]), ("answered", 200, ended_by), row)
        return row

    async def both_are_hung_up_on(self, seconds: float) -> None:
        for leg in (self.calling, self.called):
            bye = await leg.expect("BYE", seconds=seconds)
            self.assertIn("Session expired", bye["reason"])
            leg.respond(200, request=bye)

    async def refresh(self, method: str, side: Leg, other: Leg, answer: tuple[tuple[str, str], ...] = ()) -> Received:
        """A re-INVITE or an UPDATE; the 200 to it."""
        side._cseq += 1
        contact = ("Contact", f"<{side.phone.contact}>")
        side._send(method, side._cseq, "", (contact, KNOWS, ("x", f"{EXPIRES};refresher=uac")))
        other.respond(200, answer, request=await other.expect(method))
        response = await side.expect(200, method)
        if method == "INVITE":
            side.ack(response)
            await other.expect("ACK")
        return response


class AcceptTests(TimerCase):
    over = settings("accept")

    @conforms("RFC 4028 8.1", "RFC 4028 8.2")
    async def test_nobody_refreshes_and_both_are_told(self) -> None:
        response = await self.up(KNOWS)
        self.assertEqual(self.invited["session-expires"], str(EXPIRES))
        self.assertEqual((response["session-expires"], response["require"]), (f"{EXPIRES};refresher=uac", "timer"))
        row = await self.session()
        self.assertEqual((row["session_expires"], row["refresher"], row["refreshed_by"]), (EXPIRES, "uac", "caller"))
        self.assertEqual(row["min_se"], 1)
        self.assertGreater(row["expires_at"], row["answered_at"])
        await self.both_are_hung_up_on(EXPIRES + PATIENCE + LATE)
        journal = await self.assert_ended(self.calling, "system")
        self.assertApproximates(journal["talk_ms"], 1000 * (EXPIRES + PATIENCE), 1000 * LATE)
        row = await self.session()
        self.assertEqual((row["state"], row["ended_by"], row["expires_at"]), ("terminated", "system", None))

    @conforms("RFC 4028 8.2")
    async def test_the_callee_alone_knows_the_timer(self) -> None:
        answer = (("Session-Expires", "1;refresher=uas"),)
        response = await self.up(answer=answer)
        self.assertEqual(response["session-expires"], "1;refresher=uas")
        self.assertEqual((await self.session())["refreshed_by"], "callee")
        await self.both_are_hung_up_on(1 + PATIENCE + LATE)
        await self.assert_ended(self.calling, "system")

    @conforms("RFC 4028 8.2")
    async def test_neither_knows_the_timer(self) -> None:
        response = await self.up()
        self.assertEqual(self.invited["session-expires"], str(EXPIRES))
        with self.assertRaises(KeyError):
            response["session-expires"]
        self.assertIsNone((await self.session())["session_expires"])
        self.calling.bye()
        await self.called.hung_up_on()
        await self.assert_ended(self.calling, "caller")

    @conforms("RFC 4028 7.4", "RFC 4028 10")
    async def test_refreshes_keep_it_up(self) -> None:
        """By UPDATE and by re-INVITE, from either side."""
        await self.up(KNOWS)
        for method in ("UPDATE", "INVITE"):
            for side, other in ((self.calling, self.called), (self.called, self.calling)):
                await deferLater(clock(), EXPIRES / 2)
                response = await self.refresh(method, side, other)
                self.assertEqual(response["session-expires"], f"{EXPIRES};refresher=uac")
        row = await self.session()
        self.assertEqual((row["state"], row["refreshed_by"]), ("active", "callee"))
        self.calling.bye()
        await self.called.hung_up_on()
        await self.assert_ended(self.calling, "caller")

    @conforms("RFC 4028 8.1")
    async def test_too_long_is_lowered(self) -> None:
        response = await self.up(KNOWS, ("Session-Expires", "1800"))
        self.assertEqual((self.invited["session-expires"], response["session-expires"]), ("3", "3;refresher=uac"))
        self.calling.bye()
        await self.called.hung_up_on()
        await self.assert_ended(self.calling, "caller")

    @conforms("RFC 4028 6", "RFC 4028 7.3")
    async def test_too_short_is_refused_and_then_accepted(self) -> None:
        caller, callee = await self.phone("tcp"), await self.phone()
        short = Leg(caller, f"short-{caller.user}@{LOOPBACK}", f"sip:{callee.user}@{LOOPBACK}")
        short.local, short.remote = f"<sip:{caller.user}@{LOOPBACK}>;tag=x", f"<sip:{callee.user}@{LOOPBACK}>"
        short.invite((KNOWS, ("Session-Expires", "0")))
        refusal = await short.refused(422)
        self.assertEqual(refusal["min-se"], "1")
        self.assertIn("at least 1 seconds", refusal["warning"])
        calling = await caller.call(callee.user, (KNOWS, ("x", "1"), ("Min-SE", refusal["min-se"])))
        called = await callee.called(calling.call_id)
        called.answer((("x", "1;refresher=uac"), ("Require", "timer")))
        await calling.answered()
        await called.expect("ACK")
        calling.bye()
        await called.hung_up_on()
        await self.assert_ended(calling, "caller")
        self.assertEqual(await self.server.rows("/api/call_journals", short.call_id), [])

    @conforms("RFC 4028 10")
    async def test_a_phone_is_gone_and_the_other_is_told(self) -> None:
        await self.up(KNOWS)
        await self.calling.phone.vanish()
        bye = await self.called.expect("BYE", seconds=EXPIRES + PATIENCE + LATE)
        self.called.respond(481, request=bye)
        await self.assert_ended(self.calling, "system")

    async def test_a_phone_hangs_up_while_the_server_does(self) -> None:
        await self.up(KNOWS)
        bye = await self.called.expect("BYE", seconds=EXPIRES + PATIENCE + LATE)
        self.called.bye()
        self.called.respond(200, request=bye)
        for _ in range(2):
            await self.calling.hung_up_on()
        await self.called.expect(200, "BYE")
        await self.assert_ended(self.calling, "system")


class OffTests(TimerCase):
    over = settings("off")

    async def test_the_phones_agree_by_themselves(self) -> None:
        """The headers pass untouched, and what they say counts for the session that we keep."""
        answer = (("Session-Expires", "1;refresher=uac"), ("Require", "timer"))
        response = await self.up(KNOWS, ("Session-Expires", "1"), ("Min-SE", "1"), answer=answer)
        self.assertEqual((self.invited["session-expires"], self.invited["min-se"]), ("1", "1"))
        self.assertEqual(response["session-expires"], "1;refresher=uac")
        await self.both_are_hung_up_on(1 + PATIENCE + LATE)
        await self.assert_ended(self.calling, "system")

    async def test_nothing_is_put_in(self) -> None:
        response = await self.up(KNOWS)
        for message in (self.invited, response):
            with self.assertRaises(KeyError):
                message["session-expires"]
        self.calling.bye()
        await self.called.hung_up_on()
        await self.assert_ended(self.calling, "caller")


class RequireTests(TimerCase):
    over = settings("require")

    @conforms("RFC 3261 21.4.15")
    async def test_a_caller_without_the_timer(self) -> None:
        """It is not even asked for credentials."""
        caller, callee = await self.phone("tcp"), await self.phone()
        calling = Leg(caller, f"without-{caller.user}@{LOOPBACK}", f"sip:{callee.user}@{LOOPBACK}")
        calling.local, calling.remote = f"<sip:{caller.user}@{LOOPBACK}>;tag=x", f"<sip:{callee.user}@{LOOPBACK}>"
        calling.invite()
        refusal = await calling.refused(421)
        self.assertEqual(refusal["require"], "timer")
        self.assertIn("Supported: timer", refusal["warning"])
        self.assertEqual(caller.heard("SIP/2.0 407"), 0)
        self.assertEqual(callee.heard("INVITE"), 0)

    async def test_a_caller_with_it(self) -> None:
        response = await self.up(KNOWS)
        self.assertEqual(response["session-expires"], f"{EXPIRES};refresher=uac")
        await self.both_are_hung_up_on(EXPIRES + PATIENCE + LATE)
        await self.assert_ended(self.calling, "system")


class StopTests(TestCase):
    """The server stops while phones talk."""

    timeout = 60

    async def test_both_phones_are_told(self) -> None:
        server = Server(settings("accept"))
        await server.start()
        self.addCleanup(server.kill)
        phones = []
        for user in ("alice", "bob"):
            await server.api.add_phone(user)
            phones.append(Phone.udp(self, server.sip_port, user))
            await phones[-1].register()
        calling = await phones[0].call("bob", (KNOWS, ("Session-Expires", "3")))
        called = await phones[1].called(calling.call_id)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        stopped = server.stopping()
        for leg in (calling, called):
            bye = await leg.expect("BYE")
            self.assertIn("The server is stopping", bye["reason"])
            leg.respond(200, request=bye)
        await stopped
        await server.start()
        row = await server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["ended_by"]), ("answered", "system"))
        await server.stop()
