"""After a load nothing is left, and while a transaction lingers it is small."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from tests.transaction.fakes import Bench, parsed, request

OURS = (ClientTransaction, ServerTransaction, Timer, Message)


def count_of_ours() -> int:
    gc.collect()
    return sum(isinstance(thing, OURS) for thing in gc.get_objects())


class Flooded(Bench):
    """A bench whose flow forgets what was sent, and whose user forgets what it was given."""

    def forget(self) -> None:
        self.user.transactions.clear()
        self.user.acks.clear()
        self.flow.sent.clear()
        self.flow.times.clear()
        self.owner.told.clear()


class Held(Response):
    """A response that can be watched going away."""

    __slots__ = ("__weakref__",)

    def __init__(self, like: Response) -> None:
        super().__init__(like.status, like.reason, like.names, like.lines)


class LeakTests(SynchronousTestCase):
    def serve(self, bench: Flooded, number: int) -> None:
        """One of several lives of a server transaction."""
        branch = f"z9hG4bK{number}" if number % 10 else None
        method = ("REGISTER", "INVITE", "INVITE", "OPTIONS")[number % 4]
        changes = {"branch": branch, "number": number}
        transaction = bench.server(request(method, **changes))  # type: ignore[arg-type]
        if number % 3 == 0:
            bench.layer.is_merged(transaction)
        if number % 7 == 0:
            bench.receive(request("CANCEL", **changes))  # type: ignore[arg-type]
        if number % 11:
            transaction.reply((200, 180, 486)[number % 3])
        transaction.reply(200 if number % 2 else 486)
        if number % 5 == 0:
            bench.receive(request("ACK", to_tag=transaction.to_tag, **changes))  # type: ignore[arg-type]

    def call(self, bench: Flooded, number: int) -> None:
        """One of several lives of a client transaction."""
        client = bench.client(("INVITE", "MESSAGE", "INVITE")[number % 3])
        sent = parsed(bench.flow.sent[-1])
        assert isinstance(sent, Request)
        if client.method == "INVITE" and number % 2:
            client.cancel()
        if number % 5:
            bench.respond_to(sent, 180 if client.method == "INVITE" else 100)
        if client.method == "INVITE" or number % 4:
            bench.respond_to(sent, (200, 486, 404)[number % 3])

    def flood(self, *, is_reliable: bool) -> None:
        before = count_of_ours()
        bench = Flooded(is_reliable=is_reliable)
        for number in range(20_000):
            (self.serve if number % 2 else self.call)(bench, number)
            if number % 100 == 99:
                bench.forget()
                bench.clock.advance(0.1)
        self.assertGreater(bench.layer.in_flight, 500)
        bench.advance(64 * 0.5 + 6)
        bench.forget()
        index = bench.layer._index
        self.assertEqual((bench.layer.in_flight, len(bench.layer.wheel), bench.clock.getDelayedCalls()), (0, 0, []))
        tables = (index.servers, index.clients, index.old_acks, index.merging, index.by_flow)
        self.assertEqual([len(table) for table in tables], [0] * 5)
        # What was answered last keeps its request until the next message.
        bench.receive(request("ACK"))
        bench.forget()
        self.assertEqual(count_of_ours() - before, 0)

    def test_nothing_is_left_over_datagrams(self) -> None:
        self.flood(is_reliable=False)

    def test_nothing_is_left_over_streams(self) -> None:
        self.flood(is_reliable=True)


class MemoryTests(SynchronousTestCase):
    COUNT = 2000

    def octets(self, method: str) -> float:
        """What one answered transaction holds, on the average."""
        bench = Flooded()
        self.answer(bench, method, -1)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(self.COUNT):
            self.answer(bench, method, number)
        bench.receive(request("ACK"))
        bench.forget()
        gc.collect()
        self.assertEqual(bench.layer.in_flight, self.COUNT + 1)
        return (tracemalloc.get_traced_memory()[0] - before) / self.COUNT

    def answer(self, bench: Flooded, method: str, number: int) -> None:
        message = request(method, branch=f"z9hG4bKabcdef{number:08}", call_id=f"{number:020}@192.0.2.9")
        message.set_body(b"v" * 1000, "application/sdp")
        transaction = bench.server(message)
        response = reply(message, 200, to_tag=transaction.to_tag)
        if method == "INVITE":
            response.set_body(b"v" * 1000, "application/sdp")
        transaction.respond(response)
        bench.forget()

    def test_an_answered_transaction_costs_at_most_a_kilobyte(self) -> None:
        self.assertLess(self.octets("REGISTER"), 1024)

    def test_an_answered_call_costs_as_little(self) -> None:
        self.assertLess(self.octets("INVITE"), 1024)

    def test_a_response_is_kept_as_bytes_only(self) -> None:
        bench = Flooded()
        transaction = bench.server()
        answer = Held(reply(transaction.request, 486))
        transaction.respond(answer)
        bench.receive(request("ACK"))
        gone = weakref.ref(answer)
        del answer
        self.assertIsNone(gone())
        self.assertEqual(transaction.status, 486)
