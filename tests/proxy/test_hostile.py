"""What somebody may say to do harm, or to our cost: it is answered, the books close, nothing stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gosip_py.proxy.session import EXPIRED
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.conformance import conforms
from tests.proxy.switchboard import Dialog, Phone, SwitchboardCase


class UnreadableAnswerTests(SwitchboardCase):
    """A header of an answer that nobody needed before turns out to be none."""

    session_timer: ClassVar[SessionTimerPolicy] = SessionTimerPolicy("accept")

    def answered_with(self, name: str, value: str) -> Response:
        self.alice.ask("INVITE", "sip:bob@example.com", "Supported: timer")
        self.bob.respond(self.bob.request("INVITE"), 200, (name, value))
        return self.alice.response(200)

    def hang_up_on_both(self) -> None:
        """The call is one like any other."""
        (session,) = tuple(self.board.sessions)
        self.board.sessions.hang_up(session, EXPIRED)
        for phone in (self.alice, self.bob):
            phone.respond(phone.request("BYE"), 200)
        self.assertEqual(self.board.books.endings, [("answered", 200, "system")])

    def test_require(self) -> None:
        heard = self.answered_with("require", 'timer, "x')
        lines = [line for line in heard.lines if line.startswith("Require:")]
        self.assertEqual(lines, ['Require: timer, "x', "Require: timer"])
        self.hang_up_on_both()

    def test_record_route(self) -> None:
        heard = self.answered_with("record-route", "<sip:198.51.100.9;lr, <sip:x")
        self.assertIn("Record-Route: <sip:198.51.100.9;lr, <sip:x", heard.lines)
        self.hang_up_on_both()


class ContactTests(SwitchboardCase):
    def test_a_contact_that_is_no_uri_is_written_into_no_request(self) -> None:
        """Whoever is behind others cannot be hung up on then, the other side can."""
        sent = self.alice.make("INVITE", "sip:bob@example.com", "Contact: <sip:alice@192.0.2.10 SIP/2.0 X:>")
        sent.add("record-route", "<sip:192.0.2.40;lr>")
        self.alice.send(sent)
        self.bob.respond(self.bob.request("INVITE"), 200)
        self.alice.response(200)
        (session,) = tuple(self.board.sessions)
        before = len(self.board.network.packets)
        self.board.sessions.hang_up(session, EXPIRED)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.assertEqual(
            {packet.destination[0] for packet in self.board.network.packets[before:]}, {"192.0.2.20", "192.0.2.1"}
        )


class CredentialCase(SwitchboardCase):
    """Nobody is trusted, and Alice has the credentials of her desk phone."""

    trusted: ClassVar[Sequence[str]] = ()

    def setUp(self) -> None:
        super().setUp()
        self.desk = Phone(self.board, "192.0.2.15", "alice-desk")

    def asked(self, refused: Request) -> Request:
        return self.desk.again(refused, self.desk.response(407, refused.method))


class CredentialTests(CredentialCase):
    @conforms("RFC 3261 22.1", "RFC 3261 22.3")
    def test_those_in_an_ack_go_no_further(self) -> None:
        sent = self.asked(self.desk.ask("INVITE"))
        self.bob.respond(self.bob.request("INVITE"), 200)
        calling = Dialog(self.desk, sent, self.desk.response(200), is_caller=True)
        calling.number = sent.cseq.number
        calling.send("ACK", f"Proxy-Authorization: {sent.require('proxy-authorization')}")
        self.assertNotIn("proxy-authorization", self.bob.request("ACK").names)
        self.hang_up(calling, self.bob)

    @conforms("RFC 3261 26.3.2")
    def test_a_request_with_a_forged_address_brings_its_owner_one_response(self) -> None:
        """A challenge, or what goes before it."""
        for more in ((), ("Proxy-Require: x-privacy",), ("From: <sip:x@y>",)):
            before = len(self.board.network.packets)
            self.alice.ask("INVITE", "sip:bob@example.com", *more)
            self.board.run(40)
            receivers = [packet.destination[0] for packet in self.board.network.packets[before:]]
            self.assertEqual(receivers, ["192.0.2.1", "192.0.2.10"], more)

    @conforms("RFC 3261 16.11")
    def test_the_ack_of_a_re_invite_in_a_dialog_that_we_forgot(self) -> None:
        """Its INVITE bore credentials: it may go by a connection, and to a name."""
        self.board.names.known["phone.example"] = ("192.0.2.20",)
        forgotten = {"to": "<sip:bob@example.com>;tag=before", "call_id": "before@the.restart", "from_tag": "before"}
        uri, route = "sip:bob@phone.example", "Route: <sip:192.0.2.1:5060;lr>"
        sent = self.asked(self.desk.ask("INVITE", uri, route, **forgotten))
        self.board.run()
        self.board.names.answer()
        self.bob.respond(self.bob.request("INVITE"), 200)
        self.desk.response(200)
        self.desk.ask("ACK", uri, route, number=sent.cseq.number, **forgotten)
        self.board.run()
        self.board.names.answer()
        self.bob.request("ACK")


class SubscriptionTests(CredentialCase):
    """A phone subscribes to another: whoever was asked may answer, and nobody else (RFC 6665 4.1.3)."""

    def subscribed(self, *more: str) -> Dialog:
        """Bob's side."""
        self.asked(self.desk.ask("SUBSCRIBE", "sip:bob@example.com", "Event: x-weather", *more))
        got = self.bob.request("SUBSCRIBE")
        answer = self.bob.respond(got, 202)
        self.desk.response(202, "SUBSCRIBE")
        return Dialog(self.bob, got, answer, is_caller=False)

    def notify(self, watched: Dialog) -> Request:
        return watched.make("NOTIFY", "Event: x-weather", "Subscription-State: active")

    @conforms("RFC 6665 4.3")
    def test_its_notify_needs_no_credentials(self) -> None:
        watched = self.subscribed("Expires: 600")
        for _ in range(2):
            self.bob.send(self.notify(watched))
            self.desk.respond(self.desk.request("NOTIFY"), 200)
            self.bob.response(200, "NOTIFY")
            self.board.run(500)

    def test_when_it_is_over(self) -> None:
        watched = self.subscribed("Expires: 600")
        self.board.run(1000)
        self.bob.send(self.notify(watched))
        self.bob.response(407, "NOTIFY")

    def test_to_somewhere_else(self) -> None:
        watched = self.subscribed()
        watched.target = "sip:carol@192.0.2.30"
        self.bob.send(self.notify(watched))
        self.bob.response(407, "NOTIFY")

    def test_another_dialog_or_method(self) -> None:
        watched = self.subscribed()
        self.bob.send(watched.make("INFO"))
        self.bob.response(407, "INFO")
        watched.remote = watched.remote.partition(";tag=")[0] + ";tag=another"
        self.bob.send(self.notify(watched))
        self.bob.response(407, "NOTIFY")
