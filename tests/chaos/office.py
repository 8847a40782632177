"""A world with a switch: most people are called by it, phones hold, transfer, park and take calls, and an administrator
meddles.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Literal, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gosip_py.background import Background
from gosip_py.call.live import LiveCalls
from gosip_py.call.live_rows import CommandFailed
from gosip_py.call.park import Parking, ParkingTimes
from gosip_py.call.pickup import Pickups
from gosip_py.call.self_service import SelfService
from gosip_py.call.services import CallServices
from gosip_py.call.transfers import Transfers
from gosip_py.events import CallEnded, CallNoted, LineChanged, UserChanged
from gosip_py.store.records import GroupMember, RingGroup, User
from tests.chaos.asking import Exchange
from tests.chaos.audit import Audit
from tests.chaos.calling import Calling
from tests.chaos.conversation import Conversation
from tests.chaos.dialled import Dialled
from tests.chaos.handset import Handset
from tests.chaos.phone import Phone
from tests.chaos.referral import Referral
from tests.chaos.talk import Talk
from tests.chaos.world import NAMES, USERS, World
from tests.proxy.switchboard import Switchboard
from tests.registrar.fakes import NOW

__all__ = ["Command", "Office"]

_SCHEMAS = ("b2bua",) * 4 + ("proxy",)
_STRATEGIES = ("simultaneous", "sequential", "round_robin", "longest_idle")
_MEMBERS = (GroupMember(user_id=1), GroupMember(user_id=2), GroupMember(device_id=30), GroupMember(user_id=4))
_GROUP, _ORBITS = "600", ("701", "702")
_CODES = ("*8", "*8bob", "*8alice", "*78", "*79", "*79", "*72carol", "*73", "*73", "*68", "*43", "*80carol")
_TIMES = (ParkingTimes(90.0, 30.0, 2), ParkingTimes(20.0, 10.0, 1))
_TRANSFERS: tuple[Literal["blind", "attended"], ...] = ("blind", "blind", "attended")


@attrs.define
class Command:
    """What an administrator asked for. ``outcome`` is empty as long as nothing came of it."""

    name: str
    call_id: str
    outcome: str = ""


class Accounts:
    """The people, kept in the directory alone; sometimes they are gone."""

    def __init__(self, board: Switchboard, chance: random.Random) -> None:
        self._board = board
        self._chance = chance

    def user(self, user_id: int) -> User | None:
        return self._board.directory.user(user_id)

    async def change(self, user_id: int, changes: Mapping[str, Any]) -> bool:
        done: Deferred[None] = Deferred()
        self._board.clock.callLater(self._chance.uniform(0, 0.2), done.callback, None)
        await done
        user = self._board.directory.user(user_id)
        if user is None or self._chance.random() < 0.1:
            return False
        self._board.directory.apply_user(attrs.evolve(user, **changes))
        self._board.bus.publish(UserChanged(user_id))
        return True


class Office(World):
    """``targets`` are whom and what calls are sent to. ``referrals`` and ``commands`` are all that there were."""

    kind = "office"
    ends_long_calls = False
    # The copies that such a phone makes of one INVITE are merged where the switch answers (RFC 3261 8.2.2.2).
    forwarders: ClassVar[tuple[str, ...]] = ()
    phone_type: ClassVar[type[Phone]] = Handset
    calling_type: ClassVar[type[Calling]] = Dialled

    def __init__(self, seed: int) -> None:
        self.referrals: list[Referral] = []
        self.commands: list[Command] = []
        self.lamps: list[LineChanged] = []
        self.noted: list[CallNoted] = []
        World.__init__(self, seed)
        self.names = (*NAMES, *NAMES, _GROUP, _GROUP)
        self.targets = (*self.names, "*68", "*68", *_ORBITS, *_CODES[:4], "*72bob", "nobody")
        self.audit = Audit(self)

    # -- who is there --------------------------------------------------------------------------------------------------

    def _populate(self) -> None:
        World._populate(self)
        chance, board = self.chance, self.board
        board.dialogs.random = random.Random(chance.random())
        self.schemas = {person.login: chance.choice(_SCHEMAS) for person in USERS if person.call_schema != "redirect"}
        for person in USERS:
            forward = chance.choice(("bob", "carol", _GROUP, "300")) if chance.random() < 0.15 else ""
            changed = attrs.evolve(
                person,
                call_schema=self.schemas.get(person.login, "redirect"),
                ring_seconds=chance.choice((0, 0, 8)),
                forward_no_answer=forward if chance.random() < 0.5 else "",
                forward_busy=forward,
            )
            board.directory.apply_user(changed)
        self._make_group()
        self._open_switch()

    def _make_group(self) -> None:
        chance = self.chance
        members = tuple(chance.sample(_MEMBERS, chance.randint(1, 4)))
        fallback = chance.choice(("", "", "erin", "bob"))
        group = RingGroup(
            5, _GROUP, "sales", chance.choice(_STRATEGIES), chance.choice((0, 6)), fallback, chance.random() < 0.5,
            NOW, NOW, members,
        )  # fmt: skip
        self.board.directory.apply_group(group)

    def _open_switch(self) -> None:
        """As the service does."""
        board, chance = self.board, self.chance
        switch = board.switch
        self.parking = Parking(switch, board.orbits, chance.choice(_TIMES))
        self.transfers = switch.transfers = Transfers(switch, self.parking)
        self.pickups = switch.pickups = Pickups(switch, board.groups, self._whose)
        self.background = Background()
        service = SelfService(Accounts(board, chance), board.dial_plan, self.background)
        switch.features = CallServices(self.parking, self.pickups, service)
        self.live = LiveCalls(switch, board.sessions, self.parking, self.transfers, board.directory)
        board.bus.subscribe(LineChanged, self.lamps.append)
        board.bus.subscribe(CallNoted, self._noted)

    def _whose(self, login: str) -> int | None:
        user = self.board.directory.user_by_login(login)
        return None if user is None else user.id

    # -- what happens --------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        World._arrange(self)
        chance, later = self.chance, self.clock.callLater
        for _ in range(chance.randint(1, 4)):
            later(chance.uniform(2, 40), self._call)
        for _ in range(chance.choice((0, 1, 2, 3))):
            later(chance.uniform(3, 60), self._dial, chance.choice((*_CODES, *_ORBITS, *_ORBITS)))
        for _ in range(chance.choice((0, 0, 1, 2))):
            later(chance.uniform(3, 50), self._take_over)
        for _ in range(chance.choice((0, 0, 1, 3))):
            later(chance.uniform(3, 60), self._command)
        if chance.random() < 0.15:
            later(chance.uniform(3, 90), self._kill)
        if chance.random() < 0.03:
            later(chance.uniform(10, 60), self._stop)
        self.audit.start()

    def _dial(self, name: str) -> None:
        callers = self._callers()
        if callers:
            self.begin_call(self.chance.choice(callers), name)

    def _take_over(self) -> None:
        """Somebody calls in place of somebody else, or takes what rings there (RFC 3891)."""
        callers, found = self._callers(), self._replaceable()
        if callers and found:
            chance = self.chance
            replaced = chance.choice(found) + chance.choice(("", "", ";early-only"))
            phone = cast(Handset, chance.choice(callers))
            self.calls.append(Dialled(phone, chance.choice(self.names), replaced=replaced))

    def _replaceable(self) -> list[str]:
        found = [call.replaces() for call in self.calls if isinstance(call, Dialled)]
        for phone in self.phones:
            if isinstance(phone, Handset):
                found += [alert.replaces for alert in phone.alerts.values() if not alert.transaction.is_final_sent]
                found += [talk.replaces() for talk in phone.talks.values() if isinstance(talk, Conversation)]
        return [each for each in found if each]

    def _kill(self) -> None:
        callers = self._callers()
        if callers:
            phone = self.chance.choice(callers)
            if self.may_die(phone):
                phone.die(self.chance.random() < 0.5)

    def _stop(self) -> None:
        """Every call is ended, as before a restart."""
        self.note("all calls are ended")
        _ = self.board.switch.hang_up_all()

    # -- the administrator ---------------------------------------------------------------------------------------------

    def _command(self) -> None:
        chance, live = self.chance, self.live
        live.list()  # it shows every call, whatever state that is in
        calls = [*self.board.switch.calls]
        kind = chance.choice(("hang_up", "hold", "resume", "transfer", "transfer", "park", "start", "pick_up"))
        if kind == "start":
            self._ask(kind, "", live.start(by=chance.randint(1, 4), target=chance.choice(self.targets)))
        elif calls:
            call_id = chance.choice(calls)
            self._ask(kind, call_id, self._commands[kind](self, call_id))
            if kind == "hold":
                self.clock.callLater(chance.uniform(0.1, 9), self._resume, call_id)

    def _resume(self, call_id: str) -> None:
        self._ask("resume", call_id, self.live.resume(call_id))

    def _transfer(self, call_id: str) -> Coroutine[Any, Any, object]:
        chance = self.chance
        kind = chance.choice(_TRANSFERS)
        return self.live.transfer(call_id, target=chance.choice(self.targets), kind=kind)

    _commands: ClassVar[dict[str, Callable[[Office, str], Coroutine[Any, Any, object]]]] = {
        "hang_up": lambda self, call_id: self.live.hang_up(call_id),
        "hold": lambda self, call_id: self.live.hold(call_id),
        "resume": lambda self, call_id: self.live.resume(call_id),
        "transfer": _transfer,
        "park": lambda self, call_id: self.live.park(call_id),
        "pick_up": lambda self, call_id: self.live.pick_up(call_id, by=self.chance.randint(1, 4)),
    }

    def _ask(self, name: str, call_id: str, asked: Coroutine[Any, Any, object]) -> None:
        command = Command(name, call_id)
        self.commands.append(command)
        self.note(f"somebody commands: {name} {self._title(call_id) if call_id else ''}")
        _ = Deferred.fromCoroutine(asked).addCallbacks(self._done, self._failed, (command,), {}, (command,))

    def _done(self, _result: object, command: Command) -> None:
        command.outcome = "done"
        self.note(f"{command.name} is done")

    def _failed(self, failure: Failure, command: Command) -> None:
        command.outcome = "failed"
        if failure.check(CommandFailed) is None:
            self.breach(f"{command.name} broke: {failure.getTraceback()}")
        else:
            self.note(f"{command.name} failed: {failure.getErrorMessage()}")

    # -- what must hold ------------------------------------------------------------------------------------------------

    def longest_talk(self) -> float:
        """The switch lets people talk as long as they like."""
        return self.chance.uniform(60, 600)

    def leaves_after(self, talk: Talk) -> float | None:
        """Each end of a call has a dialog, and a plan, of its own."""
        if talk.call_id not in self._plans:
            self.plan(talk.call_id)
        return World.leaves_after(self, talk)

    def may_differ(self, exchange: Exchange, event: CallEnded | None) -> bool:
        """Other phones and the administrator have their say too."""
        status = exchange.finals[0]
        if event is None:
            return exchange.takes_over and status >= 400
        ending = event.result, event.final_code
        if status < 300:
            # Whoever rang was answered on hold, and then the call could not be taken.
            return ending in (("failed", 480), ("cancelled", 487)) and self._is_taken
        if ending == ("answered", 200):
            return status in (480, 487, 504)  # given up when the answer still waited for a PRACK (RFC 3262 3)
        if event.final_code != status or event.ended_by == "callee":
            return False
        return event.result in ("failed", "rejected") or ending == ("cancelled", 487)

    def takes_messages(self, name: str) -> bool:
        """It waits for who does not want to be disturbed."""
        directory = self.board.directory
        device = directory.device_by_username(name)
        user = directory.user_by_login(name) or (directory.user(device.user_id or 0) if device is not None else None)
        return user is not None and not user.dnd

    def is_moot(self, exchange: Exchange) -> bool:
        """The switch does not repeat a 2xx to whoever hung up after their re-INVITE."""
        return exchange.is_in_dialog and any(
            talk.call_id == exchange.call_id and talk.is_bridged and talk.ended_at < exchange.failed_at
            for talk in exchange.phone.talks.values()
        )

    @property
    def _is_taken(self) -> bool:
        calls = [cast(Dialled, call) for call in self.calls]
        return any(call.replaced or call.name.startswith("*8") for call in calls) or any(
            command.name == "pick_up" for command in self.commands
        )

    # -- what is kept of it --------------------------------------------------------------------------------------------

    def _noted(self, event: CallNoted) -> None:
        self.noted.append(event)
        if any(ended.id == event.id for ended in self.board.books.ended):
            self.breach(f"{event.kind} was noted of a call that was over")
        what = " ".join(f"{name}={value}" for name, value in event.what.items() if name != "call_id")
        self.note(f"{self._title(event.id)}: {event.kind} {what}")
