"""Calls at random over a network that loses, doubles and reorders: whatever happens, nothing is left in the end.

The phones are real dialogs and transactions too; what they do and when is up to a seed.
"""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.party import Party
from gosip_py.call.verdict import Attempt, Line, Refuse, Ring, Stage, Verdict
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.dialogs import Dialogs
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.user import Ending, Outcome
from gosip_py.metrics import Metrics
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transaction.timers import Timing
from gosip_py.transport.flow import Flow, Target
from tests.call.office import DOMAIN, SERVER, Office, Plan, offer_of
from tests.network import MemoryNetwork
from tests.proxy.switchboard import run

SEEDS = 150
CALLS = 6
PHONES = 5
NO_TIMERS = SessionTimerPolicy("off")


class RandomPhone:
    """A phone with a stack of its own. ``moves`` decides what it does."""

    def __init__(self, office: Office, name: str, host: str, moves: random.Random) -> None:
        self.name, self.host, self.moves = name, host, moves
        self.office = office
        transport = office.network.transport(host)
        self.layer = TransactionLayer(office.clock, transport, self, Metrics())
        transport.user = self.layer
        self.dialogs = Dialogs(
            Sender(self.layer, transport, office.names),
            timing=Timing(),
            now=office.now,
            session_timers=NO_TIMERS,
            random=random.Random(moves.random()),
        )

    # -- its transactions ---------------------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        if transaction.request.to_tag or self.dialogs.owns(transaction.request):
            self.dialogs.receive(transaction)
        elif transaction.method == "INVITE":
            self._ring(self.dialogs.take(transaction, self, self.name))
        else:
            transaction.reply(405)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        self.dialogs.receive_ack(ack, flow)

    # -- what it does -------------------------------------------------------------------------------------------------

    def later(self, most: float, do: object, *arguments: object) -> None:
        self.office.clock.callLater(self.moves.uniform(0, most), do, *arguments)  # type: ignore[arg-type]

    def call(self, name: str) -> None:
        dialog = self.dialogs.invite(
            self,
            uri=f"sip:{name}@{DOMAIN}",
            target=Target("UDP", SERVER, 5060),
            from_=f"<sip:{self.name}@{DOMAIN}>",
            to=f"<sip:{name}@{DOMAIN}>",
            contact_user=self.name,
            sdp=b"" if self.moves.random() < 0.15 else self.sdp(),
        )
        if self.moves.random() < 0.3:
            self.later(8, dialog.cancel)

    def sdp(self, way: str = "") -> bytes:
        return offer_of(self.host, way=way).encode()

    def _ring(self, dialog: Dialog) -> None:
        move = self.moves.random()
        if move < 0.8:
            self.later(1, self._alert, dialog)
        if move < 0.6:
            self.later(6, self._answer, dialog)
        elif move < 0.8:
            self.later(6, dialog.reject, self.moves.choice((486, 480, 603, 404, 500)))
        # No phone rings for ever, even if everything it said was lost and nobody may cancel it (RFC 3261 9.1).
        self.office.clock.callLater(60, self._tire, dialog)

    def _alert(self, dialog: Dialog) -> None:
        if dialog.is_early:
            dialog.ring(self.moves.choice((180, 183)), sdp=self.sdp() if dialog.remote_sdp else b"")

    def _tire(self, dialog: Dialog) -> None:
        if dialog.is_early:
            dialog.reject(480)

    def _answer(self, dialog: Dialog) -> None:
        if dialog.is_early:
            dialog.accept(self.sdp())
            self._talk(dialog)

    def _talk(self, dialog: Dialog) -> None:
        for _ in range(self.moves.randrange(3)):
            self.later(20, self._change, dialog)
        self.later(40, dialog.hang_up)

    def _change(self, dialog: Dialog) -> None:
        if not dialog.is_established:
            return
        move = self.moves.random()
        if move < 0.5:
            dialog.offer(self.sdp(self.moves.choice(("sendonly", "sendrecv"))), _unheard)
        elif move < 0.8:
            dialog.offer(b"", lambda outcome: self._acknowledge(dialog, outcome))
        else:
            dialog.request("INFO", body=b"Signal=1", content_type="application/dtmf-relay", then=_unheard)

    def _acknowledge(self, dialog: Dialog, outcome: Outcome) -> None:
        if outcome.sdp:
            dialog.acknowledge(self.sdp())

    # -- DialogUser ---------------------------------------------------------------------------------------------------

    def progressed(self, dialog: Dialog, response: Response) -> None:
        """It rings."""

    def answered(self, dialog: Dialog, response: Response) -> None:
        if not dialog.local_sdp:
            dialog.acknowledge(self.sdp())
        self._talk(dialog)

    def failed(self, dialog: Dialog, response: Response, is_ours: bool) -> None:
        """Nothing came of it."""

    def cancelled(self, dialog: Dialog, cancel: Request | None) -> None:
        """They gave up."""

    def acknowledged(self, dialog: Dialog, sdp: bytes) -> None:
        """They heard."""

    def offered(self, dialog: Dialog, exchange: Exchange) -> None:
        if self.moves.random() < 0.15:
            exchange.refuse(488)
        else:
            self.later(0.5, exchange.accept, self.sdp())

    def referred(self, dialog: Dialog, refer: Refer) -> None:
        refer.refuse(603)

    def requested(self, dialog: Dialog, transaction: ServerTransaction) -> None:
        transaction.reply(200)

    def ended(self, dialog: Dialog, ending: Ending) -> None:
        """It was nice."""


