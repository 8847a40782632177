"""Phones that watch each other over real sockets: lamps, registrations and presence."""

from __future__ import annotations

import re
from itertools import count
from typing import ClassVar
from xml.etree.ElementTree import Element, fromstring

from tests.conformance import conforms
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Leg, Phone, Received, message
from tests.running import LOOPBACK, Settings, until

DIALOG = "{urn:ietf:params:xml:ns:dialog-info}"
PIDF = "{urn:ietf:params:xml:ns:pidf}"
REGINFO = "{urn:ietf:params:xml:ns:reginfo}"

_numbers = count(1)


class Subscriber:
    """A phone's side of one subscription, or of its PUBLISH requests; it answers challenges and takes what is asked."""

    def __init__(self, phone: Phone, peer: str, event: str) -> None:
        self.phone = phone
        self.event = event
        self.target = f"sip:{peer}@{LOOPBACK}"
        self.call_id = f"watch-{next(_numbers)}@{LOOPBACK}"
        self.local = f"<sip:{phone.user}@{LOOPBACK}>;tag=w{next(_numbers)}"
        self.remote = f"<{self.target}>"
        self._cseq = 0

    async def ask(
        self, method: str, headers: tuple[tuple[str, str], ...] = (), kind: str = "", body: bytes = b""
    ) -> Received:
        """Send a request, once more with credentials when they are asked for; the final response."""
        credentials: tuple[tuple[str, str], ...] = ()
        while True:
            self._cseq += 1
            request = message(
                f"{method} {self.target} SIP/2.0", *self._lines(method), *headers, *credentials, body=body
            )
            self.phone.send(request.replace(b"application/sdp", kind.encode()))
            answer = await self.phone.final(method, call_id=self.call_id)
            if answer.status not in (401, 407) or credentials:
                return answer
            credentials = tuple(self.phone.credentials(answer, method, self.target))

    def _lines(self, method: str) -> list[tuple[str, str]]:
        """The headers that each request has."""
        return [
            ("Via", self.phone.via()),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Contact", f"<{self.phone.contact}>"),
            ("Event", self.event),
        ]

    async def subscribe(self, expires: int = 600) -> Element | None:
        """SUBSCRIBE, or refresh; the document of the NOTIFY that follows."""
        answer = await self.ask("SUBSCRIBE", (("Expires", str(expires)),))
        assert answer.status == 200, answer
        self.remote = answer["to"]
        self.target = re.findall("<(.*?)>", answer["contact"])[0]
        return await self.told()

    async def told(self, state: str = "") -> Element | None:
        """The document of the next NOTIFY, None without one; it is answered."""
        notify = await self.notified()
        assert state in notify["subscription-state"], notify.headers
        return fromstring(notify.body) if notify.body else None

    async def notified(self) -> Received:
        """The next NOTIFY, answered with 200."""
        notify = await self.phone.expect("NOTIFY", call_id=self.call_id)
        kept = [(name, value) for name, value in notify.headers if name in ("via", "from", "to", "call-id", "cseq")]
        self.phone.send(message("SIP/2.0 200 OK", *kept))
        return notify


def lamp(document: Element | None) -> list[str | None]:
    """The states of the dialogs in a document."""
    assert document is not None
    return [each.findtext(f"{DIALOG}state") for each in document.findall(f"{DIALOG}dialog")]


def basic(document: Element | None) -> str | None:
    """The status of the first tuple of a presence document."""
    assert document is not None
    return document.findtext(f"{PIDF}tuple/{PIDF}status/{PIDF}basic")


class NotifierCase(ServerCase):
    over: ClassVar[Settings] = {}

    async def nobody_watches(self, seconds: float = 10.0) -> None:
        await until(lambda: self.server.api.metric("gosip_subscriptions"), lambda value: value == 0.0, seconds)


class LampTests(NotifierCase):
    async def lamp_follows_a_call(self, transport: str) -> None:
        alice, carol, bob = await self.phone(), await self.phone(), await self.phone(transport)
        watching = Subscriber(bob, alice.user, "dialog")
        self.assertEqual(lamp(await watching.subscribe()), [])
        calling = await alice.call(carol.user)
        called = await carol.called(calling.call_id)
        called.respond(180)
        await calling.expect(180)
        document = await watching.told("active")
        if lamp(document) == ["trying"]:
            document = await watching.told("active")
        self.assertEqual(lamp(document), ["early"])
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        self.assertEqual(lamp(await watching.told("active")), ["confirmed"])
        await self.hang_up(calling, called)
        self.assertEqual(lamp(await watching.told("active")), ["terminated"])
        self.assertIsNotNone(await watching.subscribe(0))
        await self.nobody_watches()

    async def hang_up(self, side: Leg, other: Leg) -> None:
        side.bye()
        await other.hung_up_on()
        await side.expect(200, "BYE")

    @conforms("RFC 4235 3.7.1", "RFC 6665 4.2.2", "RFC 6665 4.2.1", "RFC 6665 4.4.1")
    async def test_over_udp(self) -> None:
        await self.lamp_follows_a_call("udp")

    async def test_over_tcp(self) -> None:
        await self.lamp_follows_a_call("tcp")

    async def test_a_phone_that_vanished_is_told_nothing_more(self) -> None:
        alice, bob = await self.phone(), await self.phone()
        await Subscriber(bob, alice.user, "presence").subscribe()
        self.assertEqual(await self.server.api.metric("gosip_subscriptions"), 1.0)
        await bob.vanish()
        await alice.register(0)
        await self.nobody_watches(20.0)


