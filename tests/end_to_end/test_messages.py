"""MESSAGE between real phones and the real server: at once, later, and after a restart (RFC 3428)."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Phone, Received, message
from tests.end_to_end.server import Server
from tests.end_to_end.test_methods import octets
from tests.running import LOOPBACK, until

TEXT = "See you at nine \u2615\r\n\r\n--\r\nA.".encode()
CPIM = b"From: <im:a@example.com>\r\nTo: <im:b@example.com>\r\n\r\nContent-Type: text/plain\r\n\r\n" + bytes(range(256))
STRANGER = "nobody.at.all"

_numbers = count(1)


class Message:
    """A MESSAGE on its way from a phone to somebody."""

    def __init__(
        self, phone: Phone, peer: str, body: bytes = TEXT, kind: str = "text/plain", headers: Any = (), end: str = ""
    ) -> None:
        self.phone = phone
        self.uri = f"sip:{peer}@{LOOPBACK}"
        self.call_id = f"message-{next(_numbers)}@{LOOPBACK}"
        self.from_ = f"<sip:{phone.user}@{LOOPBACK}>;tag=m{next(_numbers)}"
        self.body = body
        self.headers = (("Content-Type", kind), *headers)
        self._cseq = 0

    def ask(self, credentials: Any = ()) -> None:
        self._cseq += 1
        head = (
            ("Via", self.phone.via()),
            ("Max-Forwards", "70"),
            ("From", self.from_),
            ("To", f"<{self.uri}>"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} MESSAGE"),
            *self.headers,
            *credentials,
        )
        self.phone.send(octets(f"MESSAGE {self.uri} SIP/2.0", head, self.body))

    async def send(self) -> Received:
        """Ask, answer the challenge, ask again; the final response."""
        self.ask()
        challenge = await self.phone.expect(407, method="MESSAGE", call_id=self.call_id)
        self.ask(self.phone.credentials(challenge, "MESSAGE", self.uri))
        return await self.phone.final("MESSAGE", call_id=self.call_id)

    async def sent(self, status: int) -> None:
        answer = await self.send()
        if answer.status != status:
            raise AssertionError(f"{status} was expected: {answer} {answer.headers}")


def answer(phone: Phone, request: Received, status: int = 200) -> None:
    """Answer a request outside of a dialog."""
    kept = [(name, value) for name, value in request.headers if name in ("via", "from", "call-id", "cseq")]
    phone.send(message(f"SIP/2.0 {status} Said", *kept, ("To", f"{request['to']};tag=a{next(_numbers)}")))


async def hear(phone: Phone, status: int = 200) -> Received:
    """The next MESSAGE, answered so."""
    request = await phone.expect("MESSAGE")
    answer(phone, request, status)
    return request


async def waiting(server: Server, expected: float) -> None:
    """The gauge of what waits."""
    await until(lambda: server.api.metric("gosip_messages_waiting"), lambda value: value == expected)


class MessageTests(ServerCase):
    """After each test nothing waits."""

    async def tearDown(self) -> None:
        await waiting(self.server, 0.0)
        await super().tearDown()

    @conforms("RFC 3428 6")
    async def test_to_somebody_who_is_there(self) -> None:
        for transport in ("udp", "tcp"):
            alice, bob = await self.phone(transport), await self.phone(transport)
            sent = Message(alice, bob.user, CPIM, "message/cpim")
            sent.ask()
            challenge = await alice.expect(407, method="MESSAGE", call_id=sent.call_id)
            sent.ask(alice.credentials(challenge, "MESSAGE", sent.uri))
            got = await hear(bob)
            self.assertEqual((got.body, got["content-type"], got["from"]), (CPIM, "message/cpim", sent.from_))
            self.assertNotIn("proxy-authorization", dict(got.headers))
            await alice.expect(200, method="MESSAGE", call_id=sent.call_id)

    @conforms("RFC 3428 7")
    async def test_to_somebody_who_comes_later(self) -> None:
        for transport in ("udp", "tcp"):
            alice, bob = await self.phone(transport), await self.silent_phone(transport)
            sent = [Message(alice, bob.user, body) for body in (TEXT, CPIM, b"last")]
            for each in sent:
                await each.sent(202)
            await waiting(self.server, 3.0)
            await bob.register()
            for each in sent:
                got = await hear(bob)
                self.assertEqual((got.body, got["content-type"]), (each.body, "text/plain"))
                self.assertEqual((got["from"], got["to"]), (each.from_, f"<{each.uri}>"))
                self.assertTrue(got["date"].endswith("GMT"))
                self.assertEqual(got.uri, bob.contact)
            await waiting(self.server, 0.0)
            self.assertEqual(bob.heard("MESSAGE"), 3)

    @conforms("RFC 3428 7")
    async def test_a_phone_that_says_nothing(self) -> None:
        """The sender is told that it is kept; it is delivered when the phone is back, under a new contact."""
        alice, bob = await self.phone(), await self.phone()
        await bob.vanish()
        await Message(alice, bob.user).sent(202)
        await waiting(self.server, 1.0)
        again = await self.phone("udp", bob.user)
        self.assertEqual((await hear(again)).body, TEXT)

    async def test_a_phone_that_refuses_it(self) -> None:
        alice, bob = await self.phone(), await self.phone()
        sent = Message(alice, bob.user, CPIM, "message/cpim")
        sent.ask()
        challenge = await alice.expect(407, method="MESSAGE", call_id=sent.call_id)
        sent.ask(alice.credentials(challenge, "MESSAGE", sent.uri))
        await hear(bob, 415)
        await alice.expect(415, method="MESSAGE", call_id=sent.call_id)

    async def test_one_that_is_refused_later_is_dropped(self) -> None:
        alice, bob = await self.phone(), await self.silent_phone()
        await Message(alice, bob.user, CPIM, "message/cpim").sent(202)
        await bob.register()
        await hear(bob, 415)
        await waiting(self.server, 0.0)
        self.assertIn("was refused with 415", self.server.log)

    async def test_one_that_is_good_for_now_only(self) -> None:
        alice, bob = await self.phone(), await self.silent_phone()
        await Message(alice, bob.user, headers=(("Expires", "0"),)).sent(480)

    async def test_to_nobody(self) -> None:
        await Message(await self.phone(), STRANGER).sent(404)

    async def test_who_is_not_ours_leaves_nothing(self) -> None:
        """Only who signs in can have something kept."""
        alice, bob = await self.silent_phone(), await self.silent_phone()
        sent = Message(alice, bob.user)
        sent.ask()
        await alice.expect(407, method="MESSAGE", call_id=sent.call_id)
        await waiting(self.server, 0.0)

    async def test_what_it_says_is_not_logged(self) -> None:
        alice, bob = await self.phone(), await self.silent_phone()
        await Message(alice, bob.user, b"a secret that nobody reads").sent(202)
        await bob.register()
        await hear(bob)
        self.assertNotIn("a secret that", self.server.log)


@conforms("RFC 3428 7")
class RestartTests(TestCase):
    """What was accepted outlives the process, however it ends."""

    timeout = 120

    async def test_a_kill_right_after_the_202(self) -> None:
        server = Server({})
        await server.start()
        for user in ("alice", "bob"):
            await server.api.add_phone(user)
        alice, bob = Phone.udp(self, server.sip_port, "alice"), Phone.udp(self, server.sip_port, "bob")
        await alice.register()
        for text in (b"one", b"two"):
            await Message(alice, "bob", text).sent(202)
        await server.kill()
        await server.start()
        await waiting(server, 2.0)
        await bob.register()
        self.assertEqual([(await hear(bob)).body for _ in range(2)], [b"one", b"two"])
        await waiting(server, 0.0)
        await server.stop()

    async def test_a_phone_that_was_registered_before_gets_it_after_the_restart(self) -> None:
        """Its registration is restored, so nothing tells that it is there."""
        server = Server({})
        await server.start()
        for user in ("alice", "bob"):
            await server.api.add_phone(user)
        alice, bob = Phone.udp(self, server.sip_port, "alice"), Phone.udp(self, server.sip_port, "bob")
        await alice.register()
        await bob.register()
        sent = Message(alice, "bob", b"busy now")
        sent.ask()
        challenge = await alice.expect(407, method="MESSAGE", call_id=sent.call_id)
        sent.ask(alice.credentials(challenge, "MESSAGE", sent.uri))
        await hear(bob, 480)
        await alice.expect(202, method="MESSAGE", call_id=sent.call_id)
        await server.stop()
        await server.start()
        self.assertEqual((await hear(bob)).body, b"busy now")
        await waiting(server, 0.0)
        await server.stop()
