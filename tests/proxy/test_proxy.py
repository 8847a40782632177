"""How requests travel within dialogs, and the ACK of a 2xx (RFC 3261 12.2, 13.2.2.4, 16.4, 16.6, 16.11, RFC 5658)."""

from __future__ import annotations

from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.proxy.switchboard import Dialog, Phone, SwitchboardCase

UDP_ROUTE = "<sip:192.0.2.1:5060;lr>"
TCP_ROUTE = "<sip:192.0.2.1:5060;transport=tcp;lr>"


class RecordRouteTests(SwitchboardCase):
    @conforms("RFC 3261 16.6")
    def test_we_stay_in_the_path(self) -> None:
        """16.6 item 4."""
        calling, called = self.talking()
        self.assertEqual((calling.routes, called.routes), ([UDP_ROUTE], [UDP_ROUTE]))

    @conforms("RFC 5658 3.3", "RFC 3608 6.2")
    def test_on_both_sides_where_the_transport_changes(self) -> None:
        """RFC 5658 3.3: each side finds the socket of its own transport first."""
        caller = Phone(self.board, "192.0.2.11", "alice", via="TCP")
        calling, called = self.talking(caller)
        self.assertEqual(calling.routes, [TCP_ROUTE, UDP_ROUTE])
        self.assertEqual(called.routes, [UDP_ROUTE, TCP_ROUTE])
        self.hang_up(calling, self.bob)

    @conforms("RFC 6665 4.3")
    def test_a_route_that_is_recorded_in_notify(self) -> None:
        """RFC 6665 4.3: who records the route of a SUBSCRIBE does so in its NOTIFY too."""
        self.alice.ask("SUBSCRIBE", "sip:bob@example.com", "Event: weather")
        got = self.bob.request("SUBSCRIBE")
        self.assertEqual(got.values("record-route"), [UDP_ROUTE])
        answer = self.bob.respond(got, 200)
        self.alice.response(200, "SUBSCRIBE")
        Dialog(self.bob, got, answer, is_caller=False).send("NOTIFY", "Event: weather")
        self.assertEqual(self.alice.request("NOTIFY").values("record-route"), [UDP_ROUTE])


