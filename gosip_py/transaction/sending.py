"""A request on its way to its next hop: found, sent, tried elsewhere where that helps (RFC 3261 16.6, RFC 3263 4.3).

`Sending` is what a branch of the proxy and a request of our own have in common; they differ in what they say to a
response. `Errand` is the latter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from gosip_py.sip.message import Request, Response
from gosip_py.transaction.challengers import Challengers
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow, Target

__all__ = ["Errand", "Locator", "Sender", "Sending", "Transport"]

_NO_ADDRESS = "The next hop has no address, or is this server itself: check the contact or the domain."
_CANCELLED = "The call was cancelled: nothing need be done."
_FAILURES = {
    Failure.TIMEOUT: (408, "The next hop did not answer: the phone may be off or out of reach, try again later."),
    Failure.TRANSPORT: (503, "The next hop refused the connection or it broke: try again later."),
}
_SECONDS = re.compile(r"[0-9]{1,9}")
_OUTAGE_SECONDS = 30.0

Hops = tuple[Target, ...]


class Transport(Protocol):
    """What is asked of the transports."""

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        """A flow to a numeric target."""

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port names one of our listeners."""


class Locator(Protocol):
    """How a target becomes addresses."""

    def locate(self, target: Target, then: Callable[[Hops], None]) -> None:
        """Call back with the numeric targets to try, at once when ``target`` is one; with none when there are none."""

    def failed(self, hop: Target, seconds: float) -> None:
        """One that `locate` gave did not serve us, and shall be tried last for so long."""

    def answered(self, hop: Target) -> None:
        """It did."""


class Sender:
    """The way out for every request that we send: where hosts are, and the transactions that carry it there.

    ``flow_to`` is that of the transports, for the hops that `locate` gives.
    """

    __slots__ = ("_challengers", "_is_local", "_locator", "flow_to", "layer")

    def __init__(self, layer: TransactionLayer, transport: Transport, locator: Locator) -> None:
        self.layer = layer
        self.flow_to = transport.flow_to
        self._is_local = transport.is_local
        self._locator = locator
        self._challengers = Challengers(layer.wheel)

    def locate(self, request: Request, target: Target, then: Callable[[Hops], None]) -> None:
        """Hand on the hops that lead to ``target``, in the order to try; a name is looked up first. None: no way there.

        Nothing is sent to ourselves: a contact or a name that leads back here would go round, and with several of them
        each round would be as many times more (RFC 5393 3).
        """
        flow = target.flow
        if flow is not None and flow.is_open:
            then((target,))
        else:
            self._locator.locate(target, lambda hops: then(self._allowed(hops, request, target)))

    def _allowed(self, hops: Hops, request: Request, target: Target) -> Hops:
        is_local = self._is_local
        if len(hops) == 1:
            return () if is_local(hops[0].host, hops[0].port) else hops
        hops = tuple(hop for hop in hops if not is_local(hop.host, hop.port))
        return self._challengers.first(request.call_id, target.host, hops) if len(hops) > 1 else hops

    def learn(self, hop: Target, target: Target, response: Response) -> None:
        """What a response says of the server at ``hop``, one of those of ``target``."""
        status = response.status
        if status == 503:
            self._locator.failed(hop, _retry_after(response))
            return
        self._locator.answered(hop)
        if status == 401 or status == 407:
            self._challengers.note(response.call_id, target.host, hop)

    def note_failure(self, hop: Target) -> None:
        """The server at ``hop`` did not answer, or cannot be reached."""
        self._locator.failed(hop, _OUTAGE_SECONDS)

    def send_stateless(self, request: Request, target: Target) -> None:
        """Send ``request`` once: the ACK of a 2xx. Nobody hears whether it arrived."""
        flow = target.flow
        if flow is not None and flow.is_open:
            self.layer.send_stateless(request, flow)
            return

        def send(hops: Hops) -> None:
            if hops:
                self.layer.send_stateless(request, self.flow_to(hops[0], 0, True))

        self.locate(request, target, send)


