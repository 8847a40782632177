"""The dial plan, over a real directory."""

from __future__ import annotations

import attrs

from gosip_py.call.party import Party
from gosip_py.call.trunk import Trunk
from gosip_py.call.verdict import DialOut, LeaveToProxy, UseFeature, forwarded
from gosip_py.sip.uri import parse_uri
from gosip_py.store.records import RingGroup
from tests.call.plan import ALICE, DOMAIN, STRANGER, TRUNK, PlanCase, group, person
from tests.conformance import conforms
from tests.registrar.fakes import NOW, device, user

BOB = Party("200", "Bob", "", 2, 20, "device")
INSTANCE = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"


class PeopleTests(PlanCase):
    def setUp(self) -> None:
        super().setUp()
        self.register_everybody()

    def test_a_person(self) -> None:
        contact = self.register("alice", 10, host="192.0.2.99", q=500)
        ring = self.ring("alice", BOB)
        self.assertEqual(ring.callee, Party("alice", "Alice", "", 1, None, "user"))
        (stage,) = ring.stages
        self.assertEqual([line.party.name for line in stage.lines], ["alice-desk", "alice-soft", "alice-desk"])
        self.assertEqual((stage.lines[2].uri, stage.lines[2].q, stage.seconds), (contact, 500, 30.0))
        self.assertEqual((ring.if_busy, ring.if_no_answer, ring.if_unavailable), ("", "", ""))

    def test_a_device(self) -> None:
        ring = self.ring("200")
        self.assertEqual(ring.callee, Party("200", "Bob", "", 2, 20, "device"))
        self.assertEqual(self.rung("alice-soft", BOB), [["alice-soft"]])
        self.assertEqual(self.rung("tel:2-0-0"), [["200"]])

    @conforms("RFC 5626 7")
    def test_the_other_flows_of_a_phone_are_behind_the_first(self) -> None:
        self.directory.apply_device(device(31, 3, "301"))
        for at, host in ((1, "192.0.2.50"), (2, "192.0.2.51")):
            of_one_phone = {"instance": INSTANCE, "reg_id": at, "flow": str(at), "refreshed_at": NOW + at}
            self.register("301", 31, host=host, **of_one_phone)
        (line,) = self.ring("301").stages[0].lines
        self.assertEqual(line.uri, "sip:301@192.0.2.51:5060")
        (other,) = line.fallbacks
        self.assertEqual((other.uri, other.party.name), ("sip:301@192.0.2.50:5060", "301"))

    def test_nobody(self) -> None:
        self.assert_refused(404, "dave", "dave", "check")
        self.assert_refused(404, f"sip:{DOMAIN}", "check")

    @conforms("RFC 3261 21.4.22")
    def test_too_few_digits(self) -> None:
        self.assert_refused(484, "20", "20", "add")

    def test_somebody_who_is_away(self) -> None:
        self.directory.apply_user(user(4, "dave", call_schema="b2bua"))
        self.assert_refused(480, "dave", "no phone registered", "try again")
        self.change(2, enabled=False)
        self.assert_refused(480, "bob", "disabled")
        self.directory.apply_device(device(30, 3, "300", enabled=False))
        self.assert_refused(480, "300", "disabled")

    def test_not_to_be_disturbed(self) -> None:
        self.change(2, dnd=True)
        self.assert_refused(486, "bob", "disturbed", "try again")
        self.assert_refused(486, "200", "disturbed")

    def test_other_schemas_and_domains_are_left_to_the_proxy(self) -> None:
        for schema in ("proxy", "redirect"):
            self.change(2, call_schema=schema, dnd=True, forward_always="carol")
            self.assertEqual(self.route("tel:200"), LeaveToProxy())
            verdict = self.route("bob")
            assert isinstance(verdict, LeaveToProxy)
            self.assertEqual(verdict.found, self.router.find(parse_uri(f"sip:bob@{DOMAIN}"), NOW))
            self.assertIsNotNone(verdict.found)
        self.assertEqual(self.route("sip:x@elsewhere.test"), LeaveToProxy())

    def test_a_transfer_is_never_left_to_the_proxy(self) -> None:
        self.change(2, call_schema="redirect")
        self.assertEqual(self.rung("bob", is_transfer=True), [["200"]])
        verdict = self.route("sip:x@elsewhere.test", is_transfer=True)
        assert isinstance(verdict, DialOut)
        self.assertEqual((verdict.line.uri, verdict.line.party.kind), ("sip:x@elsewhere.test", "outside"))
        self.assert_refused(403, "sip:x@elsewhere.test", "use", caller=STRANGER, is_transfer=True)
        self.assert_refused(416, "sip:x@elsewhere.test;transport=pigeon", "name", is_transfer=True)

    @conforms("RFC 5627 6.1")
    def test_one_phone_is_meant(self) -> None:
        self.register("bob", 20, host="192.0.2.77", instance=INSTANCE, gruu="00000001")
        self.change(2, forward_always="carol", forward_no_answer="carol")
        gruu = f"sip:bob@{DOMAIN};gr={INSTANCE[1:-1]}"
        ring = self.ring(gruu)
        self.assertEqual([line.uri for line in ring.stages[0].lines], ["sip:bob@192.0.2.77:5060"])
        self.assertEqual((ring.if_no_answer, ring.if_busy), ("", ""))
        self.assert_refused(480, f"sip:carol@{DOMAIN};gr=urn:uuid:77")
        self.assert_refused(404, f"sip:+15551111@{DOMAIN};gr=urn:uuid:77")


