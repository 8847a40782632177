"""A call through the switch: set up, talked, hung up; and the ways in which it comes to nothing."""

from __future__ import annotations

import attrs

from gosip_py.call.party import Party
from gosip_py.call.verdict import Attempt, DialOut, LeaveToProxy, Line, Redirect, Refuse, Stage, UseFeature, Verdict
from gosip_py.dialog.session import session_of
from gosip_py.events import CallAnswered, CallRinging, CallStarted, LegStarted, LineChanged
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Request
from gosip_py.transport.flow import Target
from tests.call.office import DOMAIN, Handset, OfficeCase, Side, offer_of, ring
from tests.conformance import conforms

REASON = 'SIP;cause=200;text="Call completed elsewhere"'


class PlainCallTests(OfficeCase):
    def test_a_call_is_two_dialogs_and_hides_one_phone_from_the_other(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob, "User-Agent: desk 1", "X-Secret-Path: 10.0.0.1")
        for name in ("call-id", "via", "contact"):
            self.assertNotIn(self.alice.host, " ".join(got.values(name)), name)
        self.assertNotEqual(sent.from_tag, got.from_tag)
        self.assertNotIn("record-route", got.names)
        self.assertNotIn("desk", " ".join(got.lines))
        self.assertEqual(got.from_.uri_text, f"sip:alice@{DOMAIN}")
        self.assertEqual(got.from_.display_name, "Alice")
        self.assertEqual(got.to.uri_text, f"sip:bob@{DOMAIN}")
        self.assertEqual(got.uri_text, self.bob.contact)
        self.office.answered(self.alice, sent, self.bob, got)
        self.assertEqual([call.state for call in self.office.switch.calls.values()], ["answered"])

    def test_the_offer_and_the_answer_pass_but_for_their_origin(self) -> None:
        sent = self.alice.call("bob", sdp=offer_of(self.alice.host, 4000))
        got = self.bob.request("INVITE")
        self.assertIn(b"m=audio 4000 RTP/AVP 0 8", got.body)
        self.assertNotIn(b"o=phone", got.body)
        answer = self.bob.answer(got, sdp=offer_of(self.bob.host, 6000))
        heard = self.alice.response(200)
        self.assertIn(b"m=audio 6000 RTP/AVP 0 8", heard.body)
        self.assertNotIn(b"o=phone", heard.body)
        self.assertIn(b"c=IN IP4 " + self.bob.host.encode(), heard.body)
        self.assertTrue(answer.body)
        Side(self.alice, sent, heard, is_caller=True).send("ACK")

    def test_the_caller_hangs_up(self) -> None:
        calling, _ = self.office.talking(self.alice, self.bob)
        calling.hang_up('Reason: Q.850;cause=16;text="bye"')
        self.alice.response(200, "BYE")
        bye = self.bob.request("BYE")
        self.assertEqual(bye.require("reason"), 'Q.850;cause=16;text="bye"')
        self.bob.respond(bye, 200)
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_callee_hangs_up(self) -> None:
        _, called = self.office.talking(self.alice, self.bob)
        self.office.end(called, self.alice)
        self.assertEqual(self.endings, [("answered", 200, "callee")])
        self.assertEqual(len(self.office.switch), 0)

    def test_both_hang_up_at_once(self) -> None:
        calling, called = self.office.talking(self.alice, self.bob)
        calling.hang_up()
        called.hang_up()
        self.alice.response(200, "BYE")
        self.bob.response(200, "BYE")
        self.assertEqual(len(self.endings), 1)

    def test_the_books(self) -> None:
        rung: list[CallRinging] = []
        legs: list[LegStarted] = []
        self.office.bus.subscribe(CallRinging, rung.append)
        self.office.bus.subscribe(LegStarted, legs.append)
        sent, got = self.office.ringing(self.alice, self.bob)
        calling, _ = self.office.answered(self.alice, sent, self.bob, got)
        (started,) = self.office.books.started.values()
        self.assertEqual((started.call_id, started.from_tag), (sent.call_id, sent.from_tag))
        self.assertEqual((started.caller_user, started.callee_user), ("alice", "bob"))
        self.assertEqual((started.caller_uri, started.callee_uri), (f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"))
        (ringing,) = rung
        self.assertEqual((ringing.call_id, ringing.from_tag), (got.call_id, got.from_tag))
        self.assertEqual(legs, [LegStarted(started.id, legs[0].at, got.call_id)])
        (answered,) = self.office.books.answered
        self.assertIsInstance(answered, CallAnswered)
        self.assertIn(answered.to_tag, calling.remote)

    def test_the_metrics(self) -> None:
        calling, _ = self.office.talking(self.alice, self.bob)
        self.office.end(calling, self.bob)
        metrics = self.office.metrics
        self.assertEqual(metrics.calls_total.child("internal", "answered").value, 1)
        self.assertEqual(metrics.call_setup_seconds.child().cumulated()[-1][1], 1)

    def test_one_leg_by_tcp(self) -> None:
        bob = self.office.phone("erin", "TCP")
        _, called = self.office.talking(self.alice, bob)
        self.office.end(called, self.alice)

    def test_names_of_people_outside_are_shown_with_our_domain(self) -> None:
        """Whoever calls back reaches them by the router; of the trunk nothing is told."""
        self.alice.ask("INVITE", f"sip:bob@{DOMAIN}", "P-Asserted-Identity: <sip:x@trunk.test>", from_user="+15550100")
        got = self.bob.request("INVITE")
        self.assertEqual(got.from_.uri_text, f"sip:+15550100@{DOMAIN}")
        self.assertNotIn("p-asserted-identity", got.names)
        self.bob.respond(got, 486)
        self.alice.response(486)

    @conforms("RFC 3323 4.1.1.3")
    def test_who_wants_to_stay_unnamed_does(self) -> None:
        self.alice.call("bob", "Privacy: id")
        got = self.bob.request("INVITE")
        self.assertEqual(got.from_.uri_text, "sip:anonymous@anonymous.invalid")
        self.assertNotIn("alice", " ".join(got.lines))
        self.bob.respond(got, 486)
        self.alice.response(486)


class HopTests(OfficeCase):
    @conforms("RFC 3261 8.1.1.6")
    def test_hops_are_counted_across_the_legs(self) -> None:
        for given, left in ((70, 69), (3, 2), (None, 70)):
            self.alice.call("bob", max_forwards=given)
            got = self.bob.request("INVITE")
            self.assertEqual(got.value("max-forwards"), str(left))
            self.bob.respond(got, 486)
            self.alice.response(486)

    @conforms("RFC 5393 5.3.3")
    def test_no_more_lines_ring_at_a_time_than_the_caller_allows(self) -> None:
        self.office.plan.verdicts["all"] = ring(self.bob, self.carol, self.dave)
        self.alice.call("all", "Max-Breadth: 2")
        first, second = self.bob.request("INVITE"), self.carol.request("INVITE")
        self.assertEqual((first.value("max-breadth"), second.value("max-breadth")), ("1", "1"))
        self.assertEqual(self.dave.titles, [])
        self.bob.respond(first, 486)
        self.carol.respond(second, 486)
        self.dave.respond(third := self.dave.request("INVITE"), 486)
        self.assertEqual(third.value("max-breadth"), "2")
        self.alice.response(486)

    def test_a_breadth_that_is_none(self) -> None:
        for value in ("0", "x"):
            self.alice.call("bob", f"Max-Breadth: {value}")
            self.alice.response(400)
        self.assertEqual(self.office.books.started, {})


class RefusalTests(OfficeCase):
    def refused(self, status: int, *more: tuple[str, str]) -> Request:
        sent = self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), status, *more)
        return sent

    def test_busy_passes(self) -> None:
        self.refused(486, ("reason", "Q.850;cause=17"), ("retry-after", "5"))
        response = self.alice.response(486)
        self.assertEqual((response.value("reason"), response.value("retry-after")), ("Q.850;cause=17", "5"))
        self.assertEqual(self.endings, [("rejected", 486, "callee")])

    def test_what_is_said_of_our_own_request_does_not_pass(self) -> None:
        for said, heard in ((401, 500), (407, 500), (420, 500), (503, 500), (481, 480), (487, 480), (430, 480)):
            sent = self.refused(
                said, ("www-authenticate", 'Digest realm="trunk", nonce="x"'), ("warning", '399 10.0.0.1 "x"')
            )
            response = self.alice.response(heard)
            while response.call_id != sent.call_id:  # one from before is repeated, for its ACK does not come
                response = self.alice.response(heard)
            self.assertEqual(response.require("reason").partition(";text")[0], f"SIP;cause={said}")
            self.assertNotIn("www-authenticate", response.names)
            self.assertNotIn("10.0.0.1", " ".join(response.lines))

    def test_a_phone_that_does_not_answer_at_all(self) -> None:
        self.office.network.detach(self.bob.transport)
        self.alice.call("bob")
        self.office.run(33)
        self.alice.response(480)
        self.assertEqual(self.endings, [("no_answer", 480, "system")])

    def test_nobody_picks_up(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob)
        self.office.run(30)
        cancel = self.bob.request("CANCEL")
        self.assertEqual(cancel.require("reason"), 'SIP;cause=408;text="No answer"')
        self.bob.respond(cancel, 200)
        self.bob.respond(got, 487)
        self.alice.response(480)
        self.assertEqual(self.endings, [("no_answer", 480, "system")])

    def test_the_router_refuses(self) -> None:
        self.office.plan.verdicts["bob"] = Refuse(486, "he does not want to be disturbed", (("retry-after", "60"),))
        self.alice.call("bob")
        response = self.alice.response(486)
        self.assertIn("disturbed", response.require("warning"))
        self.assertEqual(response.value("retry-after"), "60")
        self.assertEqual(self.endings, [("failed", 486, "system")])

    @conforms("RFC 3261 8.3")
    def test_the_router_redirects(self) -> None:
        self.office.plan.verdicts["bob"] = Redirect(("<sip:bob@192.0.2.20>", "<sip:bob@192.0.2.21>;q=0.5"))
        self.alice.call("bob")
        response = self.alice.response(302)
        self.assertEqual(response.values("contact"), ["<sip:bob@192.0.2.20>", "<sip:bob@192.0.2.21>;q=0.5"])
        self.assertEqual(self.endings, [("redirected", 302, "system")])

    def test_verdicts_that_cannot_be_served_are_refused(self) -> None:
        for verdict in (UseFeature("park"), LeaveToProxy()):
            self.office.plan.verdicts["bob"] = verdict
            self.alice.call("bob")
            self.alice.response(480)

    def test_an_invite_without_a_way_back_begins_no_call(self) -> None:
        request = self.alice.make("INVITE", f"sip:bob@{DOMAIN}")
        request.remove("contact")
        self.alice.send(request)
        self.alice.response(400)
        self.assertEqual(self.office.books.started, {})
        self.assertEqual(len(self.office.switch), 0)


