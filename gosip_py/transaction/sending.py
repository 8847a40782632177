"""A request on its way to its next hop: found, sent, tried once more where that helps (RFC 3261 16.6, 18.1.1).

`Sending` is what a branch of the proxy and a request of our own have in common; they differ in what they say to a
response. `Errand` is the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gosip_py.sip.message import Request, Response
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow, Target

__all__ = ["Errand", "Resolver", "Sender", "Sending", "Transport"]

_NO_ADDRESS = "The next hop has no address, or is this server itself: check the contact or the domain."
_CANCELLED = "The call was cancelled."
_FAILURES = {
    Failure.TIMEOUT: (408, "The next hop did not answer: the phone may be off or out of reach."),
    Failure.TRANSPORT: (503, "The next hop refused the connection or it broke."),
}


class Transport(Protocol):
    """What is asked of the transports."""

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        """A flow to a numeric target."""

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port names one of our listeners."""


class Resolver(Protocol):
    """How names become addresses."""

    def resolve(self, host: str, callback: Callable[[tuple[str, ...]], None]) -> None:
        """Call back with numeric addresses, at once when ``host`` is one; with none when there are none."""


class Sender:
    """The way out for every request that we send: where hosts are, and the transactions that carry it there."""

    __slots__ = ("_resolver", "_transport", "layer")

    def __init__(self, layer: TransactionLayer, transport: Transport, resolver: Resolver) -> None:
        self.layer = layer
        self._transport = transport
        self._resolver = resolver

    def reach(self, target: Target, size: int, then: Callable[[Flow | None], None], allow_upgrade: bool = True) -> None:
        """Find a flow to ``target`` for ``size`` octets and hand it on; a name is looked up first. None: no such place.

        Nothing is sent to ourselves: a contact or a name that leads back here would go round, and with several of them
        each round would be as many times more (RFC 5393 3).
        """
        if target.flow is not None and target.flow.is_open:
            then(self._transport.flow_to(target, size, allow_upgrade))
            return

        def resolved(addresses: tuple[str, ...]) -> None:
            if not addresses or self._transport.is_local(addresses[0], target.port):
                then(None)
                return
            numeric = Target(target.transport, addresses[0], target.port)
            then(self._transport.flow_to(numeric, size, allow_upgrade))

        self._resolver.resolve(target.host, resolved)

    def send_stateless(self, request: Request, target: Target) -> None:
        """Send ``request`` once: the ACK of a 2xx. Nobody hears whether it arrived."""
        self.reach(target, 0, lambda flow: None if flow is None else self.layer.send_stateless(request, flow))


class Sending:
    """One request to one next hop, until its final response or what stands for one.

    A kind of request overrides `dress`, `started`, `settled`, `received` and `unanswered`. ``client`` is the client
    transaction, None while the next hop is looked for.
    """

    __slots__ = ("_is_upgraded", "_may_upgrade", "client", "is_cancelled", "is_final", "request", "sender", "target")

    def __init__(self, sender: Sender, request: Request, target: Target) -> None:
        self.sender = sender
        self.request = request
        self.target = target
        self.client: ClientTransaction | None = None
        self.is_cancelled = False
        self.is_final = False
        self._is_upgraded = False
        self._may_upgrade = True

    # -- what a kind of request does -----------------------------------------------------------------------------------

    def dress(self, request: Request, flow: Flow) -> None:
        """Put on what depends on the flow that ``request`` leaves by."""

    def started(self) -> None:
        """A client transaction has begun; when a next hop failed and another is tried, this is told again."""

    def settled(self) -> None:
        """The first final response is here, or nobody will answer: told before either."""

    def received(self, response: Response) -> None:
        """Each response that counts: provisional ones up to the final one, and of an INVITE every 2xx."""

    def unanswered(self, status: int, text: str) -> None:
        """Nobody will answer: that counts as a response with this ``status`` (RFC 3261 16.7, 16.9)."""

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Look for the next hop and send the request there."""
        self.sender.reach(self.target, _size_of(self.request), self._send_on, self._may_upgrade)

    def _send_on(self, flow: Flow | None) -> None:
        if flow is None:
            self.give_up(502, _NO_ADDRESS)
        elif self.is_cancelled:
            self.give_up(487, _CANCELLED)
        else:
            self._start(flow)

    def _start(self, flow: Flow) -> None:
        request = self.request
        if flow.transport != self.target.transport and self._may_upgrade:
            self._is_upgraded = True
            request = request.copy()  # kept clean for a second try over UDP
        self.dress(request, flow)
        self.client = self.sender.layer.start_client(request, flow, self)
        self.started()

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

    # -- what the client transaction says -------------------------------------------------------------------------------

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        status = response.status
        if self.is_final and not 200 <= status < 300:
            return
        if status >= 200:
            self._settle()
        self.received(response)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        """No response will come: as 408 or 503 (8.1.3.1, 16.9).

        A connection that was made only for the size of the message falls back to UDP (18.1.1).
        """
        if self.is_final:
            return
        if failure is Failure.TRANSPORT and self._is_upgraded and not self.is_cancelled:
            self._is_upgraded = self._may_upgrade = False
            self.client = None
            self.send()
        else:
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
            self._then(response)

    def unanswered(self, status: int, text: str) -> None:
        self._then(None)


def _size_of(request: Request) -> int:
    """Octets the request will have on the wire, about: for the choice between UDP and TCP (18.1.1)."""
    return sum(map(len, request.lines)) + 2 * len(request.lines) + len(request.body) + len(request.uri_text) + 150
