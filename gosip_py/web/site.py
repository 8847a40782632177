"""The wiring: every resource with what it uses, on one site."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from gosip_py.events import Bus
from gosip_py.metrics import Metrics
from gosip_py.store.accounts import ApiTokens, WebSessions
from gosip_py.store.calls import CallJournal
from gosip_py.store.database import Database
from gosip_py.store.devices import Devices
from gosip_py.store.directory import Directory
from gosip_py.store.feature_codes import FeatureCodes
from gosip_py.store.passwords import Passwords
from gosip_py.store.ring_groups import RingGroups
from gosip_py.store.sessions import Sessions
from gosip_py.store.users import Users
from gosip_py.web.access import Access
from gosip_py.web.auth import Auth, AuthResource
from gosip_py.web.calls import CallResource
from gosip_py.web.devices import DeviceResource
from gosip_py.web.feature_codes import FeatureCodeResource
from gosip_py.web.health import HealthResource, Readiness
from gosip_py.web.journal import JournalResource
from gosip_py.web.live import GroupCounts, LiveCalls, LiveLadders, LiveRegistrations, LiveSessions
from gosip_py.web.lockout import Lockout
from gosip_py.web.openapi import OpenApiResource
from gosip_py.web.pages import PageResource
from gosip_py.web.peer import ProxyTrust
from gosip_py.web.registrations import RegistrationResource
from gosip_py.web.request import WebSite
from gosip_py.web.ring_groups import RingGroupResource
from gosip_py.web.routing import Routing
from gosip_py.web.sessions import SessionResource
from gosip_py.web.setup import Setup, SetupResource
from gosip_py.web.system import System, SystemResource
from gosip_py.web.tokens import TokenResource
from gosip_py.web.users import UserResource

__all__ = ["Admin"]


@attrs.frozen(kw_only=True)
class Admin:
    """The admin API.

    `clock.seconds()` gives epoch seconds, as a reactor's does. `passwords` is started and stopped by whoever made it,
    and `directory` is loaded. `setup_code` is None when nobody is to set this server up by the web.
    """

    database: Database
    directory: Directory
    passwords: Passwords
    registrations: LiveRegistrations
    sessions: LiveSessions
    calls: LiveCalls
    ladders: LiveLadders
    group_counts: GroupCounts
    system: System
    readiness: Readiness
    metrics: Metrics
    bus: Bus
    clock: IReactorTime
    public_url: str = ""
    trusted_proxies: Sequence[str] = ()
    setup_code: str | None = attrs.field(default=None, repr=False)
    realm: str = "gosip"
    domain: str = ""

    def site(self) -> WebSite:
        """A site to listen with."""
        return WebSite(
            self.routing().klein.resource(),
            metrics=self.metrics,
            proxies=ProxyTrust(self.trusted_proxies),
            clock=self.clock,
            is_https=self.public_url.startswith("https:"),
        )

    def routing(self) -> Routing:
        """Every endpoint, routed."""
        access = Access(WebSessions(self.database), ApiTokens(self.database), self.directory, self.public_url)
        users, lockout = Users(self.database), Lockout()
        people = UserResource(users, access.sessions, self.directory, self.passwords, self.registrations, self.bus)
        setup = Setup(users, people, lockout, self.setup_code)
        system = SystemResource(self.system, self.clock.seconds(), self.domain, self.realm)
        routing = Routing(access, self.clock.seconds)
        resources = (
            AuthResource(Auth(users, self.passwords, lockout), access, self.directory, self.bus),
            TokenResource(access.tokens, routing.scopes),
            SetupResource(setup),
            people,
            DeviceResource(Devices(self.database), self.directory, self.registrations, self.bus, self.realm),
            RegistrationResource(self.registrations, self.directory),
            SessionResource(self.sessions, Sessions(self.database)),
            CallResource(self.calls, self.directory),
            JournalResource(CallJournal(self.database), self.directory, self.ladders),
            RingGroupResource(RingGroups(self.database), self.directory, self.bus, self.group_counts),
            FeatureCodeResource(FeatureCodes(self.database), self.directory, self.bus),
            system,
            HealthResource(self.readiness, self.metrics),
            OpenApiResource(lambda: routing.endpoints),
            PageResource(access, setup, system, self.readiness, self.registrations, self.sessions),
        )
        for resource in resources:
            routing.add(resource)
        return routing
