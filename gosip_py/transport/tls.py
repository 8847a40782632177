"""TLS around connections, in both directions (RFC 3261 26.3, RFC 5922).

The server asks its source for a context at each connection, so that a renewed certificate is served without a restart.
The client verifies the peer against the name or address that it connects to.
"""

from __future__ import annotations

from typing import Protocol

import attrs
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

__all__ = ["ContextSource", "TlsTrust", "client_factory", "server_factory"]


class ContextSource(Protocol):
    """Whoever holds certificates."""

    @property
    def context(self) -> SSL.Context:
        """The context for a connection that begins now."""


@attrs.frozen
class TlsTrust:
    """Whom our outgoing connections believe: ``roots`` in place of the platform's; anybody without ``verify_peer``."""

    verify_peer: bool = True
    roots: tuple[ssl.Certificate, ...] = ()


@implementer(IOpenSSLServerConnectionCreator)
class _ServerCreator:
    def __init__(self, source: ContextSource) -> None:
        self._source = source

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._source.context, None)


@implementer(IOpenSSLClientConnectionCreator)
class _UnverifiedCreator:
    """Encrypts, and believes anybody."""

    def __init__(self) -> None:
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class _Factory(TLSMemoryBIOFactory):
    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]
        """None refuses the connection, as the interface has it; Twisted's own factory would wrap it."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else self.protocol(self, protocol)


def server_factory(source: ContextSource, factory: IProtocolFactory, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """``factory`` behind TLS, with the certificates of ``source``."""
    return _Factory(_ServerCreator(source), False, factory, clock)


def client_factory(trust: TlsTrust, host: str, factory: IProtocolFactory, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """``factory`` behind TLS towards ``host``, which its certificate must name (RFC 5922 7.1). TLS 1.2 is the least."""
    creator: IOpenSSLClientConnectionCreator
    if not trust.verify_peer:
        creator = _UnverifiedCreator()
    elif trust.roots:
        creator = ssl.optionsForClientTLS(host, ssl.trustRootFromCertificates(trust.roots))
    else:
        creator = ssl.optionsForClientTLS(host, ssl.platformTrust())
    return _Factory(creator, True, factory, clock)
