"""Transfers, parking, pickups and commands of the API at random, over a network that loses, doubles and reorders.

Whatever happens: no leg is left, no orbit stays taken, no lamp stays on, every command is answered, and each call has
one ending.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.live import LiveCalls
from gosip_py.call.live_rows import CommandFailed
from gosip_py.call.orbits import Orbits
from gosip_py.call.park import Parking, ParkingTimes
from gosip_py.call.party import Party
from gosip_py.call.pickup import Pickups
from gosip_py.call.services import CallServices
from gosip_py.call.transfers import Transfers
from gosip_py.call.verdict import Attempt, Refuse, UseFeature, Verdict
from gosip_py.dialog.dialog import Dialog
from gosip_py.events import CallNoted, LineChanged
from gosip_py.proxy.session import Sessions
from gosip_py.transport.flow import Target
from tests.call.office import DOMAIN, SERVER, Handset
from tests.call.test_lossy import RandomCalls, RandomPhone, RandomPlan, host_of
from tests.registrar.fakes import device, directory, user

SEEDS = 150
ORBITS = ("701", "702")
MORE_CALLS = 4
COMMANDS = 5


class ServicePhone(RandomPhone):
    """A phone that transfers, parks, and takes calls."""

    def _change(self, dialog: Dialog) -> None:
        if self.moves.random() < 0.5 or not dialog.is_established:
            RandomPhone._change(self, dialog)
            return
        others = [other for other in self.dialogs if other is not dialog and not other.is_over]
        if others and self.moves.random() < 0.5:
            dialog.refer(f"sip:p1@{DOMAIN}", replaces=self.moves.choice(others), then=self._referred)
        else:
            target = self.moves.choice(("p0", "p1", "p2", "p3", "p4", "*68", *ORBITS, "nobody"))
            dialog.refer(f"sip:{target}@{DOMAIN}", then=self._referred)
        if self.moves.random() < 0.4:
            self.later(2, dialog.hang_up)

    def _ring(self, dialog: Dialog) -> None:
        RandomPhone._ring(self, dialog)
        # When all that it says is lost, nobody knows that it rings, and nobody can cancel it.
        self.office.clock.callLater(100, dialog.reject, 480)

    def _referred(self, status: int, reason: str) -> None:
        """Fine, or not."""

    def take_over(self) -> None:
        """Take the place of somebody's dialog, as a lamp tells its ids."""
        legs = [leg for call in self.office.switch.calls.values() for leg in call.legs]
        if legs:
            named = self.moves.choice(legs).dialog
            value = f"{named.call_id};to-tag={named.local_tag};from-tag={named.remote_tag}"
            self.dialogs.invite(
                self,
                uri=f"sip:p0@{DOMAIN}",
                target=Target("UDP", SERVER, 5060),
                from_=f"<sip:{self.name}@{DOMAIN}>",
                to=f"<sip:p0@{DOMAIN}>",
                contact_user=self.name,
                sdp=self.sdp(),
                headers=(("replaces", value),),
            )


class ServicePlan(RandomPlan):
    def route(self, attempt: Attempt) -> Verdict:
        name = attempt.dialled
        if name in ORBITS:
            return UseFeature("park" if attempt.is_transfer else "retrieve", name)
        if name == "*68":
            return UseFeature("park")
        if name == "nobody":
            return Refuse(404, "nobody has that name")
        if name.startswith("*8"):
            return UseFeature("pickup", name[2:]) if name[2:] else UseFeature("group_pickup")
        return RandomPlan.route(self, attempt)


class Anybody:
    """May take every call of the office."""

    def may_pick_up(self, who: Party, called: Party) -> bool:
        return who.user_id is not None

    may_group_pick_up = may_pick_up


