"""Two ends that do whatever comes to mind over a network that loses, doubles and reorders: nothing is left of it."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.table import State
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.dialog.ends import ANSWER, NO_TIMERS, OFFER, End, Recorder, run
from tests.network import MemoryNetwork

HOSTS = ("192.0.2.1", "192.0.2.2")
_ENDINGS = ("failed", "cancelled", "ended")


class Notary(Recorder):
    """Writes down the endings of each dialog, and answers what is asked."""

    def __init__(self, random: Random) -> None:
        Recorder.__init__(self)
        self.random = random
        self.ends: dict[str, list[str]] = {}
        self.refused: set[str] = set()

    def _tell(self, what: str, dialog: Dialog, *rest: Any) -> None:
        if what in _ENDINGS:
            self.ends.setdefault(dialog.id, []).append(what)
        elif self.ends.get(dialog.id):
            raise AssertionError(f"{what} after {self.ends[dialog.id]}")
        if what == "offered":
            rest[0].accept(ANSWER) if self.random.random() < 0.7 else rest[0].refuse(488)
        elif what == "answered" and not dialog.local_sdp:
            dialog.acknowledge(ANSWER)
        elif what == "requested":
            rest[0].reply(200)
        elif what == "referred":
            rest[0].accept()
            rest[0].report(self.random.choice((200, 486)), "as it was")


class Play:
    """One seed: calls in both directions, and chance decides what their ends do."""

    def __init__(self, seed: int, steps: int = 30) -> None:
        self.random = random = Random(seed)
        self.network = self.make_network(seed)
        timers = SessionTimerPolicy("accept", 90, 90) if random.random() < 0.3 else NO_TIMERS
        self.ends = [End(self.network, host, timers=timers) for host in HOSTS]
        self.begun: list[tuple[End, Dialog]] = []
        for end in self.ends:
            end.user = Notary(random)
        for _ in range(steps):
            self.step()
            run(self.network.clock, random.choice((0.0, 0.05, 0.3, 1.0, 5.0)))
        self.finish(40)  # an INVITE may still be on its way, and whoever it reaches rings
        self.finish(500)

    def make_network(self, seed: int) -> MemoryNetwork:
        return MemoryNetwork(Clock(), seed, loss=0.25, duplicate=0.1, delay=(0.001, 0.2), late=(0.1, 2.0), most_lost=3)

    def finish(self, seconds: float) -> None:
        for end in self.ends:
            for dialog in end.dialogs:
                dialog.hang_up()
        run(self.network.clock, seconds)

    def step(self) -> None:
        end = self.random.choice(self.ends)
        dialogs = list(end.dialogs)
        if not dialogs or self.random.random() < 0.1:
            other = HOSTS[1 - HOSTS.index(end.host)]
            via = self.random.choice(("UDP", "UDP", "TCP"))
            sdp = OFFER if self.random.random() < 0.8 else b""
            self.begun.append((end, end.call(other, via=via, sdp=sdp)))
            return
        self.act(end, self.random.choice(dialogs))

    def act(self, end: End, dialog: Dialog) -> None:
        chance = self.random.random()
        assert isinstance(end.user, Notary)
        if dialog.is_offered:
            if chance < 0.4:
                dialog.ring(self.random.choice((180, 183)), reliable=chance < 0.2)
            elif chance < 0.8:
                dialog.accept(ANSWER)
            else:
                end.user.refused.add(dialog.id)
                dialog.reject(486)
        elif chance < 0.25:
            dialog.hang_up()
        elif dialog.is_established and chance < 0.6:
            dialog.offer(OFFER + b"a=%d\r\n" % int(chance * 1e6), lambda _: None)
        elif dialog.is_established and chance < 0.8:
            dialog.request(self.random.choice(("INFO", "OPTIONS")), then=lambda _: None)
        elif dialog.is_established:
            dialog.refer("sip:carol@192.0.2.3", then=lambda *_: None)


class ChaosTests(SynchronousTestCase):
    seeds = range(60)

    def test_nothing_is_left_whatever_happens(self) -> None:
        for seed in self.seeds:
            play = Play(seed)
            self.assertEqual([str(error.value) for error in self.flushLoggedErrors()], [], f"seed {seed}")
            for end in play.ends:
                left = (list(end.dialogs), end.layer.in_flight, len(end.layer.wheel), end.dialogs.active)
                self.assertEqual(left, ([], 0, 0, 0), f"seed {seed} at {end.host}")
                self.check_endings(end, play, seed)

    def check_endings(self, end: End, play: Play, seed: int) -> None:
        """Each user hears one ending; none when it refused the call itself."""
        notary = end.user
        assert isinstance(notary, Notary)
        for dialog in (*end.taken, *(dialog for caller, dialog in play.begun if caller is end)):
            heard = notary.ends.get(dialog.id, [])
            if dialog.id in notary.refused or (not dialog.is_caller and dialog.state is State.FAILED):
                self.assertEqual(heard, [], f"seed {seed}: {dialog}")
            else:
                self.assertEqual(len(heard), 1, f"seed {seed}: {dialog} {heard}")
