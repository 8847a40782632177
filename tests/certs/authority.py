"""A certification authority for tests, and TLS handshakes in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

__all__ = ["Authority", "Issued", "client_context", "handshake", "names"]

_DAY = timedelta(days=1)


@attrs.frozen
class Issued:
    """A certificate and its key, and the files that they are in when there is a directory."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, for whoever may read it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Both as files ``name.pem`` and ``name.key``."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)
        return certificate, key


def names(*texts: str) -> tuple[x509.GeneralName, ...]:
    """Alternative names: URIs and addresses as such, everything else as DNS names."""
    return tuple(map(_general_name, texts))


def _general_name(text: str) -> x509.GeneralName:
    if text.partition(":")[0].lower() in ("sip", "sips", "https"):
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """Signs what it is asked for."""

    def __init__(self, name: str = "Test Authority") -> None:
        self.issued = _make(name, None, None, (), is_authority=True)

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.issued.pem

    def issue(
        self,
        common_name: str,
        *alternative_names: str,
        usage: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        ended: bool = False,
    ) -> Issued:
        """A certificate; with a subjectAltName only when there are names for it."""
        return _make(common_name, self.issued, alternative_names, usage, ended=ended)


def _make(
    common_name: str,
    issuer: Issued | None,
    alternative_names: Sequence[str] | None,
    usage: Sequence[x509.ObjectIdentifier],
    *,
    is_authority: bool = False,
    ended: bool = False,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC) - (10 * _DAY if ended else timedelta())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    if alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names(*alternative_names)), critical=False)
    return Issued(builder.sign(key if issuer is None else issuer.key, hashes.SHA256()), key)


def client_context(certificate: Issued | None = None) -> SSL.Context:
    """A client that believes anybody, and shows ``certificate`` when it is asked for one."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if certificate is not None:
        context.use_certificate(certificate.certificate)
        context.use_privatekey(certificate.key)
    return context


def handshake(server: SSL.Context, client: SSL.Context, name: str = "") -> tuple[SSL.Connection, SSL.Connection]:
    """Server and client after a handshake in memory for which the client asked for ``name``; SSL.Error of either."""
    ends = SSL.Connection(server, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    if name:
        ends[1].set_tlsext_host_name(name.encode())
    for _ in range(4):
        for end, other in (ends[::-1], ends):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            _carry(end, other)
    return ends


def _carry(source: SSL.Connection, destination: SSL.Connection) -> None:
    try:
        destination.bio_write(source.bio_read(65536))
    except SSL.WantReadError:
        pass
