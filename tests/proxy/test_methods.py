"""Each method through the proxy, in and out of dialogs and both ways: only what each hop changes is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gosip_py.sip.message import Message, Request, Response
from tests.conformance import conforms
from tests.proxy.switchboard import Dialog, Phone, SwitchboardCase

OCTETS = bytes(range(256)) + b"\r\n\r\n\xff"
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\n"
# What the proxy may change on the way (RFC 3261 16.6, 16.7, RFC 5393 5.3).
HOPS = frozenset(("via", "max-breadth", "max-forwards", "record-route", "route"))


def end_to_end(message: Message) -> list[str]:
    """The header lines that are between the two ends."""
    return [line for name, line in zip(message.names, message.lines, strict=True) if name not in HOPS]


class MethodCase(SwitchboardCase):
    """Alice and Bob, who speak ``via`` the same transport."""

    via: ClassVar[str] = "UDP"

    def setUp(self) -> None:
        super().setUp()
        self.alice = Phone(self.board, "192.0.2.11", "alice", self.via)
        self.bob = Phone(self.board, "192.0.2.22", "bob", self.via)
        for contact in self.board.location.lookup("sip:200@example.com", self.board.now()):
            self.board.location.remove(contact, "replaced", self.board.now())
        self.bob.register("200", 20)

    def carried(self, sent: Request, phone: Phone) -> Request:
        """The request as it arrives at a phone; only what belongs to a hop was changed."""
        got = phone.request(sent.method)
        self.assertEqual(end_to_end(got), end_to_end(sent))
        self.assertEqual(got.body, sent.body)
        self.assertEqual((len(got.values("via")), got.value("max-forwards")), (2, "69"))
        self.assertEqual(got.values("route"), [])
        return got

    def answered(self, got: Request, by: Phone, to: Phone, status: int, *more: tuple[str, str]) -> Response:
        """The answer as it arrives where the request came from."""
        said = by.respond(got, status, *more)
        heard = to.response(status, got.method)
        self.assertEqual(end_to_end(heard), end_to_end(said))
        self.assertEqual(len(heard.values("via")), 1)
        return heard

    def pass_through(self, side: Dialog, other: Dialog, method: str, *more: str, body: bytes = OCTETS) -> None:
        """A request within a dialog with its answer."""
        request = side.make(method, *more)
        request.set_body(body, "application/octet-stream")
        side.phone.send(request)
        got = self.carried(request, other.phone)
        self.assertEqual((got.call_id, got.from_tag, got.to_tag), (request.call_id, request.from_tag, request.to_tag))
        self.answered(got, other.phone, side.phone, 200, ("x-answer", "1"))

    def subscribed(self, sent: Request, got: Request) -> tuple[Dialog, Dialog]:
        """Both sides of the dialog that a SUBSCRIBE or REFER made, its 202 sent."""
        self.assertNotEqual(got.values("record-route"), [])
        answer = self.bob.respond(got, 202, ("expires", "60"))
        heard = self.alice.response(202, got.method)
        return Dialog(self.alice, sent, heard, is_caller=True), Dialog(self.bob, got, answer, is_caller=False)

    def notify(self, side: Dialog, other: Dialog, state: str, *more: str) -> None:
        self.pass_through(side, other, "NOTIFY", f"Subscription-State: {state}", *more)


class InDialogTests(MethodCase):
    """Requests of either side, once there is a call."""

    def in_both_directions(self, method: str, *more: str) -> None:
        calling, called = self.talking()
        for _ in range(2):
            self.pass_through(calling, called, method, *more)
            self.pass_through(called, calling, method, *more)
        self.assertEqual(len(list(self.board.sessions)), 1)
        self.hang_up(calling, self.bob)
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    @conforms("RFC 6086 4.2.1", "RFC 3261 12.2")
    def test_info(self) -> None:
        self.in_both_directions("INFO", "Info-Package: dtmf", "Content-Disposition: Info-Package")

    @conforms("RFC 3311 5.1", "RFC 3311 5.2")
    def test_update(self) -> None:
        self.in_both_directions("UPDATE", "Supported: timer")

    @conforms("RFC 3515 2.6")
    def test_refer(self) -> None:
        self.in_both_directions(
            "REFER", "Refer-To: <sip:carol@example.com?Replaces=a%3Bto-tag%3Db>", "Refer-Sub: false"
        )

    @conforms("RFC 3428 4")
    def test_message(self) -> None:
        self.in_both_directions("MESSAGE", "Subject: x")

    @conforms("RFC 6665 4.3")
    def test_subscribe(self) -> None:
        self.in_both_directions("SUBSCRIBE", "Event: conference", "Expires: 60")

    @conforms("RFC 6665 4.3")
    def test_notify(self) -> None:
        self.in_both_directions("NOTIFY", "Event: conference", "Subscription-State: active")

    @conforms("RFC 3261 11.2")
    def test_options(self) -> None:
        self.in_both_directions("OPTIONS", "Accept: application/sdp")

    @conforms("RFC 3261 16.3")
    def test_a_method_that_nobody_knows(self) -> None:
        self.in_both_directions("DANCE", "Step: left", "Require: feet")

    def test_publish(self) -> None:
        self.in_both_directions("PUBLISH", "Event: x")

    @conforms("RFC 3311 5.3")
    def test_what_the_other_side_refuses(self) -> None:
        calling, called = self.talking()
        for method, status in (("INFO", 469), ("UPDATE", 504), ("DANCE", 405), ("REFER", 603), ("OPTIONS", 420)):
            request = calling.send(method)
            got = self.carried(request, self.bob)
            self.answered(got, self.bob, self.alice, status, ("allow", "INVITE"), ("x-why", "no"))
        self.hang_up(calling, self.bob)
        self.assertEqual(called.call_id, calling.call_id)

    def test_a_challenge_of_the_other_side(self) -> None:
        """22.3: credentials for the other end travel on."""
        calling, _ = self.talking()
        refused = calling.send("INFO")
        got = self.carried(refused, self.bob)
        challenge = ("www-authenticate", 'Digest realm="bob", nonce="n", qop="auth"')
        heard = self.answered(got, self.bob, self.alice, 401, challenge)
        calling.number += 1
        repeated = self.alice.again(refused, heard, username="alice")
        got = self.carried(repeated, self.bob)
        self.assertIn('realm="bob"', got.require("authorization"))
        self.answered(got, self.bob, self.alice, 200)
        self.hang_up(calling, self.bob)

    @conforms("RFC 3311 5.1", "RFC 3261 12.2.1.2")
    def test_an_update_moves_the_target(self) -> None:
        """A phone that sends to our address instead of the target is understood with the new one."""
        calling, _ = self.talking()
        new = "sip:alice@192.0.2.11:5060;moved=yes" + (";transport=tcp" if self.via == "TCP" else "")
        update = calling.make("UPDATE", f"Contact: <{new}>")
        self.alice.send(update)
        self.answered(self.carried(update, self.bob), self.bob, self.alice, 200)
        (session,) = self.board.sessions
        self.assertEqual((session.caller.contact, session.callee.contact), (new, self.bob.contact))
        self.hang_up(calling, self.bob)


class InDialogOverTcpTests(InDialogTests):
    via = "TCP"


class EarlyDialogTests(MethodCase):
    """Requests before the call is answered."""

    def early(self, *more: str) -> tuple[Dialog, Dialog, Request]:
        """A call with an early dialog, made by a reliable provisional response; and the INVITE as Bob got it."""
        sent = self.alice.ask("INVITE", "sip:bob@example.com", "Supported: 100rel", *more)
        got = self.carried(sent, self.bob)
        self.assertTrue(got.has_token("supported", "100rel"))
        said = self.bob.respond(got, 183, ("require", "100rel"), ("rseq", "988789"))
        heard = self.alice.response(183)
        self.assertEqual((heard.value("rseq"), heard.value("require")), ("988789", "100rel"))
        self.assertEqual(heard.values("record-route"), said.values("record-route"))
        calling = Dialog(self.alice, sent, heard, is_caller=True)
        return calling, Dialog(self.bob, got, said, is_caller=False), got

    def answer(self, calling: Dialog, got: Request) -> None:
        self.bob.respond(got, 200)
        self.alice.response(200)
        calling.phone.send(calling.make("ACK", number=1))
        self.bob.request("ACK")

    @conforms("RFC 3262 3", "RFC 3262 4")
    def test_prack(self) -> None:
        calling, called, got = self.early()
        self.pass_through(calling, called, "PRACK", "RAck: 988789 1 INVITE", body=SDP)
        self.bob.respond(got, 180, ("require", "100rel"), ("rseq", "988790"))
        self.assertEqual(self.alice.response(180).value("rseq"), "988790")
        self.pass_through(calling, called, "PRACK", "RAck: 988790 1 INVITE", body=b"")
        self.answer(calling, got)
        self.hang_up(calling, self.bob)
        self.assertEqual(self.board.books.endings, [("answered", 200, "caller")])

    @conforms("RFC 3262 3")
    def test_a_reliable_response_that_is_repeated_is_passed_on_each_time(self) -> None:
        """It is the callee that repeats it until the PRACK comes, end to end."""
        _, _, got = self.early()
        for _ in range(3):
            self.bob.respond(got, 183, ("require", "100rel"), ("rseq", "988789"))
            self.assertEqual(self.alice.response(183).value("rseq"), "988789")
        self.bob.respond(got, 486)
        self.alice.response(486)

    @conforms("RFC 3262 3")
    def test_a_prack_that_matches_nothing_is_refused_by_the_callee(self) -> None:
        calling, _, got = self.early()
        prack = calling.send("PRACK", "RAck: 1 1 INVITE")
        self.answered(self.carried(prack, self.bob), self.bob, self.alice, 481)
        self.bob.respond(got, 486)
        self.alice.response(486)
        self.assertEqual(self.board.books.endings, [("rejected", 486, "callee")])

    @conforms("RFC 3311 5.1", "RFC 3311 5.2")
    def test_update_before_the_answer(self) -> None:
        calling, called, got = self.early()
        self.pass_through(calling, called, "PRACK", "RAck: 988789 1 INVITE")
        self.pass_through(calling, called, "UPDATE", body=SDP)
        self.pass_through(called, calling, "UPDATE", body=SDP)
        self.answer(calling, got)
        self.hang_up(calling, self.bob)

    @conforms("RFC 6086 4.2.1")
    def test_info_before_the_answer(self) -> None:
        calling, called, got = self.early()
        self.pass_through(calling, called, "INFO", "Info-Package: x")
        self.pass_through(called, calling, "INFO", "Info-Package: x")
        self.bob.respond(got, 603)
        self.alice.response(603)

    @conforms("RFC 3262 3", "RFC 3261 16.7")
    def test_each_fork_has_its_own(self) -> None:
        other = Phone(self.board, "192.0.2.23", "bob", self.via)
        other.register("bob", 20)
        calling, called, got = self.early()
        second = other.request("INVITE")
        said = other.respond(second, 183, ("require", "100rel"), ("rseq", "1"))
        sent = self.alice.response(183)
        forked = Dialog(self.alice, second, sent, is_caller=True)
        self.assertNotEqual(forked.remote, calling.remote)
        forked.target, forked.routes = sent.addresses("contact")[0].uri_text, sent.values("record-route")[::-1]
        self.pass_through(forked, Dialog(other, second, said, is_caller=False), "PRACK", "RAck: 1 1 INVITE")
        self.pass_through(calling, called, "PRACK", "RAck: 988789 1 INVITE")
        self.answer(calling, got)
        other.respond(other.request("CANCEL"), 200)
        other.respond(second, 487)
        self.hang_up(calling, self.bob)


class EarlyDialogOverTcpTests(EarlyDialogTests):
    via = "TCP"


class OutOfDialogTests(MethodCase):
    """Requests that belong to no call."""

    @conforms("RFC 3261 11", "RFC 3261 16.6")
    def test_options_for_a_phone(self) -> None:
        request = self.alice.ask("OPTIONS", "sip:bob@example.com", "Accept: application/sdp")
        got = self.carried(request, self.bob)
        self.assertEqual((got.uri_text, got.values("record-route")), (self.bob.contact, []))
        heard = self.answered(got, self.bob, self.alice, 200, ("allow", "INVITE, FOO"), ("supported", "100rel"))
        self.assertEqual(heard.value("allow"), "INVITE, FOO")

    @conforms("RFC 3261 16.3")
    def test_a_method_that_nobody_knows(self) -> None:
        request = self.alice.make("DANCE", "sip:bob@example.com", "Step: left", "Require: feet")
        request.set_body(OCTETS, "application/x")
        self.alice.send(request)
        self.answered(self.carried(request, self.bob), self.bob, self.alice, 299, ("x-danced", "yes"))

    @conforms("RFC 3261 8.2.1")
    def test_a_method_that_the_server_itself_does_not_serve(self) -> None:
        for method in ("DANCE", "REFER", "MESSAGE"):
            self.alice.ask(method, "sip:example.com")
            self.assertIn("OPTIONS", self.alice.response(405, method).require("allow"))

    def test_for_nobody_and_for_somebody_who_is_away(self) -> None:
        for method in ("DANCE", "OPTIONS", "REFER"):
            self.alice.ask(method, "sip:nobody@example.com")
            self.alice.response(404, method)
            self.alice.ask(method, "sip:carol@example.com")
            self.alice.response(480, method)

    @conforms("RFC 3261 15.1.2", "RFC 3262 3", "RFC 3311 5.2", "RFC 6086 4.2.1", "RFC 6665 4.1.3")
    def test_what_belongs_to_a_dialog_and_names_none(self) -> None:
        for method in ("BYE", "PRACK", "UPDATE", "INFO", "NOTIFY"):
            self.alice.ask(method)
            self.assertIn("dialog", self.alice.response(481, method).require("warning"))
        self.assertEqual(self.bob.titles, [])

    @conforms("RFC 3261 12.2.2")
    def test_what_names_a_dialog_that_there_is_not(self) -> None:
        for method in ("BYE", "PRACK", "UPDATE", "INFO", "NOTIFY", "REFER", "MESSAGE", "SUBSCRIBE", "DANCE", "INVITE"):
            self.alice.ask(method, "sip:bob@example.com", to="<sip:bob@example.com>;tag=gone")
            self.assertIn("no such dialog", self.alice.response(481, method).require("warning"))
        self.assertEqual(self.bob.titles, [])

    @conforms("RFC 6665 4.3")
    def test_a_subscription_between_phones(self) -> None:
        sent = self.alice.ask("SUBSCRIBE", "sip:bob@example.com", "Event: x-weather", "Expires: 60")
        watching, watched = self.subscribed(sent, self.carried(sent, self.bob))
        self.notify(watched, watching, "active;expires=60", "Event: x-weather")
        self.pass_through(watching, watched, "SUBSCRIBE", "Event: x-weather", "Expires: 60")
        self.notify(watched, watching, "active;expires=60", "Event: x-weather")
        self.pass_through(watching, watched, "SUBSCRIBE", "Event: x-weather", "Expires: 0")
        self.notify(watched, watching, "terminated;reason=timeout", "Event: x-weather")
        self.assertEqual(list(self.board.sessions), [])

    @conforms("RFC 6665 4.3")
    def test_the_notify_records_its_route(self) -> None:
        """It may be here before the 202, and then makes the dialog (RFC 6665 4.1.2.4)."""
        sent = self.alice.ask("SUBSCRIBE", "sip:bob@example.com", "Event: x-weather", "Expires: 60")
        got = self.carried(sent, self.bob)
        answer = self.bob.respond(got, 202)
        self.alice.response(202, "SUBSCRIBE")
        watched = Dialog(self.bob, got, answer, is_caller=False)
        notify = watched.make("NOTIFY", "Event: x-weather", "Subscription-State: active")
        self.bob.send(notify)
        heard = self.carried(notify, self.alice)
        self.assertEqual(len(heard.values("record-route")), 1)
        self.answered(heard, self.alice, self.bob, 200)

    @conforms("RFC 3515 2.6", "RFC 6665 4.3")
    def test_refer_and_its_notifies(self) -> None:
        sent = self.alice.ask(
            "REFER", "sip:bob@example.com", "Refer-To: <sip:carol@example.com>", "Referred-By: <sip:a@b>"
        )
        referring, referred = self.subscribed(sent, self.carried(sent, self.bob))
        for state in ("active;expires=60", "terminated;reason=noresource"):
            self.notify(referred, referring, state, "Event: refer", "Content-Type: message/sipfrag;version=2.0")
        self.assertEqual(list(self.board.sessions), [])

    @conforms("RFC 3891 3", "RFC 3891 4", "RFC 3891 5", "RFC 3891 6.2")
    def test_replaces_passes_untouched(self) -> None:
        """Who is replaced is the callee's matter; to us it is a call like any other."""
        replaces = "Replaces: 98732@sip.example.com;from-tag=r33th4x0r ; to-tag=ff87ff;early-only"
        sent = self.alice.ask("INVITE", "sip:bob@example.com", replaces, "Require: replaces", "Supported: replaces")
        got = self.carried(sent, self.bob)
        answer = self.bob.respond(got, 200)
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        calling.send("ACK")
        self.bob.request("ACK")
        self.hang_up(Dialog(self.bob, got, answer, is_caller=False), self.alice)
        self.assertEqual(self.board.books.endings, [("answered", 200, "callee")])

    @conforms("RFC 3891 3", "RFC 3891 5", "RFC 3891 6.2")
    def test_replaces_that_the_callee_does_not_know(self) -> None:
        sent = self.alice.ask(
            "INVITE", "sip:bob@example.com", "Replaces: gone;from-tag=a;to-tag=b", "Require: replaces"
        )
        got = self.carried(sent, self.bob)
        self.bob.respond(got, 481)
        self.alice.response(481)
        self.assertEqual(self.board.books.endings, [("failed", 481, "callee")])

    def test_join_passes_untouched(self) -> None:
        sent = self.alice.ask("INVITE", "sip:bob@example.com", "Join: 1@x;from-tag=a;to-tag=b", "Require: join")
        self.bob.respond(self.carried(sent, self.bob), 488)
        self.alice.response(488)


