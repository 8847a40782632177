"""Who may register what."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.registrar.rule import DirectoryRule
from gosip_py.transaction.authenticate import Identity
from tests.registrar.fakes import device, directory, user


class DirectoryRuleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rule = DirectoryRule(
            directory(
                user(),
                user(2, "Bob"),
                device(),
                device(20, 2, "bob-desk"),
                device(21, 2, "alice"),
                device(22, 2, "Bob"),
            )
        )
        self.alice = Identity("alice-desk", 10, 1)

    def test_its_own_name(self) -> None:
        self.assertEqual(self.rule.registrable(self.alice, "alice-desk"), "alice-desk")

    def test_a_device_name_has_a_case(self) -> None:
        self.assertIsNone(self.rule.registrable(self.alice, "Alice-Desk"))

    def test_the_login_of_its_owner_in_any_case(self) -> None:
        self.assertEqual(self.rule.registrable(self.alice, "alice"), "alice")
        self.assertEqual(self.rule.registrable(self.alice, "ALICE"), "alice")
        self.assertEqual(self.rule.registrable(Identity("bob-desk", 20, 2), "bob"), "Bob")

    def test_nobody_else(self) -> None:
        for name in ("bob", "bob-desk", "carol", ""):
            self.assertIsNone(self.rule.registrable(self.alice, name), name)

    def test_a_device_named_like_somebody_else_does_not_take_over(self) -> None:
        self.assertIsNone(self.rule.registrable(Identity("alice", 21, 2), "alice"))

    def test_a_device_named_like_its_owner(self) -> None:
        self.assertEqual(self.rule.registrable(Identity("Bob", 22, 2), "Bob"), "Bob")

    def test_an_owner_who_is_gone(self) -> None:
        self.assertIsNone(self.rule.registrable(Identity("ghost-desk", 30, 99), "ghost"))
