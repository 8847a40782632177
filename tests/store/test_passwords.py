"""Passwords of people."""

from __future__ import annotations

from argon2 import PasswordHasher
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from gosip_py.store.passwords import Passwords


class PasswordsTests(TestCase):
    def setUp(self) -> None:
        self.passwords = Passwords(IReactorFromThreads(reactor))
        self.passwords.start()
        self.addCleanup(self.passwords.stop)

    async def test_only_the_password_verifies(self) -> None:
        encoded = await self.passwords.hash("correct horse")
        self.assertTrue(encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$"))
        self.assertIs(await self.passwords.verify(encoded, "correct horse"), True)
        self.assertIs(await self.passwords.verify(encoded, "correct horse "), False)
        self.assertNotEqual(encoded, await self.passwords.hash("correct horse"))

    async def test_nobody_has_a_password(self) -> None:
        for encoded in (None, "", "not a hash", "$argon2id$v=19$m=1"):
            for password in ("", "nobody"):
                self.assertIs(await self.passwords.verify(encoded, password), False)

    async def test_text_that_is_not_unicode(self) -> None:
        encoded = await self.passwords.hash("x")
        self.assertIs(await self.passwords.verify(encoded, "\udc80"), False)
        with self.assertRaises(ValueError):
            await self.passwords.hash("\udc80")

    async def test_weaker_hashes_are_to_be_made_again(self) -> None:
        weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("x")
        self.assertTrue(self.passwords.needs_rehash(weak))
        self.assertIs(await self.passwords.verify(weak, "x"), True)
        self.assertFalse(self.passwords.needs_rehash(await self.passwords.hash("x")))
