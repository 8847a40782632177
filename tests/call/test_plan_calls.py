"""The dial plan and the switch together: groups, forwards, intercom and the trunk, as phones see them."""

from __future__ import annotations

from typing import Any, cast

import attrs

from gosip_py.call.dial_plan import DialPlan
from gosip_py.call.emergency import EmergencyNumbers
from gosip_py.call.feature_codes import FeatureCodes
from gosip_py.call.group_tally import GroupBooks
from gosip_py.call.limits import CallLimits, LegCounts
from gosip_py.call.lines import Phones
from gosip_py.call.numbers import NumberPlan
from gosip_py.call.orbits import Orbits
from gosip_py.call.outside import Outside
from gosip_py.call.park import Parked, Parking
from gosip_py.call.pickup import Pickups
from gosip_py.call.ring_group import RingGroups
from gosip_py.call.router import ExtensionRouter
from gosip_py.call.services import CallServices
from gosip_py.call.transfers import Transfers
from gosip_py.call.trunk import Gateway, Trunk
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.events import CallNoted, LineChanged
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Contact, Location
from gosip_py.sip.message import Request
from gosip_py.store.records import GroupMember, User
from tests.call.office import DOMAIN, SERVER, Handset, OfficeCase, Plan, Side
from tests.call.plan import Shelf, group, person
from tests.conformance import conforms
from tests.registrar.fakes import NOW, Addresses, RememberingWriter, binding, device, directory, user

TRUNK_HOST = "192.0.2.200"
TRUNK = Trunk(f"sip:{TRUNK_HOST}:5060", ClientCredentials("office", "secret words"), "+15550001", "office.test")


class PlanOfficeCase(OfficeCase):
    """As `OfficeCase`, but each person is in a directory and registered, and the dial plan decides."""

    per_device = 0

    def setUp(self) -> None:
        super().setUp()
        office = self.office
        people: list[User] = [user(phone.number, phone.name, call_schema="b2bua") for phone in office.phones]
        devices = [device(phone.number * 10, phone.number, f"{phone.name}-desk") for phone in office.phones]
        self.directory = directory(*people, *devices)
        self.domains = Domains(DOMAIN, Addresses((SERVER, 5060)))
        self.location = Location(RememberingWriter(), office.bus, office.metrics)
        for phone in office.phones:
            self.register(phone)
        self.trunk = Handset(office, TRUNK_HOST, "trunk", 99)
        self.counts = office.switch.counts = LegCounts()
        self.books = GroupBooks(Shelf(), office.now)
        self.orbits: Orbits[Parked] = Orbits()
        office.switch.router = plan = self.make_plan()
        office.plan = cast(Plan, plan)
        self.lamps: list[tuple[str, str]] = []
        office.bus.subscribe(LineChanged, lambda event: self.lamps.append((event.line, event.state)))
        self.forwards: list[tuple[str, str]] = []
        office.bus.subscribe(CallNoted, lambda event: self.forwards.append((event.what["by"], event.what["target"])))

    def make_plan(self) -> DialPlan:
        limits = CallLimits(self.counts, per_device=self.per_device)
        phones = Phones(self.directory, limits)
        router = ExtensionRouter(self.directory, self.location, self.domains)
        self.groups = RingGroups(self.directory, router, phones, self.counts, self.books)
        outside = Outside(
            directory=self.directory,
            emergency=EmergencyNumbers(("112",), self.office.bus, "+15550911"),
            numbers=NumberPlan(),
            gateway=Gateway(TRUNK),
            limits=limits,
        )
        return DialPlan(
            directory=self.directory,
            router=router,
            domains=self.domains,
            phones=phones,
            groups=self.groups,
            codes=FeatureCodes(self.directory),
            orbits=self.orbits,
            outside=outside,
            limits=limits,
        )

    def tearDown(self) -> None:
        super().tearDown()
        for phone in self.office.phones:
            self.assertEqual((self.counts.of_device(phone.number * 10), self.counts.of_user(phone.number)), (0, 0))
        self.assertEqual(self.counts.of_trunk, 0)

    def register(self, phone: Handset) -> None:
        record = binding(
            phone.contact,
            self.domains.aor(phone.name),
            device_id=phone.number * 10,
            source=phone.contact.partition("@")[2],
            expires_at=NOW + 100_000,
        )
        self.location.add(Contact(record, None), NOW)

    def change(self, phone: Handset, **changes: Any) -> None:
        known = self.directory.user(phone.number)
        assert known is not None
        self.directory.apply_user(attrs.evolve(known, **changes))

    def form(self, *members: GroupMember, **others: object) -> None:
        self.directory.apply_group(group(5, "600", *members, **others))

    def statistics(self) -> dict[str, tuple[int, int, int]]:
        return {row.member: (row.offered, row.answered, row.missed) for row in self.groups.of(5)}

    def pass_time(self, seconds: float) -> None:
        self.office.run(seconds)


