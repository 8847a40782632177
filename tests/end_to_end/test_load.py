"""Five thousand calls: each has its row, and afterwards nothing of them is left in the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tests.end_to_end.cases import ServerCase
from tests.peers import need
from tests.running import LOOPBACK, Program, Settings, free_ports, until

CALLS = 5000
# For longer than anything is kept of a call that is over: its place in the ladders, for ten seconds.
WARMING_CALLS = 3500
CALLS_PER_SECOND = 300
GROWTH = 1.10
HERE = Path(__file__).parent


class LoadTests(ServerCase):
    """SIPp as everybody who calls, and as everybody who is called."""

    over: ClassVar[Settings] = {"auth": {"trusted_networks": [f"{LOOPBACK}/32"]}, "sip": {"timer_t1": 0.05}}
    lingering = 10.0

    async def test_five_thousand_calls_leave_rows_and_nothing_else(self) -> None:
        sipp = need("sipp")
        (callee_port,) = free_ports(1)
        await self.server.api.add_phone("callee")
        phone = await self.silent_phone(user="callee")
        await phone.register(contact=f"sip:callee@{LOOPBACK}:{callee_port}")
        callee = self.sipp(sipp, "load_answer", callee_port)
        await callee.seen("Scenario Screen")

        await self.run_calls(sipp, WARMING_CALLS, WARMING_CALLS)
        warm = self.server.resident_octets()
        await self.run_calls(sipp, CALLS, WARMING_CALLS + CALLS)
        self.assertLess(self.server.resident_octets(), warm * GROWTH)
        await callee.kill()

    async def run_calls(self, sipp: str, count: int, rows: int) -> None:
        """All are answered; returns when the process is at rest again, and the journal has so many rows."""
        (port,) = free_ports(1)
        calling = self.sipp(sipp, "load_call", port, "-m", str(count), "-r", str(CALLS_PER_SECOND))
        code = await calling.exited(60.0)
        self.assertEqual(code, 0, calling.output[-3000:])
        await self.server.nothing_goes_on()
        await self.server.transactions_end(self.lingering)
        sums = await until(self.sums, lambda found: found["total"] == rows and not found["open"])
        self.assertEqual(sums["by_result"], {"answered": rows})

    async def sums(self) -> dict[str, Any]:
        answer = await self.server.api.read("/api/call_journals/stats")
        sums: dict[str, Any] = answer["data"]
        return sums

    def sipp(self, sipp: str, scenario: str, port: int, *more: str) -> Program:
        argv = [sipp, f"{LOOPBACK}:{self.server.sip_port}", "-sf", str(HERE / f"{scenario}.xml"), "-nostdin"]
        argv += ["-i", LOOPBACK, "-p", str(port), "-t", "u1", *more]
        return Program.start(self, f"SIPp ({scenario})", argv, self.server.directory, terminal=True)
