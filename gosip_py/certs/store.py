"""The certificate that TLS shows, reloaded while connections are served."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL

__all__ = ["CertificateStore", "CertificateUnusable"]


class CertificateUnusable(ValueError):
    """Certificate and key cannot be used; the text names the file and says why."""


@attrs.frozen
class _Loaded:
    context: SSL.Context
    chain: tuple[x509.Certificate, ...]


class CertificateStore:
    """A certificate chain and its key, from two PEM files. CertificateUnusable when they are no pair, or no PEM."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._loaded = _load(certificate, key)

    @property
    def context(self) -> SSL.Context:
        """For a connection that begins now. Never changed once it is made: a reload makes a new one."""
        return self._loaded.context

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the certificate, as phones and browsers show it: ``AB:CD:...``."""
        return self._loaded.chain[0].fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def subject(self) -> str:
        """Whose certificate it is, as RFC 4514 writes it."""
        return self._loaded.chain[0].subject.rfc4514_string()

    @property
    def expires_at(self) -> datetime:
        return self._loaded.chain[0].not_valid_after_utc

    @property
    def is_self_signed(self) -> bool:
        certificate = self._loaded.chain[0]
        return certificate.subject == certificate.issuer

    def reload(self) -> bool:
        """Read the files again; whether another certificate is served from now on.

        CertificateUnusable when they cannot be used: then the one before is served on.
        """
        before = self.fingerprint
        self._loaded = _load(self._certificate, self._key)
        return self.fingerprint != before


def _load(certificate: Path, key: Path) -> _Loaded:
    try:
        chain = tuple(x509.load_pem_x509_certificates(certificate.read_bytes()))
    except (OSError, ValueError) as error:
        raise CertificateUnusable(f"{certificate}: {error}") from error
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        # Resumption would ask for a session id context of our own, and connections to phones live for hours.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        # Refuses a key that is not the certificate's.
        context.use_privatekey(private)  # type: ignore[arg-type]  # it refuses the kinds that TLS cannot use
    except (OSError, ValueError, TypeError, SSL.Error) as error:
        raise CertificateUnusable(f"{key}: it is no key of the certificate ({error})") from error
    return _Loaded(context, chain)
