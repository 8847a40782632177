"""The floor: a bare Twisted datagram answer, what any server on Twisted must pay. `python -m benchmarks.floor PORT`.

It understands nothing: five headers are copied back line by line, a REGISTER without Authorization gets a 401 with a
constant nonce, everything else a 200.
"""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorCore, IReactorUDP
from twisted.internet.protocol import DatagramProtocol

COPIED = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
MAX_DATAGRAM = 8192
CHALLENGE = b'WWW-Authenticate: Digest realm="sip.test", nonce="0", algorithm=MD5, qop="auth"'


def answer(request: bytes, contact: bytes) -> bytes:
    """The response to a request, b"" to an ACK."""
    lines = request.split(b"\r\n")
    if lines[0].startswith(b"ACK"):
        return b""
    copied = [line for line in lines if line.startswith(COPIED)]
    if lines[0].startswith(b"REGISTER") and b"\r\nAuthorization:" not in request:
        return b"\r\n".join([b"SIP/2.0 401 Unauthorized", *copied, CHALLENGE, b"Content-Length: 0", b"", b""])
    return b"\r\n".join([b"SIP/2.0 200 OK", *copied, contact, b"Content-Length: 0", b"", b""])


class Floor(DatagramProtocol):
    """Answers from the port that it listens on."""

    def __init__(self, contact: bytes) -> None:
        self.contact = contact

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        assert self.transport is not None
        response = answer(datagram, self.contact)
        if response:
            self.transport.write(response, addr)


def main() -> None:
    """Serve on a loopback port until SIGTERM."""
    port = int(sys.argv[1])
    protocol = Floor(b"Contact: <sip:floor@127.0.0.1:%d>" % port)
    IReactorUDP(reactor).listenUDP(port, protocol, "127.0.0.1", MAX_DATAGRAM)
    IReactorCore(reactor).run()


if __name__ == "__main__":
    main()