class RandomServices(RandomCalls):
    def __init__(self, seed: int) -> None:
        RandomCalls.__init__(self, seed)
        office, moves, names = self.office, self.moves, list(self.phones)
        self.phones = {
            name: ServicePhone(office, name, host_of(name), random.Random(seed + at)) for at, name in enumerate(names)
        }
        office.plan = office.switch.router = ServicePlan(names, moves)
        for name in names:
            party = Party(name, user_id=_number(name), device_id=10 * _number(name), kind="device")
            office.phones.append(cast(Handset, SimpleNamespace(name=name, party=party)))
        self.parking = Parking(office.switch, Orbits(701, 702), ParkingTimes(20.0, 5.0, 1))
        transfers = office.switch.transfers = Transfers(office.switch, self.parking)
        pickups = office.switch.pickups = Pickups(office.switch, Anybody(), lambda login: None)
        office.switch.features = CallServices(self.parking, pickups)
        people = directory(
            *(user(_number(name), name) for name in names),
            *(device(10 * _number(name), _number(name), f"{name}-desk") for name in names),
        )
        sessions = Sessions(
            office.layer.wheel, office.now, office.bus, office.metrics, 7200.0, 32.0, lambda session: None
        )
        self.live = LiveCalls(office.switch, sessions, self.parking, transfers, people)
        self.commands: list[Deferred[object]] = []
        self.failures: list[Failure] = []
        self.done: Counter[str] = Counter()
        self.lamps: dict[tuple[str, str], str] = {}
        office.bus.subscribe(LineChanged, self._lit)
        office.bus.subscribe(CallNoted, lambda event: self.done.update([f"{event.kind} {event.what.get('result')}"]))

    def _lit(self, event: LineChanged) -> None:
        self.lamps[event.line, event.call] = event.state

    def play(self) -> None:
        moves, clock, names = self.moves, self.office.clock, list(self.phones)
        for _ in range(MORE_CALLS):
            phone = self.phones[moves.choice(names)]
            clock.callLater(moves.uniform(2, 50), phone.call, moves.choice((*ORBITS, "*8", "*8p1", "*8p2", *names)))
        for _ in range(2):
            phone = cast(ServicePhone, self.phones[moves.choice(names)])
            clock.callLater(moves.uniform(2, 30), phone.take_over)
        for _ in range(COMMANDS):
            clock.callLater(moves.uniform(1, 60), self._command)
        RandomCalls.play(self)

    def _command(self) -> None:
        rows, moves, live = self.live.list(), self.moves, self.live
        if not rows or moves.random() < 0.15:
            self._ask("start", live.start(by=moves.randrange(5), target=f"p{moves.randrange(5)}"))
            return
        row = moves.choice(rows)
        target, kind = f"p{moves.randrange(5)}", moves.choice(("blind", "attended"))
        commands: tuple[tuple[str, Any], ...] = (
            ("hold", lambda: live.hold(row.id)),
            ("resume", lambda: live.resume(row.id)),
            ("transfer", lambda: live.transfer(row.id, target=target, kind=kind)),  # type: ignore[arg-type]
            ("park", lambda: live.park(row.id)),
            ("pick_up", lambda: live.pick_up(row.id, by=moves.randrange(5))),
            ("dtmf", lambda: live.dtmf(row.id, digits="12")),
            ("hang_up", lambda: live.hang_up(row.id)),
        )
        name, command = moves.choice(commands)
        self._ask(name, command())

    def _ask(self, name: str, command: Coroutine[Any, Any, object]) -> None:
        result = Deferred.fromCoroutine(command)
        self.commands.append(result)
        _ = result.addCallbacks(lambda _: self.done.update([name]), self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CommandFailed) is None:
            self.failures.append(failure)

    def leftovers(self) -> dict[str, object]:
        found: dict[str, object] = {
            **RandomCalls.leftovers(self),
            "orbits": len(self.parking.orbits),
            "lamps": [lamp for lamp, state in self.lamps.items() if state != "terminated"],
            "commands": sum(not command.called for command in self.commands),
            "failures": [failure.getTraceback() for failure in self.failures],
        }
        return {name: value for name, value in found.items() if value}


def _number(name: str) -> int:
    return int(name[1:])


class LossyServiceTests(SynchronousTestCase):
    def test_nothing_is_left(self) -> None:
        done: Counter[str] = Counter()
        for seed in range(SEEDS):
            play = RandomServices(seed)
            play.play()
            self.assertEqual((seed, play.leftovers()), (seed, {}))
            done += play.done
        self.assertEqual(self.flushLoggedErrors(), [])
        for kind in ("transfer done", "park done", "retrieve None", "pickup None", "replace None", "hold", "start"):
            self.assertGreater(done[kind], 0, done)