class GroupCallTests(PlanOfficeCase):
    @conforms("RFC 3326 2")
    def test_the_losers_hear_that_it_was_answered_elsewhere(self) -> None:
        self.form(person(2), person(3))
        sent = self.alice.call("600")
        first, second = self.bob.request("INVITE"), self.carol.request("INVITE")
        for phone, invite in ((self.bob, first), (self.carol, second)):
            phone.respond(invite, 180)
        self.alice.response(180)
        _, called = self.office.answered(self.alice, sent, self.carol, second)
        cancel = self.bob.request("CANCEL")
        self.assertIn("SIP;cause=200", cancel.require("reason").replace(" ", ""))
        self.bob.respond(cancel, 200)
        self.bob.respond(first, 487)
        self.assertEqual(self.statistics(), {"": (1, 1, 0), "user:2": (1, 0, 0), "user:3": (1, 1, 0)})
        self.assertEqual(self.lamps, [("600", "early"), ("600", "confirmed")])
        self.pass_time(10.0)
        self.office.end(called, self.alice)
        self.assertEqual(self.lamps[2:], [("600", "terminated")])
        talked = {row.member: row.talk_seconds for row in self.groups.of(5)}
        self.assertGreater(talked["user:3"], 9.0)
        self.assertEqual(talked["user:2"], 0.0)
        self.assertEqual(self.endings, [("answered", 200, "callee")])

    def test_one_after_the_other_and_then_the_fallback(self) -> None:
        self.form(person(2), person(3), strategy="sequential", ring_seconds=10, fallback="dave")
        sent = self.alice.call("600")
        for phone in (self.bob, self.carol):
            invite = phone.request("INVITE")
            phone.respond(invite, 180)
            self.pass_time(10.5)
            phone.respond(phone.request("CANCEL"), 200)
            phone.respond(invite, 487)
        calling, _ = self.office.answered(self.alice, sent, self.dave, self.dave.request("INVITE"))
        self.assertEqual(self.statistics(), {"": (1, 0, 1), "user:2": (1, 0, 1), "user:3": (1, 0, 1)})
        self.assertEqual(self.lamps[-1], ("600", "terminated"))
        self.assertEqual(self.forwards, [("600", "dave")])
        self.office.end(calling, self.dave)

    def test_all_refuse(self) -> None:
        self.form(person(2), person(3))
        self.alice.call("600")
        for phone in (self.bob, self.carol):
            phone.respond(phone.request("INVITE"), 486)
        self.alice.response(486)
        self.assertEqual(self.statistics(), {"": (1, 0, 1), "user:2": (1, 0, 1), "user:3": (1, 0, 1)})

    def test_who_talks_is_not_rung(self) -> None:
        self.form(person(2), person(3), skip_busy=True)
        calling, _ = self.office.talking(self.dave, self.bob)
        sent = self.alice.call("600")
        invite = self.carol.request("INVITE")
        self.assertNotIn("INVITE", self.bob.titles)
        caller, _ = self.office.answered(self.alice, sent, self.carol, invite)
        self.office.end(caller, self.carol)
        self.office.end(calling, self.bob)

    def test_whose_turn_it_is(self) -> None:
        self.form(person(2), person(3), strategy="round_robin")
        for phone in (self.bob, self.carol, self.bob):
            sent = self.alice.call("600")
            calling, _ = self.office.answered(self.alice, sent, phone, phone.request("INVITE"))
            self.office.end(calling, phone)


