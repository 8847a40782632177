"""Who is meant by a Request-URI."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.router import Destination, Elsewhere, ExtensionRouter, LocalTarget, NotFound, Unavailable
from gosip_py.events import Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.location import Contact, Location
from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Target
from tests.registrar.fakes import NOW, Addresses, RememberingWriter, StillFlow, binding, device, directory, user

DOMAINS = Domains("example.com", Addresses(("192.0.2.1", 5060)))


class RouterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = directory(user(), device(), device(11, 1, "alice-soft"), user(2, "bob"), device(20, 2, "200"))
        self.location = Location(RememberingWriter(), Bus(), Metrics())
        self.router = ExtensionRouter(self.directory, self.location, DOMAINS)

    def register(self, name: str, contact: str, device_id: int, **others: Any) -> None:
        others.setdefault("source", contact.partition("@")[2])
        record = binding(contact, DOMAINS.aor(name), device_id=device_id, **others)
        self.location.add(Contact(record, None), NOW)

    def find(self, uri: str) -> Destination | Unavailable | NotFound | Elsewhere:
        return self.router.find(parse_uri(uri), NOW)

    def rings(self, uri: str) -> list[str]:
        found = self.find(uri)
        assert isinstance(found, Destination), found
        return [target.uri_text for target in found.targets]

    def explanation(self, uri: str) -> str:
        found = self.find(uri)
        assert isinstance(found, Unavailable), found
        return found.explanation


class NameTests(RouterCase):
    def test_a_login_rings_everything_of_that_person(self) -> None:
        self.register("alice-desk", "sip:d@192.0.2.5:5060", 10)
        self.register("alice-soft", "sip:s@192.0.2.6:5060", 11)
        self.register("alice", "sip:a@192.0.2.7:5060", 11)
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.assertEqual(
            sorted(self.rings("sip:alice@example.com")),
            ["sip:a@192.0.2.7:5060", "sip:d@192.0.2.5:5060", "sip:s@192.0.2.6:5060"],
        )

    def test_a_device_name_rings_that_device_only(self) -> None:
        self.register("alice-desk", "sip:d@192.0.2.5:5060", 10)
        self.register("alice", "sip:a@192.0.2.7:5060", 11)
        self.assertEqual(self.rings("sip:alice-desk@example.com"), ["sip:d@192.0.2.5:5060"])

    def test_what_a_target_says(self) -> None:
        flow = StillFlow(remote=("203.0.113.9", 40000))
        record = binding("sip:b@10.0.0.7", DOMAINS.aor("200"), device_id=20, q=300, path="<sip:edge.example.com;lr>")
        self.location.add(Contact(record, flow), NOW)
        expected = LocalTarget(
            "sip:b@10.0.0.7", Target("UDP", "203.0.113.9", 40000, flow), ("<sip:edge.example.com;lr>",), 300, 20, 2
        )
        self.assertEqual(
            self.find("sip:200@example.com"), Destination((expected,), user(2, "bob"), device(20, 2, "200"))
        )

    def test_the_preferred_first(self) -> None:
        for q, name in ((200, "low"), (1000, "high"), (500, "middle")):
            self.register("alice", f"sip:{name}@192.0.2.5:5060", 10, q=q)
        self.assertEqual(
            self.rings("sip:alice@example.com"),
            ["sip:high@192.0.2.5:5060", "sip:middle@192.0.2.5:5060", "sip:low@192.0.2.5:5060"],
        )

    def test_a_phone_registered_under_two_names_rings_once(self) -> None:
        self.register("alice", "sip:d@192.0.2.5:5060", 10)
        self.register("alice-desk", "sip:d@192.0.2.5:5060", 10)
        self.assertEqual(self.rings("sip:alice@example.com"), ["sip:d@192.0.2.5:5060"])

    def test_two_phones_behind_two_nats_with_one_private_address(self) -> None:
        self.register("alice", "sip:d@10.0.0.2:5060", 10, source="203.0.113.9:5060")
        self.register("alice-soft", "sip:d@10.0.0.2:5060", 11, source="203.0.113.77:5060")
        self.assertEqual(len(self.rings("sip:alice@example.com")), 2)

    def test_case(self) -> None:
        self.register("alice", "sip:a@192.0.2.7:5060", 10)
        self.register("alice-desk", "sip:d@192.0.2.5:5060", 10)
        self.assertEqual(len(self.rings("sip:ALICE@example.com")), 2)
        self.assertEqual(self.find("sip:Alice-Desk@example.com"), NotFound("Alice-Desk"))

    def test_a_login_in_any_case_goes_before_the_device_of_somebody_else(self) -> None:
        self.directory.apply_device(device(21, 2, "ALICE"))
        self.register("ALICE", "sip:b@192.0.2.8:5060", 21)
        self.register("alice", "sip:a@192.0.2.7:5060", 10)
        self.assertEqual(self.rings("sip:ALICE@example.com"), ["sip:a@192.0.2.7:5060"])

    def test_a_login_that_was_made_in_capitals(self) -> None:
        self.directory.apply_user(user(3, "Carol"))
        self.directory.apply_device(device(30, 3, "300"))
        self.register("300", "sip:c@192.0.2.9:5060", 30)
        for name in ("Carol", "carol", "CAROL"):
            self.assertEqual(self.rings(f"sip:{name}@example.com"), ["sip:c@192.0.2.9:5060"])

    def test_a_device_with_the_login_of_somebody_else_hears_nothing(self) -> None:
        self.directory.apply_device(device(21, 2, "alice"))
        self.register("alice", "sip:b@192.0.2.8:5060", 21)
        self.assertIsInstance(self.find("sip:alice@example.com"), Unavailable)

    def test_escapes(self) -> None:
        self.directory.apply_device(device(12, 1, "front door"))
        self.register("front door", "sip:f@192.0.2.9:5060", 12)
        self.assertEqual(self.rings("sip:front%20door@example.com"), ["sip:f@192.0.2.9:5060"])

    def test_a_number(self) -> None:
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.assertEqual(self.rings("tel:2-00"), ["sip:b@192.0.2.8:5060"])
        self.assertEqual(self.find("tel:+4930123"), NotFound("+4930123"))

    def test_by_our_address(self) -> None:
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        for uri in ("sip:200@192.0.2.1", "sips:200@example.com", "sip:200@192.0.2.1:5060;user=phone"):
            self.assertEqual(self.rings(uri), ["sip:b@192.0.2.8:5060"])


class NobodyTests(RouterCase):
    def test_not_found(self) -> None:
        self.assertEqual(self.find("sip:nobody@example.com"), NotFound("nobody"))
        self.assertEqual(self.find("sip:example.com"), NotFound(""))

    def test_elsewhere(self) -> None:
        self.assertEqual(self.find("sip:alice@example.org"), Elsewhere("example.org"))
        self.assertEqual(self.find("sip:alice@192.0.2.1:5070"), Elsewhere("192.0.2.1"))

    def test_not_registered(self) -> None:
        self.assertEqual(self.explanation("sip:alice@example.com"), "alice has no phone registered")
        self.assertEqual(self.explanation("sip:200@example.com"), "the device 200 is not registered")

    def test_expired(self) -> None:
        self.register("200", "sip:b@192.0.2.8:5060", 20, expires_at=NOW)
        self.assertIsInstance(self.find("sip:200@example.com"), Unavailable)

    def test_a_disabled_device(self) -> None:
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.directory.apply_device(device(20, 2, "200", enabled=False))
        self.assertEqual(self.explanation("sip:200@example.com"), "the device 200 is disabled")
        self.assertEqual(self.explanation("sip:bob@example.com"), "bob has no phone registered")

    def test_a_disabled_device_that_registered_the_login(self) -> None:
        self.register("bob", "sip:b@192.0.2.8:5060", 20)
        self.directory.apply_device(device(20, 2, "200", enabled=False))
        self.assertIsInstance(self.find("sip:bob@example.com"), Unavailable)

    def test_a_deleted_device(self) -> None:
        self.register("bob", "sip:b@192.0.2.8:5060", 20)
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.directory.forget_device(20)
        self.assertIsInstance(self.find("sip:bob@example.com"), Unavailable)
        self.assertEqual(self.find("sip:200@example.com"), NotFound("200"))

    def test_do_not_disturb(self) -> None:
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.directory.apply_user(user(2, "bob", dnd=True))
        for uri in ("sip:bob@example.com", "sip:200@example.com"):
            self.assertEqual(self.explanation(uri), "bob does not want to be disturbed")

    def test_a_disabled_person(self) -> None:
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.directory.apply_user(user(2, "bob", enabled=False))
        for uri in ("sip:bob@example.com", "sip:200@example.com"):
            self.assertEqual(self.explanation(uri), "bob is disabled")

    def test_an_unreadable_record_hides_no_other(self) -> None:
        self.register("200", "nonsense@192.0.2.8:5060", 20, transport="TCP")
        self.register("200", "sip:b@192.0.2.8:5060", 20)
        self.assertEqual(self.rings("sip:200@example.com"), ["sip:b@192.0.2.8:5060"])
