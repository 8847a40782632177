"""Opens SIP: transports, transactions, registrations, calls, and the core that brings them together."""

from __future__ import annotations

import secrets
from ipaddress import ip_network

from gosip_py.call.attempts import Attempts
from gosip_py.call.core import Core
from gosip_py.call.correspondents import Correspondents
from gosip_py.call.dereference import dereference_by
from gosip_py.call.identification import Identification, Trust
from gosip_py.call.initial import InitialRequests
from gosip_py.call.journal import Journal
from gosip_py.call.ladder import Ladders
from gosip_py.call.reception import Closed, Reception
from gosip_py.call.router import ExtensionRouter
from gosip_py.call.session_journal import SessionJournal
from gosip_py.messaging.relay import MessageRelay
from gosip_py.notifier.notifier import Notifier
from gosip_py.proxy.flow_token import FlowTokens
from gosip_py.proxy.proxy import Proxy
from gosip_py.proxy.session import Sessions
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.gruu import Gruus
from gosip_py.registrar.keepalive import KeepAlive, LineEnds, Options
from gosip_py.registrar.location import Location
from gosip_py.registrar.registrar import Registrar, RegistrationLimits, RegistrationOffers
from gosip_py.registrar.rule import DirectoryRule
from gosip_py.service.ground import Ground
from gosip_py.service.messages import open_messages
from gosip_py.service.notifications import open_notifier
from gosip_py.service.storage import Storage
from gosip_py.service.switching import Switching
from gosip_py.sip.digest import Algorithm, NonceFactory
from gosip_py.store.directory import Directory
from gosip_py.store.ladders import CallLadders
from gosip_py.store.offline_messages import OfflineMessages
from gosip_py.store.records import Binding, BindingKey
from gosip_py.store.secret_keys import SecretKeys
from gosip_py.store.write_behind import WriteBehind
from gosip_py.transaction.authenticate import Authenticator
from gosip_py.transaction.layer import Limits as TransactionLimits
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing
from gosip_py.transport.addressing import Advertising
from gosip_py.transport.admission import Limits as ConnectionLimits
from gosip_py.transport.layer import TransportLayer
from gosip_py.transport.tls import TlsTrust

__all__ = ["Signalling"]

DEFAULT_DOMAIN = "gosip.local"


