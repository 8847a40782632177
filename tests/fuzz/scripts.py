"""Peers who play a script of hostile octets to the real server, in memory and on virtual time.

A script is a list of pieces, separated by the octet 1E. The first octet of a piece may say who speaks:

    none of these   somebody in a trusted network, by datagram
    01              the same, over a connection
    02              a stranger, by datagram
    03              the same, over a connection; 1D in a piece cuts it in two segments
    04              the phone of bob, who is called by the proxy, and of carol, whom the switch calls, by datagram
    05              nobody: as many seconds pass as the next octet says

In a piece ``{heard}`` is what ties a response of bob's phone to the request that it received last; To comes last of it,
so that a tag may follow. ``{tag}`` is the To tag of the last response that reached the others, ``{authorization}`` the
value of valid credentials for this piece.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from gosip_py.registrar.location import Contact
from gosip_py.sip.digest import Algorithm, Challenge, NonceFactory, answer_challenge, ha1
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Via
from gosip_py.transport.admission import Limits
from gosip_py.transport.flow import Address, Flow
from gosip_py.transport.receiver import Receiver
from gosip_py.transport.tcp import StreamConnection, StreamFlow
from tests.network import MemoryTransport, RecordingUser
from tests.proxy.switchboard import CALL_SECONDS, TIMER_C, Switchboard
from tests.registrar.fakes import NOW, PASSWORD, REALM, binding, user
from tests.sip.torture import settle

__all__ = ["play"]

TRUSTED = "192.0.2.10"
STRANGER = "198.51.100.10"
BOB = "192.0.2.20"
DEVICE = "alice-desk"
_MOST_PIECES = 24
# Timers B and F of a request, C of an INVITE, and then H or J of its answer.
_TRANSACTIONS_END = TIMER_C + 4 * 32.0 + 10.0
_TIED = ("via", "from", "call-id", "cseq", "record-route", "to")


class Wire(StringTransport):
    """Twisted's end of a connection that goes nowhere."""

    protocol: StreamConnection | None = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nobody to keep alive."""

    def loseWriteConnection(self) -> None:
        """The peer may go on."""

    def loseConnection(self) -> None:
        self.abortConnection()

    def abortConnection(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone("gone")))


class Connected:
    """The owner of the connections (`StreamOwner`): the server's receiver behind real framing."""

    limits = Limits()

    def __init__(self, board: Switchboard) -> None:
        self.counts = board.transport.counts
        self.receiver = Receiver(self.counts, board.transport.addressing.issued)
        self.receiver.user = board.transport.user
        self._board = board
        self._open: dict[str, Wire] = {}

    def wire(self, host: str) -> Wire:
        """The open connection of this peer, made when there is none."""
        wire = self._open.get(host)
        if wire is None or wire.protocol is None:
            ours, theirs = self._board.transport.address("TCP"), (host, 40000)
            identity = self._board.transport.identity("TCP", host)
            flow = StreamFlow(self, "TCP", identity, ours, theirs)
            wire = self._open[host] = Wire(IPv4Address("TCP", *ours), IPv4Address("TCP", *theirs))
            wire.protocol = StreamConnection(self, flow, host)
            wire.protocol.makeConnection(wire)
        return wire

    def close(self) -> None:
        for wire in self._open.values():
            wire.abortConnection()

    def seconds(self) -> float:
        return self._board.clock.seconds()

    def opened(self, connection: StreamConnection) -> None:
        """Nothing counts them here."""

    def ended(self, connection: StreamConnection) -> None:
        """Nothing counts them here."""

    def forget(self, flow: StreamFlow) -> None:
        """Nobody looks for it."""

    def failed(self, flow: Flow, reason: str, /) -> None:
        self._board.clock.callLater(0, self.receiver.user.flow_failed, flow, reason)

    def offer_alias(self, flow: StreamFlow, via: Via) -> None:
        """Nobody is called there."""

    def flow_to_address(self, transport: str, address: Address) -> Flow:
        return self._board.transport.flow_of(transport, address)


