"""What client and server transactions share: the step through their machine's table, and its timers.

A transaction keeps its place in the table and performs the effects that the table asks for. The functions at the end
are the effects that both sides know; client.py and server.py add their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from twisted.logger import Logger

from gosip_py.fsm import Row
from gosip_py.sip.message import Message, Request
from gosip_py.transaction.index import TransactionIndex
from gosip_py.transaction.machines import Effect, Machine, Signal, State
from gosip_py.transaction.timers import Timer
from gosip_py.transport.flow import Flow

__all__ = ["SHARED_EFFECTS", "Perform", "Rows", "Transaction", "performed"]

T = TypeVar("T", bound="Transaction")

Perform = Callable[[Any, Any], None]
"""Performs one effect: takes the transaction, and the message that the signal came with (or None)."""

Rows = dict[State, Row[Signal, State, Perform]]
"""The table of a machine, with whatever performs them in place of the effects."""

_TERMINATED = State.TERMINATED


class Transaction:
    """One request and its responses, on one flow.

    ``request`` is there until nobody can need it any more: see the two kinds.
    """

    __slots__ = (
        "_index",
        "_interval",
        "_key",
        "_repeating",
        "_rows",
        "_sent",
        "_state",
        "_timer",
        "flow",
        "method",
        "request",
    )

    log: ClassVar[Logger] = Logger()
    request: Request

    def __init__(self, index: TransactionIndex, rows: Rows, key: str, request: Request, flow: Flow) -> None:
        self.request = request
        self.flow = flow
        self.method = request.method
        self._index = index
        self._key = key
        self._rows = rows
        self._state = State.INITIAL
        self._sent = b""
        self._timer: Timer | None = None
        self._repeating: Timer | None = None
        self._interval = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self._state.name}>"

    @property
    def state(self) -> State:
        """Where the machine is."""
        return self._state

    @property
    def is_terminated(self) -> bool:
        """Whether the transaction is over and forgotten."""
        return self._state is _TERMINATED

    def step(self, signal: Signal, message: Message | None = None) -> None:
        """Let the machine take ``signal``. For the transaction room only."""
        self._state, effects = self._rows[self._state][signal]
        for perform in effects:
            perform(self, message)

    def timer_fired(self, kind: int) -> None:
        """A timer of ours: its kind is the signal."""
        self.step(Signal(kind))
        if self._state is _TERMINATED:
            self._let_go()

    def fail_flow(self) -> None:
        """The flow is gone."""
        self.step(Signal.TRANSPORT_ERROR)

    def end(self) -> None:
        """Forget the transaction, as it is; nobody is told."""
        self._state = _TERMINATED
        self._finish()
        self._let_go()

    def _finish(self) -> None:
        """Take the transaction out of every table. The owner stays: it may still be told why."""
        for timer in (self._timer, self._repeating):
            if timer is not None:
                timer.cancel()
        self._timer = self._repeating = None
        self._sent = b""

    def _let_go(self) -> None:
        """Drop the owner and the request, as nothing is left to tell them."""
        raise NotImplementedError

    def drop_request(self) -> None:
        """Let go of the request. For the transaction room only."""
        try:
            del self.request
        except AttributeError:
            pass  # dropped before

    def _repeat_after(self, seconds: float, kind: Signal) -> None:
        """Start the timer that repeats what was sent, in place of the one before."""
        if self._repeating is not None:
            self._repeating.cancel()
        self._interval = seconds
        self._repeating = self._index.wheel.start(seconds, self, kind)


def performed(machine: Machine, effects: dict[Effect, Perform]) -> Rows:
    """The rows of ``machine`` for transactions that perform ``effects``: looked up once, not at each step."""
    rows: Rows = {}
    for state, row in machine.rows.items():
        rows[state] = Row(row.name, row.state)
        for signal, (following, todo) in row.items():
            rows[state][signal] = (following, tuple(effects[effect] for effect in todo))
    return rows


def _resend(transaction: Transaction, _message: object) -> None:
    if transaction._sent:
        transaction.flow.send(transaction._sent)


def _done(transaction: Transaction, _message: object) -> None:
    transaction._finish()


def _starting(effect: Effect) -> Perform:
    """The start of a timer that ends a state, in place of the one before."""

    def start(transaction: Transaction, _message: object) -> None:
        index = transaction._index
        kind, seconds = index.lengths[transaction.flow.is_reliable][effect]
        running = transaction._timer
        if running is not None:
            running.cancel()
        if seconds:
            transaction._timer = index.wheel.start(seconds, transaction, kind)
        else:
            transaction._timer = None
            transaction.step(kind)

    return start


def _repeating(kind: Signal) -> Perform:
    """The start of a timer that repeats what was sent, which only unreliable transports have."""

    def start(transaction: Transaction, _message: object) -> None:
        if not transaction.flow.is_reliable:
            transaction._repeat_after(transaction._index.timing.t1, kind)

    return start


def _doubling(kind: Signal, *, is_capped: bool) -> Perform:
    def double(transaction: Transaction, _message: object) -> None:
        longer = transaction._interval * 2
        transaction._repeat_after(min(longer, transaction._index.timing.t2) if is_capped else longer, kind)

    return double


def _at_t2(transaction: Transaction, _message: object) -> None:
    transaction._repeat_after(transaction._index.timing.t2, Signal.TIMER_E)


def _stop_timer(transaction: Transaction, _message: object) -> None:
    if transaction._timer is not None:
        transaction._timer.cancel()
        transaction._timer = None


def _stop_repeating(transaction: Transaction, _message: object) -> None:
    if transaction._repeating is not None:
        transaction._repeating.cancel()
        transaction._repeating = None


SHARED_EFFECTS: dict[Effect, Perform] = {
    Effect.RESEND: _resend,
    Effect.DONE: _done,
    Effect.START_A: _repeating(Signal.TIMER_A),
    Effect.START_E: _repeating(Signal.TIMER_E),
    Effect.START_G: _repeating(Signal.TIMER_G),
    Effect.DOUBLE_A: _doubling(Signal.TIMER_A, is_capped=False),
    Effect.DOUBLE_E: _doubling(Signal.TIMER_E, is_capped=True),
    Effect.DOUBLE_G: _doubling(Signal.TIMER_G, is_capped=True),
    Effect.START_E_AT_T2: _at_t2,
    Effect.STOP_A: _stop_repeating,
    Effect.STOP_E: _stop_repeating,
    Effect.STOP_G: _stop_repeating,
    Effect.STOP_B: _stop_timer,
    Effect.STOP_TRYING: _stop_timer,
    Effect.START_B: _starting(Effect.START_B),
    Effect.START_D: _starting(Effect.START_D),
    Effect.START_F: _starting(Effect.START_F),
    Effect.START_H: _starting(Effect.START_H),
    Effect.START_I: _starting(Effect.START_I),
    Effect.START_J: _starting(Effect.START_J),
    Effect.START_K: _starting(Effect.START_K),
    Effect.START_L: _starting(Effect.START_L),
    Effect.START_M: _starting(Effect.START_M),
    Effect.START_TRYING: _starting(Effect.START_TRYING),
    Effect.START_LATE_TRYING: _starting(Effect.START_LATE_TRYING),
    Effect.START_EXPIRY: _starting(Effect.START_EXPIRY),
    Effect.START_CANCEL_WAIT: _starting(Effect.START_CANCEL_WAIT),
}
