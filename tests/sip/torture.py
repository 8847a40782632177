"""What hostile and tortuous messages stand on: the archives of RFC 4475 and RFC 5118, and a server to send them to.

The server is the real core, proxy and registrar in memory, on virtual time. What is seen is what a peer would see.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import attrs
from twisted.trial.unittest import SkipTest

from gosip_py.registrar.location import Contact
from gosip_py.sip.digest import Algorithm, Challenge, NonceFactory, answer_challenge, ha1
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.sip.uri import escape_user
from tests.network import Packet, RecordingUser
from tests.proxy.switchboard import DOMAIN, GRACE, SERVER, TIMER_C, Switchboard
from tests.registrar.fakes import NOW, PASSWORD, REALM, binding, device, user

__all__ = [
    "DROPPED",
    "FORWARDED",
    "NEXT_HOP",
    "PHONE",
    "SENDER",
    "Scene",
    "Seen",
    "archive",
    "mended",
    "readable",
    "settle",
]

TEXTS = Path(os.environ.get("GOSIP_TEST_RFC", Path(__file__).parents[3] / "shared" / "rfc"))
SENDER = "192.0.2.10"
PHONE = "192.0.2.20"
NEXT_HOP = "192.0.2.30"
TRUSTED = ("192.0.2.0/24", "2001:db8::/32")

# All names that lead out of the server.
_ELSEWHERE = (
    "example.net example.org host.example.net kiln.example loom.example registrar.example.com services.example.com"
).split()

_MOMENTS = 8

FORWARDED = "forwarded"
DROPPED = "dropped"


# -- the messages ----------------------------------------------------------------------------------------------------


@lru_cache
def _archive(path: Path) -> dict[str, bytes]:
    text = path.read_text().rpartition("-- BEGIN MESSAGE ARCHIVE --")[2].partition("-- END MESSAGE ARCHIVE --")[0]
    # page breaks stand between; the lines of the archive hold one word each
    packed = base64.b64decode("".join(re.findall(r"^[ \t]*([^ \t\n\f]+)[ \t]*$", text, re.MULTILINE)))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
        return {Path(name).stem: file.read() for name, file in members if file is not None}


def archive(number: int) -> dict[str, bytes]:
    """Every message in the appendix of an RFC by its name, octet for octet. SkipTest where the RFC is not at hand."""
    path = TEXTS / f"rfc{number}.txt"
    if not path.exists():
        raise SkipTest(f"no text of RFC {number} at {path}")
    return _archive(path)


def mended(octets: bytes) -> bytes:
    """A message of an archive as its section prints it.

    All of RFC 5118 is archived with bare line feeds and with lengths that count something else, two messages of it and
    one of RFC 4475 without the empty line at the end.
    """
    if b"\r\n" not in octets:
        head, _, body = octets.replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
        head = re.sub(rb"(?<=\nContent-Length: )[0-9]+", str(len(body)).encode(), head)
        octets = head.rstrip(b"\r\n") + b"\r\n\r\n" + body
    return octets if b"\r\n\r\n" in octets else octets.rstrip(b"\r\n") + b"\r\n\r\n"


# -- the server ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Seen:
    """What became of a message: the final status that its sender was answered with, FORWARDED, or DROPPED."""

    outcome: int | str
    sent: tuple[Packet, ...]

    @property
    def response(self) -> Response:
        """The final response."""
        (found,) = [each.data for each in self.sent if each.data.startswith(b"SIP/") and each.data[8:9] != b"1"]
        response = parse_message(found)
        assert isinstance(response, Response)
        return response

    @property
    def request(self) -> Request:
        """What was forwarded, as it left."""
        request = parse_message(self.packet.data)
        assert isinstance(request, Request)
        return request

    @property
    def packet(self) -> Packet:
        """What was forwarded, and where it went; what is too large for a datagram is tried over TCP first."""
        return [each for each in self.sent if not each.data.startswith(b"SIP/")][-1]


class Scene:
    """A server for one message, which comes from ``sender``.

    The phone of ``callee`` is registered. With a ``member`` nobody is trusted, and messages bear the credentials of
    this device, whose owner's login is ``login`` or the same; without one the sender is in a trusted network.
    """

    def __init__(self, member: str = "", *, login: str = "", callee: str = "user", sender: str = SENDER) -> None:
        self.board = Switchboard(trusted=() if member else TRUSTED)
        self.board.names.known = dict.fromkeys(_ELSEWHERE, (NEXT_HOP,))
        self.member = member
        self.sender = sender
        self._add(100, callee, callee)
        if member and member != callee:
            self._add(101, login or member, member)
        self._register(callee)
        for host in (sender, PHONE, NEXT_HOP):
            self.board.network.transport(host).user = RecordingUser()

    def _add(self, number: int, login: str, name: str) -> None:
        self.board.directory.apply_user(user(number, login))
        self.board.directory.apply_device(device(number, number, name))

    def _register(self, callee: str) -> None:
        record = binding(
            f"sip:phone@{PHONE}:5060",
            f"sip:{escape_user(callee)}@{DOMAIN}",
            device_id=100,
            expires_at=NOW + 1_000_000,
        )
        self.board.location.add(Contact(record, None, False), self.board.now())

    def send(self, octets: bytes) -> Seen:
        """What the server does about a message."""
        board = self.board
        before = len(board.network.packets)
        self._send(self._with_credentials(octets) if self.member else octets, self.sender)
        for _ in range(2):
            board.run(0.05)
            board.names.answer()
        sent = tuple(packet for packet in board.network.packets[before:] if packet.source[0] == SERVER)
        return Seen(_outcome(sent), sent)

    def _send(self, octets: bytes, host: str) -> None:
        board = self.board
        transport = board.network.listener("UDP", (host, 5060))
        assert transport is not None
        transport.flow_of("UDP", board.transport.address("UDP")).send(octets)

    def _with_credentials(self, octets: bytes) -> bytes:
        request, member = readable(octets), self.member
        if not isinstance(request, Request):
            return octets
        challenge = Challenge(REALM, NonceFactory(b"secret", 300).make(self.board.now()))
        secret = ha1(Algorithm.MD5, member, REALM, PASSWORD)
        answer = answer_challenge(challenge, member, secret, request.method, request.uri_text, "abc")
        name = "Authorization" if request.method == "REGISTER" else "Proxy-Authorization"
        start, _, rest = octets.partition(b"\r\n")
        return b"\r\n".join((start, f"{name}: {answer}".encode("utf-8", "surrogateescape"), rest))

    def answer(self, octets: bytes) -> None:
        """Have the phone of the callee send this."""
        self._send(octets, PHONE)
        self.board.run(0.05)

    def faults(self) -> Sequence[str]:
        """What is wrong with the server now: nothing, once all that has a time has run out."""
        board = self.board
        found = []
        options = (
            f"OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {SENDER};branch=z9hG4bKalive\r\nMax-Forwards: 70\r\n"
            f"From: <sip:x@{DOMAIN}>;tag=alive\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: alive\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        sent = self.send(options.encode()).sent
        answers = [packet.data[:11] for packet in sent if b"\r\nCall-ID: alive\r\n" in packet.data]
        if answers != [b"SIP/2.0 200"]:
            found.append(f"an OPTIONS is answered with {answers}")
        settle(board)
        if board.gauges() != (0, 0, 0, 0):
            found.append(f"active dialogs, dialogs, calls and transactions are left: {board.gauges()}")
        if board.transport.counts.internal_errors:
            found.append("an exception was caught at the edge")
        return found


def settle(board: Switchboard) -> None:
    """Let pass what transactions may take, end the sessions, and wait for a moment when nothing is being sent.

    A message for somebody who is away is tried again for days, but not all the time.
    """
    board.run(2 * TIMER_C + 200.0)
    for session in tuple(board.sessions):
        board.sessions.ended(session, "system")
    for _ in range(_MOMENTS):
        board.run(2 * GRACE)
        if not board.layer.in_flight:
            return


def _outcome(sent: Sequence[Packet]) -> int | str:
    """By the first line: an answer may repeat what nobody can read."""
    statuses = [int(packet.data[8:11]) for packet in sent if packet.data.startswith(b"SIP/2.0 ")]
    if any(not packet.data.startswith(b"SIP/") for packet in sent):
        return FORWARDED
    finals = [status for status in statuses if status >= 200]
    return finals[0] if finals else DROPPED


def readable(octets: bytes) -> Message | None:
    """The message, as far as it can be read."""
    try:
        return parse_message(octets)
    except ParseError as error:
        return error.message
