"""What each leg has for itself: reliable ringing, session timers, connections that break, people outside."""

from __future__ import annotations

from typing import ClassVar

from gosip_py.call.leg import GONE, Leg, Quiet
from gosip_py.call.party import Party
from gosip_py.dialog.session import session_of
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.call.office import DOMAIN, OfficeCase, Side, offer_of
from tests.conformance import conforms


class Counting:
    """The limits' view of the legs."""

    def __init__(self) -> None:
        self.now: list[tuple[str, bool]] = []

    def add(self, party: Party, is_received: bool) -> None:
        self.now.append((party.name, is_received))

    def remove(self, party: Party, is_received: bool) -> None:
        self.now.remove((party.name, is_received))


class CountTests(OfficeCase):
    def test_each_leg_is_counted_while_it_is_there(self) -> None:
        counts = self.office.switch.counts = Counting()
        sent, got = self.office.ringing(self.alice, self.bob)
        self.assertEqual(counts.now, [("alice", True), ("bob", False)])
        calling, _ = self.office.answered(self.alice, sent, self.bob, got)
        self.office.end(calling, self.bob)
        self.assertEqual(counts.now, [])
        request = self.alice.make("INVITE", f"sip:bob@{DOMAIN}")
        request.remove("contact")
        self.alice.send(request)
        self.alice.response(400)
        self.assertEqual(counts.now, [])

    def test_a_leg_that_moves_to_another_call(self) -> None:
        counts = self.office.switch.counts = Counting()
        self.office.talking(self.alice, self.bob)
        self.office.talking(self.carol, self.dave)
        first, second = self.office.switch.calls.values()
        leg = second.callee
        assert leg is not None
        first.adopt(leg)
        self.assertEqual((leg.call, len(first.legs), len(second.legs)), (first, 3, 1))
        self.assertEqual(len(counts.now), 4)


class DescriptionTests(OfficeCase):
    def test_the_version_grows_only_with_a_change(self) -> None:
        self.office.talking(self.alice, self.bob)
        (call,) = self.office.switch.calls.values()
        leg = Leg(call, Party("x"), Quiet())
        one, other = offer_of("192.0.2.90", 4000).encode(), offer_of("192.0.2.91", 4000).encode()
        first = leg.describe(one)
        self.assertEqual(leg.describe(one), first)
        second = leg.describe(other)
        self.assertEqual(leg.describe(other), second)
        numbers = [int(text.split(b"\r\n")[1].split()[2]) for text in (first, second, leg.describe(one))]
        self.assertEqual(numbers, [0, 1, 2])
        self.assertEqual((leg.describe(b""), leg.describe(b"garbage")), (b"", b"garbage"))
        leg.drop()
        leg.drop()
        self.assertIs(leg.role, GONE)


class ReliableTests(OfficeCase):
    @conforms("RFC 3262 3")
    def test_each_leg_acknowledges_for_itself(self) -> None:
        sent = self.alice.call("bob", "Supported: 100rel")
        got = self.bob.request("INVITE")
        self.assertIn("100rel", got.require("supported"))
        body = offer_of(self.bob.host, 7000)
        self.bob.respond_with(got, 183, body, ("require", "100rel"), ("rseq", "1"))
        prack = self.bob.request("PRACK")
        self.assertEqual(prack.require("rack"), f"1 {got.cseq.number} INVITE")
        self.bob.respond(prack, 200)
        heard = self.alice.response(183)
        self.assertIn("100rel", heard.require("require"))
        self.assertIn(b"m=audio 7000", session_of(heard))
        calling = Side(self.alice, sent, heard, is_caller=True)
        calling.send("PRACK", f"RAck: {heard.require('rseq')} 1 INVITE")
        self.alice.response(200, "PRACK")
        self.bob.respond_with(got, 200, "")
        Side(self.alice, sent, self.alice.response(200), is_caller=True).send("ACK")
        self.bob.request("ACK")

    def test_a_caller_who_cannot_need_not(self) -> None:
        sent = self.alice.call("bob")
        got = self.bob.request("INVITE")
        self.bob.respond_with(got, 183, offer_of(self.bob.host, 7000), ("require", "100rel"), ("rseq", "1"))
        self.bob.respond(self.bob.request("PRACK"), 200)
        heard = self.alice.response(183)
        self.assertNotIn("rseq", heard.names)
        self.bob.respond_with(got, 200, "")
        answer = self.alice.response(200)
        self.assertIn(b"m=audio 7000", session_of(answer))
        Side(self.alice, sent, answer, is_caller=True).send("ACK")
        self.bob.request("ACK")


