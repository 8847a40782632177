"""Which database a URL names."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from gosip_py.store.address import database_at


class AddressTests(TestCase):
    def test_both_kinds(self) -> None:
        self.assertEqual(database_at("postgresql://u:p@127.0.0.1/gosip", reactor).dialect, "postgres")
        self.assertEqual(database_at("sqlite:///gosip.db", reactor).dialect, "sqlite")

    def test_anything_else_is_refused_without_its_password(self) -> None:
        for url in ("mysql://u:secret@host/db", "gosip.db", "", "sqlite:/x"):
            with self.assertRaises(ValueError) as caught:
                database_at(url, reactor)
            self.assertNotIn("secret", str(caught.exception))

    async def test_the_path_of_a_file(self) -> None:
        path = Path(self.mktemp()).absolute() / "a b.db"
        for url in (f"sqlite:///{str(path).replace(' ', '%20')}", "sqlite://"):
            database = database_at(url, reactor)
            await database.open()
            await database.query("CREATE TABLE x (y TEXT)")
            await database.close()
        self.assertTrue(path.exists())
        self.assertFalse(Path(":memory:").exists())
