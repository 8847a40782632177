"""One run: who is there, what happens to them, and everything that was seen of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import attrs
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from gosip_py.events import BindingRemoved, CallAnswered, CallEnded, CallRinging, CallStarted
from gosip_py.sip.message import Request
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transport.flow import Address
from tests.chaos.asking import Exchange
from tests.chaos.calling import Calling
from tests.chaos.clock import SwiftClock
from tests.chaos.confirmation import Confirmation
from tests.chaos.others import Forwarder, Letter, Vandal, Watching, publish
from tests.chaos.phone import Account, Phone
from tests.chaos.talk import Talk
from tests.chaos.wire import Wire
from tests.network import MemoryFlow, MemoryNetwork, Packet
from tests.proxy.switchboard import NO_TIMERS, SERVER, Switchboard
from tests.registrar.fakes import device, user

__all__ = ["World"]

BUSY_SECONDS = 150.0
HOMECOMING = 3600.0
LAST_EXPIRY = 12_000.0
END = 9 * 86_400.0  # longer than a message is kept
TRUSTED = "198.51.100.0/24"

_POLICIES = (
    NO_TIMERS,
    SessionTimerPolicy("accept", 90, 1800, 7200),
    SessionTimerPolicy("accept", 90, 120, 300),
    SessionTimerPolicy("require", 90, 180, 7200),
)
_LONGEST_TALK = 15_000.0
_LOSSES = (0.0, 0.05, 0.1, 0.2, 0.3)
_SLOWEST = (0.01, 0.1, 0.4, 1.0)
# Of each kind of datagram: two may be lost where a 2xx and its ACK travel four hops, one where phones send calls on,
# and they are repeated often enough to arrive all the same.
_MOST_LOST, _MOST_LOST_WITH_SPIRALS = 2, 1
NAMES = ("alice",) * 3 + ("bob",) * 6 + ("carol", "carol", "dave", "erin", "200", "nobody")
USERS = (user(), user(2, "bob"), user(3, "carol"), user(4, "dave"), user(5, "erin", call_schema="redirect"))
_DEVICES = (
    device(),
    device(11, 1, "alice-soft"),
    device(20, 2, "200"),
    device(30, 3, "300"),
    device(40, 4, "400"),
    device(50, 5, "500"),
)
_CAST = (
    ("desk", "alice", "alice-desk"),
    ("soft", "alice", "alice-soft"),
    ("bob-1", "bob", "200"),
    ("bob-2", "bob", "200"),
    ("bob-3", "bob", "200"),
    ("carol", "carol", "300"),
    ("dave", "dave", "400"),
    ("erin", "erin", "500"),
)


@attrs.frozen
class Plan:
    """How many seconds after a call was answered each side hangs up; None: it forgets to."""

    caller: float | None
    callee: float | None


class World:
    """Everything of one seed. `play` it once, then look at what was kept of it.

    ``notes`` are what else happened, as (packets sent before, time, text); ``breaches`` what must not have.
    """

    kind = "world"
    ends_long_calls = True  # nobody looks at a phone before the server does
    forwarders: ClassVar[tuple[str, ...]] = ("bob-3", "dave")
    phone_type: ClassVar[type[Phone]] = Phone
    calling_type: ClassVar[type[Calling]] = Calling

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = random.Random(f"{self.kind} {seed}")
        self.notes: list[tuple[int, float, str]] = []
        self.breaches: list[str] = []
        self.clock = SwiftClock()
        self.network = self._make_network()
        self.server: Address = (SERVER, 5060)
        self.busy_until = BUSY_SECONDS
        self.board = Switchboard(self.network, (TRUSTED,), chance.choice(_POLICIES))
        self.names: tuple[str, ...] = NAMES
        self._populate()
        self.exchanges: list[Exchange] = []
        self.confirmations: list[Confirmation] = []
        self.calls: list[Calling] = []
        self.talks: dict[tuple[str, ...], list[Talk]] = {}
        self.letters: list[Letter] = []
        self.watchings: list[Watching] = []
        self.read_by: dict[str, list[tuple[Phone, int]]] = {}
        self.passes: dict[str, int] = {}
        self.sent_on: set[str] = set()
        self._plans: dict[str, Plan] = {}
        self._is_vandalism = False
        self._listen()
        self.phones = self._make_phones()
        stateless = [phone.host for phone in self.phones if isinstance(phone, Forwarder)]
        if stateless:
            self.network.most_lost = _MOST_LOST_WITH_SPIRALS
        self._wire = Wire(self.breach, stateless)
        self.network.watch = self._see
        self.phones_by_host = {phone.host: phone for phone in self.phones}
        self._vandal = Vandal(self, "203.0.113.66")

    def _populate(self) -> None:
        """Who has an account, and which phones."""
        for person in USERS:
            self.board.directory.apply_user(person)
        for each in _DEVICES:
            self.board.directory.apply_device(each)

    def _make_network(self) -> MemoryNetwork:
        chance = self.chance
        return MemoryNetwork(
            self.clock,
            self.seed,
            loss=chance.choice(_LOSSES),
            duplicate=chance.choice((0.0, 0.05, 0.2)),
            delay=(0.005, chance.choice(_SLOWEST)),
            late=(chance.choice((0.0, 0.03)), 2.0),
            most_lost=_MOST_LOST,
        )

    def _make_phones(self) -> tuple[Phone, ...]:
        """Most of the cast, some of them behind a NAT, on TCP, or sending on whatever comes."""
        phones = []
        for at, (name, login, username) in enumerate(_CAST):
            if self.chance.random() < 0.8:
                phones.append(self._make_phone(at, name, login, username))
        return tuple(phones)

    def _make_phone(self, at: int, name: str, login: str, username: str) -> Phone:
        chance = self.chance
        account = Account(
            name,
            login,
            username,
            f"192.0.2.{10 + at}",
            via="TCP" if chance.random() < 0.2 else "UDP",
            hidden=f"10.0.0.{10 + at}" if chance.random() < 0.2 else "",
            q=chance.choice((1000, 1000, 500)),
            knows_timer=chance.random() < 0.7,
            has_flows=chance.random() < 0.25,
        )
        if name in self.forwarders and chance.random() < 0.4:
            goal = chance.choice(("bob", "carol", "dave", "alice-soft"))
            outside = attrs.evolve(account, host=f"198.51.100.{10 + at}", via="UDP", hidden="", has_flows=False)
            return Forwarder(self, outside, goal)
        return self.phone_type(self, account)

    # -- what happens --------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Let everything happen, and go on until nothing is left to happen."""
        errors = _Errors(self.breach)
        globalLogPublisher.addObserver(errors)
        try:
            self._arrange()
            self.clock.run(END)
        finally:
            globalLogPublisher.removeObserver(errors)

    def _arrange(self) -> None:
        chance, later = self.chance, self.clock.callLater
        for phone in self.phones:
            phone.later(chance.uniform(0, 3), phone.register, chance.choice((90, 600, 600, 600)))
        if self.phones:
            for _ in range(chance.randint(1, 5)):
                later(chance.choice((5.0, chance.uniform(2, 30))), self._call)
            for _ in range(chance.choice((0, 0, 0, 1, 2))):
                later(chance.uniform(0, 60), self._write)
            for _ in range(chance.choice((0, 0, 0, 1, 2))):
                later(chance.uniform(0, 30), self._watch)
            if chance.random() < 0.2:
                later(chance.uniform(0, 30), self._publish)
            for _ in range(chance.choice((0, 0, 3))):
                later(chance.uniform(2, 60), self._break)
        for _ in range(chance.choice((0, 0, 5))):
            later(chance.uniform(2, 120), self._vandal.act)
        later(60, self._expire)

    def _callers(self) -> list[Phone]:
        return [phone for phone in self.phones if phone.is_alive and not isinstance(phone, Forwarder)]

    def _call(self) -> None:
        callers = self._callers()
        if callers:
            hops = self.chance.choice((12, 70)) if not self._has_forwarders else 12
            self.begin_call(self.chance.choice(callers), self.chance.choice(self.names), hops)

    def begin_call(self, phone: Phone, name: str, hops: int = 70) -> Calling:
        """Let a phone call somebody."""
        calling = self.calling_type(phone, name, hops)
        self.calls.append(calling)
        return calling

    @property
    def _has_forwarders(self) -> bool:
        return any(isinstance(phone, Forwarder) for phone in self.phones)

    def _write(self) -> None:
        callers = self._callers()
        if not callers:
            return
        if not self.letters:
            for phone in self.phones:  # whoever is away comes home, and is given what waits
                phone.later(HOMECOMING + self.chance.uniform(0, 5), phone.register, 600)
        self.letters.append(Letter(self.chance.choice(callers), self.chance.choice(self.names)))

    def _watch(self) -> None:
        callers = self._callers()
        if callers:
            phone = self.chance.choice(callers)
            # Who subscribes to the same again counts as restarted, and its older subscription is dropped.
            if not any(watching.phone is phone for watching in self.watchings):
                self.watchings.append(Watching(phone, self.chance.choice(self.names)))

    def _publish(self) -> None:
        callers = self._callers()
        if callers:
            publish(self.chance.choice(callers))

    def _break(self) -> None:
        streams = self.network.streams
        if streams:
            self.cut(self.chance.choice(streams))

    def cut(self, flow: MemoryFlow) -> None:
        """Break a connection."""
        host = flow.local[0] if flow.local[0] != SERVER else flow.remote[0]
        phone = self.phones_by_host[host]
        self.note(f"a connection of {phone.name} breaks")
        phone.breaks.append(self.clock.seconds())
        flow.fail("cut")

    def _expire(self) -> None:
        self.board.location.expire(self.board.now())
        if self.clock.seconds() < LAST_EXPIRY:
            self.clock.callLater(60 if self.clock.seconds() < BUSY_SECONDS * 2 else 1000, self._expire)

    # -- what the phones ask -------------------------------------------------------------------------------------------

    def plan(self, call_id: str) -> None:
        """Decide who will end a call that begins."""
        chance = self.chance
        fate = chance.random()
        if fate < 0.1:
            plan = Plan(None, None)
        elif fate < 0.25:
            plan = Plan(5.0, 5.0)
        else:
            plan = Plan(chance.uniform(0, 40), chance.uniform(0, 40) if chance.random() < 0.5 else None)
        self._plans[call_id] = plan

    def leaves_after(self, talk: Talk) -> float | None:
        plan = self._plans[talk.call_id]
        return plan.caller if talk.is_caller else plan.callee

    def longest_talk(self) -> float:
        """Seconds after which somebody looks at a phone at last; the server hangs up long before."""
        return _LONGEST_TALK

    def may_differ(self, exchange: Exchange, event: CallEnded | None) -> bool:
        """Whether the journal may say something else than what the caller was told."""
        return False

    def takes_messages(self, name: str) -> bool:
        """Whether what is written to somebody is handed to their phones."""
        return True

    def is_moot(self, exchange: Exchange) -> bool:
        """Whether nobody need answer this request any more."""
        return False

    def may_die(self, phone: Phone) -> bool:
        """Not too many: somebody must be left."""
        return sum(not other.is_alive for other in self.phones) < 2

    def read(self, phone: Phone, request: Request) -> int:
        """The status that a phone answers a MESSAGE with."""
        status = self.chance.choice((200, 200, 200, 200, 200, 200, 480, 486, 500, 603))
        if isinstance(phone, Forwarder):
            status = 405
        self.read_by.setdefault(request.body.decode(), []).append((phone, status))
        return status

    # -- what is kept of it --------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        self.notes.append((len(self.network.packets), self.clock.seconds(), text))

    def breach(self, text: str) -> None:
        self.breaches.append(text)
        self.note(f"BREACH: {text}")

    def started(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def began(self, talk: Talk) -> None:
        self.talks.setdefault(talk.key, []).append(talk)

    def passed(self, branch: str, hops: int, call_id: str) -> None:
        """A forwarder sent an INVITE on, with this branch."""
        self.passes[branch] = hops
        self.sent_on.add(call_id)

    @contextmanager
    def vandalism(self) -> Iterator[None]:
        """What is sent within is not held against anybody."""
        self._is_vandalism = True
        try:
            yield
        finally:
            self._is_vandalism = False

    def _see(self, packet: Packet) -> None:
        if not self._is_vandalism:
            self._wire.see(packet)

    def _listen(self) -> None:
        bus = self.board.bus
        bus.subscribe(CallStarted, lambda event: self.note(f"call to {event.callee_user} started ({event.call_id})"))
        bus.subscribe(CallRinging, lambda event: self.note(f"{self._title(event.id)} rings with {event.code}"))
        bus.subscribe(CallAnswered, lambda event: self.note(f"{self._title(event.id)} is answered"))
        bus.subscribe(CallEnded, self._ended)
        bus.subscribe(BindingRemoved, lambda event: self.note(f"{event.contact} is unregistered: {event.reason}"))

    def _title(self, call: str) -> str:
        started = self.board.books.started[call]
        return f"call to {started.callee_user} ({started.call_id})"

    def _ended(self, event: CallEnded) -> None:
        self.note(f"{self._title(event.id)} ended: {event.result} {event.final_code}, by {event.ended_by}")


@implementer(ILogObserver)
class _Errors:
    """An observer of the log, for which every error is a breach."""

    def __init__(self, breach: Callable[[str], object]) -> None:
        self._breach = breach

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            self._breach(f"logged: {formatEvent(event)}{'' if failure is None else failure.getTraceback()}")