class EarlyTests(OfficeCase):
    def early(self) -> tuple[Request, Request, Response]:
        sent = self.alice.call("bob")
        got = self.bob.request("INVITE")
        self.bob.answer(got, 183)
        return sent, got, self.alice.response(183)

    def test_keys_go_to_whose_voice_is_heard(self) -> None:
        sent, got, heard = self.early()
        calling = Side(self.alice, sent, heard, is_caller=True)
        calling.send("INFO")
        self.bob.respond(self.bob.request("INFO"), 200)
        self.alice.response(200, "INFO")
        self.bob.respond(got, 486)
        self.alice.response(486)

    def test_nobody_is_transferred_before_the_answer(self) -> None:
        sent, got, heard = self.early()
        calling = Side(self.alice, sent, heard, is_caller=True)
        calling.send("REFER", f"Refer-To: <sip:carol@{DOMAIN}>")
        self.alice.response(491, "REFER")
        self.bob.respond(got, 486)
        self.alice.response(486)

    def reliably_early(self) -> tuple[Request, Request, Side, Side]:
        """Both have agreed on a session, by PRACK, before the answer."""
        sent = self.alice.call("bob", "Supported: 100rel", "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE")
        got = self.bob.request("INVITE")
        more = (("require", "100rel"), ("rseq", "1"), ("allow", "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"))
        answer = self.bob.respond_with(got, 183, offer_of(self.bob.host, 7000), *more)
        self.bob.respond(self.bob.request("PRACK"), 200)
        heard = self.alice.response(183)
        calling = Side(self.alice, sent, heard, is_caller=True)
        calling.send("PRACK", f"RAck: {heard.require('rseq')} 1 INVITE")
        self.alice.response(200, "PRACK")
        return sent, got, calling, Side(self.bob, got, answer, is_caller=False)

    @conforms("RFC 3311 5.1")
    def test_an_update_of_either_side_passes_before_the_answer(self) -> None:
        _, got, calling, called = self.reliably_early()
        calling.send_with("UPDATE", offer_of(self.alice.host, 7002))
        update = self.bob.request("UPDATE")
        self.assertIn(b"m=audio 7002", update.body)
        self.bob.respond_with(update, 200, offer_of(self.bob.host, 7004))
        self.assertIn(b"m=audio 7004", self.alice.response(200, "UPDATE").body)
        called.send_with("UPDATE", offer_of(self.bob.host, 7006))
        update = self.alice.request("UPDATE")
        self.assertIn(b"m=audio 7006", update.body)
        self.alice.respond(update, 488)
        self.bob.response(488, "UPDATE")
        self.bob.respond(got, 486)
        self.alice.response(486)

    @conforms("RFC 3311 5.2")
    def test_an_update_that_nobody_could_take_now_is_put_off(self) -> None:
        self.alice.call("bob")  # she cannot acknowledge what is provisional, so nothing is agreed on with her yet
        got = self.bob.request("INVITE")
        more = (("require", "100rel"), ("rseq", "1"), ("allow", "INVITE, ACK, PRACK, UPDATE"))
        answer = self.bob.respond_with(got, 183, offer_of(self.bob.host), *more)
        self.bob.respond(self.bob.request("PRACK"), 200)
        Side(self.bob, got, answer, is_caller=False).send_with("UPDATE", offer_of(self.bob.host))
        self.assertTrue(self.bob.response(500, "UPDATE").value("retry-after"))
        self.bob.respond(got, 486)
        self.alice.response(486)

    def test_a_bye_before_the_answer_ends_it(self) -> None:
        sent, got, heard = self.early()
        Side(self.alice, sent, heard, is_caller=True).hang_up()
        self.alice.response(200, "BYE")
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])


class TimerTests(OfficeCase):
    session_timer: ClassVar[SessionTimerPolicy | None] = SessionTimerPolicy(
        "accept", min_se=90, session_expires=120, max_se=1800
    )

    @conforms("RFC 4028 10")
    def test_a_leg_that_is_not_refreshed_ends_the_call(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob)
        self.assertIn("session-expires", got.names)
        answer = self.bob.answer(got, 200, ("session-expires", "120;refresher=uas"), ("require", "timer"))
        calling = Side(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        self.bob.request("ACK")
        self.office.run(121)
        bye = self.bob.request("BYE")
        self.assertIn("408", bye.require("reason"))
        self.bob.respond(bye, 200)
        self.alice.respond(self.alice.request("BYE"), 200)
        self.assertEqual(self.endings, [("answered", 200, "system")])
        self.assertTrue(answer.body)

    def test_each_leg_has_its_own(self) -> None:
        sent = self.alice.call("bob", "Supported: timer", "Session-Expires: 200;refresher=uac")
        got = self.bob.request("INVITE")
        self.bob.answer(got, 200, ("session-expires", "100;refresher=uac"), ("require", "timer"))
        heard = self.alice.response(200)
        self.assertNotEqual(heard.require("session-expires"), "100;refresher=uac")
        Side(self.alice, sent, heard, is_caller=True).send("ACK")
        self.bob.request("ACK")
        self.office.run(51)
        refresh = next(message for message in self.bob.heard if isinstance(message, Request))
        self.assertIn("session-expires", refresh.names)
        self.assertNotIn("UPDATE", self.alice.titles)


class BrokenFlowTests(OfficeCase):
    def test_the_callee_s_connection_breaks_while_it_rings(self) -> None:
        erin = self.office.phone("erin", "TCP")
        self.alice.call("erin")
        erin.request("INVITE")
        for flow in self.office.network.streams:
            flow.fail("cut")
        self.office.run(1)
        self.alice.response(480)
        self.assertEqual(self.endings, [("failed", 480, "system")])

    def test_the_caller_s_breaks_while_it_talks(self) -> None:
        erin = self.office.phone("erin", "TCP")
        _, called = self.office.talking(erin, self.bob)
        for flow in self.office.network.streams:
            flow.fail("cut")
        self.office.network.detach(erin.transport)
        called.hang_up()
        self.bob.response(200, "BYE")
        self.office.run(40)
        self.assertEqual((len(self.office.dialogs), self.endings), (0, [("answered", 200, "callee")]))


class OutsideTests(OfficeCase):
    def test_a_trunk_may_come_from_several_addresses(self) -> None:
        invite = self.alice.ask("INVITE", f"sip:bob@{DOMAIN}", from_user="+15550100")
        got = self.bob.request("INVITE")
        (call,) = self.office.switch.calls.values()
        assert call.caller is not None
        self.assertTrue(call.caller.dialog.is_outside)
        self.assertFalse(next(leg for leg in call.legs if leg is not call.caller).dialog.is_outside)
        self.bob.respond(got, 486)
        self.assertEqual(self.alice.response(486).call_id, invite.call_id)
