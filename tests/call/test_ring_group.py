"""Ring groups: who rings when, and what is counted."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.party import Party
from gosip_py.call.ring_group import GroupState, order
from gosip_py.call.verdict import Ring
from gosip_py.store.records import GroupMember, GroupStatistics
from tests.call.plan import ALICE, STRANGER, PlanCase, group, person, phone
from tests.registrar.fakes import NOW, device

BOB = Party("200", "Bob", "", 2, 20, "device")
CAROL = Party("300", "Carol", "", 3, 30, "device")


class OrderTests(SynchronousTestCase):
    members = (person(1), person(2), phone(30))

    def names(self, strategy: str, state: GroupState) -> list[list[str]]:
        return [[member.key for member in stage] for stage in order(strategy, self.members, state)]

    def test_simultaneous(self) -> None:
        self.assertEqual(self.names("simultaneous", GroupState()), [["user:1", "user:2", "device:30"]])

    def test_sequential(self) -> None:
        self.assertEqual(self.names("sequential", GroupState()), [["user:1"], ["user:2"], ["device:30"]])

    def test_round_robin(self) -> None:
        self.assertEqual(self.names("round_robin", GroupState())[0], ["user:1"])
        self.assertEqual(self.names("round_robin", GroupState("user:1")), [["user:2"], ["device:30"], ["user:1"]])
        self.assertEqual(self.names("round_robin", GroupState("device:30"))[0], ["user:1"])
        self.assertEqual(self.names("round_robin", GroupState("user:99"))[0], ["user:1"])

    def test_longest_idle(self) -> None:
        state = GroupState("", {"user:1": 300.0, "device:30": 100.0})
        self.assertEqual(self.names("longest_idle", state), [["user:2"], ["device:30"], ["user:1"]])

    def test_nobody(self) -> None:
        for strategy in ("simultaneous", "sequential", "round_robin", "longest_idle"):
            self.assertEqual(order(strategy, (), GroupState("user:1")), ())


class GroupCase(PlanCase):
    def setUp(self) -> None:
        super().setUp()
        self.register_everybody()

    def form(self, *members: GroupMember, **others: object) -> None:
        self.directory.apply_group(group(5, "600", *members, **others))


class RingTests(GroupCase):
    def test_by_number_and_by_name(self) -> None:
        self.form(person(2), phone(30))
        for dialled in ("600", "sales", "Sales", "tel:600"):
            ring = self.ring(dialled)
            self.assertEqual((ring.callee.name, ring.callee.kind, ring.lamp), ("600", "server", "600"))
            self.assertEqual([[line.party.name for line in stage.lines] for stage in ring.stages], [["200", "300"]])
            self.assertEqual([stage.seconds for stage in ring.stages], [20.0])

    def test_a_person_goes_before_the_name_of_a_group(self) -> None:
        self.form(person(3), name="bob")
        self.assertEqual(self.rung("bob"), [["200"]])
        self.assertEqual(self.rung("600"), [["300"]])

    def test_from_the_outside(self) -> None:
        self.form(person(2), phone(30))
        self.assertEqual(self.rung("600", STRANGER), [["200", "300"]])

    def test_one_after_the_other(self) -> None:
        self.form(phone(30), person(2), strategy="sequential", ring_seconds=0)
        ring = self.ring("600")
        self.assertEqual(
            [(stage.lines[0].party.name, stage.seconds) for stage in ring.stages], [("300", 30.0), ("200", 30.0)]
        )

    def test_in_turn(self) -> None:
        self.form(person(2), person(3), strategy="round_robin")
        first = [self.rung("600")[0] for _ in range(4)]
        self.assertEqual(first, [["200"], ["300"], ["200"], ["300"]])

    def test_whoever_has_rested_longest(self) -> None:
        self.form(person(2), person(3), strategy="longest_idle")
        self.answer(BOB)
        self.assertEqual(self.rung("600"), [["300"], ["200"]])
        self.now += 10
        self.answer(CAROL)
        self.assertEqual(self.rung("600"), [["200"], ["300"]])

    def answer(self, party: Party) -> None:
        tally = self.ring("600").tally
        assert tally is not None
        tally.rang(party)
        tally.answered(party)

    def test_the_phone_that_calls_does_not_ring(self) -> None:
        self.form(person(1), person(2))
        self.assertEqual(self.rung("600"), [["alice-soft", "200"]])

    def test_a_phone_that_is_in_it_twice_rings_once(self) -> None:
        self.form(person(2), phone(20))
        self.assertEqual(self.rung("600"), [["200"]])
        self.form(person(2), phone(20), strategy="sequential")
        self.assertEqual(self.rung("600"), [["200"], ["200"]])

    def test_who_is_left_out(self) -> None:
        self.form(person(2), person(3), person(99), phone(99))
        self.change(2, dnd=True)
        self.assertEqual(self.rung("600"), [["300"]])
        self.change(2, enabled=False)
        self.assertEqual(self.rung("600"), [["300"]])

    def test_forwards_of_members_do_not_count(self) -> None:
        self.form(person(2))
        self.change(2, forward_always="+15551111")
        self.assertEqual(self.rung("600"), [["200"]])

    def test_members_with_the_schema_of_a_proxy_ring(self) -> None:
        self.form(person(2))
        self.change(2, call_schema="proxy")
        self.assertEqual(self.rung("600"), [["200"]])

    def test_busy_members(self) -> None:
        self.form(person(2), phone(30))
        self.counts.add(BOB, False)
        self.counts.add(CAROL, False)
        self.assertEqual(self.rung("600"), [["200", "300"]])
        self.form(person(2), phone(30), skip_busy=True)
        self.assert_refused(486, "600", "sales", "try again")
        self.counts.remove(CAROL, False)
        self.assertEqual(self.rung("600"), [["300"]])

    def test_nobody_there(self) -> None:
        self.form()
        self.assert_refused(480, "600", "sales", "try again")

    def test_the_fallback(self) -> None:
        self.form(person(2), fallback="carol")
        ring = self.ring("600")
        self.assertEqual((ring.if_busy, ring.if_no_answer, ring.if_unavailable), ("carol", "carol", "carol"))
        self.change(2, dnd=True)
        self.assertEqual(self.rung("600"), [["300"]])
        self.assertEqual(self.ring("600").diverted, ("600",))

    def test_a_fallback_to_itself(self) -> None:
        self.form(fallback="600")
        self.assert_refused(482, "600", "600 to 600", "change")

    def test_two_that_fall_back_on_each_other(self) -> None:
        self.form(fallback="601")
        self.directory.apply_group(group(6, "601", fallback="600", name="support"))
        self.assert_refused(482, "600", "600 to 601 to 600")


class TallyTests(GroupCase):
    def rows(self) -> dict[str, tuple[int, int, int, float]]:
        return {row.member: (row.offered, row.answered, row.missed, row.talk_seconds) for row in self.groups.of(5)}

    def begin(self) -> Ring:
        self.form(person(1), person(2), phone(30))
        return self.ring("600", STRANGER)

    def test_answered(self) -> None:
        tally = self.begin().tally
        assert tally is not None
        for line in self.begin().stages[0].lines:
            tally.rang(line.party)
        tally.answered(CAROL)
        self.now += 60
        tally.talked(CAROL, 60.0)
        expected = {
            "": (1, 1, 0, 60.0),
            "user:1": (1, 0, 0, 0.0),
            "user:2": (1, 0, 0, 0.0),
            "device:30": (1, 1, 0, 60.0),
        }
        self.assertEqual(self.rows(), expected)
        carol = self.shelf.rows[(5, "device:30")]
        self.assertEqual(carol, GroupStatistics(5, "device:30", 1, 1, 0, 60.0, NOW))

    def test_missed(self) -> None:
        tally = self.begin().tally
        assert tally is not None
        soft = Party("alice-soft", "", "", 1, 11, "device")
        for party in (ALICE, soft, BOB):
            tally.rang(party)
            tally.missed(party)
        self.assertEqual(self.rows(), {"": (1, 0, 1, 0.0), "user:1": (1, 0, 1, 0.0), "user:2": (1, 0, 1, 0.0)})

    def test_one_phone_refuses_and_the_other_answers(self) -> None:
        tally = self.begin().tally
        assert tally is not None
        soft = Party("alice-soft", "", "", 1, 11, "device")
        tally.rang(ALICE)
        tally.rang(soft)
        tally.missed(ALICE)
        tally.answered(soft)
        tally.answered(ALICE)
        tally.missed(ALICE)
        self.assertEqual(self.rows(), {"": (1, 1, 0, 0.0), "user:1": (1, 1, 0, 0.0)})

    def test_the_next_stage_answers(self) -> None:
        tally = self.begin().tally
        assert tally is not None
        tally.rang(BOB)
        tally.missed(BOB)
        tally.rang(CAROL)
        tally.answered(CAROL)
        self.assertEqual(self.rows(), {"": (1, 1, 0, 0.0), "user:2": (1, 0, 1, 0.0), "device:30": (1, 1, 0, 0.0)})

    def test_each_call_counts(self) -> None:
        for _ in range(3):
            tally = self.begin().tally
            assert tally is not None
            tally.rang(BOB)
            tally.missed(BOB)
        self.assertEqual(self.rows()["user:2"], (3, 0, 3, 0.0))

    def test_after_a_restart(self) -> None:
        self.form(person(2), person(3), strategy="longest_idle")
        rows = [GroupStatistics(5, "", 9, 8, 1, 70.0, NOW), GroupStatistics(5, "user:2", 9, 8, 1, 70.0, NOW)]
        self.books.restore(rows)
        self.assertEqual(list(self.groups.of(5)), rows)
        self.assertEqual(self.rung("600", STRANGER), [["300"], ["200"]])
        tally = self.ring("600", STRANGER).tally
        assert tally is not None
        tally.rang(BOB)
        self.assertEqual(self.shelf.rows[(5, "user:2")].offered, 10)

    def test_a_group_that_is_gone(self) -> None:
        tally = self.begin().tally
        assert tally is not None
        tally.rang(BOB)
        self.books.forget(5)
        self.assertEqual(self.groups.of(5), ())


class PickupTests(GroupCase):
    def setUp(self) -> None:
        super().setUp()
        self.form(person(1), phone(20))
        self.directory.apply_group(group(6, "601", person(3), name="support"))
        self.sales = Party("600", "sales", kind="server")
        self.support = Party("601", "support", kind="server")

    def test_the_people_of_the_office_may(self) -> None:
        for called in (BOB, CAROL, self.sales, self.support):
            self.assertTrue(self.groups.may_pick_up(ALICE, called))

    def test_strangers_may_not_and_are_not_picked_up_from(self) -> None:
        self.assertFalse(self.groups.may_pick_up(STRANGER, BOB))
        self.assertFalse(self.groups.may_pick_up(ALICE, STRANGER))
        self.assertFalse(self.groups.may_group_pick_up(STRANGER, self.sales))
        self.assertFalse(self.groups.may_group_pick_up(ALICE, STRANGER))

    def test_who_is_in_a_group_together(self) -> None:
        self.assertTrue(self.groups.may_group_pick_up(ALICE, BOB))
        self.assertTrue(self.groups.may_group_pick_up(BOB, ALICE))
        self.assertFalse(self.groups.may_group_pick_up(ALICE, CAROL))
        self.assertFalse(self.groups.may_group_pick_up(CAROL, BOB))

    def test_the_calls_of_a_group(self) -> None:
        self.assertTrue(self.groups.may_group_pick_up(BOB, self.sales))
        self.assertFalse(self.groups.may_group_pick_up(BOB, self.support))
        self.assertTrue(self.groups.may_group_pick_up(CAROL, self.support))

    def test_a_member_that_is_gone(self) -> None:
        self.directory.apply_device(device(20, 2, "200"))
        self.directory.forget_device(20)
        self.assertFalse(self.groups.may_group_pick_up(ALICE, BOB))