class ForwardTests(PlanCase):
    def setUp(self) -> None:
        super().setUp()
        self.register_everybody()

    def test_always(self) -> None:
        self.change(2, forward_always="carol")
        for dialled in ("bob", "200"):
            ring = self.ring(dialled)
            self.assertEqual((ring.callee.name, ring.diverted), ("carol", ("bob",)))

    def test_always_goes_before_do_not_disturb(self) -> None:
        self.change(2, forward_always="carol", dnd=True)
        self.assertEqual(self.rung("bob"), [["300"]])

    def test_busy_and_no_answer_are_for_the_switch(self) -> None:
        self.change(2, forward_busy="carol", forward_no_answer="+15551111", ring_seconds=12)
        ring = self.ring("bob")
        self.assertEqual((ring.if_busy, ring.if_no_answer, ring.if_unavailable), ("carol", "+15551111", "+15551111"))
        self.assertEqual(ring.stages[0].seconds, 12.0)

    def test_the_next_step(self) -> None:
        self.change(2, forward_no_answer="carol")
        attempt = self.attempt("200")
        next_one = forwarded(attempt, self.ring("200"), "carol", NOW + 12)
        self.assertEqual((next_one.dialled, next_one.diverted, next_one.at), ("carol", ("200",), NOW + 12))
        verdict = self.plan.route(next_one)
        self.assertEqual(getattr(verdict, "diverted", None), ("200",))

    def test_who_is_not_to_be_disturbed_may_forward(self) -> None:
        self.change(2, dnd=True, forward_busy="carol")
        self.assertEqual(self.rung("bob"), [["300"]])

    def test_who_is_away_may_forward(self) -> None:
        self.directory.apply_user(user(4, "dave", call_schema="b2bua", forward_no_answer="carol"))
        self.assertEqual(self.rung("dave"), [["300"]])

    def test_a_device_that_is_disabled_forwards_nothing(self) -> None:
        self.change(2, forward_no_answer="carol")
        self.directory.apply_device(device(20, 2, "200", enabled=False))
        self.assert_refused(480, "200", "disabled")

    def test_to_somebody_whose_schema_is_that_of_a_proxy(self) -> None:
        self.change(2, forward_always="carol")
        self.change(3, call_schema="proxy")
        self.assertEqual(self.rung("bob"), [["300"]])

    def test_circles(self) -> None:
        self.change(2, forward_always="carol")
        self.change(3, forward_always="200")
        self.assert_refused(482, "bob", "bob to carol to bob", "change")
        self.change(2, forward_always="bob")
        self.assert_refused(482, "bob", "bob to bob")

    def test_an_unanswered_call_does_not_go_back(self) -> None:
        self.change(2, forward_no_answer="carol")
        self.change(3, forward_no_answer="bob", forward_busy="+15551111")
        ring = self.ring("carol", diverted=("bob",))
        self.assertEqual((ring.if_no_answer, ring.if_unavailable, ring.if_busy), ("", "", "+15551111"))

    def test_too_far(self) -> None:
        for step in range(7):
            self.directory.apply_user(user(50 + step, f"u{step}", call_schema="b2bua", forward_always=f"u{step + 1}"))
        self.assert_refused(482, "u0", "5 times", "change")
        self.directory.apply_user(user(55, "u5", call_schema="b2bua", forward_always=""))
        self.register("u5", 20)
        self.assert_refused(480, "u0")

    def test_out_by_the_trunk_on_the_account_of_who_forwards(self) -> None:
        self.change(2, forward_always="+15551111")
        verdict = self.route("bob", STRANGER)
        assert isinstance(verdict, DialOut)
        self.assertEqual((verdict.number, verdict.diverted, verdict.line.party.user_id), ("+15551111", ("bob",), 2))
        self.assertEqual(verdict.line.from_, "<sip:+15550001@office.trunk.test>")

    def test_features_that_are_no_destination(self) -> None:
        self.change(2, forward_always="*78")
        self.assert_refused(404, "bob")
        self.change(2, forward_always="*97")
        self.assert_refused(501, "bob", "*97", "do without")


