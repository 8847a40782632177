"""One call to several phones, over real sockets: together, one after the other, and in place of one another."""

from __future__ import annotations

from typing import ClassVar

from tests.conformance import conforms
from tests.end_to_end.books import T1, TIMER_C, CallCase
from tests.end_to_end.phone import Leg, Phone, message
from tests.running import LOOPBACK, Settings

RING_SECONDS = 1.0
HUNTING: Settings = {
    "sip": {"timer_t1": T1, "timer_t2": 0.25, "timer_t4": 0.3, "timer_c": TIMER_C, "ring_seconds": RING_SECONDS}
}


class ForkingCase(CallCase):
    over = HUNTING

    async def phones(self, *parameters: str, transports: tuple[str, ...] = ("udp", "tcp")) -> list[Phone]:
        """Phones of one person, each with these parameters in its Contact."""
        found: list[Phone] = []
        for at, each in enumerate(parameters):
            phone = await self.silent_phone(transports[at % len(transports)], found[0].user if found else "")
            await phone.register(parameters=each)
            found.append(phone)
        return found

    async def rung(self, calling: Leg, *phones: Phone) -> list[Leg]:
        """These phones ring."""
        called = [await phone.called(calling.call_id) for phone in phones]
        for leg in called:
            leg.respond(180)
            await calling.expect(180)
        return called

    async def cancelled(self, leg: Leg, cause: str) -> None:
        """The phone is told why it rings no more, and says so."""
        cancel = await leg.expect("CANCEL")
        self.assertIn(cause, cancel["reason"])
        leg.respond(200, request=cancel)
        leg.respond(487)
        await leg.expect("ACK")


class TogetherTests(ForkingCase):
    @conforms("RFC 3261 16.6", "RFC 3261 16.7", "RFC 3326 2", "RFC 5393 5.3.3")
    async def test_who_answers_first_has_the_call(self) -> None:
        phones = await self.phones("", "", "")
        calling = await (await self.phone()).call(phones[0].user)
        called = await self.rung(calling, *phones)
        self.assertEqual([leg.request["max-breadth"] for leg in called if leg.request], ["20"] * 3)
        called[1].answer()
        await calling.answered()
        await called[1].expect("ACK")
        for leg in (called[0], called[2]):
            await self.cancelled(leg, "cause=200")
        calling.bye()
        await called[1].hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 16.7")
    async def test_two_answer_at_the_same_moment(self) -> None:
        """Both 2xx go back; the caller keeps one and hangs up the other."""
        phones = await self.phones("", "")
        calling = await (await self.phone()).call(phones[0].user)
        called = await self.rung(calling, *phones)
        for leg in called:
            leg.answer()
        answers = [await calling.expect(200, "INVITE") for _ in called]
        self.assertEqual({answer.to_tag for answer in answers}, {leg.tag for leg in called})
        for answer in answers:
            calling.ack(answer)
            calling.bye()
        for leg in called:
            await leg.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 16.7")
    async def test_the_best_of_the_refusals(self) -> None:
        phones = await self.phones("", "", "")
        calling = await (await self.phone()).call(phones[0].user)
        for leg, code in zip(await self.rung(calling, *phones), (503, 486, 484), strict=True):
            leg.respond(code)
        await calling.refused(484)
        await self.assert_closed(calling.call_id, "failed", 484, "callee")

    @conforms("RFC 3261 16.7")
    async def test_one_declines_for_all(self) -> None:
        phones = await self.phones("", "")
        calling = await (await self.phone()).call(phones[0].user)
        first, second = await self.rung(calling, *phones)
        first.respond(603)
        cancel = await second.expect("CANCEL")
        second.respond(200, request=cancel)
        second.respond(487)
        await calling.refused(603)
        await self.assert_closed(calling.call_id, "rejected", 603, "callee")


