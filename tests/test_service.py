"""The server as a process: what it says when it cannot start, and how it stops and reads again."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import ssl
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.end_to_end.phone import Phone
from tests.end_to_end.server import Server
from tests.running import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    LOOPBACK,
    ROOT,
    START_SECONDS,
    Program,
    Settings,
    clock,
    free_ports,
    make_identity,
    settings_for,
    settings_text,
    twistd,
    until,
)


class ProcessCase(TestCase):
    """One process, on free ports."""

    timeout = 120

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.identity = make_identity(self.directory)
        self.sip_port, self.tls_port, self.http_port = free_ports(3)
        self.data = self.directory / "kept"

    def begin(self, over: Settings | None = None, *, has_admin: bool = True) -> Program:
        """Start it; it need not come far."""
        config = self.directory / "gosip.toml"
        settings = settings_for(self.sip_port, self.tls_port, self.http_port, self.identity, over or {})
        config.write_text(settings_text(settings), "utf-8")
        environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        email, password = (ADMIN_EMAIL, ADMIN_PASSWORD) if has_admin else ("", "")
        environment |= {"GOSIP_ADMIN_EMAIL": email, "GOSIP_ADMIN_PASSWORD": password}
        argv = [twistd(), "-n", "--pidfile=", "gosip", "--config", str(config), "--data-dir", str(self.data)]
        return Program.start(self, "gosip", argv, self.directory, environment=environment)

    async def ready(self, over: Settings | None = None, *, has_admin: bool = True) -> Program:
        program = self.begin(over, has_admin=has_admin)
        await program.seen("is ready", START_SECONDS)
        return program


class StartTests(ProcessCase):
    """A start that fails says why in one line, and ends with 1."""

    async def fails(self, reason: str, over: Settings | None = None) -> None:
        program = self.begin(over)
        code = await program.exited(START_SECONDS)
        self.assertEqual(code, 1, program.output)
        self.assertRegex(program.output, f"(?m)gosip cannot start: .*{reason}")
        self.assertNotIn("Traceback", program.output)
        self.assertNotIn("Unhandled", program.output)
        self.assertNotIn("#error", program.output)

    async def test_a_port_that_is_taken(self) -> None:
        kinds = (
            (socket.SOCK_DGRAM, self.sip_port),
            (socket.SOCK_STREAM, self.sip_port),
            (socket.SOCK_STREAM, self.tls_port),
            (socket.SOCK_STREAM, self.http_port),
        )
        for kind, port in kinds:
            with socket.socket(socket.AF_INET, kind) as taken:
                taken.bind((LOOPBACK, port))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                await self.fails(f"cannot listen on {LOOPBACK}:{port}: .*in use")

    async def test_an_address_that_is_not_ours(self) -> None:
        await self.fails("cannot listen on 192.0.2.1:5060", {"sip": {"udp": ["192.0.2.1:5060"]}})

    async def test_a_certificate_that_is_not_there(self) -> None:
        await self.fails("none.pem", {"sip": {"tls_certificate": str(self.directory / "none.pem")}})

    async def test_a_certificate_that_is_none(self) -> None:
        self.identity.certificate.write_text("not a certificate")
        await self.fails(re.escape(str(self.identity.certificate)))

    async def test_a_key_of_another_certificate(self) -> None:
        other = self.directory / "other"
        other.mkdir()
        await self.fails("key", {"sip": {"tls_private_key": str(make_identity(other).key)}})

    async def test_a_database_of_a_newer_version(self) -> None:
        program = await self.ready()
        self.assertEqual(await program.stop(), 0)
        with sqlite3.connect(self.data / "gosip.sqlite") as database:
            database.execute(
                "INSERT INTO schema_migrations SELECT 9999, 'of_the_future', checksum, applied_at"
                " FROM schema_migrations LIMIT 1"
            )
        database.close()
        await self.fails("the schema is at 9999, .* upgrade it")

    async def test_a_directory_that_cannot_be_made(self) -> None:
        """What fails before the first wait, and with it before the reactor runs."""
        self.data.write_text("in the way")
        self.data = self.data / "below"
        await self.fails("Not a directory")

    async def test_settings_that_are_wrong(self) -> None:
        program = self.begin({"sip": {"udp": ["nonsense"]}})
        self.assertEqual(await program.exited(START_SECONDS), 1)
        self.assertIn("sip.udp", program.output)
        self.assertNotIn("Traceback", program.output)
        self.assertFalse(self.data.exists())


class FirstRunTests(ProcessCase):
    async def test_the_link_to_set_up_is_printed(self) -> None:
        program = await self.ready(has_admin=False)
        for line in ("udp", "tcp", "tls"):
            self.assertIn(f"{line}://{LOOPBACK}:", program.output)
        link = f"http://{LOOPBACK}:{self.http_port}/setup?code="
        self.assertRegex(program.output, re.escape(link) + r"[\w-]{16}\b")
        self.assertEqual(await program.stop(), 0)

    async def test_not_once_there_is_somebody(self) -> None:
        program = await self.ready()
        self.assertNotIn("/setup?code=", program.output)
        self.assertEqual(await program.stop(), 0)


class StopTests(ProcessCase):
    async def test_everything_is_closed(self) -> None:
        program = await self.ready()
        self.assertEqual(await program.stop("INT"), 0)
        self.assertNotIn("Traceback", program.output)
        for kind, port in ((socket.SOCK_DGRAM, self.sip_port), (socket.SOCK_STREAM, self.http_port)):
            with socket.socket(socket.AF_INET, kind) as free:
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                free.bind((LOOPBACK, port))
        # SQLite takes its journal away when the last connection is closed.
        self.assertEqual([path.name for path in self.data.glob("*-wal")], [])

    async def test_during_the_start(self) -> None:
        """The store does not answer yet."""
        (nobody,) = free_ports(1)
        program = self.begin({"store": {"url": f"postgresql://gosip@{LOOPBACK}:{nobody}/none"}})
        await program.seen("waiting for the store", START_SECONDS)
        self.assertEqual(await program.stop(seconds=5.0), 0)
        self.assertNotIn("Traceback", program.output)

    async def test_a_second_signal_hurries(self) -> None:
        server = Server({"limits": {"drain_seconds": 60.0}})
        await server.start()
        self.addCleanup(server.kill)
        phones = []
        for user in ("alice", "bob"):
            await server.api.add_phone(user)
            phones.append(Phone.udp(self, server.sip_port, user))
            await phones[-1].register()
        calling = await phones[0].call("bob")
        called = await phones[1].called(calling.call_id)
        called.answer()
        await calling.answered()
        begun = clock().seconds()
        stopping = server.stopping()
        await server.ready(503, "server")
        server.process.send_signal(signal.SIGTERM)
        await stopping
        self.assertLess(clock().seconds() - begun, 10.0)
        self.assertIn("waiting for 1 calls", server.log)


class ReloadTests(ProcessCase):
    """SIGHUP."""

    async def shown(self) -> str:
        """The certificate that a new connection gets."""
        return await deferToThread(ssl.get_server_certificate, (LOOPBACK, self.tls_port))

    async def test_a_renewed_certificate_is_served_without_a_restart(self) -> None:
        program = await self.ready()
        first = await self.shown()
        self.assertEqual(first, self.identity.certificate.read_text())
        make_identity(self.directory)
        self.assertEqual(await self.shown(), first)
        assert program.transport is not None
        program.transport.signalProcess("HUP")
        second = await until(self.shown, lambda text: text != first)
        self.assertEqual(second, self.identity.certificate.read_text())
        self.assertEqual(await program.stop(), 0)

    async def test_one_that_is_broken_leaves_the_old_one(self) -> None:
        program = await self.ready()
        first = await self.shown()
        self.identity.certificate.write_text("half a certificate")
        assert program.transport is not None
        program.transport.signalProcess("HUP")
        await program.seen("the certificate stays as it was")
        self.assertEqual(await self.shown(), first)
        self.assertEqual(await program.stop(), 0)


class MakeTests(ProcessCase):
    PROGRAM = """
import sys, threading
from gosip_py.tap import Options, makeService
options = Options()
options.parseOptions(["--data-dir", sys.argv[1]])
service = makeService(options)
from twisted.internet import reactor
assert not reactor.running and not service.running
assert not reactor.getReaders() or all("Waker" in type(each).__name__ for each in reactor.getReaders())
assert not reactor.getDelayedCalls(), reactor.getDelayedCalls()
assert threading.active_count() == 1
print("made")
"""

    async def test_nothing_is_opened_when_the_service_is_made(self) -> None:
        argv = [sys.executable, "-c", self.PROGRAM, str(self.data)]
        program = Program.start(self, "a program", argv, self.directory, environment={"PYTHONPATH": str(ROOT)})
        self.assertEqual(await program.exited(START_SECONDS), 0, program.output)
        self.assertIn("made", program.output)
        self.assertFalse(self.data.exists())
