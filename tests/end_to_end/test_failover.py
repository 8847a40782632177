"""Calls to a carrier whose servers stand in DNS, through the real process: some of them are dead, or overloaded."""

from __future__ import annotations

import re
from itertools import count
from typing import Any

from twisted.names import dns
from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.phone import Leg, Phone, Received
from tests.nameserver import NameServer
from tests.running import LOOPBACK, RunningServer, Settings, clock, free_ports, serving, until

T1 = 0.03
TIMER_B = 64 * T1
_numbers = count(1)


def settings(*servers: str) -> Settings:
    return {"sip": {"dns_servers": list(servers), "timer_t1": T1, "timer_t2": 0.25, "timer_t4": 0.3}}


async def caller_of(case: TestCase, server: RunningServer) -> Phone:
    await server.api.add_phone("alice")
    phone = Phone.udp(case, server.sip_port, "alice")
    await phone.register()
    return phone


class Dialled:
    """A call out of the house: answers each challenge, ours and those of others, once a realm."""

    def __init__(self, phone: Phone, uri: str) -> None:
        self.leg = Leg(phone, f"out-{next(_numbers)}@{LOOPBACK}", uri)
        self.leg.local = f"<sip:{phone.user}@{LOOPBACK}>;tag=o{next(_numbers)}"
        self.leg.remote = f"<{uri}>"
        self._credentials: dict[str, tuple[str, str]] = {}

    async def invite(self) -> None:
        """Until the server itself is content."""
        self.leg.invite()
        await self.challenged()

    async def challenged(self) -> None:
        """The next 407, answered."""
        challenge = await self.leg.expect(407)
        self.leg.ack(challenge)
        realm = re.findall('realm="(.*?)"', challenge["proxy-authenticate"])[0]
        (answer,) = self.leg.phone.credentials(challenge, "INVITE", self.leg.target)
        self._credentials[realm] = answer
        self.leg.invite(tuple(self._credentials.values()))


