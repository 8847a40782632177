"""A 2xx that comes when the caller has another final response: acknowledged, then hung up (RFC 3261 13.2.2.4, 16.7)."""

from __future__ import annotations

from gosip_py.proxy.fork import Patience
from gosip_py.sip.message import Message, Request, Response
from tests.conformance import conforms
from tests.proxy.switchboard import Phone, SwitchboardCase

PATIENCE = 5.0


class LateCase(SwitchboardCase):
    """Timer C is short, so that Bob's answer comes after our 408."""

    def setUp(self) -> None:
        super().setUp()
        self.board.proxy._patience = Patience(PATIENCE, PATIENCE)

    def too_late(self) -> Request:
        """The INVITE that Bob has, and that Alice has the 408 of."""
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.board.run(PATIENCE)
        self.alice.response(408)
        return got

    def answer(self, got: Request, *more: tuple[str, str], tag: str = "") -> Response:
        return self.bob.respond(got, 200, *more, tag=tag)

    def hears_nothing_more(self) -> None:
        """But the 408 again, which she does not acknowledge here."""
        self.board.run()
        self.assertLessEqual(set(self.alice.titles), {"100 INVITE", "408 INVITE"})


class LateTests(LateCase):
    @conforms("RFC 3261 13.2.2.4", "RFC 3261 16.7", "RFC 3261 12.2.1.1", "RFC 3326 2")
    def test_it_is_acknowledged_and_hung_up(self) -> None:
        got = self.too_late()
        answer = self.answer(got)
        ack, bye = self.bob.request("ACK"), self.bob.request("BYE")
        for request, number in ((ack, 1), (bye, 2)):
            self.assertEqual(request.uri_text, self.bob.contact)
            self.assertEqual(
                (request.require("from"), request.require("to")), (got.require("from"), answer.require("to"))
            )
            self.assertEqual((request.call_id, request.cseq.number), (got.call_id, number))
            self.assertEqual((len(request.values("via")), request.values("route")), (1, []))
        self.assertIn("cause=408", bye.require("reason"))
        self.bob.respond(bye, 200)
        self.hears_nothing_more()
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])
        self.assertEqual(list(self.board.sessions), [])

    @conforms("RFC 3261 14.1")
    def test_that_of_a_reinvite_is_acknowledged_and_the_dialog_goes_on(self) -> None:
        calling, called = self.talking()
        calling.send("INVITE")
        got = self.bob.request("INVITE")
        self.board.run(PATIENCE)
        self.alice.response(408)
        self.answer(got)
        ack = self.bob.request("ACK")
        self.assertEqual((ack.cseq.number, ack.to_tag), (got.cseq.number, got.to_tag))
        self.assertNotIn("BYE", self.bob.titles)
        [session] = self.board.sessions
        self.assertEqual(session.state, "active")
        self.alice.heard.clear()
        self.hang_up(called, self.alice)

    @conforms("RFC 3261 13.2.2.4")
    def test_the_ack_goes_first(self) -> None:
        self.answer(self.too_late())
        self.board.run()
        self.assertEqual(self.bob.titles, ["ACK", "BYE"])
        self.bob.respond(self.bob.request("BYE"), 200)

    @conforms("RFC 3261 13.2.2.4")
    def test_a_repeated_one_is_acknowledged_again_and_hung_up_once(self) -> None:
        """ "The ACK MUST be passed to the client transport every time a retransmission of the 2xx arrives"."""
        got = self.too_late()
        acks: list[Message] = []
        for _ in range(3):
            self.answer(got)
            acks.append(self.bob.request("ACK"))
        self.assertEqual(len({ack.top_via.branch for ack in acks}), 3)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.board.run()
        self.assertEqual(self.bob.titles, [])

    @conforms("RFC 3261 13.2.2.4", "RFC 3261 22.3")
    def test_the_ack_bears_the_credentials_of_the_invite(self) -> None:
        """ "The ACK MUST contain the same credentials as the INVITE"; they are for somebody behind us."""
        credentials = 'Digest username="alice", realm="far.example", nonce="1", uri="sip:b", response="0"'
        self.alice.ask("INVITE", "sip:bob@example.com", f"Proxy-Authorization: {credentials}")
        got = self.bob.request("INVITE")
        self.board.run(PATIENCE)
        self.answer(got)
        self.assertEqual(self.bob.request("ACK").values("proxy-authorization"), [credentials])
        bye = self.bob.request("BYE")
        self.assertEqual(bye.values("proxy-authorization"), [])
        self.bob.respond(bye, 407)

    def test_every_fork_of_it(self) -> None:
        got = self.too_late()
        for tag in ("one", "two"):
            self.answer(got, tag=tag)
            self.assertEqual(self.bob.request("ACK").to_tag, tag)
            bye = self.bob.request("BYE")
            self.assertEqual(bye.to_tag, tag)
            self.bob.respond(bye, 200)

    def test_but_not_without_end(self) -> None:
        """Each costs two messages to wherever its Contact says: nobody has that many phones."""
        got = self.too_late()
        for number in range(100):
            self.answer(got, tag=f"tag{number}")
            self.board.run(0.01)
        self.board.run(0.1)
        heard = [title for title in self.bob.titles if title == "ACK"]
        self.assertEqual(len(heard), 16)
        self.hears_nothing_more()

    def test_one_that_says_nowhere_where_it_is(self) -> None:
        got = self.too_late()
        for contact in (None, "<sip:bob@>", "*"):
            answer = self.answer(got).copy()
            self.bob.heard.clear()
            answer.remove("contact")
            if contact is not None:
                answer.add("contact", contact)
        self.board.run()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nobody_answers_the_bye(self) -> None:
        self.answer(self.too_late())
        self.bob.request("BYE")
        self.board.run(40)
        self.hears_nothing_more()


