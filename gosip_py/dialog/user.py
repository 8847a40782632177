"""Who uses a dialog, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import attrs

from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog
    from gosip_py.dialog.exchange import Exchange
    from gosip_py.dialog.refer import Refer

__all__ = ["Describes", "DialogUser", "EndedBy", "Ending", "Outcome"]

EndedBy = Literal["us", "peer", "network"]


@attrs.frozen
class Ending:
    """How an established dialog ended.

    ``status`` is what answered our BYE, 200 for a BYE of the other side, 408 when nobody answered or acknowledged.
    ``reason`` is the Reason of the BYE, whoever sent it.
    """

    by: EndedBy
    status: int
    reason: Reason | None = None
    text: str = ""


@attrs.frozen
class Outcome:
    """What an offer came to: ``sdp`` is the answer, empty unless ``status`` is 2xx. Without response: made here."""

    status: int
    response: Response | None
    sdp: bytes = b""


class DialogUser(Protocol):
    """Hears of everything that happens in a dialog. It must not raise.

    Of `failed`, `cancelled` and `ended` exactly one is told, and it is the last; none when the user itself refuses the
    INVITE.
    """

    def progressed(self, dialog: Dialog, response: Response) -> None:
        """A provisional response above 100 to our INVITE, acknowledged where it wants to be (RFC 3262)."""

    def answered(self, dialog: Dialog, response: Response) -> None:
        """The first 2xx to our INVITE. Its ACK is out when we had sent an offer; else call `Dialog.acknowledge`."""

    def failed(self, dialog: Dialog, response: Response, is_ours: bool) -> None:
        """Our INVITE came to nothing; ``is_ours``: the response was made here (408, 503, or 487 after a CANCEL)."""

    def cancelled(self, dialog: Dialog, cancel: Request | None) -> None:
        """The caller gave up before we answered, by CANCEL or, with None, by going away. They are answered already."""

    def acknowledged(self, dialog: Dialog, sdp: bytes) -> None:
        """The ACK of our 2xx is here; ``sdp`` is the answer when the 2xx bore the offer."""

    def offered(self, dialog: Dialog, exchange: Exchange) -> None:
        """The other side offers a change of the session, or asks for an offer: answer the exchange, now or later."""

    def referred(self, dialog: Dialog, refer: Refer) -> None:
        """The other side asks us to send a request to somebody else (RFC 3515): accept or refuse it."""

    def requested(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        """Another request within the dialog, as INFO or MESSAGE, that must be answered."""

    def ended(self, dialog: Dialog, ending: Ending) -> None:
        """An established dialog is over."""


@runtime_checkable
class Describes(Protocol):
    """A user who numbers the descriptions that go out (RFC 3264 8): an offer that waited is shown to them once more."""

    def describe(self, sdp: bytes) -> bytes:
        """The description as it is to be sent now."""
