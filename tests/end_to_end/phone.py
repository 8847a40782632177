"""A scripted phone on a real loopback socket.

Nothing happens by itself: no answer, no ACK, no retransmission is sent unless the test says so. What comes in is read
here and not by the code under test; a datagram that is an exact repetition is counted, but not handed out again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import cast

from twisted.internet import defer
from twisted.internet import reactor as default_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorUDP, ITCPTransport
from twisted.internet.protocol import DatagramProtocol, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from gosip_py.sip.digest import answer_challenge, ha1, parse_challenge
from tests.end_to_end.received import Received
from tests.running import LOOPBACK, PHONE_PASSWORD, clock

__all__ = ["Leg", "Phone", "Received", "sdp"]

WAIT_SECONDS = 8.0
_numbers = count(1)

Headers = Sequence[tuple[str, str]]


Wanted = Callable[[Received], bool]


class _Inbox:
    """What was received and not yet asked for, and who waits for what."""

    def __init__(self) -> None:
        self.octets: list[bytes] = []
        self._seen: set[bytes] = set()
        self._kept: list[Received] = []
        self._waiting: list[tuple[Wanted, Deferred[Received]]] = []

    def put(self, octets: bytes) -> None:
        self.octets.append(octets)
        if octets in self._seen or not octets.strip():
            return
        self._seen.add(octets)
        message = Received.read(octets)
        for pair in self._waiting:
            if pair[0](message):
                self._waiting.remove(pair)
                pair[1].callback(message)
                return
        self._kept.append(message)

    def take(self, wanted: Wanted, what: str, seconds: float) -> Deferred[Received]:
        waiting: Deferred[Received] = Deferred()
        for message in self._kept:
            if wanted(message):
                self._kept.remove(message)
                waiting.callback(message)
                return waiting
        pair = (wanted, waiting)
        self._waiting.append(pair)

        def give_up(failure: Failure) -> Failure:
            if failure.check(defer.TimeoutError):
                self._waiting.remove(pair)
                heard = ", ".join(map(str, self._kept)) or "nothing"
                return Failure(AssertionError(f"no {what} came within {seconds} s; not asked for came {heard}"))
            return failure

        return waiting.addTimeout(seconds, clock()).addErrback(give_up)


class _Wire:
    """A socket to the server."""

    transport_name = ""
    port = 0

    def __init__(self) -> None:
        self.inbox = _Inbox()

    def send(self, octets: bytes) -> None:
        raise NotImplementedError

    def close(self) -> Deferred[None]:
        raise NotImplementedError


class _DatagramWire(_Wire, DatagramProtocol):
    transport_name = "udp"

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self._server = (LOOPBACK, server_port)
        self._port = IReactorUDP(default_reactor).listenUDP(0, self, interface=LOOPBACK, maxPacketSize=65536)
        self.port = cast(IPv4Address, self._port.getHost()).port
        self._is_closed = False

    def send(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets, self._server)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.inbox.put(datagram)

    def close(self) -> Deferred[None]:
        is_closed, self._is_closed = self._is_closed, True
        return succeed(None) if is_closed else self._port.stopListening() or succeed(None)


class _StreamWire(_Wire, Protocol):
    transport_name = "tcp"

    def __init__(self) -> None:
        super().__init__()
        self._held = b""
        self._is_open = False
        self._ended: list[Deferred[None]] = []

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._is_open = True
        self.port = cast(IPv4Address, self.transport.getHost()).port

    def send(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)

    def dataReceived(self, data: bytes) -> None:
        self._held += data
        while True:
            self._held = self._held.lstrip(b"\r\n")
            head, end, rest = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            length = int(Received.read(head)["content-length"])
            if len(rest) < length:
                return
            self.inbox.put(head + end + rest[:length])
            self._held = rest[length:]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_open = False
        for each in self._ended:
            each.callback(None)

    def ended(self) -> Deferred[None]:
        """Fires when the connection is gone, whoever closed it."""
        done: Deferred[None] = Deferred()
        if self._is_open:
            self._ended.append(done)
        else:
            done.callback(None)
        return done

    def close(self) -> Deferred[None]:
        if self._is_open:
            cast(ITCPTransport, self.transport).abortConnection()
        return self.ended()


class Phone:
    """One socket and one name; `user` is login and device in one."""

    def __init__(self, wire: _Wire, user: str) -> None:
        self._wire = wire
        self.user = user
        self.port = wire.port
        self._cseq = 0
        self._call_id = f"register-{next(_numbers)}@{LOOPBACK}"

    @classmethod
    def udp(cls, case: TestCase, server_port: int, user: str) -> Phone:
        """On a UDP port of its own, closed at the end of the test."""
        phone = cls(_DatagramWire(server_port), user)
        case.addCleanup(phone.vanish)
        return phone

    @classmethod
    async def tcp(cls, case: TestCase, server_port: int, user: str) -> Phone:
        """On a TCP connection that it makes, closed at the end of the test."""
        endpoint = TCP4ClientEndpoint(default_reactor, LOOPBACK, server_port, timeout=5)
        wire = await connectProtocol(endpoint, _StreamWire())
        phone = cls(wire, user)
        case.addCleanup(phone.vanish)
        return phone

    @property
    def transport(self) -> str:
        """ "udp" or "tcp"."""
        return self._wire.transport_name

    @property
    def contact(self) -> str:
        """Its URI."""
        return f"sip:{self.user}@{LOOPBACK}:{self.port};transport={self.transport}"

    def vanish(self) -> Deferred[None]:
        """Close the socket without a word."""
        return self._wire.close()

    def send(self, octets: bytes) -> None:
        """Exactly these bytes."""
        self._wire.send(octets)

    @property
    def everything(self) -> bytes:
        """All that came in."""
        return b"".join(self._wire.inbox.octets)

    def heard(self, start: str) -> int:
        """How many messages began so, repetitions too."""
        return sum(octets.startswith(start.encode()) for octets in self._wire.inbox.octets)

    def expect(
        self, what: str | int, *, method: str = "", call_id: str = "", seconds: float = WAIT_SECONDS
    ) -> Deferred[Received]:
        """The next request of a method, or the next response with a code, that was not asked for before."""

        def wanted(message: Received) -> bool:
            if call_id and message["call-id"] != call_id:
                return False
            if isinstance(what, int):
                return message.status == what and method in ("", message.method)
            return message.status == 0 and message.method == what

        return self._wire.inbox.take(wanted, f"{what} {method}".strip(), seconds)

    def final(self, method: str, *, call_id: str = "", seconds: float = WAIT_SECONDS) -> Deferred[Received]:
        """The next final response to a method."""

        def wanted(message: Received) -> bool:
            return message.status >= 200 and message.method == method and call_id in ("", message["call-id"])

        return self._wire.inbox.take(wanted, f"final response to {method}", seconds)

    # -- requests ----------------------------------------------------------------------------------------------------

    def via(self, branch: str = "") -> str:
        """A Via of this socket, with a new branch unless one is given."""
        branch = branch or f"z9hG4bK-{self.port}-{next(_numbers)}"
        return f"SIP/2.0/{self.transport.upper()} {LOOPBACK}:{self.port};branch={branch};rport"

    async def register(self, expires: int = 600, contact: str = "", parameters: str = "") -> Received:
        """REGISTER, answer the challenge, REGISTER again; the 200. ``parameters`` are those of the Contact."""
        uri = f"sip:{LOOPBACK}"
        own = f"<sip:{self.user}@{LOOPBACK}>"
        credentials: Headers = ()
        while True:
            self._cseq += 1
            self.send(
                message(
                    f"REGISTER {uri} SIP/2.0",
                    ("Via", self.via()),
                    ("Max-Forwards", "70"),
                    ("From", f"{own};tag=r{self.port}"),
                    ("To", own),
                    ("Call-ID", self._call_id),
                    ("CSeq", f"{self._cseq} REGISTER"),
                    ("Contact", f"<{contact or self.contact}>{parameters}"),
                    ("Expires", str(expires)),
                    *credentials,
                )
            )
            answer = await self.final("REGISTER", call_id=self._call_id)
            if answer.status == 200:
                return answer
            if answer.status != 401 or credentials:
                raise AssertionError(f"registering {self.user}: {answer}")
            credentials = self.credentials(answer, "REGISTER", uri)

    def credentials(self, challenge: Received, method: str, uri: str) -> Headers:
        """The header that answers a 401 or 407."""
        asked = parse_challenge(challenge["www-authenticate" if challenge.status == 401 else "proxy-authenticate"])
        key = ha1(asked.algorithm, self.user, asked.realm, PHONE_PASSWORD)
        answer = answer_challenge(asked, self.user, key, method, uri, f"c{next(_numbers)}")
        return (("Authorization" if challenge.status == 401 else "Proxy-Authorization", str(answer)),)

    async def call(self, peer: str, headers: Headers = (), body: bytes | None = None) -> Leg:
        """INVITE, answer the 407 and acknowledge it, INVITE again; returns when the second is on its way."""
        leg = Leg(self, f"call-{next(_numbers)}@{LOOPBACK}", f"sip:{peer}@{LOOPBACK}")
        leg.local = f"<sip:{self.user}@{LOOPBACK}>;tag=c{next(_numbers)}"
        leg.remote = f"<{leg.target}>"
        leg.invite(headers, body)
        challenge = await leg.expect(407)
        leg.ack(challenge)
        leg.invite((*headers, *self.credentials(challenge, "INVITE", leg.target)), body)
        return leg

    async def called(self, call_id: str = "") -> Leg:
        """The next INVITE that comes in, as a leg that has not answered."""
        invite = await self.expect("INVITE", call_id=call_id)
        leg = Leg(self, invite["call-id"], re.findall("<(.*?)>", invite["contact"])[0])
        leg.request = invite
        leg.remote = invite["from"]
        leg.tag = f"a{next(_numbers)}"
        leg.local = f"{invite['to']};tag={leg.tag}"
        leg.routes = invite.all("record-route")
        return leg


class Leg:
    """One phone's side of a call. `local` and `remote` are what it says in From and To."""

    def __init__(self, phone: Phone, call_id: str, target: str) -> None:
        self.phone = phone
        self.call_id = call_id
        self.target = target
        self.local = self.remote = self.tag = ""
        self.routes: list[str] = []
        self.request: Received | None = None
        self._cseq = 0
        self._branch = ""

    def expect(self, what: str | int, method: str = "", seconds: float = WAIT_SECONDS) -> Deferred[Received]:
        """As `Phone.expect`, of this call."""
        return self.phone.expect(what, method=method, call_id=self.call_id, seconds=seconds)

    # -- as caller ---------------------------------------------------------------------------------------------------

    def invite(self, headers: Headers = (), body: bytes | None = None) -> None:
        """An INVITE with the next CSeq; b"" leaves the offer to the other side."""
        self._cseq += 1
        self._branch = f"z9hG4bK-{self.phone.port}-{next(_numbers)}"
        contact = ("Contact", f"<{self.phone.contact}>")
        self._send("INVITE", self._cseq, self._branch, (contact, *headers), sdp() if body is None else body)

    def cancel(self) -> None:
        """CANCEL the last INVITE."""
        self._send("CANCEL", self._cseq, self._branch)

    def ack(self, response: Received, body: bytes = b"") -> None:
        """Acknowledge a final response to the last INVITE: of a 2xx end to end, which makes this a dialog."""
        if response.status >= 300:
            self._send("ACK", self._cseq, self._branch, to=response["to"])
            return
        self.follow(response)
        self._send("ACK", int(response["cseq"].split()[0]), "", body=body)

    def follow(self, response: Received) -> None:
        """Take what a response says of the dialog: requests within it can be sent from now on."""
        self.remote = response["to"]
        self.routes = list(reversed(response.all("record-route")))
        self.target = re.findall("<(.*?)>", response["contact"])[0]

    async def answered(self) -> Received:
        """The 200 to the INVITE, acknowledged."""
        return await self.refused(200)

    async def refused(self, status: int, seconds: float = WAIT_SECONDS) -> Received:
        """The final response with this code to the INVITE, acknowledged."""
        response = await self.expect(status, "INVITE", seconds)
        self.ack(response)
        return response

    # -- as callee ---------------------------------------------------------------------------------------------------

    def respond(
        self, status: int, headers: Headers = (), *, request: Received | None = None, body: bytes = b""
    ) -> None:
        """Answer the INVITE, or another request of this call."""
        self.phone.send(self.response(status, headers, request=request, body=body))

    def response(
        self, status: int, headers: Headers = (), *, request: Received | None = None, body: bytes = b""
    ) -> bytes:
        """What `respond` sends."""
        asked = request or self.request
        assert asked is not None
        to = asked["to"] if ";tag=" in asked["to"] else f"{asked['to']};tag={self.tag}"
        kept = [(name, value) for name, value in asked.headers if name in ("via", "from", "call-id", "cseq")]
        routes = [("Record-Route", value) for value in asked.all("record-route")]
        contact = ("Contact", f"<{self.phone.contact}>")
        return message(f"SIP/2.0 {status} Said", *kept, ("To", to), *routes, contact, *headers, body=body)

    def answer(self, headers: Headers = ()) -> None:
        """200 to the INVITE."""
        self.respond(200, headers, body=sdp())

    # -- as either ---------------------------------------------------------------------------------------------------

    async def hang_up(self) -> None:
        """BYE, and wait for the 200."""
        self.bye()
        await self.expect(200, "BYE")

    def bye(self, headers: Headers = ()) -> None:
        """BYE along the route set."""
        self.ask("BYE", headers)

    def ask(self, method: str, headers: Headers = (), body: bytes = b"") -> None:
        """A request within the dialog, with the next CSeq; a body is a session unless Content-Type is among headers."""
        self._cseq += 1
        self._send(method, self._cseq, "", headers, body)

    async def final_of_invite(self, seconds: float = WAIT_SECONDS) -> Received:
        """Whatever final response to the INVITE comes; one that refuses is acknowledged."""
        response = await self.phone.final("INVITE", call_id=self.call_id, seconds=seconds)
        if response.status >= 300:
            self.ack(response)
        return response

    async def hung_up_on(self) -> None:
        """Wait for the other side's BYE, and answer it."""
        self.respond(200, request=await self.expect("BYE"))

    def _send(
        self, method: str, number: int, branch: str, headers: Headers = (), body: bytes = b"", to: str = ""
    ) -> None:
        fixed: Headers = (
            ("Via", self.phone.via(branch)),
            *(("Route", route) for route in self.routes),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", to or self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
        )
        self.phone.send(message(f"{method} {self.target} SIP/2.0", *fixed, *headers, body=body))


def message(start: str, *headers: tuple[str, str], body: bytes = b"") -> bytes:
    """The bytes of a message; Content-Length is added."""
    kind = (("Content-Type", "application/sdp"),) if body and "Content-Type" not in dict(headers) else ()
    lines = [f"{name}: {value}" for name, value in (*headers, *kind, ("Content-Length", str(len(body))))]
    return "\r\n".join([start, *lines, "", ""]).encode("utf-8", "surrogateescape") + body


def sdp() -> bytes:
    """A session description that nobody sends media for."""
    lines = ("v=0", f"o=- 1 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0", "m=audio 40000 RTP/AVP 0")
    return ("\r\n".join(lines) + "\r\n").encode()
