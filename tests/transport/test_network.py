"""The network in memory does to datagrams what its seed says, and to streams nothing."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.reply import reply
from gosip_py.transport.flow import Flow, Target
from tests.network import MemoryNetwork, MemoryTransport, RecordingUser
from tests.transport.peers import options


class NetworkTests(SynchronousTestCase):
    def build(self, seed: int = 1, **faults: float) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, seed, loss=faults.get("loss", 0), duplicate=faults.get("duplicate", 0))
        self.network.delay = (0.001, faults.get("slowest", 0.001))
        self.here, self.there = self.network.transport("192.0.2.1"), self.network.transport("192.0.2.2")
        self.our_user, self.their_user = RecordingUser(), RecordingUser()
        self.here.user, self.there.user = self.our_user, self.their_user

    def send(self, count: int, transport: str = "UDP") -> Flow:
        flow = self.here.flow_to(Target(transport, "192.0.2.2", 5061 if transport == "TLS" else 5060), 300)
        for number in range(count):
            flow.send(options(f"{flow.via_head}z9hG4bK{number}"))
        self.clock.advance(1)
        return flow

    def arrived(self) -> list[int]:
        return [int(request.top_via.branch[7:]) for request, _ in self.their_user.requests]

    def test_a_request_and_its_response(self) -> None:
        for transport in ("UDP", "TCP", "TLS"):
            self.build()
            self.send(1, transport)
            [(request, flow)] = self.their_user.requests
            flow.answering(request.top_via).send(reply(request, 200).to_bytes())
            self.clock.advance(1)
            self.assertEqual([response.status for response, _ in self.our_user.responses], [200])
            self.assertEqual(self.network.titles(), ["OPTIONS", "200 OPTIONS"])
            self.assertEqual((flow.is_reliable, flow.is_secure), (transport != "UDP", transport == "TLS"))

    def test_loss(self) -> None:
        self.build(loss=0.3)
        self.send(1000)
        self.assertTrue(600 < len(self.arrived()) < 800, len(self.arrived()))
        self.assertEqual(len(self.network.titles()), len(self.arrived()))

    def test_duplicates(self) -> None:
        self.build(duplicate=0.5)
        self.send(1000)
        self.assertTrue(1400 < len(self.arrived()) < 1600, len(self.arrived()))

    def test_reordering(self) -> None:
        self.build(slowest=0.5)
        self.send(100)
        self.assertNotEqual(self.arrived(), sorted(self.arrived()))
        self.assertEqual(sorted(self.arrived()), list(range(100)))

    def test_the_same_seed_gives_the_same_run(self) -> None:
        runs = []
        for seed in (5, 5, 6):
            self.build(seed, loss=0.2, duplicate=0.2, slowest=0.1)
            self.send(200)
            runs.append(self.arrived())
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_streams_lose_nothing(self) -> None:
        self.build(loss=1.0, duplicate=1.0, slowest=0.5)
        self.send(100, "TCP")
        self.assertEqual(self.arrived(), list(range(100)))

    def test_a_stream_to_nobody_fails_and_a_datagram_to_nobody_is_lost(self) -> None:
        for transport, failures in (("TCP", 1), ("UDP", 0)):
            self.build()
            self.network.detach(self.there)
            flow = self.send(3, transport)
            self.assertEqual([failed for failed, _ in self.our_user.failures], [flow] * failures)
            self.assertEqual(self.arrived(), [])

    def test_a_broken_stream_is_told_at_both_ends_and_made_anew(self) -> None:
        self.build()
        flow = self.send(1, "TCP")
        assert isinstance(self.here, MemoryTransport)
        self.here.flow_of("TCP", ("192.0.2.2", 5060)).fail("cut")
        self.assertEqual(self.our_user.failures, [])
        self.clock.advance(0)
        self.assertEqual((len(self.our_user.failures), len(self.their_user.failures)), (1, 1))
        self.assertFalse(flow.is_open)
        self.assertIsNot(self.send(1, "TCP"), flow)
        self.assertEqual(len(self.arrived()), 2)

    def test_targets(self) -> None:
        self.build()
        target = Target("UDP", "192.0.2.2", 5060)
        self.assertEqual(self.here.flow_to(target, 1301).transport, "TCP")
        self.assertEqual(self.here.flow_to(target, 1301, allow_upgrade=False).transport, "UDP")
        flow = self.here.flow_to(target, 300)
        self.assertIs(self.here.flow_to(Target("TCP", "192.0.2.3", 1, flow), 5000), flow)
        self.assertTrue(self.here.is_local("192.0.2.1", 5060))
        self.assertFalse(self.here.is_local("192.0.2.2", 5060))
