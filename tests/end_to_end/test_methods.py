"""Each method between real phones through the real server: in a call, before it is answered, and without one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

from tests.conformance import conforms
from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Leg, Phone, Received, message
from tests.running import LOOPBACK

OCTETS = bytes(range(256)) + b"\r\n\r\n\xff"
# What a proxy may change on the way: RFC 3261 16.6, RFC 5393 5.3, RFC 4028 8.
HOPS = frozenset(
    ("via", "max-breadth", "max-forwards", "min-se", "proxy-authorization", "record-route", "route", "session-expires")
)

_numbers = count(1)

Headers = Sequence[tuple[str, str]]


def octets(start: str, headers: Headers, body: bytes) -> bytes:
    """A message with a body of any kind."""
    bare = message(start, *headers)
    return bare.replace(b"Content-Length: 0", f"Content-Length: {len(body)}".encode()) + body


class Talk:
    """One phone's side of a dialog, whatever made it: asks and answers within it."""

    def __init__(self, phone: Phone, call_id: str, target: str, local: str, remote: str, routes: Sequence[str]) -> None:
        self.phone = phone
        self.call_id = call_id
        self.target = target
        self.local = local
        self.remote = remote
        self.routes = tuple(routes)
        self.number = 100

    @classmethod
    def of(cls, leg: Leg) -> Talk:
        """The dialog of a call."""
        return cls(leg.phone, leg.call_id, leg.target, leg.local, leg.remote, leg.routes)

    @classmethod
    def early(cls, leg: Leg, response: Received) -> Talk:
        """The caller's side, as a provisional response made it."""
        routes = tuple(reversed(response.all("record-route")))
        return cls(leg.phone, leg.call_id, contact_of(response), leg.local, response["to"], routes)

    def ask(self, method: str, headers: Headers = (), body: bytes = b"") -> bytes:
        """A request along the route set; its octets."""
        self.number += 1
        head = (
            ("Via", self.phone.via()),
            *(("Route", route) for route in self.routes),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.number} {method}"),
            ("Contact", f"<{self.phone.contact}>"),
            *headers,
        )
        sent = octets(f"{method} {self.target} SIP/2.0", head, body)
        self.phone.send(sent)
        return sent


def contact_of(received: Received) -> str:
    return str(re.findall("<(.*?)>", received["contact"])[0])


def respond(phone: Phone, request: Received, status: int, headers: Headers = (), body: bytes = b"") -> bytes:
    """Answer a request; its octets."""
    kept = [(name.title(), value) for name, value in request.headers if name in ("via", "from", "call-id", "cseq")]
    kept += [("Record-Route", value) for value in request.all("record-route")]
    to = request["to"] if ";tag=" in request["to"] else f"{request['to']};tag=m{next(_numbers)}"
    contact = ("Contact", f"<{phone.contact}>")
    sent = octets(f"SIP/2.0 {status} Said", (*kept, ("To", to), contact, *headers), body)
    phone.send(sent)
    return sent


def end_to_end(received: Received) -> list[tuple[str, str]]:
    """The headers that no hop may change."""
    return [pair for pair in received.headers if pair[0] not in HOPS]


class MethodCase(CallCase):
    """Requests with their answers, compared with what was sent."""

    def assert_carried(self, sent: bytes, got: Received) -> None:
        original = Received.read(sent)
        self.assertEqual(end_to_end(got), end_to_end(original))
        self.assertEqual(got.body, original.body)
        if got.status:
            self.assertEqual(got.start, original.start)
        else:
            self.assertEqual((len(got.all("via")), got["max-forwards"], got.all("route")), (2, "69", []))

    async def exchange(
        self, side: Talk, other: Phone, method: str, headers: Headers = (), body: bytes = OCTETS
    ) -> None:
        """A request of one side within its dialog, answered by the other with 200."""
        sent = side.ask(method, headers, body)
        got = await other.expect(method, call_id=side.call_id)
        self.assert_carried(sent, got)
        said = respond(other, got, 200, (("X-Answer", "1"),), OCTETS if method != "MESSAGE" else b"")
        self.assert_carried(said, await side.phone.expect(200, method=method, call_id=side.call_id))

    async def outside(self, phone: Phone, method: str, peer: str, headers: Headers = ()) -> tuple[str, str]:
        """A request that belongs to no dialog, its challenge answered; Call-ID and From."""
        uri, call_id = f"sip:{peer}@{LOOPBACK}", f"out-{next(_numbers)}@{LOOPBACK}"
        from_ = f"<sip:{phone.user}@{LOOPBACK}>;tag=o{next(_numbers)}"

        def ask(number: int, credentials: Headers = ()) -> None:
            head = (
                ("Via", phone.via()),
                ("Max-Forwards", "70"),
                ("From", from_),
                ("To", f"<{uri}>"),
                ("Call-ID", call_id),
                ("CSeq", f"{number} {method}"),
                ("Contact", f"<{phone.contact}>"),
                *headers,
                *credentials,
            )
            phone.send(octets(f"{method} {uri} SIP/2.0", head, OCTETS))

        ask(1)
        challenge = await phone.expect(407, method=method, call_id=call_id)
        ask(2, phone.credentials(challenge, method, uri))
        return call_id, from_

    async def phones(self, transport: str) -> tuple[Phone, Phone]:
        return await self.phone(transport), await self.phone(transport)


