"""Groups, forwards, do not disturb, feature codes and the trunk, over real sockets against the real process."""

from __future__ import annotations

import re
from itertools import count
from typing import Any

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Leg, Phone, _DatagramWire
from tests.running import LOOPBACK, Settings, serving, until

_numbers = count(600)
_names = count(1)


class PlanCase(CallCase):
    """Everybody is bridged."""

    async def bridged(self, **settings: object) -> Phone:
        """A registered phone of somebody new."""
        user = f"plan{next(_names)}"
        await self.server.api.add_phone(user, "b2bua")
        phone = await self.silent_phone("udp", user)
        await phone.register()
        if settings:
            await self.change(phone, **settings)
        return phone

    async def person(self, phone: Phone) -> dict[str, Any]:
        (row,) = await self.server.api.rows("/api/users", login=phone.user)
        return row

    async def change(self, phone: Phone, **settings: object) -> None:
        person = await self.person(phone)
        status, text = await self.server.api.ask("PATCH", f"/api/users/{person['id']}", settings)
        self.assertEqual(status, 200, text)

    async def form(self, *phones: Phone, **settings: object) -> dict[str, Any]:
        """A ring group of the owners of these phones."""
        members = [{"user_id": (await self.person(phone))["id"]} for phone in phones]
        wanted = {"number": str(next(_numbers)), "name": "", "members": members, **settings}
        return await self.server.api.create("/api/ring_groups", wanted)

    async def ring_at(self, *phones: Phone) -> list[Leg]:
        """The legs of phones that ring."""
        legs = [await phone.called() for phone in phones]
        for leg in legs:
            leg.respond(180)
        return legs

    async def talk(self, calling: Leg, called: Leg) -> None:
        """The call is answered and over."""
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")

    async def cancelled(self, leg: Leg, cause: str) -> None:
        cancel = await leg.expect("CANCEL")
        if cause:
            self.assertIn(cause, cancel["reason"])
        leg.respond(200, request=cancel)
        leg.respond(487)
        await leg.expect("ACK")


class GroupTests(PlanCase):
    @conforms("RFC 3326 2")
    async def test_the_losers_hear_that_it_was_answered_elsewhere(self) -> None:
        caller, first, second, third = [await self.bridged() for _ in range(4)]
        group = await self.form(first, second, third)
        calling = await caller.call(group["number"])
        legs = await self.ring_at(first, second, third)
        await calling.expect(180)
        legs[1].answer()
        await calling.answered()
        await legs[1].expect("ACK")
        for leg in (legs[0], legs[2]):
            await self.cancelled(leg, "cause=200")
        calling.bye()
        await legs[1].hung_up_on()
        await calling.expect(200, "BYE")
        await self.assert_closed(calling.call_id, "answered", 200, "caller")
        counted = (await self.server.api.read(f"/api/ring_groups/{group['id']}/statistics"))["data"]
        self.assertEqual((counted["offered"], counted["answered"], counted["missed"]), (1, 1, 0), counted)
        answered = [member["answered"] for member in counted["members"]]
        self.assertEqual(answered, [0, 1, 0])

    async def test_one_after_the_other_and_then_the_fallback(self) -> None:
        caller, first, second, third = [await self.bridged() for _ in range(4)]
        group = await self.form(first, second, strategy="sequential", ring_seconds=1, fallback=third.user)
        calling = await caller.call(group["number"])
        for phone in (first, second):
            (leg,) = await self.ring_at(phone)
            await self.cancelled(leg, "")
        (leg,) = await self.ring_at(third)
        await self.talk(calling, leg)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def test_nobody_there(self) -> None:
        caller, away = [await self.bridged() for _ in range(2)]
        await away.register(expires=0)
        group = await self.form(away)
        calling = await caller.call(group["number"])
        await calling.refused(480)
        await self.assert_closed(calling.call_id, "no_answer", 480, "system")


class ForwardTests(PlanCase):
    async def test_always(self) -> None:
        caller, called, other = [await self.bridged() for _ in range(3)]
        await self.change(called, forward_always=other.user)
        calling = await caller.call(called.user)
        (leg,) = await self.ring_at(other)
        await self.talk(calling, leg)
        self.assertEqual(called.heard("INVITE"), 0)

    async def test_busy(self) -> None:
        caller, called, other = [await self.bridged() for _ in range(3)]
        await self.change(called, forward_busy=other.user)
        calling = await caller.call(called.user)
        (leg,) = await self.ring_at(called)
        leg.respond(486)
        await leg.expect("ACK")
        (leg,) = await self.ring_at(other)
        await self.talk(calling, leg)

    async def test_no_answer(self) -> None:
        caller, called, other = [await self.bridged() for _ in range(3)]
        await self.change(called, forward_no_answer=other.user, ring_seconds=1)
        calling = await caller.call(called.user)
        (leg,) = await self.ring_at(called)
        await self.cancelled(leg, "")
        (leg,) = await self.ring_at(other)
        await self.talk(calling, leg)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def test_a_circle(self) -> None:
        caller, one, other = [await self.bridged() for _ in range(3)]
        await self.change(one, forward_always=other.user)
        await self.change(other, forward_always=one.user)
        calling = await caller.call(one.user)
        answer = await calling.refused(482)
        self.assertIn("circle", answer["warning"])
        await self.assert_closed(calling.call_id, "failed", 482, "system")

    async def test_not_to_be_disturbed(self) -> None:
        caller, called = [await self.bridged() for _ in range(2)]
        await self.change(called, dnd=True)
        calling = await caller.call(called.user)
        answer = await calling.refused(486)
        self.assertIn("disturbed", answer["warning"])
        self.assertEqual(called.heard("INVITE"), 0)


