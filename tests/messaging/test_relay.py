"""MESSAGE to people who are there, who are away, and who are somewhere in between (RFC 3428)."""

from __future__ import annotations

import attrs

from gosip_py.events import UserChanged
from gosip_py.store.database import DatabaseTimeout, IntegrityError
from tests.conformance import conforms
from tests.messaging.board import AWAY, LIMITS, RelayCase
from tests.proxy.switchboard import Phone
from tests.registrar.fakes import user


class ForwardTests(RelayCase):
    """Bob is there."""

    def setUp(self) -> None:
        super().setUp()
        self.come()

    @conforms("RFC 3428 6")
    def test_it_goes_to_his_phone_octet_for_octet(self) -> None:
        sent = self.say("hello \u00e9\r\n", "X-Mark: a", kind="message/cpim")
        got = self.bob.request("MESSAGE")
        self.assertEqual((got.body, got.value("content-type")), (sent.body, "message/cpim"))
        self.assertEqual(
            (got.require("from"), got.call_id, got.value("x-mark")), (sent.require("from"), sent.call_id, "a")
        )
        self.bob.respond(got, 200)
        self.alice.response(200, "MESSAGE")
        self.assert_empty()

    @conforms("RFC 3428 6")
    def test_all_his_phones_get_it_and_one_answer_goes_back(self) -> None:
        other = Phone(self.board, "192.0.2.21", "bob")
        other.register("200", 20)
        self.say("to both")
        self.assertEqual((self.hear(), self.hear(other)), ("to both", "to both"))
        self.assertEqual(self.alice.titles, ["200 MESSAGE"])
        self.assert_empty()

    def test_one_phone_is_enough(self) -> None:
        other = Phone(self.board, "192.0.2.21", "bob")
        other.register("200", 20)
        self.say("to one")
        self.hear(other, 480)
        self.hear()
        self.alice.response(200, "MESSAGE")
        self.assert_empty()

    @conforms("RFC 3428 7")
    def test_what_another_day_will_not_mend_is_told_to_the_sender(self) -> None:
        for status in (404, 405, 413, 415, 488, 501, 505, 513, 600, 603, 606, 302):
            self.say("no")
            self.hear(status=status)
            self.alice.response(status, "MESSAGE")
        self.assert_empty()

    @conforms("RFC 3428 7")
    def test_what_another_day_may_mend_is_kept(self) -> None:
        for status in (408, 430, 480, 486, 500):
            self.say(f"kept {status}")
            self.hear(status=status)
            self.alice.response(202, "MESSAGE")
        self.assertEqual(self.waiting, 5)

    def test_a_challenge_of_the_phone_goes_to_the_sender(self) -> None:
        self.say("who")
        self.bob.respond(self.bob.request("MESSAGE"), 401, ("www-authenticate", 'Digest realm="bob", nonce="n"'))
        self.assertIn("bob", self.alice.response(401, "MESSAGE").require("www-authenticate"))

    def test_more_than_a_message_holds(self) -> None:
        self.stop()
        self.start(attrs.evolve(LIMITS, octets=200))
        self.say("x" * 200)
        self.hear()
        self.alice.response(200, "MESSAGE")
        self.say("x" * 201)
        self.assertIn("200 octets", self.alice.response(513, "MESSAGE").require("warning"))
        self.assertNotIn("MESSAGE", self.bob.titles)

    def test_within_a_dialog_it_goes_its_way(self) -> None:
        calling, called = self.talking()
        for side, other in ((calling, self.bob), (called, self.alice)):
            side.send("MESSAGE")
            other.respond(other.request("MESSAGE"), 480)
            side.phone.response(480, "MESSAGE")
        self.hang_up(calling, self.bob)
        self.assert_empty()


