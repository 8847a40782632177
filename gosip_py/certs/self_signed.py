"""A self-signed certificate for the first start, so that TLS works before anybody has a real one.

It is kept beside its key and used again, until it is about to expire or has to name something new.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CertificateFiles", "ensure_self_signed", "make_self_signed"]

_LIFETIME = timedelta(days=825)  # the most that phones and browsers accept
_RENEW_BEFORE = timedelta(days=30)
_LONGEST_COMMON_NAME = 64


@attrs.frozen
class CertificateFiles:
    """Where certificate and key are; ``is_new`` when they were just made."""

    certificate: Path
    key: Path
    is_new: bool = False


def ensure_self_signed(directory: Path, names: Iterable[str], now: datetime) -> CertificateFiles:
    """The certificate in ``directory`` that names all of ``names`` (host names and addresses), made when there is none.

    ``now`` has a time zone. OSError when the directory cannot be written.
    """
    wanted = sorted({name.lower() for name in names if name} | {"127.0.0.1", "::1", "localhost"})
    certificate, key = directory / "self-signed.pem", directory / "self-signed.key"
    if _is_usable(certificate, key, wanted, now):
        return CertificateFiles(certificate, key)
    directory.mkdir(parents=True, exist_ok=True)
    certificate_pem, key_pem = make_self_signed(wanted, now)
    _write(key, key_pem, 0o600)
    _write(certificate, certificate_pem, 0o644)
    return CertificateFiles(certificate, key, True)


def make_self_signed(names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """Certificate and key as PEM: EC P-256, naming ``names`` as its alternative names."""
    listed = [_general_name(name) for name in names]
    key = ec.generate_private_key(ec.SECP256R1())
    first = next((str(name.value) for name in listed if isinstance(name, x509.DNSName)), "gosip")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, first[:_LONGEST_COMMON_NAME])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of phones are behind
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(listed), critical=False)
        # RFC 5280 4.2.1.9: path length 0, so that it can be installed as trusted and still vouch for nothing else
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _is_usable(certificate: Path, key: Path, wanted: list[str], now: datetime) -> bool:
    try:
        known = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        named = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    if private.public_key() != known.public_key() or known.not_valid_after_utc - now < _RENEW_BEFORE:
        return False
    return all(_general_name(name) in named for name in wanted)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace ``path`` in one step; nobody else can read the content at any moment when ``mode`` forbids it."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
