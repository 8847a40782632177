"""Methods that only pass through, between SIPp phones: PRACK, UPDATE, INFO, REFER and its NOTIFYs.

What the scenarios check at the other end is what was sent: RAck, bodies, Refer-To, the state of the subscription.
"""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.books import outcome, transactions_end
from tests.interop.sipp import SippPhone
from tests.interop.sipp_calls import HOLD_MS, MD5
from tests.running import serving


class OverUdpTests(TestCase):
    timeout = 120
    transport = "udp"

    async def call(self, caller: str, callee: str) -> None:
        """Alice calls Bob; both go through their scenarios to the end, and the books say that they talked."""
        async with serving(self, MD5) as server:
            alice = await SippPhone.make(self, server, "alice", self.transport)
            bob = await SippPhone.make(self, server, "bob", self.transport)
            await bob.register()
            answering = await bob.await_call(callee)
            await alice.run(caller, peer="bob", hold_ms=HOLD_MS).succeeded()
            await answering.succeeded()
            self.assertEqual(await outcome(server), ("answered", 200, "caller"))
            await transactions_end(server)

    @conforms("RFC 3262 3", "RFC 3262 4", "RFC 3311 5.1")
    async def test_prack_and_an_update_before_the_answer(self) -> None:
        await self.call("call_prack", "answer_prack")

    @conforms("RFC 3311 5.1", "RFC 6086 4.2.1", "RFC 3515 2.6", "RFC 6665 4.3")
    async def test_info_update_and_refer_within_a_call(self) -> None:
        await self.call("call_requests", "answer_requests")


class OverTcpTests(OverUdpTests):
    transport = "tcp"
