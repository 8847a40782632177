"""Calls and sessions: one ending for each call, whatever ends it, and no session left over (RFC 3261 12, RFC 4028)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.events import CallEnded
from gosip_py.proxy.dialog import contact_of
from gosip_py.proxy.session import STOPPING
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from tests.conformance import conforms
from tests.proxy.switchboard import CALL_SECONDS, GRACE, Dialog, Phone, SwitchboardCase
from tests.transaction.fakes import request

ANSWERED = ("answered", 200, "caller")


class EventTests(SwitchboardCase):
    """What the bus hears."""

    @conforms("RFC 3261 12.1")
    def test_an_answered_call(self) -> None:
        sent, got = self.ringing()
        self.board.run(10)
        self.bob.respond(got, 180)
        self.bob.respond(got, 200, tag="callee-tag")
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        self.board.run(60)
        self.hang_up(calling, self.bob)
        books = self.board.books
        (started,), (ringing,), (answered,), (ended,) = (
            books.started.values(),
            books.ringing,
            books.answered,
            books.ended,
        )
        self.assertEqual({started.id, ringing.id, answered.id, ended.id}, {started.id})
        self.assertEqual((started.call_id, started.from_tag), (sent.call_id, sent.from_tag))
        self.assertEqual(started.init_branch, sent.top_via.branch)
        self.assertEqual((started.caller_uri, started.callee_uri), ("sip:alice@example.com", "sip:bob@example.com"))
        self.assertEqual((ringing.code, answered.code, answered.to_tag), (180, 200, "callee-tag"))
        self.assertLess(abs(ringing.at - started.at), 0.5)
        self.assertTrue(10 < answered.at - ringing.at < 10.5)
        self.assertTrue(60 < ended.at - answered.at < 60.5)
        self.assertEqual(books.endings, [ANSWERED])

    def test_the_metrics(self) -> None:
        calling, _ = self.talking()
        self.assertEqual(self.board.gauges()[:3], (1, 1, 1))
        self.hang_up(calling, self.bob)
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))
        self.assertEqual(self.board.metrics.calls_total.child("internal", "answered").value, 1)
        self.assertEqual(self.board.metrics.call_setup_seconds.child().cumulated()[-1][1], 1)

    def test_ids_are_in_the_order_of_time(self) -> None:
        for _ in range(3):
            _, got = self.ringing()
            self.bob.respond(got, 486)
            self.board.run(1)
        ids = list(self.board.books.started)
        self.assertEqual(ids, sorted(ids))

    def test_each_result(self) -> None:
        results = {
            302: "redirected", 403: "rejected", 404: "failed", 408: "no_answer", 480: "no_answer", 486: "rejected",
            488: "rejected", 500: "failed", 600: "rejected", 603: "rejected", 606: "rejected",
        }  # fmt: skip
        for status, result in results.items():
            _, got = self.ringing()
            self.bob.respond(got, status)
            self.alice.response(status)
            self.assertEqual(self.board.books.endings.pop(), (result, status, "callee"))


class ForkTests(SwitchboardCase):
    """Several phones make several sessions of one call."""

    def setUp(self) -> None:
        super().setUp()
        self.second = Phone(self.board, "192.0.2.21", "bob")
        self.second.register("bob", 20)

    def ringing_both(self) -> tuple[Request, Request, Request]:
        sent = self.alice.ask("INVITE")
        got = [phone.request("INVITE") for phone in (self.bob, self.second)]
        for phone, each in zip((self.bob, self.second), got, strict=True):
            phone.respond(each, 180)
            self.alice.response(180)
        return sent, got[0], got[1]

    def answer(self, phone: Phone, got: Request, sent: Request) -> Dialog:
        phone.respond(got, 200)
        return Dialog(self.alice, sent, self.alice.response(200), is_caller=True)

    @conforms("RFC 3261 12.1", "RFC 3261 12.3", "RFC 3261 13.2.2.1", "RFC 3261 13.2.2.3", "RFC 3261 15")
    def test_each_phone_that_rings_has_an_early_session(self) -> None:
        _, first, second = self.ringing_both()
        self.assertEqual([session.state for session in self.board.sessions], ["early", "early"])
        self.assertEqual(self.board.gauges()[:3], (0, 2, 1))
        self.bob.respond(first, 486)
        self.second.respond(second, 486)
        self.board.run()
        self.assertEqual(list(self.board.sessions), [])

    def test_those_of_the_losers_go_when_one_answers(self) -> None:
        sent, first, second = self.ringing_both()
        calling = self.answer(self.second, second, sent)
        (session,) = self.board.sessions
        self.assertEqual((session.state, session.callee.contact), ("active", self.second.contact))
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(first, 487)
        self.hang_up(calling, self.second)
        self.assertEqual(self.board.books.endings, [ANSWERED])

    @conforms("RFC 3261 13.2.2.4")
    def test_two_answer_and_the_call_ends_with_the_last(self) -> None:
        """13.2.2.4: each 2xx is a dialog of its own, and the caller hangs up on the second."""
        sent, first, second = self.ringing_both()
        calls = [self.answer(self.bob, first, sent), self.answer(self.second, second, sent)]
        self.assertEqual(self.board.gauges()[:3], (2, 2, 1))
        self.assertEqual(len(self.board.books.answered), 1)
        self.hang_up(calls[1], self.second)
        self.assertEqual(self.board.gauges()[:3], (1, 1, 1))
        self.assertEqual(self.board.books.ended, [])
        self.hang_up(calls[0], self.bob)
        self.assertEqual(self.board.books.endings, [ANSWERED])

    def test_a_repeated_2xx_does_not_bring_an_ended_session_back(self) -> None:
        sent, first, second = self.ringing_both()
        calls = [self.answer(self.bob, first, sent), self.answer(self.second, second, sent)]
        self.hang_up(calls[1], self.second)
        self.second.respond(second, 200)
        self.alice.response(200)
        self.assertEqual(self.board.gauges()[:3], (1, 1, 1))
        self.hang_up(calls[0], self.bob)
        self.second.respond(second, 200)
        self.board.run()
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))

    @conforms("RFC 3261 13.2.2.1", "RFC 3261 12.1")
    def test_one_phone_with_several_tags(self) -> None:
        """A proxy behind us forked: one branch of ours, two dialogs."""
        sent = self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        for tag in ("one", "two"):
            self.bob.respond(got, 183, tag=tag)
            self.alice.response(183)
        self.assertEqual(len(self.board.books.ringing), 1)
        self.assertEqual(self.board.gauges()[:3], (0, 2, 1))
        self.bob.respond(got, 200, tag="two")
        calling = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        self.assertEqual(self.board.gauges()[:3], (1, 1, 1))
        self.hang_up(calling, self.bob)


class SpiralTests(SwitchboardCase):
    """An INVITE that comes back to us by way of another proxy, with another target: two calls, and one dialog."""

    def setUp(self) -> None:
        super().setUp()
        self.carol = Phone(self.board, "192.0.2.30", "carol")
        self.carol.register("carol", 30)

    def forward(self, got: Request) -> None:
        """Bob's phone is that proxy."""
        again = got.copy()
        again.set_uri("sip:carol@example.com")
        again.push_via(f"SIP/2.0/UDP {self.bob.host}:5060;branch=z9hG4bK{got.top_via.branch[-8:]}")
        self.bob.send(again)

    def back(self, status: int) -> None:
        response = self.bob.response(status)
        response.pop_value("via")
        self.bob.send(response)

    def spiral(self) -> Dialog:
        """Alice's side of the call that Carol answered."""
        sent = self.alice.ask("INVITE")
        self.forward(self.bob.request("INVITE"))
        got = self.carol.request("INVITE")
        self.assertEqual(self.board.sessions.calls, 2)
        self.carol.respond(got, 180)
        self.back(180)
        self.alice.response(180)
        self.carol.respond(got, 200)
        self.back(200)
        return Dialog(self.alice, sent, self.alice.response(200), is_caller=True)

    @conforms("RFC 3261 16.3")
    def test_both_calls_are_answered_and_end_with_the_dialog(self) -> None:
        calling = self.spiral()
        self.assertEqual(self.board.gauges()[:3], (1, 1, 2))
        self.assertEqual(len({event.id for event in self.board.books.answered}), 2)
        self.hang_up(calling, self.carol)
        self.assertEqual(self.board.books.endings, [ANSWERED, ANSWERED])

    def test_hanging_up_on_both_sides(self) -> None:
        """The caller is reached where it was heard the first time."""
        self.alice.contact = "sip:alice@10.0.0.5:5060"
        self.spiral()
        (session,) = self.board.sessions
        self.board.sessions.hang_up(session, STOPPING)
        for phone in (self.alice, self.carol):
            phone.respond(phone.request("BYE"), 200)
        self.assertEqual(self.board.books.endings, [("answered", 200, "system")] * 2)

    def test_a_call_goes_on_while_another_dialog_of_it_does(self) -> None:
        """The first fork went round by way of Bob's proxy, the second is a phone of his own."""
        second = Phone(self.board, "192.0.2.21", "bob")
        second.register("bob", 20)
        sent = self.alice.ask("INVITE")
        self.forward(self.bob.request("INVITE"))
        self.carol.respond(self.carol.request("INVITE"), 200)
        other = second.request("INVITE")
        second.respond(other, 200)
        ended = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        self.back(200)
        spiralled = Dialog(self.alice, sent, self.alice.response(200), is_caller=True)
        self.hang_up(ended, second)
        self.assertEqual((self.board.books.ended, self.board.sessions.calls), ([], 2))
        self.hang_up(spiralled, self.carol)
        self.assertEqual(self.board.books.endings, [ANSWERED, ANSWERED])

    def test_it_is_refused(self) -> None:
        self.alice.ask("INVITE")
        self.forward(self.bob.request("INVITE"))
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.back(486)
        self.alice.response(486)
        self.assertEqual(self.board.books.endings, [("rejected", 486, "callee")] * 2)


