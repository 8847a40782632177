"""What is done when nobody takes a call: forwards, phones that send it on, circles, and who is told of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs

from gosip_py.call.party import Party
from gosip_py.call.verdict import DialOut, Line, Redirect, Refuse, Ring, Stage, UseFeature
from gosip_py.events import CallNoted
from gosip_py.sip.message import Request
from gosip_py.transport.flow import Target
from tests.call.office import DOMAIN, Handset, OfficeCase, Side, ring
from tests.conformance import conforms


class DiallingCase(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.notes: list[tuple[str, dict[str, str]]] = []
        self.office.bus.subscribe(CallNoted, lambda event: self.notes.append((event.kind, dict(event.what))))

    def bob_with(self, **others: Any) -> None:
        self.office.plan.verdicts["bob"] = ring(self.bob, **others)


class ForwardTests(DiallingCase):
    def forwarded(self) -> Request:
        got = self.carol.request("INVITE")
        self.assertEqual(got.from_.uri_text, f"sip:alice@{DOMAIN}")
        self.assertEqual(got.to.uri_text, f"sip:carol@{DOMAIN}")
        return got

    def test_on_busy(self) -> None:
        for status in (486, 600, 603):
            self.bob_with(if_busy="carol", if_no_answer="x", if_unavailable="y")
            sent = self.alice.call("bob")
            self.bob.respond(self.bob.request("INVITE"), status)
            calling, _ = self.office.answered(self.alice, sent, self.carol, self.forwarded())
            self.office.end(calling, self.carol)
        self.assertEqual(self.notes[0], ("forward", {"by": "bob", "target": "carol"}))
        self.assertEqual(self.office.plan.asked[1].diverted, ("bob",))
        self.assertEqual([ending[0] for ending in self.endings], ["answered"] * 3)

    def test_on_no_answer(self) -> None:
        self.bob_with(if_busy="x", if_no_answer="carol", if_unavailable="y", seconds=10)
        sent, got = self.office.ringing(self.alice, self.bob)
        self.office.run(10)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.office.answered(self.alice, sent, self.carol, self.forwarded())

    def test_on_nobody_there(self) -> None:
        self.bob_with(if_busy="x", if_no_answer="y", if_unavailable="carol")
        sent = self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), 480)
        self.office.answered(self.alice, sent, self.carol, self.forwarded())
        self.office.plan.verdicts["bob"] = Ring(Party("bob"), (), if_unavailable="dave")
        sent = self.alice.call("bob")
        self.office.answered(self.alice, sent, self.dave, self.dave.request("INVITE"))

    def test_not_when_nothing_is_set_for_that(self) -> None:
        self.bob_with(if_no_answer="carol")
        self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.alice.response(486)
        self.assertEqual(self.carol.titles, [])

    def test_the_caller_gives_up_after_the_forward(self) -> None:
        self.bob_with(if_busy="carol")
        sent = self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), 486)
        got = self.forwarded()
        self.carol.respond(got, 180)
        self.alice.response(180)
        self.alice.send(
            self.alice.make(
                "CANCEL", sent.uri_text, from_tag=sent.from_tag, call_id=sent.call_id, branch=sent.top_via.branch
            )
        )
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(got, 487)
        self.alice.response(487)
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    @conforms("RFC 3261 21.4.20")
    def test_a_circle_is_refused(self) -> None:
        self.bob_with(if_busy="carol")
        self.office.plan.verdicts["carol"] = ring(self.carol, if_busy="bob")
        self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.alice.response(482)

    def test_even_by_a_router_that_does_not_notice(self) -> None:
        names = [f"n{number}" for number in range(20)]
        for name, following in pairwise(names):
            self.office.plan.verdicts[name] = Ring(Party(name), (), if_unavailable=following)
        self.alice.call("n0")
        self.alice.response(482)
        self.assertEqual(len(self.notes), 5)

    def test_those_that_the_router_follows_itself_are_noted_too(self) -> None:
        self.office.plan.verdicts["bob"] = attrs.evolve(ring(self.dave), diverted=("bob", "carol"))
        self.alice.call("bob")
        self.dave.respond(self.dave.request("INVITE"), 486)
        self.alice.response(486)
        steps = [(what["by"], what["target"]) for _, what in self.notes]
        self.assertEqual(steps, [("bob", "carol"), ("carol", "dave")])

    def test_to_a_number_outside(self) -> None:
        line = Line(Party("trunk", kind="trunk"), "sip:+1555@trunk.test", Target("UDP", self.dave.host, 5060))
        self.bob_with(if_busy="+1555")
        self.office.plan.verdicts["+1555"] = DialOut("+1555", line)
        sent = self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.office.answered(self.alice, sent, self.dave, self.dave.request("INVITE"))

    def test_verdicts_that_end_it(self) -> None:
        for verdict, status in (
            (Refuse(404, "no such number"), 404),
            (Redirect((f"<sip:x@{DOMAIN}>",)), 302),
            (UseFeature("voicemail"), 480),
        ):
            self.bob_with(if_busy="next")
            self.office.plan.verdicts["next"] = verdict
            self.alice.call("bob")
            self.bob.respond(self.bob.request("INVITE"), 486)
            self.alice.response(status)
        self.assertEqual([ending[0] for ending in self.endings], ["failed", "redirected", "no_answer"])


class SecureTests(DiallingCase):
    @conforms("RFC 3261 26.2.2")
    def test_a_call_to_a_sips_uri_rings_where_tls_leads_only(self) -> None:
        erin = self.office.phone("erin", "TLS")
        target = Target("TLS", erin.host, 5061)
        line = attrs.evolve(erin.line, target=target)
        plain = ring(self.bob).stages[0].lines
        self.office.plan.verdicts["bob"] = attrs.evolve(ring(self.bob), stages=(Stage((*plain, line), 20.0),))
        self.alice.ask("INVITE", f"sips:bob@{DOMAIN}")
        self.office.run()
        self.assertEqual((self.bob.titles, erin.titles), ([], ["INVITE"]))
        erin.respond(erin.request("INVITE"), 486)
        self.alice.response(486)

    def test_nobody_can_be_reached_so(self) -> None:
        self.alice.ask("INVITE", f"sips:bob@{DOMAIN}")
        self.alice.response(480)
        self.assertEqual(self.bob.titles, [])

    def test_nor_by_a_forward(self) -> None:
        self.bob_with(if_unavailable="carol")
        self.alice.ask("INVITE", f"sips:bob@{DOMAIN}")
        self.alice.response(480)
        self.assertEqual([attempt.uri.scheme for attempt in self.office.plan.asked], ["sips", "sips"])
        self.assertEqual((self.bob.titles, self.carol.titles), ([], []))

    def test_nor_by_a_phone_that_sends_it_on(self) -> None:
        erin = self.office.phone("erin", "TLS")
        line = attrs.evolve(erin.line, target=Target("TLS", erin.host, 5061))
        self.office.plan.verdicts["bob"] = attrs.evolve(ring(self.bob), stages=(Stage((line,), 20.0),))
        self.alice.ask("INVITE", f"sips:bob@{DOMAIN}")
        erin.respond(erin.request("INVITE"), 302, ("contact", f"<sip:carol@{DOMAIN}>"))
        self.alice.response(480)
        self.assertEqual(self.carol.titles, [])

    def test_by_another_way_to_the_same_phone(self) -> None:
        erin = self.office.phone("erin", "TLS")
        secure = attrs.evolve(erin.line, target=Target("TLS", erin.host, 5061))
        line = attrs.evolve(self.bob.line, fallbacks=(self.carol.line, secure))
        self.office.plan.verdicts["bob"] = attrs.evolve(ring(self.bob), stages=(Stage((line,), 20.0),))
        self.alice.ask("INVITE", f"sips:bob@{DOMAIN}")
        erin.respond(erin.request("INVITE"), 486)
        self.alice.response(486)
        self.assertEqual((self.bob.titles, self.carol.titles), ([], []))

    def test_help_comes_whatever_the_trunk_speaks(self) -> None:
        trunk = attrs.evolve(self.dave.line, party=Party("112", kind="trunk"))
        self.office.plan.verdicts["112"] = DialOut("112", trunk, True)
        self.alice.ask("INVITE", f"sips:112@{DOMAIN}")
        self.dave.respond(self.dave.request("INVITE"), 486)
        self.alice.response(486)


class FeatureTests(DiallingCase):
    def test_the_server_itself_may_serve_it(self) -> None:
        used: list[tuple[str, UseFeature]] = []

        class Features:
            def use(self, call: Any, verdict: UseFeature) -> None:
                used.append((call.state, verdict))
                call.caller.role.refuse(501, "not yet")

        self.office.switch.features = Features()
        self.office.plan.verdicts["*43"] = UseFeature("echo")
        self.alice.call("*43")
        self.alice.response(501)
        self.assertEqual(used, [("trying", UseFeature("echo"))])
        self.assertEqual(self.endings, [("failed", 501, "system")])


class RedirectTests(DiallingCase):
    def redirected(self, *contacts: str, status: int = 302) -> Request:
        sent = self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), status, *(("contact", contact) for contact in contacts))
        return sent

    @conforms("RFC 3261 8.1.3.4")
    def test_a_phone_may_send_its_call_on(self) -> None:
        invite = self.alice.call("bob")
        got = self.bob.request("INVITE")
        response = self.bob.respond(
            got, 302, ("contact", f"<sip:nobody@{DOMAIN}>;q=0.9"), ("contact", f"<sip:carol@{DOMAIN}>;q=0.4")
        )
        self.assertEqual(response.status, 302)
        self.office.answered(self.alice, invite, self.carol, self.carol.request("INVITE"))
        self.assertEqual(self.notes, [("forward", {"by": "bob", "target": "carol"})])
        self.assertEqual(self.office.plan.asked[-1].diverted, ("bob",))

    def test_contacts_stay_ours(self) -> None:
        """The caller never sees them: they are the trade of the callee's side."""
        for contacts in ((), ("<sip:x@10.0.0.1>",), ("not a contact <",), ("<http://x>",)):
            self.redirected(*contacts)
            response = self.alice.response(480)
            self.assertNotIn("10.0.0.1", " ".join(response.lines))

    def test_back_to_itself(self) -> None:
        self.redirected(f"<sip:bob@{DOMAIN}>")
        self.alice.response(480)

    def test_who_sends_it_nowhere_may_have_a_forward(self) -> None:
        self.bob_with(if_unavailable="carol")
        sent = self.redirected()
        self.office.answered(self.alice, sent, self.carol, self.carol.request("INVITE"))


