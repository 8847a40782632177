"""The response context over a network in memory: what of many answers goes back (RFC 3261 16.7 to 16.10)."""

from __future__ import annotations

from gosip_py.proxy.fork import Patience
from gosip_py.sip.message import Request
from gosip_py.store.records import BindingKey
from tests.conformance import conforms
from tests.proxy.switchboard import TIMER_C, Dialog, Phone, SwitchboardCase

PATIENCE = 32.0


class SingleTests(SwitchboardCase):
    """One phone is called."""

    @conforms("RFC 3261 16.2")
    def test_100_at_once(self) -> None:
        """16.2: a stateful proxy sends it where an answer may take its time; it goes no further than this hop."""
        self.alice.ask("INVITE")
        self.board.run(0.0011)
        self.assertEqual(self.alice.titles, [])
        self.board.run(0.001)
        self.assertEqual(self.alice.titles, ["100 INVITE"])
        self.assertEqual(self.alice.response(100).to_tag, "")
        self.bob.respond(self.bob.request("INVITE"), 100)
        self.board.run()
        self.assertEqual(self.alice.titles, [])

    @conforms("RFC 3261 16.6", "RFC 3581 3")
    def test_our_via_on_top_with_a_branch_of_its_own(self) -> None:
        """16.6 item 8: "The proxy MUST insert a Via header field value into the copy"."""
        sent = self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        ours, theirs = got.values("via")
        self.assertTrue(ours.startswith("SIP/2.0/UDP 192.0.2.1:5060;rport"), ours)
        self.assertIn(";branch=z9hG4bK", ours)
        self.assertIn(sent.top_via.branch, theirs)
        self.assertIn("received=192.0.2.10", theirs)
        self.assertEqual(got.value("max-forwards"), "69")
        self.assertEqual(got.uri_text, self.bob.contact)

    @conforms("RFC 3261 16.6", "RFC 3261 19.1.1")
    def test_what_may_not_stand_in_a_request_uri_is_taken_off(self) -> None:
        """16.6 item 2: "If the URI contains any parameters not allowed in a Request-URI, they MUST be removed"."""
        uris = {
            "sip:c@192.0.2.20:5060;method=BYE;transport=udp?Subject=x&body=y": "sip:c@192.0.2.20:5060;transport=udp",
            "sip:c;method=x?y@192.0.2.20?z": "sip:c;method=x?y@192.0.2.20",
            "sip:192.0.2.20?z": "sip:192.0.2.20",
        }
        for contact, written in uris.items():
            self.bob.register("carol", 30, contact)
            self.alice.ask("INVITE", "sip:carol@example.com")
            got = self.bob.request("INVITE")
            self.assertEqual(got.uri_text, written)
            self.bob.respond(got, 486)
            self.alice.response(486)
            self.board.location.remove_key(BindingKey("sip:carol@example.com", contact), "test", self.board.now())

    @conforms("RFC 3261 16.7")
    def test_our_via_is_taken_off_the_answer(self) -> None:
        """16.7 item 3: "The proxy removes the topmost Via header field value from the response"."""
        sent = self.alice.ask("INVITE")
        self.bob.respond(self.bob.request("INVITE"), 486, ("server", "Phone/1"))
        answer = self.alice.response(486)
        self.assertEqual(len(answer.values("via")), 1)
        self.assertEqual(answer.top_via.branch, sent.top_via.branch)
        self.assertEqual(answer.value("server"), "Phone/1")

    @conforms("RFC 3261 17.1.1.3")
    def test_the_refusal_is_acknowledged_hop_by_hop(self) -> None:
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 486)
        ack = self.bob.request("ACK")
        self.assertEqual(ack.top_via.branch, got.top_via.branch)
        self.alice.response(486)

    @conforms("RFC 3261 16.7", "RFC 3261 21.5.4")
    def test_a_503_of_the_phone_is_a_500_of_ours(self) -> None:
        """16.7 item 6: whoever gets a 503 "SHOULD NOT forward it upstream", which would say that we cannot serve."""
        self.alice.ask("INVITE")
        self.bob.respond(self.bob.request("INVITE"), 503, ("retry-after", "3600"))
        self.assertNotIn("retry-after", self.alice.response(500))
        self.assertEqual(self.board.books.endings, [("failed", 500, "callee")])

    @conforms("RFC 3261 16.9", "RFC 3261 17.1.1.2")
    def test_nobody_answers(self) -> None:
        """16.9 and 17.1.1.2, Timer B: as if a 408 had come."""
        self.alice.ask("INVITE")
        self.bob.request("INVITE")
        self.board.run(PATIENCE)
        self.assertIn("Warning: 399", str(self.alice.response(408).lines))
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])

    @conforms("RFC 3261 16.9")
    def test_a_connection_that_cannot_be_had(self) -> None:
        """16.9: a transport error counts as a 503, and the next best answer goes back."""
        self.bob.register("carol", 30)
        gone = Phone(self.board, "192.0.2.98", "gone", via="TCP")
        gone.register("carol", 30)
        gone.flow.fail("switched off")
        self.board.network.detach(gone.transport)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.alice.response(486)

    def test_only_a_connection_that_cannot_be_had(self) -> None:
        gone = Phone(self.board, "192.0.2.98", "gone", via="TCP")
        gone.register("carol", 30)
        gone.flow.fail("switched off")
        self.board.network.detach(gone.transport)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.alice.response(500)
        self.assertEqual(self.board.books.endings, [("failed", 500, "system")])

    def test_a_name_that_nobody_knows(self) -> None:
        self.bob.register("carol", 30, "sip:carol@phone.example", is_at_source=False)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.alice.response(100)
        self.board.names.answer()
        self.alice.response(502)
        self.assertEqual(self.board.books.endings, [("failed", 502, "system")])

    @conforms("RFC 5393 3")
    def test_what_leads_back_to_us_is_not_followed(self) -> None:
        """RFC 5393 3: a few contacts that name ourselves would double with each round."""
        for contact in ("sip:carol@192.0.2.1:5060", "sip:carol@us.example", "sip:carol@192.0.2.1;transport=tcp"):
            self.bob.register("300", 30, contact, is_at_source=False)
        self.board.names.known["us.example"] = ("192.0.2.1",)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.alice.response(100)
        self.board.names.answer()
        self.alice.response(502)
        self.assertEqual({packet.destination[0] for packet in self.board.network.packets}, {"192.0.2.1", "192.0.2.10"})
        self.assertEqual([each.source[0] for each in self.board.network.packets].count("192.0.2.10"), 1)

    def test_a_name_that_is_looked_up(self) -> None:
        self.bob.register("carol", 30, "sip:carol@phone.example", is_at_source=False)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.board.run()
        self.board.names.known["phone.example"] = ("192.0.2.20",)
        self.board.names.answer()
        self.bob.respond(self.bob.request("INVITE"), 486)
        self.alice.response(486)

    @conforms("RFC 3261 17.2.4")
    @conforms("RFC 3261 16.9", "RFC 3261 18.2.2")
    def test_the_connection_of_the_caller_breaks(self) -> None:
        """Who rings is not cancelled for that, and the answer goes by a new connection."""
        caller = Phone(self.board, "192.0.2.11", "alice", via="TCP")
        sent, got = self.ringing(caller)
        first = caller.flow
        first.fail("unplugged")
        self.board.run()
        self.assertEqual(self.bob.titles, [])
        self.bob.respond(got, 200)
        calling = Dialog(caller, sent, caller.response(200), is_caller=True)
        self.assertIsNot(caller.flow, first)
        calling.send("ACK")
        self.bob.request("ACK")
        self.hang_up(calling, self.bob)

    @conforms("RFC 7118 5.3")
    def test_the_web_socket_of_the_caller_breaks(self) -> None:
        """No answer can ever reach it: who rings is cancelled."""
        caller = Phone(self.board, "192.0.2.11", "alice", via="WS")
        _, got = self.ringing(caller)
        caller.flow.fail("the page was closed")
        cancel = self.bob.request("CANCEL")
        self.bob.respond(cancel, 200)
        self.bob.respond(got, 487)
        self.bob.request("ACK")
        self.assertEqual(self.board.books.endings, [("failed", 503, "system")])

    def test_a_late_2xx_after_the_books_were_closed_changes_nothing(self) -> None:
        _, got = self.ringing()
        self.board.run(TIMER_C)
        self.bob.request("CANCEL")
        self.board.run(PATIENCE + 1)
        self.alice.response(408)
        self.bob.respond(got, 200)
        self.board.run()
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])
        self.assertEqual(self.alice.titles.count("200 INVITE"), 0)


