from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.web.lockout import LOCK_SECONDS, Lockout

KEYS = ("account a", "address 192.0.2.1")


class LockoutTests(SynchronousTestCase):
    def count(self, lockout: Lockout, keys: tuple[str, ...], now: float) -> None:
        self.assertEqual(lockout.begin(keys, now), 0)
        lockout.fail(keys, now)

    def test_attempts_at_the_same_time_are_bounded(self) -> None:
        lockout = Lockout()
        self.assertEqual([lockout.begin(KEYS, 0) for _ in range(5)], [0] * 5)
        self.assertEqual(lockout.begin(KEYS, 0), 1)
        for _ in range(5):
            lockout.withdraw(KEYS)
        self.assertEqual(lockout.begin(KEYS, 0), 0)

    def test_failures_of_attempts_at_the_same_time_lock(self) -> None:
        lockout = Lockout()
        for _ in range(5):
            lockout.begin(KEYS, 0)
        for _ in range(5):
            lockout.fail(KEYS, 0)
        self.assertEqual(lockout.begin(KEYS, 1), LOCK_SECONDS - 1)

    def test_success_forgives_the_account_and_not_the_address(self) -> None:
        lockout = Lockout()
        for _ in range(4):
            self.count(lockout, KEYS, 0)
        lockout.begin(KEYS, 0)
        lockout.succeed(KEYS[0], KEYS)
        self.count(lockout, KEYS, 0)
        self.assertGreater(lockout.begin(KEYS[1:], 0), 0)
        self.assertEqual(lockout.begin(KEYS[:1], 0), 0)

    def test_memory_is_bounded_and_locks_are_kept_longest(self) -> None:
        lockout = Lockout(limit=10)
        for _ in range(5):
            self.count(lockout, ("locked",), 0)
        for number in range(100):
            self.count(lockout, (f"key {number}",), 0)
        self.assertEqual(len(lockout), 10)
        self.assertGreater(lockout.begin(("locked",), 1), 0)

    def test_what_is_over_makes_room_first(self) -> None:
        lockout = Lockout(limit=3)
        for number in range(3):
            self.count(lockout, (f"old {number}",), 0)
        self.count(lockout, ("new",), 100)
        self.assertEqual(len(lockout), 1)
