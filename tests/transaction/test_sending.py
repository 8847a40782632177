"""A request and the addresses it may go to, in a network in memory (RFC 3263 4.3, RFC 3261 18.1.1, 21.5.4)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Errand, Sender, Sending
from gosip_py.transport.flow import Flow, Target
from tests.conformance import conforms
from tests.network import MemoryNetwork, MemoryTransport
from tests.transaction.fakes import RecordingUser, request, run

CARRIER = Target("", "carrier.test", 0)
FIRST, SECOND, THIRD = (Target("UDP", f"192.0.2.{number}", 5060, domain="carrier.test") for number in (11, 12, 13))
TIMER_B = 32.1


class Places:
    """A locator that gives ``hops`` for any name, at once unless it ``is_held``."""

    def __init__(self) -> None:
        self.hops: tuple[Target, ...] = (FIRST, SECOND, THIRD)
        self.is_held = False
        self.held: list[Callable[[], None]] = []
        self.outages: list[tuple[str, float]] = []
        self.working: list[str] = []

    def locate(self, target: Target, then: Callable[[tuple[Target, ...]], None]) -> None:
        hops = self.hops if target.host == CARRIER.host else (target,)
        if self.is_held:
            self.held.append(lambda: then(hops))
        else:
            then(hops)

    def failed(self, hop: Target, seconds: float) -> None:
        self.outages.append((hop.host, seconds))

    def answered(self, hop: Target) -> None:
        self.working.append(hop.host)


class Server:
    """Somebody who answers each new request with ``statuses``, or not at all."""

    def __init__(self, transport: MemoryTransport, *statuses: int) -> None:
        self.statuses = statuses
        self.headers: tuple[tuple[str, str], ...] = ()
        self.requests: list[Request] = []
        self.flows: list[Flow] = []
        self.branches: set[tuple[str, str]] = set()
        transport.user = self

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def receive_request(self, request: Request, flow: Flow) -> None:
        key = (request.method, request.top_via.branch)
        if key in self.branches:
            return
        self.branches.add(key)
        self.requests.append(request)
        self.flows.append(flow)
        if request.method == "CANCEL":
            flow.send(reply(request, 200, to_tag="t").to_bytes())
            self.answer(self.requests[0], 487)
        elif request.method != "ACK":
            for status in self.statuses:
                self.answer(request, status)

    def answer(self, request: Request, status: int) -> None:
        response = reply(request, status, to_tag="t")
        for name, value in self.headers:
            response.add(name, value)
        self.flows[0].send(response.to_bytes())

    def receive_response(self, response: Response, flow: Flow) -> None:
        raise AssertionError("nobody asked")

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        raise AssertionError(error.reason)

    def flow_failed(self, flow: Flow, reason: str) -> None:
        """A connection that we end."""


class Told(Sending):
    """Writes down what it is told."""

    def __init__(self, sender: Sender, message: Request, target: Target) -> None:
        super().__init__(sender, message, target)
        self.told: list[object] = []

    def dress(self, request: Request, flow: Flow) -> None:
        request.add("x-left-by", flow.remote[0])

    def started(self) -> None:
        self.told.append("started")

    def settled(self) -> None:
        self.told.append("settled")

    def received(self, response: Response) -> None:
        self.told.append(response.status)

    def unanswered(self, status: int, text: str) -> None:
        self.told.append(("unanswered", status))


def own(method: str) -> Request:
    """A request that nobody sent us: the only Via will be ours."""
    made = request(method)
    made.remove("via")
    return made


class SendingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock)
        transport = self.network.transport("192.0.2.1")
        self.layer = TransactionLayer(self.clock, transport, RecordingUser(), Metrics())
        transport.user = self.layer
        self.places = Places()
        self.sender = Sender(self.layer, transport, self.places)

    def tearDown(self) -> None:
        run(self.clock, 300)
        self.assertEqual((self.layer.in_flight, len(self.layer.wheel)), (0, 0))

    def serve(self, hop: Target, *statuses: int) -> Server:
        return Server(self.network.transport(hop.host), *statuses)

    def send(self, method: str = "INVITE", target: Target = CARRIER, *more: str, body: bytes = b"") -> Told:
        sending = Told(self.sender, request(method, branch="z9hG4bKabove"), target)
        sending.request.body = body
        sending.send()
        return sending

    def run_for(self, seconds: float = 0.1) -> None:
        run(self.clock, seconds)


class FailoverTests(SendingCase):
    @conforms("RFC 3263 4.3")
    def test_the_first_that_answers(self) -> None:
        first, second = self.serve(FIRST, 200), self.serve(SECOND, 200)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started", "settled", 200])
        self.assertEqual((len(first.requests), second.requests), (1, []))
        self.assertEqual((self.places.outages, self.places.working), ([], [FIRST.host]))

    @conforms("RFC 3263 4.3")
    def test_on_503_the_next(self) -> None:
        """A new transaction: another branch, all else as it was."""
        first, second = self.serve(FIRST, 503), self.serve(SECOND, 180, 200)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started", "started", 180, "settled", 200])
        self.assertEqual(first.methods, ["INVITE", "ACK"])
        one, other = first.requests[0], second.requests[0]
        self.assertNotEqual(one.top_via.branch, other.top_via.branch)
        self.assertEqual((one.values("x-left-by"), other.values("x-left-by")), ([FIRST.host], [SECOND.host]))
        for name in ("call-id", "cseq", "from", "to", "max-forwards"):
            self.assertEqual(one.values(name), other.values(name))
        self.assertEqual(len(other.values("via")), 2)

    @conforms("RFC 3263 4.3")
    def test_on_a_time_out_without_any_response_the_next(self) -> None:
        second = self.serve(SECOND, 200)
        sending = self.send()
        self.run_for(TIMER_B - 0.5)
        self.assertEqual(sending.told, ["started"])
        self.run_for(1)
        self.assertEqual(sending.told, ["started", "started", "settled", 200])
        self.assertEqual(second.methods, ["INVITE"])
        self.assertEqual(self.places.outages, [(FIRST.host, 30)])

    @conforms("RFC 3263 4.3")
    def test_on_a_connection_that_is_refused_the_next(self) -> None:
        self.places.hops = (Target("TCP", FIRST.host, 5060), Target("TLS", SECOND.host, 5061), THIRD)
        third = self.serve(THIRD, 200)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started"] * 3 + ["settled", 200])
        self.assertEqual(third.methods, ["INVITE"])
        self.assertEqual([host for host, _ in self.places.outages], [FIRST.host, SECOND.host])

    def test_other_refusals_are_final(self) -> None:
        for status in (302, 404, 480, 486, 500, 504, 600):
            self.serve(FIRST, status)
            second = self.serve(SECOND, 200)
            sending = self.send()
            self.run_for()
            self.assertEqual((sending.told[-2:], second.requests), (["settled", status], []))

    @conforms("RFC 3263 4.3")
    def test_503_after_it_rang_too(self) -> None:
        self.serve(FIRST, 100, 183, 503)
        self.serve(SECOND, 200)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started", 100, 183, "started", "settled", 200])

    @conforms("RFC 3263 4.3")
    def test_but_no_time_out_after_a_response(self) -> None:
        """Timer F runs on after a provisional response, and then there is "any response"."""
        self.serve(FIRST, 100)
        second = self.serve(SECOND, 200)
        answers: list[Response | None] = []
        Errand(self.sender, own("OPTIONS"), CARRIER, answers.append).send()
        self.run_for(TIMER_B + 1)
        self.assertEqual((answers, second.requests, self.places.outages), ([None], [], []))

    def test_all_fail_and_the_last_is_what_counts(self) -> None:
        self.places.hops = (FIRST, Target("TCP", SECOND.host, 5060))
        sending = self.send()
        self.run_for(TIMER_B + 1)
        self.assertEqual(sending.told, ["started", "started", "settled", ("unanswered", 503)])
        for hop in (FIRST, SECOND, THIRD):
            self.serve(hop, 503)
        self.places.hops = (FIRST, SECOND, THIRD)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started"] * 3 + ["settled", 503])

    def test_nobody_waits_for_anything_but_an_invite_after_a_time_out(self) -> None:
        """Whoever sent it times out just then; but an errand is our own."""
        second = self.serve(SECOND, 200)
        sending = self.send("MESSAGE")
        self.run_for(TIMER_B + 1)
        self.assertEqual(sending.told, ["started", "settled", ("unanswered", 408)])
        self.assertEqual(second.requests, [])
        answers: list[Response | None] = []
        Errand(self.sender, own("MESSAGE"), CARRIER, answers.append).send()
        self.run_for(TIMER_B + 1)
        self.assertEqual([answer and answer.status for answer in answers], [200])

    @conforms("RFC 3261 8.1.3.3")
    def test_an_answer_with_a_second_via_is_none(self) -> None:
        server = self.serve(FIRST, 200)
        server.headers = (("via", "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKother"),)
        answers: list[Response | None] = []
        Errand(self.sender, own("OPTIONS"), CARRIER, answers.append).send()
        self.run_for()
        self.assertEqual(answers, [None])

    def test_a_message_goes_to_the_next_when_the_first_says_503(self) -> None:
        self.serve(FIRST, 503)
        self.serve(SECOND, 202)
        sending = self.send("MESSAGE")
        self.run_for()
        self.assertEqual(sending.told, ["started", "started", "settled", 202])

    def test_nothing_is_sent_to_ourselves(self) -> None:
        self.serve(SECOND, 200)
        own = Target("UDP", "192.0.2.1", 5060)
        self.places.hops = (own, SECOND)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started", "settled", 200])
        for hops in ((own,), (own, own), ()):
            self.places.hops = hops
            self.assertEqual(self.send().told, ["settled", ("unanswered", 502)])

    def test_a_target_without_a_name_is_not_put_aside(self) -> None:
        self.send(target=Target("UDP", "192.0.2.77", 5060))
        self.run_for(TIMER_B + 1)
        self.assertEqual(self.places.outages, [])


class RetryAfterTests(SendingCase):
    @conforms("RFC 3261 21.5.4", "RFC 3261 20.33")
    def test_for_how_long_it_wants_to_be_left_alone(self) -> None:
        cases = {"120": 120.0, "18000;duration=3600": 18000.0, "120 (I'm in a meeting)": 120.0, "soon": 30.0, "": 30.0}
        for value, seconds in cases.items():
            self.serve(FIRST, 503).headers = (("retry-after", value),) if value else ()
            self.serve(SECOND, 200)
            self.places.outages.clear()
            self.send()
            self.run_for()
            self.assertEqual(self.places.outages, [(FIRST.host, seconds)], value)


class CancelTests(SendingCase):
    def test_while_the_name_is_looked_up(self) -> None:
        self.places.is_held = True
        first = self.serve(FIRST, 200)
        sending = self.send()
        sending.cancel(None)
        self.assertEqual(sending.told, [])
        self.places.held[0]()
        self.assertEqual((sending.told, first.requests), (["settled", ("unanswered", 487)], []))

    def test_given_up_while_the_name_is_looked_up(self) -> None:
        self.places.is_held = True
        first = self.serve(FIRST, 200)
        sending = self.send()
        sending.give_up(408, "")
        self.places.held[0]()
        self.run_for()
        self.assertEqual((sending.told, first.requests), (["settled", ("unanswered", 408)], []))

    def test_the_second_after_the_first_failed(self) -> None:
        self.serve(FIRST, 503)
        second = self.serve(SECOND, 180)
        sending = self.send()
        self.run_for()
        sending.cancel('SIP;cause=200;text="Call completed elsewhere"')
        self.run_for()
        self.assertEqual(second.methods, ["INVITE", "CANCEL", "ACK"])
        self.assertEqual(second.requests[1].top_via.branch, second.requests[0].top_via.branch)
        self.assertEqual(sending.told, ["started", "started", 180, "settled", 487])

    def test_nobody_else_is_tried_any_more(self) -> None:
        first, second = self.serve(FIRST), self.serve(SECOND, 200)
        sending = self.send()
        self.run_for()
        sending.cancel(None)
        first.answer(first.requests[0], 503)
        self.run_for()
        self.assertEqual(sending.told, ["started", "settled", 503])
        sending = self.send()
        sending.cancel(None)
        self.run_for(TIMER_B + 1)
        self.assertEqual(sending.told, ["started", "settled", ("unanswered", 408)])
        self.assertEqual(second.requests, [])


class SizeTests(SendingCase):
    """RFC 3261 18.1.1."""

    @conforms("RFC 3261 18.1.1")
    def test_a_large_one_goes_by_tcp(self) -> None:
        first = self.serve(FIRST, 200)
        sending = self.send(body=b"x" * 2000)
        self.run_for()
        self.assertEqual([flow.transport for flow in first.flows], ["TCP"])
        self.assertEqual(sending.told, ["started", "settled", 200])

    @conforms("RFC 3261 18.1.1")
    def test_and_by_udp_when_there_is_no_connection(self) -> None:
        first, second = self.serve(FIRST, 200), self.serve(SECOND, 200)
        del self.network._listening["TCP", (FIRST.host, 5060)]
        sending = self.send(body=b"x" * 2000)
        self.run_for()
        self.assertEqual([flow.transport for flow in first.flows], ["UDP"])
        self.assertEqual(sending.told, ["started", "started", "settled", 200])
        self.assertEqual(first.requests[0].top_via.transport, "UDP")
        self.assertEqual(first.requests[0].values("x-left-by"), [FIRST.host])
        self.assertEqual((second.requests, self.places.outages), ([], []))

    def test_the_request_is_the_same_when_there_is_one_address_only(self) -> None:
        first = self.serve(FIRST, 200)
        self.places.hops = (FIRST,)
        del self.network._listening["TCP", (FIRST.host, 5060)]
        self.send(body=b"x" * 2000)
        self.run_for()
        self.assertEqual(first.requests[0].values("x-left-by"), [FIRST.host])
        self.assertEqual(len(first.requests[0].values("via")), 2)

    def test_the_next_address_is_tried_by_tcp_again(self) -> None:
        second = self.serve(SECOND, 200)
        sending = self.send(body=b"x" * 2000)
        self.run_for(TIMER_B + 1)
        self.assertEqual([flow.transport for flow in second.flows], ["TCP"])
        self.assertEqual(sending.told, ["started", "started", "started", "settled", 200])
        self.assertEqual([host for host, _ in self.places.outages], [FIRST.host])


class FlowTests(SendingCase):
    def test_an_open_flow_goes_before_the_name(self) -> None:
        phone = self.serve(THIRD, 200)
        flow = self.sender.flow_to(Target("TCP", THIRD.host, 5060), 100, True)
        sending = self.send(target=Target("", "carrier.test", 0, flow))
        self.run_for()
        self.assertEqual((sending.told, len(phone.requests)), (["started", "settled", 200], 1))
        self.assertEqual(self.places.working, [])

    def test_the_name_when_the_flow_is_gone(self) -> None:
        first = self.serve(FIRST, 200)
        flow = self.sender.flow_to(Target("TCP", THIRD.host, 5060), 100, True)
        sending = self.send(target=Target("", "carrier.test", 0, flow))
        self.run_for()
        self.assertEqual(sending.told, ["started", "started", "settled", 200])
        self.assertEqual(first.methods, ["INVITE"])


class ChallengeTests(SendingCase):
    """A retry with credentials stays on the host that challenged."""

    def credentials(self, status: int) -> Server:
        first, second = self.serve(FIRST, 503), self.serve(SECOND, status)
        self.send()
        self.run_for()
        first.statuses, second.statuses = (200,), (200,)
        return second

    def test_the_next_request_of_the_call_goes_to_the_one_that_asked(self) -> None:
        for status in (401, 407):
            second = self.credentials(status)
            self.send()
            self.run_for()
            self.assertEqual(second.methods, ["INVITE", "ACK", "INVITE"])

    def test_and_only_of_that_call(self) -> None:
        second = self.credentials(407)
        sending = Told(self.sender, request("INVITE", call_id="another"), CARRIER)
        sending.send()
        self.run_for()
        self.assertEqual(second.methods, ["INVITE", "ACK"])

    def test_for_half_a_minute(self) -> None:
        second = self.credentials(407)
        self.run_for(33)
        self.send()
        self.run_for()
        self.assertEqual(second.methods, ["INVITE", "ACK"])

    def test_if_it_is_still_there(self) -> None:
        second = self.credentials(407)
        self.places.hops = (FIRST, THIRD)
        sending = self.send()
        self.run_for()
        self.assertEqual((sending.told, second.methods), (["started", "settled", 200], ["INVITE", "ACK"]))

    def test_the_others_come_after_it(self) -> None:
        self.credentials(407).statuses = (503,)
        sending = self.send()
        self.run_for()
        self.assertEqual(sending.told, ["started", "started", "settled", 200])

    def test_bounded(self) -> None:
        challengers = self.sender._challengers
        for number in range(3000):
            challengers.note(f"call{number}", "carrier.test", SECOND)
        self.assertEqual((len(challengers._entries), len(self.layer.wheel)), (1024, 1024))
        hops = (FIRST, SECOND)
        self.assertEqual(challengers.first("call2999", "carrier.test", hops), (SECOND, FIRST))
        self.assertEqual(challengers.first("call1", "carrier.test", hops), hops)


class StatelessTests(SendingCase):
    def test_the_ack_of_a_2xx(self) -> None:
        first = self.serve(FIRST)
        self.sender.send_stateless(request("ACK"), CARRIER)
        self.run_for()
        self.assertEqual(first.methods, ["ACK"])
        self.places.hops = ()
        self.sender.send_stateless(request("ACK"), CARRIER)
        self.run_for()
        self.assertEqual(first.methods, ["ACK"])