class ForwardCallTests(PlanOfficeCase):
    def reaches(self, phone: Handset, dialled: str = "bob") -> None:
        """Alice's call is answered by ``phone``."""
        sent = self.alice.call(dialled)
        self.take_over(phone, sent)

    def take_over(self, phone: Handset, sent: Request) -> None:
        calling, _ = self.office.answered(self.alice, sent, phone, phone.request("INVITE"))
        self.office.end(calling, phone)

    def test_always(self) -> None:
        self.change(self.bob, forward_always="carol")
        self.reaches(self.carol)
        self.assertEqual(self.bob.titles, [])

    def test_when_busy(self) -> None:
        self.change(self.bob, forward_busy="carol")
        sent = self.alice.call("bob")
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.take_over(self.carol, sent)
        self.assertEqual(self.forwards, [("bob", "carol")])

    def test_when_nobody_answers(self) -> None:
        self.change(self.bob, forward_no_answer="carol", ring_seconds=7)
        sent = self.alice.call("bob")
        invite = self.bob.request("INVITE")
        self.bob.respond(invite, 180)
        self.pass_time(6.0)
        self.assertNotIn("INVITE", self.carol.titles)
        self.pass_time(1.5)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(invite, 487)
        self.take_over(self.carol, sent)

    def test_not_to_be_disturbed(self) -> None:
        self.change(self.bob, dnd=True)
        self.alice.call("bob")
        self.assertIn("disturbed", self.alice.response(486).require("warning"))
        self.assertEqual(self.bob.titles, [])
        self.change(self.bob, forward_busy="carol")
        self.reaches(self.carol)

    def test_each_to_the_other(self) -> None:
        """The second time nobody is asked again: the caller hears of who was reached last."""
        self.change(self.bob, forward_busy="carol")
        self.change(self.carol, forward_busy="bob")
        self.alice.call("bob")
        for phone in (self.bob, self.carol):
            phone.respond(phone.request("INVITE"), 486)
        self.alice.response(486)
        self.assertEqual(self.bob.titles, ["ACK"])

    def test_a_circle(self) -> None:
        self.change(self.bob, forward_always="carol")
        self.change(self.carol, forward_always="bob")
        self.alice.call("bob")
        self.assertIn("circle", self.alice.response(482).require("warning"))
        self.assertEqual(self.endings, [("failed", 482, "system")])

    def test_out_by_the_trunk(self) -> None:
        self.change(self.bob, forward_always="+15551111")
        sent = self.alice.call("bob")
        invite = self.trunk.request("INVITE")
        self.assertEqual(invite.uri_text, f"sip:+15551111@{TRUNK_HOST}:5060")
        self.assertEqual(self.counts.made_by(self.bob.number), 1)
        calling, _ = self.office.answered(self.alice, sent, self.trunk, invite)
        self.office.end(calling, self.trunk)


class TrunkCallTests(PlanOfficeCase):
    @conforms("RFC 3325 9.1")
    def test_what_the_trunk_sees(self) -> None:
        sent = self.alice.call("+15551111")
        invite = self.trunk.request("INVITE")
        self.assertEqual(invite.uri_text, f"sip:+15551111@{TRUNK_HOST}:5060")
        self.assertEqual(invite.from_.uri_text, "sip:+15550001@office.test")
        self.assertEqual(invite.require("p-asserted-identity"), "<sip:+15550001@office.test>")
        calling, _ = self.office.answered(self.alice, sent, self.trunk, invite)
        self.assertEqual(self.counts.of_trunk, 1)
        self.office.end(calling, self.trunk)

    def test_the_second_in_a_second_waits(self) -> None:
        first = self.alice.call("+15551111")
        second = self.bob.call("+15552222")
        invite = self.trunk.request("INVITE")
        self.assertEqual(self.trunk.titles, [])
        self.pass_time(1.0)
        later = self.trunk.request("INVITE")
        self.assertEqual((invite.uri.user, later.uri.user), ("+15551111", "+15552222"))
        for phone, sent, arrived in ((self.alice, first, invite), (self.bob, second, later)):
            calling, _ = self.office.answered(phone, sent, self.trunk, arrived)
            self.office.end(calling, self.trunk)

    def test_too_many_at_once(self) -> None:
        for phone in (self.alice, self.bob, self.carol):
            phone.call("+15551111")
        self.dave.call("+15551111")
        self.assertIn("retry-after", self.dave.response(503).names)

    def test_help_comes_at_once(self) -> None:
        for phone in (self.alice, self.bob, self.carol):
            phone.call("+15551111")
        self.office.run(0.05)
        self.trunk.request("INVITE")
        sent = self.dave.call("112")
        invite = self.trunk.request("INVITE")
        self.assertEqual((invite.uri.user, invite.from_.uri.user), ("112", "+15550911"))
        calling, _ = self.office.answered(self.dave, sent, self.trunk, invite)
        self.office.end(calling, self.trunk)


