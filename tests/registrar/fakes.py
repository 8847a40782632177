"""What the registrar's tests stand on: flows that go nowhere, a writer that remembers, a directory that was never in a
store.
"""

from __future__ import annotations

from typing import Any, cast

import attrs
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads

from gosip_py.events import BindingAdded, BindingRefreshed, BindingRemoved, Bus
from gosip_py.sip.headers import Via
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from gosip_py.store.credentials import ha1
from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.records import Binding, BindingKey, Device, User
from gosip_py.store.sqlite import SqliteDatabase
from gosip_py.store.users import Users
from gosip_py.transport.flow import Address, Flow

NOW = 1_800_000_000.0
REALM = "gosip"
PASSWORD = "correct horse"


class StillFlow(Flow):
    """A flow that keeps what is sent."""

    __slots__ = ("has_failed", "is_reliable", "is_secure", "sent")

    def __init__(
        self, transport: str = "UDP", remote: Address = ("192.0.2.5", 5060), local: Address = ("192.0.2.1", 5060)
    ) -> None:
        self.transport = transport
        self.remote = remote
        self.local = local
        self.sent_by = f"[{local[0]}]:{local[1]}" if ":" in local[0] else f"{local[0]}:{local[1]}"
        self.via_head = f"SIP/2.0/{transport} {self.sent_by};rport;branch="
        self.record_route = f"<sip:{self.sent_by};transport={transport.lower()};lr>"
        self.is_reliable = transport != "UDP"
        self.is_secure = transport == "TLS"
        self.has_failed = False
        self.sent: list[bytes] = []

    @property
    def is_open(self) -> bool:
        return not self.has_failed

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def answering(self, via: Via) -> Flow:
        return self


class RememberingWriter:
    """Keeps the last value of each key, as the store would have it, and how often it was told."""

    def __init__(self) -> None:
        self.rows: dict[BindingKey, Binding] = {}
        self.puts = 0

    def put(self, key: BindingKey, value: Binding | BindingKey) -> None:
        self.puts += 1
        if isinstance(value, Binding):
            self.rows[key] = value
        else:
            self.rows.pop(key, None)


class Journal:
    """The binding events of a bus, as (event name, contact, reason)."""

    def __init__(self, bus: Bus) -> None:
        self.events: list[tuple[str, str, str]] = []
        bus.subscribe(BindingAdded, self._note)
        bus.subscribe(BindingRefreshed, self._note)
        bus.subscribe(BindingRemoved, self._note)

    def _note(self, event: BindingAdded | BindingRefreshed | BindingRemoved) -> None:
        self.events.append((type(event).__name__, event.contact, event.reason))

    def take(self) -> list[tuple[str, str, str]]:
        taken, self.events = self.events, []
        return taken


def user(id: int = 1, login: str = "alice", **others: Any) -> User:
    first = User(id, login, f"{login}@example.com", login.title(), "user", True, "proxy", False, "", NOW, NOW)
    return attrs.evolve(first, **others)


def device(id: int = 10, user_id: int = 1, username: str = "alice-desk", **others: Any) -> Device:
    md5, sha256 = ha1("MD5", username, REALM, PASSWORD), ha1("SHA-256", username, REALM, PASSWORD)
    first = Device(id, user_id, username, username, "softphone", True, False, REALM, md5, sha256, NOW, NOW)
    return attrs.evolve(first, **others)


def directory(*records: User | Device) -> Directory:
    """The real directory, filled without its store."""
    database = SqliteDatabase(":memory:", cast(IReactorFromThreads, reactor))
    filled = Directory(Users(database), Devices(database))
    for record in records:
        if isinstance(record, User):
            filled.apply_user(record)
        else:
            filled.apply_device(record)
    return filled


def binding(contact: str = "sip:alice@192.0.2.5:5060", aor: str = "sip:alice@example.com", **others: Any) -> Binding:
    first = Binding(
        aor,
        contact,
        "call-1",
        1,
        1000,
        NOW + 60,
        NOW,
        "UDP",
        "192.0.2.5:5060",
        "192.0.2.1:5060",
        "",
        "Phone/1",
        "",
        None,
        10,
    )
    return attrs.evolve(first, **others)


def request(text: str) -> Request:
    """A request from lines; line ends and the empty line at the end are put right."""
    head, _, body = text.strip("\n").partition("\n\n")
    message = parse_message(("\r\n".join(head.split("\n")) + "\r\n\r\n" + body).encode())
    assert isinstance(message, Request)
    return message


class Addresses:
    """Listeners at (numeric host without brackets, port)."""

    def __init__(self, *pairs: Address) -> None:
        self.port_numbers = frozenset(port for _, port in pairs)
        self._hosts = frozenset(f"[{host}]" if ":" in host else host for host, _ in pairs)

    def names_us(self, host: str) -> bool:
        return host in self._hosts
