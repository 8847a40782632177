"""The message relay (RFC 3428 6, 7): forwards a MESSAGE to the phones of its recipient, keeps it when that is in vain.

The 202 says that the server answers for the message from now on, so it is sent when the row is in the store and not
before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

from gosip_py.background import Background
from gosip_py.messaging.attempt import is_temporary
from gosip_py.messaging.custody import CUSTODY, Effect, Signal, State
from gosip_py.messaging.mailbox import Mailboxes
from gosip_py.messaging.recipient import MessageLimits, Recipient
from gosip_py.messaging.stored import expiry_of, to_octets
from gosip_py.metrics import Metrics
from gosip_py.proxy.fork import WITHHELD, Outcome, Withheld
from gosip_py.proxy.route import ProxyTarget
from gosip_py.sip.message import Request, Response
from gosip_py.store.database import DatabaseError, IntegrityError
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer, TimerWheel
from gosip_py.transaction.validation import Refusal
from gosip_py.transport.flow import Flow

__all__ = ["MessageRelay"]

_RETRY_AFTER = (("retry-after", "30"),)
_AWAY = Refusal(480, "nobody can take this message now, and it cannot be kept: send it again later")
_FULL = Refusal(480, "the recipient is away and their mailbox is full: send it again when they are back")
_NO_ROOM = Refusal(503, "the recipient is away and the server can keep no more messages", _RETRY_AFTER)
_NO_STORE = Refusal(503, "the recipient is away and the message cannot be kept now: send it again", _RETRY_AFTER)


class Forwarding(Protocol):
    """What is asked of the proxy."""

    def relay(
        self,
        transaction: ServerTransaction,
        request: Request,
        targets: tuple[ProxyTarget, ...],
        outcome: Outcome | None = None,
    ) -> None:
        """Forward ``request`` to every target; ``outcome`` hears what becomes of it."""


class MessageRelay:
    """Takes each MESSAGE for one of our own people. ``mailboxes`` hold what waits."""

    log = Logger()

    def __init__(
        self,
        *,
        proxy: Forwarding,
        mailboxes: Mailboxes,
        wheel: TimerWheel,
        metrics: Metrics,
        now: Callable[[], float],
        limits: MessageLimits,
    ) -> None:
        self._proxy = proxy
        self.mailboxes = mailboxes
        self.wheel = wheel
        self.limits = limits
        self._outcomes = metrics.messages_kept
        self._now = now
        self._background = Background()

    async def open(self) -> None:
        """Begin to deliver what waits since an earlier run. DatabaseUnavailable."""
        await self.mailboxes.open()

    async def close(self) -> None:
        """Keep and deliver nothing any more. What is being written is not accepted: its sender will ask again."""
        await self.mailboxes.close()
        await self._background.stop()

    def receive(
        self,
        transaction: ServerTransaction,
        forwarded: Request,
        recipient: Recipient,
        targets: tuple[ProxyTarget, ...],
        may_store: bool,
    ) -> None:
        """Forward a MESSAGE, as ``forwarded``, to the phones of its recipient, or keep it when there are none.

        It is answered in any case. Without ``may_store`` nothing is kept.
        """
        most = self.limits.octets
        if len(forwarded.body) > most:
            Refusal(513, f"a message holds at most {most} octets: send the rest another way").send(transaction)
            return
        # One that comes while others are delivered is behind them, or it would overtake.
        tried = () if may_store and self.mailboxes.is_emptying(recipient) else targets
        custody = Custody(self, transaction, forwarded, recipient, bool(tried)) if may_store else None
        if tried:
            if custody is not None:
                custody.offer()
            self._proxy.relay(transaction, forwarded, tried, custody)
        elif custody is None:
            _AWAY.send(transaction)
        else:
            self._keep_at_once(transaction, custody)

    def _keep_at_once(self, transaction: ServerTransaction, custody: Custody) -> None:
        refusal = self.refusal_of(custody.request, custody.recipient)
        if refusal is None:
            custody.take(Signal.UNREACHED)
        else:
            refusal.send(transaction)

    # -- keeping ------------------------------------------------------------------------------------------------------

    def refusal_of(self, request: Request, recipient: Recipient) -> Refusal | None:
        """Why this message cannot be kept, None when it can."""
        now = self._now()
        if self.mailboxes.is_full(recipient):
            return _FULL
        if self.mailboxes.are_full:
            return _NO_ROOM
        if expiry_of(request, now, self.limits.keep_seconds) <= now:
            return _AWAY
        return None if self.mailboxes.is_open else _NO_STORE

    def write(self, custody: Custody) -> None:
        """Begin to keep a message; its custody hears when it is written, or that it is not."""
        _ = self._background.start("keep a message", self._write(custody))

    async def _write(self, custody: Custody) -> None:
        request, now = custody.request, self._now()
        signal = Signal.UNWRITTEN
        try:
            custody.message_id = await self.mailboxes.put(
                custody.recipient,
                custody.sender,
                now,
                expiry_of(request, now, self.limits.keep_seconds),
                to_octets(request, now),
            )
            self._outcomes.child("kept").inc()
            signal = Signal.WRITTEN
        except IntegrityError:
            self.log.info("a message is not kept: its recipient was deleted")
        except DatabaseError as error:
            self.log.error("a message could not be kept: {error}", error=str(error))
        finally:
            custody.take(signal)


class Custody:
    """One MESSAGE until its sender has an answer and the phones have spoken: does what the table says.

    The outcome of its forwarding; ``message_id`` is its row once it has one. ParseError when From cannot be read.
    """

    __slots__ = (
        "_relay",
        "_said",
        "_state",
        "_timer",
        "_transaction",
        "message_id",
        "recipient",
        "request",
        "sender",
        "was_tried",
    )

    def __init__(
        self,
        relay: MessageRelay,
        transaction: ServerTransaction,
        request: Request,
        recipient: Recipient,
        was_tried: bool,
    ) -> None:
        self._relay = relay
        self._transaction = transaction
        self._state: State = CUSTODY.initial
        self._timer: Timer | None = None
        self._said = 0  # what the phones said in the end
        self.request = request
        self.sender = request.from_.uri_text
        self.recipient = recipient
        self.was_tried = was_tried
        self.message_id = 0

    def offer(self) -> None:
        """The phones get it now: wait for what they say, but not for ever."""
        self._timer = self._relay.wheel.start(self._relay.limits.patience, self, 0)

    def timer_fired(self, kind: int) -> None:
        self._timer = None
        if self._relay.refusal_of(self.request, self.recipient) is None:
            self.take(Signal.IMPATIENT)

    def take(self, signal: Signal) -> None:
        """Go on by the table."""
        self._state, effects = CUSTODY.step(self._state, signal)
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        mailboxes = self._relay.mailboxes
        match effect:
            case Effect.WRITE:
                self._relay.write(self)
            case Effect.ACCEPT:
                self._transaction.reply(202)
            case Effect.APOLOGIZE:
                _NO_STORE.send(self._transaction)
            case Effect.RELEASE:
                mailboxes.release(self.recipient, self.was_tried)
            case Effect.DROP:
                mailboxes.drop(self.recipient, self.message_id, self._said)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what the forwarding came to ----------------------------------------------------------------------------------

    def provisional(self, response: Response, phone_flow: Flow | None) -> None:
        """No provisional response to a MESSAGE goes upstream (RFC 4320 4.1)."""

    def success(self, response: Response, phone_flow: Flow | None) -> None:
        self._stop_waiting()
        self._said = response.status
        self.take(Signal.TAKEN)
        self._relay.mailboxes.kick(self.recipient)

    def failure(self, response: Response, is_ours: bool) -> Response | Withheld | None:
        self._stop_waiting()
        self._said = response.status
        is_offered = self._state is State.OFFERED
        if not is_temporary(response.status) or self._is_given_up:
            self.take(Signal.REFUSED)
            return None
        refusal = self._relay.refusal_of(self.request, self.recipient) if is_offered else None
        if refusal is not None:
            self.take(Signal.REFUSED)
            if refusal is _AWAY:
                return None
            refusal.send(self._transaction)
            return WITHHELD
        self.take(Signal.UNREACHED)
        return WITHHELD

    @property
    def _is_given_up(self) -> bool:
        """Whether the sender is gone and was promised nothing: the phones may take it still, and nobody else shall."""
        sender = self._transaction
        return not sender.is_final_sent and (sender.is_terminated or not sender.flow.is_open)

    def cancelled(self) -> None:
        """Only an INVITE can be cancelled (RFC 3261 9.1)."""