class CancelTests(SwitchboardCase):
    """16.10."""

    def cancel(self, sent: Request, *more: str) -> None:
        cancel = self.alice.make(
            "CANCEL",
            sent.uri_text,
            *more,
            from_tag=sent.from_tag,
            call_id=sent.call_id,
            number=sent.cseq.number,
            branch=sent.top_via.branch,
        )
        self.alice.send(cancel)
        self.alice.response(200, "CANCEL")

    @conforms("RFC 3261 16.10")
    def test_what_rings_is_cancelled_and_its_487_goes_back(self) -> None:
        sent, got = self.ringing()
        self.cancel(sent, "Reason: Q.850;cause=16")
        cancel = self.bob.request("CANCEL")
        self.assertEqual(cancel.top_via.branch, got.top_via.branch)
        self.assertEqual(cancel.value("reason"), "Q.850;cause=16")
        self.bob.respond(cancel, 200)
        self.bob.respond(got, 487)
        self.alice.response(487)
        self.assertEqual(self.board.books.endings, [("cancelled", 487, "caller")])

    @conforms("RFC 3261 9.1")
    def test_before_a_provisional_response_it_waits(self) -> None:
        """9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent"."""
        sent = self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.cancel(sent)
        self.board.run(0.3)
        self.assertNotIn("CANCEL", self.bob.titles)
        self.bob.respond(got, 180)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.alice.response(487)

    def test_a_phone_that_never_says_anything(self) -> None:
        sent = self.alice.ask("INVITE")
        self.bob.request("INVITE")
        self.cancel(sent)
        self.board.run(PATIENCE)
        self.alice.response(487)
        self.assertEqual(self.board.books.endings, [("cancelled", 487, "caller")])
        self.assertNotIn("CANCEL", self.bob.titles)

    @conforms("RFC 3261 9.1")
    def test_a_phone_that_does_not_heed_it(self) -> None:
        sent, _ = self.ringing()
        self.cancel(sent)
        self.bob.request("CANCEL")
        self.board.run(PATIENCE)
        self.alice.response(487)
        self.assertEqual(self.board.books.endings, [("cancelled", 487, "caller")])

    @conforms("RFC 3261 16.10")
    def test_every_branch(self) -> None:
        second = Phone(self.board, "192.0.2.21", "bob", via="TCP")
        second.register("bob", 20)
        sent = self.alice.ask("INVITE")
        got = [phone.request("INVITE") for phone in (self.bob, second)]
        for phone, request in zip((self.bob, second), got, strict=True):
            phone.respond(request, 180)
        self.cancel(sent)
        for phone, request in zip((self.bob, second), got, strict=True):
            phone.respond(phone.request("CANCEL"), 200)
            self.assertNotIn("487 INVITE", self.alice.titles)
            phone.respond(request, 487)
        self.alice.response(487)

    @conforms("RFC 3261 9.1")
    def test_it_crosses_the_answer(self) -> None:
        """9.1: who cancelled too late has a call."""
        sent, got = self.ringing()
        self.bob.respond(got, 200)
        self.cancel(sent)
        self.alice.response(200)
        self.assertEqual(len(self.board.books.answered), 1)

    def test_while_a_name_is_looked_up(self) -> None:
        self.bob.register("carol", 30, "sip:carol@phone.example", is_at_source=False)
        sent = self.alice.ask("INVITE", "sip:carol@example.com")
        self.alice.response(100)
        self.cancel(sent)
        self.board.names.known["phone.example"] = ("192.0.2.20",)
        self.board.names.answer()
        self.alice.response(487)
        self.assertEqual(self.bob.titles, [])


