"""Phones in browsers, over plain and secure WebSockets, call and are called (RFC 7118)."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

from tests.conformance import conforms
from tests.end_to_end.books import CallCase
from tests.end_to_end.browser_phone import BrowserPhone
from tests.end_to_end.cases import ServerCase
from tests.end_to_end.phone import Phone
from tests.running import LOOPBACK, Settings, until

WEBSOCKETS: Settings = {
    "sip": {
        "ws": [f"{LOOPBACK}:0"],
        "wss": [f"{LOOPBACK}:0"],
        "ws_origins": ["https://phone.example.com"],
        "timer_t1": 0.03,
        "timer_t2": 0.25,
        "timer_t4": 0.3,
    }
}
ORIGIN = "https://phone.example.com"

_names = count(1)


class BrowserCase(CallCase):
    """Phones of every kind."""

    over = WEBSOCKETS

    async def any_phone(self, transport: str) -> Phone:
        """A registered phone on this transport."""
        if transport in ("ws", "wss"):
            return await self.browser(transport)
        return await self.phone(transport)

    async def browser(self, transport: str = "ws", user: str = "") -> BrowserPhone:
        """A registered phone in a browser."""
        if not user:
            user = f"page{next(_names)}"
            await self.server.api.add_phone(user)
        phone = await BrowserPhone.open(self, self.server, user, transport, ORIGIN)
        await phone.register()
        return phone


class CallTests(BrowserCase):
    @conforms("RFC 7118 8.2")
    async def test_browsers_and_phones_call_each_other(self) -> None:
        for ends in (("ws", "udp"), ("udp", "ws"), ("ws", "wss"), ("wss", "tcp")):
            for hangs_up in ("caller", "callee"):
                caller, callee = [await self.any_phone(transport) for transport in ends]
                calling, called = await self.talking(caller, callee)
                first, other = (calling, called) if hangs_up == "caller" else (called, calling)
                first.bye()
                await other.hung_up_on()
                await first.expect(200, "BYE")
                row = await self.assert_closed(calling.call_id, "answered", 200, hangs_up)
                self.assertEqual((row["caller_user"], row["callee_user"]), (caller.user, callee.user))

    @conforms("RFC 7118 5.2", "RFC 5658 5")
    async def test_the_route_of_a_dialog_names_both_our_sockets(self) -> None:
        caller, callee = await self.browser("wss"), await self.phone()
        calling, called = await self.talking(caller, callee)
        ours, theirs = called.routes
        self.assertRegex(ours, rf"\A<sip:([^@]+@)?127\.0\.0\.1:{self.server.sip_port};lr>\Z")
        self.assertRegex(theirs, r"\A<sip:([^@]+@)?127\.0\.0\.1:\d+;transport=ws;lr>\Z")
        self.assertEqual(calling.routes, [theirs, ours])
        calling.bye()
        await called.hung_up_on()
        await self.assert_closed(calling.call_id, "answered", 200, "caller")

    async def test_a_browser_is_called_where_it_registered_and_gives_up_when_its_caller_does(self) -> None:
        caller, callee = await self.phone(), await self.browser()
        calling, called = await self.ringing(caller, callee)
        request = called.request
        assert request is not None
        self.assertEqual(request.uri, callee.contact)
        self.assertTrue(request["via"].startswith("SIP/2.0/WS 127.0.0.1:"))
        calling.cancel()
        called.respond(200, request=await called.expect("CANCEL"))
        called.respond(487)
        await calling.refused(487)
        await self.assert_closed(calling.call_id, "cancelled", 487, "caller")

    @conforms("RFC 3261 13.2.2.4", "RFC 3261 16.7", "RFC 7118 5.3")
    async def test_the_page_of_the_caller_is_closed(self) -> None:
        """No answer can reach it: whoever picks up at that moment hears an ACK, and a BYE."""
        for transport in ("udp", "tcp"):
            caller = await self.browser()
            calling, called = await self.ringing(caller, await self.phone(transport))
            await caller.vanish()
            cancel = await called.expect("CANCEL")
            called.answer()
            called.respond(200, request=cancel)
            await called.expect("ACK")
            bye = await called.expect("BYE")
            self.assertEqual(bye.to_tag, called.tag)
            called.respond(200, request=bye)
            await self.assert_closed(calling.call_id, "failed", 503, "system")
            self.assertEqual(
                [row["answered_at"] for row in await self.server.rows("/api/sessions", calling.call_id)], []
            )

    async def test_a_page_that_was_closed_is_not_waited_for(self) -> None:
        caller, callee = await self.phone(), await self.browser()
        await callee.vanish()
        calling = await caller.call(callee.user)
        await calling.refused(480)
        row = await self.server.closed_row(calling.call_id)
        self.assertEqual(row["final_code"], 480)


class RegistrationTests(BrowserCase):
    @conforms("RFC 7118 8.1")
    async def test_it_is_listed_with_its_transport(self) -> None:
        for transport in ("ws", "wss"):
            phone = await self.browser(transport)
            rows = await self.server.api.rows("/api/registrations")
            (row,) = [row for row in rows if row["contact"] == phone.contact]
            self.assertEqual(row["transport"].lower(), transport)
            await phone.register(0)

    @conforms("RFC 7118 6")
    async def test_keep_alives(self) -> None:
        phone = await self.browser()
        before = len(phone.inbox.octets)
        phone.send(b"\r\n\r\n")

        async def heard() -> list[bytes]:
            return phone.inbox.octets[before:]

        await until(heard, lambda octets: octets == [b"\r\n"])


class HandshakeTests(BrowserCase):
    @conforms("RFC 7118 4.1")
    async def test_pages_of_other_sites_are_refused_and_so_is_what_is_no_sip(self) -> None:
        phone = await BrowserPhone.open(self, self.server, "x", "ws", "https://evil.example")
        self.assertEqual(phone.browser.status, 403)
        good = await self.browser()
        good.send(b"this is no SIP")
        await good.register()


class StopTests(ServerCase):
    """A server of its own, which is stopped."""

    over: ClassVar[Settings] = {**WEBSOCKETS, "limits": {"drain_seconds": 0.0}}

    async def test_browsers_are_told_that_the_server_goes(self) -> None:
        await self.server.api.add_phone("leaver")
        phone = await BrowserPhone.open(self, self.server, "leaver", "ws", ORIGIN)
        await phone.register()
        stopping = self.server.stopping()
        await phone.ended()
        self.assertEqual(phone.browser.closed_with, (1001, ""))
        await stopping
        await self.server.start()
