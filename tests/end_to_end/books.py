"""What the journal must say of a call: the case of the tests whose calls end in every way there is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Leg, Phone
from tests.running import Settings

__all__ = ["CALL_SECONDS", "LATE", "PATIENCE", "TIMER_C", "CallCase"]

T1 = 0.03
PATIENCE = 64 * T1
"""What Timers B, F and H last (RFC 3261 table 4), and how long a session may be silent beyond its interval."""
TIMER_C = 2.5
CALL_SECONDS = 4.0
LATE = 1.0
"""How much later than its time something may be seen."""

IMPATIENT: Settings = {
    "sip": {"timer_t1": T1, "timer_t2": 0.25, "timer_t4": 0.3, "timer_c": TIMER_C},
    "limits": {"call_seconds": CALL_SECONDS},
}


def milliseconds(row: dict[str, Any], start: str, end: str) -> float:
    """Between two times of a row."""
    return (datetime.fromisoformat(row[end]) - datetime.fromisoformat(row[start])).total_seconds() * 1000


class CallCase(ServerCase):
    """What the journal says of a call."""

    over = IMPATIENT

    async def assert_closed(self, call_id: str, result: str, code: int, ended_by: str, seconds: float = 5.0) -> Any:
        """The closed row; its times agree with its sums."""
        row = await self.server.closed_row(call_id, seconds)
        self.assertEqual((row["result"], row["final_code"], row["ended_by"]), (result, code, ended_by), row)
        self.assertLessEqual(row["invite_at"], row["end_at"])
        self.assert_sum(row, "ring_ms", "first_18x_at", "answer_at" if row["answer_at"] else "end_at")
        self.assert_sum(row, "talk_ms", "answer_at", "end_at")
        return row

    def assert_sum(self, row: dict[str, Any], sum_name: str, start: str, end: str) -> None:
        if row[start] is None:
            self.assertIsNone(row[sum_name], row)
        else:
            self.assertApproximates(row[sum_name], milliseconds(row, start, end), 2, row)

    async def ringing(self, caller: Phone, callee: Phone) -> tuple[Leg, Leg]:
        """A call that rings at the other side."""
        calling = await caller.call(callee.user)
        called = await callee.called(calling.call_id)
        called.respond(180)
        await calling.expect(180)
        return calling, called

    async def talking(self, caller: Phone, callee: Phone, headers: tuple[tuple[str, str], ...] = ()) -> tuple[Leg, Leg]:
        """A call that was answered and acknowledged."""
        calling, called = await self.ringing(caller, callee)
        called.answer(headers)
        await calling.answered()
        await called.expect("ACK")
        return calling, called