class TargetTests(PlanCase):
    def test_where_calls_may_be_forwarded_to(self) -> None:
        self.directory.apply_group(group(5, "600"))
        bob = user(2, "bob")
        for dialled, expected in (
            ("carol", True),
            ("300", True),
            ("600", True),
            ("+15551111", True),
            ("03012345", True),
            ("*97", True),
            ("bob", False),
            ("200", False),
            ("nobody", False),
            ("12", False),
            ("*78", False),
            ("112", False),
        ):
            self.assertIs(self.plan.takes_calls(bob, dialled), expected, dialled)


class PassingTests(PlanCase):
    trunk: Trunk | None = attrs.evolve(TRUNK, passes_caller_id=True)

    def test_the_number_of_whoever_calls_is_shown(self) -> None:
        self.register_everybody()
        self.change(2, forward_always="+15551111")
        verdict = self.route("bob", STRANGER)
        assert isinstance(verdict, DialOut)
        self.assertEqual(verdict.line.from_, '"A Stranger" <sip:+4930123456@office.trunk.test>')
        dialled = self.route("+15551111")
        assert isinstance(dialled, DialOut)
        self.assertEqual(dialled.line.from_, "<sip:+15550001@office.trunk.test>")


class OutsideTests(PlanCase):
    def dial(self, dialled: str, caller: Party = ALICE, **others: object) -> DialOut:
        verdict = self.route(dialled, caller, **others)
        assert isinstance(verdict, DialOut), verdict
        return verdict

    def test_numbers(self) -> None:
        for dialled in ("+493012345", "00493012345", "03012345", "tel:+49-30-12345", "+49(30)12345"):
            verdict = self.dial(dialled)
            self.assertEqual(
                (verdict.number, verdict.line.uri),
                ("+493012345", "sip:+493012345@office.trunk.test:5060;transport=tcp"),
            )
            self.assertEqual((verdict.is_emergency, verdict.delay, verdict.diverted), (False, 0.0, ()))

    def test_people_go_before_numbers(self) -> None:
        self.directory.apply_device(device(31, 3, "03012345"))
        self.register("03012345", 31)
        self.assertEqual(self.rung("03012345"), [["03012345"]])

    def test_for_our_own_people_only(self) -> None:
        self.assert_refused(403, "+493012345", "use", caller=STRANGER)
        self.assert_refused(403, "+493012345", "use", caller=Party("alice", "", "", None, None, "outside"))

    def test_a_group_may_fall_back_on_the_outside(self) -> None:
        self.directory.apply_group(group(5, "600", fallback="+15551111"))
        self.assertEqual(self.dial("600", caller=STRANGER).line.party.user_id, None)

    def test_a_transfer_needs_the_rights_of_who_transfers(self) -> None:
        self.assertEqual(self.dial("+493012345", is_transfer=True).number, "+493012345")
        self.assert_refused(403, "+493012345", caller=STRANGER, is_transfer=True)

    def test_what_is_no_number(self) -> None:
        for dialled in ("12345", "+12", "0000"):
            self.assert_refused(404, dialled)


class NoTrunkTests(PlanCase):
    trunk: Trunk | None = None

    def test_numbers_are_nobodys(self) -> None:
        self.assert_refused(404, "+493012345")

    def test_nobody_helps(self) -> None:
        self.assert_refused(503, "112", "another phone")
        (event,) = self.calls_for_help
        self.assertEqual((event.number, event.is_sent), ("112", False))


class RateTests(PlanCase):
    trunk: Trunk | None = attrs.evolve(TRUNK, calls_per_second=1.0)

    def test_calls_wait_their_turn(self) -> None:
        delays = []
        for _ in range(3):
            verdict = self.route("+493012345")
            assert isinstance(verdict, DialOut)
            delays.append(verdict.delay)
        self.assertEqual(delays, [0.0, 1.0, 2.0])
        self.assertEqual(self.assert_refused(503, "+493012345", "try again").headers, (("retry-after", "1"),))

    def test_others_wait_for_who_calls_help(self) -> None:
        self.route("112")
        verdict = self.route("+493012345")
        assert isinstance(verdict, DialOut)
        self.assertEqual(verdict.delay, 1.0)

    def test_help_does_not_wait(self) -> None:
        for _ in range(10):
            verdict = self.route("112")
            assert isinstance(verdict, DialOut)
            self.assertEqual(verdict.delay, 0.0)