class TimerCTests(SwitchboardCase):
    """16.8."""

    @conforms("RFC 3261 16.8")
    def test_it_rings_and_rings(self) -> None:
        """ "If the client transaction has received a provisional response, the proxy MUST generate a CANCEL"."""
        _, got = self.ringing()
        self.board.run(TIMER_C - 1)
        self.assertEqual(self.bob.titles, [])
        self.board.run(1)
        cancel = self.bob.request("CANCEL")
        self.assertIn("cause=408", cancel.require("reason"))
        self.bob.respond(cancel, 200)
        self.bob.respond(got, 487)
        self.alice.response(408)
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])

    @conforms("RFC 3261 16.7", "RFC 3261 16.8")
    def test_each_provisional_response_starts_it_anew(self) -> None:
        """16.7 item 2: "the proxy MUST reset timer C" for each response from 101 to 199."""
        _, got = self.ringing()
        for _ in range(3):
            self.board.run(TIMER_C - 10)
            self.bob.respond(got, 183)
            self.alice.response(183)
        self.assertEqual(self.bob.titles, [])
        self.bob.respond(got, 603)
        self.alice.response(603)

    @conforms("RFC 3261 16.7")
    def test_a_100_does_not(self) -> None:
        _, got = self.ringing()
        self.board.run(TIMER_C - 10)
        self.bob.respond(got, 100)
        self.board.run(10)
        self.bob.request("CANCEL")

    @conforms("RFC 3261 16.7")
    def test_an_answer_that_was_faster_than_the_cancel(self) -> None:
        _, got = self.ringing()
        self.board.run(TIMER_C)
        self.bob.request("CANCEL")
        self.bob.respond(got, 200)
        self.alice.response(200)
        self.assertEqual(len(self.board.books.answered), 1)

    @conforms("RFC 3261 16.8")
    def test_a_phone_that_never_rang_counts_as_408(self) -> None:
        """ "the proxy MUST behave as if the transaction received a 408": where Timer C is shorter than Timer B."""
        self.board.proxy._patience = Patience(5.0, 30.0)
        self.alice.ask("INVITE")
        self.bob.request("INVITE")
        self.board.run(5.1)
        self.alice.response(408)
        self.assertNotIn("CANCEL", self.bob.titles)

    def test_what_such_a_phone_says_later_is_for_nobody(self) -> None:
        self.board.proxy._patience = Patience(5.0, 30.0)
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.board.run(5.1)
        self.alice.response(408)
        self.bob.respond(got, 486)
        self.bob.request("ACK")
        self.assertEqual([each for each in self.alice.titles if each != "100 INVITE"], [])
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])

    def test_after_a_cancel_it_has_nothing_to_say(self) -> None:
        self.board.proxy._patience = Patience(5.0, 30.0)
        sent, _ = self.ringing()
        cancel = self.alice.make(
            "CANCEL", sent.uri_text, from_tag=sent.from_tag, call_id=sent.call_id, branch=sent.top_via.branch
        )
        self.alice.send(cancel)
        self.bob.request("CANCEL")
        self.board.run(10)
        self.assertEqual(self.board.books.ended, [])
        self.board.run(PATIENCE)
        self.alice.response(487)


