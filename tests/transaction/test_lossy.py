"""Two layers over a network that loses, doubles and reorders: whatever happens, both ends come to the same end."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.metrics import Metrics
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow, Target
from tests.conformance import conforms
from tests.network import MemoryNetwork
from tests.transaction.fakes import request

SEEDS = 200


class Phone:
    """The user and the owner at one end. Called, it rings, and sends ``answer`` after ``after`` seconds."""

    def __init__(self, network: MemoryNetwork, host: str, answer: int = 200, after: float = 0.0) -> None:
        self.transport = network.transport(host)
        self.clock = network.clock
        self.layer = TransactionLayer(self.clock, self.transport, self, Metrics())
        self.transport.user = self.layer
        self.answer = answer
        self.after = after
        self.requests: list[ServerTransaction] = []
        self.heard: list[int | Failure] = []
        self.acks = 0
        self.repeating: Timer | None = None
        self.interval = 0.5
        self.ok: Response | None = None

    # -- as the side that is called ----------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        self.requests.append(transaction)
        transaction.owner = self
        if transaction.method == "INVITE":
            transaction.reply(180)
        if self.after:
            self.layer.wheel.start(self.after, self, 1)
        else:
            self.finish()

    def timer_fired(self, kind: int) -> None:
        if kind:
            self.finish()
        elif not self.acks and self.interval < 32:
            self.repeat()

    def finish(self) -> None:
        transaction = self.requests[0]
        if transaction.is_final_sent:
            return
        if transaction.method == "INVITE" and self.answer == 200:
            self.ok = reply(transaction.request, 200, to_tag=transaction.to_tag)
            self.repeat()
        else:
            transaction.reply(self.answer)

    def repeat(self) -> None:
        """RFC 3261 13.3.1.4: the 2xx is repeated by the user until its ACK comes."""
        assert self.ok is not None
        self.requests[0].respond(self.ok)
        self.repeating = self.layer.wheel.start(self.interval, self, 0)
        self.interval *= 2

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        transaction.reply(487)

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        self.heard.append(failure)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        self.acks += 1

    # -- as the side that calls --------------------------------------------------------------------------------------

    def call(self, method: str, host: str) -> ClientTransaction:
        message = request(method, branch="z9hG4bKnobody")
        message.remove("via")
        flow = self.transport.flow_to(Target("UDP", host, 5060), 400)
        return self.layer.start_client(message, flow, self)

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        if response.status >= 200:
            self.heard.append(response.status)
            if transaction.method == "INVITE" and response.status < 300:
                self.layer.send_stateless(request("ACK", branch=None, to_tag=response.to_tag), transaction.flow)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        self.heard.append(failure)


def exhaust(clock: Clock, seconds: float) -> None:
    """Let time jump from one delayed call to the next."""
    end = clock.seconds() + seconds
    while clock.getDelayedCalls() and clock.seconds() < end:
        clock.advance(max(0.0, min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds()))


@conforms("RFC 3261 17.1.1", "RFC 3261 17.1.2", "RFC 3261 17.2")
class LossyTests(SynchronousTestCase):
    def pair(self, seed: int, answer: int, after: float) -> tuple[Phone, Phone, Clock]:
        clock = Clock()
        network = MemoryNetwork(clock, seed, loss=0.25, duplicate=0.1, delay=(0.005, 0.3))
        return Phone(network, "192.0.2.1"), Phone(network, "192.0.2.2", answer, after), clock

    def end(self, seed: int, caller: Phone, callee: Phone) -> tuple[int, ...]:
        """The finals the caller heard, after checking that nothing is left at either end."""
        for phone in (caller, callee):
            self.assertEqual((phone.layer.in_flight, len(phone.layer.wheel)), (0, 0), f"seed {seed}")
            self.assertNotIn(Failure.TRANSPORT, phone.heard)
        self.assertEqual(len(callee.requests), 1, f"seed {seed}")
        self.assertEqual(callee.requests[0].status, caller.heard[0], f"seed {seed}")
        return tuple(status for status in caller.heard if isinstance(status, int))

    def outcomes(
        self, method: str, answer: int, after: float, then: Callable[[ClientTransaction, Clock], None] | None = None
    ) -> set[int]:
        """Each final status of the seeds. Whichever it is, it was told once (a 2xx to an INVITE: at least once)."""
        seen = set()
        for seed in range(SEEDS):
            caller, callee, clock = self.pair(seed, answer, after)
            transaction = caller.call(method, "192.0.2.2")
            if then is not None:
                then(transaction, clock)
            exhaust(clock, 200)
            heard = self.end(seed, caller, callee)
            self.assertEqual(len(set(heard)), 1, f"seed {seed}")
            if heard[0] >= 300 or method != "INVITE":
                self.assertEqual((len(heard), callee.heard), (1, []), f"seed {seed}")
            else:
                self.assertGreaterEqual(callee.acks, 1, f"seed {seed}")
            seen.add(heard[0])
        return seen

    def test_registrations_are_answered_once(self) -> None:
        self.assertEqual(self.outcomes("REGISTER", 200, 0), {200})

    def test_a_slow_registrar_is_answered_once_too(self) -> None:
        self.assertEqual(self.outcomes("REGISTER", 403, 6.0), {403})

    def test_calls_that_are_refused(self) -> None:
        self.assertEqual(self.outcomes("INVITE", 486, 2.0), {486})

    def test_calls_that_are_answered(self) -> None:
        self.assertEqual(self.outcomes("INVITE", 200, 3.0), {200})

    def test_calls_that_are_cancelled_end_with_487_or_with_the_answer_that_was_faster(self) -> None:
        def cancel(transaction: ClientTransaction, clock: Clock) -> None:
            clock.callLater(2.5, transaction.cancel)

        self.assertEqual(self.outcomes("INVITE", 200, 3.0, cancel), {200, 487})
