"""A callee that answers what nobody should: every call still ends in exactly one closed row, and nothing breaks."""

from __future__ import annotations

import re

from twisted.internet.defer import gatherResults

from tests.end_to_end.books import LATE, PATIENCE, TIMER_C, CallCase
from tests.end_to_end.phone import Leg, sdp


class BadAnswerTests(CallCase):
    """Each answers an INVITE."""

    async def called(self) -> tuple[Leg, Leg]:
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user)
        return calling, await callee.called(calling.call_id)

    async def test_garbage(self) -> None:
        before = await self.server.api.metric("sip_bad_messages_total")
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
        self.assertEqual(await self.server.api.metric("sip_bad_messages_total"), before + 4)

    async def test_another_method_in_the_cseq(self) -> None:
        calling, called = await self.called()
        called.phone.send(called.response(200).replace(b" INVITE\r\n", b" MESSAGE\r\n"))
        await calling.refused(408, PATIENCE + LATE)
        await self.assert_closed(calling.call_id, "no_answer", 408, "system")

    async def test_another_branch(self) -> None:
        calling, called = await self.called()
        called.phone.send(called.response(200).replace(b"branch=z9hG4bK", b"branch=z9hG4bKx", 1))
        await calling.refused(408, PATIENCE + LATE)
        await self.assert_closed(calling.call_id, "no_answer", 408, "system")

    async def ends(self, calling: Leg, octets: bytes, called: Leg) -> None:
        """After such an answer, the caller gets a final response or hangs up; the row is closed, whatever it says."""
        called.phone.send(octets)
        response = await calling.final_of_invite(TIMER_C + PATIENCE + LATE)
        if response.status < 300:
            calling.remote = response["to"]
            calling.bye()
        row = await self.server.closed_row(calling.call_id, 5.0 + PATIENCE)
        self.assertIsNotNone(row["result"])

    async def test_another_number_in_the_cseq(self) -> None:
        calling, called = await self.called()
        await self.ends(calling, re.sub(rb"CSeq: \d+", b"CSeq: 4711", called.response(200)), called)

    async def test_an_answer_without_a_tag_in_to(self) -> None:
        calling, called = await self.called()
        await self.ends(calling, re.sub(rb"(To: [^\r]*);tag=[^\r]*", rb"\1", called.response(200)), called)

    async def test_an_answer_with_another_tag_in_from(self) -> None:
        calling, called = await self.called()
        await self.ends(calling, re.sub(rb"(From: [^\r]*);tag=[^\r]*", rb"\1;tag=other", called.response(200)), called)

    async def test_an_answer_with_another_call_id(self) -> None:
        calling, called = await self.called()
        called.phone.send(re.sub(rb"Call-ID: [^\r]*", b"Call-ID: other", called.response(200)))
        row = await self.server.closed_row(calling.call_id, 5.0 + PATIENCE)
        self.assertIsNotNone(row["result"])

    async def test_an_answer_whose_to_cannot_be_read(self) -> None:
        for status in (180, 200, 486):
            calling, called = await self.called()
            octets = re.sub(rb"To: [^\r]*", b'To: "half <sip:', called.response(status))
            called.phone.send(octets)
            response = await calling.final_of_invite(TIMER_C + PATIENCE + LATE)
            row = await self.server.closed_row(calling.call_id)
            self.assertEqual(row["final_code"], response.status)
            self.assertGreaterEqual(response.status, 400)

    async def test_an_answer_without_a_contact(self) -> None:
        calling, called = await self.called()
        await self.ends(calling, re.sub(rb"Contact: [^\r]*\r\n", b"", called.response(200)), called)

    async def test_an_answer_with_only_what_a_response_cannot_do_without(self) -> None:
        """Here and there something is missing or doubled; each is a call of its own."""
        spoils = (
            lambda octets: re.sub(rb"From: [^\r]*\r\n", b"", octets),
            lambda octets: re.sub(rb"To: [^\r]*\r\n", b"", octets),
            lambda octets: re.sub(rb"Call-ID: [^\r]*\r\n", b"", octets),
            lambda octets: re.sub(rb"CSeq: [^\r]*\r\n", b"", octets),
            lambda octets: re.sub(rb"(Via: [^\r]*\r\n)+", b"", octets),
            lambda octets: re.sub(rb"(To: [^\r]*\r\n)", rb"\1\1", octets),
            lambda octets: octets.replace(b"Contact: <sip:", b"Contact: <sip:%%"),
            lambda octets: octets.replace(b"SIP/2.0 200 Said", b"SIP/2.0 299 \xff\xfe\x00"),
        )
        pairs = [await self.called() for _ in spoils]
        await gatherResults([])
        for (_, called), spoil in zip(pairs, spoils, strict=True):
            called.phone.send(spoil(called.response(200)))
        for calling, _ in pairs:
            row = await self.server.closed_row(calling.call_id, 5.0 + PATIENCE)
            self.assertIsNotNone(row["result"])

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
