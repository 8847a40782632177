"""Opens the sockets: SIP listeners with their certificates, and what every listener has in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from twisted.logger import Logger

from gosip_py.certs.self_signed import ensure_self_signed
from gosip_py.certs.store import CertificateStore, CertificateUnusable
from gosip_py.config import parse_listen
from gosip_py.service.ground import Ground, StartFailed
from gosip_py.transport.layer import TransportLayer
from gosip_py.web.system import Certificate

__all__ = ["SipListeners", "bind"]

T = TypeVar("T")


def bind(text: str, listen: Callable[[str, int], T]) -> T:
    """Listen at ``address:port``; StartFailed names the address when it cannot be had."""
    host, port = parse_listen(text)
    try:
        return listen(host, port)
    except Exception as error:
        # Twisted wraps the OSError of a port that is taken into an exception of its own.
        raise StartFailed(f"cannot listen on {text}: {getattr(error, 'socketError', error)}") from error


class SipListeners:
    """The SIP sockets of the settings."""

    log = Logger()

    def __init__(self, ground: Ground, transport: TransportLayer, domain: str) -> None:
        self._ground = ground
        self._transport = transport
        self._domain = domain
        self.certificates: CertificateStore | None = None

    def open(self) -> None:
        """Listen everywhere; StartFailed or CertificateUnusable when that cannot be."""
        sip, transport = self._ground.settings.sip, self._transport
        for listens, listen in ((sip.udp, transport.listen_udp), (sip.tcp, transport.listen_tcp)):
            for text in listens:
                bind(text, listen)
        if sip.tls:
            certificates = self.certificates = self._open_certificates()
            for text in sip.tls:
                bind(text, lambda host, port: transport.listen_tls(host, port, certificates))

    @property
    def are_complete(self) -> bool:
        """Whether every socket that was asked for is there."""
        sip = self._ground.settings.sip
        return len(self._transport.ports()) == len(sip.udp) + len(sip.tcp) + len(sip.tls)

    def _open_certificates(self) -> CertificateStore:
        sip = self._ground.settings.sip
        if sip.tls_certificate:
            return CertificateStore(Path(sip.tls_certificate), Path(sip.tls_private_key))
        names = [self._domain, sip.advertised_address, *(parse_listen(text)[0] for text in sip.tls)]
        files = ensure_self_signed(self._ground.data_dir / "certs", names, datetime.now(UTC))
        return CertificateStore(files.certificate, files.key)

    def reload(self) -> None:
        """Read the certificate again; one that cannot be used leaves the old one in place."""
        if self.certificates is None:
            return
        try:
            is_new = self.certificates.reload()
            self.log.info("certificate read again: {state}", state="a new one" if is_new else "unchanged")
        except CertificateUnusable as error:
            self.log.error("the certificate stays as it was: {reason}", reason=str(error))

    def certificate(self) -> Certificate | None:
        """What TLS peers are shown, None without TLS."""
        store = self.certificates
        if store is None:
            return None
        return Certificate(store.subject, store.expires_at.timestamp(), store.is_self_signed)

    def announce(self) -> None:
        """One line for each address, and what TLS shows."""
        for port in self._transport.ports():
            self.log.info("listening on {listener}", listener=str(port))
        store = self.certificates
        if store is not None and store.is_self_signed:
            self.log.info("TLS shows a self-signed certificate, SHA-256 {fingerprint}", fingerprint=store.fingerprint)