@conforms("RFC 3428 7")
class AwayTests(RelayCase):
    """Bob is away, and comes back."""

    def test_it_is_kept_and_delivered_when_he_registers(self) -> None:
        sent = self.say("see you", "X-Mark: a", kind="message/imdn+xml")
        self.alice.response(202, "MESSAGE")
        self.assertEqual(self.waiting, 1)
        self.board.run(3600)
        self.come()
        got = self.bob.request("MESSAGE")
        self.assertEqual((got.body, got.value("content-type")), (sent.body, "message/imdn+xml"))
        self.assertEqual((got.require("from"), got.require("to")), (sent.require("from"), sent.require("to")))
        self.assertEqual((got.uri_text, got.value("x-mark")), (self.bob.contact, "a"))
        self.assertEqual(got.value("date"), "Fri, 15 Jan 2027 08:00:00 GMT")
        self.assertEqual(got.value("max-forwards"), "69")
        self.bob.respond(got, 200)
        self.board.run()
        self.assert_empty()
        self.assertEqual(self.outcomes(), {"kept": 1, "delivered": 1})

    def test_the_202_says_nothing_more(self) -> None:
        self.say("x")
        answer = self.alice.response(202, "MESSAGE")
        self.assertEqual((answer.body, "contact" in answer.names, answer.to_tag != ""), (b"", False, True))

    def test_in_the_order_of_arrival_and_one_at_a_time(self) -> None:
        self.keep("one", "two", "three")
        self.come()
        for text in ("one", "two", "three"):
            self.assertEqual(self.bob.titles, ["MESSAGE"])
            self.assertEqual(self.hear(), text)
        self.assert_empty()

    def test_one_that_comes_meanwhile_is_behind_them(self) -> None:
        self.keep("one", "two")
        self.bob.register("bob", 20)
        self.keep("three")
        self.board.run(1)
        first = self.bob.request("MESSAGE")
        self.keep("four")
        self.bob.respond(first, 200)
        self.assertEqual([self.hear() for _ in range(3)], ["two", "three", "four"])
        self.assert_empty()

    def test_the_phone_is_answered_before_it_is_sent_anything(self) -> None:
        self.keep("one")
        self.bob.register("bob", 20)
        self.board.run(0.05)
        self.assertEqual(self.bob.titles, [])
        self.board.run(0.2)
        self.assertEqual(self.hear(), "one")

    def test_the_202_waits_for_the_store(self) -> None:
        self.shelf.waits = True
        self.say("x")
        self.board.run(1)
        self.assertEqual(self.alice.titles, [])
        self.shelf.write()
        self.alice.response(202, "MESSAGE")

    def test_the_store_is_away(self) -> None:
        self.shelf.fault = AWAY
        self.say("x")
        answer = self.alice.response(503, "MESSAGE")
        self.assertEqual((answer.value("retry-after"), self.waiting), ("30", 0))
        self.shelf.fault = None
        self.assert_empty()

    def test_the_store_did_not_say_whether_it_took_it(self) -> None:
        """503, so the sender may repeat it; when the row is there after all it is delivered."""
        self.shelf.waits = True
        self.say("x")
        self.board.run()
        self.shelf.write(DatabaseTimeout("no answer"))
        self.alice.response(503, "MESSAGE")
        self.assertEqual(self.waiting, 1)
        self.shelf.fault = None
        self.come()
        self.assert_empty()

    def test_the_recipient_is_deleted_meanwhile(self) -> None:
        self.shelf.fault = IntegrityError("foreign", "user_id")
        self.say("x")
        self.alice.response(503, "MESSAGE")
        self.shelf.fault = None
        self.assert_empty()

    def test_he_comes_while_it_is_being_written(self) -> None:
        self.shelf.waits = True
        self.say("x")
        self.board.run()
        self.come()
        self.assertEqual(self.bob.titles, [])
        self.shelf.write()
        self.alice.response(202, "MESSAGE")
        self.assertEqual(self.hear(), "x")
        self.assert_empty()

    def test_his_mailbox_is_full(self) -> None:
        self.keep(*"12345")
        self.say("6")
        self.assertIn("full", self.alice.response(480, "MESSAGE").require("warning"))
        self.say("to carol", to="carol")
        self.alice.response(202, "MESSAGE")

    def test_the_server_is_full(self) -> None:
        self.keep(*"12345")
        for to in ("carol", "carol", "carol", "alice"):
            self.say("x", to=to)
        self.alice.response(202, "MESSAGE")
        self.assertEqual(self.alice.response(503, "MESSAGE").value("retry-after"), "30")
        self.assertEqual(self.waiting, LIMITS.total)

    def test_one_that_is_good_for_now_only(self) -> None:
        for lines in (("Expires: 0",), ("Expires: 60", "Date: Sat, 13 Nov 2010 23:29:00 GMT")):
            self.say("x", *lines)
            self.alice.response(480, "MESSAGE")
        self.assert_empty()

    def test_it_is_not_delivered_after_its_time(self) -> None:
        self.say("early", "Expires: 60")
        self.say("late", "Expires: 600")
        self.alice.response(202, "MESSAGE")
        self.alice.response(202, "MESSAGE")
        self.board.run(61)
        self.come()
        self.assertEqual(self.hear(), "late")
        self.assertEqual(self.bob.titles, [])
        self.assertEqual((self.waiting, self.mailboxes._boxes), (0, {}))

    def test_a_week_is_the_longest(self) -> None:
        self.keep("old")
        self.board.run(LIMITS.keep_seconds)
        self.come()
        self.assertEqual((self.bob.titles, self.waiting), ([], 0))

    def test_he_does_not_want_to_be_disturbed(self) -> None:
        self.come()
        self.board.directory.apply_user(user(2, "bob", dnd=True))
        self.keep("quiet")
        self.assertEqual(self.bob.titles, [])
        self.board.directory.apply_user(user(2, "bob"))
        self.board.bus.publish(UserChanged(2))
        self.board.run(0.2)
        self.assertEqual(self.hear(), "quiet")
        self.assert_empty()

    def test_nobody_tells_that_he_may_be_disturbed_again(self) -> None:
        """Another server changed it: it is found out in the end."""
        self.come()
        self.board.directory.apply_user(user(2, "bob", dnd=True))
        self.keep("quiet")
        self.board.directory.apply_user(user(2, "bob"))
        self.board.run(LIMITS.last_delay + 1)
        self.assertEqual(self.hear(), "quiet")

    def test_he_is_disabled(self) -> None:
        self.board.directory.apply_user(user(2, "bob", enabled=False))
        self.say("x")
        self.alice.response(480, "MESSAGE")
        self.assert_empty()

    def test_a_device_gets_what_is_for_the_device(self) -> None:
        """And what is for its owner; another phone of the owner does not get what is for the device."""
        other = Phone(self.board, "192.0.2.21", "alice")
        self.say("for the desk", to="alice-desk")
        self.say("for alice", to="alice")
        self.alice.response(202, "MESSAGE")
        self.alice.response(202, "MESSAGE")
        self.come(other, "alice-soft", 11)
        self.assertEqual(self.hear(other), "for alice")
        self.assertEqual(other.titles, [])
        desk = Phone(self.board, "192.0.2.22", "alice-desk")
        self.come(desk, "alice-desk", 10)
        self.assertEqual(self.hear(desk), "for the desk")
        self.assertEqual(other.titles, [])
        self.assert_empty()


