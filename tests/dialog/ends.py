"""Dialogs at both ends of a network in memory, on a virtual clock, each with a user that writes down what it hears."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.task import Clock

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.dialogs import Dialogs
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.user import Ending
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing
from gosip_py.transport.addressing import numeric_address
from gosip_py.transport.flow import Flow, Target
from tests.network import MemoryNetwork

__all__ = ["ANSWER", "NOW", "NO_TIMERS", "OFFER", "End", "Names", "Recorder", "Scripted", "run"]

OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
ANSWER = b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n"
NO_TIMERS = SessionTimerPolicy("off")
NOW = 1_700_000_000.0


def run(clock: Clock, seconds: float = 0.1) -> None:
    """Let time jump from one delayed call to the next, to exactly ``seconds`` later."""
    end = clock.seconds() + seconds
    while calls := [call.getTime() for call in clock.getDelayedCalls() if call.getTime() <= end]:
        clock.advance(max(0.0, min(calls) - clock.seconds()))
    clock.advance(max(0.0, end - clock.seconds()))


class Names:
    """A locator that knows numeric addresses only."""

    def locate(self, target: Target, then: Callable[[tuple[Target, ...]], None]) -> None:
        then((target,) if numeric_address(target.host) is not None else ())

    def failed(self, hop: Target, seconds: float) -> None:
        """Nobody asks."""

    def answered(self, hop: Target) -> None:
        """Nobody asks."""


class Recorder:
    """A `DialogUser` that writes down what it is told, as (what, the rest); ``on`` may react, by what."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.on: dict[str, Callable[..., object]] = {}

    @property
    def names(self) -> list[str]:
        return [entry[0] for entry in self.told]

    def last(self, what: str) -> tuple[Any, ...]:
        return next(entry for entry in reversed(self.told) if entry[0] == what)

    def _tell(self, what: str, dialog: Dialog, *rest: Any) -> None:
        self.told.append((what, *rest))
        if what in self.on:
            self.on[what](dialog, *rest)

    def progressed(self, dialog: Dialog, response: Response) -> None:
        self._tell("progressed", dialog, response)

    def answered(self, dialog: Dialog, response: Response) -> None:
        self._tell("answered", dialog, response)

    def failed(self, dialog: Dialog, response: Response, is_ours: bool) -> None:
        self._tell("failed", dialog, response, is_ours)

    def cancelled(self, dialog: Dialog, cancel: Request | None) -> None:
        self._tell("cancelled", dialog, cancel)

    def acknowledged(self, dialog: Dialog, sdp: bytes) -> None:
        self._tell("acknowledged", dialog, sdp)

    def offered(self, dialog: Dialog, exchange: Exchange) -> None:
        self._tell("offered", dialog, exchange)

    def referred(self, dialog: Dialog, refer: Refer) -> None:
        self._tell("referred", dialog, refer)

    def requested(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        self._tell("requested", dialog, transaction)

    def ended(self, dialog: Dialog, ending: Ending) -> None:
        self._tell("ended", dialog, ending)


class End:
    """A whole end: transport, transactions and dialogs at one address. Incoming INVITEs go to ``user``."""

    def __init__(
        self,
        network: MemoryNetwork,
        host: str,
        *,
        timers: SessionTimerPolicy = NO_TIMERS,
        timing: Timing | None = None,
        **settings: Any,
    ) -> None:
        self.network = network
        self.clock = network.clock
        self.host = host
        self.transport = network.transport(host)
        self.metrics = Metrics()
        self.layer = TransactionLayer(self.clock, self.transport, self, self.metrics, timing)
        self.transport.user = self.layer
        self.sender = Sender(self.layer, self.transport, Names())
        self.dialogs = Dialogs(
            self.sender,
            timing=timing or Timing(),
            now=self.now,
            session_timers=timers,
            random=Random(1),
            **settings,
        )
        self.user = Recorder()
        self.taken: list[Dialog] = []
        self.stray_acks = 0

    def now(self) -> float:
        return NOW + self.clock.seconds()

    @property
    def dialog(self) -> Dialog:
        """The one that came last."""
        return self.taken[-1]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left: no dialog, no transaction, no timer."""
        return not len(self.dialogs) and not self.layer.in_flight and not len(self.layer.wheel)

    def call(self, host: str, *, via: str = "UDP", sdp: bytes = OFFER, **more: Any) -> Dialog:
        """An INVITE to bob at ``host``."""
        settings: dict[str, Any] = {
            "uri": f"sip:bob@{host}",
            "target": Target(via, host, 5060),
            "from_": f"<sip:alice@{self.host}>",
            "to": f"<sip:bob@{host}>",
            "contact_user": "alice",
            "sdp": sdp,
        }
        return self.dialogs.invite(self.user, **(settings | more))

    # -- what the transactions hand up --------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        if transaction.request.to_tag:
            self.dialogs.receive(transaction)
        else:
            self.taken.append(self.dialogs.take(transaction, self.user, "bob"))

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        if not self.dialogs.receive_ack(ack, flow):
            self.stray_acks += 1


class Scripted:
    """Somebody who says only what the test lets them say; a repeated request is heard once."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.network = network
        self.host = host
        self.transport = network.transport(host)
        self.transport.user = self
        self.heard: list[Message] = []
        self._known: set[tuple[str, str]] = set()

    def receive_request(self, request: Request, flow: Flow) -> None:
        key = (request.method, request.top_via.branch)
        if key not in self._known:
            self._known.add(key)
            self.heard.append(request)

    def receive_response(self, response: Response, flow: Flow) -> None:
        self.heard.append(response)

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        raise AssertionError(f"was sent what cannot be read: {error.reason}")

    def flow_failed(self, flow: Flow, reason: str) -> None:
        """Nothing depends on it."""

    @property
    def titles(self) -> list[str]:
        """Methods and status codes of what was heard."""
        return [message.start_line.split()[isinstance(message, Response)] for message in self.heard]

    def requests(self, method: str) -> list[Request]:
        return [message for message in self.heard if isinstance(message, Request) and message.method == method]

    def responses(self, status: int) -> list[Response]:
        return [message for message in self.heard if isinstance(message, Response) and message.status == status]

    def send(self, message: Message, host: str, via: str = "UDP") -> None:
        """To the one at this address."""
        self.transport.flow_of(via, (host, 5060)).send(message.to_bytes())