class ForkCase(SwitchboardCase):
    """Bob has three phones."""

    def setUp(self) -> None:
        super().setUp()
        self.phones = [self.bob, *(Phone(self.board, f"192.0.2.{host}", "bob") for host in (21, 22))]
        for phone in self.phones[1:]:
            phone.register("bob", 20)

    def called(self) -> list[Request]:
        """What each of the phones got."""
        self.alice.ask("INVITE")
        return [phone.request("INVITE") for phone in self.phones]

    def answered(self, *codes: int) -> list[Request]:
        """As `called`, and each answers in turn; 0 says nothing."""
        got = self.called()
        for phone, request, code in zip(self.phones, got, codes, strict=True):
            if code:
                phone.respond(request, code)
                self.board.run()
        return got


class BestResponseTests(ForkCase):
    """16.7 item 6."""

    @conforms("RFC 3261 16.6")
    def test_each_copy_has_a_branch_of_its_own(self) -> None:
        got = self.called()
        self.assertEqual(len({request.top_via.branch for request in got}), 3)
        self.assertEqual([request.uri_text for request in got], [phone.contact for phone in self.phones])

    @conforms("RFC 3261 16.7")
    def test_nothing_is_chosen_before_all_have_answered(self) -> None:
        self.answered(404, 486, 0)
        self.assertEqual(self.alice.titles, ["100 INVITE"])

    @conforms("RFC 3261 16.7")
    def test_of_the_classes_the_lowest(self) -> None:
        self.answered(500, 302, 404)
        self.alice.response(302)

    @conforms("RFC 3261 16.7")
    def test_of_4xx_those_that_help(self) -> None:
        """ "give preference to responses that provide information affecting resubmission of this request"."""
        self.answered(404, 484, 486)
        self.alice.response(484)

    def test_what_somebody_said_before_what_we_made_of_silence(self) -> None:
        self.answered(0, 486, 0)
        self.board.run(PATIENCE)
        self.alice.response(486)
        self.assertEqual(self.board.books.endings, [("rejected", 486, "callee")])

    @conforms("RFC 3261 16.7")
    def test_a_6xx_ends_it_for_all(self) -> None:
        """16.7 item 5: on a 6xx every pending branch is cancelled; item 6: it is the best."""
        got = self.called()
        for phone, request in zip(self.phones, got, strict=True):
            phone.respond(request, 180)
        self.phones[0].respond(got[0], 302)
        self.phones[1].respond(got[1], 603)
        self.phones[2].respond(self.phones[2].request("CANCEL"), 200)
        self.board.run()
        self.assertNotIn("603 INVITE", self.alice.titles)
        self.phones[2].respond(got[2], 487)
        self.alice.response(603)
        self.assertEqual(self.board.books.endings, [("rejected", 603, "callee")])

    @conforms("RFC 3261 16.7", "RFC 3261 22.3", "RFC 8760 2.5")
    def test_the_challenges_of_all(self) -> None:
        """16.7 item 7: the values of all WWW-Authenticate and Proxy-Authenticate are added to the one that is sent."""
        got = self.called()
        self.phones[0].respond(got[0], 401, ("www-authenticate", 'Digest realm="a", nonce="1"'))
        self.phones[1].respond(got[1], 407, ("proxy-authenticate", 'Digest realm="b", nonce="2"'))
        self.phones[2].respond(got[2], 401, ("www-authenticate", 'Digest realm="c", nonce="3"'))
        answer = self.alice.response(401)
        self.assertEqual(
            answer.values("www-authenticate"), ['Digest realm="a", nonce="1"', 'Digest realm="c", nonce="3"']
        )
        self.assertEqual(answer.values("proxy-authenticate"), ['Digest realm="b", nonce="2"'])

    def test_one_no_answer_and_two_silences(self) -> None:
        got = self.called()
        self.phones[1].respond(got[1], 180)
        self.board.run(TIMER_C)
        self.phones[1].respond(self.phones[1].request("CANCEL"), 200)
        self.phones[1].respond(got[1], 487)
        self.alice.response(408)
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])


