"""After a load nothing of it is left, and none of it waits for the collector of cycles."""

from __future__ import annotations

import gc
from collections import Counter

from gosip_py.proxy.fork import Branch, ResponseContext
from gosip_py.proxy.outcome import CallOutcome, SessionOutcome
from gosip_py.proxy.session import Call, Party, Session
from gosip_py.proxy.unwanted import Unwanted
from gosip_py.sip.message import Message
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from tests.proxy.switchboard import TIMER_C, Dialog, Phone, SwitchboardCase

CALLS = 1000
OURS = (
    Branch, Call, CallOutcome, ClientTransaction, Message, Party, ResponseContext, ServerTransaction, Session,
    SessionOutcome, Timer, Unwanted,
)  # fmt: skip


def alive() -> Counter[str]:
    """Our objects that exist, whether anything refers to them or not."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, OURS))


class LeakTests(SwitchboardCase):
    def setUp(self) -> None:
        super().setUp()
        self.callers = [self.alice, Phone(self.board, "192.0.2.11", "alice", via="TCP")]
        self.callees = [self.bob, Phone(self.board, "192.0.2.21", "bob", via="TCP")]
        self.callees[1].register("bob", 20)
        self.others = [Phone(self.board, f"192.0.2.{host}", "carol") for host in (31, 32)]
        for phone, q in zip(self.others, (900, 100), strict=True):
            phone.register("carol", 30, q=q)
        self.lives = (
            self.answered, self.refused, self.cancelled, self.silent, self.answered_twice, self.message, self.sent_on,
            self.sought, self.too_late,
        )  # fmt: skip

    def forget(self) -> None:
        """What the network and the phones remember is not the server's."""
        self.board.network.packets.clear()
        self.board.changed.clear()
        for phone in (*self.callers, *self.callees, *self.others):
            phone.heard.clear()

    # -- lives of a call ----------------------------------------------------------------------------------------------

    def answered(self, caller: Phone) -> None:
        sent = caller.ask("INVITE")
        got = [phone.request("INVITE") for phone in self.callees]
        self.callees[0].respond(got[0], 180)
        self.callees[1].respond(got[1], 180)
        self.callees[1].respond(got[1], 200)
        dialog = Dialog(caller, sent, caller.response(200), is_caller=True)
        dialog.send("ACK")
        self.callees[0].respond(self.callees[0].request("CANCEL"), 200)
        self.callees[0].respond(got[0], 487)
        self.end(dialog)

    def answered_twice(self, caller: Phone) -> None:
        sent = caller.ask("INVITE")
        for phone in self.callees:
            phone.respond(phone.request("INVITE"), 200)
        for _ in self.callees:
            dialog = Dialog(caller, sent, caller.response(200), is_caller=True)
            dialog.send("ACK")
            self.end(dialog)

    def end(self, dialog: Dialog) -> None:
        dialog.send("BYE")
        self.board.run()
        for phone in self.callees:
            if "BYE" in phone.titles:
                phone.respond(phone.request("BYE"), 200)
        dialog.phone.response(200, "BYE")

    def refused(self, caller: Phone) -> None:
        sent = caller.ask("INVITE")
        for phone in self.callees:
            phone.respond(phone.request("INVITE"), 486)
        ack = caller.make(
            "ACK",
            sent.uri_text,
            to=caller.response(486).require("to"),
            call_id=sent.call_id,
            from_tag=sent.from_tag,
            branch=sent.top_via.branch,
        )
        caller.send(ack)

    def cancelled(self, caller: Phone) -> None:
        sent = caller.ask("INVITE")
        got = [phone.request("INVITE") for phone in self.callees]
        for phone, each in zip(self.callees, got, strict=True):
            phone.respond(each, 180)
        caller.response(180)
        cancel = caller.make(
            "CANCEL", sent.uri_text, call_id=sent.call_id, from_tag=sent.from_tag, branch=sent.top_via.branch
        )
        caller.send(cancel)
        for phone, each in zip(self.callees, got, strict=True):
            phone.respond(phone.request("CANCEL"), 200)
            phone.respond(each, 487)

    def silent(self, caller: Phone) -> None:
        caller.ask("INVITE")
        self.board.run()

    def message(self, caller: Phone) -> None:
        caller.ask("MESSAGE")
        for phone in self.callees:
            phone.respond(phone.request("MESSAGE"), 200)

    def sent_on(self, caller: Phone) -> None:
        caller.ask("INVITE")
        for phone in self.callees:
            phone.respond(phone.request("INVITE"), 302, ("contact", "<sip:carol@example.com>"))
        self.refuse_all()

    def sought(self, caller: Phone) -> None:
        caller.ask("INVITE", "sip:carol@example.com")
        self.refuse_all()

    def refuse_all(self) -> None:
        for phone in self.others:
            phone.respond(phone.request("INVITE"), 486)
        self.board.run()

    def too_late(self, caller: Phone) -> None:
        sent = caller.ask("INVITE")
        got = [phone.request("INVITE") for phone in self.callees]
        for phone, each in zip(self.callees, got, strict=True):
            phone.respond(each, 180)
        caller.response(180)
        call = next(session.call for session in self.board.sessions if session.call_id == sent.call_id)
        assert call.give_up is not None
        call.give_up("The server stops.")
        self.callees[0].request("CANCEL")
        self.callees[0].respond(got[0], 200)
        self.callees[0].respond(self.callees[0].request("BYE"), 200)
        self.callees[1].respond(self.callees[1].request("CANCEL"), 200)
        self.callees[1].respond(got[1], 487)

    # -- many of them -------------------------------------------------------------------------------------------------

    def load(self, calls: int) -> None:
        for number in range(calls):
            self.lives[number % len(self.lives)](self.callers[number // 7 % 2])
            self.forget()
        self.settle()

    def settle(self) -> None:
        """64*T1 for Timers B, H, L and M, and what follows upon them."""
        self.board.run(2 * 64 * 0.5 + TIMER_C)
        # What was answered last keeps its request until the next message.
        self.alice.send(self.alice.make("ACK", to="<sip:bob@example.com>;tag=x"))
        self.board.run()
        self.forget()

    def test_nothing_is_left_and_the_collector_was_not_needed(self) -> None:
        self.load(len(self.lives) * 2)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        before = alive()
        self.load(CALLS)
        self.assertEqual(self.board.gauges(), (0, 0, 0, 0))
        self.assertEqual(alive() - before, Counter())
        gc.enable()
        gc.collect()
        self.assertEqual(alive() - before, Counter())
