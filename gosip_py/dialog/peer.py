"""The other side of a dialog: who it is, where it is reached, and how far its requests have come (RFC 3261 12).

An INVITE of ours that is forked on its way has as many other sides as answer it, each with a tag of its own.
"""

from __future__ import annotations

from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address, parse_address
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.reach import is_at_source
from gosip_py.transport.resolve import target_of

__all__ = ["Peer", "is_first_hand"]

_MOST_ROUTES = 32


class Peer:
    """One other side.

    ``address`` is its From or To value with its ``tag``, ``target_uri`` the remote target, ``routes`` the route set in
    the order of Route, ``number`` the highest CSeq of its requests, 0 before the first. ``flow`` is where it was heard
    when nobody stands between us, None otherwise: a phone behind a NAT is reached no other way.
    """

    __slots__ = (
        "_contact_line",
        "_hop",
        "address",
        "flow",
        "number",
        "request_uri",
        "route_lines",
        "routes",
        "tag",
        "target_uri",
    )

    def __init__(
        self, address: str, tag: str, target_uri: str, routes: tuple[str, ...], flow: Flow | None, number: int = 0
    ) -> None:
        self.address = address
        self.tag = tag
        self.routes = routes
        self.flow = flow
        self.number = number
        self.aim(target_uri)

    @classmethod
    def of_request(cls, request: Request, flow: Flow) -> Peer:
        """Whoever sent this INVITE (12.1.1). ParseError when no request could be sent back."""
        contact = _read_contact(request)
        routes = _record_routes(request)
        is_direct = (
            not routes and is_first_hand(request) and is_at_source(contact.uri, request.top_via, flow, has_path=False)
        )
        return cls(
            request.require("from"),
            request.from_tag,
            contact.uri_text,
            routes,
            flow if is_direct else None,
            request.cseq.number,
        )

    @classmethod
    def of_response(cls, response: Response, flow: Flow | None, asked: str) -> Peer:
        """Whoever answered an INVITE of ours for the URI ``asked`` (12.1.2), over ``flow`` if that leads to them.

        Without a Contact that can be read they are called as before. ParseError when a Record-Route cannot be read.
        """
        routes = _record_routes(response)[::-1]
        target = contact_of(response) or asked
        return cls(response.require("to"), response.to_tag, target, routes, None if routes else flow)

    def aim(self, target_uri: str) -> None:
        """Take over a remote target (12.2): what a request to it is made of. ParseError when a route cannot be read."""
        self.target_uri = target_uri
        self._contact_line = f"Contact: <{target_uri}>"  # as most phones write it
        self._hop: Target | None = None
        routes = self.routes
        if routes and "lr" not in parse_address(routes[0]).uri.parameters:
            # 12.2.1.1: a strict router wants itself in the request line, and the target last
            self.request_uri = parse_address(routes[0]).uri_text
            routes = (*routes[1:], f"<{target_uri}>")
        else:
            self.request_uri = target_uri
        self.route_lines = tuple([f"Route: {route}" for route in routes])

    def move(self, message: Message) -> None:
        """Take over the Contact of a target refresh, or of the 2xx to one, if it has one that can be read."""
        names = message.names
        if names.count("contact") == 1 and message.lines[names.index("contact")] == self._contact_line:
            return
        contact = contact_of(message)
        if contact and contact != self.target_uri:
            self.aim(contact)

    def heard(self, request: Request, flow: Flow) -> None:
        """A target refresh came (12.2.2), perhaps from another place than before."""
        self.move(request)
        if self.flow is not None and self.flow is not flow and is_first_hand(request):
            self.flow = flow
            self._hop = None

    @property
    def hop(self) -> Target:
        """Where requests to it are sent. ParseError when its target names nobody that can be asked."""
        flow = self.flow
        hop = self._hop
        if hop is not None and hop.flow is flow and (flow is None or flow.is_open):
            return hop
        if flow is not None and flow.is_open:
            hop = Target(flow.transport, flow.remote[0], flow.remote[1], flow)
        elif self.routes:
            hop = target_of(parse_address(self.routes[0]).uri)
        else:
            hop = target_of(parse_uri(self.target_uri))
        self._hop = hop
        return hop


def is_first_hand(request: Request) -> bool:
    """Whether nobody forwarded it."""
    names = request.names
    return names.count("via") == 1 and "," not in request.lines[names.index("via")]


def contact_of(message: Message) -> str:
    """The URI of the one Contact of a message, empty when there is none that a request could be sent to."""
    try:
        return _read_contact(message).uri_text
    except ParseError:
        return ""


def _read_contact(message: Message) -> Address:
    contact = parse_address(_only_contact(message))
    uri = contact.uri
    if uri.scheme == "tel" or uri.headers:
        # 19.1.1, table 1: no Request-URI has headers
        raise ParseError("the Contact must be a sip or sips URI without headers")
    return contact


def _only_contact(message: Message) -> str:
    """8.1.1.8: exactly one."""
    names = message.names
    if names.count("contact") == 1 and "," not in (value := message.require("contact")):
        return value
    values = message.values("contact")
    if len(values) != 1:
        raise ParseError("send exactly one Contact: the requests within the dialog go there")
    return values[0]


def _record_routes(message: Message) -> tuple[str, ...]:
    if "record-route" not in message.names:
        return ()
    values = tuple(message.values("record-route"))
    if len(values) > _MOST_ROUTES:
        raise ParseError("there are too many Record-Route values")
    for value in values:
        parse_address(value).uri  # noqa: B018 - decoding is the check
    return values
