"""SIPp as a phone that watches others."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.sipp import SippPhone
from tests.interop.sipp_calls import MD5
from tests.running import serving, until


class SubscribeTests(TestCase):
    timeout = 120

    async def watch(self, transport: str) -> None:
        async with serving(self, MD5) as server:
            alice = await SippPhone.make(self, server, "alice", transport)
            bob = await SippPhone.make(self, server, "bob", transport)
            await alice.run("subscribe", peer="bob").succeeded()
            await bob.run("subscribe_refused", peer="alice", code=403).succeeded()
            await until(lambda: server.api.metric("gosip_subscriptions"), lambda value: value == 0.0)

    @conforms("RFC 6665 4.2.1.2", "RFC 6665 4.2.1.4", "RFC 6665 4.2.1")
    async def test_over_udp(self) -> None:
        await self.watch("udp")

    async def test_over_tcp(self) -> None:
        await self.watch("tcp")
