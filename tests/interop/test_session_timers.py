"""Session timers between SIPp phones that know them and phones that do not, in each mode of the server (RFC 4028)."""

from __future__ import annotations

from typing import Literal

from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.interop.books import outcome
from tests.interop.sipp import SippPhone
from tests.running import RunningServer, Settings, serving

Mode = Literal["off", "accept", "require"]

HUNG_UP = ("answered", 200, "caller")
EXPIRED = ("answered", 200, "system")


def settings(mode: Mode) -> Settings:
    """Sessions of two seconds, with two more of grace. SIPp 3.6 knows no SHA-256."""
    return {
        "auth": {"algorithms": ["MD5"]},
        "sip": {"timer_t1": 0.03},
        "session_timers": {"mode": mode, "min_se": 2, "session_expires": 2, "max_se": 2},
    }


class TimerTests(TestCase):
    """Each scenario checks the headers that it gets, and who hangs up."""

    timeout = 120

    async def phones(self, server: RunningServer) -> tuple[SippPhone, SippPhone]:
        alice = await SippPhone.make(self, server, "alice", "udp")
        bob = await SippPhone.make(self, server, "bob", "udp")
        await bob.register()
        return alice, bob

    async def talk(self, mode: Mode, caller: str, callee: str) -> tuple[str, int, str]:
        """Run both scenarios to their good end; what the books say of the call."""
        async with serving(self, settings(mode)) as server:
            alice, bob = await self.phones(server)
            answering = await bob.await_call(callee)
            await alice.run(caller, peer="bob", hold_ms=100).succeeded()
            await answering.succeeded()
            return await outcome(server)

    @conforms("RFC 4028 8.1", "RFC 4028 8.2", "RFC 4028 10")
    async def test_refreshes_by_update_and_re_invite_keep_it_up(self) -> None:
        self.assertEqual(await self.talk("accept", "timer_call", "answer_refreshed"), HUNG_UP)

    @conforms("RFC 4028 10", "RFC 4028 8.3")
    async def test_the_caller_does_not_refresh(self) -> None:
        self.assertEqual(await self.talk("accept", "timer_call_until_bye", "answer_until_expiry"), EXPIRED)

    @conforms("RFC 4028 10", "RFC 4028 8.3")
    async def test_the_callee_does_not_refresh(self) -> None:
        self.assertEqual(await self.talk("accept", "call_until_expiry", "timer_answer"), EXPIRED)

    async def test_neither_knows_the_timer(self) -> None:
        self.assertEqual(await self.talk("accept", "call", "answer"), HUNG_UP)

    @conforms("RFC 4028 6", "RFC 4028 7.3")
    async def test_too_short_and_then_long_enough(self) -> None:
        self.assertEqual(await self.talk("accept", "timer_too_short", "answer"), HUNG_UP)

    async def test_off(self) -> None:
        self.assertEqual(await self.talk("off", "call", "answer_untimed"), HUNG_UP)

    async def test_required_of_a_caller_who_knows_it(self) -> None:
        self.assertEqual(await self.talk("require", "timer_call", "answer_refreshed"), HUNG_UP)

    @conforms("RFC 3261 21.4.15", "RFC 4028 12.3")
    async def test_required_of_a_caller_who_does_not_know_it(self) -> None:
        async with serving(self, settings("require")) as server:
            alice, _ = await self.phones(server)
            await alice.run("timer_required", peer="bob").succeeded()
            self.assertEqual(await server.api.rows("/api/call_journals"), [])
