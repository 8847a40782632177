"""baresip as a phone: its configuration, its control connection, its events. It has no sound card and needs none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import NetstringReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.peers import need
from tests.running import LOOPBACK, PHONE_PASSWORD, Program, RunningServer, clock, free_ports

MODULES = ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/local/lib/baresip/modules")
CONFIG = """\
poll_method epoll
net_interface 127.0.0.1
sip_listen 127.0.0.1:0
sip_cafile {certificate}
sip_certificate {both}
audio_player aubridge,{user}
audio_source aubridge,{user}
audio_alert aubridge,{user}
rtp_ports {rtp_port}-{last_rtp_port}
module_path {modules}
module g711.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
"""
ACCOUNT = (
    "<sip:{user}@127.0.0.1:{port};transport={transport}>;auth_pass={password};regint=600;"
    "answermode={answer};audio_codecs=pcmu\n"
)
EVENT_SECONDS = 10.0


class Control(NetstringReceiver):
    """The ctrl_tcp connection: commands as JSON in netstrings, events the same way back."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.lost: Deferred[None] = Deferred()
        self._awaited: list[tuple[str, Deferred[None]]] = []

    def command(self, name: str, params: str = "") -> None:
        """Give a command of baresip's menu, such as dial or hangup."""
        self.sendString(json.dumps({"command": name, "params": params, "token": name}).encode())

    def heard(self, kind: str) -> Deferred[None]:
        """Fires when an event of this type has come, now or before; cancelled after EVENT_SECONDS."""
        waiting: Deferred[None] = Deferred()
        if any(event.get("type") == kind for event in self.events):
            waiting.callback(None)
        else:
            self._awaited.append((kind, waiting))
        return waiting.addTimeout(EVENT_SECONDS, clock())

    def stringReceived(self, string: bytes) -> None:
        event = json.loads(string)
        self.events.append(event)
        matching = [pair for pair in self._awaited if pair[0] == event.get("type")]
        self._awaited = [pair for pair in self._awaited if pair not in matching]
        for _, waiting in matching:
            waiting.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)

    def close(self) -> Deferred[None]:
        """Cut the connection, if baresip has not."""
        if not self.lost.called:
            ITCPTransport(self.transport).abortConnection()
        return self.lost


@attrs.frozen
class BaresipPhone:
    """A registered phone."""

    user: str
    program: Program
    control: Control
    target: str

    @classmethod
    async def make(cls, case: TestCase, server: RunningServer, user: str, transport: str, answer: str) -> BaresipPhone:
        """Make the user, start baresip, and wait until it is registered; `answer` is auto or manual."""
        await server.api.add_phone(user)
        phone = await cls.start(case, server, user, transport, answer)
        await phone.registered()
        return phone

    @classmethod
    async def start(cls, case: TestCase, server: RunningServer, user: str, transport: str, answer: str) -> BaresipPhone:
        """Start baresip, which begins to register."""
        program_path = need("baresip")
        directory = server.directory / user
        directory.mkdir(exist_ok=True)
        control_port = write_configuration(directory, server, user, transport, answer)
        argv = [program_path, "-4", "-f", str(directory)]
        program = Program.start(case, f"{user}'s baresip ({transport})", argv, directory, terminal=True)
        await program.seen("baresip is ready")
        endpoint = TCP4ClientEndpoint(default_reactor, LOOPBACK, control_port, timeout=5)
        control = await endpoint.connect(Factory.forProtocol(Control))
        assert isinstance(control, Control)
        case.addCleanup(control.close)
        return cls(user, program, control, f"{LOOPBACK}:{server.port(transport)}")

    async def registered(self) -> None:
        """Wait until baresip says so."""
        # "200 OK (...) [1 binding]"
        await self.program.seen(" binding]")

    def dial(self, peer: str) -> None:
        """Call another user of the same server."""
        self.control.command("dial", f"sip:{peer}@{self.target}")

    def hang_up(self) -> None:
        """End the call."""
        self.control.command("hangup")

    async def heard(self, kind: str) -> None:
        """Wait for an event, such as CALL_ESTABLISHED; fails with what baresip printed."""
        try:
            await self.control.heard(kind)
        except Exception as error:
            raise self.program.failed(f"reported no {kind}, only {self.control.events}") from error

    async def quit(self) -> None:
        """Unregister and end; fails when baresip does not end well."""
        self.control.command("quit")
        code = await self.program.exited(10.0)
        if code != 0:
            raise self.program.failed(f"ended with {code}")


def write_configuration(directory: Path, server: RunningServer, user: str, transport: str, answer: str) -> int:
    """Write baresip's files into the directory; the port of its control connection."""
    control_port, rtp_port = free_ports(2)
    rtp_port -= rtp_port % 2
    modules = next((path for path in MODULES if Path(path).is_dir()), MODULES[0])
    config = CONFIG.format(
        certificate=server.identity.certificate,
        both=server.identity.both,
        user=user,
        rtp_port=rtp_port,
        last_rtp_port=rtp_port + 9,
        modules=modules,
        control_port=control_port,
    )
    port = server.port(transport)
    account = ACCOUNT.format(user=user, port=port, transport=transport, password=PHONE_PASSWORD, answer=answer)
    (directory / "config").write_text(config, "utf-8")
    (directory / "accounts").write_text(account, "utf-8")
    (directory / "contacts").write_text("", "utf-8")
    return control_port
