from __future__ import annotations

from twisted.internet.task import Clock

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.offer import State
from gosip_py.dialog.uas import respond
from gosip_py.sip.message import Response
from tests.conformance import conforms
from tests.dialog.pair import ANSWER, OFFER, Ends, EndsCase, Side, sdp
from tests.dialog.test_exchange import Raw, answer_with
from tests.network import MemoryNetwork

SDP = "application/sdp"


def keep_ringing(dialog: Dialog) -> None:
    """Say nothing."""


def ring_reliably(dialog: Dialog) -> None:
    dialog.ring(180, reliable=True)


def answer_early(dialog: Dialog) -> None:
    dialog.ring(183, sdp=ANSWER, reliable=True)


def rseq_of(message: object) -> int:
    assert isinstance(message, Response)
    return int(message.require("rseq"))


class RingingTests(EndsCase):
    @conforms("RFC 3262 3", "RFC 3262 4", "RFC 3262 7.1", "RFC 3262 7.2")
    def test_a_reliable_response_is_acknowledged(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = ring_reliably
        ends.talk()
        self.assertEqual(ends.titles(), ["INVITE", "180 INVITE", "PRACK", "200 PRACK"])
        (ringing,) = ends.sent(ends.callee, "180 INVITE")
        (prack,) = ends.sent(ends.caller, "PRACK")
        self.assertTrue(ringing.has_token("require", "100rel"))
        self.assertIn(rseq_of(ringing), range(1, 2**31))
        self.assertEqual(prack.require("rack"), f"{rseq_of(ringing)} {ringing.cseq.number} INVITE")
        self.assertEqual(ends.caller.names(), ["progressed"])
        ends.callee.dialog.accept(ANSWER)
        ends.run(1)
        self.assertEqual(ends.titles()[4:], ["200 INVITE", "ACK"])
        self.assertEqual(ends.caller.dialog.remote_sdp, ANSWER)

    @conforms("RFC 3262 4")
    def test_whoever_insists_gets_a_reliable_one_unasked(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = lambda dialog: dialog.ring()
        ends.talk(wants_reliable=True)
        self.assertEqual(ends.titles(), ["INVITE", "180 INVITE", "PRACK", "200 PRACK"])

    @conforms("RFC 3262 3")
    def test_who_does_not_know_it_gets_a_plain_one(self) -> None:
        ends = self.use(Ends(supported=("timer",), callee_supported=("100rel",)))
        ends.callee.on_invite = answer_early
        ends.talk()
        self.assertEqual(ends.titles(), ["INVITE", "183 INVITE"])
        self.assertNotIn("rseq", ends.sent(ends.callee, "183 INVITE")[0].names)
        self.assertIs(ends.callee.dialog.negotiation, State.INVITED)
        ends.callee.dialog.accept(ANSWER)
        ends.run(1)
        self.assertEqual(ends.sent(ends.callee, "200 INVITE")[0].body, ANSWER)

    @conforms("RFC 3262 3")
    def test_it_is_repeated_until_the_prack_comes(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = ring_reliably
        ends.call()
        ends.run(0.0015)
        ends.network.loss = 1.0
        ends.run(3)
        self.assertEqual(len(ends.sent(ends.callee, "180 INVITE")), 3)  # at 0, 0.5 and 1.5 s
        ends.network.loss = 0.0
        ends.run(20)
        self.assertEqual(ends.caller.names(), ["progressed"])
        self.assertEqual(ends.titles().count("200 PRACK"), 1)

    @conforms("RFC 3262 3")
    def test_without_a_prack_the_invite_is_refused(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = ring_reliably
        ends.call()
        ends.run(0.0015)
        ends.network.detach(ends.caller.transport)
        ends.run(31.9)
        self.assertEqual(ends.callee.told, [])
        ends.run(0.2)
        self.assertEqual(ends.callee.told, [("cancelled", None)])
        self.assertEqual(len([packet for packet in ends.network.packets if packet.title == "504 INVITE"]), 1)
        # the INVITE is repeated too, and each time answered with what was said last
        times = [packet.time for packet in ends.network.packets if packet.title == "180 INVITE"]
        self.assertEqual(sorted({round(time - times[0], 1) for time in times}), [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
        ends.caller.dialog.cancel()

    @conforms("RFC 3262 3")
    def test_one_is_under_way_at_a_time_and_the_numbers_follow_each_other(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = keep_ringing
        ends.talk()
        for status in (180, 181, 182):
            ends.callee.dialog.ring(status, reliable=True)
        self.assertEqual(ends.titles(), ["INVITE", "100 INVITE", "180 INVITE"])
        ends.run(1)
        self.assertEqual([status for _, status in ends.caller.told], [180, 181, 182])
        numbers = [rseq_of(ends.sent(ends.callee, f"{status} INVITE")[0]) for status in (180, 181, 182)]
        self.assertEqual(numbers, [numbers[0], numbers[0] + 1, numbers[0] + 2])

    def test_nobody_rings_without_end(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = keep_ringing
        ends.talk()
        for _ in range(50):
            ends.callee.dialog.ring(180, reliable=True)
        ends.run(2)
        self.assertEqual(len(ends.caller.told), 9)

    @conforms("RFC 3262 3")
    def test_a_final_response_ends_the_repeating_and_a_late_prack_is_welcome(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = ring_reliably
        ends.call()
        ends.run(0.0015)
        ends.network.loss = 1.0
        ends.run(0.2)
        ends.callee.dialog.accept(ANSWER)  # the 1xx had no session description: nothing to wait for
        self.assertEqual(len(ends.sent(ends.callee, "200 INVITE")), 1)
        ends.network.loss = 0.0
        ends.run(5)
        self.assertEqual(len(ends.sent(ends.callee, "180 INVITE")), 1)
        self.assertTrue(ends.caller.dialog.is_established)

    @conforms("RFC 3262 3")
    def test_a_prack_that_matches_nothing_is_481(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = ring_reliably
        ends.talk()
        said = ends.sent(ends.caller, "PRACK")[0].require("rack")
        rseq = int(said.partition(" ")[0])
        for rack, status in (
            (said, 481),  # answered before
            (f"{rseq + 1} 1 INVITE", 481),
            (f"{rseq} 1 invite", 481),  # 7.2: the method is case sensitive
            ("one two three", 400),
            ("", 400),
        ):
            raw = Raw(ends.caller, ends.callee)
            raw.send(ends.caller.dialog.compose("PRACK", headers=(("rack", rack),)))
            ends.run(0.1)
            self.assertEqual(raw.finals, [status], rack)
        ends.callee.dialog.reject(486)
        ends.run(1)
        self.assertEqual(ends.caller.heard("failed"), [486])


class OfferTests(EndsCase):
    @conforms("RFC 3262 5", "RFC 6337 3.1.1")
    def test_the_answer_in_a_reliable_response_settles_the_session(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = answer_early
        ends.talk()
        for side in (ends.caller, ends.callee):
            self.assertFalse(side.dialog.is_negotiating)
        self.assertEqual(ends.caller.dialog.remote_sdp, ANSWER)
        self.assertEqual(ends.callee.dialog.local_sdp, ANSWER)
        ends.callee.dialog.accept(ANSWER)
        ends.run(1)
        (accepted,) = ends.sent(ends.callee, "200 INVITE")
        self.assertEqual(accepted.body, b"")  # it was said
        self.assertEqual(ends.caller.dialog.remote_sdp, ANSWER)
        self.assertEqual(ends.callee.dialog.local_sdp, ANSWER)
        self.assertIs(ends.callee.dialog.negotiation, State.STABLE)
        self.assertIs(ends.caller.dialog.negotiation, State.STABLE)

    @conforms("RFC 3262 3", "RFC 3262 5")
    def test_the_2xx_waits_for_the_prack_of_an_answer(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = answer_early
        ends.call()
        ends.run(0.0015)
        ends.callee.dialog.accept(ANSWER)
        self.assertEqual(ends.sent(ends.callee, "200 INVITE"), [])
        ends.run(1)
        self.assertEqual(ends.titles(), ["INVITE", "183 INVITE", "PRACK", "200 PRACK", "200 INVITE", "ACK"])
        self.assertEqual(ends.callee.names(), ["acknowledged"])

    @conforms("RFC 3262 5", "RFC 6337 3.1.2")
    def test_an_offer_in_a_reliable_response_is_answered_in_the_prack(self) -> None:
        ends = self.use(Ends())
        ours, theirs = sdp(4000, 5), sdp(5000, 5)
        ends.callee.on_invite = lambda dialog: dialog.ring(183, sdp=theirs, reliable=True)
        ends.talk(offer=b"")
        self.assertEqual(ends.caller.names(), ["progressed"])
        self.assertEqual(ends.sent(ends.caller, "PRACK"), [])  # our user has yet to answer
        ends.caller.dialog.acknowledge(ours)
        ends.run(1)
        (prack,) = ends.sent(ends.caller, "PRACK")
        self.assertEqual(prack.body, ours)
        self.assertEqual(ends.callee.heard("acknowledged"), [ours])
        ends.callee.dialog.accept(theirs)
        ends.run(1)
        self.assertEqual(ends.sent(ends.callee, "200 INVITE")[0].body, b"")
        self.assertEqual([message.body for message in ends.sent(ends.caller, "ACK")], [b""])
        for side, local, remote in ((ends.caller, ours, theirs), (ends.callee, theirs, ours)):
            self.assertEqual((side.dialog.local_sdp, side.dialog.remote_sdp), (local, remote))
            self.assertIs(side.dialog.negotiation, State.STABLE)
            self.assertTrue(side.dialog.is_established)

    @conforms("RFC 3262 5", "RFC 6337 3.2")
    def test_an_offer_in_the_prack_is_answered_in_its_2xx(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = answer_early
        ends.callee.on_offer = lambda exchange: exchange.accept(sdp(5000, 2))
        offer = sdp(4000, 2)
        ends.call()
        ends.run(0.0015)
        # Our 183 has not arrived: this PRACK comes before the one without an offer.
        (early,) = ends.sent(ends.callee, "183 INVITE")
        ends.caller.dialog.peer.tag = early.to_tag
        ends.caller.dialog.peer.address = early.require("to")
        raw = Raw(ends.caller, ends.callee)
        prack = ends.caller.dialog.compose(
            "PRACK", headers=(("rack", f"{rseq_of(early)} 1 INVITE"),), body=offer, content_type=SDP
        )
        raw.send(prack)
        ends.run(0.1)
        self.assertEqual(raw.finals[:1], [200])
        self.assertEqual(raw.responses[0].body, sdp(5000, 2))
        self.assertEqual([exchange.method for exchange in ends.callee.exchanges], ["PRACK"])
        self.assertEqual((ends.callee.dialog.local_sdp, ends.callee.dialog.remote_sdp), (sdp(5000, 2), offer))
        self.assertIs(ends.callee.dialog.negotiation, State.RINGING)

    @conforms("RFC 3311 5.1", "RFC 6337 3.2", "RFC 3311 5.2")
    def test_an_update_changes_the_session_before_the_call_is_answered(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = answer_early
        ends.talk()
        for number, (one, other) in enumerate(((ends.caller, ends.callee), (ends.callee, ends.caller)), 2):
            done, then = self.outcomes()
            mine, yours = sdp(6000, number), sdp(7000, number)
            other.on_offer = answer_with(yours)
            ends.forget()
            one.dialog.offer(mine, then)
            ends.run(1)
            self.assertEqual(ends.titles(), ["UPDATE", "200 UPDATE"])
            self.assertEqual([(outcome.status, outcome.sdp) for outcome in done], [(200, yours)])
            self.assertEqual((one.dialog.local_sdp, one.dialog.remote_sdp), (mine, yours))
            self.assertEqual((other.dialog.local_sdp, other.dialog.remote_sdp), (yours, mine))
        ends.callee.dialog.accept(ANSWER)
        ends.run(1)
        self.assertTrue(ends.caller.dialog.is_established)
        self.assertEqual((ends.caller.dialog.local_sdp, ends.caller.dialog.remote_sdp), (sdp(7000, 3), sdp(6000, 3)))
        self.assertEqual((ends.callee.dialog.local_sdp, ends.callee.dialog.remote_sdp), (sdp(6000, 3), sdp(7000, 3)))

    @conforms("RFC 3311 5.2", "RFC 6337 4.3")
    def test_an_update_with_an_offer_before_the_first_answer_is_refused(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = lambda dialog: dialog.ring()
        ends.talk()
        raw = Raw(ends.caller, ends.callee)
        raw.send(ends.caller.dialog.compose("UPDATE", body=sdp(4000, 2), content_type=SDP, headers=_CONTACT))
        back = Raw(ends.callee, ends.caller)
        back.send(ends.callee.dialog.compose("UPDATE", body=sdp(5000, 2), content_type=SDP, headers=_CONTACT))
        ends.run(1)
        self.assertEqual((raw.finals, back.finals), ([500], [491]))
        self.assertIn("retry-after", raw.responses[-1].names)

    @conforms("RFC 3311 5.2", "RFC 3311 5.3", "RFC 6337 4.2")
    def test_updates_that_cross_are_both_refused_and_both_come_again(self) -> None:
        ends = self.use(Ends())
        ends.callee.on_invite = answer_early
        ends.talk()
        done, then = self.outcomes()
        ends.caller.on_offer = lambda exchange: exchange.accept(sdp(4000, 9))
        ends.callee.on_offer = lambda exchange: exchange.accept(sdp(5000, 9))
        ends.forget()
        ends.caller.dialog.offer(sdp(4000, 2), then)
        ends.callee.dialog.offer(sdp(5000, 2), then)
        ends.run(0.1)
        self.assertEqual(ends.titles().count("491 UPDATE"), 2)
        ends.run(8)
        self.assertEqual([outcome.status for outcome in done], [200, 200])
        one, other = ends.caller.dialog, ends.callee.dialog
        self.assertEqual((one.local_sdp, one.remote_sdp), (other.remote_sdp, other.local_sdp))
        other.accept(b"")
        ends.run(1)
        self.assertTrue(one.is_established and other.is_established)

    @conforms("RFC 3261 13.3.1.4", "RFC 3311 5.1")
    def test_an_update_does_not_stand_for_the_ack(self) -> None:
        """The 2xx was lost, and its sender hears an UPDATE: it is repeated all the same."""
        ends = self.use(Ends())
        ends.callee.on_invite = answer_early
        ends.talk()
        ends.network.loss = 1.0
        ends.callee.dialog.accept(b"")
        ends.network.loss = 0.0
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: exchange.accept(sdp(5000, 3))
        ends.caller.dialog.offer(sdp(4000, 3), then)
        ends.run(0.1)
        self.assertEqual([outcome.status for outcome in done], [200])
        ends.callee.dialog.offer(sdp(5000, 4), then)  # waits for the ACK
        ends.run(0.1)
        self.assertEqual(ends.sent(ends.callee, "INVITE"), [])
        ends.run(2)
        self.assertTrue(ends.caller.dialog.is_established)
        self.assertEqual([outcome.status for outcome in done], [200, 200])
        self.assertEqual(ends.caller.dialog.remote_sdp, sdp(5000, 4))

    @conforms("RFC 3262 3")
    def test_it_works_over_a_network_that_loses(self) -> None:
        for seed in range(40):
            network = MemoryNetwork(Clock(), seed, loss=0.3, delay=(0.01, 0.2), duplicate=0.1, most_lost=5)
            ends = Ends(network, seed=seed)

            def answer(dialog: Dialog) -> None:
                dialog.ring(180, reliable=True)
                dialog.ring(183, sdp=ANSWER, reliable=True)
                dialog.accept(ANSWER)

            ends.callee.on_invite = answer
            ends.talk()
            ends.run(60)
            self.assertEqual([status for _, status in ends.caller.told], [180, 183, 200], seed)
            self.assertEqual(ends.callee.told, [("acknowledged", b"")], seed)
            for side, local, remote in ((ends.caller, OFFER, ANSWER), (ends.callee, ANSWER, OFFER)):
                self.assertEqual((side.dialog.local_sdp, side.dialog.remote_sdp), (local, remote))
                self.assertIs(side.dialog.negotiation, State.STABLE)
            ends.callee.dialog.hang_up()
            ends.run(200)
            for side in (ends.caller, ends.callee):
                self.assertEqual((len(side.dialogs), side.layer.in_flight, len(side.layer.wheel)), (0, 0, 0))


_CONTACT = (("contact", "<sip:somebody@192.0.2.1>"),)


class HearingTests(EndsCase):
    """What a UAC does with reliable responses that some other phone sends."""

    def respond(self, status: int, rseq: str, body: bytes = b"", tag: str = "") -> None:
        dialog = self.ends.callee.dialog
        assert dialog.answering is not None
        response = respond(dialog, dialog.answering.request, status, "", (), body)
        response.add("require", "100rel")
        response.add("rseq", rseq)
        if tag:
            response.set("to", f"<sip:bob@example.com>;tag={tag}")
        dialog.answering.server.respond(response)
        self.ends.run(0.1)

    def begin(self) -> tuple[Side, Side]:
        ends = self.use(Ends())
        ends.callee.on_invite = keep_ringing
        ends.talk()
        return ends.caller, ends.callee

    @conforms("RFC 3262 4")
    def test_repetitions_and_what_is_out_of_order_are_dropped(self) -> None:
        caller, _ = self.begin()
        for rseq in ("7", "7", "9", "8", "7", "9", "10"):
            self.respond(180, rseq)
        racks = [message.require("rack") for message in self.ends.sent(caller, "PRACK")]
        self.assertEqual(racks, [f"{rseq} 1 INVITE" for rseq in (7, 8, 9, 10)])
        self.assertEqual(len(caller.told), 4)

    @conforms("RFC 3262 4")
    def test_each_early_dialog_has_numbers_and_a_session_of_its_own(self) -> None:
        caller, _ = self.begin()
        self.respond(183, "5", ANSWER)
        self.respond(183, "900", sdp(5100), tag="other")
        self.respond(183, "901", tag="other")
        pracks = [(message.to_tag, message.require("rack")) for message in self.ends.sent(caller, "PRACK")]
        ours = self.ends.callee.dialog.local_tag
        self.assertEqual(pracks, [(ours, "5 1 INVITE"), ("other", "900 1 INVITE"), ("other", "901 1 INVITE")])
        self.assertEqual(caller.dialog.remote_sdp, ANSWER)

    def test_a_number_that_cannot_be_read_makes_it_an_ordinary_one(self) -> None:
        caller, _ = self.begin()
        self.respond(180, "seven")
        self.respond(180, "99999999999")
        self.assertEqual(self.ends.sent(caller, "PRACK"), [])
        self.assertEqual(len(caller.told), 2)

    @conforms("RFC 6337 3.1.1")
    def test_a_second_answer_is_ignored(self) -> None:
        caller, callee = self.begin()
        self.respond(183, "5", ANSWER)
        self.respond(183, "6", sdp(5100))
        assert callee.dialog.answering is not None
        self.assertEqual(caller.dialog.remote_sdp, ANSWER)
        callee.dialog.accept(sdp(5200))
        self.ends.run(1)
        self.assertEqual(caller.dialog.remote_sdp, ANSWER)
        self.assertTrue(caller.dialog.is_established)

    def test_a_prack_that_nobody_knows_does_not_end_the_call(self) -> None:
        caller, callee = self.begin()
        self.respond(180, "5")  # the callee's dialog knows nothing of it: it says 481
        self.assertEqual(len(self.ends.sent(callee, "481 PRACK")), 1)
        callee.dialog.accept(ANSWER)
        self.ends.run(1)
        self.assertTrue(caller.dialog.is_established)
        self.assertFalse(caller.dialog.is_negotiating)
