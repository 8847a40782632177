"""Random calls over a network that loses, doubles and reorders: each call ends once, and nothing is left over."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.metrics import Metrics
from gosip_py.registrar.location import Contact
from gosip_py.sip.message import Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.sip.reply import reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow, Target
from tests.network import MemoryNetwork
from tests.proxy.switchboard import CALL_SECONDS, SERVER, TIMER_C, Switchboard, run
from tests.registrar.fakes import NOW, binding

SEEDS = 200
CALLS = 4
ROUTE = f"<sip:{SERVER}:5060;lr>"

_numbers = count(1)


class Talk:
    """One side of a dialog of a `Talker`."""

    def __init__(self, talker: Talker, call_id: str, local: str, remote: str, target: str) -> None:
        self.talker = talker
        self.call_id, self.local, self.remote, self.target = call_id, local, remote, target
        self.number = 1
        self.is_over = False

    def request(self, method: str) -> Request:
        return self.talker.make(method, self.target, self.local, self.remote, self.call_id, self.number, (ROUTE,))

    def acknowledge(self) -> None:
        self.talker.layer.send_stateless(self.request("ACK"), self.talker.flow)

    def hang_up(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.number += 1
            self.talker.layer.start_client(self.request("BYE"), self.talker.flow, self.talker)


class Answering:
    """A callee's side of one INVITE: rings, and does what chance wants."""

    def __init__(self, talker: Talker, transaction: ServerTransaction) -> None:
        self.talker = talker
        self.transaction = transaction
        self.request = transaction.request
        self.talk = Talk(
            talker,
            self.request.call_id,
            f"{self.request.require('to')};tag={transaction.to_tag}",
            self.request.require("from"),
            self.request.addresses("contact")[0].uri_text,
        )
        self.is_acknowledged = False
        self.interval = 0.5
        chance = talker.chance
        if chance.random() < 0.9:
            talker.later(chance.uniform(0, 2), lambda: transaction.reply(180, headers=self.contact))
        status = chance.choice((200, 200, 200, 302, 404, 486, 503, 603, 0))
        if status:
            talker.later(chance.uniform(0, 8), lambda: self.finish(status))
        # And when its provisional response was lost, no CANCEL comes to end the waiting.
        talker.later(TIMER_C * 2, lambda: self.finish(480))

    @property
    def contact(self) -> tuple[tuple[str, str], ...]:
        return (("contact", f"<{self.talker.contact}>"),)

    def finish(self, status: int) -> None:
        if self.transaction.is_final_sent:
            return
        if status != 200:
            self.transaction.reply(status)
            return
        self.ok = reply(self.request, 200, to_tag=self.transaction.to_tag)
        self.ok.add("contact", f"<{self.talker.contact}>")
        self.talker.talks[self.talk.call_id] = self.talk
        self.talker.answers[self.talk.call_id] = self
        self.repeat()
        if self.talker.chance.random() < 0.5:
            self.talker.later(self.talker.chance.uniform(0, 20), self.talk.hang_up)

    def repeat(self) -> None:
        """13.3.1.4: the 2xx is repeated until its ACK comes; when none does, the callee hangs up."""
        if self.is_acknowledged:
            return
        if self.interval > 32:
            self.talk.hang_up()
            return
        self.transaction.respond(self.ok)
        self.talker.later(self.interval, self.repeat)
        self.interval *= 2