class LimitTests(PlanCase):
    per_device, per_account, per_trunk = 2, 3, 1

    def setUp(self) -> None:
        super().setUp()
        self.register_everybody()

    def test_of_the_device_that_calls(self) -> None:
        for _ in range(2):
            self.counts.add(ALICE, True)
        for dialled in ("bob", "+493012345", "sip:x@elsewhere.test", "*78", "701"):
            self.assert_refused(486, dialled, "end one")
        self.assertEqual(self.rung("bob", is_transfer=True), [["200"]])
        self.assertIsInstance(self.route("911"), DialOut)

    def test_of_the_device_that_is_called(self) -> None:
        for _ in range(2):
            self.counts.add(BOB, False)
        self.assert_refused(486, "bob", "try again")
        self.assert_refused(486, "*80bob", "try again")
        self.change(2, forward_busy="carol")
        self.assertEqual(self.rung("bob"), [["300"]])
        desk = Party("alice-desk", "", "", 1, 10, "device")
        for _ in range(2):
            self.counts.add(desk, False)
        self.assertEqual(self.rung("alice", BOB, is_transfer=True), [["alice-soft"]])

    def test_of_the_account_of_who_forwards(self) -> None:
        self.change(2, forward_always="+15551111")
        for _ in range(3):
            self.counts.add(Party("+1555", user_id=2, kind="trunk"), False)
        self.assert_refused(486, "bob", "account", caller=STRANGER)

    def test_of_the_account_of_who_transfers(self) -> None:
        verdict = self.route("+493012345", is_transfer=True)
        assert isinstance(verdict, DialOut)
        self.assertEqual(verdict.line.party.user_id, ALICE.user_id)
        for _ in range(3):
            self.counts.add(ALICE, True)
        self.assert_refused(486, "+493012345", "account", is_transfer=True)

    def test_of_the_trunk(self) -> None:
        self.counts.add(Party("+1555", kind="trunk"), False)
        self.assert_refused(503, "+493012345", "try again")
        self.assertIsInstance(self.route("112"), DialOut)


class EmergencyTests(PlanCase):
    def test_at_once_with_the_number_of_the_place(self) -> None:
        for source, caller_id in (
            ("10.1.2.3", "+15550102"),
            ("10.1.3.3", "+15550100"),
            ("2001:db8::7", "+15550200"),
            ("fe80::1%eth0", "+15550911"),
            ("192.0.2.10", "+15550911"),
            ("", "+15550911"),
        ):
            verdict = self.route("112", source=source)
            assert isinstance(verdict, DialOut)
            self.assertEqual(verdict.line.uri, "sip:112@office.trunk.test:5060;transport=tcp")
            self.assertEqual(verdict.line.from_, f"<sip:{caller_id}@office.trunk.test>")
            self.assertTrue(verdict.is_emergency)

    def test_it_is_told(self) -> None:
        self.route("tel:911", source="10.1.2.3")
        (event,) = self.calls_for_help
        self.assertEqual(attrs.astuple(event), (NOW, "911", "alice", "+15550102", "10.1.2.3", 10, True))

    def test_before_everything_else(self) -> None:
        self.directory.apply_user(user(60, "112", call_schema="b2bua"))
        self.register("112", 20)
        self.directory.apply_group(group(5, "911", person(2)))
        self.set_code("park", "112")
        for dialled in ("112", "911", "9-1-1"):
            self.assertIsInstance(self.route(dialled), DialOut)

    def test_whoever_stands_in_the_office(self) -> None:
        self.assertIsInstance(self.route("112", Party("lobby")), DialOut)

    def test_nobody_calls_help_here_from_the_outside(self) -> None:
        self.assert_refused(404, "112", caller=STRANGER)
        self.assertEqual(self.calls_for_help, [])

    def test_nobody_sends_others_there(self) -> None:
        self.register_everybody()
        self.change(2, forward_always="112")
        self.assert_refused(404, "bob")
        self.assert_refused(404, "bob", caller=STRANGER)
        self.assert_refused(404, "112", caller=STRANGER, is_transfer=True, direction="internal")
        self.assertEqual(self.calls_for_help, [])
        self.assertIsInstance(self.route("112", is_transfer=True), DialOut)

    def test_which_calls_are_calls_for_help(self) -> None:
        for uri, expected in (
            (f"sip:112@{DOMAIN}", True),
            ("tel:911", True),
            ("sip:112@elsewhere.test", False),
            (f"sip:1123@{DOMAIN}", False),
        ):
            self.assertIs(self.plan.is_emergency(parse_uri(uri)), expected, uri)