class OutOfDialogOverTcpTests(OutOfDialogTests):
    via = "TCP"


class ChallengedTests(MethodCase):
    """Nobody is trusted: what starts something, or belongs to no call that we know, needs credentials."""

    trusted: ClassVar[Sequence[str]] = ()

    def setUp(self) -> None:
        super().setUp()
        self.desk = Phone(self.board, "192.0.2.15", "alice-desk")
        self.board.run()

    @conforms("RFC 3261 22.3")
    def test_each_method(self) -> None:
        for method in ("OPTIONS", "REFER", "SUBSCRIBE", "DANCE"):
            refused = self.desk.ask(method, "sip:bob@example.com", "Event: x-weather", "Refer-To: <sip:c@d>")
            self.desk.again(refused, self.desk.response(407, method))
            got = self.bob.request(method)
            self.assertNotIn("proxy-authorization", got.names)
            self.bob.respond(got, 200)
            self.desk.response(200, method)

    @conforms("RFC 3261 22.3", "RFC 6665 4.3")
    def test_a_notify_to_another_contact(self) -> None:
        """Whoever subscribed did not ask for that: the notifier says who it is."""
        refused = self.desk.ask("SUBSCRIBE", "sip:bob@example.com", "Event: x-weather")
        sent = self.desk.again(refused, self.desk.response(407, "SUBSCRIBE"))
        got = self.bob.request("SUBSCRIBE")
        answer = self.bob.respond(got, 202)
        self.desk.response(202, "SUBSCRIBE")
        watched = Dialog(self.bob, got, answer, is_caller=False)
        watched.target += ";transport=udp"
        notify = watched.make("NOTIFY", "Event: x-weather", "Subscription-State: active")
        self.bob.send(notify)
        self.bob.again(notify, self.bob.response(407, "NOTIFY"), username="200")
        heard = self.desk.request("NOTIFY")
        self.assertEqual((heard.call_id, heard.to_tag), (sent.call_id, sent.from_tag))
        self.desk.respond(heard, 200)
        self.bob.response(200, "NOTIFY")

    def test_within_a_call_nobody_is_asked(self) -> None:
        refused = self.desk.ask("INVITE")
        sent = self.desk.again(refused, self.desk.response(407))
        self.bob.respond(got := self.bob.request("INVITE"), 200)
        calling = Dialog(self.desk, sent, self.desk.response(200), is_caller=True)
        calling.send("ACK")
        for method in ("INFO", "UPDATE", "REFER", "MESSAGE", "DANCE", "OPTIONS"):
            calling.send(method)
            self.bob.respond(self.bob.request(method), 200)
            self.desk.response(200, method)
        self.assertEqual(got.call_id, calling.call_id)
        self.hang_up(calling, self.bob)