class Sending:
    """One request to one target, until its final response or what stands for one.

    A target may have several addresses: the request goes to the next of them, in a transaction of its own, when one
    does not answer at all, cannot be reached or says 503 (RFC 3263 4.3). A kind of request overrides `dress`, `mark`,
    `started`, `settled`, `received`, `unanswered` and `has_time`. ``client`` is the client transaction, None while the
    next hop is looked for.
    """

    __slots__ = (
        "_ahead",
        "_has_response",
        "_hop",
        "_is_upgraded",
        "client",
        "is_cancelled",
        "is_final",
        "request",
        "sender",
        "target",
    )

    # Set when the first hop is tried.
    _ahead: Hops  # where it has not been yet
    _has_response: bool
    _hop: Target  # where it was sent last
    _is_upgraded: bool

    def __init__(self, sender: Sender, request: Request, target: Target) -> None:
        self.sender = sender
        self.request = request
        self.target = target
        self.client: ClientTransaction | None = None
        self.is_cancelled = False
        self.is_final = False

    # -- what a kind of request does -----------------------------------------------------------------------------------

    def dress(self, request: Request, flow: Flow) -> None:
        """Put on what depends on the flow that ``request`` leaves by."""

    def mark(self) -> str:
        """What our Via branches of this request end in: nothing, or the mark of a proxy that forked it (RFC 5393)."""
        return ""

    def started(self) -> None:
        """A client transaction has begun; when a next hop failed and another is tried, this is told again."""

    def settled(self) -> None:
        """The first final response is here, or nobody will answer: told before either."""

    def received(self, response: Response) -> None:
        """Each response that counts: provisional ones up to the final one, and of an INVITE every 2xx."""

    def unanswered(self, status: int, text: str) -> None:
        """Nobody will answer: that counts as a response with this ``status`` (RFC 3261 16.7, 16.9)."""

    def has_time(self) -> bool:
        """Whether somebody still waits when a hop has let 64*T1 pass.

        Of another request than INVITE the sender does not: its own transaction times out just then (RFC 4321 1.4).
        """
        return self.request.method == "INVITE"

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Look for the next hop and send the request there."""
        self.sender.locate(self.request, self.target, self._send_to)

    def _send_to(self, hops: Hops) -> None:
        if self.is_final:
            return
        if not hops:
            self.give_up(502, _NO_ADDRESS)
        elif self.is_cancelled:
            self.give_up(487, _CANCELLED)
        else:
            self._ahead = hops[1:]
            self._try(hops[0], True)

    def _try(self, hop: Target, may_upgrade: bool) -> None:
        request = self.request
        self._hop = hop
        self._has_response = False
        flow = hop.flow
        if flow is None or not flow.is_open:
            flow = self.sender.flow_to(hop, _size_of(request), may_upgrade)
        self._is_upgraded = may_upgrade and flow.transport != hop.transport
        if self._is_upgraded or self._ahead:
            request = request.copy()  # kept clean for another try
        self.dress(request, flow)
        self.client = self.sender.layer.start_client(request, flow, self, self.mark())
        self.started()

    def _try_next(self) -> bool:
        """Send it to the next address, if there is one and somebody still wants that."""
        if not self._ahead or self.is_cancelled:
            return False
        hop, self._ahead = self._ahead[0], self._ahead[1:]
        self._try(hop, True)
        return True

    def _try_without_upgrade(self) -> None:
        hop = self._hop
        if hop.flow is None or hop.flow.is_open:
            self._try(hop, False)
        else:
            self.client = None  # the flow is gone, the address behind it may be there
            self.send()

    def cancel(self, reason: str | None) -> None:
        """Stop an INVITE that has no final response yet (9.1). ``reason`` is the value of a Reason header."""
        if not self.is_final and not self.is_cancelled:
            self.is_cancelled = True
            if self.client is not None:
                self.client.cancel(reason)

    def give_up(self, status: int, text: str) -> None:
        """Wait for no response any more: there is none that could come, or it would come too late."""
        self._settle()
        self.unanswered(status, text)

    def _settle(self) -> None:
        if not self.is_final:
            self.is_final = True
            self.settled()

    # -- what the client transaction says ------------------------------------------------------------------------------

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        status = response.status
        if self.is_final and not 200 <= status < 300:
            return
        self._has_response = True
        if self._hop is not self.target:
            self.sender.learn(self._hop, self.target, response)
        if status >= 200:
            if status == 503 and self._try_next():
                return
            self._settle()
        self.received(response)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        """No response will come: as 408 or 503 (8.1.3.1, 16.9), when there is no other address to try.

        A connection that was made only for the size of the message falls back to UDP (18.1.1).
        """
        if self.is_final:
            return
        has_broken = failure is Failure.TRANSPORT
        if has_broken and self._is_upgraded and not self.is_cancelled:
            self._try_without_upgrade()
            return
        # RFC 3263 4.3: a time-out counts "without ever having received any response"
        has_failed = has_broken or not self._has_response
        if has_failed and self._hop is not self.target:
            self.sender.note_failure(self._hop)
        if not (has_failed and (has_broken or self.has_time()) and self._try_next()):
            self.give_up(*_FAILURES[failure])


class Errand(Sending):
    """A request of our own, other than INVITE: ``then`` hears the final response, or None when nobody answered.

    It is called once, at the earliest when `send` has returned to the reactor or the next hop is known to be nowhere.
    """

    __slots__ = ("_then",)

    def __init__(
        self, sender: Sender, request: Request, target: Target, then: Callable[[Response | None], None]
    ) -> None:
        Sending.__init__(self, sender, request, target)
        self._then = then

    def received(self, response: Response) -> None:
        if response.status >= 200:
            # RFC 3261 8.1.3.3: with a second Via it was meant for somebody else
            self._then(response if _has_one_via(response) else None)

    def unanswered(self, status: int, text: str) -> None:
        self._then(None)

    def has_time(self) -> bool:
        return True


def _has_one_via(response: Response) -> bool:
    """Whether there is but one value, which was read when the response was matched; others might not be readable."""
    names = response.names
    return names.count("via") == 1 and "," not in response.lines[names.index("via")]


def _retry_after(response: Response) -> float:
    """For how long a 503 wants to be left alone (RFC 3261 20.33, 21.5.4)."""
    found = _SECONDS.match(response.value("retry-after") or "")
    return float(found[0]) if found else _OUTAGE_SECONDS


def _size_of(request: Request) -> int:
    """Octets the request will have on the wire, about: for the choice between UDP and TCP (18.1.1)."""
    return sum(map(len, request.lines)) + 2 * len(request.lines) + len(request.body) + len(request.uri_text) + 150
