"""Addresses that lately failed."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transport.flow import Target
from gosip_py.transport.outages import Outages
from tests.conformance import conforms

HOPS = tuple(Target("UDP", f"192.0.2.{number}", 5060) for number in range(1, 4))
ONE, TWO, THREE = HOPS


class OutageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.outages = Outages(self.clock)

    def test_who_failed_comes_last_for_half_a_minute(self) -> None:
        self.assertIs(self.outages.last(HOPS), HOPS)
        self.outages.note(ONE)
        self.assertEqual(self.outages.last(HOPS), (TWO, THREE, ONE))
        self.clock.advance(29)
        self.assertEqual(self.outages.last(HOPS), (TWO, THREE, ONE))
        self.clock.advance(2)
        self.assertEqual(self.outages.last(HOPS), HOPS)

    def test_of_several_the_one_that_comes_back_first(self) -> None:
        self.outages.note(ONE, 60)
        self.outages.note(THREE, 20)
        self.assertEqual(self.outages.last(HOPS), (TWO, THREE, ONE))
        self.outages.note(ONE, 10)
        self.assertEqual(self.outages.last(HOPS), (TWO, ONE, THREE))

    def test_forgotten_when_it_answers(self) -> None:
        self.outages.forget(ONE)
        self.outages.note(ONE)
        self.outages.forget(TWO)
        self.assertEqual(self.outages.last(HOPS), (TWO, THREE, ONE))
        self.outages.forget(ONE)
        self.assertEqual(self.outages.last(HOPS), HOPS)

    @conforms("RFC 3261 21.5.4")
    def test_nobody_is_put_aside_for_more_than_ten_minutes(self) -> None:
        self.outages.note(ONE, 86400)
        self.clock.advance(599)
        self.assertEqual(self.outages.last(HOPS)[-1], ONE)
        self.clock.advance(2)
        self.assertEqual(self.outages.last(HOPS), HOPS)

    def test_another_port_or_transport_is_another_place(self) -> None:
        self.outages.note(Target("TCP", ONE.host, 5060))
        self.outages.note(Target("UDP", ONE.host, 5062))
        self.assertEqual(self.outages.last(HOPS), HOPS)

    def test_whether_that_is_news(self) -> None:
        self.assertEqual((self.outages.note(ONE), self.outages.note(ONE), self.outages.note(TWO)), (True, False, True))
        self.clock.advance(31)
        self.assertTrue(self.outages.note(ONE))
        self.outages.forget(ONE)
        self.assertTrue(self.outages.note(ONE))

    def test_bounded(self) -> None:
        self.outages.note(ONE)
        for number in range(3000):
            self.outages.note(Target("UDP", "192.0.2.9", number))
        self.assertEqual(len(self.outages._until), 1024)
        self.assertEqual(self.outages.last(HOPS), HOPS)
