"""A dial plan over a real directory, location and router, with everything else that it asks."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.dial_plan import DialPlan
from gosip_py.call.emergency import EmergencyNumbers
from gosip_py.call.feature_codes import FeatureCodes
from gosip_py.call.group_tally import GroupBooks
from gosip_py.call.limits import CallLimits, LegCounts
from gosip_py.call.lines import Phones
from gosip_py.call.numbers import NumberPlan
from gosip_py.call.orbits import Orbits
from gosip_py.call.outside import Outside
from gosip_py.call.party import Party
from gosip_py.call.ring_group import RingGroups
from gosip_py.call.router import ExtensionRouter
from gosip_py.call.trunk import Gateway, Trunk
from gosip_py.call.verdict import Attempt, Refuse, Ring, Verdict
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.events import Bus, EmergencyCalled
from gosip_py.metrics import Metrics
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.gruu import Gruus
from gosip_py.registrar.location import Contact, Location
from gosip_py.sip.uri import parse_uri
from gosip_py.store.records import FeatureCode, GroupMember, GroupStatistics, RingGroup
from tests.registrar.fakes import NOW, Addresses, RememberingWriter, binding, device, directory, user

DOMAIN = "example.com"
DOMAINS = Domains(DOMAIN, Addresses(("192.0.2.1", 5060)))
TRUNK = Trunk(
    "sip:office.trunk.test:5060;transport=tcp",
    ClientCredentials("office", "secret words"),
    caller_id="+15550001",
    calls_per_second=0,
)
ALICE = Party("alice", "Alice", "sip:alice@example.com", 1, 10, "device")
STRANGER = Party("+4930123456", "A Stranger", "sip:+4930123456@office.trunk.test", None, None, "trunk")


class Shelf:
    """Keeps the rows of the groups as the store would."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], GroupStatistics] = {}

    def put(self, key: tuple[int, str], value: GroupStatistics) -> None:
        self.rows[key] = value


def group(id: int = 5, number: str = "600", *members: GroupMember, **others: Any) -> RingGroup:
    values: dict[str, Any] = {"strategy": "simultaneous", "ring_seconds": 20, "fallback": "", "skip_busy": False}
    values.update(others)
    name = values.pop("name", "sales")
    return RingGroup(id, number, name, created_at=NOW, updated_at=NOW, members=members, **values)


def person(user_id: int) -> GroupMember:
    return GroupMember(user_id=user_id)


def phone(device_id: int) -> GroupMember:
    return GroupMember(device_id=device_id)


class PlanCase(SynchronousTestCase):
    """Alice (1) with desk (10) and soft (11), Bob (2) with 200 (20), Carol (3) with 300 (30); all bridged."""

    trunk: Trunk | None = TRUNK
    numbers = NumberPlan("49", "00", "0")
    per_device = per_account = per_trunk = 0

    def setUp(self) -> None:
        people = [user(at, login, call_schema="b2bua") for at, login in enumerate(("alice", "bob", "carol"), 1)]
        devices = [device(), device(11, 1, "alice-soft"), device(20, 2, "200"), device(30, 3, "300")]
        self.directory = directory(*people, *devices)
        self.bus = Bus()
        self.location = Location(RememberingWriter(), Bus(), Metrics())
        self.gruus = Gruus(b"a secret of these tests")
        self.router = ExtensionRouter(self.directory, self.location, DOMAINS, self.gruus)
        self.counts = LegCounts()
        self.shelf = Shelf()
        self.now = NOW
        self.books = GroupBooks(self.shelf, lambda: self.now)
        self.calls_for_help: list[EmergencyCalled] = []
        self.bus.subscribe(EmergencyCalled, self.calls_for_help.append)
        limits = CallLimits(self.counts, self.per_device, self.per_account, self.per_trunk)
        phones = Phones(self.directory, limits)
        self.groups = RingGroups(self.directory, self.router, phones, self.counts, self.books)
        self.plan = DialPlan(
            directory=self.directory,
            router=self.router,
            domains=DOMAINS,
            phones=phones,
            groups=self.groups,
            codes=FeatureCodes(self.directory),
            orbits=Orbits[object](701, 720),
            outside=self.make_outside(limits),
            limits=limits,
        )

    def make_outside(self, limits: CallLimits) -> Outside:
        locations = {"10.1.0.0/16": "+15550100", "10.1.2.0/24": "+15550102", "2001:db8::/32": "+15550200"}
        return Outside(
            directory=self.directory,
            emergency=EmergencyNumbers(("112", "911"), self.bus, "+15550911", locations),
            numbers=self.numbers,
            gateway=Gateway(self.trunk) if self.trunk is not None else None,
            limits=limits,
        )

    # -- what there is ------------------------------------------------------------------------------------------------

    def register(self, name: str, device_id: int, **others: Any) -> str:
        """A phone at an address of its own; its contact."""
        host = others.pop("host", f"192.0.2.{device_id}")
        contact = f"sip:{name}@{host}:5060"
        record = binding(contact, DOMAINS.aor(name), device_id=device_id, source=f"{host}:5060", **others)
        self.location.add(Contact(record, None), NOW)
        return contact

    def register_everybody(self) -> None:
        for name, device_id in (("alice-desk", 10), ("alice-soft", 11), ("200", 20), ("300", 30)):
            self.register(name, device_id)

    def change(self, user_id: int, **changes: Any) -> None:
        """Somebody has other settings now."""
        login = {1: "alice", 2: "bob", 3: "carol"}[user_id]
        self.directory.apply_user(user(user_id, login, **{"call_schema": "b2bua", **changes}))

    def set_code(self, feature: str, code: str, enabled: bool = True) -> None:
        self.directory.apply_code(FeatureCode(feature, code, enabled, NOW))

    # -- asking -------------------------------------------------------------------------------------------------------

    def attempt(self, dialled: str, caller: Party = ALICE, **others: Any) -> Attempt:
        """``dialled`` is a whole URI or a name in our domain."""
        uri = parse_uri(
            dialled if dialled.startswith(("sip", "tel:")) else f"sip:{dialled.replace('#', '%23')}@{DOMAIN}"
        )
        direction = others.pop("direction", "inbound" if caller is STRANGER else "internal")
        return Attempt(caller, uri, uri.user, NOW, direction, **others)

    def route(self, dialled: str, caller: Party = ALICE, **others: Any) -> Verdict:
        return self.plan.route(self.attempt(dialled, caller, **others))

    def ring(self, dialled: str, caller: Party = ALICE, **others: Any) -> Ring:
        verdict = self.route(dialled, caller, **others)
        assert isinstance(verdict, Ring), verdict
        return verdict

    def rung(self, dialled: str, caller: Party = ALICE, **others: Any) -> list[list[str]]:
        """The names of the devices that ring, by stage."""
        stages = self.ring(dialled, caller, **others).stages
        return [[line.party.name for line in stage.lines] for stage in stages]

    def assert_refused(self, status: int, dialled: str, *words: str, caller: Party = ALICE, **others: Any) -> Refuse:
        verdict = self.route(dialled, caller, **others)
        assert isinstance(verdict, Refuse), verdict
        self.assertEqual(verdict.status, status, verdict.explanation)
        for word in words:
            self.assertIn(word, verdict.explanation)
        return verdict
