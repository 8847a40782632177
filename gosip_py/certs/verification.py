"""Why the certificate of a TLS peer was not believed.

OpenSSL says so in a callback in the midst of the handshake and forgets it: it is kept beside the connection until
somebody reports that the handshake failed.
"""

from __future__ import annotations

import attrs
from OpenSSL import SSL
from OpenSSL.crypto import X509

__all__ = ["Inspection", "note_fault"]

_CODES = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(SSL.X509VerificationCodes).items()
    if isinstance(code, int)
}


@attrs.define
class Inspection:
    """What belongs to one TLS connection: the attribute ``inspection`` of its application data.

    ``domain`` is the name or numeric address that the peer must prove, None when we are the server, and
    ``allow_wildcards`` whether a certificate for everything below a domain proves it; ``fault`` is what verification
    saw wrong with the certificate.
    """

    domain: str | None = None
    allow_wildcards: bool = False
    fault: str = ""


def note_fault(connection: SSL.Connection, certificate: X509, code: int, depth: int, is_fine: int) -> bool:
    """The verification callback: OpenSSL's own verdict stands, and its reason is kept."""
    inspection = getattr(connection.get_app_data(), "inspection", None)
    if not is_fine and isinstance(inspection, Inspection):
        whose = "its certificate" if depth == 0 else "an issuer of its certificate"
        inspection.fault = f"{whose}: {_CODES.get(code, f'error {code}')}"
    return bool(is_fine)