class EarlyTests(SwitchboardCase):
    def test_a_phone_that_rings_with_ever_new_tags(self) -> None:
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        for number in range(100):
            self.bob.respond(got, 180, tag=f"tag{number}")
            self.alice.response(180)
        self.assertEqual(self.board.gauges()[1], 32)
        self.bob.respond(got, 200, tag="tag99")
        self.alice.response(200)
        self.assertEqual([session.callee.tag for session in self.board.sessions], ["tag99"])

    def test_the_books_hear_the_tag_of_the_dialog_that_rings(self) -> None:
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 180, tag="one")
        self.bob.respond(got, 180, tag="two")
        self.board.run()
        self.assertEqual([event.to_tag for event in self.board.books.ringing], ["one"])

    @conforms("RFC 3261 15", "RFC 3261 12.3")
    def test_a_bye_in_an_early_dialog_ends_that_dialog_alone(self) -> None:
        """15: the caller may do so; the call goes on until its INVITE has a final response."""
        sent, got = self.ringing()
        self.bob.respond(got, 183)
        early = Dialog(self.alice, sent, self.alice.response(183), is_caller=True)
        early.send("BYE")
        self.bob.respond(self.bob.request("BYE"), 200)
        self.alice.response(200, "BYE")
        self.assertEqual(self.board.gauges()[:3], (0, 0, 1))
        self.bob.respond(got, 487)
        self.alice.response(487)
        self.assertEqual(self.board.books.endings, [("failed", 487, "callee")])

    @conforms("RFC 3261 12.1")
    def test_a_provisional_response_without_a_tag_makes_no_dialog(self) -> None:
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.send(reply(got, 180))
        self.assertEqual(self.alice.response(180).to_tag, "")
        self.assertEqual(self.board.gauges()[:3], (0, 0, 1))
        self.assertEqual(len(self.board.books.ringing), 1)
        self.bob.respond(got, 486)
        self.alice.response(486)


