"""What an administrator changes of the feature codes, and a person of the own account, holds from then on."""

from __future__ import annotations

from itertools import count

from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Phone

_names = count(1)


class ChangeTests(CallCase):
    async def somebody(self) -> tuple[Phone, int]:
        """A registered phone of somebody new, and the id of that user."""
        user = f"code{next(_names)}"
        await self.server.api.add_phone(user, "b2bua")
        (row,) = await self.server.api.rows("/api/users", login=user)
        return await self.phone("udp", user), row["id"]

    async def change(self, feature: str, **fields: object) -> None:
        status, text = await self.server.api.ask("PATCH", f"/api/feature_codes/{feature}", fields)
        self.assertEqual(status, 200, text)

    async def is_disturbed(self, user_id: int) -> bool:
        return not (await self.server.api.read(f"/api/users/{user_id}"))["data"]["dnd"]

    async def test_another_code(self) -> None:
        phone, user_id = await self.somebody()
        await self.change("dnd_on", code="*178")
        await (await phone.call("*78")).refused(404)
        self.assertTrue(await self.is_disturbed(user_id))
        leg = await phone.call("*178")
        await leg.answered()
        await leg.hung_up_on()
        self.assertFalse(await self.is_disturbed(user_id))
        await self.server.stop()
        await self.server.start()
        (row,) = [row for row in await self.server.api.rows("/api/feature_codes") if row["feature"] == "dnd_on"]
        self.assertEqual((row["code"], row["default_code"]), ("*178", "*78"))
        await self.change("dnd_on", code="*78")

    async def test_a_code_that_is_turned_off(self) -> None:
        phone, _ = await self.somebody()
        await self.change("forward_off", enabled=False)
        await (await phone.call("*73")).refused(404)
        await self.change("forward_off", enabled=True)
        leg = await phone.call("*73")
        await leg.answered()
        await leg.hung_up_on()
