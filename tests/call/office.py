"""The real switch, dialogs and transactions in a network in memory, with phones that do what the test says.

    office = Office()
    alice, bob = office.phone("alice"), office.phone("bob")
    calling, called = office.talking(alice, bob)
    calling.hang_up()

Whom a name reaches is what `Plan` says: the phones of that name, or the verdict that a test gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import ClassVar, cast

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.party import Party
from gosip_py.call.switch import Switch
from gosip_py.call.verdict import Attempt, Line, Refuse, Ring, Stage, Verdict
from gosip_py.dialog.dialogs import Dialogs
from gosip_py.events import Bus, Direction
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import parse_replaces
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow
from gosip_py.transport.resolve import target_of
from tests.network import MemoryNetwork
from tests.proxy.switchboard import Books, Names, Phone, Switchboard, run
from tests.proxy.switchboard import Dialog as PhoneDialog
from tests.registrar.fakes import NOW

__all__ = ["DOMAIN", "SERVER", "Handset", "Office", "OfficeCase", "Plan", "Side", "offer_of", "ring"]

DOMAIN = "example.com"
SERVER = "192.0.2.1"
ALLOW = "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, SUBSCRIBE, UPDATE"
RING_SECONDS = 30.0

_ports = count(20000, 2)


def offer_of(host: str, port: int = 0, *, way: str = "", version: int = 1, codecs: str = "0 8") -> str:
    """A session description of a phone at ``host``; ``way`` is a direction."""
    lines = [
        "v=0",
        f"o=phone {abs(hash(host)) % 10000} {version} IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port or next(_ports)} RTP/AVP {codecs}",
        *([f"a={way}"] if way else []),
    ]
    return "".join(line + "\r\n" for line in lines)


class Handset(Phone):
    """A phone of the office; ``user_id`` and ``device_id`` are its owner's and its own."""

    def __init__(self, office: Office, host: str, name: str, number: int, via: str = "UDP") -> None:
        Phone.__init__(self, cast(Switchboard, office), host, name, via)
        self.number = number
        self.party = Party(name, name.capitalize(), f"sip:{name}@{DOMAIN}", number, number * 10, "device")

    @property
    def line(self) -> Line:
        """The line on which the office calls it."""
        uri = parse_uri(self.contact)
        return Line(self.party, self.contact, target_of(uri))

    def call(self, name: str, *more: str, sdp: str | None = None, **others: object) -> Request:
        """Send an INVITE with an offer to ``name``; ``sdp`` may be empty."""
        body = offer_of(self.host) if sdp is None else sdp
        typed = ("Content-Type: application/sdp",) if body else ()
        return self.ask("INVITE", f"sip:{name}@{DOMAIN}", *typed, *more, body=body, **others)

    def answer(self, invite: Request, status: int = 200, *more: tuple[str, str], sdp: str | None = None) -> Response:
        """Respond to an INVITE with a session description (``sdp`` may be empty)."""
        body = offer_of(self.host) if sdp is None else sdp
        return self.respond_with(invite, status, body, *more)

    def respond_with(self, request: Request, status: int, body: str, *more: tuple[str, str]) -> Response:
        """Respond with an SDP body."""
        response = reply(request, status, to_tag=f"tag-{self.name}-{self.host}")
        response.add("contact", f"<{self.contact}>")
        for name, value in more:
            response.add(name, value)
        if body:
            response.set_body(body.encode(), "application/sdp")
        self.send(response)
        return response


class Side(PhoneDialog):
    """One end of a call, as its phone sees it."""

    @property
    def handset(self) -> Handset:
        assert isinstance(self.phone, Handset)
        return self.phone

    def send_with(self, method: str, body: str, *more: str, number: int | None = None) -> Request:
        """A request within the dialog with an SDP body."""
        request = self.make(method, *more, number=number)
        request.set_body(body.encode(), "application/sdp")
        self.phone.send(request)
        return request

    def reinvite(self, way: str = "", sdp: str | None = None) -> Request:
        """A re-INVITE that offers this direction."""
        body = offer_of(self.phone.host, way=way, version=self.number) if sdp is None else sdp
        return self.send_with("INVITE", body) if body else self.send("INVITE")

    def hang_up(self, *more: str) -> Request:
        return self.send("BYE", *more)


class Plan:
    """The router of the tests: ``verdicts`` by what was dialled, else the phones of that name."""

    def __init__(self) -> None:
        self.phones: dict[str, list[Handset]] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.asked: list[Attempt] = []

    def route(self, attempt: Attempt) -> Verdict:
        self.asked.append(attempt)
        if attempt.dialled in attempt.diverted:
            return Refuse(482, "this was tried before")
        verdict = self.verdicts.get(attempt.dialled)
        if verdict is not None:
            return verdict
        phones = self.phones.get(attempt.dialled, ())
        return ring(*phones, name=attempt.dialled) if phones else Refuse(404, "nobody has that name")


def ring(
    *phones: Handset, name: str = "", seconds: float = RING_SECONDS, then: Iterable[Handset] = (), **others: object
) -> Ring:
    """The verdict that rings these phones, and after some seconds those of ``then``."""
    first = phones[0]
    callee = Party(name or first.name, "", f"sip:{name or first.name}@{DOMAIN}", first.number, None, "user")
    stages = [Stage(tuple(phone.line for phone in group), seconds) for group in (phones, tuple(then)) if group]
    return Ring(callee, tuple(stages), **others)  # type: ignore[arg-type]  # as they are named there