class TimerTests(SwitchboardCase):
    """Sessions of which nothing is heard any more."""

    def test_call_seconds(self) -> None:
        self.talking()
        self.board.run(CALL_SECONDS - 1)
        self.assertEqual(self.board.gauges()[2], 1)
        self.board.run(2)
        self.assertEqual(self.board.books.endings, [("answered", 200, "system")])

    @conforms("RFC 4028 10")
    def test_session_expires(self) -> None:
        """RFC 4028 10: whoever does not refresh sends a BYE; when neither can, its time and a grace have passed."""
        self.talking(None, ("session-expires", "1800;refresher=uac"))
        (session,) = self.board.sessions
        self.assertEqual((session.session_expires, session.refresher), (1800, "uac"))
        self.board.run(1799 + GRACE)
        self.assertEqual(self.board.books.ended, [])
        self.board.run(2)
        self.assertEqual(self.board.books.endings, [("answered", 200, "system")])

    @conforms("RFC 4028 10")
    def test_a_refresh_starts_it_anew(self) -> None:
        calling, _ = self.talking(None, ("session-expires", "1800;refresher=uac"))
        for method in ("INVITE", "UPDATE"):
            self.board.run(1700)
            calling.send(method)
            self.bob.respond(self.bob.request(method), 200, ("session-expires", "1800;refresher=uac"))
            self.alice.response(200, method)
            if method == "INVITE":
                calling.send("ACK")
        self.board.run(1700)
        self.assertEqual(self.board.books.ended, [])
        self.hang_up(calling, self.bob)

    @conforms("RFC 4028 7.2")
    def test_a_refresh_may_end_the_timer(self) -> None:
        """RFC 4028 7.2: without Session-Expires in the 2xx there is no session timer."""
        calling, _ = self.talking(None, ("session-expires", "1800;refresher=uac"))
        calling.send("UPDATE")
        self.bob.respond(self.bob.request("UPDATE"), 200)
        self.alice.response(200, "UPDATE")
        self.board.run(3600)
        self.assertEqual(self.board.books.ended, [])

    def test_what_other_requests_bring_refreshes_nothing(self) -> None:
        calling, _ = self.talking(None, ("session-expires", "1800;refresher=uac"))
        self.board.run(1700)
        calling.send("INFO")
        self.bob.respond(self.bob.request("INFO"), 200)
        self.alice.response(200, "INFO")
        self.board.run(200)
        self.assertEqual(self.board.books.endings, [("answered", 200, "system")])


