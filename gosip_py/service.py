"""The wiring: opens the rooms bottom-up, closes them top-down.

Each `_open_...` step pushes what closes it again, so a start that fails half-way, a stop, and a stop during the start
all leave nothing behind.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from gosip_py import __version__
from gosip_py.background import Background
from gosip_py.call.core import Core, Trust
from gosip_py.call.journal import Journal
from gosip_py.call.reception import Closed, Reception
from gosip_py.call.router import ExtensionRouter
from gosip_py.call.session_journal import LiveSessions, SessionJournal
from gosip_py.certs.self_signed import ensure_self_signed
from gosip_py.certs.store import CertificateStore, CertificateUnusable
from gosip_py.config import Settings, parse_listen
from gosip_py.events import Bus, StoreAvailable, StoreUnavailable
from gosip_py.metrics import Metrics
from gosip_py.proxy.proxy import Proxy
from gosip_py.proxy.session import Sessions
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Location
from gosip_py.registrar.registrar import Registrar, RegistrationLimits
from gosip_py.registrar.rule import DirectoryRule
from gosip_py.signals import Signals
from gosip_py.sip.digest import Algorithm, NonceFactory
from gosip_py.store.accounts import WebSessions
from gosip_py.store.address import database_at
from gosip_py.store.bindings import Bindings
from gosip_py.store.calls import CallJournal
from gosip_py.store.database import Database, DatabaseUnavailable, Observe, unheard, unobserved
from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.migrate import MigrationError, migrate
from gosip_py.store.passwords import Passwords
from gosip_py.store.records import Binding, BindingKey
from gosip_py.store.sessions import Sessions as SessionRows
from gosip_py.store.users import Users
from gosip_py.store.write_behind import WriteBehind
from gosip_py.transaction.authenticate import Authenticator
from gosip_py.transaction.layer import Limits as TransactionLimits
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.timers import Timing
from gosip_py.transport.addressing import Advertising
from gosip_py.transport.admission import Limits as ConnectionLimits
from gosip_py.transport.layer import TransportLayer
from gosip_py.transport.tls import TlsTrust
from gosip_py.upkeep import DAY, Upkeep
from gosip_py.web.live import LocationView
from gosip_py.web.site import Admin
from gosip_py.web.system import Certificate, Listener

__all__ = ["Server", "StartFailed", "open_store"]

DEFAULT_DOMAIN = "gosip.local"
STORE_PATIENCE = 60.0  # how long a start waits for a database that is not there yet
LEAST_FREE_OCTETS = 64 * 1024 * 1024

Stop = Callable[[], Awaitable[object]]


class StartFailed(Exception):
    """The server cannot start as it is set up; the text says what to change."""


async def open_store(
    reactor: Any,
    settings: Settings,
    data_dir: Path,
    *,
    observe: Observe = unobserved,
    changed: Callable[[bool], None] = unheard,
) -> Database:
    """The database of the settings, open and with its schema up to date; DatabaseUnavailable or MigrationError."""
    url = settings.store.url or f"sqlite:///{data_dir / 'gosip.sqlite'}"
    database = database_at(url, reactor, observe=observe, changed=changed)
    await database.open()
    try:
        _ = await migrate(database, reactor.seconds())
    except BaseException:
        await database.close()
        raise
    return database


class Server(Service):
    """The whole server. It is started and stopped once."""

    log = Logger()

    def __init__(self, reactor: Any, settings: Settings, data_dir: Path) -> None:
        self._reactor = reactor
        self._settings = settings
        self._data_dir = data_dir
        self._rooms = AsyncExitStack()
        self._bus = Bus()
        self._metrics = Metrics()
        self._background = Background()
        self._http: list[Listener] = []
        self._certificates: CertificateStore | None = None
        self._setup_code: str | None = None
        self._is_open = False
        self._signals = Signals(reactor, reactor.stop, self.reload)
        self._opening: Deferred[None] | None = None

    # -- start and stop -----------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to open the rooms; "gosip is ready" is logged when all are."""
        Service.startService(self)
        self._opening = Deferred.fromCoroutine(self._open()).addErrback(self._give_up)

    def stopService(self) -> Deferred[None]:
        """Let calls end for a while, then close everything. Fires when the last file is closed."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._close())

    async def _open(self) -> None:
        self._signals.take()
        self._rooms.callback(self._signals.give_back)
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._open_store()
        await self._open_people()
        await self._open_signalling()
        await self._listen_sip()
        await self._listen_http()
        self._start_upkeep()
        self._is_open = True
        self._announce()

    async def _close(self) -> None:
        if self._is_open:
            await self._drain()
        elif self._opening is not None:
            self._opening.cancel()
        self._is_open = False
        await self._rooms.aclose()

    def _give_up(self, fault: Failure) -> None:
        """Say why the start failed, and let the process end with an exit code that says so too."""
        if self._opening is None or not self.running:
            return
        if fault.check(StartFailed, OSError, DatabaseUnavailable, MigrationError, CertificateUnusable):
            self.log.critical("gosip cannot start: {reason}", reason=str(fault.value))
        else:
            self.log.failure("gosip cannot start", fault)
        # twistd has no way to tell that a service failed: its exit code is 0 whatever happened.
        atexit.register(_exit_with_failure)
        self._reactor.stop()

    def reload(self) -> None:
        """Begin to read again what may change under a running server."""
        _ = self._background.start("reload", self._reload())

    async def _reload(self) -> None:
        """Read again what may change under a running server: the certificate, the users and devices."""
        if self._certificates is not None:
            try:
                is_new = self._certificates.reload()
                self.log.info("certificate read again: {state}", state="a new one" if is_new else "unchanged")
            except CertificateUnusable as error:
                self.log.error("the certificate stays as it was: {reason}", reason=str(error))
        await self._directory.load()

    async def _drain(self) -> None:
        """New calls are refused, those that are up may go on for `drain_seconds`."""
        self._core.is_draining = True
        deadline = self._reactor.seconds() + self._settings.limits.drain_seconds
        if self._sessions.calls:
            self.log.info("waiting for {count} calls to end", count=self._sessions.calls)
        while self._sessions.calls and self._reactor.seconds() < deadline and not self._signals.is_hurried:
            await deferLater(self._reactor, 0.1)

    # -- the rooms, bottom-up -----------------------------------------------------------------------------------------

    async def _open_store(self) -> None:
        self._database = await self._wait_for_store()
        self._rooms.push_async_callback(self._database.close)
        now = self._reactor.seconds()
        calls, sessions = CallJournal(self._database), SessionRows(self._database)
        left = await calls.close_open(now)
        await sessions.close_open(now)
        if left:
            self.log.warn("{count} calls of an earlier run were open and are closed as failed", count=left)
        self._call_rows, self._session_rows = calls, sessions

    async def _wait_for_store(self) -> Database:
        """A database that starts together with us may take a while; one that is wrong is told from it by patience."""
        deadline = self._reactor.seconds() + STORE_PATIENCE
        while True:
            try:
                return await open_store(
                    self._reactor,
                    self._settings,
                    self._data_dir,
                    observe=self._observe_store,
                    changed=self._store_changed,
                )
            except DatabaseUnavailable as error:
                if self._reactor.seconds() >= deadline:
                    raise
                self.log.warn("waiting for the store: {reason}", reason=str(error))
                await deferLater(self._reactor, 1.0)

    def _observe_store(self, operation: str, seconds: float) -> None:
        self._metrics.store_seconds.child(operation).observe(seconds)

    def _store_changed(self, is_available: bool) -> None:
        now = self._reactor.seconds()
        self._bus.publish(StoreAvailable(now) if is_available else StoreUnavailable(now, "the store does not answer"))
        # What happens to the store while we open or close it is told by whoever opens or closes it.
        if self._is_open and is_available:
            self.log.info("the store answers again")
        elif self._is_open:
            self.log.error("the store does not answer; calls and registrations go on from memory")

    async def _open_people(self) -> None:
        users = Users(self._database)
        self._directory = Directory(users, Devices(self._database))
        self._passwords = Passwords(self._reactor)
        self._passwords.start()
        self._rooms.callback(self._passwords.stop)
        if not await users.count():
            await self._welcome(users)
        await self._directory.load()
        others = sum(1 for device in self._directory.all_devices() if device.realm != self._settings.auth.realm)
        if others:
            self.log.warn(
                "{count} devices were made for another realm and cannot sign in until they get a new password",
                count=others,
            )

    async def _welcome(self, users: Users) -> None:
        """The first administrator: from the environment, or by whoever holds the code that is shown once."""
        email, password = os.environ.get("GOSIP_ADMIN_EMAIL", ""), os.environ.get("GOSIP_ADMIN_PASSWORD", "")
        if not (email and password):
            self._setup_code = secrets.token_urlsafe(12)
            return
        login = email.partition("@")[0]
        hashed = await self._passwords.hash(password)
        await users.create(
            login=login,
            email=email,
            display_name=login,
            role="admin",
            password_hash=hashed,
            now=self._reactor.seconds(),
        )
        self.log.info("the administrator {login} was made from the environment", login=login)

    async def _open_signalling(self) -> None:
        settings, reactor, metrics = self._settings, self._reactor, self._metrics
        sip = settings.sip
        networks = tuple(ip_network(network) for network in sip.local_networks)
        limits = settings.limits
        self._transport = TransportLayer(
            reactor,
            metrics,
            Advertising(sip.advertised_address, networks),
            ConnectionLimits(limits.connections, limits.connections_per_address, limits.idle_seconds),
            TlsTrust(sip.tls_verify_peer),
        )
        self._domains = Domains(sip.domain or sip.advertised_address or DEFAULT_DOMAIN, self._transport)
        timing = Timing(sip.timer_t1, sip.timer_t2, sip.timer_t4)
        self._layer = TransactionLayer(
            reactor, self._transport, Closed(), metrics, timing, TransactionLimits(limits.transactions)
        )
        self._sender = Sender(self._layer, self._transport, self._transport.resolver)
        await self._open_location()
        self._transport.user = Reception(self._layer, self._location)
        await self._open_calls()
        self._layer.user = self._core

    async def _open_location(self) -> None:
        repository = Bindings(self._database)
        writer: WriteBehind[BindingKey, Binding | BindingKey] = WriteBehind(self._reactor, repository.apply)
        self._rooms.push_async_callback(writer.close)
        self._metrics.rows_dropped.read_from("bindings", lambda: writer.dropped)
        self._location = Location(writer, self._bus, self._metrics)
        await self._location.restore(repository, self._reactor.seconds())
        self._location.start(self._reactor)
        self._rooms.callback(self._location.stop)

    async def _open_calls(self) -> None:
        reactor, settings = self._reactor, self._settings
        self._journal = Journal(reactor, self._call_rows.write, self._bus, self._metrics)
        self._rooms.push_async_callback(self._journal.close)
        session_journal = SessionJournal(reactor, self._session_rows.write, self._metrics)
        self._rooms.push_async_callback(session_journal.close)
        self._sessions = Sessions(
            self._layer.wheel,
            reactor.seconds,
            self._bus,
            self._metrics,
            settings.limits.call_seconds,
            64 * settings.sip.timer_t1,
            session_journal.note,
        )
        # The sessions first: whoever rings is told while there is still a way to tell.
        self._rooms.push_async_callback(self._transport.stop)
        self._rooms.callback(self._layer.stop)
        self._rooms.callback(self._sessions.close, "The server is stopping")
        self._core = self._make_core()

    def _make_core(self) -> Core:
        reactor, settings = self._reactor, self._settings
        nonces = NonceFactory(secrets.token_bytes(32), settings.auth.nonce_seconds)
        algorithms = tuple(Algorithm(name) for name in settings.auth.algorithms)
        authenticator = Authenticator(
            self._directory,
            settings.auth.realm,
            nonces,
            self._metrics,
            reactor.seconds,
            algorithms,
            self._domains.contains,
        )
        rule = DirectoryRule(self._directory)
        limits = settings.registrar
        bounds = RegistrationLimits(limits.default_expires, limits.min, limits.max, limits.max_contacts)
        registrar = Registrar(self._location, authenticator, rule, self._domains, bounds, reactor.seconds)
        return Core(
            registrar=registrar,
            proxy=Proxy(self._sender, self._transport, self._sessions, settings.sip.timer_c),
            sessions=self._sessions,
            router=ExtensionRouter(self._directory, self._location, self._domains),
            authenticator=authenticator,
            rule=rule,
            domains=self._domains,
            trust=Trust(tuple(ip_network(network) for network in settings.auth.trusted_networks)),
            owner=self._directory.user,
            now=reactor.seconds,
            is_merged=self._layer.is_merged,
        )

    async def _listen_sip(self) -> None:
        sip, transport = self._settings.sip, self._transport
        for listens, listen in ((sip.udp, transport.listen_udp), (sip.tcp, transport.listen_tcp)):
            for text in listens:
                _bind(text, listen)
        if sip.tls:
            certificates = self._certificates = self._open_certificates()
            for text in sip.tls:
                _bind(text, lambda host, port: transport.listen_tls(host, port, certificates))

    def _open_certificates(self) -> CertificateStore:
        sip = self._settings.sip
        if sip.tls_certificate:
            return CertificateStore(Path(sip.tls_certificate), Path(sip.tls_private_key))
        names = [self._domains.canonical, sip.advertised_address, *(parse_listen(text)[0] for text in sip.tls)]
        files = ensure_self_signed(self._data_dir / "certs", names, datetime.now(UTC))
        return CertificateStore(files.certificate, files.key)

    async def _listen_http(self) -> None:
        settings = self._settings
        site = Admin(
            database=self._database,
            directory=self._directory,
            passwords=self._passwords,
            registrations=LocationView(self._location, self._reactor.seconds),
            sessions=LiveSessions(self._sessions),
            system=self,
            readiness=self.missing,
            metrics=self._metrics,
            bus=self._bus,
            clock=self._reactor,
            public_url=settings.http.public_url,
            trusted_proxies=settings.http.trusted_proxies,
            setup_code=self._setup_code,
            realm=settings.auth.realm,
            domain=self._domains.canonical,
        ).site()
        for text in settings.http.listen:
            port = _bind(text, lambda host, number: self._reactor.listenTCP(number, site, interface=host))
            self._rooms.push_async_callback(_stopper(port))
            bound = port.getHost()
            self._http.append(Listener("HTTP", bound.host, bound.port))

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _start_upkeep(self) -> None:
        kept = self._settings.store
        prunes = (
            (self._call_rows.prune, kept.journal_days * DAY),
            (self._session_rows.prune, kept.session_days * DAY),
            (WebSessions(self._database).prune, 0.0),
            (Bindings(self._database).prune, 0.0),
        )
        self._rooms.push_async_callback(self._background.stop)
        Upkeep(self._reactor, self._background, self._directory, prunes).start()

    async def missing(self) -> Mapping[str, str]:
        """What keeps the server from working, by part; empty when it is ready."""
        faults: dict[str, str] = {}
        if not self._is_open or not self.running:
            faults["server"] = "it is starting or stopping"
        try:
            await self._database.check()
        except DatabaseUnavailable as error:
            faults["store"] = str(error) or "the store does not answer"
        if self._journal.backlog and not self._database.is_available:
            faults["journal"] = f"{self._journal.backlog} rows wait for the store"
        asked = len(self._settings.sip.udp) + len(self._settings.sip.tcp) + len(self._settings.sip.tls)
        if len(self._transport.ports()) != asked:
            faults["ports"] = "not every SIP port is open"
        if shutil.disk_usage(self._data_dir).free < LEAST_FREE_OCTETS:
            faults["disk"] = "less than 64 MiB are free"
        return faults

    def listeners(self) -> Sequence[Listener]:
        """Every listening socket, with the port it really has."""
        return [*(Listener(port.transport, port.host, port.port) for port in self._transport.ports()), *self._http]

    def certificate(self) -> Certificate | None:
        """The certificate of the TLS sockets, None when there are none."""
        store = self._certificates
        if store is None:
            return None
        return Certificate(store.subject, store.expires_at.timestamp(), store.is_self_signed)

    def _announce(self) -> None:
        """One line for each address, what TLS shows, and the link of the first run."""
        for port in self._transport.ports():
            self.log.info("listening on {listener}", listener=str(port))
        for http in self._http:
            self.log.info("the page is at {url}", url=_url_of(http))
        store = self._certificates
        if store is not None and store.is_self_signed:
            self.log.info("TLS shows a self-signed certificate, SHA-256 {fingerprint}", fingerprint=store.fingerprint)
        if self._setup_code is not None and self._http:
            base = self._settings.http.public_url or _url_of(self._http[0])
            self.log.info(
                "set up the first administrator at {url}/setup?code={code}", url=base.rstrip("/"), code=self._setup_code
            )
        self.log.info("gosip {version} is ready", version=__version__)


def _bind(text: str, listen: Callable[[str, int], Any]) -> Any:
    """Listen at ``address:port``; StartFailed names the address when it cannot be had."""
    host, port = parse_listen(text)
    try:
        return listen(host, port)
    except Exception as error:
        # Twisted wraps the OSError of a port that is taken into an exception of its own.
        raise StartFailed(f"cannot listen on {text}: {getattr(error, 'socketError', error)}") from error


def _stopper(port: Any) -> Stop:
    async def stop() -> None:
        await port.stopListening()

    return stop


def _url_of(listener: Listener) -> str:
    host = "127.0.0.1" if listener.address == "0.0.0.0" else listener.address
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.port}/"


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
