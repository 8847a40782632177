"""What the network in memory does for chaos: it is fair, sometimes late, and its streams can be cut."""

from __future__ import annotations

from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transport.flow import Flow, Target
from tests.network import MemoryNetwork, Packet, RecordingUser
from tests.transport.peers import options


class FairNetworkTests(SynchronousTestCase):
    def build(self, **faults: object) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, 3, **faults)  # type: ignore[arg-type]  # as they are named there
        self.here, self.there = self.network.transport("192.0.2.1"), self.network.transport("192.0.2.2")
        self.here.user, self.there.user = RecordingUser(), RecordingUser()

    def flow(self, transport: str = "UDP") -> Flow:
        return self.here.flow_to(Target(transport, "192.0.2.2", 5060), 300)

    def sent(self, *, is_lost: bool) -> list[Packet]:
        return [packet for packet in self.network.packets if packet.is_lost is is_lost]

    def test_no_more_of_a_kind_are_lost(self) -> None:
        self.build(loss=1.0, most_lost=2)
        flow = self.flow()
        for number in range(5):
            flow.send(options(f"{flow.via_head}z9hG4bK{number}"))
        self.assertEqual([packet.is_lost for packet in self.network.packets], [True, True, False, False, False])
        other = options(f"{flow.via_head}z9hG4bK9").replace(b"Call-ID: ", b"Call-ID: other")
        flow.send(other)
        self.assertTrue(self.network.packets[-1].is_lost)

    def test_each_direction_is_a_kind_of_its_own(self) -> None:
        self.build(loss=1.0, most_lost=1)
        flow = self.flow()
        data = options(f"{flow.via_head}z9hG4bK1")
        flow.send(data)
        self.there.flow_of("UDP", flow.local).send(data)
        self.assertEqual(len(self.sent(is_lost=True)), 2)

    def test_some_are_late(self) -> None:
        self.build(late=(0.2, 5.0))
        flow = self.flow()
        for number in range(200):
            flow.send(options(f"{flow.via_head}z9hG4bK{number}"))
        late = [packet.delay for packet in self.network.packets if packet.delay > 0.01]
        self.assertTrue(20 < len(late) < 60, len(late))
        self.assertLess(max(late), 5.1)

    def test_chance_does_not_depend_on_the_octets(self) -> None:
        fates = []
        for name in ("a", "b"):
            self.build(loss=0.3, duplicate=0.2, late=(0.1, 1.0), most_lost=50)
            flow = self.flow()
            for number in range(100):
                flow.send(options(f"{flow.via_head}z9hG4bK{name}{number}"))
            fates.append([(packet.is_lost, packet.delay) for packet in self.network.packets])
        self.assertEqual(*fates)
        self.assertEqual(len(Counter(is_lost for is_lost, _ in fates[0])), 2)

    def test_whoever_watches_sees_every_packet(self) -> None:
        self.build(loss=0.5)
        seen: list[Packet] = []
        self.network.watch = seen.append
        flow = self.flow()
        for number in range(20):
            flow.send(options(f"{flow.via_head}z9hG4bK{number}"))
        self.assertEqual(seen, self.network.packets)

    def test_streams_are_known_until_they_are_cut(self) -> None:
        self.build()
        flow = self.flow("TCP")
        flow.send(options(f"{flow.via_head}z9hG4bK1"))
        self.clock.advance(1)
        [stream] = self.network.streams
        self.assertIs(stream, flow)
        self.assertIn(stream, self.here.flows)
        stream.fail("cut")
        self.assertEqual(self.network.streams, [])

    def test_after_a_cut_a_response_takes_a_new_stream(self) -> None:
        self.build()
        flow = self.flow("TCP")
        flow.send(options(f"{flow.via_head}z9hG4bK1"))
        self.clock.advance(1)
        user = self.there.user
        assert isinstance(user, RecordingUser)
        [(request, twin)] = user.requests
        self.assertIs(twin.answering(request.top_via), twin)
        self.network.streams[0].fail("cut")
        other = twin.answering(request.top_via)
        self.assertTrue(other.is_open)
        self.assertEqual(other.remote, flow.local)
