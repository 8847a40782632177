"""A request of ours within a dialog, other than INVITE, ACK and CANCEL (RFC 3261 12.2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gosip_py.sip.message import Request, Response
from gosip_py.transaction.sending import Sending
from gosip_py.transport.flow import Flow

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.dialog.peer import Peer

__all__ = ["CHALLENGES", "Then", "Within"]

Then = Callable[[Response | None], None]

CHALLENGES = frozenset((401, 407))
# These belong to a subscription, whose end is not the end of the call (RFC 5057 5.1), and a BYE ends it anyhow.
# And what a PRACK is told is the INVITE's to say once more.
_SPEAK_FOR_THEMSELVES = frozenset(("BYE", "NOTIFY", "PRACK", "REFER", "SUBSCRIBE"))


class Within(Sending):
    """``then`` hears the final response, or None when nobody answered. A challenge is answered with credentials."""

    __slots__ = ("_dialog", "_peer", "_then")

    def __init__(self, dialog: Dialog, peer: Peer, request: Request, then: Then) -> None:
        Sending.__init__(self, dialog.registry.sender, request, peer.hop)
        self._dialog = dialog
        self._peer = peer
        self._then = then

    def dress(self, request: Request, flow: Flow) -> None:
        if "contact" in request.names:
            request.set("contact", self._dialog.contact_at(flow))

    def has_time(self) -> bool:
        return True

    def received(self, response: Response) -> None:
        status = response.status
        if status < 200:
            return
        if status in CHALLENGES and self._try_again(response):
            return
        if status < 300 and self.request.method == "UPDATE":
            self._peer.move(response)
        self._then(response)
        if self.request.method not in _SPEAK_FOR_THEMSELVES:
            self._dialog.judge(status, response.reason)

    def unanswered(self, status: int, text: str) -> None:
        self._then(None)
        if self.request.method not in _SPEAK_FOR_THEMSELVES:
            self._dialog.judge(status, text)

    def _try_again(self, response: Response) -> bool:
        """With credentials, once for each challenge (22.2); whether that was possible."""
        client = self.client
        if client is None:
            return False
        dialog = self._dialog
        copy = dialog.copy_of(client.request)
        if not dialog.answer_challenge(copy, response):
            return False
        dialog.send(copy, self._then, self._peer)
        return True
