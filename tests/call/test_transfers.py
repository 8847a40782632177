"""Transfers that a phone asks for by REFER: blind, attended, and all that may go wrong with them."""

from __future__ import annotations

from gosip_py.call.leg import Leg
from gosip_py.call.party import Party
from gosip_py.call.verdict import Refuse
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from tests.call.office import DOMAIN, Handset, Side, offer_of
from tests.call.services import ServedCase, attempted, media_lines, place_of, refer_to, session
from tests.conformance import conforms


class BlindTransferTests(ServedCase):
    """Alice called Bob, who sends her to Carol."""

    def setUp(self) -> None:
        ServedCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def refer(self, name: str = "carol", *more: str) -> Request:
        """Bob's REFER, accepted; the first NOTIFY says that it is being tried."""
        refer = self.called.send("REFER", refer_to(name), *more)
        self.bob.response(202, "REFER")
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 100 Trying", "active"))
        return refer

    def rung(self) -> Request:
        """The INVITE that Carol gets; she rings, and Bob is told."""
        invite = self.carol.request("INVITE")
        self.carol.respond(invite, 180)
        self.office.run(1.1)  # RFC 3515 3.10: not more than one a second
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 180 Ringing", "active"))
        return invite

    def taken(self, invite: Request) -> Side:
        """Carol answers, and Alice hears of it."""
        answer = self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.carol))
        return Side(self.carol, invite, answer, is_caller=False)

    @conforms("RFC 5589 6.1", "RFC 3515 2.4.4")
    def test_the_target_answers(self) -> None:
        self.refer()
        invite = self.rung()
        self.assertEqual(invite.from_.uri_text, f"sip:alice@{DOMAIN}")
        self.assertEqual(media_lines(invite)[:2], place_of(self.alice))
        target = self.taken(invite)
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 200 OK", "terminated"))
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.assertEqual(self.alice.titles, [])
        self.assertEqual(attempted(self.office.plan.asked)[1:], [("bob", "carol", True)])
        self.assertEqual(self.office.plan.asked[1].source, self.bob.host)
        self.assertEqual(self.noted, [("transfer", "done")])
        self.office.end(target, self.alice)
        self.assertEqual(self.endings, [("answered", 200, "callee")])

    def test_a_transferor_who_stays_is_hung_up_on(self) -> None:
        self.refer()
        self.taken(self.rung())
        self.notified(self.bob)
        self.assertEqual(self.bob.titles, [])
        self.office.run(2.5)
        self.assertEqual(self.goes(self.bob).require("reason"), 'SIP;cause=200;text="Call transferred"')
        self.office.end(self.calling, self.carol)

    @conforms("RFC 5589 6.3.1")
    def test_a_busy_target_gives_the_call_back(self) -> None:
        self.hold(self.called, self.alice)
        self.refer()
        invite = self.carol.request("INVITE")
        self.carol.respond(invite, 486)
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 486 Busy Here", "terminated"))
        self.called.reinvite(sdp=session(self.bob))
        self.accept_offer(self.alice)
        self.bob.response(200)
        self.called.send("ACK")
        self.assertEqual(self.noted, [("transfer", "486 Busy Here")])
        self.office.end(self.calling, self.bob)

    @conforms("RFC 5589 6.3.2")
    def test_nobody_answers(self) -> None:
        self.refer()
        invite = self.rung()
        self.office.run(31)
        cancel = self.carol.request("CANCEL")
        self.carol.respond(cancel, 200)
        self.carol.respond(invite, 487)
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 480 Temporarily Unavailable")
        self.office.end(self.calling, self.bob)

    def test_a_target_that_nobody_has(self) -> None:
        self.refer("nobody")
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 404 Not Found", "terminated"))
        self.office.end(self.calling, self.bob)

    def test_a_target_that_the_transferor_may_not_call(self) -> None:
        self.office.plan.verdicts["+15550100"] = Refuse(403, "not from here")
        self.refer("+15550100")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 403 Forbidden")
        self.office.end(self.called, self.alice)

    def test_the_transferor_hangs_up_and_the_target_answers(self) -> None:
        self.refer()
        invite = self.rung()
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.assertEqual(self.alice.titles, [])
        target = self.taken(invite)
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 200 OK", "terminated"))
        self.office.end(target, self.alice)

    def test_what_the_transferee_offers_while_it_waits(self) -> None:
        self.refer()
        invite = self.rung()
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.calling.reinvite(sdp=offer_of(self.alice.host, 7000))
        self.assertEqual(media_lines(self.alice.response(200))[-1], "a=inactive")
        self.calling.send("ACK")
        self.office.end(self.taken(invite), self.alice)
        self.notified(self.bob)

    def asked_for_an_offer(self) -> None:
        """Bob asked Alice for an offer, which he has not answered yet."""
        self.called.send("INVITE")
        self.alice.answer(self.alice.request("INVITE"), sdp=session(self.alice))
        self.bob.response(200)

    def test_an_answer_that_is_owed_passes_while_the_target_rings(self) -> None:
        self.asked_for_an_offer()
        acknowledgement = self.called.make("ACK")
        self.refer()
        invite = self.rung()
        acknowledgement.set_body(session(self.bob).encode(), "application/sdp")
        self.bob.send(acknowledgement)
        self.assertEqual(media_lines(self.alice.request("ACK"))[:2], place_of(self.bob))
        self.taken(invite)
        self.notified(self.bob)
        self.office.end(self.calling, self.carol)

    def test_an_answer_that_is_owed_by_who_is_gone(self) -> None:
        self.asked_for_an_offer()
        self.refer()
        invite = self.rung()
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.assertEqual(media_lines(self.alice.request("ACK"))[-1], "a=inactive")
        self.taken(invite)
        self.notified(self.bob)
        self.office.end(self.calling, self.carol)

    def test_the_transferor_hangs_up_and_the_target_does_not_answer(self) -> None:
        self.refer()
        invite = self.rung()
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.carol.respond(invite, 486)
        self.carol.request("ACK")
        self.assertEqual(self.goes(self.alice).require("reason"), 'SIP;cause=486;text="Busy Here"')
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 486 Busy Here")
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_the_transferee_hangs_up_while_the_target_rings(self) -> None:
        self.refer()
        invite = self.rung()
        self.calling.send("BYE")
        self.alice.response(200, "BYE")
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(invite, 487)
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 487 Request Terminated")
        self.goes(self.bob)
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_two_still_talk_while_the_target_rings(self) -> None:
        self.refer()
        invite = self.rung()
        self.hold(self.called, self.alice)
        self.carol.respond(invite, 480)
        self.carol.request("ACK")
        self.notified(self.bob)
        self.office.end(self.calling, self.bob)

    def test_the_transferee_does_not_agree(self) -> None:
        self.refer()
        invite = self.rung()
        self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.alice.request("ACK")
        self.goes(self.carol)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 488 Not Acceptable Here")
        self.hold(self.called, self.alice)
        self.office.end(self.calling, self.bob)

    def test_the_target_leaves_before_the_transferee_has_heard(self) -> None:
        self.refer()
        invite = self.rung()
        answer = self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        offered = self.alice.request("INVITE")
        Side(self.carol, invite, answer, is_caller=False).send("BYE")
        self.carol.response(200, "BYE")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 480 Temporarily Unavailable")
        self.alice.answer(offered, sdp=session(self.alice))
        self.alice.request("ACK")
        self.office.end(self.called, self.alice)

    def test_a_target_that_does_not_take_the_offer_is_asked_for_its_own(self) -> None:
        self.refer()
        first = self.carol.request("INVITE")
        self.carol.respond(first, 488)
        self.carol.request("ACK")
        second = self.carol.request("INVITE")
        self.assertEqual(second.body, b"")
        self.carol.answer(second, sdp=session(self.carol))
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.carol))
        ack = self.carol.request("ACK")
        self.assertEqual(media_lines(ack)[:2], place_of(self.alice))
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.office.end(self.calling, self.carol)

    def test_a_transferee_with_another_port_is_told_to_the_target(self) -> None:
        self.refer()
        invite = self.rung()
        self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        offered = self.alice.request("INVITE")
        self.alice.answer(offered)
        self.alice.request("ACK")
        again = self.accept_offer(self.carol)
        self.assertIn(f"c=IN IP4 {self.alice.host}", media_lines(again))
        self.assertNotEqual(media_lines(again)[:2], place_of(self.alice))
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.office.end(self.calling, self.carol)

    @conforms("RFC 3892 2.2")
    def test_who_referred_is_passed_on(self) -> None:
        self.refer("carol", "Referred-By: <sip:bob@example.com>;why=so")
        invite = self.rung()
        self.assertEqual(invite.require("referred-by"), "<sip:bob@example.com>;why=so")
        self.taken(invite)
        self.notified(self.bob)
        self.office.end(self.calling, self.carol)

    def test_a_second_refer_waits(self) -> None:
        self.refer()
        invite = self.rung()
        self.called.send("REFER", refer_to("dave"))
        self.bob.response(491, "REFER")
        self.carol.respond(invite, 486)
        self.carol.request("ACK")
        self.notified(self.bob)
        self.office.end(self.calling, self.bob)

    def test_it_is_ended_from_outside(self) -> None:
        self.refer()
        invite = self.rung()
        (call,) = self.office.switch.calls.values()
        call.hang_up(Reason("SIP", 200, "Enough"))
        self.goes(self.alice)
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(invite, 487)
        self.carol.request("ACK")
        self.goes(self.bob)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 487 Request Terminated")
        self.assertEqual(self.noted, [])


