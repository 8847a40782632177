"""Who is waited for: one mailbox for each recipient of messages in the store, and when they are tried again.

The rows are read one at a time, when they are about to be sent; here is only how many there are. A mailbox is emptied
in the order of arrival: when one of the recipient's phones registers, when an administrator changed the person, and
some time after an attempt that failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

from gosip_py.background import Background
from gosip_py.events import BindingAdded, BindingRefreshed, Bus, UserChanged
from gosip_py.messaging.attempt import Attempt, is_unsettled
from gosip_py.messaging.recipient import Correspondents, MessageLimits, Recipient
from gosip_py.messaging.stored import from_octets
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.store.database import DatabaseError, DatabaseTimeout
from gosip_py.store.records import MessageQueue, OfflineMessage
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.timers import Timer

__all__ = ["Mailboxes", "Shelf"]

ARRIVAL_SECONDS = 0.1
"""How long after a REGISTER its phone is sent what waits: the answer to the REGISTER goes first."""

NOT_A_MESSAGE = 400


class Shelf(Protocol):
    """Where messages lie; every method may raise DatabaseError."""

    async def add(
        self,
        *,
        user_id: int,
        device_id: int | None,
        sender: str,
        received_at: float,
        expires_at: float,
        request: bytes,
    ) -> int: ...

    async def first(self, user_id: int, device_id: int | None, now: float) -> OfflineMessage | None: ...

    async def delete(self, message_id: int) -> bool: ...

    async def queues(self) -> tuple[MessageQueue, ...]: ...

    async def prune(self, now: float) -> tuple[tuple[int, int | None], ...]: ...


class Mailbox:
    """What is known of one recipient's messages without reading them.

    ``count`` rows lie in the store or are being written. While ``held`` is not 0 nothing is delivered, for the phones
    still think about one of them. ``spent`` are rows that must be deleted before the next is read. ``failures`` counts
    the attempts since the last one that did any good.
    """

    __slots__ = (
        "attempt",
        "count",
        "failures",
        "held",
        "is_busy",
        "is_due",
        "is_wanted",
        "recipient",
        "spent",
        "timer",
        "under_way",
    )

    def __init__(self, recipient: Recipient, attempt: Callable[[Mailbox], None]) -> None:
        self.recipient = recipient
        self.attempt = attempt
        self.count = 0
        self.held = 0
        self.failures = 0
        self.spent: list[int] = []
        self.is_busy = False
        self.is_due = False  # a phone has just come, and is about to be sent what waits
        self.is_wanted = False  # somebody asked for an attempt while none could begin
        self.timer: Timer | None = None
        self.under_way: set[str] = set()

    @property
    def is_needed(self) -> bool:
        return bool(self.count or self.held or self.is_busy or self.spent)

    def stop_waiting(self) -> None:
        self.is_due = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def timer_fired(self, kind: int) -> None:
        self.timer = None
        self.attempt(self)


class Mailboxes:
    """Every mailbox that has something in it; opened before the first message comes, closed before the store is."""

    log = Logger()

    def __init__(
        self,
        *,
        shelf: Shelf,
        sender: Sender,
        correspondents: Correspondents,
        bus: Bus,
        metrics: Metrics,
        now: Callable[[], float],
        limits: MessageLimits,
    ) -> None:
        self._shelf = shelf
        self._sender = sender
        self._correspondents = correspondents
        self._bus = bus
        self._outcomes = metrics.messages_kept
        self._now = now
        self._limits = limits
        self._background = Background()
        self._boxes: dict[Recipient, Mailbox] = {}
        self._failing: set[Mailbox] = set()
        self._ready: deque[Mailbox] = deque()
        self._running = 0
        self._total = 0
        self._leave: list[Callable[[], None]] = []
        self._leave_refreshes: Callable[[], None] | None = None
        self.is_open = False
        metrics.messages_waiting.read_from(lambda: self._total)

    async def open(self) -> None:
        """Find who is waited for since an earlier run, and try them soon. DatabaseUnavailable."""
        for queue in await self._shelf.queues():
            box = self._box(Recipient(queue.user_id, queue.device_id))
            box.count += queue.messages
            self._total += queue.messages
        self._leave = [
            self._bus.subscribe(BindingAdded, self._binding_added),
            self._bus.subscribe(UserChanged, self._user_changed),
        ]
        self.is_open = True
        for box in self._boxes.values():
            self._attempt_soon(box)

    async def close(self) -> None:
        """Deliver nothing any more; what waits stays in the store."""
        self.is_open = False
        leave, self._leave = self._leave, []
        for unsubscribe in leave:
            unsubscribe()
        self._failing.clear()
        self._follow_refreshes()
        for box in self._boxes.values():
            box.stop_waiting()
        self._ready.clear()
        await self._background.stop()

    # -- keeping ------------------------------------------------------------------------------------------------------

    def is_emptying(self, recipient: Recipient) -> bool:
        """Whether messages are being delivered to them, or will be in a moment: another one waits its turn."""
        box = self._boxes.get(recipient)
        return box is not None and (box.is_busy or box.is_due)

    def is_full(self, recipient: Recipient) -> bool:
        """Whether this recipient has as many messages as one may have."""
        box = self._boxes.get(recipient)
        return box is not None and box.count >= self._limits.per_recipient

    @property
    def are_full(self) -> bool:
        """Whether there are as many messages as the server keeps."""
        return self._total >= self._limits.total

    async def put(
        self, recipient: Recipient, sender: str, received_at: float, expires_at: float, request: bytes
    ) -> int:
        """Write a message, and hold the mailbox until it is told `release` or `drop`, which must follow in any case.

        DatabaseError when it could not be kept.
        """
        box = self._box(recipient)
        box.count += 1
        box.held += 1
        self._total += 1
        is_there = True
        try:
            return await self._shelf.add(
                user_id=recipient.user_id,
                device_id=recipient.device_id,
                sender=sender,
                received_at=received_at,
                expires_at=expires_at,
                request=request,
            )
        except DatabaseError as error:
            # After a time-out nobody knows; the next attempt will see.
            is_there = isinstance(error, DatabaseTimeout)
            raise
        finally:
            if not is_there:
                self._lose(box, 1)

    def release(self, recipient: Recipient, was_tried: bool) -> None:
        """The phones think no more; they are tried later when that was in vain, else at once if they are there."""
        box = self._boxes[recipient]
        box.held -= 1
        if box.count and was_tried and not box.is_wanted:
            self._postpone(box)
        elif box.count and self._correspondents.targets(recipient):
            self._attempt(box)
        elif box.count:
            self._wait(box)
        self._forget_unneeded(box)

    def drop(self, recipient: Recipient, message_id: int, status: int) -> None:
        """A phone has answered this message after all, with this final ``status``: it waits no more."""
        box = self._boxes[recipient]
        self._lose(box, 1)
        self._note(box, message_id, status)
        _ = self._background.start("drop a message", self._delete(box, message_id))

    async def _delete(self, box: Mailbox, message_id: int) -> None:
        box.spent.append(message_id)
        try:
            await self._sweep(box)
        except DatabaseError as error:
            self.log.warn("a message that was delivered is deleted later: {error}", error=str(error))
        finally:
            box.held -= 1  # until here nobody may read the row
        self._attempt(box)
        self._forget_unneeded(box)

    async def _sweep(self, box: Mailbox) -> None:
        """Delete the rows that are not needed any more, before another is read."""
        while box.spent:
            await self._shelf.delete(box.spent[0])
            box.spent.pop(0)

    async def prune(self, now: float) -> int:
        """Delete what has expired by ``now``; how many that were. DatabaseUnavailable."""
        gone = await self._shelf.prune(now)
        for user_id, device_id in gone:
            box = self._boxes.get(Recipient(user_id, device_id))
            if box is not None:
                self._lose(box, 1)
                self._forget_unneeded(box)
        if gone:
            self._outcomes.child("expired").inc(len(gone))
            self.log.info("{count} messages waited in vain and are dropped", count=len(gone))
        return len(gone)

    # -- the books ----------------------------------------------------------------------------------------------------

    def _box(self, recipient: Recipient) -> Mailbox:
        box = self._boxes.get(recipient)
        if box is None:
            box = self._boxes[recipient] = Mailbox(recipient, self._attempt)
        return box

    def _lose(self, box: Mailbox, count: int) -> None:
        count = min(count, box.count)
        box.count -= count
        self._total -= count

    def _forget_unneeded(self, box: Mailbox) -> None:
        if not box.is_needed and self._boxes.get(box.recipient) is box:
            del self._boxes[box.recipient]
            box.stop_waiting()
            self._set_failing(box, False)

    # -- when ---------------------------------------------------------------------------------------------------------

    def kick(self, recipient: Recipient) -> None:
        """One of their phones was just heard to take a message."""
        box = self._boxes.get(recipient)
        if box is not None:
            self._attempt(box)

    def _binding_added(self, event: BindingAdded) -> None:
        for box in self._boxes_at(event.aor) if self._boxes else ():
            self._attempt_soon(box)

    def _binding_refreshed(self, event: BindingRefreshed) -> None:
        for box in self._boxes_at(event.aor):
            if box in self._failing:
                self._attempt_soon(box)

    def _boxes_at(self, aor: str) -> list[Mailbox]:
        found = map(self._boxes.get, self._correspondents.at(aor))
        return [box for box in found if box is not None]

    def _user_changed(self, event: UserChanged) -> None:
        for box in tuple(self._boxes.values()):
            if box.recipient.user_id == event.id:
                self._attempt_soon(box)

    def _attempt_soon(self, box: Mailbox) -> None:
        self._attempt_in(box, ARRIVAL_SECONDS)
        box.is_due = self.is_open

    def _postpone(self, box: Mailbox) -> None:
        """After an attempt in vain."""
        limits = self._limits
        delay = min(limits.first_delay * 2 ** min(box.failures, 16), limits.last_delay)
        box.failures += 1
        self._attempt_in(box, delay)
        self._set_failing(box, self.is_open)

    def _wait(self, box: Mailbox) -> None:
        """There is no phone: one that registers is heard of. Somebody may be back in a way that nobody tells us."""
        self._attempt_in(box, self._limits.last_delay)

    def _attempt_in(self, box: Mailbox, seconds: float) -> None:
        box.stop_waiting()
        if self.is_open:
            box.timer = self._sender.layer.wheel.start(seconds, box, 0)

    def _set_failing(self, box: Mailbox, is_failing: bool) -> None:
        if is_failing:
            self._failing.add(box)
        else:
            self._failing.discard(box)
        self._follow_refreshes()

    def _follow_refreshes(self) -> None:
        """Refreshes are heard only while they can help: with a listener each of them costs more."""
        if self._failing and self._leave_refreshes is None:
            self._leave_refreshes = self._bus.subscribe(BindingRefreshed, self._binding_refreshed)
        elif not self._failing and self._leave_refreshes is not None:
            self._leave_refreshes()
            self._leave_refreshes = None

    # -- delivering ---------------------------------------------------------------------------------------------------

    def _attempt(self, box: Mailbox) -> None:
        """Empty a mailbox, if nobody is at it, as soon as there is a place among those that are emptied."""
        box.is_due = False
        if box.is_busy or box.held:
            box.is_wanted = True
        elif self.is_open and (box.count or box.spent):
            box.stop_waiting()
            box.is_busy = True
            self._ready.append(box)
            self._start_ready()

    def _start_ready(self) -> None:
        while self._ready and self._running < self._limits.at_once:
            self._running += 1
            _ = self._background.start("deliver messages", self._empty(self._ready.popleft()))

    async def _empty(self, box: Mailbox) -> None:
        try:
            while await self._deliver_next(box):
                pass
        except DatabaseError as error:
            self.log.info("messages wait for the store: {error}", error=str(error))
            self._postpone(box)
        finally:
            box.is_busy = False
            self._running -= 1
            if box.is_wanted:
                self._attempt(box)
            self._forget_unneeded(box)
            if self.is_open:
                self._start_ready()

    async def _deliver_next(self, box: Mailbox) -> bool:
        """Deliver the message that waits longest; whether it is worth going on."""
        if self._is_held(box):
            return False
        box.is_wanted = False
        await self._sweep(box)
        recipient = box.recipient
        message = await self._shelf.first(recipient.user_id, recipient.device_id, self._now())
        if self._is_held(box):
            return False
        if message is not None:
            return await self._deliver(box, message)
        if not box.is_wanted:
            self._lose(box, box.count)  # what was counted has expired, or its owner is gone
        return box.is_wanted

    @staticmethod
    def _is_held(box: Mailbox) -> bool:
        """Whoever holds it says when to go on. Asked again after each wait."""
        return box.held > 0

    async def _deliver(self, box: Mailbox, message: OfflineMessage) -> bool:
        targets = self._correspondents.targets(box.recipient)
        if not targets:
            self._set_failing(box, True)
            self._wait(box)
            return False
        try:
            request = from_octets(message.request, box.failures + 1)
        except ParseError:
            status = NOT_A_MESSAGE
        else:
            status = await Attempt(self._sender, request, box.under_way).send(targets)
        if is_unsettled(status):
            self._postpone(box)
            return False
        await self._settle(box, message, status)
        return True

    async def _settle(self, box: Mailbox, message: OfflineMessage, status: int) -> None:
        """It was taken, or will never be: either way it waits no more."""
        box.failures = 0
        self._set_failing(box, False)
        self._lose(box, 1)
        self._note(box, message.id, status)
        box.spent.append(message.id)
        await self._sweep(box)

    def _note(self, box: Mailbox, message_id: int, status: int) -> None:
        """What became of a message whose sender has been told that it is kept; never what it says."""
        self._outcomes.child("delivered" if status < 300 else "refused").inc()
        if status >= 300:
            told = {"id": message_id, "user": box.recipient.user_id, "status": status}
            self.log.warn("message {id} for user {user} was refused with {status} and is dropped", **told)