class ParkingTests(PlanOfficeCase):
    """Bob parks somebody who called in by the trunk, and Carol fetches them."""

    def setUp(self) -> None:
        super().setUp()
        switch = self.office.switch
        parking = Parking(switch, self.orbits)
        switch.transfers = Transfers(switch, parking)
        switch.features = CallServices(parking, Pickups(switch, self.groups, lambda _: None))

    def waits(self, dialled: str) -> Side:
        sent = self.trunk.call("bob")
        calling, called = self.office.answered(self.trunk, sent, self.bob, self.bob.request("INVITE"))
        called.send("REFER", f"Refer-To: <sip:{dialled}@{DOMAIN}>")
        self.bob.response(202, "REFER")
        self.goes_on(self.trunk)
        return calling

    def goes_on(self, phone: Handset) -> None:
        """It takes the re-INVITE that it hears."""
        phone.answer(phone.request("INVITE"))
        phone.request("ACK")
        self.office.run()

    def test_by_the_code_and_at_an_orbit(self) -> None:
        for dialled, orbit in (("*68", "701"), ("705", "705")):
            calling = self.waits(dialled)
            self.assertEqual(self.lamps.pop(), (orbit, "confirmed"))
            sent = self.carol.call(orbit)
            self.goes_on(self.trunk)
            fetching = Side(self.carol, sent, self.carol.response(200), is_caller=True)
            fetching.send("ACK")
            self.assertEqual(self.lamps.pop(), (orbit, "terminated"))
            self.office.end(calling, self.carol)
        self.bob.heard.clear()


class GroupTransferTests(PlanOfficeCase):
    def test_a_group_that_does_not_answer_gives_the_call_back_and_its_lamp_goes_out(self) -> None:
        switch = self.office.switch
        switch.transfers = Transfers(switch, Parking(switch, self.orbits))
        self.form(person(3), ring_seconds=10)
        calling, called = self.office.talking(self.alice, self.bob)
        called.send("REFER", f"Refer-To: <sip:600@{DOMAIN}>")
        self.bob.response(202, "REFER")
        invite = self.carol.request("INVITE")
        self.carol.respond(invite, 180)
        self.pass_time(10.5)
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(invite, 487)
        self.pass_time(1.0)
        self.assertEqual(self.lamps, [("600", "confirmed"), ("600", "terminated")])
        self.office.end(calling, self.bob)
        self.bob.heard.clear()


class IntercomTests(PlanOfficeCase):
    def test_the_phone_is_asked_to_answer_by_itself(self) -> None:
        sent = self.alice.call("*80bob")
        invite = self.bob.request("INVITE")
        self.assertEqual(invite.require("answer-mode"), "Auto")
        self.assertIn("info=alert-autoanswer", invite.require("alert-info"))
        self.assertIn("answer-after=0", invite.require("call-info"))
        calling, _ = self.office.answered(self.alice, sent, self.bob, invite)
        self.office.end(calling, self.bob)


class LimitTests(PlanOfficeCase):
    per_device = 1

    def test_a_phone_that_has_its_calls_is_busy(self) -> None:
        calling, _ = self.office.talking(self.alice, self.bob)
        self.carol.call("bob")
        self.carol.response(486)
        self.alice.call("dave")
        self.assertIn("end one", self.alice.response(486).require("warning"))
        self.office.end(calling, self.bob)
        self.office.end(self.office.talking(self.carol, self.bob)[0], self.bob)