class Stage:
    """One server and the three who speak to it."""

    def __init__(self) -> None:
        self.board = board = Switchboard()
        self.heard = RecordingUser()
        self.bob = RecordingUser()
        self.peers = {host: board.network.transport(host) for host in (TRUSTED, STRANGER, BOB)}
        for transport in self.peers.values():
            transport.user = self.heard
        self.peers[BOB].user = self.bob
        self.connected = Connected(board)
        board.directory.apply_user(user(3, "carol", call_schema="b2bua"))
        self._register("bob", "200", 20)
        self._register("carol", "300", 30)

    def _register(self, name: str, username: str, device_id: int) -> None:
        expires = NOW + 10 * CALL_SECONDS
        aor = f"sip:{username}@example.com"
        record = binding(f"sip:{name}@{BOB}:5060", aor, device_id=device_id, expires_at=expires)
        flow = self.board.transport.flow_of("UDP", (BOB, 5060))
        self.board.location.add(Contact(record, flow, True), self.board.now())

    # -- one piece ----------------------------------------------------------------------------------------------------

    def play(self, piece: bytes) -> None:
        who, rest = piece[:1], piece[1:]
        if who == b"\x05":
            self.pass_time(rest[0] if rest else 1)
        elif who in (b"\x01", b"\x03"):
            wire = self.connected.wire(TRUSTED if who == b"\x01" else STRANGER)
            for segment in self.fill(rest).split(b"\x1d"):
                if wire.protocol is not None:
                    wire.protocol.dataReceived(segment)
        else:
            host = {b"\x02": STRANGER, b"\x04": BOB}.get(who, TRUSTED)
            octets = self.fill(rest if who in (b"\x02", b"\x04") else piece)
            self._send(self.peers[host], octets)
        self.pass_time(0.05)

    def pass_time(self, seconds: float) -> None:
        """Who is looked up by name is not found, but soon."""
        self.board.run(seconds / 2)
        self.board.names.answer()
        self.board.run(seconds / 2)

    def _send(self, transport: MemoryTransport, octets: bytes) -> None:
        transport.flow_of("UDP", self.board.transport.address("UDP")).send(octets)

    def fill(self, piece: bytes) -> bytes:
        """The piece with its places filled."""
        if b"{" not in piece:
            return piece
        piece = piece.replace(b"{heard}", self._tie()).replace(b"{tag}", self._tag())
        return piece.replace(b"{authorization}", self._authorization(piece))

    def _tie(self) -> bytes:
        if not self.bob.requests:
            return b"X: nothing"
        request = self.bob.requests[-1][0]
        table = list(zip(request.names, request.lines, strict=True))
        lines = [line for wanted in _TIED for name, line in table if name == wanted]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")

    def _tag(self) -> bytes:
        for response, _ in reversed(self.heard.responses):
            try:
                if response.to_tag:
                    return response.to_tag.encode("utf-8", "surrogateescape")
            except ParseError:
                continue
        return b"none"

    def _authorization(self, piece: bytes) -> bytes:
        method, _, rest = piece.partition(b"\r\n")[0].decode("utf-8", "surrogateescape").partition(" ")
        nonce = NonceFactory(b"secret", 300).make(self.board.now())
        secret = ha1(Algorithm.MD5, DEVICE, REALM, PASSWORD)
        asked = Challenge(REALM, nonce)
        answer = answer_challenge(asked, DEVICE, secret, method, rest.partition(" ")[0], "abc")
        return str(answer).encode("utf-8", "surrogateescape")

    # -- the end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Let all that has a time run out, and look at what is left."""
        board = self.board
        self.connected.close()
        self.pass_time(_TRANSACTIONS_END)
        settle(board)
        assert board.gauges() == (0, 0, 0, 0), f"dialogs, calls or transactions are left: {board.gauges()}"
        assert sorted(event.id for event in board.books.ended) == sorted(board.books.started), "a call is left open"
        assert board.transport.counts.internal_errors == 0, "an exception was caught at the edge"


@implementer(ILogObserver)
class Failures:
    """The tracebacks that were logged."""

    def __init__(self) -> None:
        self.tracebacks: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self.tracebacks.append(failure.getTraceback())


def play(script: bytes) -> None:
    """Play the pieces of ``script``; AssertionError when the server breaks, or something of it stays behind."""
    failures = Failures()
    globalLogPublisher.addObserver(failures)
    try:
        stage = Stage()
        for piece in script.split(b"\x1e")[:_MOST_PIECES]:
            if piece:
                stage.play(piece)
        stage.end()
    finally:
        globalLogPublisher.removeObserver(failures)
    assert not failures.tracebacks, failures.tracebacks[0]
