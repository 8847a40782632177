"""From a target to the addresses to try: RFC 3263 on virtual time, with name servers that say what the test wants."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Target
from gosip_py.transport.hosts import HostAddresses
from gosip_py.transport.locate import Locator
from gosip_py.transport.records import Naptr, Srv
from gosip_py.transport.resolve import target_of
from tests.conformance import conforms
from tests.transport.zone import System, Zone

FAMILIES = {"UDP": (4, 6), "TCP": (4, 6), "TLS": (4, 6)}


class LocateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.zone = Zone()
        self.system = System()
        self.families: dict[str, tuple[int, ...]] = dict(FAMILIES)
        hosts = HostAddresses(self.zone, self.system, Path(self.mktemp()))
        self.locator = Locator(
            self.clock, self.zone, hosts, lambda transport: self.families[transport], random.Random(1)
        )
        self.found: list[tuple[Target, ...]] = []

    def locate(self, uri: str) -> list[str]:
        """What is found at once, as ``UDP 192.0.2.1:5060``."""
        self.found.clear()
        self.ask(uri)
        (hops,) = self.found
        return [text(hop) for hop in hops]

    def ask(self, uri: str) -> None:
        self.locator.locate(target_of(parse_uri(uri)), self.found.append)

    def serve(self, *hosts: str) -> None:
        """A records 192.0.2.1, 192.0.2.2 and so on for these."""
        for number, host in enumerate(hosts, 1):
            self.zone.put(host, "A", f"192.0.2.{number}")


def text(hop: Target) -> str:
    return f"{hop.transport} {hop.host}:{hop.port}"


class NumericTests(LocateCase):
    @conforms("RFC 3263 4.1", "RFC 3263 4.2")
    def test_nobody_is_asked(self) -> None:
        for uri, expected in {
            "sip:192.0.2.9": "UDP 192.0.2.9:5060",
            "sips:192.0.2.9": "TLS 192.0.2.9:5061",
            "sip:192.0.2.9:5070;transport=tcp": "TCP 192.0.2.9:5070",
            "sip:[2001:DB8:0::1]": "UDP 2001:db8::1:5060",
        }.items():
            self.assertEqual(self.locate(uri), [expected])
        self.assertEqual(self.zone.asked, [])

    def test_the_target_itself_comes_back(self) -> None:
        target = Target("UDP", "192.0.2.9", 5060)
        self.locator.locate(target, self.found.append)
        self.assertIs(self.found[0][0], target)


class TransportTests(LocateCase):
    """RFC 3263 4.1."""

    @conforms("RFC 3263 4.1", "RFC 3263 4.2")
    def test_naptr_leads_to_srv_leads_to_addresses(self) -> None:
        self.zone.put(
            "carrier.test",
            "NAPTR",
            Naptr(10, 10, b"s", b"SIP+D2T", b"", "_sip._tcp.other.test"),
            Naptr(20, 10, b"s", b"SIP+D2U", b"", "_sip._udp.carrier.test"),
        )
        self.zone.put("_sip._tcp.other.test", "SRV", Srv(1, 0, 5070, "a.other.test"), Srv(2, 0, 5071, "b.other.test"))
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "a.other.test"))
        self.serve("a.other.test", "b.other.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["TCP 192.0.2.1:5070", "TCP 192.0.2.2:5071"])
        self.assertEqual({hop.domain for hop in self.found[0]}, {"carrier.test"})

    @conforms("RFC 3263 4.1")
    def test_sips_takes_the_secure_service(self) -> None:
        self.zone.put(
            "carrier.test",
            "NAPTR",
            Naptr(10, 10, b"s", b"SIP+D2U", b"", "_sip._udp.carrier.test"),
            Naptr(20, 10, b"s", b"SIPS+D2T", b"", "_sips._tcp.carrier.test"),
        )
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "a.test"))
        self.zone.put("_sips._tcp.carrier.test", "SRV", Srv(1, 0, 5062, "a.test"))
        self.serve("a.test")
        self.assertEqual(self.locate("sips:carrier.test"), ["TLS 192.0.2.1:5062"])
        self.assertNotIn(("_sip._udp.carrier.test", "SRV"), self.zone.asked)
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060"])

    @conforms("RFC 3263 4.1")
    def test_without_naptr_a_transport_that_has_srv_records(self) -> None:
        self.zone.put("_sip._tcp.carrier.test", "SRV", Srv(1, 0, 5070, "a.test"))
        self.zone.put("_sips._tcp.carrier.test", "SRV", Srv(1, 0, 5071, "a.test"))
        self.serve("a.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["TCP 192.0.2.1:5070"])
        self.assertEqual(self.locate("sips:carrier.test"), ["TLS 192.0.2.1:5071"])

    @conforms("RFC 3263 4.1", "RFC 3263 4.2")
    def test_with_neither_the_host_itself(self) -> None:
        self.serve("carrier.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060"])
        self.assertEqual(self.locate("sips:carrier.test"), ["TLS 192.0.2.1:5061"])

    @conforms("RFC 3263 4.2")
    def test_a_transport_that_is_given_is_not_chosen(self) -> None:
        self.zone.put("carrier.test", "NAPTR", Naptr(10, 10, b"s", b"SIP+D2U", b"", "_sip._udp.carrier.test"))
        self.zone.put("_sip._tcp.carrier.test", "SRV", Srv(1, 0, 5070, "a.test"))
        self.serve("a.test", "carrier.test")
        self.assertEqual(self.locate("sip:carrier.test;transport=tcp"), ["TCP 192.0.2.1:5070"])
        self.assertEqual(self.locate("sip:carrier.test;transport=tls"), ["TLS 192.0.2.2:5061"])
        self.assertNotIn(("carrier.test", "NAPTR"), self.zone.asked)
        self.assertIn(("_sips._tcp.carrier.test", "SRV"), self.zone.asked)

    @conforms("RFC 3263 4.2")
    def test_a_port_that_is_given_ends_the_search_for_services(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5070, "a.test"))
        self.zone.put("carrier.test", "A", "192.0.2.1", "192.0.2.2")
        self.assertEqual(self.locate("sip:carrier.test:5060"), ["UDP 192.0.2.1:5060", "UDP 192.0.2.2:5060"])
        self.assertEqual(self.locate("sips:carrier.test:5077"), ["TLS 192.0.2.1:5077", "TLS 192.0.2.2:5077"])
        self.assertEqual({kind for _, kind in self.zone.asked}, {"A", "AAAA"})

    def test_services_that_we_cannot_use_are_no_services(self) -> None:
        self.zone.put("carrier.test", "NAPTR", Naptr(10, 10, b"s", b"SIP+D2W", b"", "_sip._ws.carrier.test"))
        self.serve("carrier.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060"])

    def test_a_transport_without_a_socket_is_not_used(self) -> None:
        self.families["UDP"] = ()
        self.zone.put("carrier.test", "NAPTR", Naptr(10, 10, b"s", b"SIP+D2U", b"", "_sip._udp.carrier.test"))
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "a.test"))
        self.zone.put("_sip._tcp.carrier.test", "SRV", Srv(1, 0, 5070, "a.test"))
        self.serve("a.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["TCP 192.0.2.1:5070"])
        self.assertEqual(self.locate("sip:carrier.test;transport=udp"), [])
        self.assertEqual(self.locate("sip:carrier.test:5060"), [])

    def test_srv_records_that_naptr_names_but_nobody_has(self) -> None:
        self.zone.put("carrier.test", "NAPTR", Naptr(10, 10, b"s", b"SIP+D2T", b"", "_sip._tcp.gone.test"))
        self.serve("carrier.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["TCP 192.0.2.1:5060"])

    def test_all_services_of_the_chosen_order(self) -> None:
        self.zone.put(
            "carrier.test",
            "NAPTR",
            Naptr(10, 10, b"s", b"SIP+D2U", b"", "_sip._udp.carrier.test"),
            Naptr(10, 20, b"s", b"SIP+D2T", b"", "_sip._tcp.carrier.test"),
        )
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(65535, 0, 5060, "a.test"))
        self.zone.put("_sip._tcp.carrier.test", "SRV", Srv(0, 0, 5060, "a.test"))
        self.serve("a.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060", "TCP 192.0.2.1:5060"])

    def test_the_websockets_of_others_are_out_of_reach(self) -> None:
        self.serve("page.test")
        self.locator.locate(Target("WS", "page.test", 0), self.found.append)
        self.assertEqual((self.found, self.zone.asked), ([()], []))


class ServerTests(LocateCase):
    """RFC 3263 4.2, RFC 2782."""

    def test_both_families_of_each_server(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "a.test"), Srv(2, 0, 5062, "b.test"))
        self.serve("a.test", "b.test")
        self.zone.put("a.test", "AAAA", "2001:db8::1")
        expected = ["UDP 192.0.2.1:5060", "UDP 2001:db8::1:5060", "UDP 192.0.2.2:5062"]
        self.assertEqual(self.locate("sip:carrier.test"), expected)

    def test_only_families_for_which_there_is_a_socket(self) -> None:
        self.families |= {"UDP": (6,), "TCP": (4,)}
        self.zone.put("a.test", "A", "192.0.2.1")
        self.zone.put("a.test", "AAAA", "2001:db8::1")
        self.assertEqual(self.locate("sip:a.test:5060"), ["UDP 2001:db8::1:5060"])
        self.assertEqual(self.locate("sip:a.test:5060;transport=tcp"), ["TCP 192.0.2.1:5060"])
        self.assertEqual(self.zone.asked, [("a.test", "AAAA"), ("a.test", "A")])

    def test_each_transport_has_families_of_its_own(self) -> None:
        self.families |= {"UDP": (6,), "TCP": (4,)}
        self.zone.put(
            "carrier.test",
            "NAPTR",
            Naptr(10, 10, b"s", b"SIP+D2U", b"", "_sip._udp.carrier.test"),
            Naptr(10, 20, b"s", b"SIP+D2T", b"", "_sip._tcp.carrier.test"),
        )
        for service in ("_sip._udp.carrier.test", "_sip._tcp.carrier.test"):
            self.zone.put(service, "SRV", Srv(1, 0, 5060, "a.test"))
        self.serve("a.test")
        self.zone.put("a.test", "AAAA", "2001:db8::1")
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 2001:db8::1:5060", "TCP 192.0.2.1:5060"])

    @conforms("RFC 2782")
    def test_the_order_is_drawn_for_each_request(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 90, 5060, "a.test"), Srv(1, 10, 5060, "b.test"))
        self.serve("a.test", "b.test")
        counts = Counter(self.locate("sip:carrier.test")[0] for _ in range(1000))
        self.assertApproximates(counts["UDP 192.0.2.1:5060"], 900, 40)
        self.assertEqual(len(self.zone.asked), 4 + 4)

    @conforms("RFC 2782")
    def test_a_domain_that_says_that_it_has_no_service(self) -> None:
        for transport in ("_sip._udp", "_sip._tcp", "_sips._tcp"):
            self.zone.put(f"{transport}.carrier.test", "SRV", Srv(0, 0, 0, ""))
        self.serve("carrier.test")
        self.assertEqual(self.locate("sip:carrier.test"), [])

    def test_or_not_that_one(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(0, 0, 0, ""))
        self.zone.put("_sips._tcp.carrier.test", "SRV", Srv(0, 0, 5061, "a.test"))
        self.serve("a.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["TLS 192.0.2.1:5061"])

    def test_a_server_without_an_address_is_left_out(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "gone.test"), Srv(2, 0, 5060, "a.test"))
        self.serve("a.test")
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060"])

    def test_a_lying_domain_is_not_believed_for_more_than_sixteen_hosts(self) -> None:
        names = [f"h{number}.test" for number in range(200)]
        self.zone.put("_sip._udp.carrier.test", "SRV", *(Srv(1, 0, 5060, name) for name in names))
        for name in names:
            self.zone.put(name, "A", *(f"198.51.100.{number}" for number in range(200)))
        self.assertEqual(len(self.locate("sip:carrier.test")), 16)
        self.assertLessEqual(len(self.zone.asked), 4 + 16 * 2)

    def test_an_address_that_is_named_twice_is_tried_once(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", *(Srv(number, 0, 5060, "a.test") for number in range(9)))
        self.zone.put("a.test", "A", "192.0.2.1", "192.0.2.1")
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060"])

    def test_names_that_are_none(self) -> None:
        for uri in ("sip:10.1", "sip:a..b", "sip:0x7f.1", f"sip:{'a' * 64}.test", f"sip:{'a.' * 127}test"):
            self.assertEqual(self.locate(uri), [], uri)
        self.assertEqual((self.zone.asked, self.system.asked), ([], []))

    def test_a_name_that_is_too_long_for_a_service(self) -> None:
        name = "a." * 124 + "test"
        self.serve(name)
        self.assertEqual(self.locate(f"sip:{name}"), ["UDP 192.0.2.1:5060"])
        self.assertEqual({kind for _, kind in self.zone.asked}, {"NAPTR", "A", "AAAA"})


class SystemTests(LocateCase):
    def test_a_name_of_one_word(self) -> None:
        self.system.known["localhost"] = ("127.0.0.1", "::1")
        self.assertEqual(self.locate("sip:localhost"), ["UDP 127.0.0.1:5060", "UDP ::1:5060"])
        self.assertEqual(self.zone.asked, [])

    def test_no_name_server_answers(self) -> None:
        """The system is asked at once, and what it says holds for a while."""
        self.zone.is_silent = True
        self.system.known["pbx.lan"] = ("192.0.2.7",)
        self.assertEqual(self.locate("sip:pbx.lan"), ["UDP 192.0.2.7:5060"])
        self.assertNotIn(("pbx.lan", "A"), self.zone.asked)
        self.clock.advance(29)
        self.locate("sip:pbx.lan")
        self.assertEqual(self.system.asked, ["pbx.lan"])
        self.clock.advance(2)
        self.locate("sip:pbx.lan")
        self.assertEqual(self.system.asked, ["pbx.lan"] * 2)

    def test_no_name_server_answers_and_the_system_does_not_know_either(self) -> None:
        self.zone.is_silent = True
        self.assertEqual(self.locate("sip:pbx.lan"), [])
        self.system.known["pbx.lan"] = ("192.0.2.7",)
        self.clock.advance(4)
        self.assertEqual(self.locate("sip:pbx.lan"), [])
        self.clock.advance(2)
        self.assertEqual(self.locate("sip:pbx.lan"), ["UDP 192.0.2.7:5060"])


class MemoryTests(LocateCase):
    def test_an_answer_holds_as_long_as_its_shortest_record(self) -> None:
        self.zone.put("a.test", "A", "192.0.2.1", ttl=40)
        self.locate("sip:a.test:5060")
        asked = len(self.zone.asked)
        self.clock.advance(39)
        self.assertEqual(self.locate("sip:A.TEST:5060"), ["UDP 192.0.2.1:5060"])
        self.assertEqual(len(self.zone.asked), asked)
        self.zone.put("a.test", "A", "192.0.2.2", ttl=40)
        self.clock.advance(2)
        self.assertEqual(self.locate("sip:a.test:5060"), ["UDP 192.0.2.2:5060"])

    def test_srv_records_that_change_soon(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "a.test"), ttl=10)
        self.serve("a.test")
        self.locate("sip:carrier.test")
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5070, "a.test"), ttl=10)
        self.clock.advance(9)
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060"])
        self.clock.advance(2)
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5070"])

    def test_at_least_a_second_and_at_most_a_day(self) -> None:
        for ttl, before, after in ((0.0, 0.9, 0.2), (1e9, 86300.0, 200.0)):
            self.zone.put("a.test", "A", "192.0.2.1", ttl=ttl)
            self.clock.advance(1e6)
            self.locate("sip:a.test:5060")
            asked = len(self.zone.asked)
            self.clock.advance(before)
            self.locate("sip:a.test:5060")
            self.assertEqual(len(self.zone.asked), asked)
            self.clock.advance(after)
            self.locate("sip:a.test:5060")
            self.assertGreater(len(self.zone.asked), asked)

    def test_that_there_is_nothing_is_remembered_too(self) -> None:
        self.assertEqual(self.locate("sip:nowhere.test"), [])
        asked = len(self.zone.asked)
        self.clock.advance(19)
        self.assertEqual(self.locate("sip:nowhere.test"), [])
        self.assertEqual(len(self.zone.asked), asked)
        self.clock.advance(2)
        self.locate("sip:nowhere.test")
        self.assertGreater(len(self.zone.asked), asked)

    def test_all_who_ask_at_once_share_one_search(self) -> None:
        self.serve("a.test")
        self.zone.is_held = True
        for _ in range(50):
            self.ask("sip:a.test")
        self.assertEqual((self.found, len(self.zone.asked)), ([], 4))
        self.zone.release()
        self.zone.release()
        self.assertEqual([[text(hop) for hop in hops] for hops in self.found], [["UDP 192.0.2.1:5060"]] * 50)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_who_fails_costs_the_others_nothing(self) -> None:
        def broken(hops: tuple[Target, ...]) -> None:
            raise ValueError("broken on purpose")

        self.serve("a.test")
        self.zone.is_held = True
        self.locator.locate(Target("UDP", "a.test", 5060), broken)
        self.ask("sip:a.test:5060")
        self.zone.release()
        self.assertEqual(len(self.found), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_is_remembered_is_bounded(self) -> None:
        for number in range(3000):
            self.locate(f"sip:h{number}.test:5060")
        self.assertLessEqual(len(self.locator._known), 1024)

    def test_what_is_asked_at_the_same_time_is_bounded(self) -> None:
        self.zone.is_held = True
        for number in range(300):
            self.ask(f"sip:h{number}.test:5060")
        self.assertEqual(self.found, [()] * 44)
        self.assertEqual(len(self.locator._searches), 256)
        self.zone.release()
        self.assertEqual((len(self.found), self.locator._searches), (300, {}))


class DeadlineTests(LocateCase):
    def test_a_search_ends_after_five_seconds(self) -> None:
        self.zone.is_held = True
        self.ask("sip:carrier.test")
        self.clock.advance(4.9)
        self.assertEqual(self.found, [])
        self.clock.advance(0.2)
        self.assertEqual(self.found, [()])
        for _ in range(3):
            self.zone.release()
        self.assertEqual((self.found, self.locator._searches, len(self.zone.asked)), ([()], {}, 4))

    def test_with_what_is_known_by_then(self) -> None:
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "slow"), Srv(2, 0, 5060, "a.test"))
        self.serve("a.test")
        self.system.is_held = True
        self.ask("sip:carrier.test")
        self.clock.advance(5.1)
        self.assertEqual([text(hop) for hop in self.found[0]], ["UDP 192.0.2.1:5060"])
        self.clock.advance(6)
        self.ask("sip:carrier.test")
        self.assertEqual(self.system.asked, ["slow", "slow"])

    def test_nobody_is_told_anything_after_stop(self) -> None:
        self.serve("a.test")
        self.zone.is_held = True
        self.ask("sip:a.test")
        self.locator.stop()
        self.zone.release()
        self.assertEqual((self.found, self.clock.getDelayedCalls()), ([], []))


class OutageTests(LocateCase):
    def setUp(self) -> None:
        super().setUp()
        self.zone.put("_sip._udp.carrier.test", "SRV", Srv(1, 0, 5060, "a.test"), Srv(2, 0, 5060, "b.test"))
        self.serve("a.test", "b.test")

    def first(self) -> Target:
        self.locate("sip:carrier.test")
        return self.found[0][0]

    def test_who_failed_comes_last_until_it_answers(self) -> None:
        hop = self.first()
        self.locator.failed(hop)
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.2:5060", "UDP 192.0.2.1:5060"])
        self.locator.answered(hop)
        self.assertEqual(self.locate("sip:carrier.test"), ["UDP 192.0.2.1:5060", "UDP 192.0.2.2:5060"])

    def test_for_so_long(self) -> None:
        hop = self.first()
        self.locator.failed(hop, 120)
        self.clock.advance(119)
        self.assertNotEqual(self.first(), hop)
        self.clock.advance(2)
        self.assertEqual(self.first(), hop)

    def test_when_all_failed_all_are_tried(self) -> None:
        self.locate("sip:carrier.test")
        for hop in self.found[0]:
            self.locator.failed(hop)
        self.assertEqual(len(self.locate("sip:carrier.test")), 2)