class Signalling:
    """Everything between the sockets and the journal."""

    def __init__(self, ground: Ground, storage: Storage, directory: Directory) -> None:
        self._ground = ground
        self._storage = storage
        self._directory = directory
        settings, reactor, metrics = ground.settings, ground.reactor, ground.metrics
        self.transport = self._make_transport()
        sip = settings.sip
        self.domains = Domains(sip.domain or sip.advertised_address or DEFAULT_DOMAIN, self.transport)
        timing = self._timing = Timing(sip.timer_t1, sip.timer_t2, sip.timer_t4)
        limits = TransactionLimits(settings.limits.transactions)
        self.layer = TransactionLayer(reactor, self.transport, Closed(), metrics, timing, limits)
        self.sender = Sender(self.layer, self.transport, self.transport.locator)
        timers = settings.session_timers
        self._session_timers = SessionTimerPolicy(timers.mode, timers.min_se, timers.session_expires, timers.max_se)
        self._gruus: Gruus
        self.location: Location
        self.router: ExtensionRouter
        self.proxy: Proxy
        self.notifier: Notifier
        self.messages: MessageRelay
        self.journal: Journal
        self._session_journal: SessionJournal
        self.ladders: Ladders
        self.switching: Switching
        self.sessions: Sessions
        self.core: Core

    def _make_transport(self) -> TransportLayer:
        sip, limits = self._ground.settings.sip, self._ground.settings.limits
        networks = tuple(ip_network(network) for network in sip.local_networks)
        return TransportLayer(
            self._ground.reactor,
            self._ground.metrics,
            Advertising(sip.advertised_address, networks),
            ConnectionLimits(limits.connections, limits.connections_per_address, limits.idle_seconds),
            TlsTrust(sip.tls_verify_peer, allow_wildcards=sip.tls_allow_wildcards),
            sip.dns_servers,
        )

    async def open(self) -> None:
        """Everything but the sockets."""
        ground = self._ground
        secret = await SecretKeys(self._storage.database).obtain("sip")
        await self._open_location()
        self._open_books()
        self._gruus = Gruus(secret)
        self.router = ExtensionRouter(self._directory, self.location, self.domains, self._gruus)
        self.proxy = self._make_proxy(secret)
        await self._open_switch()
        self.notifier = open_notifier(ground, self.sender, self.location, self.domains, self._directory)
        correspondents = Correspondents(self._directory, self.router, self.domains, ground.now)
        shelf = OfflineMessages(self._storage.database)
        self.messages = await open_messages(ground, shelf, self.sender, self.proxy, correspondents)
        self.transport.user = Reception(self.layer, self.location, self.notifier)
        self.layer.user = self.core = self._make_core()
        # The calls first: whoever rings is told while there is still a way to tell.
        ground.closing.callback(self._close_calls)
        ground.closing.push_async_callback(self._hang_up)

    async def _open_switch(self) -> None:
        switching = self.switching = Switching(
            self._ground,
            self._storage,
            self._directory,
            sender=self.sender,
            timing=self._timing,
            session_timers=self._session_timers,
            router=self.router,
            domains=self.domains,
        )
        switching.dialogs.changed = self._session_journal.note
        await switching.open(self.sessions)
        self._count(switching)

    def _count(self, switching: Switching) -> None:
        """Those of the proxy and those of the switch together."""
        metrics, sessions, dialogs = self._ground.metrics, self.sessions, switching.dialogs
        metrics.active_dialogs.read_from(lambda: sessions.active + dialogs.active)
        metrics.dialog_entries.read_from(lambda: len(sessions) + len(dialogs))
        metrics.calls_active.read_from(lambda: self.calls)

    @property
    def calls(self) -> int:
        """Calls set up or being set up."""
        return self.sessions.calls + len(self.switching.switch)

    async def _hang_up(self) -> None:
        await self.switching.switch.hang_up_all()
        await self.sessions.hang_up_all()

    def _close_calls(self) -> None:
        reason = "The server is stopping"
        self.switching.switch.close(reason)
        self.switching.dialogs.close()
        self.sessions.close(reason)

    async def _open_location(self) -> None:
        ground, repository = self._ground, self._storage.bindings
        writer: WriteBehind[BindingKey, Binding | BindingKey] = WriteBehind(ground.reactor, repository.apply)
        ground.closing.push_async_callback(writer.close)
        ground.metrics.rows_dropped.read_from("bindings", lambda: writer.dropped)
        self.location = Location(writer, ground.bus, ground.metrics, ground.now)
        await self.location.restore(repository, ground.now())
        self.location.start(ground.reactor)
        ground.closing.callback(self.location.stop)

    def _open_books(self) -> None:
        """The journals and the registry of sessions, and what ends calls when the server stops."""
        ground, settings = self._ground, self._ground.settings
        self.journal = Journal(ground.reactor, self._storage.calls.write, ground.bus, ground.metrics)
        ground.closing.push_async_callback(self.journal.close)
        ladders = CallLadders(self._storage.database)
        self.ladders = Ladders(ground.reactor, ground.now, ladders, ground.bus, ground.metrics)
        ground.closing.push_async_callback(self.ladders.close)
        self.transport.tap = self.ladders
        session_journal = self._session_journal = SessionJournal(
            ground.reactor, self._storage.sessions.write, ground.metrics
        )
        ground.closing.push_async_callback(session_journal.close)
        self.sessions = Sessions(
            self.layer.wheel,
            ground.now,
            ground.bus,
            ground.metrics,
            settings.limits.call_seconds,
            64 * settings.sip.timer_t1,
            session_journal.note,
        )
        ground.closing.push_async_callback(self.transport.stop)
        ground.closing.callback(self.layer.stop)

    def _make_proxy(self, secret: bytes) -> Proxy:
        sip = self._ground.settings.sip
        return Proxy(
            self.sender,
            self.transport,
            self.sessions,
            sip.timer_c,
            self._session_timers,
            ring_seconds=sip.ring_seconds,
            tokens=FlowTokens(secret, self.transport),
            is_own_domain=self.domains.contains,
            dereference=dereference_by(self.router, self._ground.now),
        )

    def keep_alive(self) -> None:
        """Begin to ping the phones behind NATs; the sockets must be open."""
        ground, wanted = self._ground, self._ground.settings.registrar
        self.location.reattach(self.transport.datagram_flow)
        if wanted.keepalive == "off":
            return
        options = Options(self.location, self.sender, self.domains.canonical, ground.now)
        ping = LineEnds(self.transport.flow_to) if wanted.keepalive == "crlf" else options
        pings = KeepAlive(self.location, ping, ground.reactor, wanted.keepalive_seconds)
        pings.start()
        ground.closing.callback(pings.stop)

    def _make_core(self) -> Core:
        ground, settings, domains = self._ground, self._ground.settings, self.domains
        authenticator = self._make_authenticator()
        rule = DirectoryRule(self._directory)
        limits = settings.registrar
        bounds = RegistrationLimits(limits.default_expires, limits.min, limits.max, limits.max_contacts)
        offers = RegistrationOffers(limits.flow_timer, limits.service_route, self._gruus)
        trust = Trust(tuple(ip_network(network) for network in settings.auth.trusted_networks))
        identification = Identification(authenticator, rule, trust, self._directory, domains)
        initial = InitialRequests(
            identification=identification,
            router=self.router,
            proxy=self.proxy,
            notifier=self.notifier,
            messages=self.messages,
            domains=domains,
            now=ground.now,
            attempts=Attempts(self._directory, domains, ground.now),
            dial_plan=self.switching.dial_plan,
            switch=self.switching.switch,
            is_merged=self.layer.is_merged,
        )
        return Core(
            registrar=Registrar(self.location, authenticator, rule, domains, bounds, ground.now, offers),
            proxy=self.proxy,
            sessions=self.sessions,
            dialogs=self.switching.dialogs,
            initial=initial,
            identification=identification,
            notifier=self.notifier,
            domains=domains,
            session_timers=self._session_timers,
            is_merged=self.layer.is_merged,
        )

    def _make_authenticator(self) -> Authenticator:
        ground, auth = self._ground, self._ground.settings.auth
        return Authenticator(
            self._directory,
            auth.realm,
            NonceFactory(secrets.token_bytes(32), auth.nonce_seconds),
            ground.metrics,
            ground.now,
            tuple(Algorithm(name) for name in auth.algorithms),
            self.domains.contains,
        )
