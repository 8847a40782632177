"""Who is pinged, how often, and what becomes of the silent."""

from __future__ import annotations

import itertools
import random
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.events import Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.keepalive import KeepAlive, LineEnds, Options
from gosip_py.registrar.location import Contact, Location
from gosip_py.transport.flow import Flow, Target
from tests.conformance import conforms
from tests.proxy.switchboard import SwitchboardCase
from tests.registrar.fakes import NOW, Journal, RememberingWriter, StillFlow, binding

INTERVAL = 25.0
SOURCE = ("203.0.113.9", 40001)


class Noted:
    """Writes down who was pinged and when."""

    def __init__(self, clock: Clock) -> None:
        self.sent: list[tuple[float, Contact]] = []
        self.forgotten: list[Contact] = []
        self._clock = clock

    def send(self, contact: Contact) -> None:
        self.sent.append((self._clock.seconds(), contact))

    def forget(self, contact: Contact) -> None:
        self.forgotten.append(contact)


class KeepAliveCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        self.location = Location(RememberingWriter(), Bus(), Metrics(), self.clock.seconds)
        self.noted = Noted(self.clock)
        chance = random.Random(1)
        self.keep_alive = KeepAlive(self.location, self.noted, self.clock, INTERVAL, chance.random)

    def add(self, contact: str = "sip:a@10.0.0.7:5060", **others: Any) -> Contact:
        """A phone behind a NAT, unless ``others`` make it another; ``at_source`` as of a Contact."""
        flow = StillFlow(others.get("transport", "UDP"), SOURCE)
        at_source = others.pop("at_source", True)
        others.setdefault("source", "203.0.113.9:40001")
        added = Contact(binding(contact, expires_at=NOW + 100_000, **others), flow, at_source)
        self.location.add(added, self.clock.seconds())
        return added

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)


class WhomTests(KeepAliveCase):
    def test_only_who_is_reached_by_datagrams_through_a_nat(self) -> None:
        wanted = [self.add("sip:a@10.0.0.7:5060"), self.add("sip:b@203.0.113.9:5060"), self.add("sip:c@10.0.0.8")]
        self.add("sip:d@203.0.113.9:40001")  # where it says
        self.add("sip:e@10.0.0.7:5060;transport=tcp", transport="TCP")
        self.add("sip:f@10.0.0.7", path="<sip:edge.example.com;lr>", at_source=False)
        self.add("sip:g@192.0.2.99", at_source=False)  # somebody else
        self.keep_alive.start()
        self.run_for(INTERVAL + 1)
        self.assertEqual({contact for _, contact in self.noted.sent}, set(wanted))
        self.assertEqual(len(self.keep_alive), 3)
        self.keep_alive.stop()

    def test_who_comes_later(self) -> None:
        self.keep_alive.start()
        late = self.add()
        self.run_for(INTERVAL + 1)
        self.assertIn(late, [contact for _, contact in self.noted.sent])
        self.keep_alive.stop()

    def test_who_moves_behind_a_nat_and_out_of_it(self) -> None:
        self.keep_alive.start()
        phone = self.add("sip:a@203.0.113.9:40001")
        self.run_for(INTERVAL + 1)
        self.assertEqual(self.noted.sent, [])
        inside = binding("sip:a@203.0.113.9:40001", source="198.51.100.1:7777", expires_at=NOW + 9999)
        self.location.refresh(phone, inside, StillFlow("UDP", ("198.51.100.1", 7777)), self.clock.seconds())
        self.run_for(INTERVAL + 1)
        pings = len(self.noted.sent)
        self.assertGreaterEqual(pings, 1)
        outside = binding("sip:a@203.0.113.9:40001", source="203.0.113.9:40001", expires_at=NOW + 9999)
        self.location.refresh(phone, outside, StillFlow("UDP", SOURCE), self.clock.seconds())
        self.run_for(3 * INTERVAL)
        self.assertEqual((len(self.noted.sent), len(self.keep_alive)), (pings, 0))
        self.keep_alive.stop()

    def test_who_leaves_is_forgotten(self) -> None:
        self.keep_alive.start()
        phone = self.add()
        self.location.remove(phone, "unregistered", NOW)
        self.run_for(INTERVAL + 1)
        self.assertEqual((self.noted.sent, self.noted.forgotten, len(self.keep_alive)), ([], [phone], 0))
        self.keep_alive.stop()

    def test_nothing_after_the_stop(self) -> None:
        self.add()
        self.keep_alive.start()
        self.keep_alive.stop()
        self.keep_alive.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PaceTests(KeepAliveCase):
    def test_each_once_in_an_interval(self) -> None:
        for number in range(40):
            self.add(f"sip:a{number}@10.0.0.7:5060")
        self.keep_alive.start()
        self.run_for(10 * INTERVAL)
        by_contact: dict[Contact, list[float]] = {}
        for at, contact in self.noted.sent:
            by_contact.setdefault(contact, []).append(at)
        self.assertEqual(len(by_contact), 40)
        for times in by_contact.values():
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            self.assertLess(max(gaps), INTERVAL + 0.5)
            self.assertGreater(min(gaps), INTERVAL - 0.5)
        self.keep_alive.stop()

    def test_a_thousand_who_registered_at_once_are_not_pinged_at_once(self) -> None:
        self.keep_alive.start()
        for number in range(1000):
            self.add(f"sip:a{number}@10.0.0.7:5060", aor=f"sip:a{number}@example.com")
        self.run_for(2 * INTERVAL)
        each_second: dict[int, int] = {}
        for at, _ in self.noted.sent:
            each_second[int(at)] = each_second.get(int(at), 0) + 1
        self.assertLess(max(each_second.values()), 3 * 1000 / INTERVAL)
        self.assertGreaterEqual(len(self.noted.sent), 1900)
        self.keep_alive.stop()

    def test_even_when_chance_is_against_it(self) -> None:
        keep_alive = KeepAlive(self.location, self.noted, self.clock, INTERVAL, lambda: 0.0)
        keep_alive.start()
        for number in range(1000):
            self.add(f"sip:a{number}@10.0.0.7:5060", aor=f"sip:a{number}@example.com")
        self.clock.advance(0.1)
        self.assertLess(len(self.noted.sent), 20)
        self.run_for(2 * INTERVAL)
        self.assertEqual(len({contact for _, contact in self.noted.sent}), 1000)
        keep_alive.stop()


