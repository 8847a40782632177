"""TLS around connections, in both directions (RFC 3261 26.3, RFC 5922).

The server asks its source for a context at each connection, so that a renewed certificate is served without a restart.
OpenSSL verifies who vouches for a certificate; whom it is for is asked by `peer_of` once the handshake is complete, and
nothing is written before that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import attrs
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import ssl
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from gosip_py.certs.verification import Inspection, note_fault
from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.identities import SipIdentities, identities_of

__all__ = [
    "ContextSource",
    "Encrypted",
    "PeerRefused",
    "TlsTrust",
    "client_factory",
    "fault_text",
    "peer_of",
    "server_factory",
]


class ContextSource(Protocol):
    """Whoever holds certificates."""

    @property
    def context(self) -> SSL.Context:
        """The context for a connection that begins now."""


class Encrypted(Protocol):
    """What we use of a connection behind TLS that one of the factories here made."""

    inspection: Inspection

    def getHandle(self) -> SSL.Connection: ...


class PeerRefused(Exception):
    """The certificate of a peer is not for whom we asked for; the text says for whom it is."""


@attrs.frozen(eq=False)  # found again by what it is: contexts are kept for each
class TlsTrust:
    """Whom our outgoing connections believe: ``roots`` in place of the platform's; anybody without ``verify_peer``.

    ``allow_wildcards`` takes a certificate for ``*.example.com`` for one of each host below, against RFC 5922 7.2:
    some carriers have no other.
    """

    verify_peer: bool = True
    roots: tuple[ssl.Certificate, ...] = ()
    allow_wildcards: bool = False


@lru_cache(maxsize=16)  # reading the platform's roots takes longer than a handshake
def _client_context(trust: TlsTrust) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    if not trust.verify_peer:
        return context
    context.set_verify(SSL.VERIFY_PEER, note_fault)
    store = context.get_cert_store()
    if trust.roots and store is not None:
        for root in trust.roots:
            store.add_cert(X509.from_cryptography(root.original.to_cryptography()))
    else:
        context.set_default_verify_paths()
    return context


@implementer(IOpenSSLServerConnectionCreator)
class _ServerCreator:
    def __init__(self, source: ContextSource) -> None:
        self._source = source

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._source.context, None)


@implementer(IOpenSSLClientConnectionCreator)
class _ClientCreator:
    """Asks for ``domain``, by name where it is one (RFC 6066 3), and notes it for `peer_of`."""

    def __init__(self, trust: TlsTrust, domain: str) -> None:
        self._trust = trust
        self._domain = domain

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(_client_context(self._trust), None)
        if isinstance(tlsProtocol, _Connection):
            tlsProtocol.inspection = Inspection(self._domain, self._trust.allow_wildcards)
        if numeric_address(self._domain) is None:
            connection.set_tlsext_host_name(self._domain.encode("ascii", "replace"))
        return connection


class _Connection(BufferingTLSTransport):
    """Twisted makes it the application data of the connection that it encrypts with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.inspection = Inspection()


class _Factory(TLSMemoryBIOFactory):
    protocol: type[TLSMemoryBIOProtocol] = _Connection

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]
        """None refuses the connection, as the interface has it; Twisted's own factory would wrap it."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else self.protocol(self, protocol)


def server_factory(source: ContextSource, factory: IProtocolFactory, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """``factory`` behind TLS, with the certificates of ``source``."""
    return _Factory(_ServerCreator(source), False, factory, clock)


def client_factory(trust: TlsTrust, domain: str, factory: IProtocolFactory, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """``factory`` behind TLS towards a server of ``domain``: the host of the URI, before any look-up (RFC 5922 7.3).

    The protocols of ``factory`` must ask `peer_of` when their handshake is complete.
    """
    return _Factory(_ClientCreator(trust, domain), True, factory, clock)


def peer_of(wire: Encrypted) -> SipIdentities:
    """Whom the verified certificate of the peer names; nobody when it showed none, or none was asked for.

    PeerRefused when we asked for somebody else (RFC 5922 7.3).
    """
    connection = wire.getHandle()
    if not connection.get_verify_mode() & SSL.VERIFY_PEER:
        return SipIdentities()
    certificate = connection.get_peer_certificate(as_cryptography=True)
    identities = SipIdentities() if certificate is None else identities_of(certificate)
    domain = wire.inspection.domain
    if domain is not None and not identities.name(domain, wire.inspection.allow_wildcards):
        named = ", ".join(map(str, (*identities.domains, *identities.addresses))) or "nobody"
        raise PeerRefused(f"the certificate of the peer is not for {domain} but for {named[:200]}")
    return identities


def fault_text(wire: Encrypted, error: SSL.Error) -> str:
    """Why TLS failed, in words."""
    errors = error.args[0] if error.args and isinstance(error.args[0], list) else ()
    text = str(errors[-1][-1]) if errors else "the peer ended it"
    noted = wire.inspection.fault
    return f"TLS failed: {text}{f' ({noted})' if noted else ''}"
