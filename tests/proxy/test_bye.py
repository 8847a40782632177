"""Hanging up on both sides: what each phone is sent, and that the books close once whatever the phones say to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.proxy.bye import ByeBothWays, routes_beyond
from gosip_py.proxy.route import ProxyTarget
from gosip_py.proxy.session import STOPPING, Session
from gosip_py.sip.fields import Reason, parse_reason
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from gosip_py.sip.uri import Uri
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.proxy.switchboard import CALL_SECONDS, DOMAIN, GRACE, SERVER, Dialog, Phone, SwitchboardCase

ADMINISTRATOR = Reason("SIP", 200, "Ended by an administrator")
ENDED = ("answered", 200, "system")


class HangUpCase(SwitchboardCase):
    def session(self) -> Session:
        (session,) = self.board.sessions
        return session

    def hang_up_both(self, reason: Reason = ADMINISTRATOR) -> tuple[Request, Request]:
        """The BYEs as Alice and as Bob get them."""
        self.board.sessions.hang_up(self.session(), reason)
        return self.alice.request("BYE"), self.bob.request("BYE")

    def assert_silent(self) -> None:
        """All was said: nobody is sent anything any more."""
        sent = len(self.board.network.packets)
        self.board.run(100)
        self.assertEqual(len(self.board.network.packets), sent)
        self.assertEqual(self.board.sessions._leaving, {})


class ByeTests(HangUpCase):
    """The two requests."""

    @conforms("RFC 3261 12.2.1.1", "RFC 3261 15.1.1", "RFC 3326 2", "RFC 3261 8.1.1.5")
    def test_each_is_like_one_of_the_other_side(self) -> None:
        calling, called = self.talking()
        to_alice, to_bob = self.hang_up_both()
        for request, phone, side in ((to_alice, self.alice, calling), (to_bob, self.bob, called)):
            self.assertEqual(request.uri_text, phone.contact)
            self.assertEqual(request.call_id, side.call_id)
            self.assertEqual((request.from_.tag, request.to_tag), (tag(side.remote), tag(side.local)))
            self.assertIn(request.from_.uri_text, side.remote)
            self.assertIn(request.to.uri_text, side.local)
            self.assertEqual(request.values("route"), [])
            reason = parse_reason(request.require("reason"))
            self.assertEqual((reason.protocol, reason.cause, reason.text), ("SIP", 200, "Ended by an administrator"))
            self.assertEqual(request.names.count("via"), 1)
            phone.respond(request, 200)
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assert_silent()

    @conforms("RFC 3261 12.2.1.1")
    def test_the_number_is_above_all_that_came_from_the_other_side(self) -> None:
        calling, called = self.talking()
        for side, other in ((calling, self.bob), (called, self.alice), (calling, self.bob)):
            request = side.send("INFO")
            other.respond(other.request("INFO"), 200)
            side.phone.response(200, "INFO")
            self.assertGreater(request.cseq.number, 1)
        to_alice, to_bob = self.hang_up_both()
        self.assertEqual(to_alice.cseq.number, called.number + 1)
        self.assertEqual(to_bob.cseq.number, calling.number + 1)

    def test_a_number_as_high_as_there_is(self) -> None:
        calling, _ = self.talking()
        self.alice.send(calling.make("INFO", number=2**31 - 1))
        self.bob.respond(self.bob.request("INFO"), 200)
        to_alice, to_bob = self.hang_up_both()
        self.assertEqual((to_alice.cseq.number, to_bob.cseq.number), (1, 2**31 - 1))

    def test_a_phone_that_moved(self) -> None:
        calling, _ = self.talking()
        calling.send("INVITE", "Contact: <sip:alice@192.0.2.11:5060>")
        self.bob.respond(self.bob.request("INVITE"), 200)
        self.alice.response(200)
        moved = Phone(self.board, "192.0.2.11", "alice")
        self.session().caller.flow = None
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.assertEqual(moved.request("BYE").uri_text, "sip:alice@192.0.2.11:5060")

    def test_a_phone_behind_a_nat_is_told_where_it_was_heard(self) -> None:
        self.alice.contact, self.bob.contact = "sip:alice@10.0.0.5:5060", "sip:bob@10.0.0.6:5060"
        self.board.location.flow_failed(self.bob.flow)
        self.bob.register("bob", 20)
        self.talking(None)
        to_alice, to_bob = self.hang_up_both()
        self.assertEqual((to_alice.uri_text, to_bob.uri_text), (self.alice.contact, self.bob.contact))

    def test_over_tcp(self) -> None:
        carol = Phone(self.board, "192.0.2.30", "carol", "TCP")
        self.talking(carol)
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        request = carol.request("BYE")
        self.assertEqual(request.top_via.transport, "TCP")
        carol.respond(request, 200)

    @conforms("RFC 3261 12.1.2")
    def test_a_phone_that_knows_no_tags(self) -> None:
        """RFC 3261 12.1.2."""
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        answer = reply(got, 200)
        answer.add("contact", f"<{self.bob.contact}>")
        self.bob.send(answer)
        self.alice.response(200)
        _, to_bob = self.hang_up_both()
        self.assertEqual((to_bob.to_tag, to_bob.from_tag), ("", got.from_tag))
        self.assertNotIn("tag", to_bob.require("to"))

    def test_a_phone_that_said_nothing_of_where_it_is(self) -> None:
        """The other one is told all the same."""
        for contact in ("", "nonsense", "tel:+123", "sip:somebody@unknown.example"):
            self.talking()
            session = self.session()
            session.caller.contact, session.caller.flow = contact, None
            self.board.sessions.hang_up(session, ADMINISTRATOR)
            self.bob.respond(self.bob.request("BYE"), 200)
            self.board.names.answer()
            self.board.run(1)
            self.assertEqual(self.board.sessions._leaving, {}, contact)
        self.assertEqual(self.board.books.endings, [ENDED] * 4)


class RouteTests(HangUpCase):
    """Proxies in front of us and behind us."""

    @conforms("RFC 3261 12.1.1", "RFC 3261 12.1.2", "RFC 3261 8.1.2", "RFC 3261 12.2.1.1")
    def test_each_bye_goes_along_its_part_of_the_route_set(self) -> None:
        front, edge = Phone(self.board, "192.0.2.50", "front"), Phone(self.board, "192.0.2.60", "edge")
        self.board.location.flow_failed(self.bob.flow)
        self.bob.register("bob", 20, is_at_source=False, path="<sip:192.0.2.60;lr>")
        front.contact = self.alice.contact
        front.ask("INVITE", f"sip:bob@{DOMAIN}", f"Via: SIP/2.0/UDP {self.alice.host};branch=z9hG4bK1", *FRONT)
        got = edge.request("INVITE")
        edge.contact = self.bob.contact
        got.prepend("record-route", "<sip:192.0.2.60;lr>")
        got.prepend("record-route", "<sip:192.0.2.61;lr>")
        edge.respond(got, 200)
        front.response(200)
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        to_caller, to_callee = front.request("BYE"), edge.request("BYE")
        self.assertEqual(to_caller.values("route"), ["<sip:192.0.2.50;lr>", "<sip:192.0.2.51;lr>"])
        self.assertEqual(to_callee.values("route"), ["<sip:192.0.2.60;lr>", "<sip:192.0.2.61;lr>"])
        self.assertEqual((to_caller.uri_text, to_callee.uri_text), (self.alice.contact, self.bob.contact))
        front.respond(to_caller, 200)
        edge.respond(to_callee, 200)
        self.assert_silent()

    def test_which_part_is_whose(self) -> None:
        def is_ours(uri: Uri) -> bool:
            return uri.host == SERVER

        ours, double = f"<sip:{SERVER};lr>", f"<sip:{SERVER};transport=tcp;lr>"
        one, two, three = "<sip:one;lr>", "<sip:two;lr>", "<sip:three;lr>"
        self.assertEqual(routes_beyond([], is_ours), ((), ()))
        self.assertEqual(routes_beyond([ours], is_ours), ((), ()))
        self.assertEqual(routes_beyond([one, two, double, ours, three], is_ours), ((three,), (two, one)))
        self.assertEqual(routes_beyond([ours, one, double, two], is_ours), ((two,), ()))
        # Whoever left out our own value said nothing of the others either.
        self.assertEqual(routes_beyond([one, "<broken", two], is_ours), ((), ()))
        self.assertEqual(routes_beyond(["<broken", ours], is_ours), ((), ("<broken",)))


class GruuTests(HangUpCase):
    """A contact that stands for a phone wherever it is (RFC 5627 6.1)."""

    GRUU = f"sip:bob@{DOMAIN};gr=urn:uuid:1"

    def told(self, stands_for: ProxyTarget | Refusal | None) -> Request:
        """The BYE that Bob gets, whose contact is a GRUU."""
        asked: list[str] = []

        def dereference(uri: Uri) -> ProxyTarget | Refusal | None:
            asked.append(str(uri))
            return stands_for

        self.board.sessions.farewell = ByeBothWays(self.board.sender, self.board.proxy.is_ours, dereference)
        self.talking()
        self.session().callee.contact = self.GRUU
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.alice.respond(self.alice.request("BYE"), 200)
        request = self.bob.request("BYE")
        self.bob.respond(request, 200)
        self.assertEqual(asked, [self.GRUU])
        return request

    @conforms("RFC 5627 6.1")
    def test_the_phone_that_it_stands_for_now(self) -> None:
        where = ProxyTarget(self.bob.contact, Target("UDP", self.bob.host, 5060))
        self.assertEqual(self.told(where).uri_text, self.bob.contact)

    def test_one_that_is_not_valid_any_more(self) -> None:
        """The phone is still where it was heard."""
        self.assertEqual(self.told(Refusal(404)).uri_text, self.GRUU)


class EndingTests(HangUpCase):
    """Why we hang up, and what the books say."""

    def both_hang_up(self) -> list[str | None]:
        """The texts of the reasons."""
        texts = []
        for phone in (self.alice, self.bob):
            request = phone.request("BYE")
            phone.respond(request, 200)
            texts.append(parse_reason(request.require("reason")).text)
        return texts

    @conforms("RFC 4028 8.3")
    def test_the_session_timer(self) -> None:
        self.talking(None, ("session-expires", "1800;refresher=uac"))
        self.board.run(1799 + GRACE)
        self.assertNotIn("BYE", self.alice.titles + self.bob.titles)
        self.board.run(2)
        self.assertEqual(self.both_hang_up(), ["Session expired"] * 2)
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assert_silent()

    def test_the_longest_time_of_a_call(self) -> None:
        self.talking()
        self.board.run(CALL_SECONDS + 1)
        self.assertEqual(self.both_hang_up(), ["Nothing was heard of this call for too long"] * 2)
        self.assertEqual(self.board.books.endings, [ENDED])

    def test_the_longest_time_of_a_call_with_a_longer_timer(self) -> None:
        self.talking(None, ("session-expires", "99999;refresher=uac"))
        self.board.run(CALL_SECONDS + 1)
        self.assertEqual(self.both_hang_up(), ["Nothing was heard of this call for too long"] * 2)

    def test_the_books_are_closed_at_once(self) -> None:
        self.talking()
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assertEqual(self.board.changed[-1][1], "terminated")

    def test_once_is_enough(self) -> None:
        self.talking()
        session = self.session()
        for _ in range(3):
            self.board.sessions.hang_up(session, ADMINISTRATOR)
        self.board.run()
        self.assertEqual((self.alice.titles.count("BYE"), self.bob.titles.count("BYE")), (1, 1))
        self.board.sessions.ended(session, "caller")
        self.assertEqual(session.ended_by, "system")
        self.assertEqual(self.board.books.endings, [ENDED])

    def test_two_dialogs_of_one_call(self) -> None:
        """Each is hung up on by itself; the call is over with the last."""
        second = Phone(self.board, "192.0.2.21", "bob")
        second.register("bob", 20)
        self.alice.ask("INVITE")
        first, other = self.bob.request("INVITE"), second.request("INVITE")
        self.bob.respond(first, 200)
        second.respond(other, 200)
        self.board.run()
        self.assertEqual(len(list(self.board.sessions)), 2)
        for session in self.board.sessions:
            self.assertEqual(self.board.books.endings, [])
            self.board.sessions.hang_up(session, ADMINISTRATOR)
        self.assertEqual(self.board.books.endings, [ENDED])
        for phone in (self.bob, second):
            phone.respond(phone.request("BYE"), 200)
        tags = {self.alice.request("BYE").from_tag for _ in range(2)}
        self.assertEqual(len(tags), 2)

    def test_what_only_rings_is_refused_and_cancelled(self) -> None:
        _, got = self.ringing()
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.assertIn("Ended by an administrator", self.alice.response(503).require("warning"))
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.assertEqual(self.board.books.endings, [("failed", 503, "system")])


class AnswerTests(HangUpCase):
    """What the phones say to it, if anything."""

    def test_whatever_is_answered(self) -> None:
        for alice, bob in ((200, 481), (481, 408), (500, 401), (603, 200)):
            self.talking()
            to_alice, to_bob = self.hang_up_both()
            self.alice.respond(to_alice, alice)
            self.bob.respond(to_bob, bob)
            self.board.run(1)
            self.assert_silent()
        self.assertEqual(self.board.books.endings, [ENDED] * 4)

    def test_nothing_is_answered(self) -> None:
        """The BYE is repeated for 32 s (RFC 3261 17.1.2.2), and then that is that."""
        self.talking()
        self.hang_up_both()
        self.board.run(20)
        self.assertEqual(len(self.board.sessions._leaving), 1)
        self.assertGreater(self.board.network.titles().count("BYE"), 10)
        self.board.run(20)
        self.assert_silent()

    def test_one_phone_is_gone(self) -> None:
        self.talking()
        self.board.network.detach(self.alice.transport)
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.board.run(40)
        self.assert_silent()

    def test_a_connection_that_is_gone(self) -> None:
        carol = Phone(self.board, "192.0.2.30", "carol", "TCP")
        self.talking(carol)
        self.board.network.detach(carol.transport)
        carol.flow.fail("gone")
        self.board.run()
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.board.run(1)
        self.assert_silent()


class GlareTests(HangUpCase):
    """A phone hangs up while we do."""

    trusted: ClassVar[Sequence[str]] = ()

    def talking_signed(self) -> tuple[Dialog, Dialog]:
        sent = self.alice.ask("INVITE", from_user="alice-desk")
        challenge = self.alice.response(407)
        self.alice.send(self.alice.make("ACK", branch=sent.top_via.branch, to=challenge.require("to")))
        again = self.alice.again(sent, challenge, username="alice-desk")
        got = self.bob.request("INVITE")
        answer = self.bob.respond(got, 200)
        calling = Dialog(self.alice, again, self.alice.response(200), is_caller=True)
        calling.number = again.cseq.number
        calling.send("ACK")
        self.bob.request("ACK")
        return calling, Dialog(self.bob, got, answer, is_caller=False)

    def one_hangs_up_too(self, side: Dialog, other: Phone) -> None:
        """Its BYE goes through, unchallenged; whoever was told before says 481 to it."""
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        side.send("BYE")
        first, second = other.request("BYE"), other.request("BYE")
        other.respond(first, 200)
        other.respond(second, 481)
        side.phone.response(481, "BYE")
        side.phone.respond(side.phone.request("BYE"), 200)
        self.board.run(1)
        self.assert_silent()
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assertEqual([state for _, state in self.board.changed].count("terminated"), 1)

    @conforms("RFC 3261 15.1.2")
    def test_the_caller_hangs_up_too(self) -> None:
        calling, _ = self.talking_signed()
        self.one_hangs_up_too(calling, self.bob)

    @conforms("RFC 3261 15.1.2")
    def test_the_callee_hangs_up_too(self) -> None:
        _, called = self.talking_signed()
        self.one_hangs_up_too(called, self.alice)

    def test_both_hang_up_too(self) -> None:
        calling, called = self.talking_signed()
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        calling.send("BYE")
        called.send("BYE")
        for phone in (self.alice, self.bob):
            for _ in range(2):
                phone.respond(phone.request("BYE"), 200)
        for phone in (self.alice, self.bob):
            phone.response(200, "BYE")
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assert_silent()

    def test_the_phone_was_first(self) -> None:
        """Its BYE has no answer yet when we hang up: both go through, and who closed the books first is in them."""
        calling, _ = self.talking_signed()
        calling.send("BYE")
        to_bob = self.bob.request("BYE")
        self.board.sessions.hang_up(self.session(), ADMINISTRATOR)
        self.bob.respond(to_bob, 200)
        self.bob.respond(self.bob.request("BYE"), 481)
        self.alice.response(200, "BYE")
        self.alice.respond(self.alice.request("BYE"), 481)
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assert_silent()


class StopTests(HangUpCase):
    """`hang_up_all`."""

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.board.sessions.hang_up_all(STOPPING))

    def test_nobody_talks(self) -> None:
        self.successResultOf(self.stop())

    def test_it_waits_for_the_answers(self) -> None:
        self.talking()
        stopped = self.stop()
        for phone in (self.alice, self.bob):
            self.assertNoResult(stopped)
            request = phone.request("BYE")
            self.assertIn("stopping", request.require("reason"))
            phone.respond(request, 200)
        self.board.run()
        self.successResultOf(stopped)
        self.assertEqual(self.board.books.endings, [ENDED])
        self.assert_silent()

    def test_but_not_for_long(self) -> None:
        self.talking()
        stopped = self.stop()
        self.board.run(1.9)
        self.assertNoResult(stopped)
        self.board.run(0.2)
        self.successResultOf(stopped)
        self.board.sessions.close("The server is stopping")
        self.board.run(40)
        self.assert_silent()

    def test_whoever_rings_is_told(self) -> None:
        _, got = self.ringing()
        self.successResultOf(self.stop())
        self.assertIn("stopping", self.alice.response(503).require("warning"))
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)

    def test_many(self) -> None:
        """Not all in one turn of the reactor, and each exactly once."""
        for _ in range(250):
            self.alice.ask("INVITE")
        self.board.run()
        for got in [message for message in self.bob.heard if isinstance(message, Request)]:
            self.bob.respond(got, 200)
        self.board.run()
        self.assertEqual(self.board.gauges()[:3], (250, 250, 250))
        stopped = self.stop()
        self.assertEqual(self.board.gauges()[0], 150)
        self.board.run(3)
        self.successResultOf(stopped)
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))
        byes = {
            message.call_id for message in self.bob.heard if isinstance(message, Request) if message.method == "BYE"
        }
        self.assertEqual(len(byes), 250)
        self.assertEqual(self.board.books.endings, [ENDED] * 250)


FRONT = ("Record-Route: <sip:192.0.2.50;lr>", "Record-Route: <sip:192.0.2.51;lr>")


def tag(value: str) -> str:
    return value.partition(";tag=")[2]


class SilentTests(SynchronousTestCase):
    def test_reasons_can_be_read_back(self) -> None:
        for reason in (ADMINISTRATOR, STOPPING):
            self.assertEqual(parse_reason(str(reason)), reason)
