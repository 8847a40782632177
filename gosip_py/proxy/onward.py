"""Where a request within a dialog goes next (RFC 3261 12.2, 16.4, RFC 5626 5.3, RFC 5627 6.1).

By its Route, which may name the flow of a phone; to the phone that a GRUU stands for; or to the remote target, on the
flow on which that phone was heard.
"""

from __future__ import annotations

from collections.abc import Callable

from gosip_py.proxy.dialog import Session
from gosip_py.proxy.flow_token import FlowTokens
from gosip_py.proxy.route import IsOurs, ProxyTarget, next_hop
from gosip_py.sip.message import Request
from gosip_py.sip.uri import Uri, parse_uri
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = ["Dereference", "Onward", "along"]

Dereference = Callable[[Uri], ProxyTarget | Refusal | None]
"""The phone that a GRUU of ours stands for, or why there is none; None for any other URI."""

_FLOW_FAILED = 430


def along(flow: Flow) -> Target:
    """The target at the other end of ``flow``."""
    return Target(flow.transport, flow.remote[0], flow.remote[1], flow)


class Onward:
    """``is_ours`` tells whether a URI is an address of ours, ``dereference`` what a GRUU stands for."""

    def __init__(self, tokens: FlowTokens, is_ours: IsOurs, dereference: Dereference | None) -> None:
        self._tokens = tokens
        self._is_ours = is_ours
        self._dereference = dereference

    def target(self, copy: Request, session: Session | None, arrived_on: Flow) -> ProxyTarget | Refusal:
        """Where ``copy``, from which our Routes are off but for a flow token, goes.

        Takes off the token. ParseError when a Route or the Request-URI cannot be read.
        """
        named: Flow | Refusal | None = None
        if "route" in copy.names:
            named = self._tokens.take(copy, arrived_on)
            if isinstance(named, Refusal) and (named.status != _FLOW_FAILED or "route" in copy.names):
                return named
            if "route" in copy.names:
                where = along(named) if isinstance(named, Flow) else target_of(next_hop(copy))
                return ProxyTarget(copy.uri_text, where)
        if self._dereference is not None and ";gr" in copy.uri_text:
            found = self._dereference(copy.uri)
            if found is not None:
                return found
        known = None if session is None else self._remote_target(copy, session)
        if known is None or named is not None:
            return _by_flow(copy, known, named)
        return known

    def _remote_target(self, copy: Request, session: Session) -> ProxyTarget:
        """On the flow of its phone: one behind a NAT is reached no other way."""
        receiver = session.sides(copy.from_tag)[1]
        uri_text, uri = copy.uri_text, copy.uri
        if uri_text != receiver.contact and receiver.contact and self._is_ours(uri):
            # Some send to our address and not to the remote target (12.2.1.1); the dialog tells whom they mean.
            uri_text, uri = receiver.contact, parse_uri(receiver.contact)
        flow = receiver.flow if uri_text == receiver.contact else None
        return ProxyTarget(uri_text, target_of(uri, flow=flow))


def _by_flow(copy: Request, known: ProxyTarget | None, named: Flow | Refusal | None) -> ProxyTarget | Refusal:
    """On the flow that a token named, unless the dialog knows one that its phone was heard on since."""
    if known is not None and known.target.flow is not None and known.target.flow.is_open:
        return known
    if isinstance(named, Refusal):
        return named
    return ProxyTarget(copy.uri_text, target_of(copy.uri) if named is None else along(named))
