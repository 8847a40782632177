"""The real core, proxy, registrar and transactions in a network in memory, with phones that do what the test says.

A `Phone` does nothing by itself: no answer, no ACK and no retransmission unless the test sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from itertools import count
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.attempts import Attempts
from gosip_py.call.core import Core
from gosip_py.call.correspondents import Correspondents
from gosip_py.call.dereference import dereference_by
from gosip_py.call.dial_plan import DialPlan
from gosip_py.call.emergency import EmergencyNumbers
from gosip_py.call.feature_codes import FeatureCodes
from gosip_py.call.group_tally import GroupBooks
from gosip_py.call.identification import Identification, Trust
from gosip_py.call.initial import InitialRequests
from gosip_py.call.limits import CallLimits, LegCounts
from gosip_py.call.lines import Phones
from gosip_py.call.numbers import NumberPlan
from gosip_py.call.orbits import Orbits
from gosip_py.call.outside import Outside
from gosip_py.call.park import Parked, Parking
from gosip_py.call.pickup import Pickups
from gosip_py.call.reception import Closed, Reception
from gosip_py.call.ring_group import RingGroups
from gosip_py.call.router import ExtensionRouter
from gosip_py.call.services import CallServices
from gosip_py.call.switch import Switch
from gosip_py.call.transfers import Transfers
from gosip_py.dialog.dialogs import Dialogs as OwnDialogs
from gosip_py.events import Bus, CallAnswered, CallEnded, CallRinging, CallStarted
from gosip_py.messaging.mailbox import Mailboxes
from gosip_py.messaging.recipient import MessageLimits
from gosip_py.messaging.relay import MessageRelay
from gosip_py.metrics import Metrics
from gosip_py.notifier.calls import CallStates
from gosip_py.notifier.lines import LineStates
from gosip_py.notifier.notifier import Notifier
from gosip_py.notifier.packages.dialog import Dialogs
from gosip_py.notifier.packages.presence import Presence
from gosip_py.notifier.packages.reg import Registrations
from gosip_py.notifier.people import People
from gosip_py.notifier.publication import PublicationLimits, Publications
from gosip_py.notifier.subscriptions import SubscriptionLimits
from gosip_py.proxy.flow_token import FlowTokens
from gosip_py.proxy.proxy import Proxy
from gosip_py.proxy.session import Session, Sessions
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.gruu import Gruus
from gosip_py.registrar.location import Contact, Location
from gosip_py.registrar.registrar import Registrar, RegistrationLimits, RegistrationOffers
from gosip_py.registrar.rule import DirectoryRule
from gosip_py.sip.digest import NonceFactory, answer_challenge, ha1, parse_challenge
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.sip.reply import reply
from gosip_py.transaction.authenticate import Authenticator
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing
from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Flow, Target
from tests.messaging.shelf import MemoryShelf
from tests.network import MemoryFlow, MemoryNetwork, MemoryTransport
from tests.registrar.fakes import NOW, PASSWORD, REALM, RememberingWriter, binding, device, directory, user

__all__ = ["Books", "Dialog", "Names", "Phone", "Switchboard", "SwitchboardCase", "run"]

DOMAIN = "example.com"
SERVER = "192.0.2.1"
CALL_SECONDS = 7200.0
GRACE = 32.0
TIMER_C = 180.0

NO_TIMERS = SessionTimerPolicy("off")

_numbers = count(1)


def run(clock: Clock, seconds: float) -> None:
    """Let time jump from one delayed call to the next, to exactly ``seconds`` later."""
    end = clock.seconds() + seconds
    while calls := [call.getTime() for call in clock.getDelayedCalls() if call.getTime() <= end]:
        clock.advance(max(0.0, min(calls) - clock.seconds()))
    clock.advance(max(0.0, end - clock.seconds()))


class Names:
    """A locator that knows the addresses that it is told; ``answer`` gives the answers that wait.

    ``outages`` and ``working`` are the hosts of whom it heard that they fail or answer.
    """

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, ...]] = {}
        self.waiting: list[tuple[Target, Callable[[tuple[Target, ...]], None]]] = []
        self.outages: list[tuple[str, float]] = []
        self.working: list[str] = []

    def locate(self, target: Target, then: Callable[[tuple[Target, ...]], None]) -> None:
        if numeric_address(target.host) is not None:
            then((target,))
        else:
            self.waiting.append((target, then))

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for target, then in waiting:
            hosts = self.known.get(target.host, ())
            then(tuple(Target(target.transport or "UDP", host, target.port or 5060) for host in hosts))

    def failed(self, hop: Target, seconds: float) -> None:
        self.outages.append((hop.host, seconds))

    def answered(self, hop: Target) -> None:
        self.working.append(hop.host)


class Listening:
    """The listeners of a server in memory, as `Domains` asks for them."""

    port_numbers = frozenset((5060, 5061))

    def names_us(self, host: str) -> bool:
        return host == SERVER


class Forgetting:
    """A writer of rows that nobody reads."""

    def put(self, key: object, value: object) -> None:
        pass


class Books:
    """The events of the calls, by the id of the call."""

    def __init__(self, bus: Bus) -> None:
        self.started: dict[str, CallStarted] = {}
        self.ringing: list[CallRinging] = []
        self.answered: list[CallAnswered] = []
        self.ended: list[CallEnded] = []
        bus.subscribe(CallStarted, self._start)
        bus.subscribe(CallRinging, self.ringing.append)
        bus.subscribe(CallAnswered, self.answered.append)
        bus.subscribe(CallEnded, self.ended.append)

    def _start(self, event: CallStarted) -> None:
        self.started[event.id] = event

    @property
    def endings(self) -> list[tuple[str, int, str]]:
        """Result, final code and who ended it, of each call that is over."""
        return [(event.result, event.final_code, event.ended_by) for event in self.ended]


class Switchboard:
    """A whole server of alice (devices alice-desk, alice-soft), bob (200) and carol (300), all with `PASSWORD`.

    ``trusted`` are the networks that are not challenged.
    """

    def __init__(
        self,
        network: MemoryNetwork | None = None,
        trusted: Sequence[str] = ("192.0.2.0/24",),
        session_timer: SessionTimerPolicy = NO_TIMERS,
    ) -> None:
        self.session_timer = session_timer
        self.network = network or MemoryNetwork(Clock())
        self.clock = self.network.clock
        self.transport: MemoryTransport = self.network.transport(SERVER)
        self.metrics = Metrics()
        self.bus = Bus()
        self.books = Books(self.bus)
        self.names = Names()
        self.changed: list[tuple[str, str]] = []
        self.layer = TransactionLayer(self.clock, self.transport, Closed(), self.metrics)
        people = (user(), user(2, "bob"), user(3, "carol"))
        devices = (device(), device(11, 1, "alice-soft"), device(20, 2, "200"), device(30, 3, "300"))
        self.directory = directory(*people, *devices)
        self.location = Location(RememberingWriter(), self.bus, self.metrics, self.now)
        self.domains = Domains(DOMAIN, Listening())
        self.gruus = Gruus(b"a secret of the switchboard")
        self.router = ExtensionRouter(self.directory, self.location, self.domains, self.gruus)
        self.sessions = Sessions(
            self.layer.wheel, self.now, self.bus, self.metrics, CALL_SECONDS, GRACE, self._session_changed
        )
        self.sender = Sender(self.layer, self.transport, self.names)
        self.proxy = Proxy(
            self.sender,
            self.transport,
            self.sessions,
            TIMER_C,
            session_timer,
            tokens=FlowTokens(b"a secret of the switchboard", self.transport),
            is_own_domain=self.domains.contains,
            dereference=dereference_by(self.router, self.now),
        )
        self._make_switch()
        self.notifier = self._make_notifier()
        self.shelf = MemoryShelf()
        self.messages = self._make_messages()
        self.transport.user = Reception(self.layer, self.location, self.notifier)
        self.core = self._make_core(trusted)
        self.layer.user = self.core

    def _make_switch(self) -> None:
        """As the service does, without a trunk."""
        self.dialogs = OwnDialogs(self.sender, timing=Timing(), now=self.now, session_timers=self.session_timer)
        self.counts = LegCounts()
        limits = CallLimits(self.counts)
        phones = Phones(self.directory, limits)
        self.books_of_groups = GroupBooks(Forgetting(), self.now)
        self.groups = RingGroups(self.directory, self.router, phones, self.counts, self.books_of_groups)
        self.orbits: Orbits[Parked] = Orbits()
        self.dial_plan = DialPlan(
            directory=self.directory,
            router=self.router,
            domains=self.domains,
            phones=phones,
            groups=self.groups,
            codes=FeatureCodes(self.directory),
            orbits=self.orbits,
            outside=Outside(
                directory=self.directory,
                emergency=EmergencyNumbers((), self.bus),
                numbers=NumberPlan(),
                gateway=None,
                limits=limits,
            ),
            limits=limits,
        )
        self.switch = Switch(self.dialogs, self.dial_plan, DOMAIN, self.layer.wheel, self.now, self.bus, self.metrics)
        self.switch.counts = self.counts
        self.parking = Parking(self.switch, self.orbits)
        self.switch.transfers = Transfers(self.switch, self.parking)
        self.pickups = self.switch.pickups = Pickups(self.switch, self.groups, self._user_id)
        self.switch.features = CallServices(self.parking, self.pickups)
        sessions, dialogs, switch = self.sessions, self.dialogs, self.switch
        self.metrics.active_dialogs.read_from(lambda: sessions.active + dialogs.active)
        self.metrics.dialog_entries.read_from(lambda: len(sessions) + len(dialogs))
        self.metrics.calls_active.read_from(lambda: sessions.calls + len(switch))

    def _user_id(self, login: str) -> int | None:
        found = self.directory.user_by_login(login)
        return None if found is None else found.id

    def _make_core(self, trusted: Sequence[str]) -> Core:
        domains = self.domains
        nonces = NonceFactory(b"secret", 300)
        authenticator = Authenticator(self.directory, REALM, nonces, self.metrics, self.now, is_ours=domains.contains)
        rule = DirectoryRule(self.directory)
        offers = RegistrationOffers(gruus=self.gruus)
        trust = Trust(tuple(ip_network(network) for network in trusted))
        identification = Identification(authenticator, rule, trust, self.directory, domains)
        return Core(
            registrar=Registrar(self.location, authenticator, rule, domains, RegistrationLimits(), self.now, offers),
            proxy=self.proxy,
            sessions=self.sessions,
            dialogs=self.dialogs,
            initial=InitialRequests(
                identification=identification,
                router=self.router,
                proxy=self.proxy,
                notifier=self.notifier,
                messages=self.messages,
                domains=domains,
                now=self.now,
                attempts=Attempts(self.directory, domains, self.now),
                dial_plan=self.dial_plan,
                switch=self.switch,
                is_merged=self.layer.is_merged,
            ),
            identification=identification,
            notifier=self.notifier,
            domains=domains,
            session_timers=self.session_timer,
            is_merged=self.layer.is_merged,
        )

    def _make_notifier(self) -> Notifier:
        people = People(self.directory, self.domains)
        calls = CallStates(self.bus, people, self.now)
        publications = Publications(self.layer.wheel, PublicationLimits(), self.metrics)
        packages = (
            Registrations(self.location, self.bus, people, self.now),
            Dialogs(calls, LineStates(self.bus), people, self.domains.aor),
            Presence(
                publications=publications,
                location=self.location,
                calls=calls,
                people=people,
                bus=self.bus,
                now=self.now,
            ),
        )
        notifier = Notifier(
            sender=self.sender,
            packages=packages,
            publications=publications,
            limits=SubscriptionLimits(),
            directory=self.directory,
            bus=self.bus,
            now=self.now,
            metrics=self.metrics,
        )
        notifier.start()
        return notifier

    def _make_messages(self) -> MessageRelay:
        limits = MessageLimits()
        mailboxes = Mailboxes(
            shelf=self.shelf,
            sender=self.sender,
            correspondents=Correspondents(self.directory, self.router, self.domains, self.now),
            bus=self.bus,
            metrics=self.metrics,
            now=self.now,
            limits=limits,
        )
        relay = MessageRelay(
            proxy=self.proxy,
            mailboxes=mailboxes,
            wheel=self.layer.wheel,
            metrics=self.metrics,
            now=self.now,
            limits=limits,
        )
        _ = Deferred.fromCoroutine(relay.open())
        return relay

    def _session_changed(self, session: Session) -> None:
        self.changed.append((session.id, session.state))

    def now(self) -> float:
        """Epoch seconds of the virtual clock."""
        return NOW + self.clock.seconds()

    def run(self, seconds: float = 0.1) -> None:
        run(self.clock, seconds)

    def gauges(self) -> tuple[float, ...]:
        """Active dialogs, dialogs in the table, calls, transactions in flight: as somebody who scrapes sees them."""
        metrics = self.metrics
        gauges = (
            metrics.active_dialogs,
            metrics.dialog_entries,
            metrics.calls_active,
            metrics.transactions_in_flight,
        )
        return tuple(family.samples[0].value for gauge in gauges for family in gauge.exposed())


class Phone:
    """Somebody with an address of their own, who speaks ``via`` that transport; a repeated request is heard once."""

    def __init__(self, board: Switchboard, host: str, name: str, via: str = "UDP") -> None:
        self.board = board
        self.host = host
        self.name = name
        self.via = via
        self.transport = board.network.transport(host)
        self.transport.user = self
        self.heard: list[Message] = []
        self._known: set[tuple[str, str]] = set()
        self.failures: list[str] = []
        self.contact = f"sip:{name}@{host}:5060" + (";transport=tcp" if via == "TCP" else "")

    # -- what arrives -------------------------------------------------------------------------------------------------

    def receive_request(self, request: Request, flow: Flow) -> None:
        key = (request.method, request.top_via.branch)
        if key not in self._known:
            self._known.add(key)
            self.heard.append(request)

    def receive_response(self, response: Response, flow: Flow) -> None:
        self.heard.append(response)

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        raise AssertionError(f"{self.name} was sent what cannot be read: {error.reason}")

    def flow_failed(self, flow: Flow, reason: str) -> None:
        self.failures.append(reason)

    @property
    def titles(self) -> list[str]:
        """What arrived and was not taken: the method of a request, code and method of a response."""
        return [title(message) for message in self.heard]

    def take(self, wanted: str) -> Message:
        """The first message of this title, after the network has carried what is under way."""
        self.board.run()
        for message in self.heard:
            if title(message) == wanted:
                self.heard.remove(message)
                return message
        raise AssertionError(f"{self.name} heard no {wanted}, but {self.titles}")

    def request(self, method: str) -> Request:
        """As `take`, of a request."""
        message = self.take(method)
        assert isinstance(message, Request)
        return message

    def response(self, status: int, method: str = "INVITE") -> Response:
        """As `take`, of a response."""
        message = self.take(f"{status} {method}")
        assert isinstance(message, Response)
        return message

    # -- what is sent -------------------------------------------------------------------------------------------------

    @property
    def flow(self) -> MemoryFlow:
        return self.transport.flow_of(self.via, self.board.transport.address(self.via))

    def register(
        self, aor_user: str, device_id: int, contact: str = "", *, is_at_source: bool = True, **others: object
    ) -> None:
        """Have the location service know this phone, as if it had registered; else it is where its contact says."""
        flow = self.board.transport.flow_of(self.via, self.flow.local)
        record = binding(
            contact or self.contact,
            f"sip:{aor_user}@{DOMAIN}",
            device_id=device_id,
            transport=self.via,
            source=f"{flow.remote[0]}:{flow.remote[1]}",
            expires_at=NOW + 1_000_000,
            **others,
        )
        self.board.location.add(Contact(record, flow if is_at_source else None, is_at_source), self.board.now())

    def make(
        self,
        method: str,
        uri: str = f"sip:bob@{DOMAIN}",
        *more: str,
        from_user: str = "",
        to: str = "",
        from_tag: str = "",
        call_id: str = "",
        number: int = 1,
        branch: str = "",
        max_forwards: int | None = 70,
        body: str = "",
    ) -> Request:
        """A request of this phone, not yet sent; ``more`` are further header lines."""
        serial = next(_numbers)
        hops = () if max_forwards is None else (f"Max-Forwards: {max_forwards}",)
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.via} {self.host}:5060;rport;branch={branch or f'z9hG4bKphone{serial}'}",
            *hops,
            f"From: <sip:{from_user or self.name}@{DOMAIN}>;tag={from_tag or f'from{serial}'}",
            f"To: {to or f'<{uri}>'}",
            f"Call-ID: {call_id or f'call{serial}@{self.host}'}",
            f"CSeq: {number} {method}",
            *more,
        ]
        if method != "CANCEL" and not any(line.startswith("Contact:") for line in more):
            lines.append(f"Contact: <{self.contact}>")
        lines.append(f"Content-Length: {len(body)}")
        message = parse_message(("\r\n".join((*lines, "", "")) + body).encode())
        assert isinstance(message, Request)
        return message

    def send(self, message: Message) -> None:
        self.flow.send(message.to_bytes())

    def ask(self, method: str, uri: str = f"sip:bob@{DOMAIN}", *more: str, **others: object) -> Request:
        """`make` and send."""
        request = self.make(method, uri, *more, **others)  # type: ignore[arg-type]  # as they are named there
        self.send(request)
        return request

    def respond(self, request: Request, status: int, *more: tuple[str, str], tag: str = "") -> Response:
        """Answer a request that was received; ``tag`` is that of To unless the request has one."""
        response = reply(request, status, to_tag=tag or f"tag-{self.name}-{self.host}")
        if 100 < status < 300:
            for value in request.values("record-route"):
                response.add("record-route", value)
            response.add("contact", f"<{self.contact}>")
        for name, value in more:
            response.add(name, value)
        self.send(response)
        return response

    def again(self, refused: Request, challenge: Response, password: str = PASSWORD, username: str = "") -> Request:
        """The same request with the answer to a challenge, sent."""
        username = username or self.name
        proxy = challenge.status == 407
        asked = parse_challenge(challenge.values("proxy-authenticate" if proxy else "www-authenticate")[0])
        secret = ha1(asked.algorithm, username, asked.realm, password)
        credentials = answer_challenge(asked, username, secret, refused.method, refused.uri_text, "abc")
        repeated = refused.copy()
        repeated.set("via", refused.require("via") + "x")
        repeated.set("cseq", f"{refused.cseq.number + 1} {refused.method}")
        repeated.add("proxy-authorization" if proxy else "authorization", str(credentials))
        self.send(repeated)
        return repeated


def title(message: Message) -> str:
    if isinstance(message, Response):
        return f"{message.status} {message.cseq.method}"
    assert isinstance(message, Request)
    return message.method


class Dialog:
    """One side of a dialog (RFC 3261 12): makes requests within it."""

    def __init__(self, phone: Phone, invite: Request, answer: Response, *, is_caller: bool) -> None:
        self.phone = phone
        self.call_id = invite.call_id
        ours, theirs = ("from", "to") if is_caller else ("to", "from")
        self.local, self.remote = answer.require(ours), answer.require(theirs)
        source = answer if is_caller else invite
        self.target = source.addresses("contact")[0].uri_text
        routes = (answer if is_caller else invite).values("record-route")
        self.routes = routes[::-1] if is_caller else routes
        self.number = 1 if is_caller else 100

    def make(self, method: str, *more: str, number: int | None = None) -> Request:
        """A request within the dialog; an ACK has the number of the last."""
        if number is None and method != "ACK":
            self.number += 1
        request = self.phone.make(
            method,
            self.target,
            *(f"Route: {value}" for value in self.routes),
            *more,
            to=self.remote,
            call_id=self.call_id,
            number=number or self.number,
        )
        request.set("from", self.local)
        return request

    def send(self, method: str, *more: str) -> Request:
        request = self.make(method, *more)
        self.phone.send(request)
        return request


class SwitchboardCase(SynchronousTestCase):
    """Alice calls Bob. After each test nothing is left, once its transactions have had their time."""

    trusted: ClassVar[Sequence[str]] = ("192.0.2.0/24",)
    session_timer: ClassVar[SessionTimerPolicy] = NO_TIMERS

    def setUp(self) -> None:
        self.board = Switchboard(trusted=self.trusted, session_timer=self.session_timer)
        self.alice = Phone(self.board, "192.0.2.10", "alice")
        self.bob = Phone(self.board, "192.0.2.20", "bob")
        self.bob.register("200", 20)

    def tearDown(self) -> None:
        self.board.run(TIMER_C + 200.0)
        for session in tuple(self.board.sessions):
            self.board.sessions.ended(session, "system")
        self.assertEqual(self.board.gauges(), (0, 0, 0, 0))
        self.assertEqual(len(self.board.layer.wheel), 0)
        books = self.board.books
        self.assertEqual(sorted(event.id for event in books.ended), sorted(books.started))

    def ringing(self, caller: Phone | None = None) -> tuple[Request, Request]:
        """The INVITE as Alice sent it and as Bob got it, who rings."""
        caller = caller or self.alice
        sent = caller.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 180)
        caller.response(180)
        return sent, got

    def talking(self, caller: Phone | None = None, *more: tuple[str, str]) -> tuple[Dialog, Dialog]:
        """Both sides of a call that was answered and acknowledged."""
        caller = caller or self.alice
        sent, got = self.ringing(caller)
        answer = self.bob.respond(got, 200, *more)
        calling = Dialog(caller, sent, caller.response(200), is_caller=True)
        calling.send("ACK")
        self.bob.request("ACK")
        return calling, Dialog(self.bob, got, answer, is_caller=False)

    def hang_up(self, side: Dialog, other: Phone) -> None:
        side.send("BYE")
        other.respond(other.request("BYE"), 200)
        side.phone.response(200, "BYE")
