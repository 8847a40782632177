"""Targets of unequal q, tried one group after the other (RFC 3261 16.6, 16.7 items 5, 6 and 10)."""

from __future__ import annotations

from gosip_py.sip.message import Request
from tests.conformance import conforms
from tests.proxy.switchboard import TIMER_C, Phone, SwitchboardCase

RING = 30.0


class SearchCase(SwitchboardCase):
    """Carol has a desk phone and a soft phone (q=1), a mobile (q=0.5) and a mailbox (q=0.1)."""

    def setUp(self) -> None:
        super().setUp()
        hosts = {"desk": 1000, "soft": 1000, "mobile": 500, "mailbox": 100}
        self.desk, self.soft, self.mobile, self.mailbox = self.phones = [
            Phone(self.board, f"192.0.2.{30 + at}", name) for at, name in enumerate(hosts)
        ]
        for phone, q in zip(self.phones, hosts.values(), strict=True):
            phone.register("carol", 30, q=q)

    def call(self, *more: str) -> Request:
        return self.alice.ask("INVITE", "sip:carol@example.com", *more)

    def cancel(self, sent: Request) -> None:
        self.alice.ask(
            "CANCEL", sent.uri_text, from_tag=sent.from_tag, call_id=sent.call_id, branch=sent.top_via.branch
        )

    def ring(self, *phones: Phone) -> list[Request]:
        got = [phone.request("INVITE") for phone in phones]
        for phone, request in zip(phones, got, strict=True):
            phone.respond(request, 180)
        self.board.run()
        return got

    def refuse(self, code: int, *phones: Phone) -> None:
        for phone in phones:
            phone.respond(phone.request("INVITE"), code)
        self.board.run()

    def accept_cancel(self, *pairs: tuple[Phone, Request]) -> None:
        """Each phone says 487, after the CANCEL with the Reason of no answer."""
        for phone, got in pairs:
            cancel = phone.request("CANCEL")
            self.assertEqual(cancel.value("reason"), 'SIP;cause=408;text="No answer"')
            phone.respond(cancel, 200)
            phone.respond(got, 487)
        self.board.run()

    def silent(self, *phones: Phone) -> None:
        self.board.run()
        self.assertEqual([phone.titles for phone in phones], [[] for _ in phones])


class OrderTests(SearchCase):
    @conforms("RFC 3261 16.6")
    def test_the_next_group_when_the_one_before_has_failed(self) -> None:
        """ "processing the groups serially and processing the targets in each group in parallel"."""
        self.call()
        self.silent(self.mobile, self.mailbox)
        self.refuse(486, self.desk)
        self.silent(self.mobile, self.mailbox)
        self.refuse(480, self.soft)
        self.silent(self.mailbox)
        self.refuse(404, self.mobile)
        self.refuse(480, self.mailbox)
        self.assertEqual([each for each in self.alice.titles if each[0] != "1"], ["404 INVITE"])
        self.assertEqual(self.board.books.endings, [("failed", 404, "callee")])

    @conforms("RFC 3261 16.7")
    def test_the_best_is_chosen_from_all_groups(self) -> None:
        self.call()
        self.refuse(484, self.desk)
        self.refuse(500, self.soft)
        self.refuse(486, self.mobile)
        self.refuse(503, self.mailbox)
        self.alice.response(484)

    @conforms("RFC 3261 16.7")
    def test_challenges_of_all_groups(self) -> None:
        """16.7 item 7: "all other 401 and 407 responses received so far in this response context"."""
        self.call()
        for realm, phone in zip("abcd", self.phones, strict=True):
            got = phone.request("INVITE")
            phone.respond(got, 407, ("proxy-authenticate", f'Digest realm="{realm}", nonce="1"'))
            self.board.run()
        self.assertEqual(len(self.alice.response(407).values("proxy-authenticate")), 4)

    @conforms("RFC 3261 16.7")
    def test_an_answer_ends_the_search(self) -> None:
        self.call()
        self.refuse(486, self.desk, self.soft)
        got = self.mobile.request("INVITE")
        self.mobile.respond(got, 200)
        self.alice.response(200)
        self.silent(self.mailbox)

    @conforms("RFC 3261 16.7")
    def test_a_6xx_ends_the_search(self) -> None:
        """16.7 item 5: "it MUST NOT create any new branches in this context"."""
        self.call()
        (soft,) = self.ring(self.soft)
        self.refuse(603, self.desk)
        cancel = self.soft.request("CANCEL")
        self.soft.respond(cancel, 200)
        self.soft.respond(soft, 487)
        self.alice.response(603)
        self.silent(self.mobile, self.mailbox)

    @conforms("RFC 3261 16.10")
    def test_a_cancel_ends_the_search(self) -> None:
        sent = self.call()
        got = self.ring(self.desk, self.soft)
        self.cancel(sent)
        self.alice.response(200, "CANCEL")
        for phone, request in zip((self.desk, self.soft), got, strict=True):
            phone.respond(phone.request("CANCEL"), 200)
            phone.respond(request, 487)
        self.alice.response(487)
        self.silent(self.mobile, self.mailbox)
        self.assertEqual(self.board.books.endings, [("cancelled", 487, "caller")])

    def test_when_the_server_stops(self) -> None:
        self.call()
        self.ring(self.desk)
        self.board.sessions.close("Server stops")
        self.alice.response(503)
        self.desk.request("CANCEL")
        self.silent(self.mobile, self.mailbox)

    def test_other_requests_go_to_all_at_once(self) -> None:
        """They cannot be cancelled, and nobody waits that long for their answer."""
        self.alice.ask("OPTIONS", "sip:carol@example.com")
        for phone in self.phones:
            phone.respond(phone.request("OPTIONS"), 200)
        self.alice.response(200, "OPTIONS")

    @conforms("RFC 5393 5.3.3.1", "RFC 5393 5.2")
    def test_each_group_has_the_whole_breadth(self) -> None:
        self.call("Max-Breadth: 4")
        for phone, breadth in zip(self.phones, ("2", "2", "4", "4"), strict=True):
            got = phone.request("INVITE")
            self.assertEqual(got.values("max-breadth"), [breadth])
            phone.respond(got, 486)
        self.alice.response(486)


