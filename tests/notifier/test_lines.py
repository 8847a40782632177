"""Lamps for numbers that are nobody's own: park orbits and ring groups; and whose dialog a lamp shows when we ring."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from gosip_py.events import CallEnded, CallRinging, CallStarted, LineChanged
from gosip_py.notifier.lines import LineStates
from gosip_py.notifier.packages.dialog import MOST_DIALOGS, NAMESPACE
from gosip_py.sip.reply import reply
from tests.conformance import conforms
from tests.notifier.office import BOB, OfficeCase, Watcher, root_of
from tests.proxy.switchboard import DOMAIN, Dialog
from tests.registrar.fakes import user

ORBIT = f"sip:701@{DOMAIN}"


def states(root: Element) -> list[str]:
    return [dialog.findtext(f"{{{NAMESPACE}}}state") or "" for dialog in root]


class LineTests(OfficeCase):
    def change(self, state: str, call: str = "c1", line: str = "701") -> None:
        self.board.bus.publish(LineChanged(line, call, self.board.now(), state))  # type: ignore[arg-type]  # as there
        self.board.run(1)

    @conforms("RFC 4235 4.1")
    def test_somebody_is_parked_and_taken_back(self) -> None:
        watcher = Watcher(self.carol, "dialog", ORBIT)
        first = root_of(watcher.begun())
        self.assertEqual((first.get("entity"), len(first)), (ORBIT, 0))
        self.change("confirmed")
        self.assertEqual(states(root_of(watcher.told())), ["confirmed"])
        self.change("terminated")
        last = root_of(watcher.told())
        self.assertEqual((last.get("version"), states(last)), ("2", []))

    def test_it_is_shown_to_who_comes_later(self) -> None:
        self.change("early")
        watcher = Watcher(self.carol, "dialog", ORBIT)
        self.assertEqual(states(root_of(watcher.begun())), ["early"])

    def test_other_lines_change_nothing(self) -> None:
        watcher = Watcher(self.carol, "dialog", ORBIT)
        watcher.begun()
        self.change("confirmed", line="702")
        watcher.hears_nothing(2)

    def test_a_line_that_never_was_is_forgotten(self) -> None:
        lines = LineStates(self.board.bus)
        self.change("terminated")
        self.assertEqual(dict(lines.at("701")), {})

    def test_a_busy_group_is_told_of_in_part(self) -> None:
        for number in range(MOST_DIALOGS + 5):
            self.change("early", call=f"c{number}")
        watcher = Watcher(self.carol, "dialog", ORBIT)
        self.assertEqual(len(root_of(watcher.begun())), MOST_DIALOGS)

    def test_of_a_line_there_is_nothing_else_to_watch(self) -> None:
        for event in ("presence", "reg", "message-summary"):
            refusal = Watcher(self.carol, event, ORBIT).refused(404)
            self.assertIn("701 is nobody's own number", refusal.require("warning"))

    def test_nobody_may_publish_for_it(self) -> None:
        self.carol.ask("PUBLISH", ORBIT, "Event: presence", "Expires: 60")
        self.carol.response(404, "PUBLISH")


class ParkedTests(OfficeCase):
    """The whole way: Bob parks a call of the switch, Carol's lamp shows it."""

    @conforms("RFC 5359 2.15")
    def test_a_call_is_parked_and_its_caller_goes(self) -> None:
        self.board.directory.apply_user(user(2, "bob", call_schema="b2bua"))
        watcher = Watcher(self.carol, "dialog", ORBIT)
        watcher.begun()
        sent = self.alice.ask("INVITE", BOB, "Content-Type: application/sdp", body=OFFER)
        got = self.bob.request("INVITE")
        answer = reply(got, 200, to_tag="b")
        answer.add("contact", f"<{self.bob.contact}>")
        answer.set_body(OFFER.encode(), "application/sdp")
        self.bob.send(answer)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        called = Dialog(self.bob, got, answer, is_caller=False)
        called.send("REFER", f"Refer-To: <sip:*68@{DOMAIN}>")
        self.bob.response(202, "REFER")
        holding = reply(self.alice.request("INVITE"), 200)
        holding.add("contact", f"<{self.alice.contact}>")
        holding.set_body((OFFER + "a=inactive\r\n").encode(), "application/sdp")
        self.alice.send(holding)
        self.board.run(1)
        self.assertEqual(states(root_of(watcher.told())), ["confirmed"])
        calling.send("BYE")
        self.board.run(1)
        self.assertEqual(states(root_of(watcher.told())), [])
        self.board.switch.close("test")


OFFER = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class LegTests(OfficeCase):
    @conforms("RFC 4235 3.7.2")
    def test_a_lamp_shows_the_dialog_with_the_phone_that_rings(self) -> None:
        """So that a phone may name it in a Replaces."""
        board = self.board
        watcher = Watcher(self.carol, "dialog", BOB)
        watcher.begun()
        now = board.now()
        board.bus.publish(CallStarted("1", now, "theirs", "b", "f", "alice", "bob", "sip:a@x", "sip:b@x"))
        board.bus.publish(CallRinging("1", now, 180, "tag-of-bob", "ours", "our-tag"))
        board.run(1)
        root = root_of(watcher.told())
        ids = [root[0].get(name) for name in ("call-id", "local-tag", "remote-tag", "direction")]
        self.assertEqual(ids, ["ours", "tag-of-bob", "our-tag", "recipient"])
        board.bus.publish(CallEnded("1", now, "cancelled", 487, "", "caller"))
        board.run(1)
        watcher.told()
