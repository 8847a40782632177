"""Calls that somebody else takes: by the code, in a group, and by an INVITE with Replaces."""

from __future__ import annotations

from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from tests.call.office import Handset, Side, ring
from tests.call.services import ServedCase, media_lines, place_of, replaces, session
from tests.conformance import conforms

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


class PickupCase(ServedCase):
    """Alice calls Bob, whose phone rings; Carol takes it."""

    def setUp(self) -> None:
        ServedCase.setUp(self)
        self.sent, self.got = self.office.ringing(self.alice, self.bob, sdp=session(self.alice))

    def take(self, dialled: str = "*8bob", *more: str) -> Request:
        return self.carol.call(dialled, *more, sdp=session(self.carol))

    def cancelled(self) -> None:
        """Bob's phone stops ringing, and shows no missed call."""
        cancel = self.bob.request("CANCEL")
        self.assertEqual(cancel.require("reason"), ELSEWHERE)
        self.bob.respond(cancel, 200)
        self.bob.respond(self.got, 487)
        self.bob.request("ACK")

    def answered_on_hold(self) -> Side:
        """Alice is answered, and hears nobody yet."""
        answer = self.alice.response(200)
        self.assertEqual(media_lines(answer)[-1], "a=inactive")
        side = Side(self.alice, self.sent, answer, is_caller=True)
        side.send("ACK")
        return side

    def taken(self, taking: Request) -> tuple[Side, Side]:
        """Alice and Carol talk: both ends."""
        self.cancelled()
        calling = self.answered_on_hold()
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.carol))
        answer = self.carol.response(200)
        self.assertEqual(media_lines(answer)[:2], place_of(self.alice))
        side = Side(self.carol, taking, answer, is_caller=True)
        side.send("ACK")
        self.office.run()
        return calling, side

    def ring_out(self) -> None:
        """Bob refuses."""
        self.bob.respond(self.got, 486)
        self.bob.request("ACK")
        self.alice.response(486)


class DirectedTests(PickupCase):
    def test_at_an_extension(self) -> None:
        calling, _ = self.taken(self.take())
        self.assertEqual([event.id for event in self.office.books.answered], list(self.ids))
        self.assertEqual(self.noted, [("pickup", ""), ("pickup", "")])
        first, second = self.notes
        self.assertEqual((first.what["call_id"], second.what["call_id"]), (second.id, first.id))
        self.assertEqual(self.endings, [("answered", 200, "system")])
        self.office.end(calling, self.carol)
        self.assertEqual(self.endings[1:], [("answered", 200, "caller")])

    @property
    def ids(self) -> list[str]:
        """Of the call that was taken with, and of the one that was taken."""
        first, second = self.office.books.started
        return [second, first]

    def test_by_the_name_of_the_phone(self) -> None:
        self.ring_out()
        self.office.plan.verdicts["sales"] = ring(self.bob, name="sales")
        self.sent, self.got = self.office.ringing(self.alice, self.bob, name="sales", sdp=session(self.alice))
        _, side = self.taken(self.take("*8sales"))
        self.office.end(side, self.alice)

    def test_nobody_is_rung_there(self) -> None:
        self.take("*8dave")
        self.carol.response(404)
        self.ring_out()

    def test_who_is_none_of_ours_takes_nothing(self) -> None:
        stranger = Handset(self.office, "192.0.2.99", "stranger", 9)
        stranger.call("*8bob")
        stranger.response(403)
        self.ring_out()

    def test_the_caller_gives_up_meanwhile(self) -> None:
        self.take()
        self.cancelled()
        calling = self.answered_on_hold()
        self.alice.request("INVITE")
        calling.send("BYE")
        self.alice.response(200, "BYE")
        self.carol.response(480)
        self.assertEqual(sorted(self.endings), [("cancelled", 487, "caller"), ("failed", 480, "system")])

    def test_who_takes_it_gives_up_meanwhile(self) -> None:
        taking = self.take()
        self.cancelled()
        self.answered_on_hold()
        offered = self.alice.request("INVITE")
        cancel = {"call_id": taking.call_id, "from_tag": taking.from_tag, "branch": taking.top_via.branch}
        self.carol.ask("CANCEL", taking.uri_text, **cancel)
        self.carol.response(487)
        self.alice.answer(offered, sdp=session(self.alice))
        self.alice.request("ACK")
        self.goes(self.alice)
        self.assertEqual(sorted(self.endings), [("cancelled", 487, "caller"), ("failed", 480, "system")])

    def test_a_caller_without_an_offer(self) -> None:
        self.ring_out()
        self.sent, self.got = self.office.ringing(self.alice, self.bob, sdp="")
        taking = self.take()
        self.cancelled()
        answer = self.alice.response(200)
        self.assertEqual(media_lines(answer)[-1], "a=inactive")
        calling = Side(self.alice, self.sent, answer, is_caller=True)
        calling.send_with("ACK", session(self.alice, "inactive"))
        self.accept_offer(self.alice)
        side = Side(self.carol, taking, self.carol.response(200), is_caller=True)
        side.send("ACK")
        self.office.end(side, self.alice)

    def test_who_takes_it_without_an_offer(self) -> None:
        taking = self.carol.call("*8bob", sdp="")
        self.cancelled()
        calling = self.answered_on_hold()
        asked = self.alice.request("INVITE")
        self.assertEqual(asked.body, b"")
        self.alice.answer(asked, sdp=session(self.alice))
        answer = self.carol.response(200)
        self.assertEqual(media_lines(answer)[:2], place_of(self.alice))
        side = Side(self.carol, taking, answer, is_caller=True)
        side.send_with("ACK", session(self.carol))
        ack = self.alice.request("ACK")
        self.assertEqual(media_lines(ack)[:2], place_of(self.carol))
        self.office.end(calling, self.carol)


