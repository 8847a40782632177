"""Server transactions on virtual time: what is sent when, and what the owner hears."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.machines import State
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.user import Failure
from tests.conformance import conforms
from tests.transaction.fakes import Bench, FakeFlow, parsed, request, titles

REGISTER = "REGISTER"


def last_response(bench: Bench) -> Response:
    response = parsed(bench.flow.sent[-1])
    assert isinstance(response, Response)
    return response


class InviteTests(SynchronousTestCase):
    @conforms("RFC 3261 17.2.1")
    def test_a_100_goes_out_after_200_ms_when_the_user_has_not_answered(self) -> None:
        bench = Bench()
        bench.server()
        bench.advance(0.19)
        self.assertEqual(bench.titles, [])
        bench.advance(5)
        self.assertEqual((bench.titles, bench.flow.times), (["100"], [0.2]))

    @conforms("RFC 3261 8.2.6.1", "RFC 3261 8.2.6.2")
    def test_the_100_has_no_tag_and_repeats_the_timestamp(self) -> None:
        bench = Bench()
        bench.server(request(more=("Timestamp: 54",)))
        bench.advance(0.3)
        self.assertEqual((last_response(bench).to_tag, last_response(bench).value("timestamp")), ("", "54"))

    def test_no_100_follows_an_answer(self) -> None:
        for status in (100, 180, 200, 486):
            bench = Bench(is_reliable=True)
            transaction = bench.server()
            bench.advance(0.1)
            transaction.reply(status)
            bench.advance(2)
            self.assertEqual(bench.titles, [str(status)])

    @conforms("RFC 3261 17.2.1")
    def test_a_retransmission_gets_the_last_provisional_response_again(self) -> None:
        bench = Bench()
        transaction = bench.server()
        bench.receive(request())
        self.assertEqual(bench.titles, [])
        transaction.reply(180)
        transaction.reply(183)
        bench.receive(request())
        self.assertEqual(bench.titles, ["180", "183", "183"])
        self.assertEqual(bench.flow.sent[1], bench.flow.sent[2])
        self.assertEqual(len(bench.user.transactions), 1)

    @conforms("RFC 3261 17.2.1")
    def test_timer_g_repeats_a_refusal_until_timer_h_gives_up(self) -> None:
        bench = Bench()
        bench.server().reply(486)
        bench.advance(40)
        self.assertEqual(bench.flow.times, [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
        self.assertEqual(len(set(bench.flow.sent)), 1)
        self.assertEqual(bench.owner.told, [Failure.TIMEOUT])
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_over_a_reliable_transport_a_refusal_is_sent_once(self) -> None:
        bench = Bench(is_reliable=True)
        bench.server().reply(486)
        bench.advance(40)
        self.assertEqual((bench.flow.times, bench.owner.told), ([0], [Failure.TIMEOUT]))

    def test_a_retransmitted_invite_gets_the_refusal_again(self) -> None:
        bench = Bench()
        bench.server().reply(486)
        bench.receive(request())
        self.assertEqual(bench.titles, ["486", "486"])

    @conforms("RFC 3261 17.2.1")
    def test_an_ack_ends_the_retransmissions_and_further_ones_are_absorbed(self) -> None:
        bench = Bench()
        transaction = bench.server()
        transaction.reply(486)
        ack = request("ACK", to_tag=transaction.to_tag)
        bench.receive(ack)
        self.assertEqual(transaction.state, State.CONFIRMED)
        bench.advance(4.9)
        bench.receive(ack)
        bench.receive(request())
        self.assertEqual((bench.titles, bench.user.acks, bench.layer.in_flight), (["486"], [], 1))
        bench.advance(0.2)
        self.assertEqual((bench.layer.in_flight, bench.owner.told, len(bench.layer.wheel)), (0, [], 0))

    def test_over_a_reliable_transport_the_ack_ends_the_transaction_at_once(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.server()
        transaction.reply(486)
        bench.receive(request("ACK"))
        self.assertEqual((transaction.is_terminated, bench.layer.in_flight), (True, 0))

    @conforms("RFC 6026 7.1", "RFC 6026 8.5")
    def test_a_2xx_keeps_the_transaction_for_timer_l_and_is_repeated_by_the_user_only(self) -> None:
        for is_reliable in (False, True):
            bench = Bench(is_reliable=is_reliable)
            transaction = bench.server()
            answer = reply(transaction.request, 200, to_tag="ours")
            transaction.respond(answer)
            bench.receive(request())
            bench.advance(10)
            self.assertEqual(bench.titles, ["200"])
            transaction.respond(answer)
            self.assertEqual(bench.titles, ["200", "200"])
            self.assertEqual(transaction.state, State.ACCEPTED)
            bench.advance(21.98)
            self.assertEqual(bench.layer.in_flight, 1)
            bench.advance(0.04)
            self.assertEqual((bench.layer.in_flight, bench.owner.told, len(bench.layer.wheel)), (0, [], 0))

    @conforms("RFC 6026 7.1")
    def test_the_ack_of_a_2xx_goes_up_whichever_branch_it_has(self) -> None:
        bench = Bench()
        bench.server().reply(200)
        bench.receive(request("ACK"))
        bench.receive(request("ACK", branch="z9hG4bKother"))
        self.assertEqual([ack.top_via.branch for ack in bench.user.acks], ["z9hG4bKabc", "z9hG4bKother"])

    def test_what_comes_after_the_final_response_is_dropped(self) -> None:
        for final in (200, 486):
            bench = Bench(is_reliable=True)
            transaction = bench.server()
            other = reply(transaction.request, 603)
            ringing = reply(transaction.request, 180)
            transaction.reply(final)
            transaction.respond(other)
            transaction.respond(ringing)
            transaction.reply(500)
            self.assertEqual(bench.titles, [str(final)])

    def test_a_late_answer_to_a_transaction_that_is_over_is_dropped(self) -> None:
        bench = Bench()
        transaction = bench.server()
        late = reply(transaction.request, 200)
        transaction.reply(486)
        bench.advance(33)
        transaction.respond(late)
        transaction.reply(500)
        self.assertNotIn("200", bench.titles)
        self.assertNotIn("500", bench.titles)


class NonInviteTests(SynchronousTestCase):
    @conforms("RFC 3261 17.2.2")
    def test_an_answer_is_repeated_for_retransmissions_until_timer_j(self) -> None:
        bench = Bench()
        bench.server(request(REGISTER)).reply(200)
        for _ in range(3):
            bench.advance(10)
            bench.receive(request(REGISTER))
        self.assertEqual((bench.titles, len(set(bench.flow.sent))), (["200"] * 4, 1))
        bench.advance(2.1)
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))
        bench.receive(request(REGISTER))
        self.assertEqual(len(bench.user.transactions), 2)

    def test_over_a_reliable_transport_it_is_over_with_the_answer(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.server(request(REGISTER))
        transaction.reply(200)
        self.assertEqual((transaction.is_terminated, bench.layer.in_flight, len(bench.layer.wheel)), (True, 0, 0))
        self.assertEqual(bench.titles, ["200"])

    def test_retransmissions_before_any_answer_are_discarded(self) -> None:
        bench = Bench()
        bench.server(request(REGISTER))
        bench.receive(request(REGISTER))
        self.assertEqual((bench.titles, len(bench.user.transactions)), ([], 1))

    @conforms("RFC 4320 4.1")
    def test_a_100_goes_out_when_timer_e_has_reached_t2_and_then_nothing(self) -> None:
        for is_reliable in (False, True):
            bench = Bench(is_reliable=is_reliable)
            transaction = bench.server(request(REGISTER))
            bench.advance(3.48)
            self.assertEqual(bench.titles, [])
            bench.advance(35)
            self.assertEqual((bench.titles, bench.flow.times), (["100"], [3.5]))
            self.assertEqual((bench.owner.told, transaction.is_terminated), ([Failure.TIMEOUT], True))
            self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel)), (0, 0))

    def test_a_retransmission_gets_that_100_again(self) -> None:
        bench = Bench()
        bench.server(request(REGISTER))
        bench.advance(4)
        bench.receive(request(REGISTER))
        self.assertEqual(bench.titles, ["100", "100"])

    @conforms("RFC 4320 4.1")
    def test_the_user_may_not_be_faster_with_its_100_over_datagrams(self) -> None:
        bench = Bench()
        transaction = bench.server(request(REGISTER))
        transaction.reply(100)
        self.assertEqual(bench.titles, [])
        bench.advance(4)
        transaction.reply(100)
        self.assertEqual(bench.titles, ["100", "100"])
        stream = Bench(is_reliable=True)
        stream.server(request(REGISTER)).reply(100)
        self.assertEqual(stream.titles, ["100"])

    @conforms("RFC 4320 4.1", "RFC 4320 4.2")
    def test_no_other_provisional_response_and_no_408(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.server(request(REGISTER))
        transaction.respond(reply(transaction.request, 180))
        transaction.respond(reply(transaction.request, 408))
        self.assertEqual((bench.titles, transaction.is_final_sent), ([], False))
        transaction.reply(200)
        self.assertEqual(bench.titles, ["200"])

    def test_it_lets_go_of_request_and_owner_once_it_is_answered(self) -> None:
        bench = Bench()
        transaction = bench.server(request(REGISTER))
        transaction.reply(200)
        self.assertEqual(transaction.request.method, REGISTER)  # the caller has not returned yet
        self.assertIsNone(transaction.owner)
        bench.receive(request("OPTIONS", branch="z9hG4bKnext"))
        self.assertFalse(hasattr(transaction, "request"))


@conforms("RFC 3261 8.2.7")
class ForgettingTests(SynchronousTestCase):
    """RFC 3261 8.2.7: a challenge may be sent without keeping anything."""

    def test_a_challenge_leaves_nothing_behind(self) -> None:
        bench = Bench()
        bench.server(request(REGISTER)).reply_and_forget(401, headers=(("www-authenticate", "Digest x"),))
        self.assertEqual((bench.titles, bench.layer.in_flight, len(bench.layer.wheel)), (["401"], 0, 0))

    def test_a_retransmission_is_challenged_anew_under_the_same_tag(self) -> None:
        bench = Bench()
        bench.server(request(REGISTER)).reply_and_forget(401)
        first = last_response(bench)
        bench.receive(request(REGISTER))
        bench.user.transactions[-1].reply_and_forget(401)
        self.assertEqual((len(bench.user.transactions), last_response(bench).to_tag), (2, first.to_tag))
        self.assertEqual(len(first.to_tag), 16)

    @conforms("RFC 3261 26.3.2")
    def test_a_challenged_invite_waits_for_its_ack_and_repeats_nothing_unasked(self) -> None:
        """Whoever forges a source address shall not have eleven responses sent there for one request."""
        bench = Bench()
        bench.server().reply_and_forget(407)
        bench.advance(8.0)
        self.assertEqual((bench.titles, bench.layer.in_flight), (["407"], 1))
        bench.receive(request("INVITE"))
        self.assertEqual(bench.titles, ["407", "407"])
        bench.advance(32.0)
        self.assertEqual((bench.titles, bench.layer.in_flight, len(bench.layer.wheel)), (["407", "407"], 0, 0))

    def test_a_challenge_after_a_100_is_repeated(self) -> None:
        """Whoever heard the 100 does not repeat the INVITE any more."""
        bench = Bench()
        transaction = bench.server()
        transaction.reply(100)
        transaction.reply_and_forget(407)
        bench.advance(0.6)
        self.assertEqual(bench.titles, ["100", "407", "407"])


class ReplyTests(SynchronousTestCase):
    @conforms("RFC 3261 8.2.6.2")
    def test_the_to_tag_is_one_for_all_responses(self) -> None:
        bench = Bench()
        transaction = bench.server()
        transaction.reply(180)
        ringing = last_response(bench).to_tag
        transaction.reply(486)
        self.assertEqual(last_response(bench).to_tag, ringing)
        self.assertEqual(len(ringing), 16)

    @conforms("RFC 3261 8.2.6.2")
    def test_the_to_tag_of_the_request_stands(self) -> None:
        bench = Bench()
        transaction = bench.server(request("BYE", to_tag="theirs"))
        transaction.reply(200)
        self.assertEqual((transaction.to_tag, last_response(bench).to_tag), ("theirs", "theirs"))

    def test_a_uas_may_set_its_own_tag(self) -> None:
        bench = Bench()
        transaction = bench.server()
        transaction.to_tag = "dialog"
        transaction.reply(180)
        self.assertEqual(last_response(bench).to_tag, "dialog")

    def test_reason_explanation_and_headers(self) -> None:
        bench = Bench()
        bench.server().reply(423, "Too short", 'say "more"', (("min-expires", "60"), ("x-other", "1")))
        response = last_response(bench)
        self.assertEqual((response.status, response.reason), (423, "Too short"))
        self.assertEqual((response.value("min-expires"), response.value("x-other")), ("60", "1"))
        self.assertEqual(response.value("warning"), '399 gosip "say \\"more\\""')

    def test_each_response_is_counted_once(self) -> None:
        bench = Bench()
        transaction = bench.server()
        answer = reply(transaction.request, 200)
        transaction.reply(180)
        transaction.respond(answer)
        transaction.respond(answer)
        bench.receive(request())
        bench.receive(request("FLYING", branch="z9hG4bKf"))
        bench.user.transactions[-1].reply(405)
        counts = {labels: cell.value for labels, cell in bench.metrics.responses.series.items()}
        self.assertEqual(counts, {("INVITE", "180"): 1, ("INVITE", "200"): 1, ("OTHER", "405"): 1})


class FlowFailureTests(SynchronousTestCase):
    def fail(self, bench: Bench) -> None:
        bench.flow.is_up = False
        bench.layer.flow_failed(bench.flow, "reset")

    @conforms("RFC 3261 17.2.4", "RFC 6026 7.1")
    def test_the_owner_is_told_and_the_transaction_stays(self) -> None:
        for method, status in (("INVITE", 0), ("INVITE", 180), ("INVITE", 200), ("INVITE", 486), (REGISTER, 0)):
            bench = Bench(is_reliable=True)
            transaction = bench.server(request(method))
            if status:
                transaction.reply(status)
            state = transaction.state
            self.fail(bench)
            self.assertEqual((bench.owner.told, transaction.state), ([Failure.TRANSPORT], state))
            bench.advance(40)
            self.assertLessEqual(bench.layer.in_flight, 1 if status in (0, 180) and method == "INVITE" else 0)

    @conforms("RFC 3261 18.2.2")
    def test_a_response_after_the_failure_takes_the_way_that_the_flow_names(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.server()
        transaction.reply(180)
        self.fail(bench)
        bench.flow.way = other = FakeFlow(bench.clock, is_reliable=True)
        transaction.reply(486)
        self.assertEqual((titles(other.sent), bench.titles), (["486"], ["180"]))

    @conforms("RFC 3261 18.2.2", "RFC 3261 13.3.1.4")
    def test_so_does_a_2xx_that_is_repeated_after_the_failure(self) -> None:
        bench = Bench(is_reliable=True)
        transaction = bench.server()
        answer = reply(transaction.request, 200, to_tag="ours")
        transaction.respond(answer)
        bench.receive(request("OPTIONS", branch="z9hG4bKelse"))  # by now nobody needs the INVITE any more
        self.fail(bench)
        bench.flow.way = other = FakeFlow(bench.clock, is_reliable=True)
        transaction.respond(answer)
        transaction.respond(answer)
        self.assertEqual((titles(other.sent), bench.titles), (["200", "200"], ["200"]))

    def test_datagrams_that_fail_leave_it_to_the_timers(self) -> None:
        bench = Bench()
        bench.server().reply(486)
        self.fail(bench)
        self.assertEqual(bench.owner.told, [])
        bench.advance(33)
        self.assertEqual(bench.owner.told, [Failure.TIMEOUT])


class FaultTests(SynchronousTestCase):
    def test_a_user_that_fails_is_logged_and_the_peer_gets_a_500(self) -> None:
        bench = Bench()
        bench.user.fault = ZeroDivisionError()
        bench.server(request(REGISTER))
        self.assertEqual(bench.titles, ["500"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        bench.advance(33)
        self.assertEqual(bench.layer.in_flight, 0)

    def test_a_header_that_turns_out_to_be_none_is_a_400(self) -> None:
        class Reading:
            def receive_request(self, transaction: ServerTransaction) -> None:
                _ = transaction.request.from_.uri

        bench = Bench()
        bench.layer.user = Reading()  # type: ignore[assignment]  # no ACK comes here
        message = request(REGISTER)
        message.set("from", "<gibberish>;tag=1")
        bench.receive(message)
        self.assertEqual(bench.titles, ["400"])
        self.assertIn("not a SIP URI", last_response(bench).value("warning") or "")
