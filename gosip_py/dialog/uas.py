"""The INVITE that we are to answer, and the 2xx that is repeated until its ACK comes (RFC 3261 13.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gosip_py.dialog.session import SDP
from gosip_py.dialog.table import Signal
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.names import wire_name
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.user import Failure

if TYPE_CHECKING:
    from gosip_py.dialog.dialog import Dialog

__all__ = ["Acceptance", "Answering", "is_reliable", "respond"]

RELIABLE = "100rel"
_CONTENT_TYPE = f"Content-Type: {SDP}"


class Answering:
    """The initial INVITE, until we have answered it; it owns the server transaction."""

    __slots__ = ("dialog", "server")

    def __init__(self, dialog: Dialog, server: ServerTransaction) -> None:
        self.dialog = dialog
        self.server = server

    @property
    def request(self) -> Request:
        return self.server.request

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        self.dialog.step(Signal.RECEIVE_CANCEL, cancel)

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """A broken connection alone does not stop who rings: the answer goes by a new one (18.2.2), if there can be."""
        if failure is Failure.TRANSPORT and transaction.flow.is_only_way:
            self.dialog.step(Signal.TRANSACTION_ERROR)


def is_reliable(invite: Request, wanted: bool | None) -> bool:
    """Whether a provisional response to ``invite`` is one that waits for a PRACK (RFC 3262 3)."""
    try:
        return invite.has_token("require", RELIABLE) or (bool(wanted) and invite.has_token("supported", RELIABLE))
    except ParseError:
        return False


def respond(
    dialog: Dialog, request: Request, status: int, reason: str, headers: Iterable[tuple[str, str]], sdp: bytes
) -> Response:
    """A response that makes or keeps a dialog (12.1.1): with our Contact, and the route that the request recorded."""
    response = reply(request, status, reason, to_tag=dialog.local_tag)
    names, lines = response.names, response.lines
    if "record-route" in request.names:
        for name, line in zip(request.names, request.lines, strict=True):
            if name == "record-route":
                names.append(name)
                lines.append(line)
    names.append("contact")
    lines.append(f"Contact: {dialog.contact}")
    if status >= 200:
        registry = dialog.registry
        names += registry.ability_names
        lines += registry.ability_lines
    for name, value in headers:
        names.append(name)
        lines.append(f"{wire_name(name)}: {value}")
    if sdp:
        response.body = sdp
        lines[names.index("content-length")] = f"Content-Length: {len(sdp)}"
        names.append("content-type")
        lines.append(_CONTENT_TYPE)
    return response


class Acceptance:
    """A 2xx of ours to an INVITE of either kind, repeated until its ACK comes (13.3.1.4).

    ``then`` hears the SDP of the ACK to a re-INVITE; the initial one has none. ``number`` is the CSeq.
    """

    __slots__ = ("_dialog", "_interval", "_left", "_response", "_server", "_timer", "number", "then")

    def __init__(
        self,
        dialog: Dialog,
        server: ServerTransaction,
        response: Response,
        number: int,
        then: Callable[[bytes], None] | None = None,
    ) -> None:
        self._dialog = dialog
        self._server = server
        self._response = response
        self.number = number
        self.then = then
        timing = dialog.timing
        self._interval = timing.t1
        self._left = 64 * timing.t1
        self._timer: Timer | None = None

    def start(self) -> None:
        """Send it for the first time."""
        dialog = self._dialog
        dialog.acceptance = self
        self._server.respond(self._response)
        self._timer = dialog.wheel.start(self._interval, self, 0)

    def stop(self) -> None:
        """The ACK is here, or nobody cares any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dialog.acceptance = None

    def timer_fired(self, kind: int) -> None:
        dialog, timing = self._dialog, self._dialog.timing
        self._left -= self._interval
        if self._left > 0:
            self._server.respond(self._response)
            self._interval = min(self._interval * 2, timing.t2, self._left)
            self._timer = dialog.wheel.start(self._interval, self, 0)
        else:
            self._timer = dialog.acceptance = None
            dialog.lost(408, "No ACK came", Signal.TIMEOUT)