class InDialogTests(MethodCase):
    """While two people talk."""

    async def both_ways(self, method: str, *headers: tuple[str, str]) -> None:
        for transport in ("udp", "tcp"):
            calling, called = await self.talking(*await self.phones(transport))
            for side, other in ((calling, called), (called, calling)):
                talk = Talk.of(side)
                await self.exchange(talk, other.phone, method, headers)
                await self.exchange(talk, other.phone, method, headers)
            (session,) = await self.server.rows("/api/sessions", calling.call_id)
            self.assertEqual(session["state"], "active")
            calling._cseq = 200
            calling.bye()
            await called.hung_up_on()
            await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 6086 4.2.1")
    async def test_info(self) -> None:
        await self.both_ways("INFO", ("Info-Package", "dtmf"), ("Content-Type", "application/dtmf-relay"))

    @conforms("RFC 3311 5.1", "RFC 3311 5.2")
    async def test_update(self) -> None:
        await self.both_ways("UPDATE", ("Content-Type", "application/sdp"))

    @conforms("RFC 3515 2.6")
    async def test_refer(self) -> None:
        await self.both_ways("REFER", ("Refer-To", f"<sip:carol@{LOOPBACK}?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>"))

    @conforms("RFC 6665 4.3")
    async def test_notify(self) -> None:
        await self.both_ways("NOTIFY", ("Event", "refer"), ("Subscription-State", "active"))

    @conforms("RFC 3428 4")
    async def test_message(self) -> None:
        await self.both_ways("MESSAGE", ("Content-Type", "text/plain"))

    async def test_options(self) -> None:
        await self.both_ways("OPTIONS", ("Accept", "application/sdp"))

    @conforms("RFC 3261 16.3")
    async def test_a_method_that_nobody_knows(self) -> None:
        await self.both_ways("DANCE", ("Step", "left"), ("Require", "feet"))


class EarlyDialogTests(MethodCase):
    """While it rings."""

    async def early(self, transport: str) -> tuple[Leg, Leg, Talk]:
        """A call whose ringing is acknowledged."""
        caller, callee = await self.phones(transport)
        calling = await caller.call(callee.user, (("Supported", "100rel"),))
        called = await callee.called(calling.call_id)
        assert called.request is not None
        self.assertEqual(called.request["supported"].split(",")[0].strip(), "100rel")
        called.respond(183, (("Require", "100rel"), ("RSeq", "70000")))
        ringing = await calling.expect(183)
        self.assertEqual((ringing["require"], ringing["rseq"]), ("100rel", "70000"))
        talk = Talk.early(calling, ringing)
        await self.exchange(talk, callee, "PRACK", (("RAck", f"70000 {called.request['cseq']}"),))
        return calling, called, talk

    async def talk_and_hang_up(self, calling: Leg, called: Leg) -> None:
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        calling._cseq = 200
        calling.bye()
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3262 3", "RFC 3262 4")
    async def test_prack(self) -> None:
        for transport in ("udp", "tcp"):
            calling, called, talk = await self.early(transport)
            assert called.request is not None
            called.respond(180, (("Require", "100rel"), ("RSeq", "70001")))
            self.assertEqual((await calling.expect(180))["rseq"], "70001")
            await self.exchange(talk, called.phone, "PRACK", (("RAck", f"70001 {called.request['cseq']}"),))
            await self.talk_and_hang_up(calling, called)

    @conforms("RFC 3311 5.1", "RFC 3311 5.2")
    async def test_update_before_the_answer(self) -> None:
        for transport in ("udp", "tcp"):
            calling, called, talk = await self.early(transport)
            await self.exchange(talk, called.phone, "UPDATE", (("Content-Type", "application/sdp"),))
            await self.exchange(Talk.of(called), calling.phone, "UPDATE", (("Content-Type", "application/sdp"),))
            await self.talk_and_hang_up(calling, called)