class AnsweredTests(ForkCase):
    @conforms("RFC 3261 16.7", "RFC 3326 2")
    def test_the_others_are_cancelled_with_the_reason(self) -> None:
        """16.7 item 10, and RFC 3326: so that no phone shows a missed call."""
        got = self.called()
        for phone, request in zip(self.phones, got, strict=True):
            phone.respond(request, 180)
        self.board.run()
        self.phones[1].respond(got[1], 200)
        self.alice.response(200)
        for index in (0, 2):
            cancel = self.phones[index].request("CANCEL")
            self.assertEqual(cancel.value("reason"), 'SIP;cause=200;text="Call completed elsewhere"')
            self.phones[index].respond(cancel, 200)
            self.phones[index].respond(got[index], 487)
        self.board.run()
        self.assertNotIn("CANCEL", self.phones[1].titles)
        self.assertNotIn("487 INVITE", self.alice.titles)

    @conforms("RFC 3261 9.1", "RFC 3261 16.7")
    def test_one_that_has_not_rung_yet_is_cancelled_when_it_does(self) -> None:
        got = self.answered(0, 200, 0)
        self.board.run(0.2)
        self.assertNotIn("CANCEL", self.phones[0].titles)
        self.phones[0].respond(got[0], 180)
        self.assertIn("cause=200", self.phones[0].request("CANCEL").require("reason"))
        self.board.run()
        self.assertNotIn("180 INVITE", self.alice.titles)

    @conforms("RFC 3261 16.7")
    def test_every_2xx_goes_back(self) -> None:
        """16.7 item 5: "Any 2xx response to an INVITE request" is forwarded, also after another."""
        got = self.answered(0, 200, 200)
        self.phones[0].respond(got[0], 486)
        tags = {self.alice.response(200).to_tag for _ in range(2)}
        self.assertEqual(len(tags), 2)

    @conforms("RFC 3261 16.7", "RFC 6026 7.1")
    def test_a_repeated_2xx_is_repeated(self) -> None:
        """13.3.1.4 leaves that to the UAS; no element between may swallow it."""
        got = self.called()
        for _ in range(3):
            self.phones[1].respond(got[1], 200)
            self.alice.response(200)
        self.assertEqual(len(self.board.books.answered), 1)


