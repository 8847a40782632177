"""A user whose calls are redirected: the real server tells the caller where the phones are (RFC 3261 8.3)."""

from __future__ import annotations

from tests.conformance import conforms
from tests.end_to_end.books import CallCase
from tests.end_to_end.phone import Leg, Phone


class RedirectTests(CallCase):
    async def redirected(self, name: str) -> list[Phone]:
        """Two phones of somebody whose calls are redirected."""
        await self.server.api.add_phone(name, call_schema="redirect")
        phones = [await self.silent_phone(transport, name) for transport in ("udp", "tcp")]
        for phone, q in zip(phones, ("1.0", "0.4"), strict=True):
            await phone.register(parameters=f';q={q};+sip.instance="<urn:uuid:{name}-{phone.transport}>"')
        return phones

    @conforms("RFC 3261 8.3", "RFC 3261 21.3.3", "RFC 3261 16.5")
    async def test_a_call(self) -> None:
        for transport in ("udp", "tcp"):
            phones = await self.redirected(f"away-{transport}")
            calling = await (await self.phone(transport)).call(phones[0].user)
            answer = await calling.refused(302)
            self.assertEqual(answer.all("contact"), [f"<{phones[0].contact}>;q=1", f"<{phones[1].contact}>;q=0.4"])
            row = await self.assert_closed(calling.call_id, "redirected", 302, "system")
            self.assertEqual(row["callee_user"], phones[0].user)
            self.assertEqual([phone.heard("INVITE") for phone in phones], [0, 0])

    @conforms("RFC 3261 8.3")
    async def test_other_requests(self) -> None:
        phones = await self.redirected("busybody")
        caller = await self.phone()
        for method in ("MESSAGE", "OPTIONS", "REFER"):
            leg = Leg(caller, f"other-{method}@127.0.0.1", f"sip:{phones[0].user}@127.0.0.1")
            leg.local, leg.remote = f"<sip:{caller.user}@127.0.0.1>;tag=x", f"<{leg.target}>"
            leg._send(method, 1, "")
            challenge = await leg.expect(407, method)
            leg._send(method, 2, "", caller.credentials(challenge, method, leg.target))
            answer = await leg.expect(302, method)
            self.assertEqual(len(answer.all("contact")), 2)
            self.assertEqual([phone.heard(method) for phone in phones], [0, 0])

    async def test_nobody_is_registered(self) -> None:
        await self.server.api.add_phone("nowhere", call_schema="redirect")
        calling = await (await self.phone()).call("nowhere")
        await calling.refused(480)
        await self.assert_closed(calling.call_id, "no_answer", 480, "system")

    async def test_a_change_of_mode_counts_at_once(self) -> None:
        callee, caller = await self.phone(), await self.phone()
        calling, called = await self.talking(caller, callee)
        (found,) = await self.server.api.rows("/api/users", login=callee.user)
        calling.bye()
        await called.hung_up_on()
        await self.server.api.ask("PATCH", f"/api/users/{found['id']}", {"call_schema": "redirect"})
        again = await caller.call(callee.user)
        await again.refused(302)
        await self.server.api.ask("PATCH", f"/api/users/{found['id']}", {"call_schema": "proxy"})
        calling, called = await self.talking(caller, callee)
        calling.bye()
        await called.hung_up_on()
