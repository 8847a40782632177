"""Which digits may become a name when more are dialled."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.store.prefixes import LONGEST, NumberPrefixes


class PrefixTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.prefixes = NumberPrefixes()

    def found(self, *dialled: str) -> list[bool]:
        return [each in self.prefixes for each in dialled]

    def test_only_what_is_shorter(self) -> None:
        self.prefixes.add("200")
        self.assertEqual(self.found("", "2", "20", "200", "2000", "21"), [False, True, True, False, False, False])

    def test_a_name_that_goes_on_with_letters(self) -> None:
        self.prefixes.add("20-desk")
        self.assertEqual(self.found("2", "20", "20-", "20-d"), [True, True, False, False])

    def test_what_begins_with_no_digit(self) -> None:
        for name in ("", "alice", "+49", "a20", "\u0662"):
            self.prefixes.add(name)
        self.assertEqual(len(self.prefixes), 0)

    def test_a_very_long_number(self) -> None:
        self.prefixes.add("1" * 64)
        self.assertEqual(len(self.prefixes), LONGEST)
        self.assertEqual(self.found("1" * LONGEST, "1" * (LONGEST + 1)), [True, False])

    def test_a_number_is_there_until_the_last_name_with_it_went(self) -> None:
        names = [str(number) for number in random.Random(1).sample(range(100_000), 200)]
        for name in (*names, *names):
            self.prefixes.add(name)
        for name in (*names, *names[1:]):
            self.prefixes.remove(name)
        self.assertEqual(self.found(names[0][:-1]), [True])
        self.assertEqual(len(self.prefixes), len(names[0]) - 1)
        self.prefixes.remove(names[0])
        self.assertEqual(len(self.prefixes), 0)
