"""When what waits is tried, again and again, and what becomes of it (RFC 3428 7)."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from gosip_py.events import BindingRefreshed
from gosip_py.messaging.mailbox import Mailbox
from gosip_py.messaging.recipient import Recipient
from gosip_py.proxy.route import ProxyTarget
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.records import BindingKey
from tests.conformance import conforms
from tests.messaging.board import AWAY, LIMITS, RelayCase
from tests.proxy.switchboard import Phone

BOB = Recipient(2)


@conforms("RFC 3428 7")
class AttemptTests(RelayCase):
    """Something waits for Bob, and he comes."""

    def setUp(self) -> None:
        super().setUp()
        self.keep("one", "two")

    def box(self) -> Mailbox:
        return self.mailboxes._boxes[BOB]

    def test_a_final_refusal_drops_it_and_goes_on(self) -> None:
        self.come()
        for status in (404, 415):
            self.hear(status=status)
        self.assert_empty()
        self.assertEqual(self.outcomes(), {"kept": 2, "refused": 2})

    def test_each_status(self) -> None:
        """What stays and what goes."""
        kept = {302, 408, 430, 480, 486, 500, 503, 504}
        for status in (*kept, 400, 401, 403, 404, 405, 413, 415, 488, 501, 505, 513, 600, 603, 606):
            self.tearDown()
            self.setUp()
            self.come()
            self.hear(status=status)
            self.assertEqual(self.lying(), ["one", "two"] if status in kept else ["two"], status)

    def test_again_after_a_minute_then_twice_as_long(self) -> None:
        self.come()
        self.hear(status=480)
        for delay in (60, 120, 240, 480, 960, 1920, 3600, 3600):
            self.board.run(delay - 1.2)
            self.assertEqual(self.bob.titles, [], delay)
            self.board.run(1.3)
            self.hear(status=480)
        self.board.run(3600)
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.assert_empty()

    def test_after_a_success_the_delays_begin_anew(self) -> None:
        self.come()
        self.hear(status=480)
        self.board.run(61)
        self.hear(status=480)
        self.board.run(121)
        self.hear()
        self.hear(status=480)
        self.assertEqual(self.box().failures, 1)
        self.board.run(61)
        self.assertEqual(self.hear(), "two")

    def test_nobody_answers(self) -> None:
        self.come()
        self.board.run(33)
        self.assertEqual(self.bob.request("MESSAGE").body, b"one")
        self.board.run(61)
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.assert_empty()

    def test_a_phone_that_cannot_be_reached(self) -> None:
        self.bob.register("bob", 20, "sip:bob@192.0.2.99:5060;transport=tcp", is_at_source=False)
        self.board.run(1)
        self.assertEqual(self.box().failures, 1)

    def test_a_path_that_cannot_be_read(self) -> None:
        self.bob.register("bob", 20, path="nonsense")
        self.board.run(1)
        self.assertEqual(self.lying(), ["one", "two"])

    def test_when_the_phone_registers_again(self) -> None:
        self.come()
        self.hear(status=480)
        self.refresh()
        self.board.run(0.2)
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.assert_empty()

    def test_refreshes_are_heard_only_while_they_help(self) -> None:
        bus = self.board.bus
        self.assertFalse(bus.has_listeners(BindingRefreshed))
        self.come()
        self.hear(status=480)
        self.assertTrue(bus.has_listeners(BindingRefreshed))
        self.refresh()
        self.board.run(0.2)
        self.hear()
        self.assertFalse(bus.has_listeners(BindingRefreshed))
        self.hear()

    def test_a_refresh_of_somebody_else(self) -> None:
        carol = Phone(self.board, "192.0.2.26", "carol")
        carol.register("carol", 30)
        self.come()
        self.hear(status=480)
        self.bob.board.location.refresh(
            contact := self.board.location.lookup("sip:carol@example.com", self.board.now())[0],
            contact.binding,
            self.board.transport.flow_of("UDP", carol.flow.local),
            self.board.now(),
        )
        self.board.run(1)
        self.assertEqual((self.bob.titles, carol.titles), ([], []))

    def test_another_phone_comes(self) -> None:
        self.come()
        self.hear(status=480)
        other = Phone(self.board, "192.0.2.21", "bob")
        self.come(other)
        self.assertEqual(self.hear(status=480), "one")
        self.assertEqual(self.hear(other), "one")
        self.assertEqual(self.hear(status=480), "two")
        self.assertEqual(self.hear(other), "two")
        self.assert_empty()

    def test_another_phone_comes_during_an_attempt(self) -> None:
        self.come()
        got = self.bob.request("MESSAGE")
        other = Phone(self.board, "192.0.2.21", "bob")
        self.come(other)
        self.bob.respond(got, 480)
        self.assertEqual((self.hear(other), self.hear(other)), ("one", "two"))

    @conforms("RFC 3428 8")
    def test_a_phone_that_says_nothing_is_not_sent_the_next(self) -> None:
        """One message at a time to one place."""
        other = Phone(self.board, "192.0.2.21", "bob")
        other.register("200", 20)
        self.come()
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.board.run(5)
        self.assertEqual([message.body for message in other.heard], [b"one"])
        self.assert_empty()

    def test_a_message_that_goes_through_brings_the_others(self) -> None:
        self.come()
        self.hear(status=480)
        self.say("three")
        self.assertEqual([self.hear() for _ in range(3)], ["three", "one", "two"])
        self.alice.response(200, "MESSAGE")
        self.assert_empty()

    def test_he_goes_before_the_attempt(self) -> None:
        self.bob.register("bob", 20)
        self.board.location.remove_key(
            BindingKey("sip:bob@example.com", self.bob.contact), "unregistered", self.board.now()
        )
        self.board.run(LIMITS.last_delay)
        self.assertEqual((self.bob.titles, self.lying()), ([], ["one", "two"]))
        self.come()
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))

    def test_his_account_is_gone(self) -> None:
        self.shelf.rows.clear()
        self.board.directory.forget_user(2)
        self.board.run(LIMITS.last_delay + 1)
        self.assert_empty()

    def test_octets_of_another_version(self) -> None:
        self.shelf.rows[1] = attrs.evolve(self.shelf.rows[1], request=b"what is this")
        self.come()
        self.assertEqual(self.hear(), "two")
        self.assertEqual(self.outcomes(), {"kept": 2, "refused": 1, "delivered": 1})

    # -- the store --------------------------------------------------------------------------------------------------

    def test_the_store_is_away_when_he_comes(self) -> None:
        self.shelf.fault = AWAY
        self.come()
        self.assertEqual(self.bob.titles, [])
        self.shelf.fault = None
        self.board.run(61)
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.assert_empty()

    def test_the_store_is_away_when_one_was_delivered(self) -> None:
        """It is not delivered twice: its row goes before the next is read."""
        self.come()
        got = self.bob.request("MESSAGE")
        self.shelf.fault = AWAY
        self.bob.respond(got, 200)
        self.board.run()
        self.shelf.fault = None
        self.assertEqual(self.lying(), ["one", "two"])
        self.board.run(61)
        self.assertEqual(self.hear(), "two")
        self.assert_empty()

    def test_the_last_one_was_delivered_and_the_store_is_away(self) -> None:
        self.come()
        self.hear()
        got = self.bob.request("MESSAGE")
        self.shelf.fault = AWAY
        self.bob.respond(got, 200)
        self.board.run(30)
        self.shelf.fault = None
        self.assertEqual((self.lying(), self.waiting), (["two"], 0))
        self.board.run(61)
        self.assertEqual(self.bob.titles, [])
        self.assert_empty()

    def test_one_is_taken_late_and_the_store_is_away(self) -> None:
        self.come()
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.say("late")
        got = self.bob.request("MESSAGE")
        self.board.run(LIMITS.patience + 1)
        self.shelf.fault = AWAY
        self.bob.respond(got, 200)
        self.board.run(10)
        self.shelf.fault = None
        self.board.run(200)
        self.assertEqual(self.bob.titles.count("MESSAGE"), 0)
        self.assert_empty()


@conforms("RFC 3428 7")
class RestartTests(RelayCase):
    def test_what_waited_before_is_delivered_to_who_is_there(self) -> None:
        self.keep("one", "two")
        self.say("for carol", to="carol")
        self.alice.response(202, "MESSAGE")
        self.stop()
        self.bob.register("bob", 20)
        self.board.run(10)
        self.assertEqual(self.bob.titles, [])
        self.start()
        self.assertEqual(self.waiting, 3)
        self.board.run(1)
        self.assertEqual((self.hear(), self.hear()), ("one", "two"))
        self.assertEqual((self.waiting, self.lying()), (1, ["for carol"]))

    def test_a_stop_in_the_middle_of_a_delivery(self) -> None:
        self.keep("one")
        self.come()
        got = self.bob.request("MESSAGE")
        self.stop()
        self.bob.respond(got, 200)
        self.board.run(100)
        self.assertEqual(self.lying(), ["one"])

    def test_a_stop_while_a_row_is_written(self) -> None:
        self.shelf.waits = True
        self.say("one")
        self.board.run()
        self.stop()
        self.alice.response(503, "MESSAGE")

    def test_one_that_comes_after_the_stop(self) -> None:
        self.stop()
        self.say("one")
        self.alice.response(503, "MESSAGE")

    def test_the_store_is_away_at_the_start(self) -> None:
        self.stop()
        self.shelf.fault = AWAY
        self.failureResultOf(Deferred.fromCoroutine(self.relay.open()), DatabaseUnavailable)


class BoundTests(RelayCase):
    """Nothing grows without end."""

    def test_so_many_are_served_at_once(self) -> None:
        """Two here: whoever is third waits until one of them is done."""
        names = ("alice", "bob", "carol")
        phones = [Phone(self.board, f"192.0.2.4{number}", name) for number, name in enumerate(names)]
        for name in names:
            self.say(f"for {name}", to=name)
            self.alice.response(202, "MESSAGE")
        for phone, name, device_id in zip(phones, names, (10, 20, 30), strict=True):
            phone.register(name, device_id)
        self.board.run(1)
        served = [phone for phone in phones if phone.titles]
        self.assertEqual(len(served), LIMITS.at_once)
        self.hear(served[0])
        self.assertTrue(all(phone.titles for phone in phones if phone is not served[0]))
        for phone in phones:
            if phone is not served[0]:
                self.hear(phone)
        self.assert_empty()

    def prune(self) -> int:
        return self.successResultOf(Deferred.fromCoroutine(self.mailboxes.prune(self.board.now())))

    def test_pruning(self) -> None:
        self.say("short", "Expires: 60")
        self.keep("long")
        self.say("short", "Expires: 60", to="carol")
        self.board.run(61)
        self.assertEqual(self.prune(), 2)
        self.assertEqual((self.lying(), self.waiting), (["long"], 1))
        self.assertEqual(set(self.mailboxes._boxes), {BOB})
        self.assertEqual(self.outcomes()["expired"], 2)
        self.assertEqual(self.prune(), 0)

    def test_nobody_is_remembered_for_whom_nothing_waits(self) -> None:
        for text in "123":
            self.keep(text)
            self.come()
            self.hear()
            self.board.location.remove_key(
                BindingKey("sip:bob@example.com", self.bob.contact), "unregistered", self.board.now()
            )
        self.assert_empty()

    def test_what_it_says_shows_nowhere(self) -> None:
        self.keep("a secret")
        self.come()
        self.hear(status=415)
        for shown in (repr(self.shelf.rows), self.board.metrics.render().decode()):
            self.assertNotIn("secret", shown)


class CorrespondentsTests(RelayCase):
    """Who can take a message where."""

    def test_whose_phone_registers(self) -> None:
        at = self.mailboxes._correspondents.at
        self.assertEqual(at("sip:bob@example.com"), (Recipient(2),))
        self.assertEqual(at("sip:200@example.com"), (Recipient(2), Recipient(2, 20)))
        self.assertEqual(at("sip:nobody@example.com"), ())

    def test_where_they_are(self) -> None:
        targets = self.mailboxes._correspondents.targets
        self.bob.register("200", 20, q=500)
        expected = [(self.bob.contact, 500)]
        for recipient in (Recipient(2), Recipient(2, 20)):
            found: tuple[ProxyTarget, ...] = targets(recipient)
            self.assertEqual([(each.uri_text, each.q) for each in found], expected)
        for recipient in (Recipient(3), Recipient(99), Recipient(2, 99), Recipient(3, 20)):
            self.assertEqual(targets(recipient), ())

    def test_somebody_who_was_deleted(self) -> None:
        self.board.directory.forget_user(2)
        self.assertEqual(self.mailboxes._correspondents.targets(Recipient(2, 20)), ())
