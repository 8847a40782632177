"""Where the layer sends each message, and what it answers by itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Response
from gosip_py.sip.parser import parse_message
from gosip_py.sip.reply import reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import Limits
from gosip_py.transaction.machines import State
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.transaction.fakes import Bench, RecordingOwner, parsed, request


def responses(bench: Bench) -> list[Response]:
    return [message for message in map(parsed, bench.flow.sent) if isinstance(message, Response)]


@conforms("RFC 3261 17.2.3")
class MatchingTests(SynchronousTestCase):
    def test_a_retransmission_is_not_handed_up_again_and_another_request_is(self) -> None:
        bench = Bench()
        for message in (
            request("OPTIONS"),
            request("OPTIONS"),
            request("OPTIONS", branch="z9hG4bKother"),
            request("OPTIONS", sent_by="192.0.2.9:5099"),
            request("INFO"),
        ):
            bench.receive(message)
        self.assertEqual((len(bench.user.transactions), bench.layer.in_flight), (4, 4))

    def test_rfc_2543_requests_match_by_all_their_headers(self) -> None:
        bench = Bench()
        for _ in range(2):
            bench.receive(request(branch=None))
            bench.receive(request(branch=None, number=2))
        self.assertEqual(len(bench.user.transactions), 2)

    def test_the_ack_of_an_rfc_2543_invite_ends_the_retransmissions(self) -> None:
        bench = Bench()
        transaction = bench.server(request(branch=None))
        transaction.reply(486)
        bench.receive(request("ACK", branch=None, to_tag="of another response"))
        self.assertEqual((transaction.state, len(bench.user.acks)), (State.COMPLETED, 1))
        bench.receive(request("ACK", branch=None, to_tag=transaction.to_tag))
        self.assertEqual((transaction.state, len(bench.user.acks)), (State.CONFIRMED, 1))
        bench.advance(5.1)
        self.assertEqual((bench.layer.in_flight, len(bench.layer._index.old_acks)), (0, 0))

    def test_the_ack_of_an_rfc_2543_2xx_goes_up(self) -> None:
        bench = Bench()
        transaction = bench.server(request(branch=None))
        transaction.reply(200)
        bench.receive(request("ACK", branch=None, to_tag=transaction.to_tag))
        self.assertEqual((transaction.state, len(bench.user.acks)), (State.ACCEPTED, 1))

    def test_an_ack_of_nothing_goes_up(self) -> None:
        bench = Bench()
        bench.receive(request("ACK", to_tag="t"))
        self.assertEqual((len(bench.user.acks), bench.layer.in_flight), (1, 0))

    def test_an_ack_before_any_final_response_is_absorbed(self) -> None:
        bench = Bench()
        bench.server().reply(180)
        bench.receive(request("ACK"))
        self.assertEqual((bench.user.acks, bench.titles), ([], ["180"]))

    @conforms("RFC 3261 17.1.3")
    def test_a_response_finds_its_transaction_by_branch_and_method(self) -> None:
        bench = Bench()
        transaction = bench.client()
        sent = parsed(bench.flow.sent[0])
        for changed in (
            sent.to_bytes().replace(transaction.branch.encode(), b"z9hG4bKother"),
            sent.to_bytes().replace(b"1 INVITE", b"1 OPTIONS"),
        ):
            answer = parse_message(b"SIP/2.0 200 OK" + changed[changed.index(b"\r\n") :])
            assert isinstance(answer, Response)
            bench.layer.receive_response(answer, bench.flow)
        self.assertEqual((bench.owner.told, bench.layer.strays), ([], 2))
        bench.respond(transaction, 200)
        self.assertEqual(bench.owner.told, [200])

    @conforms("RFC 6026 7.3", "RFC 4320 4.2")
    def test_strays_are_counted_and_answered_by_nobody(self) -> None:
        bench = Bench()
        bench.respond_to(request(), 200)
        self.assertEqual((bench.layer.strays, bench.flow.sent, bench.user.acks), (1, [], []))


@conforms("RFC 3261 9.2")
class CancelTests(SynchronousTestCase):
    def test_it_is_answered_and_the_owner_of_the_invite_is_told_once(self) -> None:
        bench = Bench()
        transaction = bench.server()
        transaction.reply(180)
        bench.receive(request("CANCEL"))
        bench.receive(request("CANCEL"))
        self.assertEqual(bench.owner.told, ["cancel"])
        answers = [answer for answer in responses(bench) if answer.cseq.method == "CANCEL"]
        self.assertEqual([answer.status for answer in answers], [200, 200])
        self.assertEqual({answer.to_tag for answer in answers}, {transaction.to_tag})
        self.assertEqual(len(bench.user.transactions), 1)

    def test_after_the_final_response_it_has_no_effect(self) -> None:
        for final in (200, 486):
            bench = Bench(is_reliable=True)
            bench.server().reply(final)
            bench.receive(request("CANCEL"))
            self.assertEqual((bench.titles, bench.owner.told), ([str(final), "200"], []))
            first, second = responses(bench)
            self.assertEqual(first.to_tag, second.to_tag)

    def test_the_tag_is_that_of_a_response_that_was_forwarded(self) -> None:
        bench = Bench()
        transaction = bench.server()
        transaction.respond(reply(transaction.request, 486, to_tag="callee"))
        bench.receive(request("CANCEL"))
        self.assertEqual([answer.to_tag for answer in responses(bench)], ["callee", "callee"])

    def test_of_nothing_it_is_a_481(self) -> None:
        bench = Bench()
        bench.receive(request("CANCEL"))
        bench.receive(request("CANCEL"))
        self.assertEqual((bench.titles, bench.user.transactions), (["481", "481"], []))
        self.assertIn("CANCEL", responses(bench)[0].value("warning") or "")
        bench.advance(33)
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_of_another_method_it_is_answered_and_ignored(self) -> None:
        bench = Bench()
        bench.server(request("REGISTER"))
        bench.receive(request("CANCEL"))
        self.assertEqual((bench.titles, bench.owner.told), (["200"], []))

    def test_of_an_rfc_2543_invite(self) -> None:
        bench = Bench()
        bench.server(request(branch=None))
        bench.receive(request("CANCEL", branch=None))
        self.assertEqual((bench.titles, bench.owner.told), (["200"], ["cancel"]))

    def test_an_invite_that_nobody_owns_is_ended_by_the_layer(self) -> None:
        bench = Bench()
        bench.receive(request())
        bench.receive(request("CANCEL"))
        self.assertEqual(bench.titles, ["200", "487"])


@conforms("RFC 3261 8.2.2.2")
class MergeTests(SynchronousTestCase):
    def test_the_second_way_of_one_request_is_merged(self) -> None:
        bench = Bench()
        first, second = bench.server(), bench.server(request(branch="z9hG4bKother"))
        self.assertEqual([bench.layer.is_merged(first), bench.layer.is_merged(second)], [False, True])
        self.assertFalse(bench.layer.is_merged(first))

    def test_another_request_is_not(self) -> None:
        bench = Bench()
        bench.layer.is_merged(bench.server())
        changes: tuple[dict[str, str], ...] = ({"from_tag": "x"}, {"call_id": "x"}, {"to_tag": "x"})
        for at, change in enumerate(changes):
            other = bench.server(request(branch=f"z9hG4bK{at}", **change))  # type: ignore[arg-type]
            self.assertFalse(bench.layer.is_merged(other), change)
        self.assertFalse(bench.layer.is_merged(bench.server(request(branch="z9hG4bKn", number=2))))

    def test_when_the_first_is_over_nothing_is_remembered(self) -> None:
        bench = Bench()
        first = bench.server(request("OPTIONS"))
        bench.layer.is_merged(first)
        first.reply(200)
        bench.advance(33)
        self.assertEqual(bench.layer._index.merging, {})
        self.assertFalse(bench.layer.is_merged(bench.server(request("OPTIONS", branch="z9hG4bKother"))))


class FaultTests(SynchronousTestCase):
    def fault(self, bench: Bench, data: bytes) -> None:
        try:
            self.fail(f"parsed: {parse_message(data)}")
        except ParseError as error:
            bench.layer.receive_fault(error, bench.flow)

    @conforms("RFC 3261 8.2.7")
    def test_a_request_that_can_be_answered_gets_a_400_with_the_reason_and_no_transaction(self) -> None:
        bench = Bench()
        broken = request().to_bytes().replace(b"Content-Length: 0", b"Content-Length: 7")
        self.fault(bench, broken)
        self.fault(bench, broken)
        first, second = responses(bench)
        self.assertEqual((first.status, first.to_tag), (400, second.to_tag))
        self.assertIn("Content-Length is 7", first.value("warning") or "")
        self.assertEqual(bench.layer.in_flight, 0)
        bench.receive(request("ACK", to_tag=first.to_tag))
        self.assertEqual(bench.user.acks, [])

    @conforms("RFC 3261 21.5.7")
    def test_one_that_is_too_large_gets_a_513(self) -> None:
        bench = Bench()
        self.fault(bench, request("MESSAGE").to_bytes() + b"x" * 70_000)
        (answer,) = responses(bench)
        self.assertEqual(answer.status, 513)
        self.assertIn("send a shorter one", answer.value("warning") or "")

    def test_what_cannot_be_answered_is_only_counted(self) -> None:
        bench = Bench()
        self.fault(bench, b"\x00garbage")
        self.fault(bench, request("ACK").to_bytes().replace(b"Length: 0", b"Length: 7"))
        self.fault(bench, request().to_bytes().replace(b"Length: 0", b"Length: 7").replace(b"Via: ", b"Via: @"))
        self.fault(bench, b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nContent-Length: x\r\n\r\n")
        self.assertEqual(bench.flow.sent, [])
        counts = {labels: cell.value for labels, cell in bench.metrics.parse_errors.series.items()}
        self.assertEqual(counts, {("garbage",): 1, ("request",): 2, ("response",): 1})

    def test_a_message_without_what_it_is_matched_by_is_the_transports_to_refuse(self) -> None:
        bench = Bench()
        message: Message = request(branch=None)
        message.remove("call-id")
        self.assertRaises(ParseError, bench.layer.receive_request, message, bench.flow)
        self.assertEqual(bench.layer.in_flight, 0)


class LimitTests(SynchronousTestCase):
    def test_above_the_limit_a_new_request_gets_a_503_with_retry_after(self) -> None:
        bench = Bench(limits=Limits(transactions=2, retry_after=7))
        for number in range(3):
            bench.receive(request("OPTIONS", branch=f"z9hG4bK{number}"))
        (refusal,) = responses(bench)
        self.assertEqual((refusal.status, refusal.value("retry-after")), (503, "7"))
        self.assertEqual((bench.layer.in_flight, len(bench.user.transactions)), (2, 2))
        bench.receive(request("ACK", to_tag=refusal.to_tag))
        self.assertEqual(bench.user.acks, [])

    def test_a_cancel_of_what_is_known_is_taken_and_of_nothing_is_not(self) -> None:
        bench = Bench(limits=Limits(transactions=1))
        bench.server()
        bench.receive(request("CANCEL"))
        bench.receive(request("CANCEL", branch="z9hG4bKnothing"))
        self.assertEqual((bench.titles, bench.owner.told), (["200", "503"], ["cancel"]))

    def test_what_is_known_goes_on(self) -> None:
        bench = Bench(limits=Limits(transactions=1))
        bench.server().reply(486)
        bench.receive(request())
        bench.receive(request("ACK"))
        self.assertEqual(bench.titles, ["486", "486"])
        bench.advance(5.1)
        bench.receive(request(branch="z9hG4bKnew"))
        self.assertEqual(len(bench.user.transactions), 2)


class SendingTests(SynchronousTestCase):
    @conforms("RFC 3261 18.1.1")
    def test_the_transport_chooses_the_flow_for_the_size(self) -> None:
        bench = Bench()
        message = request("MESSAGE")
        message.set_body(b"x" * 1400, "text/plain")
        target = Target("UDP", "192.0.2.9", 5060)
        bench.layer.start_client_to(message, target, bench.owner, allow_upgrade=False)
        ((asked, size, allow_upgrade),) = bench.asked
        self.assertEqual((asked, allow_upgrade, bench.titles), (target, False, ["MESSAGE"]))
        self.assertGreaterEqual(size, len(bench.flow.sent[0]))
        self.assertLess(size, len(bench.flow.sent[0]) + 60)

    def test_the_ack_of_a_2xx_is_sent_once_with_a_branch_of_its_own(self) -> None:
        bench = Bench()
        bench.layer.send_stateless(request("ACK"), bench.flow)
        bench.layer.send_stateless(request("ACK"), bench.flow)
        bench.advance(10)
        first, second = map(parsed, bench.flow.sent)
        self.assertNotEqual(first.top_via.branch, second.top_via.branch)
        self.assertEqual((first.top_via.sent_by, len(first.values("via"))), ("192.0.2.1:5060", 2))
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))


class MetricTests(SynchronousTestCase):
    def test_transactions_in_flight_rise_and_fall(self) -> None:
        bench = Bench()
        bench.server(request("OPTIONS")).reply(200)
        bench.client("OPTIONS")
        self.assertIn(b"sip_transactions_in_flight 2.0", bench.metrics.render())
        bench.advance(40)
        self.assertIn(b"sip_transactions_in_flight 0.0", bench.metrics.render())

    def test_the_time_of_each_new_request_is_observed(self) -> None:
        bench = Bench()
        for method in ("OPTIONS", "OPTIONS", "FLYING"):
            bench.receive(request(method))
        series = bench.metrics.handler_seconds.series
        self.assertEqual(
            {labels: sum(cell.counts) for labels, cell in series.items()}, {("OPTIONS",): 1, ("OTHER",): 1}
        )


class FailedFlowTests(SynchronousTestCase):
    def test_the_oldest_transaction_is_told_first(self) -> None:
        bench = Bench()
        told: list[str] = []

        class Owner(RecordingOwner):
            def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
                told.append(transaction.branch)

        bench.owner = Owner()
        branches = [bench.client("OPTIONS").branch for _ in range(20)]
        bench.layer.flow_failed(bench.flow, "gone")
        self.assertEqual(told, branches)


class StopTests(SynchronousTestCase):
    def test_it_ends_everything_and_refuses_what_is_new(self) -> None:
        bench = Bench()
        bench.server().reply(486)
        client = bench.client()
        bench.layer.stop()
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel), bench.clock.getDelayedCalls()), (0, 0, []))
        self.assertTrue(client.is_terminated)
        bench.flow.sent.clear()
        bench.receive(request("OPTIONS"))
        bench.layer.flow_failed(bench.flow, "gone")
        bench.advance(40)
        self.assertEqual((bench.titles, bench.owner.told), (["503"], []))

    def test_the_user_may_stop_it_from_inside(self) -> None:
        bench = Bench()
        bench.user.owner = bench.owner

        class Stopping:
            def receive_request(self, transaction: object) -> None:
                bench.layer.stop()

        bench.layer.user = Stopping()  # type: ignore[assignment]  # no ACK comes here
        bench.receive(request())
        self.assertEqual((bench.layer.in_flight, bench.clock.getDelayedCalls()), (0, []))
