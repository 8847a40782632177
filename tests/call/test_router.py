"""Who is meant by a Request-URI."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.router import Destination, Elsewhere, ExtensionRouter, LocalTarget, NotFound, Unavailable
from gosip_py.events import Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.domains import Domains
from gosip_py.registrar.gruu import Gruus
from gosip_py.registrar.location import Contact, Location
from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.registrar.fakes import NOW, Addresses, RememberingWriter, StillFlow, binding, device, directory, user

DOMAINS = Domains("example.com", Addresses(("192.0.2.1", 5060)))


class RouterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = directory(user(), device(), device(11, 1, "alice-soft"), user(2, "bob"), device(20, 2, "200"))
        self.location = Location(RememberingWriter(), Bus(), Metrics())
        self.gruus = Gruus(b"a secret of these tests")
        self.router = ExtensionRouter(self.directory, self.location, DOMAINS, self.gruus)

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
    @conforms("RFC 3261 16.5")
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

    @conforms("RFC 3327 5.4")
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

    @conforms("RFC 3261 16.6")
    def test_the_preferred_first(self) -> None:
        for q, name in ((200, "low"), (1000, "high"), (500, "middle")):
            self.register("alice", f"sip:{name}@192.0.2.5:5060", 10, q=q)
        self.assertEqual(
            self.rings("sip:alice@example.com"),
            ["sip:high@192.0.2.5:5060", "sip:middle@192.0.2.5:5060", "sip:low@192.0.2.5:5060"],
        )

    @conforms("RFC 3261 16.5")
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

    @conforms("RFC 3261 21.4.22")
    def test_a_number_that_goes_on(self) -> None:
        for uri in ("sip:20@example.com", "tel:2-0", "sip:20@192.0.2.1:5060"):
            self.assertEqual(self.find(uri), NotFound("20", is_incomplete=True), uri)
        for name in ("21", "2000", "alice-des"):
            self.assertEqual(self.find(f"sip:{name}@example.com"), NotFound(name), name)

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


INSTANCE = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"


class FlowTests(RouterCase):
    """Several ways to one phone (RFC 5626 7)."""

    def flow(self, reg_id: int, refreshed_at: float, name: str = "alice", device_id: int = 10, **others: Any) -> None:
        contact = f"sip:f{reg_id}@10.0.0.7"
        others = {"instance": INSTANCE, "flow": f"{reg_id};{INSTANCE}"} | others
        self.register(name, contact, device_id, source=f"203.0.113.9:{reg_id}", refreshed_at=refreshed_at, **others)

    def ways(self, uri: str = "sip:alice@example.com") -> list[list[str]]:
        found = self.find(uri)
        assert isinstance(found, Destination), found
        return [[each.uri_text for each in (target, *target.fallbacks)] for target in found.targets]

    @conforms("RFC 5626 7")
    def test_one_at_a_time_the_most_recent_first(self) -> None:
        self.flow(1, NOW - 10)
        self.flow(2, NOW - 5)
        self.flow(3, NOW - 20)
        self.assertEqual(self.ways(), [["sip:f2@10.0.0.7", "sip:f1@10.0.0.7", "sip:f3@10.0.0.7"]])

    @conforms("RFC 5626 7")
    def test_other_phones_ring_as_well(self) -> None:
        self.flow(1, NOW - 10)
        self.flow(2, NOW - 5, instance="<urn:uuid:2>", flow="2;<urn:uuid:2>")
        self.register("alice-soft", "sip:s@192.0.2.6:5060", 11)
        self.assertEqual(len(self.ways()), 3)

    def test_two_phones_that_claim_one_instance(self) -> None:
        """As badly provisioned ones do: each device rings."""
        self.flow(1, NOW, device_id=10)
        self.flow(1, NOW, name="alice-soft", device_id=11)
        self.assertEqual(len(self.ways()), 2)

    def test_one_phone_under_two_names(self) -> None:
        self.flow(1, NOW)
        self.flow(1, NOW, name="alice-desk")
        self.assertEqual(self.ways(), [["sip:f1@10.0.0.7"]])

    @conforms("RFC 5627 6.1")
    def test_what_a_rebooted_phone_left_behind(self) -> None:
        """Without reg-id the most recently refreshed contact of the instance is selected."""
        self.flow(1, NOW - 100, flow="")
        self.flow(2, NOW - 1, flow="")
        self.assertEqual(self.ways(), [["sip:f2@10.0.0.7", "sip:f1@10.0.0.7"]])

    @conforms("RFC 5626 7")
    def test_a_connection_that_is_gone_is_not_tried(self) -> None:
        self.flow(1, NOW, transport="TCP")
        self.assertIsInstance(self.find("sip:alice@example.com"), Unavailable)
        self.flow(2, NOW - 50)
        self.assertEqual(self.ways(), [["sip:f2@10.0.0.7"]])

    def test_its_dialogs_stay_on_the_flow(self) -> None:
        self.flow(1, NOW)
        self.register("alice", "sip:lan@192.0.2.6:5060", 10)
        found = self.find("sip:alice@example.com")
        assert isinstance(found, Destination)
        self.assertEqual(
            {each.uri_text: each.stays_on_flow for each in found.targets},
            {"sip:f1@10.0.0.7": True, "sip:lan@192.0.2.6:5060": False},
        )


@conforms("RFC 5627 6.1")
class GruuTests(RouterCase):
    public = f"sip:alice@example.com;gr={INSTANCE[1:-1]}"

    def setUp(self) -> None:
        super().setUp()
        self.register("alice", "sip:desk@192.0.2.5:5060", 10, instance=INSTANCE, gruu="00000001")
        self.register("alice", "sip:soft@192.0.2.6:5060", 11, instance="<urn:uuid:2>", gruu="00000002")
        self.register("alice-desk", "sip:own@192.0.2.5:5060", 10, instance=INSTANCE, gruu="00000003")

    def temporary(self, epoch: str = "00000001", name: str = "alice", instance: str = INSTANCE) -> str:
        return self.gruus.temporary(f"sip:{name}@example.com", instance, epoch)

    def test_public(self) -> None:
        self.assertEqual(self.rings(self.public), ["sip:desk@192.0.2.5:5060"])
        self.assertEqual(self.rings(self.public.replace("urn:uuid:f81", "URN:UUID:F81")), ["sip:desk@192.0.2.5:5060"])

    def test_of_a_device(self) -> None:
        self.assertEqual(self.rings(self.public.replace("alice", "alice-desk")), ["sip:own@192.0.2.5:5060"])

    def test_one_phone_is_meant(self) -> None:
        found = self.find(self.public)
        assert isinstance(found, Destination)
        self.assertTrue(found.is_instance)
        self.assertEqual((found.user.login, found.device), ("alice", None))

    def test_public_of_nobody(self) -> None:
        self.assertIsInstance(self.find("sip:nobody@example.com;gr=urn:uuid:1"), NotFound)

    def test_public_of_a_phone_that_is_away(self) -> None:
        self.assertEqual(self.explanation("sip:alice@example.com;gr=urn:uuid:77"), "this phone cannot be reached now")

    def test_temporary(self) -> None:
        self.assertEqual(self.rings(self.temporary()), ["sip:desk@192.0.2.5:5060"])
        self.assertEqual(self.rings(self.temporary("00000003", "alice-desk")), ["sip:own@192.0.2.5:5060"])

    def test_temporary_of_an_earlier_epoch(self) -> None:
        uri = self.temporary("00000009")
        self.assertEqual(self.find(uri), NotFound(parse_uri(uri).user))

    def test_temporary_of_a_phone_that_has_left(self) -> None:
        self.assertIsInstance(self.find(self.temporary(instance="<urn:uuid:77>")), NotFound)

    def test_what_is_no_gruu_at_all(self) -> None:
        for uri in ("sip:alice@example.com;gr", "sip:tgruu.x@example.com;gr", "sip:alice@example.com;gr="):
            self.assertIsInstance(self.find(uri), NotFound, uri)
        self.assertIsInstance(self.find(self.temporary().replace("example.com", "elsewhere.test")), Elsewhere)

    def test_without_gruus_no_temporary_one_is_known(self) -> None:
        router = ExtensionRouter(self.directory, self.location, DOMAINS)
        self.assertIsInstance(router.find(parse_uri(self.temporary()), NOW), NotFound)

    def test_nothing_tells_whose_a_temporary_one_is(self) -> None:
        self.directory.apply_user(user(dnd=True))
        self.assertNotIn("alice", self.explanation(self.temporary()))

    def test_a_disabled_device(self) -> None:
        self.directory.apply_device(device(enabled=False))
        self.assertIsInstance(self.find(self.public), Unavailable)
        self.assertIsInstance(self.find(self.public.replace("alice", "alice-desk")), Unavailable)

    def test_within_a_dialog(self) -> None:
        self.directory.apply_user(user(dnd=True))
        self.assertIsInstance(self.find(self.public), Unavailable)
        found = self.router.dereference(parse_uri(self.public), NOW)
        assert isinstance(found, Destination)
        self.assertEqual(found.targets[0].uri_text, "sip:desk@192.0.2.5:5060")

    def test_within_a_dialog_what_is_none_of_ours(self) -> None:
        for uri in ("sip:alice@example.com", self.public.replace("example.com", "elsewhere.test"), "tel:123"):
            self.assertIsNone(self.router.dereference(parse_uri(uri), NOW), uri)
