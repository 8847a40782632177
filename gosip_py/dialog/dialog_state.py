"""What two ends of a dialog know of it, whatever it is used for, and the requests that follow (RFC 3261 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Protocol

from gosip_py.dialog.credentials import ClientAuthentication, ClientCredentials, credentials_of
from gosip_py.dialog.peer import Peer
from gosip_py.dialog.session import SDP
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.names import wire_name
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import TimerWheel, Timing
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["DialogState", "Headers", "Registry"]

Headers = Iterable[tuple[str, str]]


class Registry(Protocol):
    """Where dialogs are kept, and what all of them share."""

    ability_names: tuple[str, ...]
    ability_lines: tuple[str, ...]
    certain_lines: tuple[str, ...]
    abilities: tuple[tuple[str, str], ...]
    now: Callable[[], float]
    random: Random
    sender: Sender
    session_timers: SessionTimerPolicy
    timing: Timing
    wheel: TimerWheel

    def established(self, dialog: Dialog) -> None:
        """It is answered."""

    def over(self, dialog: Dialog) -> None:
        """One that was answered has ended."""

    def forget(self, dialog: Dialog) -> None:
        """Nothing can be said in it any more."""


class DialogState:
    """One end. ``local`` is our From or To value with ``local_tag``, ``contact`` our Contact value.

    ``peer`` is the other side, ``flow`` where it was heard or sent to last, ``number`` our highest CSeq. ``is_outside``
    says that the other side is none of ours: who knows by which of their servers it speaks.
    """

    __slots__ = (
        "_contact_user",
        "_credentials",
        "_forks",
        "_is_secure",
        "authentication",
        "call_id",
        "contact",
        "flow",
        "is_outside",
        "local",
        "local_tag",
        "number",
        "peer",
        "registry",
    )

    def __init__(
        self,
        registry: Registry,
        call_id: str,
        local: str,
        local_tag: str,
        peer: Peer,
        contact_user: str,
        is_secure: bool,
        credentials: ClientCredentials | None,
    ) -> None:
        self.registry = registry
        self.call_id = call_id
        self.local = local
        self.local_tag = local_tag
        self.peer = peer
        self.contact = ""
        self.flow: Flow | None = None
        self.number = 0
        self.is_outside = False
        self.authentication: ClientAuthentication | None = None
        self._contact_user = contact_user
        self._credentials = credentials
        self._forks: dict[str, Peer] | None = None
        self._is_secure = is_secure

    @property
    def id(self) -> str:
        """Unique among all dialogs of this process."""
        return self.local_tag

    @property
    def remote(self) -> str:
        """The other side's From or To value with its tag."""
        return self.peer.address

    @property
    def remote_tag(self) -> str:
        return self.peer.tag

    @property
    def remote_target(self) -> str:
        return self.peer.target_uri

    @property
    def wheel(self) -> TimerWheel:
        return self.registry.wheel

    @property
    def timing(self) -> Timing:
        return self.registry.timing

    @property
    def now(self) -> Callable[[], float]:
        return self.registry.now

    def peer_of(self, tag: str) -> Peer | None:
        """The other side with this tag, among those that rang if it is early."""
        peer = self.peer
        if peer.tag == tag:
            return peer
        return self._forks.get(tag) if self._forks is not None else None

    def is_from(self, request: Request, flow: Flow) -> bool:
        """Whether a request within it that came on ``flow`` is from where its sender was heard before.

        Who has an address of its own, and says so in its contact, shares that with nobody. Where others stand between,
        or they are none of ours, it cannot be told.
        """
        peer = self.peer_of(request.from_tag)
        known = peer.flow if peer is not None else None
        if peer is None or known is None or known is flow or self.is_outside:
            return True
        if (known.transport, known.remote) == (flow.transport, flow.remote):
            return True
        host = flow.remote[0]
        return known.remote[0] == host and f"@{f'[{host}]' if ':' in host else host}" in peer.target_uri

    def contact_at(self, flow: Flow) -> str:
        """Our Contact value towards whoever is on ``flow``: the socket that it speaks to (12.1.1: sips for sips)."""
        user = f"{self._contact_user}@" if self._contact_user else ""
        if self._is_secure:
            return f"<sips:{user}{flow.sent_by}>"
        return f"<sip:{user}{flow.record_route[5:].replace(';lr', '')}"

    def compose(
        self,
        method: str,
        number: int | None = None,
        *,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "",
        peer: Peer | None = None,
        contact: bool = False,
    ) -> Request:
        """A request within the dialog (12.2.1.1), without Via; ``number`` None takes the next CSeq."""
        if peer is None:
            peer = self.peer
        if number is None:
            number = self.number = self.number + 1
        names = ["max-forwards", "from", "to", "call-id", "cseq"]
        lines = [
            "Max-Forwards: 70",
            f"From: {self.local}",
            f"To: {peer.address}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
        ]
        if peer.route_lines:
            names += ("route",) * len(peer.route_lines)
            lines += peer.route_lines
        if contact:
            names.append("contact")
            lines.append(f"Contact: {self.contact}")
        for name, value in headers:
            names.append(name)
            lines.append(f"{wire_name(name)}: {value}")
        names.append("content-length")
        lines.append(f"Content-Length: {len(body)}")
        if body:
            names.append("content-type")
            lines.append(f"Content-Type: {content_type}")
        request = Request(method, peer.request_uri, names, lines, body)
        if self.authentication is not None and method != "ACK":
            self.authentication.dress(request)
        return request

    def copy_of(self, request: Request) -> Request:
        """A request of ours that was refused, to be sent again: without our Via, and with the next CSeq."""
        copy = request.copy()
        copy.pop_value("via")
        self.number = max(self.number, copy.cseq.number) + 1
        copy.set("cseq", f"{self.number} {copy.method}")
        return copy

    def answer_challenge(self, copy: Request, response: Response) -> bool:
        """Put credentials on ``copy`` that answer a 401 or 407; whether there are any (22.2)."""
        if self._credentials is None:
            return False
        if self.authentication is None:
            self.authentication = ClientAuthentication(self._credentials)
        return self.authentication.answer(copy, response)

    def send_ack(self, number: int, sdp: bytes, peer: Peer | None = None, invite: Request | None = None) -> None:
        """The ACK of a 2xx to an INVITE with this CSeq (13.2.2.4), and with the credentials of ``invite``."""
        if peer is None:
            peer = self.peer
        headers = credentials_of(invite) if invite is not None and self.authentication is not None else ()
        ack = self.compose("ACK", number, headers=headers, body=sdp, content_type=SDP, peer=peer)
        try:
            self.registry.sender.send_stateless(ack, peer.hop)
        except ParseError:
            pass  # as in send: whoever gave such a target hears no more of us

    def turn_to(self, peer: Peer, most: int) -> bool:
        """Another fork of our INVITE rings, and is spoken to from now on; False when there are ``most`` already."""
        before = self.peer
        if before.tag:
            forks = self._forks if self._forks is not None else {}
            if len(forks) >= most:
                return False
            forks[before.tag] = before
            self._forks = forks
        self.peer = peer
        return True

    def settle_on(self, peer: Peer) -> None:
        """This one answered: the other early dialogs are over for us (13.2.2.4)."""
        self.peer = peer
        self._forks = None
