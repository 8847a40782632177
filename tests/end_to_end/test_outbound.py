"""Several flows of a phone, GRUUs, routes to the service and keep-alives, with the real server over real sockets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from struct import unpack_from
from typing import ClassVar, cast

from twisted.internet import reactor as default_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Leg, Phone, Received, message
from tests.end_to_end.server import Server
from tests.end_to_end.test_methods import Talk, contact_of, respond
from tests.running import LOOPBACK, Settings, clock, until

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"
WEATHER = (("Event", "x-weather"), ("Expires", "60"))
STATE = (("Event", "x-weather"), ("Subscription-State", "active;expires=60"))

_numbers = count(1)

Headers = Sequence[tuple[str, str]]


class NatPhone(Phone):
    """One that believes to have a private address."""

    @property
    def contact(self) -> str:
        return f"sip:{self.user}@10.0.0.7:5060;transport={self.transport}"

    def via(self, branch: str = "") -> str:
        branch = branch or f"z9hG4bK-nat-{self.port}-{next(_numbers)}"
        return f"SIP/2.0/{self.transport.upper()} 10.0.0.7:5060;branch={branch};rport"


class Asking:
    """Requests of a phone that belong to no dialog, their challenges answered."""

    def __init__(self, phone: Phone, method: str, uri: str, to: str, headers: Headers = ()) -> None:
        self.phone = phone
        self.method = method
        self.uri = uri
        self.to = to
        self.headers = tuple(headers)
        self.call_id = f"ask-{next(_numbers)}@{LOOPBACK}"
        self.from_ = f"<sip:{phone.user}@{LOOPBACK}>;tag=o{next(_numbers)}"
        self._number = 0

    def send(self, credentials: Headers = ()) -> None:
        self._number += 1
        self.phone.send(
            message(
                f"{self.method} {self.uri} SIP/2.0",
                ("Via", self.phone.via()),
                ("Max-Forwards", "70"),
                ("From", self.from_),
                ("To", self.to),
                ("Call-ID", self.call_id),
                ("CSeq", f"{self._number} {self.method}"),
                *self.headers,
                *credentials,
            )
        )

    def heard(self, status: int) -> Deferred[Received]:
        return self.phone.expect(status, method=self.method, call_id=self.call_id)

    async def signed(self, challenge: int = 407) -> None:
        """Ask, and ask again with credentials."""
        self.send()
        self.send(self.phone.credentials(await self.heard(challenge), self.method, self.uri))


class Registration:
    """The registrations of a phone under one Call-ID, with the parameters of its Contact."""

    def __init__(self, phone: Phone, parameters: str, headers: Headers = ()) -> None:
        own = f"<sip:{phone.user}@{LOOPBACK}>"
        contact = ("Contact", f"<{phone.contact}>{parameters}")
        self._asking = Asking(phone, "REGISTER", f"sip:{LOOPBACK}", own, (contact, ("Expires", "600"), *headers))

    async def renew(self) -> Received:
        """The 200."""
        await self._asking.signed(401)
        return await self._asking.heard(200)


def flow(phone: Phone, reg_id: int) -> Registration:
    parameters = f';reg-id={reg_id};+sip.instance="{INSTANCE}"'
    return Registration(phone, parameters, (("Supported", "path, outbound, gruu"),))


def gruu(kind: str, answer: Received, at: int = 0) -> str:
    """The GRUU that a 200 gives for its contact."""
    contacts = [value for name, value in answer.headers if name == "contact"]
    return re.findall(f'{kind}-gruu="(.*?)"', contacts[at])[0]


async def registrations(server: Server, user: str) -> int:
    """How many contacts the page shows for somebody."""
    page = await server.api.read(f"/api/registrations?search={user}@")
    return len(page["data"])


async def call(phone: Phone, uri: str) -> Leg:
    """An INVITE to any URI, its challenge answered."""
    leg = Leg(phone, f"gruu-{next(_numbers)}@{LOOPBACK}", uri)
    leg.local = f"<sip:{phone.user}@{LOOPBACK}>;tag=g{next(_numbers)}"
    leg.remote = f"<{uri}>"
    leg.invite()
    challenge = await leg.expect(407)
    leg.ack(challenge)
    leg.invite(phone.credentials(challenge, "INVITE", uri))
    return leg


async def subscribed(watcher: Phone, watched: Phone, uri: str) -> tuple[Talk, Talk]:
    """Both sides of a subscription to what only phones know about."""
    asking = Asking(watcher, "SUBSCRIBE", uri, f"<{uri}>", (("Contact", f"<{watcher.contact}>"), *WEATHER))
    await asking.signed()
    got = await watched.expect("SUBSCRIBE", call_id=asking.call_id)
    respond(watched, got, 200, (("Expires", "60"),))
    answer = await asking.heard(200)
    routes = answer.all("record-route")
    return (
        Talk(watcher, asking.call_id, contact_of(answer), asking.from_, answer["to"], tuple(reversed(routes))),
        Talk(watched, asking.call_id, contact_of(got), answer["to"], asking.from_, got.all("record-route")),
    )


async def notified(notifier: Talk, watcher: Talk, *, is_forgotten: bool = False) -> Received:
    """A NOTIFY as it arrived; the notifier must say who it is when nobody remembers that it was asked."""
    notifier.ask("NOTIFY", STATE)
    if is_forgotten:
        challenge = await notifier.phone.expect(407, method="NOTIFY", call_id=notifier.call_id)
        notifier.ask("NOTIFY", (*STATE, *notifier.phone.credentials(challenge, "NOTIFY", notifier.target)))
    got = await watcher.phone.expect("NOTIFY", call_id=watcher.call_id)
    respond(watcher.phone, got, 200)
    await notifier.phone.expect(200, method="NOTIFY", call_id=notifier.call_id)
    return got


class FlowTests(ServerCase):
    """A phone with two connections."""

    async def flows(self) -> tuple[Phone, Phone]:
        first = await self.silent_phone("tcp")
        second = await Phone.tcp(self, self.server.sip_port, first.user)
        for reg_id, phone in ((1, first), (2, second)):
            answer = await flow(phone, reg_id).renew()
            self.assertEqual((answer["require"], answer["flow-timer"]), ("outbound", "120"))
            self.assertEqual(len([name for name, _ in answer.headers if name == "contact"]), reg_id)
        return first, second

    async def talk(self, caller: Phone, callee: Phone) -> None:
        calling = await caller.call(callee.user)
        called = await callee.called(calling.call_id)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")

    @conforms("RFC 5626 7")
    async def test_a_call_rings_on_the_latest_flow_only(self) -> None:
        caller = await self.phone()
        first, second = await self.flows()
        await self.talk(caller, second)
        self.assertEqual(first.heard("INVITE"), 0)

    @conforms("RFC 5626 7")
    async def test_the_other_flow_when_one_is_gone(self) -> None:
        caller = await self.phone()
        first, second = await self.flows()
        await second.vanish()
        await self.talk(caller, first)
        self.assertEqual(await registrations(self.server, first.user), 1)

    @conforms("RFC 5626 6")
    async def test_a_flow_that_comes_back_takes_its_own_place(self) -> None:
        caller = await self.phone()
        first, second = await self.flows()
        again = await Phone.tcp(self, self.server.sip_port, first.user)
        answer = await flow(again, 2).renew()
        self.assertEqual(len([name for name, _ in answer.headers if name == "contact"]), 2)
        await self.talk(caller, again)
        self.assertEqual(second.heard("INVITE"), 0)


class GruuTests(ServerCase):
    async def phones(self) -> tuple[Phone, Phone, Phone]:
        """A caller, a phone with an instance, and another phone of the same person."""
        caller, other = await self.phone(), await self.phone()
        return caller, await self.silent_phone("udp", other.user), other

    def instance(self, phone: Phone) -> Registration:
        return Registration(phone, f';+sip.instance="{INSTANCE}"', (("Supported", "gruu"),))

    async def answered(self, caller: Phone, callee: Phone, uri: str) -> None:
        calling = await call(caller, uri)
        called = await callee.called(calling.call_id)
        assert called.request is not None
        self.assertEqual(called.request.uri, callee.contact)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        calling.bye()
        await called.hung_up_on()
        await calling.expect(200, "BYE")

    @conforms("RFC 5627 6.1")
    async def test_one_phone_of_a_person_is_called(self) -> None:
        caller, phone, other = await self.phones()
        answer = await self.instance(phone).renew()
        at = len(answer.all("contact")) - 1
        for kind in ("pub", "temp"):
            await self.answered(caller, phone, gruu(kind, answer, at))
        self.assertEqual(other.heard("INVITE"), 0)

    @conforms("RFC 5627 5.1", "RFC 5627 6.1")
    async def test_temporary_ones_live_as_long_as_the_call_id(self) -> None:
        caller, phone, _ = await self.phones()
        registration = self.instance(phone)
        first = await registration.renew()
        second = await registration.renew()
        at = len(first.all("contact")) - 1
        self.assertNotEqual(gruu("temp", first, at), gruu("temp", second, at))
        for answer in (first, second):
            await self.answered(caller, phone, gruu("temp", answer, at))
        third = await self.instance(phone).renew()
        for answer in (first, second):
            await (await call(caller, gruu("temp", answer, at))).refused(404)
        await self.answered(caller, phone, gruu("temp", third, at))

    @conforms("RFC 5627 5.3", "RFC 5627 6.1")
    async def test_a_phone_that_left(self) -> None:
        caller, phone, _ = await self.phones()
        answer = await self.instance(phone).renew()
        at = len(answer.all("contact")) - 1
        gone = Registration(phone, f';+sip.instance="{INSTANCE}";expires=0')
        await gone.renew()
        await (await call(caller, gruu("pub", answer, at))).refused(480)
        await (await call(caller, gruu("temp", answer, at))).refused(404)


class NatTests(ServerCase):
    async def nat_phone(self, transport: str, user: str = "") -> NatPhone:
        if not user:
            user = f"nat{next(_numbers)}"
            await self.server.api.add_phone(user)
        if transport == "udp":
            return NatPhone.udp(self, self.server.sip_port, user)  # type: ignore[return-value]  # made by its class
        return await NatPhone.tcp(self, self.server.sip_port, user)  # type: ignore[return-value]  # as above

    @conforms("RFC 5626 5.3", "RFC 6665 4.3")
    async def test_a_notify_reaches_a_watcher_behind_a_nat(self) -> None:
        watched = await self.phone()
        for transport in ("udp", "tcp"):
            watcher = await self.nat_phone(transport)
            watching, notifying = await subscribed(watcher, watched, f"sip:{watched.user}@{LOOPBACK}")
            got = await notified(notifying, watching)
            self.assertEqual((got.uri, got.all("route")), (watcher.contact, []))

    @conforms("RFC 5626 5.3")
    async def test_a_refresh_reaches_a_phone_behind_a_nat(self) -> None:
        watcher = await self.phone()
        for transport in ("udp", "tcp"):
            watched = await self.nat_phone(transport)
            await watched.register()
            watching, notifying = await subscribed(watcher, watched, f"sip:{watched.user}@{LOOPBACK}")
            await notified(notifying, watching)
            watching.ask("SUBSCRIBE", WEATHER)
            challenge = await watcher.expect(407, method="SUBSCRIBE", call_id=watching.call_id)
            watching.ask("SUBSCRIBE", (*WEATHER, *watcher.credentials(challenge, "SUBSCRIBE", watching.target)))
            got = await watched.expect("SUBSCRIBE", call_id=watching.call_id)
            self.assertEqual((got.uri, got.all("route")), (watched.contact, []))
            respond(watched, got, 200, (("Expires", "60"),))
            await watcher.expect(200, method="SUBSCRIBE", call_id=watching.call_id)

    @conforms("RFC 5626 5.3.1")
    async def test_a_flow_that_is_gone_and_one_that_was_made_up(self) -> None:
        watched = await self.phone()
        watcher = await self.nat_phone("tcp")
        _, notifying = await subscribed(watcher, watched, f"sip:{watched.user}@{LOOPBACK}")
        await watcher.vanish()
        for routes, status in (
            (notifying.routes, 430),
            (tuple(route.replace("flow.", "flow.AAAA") for route in notifying.routes), 403),
        ):
            notifying.routes = routes
            notifying.ask("NOTIFY", STATE)
            await watched.expect(status, method="NOTIFY", call_id=notifying.call_id)

    async def test_calls_between_two_nats(self) -> None:
        caller, callee = await self.nat_phone("udp"), await self.nat_phone("tcp")
        await callee.register()
        calling = await caller.call(callee.user)
        called = await callee.called(calling.call_id)
        called.answer()
        await calling.answered()
        await called.expect("ACK")
        called.bye()
        await calling.hung_up_on()
        await called.expect(200, "BYE")


class Stun(DatagramProtocol):
    """Asks once, and keeps the answer."""

    def __init__(self) -> None:
        self.answered: Deferred[bytes] = Deferred()

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.answered.callback(datagram)


class StunTests(ServerCase):
    @conforms("RFC 5626 8", "RFC 8489 14.2")
    async def test_the_sip_port_tells_a_phone_its_address(self) -> None:
        asking = Stun()
        port = IReactorUDP(default_reactor).listenUDP(0, asking, interface=LOOPBACK, maxPacketSize=2048)
        self.addCleanup(port.stopListening)
        transaction = bytes(range(12))
        assert asking.transport is not None
        asking.transport.write(b"\0\1\0\0\x21\x12\xa4\x42" + transaction, (LOOPBACK, self.server.sip_port))
        octets = await asking.answered.addTimeout(5, clock())
        kind, length, cookie = unpack_from("!HHI", octets)
        self.assertEqual((kind, length, cookie, octets[8:20]), (0x0101, 12, 0x2112A442, transaction))
        number, size, family, x_port, x_address = unpack_from("!HHHHI", octets, 20)
        self.assertEqual((number, size, family), (0x0020, 8, 1))
        self.assertEqual(x_port ^ 0x2112, cast(IPv4Address, port.getHost()).port)
        self.assertEqual(x_address ^ 0x2112A442, 0x7F000001)


class OptionsTests(ServerCase):
    """Other options than the defaults."""

    over: ClassVar[Settings] = {
        "registrar": {
            "service_route": [f"sip:{LOOPBACK};lr"],
            "flow_timer": 0,
            "keepalive": "options",
            "keepalive_seconds": 1,
        }
    }
    _shared: ClassVar[Server | None] = None

    @conforms("RFC 3608 6.1", "RFC 3608 6.3")
    async def test_a_service_route_is_given_and_may_be_taken(self) -> None:
        alice, bob = await self.silent_phone(), await self.phone()
        answer = await Registration(alice, "").renew()
        route = answer["service-route"]
        self.assertEqual(route, f"<sip:{LOOPBACK};lr>")
        port_route = route.replace(";lr", f":{self.server.sip_port};lr")
        asking = Asking(
            alice, "OPTIONS", f"sip:{bob.user}@{LOOPBACK}", f"<sip:{bob.user}@{LOOPBACK}>", (("Route", port_route),)
        )
        await asking.signed()
        got = await bob.expect("OPTIONS", call_id=asking.call_id)
        self.assertEqual(got.all("route"), [])
        respond(bob, got, 200)
        await asking.heard(200)

    async def test_no_flow_timer(self) -> None:
        phone = await self.silent_phone("tcp")
        answer = await flow(phone, 1).renew()
        self.assertNotIn("flow-timer", dict(answer.headers))

    async def test_a_phone_behind_a_nat_is_asked_whether_it_is_there(self) -> None:
        user = f"nat{next(_numbers)}"
        await self.server.api.add_phone(user)
        phone = NatPhone.udp(self, self.server.sip_port, user)
        await phone.register()
        for _ in range(2):
            respond(phone, await phone.expect("OPTIONS"), 200)

        # from now on it is silent
        self.assertEqual(await registrations(self.server, user), 1)
        await until(lambda: registrations(self.server, user), lambda found: found == 0, 30.0)


class PingTests(ServerCase):
    over: ClassVar[Settings] = {"registrar": {"keepalive_seconds": 0.5}}
    _shared: ClassVar[Server | None] = None

    async def test_line_ends_keep_the_way_through_a_nat_open(self) -> None:
        user = f"nat{next(_numbers)}"
        await self.server.api.add_phone(user)
        phone, plain = NatPhone.udp(self, self.server.sip_port, user), await self.phone()
        await phone.register()

        async def pings() -> int:
            return phone.heard("\r\n\r\n")

        await until(pings, lambda found: found >= 3, 10.0)
        self.assertEqual(plain.heard("\r\n\r\n"), 0)


class RestartTests(TestCase):
    """What a phone was told holds after a restart."""

    timeout = 120

    async def setUp(self) -> None:
        self.server = Server({})
        await self.server.start()
        for user in ("alice", "bob"):
            await self.server.api.add_phone(user)

    async def restart(self) -> None:
        await self.server.stop()
        await self.server.start()

    @conforms("RFC 5627 5.4")
    async def test_gruus(self) -> None:
        alice, bob = (Phone.udp(self, self.server.sip_port, user) for user in ("alice", "bob"))
        await alice.register()
        registration = Registration(bob, f';+sip.instance="{INSTANCE}"', (("Supported", "gruu"),))
        answer = await registration.renew()
        await self.restart()
        for kind in ("temp", "pub"):
            calling = await call(alice, gruu(kind, answer))
            called = await bob.called(calling.call_id)
            called.respond(486)
            await calling.refused(486)
        again = await registration.renew()
        self.assertNotEqual(gruu("temp", again), gruu("temp", answer))
        calling = await call(alice, gruu("temp", answer))
        (await bob.called(calling.call_id)).respond(486)
        await calling.refused(486)
        await self.server.stop()

    @conforms("RFC 5626 5.2")
    async def test_a_subscription_of_a_watcher_behind_a_nat(self) -> None:
        alice, bob = NatPhone.udp(self, self.server.sip_port, "alice"), Phone.udp(self, self.server.sip_port, "bob")
        await bob.register()
        watching, notifying = await subscribed(alice, bob, f"sip:bob@{LOOPBACK}")
        await notified(notifying, watching)
        await self.restart()
        await notified(notifying, watching, is_forgotten=True)
        await self.server.stop()

    async def test_flows(self) -> None:
        """Datagrams still flow; a connection does not, and the phone makes a new one."""
        alice = Phone.udp(self, self.server.sip_port, "alice")
        await alice.register()
        by_udp = NatPhone.udp(self, self.server.sip_port, "bob")
        by_tcp = await NatPhone.tcp(self, self.server.sip_port, "bob")
        await flow(by_udp, 1).renew()
        await flow(by_tcp, 2).renew()
        await self.restart()
        calling = await alice.call("bob")
        (await by_udp.called(calling.call_id)).respond(486)
        await calling.refused(486)
        again = await NatPhone.tcp(self, self.server.sip_port, "bob")
        await flow(again, 2).renew()
        calling = await alice.call("bob")
        (await again.called(calling.call_id)).respond(486)
        await calling.refused(486)
        await self.server.stop()
