"""People and phones are changed over the API: it holds from the very next call on."""

from __future__ import annotations

from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Phone


class ChangeTests(CallCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.caller, self.callee = await self.phone(), await self.phone()

    async def change(self, resource: str, field: str, /, **changes: object) -> None:
        """PATCH the row of the callee."""
        (found,) = await self.server.api.rows(f"/api/{resource}", **{field: self.callee.user})
        status, text = await self.server.api.ask("PATCH", f"/api/{resource}/{found['id']}", changes)
        self.assertEqual(status, 200, text)

    async def rings(self) -> None:
        calling, called = await self.talking(self.caller, self.callee)
        calling.bye()
        await called.hung_up_on()

    async def is_refused(self, status: int) -> None:
        invites = self.callee.heard("INVITE")
        calling = await self.caller.call(self.callee.user)
        await calling.refused(status)
        await self.assert_closed(calling.call_id, "no_answer", status, "system")
        self.assertEqual(self.callee.heard("INVITE"), invites)

    async def test_do_not_disturb(self) -> None:
        for _ in range(2):
            await self.rings()
            await self.change("users", "login", dnd=True)
            await self.is_refused(480)
            await self.change("users", "login", dnd=False)
        await self.rings()

    async def test_a_user_who_is_disabled(self) -> None:
        await self.rings()
        await self.change("users", "login", enabled=False)
        await self.is_refused(480)
        await self.change("users", "login", enabled=True)
        await self.is_refused(480)  # the registrations ended: the phones sign in again
        await self.callee.register()
        await self.rings()

    async def test_a_device_that_is_disabled(self) -> None:
        await self.rings()
        await self.change("devices", "username", enabled=False)
        await self.is_refused(480)

    async def test_a_caller_who_is_disabled(self) -> None:
        await self.rings()
        caller: Phone = self.caller
        self.caller, self.callee = self.callee, caller
        await self.change("users", "login", enabled=False)
        calling = await caller.call(self.caller.user)
        await calling.refused(403)