class PackageTests(NotifierCase):
    @conforms("RFC 3680 4.7.1", "RFC 6665 4.4.3")
    async def test_registrations_of_one_s_own(self) -> None:
        alice, bob = await self.phone(), await self.phone()
        watching = Subscriber(alice, alice.user, "reg")
        document = await watching.subscribe()
        assert document is not None
        (contact,) = document.iter(f"{REGINFO}contact")
        self.assertEqual(contact.findtext(f"{REGINFO}uri"), alice.contact)
        await alice.register(0)
        document = await watching.told("active")
        assert document is not None
        (contact,) = document.iter(f"{REGINFO}contact")
        self.assertEqual((contact.get("state"), contact.get("event")), ("terminated", "unregistered"))
        await watching.subscribe(0)
        refused = await Subscriber(bob, alice.user, "reg").ask("SUBSCRIBE", (("Expires", "600"),))
        self.assertEqual(refused.status, 403)
        await self.nobody_watches()

    @conforms("RFC 3903 6", "RFC 3856 6.7")
    async def test_presence_is_published_and_watched(self) -> None:
        alice, bob = await self.phone(), await self.phone("tcp")
        watching = Subscriber(bob, alice.user, "presence")
        self.assertEqual(basic(await watching.subscribe()), "open")
        publishing = Subscriber(alice, alice.user, "presence")
        body = (
            f'<presence xmlns="{PIDF[1:-1]}" entity="sip:{alice.user}@{LOOPBACK}">'
            '<tuple id="a"><status><basic>closed</basic></status><note>Gone fishing</note></tuple></presence>'
        ).encode()
        answer = await publishing.ask("PUBLISH", (("Expires", "600"),), "application/pidf+xml", body)
        self.assertEqual(answer.status, 200)
        self.assertEqual(await self.server.api.metric("gosip_publications"), 1.0)
        document = await watching.told("active")
        assert document is not None
        self.assertEqual(basic(document), "closed")
        self.assertEqual(document.findtext(f"{PIDF}tuple/{PIDF}note"), "Gone fishing")
        tag = (("SIP-If-Match", answer["sip-etag"]), ("Expires", "0"))
        self.assertEqual((await publishing.ask("PUBLISH", tag)).status, 200)
        self.assertEqual((await publishing.ask("PUBLISH", tag)).status, 412)
        self.assertEqual(basic(await watching.told("active")), "open")
        await watching.subscribe(0)
        self.assertEqual(await self.server.api.metric("gosip_publications"), 0.0)
        await self.nobody_watches()

    @conforms("RFC 6665 8.3.2")
    async def test_what_nobody_here_can_tell(self) -> None:
        alice, bob = await self.phone(), await self.phone()
        at_server = Subscriber(bob, "", "presence")
        at_server.target = f"sip:{LOOPBACK}:{self.server.sip_port}"
        at_server.remote = f"<{at_server.target}>"
        self.assertEqual((await at_server.ask("SUBSCRIBE")).status, 489)
        publishing = await Subscriber(alice, alice.user, "dialog").ask("PUBLISH", (), "application/x", b"x")
        self.assertEqual((publishing.status, publishing["allow-events"]), (489, "presence"))
        brief = await Subscriber(bob, alice.user, "dialog").ask("SUBSCRIBE", (("Expires", "1"),))
        self.assertEqual((brief.status, brief["min-expires"]), (423, "60"))


class StopTests(NotifierCase):
    over: ClassVar[Settings] = {}

    @conforms("RFC 6665 4.1.3", "RFC 6665 4.4.1")
    async def test_the_subscribers_hear_that_the_server_stops(self) -> None:
        alice, bob = await self.phone(), await self.phone()
        watching = Subscriber(bob, alice.user, "presence")
        await watching.subscribe()
        stopped = self.server.stopping()
        notify = await watching.notified()
        self.assertEqual(notify["subscription-state"], "terminated;reason=probation;retry-after=10")
        await stopped
        await self.server.start()
        gone = await watching.ask("SUBSCRIBE", (("Expires", "600"),))
        self.assertEqual(gone.status, 481)
