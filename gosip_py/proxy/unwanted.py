"""ACK and BYE for a 2xx that nobody wants: the caller got another final response, or is gone (RFC 3261 13.2.2.4).

It is what a UAC does whose CANCEL came too late. Here the proxy does it, since the caller will never hear of this
dialog.
"""

from __future__ import annotations

import attrs

from gosip_py.proxy.route import ProxyTarget, aim
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.sending import Errand, Sender
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = ["Unwanted"]

# Forks of one branch that are told; of a phone that sends more nobody knows what it is.
_MOST_FORKS = 16
# 22.3: the ACK bears the credentials of its INVITE.
_CREDENTIALS = ("authorization", "proxy-authorization")


class Unwanted:
    """The 2xx responses to ``invite``, as it was sent, that are turned down. ``flow`` leads to the phone, if known."""

    __slots__ = ("_acks", "_flow", "_invite", "_sender")

    def __init__(self, sender: Sender, invite: Request, flow: Flow | None) -> None:
        self._sender = sender
        self._invite = invite
        self._flow = flow
        self._acks: dict[str, tuple[Request, Target]] = {}  # by To tag: a repeated 2xx wants its ACK again

    def turn_down(self, response: Response, reason: str) -> None:
        """Acknowledge ``response``, and hang up if it is the first of its dialog. ``reason`` is that of the BYE.

        The dialog of a re-INVITE was there before, and both phones go on with it (14.1): it is acknowledged only.
        """
        tag = response.to_tag
        known = self._acks.get(tag)
        if known is None and len(self._acks) < _MOST_FORKS:
            try:
                known = self._acks[tag] = self._request(response, "ACK")
                self._acknowledge(*known)
                if not self._invite.to_tag:
                    self._hang_up(response, reason)
            except ParseError:
                return  # it says nowhere that can be read where its sender is
        elif known is not None:
            self._acknowledge(*known)

    def _hang_up(self, response: Response, reason: str) -> None:
        bye, where = self._request(response, "BYE")
        bye.add("reason", reason)
        Errand(self._sender, bye, where, _ignore).send()

    def _acknowledge(self, ack: Request, where: Target) -> None:
        self._sender.send_stateless(ack.copy(), where)

    def _request(self, response: Response, method: str) -> tuple[Request, Target]:
        """A request in the dialog that ``response`` began, as from us, and where it goes (12.2.1.1)."""
        invite = self._invite
        routes = response.values("record-route")
        # Those that the request had when it left here lead back past us, to the caller.
        beyond = routes[: max(0, len(routes) - len(invite.values("record-route")))]
        headers = [("route", value) for value in reversed(beyond)]
        if method == "ACK":
            headers += [(name, value) for name in _CREDENTIALS for value in invite.values(name)]
        request = compose(
            method,
            _contact_of(response),
            from_=invite.require("from"),
            to=response.require("to"),
            call_id=invite.call_id,
            cseq=invite.cseq.number + (method == "BYE"),
            headers=headers,
        )
        where = attrs.evolve(target_of(request.uri), flow=self._flow)
        return request, aim(request, ProxyTarget(request.uri_text, where))


def _contact_of(response: Response) -> str:
    addresses = response.addresses("contact")
    if not addresses:
        raise ParseError("a 2xx to an INVITE must have a Contact")
    return addresses[0].uri_text


def _ignore(response: Response | None) -> None:
    """Whatever answers this BYE, the dialog is over (15.1.1)."""
