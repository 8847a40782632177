"""A scripted phone in a browser: what it says goes by WebSocket, and its host is made up (RFC 7118 B.1)."""

from __future__ import annotations

import re
from itertools import count
from typing import cast

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.end_to_end.phone import Phone, _StreamWire
from tests.end_to_end.server import Server
from tests.running import LOOPBACK
from tests.transport.browser import Browser

__all__ = ["BrowserPhone", "BrowserWire", "listening_port"]

_numbers = count(1)


@implementer(IOpenSSLClientConnectionCreator)
class _Believing:
    """TLS that asks for no proof."""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)


class BrowserWire(_StreamWire):
    """A WebSocket to the server."""

    def __init__(self, transport_name: str, origin: str = "") -> None:
        super().__init__()
        self.transport_name = transport_name
        self.browser = Browser()
        self.shaken: Deferred[int] = Deferred()
        self._origin = origin

    def connectionMade(self) -> None:
        super().connectionMade()
        self._write(self.browser.hello(origin=self._origin))

    def _write(self, data: bytes) -> None:
        cast(ITCPTransport, self.transport).write(data)

    def dataReceived(self, data: bytes) -> None:
        answer = self.browser.read(data)
        if answer:
            self._write(answer)
        messages, self.browser.messages = self.browser.messages, []
        for message in messages:
            self.inbox.put(message.encode() if isinstance(message, str) else message)
        if self.browser.status and not self.shaken.called:
            self.shaken.callback(self.browser.status)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if not self.shaken.called:
            self.shaken.callback(0)

    def send(self, octets: bytes) -> None:
        self._write(self.browser.text(octets.decode()))


class BrowserPhone(Phone):
    """A `Phone` whose socket is a WebSocket, plain ("ws") or secure ("wss")."""

    def __init__(self, wire: BrowserWire, user: str) -> None:
        super().__init__(wire, user)
        self.browser = wire.browser
        self.ended = wire.ended
        self.inbox = wire.inbox
        self.host = f"page{next(_numbers)}.invalid"

    @classmethod
    async def open(
        cls, case: TestCase, server: Server, user: str, transport: str = "ws", origin: str = ""
    ) -> BrowserPhone:
        """One whose handshake was answered; the connection is cut at the end of the test."""
        plain = TCP4ClientEndpoint(reactor, LOOPBACK, listening_port(server, transport), timeout=5)
        secure = SSL4ClientEndpoint(reactor, LOOPBACK, listening_port(server, transport), _Believing(), timeout=5)
        wire = BrowserWire(transport, origin)
        await connectProtocol(secure if transport == "wss" else plain, wire)
        phone = cls(wire, user)
        case.addCleanup(phone.vanish)
        await wire.shaken
        return phone

    @property
    def contact(self) -> str:
        return f"sip:{self.user}@{self.host};transport=ws"

    def via(self, branch: str = "") -> str:
        value = super().via(branch).removesuffix(";rport")
        return value.replace(f"{LOOPBACK}:{self.port}", self.host)


def listening_port(server: Server, transport: str) -> int:
    """Where the server said that it listens."""
    found = re.findall(rf"listening on {transport}://127\.0\.0\.1:(\d+)", server.log)
    if not found:
        raise AssertionError(f"the server does not listen for {transport}")
    return int(found[-1])
