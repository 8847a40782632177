"""The examples run as they stand, and docs/user-agent.md shows them as they are."""

from __future__ import annotations

import os
import re
import sys

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.user_agent import Network, UserAgent
from tests.running import LOOPBACK, PHONE_PASSWORD, ROOT, Program, RunningServer, clock, serving

EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "user-agent.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class PageTests(SynchronousTestCase):
    def test_every_example_is_shown_as_it_is(self) -> None:
        shown = _BLOCK.findall(PAGE.read_text("utf-8"))
        files = {path.name: path.read_text("utf-8") for path in EXAMPLES.glob("*.py")}
        self.assertEqual({name for name, text in files.items() if text not in shown}, set())
        self.assertGreaterEqual(len(files), 5)

    def test_no_other_whole_program_is_shown(self) -> None:
        files = {path.read_text("utf-8") for path in EXAMPLES.glob("*.py")}
        for block in _BLOCK.findall(PAGE.read_text("utf-8")):
            if "react(" in block:
                self.assertIn(block, files)


class ExampleTests(TestCase):
    async def run_example(self, name: str) -> str:
        """What it printed; it must end by itself, without a complaint."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        out, err, code = await getProcessOutputAndValue(
            sys.executable, [str(EXAMPLES / name)], env=environment, path=str(ROOT)
        )
        self.assertEqual((code, err), (0, b""), out)
        return out.decode()

    async def test_a_basic_call(self) -> None:
        shown = await self.run_example("basic_call.py")
        self.assertIn("RINGING -> ESTABLISHED\ntalking, 1 dialog\non hold\n", shown)
        self.assertIn("sip:alice@example.com is calling\n", shown)
        self.assertTrue(shown.endswith("the BYE was answered with 200\n"), shown)

    async def test_a_refer(self) -> None:
        shown = await self.run_example("refer.py")
        self.assertIn("sip:bob@example.com calls, referred by <sip:alice@example.com>\n", shown)
        self.assertTrue(shown.endswith("the transfer ended with 200\nbob has 1 dialog, with sip:carol\n"), shown)

    async def test_a_replacement(self) -> None:
        shown = await self.run_example("replacement.py")
        self.assertIn("sip:bob@example.com takes the place of sip:alice@example.com\n", shown)
        self.assertTrue(shown.endswith("carol replaced 2 calls\n"), shown)

    async def test_custom_headers(self) -> None:
        self.assertEqual(
            await self.run_example("custom_headers.py"),
            "customer 4711 calls about an order\nin queue sales\nwithout the header: 403 Forbidden\n",
        )


class RegisteredTests(TestCase):
    """The phone of the example against a real server, where another phone answers."""

    timeout = 60

    async def run_phone(self, server: RunningServer, password: str) -> str:
        argv = [sys.executable, "-u", str(EXAMPLES / "registered_phone.py")]
        argv += [f"sip:alice@{LOOPBACK}", f"{LOOPBACK}:{server.sip_port}", "bob"]
        program = Program.start(self, "the example", argv, ROOT, environment={"PYTHONPATH": str(ROOT)})
        assert program.transport is not None
        program.transport.write(f"{password}\n".encode())
        self.assertEqual(await program.exited(), 0, program.output)
        return program.output

    async def test_it_registers_calls_and_unregisters(self) -> None:
        async with serving(self) as server:
            for name in ("alice", "bob"):
                await server.api.add_phone(name)
            bob = UserAgent(
                clock(),
                f"sip:bob@{LOOPBACK}",
                network=Network(listen=(f"udp://{LOOPBACK}:0",), outbound_proxy=f"sip:{LOOPBACK}:{server.sip_port}"),
                credentials=ClientCredentials("bob", PHONE_PASSWORD),
            )
            bob.start()
            bob.on_incoming_call = lambda call: call.accept()
            self.assertEqual(await bob.register(), 300)
            shown = await self.run_phone(server, PHONE_PASSWORD)
            self.assertEqual(shown, "registered for 300 s\nbob has answered\n")
            self.assertEqual(len(await server.api.rows("/api/registrations")), 1)
            shown = await self.run_phone(server, "not this one")
            self.assertTrue(shown.startswith("refused: 401"), shown)
            await bob.stop()
            self.assertEqual(await server.api.rows("/api/registrations"), [])
