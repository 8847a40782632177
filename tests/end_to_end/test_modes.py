"""The mode in which somebody is called, changed over the API: it holds from the very next request on."""

from __future__ import annotations

from itertools import count
from typing import cast

from twisted.internet import reactor as default_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IListeningPort, IReactorUDP
from twisted.internet.protocol import DatagramProtocol

from tests.conformance import conforms
from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Leg, Phone, Received, message
from tests.running import LOOPBACK, PHONE_PASSWORD

_numbers = count(1)


class Answering(DatagramProtocol):
    """A phone that takes every call and every BYE, of whoever calls it directly."""

    def __init__(self) -> None:
        self.heard: list[Received] = []
        reactor = IReactorUDP(default_reactor)
        self.listening: IListeningPort = reactor.listenUDP(0, self, interface=LOOPBACK, maxPacketSize=65536)
        self.port = cast(IPv4Address, self.listening.getHost()).port
        self.uri = f"sip:direct@{LOOPBACK}:{self.port};transport=udp"

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        request = Received.read(datagram)
        self.heard.append(request)
        if request.method != "ACK":
            kept = [pair for pair in request.headers if pair[0] in ("via", "from", "call-id", "cseq")]
            to = request["to"] if ";tag=" in request["to"] else f"{request['to']};tag=direct"
            answer = message("SIP/2.0 200 OK", *kept, ("To", to), ("Contact", f"<{self.uri}>"))
            assert self.transport is not None
            self.transport.write(answer, addr)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.heard]