class ImpatienceTests(SearchCase):
    """A group that only rings gives way to the next."""

    @conforms("RFC 3261 16.10", "RFC 3326 2")
    def test_who_has_rung_for_too_long_gives_way(self) -> None:
        self.call()
        desk, soft = self.ring(self.desk, self.soft)
        self.board.run(RING - 1)
        self.silent(self.desk, self.soft, self.mobile)
        self.board.run(1)
        self.accept_cancel((self.desk, desk), (self.soft, soft))
        (mobile,) = self.ring(self.mobile)
        self.board.run(RING)
        self.accept_cancel((self.mobile, mobile))
        got = self.mailbox.request("INVITE")
        self.mailbox.respond(got, 200)
        self.alice.response(200)
        self.assertNotIn("487 INVITE", self.alice.titles)

    def test_nobody_gives_way_to_nobody(self) -> None:
        """The last may ring as long as Timer C lets it."""
        self.call()
        self.refuse(486, self.desk, self.soft, self.mobile)
        (got,) = self.ring(self.mailbox)
        self.board.run(TIMER_C - 5)
        self.silent(self.mailbox)
        self.board.run(6)
        self.accept_cancel((self.mailbox, got))
        self.alice.response(486)

    def test_nobody_answers_at_all(self) -> None:
        self.call()
        for phones in ((self.desk, self.soft), (self.mobile,)):
            got = self.ring(*phones)
            self.board.run(RING)
            self.accept_cancel(*zip(phones, got, strict=True))
        self.ring(self.mailbox)
        self.board.run(TIMER_C + 5)
        self.alice.response(408)
        self.assertEqual(self.board.books.endings, [("no_answer", 408, "system")])

    @conforms("RFC 3261 16.8")
    def test_one_that_never_said_anything_is_not_waited_for(self) -> None:
        """There is nothing to cancel; the next group is tried, and the CANCEL follows if it ever speaks."""
        self.call()
        desk = self.desk.request("INVITE")
        self.refuse(486, self.soft)
        self.board.run(RING)
        self.mobile.request("INVITE")
        self.assertNotIn("CANCEL", self.desk.titles)
        self.desk.respond(desk, 180)
        self.desk.request("CANCEL")
        self.assertNotIn("180 INVITE", self.alice.titles[1:])

    def test_one_that_does_not_heed_the_cancel_is_not_waited_for(self) -> None:
        self.call()
        self.ring(self.desk)
        self.refuse(486, self.soft)
        self.board.run(RING + 3)
        self.silent(self.mobile)
        self.board.run(2)
        self.refuse(486, self.mobile, self.mailbox)
        self.alice.response(486)

    @conforms("RFC 3261 16.7")
    def test_one_that_answers_after_all(self) -> None:
        """Its 200 and our CANCEL crossed: no final response was sent, so it goes back, and the others are cancelled."""
        self.call()
        desk, _ = self.ring(self.desk, self.soft)
        self.board.run(RING + 5)
        (mobile,) = self.ring(self.mobile)
        self.desk.respond(desk, 200)
        self.assertEqual(self.alice.response(200).value("contact"), f"<{self.desk.contact}>")
        cancel = self.mobile.request("CANCEL")
        self.assertEqual(cancel.value("reason"), 'SIP;cause=200;text="Call completed elsewhere"')
        self.mobile.respond(cancel, 200)
        self.mobile.respond(mobile, 487)
        self.silent(self.mailbox)

    def test_the_caller_cancels_in_between(self) -> None:
        """The group was told to stop and has not; the caller's CANCEL finds nobody else ringing."""
        sent = self.call()
        desk, soft = self.ring(self.desk, self.soft)
        self.board.run(RING)
        for phone in (self.desk, self.soft):
            phone.request("CANCEL")
        self.cancel(sent)
        self.alice.response(200, "CANCEL")
        self.desk.respond(desk, 487)
        self.soft.respond(soft, 487)
        self.alice.response(487)
        self.silent(self.mobile, self.mailbox)


class NameTests(SwitchboardCase):
    def test_one_whose_name_is_still_looked_up_is_not_waited_for(self) -> None:
        """And it is not called when the name is found after all."""
        self.bob.register("carol", 30, "sip:carol@phone.example", is_at_source=False)
        self.bob.register("carol", 30, q=500)
        self.alice.ask("INVITE", "sip:carol@example.com")
        self.board.run(RING - 1)
        self.assertEqual(self.bob.titles, [])
        self.board.run(2)
        got = self.bob.request("INVITE")
        self.board.names.known["phone.example"] = ("192.0.2.99",)
        self.board.names.answer()
        self.bob.respond(got, 486)
        self.alice.response(486)
        self.assertEqual([each for each in self.board.network.packets if each.destination[0] == "192.0.2.99"], [])
