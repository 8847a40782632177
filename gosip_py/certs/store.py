"""The certificates that TLS shows, and whose it accepts from clients; reloaded while connections are served.

The first pair is shown to whoever asks for no name, or for one that none of the certificates has (RFC 6066 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509StoreFlags

from gosip_py.certs.verification import note_fault

__all__ = ["AnonymousContext", "CertificateStore", "CertificateUnusable", "ClientAuthorities"]

Pair = tuple[Path, Path]


class CertificateUnusable(ValueError):
    """Certificate and key cannot be used; the text names the file and says why."""


@attrs.frozen
class ClientAuthorities:
    """Who vouches for clients: a PEM bundle, each certificate in it an anchor of trust of its own.

    ``is_required`` ends the handshake with a client that shows no certificate. One that is not believed ends it anyway.
    """

    bundle: Path
    is_required: bool = False

    @property
    def mode(self) -> int:
        """What OpenSSL calls it."""
        return SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if self.is_required else 0)


@attrs.frozen
class _Served:
    """One certificate, ready to be shown."""

    context: SSL.Context
    chain: tuple[x509.Certificate, ...]


@attrs.frozen
class _Loaded:
    default: _Served
    anonymous: _Served  # the same, but it asks no client for a certificate
    contents: tuple[bytes, ...]  # what was read, to tell whether a reload brought something new


@attrs.frozen
class AnonymousContext:
    """The same certificates for clients that are not asked for one: browsers (RFC 7118 7)."""

    store: CertificateStore

    @property
    def context(self) -> SSL.Context:
        """For a connection that begins now."""
        return self.store._loaded.anonymous.context


class CertificateStore:
    """Certificate chains and their keys, each from two PEM files: ``others`` are chosen by the names they are for.

    CertificateUnusable when a pair is none, a file is no PEM, or the bundle of ``clients`` cannot be read.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        others: Sequence[Pair] = (),
        clients: ClientAuthorities | None = None,
    ) -> None:
        self._pairs: tuple[Pair, ...] = ((certificate, key), *others)
        self._clients = clients
        self._loaded = _load(self._pairs, clients)

    @property
    def context(self) -> SSL.Context:
        """For a connection that begins now. Never changed once it is made: a reload makes a new one."""
        return self._loaded.default.context

    @property
    def anonymous(self) -> AnonymousContext:
        """For listeners whose clients are not asked for a certificate; reloaded with this store."""
        return AnonymousContext(self)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the first certificate, as phones and browsers show it: ``AB:CD:...``."""
        return self._certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def subject(self) -> str:
        """Whose certificate it is, as RFC 4514 writes it."""
        return self._certificate.subject.rfc4514_string()

    @property
    def expires_at(self) -> datetime:
        return self._certificate.not_valid_after_utc

    @property
    def is_self_signed(self) -> bool:
        return self._certificate.subject == self._certificate.issuer

    @property
    def _certificate(self) -> x509.Certificate:
        return self._loaded.default.chain[0]

    def reload(self) -> bool:
        """Read the files again; whether something else is served from now on.

        CertificateUnusable when they cannot be used: then all stays as it was.
        """
        before = self._loaded
        self._loaded = _load(self._pairs, self._clients)
        return self._loaded.contents != before.contents


def _load(pairs: Sequence[Pair], clients: ClientAuthorities | None) -> _Loaded:
    served = [_serve(certificate, key) for certificate, key in pairs]
    contents = [each.public_bytes(serialization.Encoding.DER) for one in served for each in one.chain]
    default = anonymous = _choose(served, None)
    if clients is not None:
        contents.append(_read(clients.bundle))
        default = _choose([_serve(certificate, key, clients) for certificate, key in pairs], clients)
    return _Loaded(default, anonymous, tuple(contents))


def _choose(served: Sequence[_Served], clients: ClientAuthorities | None) -> _Served:
    """The first of them, which gives way to the others when a client asks for their names."""
    default = served[0]
    if len(served) > 1:
        names = {name: each.context for each in reversed(served) for name in _names_of(each.chain[0])}
        default.context.set_tlsext_servername_callback(_Choice(names, clients).choose)
    return default


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(f"{path}: {error}") from error


def _serve(certificate: Path, key: Path, clients: ClientAuthorities | None = None) -> _Served:
    try:
        chain = tuple(x509.load_pem_x509_certificates(certificate.read_bytes()))
    except (OSError, ValueError) as error:
        raise CertificateUnusable(f"{certificate}: {error}") from error
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        # Resumption would ask for a session id context of our own, and would take a client for who it was before;
        # connections to phones live for hours.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        # Refuses a key that is not the certificate's.
        context.use_privatekey(private)  # type: ignore[arg-type]  # it refuses the kinds that TLS cannot use
    except (OSError, ValueError, TypeError, SSL.Error) as error:
        raise CertificateUnusable(f"{key}: it is no key of the certificate ({error})") from error
    if clients is not None:
        _ask_clients(context, clients)
    return _Served(context, chain)


def _ask_clients(context: SSL.Context, clients: ClientAuthorities) -> None:
    """Ask each client for a certificate, and believe those that the bundle vouches for."""
    bundle = str(clients.bundle)
    try:
        context.load_verify_locations(bundle)
        context.load_client_ca(bundle.encode())
    except (OSError, SSL.Error) as error:
        raise CertificateUnusable(f"{bundle}: it is no bundle of certificates in PEM ({error})") from error
    store = context.get_cert_store()
    if store is not None:
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    context.set_verify(clients.mode, note_fault)


def _names_of(certificate: x509.Certificate) -> Iterator[str]:
    """The names of servers in a certificate, lower case, as they stand there."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
            yield str(attribute.value).lower()
        return
    for name in names.get_values_for_type(x509.DNSName):
        yield name.lower()


@attrs.frozen
class _Choice:
    """Which of several contexts a connection gets, by the name that its client asks for."""

    contexts: Mapping[str, SSL.Context]
    clients: ClientAuthorities | None

    def choose(self, connection: SSL.Connection) -> None:
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower().rstrip(".")
        context = self.contexts.get(name) or self.contexts.get("*." + name.partition(".")[2])
        if context is None:
            return
        connection.set_context(context)
        if self.clients is not None:
            # A connection keeps the demand of the context that it began with.
            connection.set_verify(self.clients.mode, note_fault)