class RouteTests(LateCase):
    """Bob is behind an edge that records its route."""

    def setUp(self) -> None:
        super().setUp()
        self.edge = Phone(self.board, "192.0.2.40", "edge")
        self.edge.register("carol", 30, "sip:carol@10.0.0.7", path="<sip:192.0.2.40:5060;lr>")

    @conforms("RFC 3261 12.1.2", "RFC 3261 12.2.1.1")
    def test_the_route_behind_us_is_taken(self) -> None:
        """The Record-Route values that the request had when it left are those of the caller's side, and ours."""
        self.alice.ask("INVITE", "sip:carol@example.com", "Record-Route: <sip:192.0.2.77;lr>")
        got = self.edge.request("INVITE")
        self.board.run(PATIENCE)
        self.assertEqual(len(got.values("record-route")), 2)
        answer = self.edge.respond(got, 200).copy()
        self.edge.request("ACK")
        self.edge.request("BYE")
        for value in ("<sip:192.0.2.40:5060;lr>", "<sip:192.0.2.41:5060;lr>"):
            answer.prepend("record-route", value)
        answer.set("to", "<sip:carol@example.com>;tag=behind")
        answer.set("contact", "<sip:carol@10.0.0.7>")
        self.edge.send(answer)
        for method in ("ACK", "BYE"):
            request = self.edge.request(method)
            self.assertEqual(request.uri_text, "sip:carol@10.0.0.7")
            self.assertEqual(request.values("route"), ["<sip:192.0.2.40:5060;lr>", "<sip:192.0.2.41:5060;lr>"])


class WinnerTests(LateCase):
    """Somebody else was faster, and the caller's transaction is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.board.proxy._patience = Patience(180.0, 180.0)
        self.slow = Phone(self.board, "192.0.2.21", "bob")
        self.slow.register("bob", 20)

    @conforms("RFC 6026 8.3", "RFC 3261 13.2.2.4")
    def test_an_answer_after_the_transaction_has_ended(self) -> None:
        """32 s after the first 2xx nothing more can go back; whoever rang all that time is told."""
        self.alice.ask("INVITE")
        fast, slow = self.bob.request("INVITE"), self.slow.request("INVITE")
        self.slow.respond(slow, 180)
        self.bob.respond(fast, 200)
        self.alice.response(200)
        self.board.run(20)
        self.slow.respond(slow, 180)
        self.board.run(11)
        self.slow.heard.clear()
        self.slow.respond(slow, 200)
        self.alice.response(200)
        self.board.run(5)
        self.slow.respond(slow, 200)
        self.board.run()
        self.assertEqual(self.slow.titles, [])  # Alice has it: it is hers to acknowledge
        self.slow.respond(slow, 200, tag="another")
        self.slow.request("ACK")
        bye = self.slow.request("BYE")
        self.assertIn("cause=200", bye.require("reason"))
        self.slow.respond(bye, 200)

    def test_a_phone_that_answers_without_end(self) -> None:
        """Each 2xx makes a dialog: there is an end to them."""
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.slow.respond(self.slow.request("INVITE"), 486)
        for number in range(100):
            self.bob.respond(got, 200, tag=f"tag{number}")
        self.board.run()
        self.assertEqual(self.alice.titles.count("200 INVITE"), 32)
        self.assertEqual(len(list(self.board.sessions)), 32)


class GoneTests(SwitchboardCase):
    @conforms("RFC 3261 9.1", "RFC 3261 13.2.2.4")
    def test_the_caller_hung_up_and_is_gone(self) -> None:
        """The WebSocket of the caller broke: the phone is cancelled, and answers at the same moment."""
        caller = Phone(self.board, "192.0.2.11", "alice", via="WS")
        caller.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 180)
        caller.response(180)
        caller.flow.fail("unplugged")
        self.bob.request("CANCEL")
        self.bob.respond(got, 200)
        self.bob.request("ACK")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.assertEqual(self.board.books.answered, [])