class ReliableTests(ServedCase):
    @conforms("RFC 3262 3")
    def test_the_caller_gives_up_before_it_can_be_answered(self) -> None:
        """Our 2xx waits for the PRACK of Bob's early media."""
        sent = self.alice.call("bob", "Require: 100rel", sdp=session(self.alice))
        got = self.bob.request("INVITE")
        self.bob.respond_with(got, 183, session(self.bob), ("require", "100rel"), ("rseq", "1"))
        self.alice.response(183)
        self.carol.call("*8bob", sdp=session(self.carol))
        self.office.run()
        cancel = {"call_id": sent.call_id, "from_tag": sent.from_tag, "branch": sent.top_via.branch}
        self.alice.ask("CANCEL", sent.uri_text, **cancel)
        self.alice.response(487)
        self.carol.response(480)
        self.assertEqual(self.endings, [("cancelled", 487, "caller"), ("failed", 480, "system")])


class GroupTests(PickupCase):
    def test_the_oldest_in_a_group_of_theirs(self) -> None:
        self.rule.groups.add(frozenset(("bob", "carol")))
        sent, got = self.office.ringing(self.dave, self.bob)
        _, side = self.taken(self.take("*8"))
        self.office.end(side, self.alice)
        calling, _ = self.office.answered(self.dave, sent, self.bob, got)
        self.office.end(calling, self.bob)

    def test_no_group_of_theirs(self) -> None:
        self.take("*8")
        self.carol.response(404)
        self.ring_out()


