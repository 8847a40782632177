"""The whole server: the order in which its parts open and close, and what happens to it in between."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from gosip_py import __version__
from gosip_py.call.session_journal import LiveSessions
from gosip_py.certs.store import CertificateUnusable
from gosip_py.config import Settings
from gosip_py.service.ground import Ground, StartFailed, Stop
from gosip_py.service.listening import SipListeners, bind
from gosip_py.service.people import People
from gosip_py.service.signalling import Signalling
from gosip_py.service.storage import Storage
from gosip_py.signals import Signals
from gosip_py.store.accounts import WebSessions
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.ladders import CallLadders
from gosip_py.store.migrate import MigrationError
from gosip_py.upkeep import DAY, Upkeep
from gosip_py.web.live import LocationView
from gosip_py.web.site import Admin
from gosip_py.web.system import Certificate, Listener

__all__ = ["Server"]

LEAST_FREE_OCTETS = 64 * 1024 * 1024


class Server(Service):
    """The whole server. It is started and stopped once."""

    log = Logger()

    def __init__(self, reactor: Any, settings: Settings, data_dir: Path) -> None:
        self._ground = Ground(reactor, settings, data_dir)
        self._signals = Signals(reactor, reactor.stop, self.reload)
        self._http: list[Listener] = []
        self._is_open = False
        self._opening: Deferred[None] | None = None
        self._storage: Storage
        self._people: People
        self._signalling: Signalling
        self._sip: SipListeners

    # -- start and stop -----------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to open the parts; "gosip is ready" is logged when all are."""
        Service.startService(self)
        self._opening = Deferred.fromCoroutine(self._open())
        _ = self._opening.addErrback(self._give_up)

    def stopService(self) -> Deferred[None]:
        """Let calls end for a while, then close everything. Fires when the last file is closed."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._close())

    async def _open(self) -> None:
        ground = self._ground
        self._signals.take()
        ground.closing.callback(self._signals.give_back)
        ground.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._storage = Storage(ground)
        await self._storage.open()
        self._people = People(ground, self._storage.database)
        await self._people.open()
        self._signalling = Signalling(ground, self._storage, self._people.directory)
        await self._signalling.open()
        self._sip = SipListeners(ground, self._signalling.transport, self._signalling.domains.canonical)
        self._sip.open()
        self._signalling.keep_alive()
        self._listen_http()
        self._start_upkeep()
        self._set_open(True)
        # Users, devices and bindings are here to stay: whoever collects cycles need not look at them again and again.
        gc.collect()
        gc.freeze()
        self._announce()

    def _set_open(self, is_open: bool) -> None:
        self._is_open = is_open
        self._storage.tell_changes(is_open)

    async def _close(self) -> None:
        if self._is_open:
            await self._drain()
            self._set_open(False)
        elif self._opening is not None:
            self._opening.cancel()
        await self._ground.closing.aclose()

    def _give_up(self, fault: Failure) -> None:
        """Say why the start failed, and let the process end with an exit code that says so too."""
        if not self.running:
            return
        if fault.check(StartFailed, OSError, DatabaseUnavailable, MigrationError, CertificateUnusable):
            self.log.critical("gosip cannot start: {reason}", reason=str(fault.value))
        else:
            self.log.failure("gosip cannot start", fault)
        # twistd has no way to tell that a service failed: its exit code is 0 whatever happened.
        atexit.register(_exit_with_failure)
        # At once, or when the reactor has begun: what fails before the first wait fails before that.
        self._ground.reactor.callWhenRunning(self._ground.reactor.stop)

    def reload(self) -> None:
        """Begin to read again what may change under a running server: the certificate, the users and devices."""
        _ = self._ground.background.start("reload", self._reload())

    async def _reload(self) -> None:
        if not self._is_open:
            return  # everything is being read for the first time, or not needed any more
        self._sip.reload()
        await self._people.directory.load()

    async def _drain(self) -> None:
        """New calls are refused, those that are up may go on for `drain_seconds`."""
        reactor, signalling = self._ground.reactor, self._signalling
        signalling.core.initial.is_draining = signalling.switching.switch.is_draining = True
        deadline = reactor.seconds() + self._ground.settings.limits.drain_seconds
        if signalling.calls:
            self.log.info("waiting for {count} calls to end", count=signalling.calls)
        while signalling.calls and reactor.seconds() < deadline and not self._signals.is_hurried:
            await deferLater(reactor, 0.1)

    # -- the page and the API -----------------------------------------------------------------------------------------

    def _listen_http(self) -> None:
        ground, people, signalling = self._ground, self._people, self._signalling
        http = ground.settings.http
        site = Admin(
            database=self._storage.database,
            directory=people.directory,
            passwords=people.passwords,
            registrations=LocationView(signalling.location, ground.now),
            sessions=LiveSessions(signalling.sessions, signalling.switching.dialogs),
            calls=signalling.switching.live,
            ladders=signalling.ladders,
            group_counts=signalling.switching.groups,
            system=self,
            readiness=self.missing,
            metrics=ground.metrics,
            bus=ground.bus,
            clock=ground.reactor,
            public_url=http.public_url,
            trusted_proxies=http.trusted_proxies,
            setup_code=people.setup_code,
            realm=ground.settings.auth.realm,
            domain=signalling.domains.canonical,
        ).site()
        for text in http.listen:
            port = bind(text, lambda host, number: ground.reactor.listenTCP(number, site, interface=host))
            ground.closing.push_async_callback(_stopper(port))
            bound = port.getHost()
            self._http.append(Listener("HTTP", bound.host, bound.port))

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _start_upkeep(self) -> None:
        ground, storage = self._ground, self._storage
        kept = ground.settings.store
        prunes = (
            (storage.calls.prune, kept.journal_days * DAY),
            (storage.sessions.prune, kept.session_days * DAY),
            (CallLadders(storage.database).prune, kept.ladder_days * DAY),
            (WebSessions(storage.database).prune, 0.0),
            (storage.bindings.prune, 0.0),
            (self._signalling.messages.mailboxes.prune, 0.0),
        )
        ground.closing.push_async_callback(ground.background.stop)
        Upkeep(ground.reactor, ground.background, self._people.directory, prunes).start()

    async def missing(self) -> Mapping[str, str]:
        """What keeps the server from working, by part; empty when it is ready."""
        faults: dict[str, str] = {}
        database, journal = self._storage.database, self._signalling.journal
        if not self._is_open or not self.running:
            faults["server"] = "it is starting or stopping"
        try:
            await database.check()
        except DatabaseUnavailable as error:
            faults["store"] = str(error) or "the store does not answer"
        if journal.backlog and not database.is_available:
            faults["journal"] = f"{journal.backlog} rows wait for the store"
        if not self._sip.are_complete:
            faults["ports"] = "not every SIP port is open"
        if shutil.disk_usage(self._ground.data_dir).free < LEAST_FREE_OCTETS:
            faults["disk"] = "less than 64 MiB are free"
        return faults

    def listeners(self) -> Sequence[Listener]:
        """Every listening socket, with the port it really has."""
        ports = self._signalling.transport.ports()
        return [*(Listener(port.transport, port.host, port.port) for port in ports), *self._http]

    def certificate(self) -> Certificate | None:
        """The certificate of the TLS sockets, None when there are none."""
        return self._sip.certificate()

    def _announce(self) -> None:
        """One line for each address, what TLS shows, and the link of the first run."""
        self._sip.announce()
        for http in self._http:
            self.log.info("the page is at {url}", url=_url_of(http))
        code = self._people.setup_code
        if code is not None and self._http:
            base = self._ground.settings.http.public_url or _url_of(self._http[0])
            self.log.info("set up the first administrator at {url}/setup?code={code}", url=base.rstrip("/"), code=code)
        self.log.info("gosip {version} is ready", version=__version__)


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
