"""The location service."""

from __future__ import annotations

import gc
import random
import tracemalloc

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.events import BindingRemoved, Bus
from gosip_py.metrics import Metrics
from gosip_py.registrar.contacts import read_wanted
from gosip_py.registrar.location import Contact, Location
from gosip_py.sip.errors import ParseError
from gosip_py.store.records import Binding, BindingKey
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.registrar.fakes import NOW, Journal, RememberingWriter, StillFlow, binding

AOR = "sip:alice@example.com"


class LocationCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.bus = Bus()
        self.journal = Journal(self.bus)
        self.writer = RememberingWriter()
        self.metrics = Metrics()
        self.location = Location(self.writer, self.bus, self.metrics)

    def add(
        self, contact: str = "sip:alice@192.0.2.5:5060", flow: StillFlow | None = None, seconds: float = 60
    ) -> Contact:
        added = Contact(binding(contact, expires_at=NOW + seconds), flow or StillFlow())
        self.location.add(added, NOW)
        return added

    def gauge(self) -> float:
        line = next(
            line for line in self.metrics.render().decode().splitlines() if line.startswith("sip_registrations ")
        )
        return float(line.split()[1])

    def found(self, now: float = NOW) -> list[str]:
        return [contact.uri_text for contact in self.location.lookup(AOR, now)]


class ChangeTests(LocationCase):
    def test_added(self) -> None:
        contact = self.add("sip:a@192.0.2.5")
        self.assertEqual(self.found(), ["sip:a@192.0.2.5"])
        self.assertEqual(self.writer.rows, {contact.key: contact.binding})
        self.assertEqual(self.journal.take(), [("BindingAdded", "sip:a@192.0.2.5", "registered")])
        self.assertEqual(self.gauge(), 1)

    def test_nobody_registered(self) -> None:
        self.assertEqual(self.location.lookup("sip:nobody@example.com", NOW), [])

    def test_refreshed(self) -> None:
        contact = self.add("sip:a@192.0.2.5")
        self.journal.take()
        moved = StillFlow(remote=("192.0.2.6", 5060))
        newer = binding("sip:a@192.0.2.5", expires_at=NOW + 600, cseq=2)
        self.location.refresh(contact, newer, moved, NOW)
        self.assertEqual(self.writer.rows, {contact.key: newer})
        self.assertIs(self.location.lookup(AOR, NOW)[0].flow, moved)
        self.assertEqual(self.journal.take(), [("BindingRefreshed", "sip:a@192.0.2.5", "refreshed")])
        self.assertEqual(self.gauge(), 1)

    def test_removed(self) -> None:
        contact = self.add("sip:a@192.0.2.5")
        self.add("sip:b@192.0.2.5")
        self.journal.take()
        self.location.remove(contact, "unregistered", NOW)
        self.location.remove(contact, "unregistered", NOW)
        self.assertEqual(self.found(), ["sip:b@192.0.2.5"])
        self.assertEqual([key.contact for key in self.writer.rows], ["sip:b@192.0.2.5"])
        self.assertEqual(self.journal.take(), [("BindingRemoved", "sip:a@192.0.2.5", "unregistered")])
        self.assertEqual(self.gauge(), 1)

    def test_removed_by_its_uri(self) -> None:
        self.add("sip:a@192.0.2.5")
        self.assertFalse(self.location.remove_key(BindingKey(AOR, "sip:b@192.0.2.5"), "ended by an administrator", NOW))
        self.assertFalse(
            self.location.remove_key(
                BindingKey("sip:bob@example.com", "sip:a@192.0.2.5"), "ended by an administrator", NOW
            )
        )
        self.assertTrue(self.location.remove_key(BindingKey(AOR, "sip:a@192.0.2.5"), "ended by an administrator", NOW))
        self.assertEqual((self.found(), self.gauge()), ([], 0))

    def test_iterating_allows_changes(self) -> None:
        for name in "abc":
            self.add(f"sip:{name}@192.0.2.5")
        for contact in self.location:
            self.location.remove(contact, "unregistered", NOW)
        self.assertEqual(len(self.location), 0)


