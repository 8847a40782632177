"""Branches, tags and Call-IDs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.grammar import is_token
from gosip_py.sip.ids import MAGIC_COOKIE, new_branch, new_call_id, new_tag, new_token


class Identifiers(SynchronousTestCase):
    def test_forms(self) -> None:
        self.assertTrue(new_branch().startswith(MAGIC_COOKIE))
        self.assertTrue(is_token(new_branch()) and is_token(new_tag()))
        self.assertTrue(new_call_id("mill.example").endswith("@mill.example"))

    def test_length(self) -> None:
        for digits in (1, 7, 16384, 16384, 3):
            self.assertEqual(len(new_token(digits)), digits)

    def test_none_comes_twice(self) -> None:
        # more than the pool holds, so that it is refilled on the way
        for make in (new_branch, new_tag):
            self.assertEqual(len({make() for _ in range(5000)}), 5000)
