"""Whose address is whose."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.notifier.people import People
from gosip_py.registrar.domains import Domains
from gosip_py.sip.errors import ParseError
from tests.proxy.switchboard import SERVER, Listening
from tests.registrar.fakes import device, directory, user


class PeopleTests(SynchronousTestCase):
    def setUp(self) -> None:
        records = (user(), user(2, "bob"), device(), device(11, 1, "bob"), device(20, 2, "200"))
        self.people = People(directory(*records), Domains("example.com", Listening()))

    def test_a_login_goes_before_a_device_of_its_name(self) -> None:
        for name, owner in (("ALICE", 1), ("bob", 2), ("200", 2), ("alice-desk", 1)):
            found = self.people.named(name)
            assert found is not None
            self.assertEqual(found.id, owner, name)
        self.assertIsNone(self.people.named("nobody"))

    def test_addresses_of_record(self) -> None:
        self.assertEqual(self.people.aors_of(2), ("sip:bob@example.com", "sip:200@example.com"))
        self.assertEqual(self.people.aors_of(9), ())
        self.assertEqual(self.people.owner_of("sip:200@example.com"), 2)
        self.assertIsNone(self.people.owner_of("sip:nobody@example.com"))
        self.assertIsNone(self.people.owner_of("nonsense"))

    def test_devices(self) -> None:
        self.assertEqual(self.people.owner_of_device(20), 2)
        self.assertIsNone(self.people.owner_of_device(99))

    def test_a_uri_that_names_a_user(self) -> None:
        for uri in ("pres:alice@example.com", "sips:alice-desk@example.com", f"sip:Alice@{SERVER}:5060"):
            self.assertTrue(self.people.is_address_of(uri, 1), uri)
        for uri in ("sip:alice@elsewhere.example", "sip:bob@example.com", "sip:example.com", "pres:x@example.com"):
            self.assertFalse(self.people.is_address_of(uri, 1), uri)
        for uri in ("alice", "mailto:alice@example.com", "", "pres"):
            with self.assertRaises(ParseError):
                self.people.is_address_of(uri, 1)