class OutOfDialogTests(MethodCase):
    """Requests of their own."""

    @conforms("RFC 3261 11", "RFC 3261 16.3", "RFC 3261 22.3")
    async def test_options_and_a_method_that_nobody_knows(self) -> None:
        for transport in ("udp", "tcp"):
            alice, bob = await self.phones(transport)
            for method in ("OPTIONS", "DANCE"):
                call_id, from_ = await self.outside(alice, method, bob.user, (("X-Mark", "a"),))
                got = await bob.expect(method, call_id=call_id)
                self.assertEqual((got.body, got["from"], got["x-mark"]), (OCTETS, from_, "a"))
                self.assertEqual(got.all("proxy-authorization"), [])
                said = respond(bob, got, 200, (("Allow", "INVITE, DANCE"),), OCTETS)
                self.assert_carried(said, await alice.expect(200, method=method, call_id=call_id))

    async def subscribed(self, method: str, transport: str, headers: Headers) -> tuple[Talk, Talk]:
        """Both sides of the dialog that a request made."""
        alice, bob = await self.phones(transport)
        call_id, from_ = await self.outside(alice, method, bob.user, headers)
        got = await bob.expect(method, call_id=call_id)
        respond(bob, got, 202, (("Expires", "60"),))
        accepted = await alice.expect(202, method=method, call_id=call_id)
        routes = accepted.all("record-route")
        watching = Talk(alice, call_id, contact_of(accepted), from_, accepted["to"], tuple(reversed(routes)))
        watched = Talk(bob, call_id, contact_of(got), accepted["to"], from_, got.all("record-route"))
        return watching, watched

    async def notified(self, watched: Talk, watching: Talk, *headers: tuple[str, str]) -> None:
        """A NOTIFY that was asked for, which needs no credentials."""
        sent = watched.ask("NOTIFY", headers, OCTETS)
        got = await watching.phone.expect("NOTIFY", call_id=watched.call_id)
        self.assert_carried(sent, got)
        self.assertEqual(len(got.all("record-route")), 1)
        respond(watching.phone, got, 200)
        await watched.phone.expect(200, method="NOTIFY", call_id=watched.call_id)

    @conforms("RFC 6665 4.3")
    async def test_a_subscription_between_phones(self) -> None:
        for transport in ("udp", "tcp"):
            event = ("Event", "x-weather")
            watching, watched = await self.subscribed("SUBSCRIBE", transport, (event, ("Expires", "60")))
            await self.notified(watched, watching, event, ("Subscription-State", "active;expires=60"))
            await self.notified(watched, watching, event, ("Subscription-State", "terminated;reason=timeout"))

    @conforms("RFC 3515 2.6")
    async def test_refer_and_its_notifies(self) -> None:
        for transport in ("udp", "tcp"):
            refer = ("Refer-To", f"<sip:carol@{LOOPBACK}>")
            referring, referred = await self.subscribed("REFER", transport, (refer,))
            for state in ("active;expires=60", "terminated;reason=noresource"):
                await self.notified(referred, referring, ("Event", "refer"), ("Subscription-State", state))

    @conforms("RFC 3891 3", "RFC 3891 4", "RFC 3891 5", "RFC 3891 6.2")
    async def test_replaces_and_join_pass_untouched(self) -> None:
        for transport in ("udp", "tcp"):
            caller, callee = await self.phones(transport)
            for header in (("Replaces", "1@x;from-tag=a ;to-tag=b;early-only"), ("Join", "1@x;from-tag=a;to-tag=b")):
                calling = await caller.call(callee.user, (header, ("Require", header[0].lower())))
                called = await callee.called(calling.call_id)
                assert called.request is not None
                self.assertEqual(called.request[header[0].lower()], header[1])
                self.assertEqual(called.request["require"], header[0].lower())
                called.answer()
                await calling.answered()
                await called.expect("ACK")
                calling.bye()
                await called.hung_up_on()
                await self.assert_closed(calling.call_id, "answered", 200, "caller")

    @conforms("RFC 3261 15.1.2", "RFC 3262 3", "RFC 3311 5.2", "RFC 6086 4.2.1", "RFC 6665 4.1.3")
    async def test_what_belongs_to_a_dialog_and_names_none(self) -> None:
        alice, bob = await self.phones("udp")
        for method in ("BYE", "PRACK", "UPDATE", "INFO", "NOTIFY"):
            uri, own = f"sip:{bob.user}@{LOOPBACK}", f"<sip:{alice.user}@{LOOPBACK}>;tag=x"
            talk = Talk(alice, f"none-{method}@{LOOPBACK}", uri, own, f"<{uri}>", ())
            talk.ask(method)
            refusal = await alice.expect(481, method=method, call_id=talk.call_id)
            self.assertIn("dialog", refusal["warning"])
            self.assertEqual(bob.heard(method), 0)