@attrs.define
class CountingTally:
    """Writes down what it is told."""

    told: list[tuple[str, str]] = attrs.field(factory=list)
    seconds: list[float] = attrs.field(factory=list)

    def rang(self, party: Party) -> None:
        self.told.append(("rang", party.name))

    def answered(self, party: Party) -> None:
        self.told.append(("answered", party.name))

    def missed(self, party: Party) -> None:
        self.told.append(("missed", party.name))

    def talked(self, party: Party, seconds: float) -> None:
        self.told.append(("talked", party.name))
        self.seconds.append(seconds)


class TallyTests(DiallingCase):
    def setUp(self) -> None:
        super().setUp()
        self.tally = CountingTally()

    def team(self, *phones: Handset, **others: Any) -> None:
        self.office.plan.verdicts["team"] = ring(*phones, tally=self.tally, name="team", **others)

    def test_who_answers_talks_and_nobody_else_has_missed_it(self) -> None:
        self.team(self.bob, self.carol)
        sent, got = self.office.ringing(self.alice, self.bob, name="team")
        calling, _ = self.office.answered(self.alice, sent, self.bob, got)
        self.office.run(60)
        self.office.end(calling, self.bob)
        self.assertEqual(self.tally.told, [("rang", "bob"), ("rang", "carol"), ("answered", "bob"), ("talked", "bob")])
        self.assertEqual(round(self.tally.seconds[0]), 60)
        self.carol.respond(self.carol.request("INVITE"), 486)

    def test_who_refuses_or_does_not_answer_has(self) -> None:
        self.team(self.bob, then=(self.carol,), seconds=10)
        self.alice.call("team")
        self.bob.respond(self.bob.request("INVITE"), 486)
        got = self.carol.request("INVITE")
        self.carol.respond(got, 180)
        self.office.run(11)
        self.carol.respond(got, 487)
        self.assertEqual(self.tally.told, [("rang", "bob"), ("missed", "bob"), ("rang", "carol"), ("missed", "carol")])

    def test_the_statistics_of_the_one_before_are_not_those_of_the_next(self) -> None:
        self.team(self.bob, if_busy="carol")
        sent = self.alice.call("team")
        self.bob.respond(self.bob.request("INVITE"), 486)
        calling, _ = self.office.answered(self.alice, sent, self.carol, self.carol.request("INVITE"))
        self.office.end(calling, self.carol)
        self.assertEqual(self.tally.told, [("rang", "bob"), ("missed", "bob")])


class HeaderTests(DiallingCase):
    def test_headers_of_the_verdict_and_of_the_line(self) -> None:
        verdict = ring(self.bob, headers=(("alert-info", "<x>;info=ring"),))
        line = attrs.evolve(self.bob.line, headers=(("call-info", "<sip:x>;answer-after=0"),))
        self.office.plan.verdicts["bob"] = attrs.evolve(verdict, stages=(Stage((line,), 20),))
        sent = self.alice.call("bob", "Subject: lunch")
        got = self.bob.request("INVITE")
        self.assertEqual(
            [got.value(name) for name in ("alert-info", "call-info", "subject")],
            ["<x>;info=ring", "<sip:x>;answer-after=0", "lunch"],
        )
        answer = self.bob.answer(got, 200, ("user-to-user", "0123"), ("server", "phone 9"))
        heard = self.alice.response(200)
        self.assertEqual((heard.value("user-to-user"), heard.value("server")), ("0123", None))
        self.assertTrue(answer.body)
        Side(self.alice, sent, heard, is_caller=True).send("ACK")
