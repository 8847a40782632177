"""Small races that random calls found, each made on purpose."""

from __future__ import annotations

from typing import ClassVar

from gosip_py.events import LineChanged
from gosip_py.sip.message import Request
from tests.call.office import OfficeCase, Side, ring
from tests.conformance import conforms


class LampTests(OfficeCase):
    def test_a_group_that_is_answered_without_ringing_goes_out(self) -> None:
        lamps: list[str] = []
        self.office.bus.subscribe(LineChanged, lambda event: lamps.append(event.state))
        self.office.plan.verdicts["team"] = ring(self.bob, lamp="600")
        sent = self.alice.call("team")
        calling, _ = self.office.answered(self.alice, sent, self.bob, self.bob.request("INVITE"))
        self.office.end(calling, self.bob)
        self.assertEqual(lamps, ["confirmed", "terminated"])


class RefusedConnectionTests(OfficeCase):
    ping_seconds: ClassVar[float] = 20.0

    @conforms("RFC 3261 8.1.3.1")
    def test_a_call_whose_phones_refuse_the_connection_ends(self) -> None:
        alice, bob = self.office.phone("erin", "TCP"), self.office.phone("frank", "TCP")
        self.office.talking(alice, bob)
        for phone in (alice, bob):
            self.office.network.detach(phone.transport)
            for flow in phone.transport.flows:
                flow.fail("reset by peer")
        self.office.run(19)
        self.assertEqual(len(self.office.switch), 1)
        self.office.run(90)
        self.assertEqual(len(self.office.switch), 0)
        self.assertEqual(self.endings, [("answered", 200, "system")])


class UnacknowledgedTests(OfficeCase):
    @conforms("RFC 3261 13.3.1.4")
    def test_an_info_that_overtakes_the_answer_does_not_end_the_call(self) -> None:
        sent, got = self.office.ringing(self.alice, self.bob)
        answer = self.bob.answer(got)
        self.bob.request("ACK")
        called = Side(self.bob, got, answer, is_caller=False)
        first = self.alice.response(200)  # as if it were lost
        called.send_with("INFO", "Signal=1\r\n")
        self.alice.respond(self.alice.request("INFO"), 481)
        self.bob.response(500, "INFO")
        self.office.run(1)
        calling = Side(self.alice, sent, self.alice.response(200), is_caller=True)
        self.assertEqual(first.to_tag, calling.remote.partition(";tag=")[2])
        calling.send("ACK")
        self.office.end(calling, self.bob)
        self.assertEqual(self.endings, [("answered", 200, "caller")])


class ReliableTests(OfficeCase):
    @conforms("RFC 3262 3")
    def test_a_caller_who_gives_up_while_the_answer_waits_for_the_prack(self) -> None:
        sent = self.alice.call("bob", "Supported: 100rel")
        got = self.bob.request("INVITE")
        self.bob.answer(got, 183, ("require", "100rel"), ("rseq", "1"))
        self.bob.respond(self.bob.request("PRACK"), 200)
        self.alice.response(183)
        self.bob.answer(got, 200, sdp="")
        self.bob.request("ACK")
        self.cancel(sent)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.office.run(1)
        self.assertEqual(len(self.office.switch), 0)

    def cancel(self, invite: Request) -> None:
        """Alice gives up."""
        copy = invite.copy()
        lines = copy.to_bytes().partition(b"\r\n\r\n")[0].split(b"\r\n")
        kept = [line for line in lines if not line.startswith((b"Content-", b"Supported", b"Contact"))]
        data = b"\r\n".join((*kept, b"Content-Length: 0", b"", b""))
        number = invite.cseq.number
        data = data.replace(b"INVITE sip:", b"CANCEL sip:", 1)
        data = data.replace(f"CSeq: {number} INVITE".encode(), f"CSeq: {number} CANCEL".encode())
        self.alice.flow.send(data)

    @conforms("RFC 3262 5")
    def test_an_invite_without_an_offer_does_not_ask_for_reliable_responses(self) -> None:
        self.alice.call("bob", sdp="")
        got = self.bob.request("INVITE")
        self.assertNotIn("100rel", got.require("supported"))
        self.bob.respond(got, 486)
        self.alice.response(486)
