"""A callee that answers what nobody should: every call still ends in exactly one closed row, and nothing breaks."""

from __future__ import annotations

import re

from tests.conformance import conforms
from tests.end_to_end.books import CALL_SECONDS, LATE, PATIENCE, CallCase
from tests.end_to_end.phone import Leg, sdp
from tests.running import until

SPOILED = {
    "another method": (rb"(CSeq: \d+) INVITE", rb"\1 MESSAGE"),
    "another number": (rb"CSeq: \d+", b"CSeq: 4711"),
    "another branch": (rb"branch=z9hG4bK", b"branch=z9hG4bKx"),
    "another Call-ID": (rb"Call-ID: [^\r]*", b"Call-ID: other"),
    "another tag in From": (rb"(From: [^\r]*);tag=[^\r]*", rb"\1;tag=other"),
    "no tag in From": (rb"(From: [^\r]*);tag=[^\r]*", rb"\1"),
    "a To that cannot be read": (rb"To: [^\r]*", b'To: "half <sip:'),
    "no From": (rb"From: [^\r]*\r\n", b""),
    "no To": (rb"To: [^\r]*\r\n", b""),
    "no Call-ID": (rb"Call-ID: [^\r]*\r\n", b""),
    "no CSeq": (rb"CSeq: [^\r]*\r\n", b""),
    "no Via": (rb"(Via: [^\r]*\r\n)+", b""),
    "a NUL in the reason": (rb"Said", b"Said\0"),
    "a body that is cut off": (rb"Content-Length: 0", b"Content-Length: 7"),
}


def spoil(octets: bytes, pattern: bytes, replacement: bytes) -> bytes:
    """The message with something replaced, which must be in it."""
    spoiled, count = re.subn(rb"(?i)" + pattern, replacement, octets)
    assert count, f"{pattern!r} is not in {octets!r}"
    return spoiled


