"""Transition tables: what complete() accepts, what a step gives, what is drawn."""

from __future__ import annotations

from enum import Enum, IntEnum
from itertools import product

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.fsm import FaultyTable, Refused, Table, complete, diagram


class Door(IntEnum):
    OPEN = 0
    CLOSED = 1
    LOCKED = 2


class Hand(IntEnum):
    PUSH = 0
    PULL = 1
    TURN = 2


class Other(IntEnum):
    OPEN = 7


@attrs.frozen
class Creak:
    seconds: int

    def __str__(self) -> str:
        return f"Creak: {self.seconds}s; #1"


ARCS: dict[tuple[Door, Hand], tuple[Door, tuple[object, ...]]] = {
    (Door.OPEN, Hand.PUSH): (Door.CLOSED, (Creak(2), "bang")),
    (Door.CLOSED, Hand.PULL): (Door.OPEN, (Creak(2),)),
    (Door.CLOSED, Hand.TURN): (Door.LOCKED, ()),
}
ABSORBED = [(Door.OPEN, Hand.PULL), (Door.CLOSED, Hand.PUSH), (Door.LOCKED, Hand.PUSH), (Door.LOCKED, Hand.PULL)]
REFUSED = [(Door.OPEN, Hand.TURN), (Door.LOCKED, Hand.TURN)]


def door() -> Table[Door, Hand, object]:
    return complete("door", Door, Hand, ARCS, ABSORBED, REFUSED)


class StepTests(SynchronousTestCase):
    def test_an_arc_gives_the_next_state_and_the_effects(self) -> None:
        self.assertEqual(door().step(Door.OPEN, Hand.PUSH), (Door.CLOSED, (Creak(2), "bang")))
        self.assertEqual(door().step(Door.CLOSED, Hand.TURN), (Door.LOCKED, ()))

    def test_an_absorbed_signal_changes_nothing(self) -> None:
        for state, signal in ABSORBED:
            self.assertEqual(door().step(state, signal), (state, ()))

    def test_a_refused_signal_raises_and_says_which(self) -> None:
        refused = self.assertRaises(Refused, door().step, Door.LOCKED, Hand.TURN)
        self.assertEqual((refused.name, refused.state, refused.signal), ("door", Door.LOCKED, Hand.TURN))
        self.assertEqual(str(refused), "door: TURN cannot happen in LOCKED")

    def test_a_refused_signal_raises_every_time(self) -> None:
        table = door()
        for _ in range(2):
            with self.assertRaises(Refused):
                table.rows[Door.OPEN][Hand.TURN]

    def test_the_rows_agree_with_step(self) -> None:
        table = door()
        for state, signal in product(Door, Hand):
            if (state, signal) not in table.refused:
                self.assertEqual(table.rows[state][signal], table.step(state, signal))

    def test_states_and_signals_may_be_plain_enums(self) -> None:
        light = Enum("light", ["OFF", "ON"])
        press = Enum("press", ["PRESS"])
        off, on = light
        (pressed,) = press
        table: Table[Enum, Enum, str] = complete(
            "lamp", light, press, {(off, pressed): (on, ("glow",)), (on, pressed): (off, ())}
        )
        self.assertEqual(table.step(off, pressed), (on, ("glow",)))

    def test_arcs_are_listed_without_the_absorbed_pairs(self) -> None:
        listed = {(state, signal): (following, effects) for state, signal, following, effects in door().arcs()}
        self.assertEqual(listed, ARCS)


