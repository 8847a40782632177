"""The way through the demo: a server starts, two phones register, one calls the other, and the books are read."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import attrs
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from gosip_py.config import Settings
from gosip_py.demo.api import Api, ApiRefused
from gosip_py.demo.ladder import Step, draw
from gosip_py.demo.sighting import Sighting
from gosip_py.demo.softphone import LOOPBACK, Account, Answering, NoAnswer, Refused, Softphone
from gosip_py.service.server import Server
from gosip_py.service.storage import open_store
from gosip_py.sip.message import Message, Response
from gosip_py.store.passwords import Passwords
from gosip_py.store.users import Users

__all__ = ["DidNotHappen", "Plan", "require_books", "run"]

DOMAIN = "gosip.example"
SERVER = "gosip"
CALLER, CALLEE = "alice", "bob"
ADMIN = "admin"
TALK_SECONDS = 1.0
BOOKS_SECONDS = 3.0  # rows are written behind the calls
POLL_SECONDS = 0.05

T = TypeVar("T")

# What each phone must have seen, in this order: whether it sent the message, and its kind.
_REGISTERED = ((True, "REGISTER"), (False, "401 REGISTER"), (True, "REGISTER"), (False, "200 REGISTER"))
_CALL = ("INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE")
_ROW = {"caller_user": CALLER, "callee_user": CALLEE, "result": "answered", "ended_by": "caller"}


@attrs.frozen
class Plan:
    """How the demo goes. ``deadline`` is in seconds; a ``phone_password`` takes the place of the phones' own."""

    deadline: float = 20.0
    phone_password: str | None = attrs.field(default=None, repr=False)
    answering: Answering = attrs.field(factory=Answering)


class DidNotHappen(Exception):
    """Something that the demo is about did not happen; the text says what."""


def run(plan: Plan | None = None) -> int:
    """Run the demo and print what was seen; 0 only when all of it happened."""
    with TemporaryDirectory(prefix="gosip-demo-") as directory:
        tour = Tour(plan or Plan(), Path(directory))
        with suppress(SystemExit):  # react ends by it, whatever happened
            react(tour.go)
    _say(f"\n{tour.told()}")
    return 0 if tour.is_complete else 1


