"""A site on a free loopback port, three people who may call it, and a client."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs
import treq
from argon2 import PasswordHasher
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorFromThreads, IReactorTCP
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from gosip_py.call.rung import Rung
from gosip_py.events import Bus, DeviceChanged, FeatureCodeChanged, GroupChanged, UserChanged
from gosip_py.metrics import Metrics
from gosip_py.registrar.location import Contact, Location
from gosip_py.store import credentials
from gosip_py.store.accounts import ApiTokens
from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.feature_codes import FeatureCodes
from gosip_py.store.migrate import migrate
from gosip_py.store.passwords import Passwords
from gosip_py.store.records import Binding, BindingKey, Device, GroupStatistics, SessionRow, User
from gosip_py.store.ring_groups import RingGroups
from gosip_py.store.sqlite import SqliteDatabase
from gosip_py.store.users import Users
from gosip_py.web.live import LocationView
from gosip_py.web.site import Admin
from gosip_py.web.system import Certificate, Listener
from tests.web.live_calls import Calls

NOW = 1_767_323_045.678
NOW_TEXT = "2026-01-02T03:04:05.678Z"
CODE = "one-time-code"
PASSWORD = "correct horse"
# Cheap, so that a test does not wait for it; the real costs come with the first sign-in.
CHEAP_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@attrs.frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def one(self) -> Any:
        """What is in the envelope."""
        return self.json["data"]

    @property
    def code(self) -> str:
        code: str = self.json["error"]["code"]
        return code

    @property
    def fields(self) -> list[str]:
        """Which fields an error speaks of."""
        return [detail["field"] for detail in self.json["error"]["details"]]


class NoWriter:
    def put(self, key: BindingKey, value: Binding | BindingKey) -> None:
        pass


class Dialogs:
    def __init__(self) -> None:
        self.rows: list[SessionRow] = []

    def list(self) -> Sequence[SessionRow]:
        return self.rows


class Ladders:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[Rung, ...]] = {}

    async def read(self, call: str) -> Sequence[Rung] | None:
        return self.kept.get(call)


class Counts:
    def __init__(self) -> None:
        self.rows: list[GroupStatistics] = []

    def of(self, group_id: int) -> Sequence[GroupStatistics]:
        return [row for row in self.rows if row.group_id == group_id]


class Facts:
    def listeners(self) -> Sequence[Listener]:
        return [Listener("UDP", "127.0.0.1", 5060), Listener("TLS", "::1", 5061)]

    def certificate(self) -> Certificate | None:
        return Certificate("CN=gosip", NOW + 86400, True)


class WebCase(TestCase):
    """Starts a site before each test. Whoever calls is named by a token: "admin", "alice", "bob", or "" for nobody."""

    public_url = ""
    trusted_proxies: Sequence[str] = ()
    setup_code: str | None = CODE
    has_people = True

    async def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database = SqliteDatabase(":memory:", IReactorFromThreads(reactor))
        await self.database.open()
        self.addCleanup(self._close)
        await migrate(self.database, NOW)
        self.users, self.devices, self.tokens = Users(self.database), Devices(self.database), ApiTokens(self.database)
        self.groups, self.codes = RingGroups(self.database), FeatureCodes(self.database)
        self.directory = Directory(self.users, self.devices, self.groups, self.codes)
        self.passwords = Passwords(IReactorFromThreads(reactor))
        self.passwords.start()
        self.metrics, self.bus = Metrics(), Bus()
        self.changes: list[object] = []
        for event_type in (UserChanged, DeviceChanged, GroupChanged, FeatureCodeChanged):
            self.bus.subscribe(event_type, self.changes.append)
        self.location = Location(NoWriter(), self.bus, self.metrics)
        self.dialogs, self.calls, self.ladders, self.counts = Dialogs(), Calls(), Ladders(), Counts()
        self.missing: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        if self.has_people:
            await self._settle()
        self._listen()

    async def _close(self) -> None:
        self.passwords.stop()
        await self.database.close()

    async def _settle(self) -> None:
        self.admin = await self._person("admin", "admin")
        self.alice = await self._person("alice", "user")
        self.bob = await self._person("bob", "user")
        self.phone = await self.add_device(self.alice, "alice-desk")
        self.other_phone = await self.add_device(self.bob, "bob-desk")

    async def _person(self, login: str, role: str) -> User:
        user = await self.users.create(
            login=login, email=f"{login}@example.org", role=role, password_hash=CHEAP_HASH, now=NOW
        )
        self.directory.apply_user(user)
        self.secrets[login] = credentials.token()
        await self.tokens.create(
            user_id=user.id, name="test", token_hash=credentials.token_hash(self.secrets[login]), now=NOW
        )
        return user

    async def add_device(self, user: User, username: str) -> Device:
        device = await self.devices.create(
            user_id=user.id, username=username, realm="gosip", ha1_md5="m", ha1_sha256="s", now=NOW
        )
        self.directory.apply_device(device)
        return device

    def add_binding(self, device: Device | None, aor: str, contact: str, **fields: Any) -> Binding:
        given: dict[str, Any] = {
            "aor": aor,
            "contact": contact,
            "call_id": "c",
            "cseq": 1,
            "q": 500,
            "expires_at": NOW + 600,
            "registered_at": NOW,
            "transport": "UDP",
            "source": "127.0.0.1:5070",
            "local": "127.0.0.1:5060",
            "user_agent": "phone",
            "device_id": device.id if device else None,
        }
        binding = Binding(**given | fields)
        self.location.add(Contact(binding, None), NOW)
        return binding

    async def readiness(self) -> Mapping[str, str]:
        return self.missing

    def _listen(self) -> None:
        self.site = Admin(
            database=self.database,
            directory=self.directory,
            passwords=self.passwords,
            registrations=LocationView(self.location, self.clock.seconds),
            sessions=self.dialogs,
            system=Facts(),
            readiness=self.readiness,
            metrics=self.metrics,
            bus=self.bus,
            clock=self.clock,
            public_url=self.public_url,
            trusted_proxies=self.trusted_proxies,
            setup_code=self.setup_code,
            domain="example.org",
            calls=self.calls,
            ladders=self.ladders,
            group_counts=self.counts,
        ).site()
        factory: Any = self.site
        self.port: Any = IReactorTCP(reactor).listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.port_number: int = cast("IPv4Address", self.port.getHost()).port

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        who: str = "admin",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:
        """Send `body` as JSON, or `content` as it is, in the name of `who`."""
        sent = {"Authorization": f"Bearer {self.secrets[who]}"} if who else {}
        if body is not None:
            sent["Content-Type"], content = "application/json", json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port_number}{path}"
        lines = Headers({name: [value] for name, value in {**sent, **(headers or {})}.items()})
        # A client of its own for each, since it would keep cookies.
        client = HTTPClient(Agent(reactor, HTTPConnectionPool(reactor, persistent=False)))
        response = await client.request(method, url, headers=lines, data=content, allow_redirects=False)
        received = {name.decode().title(): values[-1].decode() for name, values in response.headers.getAllRawHeaders()}
        return Reply(response.code, received, await treq.content(response))

    async def get(self, path: str, who: str = "admin") -> Reply:
        return await self.request("GET", path, who=who)

    async def sign_in(self, name: str, password: str = PASSWORD, **options: Any) -> Reply:
        return await self.request("POST", "/api/auth/login", {"email": name, "password": password}, "", **options)

    async def cookie_of(self, name: str, password: str = PASSWORD) -> str:
        """Sign in, and give the cookie as a browser sends it back."""
        return (await self.sign_in(name, password)).headers["Set-Cookie"].partition(";")[0]