@conforms("RFC 3428 7", "RFC 4320 4.2")
class SilentTests(RelayCase):
    """Bob's phone is registered and says nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.come()

    def test_the_sender_is_told_before_they_give_up(self) -> None:
        self.say("anybody")
        self.board.run(LIMITS.patience - 1)
        self.assertNotIn("202 MESSAGE", self.alice.titles)
        self.board.run(2)
        self.alice.response(202, "MESSAGE")
        self.assertEqual(self.waiting, 1)

    def test_it_is_tried_again_later(self) -> None:
        self.say("anybody")
        self.board.run(40)
        first = self.bob.request("MESSAGE")
        self.board.run(60)
        again = self.bob.request("MESSAGE")
        self.assertEqual((again.body, again.call_id), (first.body, first.call_id))
        self.assertGreater(again.cseq.number, first.cseq.number)
        self.bob.respond(again, 200)
        self.board.run()
        self.assert_empty()

    def test_the_phone_takes_it_after_all(self) -> None:
        """Late, but in time for its own transaction: the row is not needed any more."""
        self.say("late")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.alice.response(202, "MESSAGE")
        self.bob.respond(got, 200)
        self.board.run(120)
        self.assertEqual([title for title in self.bob.titles if title == "MESSAGE"], [])
        self.assert_empty()
        self.assertEqual(self.outcomes(), {"kept": 1, "delivered": 1})

    def test_another_phone_comes_while_this_one_thinks(self) -> None:
        self.say("anybody")
        self.board.run(LIMITS.patience + 1)
        self.alice.response(202, "MESSAGE")
        other = Phone(self.board, "192.0.2.21", "bob")
        self.come(other)
        self.assertEqual(other.titles, [])
        self.board.run(17)
        self.assertEqual(self.hear(other), "anybody")
        self.assert_empty()

    def test_its_row_is_not_read_while_it_is_being_deleted(self) -> None:
        self.say("late")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.shelf.waits = True
        self.bob.respond(got, 200)
        self.board.run(30)
        self.refresh()
        self.board.run(30)
        self.assertEqual((self.bob.titles.count("MESSAGE"), len(self.shelf.rows)), (0, 1))
        self.shelf.write()
        self.assert_empty()

    def test_the_phone_refuses_it_after_all(self) -> None:
        self.say("late")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.alice.response(202, "MESSAGE")
        self.bob.respond(got, 415)
        self.board.run(120)
        self.assert_empty()
        self.assertEqual(self.outcomes(), {"kept": 1, "refused": 1})

    def answered_while_written(self, status: int) -> None:
        """The phone answers while the row is being written."""
        self.shelf.waits = True
        self.say("crossing")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.bob.respond(got, status)
        self.board.run()

    def test_the_phone_takes_it_while_the_row_is_written(self) -> None:
        self.answered_while_written(200)
        self.alice.response(200, "MESSAGE")
        self.shelf.write()
        self.board.run()
        self.assert_empty()

    def test_the_phone_refuses_it_while_the_row_is_written(self) -> None:
        self.answered_while_written(415)
        self.alice.response(415, "MESSAGE")
        self.shelf.write()
        self.board.run()
        self.assert_empty()

    def test_the_phone_takes_it_and_the_row_fails(self) -> None:
        self.answered_while_written(200)
        self.shelf.write(AWAY)
        self.shelf.fault = None
        self.alice.response(200, "MESSAGE")
        self.assert_empty()

    def test_the_phone_is_busy_while_the_row_is_written(self) -> None:
        self.answered_while_written(480)
        self.assertNotIn("480 MESSAGE", self.alice.titles)
        self.shelf.write()
        self.alice.response(202, "MESSAGE")
        self.assertEqual(self.waiting, 1)

    def test_the_store_is_away_when_the_patience_ends(self) -> None:
        """The phone may still answer; when it does not, the store is asked once more."""
        self.shelf.fault = AWAY
        self.say("x")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.shelf.fault = None
        self.bob.respond(got, 480)
        self.alice.response(202, "MESSAGE")
        self.assertEqual(self.waiting, 1)

    def test_there_is_no_room_when_the_patience_ends(self) -> None:
        self.board.location.flow_failed(self.bob.flow)
        for text in "12345":
            self.say(text, to="carol")
        for _ in "12345":
            self.alice.response(202, "MESSAGE")
        self.stop()
        self.start(attrs.evolve(LIMITS, total=5))
        self.say("x")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.assertEqual(self.alice.titles, ["100 MESSAGE"])
        self.bob.respond(got, 480)
        self.alice.response(503, "MESSAGE")
        self.assertEqual(self.waiting, 5)

    def test_the_sender_is_gone(self) -> None:
        alice = Phone(self.board, "192.0.2.31", "alice", "TCP")
        alice.send(alice.make("MESSAGE", "sip:bob@example.com", body=""))
        got = self.bob.request("MESSAGE")
        alice.flow.fail("the cable is out")
        self.board.run()
        self.bob.respond(got, 200)
        self.board.run(60)
        self.assert_empty()
