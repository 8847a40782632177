"""A re-INVITE on its way (RFC 3261 14.1): as any request within the dialog, with an ACK for its 2xx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gosip_py.dialog.reliable import receive_reliable
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.sending import Sending
from gosip_py.transport.flow import Flow, Target

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["ReInvite"]


class _Owner(Protocol):
    """Whoever made the offer."""

    def accepted(self, reinvite: ReInvite, response: Response) -> None:
        """The first 2xx. Its ACK goes out by `ReInvite.acknowledge`."""

    def refused(self, reinvite: ReInvite, status: int, response: Response | None) -> None:
        """Another final response, or what stands for one."""


class ReInvite(Sending):
    """``offer`` is the session description of its 2xx, when that is an offer which waits for our answer; ``number`` the
    CSeq.
    """

    __slots__ = ("_answer", "_dialog", "_is_accepted", "_owner", "number", "offer")

    def __init__(self, dialog: Dialog, request: Request, target: Target, owner: _Owner) -> None:
        Sending.__init__(self, dialog.registry.sender, request, target)
        self._dialog = dialog
        self._owner = owner
        self.number = request.cseq.number
        self._is_accepted = False
        self._answer: bytes | None = None
        self.offer = b""

    def dress(self, request: Request, flow: Flow) -> None:
        request.set("contact", self._dialog.contact_at(flow))

    def acknowledge(self, sdp: bytes) -> None:
        """Send the ACK, with our answer if there is one; now and for each repetition of the 2xx (13.2.2.4)."""
        self._answer = sdp
        self._dialog.send_ack(self.number, sdp, invite=self.request)

    def received(self, response: Response) -> None:
        status = response.status
        if status < 200:
            if "rseq" in response.names:
                receive_reliable(self._dialog, self._dialog.peer, response)
        elif status >= 300:
            self._owner.refused(self, status, response)
        elif self._answer is not None:
            self.acknowledge(self._answer)
        elif not self._is_accepted:
            self._is_accepted = True
            self._owner.accepted(self, response)

    def unanswered(self, status: int, text: str) -> None:
        self._owner.refused(self, status, None)
