"""How many calls there may be."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.limits import CallLimits, LegCounts
from gosip_py.call.party import Party

DESK = Party("alice-desk", user_id=1, device_id=10, kind="device")
SOFT = Party("alice-soft", user_id=1, device_id=11, kind="device")
OUT = Party("+15550001", kind="trunk")
FORWARDED = Party("+15550001", user_id=1, kind="trunk")
STRANGER = Party("somebody", kind="outside")


class CountTests(SynchronousTestCase):
    def test_legs(self) -> None:
        counts = LegCounts()
        counts.add(DESK, True)
        counts.add(SOFT, False)
        counts.add(OUT, False)
        counts.add(FORWARDED, False)
        counts.add(STRANGER, True)
        self.assertEqual((counts.of_device(10), counts.of_device(11), counts.of_device(12)), (1, 1, 0))
        self.assertEqual((counts.of_user(1), counts.made_by(1), counts.of_trunk), (2, 2, 2))

    def test_nothing_is_left(self) -> None:
        counts = LegCounts()
        for party, is_received in ((DESK, True), (DESK, False), (FORWARDED, False), (OUT, True), (STRANGER, True)):
            counts.add(party, is_received)
            counts.remove(party, is_received)
        self.assertEqual((counts.of_device(10), counts.of_user(1), counts.made_by(1), counts.of_trunk), (0, 0, 0, 0))
        self.assertEqual((counts._devices, counts._users, counts._made), ({}, {}, {}))


class LimitTests(SynchronousTestCase):
    def test_no_limits(self) -> None:
        counts = LegCounts()
        limits = CallLimits(counts)
        for _ in range(100):
            counts.add(DESK, True)
            counts.add(OUT, False)
        self.assertIsNone(limits.refuse_caller(DESK))
        self.assertIsNone(limits.refuse_trunk())
        self.assertFalse(limits.is_full(10))

    def test_of_a_device(self) -> None:
        counts = LegCounts()
        limits = CallLimits(counts, per_device=2)
        counts.add(DESK, True)
        self.assertIsNone(limits.refuse_caller(DESK))
        counts.add(DESK, False)
        refusal = limits.refuse_caller(DESK)
        assert refusal is not None
        self.assertEqual(refusal.status, 486)
        self.assertTrue(limits.is_full(10))
        self.assertIsNone(limits.refuse_caller(SOFT))
        self.assertIsNone(limits.refuse_caller(STRANGER))
        self.assertFalse(limits.is_full(None))

    def test_of_an_account(self) -> None:
        """Calls that come in do not count, those that are forwarded out do."""
        counts = LegCounts()
        limits = CallLimits(counts, per_account=2)
        for _ in range(5):
            counts.add(DESK, False)
        counts.add(DESK, True)
        self.assertIsNone(limits.refuse_caller(SOFT))
        counts.add(FORWARDED, False)
        refusal = limits.refuse_caller(SOFT)
        assert refusal is not None
        self.assertEqual(refusal.status, 486)
        self.assertIsNotNone(limits.refuse_account(1))
        self.assertIsNone(limits.refuse_account(None))

    def test_of_the_trunk(self) -> None:
        counts = LegCounts()
        limits = CallLimits(counts, per_trunk=1)
        self.assertIsNone(limits.refuse_trunk())
        counts.add(OUT, False)
        refusal = limits.refuse_trunk()
        assert refusal is not None
        self.assertEqual((refusal.status, refusal.headers), (503, (("retry-after", "10"),)))