class CloseTests(SwitchboardCase):
    """The server stops."""

    def test_every_call_ends(self) -> None:
        self.talking()
        self.ringing()
        self.alice.ask("INVITE")
        self.board.run()
        self.assertEqual(self.board.sessions.calls, 3)
        self.board.sessions.close("Server Stopping")
        self.assertEqual(self.board.sessions.calls, 0)
        self.assertEqual(
            self.board.books.endings,
            [("answered", 200, "system"), ("failed", 503, "system"), ("failed", 503, "system")],
        )
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))
        self.board.layer.stop()

    def test_whoever_rings_is_told(self) -> None:
        self.ringing()
        self.board.sessions.close("The server is stopping")
        self.board.run()
        self.assertIn("stopping", self.alice.response(503).require("warning"))
        self.bob.request("CANCEL")

    def test_a_mistake_of_our_own_closes_the_books_too(self) -> None:
        self.patch(self.board.layer, "start_client", lambda *_: 1 / 0)
        self.alice.ask("INVITE")
        self.board.run()
        self.alice.response(500)
        self.assertEqual(self.board.books.endings, [("failed", 500, "system")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_comes_afterwards_opens_nothing(self) -> None:
        _, got = self.ringing()
        self.board.sessions.close("Server Stopping")
        self.bob.respond(got, 183, tag="late")
        self.bob.respond(got, 200, tag="late")
        self.board.run()
        self.assertEqual(self.board.gauges()[:3], (0, 0, 0))
        self.assertEqual(len(self.board.books.ended), 1)


class NoteTests(SwitchboardCase):
    def test_the_store_hears_of_answer_refresh_and_end(self) -> None:
        calling, _ = self.talking()
        calling.send("UPDATE")
        self.bob.respond(self.bob.request("UPDATE"), 200)
        self.alice.response(200, "UPDATE")
        self.hang_up(calling, self.bob)
        self.assertEqual([state for _, state in self.board.changed], ["active", "active", "terminated"])

    def test_and_nothing_of_what_only_rang(self) -> None:
        _, got = self.ringing()
        self.bob.respond(got, 486)
        self.alice.response(486)
        self.assertEqual(self.board.changed, [])

    def test_a_listener_that_ends_the_call_again_is_not_heard(self) -> None:
        def again(event: CallEnded) -> None:
            for call in tuple(self.board.sessions._calls.values()):
                call.end("failed", 500, "again", "system")

        self.board.bus.subscribe(CallEnded, again)
        calling, _ = self.talking()
        self.hang_up(calling, self.bob)
        self.assertEqual(self.board.books.endings, [ANSWERED])


class ContactTests(SynchronousTestCase):
    def test_the_first_contact(self) -> None:
        cases = {
            "<sip:a@192.0.2.9:5062;ob>;expires=9": "sip:a@192.0.2.9:5062;ob",
            '"Alice <at> home" <sip:a@192.0.2.9>': "sip:a@192.0.2.9",
            "sip:a@192.0.2.9;expires=9": "sip:a@192.0.2.9",
            "": "",
        }
        for value, uri in cases.items():
            self.assertEqual(contact_of(request(more=(f"Contact: {value}",))), uri, value)
        self.assertEqual(contact_of(request()), "")