class ExpiryTests(LocationCase):
    def test_what_has_expired_is_not_found_even_before_the_sweep(self) -> None:
        self.add("sip:a@192.0.2.5", seconds=60)
        self.assertEqual(self.found(NOW + 59.9), ["sip:a@192.0.2.5"])
        self.assertEqual(self.found(NOW + 60), [])

    def test_swept(self) -> None:
        self.add("sip:a@192.0.2.5", seconds=60)
        self.add("sip:b@192.0.2.5", seconds=90)
        self.journal.take()
        self.assertEqual(self.location.expire(NOW + 59.9), 0)
        self.assertEqual(self.location.expire(NOW + 60), 1)
        self.assertEqual(self.journal.take(), [("BindingRemoved", "sip:a@192.0.2.5", "expired")])
        self.assertEqual([key.contact for key in self.writer.rows], ["sip:b@192.0.2.5"])
        self.assertEqual(self.location.expire(NOW + 1e6), 1)
        self.assertEqual((self.gauge(), self.writer.rows), (0, {}))

    def test_a_refresh_puts_it_off(self) -> None:
        contact = self.add(seconds=60)
        self.location.refresh(contact, binding(expires_at=NOW + 120), StillFlow(), NOW)
        self.assertEqual(self.location.expire(NOW + 60), 0)
        self.assertEqual(self.location.expire(NOW + 119), 0)
        self.assertEqual(self.location.expire(NOW + 120), 1)

    def test_a_refresh_may_also_shorten_it(self) -> None:
        contact = self.add(seconds=600)
        self.location.refresh(contact, binding(expires_at=NOW + 60), StillFlow(), NOW)
        self.assertEqual(self.location.expire(NOW + 60), 1)
        self.assertEqual(self.location.expire(NOW + 600), 0)

    def test_shortened_and_put_off_again(self) -> None:
        contact = self.add(seconds=600)
        self.location.refresh(contact, binding(expires_at=NOW + 60), StillFlow(), NOW)
        self.location.refresh(contact, binding(expires_at=NOW + 900), StillFlow(), NOW)
        self.assertEqual(self.location.expire(NOW + 899), 0)
        self.assertEqual(self.location.expire(NOW + 900), 1)

    def test_gone_before_its_time_and_there_again(self) -> None:
        self.location.remove(self.add(seconds=60), "unregistered", NOW)
        self.add(seconds=120)
        self.assertEqual(self.location.expire(NOW + 60), 0)
        self.assertEqual(self.found(NOW + 60), ["sip:alice@192.0.2.5:5060"])

    def test_who_leaves_early_leaves_nothing_in_the_queue(self) -> None:
        for _ in range(1000):
            self.location.remove(self.add(seconds=3600), "unregistered", NOW)
        self.assertLess(len(self.location._queue), 70)

    def test_a_refresh_does_not_grow_the_queue(self) -> None:
        contact = self.add(seconds=60)
        for seconds in range(61, 1061):
            self.location.refresh(contact, binding(expires_at=NOW + seconds), StillFlow(), NOW)
        self.assertEqual(len(self.location._queue), 1)

    def test_a_listener_may_register_while_others_expire(self) -> None:
        self.bus.subscribe(BindingRemoved, lambda event: self.add(f"{event.contact}x", seconds=3600))
        for number in range(200):
            self.add(f"sip:{number}@192.0.2.5", seconds=60)
        self.assertEqual(self.location.expire(NOW + 60), 200)
        self.assertEqual(len(self.location), 200)

    def test_against_a_plain_list(self) -> None:
        """Whatever happens in whatever order: the same contacts as a list of deadlines would have."""
        chance = random.Random(5)
        deadlines: dict[str, float] = {}
        contacts: dict[str, Contact] = {}
        now = NOW
        for _ in range(5000):
            name = f"sip:{chance.randrange(40)}@192.0.2.5"
            now += chance.random()
            self.location.expire(now)
            deadlines = {each: at for each, at in deadlines.items() if at > now}
            until = now + chance.choice((1, 5, 30, 31))
            if name not in deadlines:
                contacts[name] = Contact(binding(name, expires_at=until), StillFlow())
                self.location.add(contacts[name], now)
                deadlines[name] = until
            elif chance.random() < 0.2:
                self.location.remove(contacts[name], "unregistered", now)
                del deadlines[name]
            else:
                self.location.refresh(contacts[name], binding(name, expires_at=until), StillFlow(), now)
                deadlines[name] = until
            self.assertEqual(sorted(self.found(now)), sorted(deadlines))
            self.assertEqual(len(self.location), len(deadlines))

    def test_by_itself(self) -> None:
        clock = Clock()
        clock.rightNow = NOW
        self.add(seconds=10)
        self.location.start(clock)
        clock.pump([1.0] * 9)
        self.assertEqual(len(self.location), 1)
        clock.pump([1.0] * 2)
        self.assertEqual(len(self.location), 0)
        self.location.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
        self.location.stop()


