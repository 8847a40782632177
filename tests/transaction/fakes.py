"""A flow that writes down what is sent, users and owners that write down what they are told, messages to feed them."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock

from gosip_py.metrics import Metrics
from gosip_py.sip.headers import Via
from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.parser import parse_message
from gosip_py.sip.reply import reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import Limits, TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow, Target

__all__ = ["Bench", "FakeFlow", "RecordingOwner", "RecordingUser", "parsed", "request", "run", "titles"]


def request(
    method: str = "INVITE",
    *,
    branch: str | None = "z9hG4bKabc",
    sent_by: str = "192.0.2.9:5060",
    uri: str = "sip:bob@example.org",
    to_tag: str = "",
    from_tag: str = "ft",
    call_id: str = "c1@192.0.2.9",
    number: int = 1,
    more: tuple[str, ...] = (),
) -> Request:
    """A request as it comes from a peer. ``branch`` None leaves the branch out, as RFC 2543 did."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {sent_by}" + ("" if branch is None else f";branch={branch}"),
        "Max-Forwards: 70",
        f"From: Alice <sip:alice@example.org>;tag={from_tag}",
        "To: <sip:bob@example.org>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {number} {method}",
        *more,
        "Content-Length: 0",
    ]
    message = parse_message("\r\n".join((*lines, "", "")).encode())
    assert isinstance(message, Request)
    return message


def parsed(data: bytes) -> Message:
    return parse_message(data)


def titles(sent: list[bytes]) -> list[str]:
    """The method of each request, the code of each response."""
    return [data.split(b" ", 2)[data[:4] == b"SIP/"].decode() for data in sent]


def run(clock: Clock, seconds: float) -> None:
    """Let time go by in steps of 10 ms, without the error that adding up 0.01 makes."""
    now = round(clock.seconds() * 100)
    for step in range(now + 1, now + round(seconds * 100) + 1):
        clock.advance(step / 100 + 1e-9 - clock.seconds())


class FakeFlow(Flow):
    """A flow that keeps what is sent, with the time. Responses take ``way`` when it is set."""

    __slots__ = ("clock", "is_reliable", "is_up", "sent", "times", "way")

    def __init__(self, clock: Clock, *, is_reliable: bool = False) -> None:
        self.clock = clock
        self.is_reliable = is_reliable
        self.is_up = True
        self.way: Flow | None = None
        self.sent: list[bytes] = []
        self.times: list[float] = []
        self.transport = "TCP" if is_reliable else "UDP"
        self.local = ("192.0.2.1", 5060)
        self.remote = ("192.0.2.9", 5060)
        self.sent_by = "192.0.2.1:5060"
        self.via_head = f"SIP/2.0/{self.transport} 192.0.2.1:5060;rport;branch="
        self.record_route = "<sip:192.0.2.1:5060;lr>"

    @property
    def is_open(self) -> bool:
        return self.is_up

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.times.append(round(self.clock.seconds(), 6))

    def answering(self, via: Via) -> Flow:
        return self.way or self


class RecordingUser:
    """A user that answers each request with ``answer`` (0: not at all), and owns the transactions if it is told to."""

    def __init__(self) -> None:
        self.answer = 0
        self.owner: RecordingOwner | None = None
        self.transactions: list[ServerTransaction] = []
        self.acks: list[Request] = []
        self.fault: Exception | None = None

    def receive_request(self, transaction: ServerTransaction) -> None:
        self.transactions.append(transaction)
        transaction.owner = self.owner
        if self.fault is not None:
            raise self.fault
        if self.answer:
            transaction.reply(self.answer)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        self.acks.append(ack)


@attrs.define(eq=False)
class RecordingOwner:
    """Owner of either kind of transaction."""

    told: list[int | Failure | str] = attrs.field(factory=list)

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        self.told.append("cancel")

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        self.told.append(failure)

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        self.told.append(response.status)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        self.told.append(failure)


class Bench:
    """A layer on virtual time, with one flow to one peer."""

    def __init__(
        self, *, is_reliable: bool = False, timing: Timing | None = None, limits: Limits | None = None
    ) -> None:
        self.clock = Clock()
        self.flow = FakeFlow(self.clock, is_reliable=is_reliable)
        self.user = RecordingUser()
        self.owner = RecordingOwner()
        self.metrics = Metrics()
        self.layer = TransactionLayer(self.clock, self, self.user, self.metrics, timing, limits)
        self.asked: list[tuple[Target, int, bool]] = []

    def flow_to(self, target: Target, size: int, allow_upgrade: bool = True) -> Flow:
        self.asked.append((target, size, allow_upgrade))
        return self.flow

    def receive(self, message: Request) -> None:
        self.layer.receive_request(message, self.flow)

    def server(self, message: Request | None = None) -> ServerTransaction:
        """The transaction of a request that was just received."""
        self.user.owner = self.owner
        self.receive(message or request())
        return self.user.transactions[-1]

    def client(self, method: str = "INVITE") -> ClientTransaction:
        """A client transaction that was just started. It has a Via of whoever is forwarded."""
        return self.layer.start_client(request(method, branch="z9hG4bKupstream"), self.flow, self.owner)

    def respond(self, transaction: ClientTransaction, status: int, to_tag: str = "tt") -> None:
        """Have the peer answer what was sent first."""
        sent = parsed(transaction.flow.sent[0])  # type: ignore[attr-defined]  # every flow here is a FakeFlow
        assert isinstance(sent, Request)
        self.respond_to(sent, status, to_tag)

    def respond_to(self, sent: Request, status: int, to_tag: str = "tt") -> None:
        answer = parsed(reply(sent, status, to_tag=to_tag).to_bytes())
        assert isinstance(answer, Response)
        self.layer.receive_response(answer, self.flow)

    def advance(self, seconds: float) -> None:
        """Let time go by in small steps, as a reactor does."""
        run(self.clock, seconds)

    @property
    def titles(self) -> list[str]:
        return titles(self.flow.sent)