class Desk:
    """What the core does with requests, as far as calls go."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def receive_request(self, transaction: ServerTransaction) -> None:
        office, request = self._office, transaction.request
        try:
            refusal = self._receive(office, transaction, request)
        except ParseError as error:
            refusal = Refusal(400, error.reason)
        if refusal is not None:
            refusal.send(transaction)

    def _receive(self, office: Office, transaction: ServerTransaction, request: Request) -> Refusal | None:
        if request.to_tag or office.dialogs.owns(request):
            if not office.dialogs.owns(request):
                return Refusal(481, "there is no such dialog here")
            office.dialogs.receive(transaction)
            return None
        if request.method != "INVITE":
            return Refusal(405, "calls only")
        attempt = office.attempt_of(request)
        if "replaces" in request.names:
            replaces = parse_replaces(request.require("replaces"))
            leg = office.switch.leg_of(replaces)
            if leg is None:
                return Refusal(481, "there is no such call")
            return office.switch.receive_replaces(transaction, request, attempt, leg, replaces)
        office.switch.receive(transaction, request, attempt, office.plan.route(attempt))
        return None

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        self._office.dialogs.receive_ack(ack, flow)


class Office:
    """A switch at 192.0.2.1 and the phones around it."""

    def __init__(
        self,
        network: MemoryNetwork | None = None,
        session_timer: SessionTimerPolicy | None = None,
        ping_seconds: float = 0.0,
    ) -> None:
        self.network = network or MemoryNetwork(Clock())
        self.clock = self.network.clock
        self.transport = self.network.transport(SERVER)
        self.metrics = Metrics()
        self.bus = Bus()
        self.books = Books(self.bus)
        self.names = Names()
        self.plan = Plan()
        self.phones: list[Handset] = []
        self.layer = TransactionLayer(self.clock, self.transport, Desk(self), self.metrics)
        self.transport.user = self.layer
        self.sender = Sender(self.layer, self.transport, self.names)
        self.dialogs = Dialogs(
            self.sender,
            timing=Timing(),
            now=self.now,
            session_timers=session_timer or SessionTimerPolicy("off"),
            allow=ALLOW,
            supported=("100rel", "norefersub", "replaces", "timer"),
        )
        self.switch = Switch(
            self.dialogs, self.plan, DOMAIN, self.layer.wheel, self.now, self.bus, self.metrics, ping_seconds
        )

    def now(self) -> float:
        """Epoch seconds of the virtual clock."""
        return NOW + self.clock.seconds()

    def run(self, seconds: float = 0.1) -> None:
        run(self.clock, seconds)

    def phone(self, name: str, via: str = "UDP") -> Handset:
        """Another phone, which the plan knows by its name."""
        number = len(self.phones) + 1
        phone = Handset(self, f"192.0.2.{number * 10}", name, number, via)
        self.phones.append(phone)
        self.plan.phones.setdefault(name, []).append(phone)
        return phone

    def attempt_of(self, request: Request) -> Attempt:
        """Who calls whom with this INVITE."""
        uri, name = request.uri, request.from_.uri.user
        known = next((phone.party for phone in self.phones if phone.name == name), None)
        shown = request.from_
        party = known or Party(name, shown.display_name, shown.uri_text)
        direction: Direction = "internal" if known is not None else "inbound"
        return Attempt(party, uri, uri.user, self.now(), direction)

    # -- calls as far as many tests want them -------------------------------------------------------------------------

    def ringing(
        self, caller: Handset, callee: Handset, *more: str, name: str = "", sdp: str | None = None
    ) -> tuple[Request, Request]:
        """The INVITE as it was sent and as it arrived; the callee rings."""
        sent = caller.call(name or callee.name, *more, sdp=sdp)
        got = callee.request("INVITE")
        callee.respond(got, 180)
        caller.response(180)
        return sent, got

    def talking(self, caller: Handset, callee: Handset, *more: str, name: str = "") -> tuple[Side, Side]:
        """Both ends of a call that was answered and acknowledged."""
        sent, got = self.ringing(caller, callee, *more, name=name)
        return self.answered(caller, sent, callee, got)

    def answered(self, caller: Handset, sent: Request, callee: Handset, got: Request) -> tuple[Side, Side]:
        """Both ends, once the callee has picked up."""
        answer = callee.answer(got)
        calling = Side(caller, sent, caller.response(200), is_caller=True)
        calling.send("ACK")
        callee.request("ACK")
        return calling, Side(callee, got, answer, is_caller=False)

    def end(self, side: Side, other: Handset) -> None:
        """One hangs up, the other hears of it."""
        side.hang_up()
        side.phone.response(200, "BYE")
        other.respond(other.request("BYE"), 200)
        self.run()


@attrs.frozen
class Leftovers:
    """What must be gone when everything is over."""

    calls: int
    dialogs: int
    timers: int
    transactions: int


class OfficeCase(SynchronousTestCase):
    """Alice, Bob, Carol and Dave. After each test nothing is left, once every transaction has had its time."""

    session_timer: ClassVar[SessionTimerPolicy | None] = None
    ping_seconds: ClassVar[float] = 0.0

    def setUp(self) -> None:
        self.office = office = Office(session_timer=self.session_timer, ping_seconds=self.ping_seconds)
        self.alice, self.bob = office.phone("alice"), office.phone("bob")
        self.carol, self.dave = office.phone("carol"), office.phone("dave")

    def tearDown(self) -> None:
        office = self.office
        _ = office.switch.hang_up_all()
        office.run(400.0)
        left = Leftovers(len(office.switch), len(office.dialogs), len(office.layer.wheel), office.layer.in_flight)
        self.assertEqual(left, Leftovers(0, 0, 0, 0))
        books = office.books
        self.assertEqual(sorted(event.id for event in books.ended), sorted(books.started))

    @property
    def endings(self) -> list[tuple[str, int, str]]:
        """Result, final code and who ended it, of each call that is over."""
        return self.office.books.endings
