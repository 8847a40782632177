"""The dialog in which a subscription lives, as its notifier keeps it (RFC 3261 12, RFC 5057)."""

from __future__ import annotations

from collections.abc import Iterable

from gosip_py.proxy.route import ProxyTarget, aim
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.headers import Address, parse_address
from gosip_py.sip.message import Request
from gosip_py.sip.uri import Uri, parse_uri
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.reach import is_at_source
from gosip_py.transport.resolve import target_of

__all__ = ["DialogId", "DialogUsage", "dialog_id"]

DialogId = tuple[str, str, str]
"""Call-ID, our tag, the tag of the other side."""


def dialog_id(request: Request) -> DialogId:
    """That of a request which came to us. ParseError when From or To cannot be read."""
    return request.call_id, request.to_tag, request.from_tag


class DialogUsage:
    """What a request to the subscriber needs, and what one from the subscriber is checked against.

    ``flow`` is where the subscriber was heard when nobody stands between us, None otherwise and when that flow is gone:
    a phone behind a NAT is reached no other way. ``contact`` is our own, in angle brackets. ParseError when the
    SUBSCRIBE has not exactly one Contact that can be called, or a Record-Route that cannot be read.
    """

    __slots__ = ("_cseq", "_local", "_remote", "_routes", "contact", "flow", "id", "remote_cseq", "target_uri")

    def __init__(self, subscribe: Request, flow: Flow, tag: str) -> None:
        self.id: DialogId = (subscribe.call_id, tag, subscribe.from_tag)
        self.remote_cseq = subscribe.cseq.number
        self._cseq = 0
        self._local = f"{subscribe.require('to')};tag={tag}"
        self._remote = subscribe.require("from")
        # 12.1.1: the route set of a UAS is in the order of the request
        self._routes = tuple(subscribe.values("record-route"))
        for value in self._routes:
            parse_address(value).uri  # noqa: B018 - decoding is the check
        self.contact = _contact_at(flow, subscribe.uri)
        self.target_uri = ""
        self.flow: Flow | None = None
        self.refresh(subscribe, flow)

    def refresh(self, subscribe: Request, flow: Flow) -> None:
        """Take over the remote target of a SUBSCRIBE (12.2.2), and the flow that it came on."""
        contact = _contact_of(subscribe)
        self.target_uri = contact.uri_text
        is_direct = not self._routes and len(subscribe.values("via")) == 1
        self.flow = flow if is_direct and is_at_source(contact.uri, subscribe.top_via, flow, False) else None

    def compose(
        self, method: str, headers: Iterable[tuple[str, str]], body: bytes, content_type: str
    ) -> tuple[Request, Target]:
        """The next request of ours in this dialog, and where it goes (12.2.1.1).

        ParseError when the remote target is none that we can send to.
        """
        self._cseq += 1
        request = compose(
            method,
            self.target_uri,
            from_=self._local,
            to=self._remote,
            call_id=self.id[0],
            cseq=self._cseq,
            headers=(("contact", self.contact), *headers),
            body=body,
            content_type=content_type,
        )
        return request, aim(request, ProxyTarget(self.target_uri, self._target(), self._routes))

    def _target(self) -> Target:
        flow = self.flow
        if flow is not None and flow.is_open:
            return Target(flow.transport, flow.remote[0], flow.remote[1], flow)
        return target_of(parse_uri(self.target_uri))


def _contact_of(subscribe: Request) -> Address:
    """The one Contact of a request that makes or refreshes a dialog (8.1.1.8)."""
    values = subscribe.values("contact")
    if len(values) != 1:
        raise ParseError("send exactly one Contact: the NOTIFY requests go there")
    contact = parse_address(values[0])
    if contact.uri.scheme == "tel":
        raise ParseError("the Contact must be a sip or sips URI")
    return contact


def _contact_at(flow: Flow, asked: Uri) -> str:
    """Our Contact towards the peer of this flow: the socket that it speaks to.

    12.1.1: for a request to a sips URI it is one as well.
    """
    if asked.is_secure:
        return f"<sips:{flow.sent_by}>"
    return flow.record_route.replace(";lr", "")
