"""What must hold whatever the network and the peers do."""

from __future__ import annotations

import random
from itertools import product

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Request, Response
from gosip_py.transport.flow import Flow
from tests.conformance import conforms
from tests.network import MemoryNetwork
from tests.notifier.office import ALICE, Office, OfficeCase
from tests.proxy.switchboard import Phone

SEEDS = 40


class PatientWatcher(Phone):
    """Subscribes until it hears a 200, and answers each NOTIFY as often as it comes."""

    last: Request | None = None
    is_granted = False

    def receive_request(self, request: Request, flow: Flow) -> None:
        self.respond(request, 200)
        if self.last is None or request.cseq.number > self.last.cseq.number:
            self.last = request

    def receive_response(self, response: Response, flow: Flow) -> None:
        self.is_granted = self.is_granted or response.status == 200

    def watch(self, event: str) -> None:
        request = self.make("SUBSCRIBE", ALICE, f"Event: {event}", "Expires: 3600")
        while not self.is_granted:
            self.send(request)
            self.board.run(1)


class LossyTests(SynchronousTestCase):
    @conforms("RFC 6665 4.2.2")
    def test_in_the_end_everybody_knows_how_things_are(self) -> None:
        for seed in range(SEEDS):
            dice = random.Random(seed)
            network = MemoryNetwork(Clock(), seed, loss=0.2, duplicate=0.2, delay=(0.001, 0.8))
            office = Office(network)
            watchers = [PatientWatcher(office, f"192.0.2.{100 + number}", f"w{number}") for number in range(4)]
            for watcher in watchers:
                watcher.watch("presence")
            dnd = False
            for _ in range(10):
                dnd = not dnd
                office.change_user(1, dnd=dnd)
                office.run(dice.uniform(0, 12))
            office.run(60)
            for watcher in watchers:
                assert watcher.last is not None
                self.assertEqual(b"Do not disturb" in watcher.last.body, dnd, f"seed {seed}")
                self.assertIn("active", watcher.last.require("subscription-state"))
            self.assertEqual(office.subscriptions()["presence"], len(watchers), f"seed {seed}")
            office.notifier.stop()
            office.run(60)
            self.assertEqual((office.gauges()[3], len(office.layer.wheel)), (0, 0), f"seed {seed}")


EVENTS = ("presence", "presence;id=", 'dialog;call-id="', "reg;" + "x=1;" * 500, "", "\udc80", "presence,dialog")
EXPIRES = ("", "0", "-1", "9" * 400, "x", "60")
CONTACTS = (
    "<sip:b@192.0.2.20>",
    "<sip:b@[::1]:99999>",
    "<sip:b@no.such.host.invalid>",
    "<sip:b@192.0.2.20;transport=x>",
    "x",
)
EXTRA = (
    ("accept", ";;"),
    ("accept", "a/b;q=7"),
    ("record-route", "<sip:>"),
    ("sip-if-match", ""),
    ("require", "\udc80"),
    ("x", "y"),
)
BODIES = ("", "<presence", '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@example.com"/>')


class HostileTests(OfficeCase):
    def test_whatever_is_sent_is_answered_and_breaks_nothing(self) -> None:
        for serial, (method, event, expires, contact, extra, body) in enumerate(
            product(("SUBSCRIBE", "PUBLISH"), EVENTS, EXPIRES, CONTACTS, EXTRA, BODIES)
        ):
            if serial % 7:
                continue  # one in seven of 11340, for the time it takes
            request = self.alice.make(method, ALICE, "Content-Type: application/pidf+xml", body=body)
            for name, value in (("event", event), ("contact", contact), ("expires", expires), extra):
                request.set(name, value)
            self.alice.send(request)
            self.board.run(0.01)
            statuses = [each.status for each in self.alice.heard if isinstance(each, Response)]
            self.assertEqual(len(statuses), 1, request.to_bytes())
            self.assertNotEqual(statuses[0], 500, request.to_bytes())
            self.alice.heard.clear()
        self.assertEqual(self.flushLoggedErrors(), [])