class InDialogTests(SwitchboardCase):
    @conforms("RFC 3261 15.1.1", "RFC 3261 16.6")
    def test_the_caller_hangs_up(self) -> None:
        calling, _ = self.talking()
        calling.send("BYE")
        got = self.bob.request("BYE")
        self.assertEqual((got.uri_text, got.values("route")), (self.bob.contact, []))
        self.assertEqual(got.value("max-forwards"), "69")
        self.bob.respond(got, 200)
        self.alice.response(200, "BYE")
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    @conforms("RFC 3261 15.1.1", "RFC 3261 12.2")
    def test_the_callee_hangs_up(self) -> None:
        _, called = self.talking()
        called.send("BYE")
        got = self.alice.request("BYE")
        self.assertEqual(got.uri_text, self.alice.contact)
        self.alice.respond(got, 200)
        self.bob.response(200, "BYE")
        self.assertEqual(self.board.books.endings, [("answered", 200, "callee")])

    @conforms("RFC 3261 13.2.2.4", "RFC 3261 16.11")
    def test_the_ack_goes_end_to_end(self) -> None:
        """13.2.2.4: a transaction of its own, forwarded like any request."""
        sent, got = self.ringing()
        self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        ack = self.bob.request("ACK")
        self.assertEqual((ack.uri_text, ack.values("route"), ack.value("max-forwards")), (self.bob.contact, [], "69"))
        self.assertNotEqual(ack.top_via.branch, got.top_via.branch)
        self.assertEqual(len(ack.values("via")), 2)
        self.board.run()
        self.assertEqual(self.alice.titles, ["100 INVITE"])

    @conforms("RFC 3261 16.6")
    def test_further_routes_are_followed(self) -> None:
        """16.6 item 6: the next Route decides, not the Request-URI."""
        edge = Phone(self.board, "192.0.2.30", "edge")
        calling, _ = self.talking()
        calling.routes.append("<sip:192.0.2.30:5060;lr>")
        calling.send("BYE")
        got = edge.request("BYE")
        self.assertEqual((got.uri_text, got.values("route")), (self.bob.contact, ["<sip:192.0.2.30:5060;lr>"]))
        edge.respond(got, 200)
        self.alice.response(200, "BYE")
        calling.send("ACK")
        self.assertEqual(edge.request("ACK").uri_text, self.bob.contact)

    @conforms("RFC 3261 16.6", "RFC 3261 16.12.1.2")
    def test_a_strict_router_behind_us(self) -> None:
        """16.6 item 6: a Route without lr."""
        edge = Phone(self.board, "192.0.2.30", "edge")
        calling, _ = self.talking()
        calling.routes.append("<sip:192.0.2.30:5060>")
        calling.send("BYE")
        got = edge.request("BYE")
        self.assertEqual((got.uri_text, got.values("route")), ("sip:192.0.2.30:5060", [f"<{self.bob.contact}>"]))
        edge.respond(got, 200)

    @conforms("RFC 3261 16.4", "RFC 3261 16.12.1.2")
    def test_a_strict_router_before_us(self) -> None:
        """16.4: our own URI in the request line, the remote target last in Route."""
        calling, _ = self.talking()
        bye = calling.make("BYE")
        bye.remove("route")
        bye.add("route", f"<{bye.uri_text}>")
        bye.set_uri("sip:192.0.2.1:5060;lr")
        self.alice.send(bye)
        got = self.bob.request("BYE")
        self.assertEqual((got.uri_text, got.values("route")), (self.bob.contact, []))
        self.bob.respond(got, 200)

    def test_without_any_route_the_dialog_is_known(self) -> None:
        calling, _ = self.talking()
        calling.routes.clear()
        self.hang_up(calling, self.bob)

    @conforms("RFC 3261 12.2")
    def test_to_our_address_in_place_of_the_remote_target(self) -> None:
        """Wrong of the phone (12.2.1.1), but the dialog tells whom it means; without that it would go round in us."""
        calling, _ = self.talking()
        calling.target = "sip:bob@192.0.2.1"
        calling.routes.clear()
        calling.send("ACK")
        self.assertEqual(self.bob.request("ACK").uri_text, self.bob.contact)
        calling.send("BYE")
        got = self.bob.request("BYE")
        self.assertEqual(got.uri_text, self.bob.contact)
        self.bob.respond(got, 200)

    @conforms("RFC 3261 14.1")
    def test_a_re_invite_is_no_new_call(self) -> None:
        calling, called = self.talking()
        for side, other in ((calling, self.bob), (called, self.alice)):
            side.send("INVITE")
            got = other.request("INVITE")
            self.assertEqual(got.to_tag, side.remote.partition("tag=")[2])
            side.phone.response(100)
            other.respond(got, 200)
            side.phone.response(200)
            side.send("ACK")
            other.request("ACK")
        self.assertEqual(len(self.board.books.started), 1)
        self.hang_up(calling, self.bob)
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    @conforms("RFC 3261 14.1")
    def test_a_refused_re_invite_leaves_the_call_as_it_is(self) -> None:
        """14.1."""
        calling, _ = self.talking()
        calling.send("INVITE")
        self.bob.respond(self.bob.request("INVITE"), 488)
        self.alice.response(488)
        self.bob.request("ACK")
        self.assertEqual(self.board.books.ended, [])
        self.hang_up(calling, self.bob)

    @conforms("RFC 3261 14.1")
    def test_a_cancelled_re_invite_leaves_the_call_as_it_is(self) -> None:
        calling, _ = self.talking()
        sent = calling.send("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 180)
        self.alice.response(180)
        cancel = self.alice.make(
            "CANCEL", sent.uri_text, call_id=sent.call_id, number=sent.cseq.number, branch=sent.top_via.branch
        )
        self.alice.send(cancel)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.alice.response(487)
        self.assertEqual(self.board.books.ended, [])
        self.hang_up(calling, self.bob)

    @conforms("RFC 3261 12.2")
    def test_a_new_target_is_followed(self) -> None:
        """12.2.2: a re-INVITE brings the remote target of the other side's next requests."""
        calling, called = self.talking()
        calling.send("INVITE", "Contact: <sip:alice@192.0.2.10:5070>")
        self.bob.respond(self.bob.request("INVITE"), 200)
        self.alice.response(200)
        (session,) = self.board.sessions
        self.assertEqual(session.caller.contact, "sip:alice@192.0.2.10:5070")
        called.target = "sip:alice@192.0.2.10:5070"
        called.send("INFO")
        self.assertEqual(self.alice.request("INFO").uri_text, "sip:alice@192.0.2.10:5070")

    @conforms("RFC 3261 12.2.2")
    def test_an_old_target_that_comes_late_is_not(self) -> None:
        """Its CSeq is lower than that of the last request from there."""
        calling, _ = self.talking()
        late = calling.make("UPDATE", "Contact: <sip:alice@192.0.2.10:5099>")
        calling.send("UPDATE", "Contact: <sip:alice@192.0.2.10:5070>")
        self.bob.respond(self.bob.request("UPDATE"), 200)
        self.alice.response(200, "UPDATE")
        self.alice.send(late)
        self.bob.respond(self.bob.request("UPDATE"), 500)
        self.alice.response(500, "UPDATE")
        (session,) = self.board.sessions
        self.assertEqual(session.caller.contact, "sip:alice@192.0.2.10:5070")

    @conforms("RFC 3261 12.2")
    def test_other_requests_pass(self) -> None:
        calling, called = self.talking()
        for method in ("INFO", "UPDATE", "MESSAGE", "REFER"):
            for side, other in ((calling, self.bob), (called, self.alice)):
                side.send(method)
                other.respond(other.request(method), 202)
                side.phone.response(202, method)
        self.assertEqual(len(self.board.sessions._sessions), 1)

    @conforms("RFC 3262 4")
    def test_prack_of_an_early_dialog(self) -> None:
        """RFC 3262: a request within a dialog that no 2xx has confirmed yet."""
        sent = self.alice.ask("INVITE", "sip:bob@example.com", "Supported: 100rel")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 183, ("require", "100rel"), ("rseq", "1"))
        early = Dialog(self.alice, sent, self.alice.response(183), is_caller=True)
        early.send("PRACK", "RAck: 1 1 INVITE")
        self.bob.respond(self.bob.request("PRACK"), 200)
        self.alice.response(200, "PRACK")
        self.bob.respond(got, 486)
        self.alice.response(486)

    def test_a_bye_that_cannot_be_routed_is_refused(self) -> None:
        calling, _ = self.talking()
        calling.routes.append("<nonsense")
        calling.send("BYE")
        self.alice.response(400, "BYE")
        self.assertEqual(self.board.books.ended, [])


