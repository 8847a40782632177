"""A dialog as one phone knows it, and the requests within it (RFC 3261 12).

Route sets are taken to consist of loose routers, as ours is.
"""

from __future__ import annotations

import attrs

from gosip_py.sip.headers import Address
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.uri import parse_uri
from gosip_py.transport.flow import Target
from gosip_py.transport.resolve import target_of

__all__ = ["Dialog", "new_request"]


def new_request(method: str, uri: str, from_: Address, to: Address, call_id: str, number: int) -> Request:
    """A request with all that is mandatory but the Via, which is put on top when it is sent (RFC 3261 8.1.1)."""
    request = Request(method, uri, [], [])
    request.add("max-forwards", "70")
    request.add("from", str(from_))
    request.add("to", str(to))
    request.add("call-id", call_id)
    request.add("cseq", f"{number} {method}")
    request.set_body(b"")
    return request


@attrs.frozen
class Dialog:
    """``local`` and ``remote`` carry the tags, ``routes`` are Route values in the order of travel."""

    call_id: str
    local: Address
    remote: Address
    remote_target: str
    routes: tuple[str, ...]

    @classmethod
    def of_caller(cls, response: Response) -> Dialog:
        """What a 2xx to our INVITE makes (12.1.2); ParseError when it has no Contact."""
        routes = tuple(reversed(response.values("record-route")))
        return cls(response.call_id, response.from_, response.to, _contact_of(response), routes)

    @classmethod
    def of_callee(cls, request: Request, tag: str) -> Dialog:
        """What answering this INVITE with our ``tag`` makes (12.1.1); ParseError when it has no Contact."""
        local = attrs.evolve(request.to, parameters={"tag": tag})
        routes = tuple(request.values("record-route"))
        return cls(request.call_id, local, request.from_, _contact_of(request), routes)

    @property
    def id(self) -> tuple[str, str, str]:
        """Call-ID, local tag and remote tag, which together name a dialog (12)."""
        return self.call_id, self.local.tag, self.remote.tag

    @property
    def next_hop(self) -> Target:
        """Where requests within the dialog are sent: the first route, without one the other phone itself."""
        first = self.routes[0] if self.routes else f"<{self.remote_target}>"
        return target_of(parse_uri(first[first.index("<") + 1 : first.index(">")]))

    def request(self, method: str, number: int) -> Request:
        """A request within the dialog (12.2.1.1) with this CSeq number."""
        request = new_request(method, self.remote_target, self.local, self.remote, self.call_id, number)
        for route in self.routes:
            request.add("route", route)
        return request


def _contact_of(message: Message) -> str:
    message.require("contact")
    return message.addresses("contact")[0].uri_text
