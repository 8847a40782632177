"""Two ends of a dialog in a network in memory, each the real `Dialogs` over real transactions, on a virtual clock.

A `Side` writes down what its user is told, and does nothing by itself but what its test sets.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.dialogs import ALLOW, Dialogs
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.user import Ending, Outcome
from gosip_py.metrics import Metrics
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy, session_timer
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.validation import Validation
from gosip_py.transport.flow import Flow, Target
from tests.network import MemoryNetwork
from tests.proxy.switchboard import Names, run

__all__ = ["ANSWER", "OFFER", "Ends", "EndsCase", "Side", "sdp"]

NO_TIMERS = SessionTimerPolicy("off")


def sdp(port: int, version: int = 1, direction: str = "sendrecv") -> bytes:
    """A session description of one stream."""
    lines = ("v=0", f"o=- {port} {version} IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0")
    return "\r\n".join((*lines, f"m=audio {port} RTP/AVP 0", f"a={direction}", "")).encode()


OFFER = sdp(4000)
ANSWER = sdp(5000)


class Side:
    """One of them; ``dialog`` is the last that began there. ``told`` has what its user heard, in order."""

    def __init__(
        self,
        network: MemoryNetwork,
        host: str,
        policy: SessionTimerPolicy,
        seed: int,
        supported: tuple[str, ...],
        allow: str,
    ) -> None:
        self.host = host
        self.transport = network.transport(host)
        self.layer = TransactionLayer(network.clock, self.transport, self, Metrics())
        self.transport.user = self.layer
        sender = Sender(self.layer, self.transport, Names())
        self.dialogs = Dialogs(
            sender,
            timing=Timing(),
            now=lambda: network.clock.seconds() + 1_000_000.0,
            session_timers=policy,
            supported=supported,
            allow=allow,
            random=Random(seed),
        )
        self.begun: list[Dialog] = []
        self.told: list[tuple[str, Any]] = []
        self.exchanges: list[Exchange] = []
        self.refuses_short: SessionTimerPolicy | None = None  # by the check that stands in a core
        self.on_invite: Callable[[Dialog], None] = lambda dialog: dialog.accept(ANSWER)
        self.on_offer: Callable[[Exchange], None] = lambda exchange: exchange.accept(exchange.dialog.local_sdp)
        self.on_progress: Callable[[Dialog, Response], None] = lambda dialog, response: None
        self.on_answer: Callable[[Dialog, Response], None] = lambda dialog, response: None

    @property
    def dialog(self) -> Dialog:
        """The last one."""
        return self.begun[-1]

    def names(self) -> list[str]:
        """What the user heard of."""
        return [name for name, _ in self.told]

    def heard(self, name: str) -> list[Any]:
        """What it was told by that name."""
        return [what for told, what in self.told if told == name]

    # -- as a transaction user -----------------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        checks = Validation(session_timer(self.refuses_short)) if self.refuses_short is not None else None
        refusal = checks.refuse(transaction.request) if checks is not None else None
        if refusal is not None:
            refusal.send(transaction)
        elif transaction.request.to_tag:
            self.dialogs.receive(transaction)
        else:
            self.begun.append(self.dialogs.take(transaction, self, self.host))
            self.on_invite(self.dialog)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        self.dialogs.receive_ack(ack, flow)

    # -- as the user of a dialog ---------------------------------------------------------------------------------------

    def progressed(self, dialog: Dialog, response: Response) -> None:
        self.told.append(("progressed", response.status))
        self.on_progress(dialog, response)

    def answered(self, dialog: Dialog, response: Response) -> None:
        self.told.append(("answered", response.status))
        self.on_answer(dialog, response)

    def failed(self, dialog: Dialog, response: Response, is_ours: bool) -> None:
        self.told.append(("failed", response.status))

    def cancelled(self, dialog: Dialog, cancel: Request | None) -> None:
        self.told.append(("cancelled", cancel))

    def acknowledged(self, dialog: Dialog, sdp: bytes) -> None:
        self.told.append(("acknowledged", sdp))

    def offered(self, dialog: Dialog, exchange: Exchange) -> None:
        self.told.append(("offered", exchange.method))
        self.exchanges.append(exchange)
        self.on_offer(exchange)

    def referred(self, dialog: Dialog, refer: Refer) -> None:
        refer.refuse(603, "")

    def requested(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        transaction.reply(200)

    def ended(self, dialog: Dialog, ending: Ending) -> None:
        self.told.append(("ended", ending))


class Ends:
    """A caller and a callee; ``network`` may lose datagrams."""

    def __init__(
        self,
        network: MemoryNetwork | None = None,
        *,
        policy: SessionTimerPolicy = NO_TIMERS,
        callee_policy: SessionTimerPolicy | None = None,
        supported: tuple[str, ...] = ("100rel", "timer"),
        callee_supported: tuple[str, ...] | None = None,
        allow: str = ALLOW,
        seed: int = 1,
    ) -> None:
        self.network = network or MemoryNetwork(Clock())
        self.clock = self.network.clock
        self.caller = Side(self.network, "192.0.2.1", policy, seed, supported, allow)
        self.callee = Side(
            self.network,
            "192.0.2.2",
            policy if callee_policy is None else callee_policy,
            seed + 1,
            supported if callee_supported is None else callee_supported,
            allow,
        )

    def call(self, offer: bytes = OFFER, **options: Any) -> Dialog:
        """Send an INVITE; nothing has arrived yet."""
        target = Target("UDP", self.callee.host, 5060)
        dialog = self.caller.dialogs.invite(
            self.caller,
            uri=f"sip:bob@{self.callee.host}",
            target=target,
            from_="<sip:alice@example.com>",
            to="<sip:bob@example.com>",
            contact_user="alice",
            sdp=offer,
            **options,
        )
        self.caller.begun.append(dialog)
        return dialog

    def talk(self, offer: bytes = OFFER, **options: Any) -> None:
        """Set up a call."""
        self.call(offer, **options)
        self.run(1)

    def run(self, seconds: float) -> None:
        run(self.clock, seconds)

    def titles(self) -> list[str]:
        """What has been sent and not lost, since the last `forget`."""
        return self.network.titles()

    def forget(self) -> None:
        """Forget what was sent so far."""
        self.network.packets.clear()

    def sent(self, side: Side, title: str) -> list[Message]:
        """The messages of this title that ``side`` sent."""
        return [
            packet.message for packet in self.network.packets if packet.source[0] == side.host and packet.title == title
        ]


class EndsCase(SynchronousTestCase):
    """A test of both ends. In the end nothing may be left of their dialogs, transactions and timers."""

    ends: Ends

    def use(self, ends: Ends) -> Ends:
        self.ends = ends
        self.addCleanup(self._check_leaks)
        return ends

    def _check_leaks(self) -> None:
        ends = self.ends
        for side in (ends.caller, ends.callee):
            for dialog in side.begun:
                dialog.hang_up()
        ends.run(400)
        for side in (ends.caller, ends.callee):
            self.assertEqual(len(side.dialogs), 0)
            self.assertEqual(side.layer.in_flight, 0)
            self.assertEqual(len(side.layer.wheel), 0)

    def outcomes(self) -> tuple[list[Outcome], Callable[[Outcome], None]]:
        """A list, and what appends to it."""
        found: list[Outcome] = []
        return found, found.append
