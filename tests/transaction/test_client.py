"""Client transactions on virtual time: what is sent when, and what the owner hears."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.fsm import Refused
from gosip_py.sip.message import Request
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.machines import State
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.user import Failure
from tests.conformance import conforms
from tests.transaction.fakes import Bench, RecordingOwner, parsed, request

SEVEN_TIMES = [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


class InviteTests(SynchronousTestCase):
    @conforms("RFC 3261 17.1.1.2")
    def test_timer_a_doubles_until_timer_b_gives_up(self) -> None:
        bench = Bench()
        bench.client()
        bench.advance(40)
        self.assertEqual((bench.flow.times, len(set(bench.flow.sent))), (SEVEN_TIMES, 1))
        self.assertEqual(bench.owner.told, [Failure.TIMEOUT])
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_timer_b_fires_at_32_seconds_and_not_before(self) -> None:
        bench = Bench()
        bench.client()
        bench.advance(31.98)
        self.assertEqual(bench.owner.told, [])
        bench.advance(0.03)
        self.assertEqual(bench.owner.told, [Failure.TIMEOUT])

    @conforms("RFC 3261 17.1.1.2")
    def test_over_a_reliable_transport_it_is_sent_once(self) -> None:
        bench = Bench(is_reliable=True)
        bench.client()
        bench.advance(40)
        self.assertEqual((bench.flow.times, bench.owner.told), ([0], [Failure.TIMEOUT]))

    def test_another_t1_scales_everything(self) -> None:
        bench = Bench(timing=Timing(t1=1.0))
        bench.client()
        bench.advance(70)
        self.assertEqual(bench.flow.times, [2 * time for time in SEVEN_TIMES])

    @conforms("RFC 3261 8.1.1.7")
    def test_our_via_is_on_top_with_the_branch(self) -> None:
        bench = Bench()
        transaction = bench.client()
        sent = parsed(bench.flow.sent[0])
        self.assertEqual(str(sent.top_via), f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch={transaction.branch}")
        self.assertEqual(len(sent.values("via")), 2)
        self.assertTrue(transaction.branch.startswith("z9hG4bK"))

    @conforms("RFC 3261 17.1.1.2")
    def test_a_provisional_response_ends_the_retransmissions_and_timer_b(self) -> None:
        bench = Bench()
        transaction = bench.client()
        bench.advance(0.6)
        bench.respond(transaction, 100)
        bench.respond(transaction, 180)
        bench.advance(200)
        self.assertEqual((bench.flow.times, bench.owner.told), ([0, 0.5], [100, 180]))
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (1, 0))

    @conforms("RFC 3261 17.1.1.3")
    def test_a_refusal_is_acked_with_a_request_built_by_17_1_1_3(self) -> None:
        bench = Bench()
        message = request(more=("Route: <sip:a;lr>", "Route: <sip:b;lr>", "Require: x", "Content-Type: text/plain"))
        transaction = bench.layer.start_client(message, bench.flow, bench.owner)
        bench.respond(transaction, 486, to_tag="busy")
        ack = parsed(bench.flow.sent[1])
        assert isinstance(ack, Request)
        self.assertEqual((ack.method, ack.uri_text, ack.to_tag), ("ACK", "sip:bob@example.org", "busy"))
        self.assertEqual(ack.values("via"), [str(parsed(bench.flow.sent[0]).top_via)])
        self.assertEqual((str(ack.cseq), ack.call_id, ack.from_tag), ("1 ACK", "c1@192.0.2.9", "ft"))
        self.assertEqual(ack.values("route"), ["<sip:a;lr>", "<sip:b;lr>"])
        self.assertEqual((ack.value("max-forwards"), ack.body), ("70", b""))
        self.assertFalse({"require", "content-type", "contact"} & set(ack.names))

    def test_each_repeated_refusal_gets_the_ack_again_and_goes_up_once(self) -> None:
        bench = Bench()
        transaction = bench.client()
        for _ in range(3):
            bench.respond(transaction, 486)
        self.assertEqual((bench.titles, bench.owner.told), (["INVITE", "ACK", "ACK", "ACK"], [486]))
        self.assertEqual(bench.flow.sent[1], bench.flow.sent[3])
        bench.advance(31.9)
        self.assertEqual(bench.layer.in_flight, 1)
        bench.advance(0.2)
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_over_a_reliable_transport_a_refusal_ends_it_at_once(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.client()
        bench.respond(transaction, 486)
        self.assertEqual((bench.titles, bench.owner.told), (["INVITE", "ACK"], [486]))
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel), transaction.owner), (0, 0, None))

    @conforms("RFC 6026 7.2", "RFC 6026 8.4")
    def test_every_2xx_goes_up_until_timer_m_and_none_is_acked(self) -> None:
        for is_reliable in (False, True):
            bench = Bench(is_reliable=is_reliable)
            transaction = bench.client()
            bench.respond(transaction, 180)
            bench.respond(transaction, 200, to_tag="one")
            bench.advance(31)
            bench.respond(transaction, 200, to_tag="two")
            bench.respond(transaction, 180)
            bench.respond(transaction, 486)
            self.assertEqual((bench.titles, bench.owner.told), (["INVITE"], [180, 200, 200]))
            bench.advance(1.1)
            bench.respond_to(transactionless(bench), 200)
            self.assertEqual((bench.owner.told, bench.layer.strays), ([180, 200, 200], 1))
            self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_an_answer_after_a_refusal_is_absorbed(self) -> None:
        bench = Bench()
        transaction = bench.client()
        bench.respond(transaction, 486)
        bench.respond(transaction, 200)
        bench.respond(transaction, 180)
        self.assertEqual((bench.owner.told, bench.titles), ([486], ["INVITE", "ACK"]))


def transactionless(bench: Bench) -> Request:
    """What was sent first, for answering it when its transaction is over."""
    sent = parsed(bench.flow.sent[0])
    assert isinstance(sent, Request)
    return sent


class NonInviteTests(SynchronousTestCase):
    @conforms("RFC 3261 17.1.2.2", "RFC 4320 4.1")
    def test_timer_e_doubles_up_to_t2_until_timer_f_gives_up(self) -> None:
        bench = Bench()
        bench.client("OPTIONS")
        bench.advance(40)
        self.assertEqual(bench.flow.times, [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
        self.assertEqual(bench.owner.told, [Failure.TIMEOUT])
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    @conforms("RFC 3261 17.1.2.2")
    def test_after_a_provisional_response_it_goes_on_every_t2(self) -> None:
        bench = Bench()
        transaction = bench.client("OPTIONS")
        bench.advance(0.6)
        bench.respond(transaction, 100)
        bench.advance(40)
        # Timer E is not altered when the state changes: it fires once more as it was set, and then every T2.
        self.assertEqual(bench.flow.times, [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5])
        self.assertEqual(bench.owner.told, [100, Failure.TIMEOUT])

    @conforms("RFC 3261 17.1.2.2")
    def test_the_final_response_goes_up_once_and_timer_k_absorbs_the_rest(self) -> None:
        bench = Bench()
        transaction = bench.client("OPTIONS")
        for status in (200, 200, 486, 100):
            bench.respond(transaction, status)
        bench.advance(4.9)
        self.assertEqual((bench.owner.told, bench.flow.times, bench.layer.in_flight), ([200], [0], 1))
        bench.advance(0.2)
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_over_a_reliable_transport_it_is_over_with_the_final_response(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.client("OPTIONS")
        bench.respond(transaction, 404)
        self.assertEqual((bench.owner.told, bench.titles, bench.layer.in_flight), ([404], ["OPTIONS"], 0))
        self.assertEqual((transaction.is_terminated, transaction.owner), (True, None))

    def test_it_lets_go_of_request_and_owner(self) -> None:
        bench = Bench()
        transaction = bench.client("OPTIONS")
        bench.respond(transaction, 200)
        self.assertEqual((transaction.owner, hasattr(transaction, "request")), (None, False))


@conforms("RFC 3261 9.1")
class CancelTests(SynchronousTestCase):
    def test_it_waits_for_a_provisional_response(self) -> None:
        bench = Bench()
        transaction = bench.client()
        transaction.cancel()
        bench.advance(0.6)
        self.assertEqual(bench.titles, ["INVITE", "INVITE"])
        bench.respond(transaction, 100)
        self.assertEqual(bench.titles, ["INVITE", "INVITE", "CANCEL"])

    def test_it_goes_out_at_once_when_it_rings_built_by_9_1(self) -> None:
        bench = Bench()
        message = request(more=("Route: <sip:a;lr>", "Require: x", "Proxy-Require: y", "Contact: <sip:c>"))
        transaction = bench.layer.start_client(message, bench.flow, bench.owner)
        bench.respond(transaction, 180)
        transaction.cancel('SIP;cause=200;text="Call completed elsewhere"')
        cancel, invite = parsed(bench.flow.sent[1]), parsed(bench.flow.sent[0])
        assert isinstance(cancel, Request)
        self.assertEqual((cancel.method, cancel.uri_text), ("CANCEL", "sip:bob@example.org"))
        self.assertEqual((str(cancel.cseq), cancel.to_tag, cancel.from_tag), ("1 CANCEL", "", "ft"))
        self.assertEqual((cancel.call_id, cancel.values("via")), (invite.call_id, [str(invite.top_via)]))
        self.assertEqual(cancel.values("route"), ["<sip:a;lr>"])
        self.assertEqual(cancel.value("reason"), 'SIP;cause=200;text="Call completed elsewhere"')
        self.assertFalse({"require", "proxy-require", "contact"} & set(cancel.names))

    def test_without_a_reason_there_is_no_such_header(self) -> None:
        bench = Bench()
        transaction = bench.client()
        bench.respond(transaction, 180)
        transaction.cancel()
        self.assertNotIn("reason", parsed(bench.flow.sent[1]))

    def test_never_after_a_final_response(self) -> None:
        for final in (200, 486):
            bench = Bench()
            transaction = bench.client()
            bench.respond(transaction, final)
            transaction.cancel()
            self.assertNotIn("CANCEL", bench.titles)

    def test_not_when_the_final_response_is_the_first(self) -> None:
        bench = Bench()
        transaction = bench.client()
        transaction.cancel()
        bench.respond(transaction, 200)
        self.assertEqual((bench.titles, bench.owner.told), (["INVITE"], [200]))

    def test_the_first_reason_stands_and_one_cancel_goes_out(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.client()
        transaction.cancel("SIP;cause=487")
        transaction.cancel("SIP;cause=200")
        bench.respond(transaction, 100)
        transaction.cancel("SIP;cause=600")
        self.assertEqual(bench.titles, ["INVITE", "CANCEL"])
        self.assertEqual(parsed(bench.flow.sent[1]).value("reason"), "SIP;cause=487")

    def test_the_cancel_is_a_transaction_of_its_own_that_nobody_hears_of(self) -> None:
        bench = Bench()
        transaction = bench.client()
        bench.respond(transaction, 180)
        transaction.cancel()
        bench.advance(0.6)
        self.assertEqual(bench.titles, ["INVITE", "CANCEL", "CANCEL"])
        cancel = parsed(bench.flow.sent[1])
        assert isinstance(cancel, Request)
        bench.respond_to(cancel, 200)
        bench.respond(transaction, 487)
        self.assertEqual((bench.titles[3:], bench.owner.told), (["ACK"], [180, 487]))
        bench.advance(33)
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_a_2xx_that_is_faster_goes_up(self) -> None:
        bench = Bench()
        transaction = bench.client()
        bench.respond(transaction, 180)
        transaction.cancel()
        bench.respond(transaction, 200)
        self.assertEqual((bench.owner.told, transaction.state), ([180, 200], State.ACCEPTED))

    def test_without_a_final_response_it_ends_64_t1_later(self) -> None:
        bench = Bench()
        transaction = bench.client()
        bench.respond(transaction, 180)
        bench.advance(60)
        transaction.cancel()
        bench.advance(31.9)
        self.assertEqual(bench.owner.told, [180])
        bench.advance(0.2)
        self.assertEqual(bench.owner.told, [180, Failure.TIMEOUT])
        self.assertTrue(transaction.is_terminated)

    def test_other_methods_are_not_cancelled(self) -> None:
        bench = Bench()
        self.assertRaises(Refused, bench.client("OPTIONS").cancel)


class FlowFailureTests(SynchronousTestCase):
    def told(self, method: str, *statuses: int, is_reliable: bool = True) -> tuple[list[object], int]:
        bench = Bench(is_reliable=is_reliable)
        transaction = bench.client(method)
        for status in statuses:
            bench.respond(transaction, status)
        bench.owner.told.clear()
        bench.layer.flow_failed(bench.flow, "reset")
        bench.layer.flow_failed(bench.flow, "reset")
        return list(bench.owner.told), bench.layer.in_flight

    @conforms("RFC 3261 17.1.4", "RFC 3261 8.1.3.1")
    def test_a_request_that_was_not_answered_fails(self) -> None:
        for is_reliable in (True, False):
            for method in ("INVITE", "OPTIONS"):
                self.assertEqual(self.told(method, is_reliable=is_reliable), ([Failure.TRANSPORT], 0))
        self.assertEqual(self.told("OPTIONS", 100), ([Failure.TRANSPORT], 0))

    def test_an_invite_that_rings_waits_for_an_answer_on_another_connection(self) -> None:
        self.assertEqual(self.told("INVITE", 180), ([], 1))

    def test_after_the_final_response_nobody_is_told(self) -> None:
        self.assertEqual(self.told("INVITE", 200), ([], 1))
        self.assertEqual(self.told("INVITE", 486, is_reliable=False), ([], 0))
        self.assertEqual(self.told("OPTIONS", 200, is_reliable=False), ([], 1))

    def test_a_flow_that_is_closed_already_fails_a_moment_later(self) -> None:
        for is_reliable in (True, False):
            for method in ("INVITE", "OPTIONS"):
                bench = Bench(is_reliable=is_reliable)
                bench.flow.is_up = False
                bench.client(method)
                self.assertEqual(bench.owner.told, [])
                bench.advance(0.05)
                self.assertEqual(bench.owner.told, [Failure.TRANSPORT])
                self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_an_owner_may_try_again_from_inside(self) -> None:
        bench = Bench()
        other = Bench()

        class Retrying(RecordingOwner):
            def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
                super().client_failed(transaction, failure)
                bench.layer.start_client(request("OPTIONS"), other.flow, self)

        owner = Retrying()
        bench.layer.start_client(request("OPTIONS"), bench.flow, owner)
        bench.layer.flow_failed(bench.flow, "unreachable")
        self.assertEqual((owner.told, len(other.flow.sent), bench.layer.in_flight), ([Failure.TRANSPORT], 1, 1))


class FaultTests(SynchronousTestCase):
    def test_an_owner_that_fails_is_logged_and_the_transaction_goes_its_way(self) -> None:
        class Failing(RecordingOwner):
            def receive_response(self, transaction: object, response: object) -> None:
                raise ZeroDivisionError

        bench = Bench()
        transaction = bench.layer.start_client(request("OPTIONS"), bench.flow, Failing())
        bench.respond(transaction, 200)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        bench.advance(6)
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))
