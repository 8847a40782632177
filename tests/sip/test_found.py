"""What fuzzing found once: each of these left something behind, or a traceback in the log."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.scripts import play
from tests.proxy.switchboard import SwitchboardCase
from tests.sip.test_tortuous import octets
from tests.sip.torture import Scene

TIED = (
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKi\r\nFrom: <sip:a@example.com>;tag=f1\r\n"
    b"To: <sip:bob@example.com>\r\nCall-ID: c1\r\n"
)
HEAD = b"INVITE sip:bob@example.com SIP/2.0\r\n" + TIED + b"CSeq: 1 INVITE\r\n"


class FoundTests(SynchronousTestCase):
    def test_separators_without_values(self) -> None:
        self.assertEqual(Scene(callee="ruth").send(octets("extra-separators")).outcome, 400)

    def test_spaces_in_an_address(self) -> None:
        self.assertEqual(Scene(callee="ruth").send(octets("spaces-in-an-address")).outcome, 400)

    def test_an_empty_route(self) -> None:
        play(HEAD + b"Route: ,\r\n\r\n")

    def test_a_302_whose_contacts_cannot_be_told_apart(self) -> None:
        play(HEAD + b"\r\n\x1e\x04SIP/2.0 302 Moved\r\n{heard}\r\nContact: , <sip:x\r\n\r\n")

    def test_a_cancel_after_a_2xx_without_a_to_tag(self) -> None:
        play(
            HEAD + b"\r\n\x1e\x04SIP/2.0 200 OK\r\n{heard}\r\n\r\n\x1e"
            b"CANCEL sip:bob@example.com SIP/2.0\r\n" + TIED + b"CSeq: 1 CANCEL\r\n\r\n"
        )


class HangingTests(SwitchboardCase):
    def test_a_name_server_that_never_answers(self) -> None:
        self.alice.send(self.alice.make("INFO", "sip:x@elsewhere.example", to="<sip:x@elsewhere.example>;tag=t"))
        self.board.run(400.0)
        self.board.names.answer()
