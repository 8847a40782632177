"""The package of registrations."""

from __future__ import annotations

from itertools import pairwise
from xml.etree.ElementTree import Element

from gosip_py.events import BindingRefreshed
from gosip_py.notifier.packages.reg import GRUU_NAMESPACE, LINGER_SECONDS, NAMESPACE
from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.notifier.office import ALICE, BOB, OfficeCase, Watcher, root_of
from tests.proxy.switchboard import DOMAIN, Phone
from tests.registrar.fakes import NOW, binding


def name(local: str) -> str:
    return f"{{{NAMESPACE}}}{local}"


def registration(notify: Request, aor: str) -> Element:
    (found,) = [each for each in root_of(notify) if each.get("aor") == aor]
    return found


def contact(notify: Request, aor: str) -> Element:
    (found,) = registration(notify, aor)
    return found


class RegistrationTests(OfficeCase):
    def setUp(self) -> None:
        super().setUp()
        self.watcher = Watcher(self.alice, "reg")
        self.first = self.watcher.begun()

    def next(self) -> Request:
        self.board.run(5)
        return self.watcher.told()

    def remove(self, reason: str) -> None:
        for held in self.board.location.lookup(ALICE, self.board.now()):
            self.board.location.remove(held, reason, self.board.now())

    @conforms("RFC 3680 4.5", "RFC 3680 4.7.1", "RFC 3680 5.1")
    def test_nothing_is_registered(self) -> None:
        root = root_of(self.first)
        self.assertEqual((root.tag, root.get("version"), root.get("state")), (name("reginfo"), "0", "full"))
        self.assertEqual(self.first.value("content-type"), "application/reginfo+xml")
        aors = [each.get("aor") for each in root]
        self.assertEqual(aors, [ALICE, f"sip:alice-desk@{DOMAIN}", f"sip:alice-soft@{DOMAIN}"])
        self.assertEqual({each.get("state") for each in root}, {"init"})
        self.assertEqual(len({each.get("id") for each in root}), 3)

    @conforms("RFC 3680 4.7.1", "RFC 3680 5.1")
    def test_a_phone_registers_and_leaves(self) -> None:
        self.alice.register("alice", 10, instance="<urn:uuid:1>", q=500)
        notify = self.next()
        self.assertEqual(registration(notify, ALICE).get("state"), "active")
        told = contact(notify, ALICE)
        self.assertEqual((told.get("state"), told.get("event"), told.get("q")), ("active", "registered", "0.5"))
        self.assertEqual(told.findtext(name("uri")), self.alice.contact)
        self.assertEqual((told.get("callid"), told.get("cseq")), ("call-1", "1"))
        self.assertApproximates(int(told.get("expires") or 0), 1_000_000, 10)
        unknown = told.find(name("unknown-param"))
        assert unknown is not None
        self.assertEqual((unknown.get("name"), unknown.text), ("+sip.instance", "<urn:uuid:1>"))
        self.remove("unregistered")
        gone = self.next()
        self.assertEqual(registration(gone, ALICE).get("state"), "terminated")
        left = contact(gone, ALICE)
        self.assertEqual((left.get("state"), left.get("event")), ("terminated", "unregistered"))
        self.assertEqual(left.get("id"), told.get("id"))
        self.assertEqual(root_of(gone).get("version"), "2")

    @conforms("RFC 5627 5.5")
    def test_the_public_gruu_of_a_phone(self) -> None:
        """RFC 5628: for whoever watches where a phone is, and wants to call just that one."""
        self.alice.register("alice", 10, instance="<urn:uuid:1>", gruu="00112233")
        told = contact(self.next(), ALICE).find(f"{{{GRUU_NAMESPACE}}}pub-gruu")
        assert told is not None
        self.assertEqual(told.get("uri"), f"{ALICE};gr=urn:uuid:1")

    @conforms("RFC 3680 4.7.1")
    def test_why_a_contact_went(self) -> None:
        reasons = {"expired": "expired", "ended by an administrator": "deactivated", "flow failed": "deactivated"}
        for reason, event in reasons.items():
            self.alice.register("alice", 10)
            self.next()
            self.remove(reason)
            self.assertEqual(contact(self.next(), ALICE).get("event"), event)
            self.board.run(LINGER_SECONDS)

    @conforms("RFC 3680 4.7.1")
    def test_after_terminated_comes_init_and_nobody_is_told(self) -> None:
        self.alice.register("alice", 10)
        self.next()
        self.remove("expired")
        self.next()
        self.watcher.hears_nothing(LINGER_SECONDS)
        self.watcher.refresh()
        notify = self.watcher.told()
        self.assertEqual(registration(notify, ALICE).get("state"), "init")
        self.assertEqual(len(registration(notify, ALICE)), 0)

    @conforms("RFC 3680 4.7.1")
    def test_a_refresh(self) -> None:
        self.alice.register("alice", 10)
        self.next()
        (held,) = self.board.location.lookup(ALICE, self.board.now())
        longer = binding(self.alice.contact, ALICE, cseq=2, expires_at=NOW + 2_000_000, registered_at=NOW)
        self.board.location.refresh(held, longer, self.board.transport.flow_of("UDP", ("192.0.2.10", 5060)), NOW + 1)
        told = contact(self.next(), ALICE)
        self.assertEqual((told.get("event"), told.get("cseq")), ("refreshed", "2"))

    @conforms("RFC 3680 4.10")
    def test_at_most_one_in_5_seconds(self) -> None:
        self.board.run(10)
        for number in range(8):
            Phone(self.board, f"192.0.2.{80 + number}", "alice").register("alice", 10)
            self.board.run(1)
        self.board.run(10)
        self.watcher.told()
        self.watcher.told()
        times = [packet.time for packet in self.notifies()]
        self.assertTrue(all(later - earlier >= 5 for earlier, later in pairwise(times)), times)

    def test_a_phone_of_its_own_name_is_one_of_the_user(self) -> None:
        self.alice.register("alice-desk", 10)
        self.assertEqual(registration(self.next(), f"sip:alice-desk@{DOMAIN}").get("state"), "active")

    def test_the_address_of_one_phone_shows_that_alone(self) -> None:
        watcher = Watcher(self.alice, "reg", f"sip:alice-desk@{DOMAIN}")
        self.assertEqual([each.get("aor") for each in root_of(watcher.begun())], [f"sip:alice-desk@{DOMAIN}"])
        self.alice.register("alice", 10)
        self.next()
        watcher.hears_nothing(6)
        self.alice.register("alice-desk", 10)
        self.board.run(6)
        self.assertEqual(len(registration(watcher.told(), f"sip:alice-desk@{DOMAIN}")), 1)

    def test_somebody_else_s_registration_is_not_told(self) -> None:
        self.board.run(6)
        self.carol.register("300", 30)
        self.watcher.hears_nothing(6)

    def test_nobody_listens_once_nobody_watches(self) -> None:
        self.assertTrue(self.board.bus.has_listeners(BindingRefreshed))
        self.watcher.refresh(0)
        self.watcher.told()
        self.assertFalse(self.board.bus.has_listeners(BindingRefreshed))

    @conforms("RFC 3680 4.6")
    def test_only_the_user_may_look(self) -> None:
        Watcher(self.bob, "reg").refused(403)
        Watcher(self.bob, "reg", BOB).begun()
