"""Bridged calls between scripted phones, over real sockets against the real process: all that is not a transfer."""

from __future__ import annotations

from tests.conformance import conforms
from tests.end_to_end.phone import Leg
from tests.end_to_end.switch_cases import SwitchCase, session

ALICE, BOB = session(41000), session(42000)


class CallTests(SwitchCase):
    """Calls from the INVITE to the BYE."""

    @conforms("RFC 3261 12.1.1", "RFC 3261 12.1.2", "RFC 3261 15.1.1")
    async def test_the_caller_hangs_up(self) -> None:
        for transports in (("udp", "tcp"), ("tcp", "udp"), ("udp", "udp")):
            caller, callee = [await self.phone(transport) for transport in transports]
            calling, called = await self.talking(caller, callee)
            await self.hang_up(calling, called)
            row = await self.assert_closed(calling.call_id, "answered", 200, "caller")
            self.assertEqual((row["caller_user"], row["callee_user"]), (caller.user, callee.user))
            self.assertEqual(row["direction"], "internal")

    async def test_the_callee_hangs_up(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        await self.hang_up(called, calling)
        await self.assert_closed(calling.call_id, "answered", 200, "callee")

    @conforms("RFC 3261 15.1.2")
    async def test_both_hang_up_at_once(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.bye()
        called.bye()
        for leg in (calling, called):
            await leg.expect(200, "BYE")
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual((row["result"], row["final_code"]), ("answered", 200))

    async def test_nothing_of_one_side_is_told_to_the_other(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling, called = await self.talking(caller, callee)
        await self.negotiate(calling, called, session(41000, "sendonly", 2), session(42000, "recvonly", 2))
        await self.hang_up(called, calling)
        for phone, leg, other in ((caller, calling, called), (callee, called, calling)):
            seen = phone.everything
            foreign = (other.call_id, f":{other.phone.port}", other.tag or other.local.rpartition("tag=")[2])
            self.assertEqual([text for text in foreign if text.encode() in seen], [], phone.user)
            self.assertIn(leg.call_id.encode(), seen)
            self.assertNotIn(b"Record-Route", seen)

    async def test_what_the_caller_says_of_the_call_is_passed_on(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        told = (("Subject", "lunch"), ("Priority", "urgent"), ("Alert-Info", "<http://127.0.0.1/ring>"), ("X-Own", "1"))
        calling = await caller.call(callee.user, told)
        called = await callee.called()
        assert called.request is not None
        for name, value in told[:3]:
            self.assertEqual(called.request[name.lower()], value)
        self.assertIn(f"sip:{caller.user}@", called.request["from"])
        self.assertLess(int(called.request["max-forwards"]), 70)
        called.respond(486)
        await calling.refused(486)
        await called.expect("ACK")

    @conforms("RFC 3261 13.2.2.3")
    async def test_a_refusal_comes_through_with_its_reason(self) -> None:
        for status, result in ((486, "rejected"), (603, "rejected"), (480, "no_answer"), (404, "failed")):
            calling, called = await self.ringing(await self.phone(), await self.phone())
            called.respond(status, (("Reason", 'Q.850;cause=17;text="said so"'),))
            await calling.refused(status)
            await called.expect("ACK")
            row = await self.server.closed_row(calling.call_id)
            self.assertEqual((row["final_code"], row["ended_by"]), (status, "callee"), result)

    @conforms("RFC 3261 20.22")
    async def test_no_hops_are_left(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling = Leg(caller, "hops@127.0.0.1", f"sip:{callee.user}@127.0.0.1")
        calling.local, calling.remote = f"<sip:{caller.user}@127.0.0.1>;tag=hops", f"<{calling.target}>"
        octets = b"\r\n".join(
            line.encode()
            for line in (
                f"INVITE {calling.target} SIP/2.0",
                f"Via: {caller.via()}",
                "Max-Forwards: 0",
                f"From: {calling.local}",
                f"To: {calling.remote}",
                f"Call-ID: {calling.call_id}",
                "CSeq: 1 INVITE",
                f"Contact: <{caller.contact}>",
                "Content-Length: 0",
                "",
                "",
            )
        )
        caller.send(octets)
        await calling.expect(483, "INVITE")
        self.assertEqual(callee.heard("INVITE"), 0)


class SessionTests(SwitchCase):
    """Who offers, who answers, and when."""

    @conforms("RFC 3261 13.2.1", "RFC 3264 4")
    async def test_offer_and_answer_reach_the_other_side_as_they_were(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user, body=ALICE)
        called = await callee.called()
        assert called.request is not None
        self.assertIn(b"m=audio 41000 ", called.request.body)
        called.respond(200, body=BOB)
        answer = await calling.answered()
        self.assertIn(b"m=audio 42000 ", answer.body)
        await called.expect("ACK")
        await self.hang_up(calling, called)

    @conforms("RFC 3261 13.2.1", "RFC 6337 2.2")
    async def test_the_invite_bears_no_offer(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user, body=b"")
        called = await callee.called()
        assert called.request is not None
        self.assertEqual(called.request.body, b"")
        called.respond(180)
        called.respond(200, body=BOB)
        offer = await calling.expect(200, "INVITE")
        self.assertIn(b"m=audio 42000 ", offer.body)
        calling.ack(offer, ALICE)
        answer = await called.expect("ACK")
        self.assertIn(b"m=audio 41000 ", answer.body)
        await self.hang_up(called, calling)
        await self.assert_closed(calling.call_id, "answered", 200, "callee")

    @conforms("RFC 3261 13.3.1.1")
    async def test_early_media_is_passed_on(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user, body=ALICE)
        called = await callee.called()
        called.respond(183, body=BOB)
        self.assertIn(b"m=audio 42000 ", (await calling.expect(183)).body)
        called.respond(200, body=BOB)
        self.assertIn(b"m=audio 42000 ", (await calling.answered()).body)
        await called.expect("ACK")
        await self.hang_up(calling, called)

    @conforms("RFC 3262 3", "RFC 3262 4", "RFC 3262 7.2")
    async def test_reliable_provisional_responses_on_both_sides(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling = await caller.call(callee.user, (("Supported", "100rel"),), ALICE)
        called = await callee.called()
        called.respond(183, (("Require", "100rel"), ("RSeq", "5001")), body=BOB)
        acknowledged = await called.expect("PRACK")
        assert called.request is not None
        self.assertEqual(acknowledged["rack"], f"5001 {called.request['cseq']}")
        called.respond(200, request=acknowledged)
        early = await calling.expect(183)
        self.assertIn(b"m=audio 42000 ", early.body)
        if "rseq" in dict(early.headers):
            calling.follow(early)
            calling.ask("PRACK", (("RAck", f"{early['rseq']} {early['cseq']}"),))
            await calling.expect(200, "PRACK")
        called.respond(200, body=BOB)
        await calling.answered()
        await called.expect("ACK")
        await self.hang_up(calling, called)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3264 8.4", "RFC 3261 14.1", "RFC 3261 14.2")
    async def test_hold_and_resume_from_either_side(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        version = 1
        for one, port, other, answer in ((calling, 41000, called, 42000), (called, 42000, calling, 41000)):
            for direction, reply in (("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")):
                version += 1
                offers = session(port, direction, version), session(answer, reply, version)
                asked, agreed = await self.negotiate(one, other, *offers)
                self.assertIn(f"a={direction}".encode(), asked.body)
                self.assertIn(f"a={reply}".encode(), agreed.body)
        await self.hang_up(calling, called)

    @conforms("RFC 3264 8")
    async def test_the_origin_that_one_side_sees_is_always_the_same(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        seen = []
        for version in (2, 3):
            offers = session(41000, version=version, extra=(("x", str(version)),)), session(42000, version=version)
            asked, _ = await self.negotiate(calling, called, *offers)
            seen.append(next(line for line in asked.body.split(b"\r\n") if line.startswith(b"o=")).split())
        self.assertEqual((seen[0][1], int(seen[0][2]) + 1), (seen[1][1], int(seen[1][2])))
        await self.hang_up(called, calling)

    @conforms("RFC 3261 14.1", "RFC 3261 14.2")
    async def test_a_refused_change_leaves_the_call_as_it_was(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        calling.invite(body=session(41000, version=2))
        called.respond(488, request=await called.expect("INVITE"))
        await calling.refused(488)
        await called.expect("ACK")
        await self.negotiate(called, calling, session(42000, version=2), session(41000, version=3))
        await self.hang_up(calling, called)
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3311 5.2")
    async def test_an_offer_in_an_update_is_put_to_the_other_side_by_a_re_invite(self) -> None:
        caller, callee = await self.phone(), await self.phone()
        calling, called = await self.talking(caller, callee, (("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"),))
        calling.ask("UPDATE", (("Contact", f"<{caller.contact}>"),), session(41000, "sendonly", 2))
        asked = await called.expect("INVITE")
        self.assertIn(b"a=sendonly", asked.body)
        called.respond(200, request=asked, body=session(42000, "recvonly", 2))
        self.assertIn(b"a=recvonly", (await calling.expect(200, "UPDATE")).body)
        await called.expect("ACK")
        await self.hang_up(calling, called)


class RequestTests(SwitchCase):
    """What else is said within a call."""

    @conforms("RFC 6086 4.2.1")
    async def test_digits_and_words(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        digit = (("Content-Type", "application/dtmf-relay"),)
        words = (("Content-Type", "text/plain"),)
        for one, other in ((calling, called), (called, calling)):
            for method, headers, body in (("INFO", digit, b"Signal=5\r\nDuration=160\r\n"), ("MESSAGE", words, b"hi")):
                one.ask(method, headers, body)
                heard = await other.expect(method)
                self.assertEqual(heard.body, body)
                other.respond(200, request=heard)
                await one.expect(200, method)
        await self.hang_up(calling, called)

    @conforms("RFC 3261 12.2.2")
    async def test_a_request_in_a_dialog_that_is_not_there(self) -> None:
        calling, called = await self.talking(await self.phone(), await self.phone())
        await self.hang_up(calling, called)
        calling.ask("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=5\r\n")
        refusal = await calling.phone.final("INFO", call_id=calling.call_id)
        self.assertIn(refusal.status, (407, 481))
