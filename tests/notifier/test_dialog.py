"""The dialog package over real calls: what the lamp beside a name shows."""

from __future__ import annotations

from itertools import pairwise
from xml.etree.ElementTree import Element

from gosip_py.notifier.calls import LINGER_SECONDS
from gosip_py.notifier.packages.dialog import MOST_DIALOGS, NAMESPACE
from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.notifier.office import ALICE, BOB, CAROL, OfficeCase, Watcher, root_of
from tests.proxy.switchboard import DOMAIN, Dialog, Phone


def name(local: str) -> str:
    return f"{{{NAMESPACE}}}{local}"


def dialogs(notify: Request) -> list[Element]:
    return root_of(notify).findall(name("dialog"))


def state(notify: Request) -> str:
    """The state of the only dialog."""
    (dialog,) = dialogs(notify)
    return dialog.findtext(name("state")) or ""


def identity(dialog: Element, side: str) -> str | None:
    return dialog.findtext(f"{name(side)}/{name('identity')}")


class LampCase(OfficeCase):
    """Carol watches; Alice calls Bob."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = Watcher(self.carol, "dialog", BOB)
        self.first = self.watcher.begun()

    def next(self) -> Request:
        self.board.run(1)
        return self.watcher.told()


class LampTests(LampCase):
    @conforms("RFC 4235 4.1", "RFC 4235 3.5")
    def test_nobody_calls(self) -> None:
        root = root_of(self.first)
        self.assertEqual(root.tag, name("dialog-info"))
        self.assertEqual((root.get("version"), root.get("state"), root.get("entity")), ("0", "full", BOB))
        self.assertEqual(len(root), 0)
        self.assertEqual(self.first.value("content-type"), "application/dialog-info+xml")

    @conforms("RFC 4235 3.7.1", "RFC 4235 4.1.1", "RFC 4235 4.1.2", "RFC 4235 4.1.6")
    def test_a_call_from_its_first_ring_to_its_end(self) -> None:
        sent, got = self.ringing()
        early = self.next()
        (dialog,) = dialogs(early)
        self.assertEqual(state(early), "early")
        self.assertEqual((dialog.get("call-id"), dialog.get("direction")), (sent.call_id, "recipient"))
        self.assertEqual(dialog.get("remote-tag"), sent.from_tag)
        self.assertEqual(dialog.get("local-tag"), f"tag-bob-{self.bob.host}")
        self.assertEqual((identity(dialog, "local"), identity(dialog, "remote")), (BOB, ALICE))
        self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        self.bob.request("ACK")
        confirmed = self.next()
        self.assertEqual(state(confirmed), "confirmed")
        self.assertEqual(dialogs(confirmed)[0].get("id"), dialog.get("id"))
        self.hang_up(calling, self.bob)
        over = self.next()
        self.assertEqual(state(over), "terminated")
        self.assertEqual(dialogs(over)[0][0].get("event"), "remote-bye")
        versions = [root_of(each).get("version") for each in (self.first, early, confirmed, over)]
        self.assertEqual(versions, ["0", "1", "2", "3"])

    @conforms("RFC 4235 3.10")
    def test_at_most_one_a_second(self) -> None:
        self.board.run(2)
        calling, _ = self.talking()
        self.hang_up(calling, self.bob)
        self.board.run(3)
        while self.carol.titles:
            self.watcher.told()
            self.board.run(3)
        times = [packet.time for packet in self.notifies()]
        self.assertTrue(all(later - earlier >= 1 for earlier, later in pairwise(times)), times)

    def test_the_caller_gives_up(self) -> None:
        sent, got = self.ringing()
        self.next()
        cancel = self.alice.make("CANCEL", BOB, call_id=sent.call_id, from_tag=sent.from_tag)
        cancel.set("via", sent.require("via"))
        self.alice.send(cancel)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.alice.response(487)
        self.acknowledge(sent)
        over = self.next()
        self.assertEqual((state(over), dialogs(over)[0][0].get("event")), ("terminated", "cancelled"))

    def acknowledge(self, sent: Request) -> None:
        ack = self.alice.make("ACK", BOB, call_id=sent.call_id, from_tag=sent.from_tag)
        ack.set("via", sent.require("via"))
        self.alice.send(ack)

    def test_the_callee_refuses(self) -> None:
        sent, got = self.ringing()
        self.bob.respond(got, 486)
        self.alice.response(486)
        self.acknowledge(sent)
        over = self.next()
        element = dialogs(over)[0][0]
        self.assertEqual((element.text, element.get("event"), element.get("code")), ("terminated", "rejected", "486"))

    def test_what_is_over_is_told_for_a_moment_only(self) -> None:
        calling, _ = self.talking()
        self.hang_up(calling, self.bob)
        self.next()
        while self.carol.titles:
            self.next()
        self.board.run(LINGER_SECONDS)
        self.watcher.refresh()
        self.assertEqual(dialogs(self.watcher.told()), [])

    def test_the_lamp_of_the_caller(self) -> None:
        watcher = Watcher(self.carol, "dialog", ALICE)
        watcher.begun()
        calling, _ = self.talking()
        self.board.run(1)
        (dialog,) = dialogs(watcher.told())
        self.assertEqual(dialog.get("direction"), "initiator")
        self.assertEqual((identity(dialog, "local"), identity(dialog, "remote")), (ALICE, BOB))
        self.hang_up(calling, self.bob)
        self.board.run(1)
        (dialog,) = dialogs(watcher.told())
        self.assertEqual(dialog[0].get("event"), "local-bye")

    def test_the_name_of_a_phone_shows_its_owner(self) -> None:
        watcher = Watcher(self.carol, "dialog", f"sip:200@{DOMAIN}")
        self.assertEqual(root_of(watcher.begun()).get("entity"), f"sip:200@{DOMAIN}")
        self.ringing()
        self.board.run(1)
        self.assertEqual(state(watcher.told()), "early")

    def test_a_busy_switchboard_shows_the_newest_calls(self) -> None:
        for _ in range(MOST_DIALOGS + 5):
            self.ringing()
        self.next()
        self.watcher.refresh()
        self.assertEqual(len(dialogs(self.watcher.told())), MOST_DIALOGS)


class PrivacyTests(LampCase):
    def ring_from_outside(self) -> None:
        request = self.alice.make("INVITE", BOB)
        request.set("from", "<sip:+4930123@trunk.example>;tag=out")
        self.alice.send(request)
        self.bob.respond(self.bob.request("INVITE"), 180)
        self.alice.response(180)

    @conforms("RFC 4235 3.6")
    def test_who_calls_from_outside_is_for_the_owner_to_see(self) -> None:
        mine = Watcher(self.bob, "dialog", BOB)
        mine.begun()
        self.ring_from_outside()
        (shown,) = dialogs(self.next())
        self.assertIsNone(identity(shown, "remote"))
        (own,) = dialogs(mine.told())
        self.assertEqual(identity(own, "remote"), "sip:+4930123@trunk.example")

    def test_the_identifiers_of_a_call_that_was_answered_are_for_its_owner(self) -> None:
        mine = Watcher(self.bob, "dialog", BOB)
        mine.begun()
        self.talking()
        (shown,) = dialogs(self.next())
        self.assertEqual({*shown.keys()}, {"id", "direction"})
        (own,) = dialogs(mine.told())
        self.assertEqual({*own.keys()}, {"id", "direction", "call-id", "local-tag", "remote-tag"})

    @conforms("RFC 4235 3.2", "RFC 4235 3.7.2")
    def test_a_single_dialog(self) -> None:
        sent, _ = self.ringing()
        event = f'dialog;call-id="{sent.call_id}";from-tag={sent.from_tag};to-tag=any'
        Watcher(self.carol, event, BOB).refused(403)
        self.assertEqual(dialogs(Watcher(self.bob, event, BOB).begun()), [])
        self.assertEqual(len(dialogs(Watcher(self.bob, f'dialog;call-id="{sent.call_id}"', BOB).begun())), 1)

    def test_somebody_outside_with_the_login_of_one_of_ours(self) -> None:
        watcher = Watcher(self.carol, "dialog", ALICE)
        watcher.begun()
        request = self.alice.make("INVITE", BOB)
        request.set("from", "<sip:alice@trunk.example>;tag=out")
        self.alice.send(request)
        self.bob.respond(self.bob.request("INVITE"), 180)
        self.next()
        watcher.hears_nothing(2)


class WriteTests(LampCase):
    def test_what_a_peer_wrote_cannot_break_the_document(self) -> None:
        call_id = "\"<>&'x@\udc80"
        mine = Watcher(self.bob, "dialog", BOB)
        mine.begun()
        request = self.alice.make("INVITE", BOB)
        request.set("call-id", call_id)
        request.set("from", '"<b>&" <sip:o\'x&y@trunk.example>;tag=t')
        self.alice.send(request)
        self.bob.respond(self.bob.request("INVITE"), 180)
        self.board.run(1)
        (dialog,) = dialogs(mine.told())
        self.assertIn("\"<>&'x", dialog.get("call-id") or "")
        self.assertEqual(identity(dialog, "remote"), "sip:o'x&y@trunk.example")

    def test_a_call_to_oneself_has_two_sides(self) -> None:
        desk = Phone(self.board, "192.0.2.70", "bob")
        mine = Watcher(self.carol, "dialog", BOB)
        mine.begun()
        desk.ask("INVITE", BOB)
        self.bob.respond(self.bob.request("INVITE"), 180)
        self.board.run(1)
        shown = dialogs(mine.told())
        self.assertEqual({each.get("direction") for each in shown}, {"initiator", "recipient"})
        self.assertEqual(len({each.get("id") for each in shown}), 2)

    def test_a_number_that_nobody_has(self) -> None:
        watcher = Watcher(self.bob, "dialog", CAROL)
        watcher.begun()
        self.carol.ask("INVITE", f"sip:nobody@{DOMAIN}")
        self.carol.response(404)
        self.board.run(1)
        element = dialogs(watcher.told())[0][0]
        self.assertEqual((element.text, element.get("event"), element.get("code")), ("terminated", "rejected", "404"))