class PrivacyTests(ServedCase):
    @conforms("RFC 3323 4.2")
    def test_who_is_not_to_be_named_is_not_named_to_the_target(self) -> None:
        calling, called = self.office.talking(self.alice, self.bob, "Privacy: id")
        called.send("REFER", refer_to("carol"))
        invite = self.carol.request("INVITE")
        self.assertEqual(invite.from_.uri_text, "sip:anonymous@anonymous.invalid")
        self.assertNotIn("alice", invite.to_bytes().decode().lower())
        self.carol.respond(invite, 486)
        self.office.end(calling, self.bob)
        self.bob.heard.clear()


class RefusedReferTests(ServedCase):
    def setUp(self) -> None:
        ServedCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def tearDown(self) -> None:
        self.office.end(self.calling, self.called.handset)
        ServedCase.tearDown(self)

    def assert_refused(self, status: int, *lines: str, side: Side | None = None) -> None:
        side = side or self.called
        side.send("REFER", *lines)
        side.phone.response(status, "REFER")

    @conforms("RFC 3515 2.4.2")
    def test_none_or_several_targets(self) -> None:
        self.assert_refused(400)
        self.assert_refused(400, refer_to("carol"), refer_to("dave"))

    def test_what_cannot_be_called(self) -> None:
        self.assert_refused(416, "Refer-To: <http://example.com/>")
        self.assert_refused(501, f"Refer-To: <sip:carol@{DOMAIN};method=BYE>")
        self.assert_refused(400, f"Refer-To: <sip:carol@{DOMAIN}?Replaces=a%3Bto-tag%3Db&Join=a%3Bto-tag%3Db>")

    def test_to_join_a_third(self) -> None:
        self.assert_refused(501, f"Refer-To: <sip:carol@{DOMAIN}?Join=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>")

    def test_to_the_transferee(self) -> None:
        self.assert_refused(482, refer_to("alice"))

    def test_again_and_again(self) -> None:
        (call,) = self.office.switch.calls.values()
        for _ in range(16):
            call.note("transfer", by="bob", target="carol", result="486 Busy Here")
        self.assert_refused(482, refer_to("carol"))


