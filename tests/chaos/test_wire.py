"""What the wire tells of single packets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.chaos.wire import Wire
from tests.conformance import conforms
from tests.network import Packet

SERVER, PHONE = "192.0.2.1", "192.0.2.9"


def packet(start: str, *vias: str, hops: int = 70, to: str = SERVER, method: str = "INVITE") -> Packet:
    lines = [start, *(f"Via: SIP/2.0/UDP {via}" for via in vias), f"Max-Forwards: {hops}", f"CSeq: 1 {method}", "", ""]
    source = PHONE if to == SERVER else SERVER
    return Packet(0.0, "UDP", (source, 5060), (to, 5060), "\r\n".join(lines).encode(), False)


def request(*vias: str, hops: int) -> Packet:
    return packet("INVITE sip:b@example.com SIP/2.0", *vias, hops=hops)


def response(status: int, via: str = f"{PHONE}:5060;branch=z9hG4bKa", method: str = "INVITE") -> Packet:
    return packet(f"SIP/2.0 {status} Any", via, to=PHONE, method=method)


class WireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.breaches: list[str] = []
        self.wire = Wire(self.breaches.append, ("192.0.2.66",))

    def see(self, *packets: Packet) -> list[str]:
        for each in packets:
            self.wire.see(each)
        breaches = self.breaches[:]
        self.breaches.clear()
        return breaches

    @conforms("RFC 3261 16.6")
    def test_hops_go_down_by_one(self) -> None:
        self.see(request(f"{PHONE}:5060;branch=z9hG4bKa", hops=70))
        marked = f"{PHONE}:5060;rport=5060;received={PHONE};branch=z9hG4bKa"
        self.assertEqual(self.see(request(f"{SERVER}:5060;branch=z9hG4bKb", marked, hops=69)), [])
        [breach] = self.see(request(f"{SERVER}:5060;branch=z9hG4bKc", marked, hops=70))
        self.assertIn("from 70 to 70", breach)

    @conforms("RFC 3261 18.2.2")
    def test_the_top_via_is_that_of_the_receiver(self) -> None:
        self.assertEqual(self.see(response(200)), [])
        self.assertEqual(self.see(response(200, f"10.0.0.1:5060;received={PHONE};branch=z9hG4bKb")), [])
        self.assertEqual(len(self.see(response(200, f"{SERVER}:5060;branch=z9hG4bKc"))), 1)

    @conforms("RFC 3261 17.2")
    def test_a_request_has_one_final_response(self) -> None:
        self.assertEqual(self.see(response(180), response(200), response(200), response(202)), [])
        for status in (180, 486):
            self.assertEqual(len(self.see(response(status))), 1)
        self.assertEqual(self.see(response(487, method="CANCEL")), [])

    def test_who_keeps_nothing_may_pass_on_a_late_180(self) -> None:
        self.see(response(486))
        late = response(180)
        passed = Packet(0.0, "UDP", ("192.0.2.66", 5060), late.destination, late.data, False)
        self.assertEqual(self.see(passed), [])
