"""The server itself: its version, its sockets, its certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from gosip_py import __version__
from gosip_py.web.endpoint import Call, One, endpoint
from gosip_py.web.shapes import IsoTime, Nothing, View

__all__ = ["Certificate", "Listener", "System", "SystemResource", "SystemView"]


@attrs.frozen
class Listener:
    """A socket that takes traffic; `transport` is UDP, TCP, TLS or HTTP."""

    transport: str
    address: str
    port: int


@attrs.frozen
class Certificate:
    """What TLS peers are shown; `expires_at` is in epoch seconds."""

    subject: str
    expires_at: float
    is_self_signed: bool


class System(Protocol):
    """What the server knows of itself."""

    def listeners(self) -> Sequence[Listener]:
        """Every listening socket, with the port it really has."""
        ...

    def certificate(self) -> Certificate | None:
        """The certificate of the TLS sockets, None when there are none."""
        ...


class ListenerView(View):
    """A socket that takes traffic."""

    transport: str
    address: str
    port: int


class CertificateView(View):
    """What TLS peers are shown."""

    subject: str
    expires_at: IsoTime
    is_self_signed: bool


class SystemView(View):
    """The server; `uptime` is in seconds."""

    version: str
    started_at: IsoTime
    uptime: int
    domain: str
    realm: str
    listening: list[ListenerView]
    certificate: CertificateView | None


class SystemResource:
    """Its status. `started_at` is in epoch seconds."""

    def __init__(self, system: System, started_at: float, domain: str, realm: str) -> None:
        self._system = system
        self._started_at = started_at
        self._domain = domain
        self._realm = realm

    @endpoint("GET", "/api/system")
    async def get(self, call: Call[Nothing, Nothing]) -> One[SystemView]:
        """What runs here, since when and where."""
        return One(self.describe(call.now))

    def describe(self, now: float) -> SystemView:
        """What runs here."""
        certificate = self._system.certificate()
        return SystemView(
            version=__version__,
            started_at=self._started_at,
            uptime=int(max(0, now - self._started_at)),
            domain=self._domain,
            realm=self._realm,
            listening=[ListenerView.model_validate(listener) for listener in self._system.listeners()],
            certificate=CertificateView.model_validate(certificate) if certificate else None,
        )
