"""A phone: real transactions, and a small user agent on top that does what chance wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

import attrs
from twisted.internet.interfaces import IDelayedCall

from gosip_py.metrics import Metrics
from gosip_py.sip.compose import compose
from gosip_py.sip.digest import Challenge
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.user import Failure
from gosip_py.transport.addressing import Advertising
from gosip_py.transport.flow import Flow
from tests.chaos.asking import Question
from tests.chaos.confirmation import Confirmation
from tests.chaos.ringing import Ringing
from tests.chaos.talk import Talk
from tests.network import MemoryFlow
from tests.proxy.switchboard import DOMAIN

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["Account", "Deaf", "Phone"]

_METRICS = Metrics()  # nobody reads those of a phone


@attrs.frozen
class Account:
    """Who a phone is: its person, its device, where it is, and what it can.

    ``hidden`` is the private address that it believes to have when it is behind a NAT. ``q`` is that of its contact, in
    thousandths. ``has_flows``: it registers its flow by RFC 5626.
    """

    name: str
    login: str
    username: str
    host: str
    via: str = "UDP"
    hidden: str = ""
    q: int = 1000
    knows_timer: bool = True
    has_flows: bool = False

    @property
    def contact(self) -> str:
        """The URI that it is reached at, as it believes."""
        parameters = (";transport=tcp" if self.via == "TCP" else "") + (";ob" if self.has_flows else "")
        return f"<sip:{self.username}@{self.hidden or self.host}:5060{parameters}>"

    @property
    def registered(self) -> str:
        """The Contact of its REGISTER."""
        value = self.contact.replace(";ob", "") + (f";q={self.q / 1000:g}" if self.q < 1000 else "")
        return f'{value};reg-id=1;+sip.instance="<urn:x:{self.name}>"' if self.has_flows else value


class Deaf:
    """The user of a transport that is switched off."""

    def receive_request(self, request: Request, flow: Flow) -> None:
        """Nobody hears it."""

    def receive_response(self, response: Response, flow: Flow) -> None:
        """Nobody hears it."""

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        """Nobody hears it."""

    def flow_failed(self, flow: Flow, reason: str) -> None:
        """Nobody hears it."""


class Line:
    """The user of the transport of a phone: hands on to its transactions."""

    def __init__(self, phone: Phone) -> None:
        layer = phone.layer
        self.receive_request = layer.receive_request
        self.receive_response = layer.receive_response
        self._phone = phone

    def receive_fault(self, error: ParseError, flow: Flow) -> None:
        self._phone.world.breach(f"{self._phone.name} was sent what it cannot read: {error.reason}")

    def flow_failed(self, flow: Flow, reason: str) -> None:
        phone = self._phone
        phone.layer.flow_failed(flow, reason)
        if flow.transport == phone.via and flow.remote == phone.world.server:
            phone.register_soon()


class Phone:
    """The user of its transactions."""

    talk_type: ClassVar[type[Talk]] = Talk
    ringing_type: ClassVar[type[Ringing]] = Ringing

    def __init__(self, world: World, account: Account) -> None:
        self.world = world
        self.name = account.name
        self.login = account.login
        self.username = account.username
        self.host = account.host
        self.via = account.via
        self.knows_timer = account.knows_timer
        self.needs_its_flow = bool(account.hidden) or account.has_flows
        self.is_alive = True
        self.breaks: list[float] = []
        self.challenges: dict[str, tuple[Challenge, int]] = {}
        self.talks: dict[tuple[str, str, str], Talk] = {}
        self.confirmations: dict[tuple[str, str, int], Confirmation] = {}
        network = world.network
        self.transport = network.transport(account.host, advertising=Advertising(account.hidden), metrics=_METRICS)
        self.layer = TransactionLayer(world.clock, self.transport, self, _METRICS)
        self.transport.user = Line(self)
        self.contact = account.contact
        self._registered_contact = account.registered
        self._has_flows = account.has_flows
        self._serial = 0
        self._register_number = 0
        self.aor = world.chance.choice((account.login, account.login, account.username))
        self.subscriptions: dict[str, Callable[[Request], int]] = {}
        self._registering: IDelayedCall | None = None

    # -- what everything of a phone needs ------------------------------------------------------------------------------

    @property
    def flow(self) -> MemoryFlow:
        """To the server, by the transport of this phone."""
        return self.transport.flow_of(self.via, self.world.server)

    @property
    def address(self) -> str:
        """What it says in From."""
        return f"<sip:{self.login}@{DOMAIN}>"

    def later(self, seconds: float, step: Callable[..., object], *arguments: object) -> IDelayedCall:
        """Do something in so many seconds, if the phone still lives then."""
        return self.world.clock.callLater(seconds, self._do, step, arguments)

    def _do(self, step: Callable[..., object], arguments: tuple[object, ...]) -> None:
        if self.is_alive:
            step(*arguments)

    def new_serial(self) -> str:
        """Never twice the same, and the same in each run: for tags and Call-IDs."""
        self._serial += 1
        return f"{self.name}-{self._serial}"

    def compose(
        self,
        method: str,
        uri: str,
        *,
        to: str,
        from_: str,
        call_id: str,
        number: int,
        headers: Iterable[tuple[str, str]] = (),
        hops: int = 70,
        body: bytes = b"",
    ) -> Request:
        """A request with Contact, but for the Via."""
        request = compose(
            method,
            uri,
            from_=from_,
            to=to,
            call_id=call_id,
            cseq=number,
            headers=(("contact", self.contact), *headers),
            body=body,
            content_type="text/plain" if method == "MESSAGE" else "application/sdp",
        )
        if hops != 70:
            request.set("max-forwards", str(hops))
        return request

    def die(self, is_silent: bool) -> None:
        """Somebody pulled the plug. ``is_silent``: its connections stay open, as far as the others know."""
        self.is_alive = False
        self.world.note(f"{self.name} is switched off")
        self.world.network.detach(self.transport)
        self.transport.user = Deaf()
        self.layer.stop()
        if not is_silent:
            for flow in self.transport.flows:
                if flow.is_reliable:
                    flow.fail("reset by peer")

    # -- registering ---------------------------------------------------------------------------------------------------

    def register(self, expires: int) -> None:
        """10.2, and again after half the time as long as the world is busy."""
        self._stop_registering()
        aor = f"<sip:{self.aor}@{DOMAIN}>"
        request = self.compose(
            "REGISTER",
            f"sip:{DOMAIN}",
            to=aor,
            from_=f"{aor};tag=r",
            call_id=f"register@{self.name}",
            number=self._next_register(),
            headers=(("expires", str(expires)), *((("supported", "path, outbound"),) if self._has_flows else ())),
        )
        request.set("contact", self._registered_contact)
        Question(self, request, self._next_register, self._registered, server_answers=True)
        if expires and self.world.clock.seconds() + expires / 2 < self.world.busy_until:
            self._registering = self.later(expires / 2, self.register, expires)

    def _next_register(self) -> int:
        self._register_number += 1
        return self._register_number

    def _registered(self, question: Question, response: Response | None) -> None:
        if response is None:
            self.register_soon()
        elif response.status == 500:
            pass  # a REGISTER that was sent later has overtaken this one
        elif response.status != 200:
            self.world.breach(f"{self.name} could not register: {response.status} {response.value('warning')}")

    def register_soon(self) -> None:
        """The connection is gone, or nobody answered."""
        self._stop_registering()
        self._registering = self.later(self.world.chance.uniform(0.5, 3), self.register, 600)

    def _stop_registering(self) -> None:
        if self._registering is not None and self._registering.active():
            self._registering.cancel()

    # -- what the transactions tell ------------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        transaction.owner = self
        if request.method == "NOTIFY" and request.call_id in self.subscriptions:
            transaction.reply(self.subscriptions[request.call_id](request))
        elif request.to_tag:
            self._serve_in_dialog(transaction, request)
        elif self.layer.is_merged(transaction):
            transaction.reply(482)
        elif request.method == "INVITE":
            self.called(transaction)
        elif request.method == "MESSAGE":
            transaction.reply(self.world.read(self, request))
        else:
            transaction.reply(200)

    def called(self, transaction: ServerTransaction) -> None:
        """An initial INVITE."""
        self.ringing_type(self, transaction)

    def _serve_in_dialog(self, transaction: ServerTransaction, request: Request) -> None:
        talk = self.talks.get((request.call_id, request.to_tag, request.from_tag))
        if talk is None:
            self.serve_early(transaction, request)
        else:
            talk.serve(transaction)

    def serve_early(self, transaction: ServerTransaction, request: Request) -> None:
        """A request within a dialog that was not answered yet, or is none."""
        transaction.reply(481)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        confirmation = self.confirmations.get((ack.call_id, ack.to_tag, ack.cseq.number))
        if confirmation is not None:
            confirmation.acknowledge(ack)

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """Of whatever has no owner of its own."""
        transaction.reply(487)

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """Whoever does not acknowledge is gone."""