class FlowTests(LocationCase):
    def test_while_the_connection_stands(self) -> None:
        flow = StillFlow("TCP", ("203.0.113.9", 51234))
        contact = Contact(binding("sip:a@10.0.0.7;transport=tcp", transport="TCP"), flow)
        self.location.add(contact, NOW)
        self.assertEqual(contact.target, Target("TCP", "203.0.113.9", 51234, flow))
        self.assertFalse(contact.is_cut_off)

    def test_a_failed_connection_leaves_the_binding(self) -> None:
        flow = StillFlow("TCP", ("192.0.2.5", 51234))
        contact = Contact(binding("sip:a@192.0.2.5:5062;transport=tcp", transport="TCP"), flow)
        self.location.add(contact, NOW)
        self.location.flow_failed(flow)
        self.assertEqual(self.found(), ["sip:a@192.0.2.5:5062;transport=tcp"])
        self.assertEqual(contact.target, Target("TCP", "192.0.2.5", 5062))
        self.assertTrue(contact.is_cut_off)

    @conforms("RFC 7118 4.1")
    def test_a_page_in_a_browser_that_was_closed_is_gone(self) -> None:
        flow = StillFlow("WSS", ("203.0.113.9", 51234))
        self.location.add(Contact(binding("sip:a@x3f.invalid;transport=ws", transport="WSS"), flow), NOW)
        self.location.flow_failed(flow)
        self.assertEqual((self.found(), self.writer.rows), ([], {}))

    def test_a_connection_that_closed_and_nobody_told(self) -> None:
        flow = StillFlow("TLS", ("192.0.2.5", 51234))
        contact = Contact(binding("sip:a@192.0.2.5", transport="TLS"), flow)
        self.location.add(contact, NOW)
        flow.has_failed = True
        self.assertEqual(contact.target, Target("TLS", "192.0.2.5", 5061))

    def test_only_the_contacts_of_that_flow(self) -> None:
        first, second = StillFlow("TCP", ("192.0.2.5", 1)), StillFlow("TCP", ("192.0.2.5", 2))
        one, other = self.add("sip:a@192.0.2.5", first), self.add("sip:b@192.0.2.5", second)
        self.location.refresh(one, one.binding, second, NOW)
        self.location.flow_failed(first)
        self.assertIs(one.flow, second)
        self.location.flow_failed(second)
        self.assertEqual((one.flow, other.flow), (None, None))
        self.location.flow_failed(second)

    def test_a_flow_of_nobody_is_not_kept(self) -> None:
        flow = StillFlow("TCP")
        self.location.remove(self.add("sip:a@192.0.2.5", flow), "unregistered", NOW)
        self.location.expire(NOW + 60)
        self.assertEqual(self.location._by_flow, {})

    def test_a_phone_that_is_reached_at_its_contact(self) -> None:
        contact = Contact(binding("sip:box@192.0.2.99:5080"), StillFlow(), is_at_source=False)
        self.assertEqual(contact.target, Target("UDP", "192.0.2.99", 5080))
        contact = Contact(binding("sip:box@box.example.com;transport=tcp"), StillFlow(), is_at_source=False)
        self.assertEqual(contact.target, Target("TCP", "box.example.com", 0))
        contact = Contact(binding("sips:box@[2001:db8::9]"), StillFlow(), is_at_source=False)
        self.assertEqual(contact.target, Target("TLS", "2001:db8::9", 5061))

    def test_by_a_path(self) -> None:
        path = '"a, b" <sip:edge.example.com:5090;lr>, <sip:second.example.com;lr>'
        contact = Contact(binding("sip:a@10.0.0.7", path=path), StillFlow(), is_at_source=False)
        self.assertEqual(contact.path, ('"a, b" <sip:edge.example.com:5090;lr>', "<sip:second.example.com;lr>"))
        self.assertEqual(contact.target, Target("UDP", "edge.example.com", 5090))
        self.assertEqual(Contact(binding(), None).path, ())

    def test_a_record_that_cannot_be_read(self) -> None:
        broken = Contact(binding("nonsense", transport="TCP"), None)
        self.assertRaises(ParseError, lambda: broken.target)


