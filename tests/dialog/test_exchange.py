from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock

from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.offer import State
from gosip_py.dialog.table import State as DialogState
from gosip_py.sip.message import Request, Response
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.dialog.pair import ANSWER, OFFER, Ends, EndsCase, Side, sdp
from tests.network import MemoryNetwork

HOLD = sdp(4000, 2, "sendonly")
HELD = sdp(5000, 2, "recvonly")


def hold_back(exchange: Exchange) -> None:
    """Answer later, or never."""


def answer_with(answer: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.accept(answer)


class Raw:
    """Sends requests within a dialog as no user of ours would, and keeps what is answered."""

    def __init__(self, side: Side, other: Side) -> None:
        self.side = side
        self.target = Target("UDP", other.host, 5060)
        self.responses: list[Response] = []

    def send(self, request: Request) -> None:
        flow = self.side.transport.flow_to(self.target, 400)
        self.side.layer.start_client(request, flow, self)

    def receive_response(self, transaction: object, response: Response) -> None:
        self.responses.append(response)

    def client_failed(self, transaction: object, failure: object) -> None:
        raise AssertionError("nobody answered")

    @property
    def finals(self) -> list[int]:
        return [response.status for response in self.responses if response.status >= 200]


class ReInviteTests(EndsCase):
    @conforms("RFC 3261 14.1", "RFC 3261 14.2")
    def test_either_side_may_change_the_session(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        for one, other in ((ends.caller, ends.callee), (ends.callee, ends.caller)):
            done, then = self.outcomes()
            ends.forget()
            other.on_offer = answer_with(HELD)
            one.dialog.offer(HOLD, then)
            self.assertTrue(one.dialog.is_negotiating)
            ends.run(1)
            self.assertEqual(ends.titles(), ["INVITE", "200 INVITE", "ACK"])
            self.assertEqual([(outcome.status, outcome.sdp) for outcome in done], [(200, HELD)])
            self.assertEqual((one.dialog.local_sdp, one.dialog.remote_sdp), (HOLD, HELD))
            self.assertEqual((other.dialog.local_sdp, other.dialog.remote_sdp), (HELD, HOLD))
            self.assertFalse(one.dialog.is_negotiating or other.dialog.is_negotiating)

    @conforms("RFC 3261 14.1", "RFC 3261 13.2.1")
    def test_a_reinvite_without_an_offer_asks_for_one(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        theirs, ours = sdp(5000, 2), sdp(4000, 3)
        ends.callee.on_offer = answer_with(theirs)
        ends.caller.dialog.offer(b"", then)
        ends.run(0.1)
        self.assertEqual([(outcome.status, outcome.sdp) for outcome in done], [(200, theirs)])
        self.assertEqual(ends.callee.exchanges[0].sdp, b"")
        self.assertEqual(ends.callee.dialog.local_sdp, ANSWER)
        self.assertTrue(ends.callee.dialog.is_negotiating)
        ends.run(1.9)  # the 2xx is repeated meanwhile
        ends.caller.dialog.acknowledge(ours)
        ends.run(1)
        self.assertEqual(len(done), 1)
        self.assertEqual(ends.callee.heard("acknowledged"), [b"", ours])
        self.assertEqual((ends.caller.dialog.local_sdp, ends.caller.dialog.remote_sdp), (ours, theirs))
        self.assertEqual((ends.callee.dialog.local_sdp, ends.callee.dialog.remote_sdp), (theirs, ours))
        self.assertFalse(ends.caller.dialog.is_negotiating or ends.callee.dialog.is_negotiating)

    @conforms("RFC 3261 13.2.2.4")
    def test_a_repeated_2xx_gets_the_same_ack_again(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        ends.callee.on_offer = answer_with(sdp(5000, 2))
        ends.forget()
        ends.caller.dialog.offer(b"", lambda outcome: ends.caller.dialog.acknowledge(sdp(4000, 2)))
        ends.network.loss, ends.network.most_lost = 1.0, 2
        ends.run(0.5)
        ends.network.loss = 0.0
        ends.network.watch = None
        ends.run(20)
        bodies = {message.body for message in ends.sent(ends.caller, "ACK")}
        self.assertEqual(bodies, {sdp(4000, 2)})
        self.assertIs(ends.callee.dialog.state, DialogState.ESTABLISHED)
        self.assertIsNone(ends.callee.dialog.acceptance)

    @conforms("RFC 3261 14.1", "RFC 3261 14.2", "RFC 6337 2.3")
    def test_a_refusal_leaves_the_session_as_it_was(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: exchange.refuse(488, explanation="no such codec")
        ends.caller.dialog.offer(HOLD, then)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [488])
        self.assertEqual(done[0].sdp, b"")
        self.assertEqual((ends.caller.dialog.local_sdp, ends.caller.dialog.remote_sdp), (OFFER, ANSWER))
        self.assertEqual((ends.callee.dialog.local_sdp, ends.callee.dialog.remote_sdp), (ANSWER, OFFER))
        self.assertFalse(ends.caller.dialog.is_negotiating or ends.callee.dialog.is_negotiating)

    @conforms("RFC 3261 12.2.1.2", "RFC 3261 12.2.2")
    def test_the_remote_target_moves_with_a_success_only(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        raw = Raw(ends.caller, ends.callee)
        moved = (("contact", "<sip:moved@192.0.2.1>"),)
        ends.callee.on_offer = lambda exchange: exchange.refuse(488)
        raw.send(ends.caller.dialog.compose("INVITE", body=HOLD, content_type="application/sdp", headers=moved))
        ends.run(0.2)
        self.assertIn("sip:alice@192.0.2.1", ends.callee.dialog.remote_target)
        ends.callee.on_offer = answer_with(HELD)
        raw.send(ends.caller.dialog.compose("INVITE", body=HOLD, content_type="application/sdp", headers=moved))
        ends.run(0.2)
        self.assertEqual(ends.callee.dialog.remote_target, "sip:moved@192.0.2.1")
        ends.caller.dialog.send_ack(ends.caller.dialog.number, b"")

    @conforms("RFC 3261 12.2.1.2", "RFC 3261 14.1")
    def test_a_481_ends_the_dialog(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: exchange.refuse(481)
        ends.caller.dialog.offer(HOLD, then)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [481])
        self.assertEqual([ending.by for ending in ends.caller.heard("ended")], ["network"])
        self.assertTrue(ends.caller.dialog.is_over)

    @conforms("RFC 3261 12.2.1.2", "RFC 3261 14.1")
    def test_nobody_who_answers_ends_the_dialog(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.network.detach(ends.callee.transport)
        ends.caller.dialog.offer(HOLD, then)
        ends.run(40)
        self.assertEqual([(outcome.status, outcome.response) for outcome in done], [(408, None)])
        self.assertEqual([ending.status for ending in ends.caller.heard("ended")], [408])
        self.assertEqual(len(ends.sent(ends.caller, "BYE")) > 0, True)
        ends.callee.dialog.hang_up()

    @conforms("RFC 3261 9.1", "RFC 3261 9.2", "RFC 3261 14.1")
    def test_one_that_nobody_answers_is_cancelled(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, then)
        ends.run(89)
        self.assertEqual(done, [])
        self.assertFalse(ends.callee.exchanges[0].is_over)
        ends.run(5)
        self.assertEqual([outcome.status for outcome in done], [487])
        (exchange,) = ends.callee.exchanges
        self.assertTrue(exchange.is_over)
        exchange.accept(HELD)  # too late: nothing happens
        ends.run(1)
        self.assertEqual((ends.caller.dialog.local_sdp, ends.callee.dialog.remote_sdp), (OFFER, OFFER))
        self.assertTrue(ends.caller.dialog.is_established and ends.callee.dialog.is_established)

    @conforms("RFC 3261 15.1.2")
    def test_a_bye_refuses_what_is_not_answered_yet(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, then)
        ends.run(0.5)
        ends.caller.dialog.hang_up()
        ends.run(1)
        self.assertEqual(len(ends.sent(ends.callee, "487 INVITE")), 1)
        self.assertEqual([(outcome.status, outcome.response) for outcome in done], [(481, None)])
        self.assertTrue(ends.callee.exchanges[0].is_over)

    def test_a_user_that_fails_at_an_offer_refuses_it(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()

        def fail(exchange: Exchange) -> None:
            raise RuntimeError("a bug of the user")

        ends.callee.on_offer = fail
        ends.caller.dialog.offer(HOLD, then, retries=False)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [500])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertFalse(ends.callee.dialog.is_negotiating)


class RefreshTests(EndsCase):
    @conforms("RFC 3261 14.2", "RFC 4028 7.4")
    def test_an_offer_that_changes_nothing_is_answered_without_the_user(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.caller.dialog.offer(OFFER, then)
        ends.run(1)
        self.assertEqual([(outcome.status, outcome.sdp) for outcome in done], [(200, ANSWER)])
        self.assertEqual(ends.callee.exchanges, [])
        ends.callee.dialog.offer(ANSWER, then)
        ends.run(1)
        self.assertEqual((done[1].status, done[1].sdp), (200, OFFER))
        self.assertEqual(ends.caller.exchanges, [])

    @conforms("RFC 3311 5.2")
    def test_an_update_without_an_offer_moves_the_target_and_asks_nobody(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        raw = Raw(ends.caller, ends.callee)
        request = ends.caller.dialog.compose("UPDATE")
        request.add("contact", "<sip:moved@192.0.2.1>")
        raw.send(request)
        ends.run(1)
        self.assertEqual(raw.finals, [200])
        self.assertIn("contact", raw.responses[-1].names)
        self.assertEqual(ends.callee.dialog.remote_target, "sip:moved@192.0.2.1")
        self.assertEqual(ends.callee.exchanges, [])


class GlareTests(EndsCase):
    @conforms("RFC 3261 14.1", "RFC 3261 14.2", "RFC 6337 4.2")
    def test_offers_that_cross_are_both_refused_and_both_come_again(self) -> None:
        for seed in range(20):
            ends = Ends(seed=seed)
            ends.talk()
            ours, we = self.outcomes()
            theirs, they = self.outcomes()
            ends.caller.on_offer = lambda exchange: exchange.accept(sdp(4000, 7))
            ends.callee.on_offer = lambda exchange: exchange.accept(sdp(5000, 7))
            ends.forget()
            ends.caller.dialog.offer(sdp(4000, 2), we)
            ends.callee.dialog.offer(sdp(5000, 2), they)
            start = ends.clock.seconds()
            ends.run(0.05)
            self.assertEqual(len(ends.sent(ends.caller, "491 INVITE")), 1)
            self.assertEqual(len(ends.sent(ends.callee, "491 INVITE")), 1)
            self.assertEqual((ours, theirs), ([], []))
            ends.run(10)
            self.assertEqual([outcome.status for outcome in ours + theirs], [200, 200])
            times = {
                packet.source[0]: packet.time - start
                for packet in reversed(ends.network.packets)
                if packet.title == "INVITE"
            }
            self.assertLess(times[ends.callee.host], 2.1)
            self.assertGreaterEqual(
                [packet.time - start for packet in ends.network.packets if packet.title == "INVITE"][-1], 2.1
            )
            self._check_agreement(ends)

    @conforms("RFC 3261 14.1")
    def test_glare_is_settled_over_a_network_that_loses(self) -> None:
        for seed in range(40):
            network = MemoryNetwork(Clock(), seed, loss=0.25, delay=(0.01, 0.1), duplicate=0.1, most_lost=4)
            ends = Ends(network, seed=seed)
            ends.talk()
            ends.run(10)
            ours, we = self.outcomes()
            theirs, they = self.outcomes()
            ends.caller.on_offer = lambda exchange: exchange.accept(sdp(4000, 7))
            ends.callee.on_offer = lambda exchange: exchange.accept(sdp(5000, 7))
            ends.caller.dialog.offer(sdp(4000, 2), we)
            ends.run(0.02 * (seed % 5))
            ends.callee.dialog.offer(sdp(5000, 2), they)
            ends.run(150)
            self.assertEqual([outcome.status for outcome in ours + theirs], [200, 200], seed)
            self._check_agreement(ends)
            self.assertEqual(ends.caller.heard("ended") + ends.callee.heard("ended"), [])
            ends.caller.dialog.hang_up()
            ends.run(200)
            for side in (ends.caller, ends.callee):
                self.assertEqual((len(side.dialogs), side.layer.in_flight, len(side.layer.wheel)), (0, 0, 0))

    def _check_agreement(self, ends: Ends) -> None:
        one, other = ends.caller.dialog, ends.callee.dialog
        self.assertEqual((one.local_sdp, one.remote_sdp), (other.remote_sdp, other.local_sdp))
        self.assertEqual((one.negotiation, other.negotiation), (State.STABLE, State.STABLE))

    def test_without_retries_a_491_is_the_outcome(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: exchange.refuse(491)
        ends.caller.dialog.offer(HOLD, then, retries=False)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [491])

    def test_nobody_is_asked_for_ever(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: exchange.refuse(491)
        ends.caller.dialog.offer(HOLD, then)
        ends.run(60)
        self.assertEqual([outcome.status for outcome in done], [491])
        self.assertEqual(len(ends.callee.exchanges), 8)

    @conforms("RFC 3261 14.2")
    def test_a_second_invite_before_the_first_is_answered_is_put_off(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        ends.callee.on_offer = hold_back
        ends.caller.dialog.offer(HOLD, lambda outcome: None)
        ends.run(0.1)
        for method in ("INVITE", "UPDATE"):
            raw = Raw(ends.caller, ends.callee)
            raw.send(ends.caller.dialog.compose(method, body=HOLD, content_type="application/sdp", headers=_CONTACT))
            ends.run(0.1)
            self.assertEqual(raw.finals, [500])
            self.assertIn(int(raw.responses[-1].require("retry-after")), range(11))
        ends.callee.exchanges[0].accept(HELD)
        ends.run(1)
        self.assertEqual(ends.caller.dialog.remote_sdp, HELD)

    @conforms("RFC 3261 14.2")
    def test_a_500_with_retry_after_is_tried_again(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        done, then = self.outcomes()
        ends.callee.on_offer = lambda exchange: (
            exchange.refuse(500, headers=(("retry-after", "3"),))
            if len(ends.callee.exchanges) == 1
            else exchange.accept(HELD)
        )
        ends.caller.dialog.offer(HOLD, then)
        ends.run(2.9)
        self.assertEqual(done, [])
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [200])

    def test_a_lost_ack_does_not_stop_who_goes_on(self) -> None:
        ends = self.use(Ends())
        ends.talk()
        ends.callee.on_offer = answer_with(HELD)
        raw = Raw(ends.caller, ends.callee)
        for offer in (HOLD, sdp(4000, 3)):  # and no ACK for the first of them
            raw.send(ends.caller.dialog.compose("INVITE", body=offer, content_type="application/sdp", headers=_CONTACT))
            ends.run(0.1)
            ends.callee.on_offer = answer_with(sdp(5000, 3))
        self.assertEqual(raw.finals, [200, 200])
        ends.caller.dialog.send_ack(ends.caller.dialog.number, b"")
        ends.run(40)
        self.assertTrue(ends.callee.dialog.is_established)
        self.assertEqual(ends.callee.dialog.remote_sdp, sdp(4000, 3))


_CONTACT = (("contact", "<sip:alice@192.0.2.1>"),)