class ReplacesEarlyTests(PickupCase):
    @conforms("RFC 5359 2.16", "RFC 3891 3")
    def test_the_leg_that_rings(self) -> None:
        """As a lamp tells it: the dialog that Bob's phone has with us."""
        bobs = Side(self.bob, self.got, self.bob_rings, is_caller=False)
        line = f"Replaces: {replaces(bobs)};early-only"
        calling, _ = self.taken(self.take("bob", line))
        self.office.end(calling, self.carol)

    def test_the_leg_of_the_caller(self) -> None:
        """As lamps told it before there was a switch."""
        leg = next(iter(self.office.switch.calls.values())).caller
        assert leg is not None
        line = f"Replaces: {self.sent.call_id};to-tag={leg.dialog.local_tag};from-tag={self.sent.from_tag}"
        calling, _ = self.taken(self.take("bob", line))
        self.office.end(calling, self.carol)

    @property
    def bob_rings(self) -> Response:
        return reply(self.got, 180, to_tag=f"tag-bob-{self.bob.host}")

    def test_who_is_none_of_ours(self) -> None:
        bobs = Side(self.bob, self.got, self.bob_rings, is_caller=False)
        stranger = Handset(self.office, "192.0.2.99", "stranger", 9)
        stranger.call("bob", f"Replaces: {replaces(bobs)}")
        stranger.response(403)
        self.ring_out()

    def test_a_leg_that_was_cancelled_while_others_ring_on(self) -> None:
        self.ring_out()
        self.office.plan.verdicts["bob"] = ring(self.bob, name="bob", seconds=5.0, then=(self.dave,))
        self.sent, self.got = self.office.ringing(self.alice, self.bob, sdp=session(self.alice))
        self.office.run(5)
        bobs = Side(self.bob, self.got, self.bob_rings, is_caller=False)
        self.take("bob", f"Replaces: {replaces(bobs)}")
        self.carol.response(603)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(self.got, 487)
        self.dave.respond(self.dave.request("INVITE"), 486)
        self.alice.response(486)

    def test_what_cannot_begin_a_dialog(self) -> None:
        bobs = Side(self.bob, self.got, self.bob_rings, is_caller=False)
        self.take("bob", f"Replaces: {replaces(bobs)}", "Contact: <>")
        self.carol.response(400)
        self.ring_out()


class ReplacesTalkingTests(ServedCase):
    """Alice talks with Bob; Carol takes his place."""

    def setUp(self) -> None:
        ServedCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def take(self, *parameters: str) -> Request:
        line = f"Replaces: {';'.join((replaces(self.called), *parameters))}"
        return self.carol.call("bob", line, sdp=session(self.carol))

    @conforms("RFC 3891 3")
    def test_a_leg_is_replaced(self) -> None:
        taking = self.take()
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.carol))
        answer = self.carol.response(200)
        side = Side(self.carol, taking, answer, is_caller=True)
        side.send("ACK")
        self.assertEqual(self.goes(self.bob).require("reason"), 'SIP;cause=200;text="Call taken over"')
        self.assertEqual(self.noted, [("replace", ""), ("replace", "")])
        self.office.end(side, self.alice)
        self.assertEqual(self.endings, [("answered", 200, "system"), ("answered", 200, "callee")])

    @conforms("RFC 3891 3")
    def test_early_only(self) -> None:
        self.take("early-only")
        self.carol.response(486)
        self.office.end(self.calling, self.bob)

    def test_the_other_one_does_not_agree(self) -> None:
        self.take()
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.alice.request("ACK")
        self.carol.response(480)
        self.hold(self.called, self.alice)
        self.office.end(self.calling, self.bob)

    def test_who_is_replaced_hangs_up_meanwhile(self) -> None:
        taking = self.take()
        offered = self.alice.request("INVITE")
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.alice.answer(offered, sdp=session(self.alice))
        self.alice.request("ACK")
        side = Side(self.carol, taking, self.carol.response(200), is_caller=True)
        side.send("ACK")
        self.office.end(side, self.alice)

    def test_the_other_one_hangs_up_meanwhile(self) -> None:
        self.take()
        self.alice.request("INVITE")
        self.calling.send("BYE")
        self.alice.response(200, "BYE")
        self.goes(self.bob)
        self.carol.response(480)

    def test_it_is_gone(self) -> None:
        self.office.end(self.calling, self.bob)
        self.take()
        self.carol.response(481)

    def test_who_is_none_of_ours(self) -> None:
        stranger = Handset(self.office, "192.0.2.99", "stranger", 9)
        stranger.call("bob", f"Replaces: {replaces(self.called)}")
        stranger.response(403)
        self.office.end(self.calling, self.bob)