class TranslatedTests(LocationCase):
    def translated(self, contact: str, **others: str) -> bool:
        return Contact(binding(contact, **others), None).is_translated

    def test_by_datagrams_host_and_port_tell(self) -> None:
        for contact, expected in (
            ("sip:a@192.0.2.5:5060", False),
            ("sip:a@192.0.2.5", False),
            ("sip:a@192.0.2.5:5062", True),
            ("sip:a@10.0.0.7:5060", True),
            ("sip:a@phone.example.com", True),
            ("nonsense", False),
        ):
            self.assertEqual(self.translated(contact), expected, contact)
        self.assertFalse(self.translated("sip:a@[2001:db8::5]:5060", source="[2001:db8::5]:5060"))

    def test_by_a_connection_only_the_host_tells(self) -> None:
        for contact, expected in (("sip:a@192.0.2.5:5062", False), ("sip:a@10.0.0.7", True), ("sip:a@x.invalid", True)):
            self.assertEqual(self.translated(contact, transport="TCP"), expected, contact)

    def test_who_must_be_reached_by_the_same_flow(self) -> None:
        for contact, expected in (
            (Contact(binding("sip:a@10.0.0.7"), None), True),
            (Contact(binding("sip:a@192.0.2.5"), None), False),
            (Contact(binding("sip:a@192.0.2.99"), None, is_at_source=False), False),
            (Contact(binding("sip:a@10.0.0.7", path="<sip:edge.example.com;lr>"), None), False),
            (Contact(binding("sip:a@192.0.2.5", flow="1;<urn:uuid:1>"), None), True),
        ):
            self.assertEqual(contact.stays_on_flow, expected, contact)


class Kept:
    """A store with these bindings."""

    def __init__(self, *bindings: Binding) -> None:
        self.bindings = bindings

    async def load_all(self, now: float) -> tuple[Binding, ...]:
        return tuple(each for each in self.bindings if each.expires_at > now)


