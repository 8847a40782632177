"""Where a user agent listens and how it finds its way, and what passes there."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message
from gosip_py.sip.parser import parse_message
from gosip_py.transport.addressing import Advertising
from gosip_py.transport.flow import Flow
from gosip_py.transport.layer import Listener, TransportLayer
from gosip_py.transport.tls import ContextSource, TlsTrust

__all__ = ["Network", "Trace", "listen_at"]


@attrs.frozen
class Network:
    """``listen`` has places as ``udp://127.0.0.1:5060``, with udp, tcp or tls; port 0 takes a free one.

    ``outbound_proxy`` is a SIP URI that every request goes to first, without it they go where their URI says.
    ``certificates`` are needed to listen for TLS, ``trust`` says whom TLS connections of ours believe. ``advertising``
    is the address that the world sees, ``dns_servers`` are asked in place of the system's.
    """

    listen: tuple[str, ...] = ("udp://0.0.0.0:5060",)
    outbound_proxy: str = ""
    certificates: ContextSource | None = None
    trust: TlsTrust = attrs.field(factory=TlsTrust)
    advertising: Advertising = attrs.field(factory=Advertising)
    dns_servers: tuple[str, ...] = ()


def listen_at(transport: TransportLayer, place: str, certificates: ContextSource | None) -> Listener:
    """Open one place; ValueError when it cannot be read, OSError when it cannot be had."""
    scheme, _, address = place.partition("://")
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{place} is not of the form udp://127.0.0.1:5060")
    if scheme == "udp":
        return transport.listen_udp(host, int(port))
    if scheme == "tcp":
        return transport.listen_tcp(host, int(port))
    if scheme != "tls" or certificates is None:
        raise ValueError(f"{place}: listen for udp or tcp, or for tls with certificates")
    return transport.listen_tls(host, int(port), certificates)


class Trace:
    """Tells of each message that passes a transport, True with those that are sent: a `Tap`."""

    def __init__(self, seen: Callable[[bool, Message], None]) -> None:
        self._seen = seen

    def received(self, message: Message, flow: Flow, octets: bytes) -> None:
        self._seen(False, message)

    def sent(self, octets: bytes, flow: Flow) -> None:
        if not octets.strip(b"\r\n"):
            return  # a keep-alive
        try:
            message = parse_message(octets)
        except ParseError:
            return
        self._seen(True, message)
