"""One leg of a call: a dialog of ours with one party, and the role that it plays now.

What the dialog tells goes to the role: the ringing, the bridge, a transfer. A role is changed by assigning another.
"""

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits
from typing import TYPE_CHECKING, Literal, Protocol

from twisted.logger import Logger

from gosip_py.call.party import Party
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.user import Ending
from gosip_py.media.sdp import origin_place, with_origin
from gosip_py.sip.fields import Reason
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.verdict import Line

__all__ = ["FAILED", "GONE", "Leg", "LegRole", "Quiet"]

_log = Logger()


class LegRole(Protocol):
    """Whoever is told what happens on a leg: `DialogUser`, with the leg in place of the dialog."""

    def progressed(self, leg: Leg, response: Response) -> None:
        """A provisional response above 100 to our INVITE."""

    def answered(self, leg: Leg, response: Response) -> None:
        """The first 2xx to our INVITE."""

    def failed(self, leg: Leg, response: Response, is_ours: bool) -> None:
        """Our INVITE came to nothing. ``is_ours``: nobody out there said so."""

    def cancelled(self, leg: Leg, cancel: Request | None) -> None:
        """The caller gave up, or went away (None), before the answer."""

    def acknowledged(self, leg: Leg, sdp: bytes) -> None:
        """The ACK of a 2xx of ours, with the answer when our 2xx bore the offer."""

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        """A re-INVITE or UPDATE, to be accepted or refused."""

    def referred(self, leg: Leg, refer: Refer) -> None:
        """A REFER, to be accepted or refused."""

    def requested(self, leg: Leg, transaction: ServerTransaction) -> None:
        """Another request within the dialog, to be answered."""

    def ended(self, leg: Leg, ending: Ending) -> None:
        """The dialog was established, and is over."""


class Quiet:
    """A role that wants nothing: what must be answered is refused. A base for others."""

    __slots__ = ()

    def progressed(self, leg: Leg, response: Response) -> None:
        """Of no interest."""

    def answered(self, leg: Leg, response: Response) -> None:
        """Nobody waits for it any more."""
        leg.dialog.hang_up()

    def failed(self, leg: Leg, response: Response, is_ours: bool) -> None:
        """Nobody waits for it any more."""

    def cancelled(self, leg: Leg, cancel: Request | None) -> None:
        """They gave up, or were turned away, when the answer still waited for a PRACK (RFC 3262 3): it is over."""
        by: Literal["peer", "network"] = "network" if cancel is None else "peer"
        self.ended(leg, Ending(by, 487, None, ""))

    def acknowledged(self, leg: Leg, sdp: bytes) -> None:
        """As it should be."""

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        exchange.refuse(491)

    def referred(self, leg: Leg, refer: Refer) -> None:
        refer.refuse(491, "The call is being set up or ended: try again later.")

    def requested(self, leg: Leg, transaction: ServerTransaction) -> None:
        transaction.reply(481, explanation="The call is being set up or ended: nobody is there to take this.")

    def ended(self, leg: Leg, ending: Ending) -> None:
        """As it should be."""


FAILED = Reason("SIP", 500, "Server Internal Error")

GONE: LegRole = Quiet()
"""The role of a leg that is no part of its call any more: its dialog may still wait for an answer to its BYE."""


class Leg:
    """A dialog user. ``dialog`` is set as soon as there is one, ``line`` while an INVITE of ours is out.

    ``is_received``: its party called us; ``is_private``: and is not to be named (RFC 3323). ``is_held`` says that its
    phone holds the call, ``has_rung`` that it rang. ``peer`` is the leg at the other side of the bridge.
    """

    __slots__ = (
        "_described",
        "_place",
        "_session",
        "_version",
        "call",
        "dialog",
        "has_rung",
        "id",
        "is_held",
        "is_private",
        "is_received",
        "line",
        "party",
        "peer",
        "role",
    )

    dialog: Dialog

    def __init__(self, call: Call, party: Party, role: LegRole, is_received: bool = False) -> None:
        self.id = new_token(12)
        self.call = call
        self.party = party
        self.role = role
        self.peer: Leg | None = None
        self.line: Line | None = None
        self.is_held = False
        self.is_private = False
        self.is_received = is_received
        self.has_rung = False
        self._session = 0
        self._version = 0
        self._place = b""
        self._described = b""
        call.join(self)

    def __repr__(self) -> str:
        return f"<Leg {self.id} {self.party.name}>"

    def describe(self, sdp: bytes) -> bytes:
        """``sdp`` as this leg sends it: one ``o=`` line for all its life.

        Its version grows when anything else changed (RFC 3264 8). What has none is handed back as it came.
        """
        if not sdp:
            return sdp
        if not self._session:
            self._session, self._place = getrandbits(62) | 1, origin_place(sdp)
        own = with_origin(sdp, self._session, self._version, self._place)
        if own != self._described:
            if self._described:
                self._version += 1
                own = with_origin(sdp, self._session, self._version, self._place)
            self._described = own
        return own

    def drop(self) -> None:
        """Be no part of the call any more; the dialog stays as it is. Harmless when it was dropped before."""
        if self.role is not GONE:
            self.role = GONE
            self.line = None
            peer, self.peer = self.peer, None
            if peer is not None and peer.peer is self:
                peer.peer = None
            self.call.leave(self)

    def hang_up(self, reason: Reason | None = None, then: Callable[[Response | None], None] | None = None) -> None:
        """Drop it and end its dialog, whatever state that is in."""
        self.drop()
        self.dialog.hang_up(reason, then)

    # -- what the dialog tells ----------------------------------------------------------------------------------------
    # A mistake of ours must not leave a call without an end: it is logged, and the call is over.

    def progressed(self, dialog: Dialog, response: Response) -> None:
        self.has_rung = True
        try:
            self.role.progressed(self, response)
        except Exception:
            self._broke()

    def answered(self, dialog: Dialog, response: Response) -> None:
        try:
            self.role.answered(self, response)
        except Exception:
            self._broke()

    def failed(self, dialog: Dialog, response: Response, is_ours: bool) -> None:
        try:
            self.role.failed(self, response, is_ours)
        except Exception:
            self._broke()

    def cancelled(self, dialog: Dialog, cancel: Request | None) -> None:
        try:
            self.role.cancelled(self, cancel)
        except Exception:
            self._broke()

    def acknowledged(self, dialog: Dialog, sdp: bytes) -> None:
        try:
            self.role.acknowledged(self, sdp)
        except Exception:
            self._broke()

    def offered(self, dialog: Dialog, exchange: Exchange) -> None:
        try:
            self.role.offered(self, exchange)
        except Exception:
            self._broke()

    def referred(self, dialog: Dialog, refer: Refer) -> None:
        try:
            self.role.referred(self, refer)
        except Exception:
            self._broke()

    def requested(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        try:
            self.role.requested(self, transaction)
        except Exception:
            self._broke()

    def ended(self, dialog: Dialog, ending: Ending) -> None:
        try:
            self.role.ended(self, ending)
        except Exception:
            self._broke()

    def _broke(self) -> None:
        _log.failure("the role {role} of a leg failed", role=type(self.role).__name__)
        self.call.hang_up(FAILED)
