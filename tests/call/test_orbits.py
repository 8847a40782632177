"""The numbers at which calls are parked."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.orbits import Orbits


class OrbitsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.orbits: Orbits[str] = Orbits(701, 703)

    def test_the_lowest_that_is_free(self) -> None:
        self.assertEqual([self.orbits.take(name) for name in "abcd"], ["701", "702", "703", ""])
        self.assertEqual(self.orbits.leave("702"), "b")
        self.assertEqual(self.orbits.take("e"), "702")
        self.assertEqual(list(self.orbits), [("701", "a"), ("703", "c"), ("702", "e")])

    def test_one_that_was_asked_for(self) -> None:
        self.assertEqual(self.orbits.take("a", "702"), "702")
        self.assertEqual(self.orbits.take("b", "702"), "")
        self.assertEqual(self.orbits.at("702"), "a")
        self.assertEqual(self.orbits.take("b"), "701")

    def test_no_orbit(self) -> None:
        for number in ("", "700", "704", "0701", "7\u06601"):
            self.assertFalse(self.orbits.contains(number), number)
        self.assertEqual(self.orbits.take("a", "704"), "")
        self.assertIsNone(self.orbits.leave("704"))
        self.assertEqual(len(self.orbits), 0)

    def test_a_range_that_is_none(self) -> None:
        for first, last in ((720, 701), (-1, 5), (1, 1001)):
            with self.assertRaises(ValueError):
                Orbits(first, last)
        self.assertTrue(Orbits(5, 5).contains("5"))
