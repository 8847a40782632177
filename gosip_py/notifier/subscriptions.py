"""Every subscription, found by its dialog, by what it watches, by who watches, and by the flow that it lives on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import attrs

from gosip_py.notifier.package import EventPackage
from gosip_py.notifier.subscription import Subscription
from gosip_py.notifier.usage import DialogId
from gosip_py.proxy.session import Caller
from gosip_py.transaction.sending import Sender
from gosip_py.transport.flow import Flow

_K = TypeVar("_K", bound=Hashable)

__all__ = ["SubscriptionLimits", "Subscriptions", "watcher_key"]

BURST = 32
TURN_SECONDS = 0.02


@attrs.frozen
class SubscriptionLimits:
    """How many subscriptions there may be, of all and of one device, and how long one may last, in seconds.

    ``farewells`` is how many subscribers are told when the server stops.
    """

    total: int = 50_000
    per_watcher: int = 200
    min_expires: int = 60
    max_expires: int = 7200
    farewells: int = 2000


def watcher_key(caller: Caller) -> Hashable:
    """Who subscribes, for the count: a device, or whoever a trusted neighbour names."""
    return caller.user if caller.device_id is None else caller.device_id


class Subscriptions:
    """The registry. What is due goes out a few at a time: a phone that everybody watches must not hold up calls."""

    def __init__(self, sender: Sender, now: Callable[[], float]) -> None:
        self.sender = sender
        self.wheel = sender.layer.wheel
        self.now = now
        self._by_dialog: dict[DialogId, Subscription] = {}
        self._by_key: dict[tuple[str, Hashable], dict[Subscription, None]] = {}
        self._by_watcher: dict[Hashable, dict[Subscription, None]] = {}
        self._by_flow: dict[Flow, dict[Subscription, None]] = {}
        self._due: deque[Subscription] = deque()
        self._is_turning = False

    def __len__(self) -> int:
        return len(self._by_dialog)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._by_dialog.values()))

    # -- asking --------------------------------------------------------------------------------------------------------

    def find(self, dialog: DialogId) -> Subscription | None:
        """The subscription that lives in this dialog."""
        return self._by_dialog.get(dialog)

    def of_watcher(self, watcher: Hashable) -> tuple[Subscription, ...]:
        """Those of one subscriber, the oldest first."""
        return tuple(self._by_watcher.get(watcher, ()))

    def of_resource(self, package: EventPackage, key: Hashable) -> tuple[Subscription, ...]:
        """Those that watch one thing."""
        return tuple(self._by_key.get((package.name, key), ()))

    # -- changing ------------------------------------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Take in a new one."""
        self._by_dialog[subscription.usage.id] = subscription
        self._by_key.setdefault((subscription.package.name, subscription.key), {})[subscription] = None
        self._by_watcher.setdefault(watcher_key(subscription.watch.watcher), {})[subscription] = None
        self.join_flow(subscription)
        subscription.package.arrive()

    def forget(self, subscription: Subscription) -> None:
        """Take out one that is over."""
        if self._by_dialog.pop(subscription.usage.id, None) is None:
            return
        self.leave_flow(subscription)
        _take_out(self._by_key, (subscription.package.name, subscription.key), subscription)
        _take_out(self._by_watcher, watcher_key(subscription.watch.watcher), subscription)
        subscription.package.leave()

    def changed(self, package: EventPackage, key: Hashable) -> bool:
        """Tell those who watch this; whether there are any."""
        watching = self._by_key.get((package.name, key))
        if watching is None:
            return False
        for subscription in watching:
            subscription.change()
        return True

    def end(self, subscriptions: Iterable[Subscription], reason: str) -> None:
        """Tell each of these subscribers that it is over."""
        for subscription in subscriptions:
            subscription.end(reason)

    # -- flows ---------------------------------------------------------------------------------------------------------

    def join_flow(self, subscription: Subscription) -> None:
        """Remember on which connection its subscriber is."""
        flow = subscription.usage.flow
        if flow is not None and flow.is_reliable:
            self._by_flow.setdefault(flow, {})[subscription] = None

    def leave_flow(self, subscription: Subscription) -> None:
        """Forget on which connection its subscriber was."""
        if subscription.usage.flow is not None:
            _take_out(self._by_flow, subscription.usage.flow, subscription)

    def flow_failed(self, flow: Flow) -> None:
        """A connection is gone; its subscribers are reached at their contacts, until they come back by another."""
        for subscription in self._by_flow.pop(flow, ()):
            subscription.usage.flow = None

    # -- turns ---------------------------------------------------------------------------------------------------------

    def enqueue(self, subscription: Subscription) -> None:
        """Give it a turn: at once when nobody is before it."""
        self._due.append(subscription)
        if not self._is_turning:
            self._is_turning = True
            self.wheel.start(0, self, 0)

    def timer_fired(self, _kind: int) -> None:
        for _ in range(min(BURST, len(self._due))):
            self._due.popleft().due()
        self._is_turning = bool(self._due)
        if self._is_turning:
            self.wheel.start(TURN_SECONDS, self, 0)


def _take_out(index: dict[_K, dict[Subscription, None]], key: _K, subscription: Subscription) -> None:
    held = index.get(key)
    if held is not None:
        held.pop(subscription, None)
        if not held:
            del index[key]