class CompleteTests(SynchronousTestCase):
    def faults(
        self,
        arcs: dict[tuple[Door, Hand], tuple[Door, tuple[object, ...]]] = ARCS,
        absorbed: list[tuple[Door, Hand]] = ABSORBED,
        refused: list[tuple[Door, Hand]] = REFUSED,
        initial: Door | None = None,
    ) -> tuple[str, ...]:
        with self.assertRaises(FaultyTable) as caught:
            complete("door", Door, Hand, arcs, absorbed, refused, initial=initial)
        return caught.exception.faults

    def test_a_pair_that_is_not_listed(self) -> None:
        self.assertEqual(self.faults(absorbed=ABSORBED[1:]), ("(OPEN, PULL) is not listed",))

    def test_a_pair_that_is_listed_as_two_things(self) -> None:
        self.assertEqual(self.faults(absorbed=ABSORBED + REFUSED[:1]), ("(OPEN, TURN) is listed 2 times",))
        self.assertEqual(self.faults(refused=[*REFUSED, (Door.OPEN, Hand.PUSH)]), ("(OPEN, PUSH) is listed 2 times",))

    def test_a_pair_that_is_listed_twice_as_one_thing(self) -> None:
        self.assertEqual(self.faults(absorbed=ABSORBED + ABSORBED[:1]), ("(OPEN, PULL) is listed 2 times",))

    def test_every_fault_is_named_at_once(self) -> None:
        self.assertEqual(
            self.faults(absorbed=ABSORBED[2:]), ("(OPEN, PULL) is not listed", "(CLOSED, PUSH) is not listed")
        )

    def test_a_state_and_a_signal_that_do_not_exist(self) -> None:
        table: dict[tuple[Enum, Enum], tuple[Enum, tuple[object, ...]]] = dict(ARCS.items())
        table[Other.OPEN, Hand.PUSH] = (Door.OPEN, ())
        table[Door.OPEN, Other.OPEN] = (Other.OPEN, ())
        with self.assertRaises(FaultyTable) as caught:
            complete("door", Door, Hand, table, ABSORBED, REFUSED)
        self.assertEqual(caught.exception.faults, ("7 is not a state", "7 is not a signal"))

    def test_an_initial_state_that_does_not_exist(self) -> None:
        with self.assertRaises(FaultyTable):
            complete("door", [Door.OPEN], Hand, {}, [], [(Door.OPEN, hand) for hand in Hand], initial=Door.CLOSED)

    def test_a_state_that_cannot_be_reached(self) -> None:
        arcs = {pair: cell for pair, cell in ARCS.items() if pair[1] is not Hand.TURN}
        faults = self.faults(arcs, [*ABSORBED, (Door.CLOSED, Hand.TURN)])
        self.assertEqual(faults, ("LOCKED cannot be reached from OPEN",))

    def test_what_is_reached_depends_on_the_initial_state(self) -> None:
        self.assertEqual(len(self.faults(initial=Door.LOCKED)), 2)
        self.assertIs(complete("door", Door, Hand, ARCS, ABSORBED, REFUSED, initial=Door.CLOSED).initial, Door.CLOSED)

    def test_a_table_without_states(self) -> None:
        with self.assertRaises(FaultyTable):
            complete("nothing", (), Hand, {})

    def test_the_error_names_the_table(self) -> None:
        error = FaultyTable("door", ["a", "b"])
        self.assertEqual(str(error), "door: a; b")


class DiagramTests(SynchronousTestCase):
    def test_the_whole_page(self) -> None:
        self.assertEqual(
            diagram(door()),
            """\
# door

```mermaid
stateDiagram-v2
    [*] --> OPEN
    OPEN --> CLOSED: PUSH / Creak#58; 2s#59; #35;1, bang
    CLOSED --> OPEN: PULL / Creak#58; 2s#59; #35;1
    CLOSED --> LOCKED: TURN
    LOCKED --> [*]
```

Absorbed (nothing happens), by state:

- OPEN: PULL
- CLOSED: PUSH
- LOCKED: PUSH, PULL

Refused (only a bug can cause it), by state:

- OPEN: TURN
- LOCKED: TURN
""",
        )

    def test_effects_that_are_enum_members_or_classes_are_drawn_by_name(self) -> None:
        arcs: dict[tuple[Door, Hand], tuple[Door, tuple[object, ...]]] = {
            (Door.OPEN, Hand.PUSH): (Door.OPEN, (Other.OPEN, Creak))
        }
        page = diagram(complete("ajar", [Door.OPEN], [Hand.PUSH], arcs))
        self.assertIn("    OPEN --> OPEN: PUSH / OPEN, Creak\n", page)
        self.assertEqual(page.count("- none"), 2)
