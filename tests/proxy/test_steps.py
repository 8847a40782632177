"""Steps of RFC 3261 and its updates that no other test takes, one by one, through the whole server."""

from __future__ import annotations

from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from tests.conformance import conforms
from tests.proxy.switchboard import Dialog, Phone, SwitchboardCase
from tests.proxy.test_methods import end_to_end

T1 = 0.5
TIMER_L = 64 * T1


def cancel_of(phone: Phone, sent: Request) -> Request:
    """The CANCEL of a request (RFC 3261 9.1)."""
    return phone.make(
        "CANCEL",
        sent.uri_text,
        from_tag=sent.from_tag,
        call_id=sent.call_id,
        number=sent.cseq.number,
        branch=sent.top_via.branch,
    )


class CopyTests(SwitchboardCase):
    """16.6: what a copy keeps, and what it gets."""

    @conforms("RFC 3261 16.6")
    def test_everything_else_stays_in_its_order_and_its_words(self) -> None:
        """Item 1: "The proxy MUST NOT reorder field values with a common field name"."""
        sent = self.alice.ask(
            "INVITE",
            "sip:bob@example.com",
            "X-Twice: first ,  second",
            "sUBJECT :  a folded\r\n  line",
            "Date: of no kind that is known",
            "x-twice: third",
            "k: 100rel,x",
            body="no description at all",
        )
        got = self.bob.request("INVITE")
        self.assertEqual(end_to_end(got), end_to_end(sent))
        self.assertEqual(got.body, sent.body)
        self.bob.respond(got, 486)

    @conforms("RFC 3261 16.6", "RFC 3261 18.3")
    def test_a_stream_needs_a_length(self) -> None:
        """Item 9: "the proxy MUST insert one if necessary to frame the message correctly"."""
        carol = Phone(self.board, "192.0.2.30", "carol", via="TCP")
        carol.register("carol", 30)
        for method in ("INVITE", "OPTIONS"):
            sent = self.alice.make(method, "sip:carol@example.com", body="a body")
            sent.remove("content-length")
            self.alice.send(sent)
            got = carol.request(method)
            self.assertEqual((got.values("content-length"), got.body), (["6"], b"a body"))
            carol.respond(got, 486)
            self.alice.response(486, method)

    @conforms("RFC 3261 16.1", "RFC 3261 17.1.1.2")
    def test_what_came_over_a_stream_is_repeated_over_datagrams(self) -> None:
        """ "the proxy's TU must take an active role in ensuring reliable delivery": whoever spoke TCP says it once."""
        caller = Phone(self.board, "192.0.2.11", "alice", via="TCP")
        caller.ask("INVITE")
        self.board.run(T1 * 3 + 0.1)
        titles = [packet.title for packet in self.board.network.packets]
        self.assertEqual(titles.count("INVITE"), 1 + 3)
        self.bob.respond(self.bob.request("INVITE"), 486)
        caller.response(486)


class UnknownCodeTests(SwitchboardCase):
    """8.1.3.2: a code that nobody knows means what its class means."""

    @conforms("RFC 3261 8.1.3.2", "RFC 3261 16.7")
    def test_it_goes_back_as_it_is(self) -> None:
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 155)
        self.alice.response(155)
        self.assertEqual([event.code for event in self.board.books.ringing], [155])
        self.bob.respond(got, 477)
        self.alice.response(477)
        self.assertEqual(self.board.books.endings, [("failed", 477, "callee")])

    @conforms("RFC 3261 8.1.3.2")
    def test_a_2xx_of_any_number_is_an_answer(self) -> None:
        sent, got = self.ringing()
        answer = self.bob.respond(got, 299)
        calling = Dialog(self.alice, sent, self.alice.response(299), is_caller=True)
        calling.send("ACK")
        self.assertEqual(self.bob.request("ACK").to_tag, answer.to_tag)
        calling.send("BYE")
        self.bob.respond(self.bob.request("BYE"), 222)
        self.alice.response(222, "BYE")
        ((result, _, ended_by),) = self.board.books.endings
        self.assertEqual((result, ended_by), ("answered", "caller"))

    @conforms("RFC 3261 8.1.3.2")
    def test_to_a_request_of_our_own(self) -> None:
        self.talking()
        (session,) = self.board.sessions
        self.board.sessions.hang_up(session, Reason("SIP", 200, "Ended by an administrator"))
        for phone, status in ((self.alice, 599), (self.bob, 477)):
            phone.respond(phone.request("BYE"), status)
        self.board.run(0.1)
        sent = len(self.board.network.packets)
        self.board.run(TIMER_L)
        self.assertEqual(len(self.board.network.packets), sent)


