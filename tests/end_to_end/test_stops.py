"""The server stops in the middle of calls, or its store does: the books are closed and the phones reached."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.phone import Leg, Phone
from tests.end_to_end.server import Server
from tests.postgres import PostgresServer
from tests.running import LOOPBACK, Settings

DRAIN_SECONDS = 0.4
IMPATIENT: Settings = {"limits": {"drain_seconds": DRAIN_SECONDS}}


def url_of(store: PostgresServer) -> str:
    """As it stands in the settings."""
    return f"postgresql://gosip@{LOOPBACK}:{store.port}/postgres"


class StopCase(TestCase):
    """Each test has a server of its own."""

    timeout = 120

    async def started(self, over: Settings) -> Server:
        server = self.server = Server(over)
        await server.start()
        self.addCleanup(server.kill)
        for user in ("alice", "bob"):
            await server.api.add_phone(user)
        return server

    async def phones(self) -> tuple[Phone, Phone]:
        """Alice and Bob, on UDP and registered."""
        alice, bob = (Phone.udp(self, self.server.sip_port, user) for user in ("alice", "bob"))
        await alice.register()
        await bob.register()
        return alice, bob

    async def ringing(self, alice: Phone, bob: Phone) -> tuple[Leg, Leg]:
        calling = await alice.call("bob")
        called = await bob.called(calling.call_id)
        called.respond(180)
        await calling.expect(180)
        return calling, called

    async def talking(self, alice: Phone, bob: Phone) -> tuple[Leg, Leg]:
        calling, called = await self.ringing(alice, bob)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        return calling, called

    async def whole_call(self, alice: Phone, bob: Phone) -> str:
        """A call from the INVITE to the BYE; its Call-ID."""
        calling, called = await self.talking(alice, bob)
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        return calling.call_id

    async def row(self, call_id: str) -> tuple[Any, ...]:
        row = await self.server.closed_row(call_id)
        self.assertGreaterEqual(row["end_at"], row["answer_at"] or row["invite_at"])
        return row["result"], row["ended_by"]


class StopTests(StopCase):
    """SIGTERM."""

    async def test_a_call_that_rings_and_one_that_was_answered(self) -> None:
        server = await self.started(IMPATIENT)
        alice, bob = await self.phones()
        over = await self.whole_call(alice, bob)
        talking, _ = await self.talking(alice, bob)
        ringing, _ = await self.ringing(alice, bob)
        await server.stop()
        await server.start()
        self.assertEqual(await self.row(over), ("answered", "caller"))
        self.assertEqual(await self.row(talking.call_id), ("answered", "system"))
        self.assertEqual(await self.row(ringing.call_id), ("failed", "system"))
        row = await server.closed_row(talking.call_id)
        self.assertGreaterEqual(row["talk_ms"], 1000 * DRAIN_SECONDS)
        self.assertNotIn("open and are closed as failed", server.log)
        await server.stop()

    @conforms("RFC 3261 21.5.4")
    async def test_a_call_that_ends_in_time_is_not_cut_off_and_no_new_one_begins(self) -> None:
        server = await self.started({"limits": {"drain_seconds": 30.0}})
        alice, bob = await self.phones()
        calling, called = await self.talking(alice, bob)
        stopping = server.stopping()
        await server.ready(503, "server")
        late = await alice.call("bob")
        refusal = await late.refused(503)
        self.assertEqual(refusal["retry-after"], "30")
        (person,) = await server.api.rows("/api/users", login="alice")
        status, text = await server.api.ask("POST", "/api/calls", {"target": "bob", "user_id": person["id"]})
        self.assertEqual((status, "about to stop" in text), (503, True), text)
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        await stopping
        await server.start()
        self.assertEqual(await self.row(calling.call_id), ("answered", "caller"))
        await server.stop()


class KillTests(StopCase):
    """SIGKILL, and a start on what it left."""

    async def books_are_closed_and_phones_reached(self, over: Settings) -> None:
        server = await self.started(over)
        alice, bob = await self.phones()
        ended = await self.whole_call(alice, bob)
        await server.closed_row(ended)
        talking, _ = await self.talking(alice, bob)
        ringing, _ = await self.ringing(alice, bob)
        await server.open_row(talking.call_id, is_answered=True)
        await server.open_row(ringing.call_id)
        bindings = await server.api.rows("/api/registrations")
        await server.kill()
        await server.start()
        self.assertEqual(await self.row(ended), ("answered", "caller"))
        for call_id in (talking.call_id, ringing.call_id):
            self.assertEqual(await self.row(call_id), ("failed", "system"))
        self.assertEqual(len(bindings), 2)
        restored = await server.api.rows("/api/registrations")
        self.assertEqual([each["contact"] for each in restored], [each["contact"] for each in bindings])
        # Neither has registered again.
        again = await self.whole_call(alice, bob)
        self.assertEqual(await self.row(again), ("answered", "caller"))
        await server.stop()

    async def test_with_sqlite(self) -> None:
        await self.books_are_closed_and_phones_reached({})

    async def test_with_postgresql(self) -> None:
        store = PostgresServer()
        self.addCleanup(store.remove)
        store.start()
        await self.books_are_closed_and_phones_reached({"store": {"url": url_of(store)}})


class OutageTests(StopCase):
    """PostgreSQL goes away and comes back."""

    async def test_registrations_and_calls_go_on_and_are_written_later(self) -> None:
        store = PostgresServer()
        self.addCleanup(store.remove)
        store.start()
        server = await self.started({"store": {"url": url_of(store)}})
        alice, bob = await self.phones()
        call_ids = [await self.whole_call(alice, bob)]
        await server.closed_row(call_ids[0])
        interrupted, interrupted_callee = await self.talking(alice, bob)
        await server.open_row(interrupted.call_id, is_answered=True)
        store.stop("immediate")
        await server.ready(503, "store")
        # a phone that is known, on a new socket: its registration is a new one
        moved = Phone.udp(self, server.sip_port, "bob")
        await bob.register(expires=0)
        await moved.register()
        interrupted.bye()
        await interrupted_callee.hung_up_on()
        call_ids += [await self.whole_call(alice, moved) for _ in range(20)]
        await server.ready(503, "store")
        self.assertGreaterEqual(await server.api.metric("gosip_journal_backlog"), 21)
        store.start()
        await server.ready(200, "")
        for call_id in (*call_ids, interrupted.call_id):
            self.assertEqual(await self.row(call_id), ("answered", "caller"))
        self.assertEqual(await server.api.metric("gosip_journal_backlog"), 0)
        # What was registered meanwhile is in the store too: it outlives the process.
        (binding,) = [each for each in await server.api.rows("/api/registrations") if "bob" in each["aor"]]
        await server.kill()
        await server.start()
        (restored,) = [each for each in await server.api.rows("/api/registrations") if "bob" in each["aor"]]
        self.assertEqual(restored["contact"], binding["contact"])
        self.assertEqual(await self.row(await self.whole_call(alice, moved)), ("answered", "caller"))
        await server.stop()
