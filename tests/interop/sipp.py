"""SIPp as a phone, with the scenarios of tests/scenario."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.trial.unittest import TestCase

from tests.interop.relay import Relay
from tests.interop.sipp_script import Script
from tests.peers import need
from tests.running import LOOPBACK, PHONE_PASSWORD, Program, RunningServer, free_ports, until

SCENARIOS = Path(__file__).resolve().parent.parent / "scenario"
SCENARIO_SECONDS = 20
LOG_SHOWN = 4000


@attrs.frozen
class Run:
    """One SIPp process at work on a scenario."""

    program: Program
    errors: Path
    messages: Path

    async def saw(self, text: str) -> None:
        """Wait until this stood in a message."""

        async def probe() -> bool:
            return self.messages.exists() and text in self.messages.read_text("utf-8", "replace")

        await until(probe, bool)

    async def succeeded(self) -> None:
        """Wait for the end; unless every step of the scenario was gone through, fail with what SIPp noted."""
        code = await self.program.exited(SCENARIO_SECONDS + 10.0)
        if code != 0:
            raise AssertionError(f"{self.program.name} ended with {code}\n{tail(self.errors)}\n{tail(self.messages)}")


@attrs.frozen
class SippPhone:
    """A phone of one user; `contact_port` is where the server reaches it, `port` where SIPp itself is."""

    case: TestCase
    server: RunningServer
    user: str
    transport: str
    port: int
    contact_port: int
    target_port: int
    directory: Path

    @classmethod
    async def make(
        cls, case: TestCase, server: RunningServer, user: str, transport: str, call_schema: str = "proxy"
    ) -> SippPhone:
        """A phone for "udp", "tcp" or "tls", not yet registered; its user is made. For TLS it stands behind a relay."""
        need("sipp")
        await server.api.add_phone(user, call_schema)
        directory = server.directory / user
        directory.mkdir()
        (port,) = free_ports(1)
        contact_port, target_port = port, server.port(transport)
        if transport == "tls":
            relay = Relay(server.tls_port, port, server.identity)
            await relay.open(case)
            contact_port, target_port = relay.tls_port, relay.tcp_port
        return cls(case, server, user, transport, port, contact_port, target_port, directory)

    async def register(self) -> None:
        """Register with digest; returns when the 200 is there."""
        await self.run("register").succeeded()

    async def await_call(self, scenario: str | Script) -> Run:
        """Start a callee; returns when it listens."""
        run = self.run(scenario)
        # SIPp paints its screen once its socket is bound.
        await run.program.seen("Scenario Screen")
        return run

    def run(self, scenario: str | Script, *, peer: str = "", code: int = 0, hold_ms: int = 0) -> Run:
        """Start a scenario: to call `peer`, to expect the status `code`, to hold the call for so many milliseconds.

        It is a script, or the name of a file of tests/scenario.
        """
        if isinstance(scenario, Script):
            name, text = scenario.name, scenario.xml
        else:
            name, text = scenario, (SCENARIOS / f"{scenario}.xml").read_text("utf-8").replace("@CODE@", str(code))
        written = self.directory / f"{name}.xml"
        written.write_text(text, "utf-8")
        errors, messages = self.directory / f"{name}.errors", self.directory / f"{name}.messages"
        argv = [need("sipp"), f"{LOOPBACK}:{self.target_port}", "-sf", str(written), "-m", "1", "-nostdin"]
        argv += ["-i", LOOPBACK, "-p", str(self.port), "-t", "u1" if self.transport == "udp" else "t1"]
        # Left to itself SIPp signs for its remote address instead of the Request-URI (RFC 7616 3.4.6: a 400).
        argv += ["-auth_uri", f"{peer}@{LOOPBACK}" if peer else LOOPBACK]
        # What a script does not expect, such as the OPTIONS that asks whether anybody is there, gets a 200.
        argv += ["-aa"] if isinstance(scenario, Script) else []
        argv += ["-au", self.user, "-ap", PHONE_PASSWORD, "-d", str(hold_ms)]
        argv += ["-timeout", f"{SCENARIO_SECONDS}s", "-timeout_error"]
        argv += ["-trace_err", "-error_file", str(errors), "-trace_msg", "-message_file", str(messages)]
        for keyword, value in self._keywords(peer).items():
            argv += ["-key", keyword, value]
        title = f"{self.user}'s SIPp ({name}, {self.transport})"
        return Run(Program.start(self.case, title, argv, self.directory, terminal=True), errors, messages)

    def _keywords(self, peer: str) -> dict[str, str]:
        return {
            "domain": LOOPBACK,
            "user": self.user,
            "peer": peer,
            "via": self.transport.upper(),
            "uri_transport": self.transport,
            "contact_port": str(self.contact_port),
        }


def tail(path: Path) -> str:
    """The end of a log, "" when there is none."""
    return path.read_text("utf-8", "replace")[-LOG_SHOWN:] if path.exists() else ""