class AcceptedTests(SwitchboardCase):
    """The state of a server transaction after a 2xx (RFC 6026)."""

    def answered(self) -> tuple[Request, Dialog]:
        sent, got = self.ringing()
        self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        self.alice.heard.clear()
        return sent, calling

    @conforms("RFC 6026 7.1", "RFC 6026 8.6", "RFC 6026 8.7", "RFC 6026 8.10", "RFC 6026 8.11")
    def test_a_repeated_invite_is_absorbed_until_timer_l(self) -> None:
        """ "They are not passed up to the TU": nobody is called, and nothing is answered."""
        sent, calling = self.answered()
        self.board.run(TIMER_L - 2)
        self.alice.send(sent)
        self.board.run(1)
        self.assertEqual((self.alice.titles, self.bob.titles), ([], []))
        calling.send("ACK")
        self.bob.request("ACK")
        self.hang_up(calling, self.bob)
        self.board.run(TIMER_L + 10)
        self.assertEqual(self.board.gauges()[3], 0)

    @conforms("RFC 6026 7.3", "RFC 6026 8.2", "RFC 6026 8.9", "RFC 3261 16.7", "RFC 3261 18.1.2")
    def test_a_response_to_nothing_is_not_forwarded(self) -> None:
        """ "the element MUST NOT forward the response": of another branch, and of a call that is long over."""
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        foreign = reply(got, 200, to_tag="other")
        foreign.set("via", got.values("via")[0].replace("branch=z9hG4bK", "branch=z9hG4bKx"))
        foreign.add("via", got.values("via")[1])
        self.bob.send(foreign)
        self.board.run()
        self.assertEqual(self.alice.titles, ["100 INVITE"])
        self.bob.respond(got, 486)
        self.alice.response(486)
        self.board.run(2 * TIMER_L)
        heard = len(self.alice.heard)
        self.bob.respond(got, 200)
        self.board.run()
        self.assertEqual(len(self.alice.heard), heard)


class CancelTests(SwitchboardCase):
    """CANCEL of what cannot be cancelled."""

    @conforms("RFC 6665 4.6", "RFC 3261 9.1", "RFC 3261 9.2")
    def test_only_an_invite_can_be(self) -> None:
        """ "it MUST respond to the CANCEL request, but otherwise ignore it"."""
        for method in ("SUBSCRIBE", "MESSAGE", "OPTIONS"):
            sent = self.alice.ask(method, "sip:bob@example.com", "Event: x-weather")
            got = self.bob.request(method)
            self.alice.send(cancel_of(self.alice, sent))
            self.alice.response(200, "CANCEL")
            self.board.run(1)
            self.assertNotIn("CANCEL", self.bob.titles)
            self.bob.respond(got, 200)
            self.alice.response(200, method)

    @conforms("RFC 6665 4.6")
    def test_nor_a_subscription_with_ourselves(self) -> None:
        sent = self.alice.ask("SUBSCRIBE", "sip:bob@example.com", "Event: dialog", "Expires: 60")
        self.alice.send(cancel_of(self.alice, sent))
        self.alice.response(200, "SUBSCRIBE")
        notify = self.alice.request("NOTIFY")
        self.assertIn("active", notify.require("subscription-state"))
        self.alice.respond(notify, 200)
        self.alice.response(200, "CANCEL")


