"""SIP.js, which web pages are built with, registers over a WebSocket, calls and is called (RFC 7118)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import attrs
from twisted.internet.interfaces import IProcessTransport
from twisted.trial.unittest import TestCase

from tests.conformance import conforms
from tests.end_to_end.phone import Phone
from tests.interop.baresip import BaresipPhone
from tests.interop.books import closed_row, nothing_is_left, outcome
from tests.peers import find, need
from tests.requirements_gate import require
from tests.running import LOOPBACK, PHONE_PASSWORD, Program, RunningServer, Settings, free_ports, serving, until

# baresip 1.0 refuses a challenge that offers SHA-256 beside MD5.
MD5: Settings = {"auth": {"algorithms": ["MD5"]}}
HERE = Path(__file__).parent / "browser"
NPM_SECONDS = 120.0


async def install(case: TestCase) -> None:
    """What package-lock.json names, in node_modules beside it; once."""
    need("node")
    npm = need("npm")
    lock, done = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    program = Program.start(case, "npm ci", [npm, "ci", "--no-audit", "--no-fund"], HERE)
    code = await program.exited(NPM_SECONDS)
    require(code == 0, f"npm ci cannot install the browser's user agent: {program.output[-500:]}")


@attrs.frozen
class BrowserPhone:
    """A SIP.js user agent."""

    user: str
    program: Program

    @classmethod
    async def start(cls, case: TestCase, server: RunningServer, user: str, url: str) -> BrowserPhone:
        """One that has connected; the user is made."""
        await server.api.add_phone(user)
        argv = [str(find("node")), str(HERE / "phone.mjs"), url, user, PHONE_PASSWORD, LOOPBACK]
        trusted = {"NODE_EXTRA_CA_CERTS": str(server.identity.certificate)}
        program = Program.start(case, f"{user}'s browser", argv, HERE, environment=trusted)
        await program.seen("connected\n")
        return cls(user, program)

    def command(self, *words: str) -> None:
        """One line of phone.mjs's language."""
        cast(IProcessTransport, self.program.transport).write(f"{' '.join(words)}\n".encode())

    async def heard(self, what: str) -> None:
        """Wait for a line that it prints."""
        await self.program.seen(f"{what}\n")

    async def register(self) -> None:
        """Register, with the answer to the challenge."""
        self.command("register")
        await self.heard("registered")

    async def quit(self) -> None:
        """Close the connection and end."""
        self.command("quit")
        code = await self.program.exited(10.0)
        if code != 0:
            raise self.program.failed(f"ended with {code}")


class BrowserCase(TestCase):
    """A server with WebSockets, and phones of every kind."""

    timeout = 240

    async def setUp(self) -> None:
        await install(self)
        plain, secure = free_ports(2)
        self.urls = {"ws": f"ws://{LOOPBACK}:{plain}/sip", "wss": f"wss://{LOOPBACK}:{secure}"}
        self.settings: Settings = {"sip": {"ws": [f"{LOOPBACK}:{plain}"], "wss": [f"{LOOPBACK}:{secure}"]}}

    async def browser(self, server: RunningServer, user: str, transport: str = "ws") -> BrowserPhone:
        """A registered one."""
        phone = await BrowserPhone.start(self, server, user, self.urls[transport])
        await phone.register()
        return phone


class BrowserTests(BrowserCase):
    @conforms("RFC 7118 4.1", "RFC 7118 8.1")
    async def test_two_browsers_talk_and_either_hangs_up(self) -> None:
        for transport, hangs_up in (("ws", "caller"), ("wss", "callee")):
            async with serving(self, self.settings) as server:
                bob = await self.browser(server, "bob", transport)
                alice = await self.browser(server, "alice", transport)
                rows = await server.api.rows("/api/registrations")
                self.assertEqual({row["transport"].lower() for row in rows}, {transport})
                alice.command("call", "bob")
                await bob.heard("called by alice")
                await alice.heard("established 1 with bob")
                await bob.heard("established 1 with alice")
                (alice if hangs_up == "caller" else bob).command("hangup")
                for phone in (alice, bob):
                    await phone.heard("ended 1")
                self.assertEqual(await outcome(server), ("answered", 200, hangs_up))
                row = await closed_row(server)
                self.assertEqual((row["caller_user"], row["callee_user"]), ("alice", "bob"))
                bob.command("unregister")
                await bob.heard("unregistered")
                self.assertEqual(len(await server.api.rows("/api/registrations")), 1)
                for phone in (alice, bob):
                    await phone.quit()

    @conforms("RFC 7118 8.2")
    async def test_a_browser_and_a_phone_on_udp_call_each_other(self) -> None:
        async with serving(self, self.settings) as server:
            alice = await self.browser(server, "alice")
            await server.api.add_phone("carol")
            carol = Phone.udp(self, server.sip_port, "carol")
            await carol.register()

            alice.command("call", "carol")
            called = await carol.called()
            called.respond(180)
            await alice.heard("progress 1 180")
            called.answer()
            await alice.heard("established 1 with -")
            await called.expect("ACK")
            alice.command("hangup")
            await called.hung_up_on()
            await alice.heard("ended 1")

            calling = await carol.call("alice")
            await alice.heard("called by carol")
            answer = await calling.answered()
            self.assertIn(b"o=alice ", answer.body)
            await alice.heard("established 2 with -")
            calling.bye()
            await alice.heard("ended 2")
            await calling.expect(200, "BYE")
            await nothing_is_left(server)

            async def books() -> set[tuple[str, ...]]:
                rows = await server.api.rows("/api/call_journals")
                return {(row["caller_user"], row["callee_user"], row["result"], row["ended_by"]) for row in rows}

            expected = {("alice", "carol", "answered", "caller"), ("carol", "alice", "answered", "caller")}
            await until(books, lambda found: found == expected)
            await alice.quit()

    async def test_a_browser_calls_baresip(self) -> None:
        async with serving(self, {**self.settings, **MD5}) as server:
            bob = await BaresipPhone.make(self, server, "bob", "udp", answer="auto")
            alice = await self.browser(server, "alice", "wss")
            alice.command("call", "bob")
            await alice.heard("established 1 with -")
            await bob.heard("CALL_ESTABLISHED")
            bob.hang_up()
            await bob.heard("CALL_CLOSED")
            await alice.heard("ended 1")
            self.assertEqual(await outcome(server), ("answered", 200, "callee"))
            await alice.quit()
            await bob.quit()

    async def test_a_browser_sends_a_message(self) -> None:
        async with serving(self, self.settings) as server:
            bob = await self.browser(server, "bob", "wss")
            alice = await self.browser(server, "alice")
            alice.command("message", "bob", "Grüße", "aus", "dem", "Browser")
            await bob.heard("message from alice Grüße aus dem Browser")
            await alice.heard("delivered 200")
            for phone in (alice, bob):
                await phone.quit()

    async def test_a_browser_gives_up(self) -> None:
        async with serving(self, self.settings) as server:
            alice = await self.browser(server, "alice")
            await server.api.add_phone("carol")
            carol = Phone.udp(self, server.sip_port, "carol")
            await carol.register()
            alice.command("call", "carol")
            called = await carol.called()
            called.respond(180)
            await alice.heard("progress 1 180")
            alice.command("hangup")
            called.respond(200, request=await called.expect("CANCEL"))
            called.respond(487)
            await alice.heard("ended 1")
            self.assertEqual(await outcome(server), ("cancelled", 487, "caller"))
            await alice.quit()
