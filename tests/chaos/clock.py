"""A virtual clock for long runs: a heap in place of a list that is sorted again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

__all__ = ["SwiftClock"]


class SwiftClock(Clock):
    """As twisted's; calls of the same moment are made in the order in which they were asked for."""

    def __init__(self) -> None:
        Clock.__init__(self)
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._serials = count()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        call = DelayedCall(self.rightNow + delay, callable, args, kw, _ignore, self._push, self.seconds)
        self._push(call)
        return call

    def _push(self, call: DelayedCall) -> None:
        heappush(self._heap, (call.getTime(), next(self._serials), call))

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return [call for _, _, call in self._heap if not call.cancelled]

    def advance(self, amount: float) -> None:
        self.run(self.rightNow + amount)

    def run(self, end: float) -> None:
        """Make every call that is due until ``end``, each in its own moment."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            due, _, call = heappop(heap)
            if call.cancelled or call.called:
                continue
            if call.getTime() > due:
                self._push(call)  # it was put off meanwhile
                continue
            self.rightNow = max(self.rightNow, due)
            call.called = 1
            call.func(*call.args, **call.kw)
        self.rightNow = max(self.rightNow, end)


def _ignore(_call: DelayedCall) -> None:
    """What was cancelled is passed over when its time comes."""