class StrangerTests(ServedCase):
    def test_who_is_none_of_ours_transfers_nobody(self) -> None:
        stranger = Handset(self.office, "192.0.2.99", "stranger", 9)
        stranger.party = Party("stranger")
        calling, called = self.talk(stranger, self.bob)
        calling.send("REFER", refer_to("carol"))
        stranger.response(403, "REFER")
        self.office.end(called, stranger)


class AttendedTransferTests(ServedCase):
    """Alice called Bob, who has called Carol and wants to connect the two."""

    def setUp(self) -> None:
        ServedCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)
        self.hold(self.called, self.alice)

    def consult(self) -> tuple[Side, Side]:
        consulting, consulted = self.talk(self.bob, self.carol)
        self.hold(consulting, self.carol)
        return consulting, consulted

    def joined(self) -> None:
        """Alice is asked for an offer, which Carol hears."""
        asked = self.alice.request("INVITE")
        self.assertEqual(asked.body, b"")
        self.alice.answer(asked, sdp=session(self.alice))
        offered = self.carol.request("INVITE")
        self.assertEqual(media_lines(offered)[:2], place_of(self.alice))
        self.carol.answer(offered, sdp=session(self.carol))
        self.carol.request("ACK")
        ack = self.alice.request("ACK")
        self.assertEqual(media_lines(ack)[:2], place_of(self.carol))

    def test_the_call_is_ended_from_outside(self) -> None:
        """Bob and Carol go on with theirs."""
        consulting, _ = self.consult()
        self.called.send("REFER", refer_to("carol", consulting))
        self.bob.response(202, "REFER")
        asked = self.alice.request("INVITE")
        first, second = self.office.switch.calls.values()
        first.hang_up(Reason("SIP", 200, "Enough"))
        self.alice.answer(asked, sdp=session(self.alice))
        self.office.run()
        self.assertEqual(self.office.switch.find(second.id), second)
        self.assertEqual(second.state, "answered")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.office.end(consulting, self.carol)
        self.assertEqual(self.endings, [("answered", 200, "system"), ("answered", 200, "caller")])

    @conforms("RFC 5589 7.3")
    def test_both_calls_become_one(self) -> None:
        consulting, consulted = self.consult()
        self.called.send("REFER", refer_to("carol", consulting))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        self.joined()
        self.assertEqual(self.goes(self.bob).call_id, consulting.call_id)
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 200 OK", "terminated"))
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.assertEqual(self.endings, [("answered", 200, "caller")])
        (call,) = self.office.switch.calls.values()
        self.assertEqual([leg.party.name for leg in call.legs], ["alice", "carol"])
        self.assertEqual(sorted(self.noted), [("merge", ""), ("transfer", ""), ("transfer", "done")])
        self.office.end(consulted, self.alice)

    def test_the_refer_may_come_in_the_consultation(self) -> None:
        consulting, consulted = self.consult()
        consulting.send("REFER", refer_to("alice", self.called))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        asked = self.carol.request("INVITE")
        self.carol.answer(asked, sdp=session(self.carol))
        self.accept_offer(self.alice)
        self.carol.request("ACK")
        self.assertEqual(self.goes(self.bob).call_id, self.called.call_id)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        consulting.send("BYE")
        self.bob.response(200, "BYE")
        self.office.end(consulted, self.alice)

    @conforms("RFC 5589 7.6")
    def test_the_target_still_rings(self) -> None:
        sent, got = self.office.ringing(self.bob, self.carol, sdp=session(self.bob))
        consulting = Side(self.bob, sent, self.early(sent), is_caller=True)
        self.called.send("REFER", refer_to("carol", consulting))
        self.bob.response(202, "REFER")
        self.bob.response(487)
        self.notified(self.bob)
        self.office.run(1.1)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 180 Ringing")
        answer = self.carol.answer(got, sdp=session(self.carol))
        self.carol.request("ACK")
        self.joined()
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.office.end(Side(self.carol, got, answer, is_caller=False), self.alice)

    def test_the_target_that_rings_does_not_answer(self) -> None:
        sent, got = self.office.ringing(self.bob, self.carol, sdp=session(self.bob))
        consulting = Side(self.bob, sent, self.early(sent), is_caller=True)
        self.called.send("REFER", refer_to("carol", consulting))
        self.bob.response(202, "REFER")
        self.bob.response(487)
        self.notified(self.bob)
        self.office.run(1.1)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 180 Ringing")
        self.carol.respond(got, 603)
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 603 Decline")
        self.office.end(self.calling, self.bob)

    def early(self, sent: Request) -> Response:
        """The 180 that the caller heard, which is taken already: it names the dialog."""
        (leg,) = (leg for leg in self.legs if leg.dialog.call_id == sent.call_id)
        response = reply(sent, 180, to_tag=leg.dialog.local_tag)
        response.add("contact", leg.dialog.contact)
        return response

    @property
    def legs(self) -> list[Leg]:
        return [leg for call in self.office.switch.calls.values() for leg in call.legs]

    def test_the_target_does_not_agree(self) -> None:
        consulting, _ = self.consult()
        self.called.send("REFER", refer_to("carol", consulting))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        asked = self.alice.request("INVITE")
        self.alice.answer(asked, sdp=session(self.alice))
        self.carol.respond(self.carol.request("INVITE"), 488)
        self.carol.request("ACK")
        self.alice.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 488 Not Acceptable Here")
        self.assertEqual(len(self.office.switch), 2)
        self.office.end(consulting, self.carol)
        self.office.end(self.called, self.alice)

    def test_the_target_hangs_up_meanwhile(self) -> None:
        consulting, consulted = self.consult()
        self.called.send("REFER", refer_to("carol", consulting))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        asked = self.alice.request("INVITE")
        consulted.send("BYE")
        self.carol.response(200, "BYE")
        self.goes(self.bob)
        self.notified(self.bob)
        self.alice.answer(asked, sdp=session(self.alice))
        self.alice.request("ACK")
        self.office.end(self.called, self.alice)

    def test_a_call_that_is_not_the_transferors(self) -> None:
        theirs, _ = self.talk(self.dave, self.carol)
        self.called.send("REFER", refer_to("carol", theirs))
        self.bob.response(403, "REFER")
        self.office.end(theirs, self.carol)
        self.office.end(self.called, self.alice)

    def test_its_own_call(self) -> None:
        self.called.send("REFER", refer_to("carol", self.called))
        self.bob.response(482, "REFER")
        self.office.end(self.called, self.alice)

    @conforms("RFC 3891 3")
    def test_a_dialog_that_is_not_ours_is_left_to_the_phone_that_has_it(self) -> None:
        named = f"Refer-To: <sip:carol@{DOMAIN}?Replaces=far%3Bto-tag%3Da%3Bfrom-tag%3Db>"
        self.called.send("REFER", named)
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        invite = self.carol.request("INVITE")
        self.assertEqual(invite.require("replaces"), "far;to-tag=a;from-tag=b")
        self.carol.respond(invite, 481)
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 481 Call/Transaction Does Not Exist")
        self.office.end(self.called, self.alice)