class CodeTests(PlanCase):
    def setUp(self) -> None:
        super().setUp()
        self.register_everybody()

    def test_codes(self) -> None:
        for dialled, expected in (
            ("*72+493012345", UseFeature("forward_on", "+493012345")),
            ("*73", UseFeature("forward_off")),
            ("*78", UseFeature("dnd_on")),
            ("*79", UseFeature("dnd_off")),
            ("*8", UseFeature("group_pickup")),
            ("*8200", UseFeature("pickup", "200")),
            ("*68", UseFeature("park")),
        ):
            self.assertEqual(self.route(dialled), expected, dialled)

    def test_those_that_need_media(self) -> None:
        for dialled in ("*43", "*97", "*62600", "*63", "*6311"):
            self.assert_refused(501, dialled, "media", "do without")

    def test_strangers(self) -> None:
        self.assert_refused(404, "*78", caller=STRANGER)
        self.assert_refused(403, "*78", "use", caller=Party("lobby"))

    def test_a_person_is_not_shadowed(self) -> None:
        self.directory.apply_device(device(21, 2, "*8200"))
        self.register("*8200", 21)
        self.assertEqual(self.rung("*8200"), [["*8200"]])
        self.set_code("pickup", "2")
        self.assertEqual(self.rung("200"), [["200"]])
        self.assertEqual(self.route("2300"), UseFeature("pickup", "300"))

    def test_the_extension_that_exists_decides(self) -> None:
        self.directory.apply_device(device(21, 2, "0200"))
        self.register("0200", 21)
        self.directory.forget_device(20)
        self.assertEqual(self.route("*80200"), UseFeature("pickup", "0200"))

    def test_edited(self) -> None:
        self.set_code("dnd_on", "#21#")
        self.assertEqual(self.route("#21#"), UseFeature("dnd_on"))
        self.assert_refused(404, "*78")

    def test_intercom(self) -> None:
        self.change(2, forward_no_answer="carol", forward_always="carol")
        ring = self.ring("*80200")
        self.assertEqual([[line.party.name for line in stage.lines] for stage in ring.stages], [["200"]])
        self.assertEqual((ring.if_busy, ring.if_no_answer, ring.if_unavailable), ("", "", ""))
        headers = dict(ring.headers)
        self.assertEqual(headers["answer-mode"], "Auto")
        self.assertEqual(headers["alert-info"], "<http://example.com>;info=alert-autoanswer;delay=0")
        self.assertEqual(headers["call-info"], "<sip:example.com>;answer-after=0")

    def test_nobody_without_an_account_opens_a_microphone(self) -> None:
        self.assert_refused(403, "*80200", "people", caller=Party("200", "", f"sip:200@{DOMAIN}"))

    def test_intercom_to_nobody(self) -> None:
        self.assert_refused(404, "*80999")
        self.change(2, dnd=True)
        self.assert_refused(480, "*80200", "disturbed")


class OrbitTests(PlanCase):
    def test_retrieved_and_parked(self) -> None:
        self.assertEqual(self.route("701"), UseFeature("retrieve", "701"))
        self.assertEqual(self.route("720", is_transfer=True), UseFeature("park", "720"))
        self.assert_refused(404, "721")
        self.assert_refused(404, "701", caller=STRANGER)
        self.assert_refused(404, "701", caller=STRANGER, is_transfer=True)

    def test_who_is_parked_is_not_for_who_has_no_account(self) -> None:
        """As with a call that rings elsewhere; From may have our domain all the same."""
        self.assert_refused(403, "701", "people", caller=Party("alice", "", f"sip:alice@{DOMAIN}"))

    def test_one_of_ours_parks_a_call_that_came_in(self) -> None:
        for dialled, orbit in (("720", "720"), ("*68", "")):
            verdict = self.route(dialled, is_transfer=True, direction="inbound")
            self.assertEqual(verdict, UseFeature("park", orbit))

    def test_lamps(self) -> None:
        sales: RingGroup = group(5, "600", person(2))
        self.directory.apply_group(sales)
        for uri, line in (
            (f"sip:701@{DOMAIN}", "701"),
            (f"sip:600@{DOMAIN}", "600"),
            (f"sip:Sales@{DOMAIN}", "600"),
            ("tel:702", "702"),
            (f"sip:bob@{DOMAIN}", ""),
            ("sip:701@elsewhere.test", ""),
            (f"sip:701@{DOMAIN};gr=urn:uuid:1", ""),
        ):
            self.assertEqual(self.plan.line_of(parse_uri(uri)), line, uri)