class CancelTests(OfficeCase):
    def cancel(self, sent: Request, *more: str) -> None:
        self.alice.send(self.cancel_of(sent, *more))
        self.alice.response(200, "CANCEL")
        self.alice.response(487)

    def cancel_of(self, sent: Request, *more: str) -> Request:
        return self.alice.make(
            "CANCEL", sent.uri_text, *more, from_tag=sent.from_tag, call_id=sent.call_id, branch=sent.top_via.branch
        )

    @conforms("RFC 3326 2")
    def test_the_caller_gives_up_and_his_reason_reaches_everybody(self) -> None:
        self.office.plan.verdicts["all"] = ring(self.bob, self.carol)
        sent = self.alice.call("all")
        got = {phone: phone.request("INVITE") for phone in (self.bob, self.carol)}
        for phone, invite in got.items():
            phone.respond(invite, 180)
        self.alice.response(180)
        self.cancel(sent, f"Reason: {REASON}")
        for phone, invite in got.items():
            cancel = phone.request("CANCEL")
            self.assertEqual(cancel.require("reason"), REASON)
            phone.respond(cancel, 200)
            phone.respond(invite, 487)
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    def test_before_anybody_rings(self) -> None:
        sent = self.alice.call("bob")
        got = self.bob.request("INVITE")
        self.cancel(sent)
        self.bob.respond(got, 180)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    @conforms("RFC 3261 9.1")
    def test_the_answer_crosses(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob)
        self.alice.send(self.cancel_of(sent))
        self.bob.answer(got)
        self.alice.response(200, "CANCEL")
        self.bob.request("ACK")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.bob.respond(self.bob.request("CANCEL"), 481)
        self.alice.response(487)
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    def test_too_late(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob)
        self.bob.answer(got)
        heard = self.alice.response(200)
        self.alice.send(self.cancel_of(sent))
        self.alice.response(200, "CANCEL")
        Side(self.alice, sent, heard, is_caller=True).send("ACK")
        self.bob.request("ACK")
        self.assertEqual(self.endings, [])


