"""The service examples of RFC 5359 that a switch serves, with the server between the phones."""

from __future__ import annotations

from gosip_py.call.verdict import Refuse
from tests.call.office import ring
from tests.call.services import media_lines, place_of, refer_to, replaces, session
from tests.conformance import conforms
from tests.scenario.ladder import ScenarioCase

_HELD = """
    bob   > INVITE
    alice < INVITE
    alice > 200 INVITE
    alice < ACK
    bob   < 200 INVITE
    bob   > ACK
"""


class HoldTests(ScenarioCase):
    @conforms("RFC 5359 2.1")
    def test_call_hold(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        self.flow(
            """
            alice > INVITE
            bob   < INVITE
            bob   > 180 INVITE
            alice < 180 INVITE
            bob   > 200 INVITE
            bob   < ACK
            alice < 200 INVITE
            alice > ACK
            """
        )
        self.hold(called, self.alice)
        self.flow(_HELD)
        self.assertEqual(self.states, ["held"])
        self.resumes(called, self.alice)
        self.flow(_HELD)
        self.assertEqual(self.states, ["answered"])
        self.office.end(calling, self.bob)
        self.flow(
            """
            alice > BYE
            alice < 200 BYE
            bob   < BYE
            bob   > 200 BYE
            """
        )

    @conforms("RFC 5359 2.2")
    def test_consultation_hold(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        self.hold(called, self.alice)
        consulting, _ = self.talk(self.bob, self.carol)
        self.assertEqual(self.states, ["held", "answered"])
        self.office.end(consulting, self.carol)
        self.resumes(called, self.alice)
        self.office.end(calling, self.bob)
        self.assertEqual(self.endings, [("answered", 200, "caller"), ("answered", 200, "caller")])


class TransferTests(ScenarioCase):
    @conforms("RFC 5359 2.4")
    def test_unattended(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        self.refers(called, refer_to("carol"))
        self.hangs_up(called)
        target = self.answers(self.carol, self.rings(self.carol))
        self.accept_offer(self.alice)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.office.end(calling, self.carol)
        self.assertEqual(target.phone.titles, [])

    @conforms("RFC 5359 2.5")
    def test_attended(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        self.hold(called, self.alice)
        consulting, consulted = self.talk(self.bob, self.carol)
        self.hold(consulting, self.carol)
        self.refers(called, refer_to("carol", consulting))
        self.alice.answer(self.alice.request("INVITE"), sdp=session(self.alice))
        self.accept_offer(self.carol)
        self.alice.request("ACK")
        self.goes(self.bob)
        self.notified(self.bob)
        self.hangs_up(called)
        self.office.end(calling, consulted.handset)


class ForwardTests(ScenarioCase):
    @conforms("RFC 5359 2.7")
    def test_unconditional(self) -> None:
        self.office.plan.verdicts["bob"] = ring(self.carol, name="carol", diverted=("bob",))
        sent = self.alice.call("bob", sdp=session(self.alice))
        self.answers(self.carol, self.rings(self.carol))
        self.alice.response(180)
        side = self.connected(self.alice, sent)
        self.assertEqual(self.bob.titles, [])
        self.office.end(side, self.carol)

    @conforms("RFC 5359 2.8")
    def test_busy(self) -> None:
        self.office.plan.verdicts["bob"] = ring(self.bob, name="bob", if_busy="carol")
        sent = self.alice.call("bob", sdp=session(self.alice))
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.bob.request("ACK")
        self.answers(self.carol, self.rings(self.carol))
        self.alice.response(180)
        side = self.connected(self.alice, sent)
        self.flow(
            """
            alice > INVITE
            bob   < INVITE
            bob   > 486 INVITE
            bob   < ACK
            carol < INVITE
            carol > 180 INVITE
            alice < 180 INVITE
            carol > 200 INVITE
            carol < ACK
            alice < 200 INVITE
            alice > ACK
            """
        )
        self.office.end(side, self.carol)

    @conforms("RFC 5359 2.9")
    def test_no_answer(self) -> None:
        self.office.plan.verdicts["bob"] = ring(self.bob, name="bob", seconds=10.0, if_no_answer="carol")
        sent = self.alice.call("bob", sdp=session(self.alice))
        first = self.rings(self.bob)
        self.pause(10)
        self.cancelled(self.bob, first)
        self.answers(self.carol, self.rings(self.carol))
        self.alice.response(180)
        self.office.end(self.connected(self.alice, sent), self.carol)


class FindMeTests(ScenarioCase):
    @conforms("RFC 5359 2.12")
    def test_find_me(self) -> None:
        """Bob's phones ring one after the other until he is found."""
        self.office.plan.verdicts["bob"] = ring(self.bob, name="bob", seconds=8.0, then=(self.carol, self.dave))
        sent = self.alice.call("bob", sdp=session(self.alice))
        first = self.rings(self.bob)
        self.pause(8)
        self.cancelled(self.bob, first)
        second, third = self.rings(self.carol), self.rings(self.dave)
        self.answers(self.dave, third)
        cancel = self.carol.request("CANCEL")
        self.assertEqual(cancel.require("reason"), 'SIP;cause=200;text="Call completed elsewhere"')
        self.carol.respond(cancel, 200)
        self.carol.respond(second, 487)
        self.alice.response(180)
        self.office.end(self.connected(self.alice, sent), self.dave)


class ScreeningTests(ScenarioCase):
    @conforms("RFC 5359 2.13", "RFC 5359 2.14")
    def test_a_call_that_is_screened(self) -> None:
        """Incoming or outgoing: nobody's phone rings, and the books say why."""
        self.office.plan.verdicts["bob"] = Refuse(403, "bob takes no calls from there")
        self.alice.call("bob")
        self.alice.response(403)
        self.assertEqual(self.bob.titles, [])
        self.assertEqual(len(self.endings), 1)


class ParkTests(ScenarioCase):
    @conforms("RFC 5359 2.15")
    def test_call_park(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        self.refers(called, refer_to("*68"))
        self.accept_offer(self.alice)
        self.bob.respond(self.bob.request("MESSAGE"), 200)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 Parked at 701")
        self.hangs_up(called)
        sent = self.carol.call("701", sdp=session(self.carol))
        self.accept_offer(self.alice)
        side = self.connected(self.carol, sent)
        self.assertEqual(self.states, ["answered"])
        self.office.end(side, calling.handset)


class PickupTests(ScenarioCase):
    @conforms("RFC 5359 2.16")
    def test_call_pickup(self) -> None:
        sent = self.alice.call("bob", sdp=session(self.alice))
        invite = self.rings(self.bob)
        self.alice.response(180)
        leg = next(leg for call in self.office.switch.calls.values() for leg in call.legs if leg.party.name == "bob")
        named = f"{invite.call_id};to-tag={leg.dialog.local_tag};from-tag={leg.dialog.remote_tag};early-only"
        taking = self.carol.call("bob", f"Replaces: {named}", sdp=session(self.carol))
        self.cancelled(self.bob, invite)
        calling = self.connected(self.alice, sent)
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.carol))
        side = self.connected(self.carol, taking)
        self.office.end(side, calling.handset)

    @conforms("RFC 5359 2.16")
    def test_a_call_that_was_answered_is_taken_without_early_only(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        taking = self.carol.call("bob", f"Replaces: {replaces(called)}", sdp=session(self.carol))
        self.accept_offer(self.alice)
        self.connected(self.carol, taking)
        self.goes(self.bob)
        self.office.end(calling, self.carol)
