"""Questions to real name servers on loopback sockets, honest ones and others."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.transport.dns import NameServers, parse_server, system_servers
from gosip_py.transport.flow import Target
from gosip_py.transport.hosts import HostAddresses
from gosip_py.transport.locate import Locator
from gosip_py.transport.records import Answer, Kind, Naptr, Srv
from tests.conformance import conforms
from tests.nameserver import NameServer
from tests.running import clock, free_ports
from tests.transport.zone import System


class ServerTests(SynchronousTestCase):
    def test_how_a_server_is_written(self) -> None:
        for text, expected in {
            "192.0.2.1": ("192.0.2.1", 53),
            "192.0.2.1:5353": ("192.0.2.1", 5353),
            "[2001:db8::1]:5353": ("2001:db8::1", 5353),
            "[2001:db8::1]": ("2001:db8::1", 53),
            "2001:db8::1": ("2001:db8::1", 53),
        }.items():
            self.assertEqual(parse_server(text), expected)
        for text in ("ns.example.com", "", "192.0.2.1:x", ":53"):
            self.assertRaises(ValueError, parse_server, text)

    def test_those_of_the_system(self) -> None:
        path = Path(self.mktemp())
        self.assertEqual(system_servers(path), [])
        path.write_text("# x\nnameserver\nnameserver ns.example\nsearch a b\n nameserver 192.0.2.1\nnameserver ::1\n")
        self.assertEqual(system_servers(path), [("192.0.2.1", 53), ("::1", 53)])
        path.write_text("nameserver 192.0.2.1\n" * 9)
        self.assertEqual(len(system_servers(path)), 3)

    def test_nobody_to_ask(self) -> None:
        answers: list[Answer] = []
        NameServers(reactor, (), Path(self.mktemp())).ask("a.test", "A", answers.append)
        self.assertEqual([(answer.records, answer.is_silent) for answer in answers], [((), True)])


class DnsCase(TestCase):
    timeout = 20

    async def setUp(self) -> None:
        self.server = await NameServer.start(self)
        self.names = self.asking(self.server.address)

    def asking(self, *servers: str, seconds: float = 2.0) -> NameServers:
        names = NameServers(reactor, servers, seconds=seconds)
        self.addCleanup(names.stop)
        return names

    def ask(self, name: str, kind: Kind, names: NameServers | None = None) -> Deferred[Answer]:
        told: Deferred[Answer] = Deferred()
        (names or self.names).ask(name, kind, told.callback)
        return told


class AnswerTests(DnsCase):
    async def test_each_kind(self) -> None:
        self.server.put("a.test", dns.Record_A("192.0.2.1"), dns.Record_A("192.0.2.2"), dns.Record_AAAA("2001:db8::1"))
        self.server.put("_sip._udp.test", dns.Record_SRV(1, 2, 5060, b"A.Test."), dns.Record_SRV(0, 0, 0, b""), ttl=7)
        self.server.put("test", dns.Record_NAPTR(10, 20, b"S", b"SIP+D2U", b"", b"_sip._udp.Test"))
        self.assertEqual(await self.ask("a.test", "A"), Answer(("192.0.2.1", "192.0.2.2"), 300))
        self.assertEqual(await self.ask("a.test", "AAAA"), Answer(("2001:db8::1",), 300))
        self.assertEqual(
            await self.ask("_sip._udp.test", "SRV"), Answer((Srv(1, 2, 5060, "a.test"), Srv(0, 0, 0, "")), 7)
        )
        naptr = Naptr(10, 20, b"S", b"SIP+D2U", b"", "_sip._udp.test")
        self.assertEqual(await self.ask("test", "NAPTR"), Answer((naptr,), 300))

    async def test_there_is_none(self) -> None:
        """RFC 2308 5: a name without such records, and no such name, for as long as the SOA record says."""
        self.server.put("a.test", dns.Record_A("192.0.2.1"))
        self.assertEqual(await self.ask("a.test", "SRV"), Answer((), 60))
        self.assertEqual(await self.ask("nowhere.test", "A"), Answer((), 60))

    async def test_that_there_is_none_does_not_hold_for_days(self) -> None:
        for ttl, minimum, expected in ((1 << 30, 1 << 30, 300), (0, 900, 5), (900, 30, 30)):

            def say(message: dns.Message, ttl: int = ttl, minimum: int = minimum) -> None:
                soa = dns.Record_SOA(b"ns.test", b"root.test", 1, 2, 3, 4, minimum)
                message.authority = [dns.RRHeader(b"test", dns.SOA, dns.IN, ttl, soa)]

            self.server.twist = say
            self.assertEqual(await self.ask("nowhere.test", "A"), Answer((), expected))

    async def test_an_alias(self) -> None:
        self.server.put("www.test", dns.Record_CNAME(b"a.test"), ttl=20)
        self.server.put("a.test", dns.Record_A("192.0.2.1"))
        self.assertEqual(await self.ask("www.test", "A"), Answer(("192.0.2.1",), 20))

    async def test_what_does_not_fit_into_a_datagram_comes_over_tcp(self) -> None:
        self.server.put("big.test", *(dns.Record_A(f"192.0.2.{number}") for number in range(1, 101)))
        answer = await self.ask("big.test", "A")
        self.assertEqual(len(answer.records), 32)
        self.assertEqual([transport for transport, _, _ in self.server.asked], ["udp", "tcp"])
        # and the next over the same connection
        self.assertEqual(len((await self.ask("big.test", "A")).records), 32)

    async def test_many_questions_at_once(self) -> None:
        for number in range(100):
            self.server.put(f"h{number}.test", dns.Record_A(f"192.0.2.{number}"))
        asked = [self.ask(f"h{number}.test", "A") for number in range(100)]
        self.assertEqual([(await each).records for each in asked], [(f"192.0.2.{number}",) for number in range(100)])


class FailureTests(DnsCase):
    async def test_a_server_that_refuses(self) -> None:
        for code in (dns.ESERVER, dns.ENOTIMP, dns.EREFUSED, dns.EFORMAT):
            self.server.code = code
            answer = await self.ask("a.test", "A")
            self.assertEqual((answer.records, answer.is_silent), ((), True))

    async def test_a_server_that_is_silent(self) -> None:
        self.server.is_silent = True
        answer = await self.ask("a.test", "A", self.asking(self.server.address, seconds=0.2))
        self.assertEqual((answer.records, answer.is_silent), ((), True))
        self.assertEqual(len(self.server.asked), 2)

    async def test_a_server_that_is_silent_over_tcp(self) -> None:
        self.server.is_silent_over_tcp = True
        self.server.put("big.test", *(dns.Record_A(f"192.0.2.{number}") for number in range(1, 101)))
        begun = clock().seconds()
        answer = await self.ask("big.test", "A", self.asking(self.server.address, seconds=0.3))
        self.assertEqual((answer.records, answer.is_silent), ((), True))
        self.assertLess(clock().seconds() - begun, 1.0)

    async def test_the_next_server_is_asked(self) -> None:
        silent = await NameServer.start(self)
        silent.is_silent = True
        self.server.put("a.test", dns.Record_A("192.0.2.1"))
        names = self.asking(silent.address, self.server.address, seconds=0.4)
        self.assertEqual((await self.ask("a.test", "A", names)).records, ("192.0.2.1",))
        self.assertEqual(len(silent.asked), 1)

    async def test_a_question_takes_no_longer_with_many_servers(self) -> None:
        dead = [f"127.0.0.1:{port}" for port in free_ports(3)]
        begun = clock().seconds()
        await self.ask("a.test", "A", self.asking(*dead, seconds=0.3))
        self.assertLess(clock().seconds() - begun, 1.0)

    async def test_stop_ends_every_question(self) -> None:
        self.server.is_silent = True
        names = self.asking(self.server.address, seconds=0.2)
        asked = [self.ask("a.test", "A", names), self.ask("b.test", "A", names)]
        names.stop()
        for each in asked:
            self.assertEqual((await each).records, ())
        self.assertEqual((await self.ask("c.test", "A", names)).is_silent, True)
        await self.later(0.3)

    async def later(self, seconds: float) -> None:
        """Let the timers of the library run out."""
        waited: Deferred[None] = Deferred()
        clock().callLater(seconds, waited.callback, None)
        await waited

    async def test_the_servers_of_the_system_are_read_again_when_they_change(self) -> None:
        path = Path(self.mktemp())
        path.write_text("nameserver 192.0.2.1\n")
        names = NameServers(reactor, (), path)
        self.assertEqual(names._of_the_system(), [("192.0.2.1", 53)])
        path.unlink()
        self.assertEqual(names._of_the_system(), [])
        path.write_text("nameserver 192.0.2.22\n")
        self.assertEqual(names._of_the_system(), [("192.0.2.22", 53)])


class LieTests(DnsCase):
    """Whoever serves a domain may say what he likes of his own names, and nothing of others."""

    async def said(self, name: str, kind: Kind, *answers: dns.RRHeader) -> Answer:
        def say(message: dns.Message) -> None:
            message.rCode = dns.OK
            message.answers = list(answers)
            message.authority = []

        self.server.twist = say
        return await self.ask(name, kind)

    def record(self, name: bytes, payload: Any, ttl: int = 60, cls: int = dns.IN) -> dns.RRHeader:
        return dns.RRHeader(name, payload.TYPE, cls, ttl, payload)

    async def test_aliases_in_a_circle(self) -> None:
        circle = [
            self.record(b"a.test", dns.Record_CNAME(b"b.test")),
            self.record(b"b.test", dns.Record_CNAME(b"a.test")),
        ]
        self.assertEqual((await self.said("a.test", "A", *circle)).records, ())
        self.assertEqual(
            (await self.said("a.test", "A", self.record(b"a.test", dns.Record_CNAME(b"a.test")))).records, ()
        )

    async def test_a_long_chain_of_aliases(self) -> None:
        chain = [self.record(b"h%d.test" % n, dns.Record_CNAME(b"h%d.test" % (n + 1))) for n in range(20)]
        address = self.record(b"h20.test", dns.Record_A("192.0.2.1"))
        self.assertEqual((await self.said("h0.test", "A", *chain, address)).records, ())
        self.assertEqual((await self.said("h16.test", "A", *chain, address)).records, ("192.0.2.1",))

    async def test_an_alias_to_what_is_no_name(self) -> None:
        alias = self.record(b"a.test", dns.Record_CNAME(b"b ad.test"))
        bad = self.record(b"b ad.test", dns.Record_A("192.0.2.1"))
        self.assertEqual((await self.said("a.test", "A", alias, bad)).records, ())

    async def test_records_of_other_names_types_and_classes(self) -> None:
        answer = await self.said(
            "a.test",
            "A",
            self.record(b"other.test", dns.Record_A("192.0.2.66")),
            self.record(b"a.test", dns.Record_AAAA("2001:db8::66")),
            self.record(b"a.test", dns.Record_SRV(1, 1, 1, b"x.test")),
            self.record(b"a.test", dns.Record_A("192.0.2.67"), cls=dns.CH),
            self.record(b"A.TEST", dns.Record_A("192.0.2.1")),
        )
        self.assertEqual(answer.records, ("192.0.2.1",))

    async def test_addresses_of_nobody(self) -> None:
        lies = [
            self.record(b"a.test", dns.Record_A(address)) for address in ("0.0.0.0", "224.0.0.1", "255.255.255.255")
        ]
        self.assertEqual((await self.said("a.test", "A", *lies)).records, ())
        lies = [self.record(b"a.test", dns.Record_AAAA(address)) for address in ("::", "ff02::1")]
        self.assertEqual((await self.said("a.test", "AAAA", *lies)).records, ())

    async def test_servers_that_are_no_names(self) -> None:
        lies = [
            self.record(b"s.test", dns.Record_SRV(1, 1, 5060, name)) for name in (b"192.0.2.1", b"a b", b"\xff", b"-")
        ]
        lies.append(self.record(b"s.test", dns.Record_SRV(1, 1, 0, b"a.test")))
        self.assertEqual((await self.said("s.test", "SRV", *lies)).records, ())
        lie = self.record(b"s.test", dns.Record_NAPTR(1, 1, b"s", b"SIP+D2U", b"", b"b ad"))
        (naptr,) = (await self.said("s.test", "NAPTR", lie)).records
        self.assertEqual(naptr, Naptr(1, 1, b"s", b"SIP+D2U", b"", ""))

    async def test_a_huge_answer(self) -> None:
        lies = [self.record(b"a.test", dns.Record_A(f"10.1.{n >> 8}.{n & 255}")) for n in range(1, 4000)]
        self.assertEqual(len((await self.said("a.test", "A", *lies[:900])).records), 32)
        self.names = self.asking(self.server.address, seconds=0.5)
        self.assertEqual((await self.said("a.test", "A", *lies)).is_silent, True)

    async def test_a_time_to_live_of_nothing_or_for_ever(self) -> None:
        address = dns.Record_A("192.0.2.1")
        self.assertEqual((await self.said("a.test", "A", self.record(b"a.test", address, 0))).ttl, 1)
        self.assertEqual((await self.said("a.test", "A", self.record(b"a.test", address, 1 << 31))).ttl, 86400)


class WholeTests(DnsCase):
    """The locator with a real name server."""

    @conforms("RFC 3263 4.1", "RFC 3263 4.2")
    async def test_a_carrier(self) -> None:
        server = self.server
        server.put(
            "carrier.test",
            dns.Record_NAPTR(10, 10, b"s", b"SIP+D2U", b"", b"_sip._udp.carrier.test"),
            dns.Record_NAPTR(20, 10, b"s", b"SIP+D2T", b"", b"_sip._tcp.carrier.test"),
        )
        server.put(
            "_sip._udp.carrier.test",
            dns.Record_SRV(20, 0, 5062, b"b.carrier.test"),
            dns.Record_SRV(10, 0, 5060, b"a.carrier.test"),
        )
        server.put("a.carrier.test", dns.Record_A("192.0.2.1"), dns.Record_AAAA("2001:db8::1"))
        server.put("b.carrier.test", dns.Record_CNAME(b"c.carrier.test"))
        server.put("c.carrier.test", dns.Record_A("192.0.2.2"))
        hosts = HostAddresses(self.names, System(), Path(self.mktemp()))
        locator = Locator(clock(), self.names, hosts, lambda transport: (4,), random.Random(1))
        self.addCleanup(locator.stop)
        for _ in range(2):
            found: Deferred[tuple[Target, ...]] = Deferred()
            locator.locate(Target("", "carrier.test", 0), found.callback)
            self.assertEqual([(hop.host, hop.port) for hop in await found], [("192.0.2.1", 5060), ("192.0.2.2", 5062)])
        self.assertEqual(len(server.asked), 4 + 2)