class RestoreTests(LocationCase):
    def restore(self, *bindings: Binding) -> int:
        return self.successResultOf(Deferred.fromCoroutine(self.location.restore(Kept(*bindings), NOW)))

    def test_found_again_without_being_written_or_told(self) -> None:
        self.assertEqual(self.restore(binding("sip:a@192.0.2.5"), binding("sip:b@192.0.2.5", expires_at=NOW - 1)), 1)
        self.assertEqual(self.found(), ["sip:a@192.0.2.5"])
        self.assertEqual((self.writer.puts, self.journal.take(), self.gauge()), (0, [], 1))

    def test_reached_at_its_source(self) -> None:
        self.restore(
            binding("sip:a@10.0.0.7", source="203.0.113.9:40000"),
            binding("sip:b@10.0.0.7", source="[2001:db8::5]:40001"),
        )
        targets = [contact.target for contact in self.location.lookup(AOR, NOW)]
        self.assertEqual(targets, [Target("UDP", "203.0.113.9", 40000), Target("UDP", "2001:db8::5", 40001)])

    def test_a_connection_does_not_survive(self) -> None:
        self.restore(binding("sip:a@192.0.2.5:5062", transport="TCP", source="192.0.2.5:51234"))
        self.assertEqual(self.location.lookup(AOR, NOW)[0].target, Target("TCP", "192.0.2.5", 5062))

    def test_expires_in_time(self) -> None:
        self.restore(binding("sip:a@192.0.2.5", expires_at=NOW + 30))
        self.assertEqual(self.location.expire(NOW + 30), 1)
        self.assertEqual(self.gauge(), 0)

    def test_who_registered_meanwhile_is_left_alone(self) -> None:
        fresh = self.add("sip:a@192.0.2.5", seconds=600)
        self.assertEqual(self.restore(binding("sip:a@192.0.2.5", cseq=0)), 0)
        self.assertEqual(self.location.lookup(AOR, NOW), [fresh])

    def test_flows_of_one_phone(self) -> None:
        """They may have one contact; a connection does not survive, and nobody is called at its address instead."""
        source = {"transport": "TCP", "source": "203.0.113.9:40001"}
        self.restore(
            binding("sip:a@192.0.2.5", flow="1;<urn:uuid:1>", **source),
            binding("sip:a@192.0.2.5", flow="2;<urn:uuid:1>"),
            binding("sip:a@192.0.2.5", flow="3;<urn:uuid:1>", path="<sip:edge.example.com;lr;ob>", **source),
        )
        there = self.location.lookup(AOR, NOW)
        self.assertEqual([contact.is_reachable for contact in there], [False, True, True])

    @conforms("RFC 7118 4.1")
    def test_a_page_in_a_browser_does_not_survive(self) -> None:
        """But for its temporary GRUUs, which are good until it registers again; nor is it called with them."""
        source = {"transport": "WSS", "source": "203.0.113.9:40001"}
        self.restore(
            binding("sip:a@x3f.invalid;transport=ws", **source),
            binding("sip:b@x3f.invalid;transport=ws", gruu="00112233", instance="<urn:uuid:1>", **source),
            binding("sip:c@x3f.invalid;transport=ws", path="<sip:edge.example.com;lr>", **source),
        )
        there = self.location.lookup(AOR, NOW)
        self.assertEqual([contact.is_reachable for contact in there], [False, True])
        self.assertEqual((self.writer.puts, self.writer.rows), (1, {}))

    def test_reattached_to_the_socket_that_they_know(self) -> None:
        self.restore(
            binding("sip:a@10.0.0.7", source="203.0.113.9:40000", local="192.0.2.1:5080"),
            binding("sip:b@10.0.0.7", source="[2001:db8::5]:40001", local="[::]:5060"),
            binding("sip:c@10.0.0.7", source="203.0.113.9:40002", transport="TCP"),
        )
        asked: list[tuple[tuple[str, int], tuple[str, int]]] = []
        flow = StillFlow()

        def find(local: tuple[str, int], remote: tuple[str, int]) -> StillFlow:
            asked.append((local, remote))
            return flow

        self.location.reattach(find)
        self.assertEqual(asked, [(("192.0.2.1", 5080), ("203.0.113.9", 40000)), (("::", 5060), ("2001:db8::5", 40001))])
        self.assertEqual([contact.flow for contact in self.location.lookup(AOR, NOW)], [flow, flow, None])


class MemoryTests(LocationCase):
    def test_ten_thousand_bindings(self) -> None:
        """At most 1.5 KB for a phone, with everything that its registration keeps but the flow, which is the
        transport's.
        """
        sources = [f"10.1.{number >> 8}.{number & 255}" for number in range(10_000)]
        flows = [StillFlow(remote=(source, 5060)) for source in sources]
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        for number, (source, flow) in enumerate(zip(sources, flows, strict=True)):
            self.location.add(_registered(number, source, flow), NOW)
        self.writer.rows = {}
        self.journal.take()
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        self.assertEqual(len(self.location), 10_000)
        self.assertLess(used / 10_000, 1500)


def _registered(number: int, source: str, flow: StillFlow) -> Contact:
    """A contact with texts of its own, as the registrar makes it."""
    uri = f"sip:user{number}@{source}:5060;transport=udp"
    record = binding(
        uri,
        f"sip:user{number}@example.com",
        call_id=f"{number:032x}@{source}",
        source=f"{source}:5060",
        expires_at=NOW + 600 + number / 10,
        registered_at=NOW + number / 10,
        device_id=1000 + number,
    )
    return Contact(record, flow, True, read_wanted(f"<{uri}>;expires=600"))
