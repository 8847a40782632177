"""An office of baresip phones whose calls the server bridges; each says a tone of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.interop.baresip import BaresipPhone
from tests.interop.books import nothing_is_left
from tests.running import RunningServer, Settings, clock, until

TONES = {"alice": 440, "bob": 700, "carol": 1000, "dave": 1300}
TALK_SECONDS = 0.6
"""Long enough for a recording in which a tone can be told from others."""
SESSION_SECONDS = 15.0

# baresip 1.0 refuses a challenge that offers SHA-256 beside MD5, in whatever order.
MD5: Settings = {"auth": {"algorithms": ["MD5"]}}


class SwitchCase(TestCase):
    """Each test has a server of its own, so that its calls are the only ones in the books."""

    timeout = 120

    async def phone(
        self, server: RunningServer, user: str, *, answer: str = "auto", transport: str = "udp"
    ) -> BaresipPhone:
        """A registered phone of somebody whose calls are bridged."""
        return await BaresipPhone.make(
            self, server, user, transport, answer, call_schema="b2bua", tone=TONES.get(user, 0)
        )

    async def talk(self, caller: BaresipPhone, callee: BaresipPhone, dialled: str = "") -> None:
        """A call that the callee answers by itself, until both have said something."""
        caller.dial(dialled or callee.user)
        for phone in (caller, callee):
            await phone.heard("CALL_ESTABLISHED")
        await self.speak()

    async def ring(self, caller: BaresipPhone, callee: BaresipPhone, *others: BaresipPhone) -> None:
        """A call that nobody has answered yet."""
        caller.dial(callee.user)
        for phone in (callee, *others):
            await phone.heard("CALL_INCOMING")
        await caller.heard("CALL_RINGING")

    async def speak(self, seconds: float = TALK_SECONDS) -> None:
        """Let the phones talk: their RTP is real, and takes its time."""
        await deferLater(clock(), seconds)

    async def has_audio(self, *phones: BaresipPhone) -> None:
        """Wait until RTP goes both ways at all of them."""

        async def probe() -> list[bool]:
            return [phone.has_audio for phone in phones]

        await until(probe, all, SESSION_SECONDS)

    async def over(self, *phones: BaresipPhone) -> None:
        """Wait until none of them has a call, and end them: baresip closes its recordings then."""
        for phone in phones:
            await until(phone.calls, lambda said: "Active calls (0)" in said)
        for phone in phones:
            await phone.quit()

    async def journal(self, server: RunningServer, count: int = 1) -> list[dict[str, Any]]:
        """The closed rows of so many calls, the oldest first, once nothing is left of them."""

        def are_closed(rows: list[dict[str, Any]]) -> bool:
            return len(rows) >= count and all(row["end_at"] is not None for row in rows)

        rows = await until(lambda: server.api.rows("/api/call_journals"), are_closed)
        await nothing_is_left(server)
        self.assertEqual(len(rows), count, rows)
        return sorted(rows, key=lambda row: str(row["invite_at"]))

    async def live(
        self, server: RunningServer, accept: Callable[[list[dict[str, Any]]], bool], seconds: float = 5.0
    ) -> list[dict[str, Any]]:
        """The calls that go on, once they are as they should be."""
        return await until(lambda: server.api.rows("/api/calls"), accept, seconds)

    async def command(self, server: RunningServer, path: str, body: dict[str, object], status: int = 200) -> str:
        """What a POST answers."""
        code, text = await server.api.ask("POST", path, body)
        self.assertEqual(code, status, text)
        return text

    async def change(self, server: RunningServer, login: str, **changes: object) -> None:
        """Change a person over the API."""
        (found,) = [user for user in await server.api.rows("/api/users") if user["login"] == login]
        status, text = await server.api.ask("PATCH", f"/api/users/{found['id']}", changes)
        self.assertEqual(status, 200, text)