class CodeTests(PlanCase):
    async def dial(self, phone: Phone, code: str) -> None:
        """The code is answered and hung up on."""
        calling = await phone.call(code)
        answer = await calling.answered()
        self.assertIn("a=inactive", answer.body.decode())
        await calling.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "system")

    async def test_do_not_disturb(self) -> None:
        caller, called = [await self.bridged() for _ in range(2)]
        await self.dial(called, "*78")
        self.assertTrue((await self.person(called))["dnd"])
        await (await caller.call(called.user)).refused(486)
        await self.dial(called, "*79")
        self.assertFalse((await self.person(called))["dnd"])
        calling = await caller.call(called.user)
        (leg,) = await self.ring_at(called)
        await self.talk(calling, leg)

    async def test_forward(self) -> None:
        caller, called, other = [await self.bridged() for _ in range(3)]
        await self.dial(called, f"*72{other.user}")
        self.assertEqual((await self.person(called))["forward_always"], other.user)
        calling = await caller.call(called.user)
        (leg,) = await self.ring_at(other)
        await self.talk(calling, leg)
        await self.dial(called, "*73")
        self.assertEqual((await self.person(called))["forward_always"], "")

    async def test_where_nobody_is(self) -> None:
        phone = await self.bridged()
        await (await phone.call("*72nobody")).refused(404)
        self.assertEqual((await self.person(phone))["forward_always"], "")

    async def test_a_code_that_needs_media(self) -> None:
        phone = await self.bridged()
        answer = await (await phone.call("*43")).refused(501)
        self.assertIn("media", answer["warning"])

    async def test_intercom(self) -> None:
        caller, called = [await self.bridged() for _ in range(2)]
        calling = await caller.call(f"*80{called.user}")
        leg = await called.called()
        assert leg.request is not None
        self.assertEqual(leg.request["answer-mode"], "Auto")
        self.assertIn("answer-after=0", leg.request["call-info"])
        await self.talk(calling, leg)


class TrunkTests(TestCase):
    """A trunk that asks for a password."""

    timeout = 60

    @conforms("RFC 3325 9.1", "RFC 3261 22.3")
    async def test_out_and_for_help(self) -> None:
        wire = _DatagramWire(0)
        self.addCleanup(wire.close)
        trunk = Phone(wire, "trunk")
        over: Settings = {
            "trunk": {
                "uri": f"sip:{LOOPBACK}:{wire.port}",
                "username": "office",
                "password": "secret words",
                "caller_id": "+15550001",
                "from_domain": "office.test",
            },
            "emergency": {"numbers": ["112"], "caller_id": "+15550911", "locations": [["127.0.0.0/8", "+15550100"]]},
            "dialplan": {"country_code": "49", "national_prefix": "0"},
        }
        async with serving(self, over) as server:
            wire._server = (LOOPBACK, server.sip_port)
            await server.api.add_phone("alice", "b2bua")
            alice = Phone.udp(self, server.sip_port, "alice")
            await alice.register()
            for dialled, number, shown in (
                ("03012345", "+493012345", "+15550001"),
                ("112", "112", "+15550100"),
            ):
                await self.reach(alice, trunk, dialled, number, shown)
            self.assertIn("dials the emergency number 112", server.program.output)

            async def rows() -> list[dict[str, Any]]:
                return await server.api.rows("/api/call_journals")

            closed = await until(rows, lambda found: len(found) == 2 and all(row["end_at"] for row in found))
            self.assertEqual({row["result"] for row in closed}, {"answered"})

    async def reach(self, alice: Phone, trunk: Phone, dialled: str, number: str, shown: str) -> None:
        """A call that the trunk challenges, answers and ends."""
        calling = await alice.call(dialled)
        challenged = await trunk.called()
        assert challenged.request is not None
        challenged.respond(407, (("Proxy-Authenticate", 'Digest realm="trunk", nonce="n1", qop="auth"'),))
        await challenged.expect("ACK")
        called = await trunk.called()
        invite = called.request
        assert invite is not None
        self.assertEqual(invite.uri, f"sip:{number}@{LOOPBACK}:{trunk.port}")
        self.assertIn(f"<sip:{shown}@office.test>", invite["from"])
        self.assertEqual(invite["p-asserted-identity"], f"<sip:{shown}@office.test>")
        self.assertIsNotNone(re.search('username="office".*realm="trunk"', invite["proxy-authorization"]))
        self.assertNotIn("secret words", str(invite))
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        called.bye()
        await calling.hung_up_on()
        await called.expect(200, "BYE")
