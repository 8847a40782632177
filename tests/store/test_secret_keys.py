"""The repository of secret keys, on both databases."""

from __future__ import annotations

from gosip_py.store.secret_keys import SecretKeys
from tests.store.databases import DatabaseCase, OnPostgres


class SecretKeysTests(DatabaseCase):
    async def test_made_once(self) -> None:
        first = await SecretKeys(self.database).obtain("sip")
        self.assertEqual(len(first), 32)
        self.assertEqual(await SecretKeys(self.database).obtain("sip"), first)

    async def test_one_for_each_name(self) -> None:
        keys = SecretKeys(self.database)
        self.assertNotEqual(await keys.obtain("sip"), await keys.obtain("other"))


class SecretKeysOnPostgresTests(OnPostgres, SecretKeysTests):
    pass
