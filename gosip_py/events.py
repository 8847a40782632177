"""The in-process bus, and the events that rooms tell each other of.

Who finds out that a call was answered publishes a frozen value here and knows no listener; the journal, the metrics and
the page listen and know no publisher. Publishing is a plain call: listeners run at once, in the order in which they
subscribed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import attrs
from twisted.logger import Logger

__all__ = [
    "BindingAdded",
    "BindingRefreshed",
    "BindingRemoved",
    "Bus",
    "CallAnswered",
    "CallEnded",
    "CallNoted",
    "CallRinging",
    "CallStarted",
    "DeviceChanged",
    "Direction",
    "EmergencyCalled",
    "EndedBy",
    "FeatureCodeChanged",
    "GroupChanged",
    "LegStarted",
    "LineChanged",
    "Result",
    "StoreAvailable",
    "StoreUnavailable",
    "UserChanged",
]

Direction = Literal["inbound", "outbound", "internal"]
EndedBy = Literal["caller", "callee", "system"]
Result = Literal["answered", "rejected", "cancelled", "no_answer", "failed", "redirected", "voicemail", "blocked"]

E = TypeVar("E")


@attrs.frozen
class CallStarted:
    """An INVITE that starts a call was accepted for handling.

    `id` names the call in all of its events and in the journal; `call_id` is the Call-ID header of the caller's leg.
    """

    id: str
    at: float
    """Epoch seconds, here and in every event."""
    call_id: str
    init_branch: str
    from_tag: str
    caller_user: str
    callee_user: str
    caller_uri: str
    callee_uri: str
    direction: Direction = "internal"
    did_id: int | None = None
    device_id: int | None = None


@attrs.frozen
class CallRinging:
    """The first provisional response above 100 went to the caller.

    `to_tag` is that of the dialog that rings, empty when it has none. When it is a leg of our own, `call_id` and
    `from_tag` are those of that leg; empty when the caller's INVITE itself went there.
    """

    id: str
    at: float
    code: int = 180
    to_tag: str = ""
    call_id: str = ""
    from_tag: str = ""


@attrs.frozen
class CallAnswered:
    """A 2xx went to the caller. `to_tag` is the answering leg's."""

    id: str
    at: float
    to_tag: str = ""
    code: int = 200
    reason: str = "OK"


@attrs.frozen
class CallEnded:
    """The call is over. Published exactly once for each `CallStarted`, whatever ended it.

    `final_code` and `final_reason` are those of the final response to the INVITE, or 0 and why there was none.
    """

    id: str
    at: float
    result: Result
    final_code: int
    final_reason: str
    ended_by: EndedBy


@attrs.frozen
class LegStarted:
    """The call `id` has one more leg, which we called: its messages bear this `call_id`."""

    id: str
    at: float
    call_id: str


@attrs.frozen
class CallNoted:
    """Something happened to a call on its way: a transfer, a pickup, a park, a forward.

    `what` may say more of it, all in text: `by` and `target` (names), `result`, and `call_id`, the id of another call
    that this one is linked to by it. Published between `CallStarted` and `CallEnded`.
    """

    id: str
    at: float
    kind: str
    what: Mapping[str, str]


@attrs.frozen
class LineChanged:
    """A call at a number that is nobody's own, such as a park orbit or a ring group: what a lamp for it shows.

    `call` names the call on that line; `terminated` says that it is there no more.
    """

    line: str
    call: str
    at: float
    state: Literal["early", "confirmed", "terminated"]


@attrs.frozen
class EmergencyCalled:
    """Somebody dialled an emergency number.

    `caller` is a login or the name of a device, `caller_id` the number that is shown to those who answer, `source` the
    numeric address of the phone. `is_sent` is False when there is no trunk to send it out by.
    """

    at: float
    number: str
    caller: str
    caller_id: str
    source: str
    device_id: int | None
    is_sent: bool


@attrs.frozen
class BindingAdded:
    """A contact registered for an AOR that did not have it.

    Here and in the next two, `id` names the binding for as long as it is refreshed (RFC 3680 5.2), `expires_at` is in
    epoch seconds, `call_id` and `cseq` are those of the REGISTER that was served last.
    """

    aor: str
    contact: str
    reason: str
    at: float
    id: str = ""
    expires_at: float = 0.0
    call_id: str = ""
    cseq: int = 0


@attrs.frozen
class BindingRefreshed:
    """A contact registered again before it expired."""

    aor: str
    contact: str
    reason: str
    at: float
    id: str = ""
    expires_at: float = 0.0
    call_id: str = ""
    cseq: int = 0


@attrs.frozen
class BindingRemoved:
    """A contact is gone.

    `reason` says why: unregistered, expired, replaced, ended by an administrator, flow failed, not answering.
    """

    aor: str
    contact: str
    reason: str
    at: float
    id: str = ""
    expires_at: float = 0.0
    call_id: str = ""
    cseq: int = 0


@attrs.frozen
class UserChanged:
    """A user was created, changed or deleted."""

    id: int


@attrs.frozen
class DeviceChanged:
    """A device was created, changed or deleted."""

    id: int


@attrs.frozen
class GroupChanged:
    """A ring group was created, changed or deleted."""

    id: int


@attrs.frozen
class FeatureCodeChanged:
    """Another code was chosen for a feature, or it was turned on or off."""

    feature: str


@attrs.frozen
class StoreUnavailable:
    """The store stopped answering; rows are kept until it is back."""

    at: float
    reason: str


@attrs.frozen
class StoreAvailable:
    """The store answers again."""

    at: float


class _Subscription:
    __slots__ = ("listener",)

    def __init__(self, listener: Callable[[Any], object]) -> None:
        self.listener = listener


class Bus:
    """Carries events from those who publish to those who subscribed to exactly that type."""

    log = Logger()

    def __init__(self) -> None:
        self._subscriptions: dict[type[Any], tuple[_Subscription, ...]] = {}

    def subscribe(self, event_type: type[E], listener: Callable[[E], object]) -> Callable[[], None]:
        """Call `listener` with each event of that very type (not of a subclass).

        The returned callable ends the subscription; calling it again does nothing.
        """
        # An object of its own for each subscription: the same callable may subscribe twice and leave once.
        subscription = _Subscription(listener)
        self._subscriptions[event_type] = (*self._subscriptions.get(event_type, ()), subscription)

        def unsubscribe() -> None:
            left = tuple(other for other in self._subscriptions.get(event_type, ()) if other is not subscription)
            if left:
                self._subscriptions[event_type] = left
            else:
                self._subscriptions.pop(event_type, None)

        return unsubscribe

    def has_listeners(self, event_type: type[object]) -> bool:
        """Whether anybody would hear it: the packet path asks before it makes a costly event."""
        return event_type in self._subscriptions

    def publish(self, event: object) -> None:
        """Hand `event` to its listeners. One that raises is logged and hurts neither the publisher nor the others."""
        subscriptions = self._subscriptions.get(type(event))
        if subscriptions is None:
            return
        for subscription in subscriptions:
            try:
                subscription.listener(event)
            except Exception:
                self.log.failure("a listener of {event_name} failed", event_name=type(event).__name__)