class Talker:
    """A phone with real transactions that calls and is called."""

    def __init__(self, board: Switchboard, host: str, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.transport = board.network.transport(host)
        self.layer = TransactionLayer(board.clock, self.transport, self, Metrics())
        self.transport.user = self.layer
        self.later: Callable[[float, Callable[[], object]], object] = board.clock.callLater
        self.contact = f"sip:{name}@{host}:5060"
        self.host = host
        self.flow: Flow = self.transport.flow_to(Target("UDP", SERVER, 5060), 400)
        self.talks: dict[str, Talk] = {}
        self.answers: dict[str, Answering] = {}
        self.calls: dict[ClientTransaction, Talk] = {}
        self.finals: list[int | Failure] = []

    def make(
        self, method: str, uri: str, local: str, remote: str, call_id: str, number: int, routes: tuple[str, ...] = ()
    ) -> Request:
        lines = (
            f"{method} {uri} SIP/2.0",
            "Max-Forwards: 70",
            f"From: {local}",
            f"To: {remote}",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            *(f"Route: {route}" for route in routes),
            f"Contact: <{self.contact}>",
            "Content-Length: 0",
        )
        message = parse_message("\r\n".join((*lines, "", "")).encode())
        assert isinstance(message, Request)
        return message

    # -- calling ------------------------------------------------------------------------------------------------------

    def call(self, callee: str) -> None:
        number = next(_numbers)
        uri = f"sip:{callee}@example.com"
        local = f"<sip:{self.name}@example.com>;tag=caller{number}"
        talk = Talk(self, f"chaos{number}@{self.host}", local, f"<{uri}>", uri)
        invite = self.make("INVITE", uri, local, talk.remote, talk.call_id, 1)
        transaction = self.layer.start_client(invite, self.flow, self)
        self.calls[transaction] = talk
        if self.chance.random() < 0.3:
            self.later(self.chance.uniform(0, 6), transaction.cancel)
        # Every 2xx may have been lost: then this phone is the last to wait.
        self.later(TIMER_C * 2, transaction.cancel)

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        if transaction.method == "INVITE" and response.status >= 200:
            self.finals.append(response.status)
            if response.status < 300:
                self._answered(transaction, response)

    def _answered(self, transaction: ClientTransaction, response: Response) -> None:
        call = self.calls[transaction]
        key = f"{call.call_id} {response.to_tag}"
        talk = self.talks.get(key)
        if talk is None:
            target = response.addresses("contact")[0].uri_text
            talk = self.talks[key] = Talk(self, call.call_id, call.local, response.require("to"), target)
            self.later(self.chance.uniform(0, 20), talk.hang_up)
        talk.acknowledge()

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        if transaction.method == "INVITE":
            self.finals.append(failure)

    # -- being called -------------------------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        transaction.owner = self
        if transaction.method == "INVITE":
            Answering(self, transaction)
            return
        talk = self.talks.get(transaction.request.call_id)
        if talk is not None:
            talk.is_over = True
        transaction.reply(200)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        answer = self.answers.get(ack.call_id)
        if answer is not None:
            answer.is_acknowledged = True

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        transaction.reply(487)

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """Whoever did not acknowledge our answer is gone."""


class ChaosTests(SynchronousTestCase):
    def play(self, seed: int) -> Switchboard:
        """Bob has two phones; several calls to him and to Carol at about the same time."""
        chance = random.Random(seed)
        network = MemoryNetwork(Clock(), seed, loss=0.2, duplicate=0.1, delay=(0.005, 0.4))
        board = Switchboard(network)
        alice = Talker(board, "192.0.2.10", "alice", chance)
        callees = [
            Talker(board, f"192.0.2.{20 + number}", name, chance) for number, name in enumerate(("bob", "bob", "carol"))
        ]
        for talker, device_id in zip(callees, (20, 20, 30), strict=True):
            record = binding(
                talker.contact,
                f"sip:{talker.name}@example.com",
                device_id=device_id,
                source=f"{talker.host}:5060",
                expires_at=NOW + 1_000_000,
            )
            board.location.add(Contact(record, None), board.now())
        for _ in range(CALLS):
            callee = chance.choice(("bob", "bob", "carol", "nobody"))
            board.clock.callLater(chance.uniform(0, 3), alice.call, callee)
        run(board.clock, 3 + TIMER_C + 3 * 64 * 0.5 + CALL_SECONDS)
        for talker in (alice, *callees):
            self.assertEqual(talker.layer.in_flight, 0, f"seed {seed}")
        self.assertEqual(len({talk.call_id for talk in alice.calls.values()}), CALLS)
        return board

    def test_each_call_ends_once_and_nothing_is_left(self) -> None:
        endings = set()
        for seed in range(SEEDS):
            board = self.play(seed)
            books = board.books
            self.assertEqual(len(books.started), CALLS, f"seed {seed}")
            self.assertEqual(sorted(event.id for event in books.ended), sorted(books.started), f"seed {seed}")
            self.assertEqual(board.gauges(), (0, 0, 0, 0), f"seed {seed}")
            self.assertEqual(len(board.layer.wheel), 0, f"seed {seed}")
            answered = {event.id for event in books.answered}
            for event in books.ended:
                self.assertEqual(event.result == "answered", event.id in answered, f"seed {seed}")
                # Somebody always hangs up, so nothing waits for the longest that a call may last.
                self.assertLess(event.at - books.started[event.id].at, TIMER_C + 100, f"seed {seed}")
            endings |= set(books.endings)
        # Chance has led everywhere.
        results = {result for result, _, _ in endings}
        self.assertEqual(results, {"answered", "rejected", "cancelled", "no_answer", "failed", "redirected"})
        self.assertEqual({by for result, _, by in endings if result == "answered"}, {"caller", "callee"})
