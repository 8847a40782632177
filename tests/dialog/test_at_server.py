"""User agents that are phones of a real server, which stands between them as a back-to-back user agent."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.user_agent import Call, CallFailed, Network, RegistrationFailed, UserAgent
from gosip_py.media.sdp import direction
from tests.conformance import conforms
from tests.running import LOOPBACK, PHONE_PASSWORD, RunningServer, clock, serving, until

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n"


class Phone:
    """A user agent of one person, registered; it answers every call with a port of its own."""

    def __init__(self, server: RunningServer, name: str, port: int, password: str = PHONE_PASSWORD) -> None:
        self.sdp = SDP.format(port).encode()
        self.taken: list[Call] = []
        self.agent = UserAgent(
            clock(),
            f"sip:{name}@{LOOPBACK}",
            network=Network(listen=(f"udp://{LOOPBACK}:0",), outbound_proxy=f"sip:{LOOPBACK}:{server.sip_port}"),
            credentials=ClientCredentials(name, password),
        )
        self.agent.on_incoming_call = self.take
        self.agent.start()

    def take(self, call: Call) -> None:
        self.taken.append(call)
        call.ring()
        call.accept(self.sdp)

    def call(self, name: str) -> Deferred[Call]:
        return self.agent.make_call(f"sip:{name}@{LOOPBACK}", self.sdp).until_answered()


class ServerTests(TestCase):
    timeout = 120

    async def phones(self, server: RunningServer) -> list[Phone]:
        phones = []
        for at, name in enumerate(("alice", "bob", "carol")):
            await server.api.add_phone(name, call_schema="b2bua")
            phone = Phone(server, name, 4000 + 2 * at)
            phones.append(phone)
            await phone.agent.register(300)
        return phones

    async def finish(self, server: RunningServer, *phones: Phone) -> None:
        for phone in phones:
            await phone.agent.stop()

        async def calls() -> float:
            return await server.api.metric("gosip_calls_active")

        await until(calls, lambda count: count == 0)
        self.assertEqual(await server.api.rows("/api/registrations"), [])

    async def heard(self, call: Call, wanted: bytes) -> None:
        """Wait until the other side of the call describes itself so."""

        async def description() -> bytes:
            return call.remote_sdp

        await until(description, lambda sdp: wanted in sdp)

    @conforms("RFC 3261 22.2", "RFC 3261 22.3")
    async def test_a_wrong_password(self) -> None:
        async with serving(self) as server:
            await server.api.add_phone("alice", call_schema="b2bua")
            phone = Phone(server, "alice", 4000, "not this one")
            with self.assertRaisesRegex(RegistrationFailed, "401"):
                await phone.agent.register()
            with self.assertRaisesRegex(CallFailed, "407"):
                await phone.call("alice")
            await self.finish(server, phone)

    @conforms("RFC 5589 6.1", "RFC 5589 7.1", "RFC 3264 8.4")
    async def test_calls_hold_and_both_transfers(self) -> None:
        async with serving(self) as server:
            alice, bob, carol = await self.phones(server)
            call = await alice.call("bob")
            (bobs,) = bob.taken
            self.assertEqual(await call.hold(), 200)
            self.assertEqual(direction(bobs.remote_sdp), "sendonly")
            self.assertEqual(await call.resume(), 200)

            # Bob sends alice to carol.
            self.assertEqual(await bobs.send_refer(f"sip:carol@{LOOPBACK}"), 200)
            await bobs.hang_up()
            (carols,) = carol.taken
            await self.heard(call, b"m=audio 4004 ")
            await self.heard(carols, b"m=audio 4000 ")

            # Carol asks bob, and connects alice with him.
            other = await carol.call("bob")
            self.assertEqual(await carols.send_refer(f"sip:bob@{LOOPBACK}", other), 200)
            await other.until_over()
            await carols.hang_up()
            await self.heard(call, b"m=audio 4002 ")
            self.assertEqual(len(carol.agent.calls), 0)
            self.assertEqual(await call.hang_up(), 200)
            await self.finish(server, alice, bob, carol)
            rows = await server.api.rows("/api/call_journals")
            self.assertEqual([row["end_at"] for row in rows if row["end_at"] is None], [])
