"""The top Via, as the transport reads and marks it (RFC 3261 18.2, RFC 3581 4)."""

from __future__ import annotations

from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import split_commas, unfold
from gosip_py.sip.headers import Via, parse_via
from gosip_py.sip.message import Request

__all__ = ["DEFAULT_PORTS", "bare_host", "mark_via", "response_address", "uri_host"]

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}  # RFC 3261 19.1.2, RFC 7118 5.5


def bare_host(host: str) -> str:
    """``host`` as sockets take it: without the brackets that an IPv6 address has in a URI."""
    return host[1:-1] if host[:1] == "[" else host


def uri_host(host: str) -> str:
    """``host`` as a URI or a Via takes it: IPv6 in brackets, without its zone, which means nothing to a peer."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host.lower()


def mark_via(request: Request, host: str, port: int) -> None:
    """Write down in the top Via that the request came from ``host`` and ``port``.

    Must come before anybody decodes the Via; ParseError when there is none that can be read. What the
    sender claims in ``received`` is overwritten.
    """
    try:
        at = request.names.index("via")
    except ValueError:
        raise ParseError("Via is missing", 0, request) from None
    line = request.lines[at]
    asked = line.find(";rport")
    is_plain = asked > 0 and line[asked + 6 : asked + 7] in ("", ";")
    # The common form is spliced without being decoded; everything else takes the long way.
    if is_plain and "received" not in line.lower() and "," not in line and '"' not in line:
        request.lines[at] = f"{line[:asked]};rport={port};received={host}{line[asked + 6 :]}"
    else:
        request.lines[at] = _mark_decoded(line, host, port)


def _mark_decoded(line: str, host: str, port: int) -> str:
    name, _, value = line.partition(":")
    values = split_commas(unfold(value))
    if not values:
        raise ParseError("Via is empty")
    via = parse_via(values[0])
    parameters = dict(via.parameters)
    parameters.pop("received", None)
    if "rport" in parameters:
        # RFC 3581 4: with rport, received is added even when it says nothing new
        parameters["rport"] = str(port)
        parameters["received"] = host
    elif bare_host(via.host).lower() != host:
        parameters["received"] = host
    values[0] = str(Via(via.transport, via.host, via.port, parameters))
    return f"{name}: {', '.join(values)}"


def response_address(via: Via) -> tuple[str, int]:
    """Where responses go by datagram, or when the connection is gone (RFC 3261 18.2.2, RFC 3581 4).

    ``maddr`` is not followed: nobody serves SIP over multicast, and it would let a sender point our answers at others.
    """
    host = via.parameters.get("received") or bare_host(via.host)
    rport = via.parameters.get("rport") or ""
    if via.transport == "UDP" and rport.isascii() and rport.isdigit() and 0 < int(rport[:6]) < 65536:
        return host, int(rport)
    return host, via.port or DEFAULT_PORTS.get(via.transport, 5060)
