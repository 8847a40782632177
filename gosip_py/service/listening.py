"""Opens the sockets: SIP listeners with their certificates, and what every listener has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from twisted.logger import Logger

from gosip_py.certs.self_signed import ensure_self_signed
from gosip_py.certs.store import CertificateStore, CertificateUnusable, ClientAuthorities
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
        self._asked = 0
        self.certificates: CertificateStore | None = None

    def open(self) -> None:
        """Listen everywhere; StartFailed or CertificateUnusable when that cannot be."""
        sip, transport = self._ground.settings.sip, self._transport
        origins = sip.ws_origins
        self._listen(sip.udp, transport.listen_udp)
        self._listen(sip.tcp, transport.listen_tcp)
        self._listen(sip.ws, lambda host, port: transport.listen_ws(host, port, origins))
        if sip.tls or sip.wss:
            certificates = self.certificates = self._open_certificates()
            self._listen(sip.tls, lambda host, port: transport.listen_tls(host, port, certificates))
            # Browsers would ask their users which certificate to show.
            browsers = certificates.anonymous
            self._listen(sip.wss, lambda host, port: transport.listen_wss(host, port, browsers, origins))

    def _listen(self, texts: Iterable[str], listen: Callable[[str, int], object]) -> None:
        for text in texts:
            bind(text, listen)
            self._asked += 1

    @property
    def are_complete(self) -> bool:
        """Whether every socket that was asked for is there."""
        return len(self._transport.ports()) == self._asked

    def _open_certificates(self) -> CertificateStore:
        sip = self._ground.settings.sip
        others = [(Path(certificate), Path(key)) for certificate, key in sip.tls_certificates]
        clients = ClientAuthorities(Path(sip.tls_client_ca), sip.tls_client_required) if sip.tls_client_ca else None
        if sip.tls_certificate:
            return CertificateStore(Path(sip.tls_certificate), Path(sip.tls_private_key), others, clients)
        names = [self._domain, sip.advertised_address, *(parse_listen(text)[0] for text in (*sip.tls, *sip.wss))]
        files = ensure_self_signed(self._ground.data_dir / "certs", names, datetime.now(UTC))
        return CertificateStore(files.certificate, files.key, others, clients)

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
