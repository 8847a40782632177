"""What passes between two legs that talk, and what becomes of one when the other is over."""

from __future__ import annotations

from gosip_py.call.bridge import connect, join
from gosip_py.call.leg import Leg
from gosip_py.call.verdict import Attempt, Verdict
from gosip_py.dialog.session import session_of
from gosip_py.media.sdp import direction, held
from gosip_py.sip.message import Request
from gosip_py.transaction.server import ServerTransaction
from tests.call.office import DOMAIN, OfficeCase, Side, offer_of
from tests.conformance import conforms


class SessionTests(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.calling, self.called = self.office.talking(self.alice, self.bob)
        (self.call,) = self.office.switch.calls.values()

    def leg(self, name: str) -> Leg:
        return next(leg for leg in self.call.legs if leg.party.name == name)

    @conforms("RFC 3261 14.2")
    def test_a_hold_passes_and_so_does_the_answer(self) -> None:
        self.calling.reinvite("sendonly")
        got = self.bob.request("INVITE")
        self.assertEqual(direction(got.body), "sendonly")
        self.bob.answer(got, sdp=offer_of(self.bob.host, way="recvonly"))
        self.bob.request("ACK")
        heard = self.alice.response(200)
        self.assertEqual(direction(heard.body), "recvonly")
        self.calling.send("ACK")
        self.assertEqual((self.call.state, self.leg("alice").is_held, self.leg("bob").is_held), ("held", True, False))
        self.calling.reinvite("sendrecv")
        self.bob.answer(self.bob.request("INVITE"))
        self.alice.response(200)
        self.calling.send("ACK")
        self.assertEqual((self.call.state, self.leg("alice").is_held), ("answered", False))

    @conforms("RFC 3264 8")
    def test_one_origin_for_all_the_life_of_a_leg_and_a_version_that_grows(self) -> None:
        first = self.call.callee and self.call.callee.dialog.local_sdp
        assert first
        self.calling.reinvite("sendonly")
        got = self.bob.request("INVITE")
        before, after = first.split(b"\r\n")[1].split(), got.body.split(b"\r\n")[1].split()
        self.assertEqual(before[:2] + before[3:], after[:2] + after[3:])
        self.assertEqual(int(after[2]), int(before[2]) + 1)
        self.bob.answer(got)
        self.alice.response(200)
        self.calling.send("ACK")

    def cancel(self, reinvite: Request) -> None:
        more = {"from_tag": reinvite.from_tag, "call_id": reinvite.call_id, "number": reinvite.cseq.number}
        cancel = self.alice.make("CANCEL", reinvite.uri_text, branch=reinvite.top_via.branch, **more)  # type: ignore[arg-type]
        cancel.set("to", reinvite.require("to"))
        self.alice.send(cancel)
        self.alice.response(200, "CANCEL")
        self.alice.response(487)

    @conforms("RFC 3261 9.2")
    def test_an_offer_that_is_taken_back(self) -> None:
        reinvite = self.calling.reinvite("sendonly")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 100)
        self.office.run()
        self.cancel(reinvite)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.office.run()
        self.assertEqual((self.call.state, self.leg("alice").is_held), ("answered", False))

    def test_but_was_taken_already(self) -> None:
        reinvite = self.calling.reinvite("sendonly")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 100)
        self.office.run()
        self.cancel(reinvite)
        self.bob.answer(got)
        self.bob.request("ACK")
        again = self.bob.request("INVITE")
        self.assertEqual(direction(again.body), "sendrecv")
        self.bob.answer(again)
        self.bob.request("ACK")
        self.assertEqual(self.leg("alice").is_held, False)

    def test_the_callee_may_hold_too(self) -> None:
        self.called.reinvite("inactive")
        got = self.alice.request("INVITE")
        self.alice.answer(got, sdp=offer_of(self.alice.host, way="inactive"))
        self.bob.response(200)
        self.called.send("ACK")
        self.assertTrue(self.leg("bob").is_held)

    def test_a_refusal_passes_and_changes_nothing(self) -> None:
        self.calling.reinvite("sendonly")
        self.bob.respond(self.bob.request("INVITE"), 488)
        self.alice.response(488)
        self.calling.make("ACK")
        self.assertEqual((self.call.state, self.leg("alice").is_held), ("answered", False))

    @conforms("RFC 3261 14.1")
    def test_offers_that_meet_are_both_refused_with_491(self) -> None:
        self.calling.reinvite("sendonly")
        self.called.reinvite("inactive")
        self.bob.response(491)
        self.bob.respond(self.bob.request("INVITE"), 491)
        self.alice.response(491)
        self.office.run(5)
        for phone in (self.alice, self.bob):
            self.assertNotIn("BYE", phone.titles)

    def test_an_offer_while_the_other_one_is_open(self) -> None:
        self.calling.reinvite("sendonly")
        got = self.bob.request("INVITE")
        self.called.reinvite("inactive")
        self.bob.response(491)
        self.bob.answer(got)
        self.alice.response(200)
        self.calling.send("ACK")

    @conforms("RFC 3261 13.2.1")
    def test_a_reinvite_without_offer_passes_the_offer_back_and_the_answer_on(self) -> None:
        self.calling.reinvite(sdp="")
        got = self.bob.request("INVITE")
        self.assertEqual(got.body, b"")
        self.bob.answer(got, sdp=offer_of(self.bob.host, 7000))
        heard = self.alice.response(200)
        self.assertIn(b"m=audio 7000", heard.body)
        self.office.run(0.3)
        self.assertNotIn("ACK", self.bob.titles)
        self.calling.send_with("ACK", offer_of(self.alice.host, 7002), number=self.calling.number)
        self.assertIn(b"m=audio 7002", self.bob.request("ACK").body)

    def test_an_ack_without_the_answer_silences_the_other_side(self) -> None:
        self.calling.reinvite(sdp="")
        self.bob.answer(self.bob.request("INVITE"))
        self.alice.response(200)
        self.calling.send("ACK")
        self.assertEqual(direction(self.bob.request("ACK").body), "inactive")

    def test_an_update_passes_as_an_offer(self) -> None:
        self.calling.send_with("UPDATE", offer_of(self.alice.host, way="sendonly", version=9))
        got = self.bob.request("INVITE")
        self.bob.answer(got, sdp=offer_of(self.bob.host, way="recvonly"))
        self.assertEqual(direction(self.alice.response(200, "UPDATE").body), "recvonly")

    def test_the_other_side_is_gone(self) -> None:
        """481 is about its dialog: that is over, and so is the call, but the words are not for this one (RFC 5057)."""
        self.calling.reinvite("sendonly")
        self.bob.respond(self.bob.request("INVITE"), 481)
        self.alice.response(500)
        self.alice.respond(self.alice.request("BYE"), 200)
        self.office.run()
        self.assertEqual(len(self.endings), 1)