class HopTests(SwitchboardCase):
    """RFC 3263 4: one transaction, one host."""

    @conforms("RFC 3263 4", "RFC 3261 17.1.1.3", "RFC 3261 9.1")
    def test_what_belongs_to_a_request_goes_where_it_went(self) -> None:
        """ "all retransmissions ... and the ACK for non-2xx ... MUST be sent to the same host", and the CANCEL."""
        hosts = ("192.0.2.50", "192.0.2.51", "192.0.2.52")
        phones = [Phone(self.board, host, "far") for host in hosts]
        self.bob.register("carol", 30, "sip:carol@phones.example", is_at_source=False)
        self.board.names.known["phones.example"] = hosts
        sent = self.alice.ask("INVITE", "sip:carol@example.com")
        self.board.run()
        self.board.names.answer()
        self.board.run(T1 * 3 + 0.1)
        (called,) = (phone for phone in phones if phone.heard)
        got = called.request("INVITE")
        called.respond(got, 180)
        self.alice.response(180)
        self.alice.send(cancel_of(self.alice, sent))
        called.respond(called.request("CANCEL"), 200)
        called.respond(got, 487)
        self.assertEqual(called.request("ACK").top_via.branch, got.top_via.branch)
        self.alice.response(487)
        reached = {packet.destination[0] for packet in self.board.network.packets} & set(hosts)
        self.assertEqual(reached, {called.host})
        self.assertGreater([packet.title for packet in self.board.network.packets].count("INVITE"), 3)


class UpdateTests(SwitchboardCase):
    @conforms("RFC 3311 5.3")
    def test_one_that_is_refused_changes_nothing(self) -> None:
        """ "the session parameters MUST remain unchanged": the other side goes on as before, and reaches who it did."""
        calling, called = self.talking()
        for status in (491, 488, 504):
            calling.send("UPDATE", "Contact: <sip:alice@192.0.2.99:5060>")
            self.bob.respond(self.bob.request("UPDATE"), status, ("retry-after", "1"))
            self.assertEqual(self.alice.response(status, "UPDATE").value("retry-after"), "1")
            self.assertEqual([session.state for session in self.board.sessions], ["active"])
        self.hang_up(called, self.alice)


class RecordRouteTests(SwitchboardCase):
    """RFC 5627 6.2: who must stay in the path when phones use their GRUUs."""

    @conforms("RFC 5627 6.2")
    def test_where_the_request_comes_from(self) -> None:
        """A Contact that is a GRUU of ours, in a request that others have recorded already."""
        gruu = "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
        theirs = "Record-Route: <sip:192.0.2.77;lr>"
        for method in ("INVITE", "SUBSCRIBE"):
            self.alice.ask(method, "sip:bob@example.com", f"Contact: <{gruu}>", "Event: x-weather", theirs)
            got = self.bob.request(method)
            self.assertEqual(got.values("record-route"), ["<sip:192.0.2.1:5060;lr>", "<sip:192.0.2.77;lr>"])
            self.bob.respond(got, 486)

    @conforms("RFC 5627 6.2", "RFC 3327 5.4")
    def test_where_it_goes_to(self) -> None:
        """A phone with an instance that registered by way of a Path."""
        edge = Phone(self.board, "192.0.2.60", "edge")
        instance = "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
        path = "<sip:192.0.2.60;lr>"
        edge.register("carol", 30, "sip:carol@10.0.0.9", is_at_source=False, path=path, instance=instance, gruu="epoch")
        self.alice.ask("INVITE", "sip:carol@example.com")
        got = edge.request("INVITE")
        self.assertEqual((got.values("route"), got.uri_text), ([path], "sip:carol@10.0.0.9"))
        self.assertEqual(got.values("record-route"), ["<sip:192.0.2.1:5060;lr>"])
        edge.respond(got, 486)


class BackupTests(SwitchboardCase):
    """RFC 3263 5, and RFC 6026 8.8, which tells when it is done: the connection of the request is gone."""

    @conforms("RFC 6026 8.8", "RFC 3261 17.2.4", "RFC 3261 18.2.2", "RFC 3263 5")
    def test_the_answer_takes_a_connection_to_where_via_says(self) -> None:
        for method, host in (("INVITE", "192.0.2.11"), ("OPTIONS", "192.0.2.12")):
            caller = Phone(self.board, host, "alice", via="TCP")
            caller.ask(method)
            got = self.bob.request(method)
            caller.flow.fail("the NAT forgot it")
            self.board.run()
            self.bob.respond(got, 486)
            caller.response(486, method)