class HuntingTests(ForkingCase):
    """By q, the highest first."""

    @conforms("RFC 3261 16.6", "RFC 3261 10.2.1.2")
    async def test_the_next_when_the_one_before_is_busy(self) -> None:
        first, last, second = await self.phones(";q=0.9", ";q=0.1", ";q=0.5")
        calling = await (await self.phone()).call(first.user)
        for phone in (first, second):
            (leg,) = await self.rung(calling, phone)
            self.assertEqual(last.heard("INVITE"), 0)
            leg.respond(486)
            await leg.expect("ACK")
        (leg,) = await self.rung(calling, last)
        leg.answer()
        await calling.answered()
        await leg.expect("ACK")
        calling.bye()
        await leg.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 16.10", "RFC 3326 2")
    async def test_the_next_when_the_one_before_only_rings(self) -> None:
        first, second = await self.phones(";q=0.9", ";q=0.5")
        calling = await (await self.phone()).call(first.user)
        (leg,) = await self.rung(calling, first)
        self.assertEqual(second.heard("INVITE"), 0)
        await self.cancelled(leg, "cause=408")
        (leg,) = await self.rung(calling, second)
        leg.answer()
        await calling.answered()
        await leg.expect("ACK")
        calling.bye()
        await leg.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 16.10")
    async def test_the_caller_gives_up_in_the_middle(self) -> None:
        first, second, third = await self.phones(";q=0.9", ";q=0.5", ";q=0.1")
        calling = await (await self.phone()).call(first.user)
        (await self.rung(calling, first))[0].respond(480)
        (leg,) = await self.rung(calling, second)
        calling.cancel()
        await calling.expect(200, "CANCEL")
        leg.respond(200, request=await leg.expect("CANCEL"))
        leg.respond(487)
        await calling.final_of_invite()
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["ended_by"]), ("cancelled", "caller"))
        self.assertEqual(third.heard("INVITE"), 0)

    @conforms("RFC 3261 16.9")
    async def test_the_connection_of_the_caller_breaks(self) -> None:
        """Who rings is not cancelled for that; whoever waits in vain for the ACK hangs up."""
        caller = await self.phone("tcp")
        calling, called = await self.ringing(caller, await self.phone())
        await caller.vanish()
        await self.phone()  # by now the server has seen it
        self.assertEqual(called.phone.heard("CANCEL"), 0)
        called.answer()
        called.bye()
        await self.assert_closed(calling.call_id, "answered", 200, "callee")


class OnwardTests(ForkingCase):
    """A phone sends the call on (16.7 item 4)."""

    @conforms("RFC 3261 16.5", "RFC 3261 16.7")
    async def test_to_one_of_ours(self) -> None:
        first, second = await self.phone(), await self.phone("tcp")
        calling = await (await self.phone()).call(first.user)
        (leg,) = await self.rung(calling, first)
        leg.phone.send(_moved(leg, f"<sip:{second.user}@{LOOPBACK}>"))
        await leg.expect("ACK")
        (leg,) = await self.rung(calling, second)
        leg.answer()
        await calling.answered()
        await leg.expect("ACK")
        calling.bye()
        await leg.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 16.7")
    async def test_to_somebody_else(self) -> None:
        """No phone makes us call another domain: its 302 is the caller's to follow."""
        first = await self.phone()
        calling = await (await self.phone()).call(first.user)
        (leg,) = await self.rung(calling, first)
        leg.phone.send(_moved(leg, "<sip:somebody@far.example>"))
        answer = await calling.refused(302)
        self.assertEqual(answer.all("contact"), ["<sip:somebody@far.example>"])
        await self.assert_closed(calling.call_id, "redirected", 302, "callee")


class RoundTests(ForkingCase):
    """A contact that leads back to the server (RFC 5393)."""

    over: ClassVar[Settings] = {"auth": {"trusted_networks": [f"{LOOPBACK}/32"]}}

    @conforms("RFC 5393 4.1", "RFC 5393 4.2.2")
    async def test_a_loop_is_refused(self) -> None:
        phone, relay = await self.phones("", "", transports=("tcp",))
        calling = Leg(await self.phone("tcp"), f"round@{LOOPBACK}", f"sip:{phone.user}@{LOOPBACK}")
        calling.local, calling.remote = f"<sip:{calling.phone.user}@{LOOPBACK}>;tag=round", f"<{calling.target}>"
        calling.invite()
        await calling.expect(100)
        legs = [await each.called(calling.call_id) for each in (phone, relay)]
        back = legs[1].request
        assert back is not None
        head = [("Via", relay.via()), *(pair for pair in back.headers if not pair[0].startswith("content-"))]
        relay.send(message(f"INVITE {calling.target} SIP/2.0", *head))
        refused = await relay.expect(482, method="INVITE")
        self.assertIn("399", refused["warning"])
        self.assertEqual((phone.heard("INVITE"), relay.heard("INVITE")), (1, 1))
        legs[1].respond(482)
        legs[0].respond(486)
        await calling.refused(482)
        await self.server.nothing_goes_on()


def _moved(leg: Leg, contact: str) -> bytes:
    """The 302 of a phone, whose only Contact is where to go."""
    own = f"Contact: <{leg.phone.contact}>".encode()
    return leg.response(302).replace(own, f"Contact: {contact}".encode())
