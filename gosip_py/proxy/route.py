"""Where a request goes next and what it must carry on the way (RFC 3261 16.4, 16.6, RFC 5658).

Functions over messages: routes of ours are taken off, hop counts go down, Record-Route is put on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from gosip_py.proxy.flow_token import FlowTokens, is_token
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.headers import parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import Uri
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = [
    "DIALOG_FORMING",
    "TARGET_REFRESH",
    "ProxyTarget",
    "RouteRecorder",
    "aim",
    "has_hops_left",
    "next_hop",
    "record_route",
    "take_routes",
]

DEFAULT_MAX_FORWARDS = 70

_METHOD = re.compile(r";method=[^;?]*+")

# NOTIFY because RFC 6665 4.3 demands it of whoever records the route of a SUBSCRIBE
DIALOG_FORMING = frozenset(("INVITE", "NOTIFY", "REFER", "SUBSCRIBE", "UPDATE"))

# Requests that may bring a new remote target (RFC 3261 12.2, RFC 3311 5.1)
TARGET_REFRESH = frozenset(("INVITE", "UPDATE"))

IsOurs = Callable[[Uri], bool]


@attrs.frozen(slots=False)  # as Target
class ProxyTarget:
    """One member of a target set (RFC 3261 16.5).

    ``uri_text`` is the Request-URI to write, ``target`` where it lives, ``path`` the Route values on the way, ``q`` in
    thousandths. ``is_direct`` says that nobody stands between us and the phone, ``stays_on_flow`` that later requests
    of a dialog reach it by that very flow only. ``fallbacks`` are other flows of the same phone, to be tried one after
    the other when this one fails (RFC 5626 7).
    """

    uri_text: str
    target: Target
    path: tuple[str, ...] = ()
    q: int = 1000
    is_direct: bool = False
    stays_on_flow: bool = False
    fallbacks: tuple[ProxyTarget, ...] = ()


def take_routes(request: Request, arrived_on: Flow, is_ours: IsOurs) -> bool:
    """Undo strict routing and take off the Route values that name us (16.4). Whether one of ours was there.

    When the last of them bears a flow token it stays, for it says where the request goes on: see `FlowTokens.take`.
    Changes ``request``: hand in a copy. ParseError when a Route cannot be read.
    """
    if "route" not in request.names:
        return False
    if ";lr" in request.uri_text and is_ours(request.uri):
        _undo_strict_route(request)
    found, onward = False, ""
    while "route" in request.names:
        value = request.require("route")
        first = value.partition(",")[0] if '"' not in value else value
        if first == arrived_on.record_route:
            onward = ""
        else:
            route = parse_address(request.first("route"))
            if not is_ours(route.uri):
                break
            onward = route.uri_text if is_token(route.uri.user) else ""
        request.pop_value("route")
        found = True
    if onward:
        request.prepend("route", f"<{onward}>")
    return found


def _undo_strict_route(request: Request) -> None:
    """A strict router put our Record-Route into the Request-URI and the remote target at the end of Route (16.4).

    Ours becomes a Route again: a flow token may stand in it.
    """
    routes = [f"<{request.uri_text}>", *request.values("route")]
    request.set_uri(parse_address(routes.pop()).uri_text)
    request.remove("route")
    for value in reversed(routes):
        request.prepend("route", value)


def next_hop(request: Request) -> Uri:
    """The URI whose host is asked next: the first Route, else the Request-URI (16.6 item 6).

    ParseError when it cannot be read.
    """
    if "route" in request.names:
        return parse_address(request.first("route")).uri
    return request.uri


def has_hops_left(request: Request) -> bool:
    """Whether it may be forwarded once more (16.3 item 3). ParseError when Max-Forwards is no number."""
    value = request.value("max-forwards")
    return value is None or parse_digits(value, "Max-Forwards", 255) > 0


def aim(copy: Request, target: ProxyTarget) -> Target:
    """Make ``copy`` the request for one target: Request-URI, hop count and Path (16.6 items 2, 3, 6, RFC 3327 5.3).

    Gives where it goes first. ParseError when Max-Forwards or the first Route cannot be read.
    """
    if target.uri_text != copy.uri_text:
        copy.set_uri(_without_headers(target.uri_text))
    _count_down(copy)
    for value in reversed(target.path):
        copy.prepend("route", value)
    if "route" not in copy.names:
        return target.target
    hop = next_hop(copy)
    if "lr" not in hop.parameters:
        _route_strictly(copy)
    return attrs.evolve(target_of(hop), flow=target.target.flow)


def _without_headers(uri_text: str) -> str:
    """What of a contact may stand in a Request-URI: neither headers nor a method (16.6 item 2, 19.1.1)."""
    if "?" not in uri_text and ";method=" not in uri_text:
        return uri_text
    before, at, after = uri_text.partition("@")  # both may stand in the user, where they mean something else
    user, rest = (before + at, after) if at else ("", before)
    return user + _METHOD.sub("", rest.partition("?")[0])


def _count_down(copy: Request) -> None:
    names, lines = copy.names, copy.lines
    if "max-forwards" in names:
        at = names.index("max-forwards")
        if lines[at] == "Max-Forwards: 70":  # of nearly every request that comes from a phone
            lines[at] = "Max-Forwards: 69"
            return
        left = parse_digits(lines[at].partition(":")[2].strip(" \t\r\n"), "Max-Forwards", 255)
        lines[at] = f"Max-Forwards: {left - 1}"
    else:
        copy.add("max-forwards", str(DEFAULT_MAX_FORWARDS))


def _route_strictly(copy: Request) -> None:
    """The next router is one of RFC 2543: its URI goes into the request line, and ours to the end (16.6 item 6)."""
    hop = parse_address(copy.pop_value("route") or "").uri_text
    copy.add("route", f"<{copy.uri_text}>")
    copy.set_uri(hop)


def record_route(copy: Request, arrived_on: Flow, leaves_on: Flow) -> None:
    """Stay in the path of the dialog's later requests (16.6 item 4).

    On both sides when the sockets differ (RFC 5658 3).
    """
    at = copy.names.index("record-route") if "record-route" in copy.names else 0
    if leaves_on.record_route != arrived_on.record_route:
        copy.names.insert(at, "record-route")
        copy.lines.insert(at, f"Record-Route: {arrived_on.record_route}")
    copy.names.insert(at, "record-route")
    copy.lines.insert(at, f"Record-Route: {leaves_on.record_route}")


class RouteRecorder:
    """Puts on the Record-Route values of a request that forms a dialog.

    ``caller_stays`` says that the sender is reached by the flow it came on and no other way. When either side is such,
    each gets a value of its own: the last that a later request brings back is that of the side it goes to.
    """

    __slots__ = ("_caller_stays", "_tokens")

    def __init__(self, tokens: FlowTokens, caller_stays: bool) -> None:
        self._tokens = tokens
        self._caller_stays = caller_stays

    def record(self, copy: Request, arrived_on: Flow, leaves_on: Flow, stays_on_flow: bool) -> None:
        """``stays_on_flow``: as in the target that ``copy`` goes to."""
        if not (self._caller_stays or stays_on_flow):
            record_route(copy, arrived_on, leaves_on)
            return
        arrival = self._tokens.route(arrived_on) if self._caller_stays else arrived_on.record_route
        departure = self._tokens.route(leaves_on) if stays_on_flow else leaves_on.record_route
        at = copy.names.index("record-route") if "record-route" in copy.names else 0
        copy.names[at:at] = ("record-route", "record-route")
        copy.lines[at:at] = (f"Record-Route: {departure}", f"Record-Route: {arrival}")
