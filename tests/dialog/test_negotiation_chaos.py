"""Two ends that ring, offer, refuse, take back and refresh at random, over a network that loses, delays and doubles.

Whatever happens, both agree on the session when all is quiet, each offer has one outcome, and nothing is left behind.
"""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.offer import State
from gosip_py.dialog.user import Outcome
from gosip_py.sip.message import Response
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.dialog.pair import OFFER, Ends, EndsCase, Side, sdp
from tests.network import MemoryNetwork

SEEDS = range(150)
TIMERS = SessionTimerPolicy("accept", 90, 180, 7200)


class Chaos:
    """One run of ``seed``."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        network = MemoryNetwork(
            Clock(), seed, loss=0.15, duplicate=0.1, delay=(0.005, 0.2), late=(0.05, 1.0), most_lost=4
        )
        self.ends = Ends(network, policy=TIMERS, seed=seed)
        self.held: list[Exchange] = []
        self.asked = 0
        self.outcomes: list[Outcome] = []
        self.version = 10
        for side in (self.ends.caller, self.ends.callee):
            side.on_offer = self.answer
            side.on_progress = self.progressed
            side.on_answer = self.answered
        self.ends.callee.on_invite = self.rings

    def session(self) -> bytes:
        self.version += 1
        return sdp(4000 + self.version, self.version)

    # -- what the users do ---------------------------------------------------------------------------------------------

    def rings(self, dialog: Dialog) -> None:
        """Ring in one of several ways; some answer at once."""
        way = self.random.randrange(4)
        if way == 1:
            dialog.ring(180, reliable=True)
        elif way == 2:
            dialog.ring(180)
        elif way == 3:
            dialog.ring(183, sdp=self.session(), reliable=True)
        if self.random.random() < 0.5:
            dialog.accept(dialog.local_sdp or self.session())

    def progressed(self, dialog: Dialog, response: Response) -> None:
        if dialog.negotiation is State.OWING:
            dialog.acknowledge(self.session())

    def answered(self, dialog: Dialog, response: Response) -> None:
        if dialog.negotiation is State.OWING:
            dialog.acknowledge(self.session())

    def answer(self, exchange: Exchange) -> None:
        luck = self.random.random()
        if luck < 0.2:
            exchange.refuse(488)
        elif luck < 0.4 and exchange.method == "INVITE":
            self.held.append(exchange)
        else:
            exchange.accept(self.session())

    def hear(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def act(self) -> None:
        """Something at one of the ends."""
        side = self.random.choice((self.ends.caller, self.ends.callee))
        luck = self.random.random()
        if self.held and luck < 0.5:
            exchange = self.held.pop()
            if luck < 0.1:
                exchange.refuse(480)
            else:
                exchange.accept(self.session())
        elif luck < 0.75:
            self.offer(side)
        elif luck < 0.85 and side.begun:
            side.dialog.withdraw()
        else:
            self.pick_up()

    def pick_up(self) -> None:
        for dialog in self.ends.callee.begun:
            dialog.accept(dialog.local_sdp or self.session())

    def offer(self, side: Side) -> None:
        if not side.begun:
            return
        dialog = side.dialog
        self.asked += 1
        if self.random.random() < 0.3:
            dialog.offer(b"", lambda outcome: self.take(dialog, outcome))
        else:
            dialog.offer(self.session(), self.hear)

    def take(self, dialog: Dialog, outcome: Outcome) -> None:
        """Their offer, which we asked for."""
        self.hear(outcome)
        if outcome.sdp:
            dialog.acknowledge(self.session())

    # -- the run -------------------------------------------------------------------------------------------------------

    def play(self) -> None:
        ends = self.ends
        ends.call(OFFER if self.random.random() < 0.7 else b"")
        ends.run(self.random.uniform(0.0, 3.0))
        for _ in range(25):
            self.act()
            ends.run(self.random.choice((0.0, 0.01, 0.3, 2.0, 30.0)))
        while self.held:
            self.held.pop().accept(self.session())
            ends.run(20)
        self.pick_up()
        ends.run(300)
        while self.held:
            self.held.pop().accept(self.session())
            ends.run(60)


class ChaosTests(EndsCase):
    def test_both_agree_when_all_is_quiet(self) -> None:
        agreed = offers = 0
        for seed in SEEDS:
            chaos = Chaos(seed)
            chaos.play()
            ends = chaos.ends
            one, other = ends.caller.dialog, ends.callee.dialog
            self.assertEqual(ends.caller.heard("ended") + ends.callee.heard("ended"), [], seed)
            self.assertTrue(one.is_established and other.is_established, seed)
            self.assertEqual((one.negotiation, other.negotiation), (State.STABLE, State.STABLE), seed)
            self.assertEqual((one.local_sdp, one.remote_sdp), (other.remote_sdp, other.local_sdp), seed)
            self.assertEqual(len(chaos.outcomes), chaos.asked, seed)
            agreed += sum(outcome.status == 200 for outcome in chaos.outcomes)
            offers += chaos.asked
            self.random_end(chaos)
        self.assertGreater(agreed, 200)
        self.assertGreater(offers - agreed, 200)
        self.assertEqual(self.flushLoggedErrors(), [])

    def random_end(self, chaos: Chaos) -> None:
        """One of them hangs up, perhaps with an offer under way."""
        ends = chaos.ends
        if chaos.random.random() < 0.5:
            chaos.offer(ends.caller)
        chaos.random.choice((ends.caller, ends.callee)).dialog.hang_up()
        ends.run(300)
        self.assertEqual(len(chaos.outcomes), chaos.asked)
        for side in (ends.caller, ends.callee):
            self.assertEqual((len(side.dialogs), side.layer.in_flight, len(side.layer.wheel)), (0, 0, 0))
