"""Loops and spirals of forked requests (RFC 5393 4)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.proxy.loop import has_looped, loop_mark
from gosip_py.sip.message import Request
from gosip_py.sip.parser import parse_message
from tests.conformance import conforms
from tests.proxy.switchboard import Phone, SwitchboardCase


def made(uri: str = "sip:bob@example.com", *, method: str = "INVITE", call_id: str = "1", more: str = "") -> Request:
    message = parse_message(
        (
            f"{method} {uri} SIP/2.0\r\n{more}Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"
            f"To: <sip:bob@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(message, Request)
    return message


class MarkTests(SynchronousTestCase):
    @conforms("RFC 5393 4.2.1")
    def test_it_varies_with_what_decides_where_the_request_goes(self) -> None:
        mark = loop_mark(made())
        self.assertEqual(mark, loop_mark(made()))
        for other in (
            made("sip:carol@example.com"),
            made(more="Route: <sip:192.0.2.77;lr>\r\n"),
            made(call_id="2"),
        ):
            self.assertNotEqual(mark, loop_mark(other))

    @conforms("RFC 5393 4.2.1")
    def test_but_not_with_the_method(self) -> None:
        """ "This second part MUST NOT vary with the request method": CANCEL and ACK have the branch of their INVITE."""
        self.assertEqual(loop_mark(made()), loop_mark(made(method="ACK")))

    @conforms("RFC 5393 4.2.1")
    def test_it_fits_into_a_branch(self) -> None:
        self.assertRegex(loop_mark(made()), r"\A\.[0-9a-f]{16}\Z")

    @conforms("RFC 5393 4.2.4")
    def test_the_vias_of_others_are_not_read(self) -> None:
        """ "unknown parameter names, parameters with no values, ... must not cause an implementation to fail"."""
        mark = loop_mark(made())
        for via in ('SIP/2.0/UDP a;x;y=;z="\\"', "?", "SIP/2.0/UDP"):
            self.assertFalse(has_looped(made(more=f"Via: {via}\r\n"), mark))
        self.assertTrue(has_looped(made(more=f"Via: ?, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb{mark}\r\n"), mark))


class Relay(Phone):
    """A proxy that sends back what it gets, to another address of the domain if it is told so."""

    def send_back(self, got: Request, uri: str) -> Request:
        copy = got.copy()
        copy.set_uri(uri)
        copy.set("max-forwards", str(int(copy.require("max-forwards")) - 1))
        copy.push_via(f"SIP/2.0/UDP {self.host}:5060;rport;branch=z9hG4bKback{len(copy.values('via'))}")
        self.send(copy)
        return copy


class RoundTests(SwitchboardCase):
    """Bob has a phone, and a contact at a relay that leads back to us."""

    def setUp(self) -> None:
        super().setUp()
        self.relay = Relay(self.board, "192.0.2.40", "relay")
        self.relay.register("bob", 20)

    @conforms("RFC 5393 4.1", "RFC 5393 4.2.2", "RFC 3261 16.3", "RFC 3261 21.4.20")
    def test_a_loop_is_refused(self) -> None:
        self.alice.ask("INVITE")
        got = self.relay.request("INVITE")
        self.relay.send_back(got, "sip:bob@example.com")
        self.assertIn("Warning: 399", str(self.relay.response(482).lines))
        phone = self.bob.request("INVITE")
        self.assertEqual((self.bob.titles, self.relay.titles), ([], ["100 INVITE"]))
        self.relay.respond(got, 482)
        self.bob.respond(phone, 486)
        self.alice.response(482)

    @conforms("RFC 5393 4.2.1")
    def test_both_copies_bear_the_same_mark(self) -> None:
        self.alice.ask("INVITE")
        marks = {phone.request("INVITE").top_via.branch.partition(".")[2] for phone in (self.bob, self.relay)}
        self.assertEqual([len(mark) for mark in marks], [16])

    @conforms("RFC 5393 4.2.2", "RFC 3261 16.3")
    def test_a_spiral_passes(self) -> None:
        """ "If the values differ, the request is spiraling and processing continues"."""
        carol = Phone(self.board, "192.0.2.30", "carol")
        carol.register("carol", 30)
        self.alice.ask("INVITE")
        got = self.relay.request("INVITE")
        self.relay.send_back(got, "sip:carol@example.com")
        carol.respond(carol.request("INVITE"), 200)
        answer = self.relay.response(200)
        answer.pop_value("via")
        self.relay.send(answer)
        self.assertEqual(self.alice.response(200).to_tag, answer.to_tag)

    @conforms("RFC 5393 4.1")
    def test_a_loop_through_one_contact_ends_with_the_hops(self) -> None:
        """ "A SIP proxy forwarding a request to only one location MAY perform loop detection"; this one does not."""
        self.relay.register("carol", 30)
        self.alice.ask("INVITE", "sip:carol@example.com", max_forwards=4)
        first = self.relay.request("INVITE")
        self.assertNotIn(".", first.top_via.branch)
        self.relay.send_back(first, "sip:carol@example.com")
        self.relay.send_back(self.relay.request("INVITE"), "sip:carol@example.com")
        self.relay.response(483)

    @conforms("RFC 5393 4.2.2")
    def test_other_requests_too(self) -> None:
        self.alice.ask("OPTIONS")
        self.relay.send_back(self.relay.request("OPTIONS"), "sip:bob@example.com")
        self.relay.response(482, "OPTIONS")

    @conforms("RFC 5393 5.3.3", "RFC 5393 5.5")
    def test_the_breadth_is_divided(self) -> None:
        self.alice.ask("INVITE", "sip:bob@example.com", "Max-Breadth: 5")
        got = [phone.request("INVITE").values("max-breadth") for phone in (self.bob, self.relay)]
        self.assertEqual(sorted(got), [["2"], ["3"]])

    @conforms("RFC 5393 5.3.3")
    def test_one_that_says_nothing_gets_60_to_share(self) -> None:
        self.alice.ask("INVITE")
        for phone in (self.bob, self.relay):
            self.assertEqual(phone.request("INVITE").values("max-breadth"), ["30"])

    @conforms("RFC 5393 5.3.3", "RFC 5393 5.3.3.1", "RFC 5393 5.5")
    def test_a_breadth_of_one_means_one_after_the_other(self) -> None:
        self.alice.ask("INVITE", "sip:bob@example.com", "Max-Breadth: 1")
        self.board.run()
        one, other = (self.bob, self.relay) if self.bob.titles else (self.relay, self.bob)
        first = one.request("INVITE")
        self.assertEqual(other.titles, [])
        one.respond(first, 486)
        second = other.request("INVITE")
        self.assertEqual((first.values("max-breadth"), second.values("max-breadth")), (["1"], ["1"]))
        other.respond(second, 404)
        self.alice.response(404)

    @conforms("RFC 5393 5.3.3")
    def test_what_is_not_forked_keeps_its_breadth(self) -> None:
        """ "A proxy MUST NOT decrement Max-Breadth for each hop"."""
        self.relay.register("carol", 30)
        for given, written in (("7", "7"), ("4000", "60")):
            self.alice.ask("OPTIONS", "sip:carol@example.com", f"Max-Breadth: {given}")
            got = self.relay.request("OPTIONS")
            self.assertEqual(got.values("max-breadth"), [written])
            self.relay.respond(got, 200)
            self.alice.response(200, "OPTIONS")

    @conforms("RFC 5393 5.3.1")
    def test_one_that_is_no_number_is_refused(self) -> None:
        for user in ("bob", "relay"):
            self.relay.register("carol", 30)
            self.alice.ask("INVITE", f"sip:{'carol' if user == 'relay' else 'bob'}@example.com", "Max-Breadth: 0")
            self.alice.response(400)
        self.assertEqual([code for _, code, _ in self.board.books.endings], [400, 400])