class Tour:
    """One demo. What it saw is kept for the telling, also when it went wrong half-way."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.is_complete = False
        self._plan = plan
        self._directory = directory
        self._reactor: Any = None
        self._fault = "it did not run to its end"
        self._sightings: list[Sighting] = []
        self._tables: list[tuple[str, dict[str, Any]]] = []

    def go(self, reactor: Any) -> Deferred[None]:
        """Begin. Fires when everything is closed again, however it went."""
        self._reactor = reactor
        going = Deferred.fromCoroutine(self._go()).addTimeout(self._plan.deadline, reactor)
        going = going.addCallbacks(self._note_success, self._note_fault)
        # Whoever interrupts us waits until the server is closed.
        reactor.addSystemEventTrigger("before", "shutdown", _cut_short, going)
        return going

    def told(self) -> str:
        """Everything that was seen, and how it ended."""
        parts = [
            _heading("the SIP messages", draw((CALLER, SERVER, CALLEE), [_step(each) for each in self._sightings]))
        ]
        parts += [_heading(title, _table(row)) for title, row in self._tables]
        parts.append("all of it happened" if self.is_complete else f"NOT all of it happened: {self._fault}")
        return "\n\n".join(parts)

    def _note_success(self, _result: None) -> None:
        self.is_complete = True

    def _note_fault(self, fault: Failure) -> None:
        if fault.check(defer.TimeoutError):
            self._fault = f"it was not done within {self._plan.deadline:g} s"
        elif fault.check(CancelledError):
            self._fault = "it was interrupted"
        elif fault.check(DidNotHappen, NoAnswer, Refused, ApiRefused):
            self._fault = str(fault.value)
        else:
            self._fault = fault.getTraceback()

    # -- the way -------------------------------------------------------------------------------------------------------

    async def _go(self) -> None:
        await deferLater(self._reactor, 0)  # the server is to find a reactor that runs
        async with AsyncExitStack() as closing:
            sip_port, http_port = _free_ports()
            api = await self._start_server(closing, sip_port, http_port)
            caller, callee = [await self._start_phone(closing, api, name, sip_port) for name in (CALLER, CALLEE)]
            await self._register(api, caller, callee)
            await self._call(api, caller)
            await self._read_books(api)

    async def _start_server(self, closing: AsyncExitStack, sip_port: int, http_port: int) -> Api:
        """The server, and its API as its first administrator uses it."""
        settings = _settings(sip_port, http_port)
        password = secrets.token_urlsafe()
        await self._add_administrator(settings, password)
        server = Server(self._reactor, settings, self._directory)
        server.startService()
        closing.push_async_callback(server.stopService)
        api = Api(self._reactor, f"http://{LOOPBACK}:{http_port}")
        await self._until(api.is_ready, bool, self._plan.deadline)
        await api.sign_in(ADMIN, password)
        _say(f"the server is ready: SIP at {LOOPBACK}:{sip_port}, HTTP at {api.url}")
        return api

    async def _add_administrator(self, settings: Settings, password: str) -> None:
        """What the set-up page would do."""
        passwords = Passwords(self._reactor)
        passwords.start()
        try:
            hashed = await passwords.hash(password)
        finally:
            passwords.stop()
        database = await open_store(self._reactor, settings, self._directory)
        try:
            now = self._reactor.seconds()
            await Users(database).create(login=ADMIN, role="admin", password_hash=hashed, now=now)
        finally:
            await database.close()

    async def _start_phone(self, closing: AsyncExitStack, api: Api, name: str, sip_port: int) -> Softphone:
        """A person with one device, and the phone that has its password."""
        password = secrets.token_urlsafe()
        user = await api.create("/api/users", login=name, display_name=name.capitalize(), call_schema="proxy")
        await api.create("/api/devices", user_id=user["id"], name=name, username=name, password=password)
        account = Account(name, DOMAIN, self._plan.phone_password or password)
        server = f"sip:{LOOPBACK}:{sip_port}"
        phone = Softphone(self._reactor, account, server, self._noting(name), self._plan.answering)
        closing.push_async_callback(phone.stop)
        return phone

    async def _register(self, api: Api, *phones: Softphone) -> None:
        for phone in phones:
            await phone.register()
        for name in (CALLER, CALLEE):
            self._require_seen(name, _REGISTERED)
        bound = sorted(row["contact"] for row in await api.rows("/api/registrations"))
        _require(len(bound) == len(phones), f"the server has the registrations {bound}, not one of each phone")
        _say(f"{CALLER} and {CALLEE} are registered")

    async def _call(self, api: Api, caller: Softphone) -> None:
        _say(f"{CALLER} calls {CALLEE}")
        call = await caller.call(CALLEE)
        _say("they talk")
        _require(await api.metric("sip_active_dialogs") == 1, "sip_active_dialogs is not 1 during the call")
        await deferLater(self._reactor, TALK_SECONDS)
        await caller.hang_up(call)
        _say(f"{CALLER} has hung up")
        # What the caller asks is a request from its side and arrives at the other.
        sent = {kind: not kind[0].isdigit() for kind in _CALL}
        self._require_seen(CALLER, [(sent[kind], kind) for kind in _CALL])
        self._require_seen(CALLEE, [(not sent[kind], kind) for kind in _CALL])

    async def _read_books(self, api: Api) -> None:
        rows = await self._until(lambda: api.rows("/api/call_journals"), _all_closed, BOOKS_SECONDS)
        self._tables += [("the journal", row) for row in rows]
        sessions = await self._until(lambda: api.rows("/api/sessions"), _all_terminated, BOOKS_SECONDS)
        self._tables += [("the sessions", row) for row in sessions]
        require_books(rows, sessions, await api.metric("sip_active_dialogs"))

    # -- seeing --------------------------------------------------------------------------------------------------------

    def _noting(self, phone: str) -> Callable[[bool, Message], None]:
        return lambda is_sent, message: self._sightings.append(
            Sighting(self._reactor.seconds(), phone, is_sent, message)
        )

    def _require_seen(self, phone: str, wanted: Sequence[tuple[bool, str]]) -> None:
        """DidNotHappen unless the phone saw these, in this order; others may have come between."""
        seen = iter([(each.is_sent, each.kind) for each in self._sightings if each.phone == phone])
        for is_sent, kind in wanted:
            verb = "sent" if is_sent else "received"
            _require((is_sent, kind) in seen, f"{phone} has not {verb} {kind} where it belongs")

    async def _until(self, ask: Callable[[], Awaitable[T]], accept: Callable[[T], bool], seconds: float) -> T:
        """The first answer that is accepted, or the last one when the time is up."""
        deadline = self._reactor.seconds() + seconds
        while True:
            answer = await ask()
            if accept(answer) or self._reactor.seconds() >= deadline:
                return answer
            await deferLater(self._reactor, POLL_SECONDS)


def _cut_short(going: Deferred[None]) -> Deferred[None]:
    going.cancel()
    return going


def _say(text: str) -> None:
    print(text, flush=True)


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise DidNotHappen(otherwise)


def require_books(rows: list[dict[str, Any]], sessions: list[dict[str, Any]], active: float) -> None:
    """DidNotHappen unless journal, sessions and gauge are those of one call that its caller ended."""
    _require(len(rows) == 1, f"the journal has {len(rows)} rows, not one")
    row = rows[0]
    _require(row["end_at"] is not None, "the row of the journal is not closed")
    for field, wanted in _ROW.items():
        _require(row[field] == wanted, f"the journal says {field} {row[field]}, not {wanted}")
    states = [session["state"] for session in sessions]
    _require(states == ["terminated"], f"the sessions are {states}, not one that is terminated")
    _require(active == 0, f"sip_active_dialogs is {active:g} after the call, not 0")


def _all_closed(rows: list[dict[str, Any]]) -> bool:
    return bool(rows) and all(row["end_at"] is not None for row in rows)


def _all_terminated(rows: list[dict[str, Any]]) -> bool:
    return bool(rows) and all(row["state"] == "terminated" for row in rows)


def _free_ports() -> tuple[int, int]:
    """A free UDP port and a free TCP port of the loopback address."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
    ):
        datagram.bind((LOOPBACK, 0))
        stream.bind((LOOPBACK, 0))
        return datagram.getsockname()[1], stream.getsockname()[1]


def _settings(sip_port: int, http_port: int) -> Settings:
    """A server on loopback only, whatever the environment says."""
    return Settings.model_validate(
        {
            "sip": {"domain": DOMAIN, "udp": [f"{LOOPBACK}:{sip_port}"], "tcp": [], "tls": []},
            "http": {"listen": [f"{LOOPBACK}:{http_port}"]},
            "limits": {"drain_seconds": 0},
        }
    )


def _step(sighting: Sighting) -> Step:
    message = sighting.message
    label = f"{message.status} {message.reason}" if isinstance(message, Response) else sighting.kind
    ends = (sighting.phone, SERVER) if sighting.is_sent else (SERVER, sighting.phone)
    return Step(sighting.at, *ends, label)


def _heading(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{text}"


def _table(row: dict[str, Any]) -> str:
    """The fields that have a value, one on a line."""
    shown = {name: value for name, value in row.items() if value not in (None, "", [])}
    width = max(map(len, shown))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown.items())