class BadAnswerTests(CallCase):
    """Each answers an INVITE."""

    async def called(self) -> tuple[Leg, Leg]:
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user)
        return calling, await callee.called(calling.call_id)

    async def test_garbage(self) -> None:
        before = await self.server.bad_messages()
        calling, called = await self.called()
        good = called.response(200, body=sdp())
        for octets in (
            b"\x00\xff\xfe garbage \r\n\r\n",
            b"SIP/2.0 200\r\n\r\n",
            good[: len(good) // 3],
            b"SIP/2.0 2000 OK\r\n",
        ):
            called.phone.send(octets)
        await calling.refused(408, PATIENCE + LATE)
        await self.assert_closed(calling.call_id, "no_answer", 408, "system")
        self.assertEqual(await self.server.bad_messages(), before + 4)

    @conforms("RFC 3261 17.1.3", "RFC 3261 18.1.2")
    async def test_a_2xx_that_is_about_something_else(self) -> None:
        await self.is_not_taken_for_an_answer(200)

    async def test_a_refusal_that_is_about_something_else(self) -> None:
        await self.is_not_taken_for_an_answer(486)

    async def test_a_ringing_that_is_about_something_else(self) -> None:
        await self.is_not_taken_for_an_answer(180)

    async def is_not_taken_for_an_answer(self, status: int) -> None:
        """Each of the spoiled answers, each in a call of its own, is as good as none."""
        pairs = [await self.called() for _ in SPOILED]
        for (_, called), (pattern, replacement) in zip(pairs, SPOILED.values(), strict=True):
            called.phone.send(spoil(called.response(status), pattern, replacement))
        for (calling, _), how in zip(pairs, SPOILED, strict=True):
            response = await calling.final_of_invite(PATIENCE + LATE)
            self.assertEqual(response.status, 408, how)
            await self.assert_closed(calling.call_id, "no_answer", 408, "system")

    @conforms("RFC 3261 12.1.2")
    async def test_a_phone_that_knows_no_tags(self) -> None:
        """As RFC 2543 had it: its dialog has an empty tag (RFC 3261 12.1.2), and either side may end it."""
        for is_callee_first in (False, True):
            calling, called = await self.called()
            for status in (180, 200):
                called.phone.send(spoil(called.response(status), rb"(To: [^\r]*);tag=[^\r]*", rb"\1"))
            await calling.answered()
            await called.expect("ACK")
            called.local = called.local.partition(";tag=")[0]
            first, second = (called, calling) if is_callee_first else (calling, called)
            first.bye()
            await second.hung_up_on()
            ended_by = "callee" if is_callee_first else "caller"
            await self.assert_closed(calling.call_id, "answered", 200, ended_by)

    async def test_a_contact_that_leads_nowhere(self) -> None:
        """Nobody can be reached there for a BYE; the call is over in the end all the same."""
        contacts = (b"", b"Contact: <sip:%%%>\r\n", b"Contact: <sip:\r\n", b'Contact: "x\r\n', b"Contact: *\r\n")
        pairs = [await self.called() for _ in contacts]
        for (calling, called), contact in zip(pairs, contacts, strict=True):
            called.phone.send(spoil(called.response(200), rb"Contact: [^\r]*\r\n", contact))
            await calling.expect(200, "INVITE")
        for calling, _ in pairs:
            await self.assert_closed(calling.call_id, "answered", 200, "system", CALL_SECONDS + LATE)

    async def test_a_route_that_cannot_be_read(self) -> None:
        """The answer is for the caller, who may make of it what he can."""
        calling, called = await self.called()
        called.phone.send(spoil(called.response(200), rb"Record-Route: [^\r]*", b"Record-Route: <sip:a;lr, <sip:b"))
        await calling.expect(200, "INVITE")
        await self.assert_closed(calling.call_id, "answered", 200, "system", CALL_SECONDS + LATE)

    async def test_a_final_response_after_the_final_response(self) -> None:
        calling, called = await self.called()
        called.respond(486)
        await calling.refused(486)
        called.respond(200)
        called.respond(603)
        await self.assert_closed(calling.call_id, "rejected", 486, "callee")

    async def test_a_late_provisional_response(self) -> None:
        calling, called = await self.called()
        called.answer()
        await calling.answered()
        called.respond(183)
        calling.bye()
        await called.hung_up_on()
        row = await self.assert_closed(calling.call_id, "answered", 200, "caller")
        self.assertIsNone(row["ring_ms"])

    @conforms("RFC 3261 13.2.2.4")
    async def test_it_answers_twice_with_different_tags(self) -> None:
        """As a proxy behind it would that forks: two dialogs, one call, which is over with the last of them."""
        calling, called = await self.called()
        called.answer()
        await calling.answered()
        first = calling.remote
        called.tag += "-second"
        called.answer()
        await calling.answered()
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        calling.remote = first
        calling.bye()
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")


class RefusedOverUdpTests(CallCase):
    """Refusals by datagrams, whose transactions last longest (RFC 3261 17.1.1.2)."""

    async def test_refusals(self) -> None:
        for status, result in (
            (486, "rejected"),
            (603, "rejected"),
            (302, "redirected"),
            (404, "failed"),
            (480, "no_answer"),
        ):
            calling, called = await self.ringing(await self.phone(), await self.phone())
            called.respond(status)
            await called.expect("ACK")
            await calling.refused(status)
            await self.assert_closed(calling.call_id, result, status, "callee")

    async def test_the_caller_gives_up(self) -> None:
        calling, called = await self.ringing(await self.phone(), await self.phone())
        calling.cancel()
        called.respond(200, request=await called.expect("CANCEL"))
        called.respond(487)
        await called.expect("ACK")
        await calling.refused(487)
        await self.assert_closed(calling.call_id, "cancelled", 487, "caller")

    @conforms("RFC 3261 17.2.1")
    async def test_the_refusal_is_repeated_until_it_is_acknowledged(self) -> None:
        """Both ways: of the callee's each copy is acknowledged again, the caller's is sent again (17.2.1)."""
        calling, called = await self.ringing(await self.phone(), await self.phone())
        for _ in range(3):
            called.respond(486)
        await called.expect("ACK")

        async def repeated() -> tuple[int, int]:
            return called.phone.heard("ACK "), calling.phone.heard("SIP/2.0 486")

        await until(repeated, lambda counts: counts[0] == 3 and counts[1] >= 3)
        await calling.refused(486)
        await self.assert_closed(calling.call_id, "rejected", 486, "callee")