class ModeTests(CallCase):
    """Bob has two phones, and a login of another name than they have."""

    async def setUp(self) -> None:
        await super().setUp()
        api, number = self.server.api, next(_numbers)
        self.login = f"bob{number}"
        self.bob = await api.create("/api/users", {"login": self.login, "call_schema": "proxy"})
        self.desk, self.soft = [
            await self._device(f"bob{number}-{name}", transport)
            for name, transport in (("desk", "udp"), ("soft", "tcp"))
        ]
        await self.desk.register(parameters=";q=1.0")
        await self.soft.register(parameters=";q=0.4")
        self.caller = await self.phone()

    async def _device(self, name: str, transport: str) -> Phone:
        device = {"user_id": self.bob["id"], "name": name, "username": name, "password": PHONE_PASSWORD}
        await self.server.api.create("/api/devices", device)
        return await self.silent_phone(transport, name)

    async def serve_as(self, schema: str) -> None:
        path = f"/api/users/{self.bob['id']}"
        status, text = await self.server.api.ask("PATCH", path, {"call_schema": schema})
        self.assertEqual(status, 200, text)

    async def rings(self, peer: str) -> None:
        """His desk phone rings, by way of the server, and the call is answered and over."""
        calling = await self.caller.call(peer)
        called = await self.desk.called(calling.call_id)
        assert called.request is not None
        self.assertEqual((len(called.request.all("via")), len(called.routes)), (2, 1))
        await self.talk(calling, called)

    async def rings_for_the_switch(self, peer: str) -> None:
        """His desk phone rings by a call of the server's own; of the caller's nothing is seen there."""
        calling = await self.caller.call(peer)
        called = await self.desk.called()
        assert called.request is not None
        self.assertNotEqual(called.call_id, calling.call_id)
        self.assertEqual((len(called.request.all("via")), len(called.routes)), (1, 0))
        await self.talk(calling, called)

    async def talk(self, calling: Leg, called: Leg) -> None:
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        await self.ends(calling, called)

    async def ends(self, calling: Leg, called: Leg) -> None:
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def is_redirected(self, peer: str, *phones: Phone) -> Received:
        """The 302 names these phones, none of them hears of it, and the books know the call."""
        invites = self.desk.heard("INVITE"), self.soft.heard("INVITE")
        calling = await self.caller.call(peer)
        answer = await calling.refused(302)
        q = {self.desk.user: "1", self.soft.user: "0.4"}
        self.assertEqual(answer.all("contact"), [f"<{phone.contact}>;q={q[phone.user]}" for phone in phones])
        row = await self.assert_closed(calling.call_id, "redirected", 302, "system")
        self.assertEqual((row["callee_user"], row["ring_ms"], row["answer_at"]), (self.login, None, None))
        self.assertEqual(await self.server.rows("/api/sessions", calling.call_id), [])
        self.assertEqual((self.desk.heard("INVITE"), self.soft.heard("INVITE")), invites)
        return answer

    async def asked(self, method: str, headers: tuple[tuple[str, str], ...] = ()) -> Received:
        """The final response to a request that is no call, sent with credentials."""
        leg = Leg(self.caller, f"{method}-{next(_numbers)}@{LOOPBACK}", f"sip:{self.login}@{LOOPBACK}")
        leg.local, leg.remote = f"<sip:{self.caller.user}@{LOOPBACK}>;tag=x", f"<{leg.target}>"
        headers = (("Contact", f"<{self.caller.contact}>"), *headers)
        leg._send(method, 1, "", headers)
        challenge = await self.caller.final(method, call_id=leg.call_id)
        leg._send(method, 2, "", (*headers, *self.caller.credentials(challenge, method, leg.target)))
        return await self.caller.final(method, call_id=leg.call_id)

    @conforms("RFC 3261 8.3", "RFC 3261 21.3.3")
    async def test_the_very_next_call(self) -> None:
        """In each mode and back, by his own name and by that of a phone."""
        for schema in ("redirect", "proxy", "redirect", "b2bua", "redirect"):
            await self.serve_as(schema)
            if schema == "redirect":
                await self.is_redirected(self.login, self.desk, self.soft)
                await self.is_redirected(self.soft.user, self.soft)
            elif schema == "proxy":
                await self.rings(self.login)
            else:
                await self.rings_for_the_switch(self.login)

    @conforms("RFC 3261 8.3", "RFC 3261 13.3.1.2")
    async def test_the_caller_calls_the_contact(self) -> None:
        """That call goes from phone to phone: the server hears nothing of it."""
        elsewhere = Answering()
        self.addCleanup(elsewhere.listening.stopListening)
        await self.desk.register(expires=0)
        await self.soft.register(expires=0)
        await self.desk.register(contact=elsewhere.uri)
        await self.serve_as("redirect")
        calling = await self.caller.call(self.login)
        (contact,) = (await calling.refused(302)).all("contact")
        self.assertEqual(contact, f"<{elsewhere.uri}>;q=1")

        direct = Phone.udp(self, elsewhere.port, self.caller.user)
        leg = Leg(direct, f"direct-{next(_numbers)}@{LOOPBACK}", elsewhere.uri)
        leg.local, leg.remote = f"<sip:{direct.user}@{LOOPBACK}>;tag=d", f"<sip:{self.login}@{LOOPBACK}>"
        leg.invite()
        await leg.answered()
        await leg.hang_up()
        self.assertEqual(elsewhere.methods, ["INVITE", "ACK", "BYE"])
        self.assertEqual(len(elsewhere.heard[0].all("via")), 1)
        self.assertEqual(await self.server.rows("/api/call_journals", leg.call_id), [])

    @conforms("RFC 3261 8.3")
    async def test_what_else_is_asked_of_somebody_who_redirects(self) -> None:
        """But not what the server answers itself: the state that it knows of them."""
        await self.serve_as("redirect")
        weather = (("Event", "x-weather"), ("Expires", "600"))
        for method, headers in (("MESSAGE", ()), ("OPTIONS", ()), ("SUBSCRIBE", weather), ("REFER", ()), ("DANCE", ())):
            answer = await self.asked(method, headers)
            self.assertEqual((answer.status, len(answer.all("contact"))), (302, 2), method)
            self.assertEqual((self.desk.heard(method), self.soft.heard(method)), (0, 0))
        answer = await self.asked("SUBSCRIBE", (("Event", "dialog"), ("Expires", "0")))
        self.assertEqual(answer.status, 200)
        await self.caller.expect("NOTIFY")

    async def test_what_goes_on_goes_on(self) -> None:
        """A change is for new calls: one that rings is answered, and in one that was answered all travels as before."""
        calling, called = await self.ringing_at_the_desk()
        await self.serve_as("redirect")
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        calling._cseq += 1
        calling._send("INFO", calling._cseq, "")
        called.respond(200, request=await called.expect("INFO"))
        await calling.expect(200, "INFO")
        await self.ends(calling, called)
        await self.is_redirected(self.login, self.desk, self.soft)

    async def ringing_at_the_desk(self) -> tuple[Leg, Leg]:
        calling = await self.caller.call(self.login)
        called = await self.desk.called(calling.call_id)
        called.respond(180)
        await calling.expect(180)
        return calling, called
