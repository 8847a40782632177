"""The ladders: the SIP messages of each call, while it goes on and for some days after.

The transports hand over each message that comes and goes; those of a call are known by its Call-IDs, from its INVITE
on. They stay in memory as they are for some seconds, then packed, and go to the store when the call has ended. All of
it is bounded: the messages of a call, the octets of a message, and the whole; what was there longest goes first. So is
the work, at some 50 calls a second: of more, for longer than ten seconds, those that failed keep their ladders.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gosip_py.call.rung import LARGEST, Entry, Rung, pack, unpack
from gosip_py.events import Bus, CallEnded, CallNoted, CallStarted, LegStarted
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Message, Request
from gosip_py.store.records import CallLadder
from gosip_py.store.write_behind import WriteBehind
from gosip_py.transport.flow import Flow

__all__ = ["LadderStore", "Ladders"]

MOST_RUNGS = 64
"""Messages that are kept of a call until it is packed, and again of what comes after: the last ones."""

MOST_WAITING = 1000
"""INVITEs of which nobody has said yet that they are a call."""

MOST_OCTETS = 32 * 1024 * 1024
MOST_ROWS = 1000  # that wait for a store that is away

WRITE_SECONDS = 1.0  # whoever reads one that waits has it written first
LINGER_SECONDS = 2.0  # the answer to a BYE comes after the end
SETTLE_SECONDS = 10.0  # a call that is longer is packed meanwhile
_PACKED_AT_ONCE = 10  # two milliseconds of work
_PAUSE_SECONDS = 0.1
_BUSY = 100  # when more are ending, they are not compressed: disk is cheaper then
_MOST_ENDING = 250  # when more are ending, what ended well is not kept: more than 100 calls a second, for a while
_LARGEST_ROW = 128 * 1024  # octets of a call above which only the beginning of each message is kept, then nothing
_BEGINNING = 1024
_OVERHEAD = 160  # octets of memory of a rung beside its message

_CALL_ID = re.compile(rb"\r\n(?:Call-ID|i)[ \t]*+:(?:[ \t]|\r\n[ \t])*+([^\r\n]*+)", re.IGNORECASE)


# What a recording that nobody needs any more holds: an empty deque has room for 64 things all the same.
_NOTHING: deque[Entry] = deque(maxlen=0)


class LadderStore(Protocol):
    """Where ladders are kept."""

    async def write(self, rows: Sequence[CallLadder]) -> None: ...

    async def get(self, row_id: str) -> CallLadder | None: ...


class _Recording:
    """The messages of one call, or of an INVITE that may become one."""

    __slots__ = ("call_ids", "entries", "ids", "packed")

    def __init__(self, call_id: str) -> None:
        self.ids: list[str] = []  # of calls that share it: usually one, none as long as nobody called it a call
        self.call_ids = [call_id]
        self.entries: deque[Entry] = deque(maxlen=MOST_RUNGS)
        self.packed = b""

    @property
    def octets(self) -> int:
        """Memory that it takes, about."""
        return len(self.packed) + sum([len(entry[4]) + _OVERHEAD for entry in self.entries])

    def settle(self, is_compressed: bool) -> None:
        """Pack what is there."""
        if self.entries and len(self.packed) < _LARGEST_ROW:
            if self.octets > _LARGEST_ROW:
                shortened = [(*entry[:4], entry[4][:_BEGINNING]) for entry in self.entries]
                self.packed += pack(shortened, is_compressed)
            else:
                self.packed += pack(self.entries, is_compressed)
        self.entries.clear()

    def take_over(self, early: _Recording, number: int) -> None:
        """What was noted of one more leg before it was known whose it is."""
        entries = [*self.entries, *((*entry[:3], number, entry[4]) for entry in early.entries)]
        self.entries.clear()
        self.entries.extend(sorted(entries, key=_time_of))
        early.entries.clear()


class _Leg:
    """What a Call-ID stands for: a recording, and which leg of it."""

    __slots__ = ("entries", "number", "recording")

    def __init__(self, recording: _Recording, number: int) -> None:
        self.recording = recording
        self.entries = recording.entries
        self.number = number


class Ladders:
    """Hears of every message (`received`, `sent`) and of every call on the bus; `read` shows the ladder of a call.

    `now` gives epoch seconds; `shed` counts the ladders that were not kept because too many calls ended at once.
    """

    __slots__ = (
        "_behind",
        "_calls",
        "_clock",
        "_ending",
        "_legs",
        "_most_octets",
        "_now",
        "_octets",
        "_settling",
        "_store",
        "_timer",
        "_waiting",
        "shed",
    )

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        store: LadderStore,
        bus: Bus,
        metrics: Metrics,
        most_octets: int = MOST_OCTETS,
    ) -> None:
        self._clock = clock
        self._now = now
        self._store = store
        self._most_octets = most_octets
        self._behind: WriteBehind[str, CallLadder] = WriteBehind(clock, store.write, WRITE_SECONDS, MOST_ROWS)
        self.shed = 0
        metrics.rows_dropped.read_from("call_ladders", lambda: self._behind.dropped + self.shed)
        self._octets = 0  # at least what there is
        # By Call-ID, as text for what comes and as octets for what goes: neither is worth a conversion each time.
        self._legs: dict[str | bytes, _Leg] = {}
        self._waiting: OrderedDict[str, _Recording] = OrderedDict()
        self._calls: dict[str, _Recording] = {}
        self._settling: deque[tuple[float, _Recording]] = deque()
        self._ending: deque[tuple[float, str, float]] = deque()
        self._timer: IDelayedCall | None = None
        bus.subscribe(CallStarted, self._started)
        bus.subscribe(LegStarted, self._leg_started)
        bus.subscribe(CallNoted, self._noted)
        bus.subscribe(CallEnded, self._ended)

    # -- the messages: the packet path -------------------------------------------------------------------------------

    def received(self, message: Message, flow: Flow, octets: bytes) -> None:
        """A message as it came, before anybody changed it; `octets` may be b"" where only the message is at hand."""
        try:
            leg = self._legs.get(message.call_id)
        except ParseError:
            return
        if leg is None:
            if not isinstance(message, Request) or message.method != "INVITE" or not message.call_id:
                return
            leg = self._begin(message.call_id)
        if not octets:
            octets = message.to_bytes()
        leg.entries.append((self._now(), "in", flow, leg.number, octets))
        self._octets = octets_in_all = self._octets + len(octets)
        if len(octets) > LARGEST or octets_in_all > self._most_octets:
            self._limit(leg)

    def sent(self, octets: bytes, flow: Flow) -> None:
        """A message as it goes."""
        at = octets.find(b"\r\nCall-ID: ")
        if at >= 0:
            call_id = octets[at + 11 : octets.find(b"\r\n", at + 11)].rstrip()
        else:
            match = _CALL_ID.search(octets)
            call_id = match[1].rstrip() if match is not None else b""
        leg = self._legs.get(call_id)
        if leg is None:
            if octets[:7] != b"INVITE " or not call_id:
                return
            leg = self._begin(call_id.decode("utf-8", "surrogateescape"))
        leg.entries.append((self._now(), "out", flow, leg.number, octets))
        self._octets = octets_in_all = self._octets + len(octets)
        if len(octets) > LARGEST or octets_in_all > self._most_octets:
            self._limit(leg)

    def _limit(self, leg: _Leg) -> None:
        """Cut what was just noted, and count what there is: until then only what came was added up, not what went."""
        at, way, flow, number, octets = leg.entries.pop()
        leg.entries.append((at, way, flow, number, octets[:LARGEST]))
        if self._octets > self._most_octets:
            self._make_room()

    def _begin(self, call_id: str) -> _Leg:
        """An INVITE came or went whose Call-ID is new. Most become a call in this very turn."""
        recording = _Recording(call_id)
        leg = self._name(call_id, recording, 1)
        self._waiting[call_id] = recording
        if len(self._waiting) > MOST_WAITING:
            self._forget(next(iter(self._waiting.values())))
        return leg

    def _name(self, call_id: str, recording: _Recording, number: int) -> _Leg:
        leg = self._legs[call_id] = self._legs[call_id.encode("utf-8", "surrogateescape")] = _Leg(recording, number)
        return leg

    # -- the calls ---------------------------------------------------------------------------------------------------

    def _started(self, event: CallStarted) -> None:
        if not event.call_id:
            return
        leg = self._legs.get(event.call_id) or self._begin(event.call_id)
        recording = leg.recording
        self._waiting.pop(recording.call_ids[0], None)
        if not recording.ids:
            due = self._now() + SETTLE_SECONDS
            self._settling.append((due, recording))
            if self._timer is None:
                self._wake(due)
        recording.ids.append(event.id)
        self._calls[event.id] = recording

    def _leg_started(self, event: LegStarted) -> None:
        """One more Call-ID of a call, or one that moved to this call: what it said before stays where it is."""
        recording = self._calls.get(event.id)
        if recording is None:
            return
        leg = self._legs.get(event.call_id)
        known = leg.recording if leg is not None else None
        if known is recording:
            return
        number = len(recording.call_ids) + 1
        recording.call_ids.append(event.call_id)
        self._name(event.call_id, recording, number)
        if known is not None and not known.ids:
            self._take_over(known, recording, number)
        elif known is not None:
            known.call_ids.remove(event.call_id)

    def _take_over(self, early: _Recording, recording: _Recording, number: int) -> None:
        """The INVITE of the leg went out before we were told whose it is."""
        self._waiting.pop(early.call_ids[0], None)
        recording.take_over(early, number)

    def _noted(self, event: CallNoted) -> None:
        recording = self._calls.get(event.id)
        if recording is not None:
            told = " ".join(f"{name}={value}" for name, value in event.what.items() if value)
            text = f"{event.kind} {told}".rstrip()
            recording.entries.append((self._now(), "note", None, 0, text.encode("utf-8", "replace")[:LARGEST]))

    def _ended(self, event: CallEnded) -> None:
        recording = self._calls.get(event.id)
        if recording is None:
            return
        if len(self._ending) >= _MOST_ENDING and event.result != "failed":
            self.shed += 1
            self._let_go(event.id, recording)
        else:
            due = self._now() + LINGER_SECONDS
            self._ending.append((due, event.id, event.at))
            if len(self._ending) == 1:
                self._wake(due)

    # -- what is done a little later ---------------------------------------------------------------------------------

    def _wake(self, due: float) -> None:
        delay = max(_PAUSE_SECONDS, due - self._now())
        if self._timer is None:
            self._timer = self._clock.callLater(delay, self._turn)
        elif self._timer.getTime() - self._clock.seconds() > delay:
            self._timer.reset(delay)

    def _turn(self) -> None:
        """Pack some of what is due; the rest of it after a pause, for calls are not to wait behind it."""
        self._timer = None
        now = self._now()
        is_compressed = len(self._ending) <= _BUSY
        self._skip_what_is_over(now)
        for _ in range(_PACKED_AT_ONCE):
            if self._ending and self._ending[0][0] <= now:
                self._finish(*self._ending.popleft()[1:], is_compressed)
            elif self._settling and self._settling[0][0] <= now:
                self._settling.popleft()[1].settle(is_compressed=True)
            else:
                break
        waiting = [queue[0][0] for queue in (self._settling, self._ending) if queue]
        if waiting:
            self._wake(min(waiting))

    def _skip_what_is_over(self, now: float) -> None:
        """Short calls have ended before they had to be packed: there is nothing to do for them, and no turn to take."""
        settling = self._settling
        while settling and settling[0][0] <= now and not settling[0][1].ids:
            settling.popleft()

    def _finish(self, call: str, ended_at: float, is_compressed: bool) -> None:
        """Hand the ladder of a call that is over to the store."""
        recording = self._calls.get(call)
        if recording is None:
            return
        recording.settle(is_compressed)
        if recording.packed:
            self._behind.put(call, CallLadder(call, ended_at, recording.packed))
        self._let_go(call, recording)

    def _let_go(self, call: str, recording: _Recording) -> None:
        del self._calls[call]
        recording.ids.remove(call)
        if not recording.ids:
            self._forget(recording)

    def _forget(self, recording: _Recording) -> None:
        self._waiting.pop(recording.call_ids[0] if recording.call_ids else "", None)
        for call_id in recording.call_ids:
            leg = self._legs.get(call_id)
            if leg is not None and leg.recording is recording:
                del self._legs[call_id]
                self._legs.pop(call_id.encode("utf-8", "surrogateescape"), None)
        for call in recording.ids:
            self._calls.pop(call, None)
        recording.entries = _NOTHING
        recording.packed = b""

    def _make_room(self) -> None:
        """Let go of what is no call yet, then pack the calls that are not, then let go of the one that began first.

        To a tenth below the limit, so that it is not done for each message.
        """
        self._octets = self.octets
        while self._octets > self._most_octets * 0.9:
            if self._waiting:
                oldest = next(iter(self._waiting.values()))
                self._octets -= oldest.octets
                self._forget(oldest)
            elif self._settling:
                oldest = self._settling.popleft()[1]
                before = oldest.octets
                oldest.settle(is_compressed=True)
                self._octets += oldest.octets - before
            elif self._calls:
                oldest = next(iter(self._calls.values()))
                self._octets -= oldest.octets
                self._forget(oldest)
            else:
                break

    # -- what others ask ---------------------------------------------------------------------------------------------

    async def read(self, call: str) -> tuple[Rung, ...] | None:
        """The ladder of a call, by its id in the journal, with its secrets masked; None when there is none.

        Raises DatabaseUnavailable.
        """
        recording = self._calls.get(call)
        if recording is not None:
            return unpack(recording.packed + pack(recording.entries, is_compressed=False))
        await self._behind.flush()
        row = await self._store.get(call)
        return unpack(row.ladder) if row is not None else None

    @property
    def octets(self) -> int:
        """Memory that the messages take, about; it is counted when somebody asks."""
        kept = {id(recording): recording for recording in (*self._waiting.values(), *self._calls.values())}
        return sum([recording.octets for recording in kept.values()])

    async def close(self) -> None:
        """Write the ladders of the calls that are over; called after every call was ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ending:
            self._finish(*self._ending.popleft()[1:], is_compressed=True)
        await self._behind.close()


def _time_of(entry: Entry) -> float:
    return entry[0]