class ByeTests(SwitchboardCase):
    """What ends the call, and what does not (15.1.1)."""

    def bye_answered(self, status: int) -> Dialog:
        calling, _ = self.talking()
        calling.send("BYE")
        self.bob.respond(self.bob.request("BYE"), status)
        self.alice.response(status, "BYE")
        return calling

    @conforms("RFC 3261 15.1.1")
    def test_481_ends_it(self) -> None:
        self.bye_answered(481)
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    def test_an_error_ends_it(self) -> None:
        self.bye_answered(500)
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    @conforms("RFC 3261 15.1.1")
    def test_silence_ends_it(self) -> None:
        calling, _ = self.talking()
        calling.send("BYE")
        self.board.run(33.0)
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    def test_a_challenge_does_not(self) -> None:
        for status in (401, 407):
            calling = self.bye_answered(status)
            self.assertEqual(self.board.books.ended, [])
            self.hang_up(calling, self.bob)
            self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])
            self.board.books.ended.clear()
            self.board.books.started.clear()

    @conforms("RFC 3261 15.1.2")
    def test_both_at_once(self) -> None:
        calling, called = self.talking()
        calling.send("BYE")
        called.send("BYE")
        for phone in (self.alice, self.bob):
            phone.respond(phone.request("BYE"), 200)
        for phone in (self.alice, self.bob):
            phone.response(200, "BYE")
        self.assertEqual(len(self.board.books.endings), 1)

    @conforms("RFC 3261 15.1.2")
    def test_of_a_dialog_that_is_not_known(self) -> None:
        """Whoever is trusted hears at once that there is none; `test_core` has who is not."""
        calling, _ = self.talking()
        calling.remote = "<sip:bob@example.com>;tag=other"
        calling.target = "sip:bob@example.com"
        calling.send("BYE")
        self.alice.response(481, "BYE")
        self.assertEqual(self.board.books.ended, [])


