"""Browser sessions and API tokens, on both databases."""

from __future__ import annotations

import attrs

from gosip_py.store.accounts import ApiTokens, WebSessions
from gosip_py.store.database import IntegrityError
from gosip_py.store.records import ApiToken, WebSession
from gosip_py.store.users import Users
from tests.store.databases import NOW, DatabaseCase, OnPostgres


class AccountsTests(DatabaseCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.user = await Users(self.database).create(login="alice", now=NOW)
        self.sessions = WebSessions(self.database)
        self.tokens = ApiTokens(self.database)
        self.session = WebSession("hash1", self.user.id, NOW, NOW + 100, "127.0.0.1", "Browser/1")

    async def test_a_session_lives_until_it_expires(self) -> None:
        await self.sessions.create(self.session)
        self.assertEqual(await self.sessions.get("hash1", NOW + 99), self.session)
        self.assertIsNone(await self.sessions.get("hash1", NOW + 100))
        self.assertNotIn("hash1", repr(self.session))

    async def test_a_session_slides(self) -> None:
        await self.sessions.create(self.session)
        await self.sessions.extend("hash1", NOW + 200)
        self.assertEqual(await self.sessions.get("hash1", NOW + 199), attrs.evolve(self.session, expires_at=NOW + 200))

    async def test_signing_out(self) -> None:
        for token_hash in ("hash1", "hash2", "hash3"):
            await self.sessions.create(attrs.evolve(self.session, token_hash=token_hash))
        await self.sessions.delete("hash1")
        self.assertIsNone(await self.sessions.get("hash1", NOW))
        self.assertEqual(await self.sessions.delete_of_user(self.user.id, keep="hash3"), 1)
        self.assertIsNotNone(await self.sessions.get("hash3", NOW))
        self.assertEqual(await self.sessions.delete_of_user(self.user.id), 1)

    async def test_prune(self) -> None:
        await self.sessions.create(self.session)
        self.assertEqual(await self.sessions.prune(NOW + 99), 0)
        self.assertEqual(await self.sessions.prune(NOW + 100), 1)

    async def test_a_session_needs_its_user(self) -> None:
        with self.assertRaises(IntegrityError):
            await self.sessions.create(attrs.evolve(self.session, user_id=self.user.id + 1))

    async def test_a_token(self) -> None:
        token = await self.tokens.create(
            user_id=self.user.id, name="ci", token_hash="h1", scopes=("calls:read",), expires_at=NOW + 10, now=NOW
        )
        self.assertEqual(token, ApiToken(token.id, self.user.id, "ci", "h1", ("calls:read",), NOW + 10, NOW, None))
        self.assertNotIn("h1", repr(token))
        self.assertEqual(await self.tokens.by_hash("h1", NOW + 9), token)
        self.assertIsNone(await self.tokens.by_hash("h1", NOW + 10))
        await self.tokens.touch(token.id, NOW + 3)
        self.assertEqual(await self.tokens.by_user(self.user.id), (attrs.evolve(token, last_used_at=NOW + 3),))

    async def test_a_token_without_end(self) -> None:
        token = await self.tokens.create(user_id=self.user.id, name="", token_hash="h1", now=NOW)
        self.assertEqual(await self.tokens.by_hash("h1", NOW * 2), token)

    async def test_only_the_owner_revokes(self) -> None:
        token = await self.tokens.create(user_id=self.user.id, name="", token_hash="h1", now=NOW)
        self.assertFalse(await self.tokens.delete(token.id, self.user.id + 1))
        self.assertTrue(await self.tokens.delete(token.id, self.user.id))
        self.assertIsNone(await self.tokens.by_hash("h1", NOW))

    async def test_who_is_deleted_is_signed_out(self) -> None:
        await self.sessions.create(self.session)
        await self.tokens.create(user_id=self.user.id, name="", token_hash="h1", now=NOW)
        await Users(self.database).delete(self.user.id)
        self.assertIsNone(await self.sessions.get("hash1", NOW))
        self.assertIsNone(await self.tokens.by_hash("h1", NOW))


class AccountsOnPostgresTests(OnPostgres, AccountsTests):
    pass