class LineEndTests(KeepAliveCase):
    def test_what_is_sent(self) -> None:
        asked: list[tuple[Target, int]] = []
        flow = StillFlow("UDP", SOURCE)

        def flow_to(target: Target, size: int) -> Flow:
            asked.append((target, size))
            return flow

        ping = LineEnds(flow_to)
        phone = self.add()
        ping.send(phone)
        phone.flow = None  # as after a restart
        ping.send(phone)
        self.assertEqual(flow.sent, [b"\r\n\r\n"] * 2)
        self.assertEqual(asked[1], (Target("UDP", *SOURCE), 0))


class OptionsTests(SwitchboardCase):
    """With the real transactions, and Bob behind a NAT."""

    def setUp(self) -> None:
        super().setUp()
        board = self.board
        self.removed = Journal(board.bus)
        for contact in board.location.lookup("sip:200@example.com", board.now()):
            board.location.remove(contact, "set up anew", board.now())
        self.removed.take()
        self.bob.register("200", 20, "sip:bob@10.0.0.7:5060")
        (self.contact,) = board.location.lookup("sip:200@example.com", board.now())
        ping = Options(board.location, board.sender, "example.com", board.now)
        self.keep_alive = KeepAlive(board.location, ping, board.clock, INTERVAL, lambda: 0.0)
        self.ping = ping
        self.removed.take()

    def test_any_answer_shows_that_it_is_there(self) -> None:
        for status in (200, 405, 481, 503):
            self.ping.send(self.contact)
            asked = self.bob.request("OPTIONS")
            self.assertEqual(asked.uri_text, "sip:bob@10.0.0.7:5060")
            self.bob.respond(asked, status)
            self.board.run(40)
        self.assertTrue(self.board.location.holds(self.contact))

    @conforms(
        "RFC 3261 8.1.1",
        "RFC 3261 8.1.1.1",
        "RFC 3261 8.1.1.2",
        "RFC 3261 8.1.1.3",
        "RFC 3261 8.1.1.4",
        "RFC 3261 8.1.1.6",
        "RFC 3261 11.1",
    )
    def test_it_is_made_like_any_request(self) -> None:
        asked = []
        for _ in range(2):
            self.ping.send(self.contact)
            asked.append(self.bob.request("OPTIONS"))
            self.bob.respond(asked[-1], 200)
            self.board.run(40)
        for request in asked:
            self.assertEqual((request.uri_text, request.to.uri_text), (self.contact.uri_text, self.contact.uri_text))
            self.assertEqual((request.to_tag, request.from_.uri_text), ("", "sip:example.com"))
            self.assertEqual((request.value("max-forwards"), request.cseq.method), ("70", "OPTIONS"))
            self.assertEqual(len(request.values("via")), 1)
        for values in (
            {request.call_id for request in asked},
            {request.from_tag for request in asked},
            {request.top_via.branch for request in asked},
        ):
            self.assertEqual(len(values - {""}), 2)

    def test_silent_three_times(self) -> None:
        self.keep_alive.start()
        self.board.run(3 * 2 * INTERVAL + 40)
        self.keep_alive.stop()
        self.assertEqual(self.removed.take(), [("BindingRemoved", "sip:bob@10.0.0.7:5060", "not answering")])
        self.assertEqual(self.board.location.lookup("sip:200@example.com", self.board.now()), [])

    def test_an_answer_between_begins_the_count_anew(self) -> None:
        for is_answered in (False, False, True, False, False):
            self.bob.heard.clear()
            self.ping.send(self.contact)
            if is_answered:
                self.bob.respond(self.bob.request("OPTIONS"), 200)
            self.board.run(40)
        self.assertTrue(self.board.location.holds(self.contact))

    def test_not_asked_again_before_it_could_answer(self) -> None:
        self.ping.send(self.contact)
        self.ping.send(self.contact)
        self.board.run(40)
        self.assertEqual([self.bob.titles.count("OPTIONS")], [1])

    def test_who_came_by_a_connection_meanwhile_is_not_counted(self) -> None:
        """Nobody would be there to forget the count."""
        location = self.board.location
        self.keep_alive.start()
        self.board.run(1)
        self.assertEqual(self.bob.titles, ["OPTIONS"])
        moved = attrs.evolve(self.contact.binding, transport="TCP", source="203.0.113.9:40009")
        location.refresh(self.contact, moved, StillFlow("TCP", ("203.0.113.9", 40009)), self.board.now())
        self.board.run(2 * INTERVAL)
        self.keep_alive.stop()
        self.assertEqual((len(self.keep_alive), self.ping._unanswered), (0, {}))

    def test_who_left_meanwhile_is_not_counted(self) -> None:
        for _ in range(3):
            self.ping.send(self.contact)
            self.board.location.remove(self.contact, "unregistered", self.board.now())
            self.board.run(40)
        self.assertEqual([reason for _, _, reason in self.removed.take()], ["unregistered"])
