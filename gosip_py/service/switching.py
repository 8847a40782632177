"""Opens the switch: the dialogs of our own, the dial plan, and what the server does itself."""

from __future__ import annotations

from gosip_py import __version__
from gosip_py.call.dial_plan import DialPlan
from gosip_py.call.emergency import EmergencyNumbers
from gosip_py.call.feature_codes import FeatureCodes
from gosip_py.call.group_tally import GroupBooks
from gosip_py.call.limits import CallLimits, LegCounts
from gosip_py.call.lines import Phones
from gosip_py.call.live import LiveCalls
from gosip_py.call.numbers import NumberPlan
from gosip_py.call.orbits import Orbits
from gosip_py.call.outside import Outside
from gosip_py.call.park import Parked, Parking, ParkingTimes
from gosip_py.call.pickup import Pickups
from gosip_py.call.ring_group import RingGroups
from gosip_py.call.router import ExtensionRouter
from gosip_py.call.self_service import SelfService, StoredAccounts
from gosip_py.call.services import CallServices
from gosip_py.call.switch import Switch
from gosip_py.call.transfers import Transfers
from gosip_py.call.trunk import Gateway, Trunk
from gosip_py.config import Trunk as TrunkSettings
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.dialogs import Dialogs
from gosip_py.events import GroupChanged
from gosip_py.proxy.session import Sessions
from gosip_py.registrar.domains import Domains
from gosip_py.service.ground import Ground, StartFailed
from gosip_py.service.storage import Storage
from gosip_py.sip.errors import ParseError
from gosip_py.store.directory import Directory
from gosip_py.store.records import GroupStatistics
from gosip_py.store.ring_groups import RingGroups as StoredGroups
from gosip_py.store.users import Users
from gosip_py.store.write_behind import WriteBehind
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing

__all__ = ["Switching"]


class Switching:
    """Everything that makes calls of our own."""

    def __init__(
        self,
        ground: Ground,
        storage: Storage,
        directory: Directory,
        *,
        sender: Sender,
        timing: Timing,
        session_timers: SessionTimerPolicy,
        router: ExtensionRouter,
        domains: Domains,
    ) -> None:
        self._ground = ground
        self._storage = storage
        self._directory = directory
        self._router = router
        self._domains = domains
        self.dialogs = Dialogs(
            sender, timing=timing, now=ground.now, session_timers=session_timers, product=f"gosip/{__version__}"
        )
        self._counts = LegCounts()
        self._orbits: Orbits[Parked] = Orbits(ground.settings.parking.first_orbit, ground.settings.parking.last_orbit)
        self.groups: RingGroups
        self.dial_plan: DialPlan
        self.switch: Switch
        self.live: LiveCalls

    async def open(self, sessions: Sessions) -> None:
        """``sessions`` are the calls of the proxy, which are shown beside ours."""
        ground, settings = self._ground, self._ground.settings
        bounds = settings.limits
        limits = CallLimits(self._counts, bounds.calls_per_device, bounds.calls_per_account, settings.trunk.max_calls)
        phones = Phones(self._directory, limits)
        self.groups = RingGroups(
            self._directory, self._router, phones, self._counts, await self._open_books(), settings.sip.ring_seconds
        )
        self.dial_plan = DialPlan(
            directory=self._directory,
            router=self._router,
            domains=self._domains,
            phones=phones,
            groups=self.groups,
            codes=FeatureCodes(self._directory),
            orbits=self._orbits,
            outside=self._make_outside(limits),
            limits=limits,
            ring_seconds=settings.sip.ring_seconds,
        )
        self.switch = Switch(
            self.dialogs,
            self.dial_plan,
            self._domains.canonical,
            self.dialogs.wheel,
            ground.now,
            ground.bus,
            ground.metrics,
            bounds.ping_seconds,
        )
        self.switch.counts = self._counts
        self._open_features(sessions)

    def _open_features(self, sessions: Sessions) -> None:
        """What the switch does at the wish of a phone or of the page."""
        ground, switch, parking = self._ground, self.switch, self._ground.settings.parking
        times = ParkingTimes(parking.timeout_seconds, parking.ring_seconds, parking.retries)
        orbits = Parking(switch, self._orbits, times)
        pickups = Pickups(switch, self.groups, self._user_id)
        switch.transfers = transfers = Transfers(switch, orbits)
        switch.pickups = pickups
        accounts = StoredAccounts(Users(self._storage.database), self._directory, ground.bus, ground.now)
        self_service = SelfService(accounts, self.dial_plan, ground.background)
        switch.features = CallServices(orbits, pickups, self_service)
        self.live = LiveCalls(switch, sessions, orbits, transfers, self._directory)

    def _user_id(self, login: str) -> int | None:
        user = self._directory.user_by_login(login)
        return None if user is None else user.id

    async def _open_books(self) -> GroupBooks:
        """The statistics of the ring groups."""
        ground, stored = self._ground, StoredGroups(self._storage.database)
        writer: WriteBehind[tuple[int, str], GroupStatistics] = WriteBehind(ground.reactor, stored.write_statistics)
        ground.closing.push_async_callback(writer.close)
        ground.metrics.rows_dropped.read_from("ring_group_statistics", lambda: writer.dropped)
        books = GroupBooks(writer, ground.now)
        books.restore(await stored.statistics())

        def forget(event: GroupChanged) -> None:
            if self._directory.group(event.id) is None:
                books.forget(event.id)

        ground.bus.subscribe(GroupChanged, forget)
        return books

    def _make_outside(self, limits: CallLimits) -> Outside:
        settings = self._ground.settings
        help_, plan = settings.emergency, settings.dialplan
        return Outside(
            directory=self._directory,
            emergency=EmergencyNumbers(help_.numbers, self._ground.bus, help_.caller_id, dict(help_.locations)),
            numbers=NumberPlan(plan.country_code, plan.international_prefix, plan.national_prefix),
            gateway=_gateway(settings.trunk),
            limits=limits,
        )


def _gateway(trunk: TrunkSettings) -> Gateway | None:
    """The way out; StartFailed when its URI cannot be used."""
    if not trunk.uri:
        return None
    credentials = ClientCredentials(trunk.username, trunk.password) if trunk.username else None
    agreed = Trunk(
        trunk.uri, credentials, trunk.caller_id, trunk.from_domain, trunk.passes_caller_id, trunk.calls_per_second
    )
    try:
        return Gateway(agreed)
    except ParseError as error:
        raise StartFailed(f"trunk.uri cannot be used: {error.reason}") from None