class ForkTests(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.plan.verdicts["all"] = ring(self.bob, self.carol, self.dave)

    def invites(self) -> tuple[Request, dict[Handset, Request]]:
        sent = self.alice.call("all")
        return sent, {phone: phone.request("INVITE") for phone in (self.bob, self.carol, self.dave)}

    @conforms("RFC 3326 2")
    def test_the_first_who_answers_wins_and_the_others_hear_why(self) -> None:
        sent, got = self.invites()
        self.assertEqual(len({invite.call_id for invite in got.values()}), 3)
        for phone, invite in got.items():
            phone.respond(invite, 180)
        self.office.answered(self.alice, sent, self.carol, got[self.carol])
        for phone in (self.bob, self.dave):
            cancel = phone.request("CANCEL")
            self.assertEqual(cancel.require("reason"), REASON)
            phone.respond(cancel, 200)
            phone.respond(got[phone], 487)
        (call,) = self.office.switch.calls.values()
        self.assertEqual(len(call.legs), 2)
        self.assertEqual(call.callee and call.callee.party.name, "carol")

    def test_two_answer_at_once(self) -> None:
        sent, got = self.invites()
        self.bob.answer(got[self.bob])
        self.carol.answer(got[self.carol])
        heard = self.alice.response(200)
        Side(self.alice, sent, heard, is_caller=True).send("ACK")
        self.bob.request("ACK")
        self.carol.request("ACK")
        self.carol.respond(self.carol.request("BYE"), 200)
        self.assertNotIn("BYE", self.bob.titles)
        self.dave.respond(got[self.dave], 486)
        self.assertEqual(self.endings, [])

    @conforms("RFC 3261 16.7")
    def test_the_best_refusal_is_told_when_all_have_refused(self) -> None:
        _, got = self.invites()
        self.bob.respond(got[self.bob], 404)
        self.carol.respond(got[self.carol], 503)
        self.office.run()
        self.assertEqual(self.alice.titles, ["100 INVITE"])
        self.dave.respond(got[self.dave], 486)
        self.alice.response(404)

    @conforms("RFC 3261 21.6")
    def test_a_decline_speaks_for_one_person_only(self) -> None:
        second = self.office.phone("bob")
        second.party = attrs.evolve(second.party, user_id=self.bob.number)
        self.office.plan.verdicts["all"] = ring(self.bob, second, self.carol)
        sent = self.alice.call("all")
        got = {phone: phone.request("INVITE") for phone in (self.bob, second, self.carol)}
        for phone, invite in got.items():
            phone.respond(invite, 180)
        self.office.run()
        self.bob.respond(got[self.bob], 603)
        second.respond(second.request("CANCEL"), 200)
        second.respond(got[second], 487)
        self.assertNotIn("CANCEL", self.carol.titles)
        self.office.answered(self.alice, sent, self.carol, got[self.carol])

    def test_ringing_is_told_once_and_early_media_of_the_first_is_heard(self) -> None:
        _, got = self.invites()
        self.bob.respond(got[self.bob], 180)
        self.carol.respond(got[self.carol], 180)
        self.office.run()
        self.assertEqual(self.alice.titles.count("180 INVITE"), 1)
        self.alice.response(180)
        self.carol.answer(got[self.carol], 183)
        self.assertIn(self.carol.host.encode(), session_of(self.alice.response(183)))
        self.dave.answer(got[self.dave], 183)
        self.assertEqual(session_of(self.alice.response(180)), b"")
        self.carol.respond(got[self.carol], 486)
        self.office.run()
        self.dave.answer(got[self.dave], 183)
        self.assertIn(self.dave.host.encode(), session_of(self.alice.response(183)))
        for phone in (self.bob, self.dave):
            phone.respond(got[phone], 486)
        self.alice.response(486)

    def test_who_heard_other_early_media_is_told_the_real_session_again(self) -> None:
        sent, got = self.invites()
        self.dave.respond(got[self.dave], 180)
        self.bob.answer(got[self.bob], 183)
        self.alice.response(183)
        self.carol.answer(got[self.carol])
        calling = Side(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        self.carol.request("ACK")
        asked = self.alice.request("INVITE")
        self.assertEqual(asked.body, b"")
        self.alice.answer(asked)
        offered = self.carol.request("INVITE")
        self.assertIn(self.alice.host.encode(), offered.body)
        self.carol.answer(offered)
        self.carol.request("ACK")
        self.assertIn(self.carol.host.encode(), self.alice.request("ACK").body)
        for phone in (self.bob, self.dave):
            phone.respond(phone.request("CANCEL"), 200)
            phone.respond(got[phone], 487)


class StageTests(OfficeCase):
    def test_the_next_stage_rings_when_the_first_was_long_enough(self) -> None:
        self.office.plan.verdicts["team"] = ring(self.bob, then=(self.carol,), seconds=10)
        sent, got = self.office.ringing(self.alice, self.bob, name="team")
        self.office.run(10)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.office.answered(self.alice, sent, self.carol, self.carol.request("INVITE"))

    def test_or_when_it_refused(self) -> None:
        self.office.plan.verdicts["team"] = ring(self.bob, then=(self.carol,))
        sent, got = self.office.ringing(self.alice, self.bob, name="team")
        self.bob.respond(got, 486)
        self.office.answered(self.alice, sent, self.carol, self.carol.request("INVITE"))

    def test_who_answers_when_others_ring_already_is_turned_down(self) -> None:
        self.office.plan.verdicts["team"] = ring(self.bob, then=(self.carol,), seconds=10)
        _, got = self.office.ringing(self.alice, self.bob, name="team")
        self.office.run(10)
        self.bob.answer(got)
        self.bob.request("ACK")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.alice.response(486)

    def test_lines_of_a_higher_q_ring_first(self) -> None:
        verdict = ring(self.bob, self.carol)
        low, high = verdict.stages[0].lines
        lines = (attrs.evolve(low, q=500), high)
        self.office.plan.verdicts["all"] = attrs.evolve(verdict, stages=(Stage(lines, 20.0),))
        self.alice.call("all")
        got = self.carol.request("INVITE")
        self.assertEqual(self.bob.titles, [])
        self.office.run(10)
        self.carol.respond(got, 486)
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.alice.response(486)

    @conforms("RFC 5626 7")
    def test_another_flow_of_a_phone_is_tried_when_the_first_is_dead(self) -> None:
        for status in (408, 430):
            verdict = ring(self.bob)
            line = attrs.evolve(self.bob.line, fallbacks=(self.carol.line, self.dave.line))
            self.office.plan.verdicts["bob"] = attrs.evolve(verdict, stages=(Stage((line,), 30.0),))
            self.alice.call("bob")
            self.bob.respond(self.bob.request("INVITE"), status)
            self.carol.respond(self.carol.request("INVITE"), 430)
            self.dave.respond(self.dave.request("INVITE"), 486)
            self.alice.response(486)

    def test_but_not_when_it_rang(self) -> None:
        line = attrs.evolve(self.bob.line, fallbacks=(self.carol.line,))
        self.office.plan.verdicts["bob"] = attrs.evolve(ring(self.bob), stages=(Stage((line,), 30.0),))
        _, got = self.office.ringing(self.alice, self.bob)
        self.bob.respond(got, 408)
        self.alice.response(408)
        self.assertEqual(self.carol.titles, [])

    def test_nobody_to_ring(self) -> None:
        self.office.plan.verdicts["bob"] = attrs.evolve(ring(self.bob), stages=())
        self.alice.call("bob")
        self.alice.response(480)


class DialOutTests(OfficeCase):
    def line(self) -> Line:
        trunk = Party("trunk", kind="trunk")
        target = Target("UDP", self.dave.host, 5060)
        return Line(
            trunk,
            "sip:+15550199@trunk.test",
            target,
            from_='"Office" <sip:+15550100@trunk.test>',
            headers=(("p-asserted-identity", "<sip:+15550100@trunk.test>"),),
        )

    def test_a_number_goes_out_as_the_line_says(self) -> None:
        self.office.plan.verdicts["+15550199"] = DialOut("+15550199", self.line())
        sent = self.alice.call("+15550199")
        got = self.dave.request("INVITE")
        self.assertEqual(got.uri_text, "sip:+15550199@trunk.test")
        self.assertEqual(got.to.uri_text, "sip:+15550199@trunk.test")
        self.assertEqual(str(got.from_).partition(";")[0], '"Office" <sip:+15550100@trunk.test>')
        self.assertEqual(got.value("p-asserted-identity"), "<sip:+15550100@trunk.test>")
        self.office.answered(self.alice, sent, self.dave, got)

    def test_it_may_have_to_wait_for_its_turn(self) -> None:
        self.office.plan.verdicts["+15550199"] = DialOut("+15550199", self.line(), delay=1.0)
        self.alice.call("+15550199")
        self.office.run(0.9)
        self.assertEqual(self.dave.titles, [])
        self.office.run(0.2)
        self.dave.respond(self.dave.request("INVITE"), 486)
        self.alice.response(486)

    def test_who_gives_up_while_it_waits(self) -> None:
        self.office.plan.verdicts["+15550199"] = DialOut("+15550199", self.line(), delay=1.0)
        sent = self.alice.call("+15550199")
        self.office.run()
        self.alice.send(
            self.alice.make(
                "CANCEL", sent.uri_text, from_tag=sent.from_tag, call_id=sent.call_id, branch=sent.top_via.branch
            )
        )
        self.alice.response(487)
        self.office.run(2)
        self.assertEqual(self.dave.titles, [])


class LampTests(OfficeCase):
    def test_the_lamp_of_a_group(self) -> None:
        shown: list[tuple[str, str]] = []
        self.office.bus.subscribe(LineChanged, lambda event: shown.append((event.line, event.state)))
        self.office.plan.verdicts["team"] = ring(self.bob, lamp="600")
        sent, got = self.office.ringing(self.alice, self.bob, name="team")
        calling, _ = self.office.answered(self.alice, sent, self.bob, got)
        self.office.end(calling, self.bob)
        self.assertEqual(shown, [("600", "early"), ("600", "confirmed"), ("600", "terminated")])


class StopTests(OfficeCase):
    def test_everything_is_hung_up(self) -> None:
        self.office.talking(self.alice, self.bob)
        _, got = self.office.ringing(self.carol, self.dave)
        done: list[None] = []
        _ = self.office.switch.hang_up_all().addCallback(done.append)
        for phone in (self.alice, self.bob):
            bye = phone.request("BYE")
            self.assertEqual(bye.require("reason"), 'SIP;cause=503;text="The server is stopping"')
            phone.respond(bye, 200)
        self.carol.response(503)
        self.dave.respond(self.dave.request("CANCEL"), 200)
        self.dave.respond(got, 487)
        self.office.run(3)
        self.assertEqual(done, [None])
        self.assertEqual(sorted(self.endings), [("answered", 200, "system"), ("failed", 503, "system")])

    def test_many_calls_are_hung_up_in_turns(self) -> None:
        phones = [self.office.phone(f"p{number}") for number in range(4)]
        for _ in range(30):
            for caller, callee in (phones[:2], phones[2:]):
                self.office.talking(caller, callee)
        _ = self.office.switch.hang_up_all()
        self.assertEqual(len(self.office.switch), 10)
        self.office.run()
        self.assertEqual(len(self.office.switch), 0)

    def test_or_forgotten(self) -> None:
        self.office.talking(self.alice, self.bob)
        self.office.switch.close("the server stopped")
        self.assertEqual(self.endings, [("answered", 503, "system")])

    def test_one_call_is_hung_up_and_tells_when_it_is_done(self) -> None:
        self.office.talking(self.alice, self.bob)
        (call,) = self.office.switch.calls.values()
        done: list[str] = []
        call.hang_up(Reason("SIP", 200, "enough"), then=lambda: done.append("done"))
        self.alice.respond(self.alice.request("BYE"), 200)
        self.office.run()
        self.assertEqual(done, [])
        self.bob.respond(self.bob.request("BYE"), 200)
        self.office.run()
        self.assertEqual(done, ["done"])

    def test_a_call_that_rings_is_refused(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob)
        (call,) = self.office.switch.calls.values()
        call.hang_up(Reason("SIP", 480, "an administrator ended it"))
        self.alice.response(480)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.assertEqual(self.endings, [("failed", 480, "system")])


class MistakeTests(OfficeCase):
    def test_a_mistake_of_ours_is_a_500_and_a_closed_row(self) -> None:
        def route(_attempt: Attempt) -> Verdict:
            raise RuntimeError("a mistake")

        self.office.plan.verdicts["bob"] = ring(self.bob, if_busy="carol")
        self.alice.call("bob")
        got = self.bob.request("INVITE")
        self.patch(self.office.plan, "route", route)
        self.bob.respond(got, 486)
        self.alice.response(500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.endings, [("failed", 500, "system")])


class StartedTests(OfficeCase):
    def test_ids_sort_by_time(self) -> None:
        started: list[CallStarted] = []
        self.office.bus.subscribe(CallStarted, started.append)
        for name in ("nobody", "no-one"):
            self.alice.call(name)
            self.alice.response(404)
            self.office.run(1)
        self.assertLess(started[0].id, started[1].id)
