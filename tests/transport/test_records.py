"""Which records of a domain count, and in which order."""

from __future__ import annotations

import random
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.transport.records import Naptr, Srv, chosen_services, host_name, shuffled
from tests.conformance import conforms


def naptr(order: int, preference: int, service: str, replacement: str, flags: str = "s", regexp: str = "") -> Naptr:
    return Naptr(order, preference, flags.encode(), service.encode(), regexp.encode(), replacement)


class HostNameTests(SynchronousTestCase):
    def test_names(self) -> None:
        for text, expected in {
            "PBX.Example.COM.": "pbx.example.com",
            "localhost": "localhost",
            "4f66ad9a0b2e": "4f66ad9a0b2e",
            "my_pbx-1": "my_pbx-1",
            "_sip._udp.example.com": "_sip._udp.example.com",
            "a." * 126 + "a": "a." * 126 + "a",
        }.items():
            self.assertEqual(host_name(text), expected)

    def test_what_is_none(self) -> None:
        """The last are addresses to a C library."""
        texts = ["", ".", "a..b", ".a", "-a.b", "a-.b", "a b", "a/b", "ü.example", "a" * 64, "a." * 127 + "a"]
        for text in [*texts, "example\n", "10.1", "1", "0x7f.1", "example.0x", "192.0.2.300"]:
            self.assertEqual(host_name(text), "", text)


class ServiceTests(SynchronousTestCase):
    @conforms("RFC 3263 4.1")
    def test_the_example_of_the_rfc(self) -> None:
        records = [
            naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
            naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
            naptr(100, 50, "SIP+D2U", "_sip._udp.example.com"),
        ]
        self.assertEqual(chosen_services(records, False), [("TLS", "_sips._tcp.example.com")])
        self.assertEqual(chosen_services(records[::2], False), [("TCP", "_sip._tcp.example.com")])

    @conforms("RFC 3263 4.1")
    def test_a_sips_uri_takes_services_with_tls_only(self) -> None:
        records = [naptr(1, 1, "SIP+D2T", "_sip._tcp.a.example"), naptr(2, 1, "SIPS+D2T", "_sips._tcp.a.example")]
        self.assertEqual(chosen_services(records, True), [("TLS", "_sips._tcp.a.example")])
        self.assertEqual(chosen_services(records[:1], True), [])

    def test_of_one_order_all_by_preference(self) -> None:
        records = [naptr(5, 20, "sip+d2u", "u.example"), naptr(5, 10, "SIP+D2T", "t.example", flags="S")]
        self.assertEqual(chosen_services(records, False), [("TCP", "t.example"), ("UDP", "u.example")])

    def test_what_does_not_count(self) -> None:
        """WebSockets are opened by their clients, SCTP is not spoken; the others are no services of SIP's."""
        records = [
            naptr(1, 1, "SIP+D2W", "_sip._ws.a.example"),
            naptr(1, 1, "SIPS+D2W", "_sips._ws.a.example"),
            naptr(1, 1, "SIP+D2S", "_sip._sctp.a.example"),
            naptr(1, 1, "SIPS+D2U", "_sips._udp.a.example"),
            naptr(1, 1, "E2U+sip", "a.example", flags="u"),
            naptr(1, 1, "SIP+D2U", "_sip._udp.a.example", regexp="!^.*$!sip:x@y!"),
            naptr(1, 1, "SIP+D2U", ""),
            naptr(1, 1, "", "b.example", flags=""),
        ]
        self.assertEqual(chosen_services([*records, "192.0.2.1", Srv(0, 0, 1, "a.example")], False), [])


class OrderTests(SynchronousTestCase):
    """RFC 2782, "Weight"."""

    def first(self, *servers: Srv) -> Counter[str]:
        chance = random.Random(7)
        return Counter(shuffled(servers, chance)[0].host for _ in range(4000))

    @conforms("RFC 2782")
    def test_the_lower_priority_first(self) -> None:
        servers = [Srv(20, 9, 1, "late"), Srv(10, 0, 1, "early"), Srv(20, 9, 1, "late too"), Srv(15, 1, 1, "middle")]
        for seed in range(20):
            ordered = [each.host for each in shuffled(servers, random.Random(seed))]
            self.assertEqual(ordered[:2], ["early", "middle"])
            self.assertEqual(sorted(ordered[2:]), ["late", "late too"])

    @conforms("RFC 2782")
    def test_within_one_priority_as_often_as_the_weight_says(self) -> None:
        counts = self.first(Srv(1, 10, 1, "a"), Srv(1, 60, 1, "b"), Srv(1, 30, 1, "c"))
        self.assertApproximates(counts["a"], 400, 100)
        self.assertApproximates(counts["b"], 2400, 150)
        self.assertApproximates(counts["c"], 1200, 150)

    @conforms("RFC 2782")
    def test_without_a_weight_there_is_a_small_chance(self) -> None:
        counts = self.first(Srv(1, 50, 1, "a"), Srv(1, 0, 1, "b"))
        self.assertApproximates(counts["b"], 4000 / 51, 60)
        self.assertGreater(counts["b"], 0)

    def test_each_once(self) -> None:
        servers = [Srv(number % 3, number % 4, 1, f"h{number}") for number in range(16)]
        self.assertEqual(
            sorted(each.host for each in shuffled(servers, random.Random(1))), sorted(f"h{n}" for n in range(16))
        )
        self.assertEqual(shuffled([], random.Random(1)), [])