class FailoverTests(TestCase):
    timeout = 60

    def carrier(self, server: RunningServer) -> Phone:
        """One server of the carrier."""
        return Phone.udp(self, server.sip_port, "carrier")

    async def acknowledged(self, leg: Leg, status: int) -> Received:
        leg.respond(status)
        return await leg.expect("ACK")

    async def hang_up(self, dialled: Dialled, other: Leg) -> None:
        dialled.leg.bye()
        await other.hung_up_on()
        await dialled.leg.expect(200, "BYE")

    @conforms("RFC 3263 4.1", "RFC 3263 4.2", "RFC 3263 4.3", "RFC 3263 4", "RFC 3261 8.1.2")
    async def test_one_is_dead_one_is_overloaded_the_third_answers(self) -> None:
        names = await NameServer.start(self)
        async with serving(self, settings(names.address)) as server:
            overloaded, working = self.carrier(server), self.carrier(server)
            names.put("carrier.test", dns.Record_NAPTR(10, 10, b"s", b"SIP+D2U", b"", b"_sip._udp.carrier.test"))
            for priority, port in enumerate((*free_ports(1), overloaded.port, working.port)):
                names.put("_sip._udp.carrier.test", dns.Record_SRV(priority, 0, port, b"a.carrier.test"))
            names.put("a.carrier.test", dns.Record_A(LOOPBACK))
            phone = await caller_of(self, server)

            dialled = Dialled(phone, "sip:someone@carrier.test")
            await dialled.invite()
            refusing = await overloaded.called(dialled.leg.call_id)
            await self.acknowledged(refusing, 503)
            other = await working.called(dialled.leg.call_id)
            self.assertEqual(other.request and other.request.uri, "sip:someone@carrier.test")
            other.answer()
            await dialled.leg.answered()
            await other.expect("ACK")
            await self.hang_up(dialled, other)

            # The next call knows where nobody answers.
            begun = clock().seconds()
            dialled = Dialled(phone, "sip:someone@carrier.test")
            await dialled.invite()
            other = await working.called(dialled.leg.call_id)
            self.assertLess(clock().seconds() - begun, TIMER_B / 2)
            other.answer()
            await dialled.leg.answered()
            await other.expect("ACK")
            await self.hang_up(dialled, other)
            self.assertEqual(overloaded.heard("INVITE"), 1)

            # However many servers were tried, the books know one call each.
            rows = await until(lambda: server.api.rows("/api/call_journals"), self.are_closed)
            self.assertEqual([(row["result"], row["final_code"]) for row in rows], [("answered", 200)] * 2)

    def are_closed(self, rows: list[dict[str, Any]]) -> bool:
        return len(rows) > 1 and all(row["end_at"] is not None for row in rows)

    @conforms("RFC 3263 4.3")
    async def test_a_connection_that_is_refused_costs_no_time(self) -> None:
        """Of two services with one order the preferred one is TCP, where nobody listens."""
        names = await NameServer.start(self)
        async with serving(self, settings(names.address)) as server:
            carrier = self.carrier(server)
            names.put(
                "carrier.test",
                dns.Record_NAPTR(10, 20, b"s", b"SIP+D2U", b"", b"_sip._udp.carrier.test"),
                dns.Record_NAPTR(10, 10, b"s", b"SIP+D2T", b"", b"_sip._tcp.carrier.test"),
            )
            for service in ("_sip._udp.carrier.test", "_sip._tcp.carrier.test"):
                names.put(service, dns.Record_SRV(1, 0, carrier.port, b"a.carrier.test"))
            names.put("a.carrier.test", dns.Record_A(LOOPBACK))
            phone = await caller_of(self, server)
            begun = clock().seconds()
            dialled = Dialled(phone, "sip:someone@carrier.test")
            await dialled.invite()
            other = await carrier.called(dialled.leg.call_id)
            self.assertLess(clock().seconds() - begun, TIMER_B / 2)
            other.answer()
            await dialled.leg.answered()
            await other.expect("ACK")
            await self.hang_up(dialled, other)

    @conforms("RFC 3263 4.3", "RFC 3263 4")
    async def test_a_call_that_is_cancelled_goes_nowhere_else(self) -> None:
        names = await NameServer.start(self)
        async with serving(self, settings(names.address)) as server:
            first, second = self.carrier(server), self.carrier(server)
            for priority, each in enumerate((first, second)):
                names.put("_sip._udp.carrier.test", dns.Record_SRV(priority, 0, each.port, b"a.carrier.test"))
            names.put("a.carrier.test", dns.Record_A(LOOPBACK))
            dialled = Dialled(await caller_of(self, server), "sip:someone@carrier.test")
            await dialled.invite()
            ringing = await first.called(dialled.leg.call_id)
            ringing.respond(180)
            await dialled.leg.expect(180)
            dialled.leg.cancel()
            cancel = await ringing.expect("CANCEL")
            ringing.respond(200, request=cancel)
            ringing.respond(503)
            await ringing.expect("ACK")
            response = await dialled.leg.final_of_invite()
            self.assertGreaterEqual(response.status, 400)
            self.assertEqual(second.heard("INVITE"), 0)

    async def test_a_retry_with_credentials_stays_on_the_server_that_challenged(self) -> None:
        names = await NameServer.start(self)
        async with serving(self, settings(names.address)) as server:
            servers = [self.carrier(server) for _ in range(4)]
            for each in servers:
                names.put("_sip._udp.carrier.test", dns.Record_SRV(1, 1, each.port, b"a.carrier.test"))
            names.put("a.carrier.test", dns.Record_A(LOOPBACK))
            phone = await caller_of(self, server)
            # One in four would pass by chance.
            for number in range(5):
                await self._challenged_call(phone, f"sip:someone{number}@carrier.test", servers)

    async def _challenged_call(self, phone: Phone, uri: str, servers: list[Phone]) -> None:
        dialled = Dialled(phone, uri)
        await dialled.invite()

        async def ringing() -> list[Phone]:
            return [each for each in servers if each.heard(f"INVITE {uri}")]

        (asked,) = await until(ringing, lambda found: len(found) == 1)
        leg = await asked.called(dialled.leg.call_id)
        challenge = 'Digest realm="carrier", nonce="abc", algorithm=MD5, qop="auth"'
        leg.respond(407, (("Proxy-Authenticate", challenge),))
        await leg.expect("ACK")
        await dialled.challenged()
        await dialled.challenged()  # this phone does not count its requests, so the server gives it a new nonce
        again = await asked.called(dialled.leg.call_id)
        assert again.request is not None
        self.assertIn('realm="carrier"', again.request["proxy-authorization"])
        await self.acknowledged(again, 486)
        await dialled.leg.refused(486)


class NameTests(TestCase):
    timeout = 60

    async def test_without_a_name_server_a_plain_name_is_still_called(self) -> None:
        async with serving(self, settings(*(f"{LOOPBACK}:{port}" for port in free_ports(1)))) as server:
            carrier = Phone.udp(self, server.sip_port, "carrier")
            dialled = Dialled(await caller_of(self, server), f"sip:someone@localhost:{carrier.port}")
            await dialled.invite()
            other = await carrier.called(dialled.leg.call_id)
            other.respond(486)
            await dialled.leg.refused(486)

    async def test_a_domain_that_lies_or_is_not_there(self) -> None:
        names = await NameServer.start(self)
        names.put("_sip._udp.lie.test", dns.Record_SRV(1, 1, 5060, b"b.lie.test"))
        names.put("b.lie.test", dns.Record_CNAME(b"c.lie.test"))
        names.put("c.lie.test", dns.Record_CNAME(b"b.lie.test"))
        async with serving(self, settings(names.address)) as server:
            # And one whose servers are this server: a call must not go round.
            names.put("_sip._udp.mirror.test", dns.Record_SRV(1, 1, server.sip_port, b"a.mirror.test"))
            names.put("a.mirror.test", dns.Record_A(LOOPBACK))
            phone = await caller_of(self, server)
            for host in ("lie.test", "nowhere.test", "mirror.test", "10.1", "a..b"):
                dialled = Dialled(phone, f"sip:someone@{host}")
                await dialled.invite()
                await dialled.leg.refused(502)