class RequestTests(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.calling, self.called = self.office.talking(self.alice, self.bob)

    def test_info_passes_with_its_body_and_so_does_the_answer(self) -> None:
        request = self.calling.make("INFO", "X-Key: 1", "Server: secret")
        request.set_body(b"Signal=5\r\nDuration=160\r\n", "application/dtmf-relay")
        self.alice.send(request)
        got = self.bob.request("INFO")
        self.assertEqual((got.body, got.value("content-type")), (request.body, "application/dtmf-relay"))
        self.assertEqual((got.value("x-key"), got.value("server")), ("1", None))
        self.bob.respond(got, 200)
        self.alice.response(200, "INFO")

    def test_from_outside_less_passes(self) -> None:
        """Headers that make a phone do things are for our own people to send."""
        sent = self.carol.make("INVITE", f"sip:dave@{DOMAIN}", "Alert-Info: <auto>", from_user="+15550100")
        self.carol.send(sent)
        got = self.dave.request("INVITE")
        self.assertNotIn("alert-info", got.names)
        answer = self.dave.answer(got)
        calling = Side(self.carol, sent, self.carol.response(200), is_caller=True)
        calling.send_with("ACK", offer_of(self.carol.host), number=1)
        self.dave.request("ACK")
        calling.send("INFO", "X-Key: 1")
        info = self.dave.request("INFO")
        self.assertNotIn("x-key", info.names)
        self.dave.respond(info, 200)
        self.carol.response(200, "INFO")
        self.assertTrue(answer.body)

    def test_message_passes_the_other_way(self) -> None:
        request = self.called.make("MESSAGE")
        request.set_body(b"hello", "text/plain")
        self.bob.send(request)
        got = self.alice.request("MESSAGE")
        self.assertEqual(got.body, b"hello")
        self.alice.respond(got, 415)
        self.bob.response(415, "MESSAGE")

    def test_what_would_end_the_dialog_of_the_asker_does_not_pass(self) -> None:
        self.calling.send("INFO")
        self.bob.respond(self.bob.request("INFO"), 404)
        self.alice.response(500, "INFO")

    def test_nothing_else_passes(self) -> None:
        self.calling.send("PUBLISH")
        self.assertIn("INFO", self.alice.take("405 PUBLISH").require("allow"))
        self.assertEqual(self.bob.titles, [])

    def test_options_are_answered_by_the_leg(self) -> None:
        self.calling.send("OPTIONS")
        self.alice.response(200, "OPTIONS")
        self.assertEqual(self.bob.titles, [])

    def test_a_refer_without_anybody_who_transfers(self) -> None:
        self.calling.send("REFER", f"Refer-To: <sip:carol@{DOMAIN}>")
        self.alice.response(501, "REFER")


class DelayedOfferTests(OfficeCase):
    @conforms("RFC 3261 13.2.1")
    def test_the_offer_of_the_callee_and_the_answer_in_the_ack(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob, sdp="")
        self.assertEqual(got.body, b"")
        self.bob.answer(got, sdp=offer_of(self.bob.host, 7000))
        heard = self.alice.response(200)
        self.assertIn(b"m=audio 7000", heard.body)
        self.assertNotIn("ACK", self.bob.titles)
        calling = Side(self.alice, sent, heard, is_caller=True)
        calling.send_with("ACK", offer_of(self.alice.host, 7002), number=1)
        self.assertIn(b"m=audio 7002", self.bob.request("ACK").body)

    def test_the_ack_never_comes(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob, sdp="")
        self.bob.answer(got)
        self.office.run(40)
        self.bob.request("ACK")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.alice.respond(self.alice.request("BYE"), 200)
        self.assertEqual(self.endings, [("answered", 200, "system")])


class DyingTests(OfficeCase):
    def test_the_caller_never_acknowledges(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob)
        self.bob.answer(got)
        self.office.run(33)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_a_phone_that_vanished_does_not_hold_the_other(self) -> None:
        calling, _ = self.office.talking(self.alice, self.bob)
        self.office.network.detach(self.bob.transport)
        calling.hang_up()
        self.alice.response(200, "BYE")
        self.office.run(40)
        self.assertEqual(len(self.office.dialogs), 0)

    def test_the_callee_hangs_up_before_the_caller_acknowledged(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob)
        answer = self.bob.answer(got)
        heard = self.alice.response(200)
        self.bob.request("ACK")
        called = Side(self.bob, got, answer, is_caller=False)
        called.hang_up()
        self.bob.response(200, "BYE")
        self.assertNotIn("BYE", self.alice.titles)  # RFC 3261 15: not before the ACK
        Side(self.alice, sent, heard, is_caller=True).send("ACK")
        self.alice.respond(self.alice.request("BYE"), 200)
        self.assertEqual(self.endings, [("answered", 200, "callee")])

    def test_the_caller_hangs_up_while_a_reinvite_is_open(self) -> None:
        calling, _ = self.office.talking(self.alice, self.bob)
        calling.reinvite("sendonly")
        got = self.bob.request("INVITE")
        calling.hang_up()
        self.alice.response(487)
        self.alice.response(200, "BYE")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.bob.respond(got, 487)
        self.assertEqual(len(self.endings), 1)


class ReaperTests(OfficeCase):
    ping_seconds = 60.0

    def test_who_is_still_there_goes_on_and_who_is_not_ends_the_call(self) -> None:
        self.office.talking(self.alice, self.bob)
        self.office.run(61)
        self.alice.respond(self.alice.request("OPTIONS"), 200)
        self.bob.respond(self.bob.request("OPTIONS"), 200)
        self.office.run(60)
        self.alice.respond(self.alice.request("OPTIONS"), 200)
        self.bob.respond(self.bob.request("OPTIONS"), 481)
        self.alice.respond(self.alice.request("BYE"), 200)
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_a_phone_without_power(self) -> None:
        self.office.talking(self.alice, self.bob)
        self.office.network.detach(self.bob.transport)
        self.office.run(59)
        self.office.run(2)
        self.alice.respond(self.alice.request("OPTIONS"), 200)
        self.office.run(33)
        self.alice.respond(self.alice.request("BYE"), 200)
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_each_is_asked_once_a_turn(self) -> None:
        phones = [self.office.phone(f"p{number}") for number in range(10)]
        for one, other in zip(phones[::2], phones[1::2], strict=True):
            self.office.talking(one, other)
        self.office.run(61)  # until then there was but one call to ask
        for phone in phones:
            phone.heard.clear()
        self.office.run(60)
        asked = [phone for phone in phones for title in phone.titles if title == "OPTIONS"]
        self.assertEqual(len(asked), 10)
        for phone in phones:
            phone.respond(phone.request("OPTIONS"), 200)


class JoinTests(OfficeCase):
    """Alice talks to Bob and Carol to Dave; then Alice and Dave are let hear each other."""

    def setUp(self) -> None:
        super().setUp()
        self.calling, _ = self.office.talking(self.alice, self.bob)
        self.office.talking(self.carol, self.dave)
        first, second = self.office.switch.calls.values()
        assert first.caller is not None and second.callee is not None
        self.one, self.other = first.caller, second.callee
        self.joined: list[bool] = []

    @conforms("RFC 3725 4.1")
    def test_the_offer_of_one_is_answered_by_the_other(self) -> None:
        join(self.one, self.other, self.joined.append)
        asked = self.alice.request("INVITE")
        self.assertEqual(asked.body, b"")
        self.alice.answer(asked, sdp=offer_of(self.alice.host, 7000))
        offered = self.dave.request("INVITE")
        self.assertIn(b"m=audio 7000", offered.body)
        self.assertEqual(self.joined, [])
        self.dave.answer(offered, sdp=offer_of(self.dave.host, 7002))
        self.dave.request("ACK")
        self.assertIn(b"m=audio 7002", self.alice.request("ACK").body)
        self.assertEqual(self.joined, [True])

    def test_the_other_refuses(self) -> None:
        join(self.one, self.other, self.joined.append)
        self.alice.answer(self.alice.request("INVITE"))
        self.dave.respond(self.dave.request("INVITE"), 488)
        self.assertEqual(direction(self.alice.request("ACK").body), "inactive")
        self.assertEqual(self.joined, [False])

    def test_one_makes_no_offer(self) -> None:
        join(self.one, self.other, self.joined.append)
        self.alice.respond(self.alice.request("INVITE"), 488)
        offered = self.alice.request("INVITE")
        self.assertIn(self.dave.host.encode(), offered.body)
        self.alice.answer(offered, sdp=offer_of(self.alice.host, 7000))
        second = self.dave.request("INVITE")
        self.assertIn(b"m=audio 7000", second.body)
        self.dave.answer(second)
        self.office.run()
        self.assertEqual(self.joined, [True])

    def test_one_hangs_up_meanwhile(self) -> None:
        join(self.one, self.other, self.joined.append)
        asked = self.alice.request("INVITE")
        self.alice.respond(asked, 481)
        self.office.run()
        self.assertEqual(self.joined, [False])

    def test_the_other_hangs_up_meanwhile(self) -> None:
        join(self.one, self.other, self.joined.append)
        asked = self.alice.request("INVITE")
        self.other.call.hang_up()
        self.alice.answer(asked)
        self.assertEqual(direction(self.alice.request("ACK").body), "inactive")
        self.assertEqual(self.joined, [False])


class ConnectTests(OfficeCase):
    """Carol calls, and is given the phone of Bob, who talks to Alice."""

    def connect(self, sdp: str | None = None) -> Request:
        self.office.talking(self.alice, self.bob)
        (first,) = self.office.switch.calls.values()
        assert first.callee is not None
        bob = first.callee
        self.connected: list[bool] = []
        self.office.plan.verdicts["desk"] = self.office.plan.route(self.office.plan.asked[0])
        switch = self.office.switch

        def receive(transaction: ServerTransaction, forwarded: Request, attempt: Attempt, verdict: Verdict) -> None:
            call = switch.admit(transaction, attempt, "desk")
            connect(switch, call, bob, call.legs[0], self.connected.append)

        self.patch(switch, "receive", receive)
        sent = self.carol.make(
            "INVITE",
            f"sip:desk@{DOMAIN}",
            *(("Content-Type: application/sdp",) if sdp != "" else ()),
            body=offer_of(self.carol.host, 7000) if sdp is None else sdp,
        )
        self.carol.send(sent)
        return sent

    def test_the_caller_is_answered_by_the_phone_that_talks(self) -> None:
        sent = self.connect()
        got = self.bob.request("INVITE")
        self.assertIn(b"m=audio 7000", got.body)
        self.bob.answer(got, sdp=offer_of(self.bob.host, 7002))
        heard = self.carol.response(200)
        self.assertIn(b"m=audio 7002", session_of(heard))
        self.assertEqual(self.connected, [True])
        Side(self.carol, sent, heard, is_caller=True).send("ACK")

    def test_it_does_not_agree(self) -> None:
        self.connect()
        self.bob.respond(self.bob.request("INVITE"), 488)
        self.office.run()
        self.assertEqual(self.connected, [False])

    def test_without_an_offer(self) -> None:
        sent = self.connect("")
        got = self.bob.request("INVITE")
        self.assertEqual(got.body, b"")
        self.bob.answer(got, sdp=offer_of(self.bob.host, 7002))
        heard = self.carol.response(200)
        Side(self.carol, sent, heard, is_caller=True).send_with("ACK", offer_of(self.carol.host, 7004), number=1)
        self.assertIn(b"m=audio 7004", self.bob.request("ACK").body)
        self.assertFalse(held(heard.body))