class NatTests(SwitchboardCase):
    """Phones whose contact nobody but the flow reaches."""

    def behind_nat(self, via: str) -> Phone:
        phone = Phone(self.board, "192.0.2.40", "carol", via)
        phone.contact = "sip:carol@10.0.0.7:5060"
        phone.register("300", 30)
        return phone

    def call(self, caller: Phone, callee: Phone, name: str) -> tuple[Dialog, Dialog]:
        sent = caller.ask("INVITE", f"sip:{name}@example.com")
        got = callee.request("INVITE")
        answer = callee.respond(got, 200)
        return (
            Dialog(caller, sent, caller.response(200), is_caller=True),
            Dialog(callee, got, answer, is_caller=False),
        )

    def test_the_callee(self) -> None:
        for via in ("UDP", "TCP"):
            carol = self.behind_nat(via)
            calling, _ = self.call(self.alice, carol, "carol")
            calling.send("ACK")
            self.assertEqual(carol.request("ACK").uri_text, "sip:carol@10.0.0.7:5060")
            self.hang_up(calling, carol)
            for contact in self.board.location.lookup("sip:300@example.com", self.board.now()):
                self.board.location.remove(contact, "test", self.board.now())

    def test_the_caller(self) -> None:
        for via in ("UDP", "TCP"):
            carol = Phone(self.board, "192.0.2.40", "carol", via)
            carol.contact = "sip:carol@10.0.0.7:5060"
            _, called = self.call(carol, self.bob, "bob")
            self.hang_up(called, carol)

    def test_a_connection_that_is_made_anew_during_the_call(self) -> None:
        """The phone says where it is by a re-INVITE."""
        carol = self.behind_nat("TCP")
        calling, called = self.call(self.alice, carol, "carol")
        first = carol.flow
        first.fail("the NAT forgot it")
        self.board.run()
        called.send("INVITE")
        self.alice.respond(self.alice.request("INVITE"), 200)
        carol.response(200)
        self.assertIsNot(carol.flow, first)
        self.hang_up(calling, carol)

    def test_a_caller_behind_another_proxy_is_where_its_contact_says(self) -> None:
        """12.2.1.1: the flow of a proxy that did not record its route is not that of the phone."""
        edge = Phone(self.board, "192.0.2.30", "edge")
        carol = Phone(self.board, "192.0.2.40", "carol")
        sent = edge.make("INVITE", "sip:bob@example.com", f"Contact: <{carol.contact}>")
        sent.push_via("SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bKedge")
        edge.send(sent)
        got = self.bob.request("INVITE")
        answer = self.bob.respond(got, 200)
        called = Dialog(self.bob, got, answer, is_caller=False)
        called.send("BYE")
        carol.respond(carol.request("BYE"), 200)
        self.bob.response(200, "BYE")
        self.assertNotIn("BYE", edge.titles)

    @conforms("RFC 3327 5.4")
    def test_a_callee_in_another_domain_is_where_its_contact_says(self) -> None:
        edge = Phone(self.board, "192.0.2.30", "edge")
        carol = Phone(self.board, "192.0.2.40", "carol")
        edge.register("300", 30, path="<sip:192.0.2.30:5060;lr>", is_at_source=False)
        sent = self.alice.ask("INVITE", "sip:carol@example.com")
        got = edge.request("INVITE")
        edge.contact = carol.contact
        edge.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        carol.request("ACK")
        self.hang_up(calling, carol)


