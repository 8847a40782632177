"""baresip as a phone: its configuration, its control connection, its events. It has no sound card and needs none.

One that is given a tone sends it as long as it talks, and writes what it hears into its directory.
"""

from __future__ import annotations

import json
import random
import re
import socket
from contextlib import ExitStack
from itertools import count
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

from tests.interop.tones import hears, write_tone
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
audio_source {source}
audio_alert aubridge,{user}
rtp_ports {rtp_port}-{last_rtp_port}
module_path {modules}
module g711.so
module aubridge.so
{recording}\
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
"""
ACCOUNT = (
    "<sip:{user}@127.0.0.1:{port};transport={transport}>;auth_pass={password};regint=600;"
    "answermode={answer};audio_codecs=pcmu\n"
)
RECORDING = """\
module aufile.so
module sndfile.so
snd_path .
"""
EVENT_SECONDS = 10.0
MEDIA_PORTS = 16
_BIT_RATES = re.compile(r"audio=(\d+)/(\d+) \(bit/s\)")


class Control(NetstringReceiver):
    """The ctrl_tcp connection: commands as JSON in netstrings, events the same way back."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.lost: Deferred[None] = Deferred()
        self._awaited: list[tuple[str, int, Deferred[None]]] = []
        self._answers: dict[str, Deferred[str]] = {}
        self._tokens = count(1)

    def command(self, name: str, params: str = "") -> None:
        """Give a command of baresip's menu, such as dial or hangup."""
        self.sendString(json.dumps({"command": name, "params": params, "token": name}).encode())

    def ask(self, name: str, params: str = "") -> Deferred[str]:
        """Give a command; what it prints."""
        token = f"{name}-{next(self._tokens)}"
        answer: Deferred[str] = Deferred()
        self._answers[token] = answer
        self.sendString(json.dumps({"command": name, "params": params, "token": token}).encode())
        return answer.addTimeout(EVENT_SECONDS, clock())

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The events of this type so far."""
        return [event for event in self.events if event.get("type") == kind]

    def heard(self, kind: str, times: int = 1) -> Deferred[None]:
        """Fires when so many events of this type have come, now or before; cancelled after EVENT_SECONDS."""
        waiting: Deferred[None] = Deferred()
        if len(self.all(kind)) >= times:
            waiting.callback(None)
        else:
            self._awaited.append((kind, times, waiting))
        return waiting.addTimeout(EVENT_SECONDS, clock())

    def stringReceived(self, string: bytes) -> None:
        event = json.loads(string)
        self.events.append(event)
        answer = self._answers.pop(event.get("token", ""), None)
        if answer is not None:
            answer.callback(event["data"])
        matching = [each for each in self._awaited if len(self.all(each[0])) >= each[1]]
        self._awaited = [each for each in self._awaited if each not in matching]
        for _, _, waiting in matching:
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
    """A registered phone. `tone` is the frequency in Hz of what it says, 0 when it is mute and deaf."""

    user: str
    program: Program
    control: Control
    target: str
    directory: Path
    tone: int = 0

    @classmethod
    async def make(
        cls,
        case: TestCase,
        server: RunningServer,
        user: str,
        transport: str,
        answer: str,
        *,
        call_schema: str = "proxy",
        tone: int = 0,
    ) -> BaresipPhone:
        """Make the user, start baresip, and wait until it is registered; `answer` is auto or manual."""
        await server.api.add_phone(user, call_schema)
        phone = await cls.start(case, server, user, transport, answer, tone=tone)
        await phone.registered()
        return phone

    @classmethod
    async def start(
        cls, case: TestCase, server: RunningServer, user: str, transport: str, answer: str, *, tone: int = 0
    ) -> BaresipPhone:
        """Start baresip, which begins to register."""
        program_path = need("baresip")
        directory = server.directory / user
        directory.mkdir(exist_ok=True)
        control_port = write_configuration(directory, server, user, transport, answer, tone)
        # With -s it prints each message that it sends or receives.
        argv = [program_path, "-4", "-s", "-f", str(directory)]
        program = Program.start(case, f"{user}'s baresip ({transport})", argv, directory, terminal=True)
        await program.seen("baresip is ready")
        endpoint = TCP4ClientEndpoint(default_reactor, LOOPBACK, control_port, timeout=5)
        control = await endpoint.connect(Factory.forProtocol(Control))
        assert isinstance(control, Control)
        case.addCleanup(control.close)
        return cls(user, program, control, f"{LOOPBACK}:{server.port(transport)}", directory, tone)

    async def registered(self) -> None:
        """Wait until baresip says so."""
        # "200 OK (...) [1 binding]"
        await self.program.seen(" binding]")

    def dial(self, peer: str) -> None:
        """Call another user of the same server."""
        self.control.command("dial", f"sip:{peer}@{self.target}")

    def accept(self) -> None:
        """Answer the call that rings."""
        self.control.command("accept")

    def hang_up(self) -> None:
        """End the call."""
        self.control.command("hangup")

    def hold(self) -> None:
        """Put the other side on hold."""
        self.control.command("hold")

    def resume(self) -> None:
        """Talk again."""
        self.control.command("resume")

    def transfer(self, peer: str) -> None:
        """Send the other side to somebody else, unattended: a REFER."""
        self.control.command("transfer", f"sip:{peer}@{self.target}")

    def press(self, digit: str) -> None:
        """Send a digit as telephone-event."""
        self.control.command("sndcode", digit)

    async def calls(self) -> str:
        """What it says of its calls."""
        return await self.control.ask("listcalls")

    async def heard(self, kind: str, times: int = 1) -> None:
        """Wait for an event, such as CALL_ESTABLISHED; fails with what baresip printed."""
        try:
            await self.control.heard(kind, times)
        except Exception as error:
            raise self.program.failed(f"reported {kind} not {times} times, but {self.kinds}") from error

    @property
    def kinds(self) -> list[str]:
        """The types of its events, with what they say."""
        return [f"{event['type']} {event.get('param', '')}" for event in self.control.events if "type" in event]

    def has_seen(self, text: str) -> bool:
        """Whether this stood in a message of its, or in what else it printed."""
        return text in self.program.output

    @property
    def has_audio(self) -> bool:
        """Whether RTP goes both ways, as it last measured it."""
        rates = _BIT_RATES.findall(self.program.output)
        return bool(rates) and all(int(rate) > 0 for rate in rates[-1])

    def hears(self, *peers: BaresipPhone) -> list[str]:
        """Which of these phones it has heard, call by call in their order, those that it wrote to the end."""
        tones = {peer.tone: peer.user for peer in peers}
        found = (hears(path, list(tones)) for path in sorted(self.directory.glob("dump-*-dec.wav")))
        return [tones[tone] for tone in found if tone]

    async def quit(self) -> None:
        """Unregister and end; fails when baresip does not end well."""
        self.control.command("quit")
        code = await self.program.exited(10.0)
        if code != 0:
            raise self.program.failed(f"ended with {code}")


def write_configuration(
    directory: Path, server: RunningServer, user: str, transport: str, answer: str, tone: int = 0
) -> int:
    """Write baresip's files into the directory; the port of its control connection."""
    (control_port,) = free_ports(1)
    rtp_port = free_media_ports(MEDIA_PORTS)
    modules = next((path for path in MODULES if Path(path).is_dir()), MODULES[0])
    source = f"aubridge,{user}"
    if tone:
        write_tone(directory / "tone.wav", tone)
        # It runs in its directory, and keeps no more than 127 octets of a path.
        source = "aufile,tone.wav"
    config = CONFIG.format(
        certificate=server.identity.certificate,
        both=server.identity.both,
        user=user,
        source=source,
        recording=RECORDING if tone else "",
        rtp_port=rtp_port,
        last_rtp_port=rtp_port + MEDIA_PORTS - 1,
        modules=modules,
        control_port=control_port,
    )
    port = server.port(transport)
    account = ACCOUNT.format(user=user, port=port, transport=transport, password=PHONE_PASSWORD, answer=answer)
    (directory / "config").write_text(config, "utf-8")
    (directory / "accounts").write_text(account, "utf-8")
    (directory / "contacts").write_text("", "utf-8")
    return control_port


def free_media_ports(count: int) -> int:
    """The first, even, of so many neighbouring UDP ports that nobody uses, below those that the system hands out."""
    while True:
        first = random.randrange(12_000, 32_000, count)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((LOOPBACK, port))
            except OSError:
                continue
            return first
