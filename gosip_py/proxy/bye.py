"""Hanging up on both sides of a dialog that passes through us.

To each party the BYE looks like one of the other: the dialog's ids, the other's address in From, a CSeq above all that
came from there. It goes the way that the other's requests went from here on.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gosip_py.proxy.dialog import Party, Session
from gosip_py.proxy.onward import Dereference
from gosip_py.proxy.route import IsOurs, ProxyTarget, aim
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason
from gosip_py.sip.headers import parse_address
from gosip_py.sip.message import Request, Response
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.sending import Errand, Sender
from gosip_py.transport.resolve import target_of

__all__ = ["ByeBothWays", "bye", "routes_beyond"]

_LARGEST_CSEQ = 2**31 - 1  # RFC 3261 8.1.1.5


class ByeBothWays:
    """The farewell of the sessions.

    ``is_ours`` tells whether a Record-Route value names this server, ``dereference`` which phone a GRUU stands for.

    RFC 4028 8.3 has a proxy that counts expired sessions keep silent, for both phones hang up by themselves. Where one
    of them vanished and the other does not know the timer it never would: so they are told, after a time of grace in
    which whoever knows the timer has done so.
    """

    def __init__(self, sender: Sender, is_ours: IsOurs, dereference: Dereference | None = None) -> None:
        self._sender = sender
        self._is_ours = is_ours
        self._dereference = dereference

    def say(self, session: Session, reason: Reason, then: Callable[[], None]) -> None:
        """Send both; ``then`` is called once neither is waited for any more, whatever was answered."""
        waiting = 2

        def answered(response: Response | None) -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                then()

        to_caller, to_callee = routes_beyond(session.route_set, self._is_ours)
        self._send(session, session.caller, to_caller, reason, answered)
        self._send(session, session.callee, to_callee, reason, answered)

    def _send(
        self,
        session: Session,
        receiver: Party,
        routes: tuple[str, ...],
        reason: Reason,
        then: Callable[[Response | None], None],
    ) -> None:
        request = bye(session, receiver, reason)
        try:
            where = aim(request, self._target(receiver, routes))
        except ParseError:
            then(None)  # it never said where it can be reached
        else:
            Errand(self._sender, request, where, then).send()

    def _target(self, receiver: Party, routes: tuple[str, ...]) -> ProxyTarget:
        """The next hop, or the phone itself; ParseError when either cannot be read."""
        uri = parse_uri(receiver.contact)
        if routes:
            return ProxyTarget(receiver.contact, target_of(parse_address(routes[0]).uri), routes)
        if "gr" in uri.parameters and self._dereference is not None:
            found = self._dereference(uri)
            if isinstance(found, ProxyTarget):
                return found
        return ProxyTarget(receiver.contact, attrs.evolve(target_of(uri), flow=receiver.flow))


def bye(session: Session, receiver: Party, reason: Reason) -> Request:
    """The BYE that the other party of ``session`` would send to ``receiver`` (RFC 3261 12.2.1.1, 15.1.1)."""
    caller, callee = session.caller, session.callee
    sender = callee if receiver is caller else caller
    addresses = {caller: _address(session.caller_uri, caller.tag), callee: _address(session.callee_uri, callee.tag)}
    return compose(
        "BYE",
        receiver.contact,
        from_=addresses[sender],
        to=addresses[receiver],
        call_id=session.call_id,
        cseq=min(sender.number + 1, _LARGEST_CSEQ),
        headers=(("reason", str(reason)),),
    )


def _address(uri_text: str, tag: str) -> str:
    return f"<{uri_text}>;tag={tag}" if tag else f"<{uri_text}>"


def routes_beyond(route_set: list[str], is_ours: IsOurs) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The routes from here to the caller and to the callee, of the Record-Route values of a 2xx (12.1.1, 12.1.2).

    The values of the proxies behind us stand before ours, the furthest first; those in front of us after ours.
    """
    ours = [at for at, value in enumerate(route_set) if _names_us(value, is_ours)]
    if not ours:
        return (), ()
    return tuple(route_set[ours[-1] + 1 :]), tuple(reversed(route_set[: ours[0]]))


def _names_us(value: str, is_ours: IsOurs) -> bool:
    try:
        return is_ours(parse_address(value).uri)
    except ParseError:
        return False