class AckTests(SwitchboardCase):
    """Nobody can be asked who sends an ACK, so it goes only where a dialog of ours leads."""

    def sent_on(self, ack: Request) -> list[str]:
        before = len(self.board.network.packets)
        self.alice.send(ack)
        self.board.run()
        return [packet.destination[0] for packet in self.board.network.packets[before + 1 :]]

    def ack(self, uri: str, *more: str, max_forwards: int = 70) -> Request:
        return self.alice.make("ACK", uri, *more, to="<sip:bob@example.com>;tag=x", max_forwards=max_forwards)

    def test_of_no_dialog_of_ours(self) -> None:
        self.assertEqual(self.sent_on(self.ack("sip:anybody@198.51.100.1")), [])
        self.assertEqual(self.sent_on(self.ack("sip:a@x.example", "Route: <sip:198.51.100.1;lr>")), [])

    def test_to_ourselves(self) -> None:
        self.assertEqual(self.sent_on(self.ack("sip:bob@192.0.2.1", f"Route: {UDP_ROUTE}")), [])

    @conforms("RFC 3261 16.11")
    def test_of_a_dialog_that_we_forgot(self) -> None:
        """After a restart our Record-Route is all that is left of it.

        Anybody may write that: no name is looked up and no connection made for it.
        """
        self.assertEqual(self.sent_on(self.ack("sip:b@192.0.2.20", f"Route: {UDP_ROUTE}")), ["192.0.2.20"])
        self.assertEqual(self.sent_on(self.ack("sip:b@phone.example", f"Route: {UDP_ROUTE}")), [])
        self.assertEqual(self.board.names.waiting, [])
        self.assertEqual(self.sent_on(self.ack("sip:b@192.0.2.20;transport=tcp", f"Route: {UDP_ROUTE}")), [])

    @conforms("RFC 3261 16.3")
    def test_without_hops_left(self) -> None:
        calling, _ = self.talking()
        ack = calling.make("ACK")
        ack.set("max-forwards", "0")
        self.assertEqual(self.sent_on(ack), [])
        self.assertEqual(self.sent_on(self.ack("sip:b@192.0.2.20", f"Route: {UDP_ROUTE}", max_forwards=0)), [])

    def test_that_cannot_be_read(self) -> None:
        calling, _ = self.talking()
        for name, value in (("route", "<nonsense"), ("max-forwards", "many"), ("to", '"half <sip:x')):
            ack = calling.make("ACK")
            ack.set(name, value)
            self.assertEqual(self.sent_on(ack), [], name)

    @conforms("RFC 3261 16.11", "RFC 3263 4.2")
    def test_to_a_name(self) -> None:
        """That nobody knows, that is our own, and that of somebody."""
        for addresses, expected in (((), []), (("192.0.2.1",), []), (("192.0.2.20",), ["192.0.2.20"])):
            self.board.names.known["phone.example"] = addresses
            calling, _ = self.talking()
            calling.target = "sip:b@phone.example"
            self.assertEqual(self.sent_on(calling.make("ACK")), [])
            before = len(self.board.network.packets)
            self.board.names.answer()
            self.board.run()
            self.assertEqual([each.destination[0] for each in self.board.network.packets[before:]], expected)