class OtherMethodTests(ForkCase):
    """Requests other than INVITE."""

    def message(self) -> list[Request]:
        self.alice.ask("OPTIONS")
        return [phone.request("OPTIONS") for phone in self.phones]

    @conforms("RFC 3261 16.7", "RFC 3261 11.2")
    def test_the_first_2xx_goes_back_and_no_other(self) -> None:
        """16.7 item 5: of another method one 2xx only, and there is nothing to cancel (9.1)."""
        for phone, request in zip(self.phones, self.message(), strict=True):
            phone.respond(request, 200)
        self.alice.response(200, "OPTIONS")
        self.board.run()
        self.assertEqual(self.alice.titles, [])
        self.assertTrue(all(phone.titles == [] for phone in self.phones))
        self.assertEqual(self.flushLoggedErrors(), [])

    @conforms("RFC 4320 4.1")
    def test_no_provisional_response_goes_back(self) -> None:
        """RFC 4320 4.1."""
        got = self.message()
        self.phones[0].respond(got[0], 183)
        self.board.run()
        self.assertEqual(self.alice.titles, [])
        for phone, request in zip(self.phones, got, strict=True):
            phone.respond(request, 404)
        self.alice.response(404, "OPTIONS")

    @conforms("RFC 4320 4.2")
    def test_no_408_goes_back(self) -> None:
        """RFC 4320 4.2: a proxy lets the transaction end in silence."""
        self.message()
        self.board.run(PATIENCE + 1)
        self.assertEqual([each for each in self.alice.titles if each != "100 OPTIONS"], [])

    @conforms("RFC 4320 4.2")
    def test_nor_one_that_somebody_downstream_sent(self) -> None:
        for phone, request in zip(self.phones, self.message(), strict=True):
            phone.respond(request, 408)
        self.board.run(PATIENCE + 1)
        self.assertEqual([each for each in self.alice.titles if each != "100 OPTIONS"], [])

    def test_no_record_route(self) -> None:
        self.assertNotIn("record-route", self.message()[0])

    def test_a_message_makes_no_call(self) -> None:
        for phone, request in zip(self.phones, self.message(), strict=True):
            phone.respond(request, 200)
        self.alice.response(200, "OPTIONS")
        self.assertEqual(self.board.books.started, {})


class SizeTests(SwitchboardCase):
    """18.1.1: large requests go by TCP."""

    BODY = "v" * 1400

    def sent_by(self, method: str) -> list[str]:
        """The transports by which Bob was tried, in order."""
        packets = self.board.network.packets
        return [
            packet.transport for packet in packets if packet.destination[0] == self.bob.host and packet.title == method
        ]

    @conforms("RFC 3261 18.1.1")
    def test_a_large_request_leaves_by_tcp(self) -> None:
        self.bob.register("carol", 30, "sip:carol@192.0.2.20:5060", is_at_source=False)
        for method in ("INVITE", "MESSAGE"):
            self.alice.ask(method, "sip:carol@example.com", body=self.BODY)
            got = self.bob.request(method)
            self.assertTrue(got.values("via")[0].startswith("SIP/2.0/TCP"), got.values("via"))
            self.assertEqual(self.sent_by(method), ["TCP"])
            self.bob.respond(got, 200)
            self.alice.response(200, method)

    @conforms("RFC 3261 18.1.1")
    def test_and_by_udp_when_nobody_listens_there(self) -> None:
        """ "the element SHOULD retry the request, using UDP"."""
        self.bob.register("carol", 30, "sip:carol@192.0.2.20:5060", is_at_source=False)
        del self.board.network._listening["TCP", (self.bob.host, 5060)]
        for method in ("INVITE", "MESSAGE"):
            self.alice.ask(method, "sip:carol@example.com", body=self.BODY)
            got = self.bob.request(method)
            self.assertEqual([via[:11] for via in got.values("via")], ["SIP/2.0/UDP"] * 2)
            self.assertEqual(self.sent_by(method), ["TCP", "UDP"])
            self.assertEqual(len(got.values("record-route")), 1 if method == "INVITE" else 0)
            self.bob.respond(got, 200)
            self.assertEqual(len(self.alice.response(200, method).values("via")), 1)

    def test_a_route_over_tcp_that_fails_is_not_tried_for_ever(self) -> None:
        """The binding was heard by UDP, its Path leads over TCP: that is no upgrade of ours."""
        path = "<sip:192.0.2.77:5060;transport=tcp;lr>"
        self.bob.register("carol", 30, "sip:carol@10.0.0.7", is_at_source=False, path=path)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.alice.response(500)
        self.assertEqual(sum(packet.destination[0] == "192.0.2.77" for packet in self.board.network.packets), 1)