def _unheard(_what: object) -> None:
    """Of no interest."""


class RandomPlan(Plan):
    """Rings one phone, several, one after the other, or sends the call on."""

    def __init__(self, names: list[str], moves: random.Random) -> None:
        super().__init__()
        self.names, self.moves = names, moves

    def route(self, attempt: Attempt) -> Verdict:
        moves, name = self.moves, attempt.dialled
        if name in attempt.diverted:
            return Refuse(482, "a circle")
        others = [other for other in self.names if other != name]
        first = [name, *(moves.sample(others, 2) if moves.random() < 0.4 else ())]
        stages = [Stage(tuple(map(line_to, first)), 7.0)]
        if moves.random() < 0.3:
            stages.append(Stage((line_to(moves.choice(others)),), 5.0))
        forward = moves.choice(("", moves.choice(others)))
        callee = Party(name, user_id=int(name[1:]))
        return Ring(callee, tuple(stages), if_busy=forward, if_no_answer=forward, if_unavailable=forward)


def host_of(name: str) -> str:
    return f"192.0.2.{100 + int(name[1:])}"


def line_to(name: str) -> Line:
    party = Party(name, user_id=int(name[1:]), kind="device")
    return Line(party, f"sip:{name}@{host_of(name)}:5060", Target("UDP", host_of(name), 5060))


class RandomCalls:
    """One play."""

    def __init__(self, seed: int) -> None:
        self.moves = moves = random.Random(seed)
        loss = moves.choice((0.0, 0.1, 0.25))
        slowest = moves.choice((0.002, 0.4))
        network = MemoryNetwork(Clock(), seed, loss=loss, duplicate=0.05, delay=(0.001, slowest), most_lost=3)
        self.office = office = Office(network, ping_seconds=moves.choice((0.0, 10.0)))
        names = [f"p{number}" for number in range(PHONES)]
        self.phones = {name: RandomPhone(office, name, host_of(name), random.Random(moves.random())) for name in names}
        office.plan = office.switch.router = RandomPlan(names, moves)

    def play(self) -> None:
        names = list(self.phones)
        for _ in range(CALLS):
            caller, callee = self.moves.sample(names, 2)
            self.office.clock.callLater(self.moves.uniform(0, 20), self.phones[caller].call, callee)
        if self.moves.random() < 0.2:
            self.office.clock.callLater(self.moves.uniform(0, 40), self.office.switch.hang_up_all)
        run(self.office.clock, 400.0)

    def leftovers(self) -> dict[str, object]:
        """What is there that should not be; each call must have ended exactly once."""
        office = self.office
        books = office.books
        ended = sorted(event.id for event in books.ended)
        found: dict[str, object] = {
            "calls": len(office.switch),
            "dialogs": [repr(dialog) for dialog in office.dialogs],
            "transactions": office.layer.in_flight,
            "timers": len(office.layer.wheel),
            "of phones": [repr(dialog) for phone in self.phones.values() for dialog in phone.dialogs],
            "rows": sorted(books.started) if ended != sorted(books.started) else [],
        }
        return {name: value for name, value in found.items() if value}


class LossyTests(SynchronousTestCase):
    def test_nothing_is_left(self) -> None:
        for seed in range(SEEDS):
            calls = RandomCalls(seed)
            calls.play()
            self.assertEqual((seed, calls.leftovers()), (seed, {}))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_calls_are_really_made(self) -> None:
        results = set()
        for seed in range(40):
            calls = RandomCalls(seed)
            calls.play()
            results |= {event.result for event in calls.office.books.ended}
        self.assertLessEqual({"answered", "cancelled", "rejected", "no_answer"}, results)
