"""The machine of a subscription as its notifier sees it (RFC 6665 4.2.2), without any doing of its own.

The figure of the RFC knows init, pending, active and terminated. Nobody is asked here whether a subscription is
granted, so none is ever pending. Active is told in five states, because at most one NOTIFY is under way and they keep a
distance: what changes meanwhile goes out afterwards, once, as it then is.
"""

from __future__ import annotations

from enum import IntEnum

from gosip_py.fsm import Table, complete

__all__ = ["ENDED", "SUBSCRIPTION", "Effect", "Signal", "State"]


class State(IntEnum):
    INIT = 0
    CURRENT = 1
    """The subscriber knows how things are."""
    WAITING = 2
    """Something changed; the distance to the last NOTIFY is not reached yet."""
    NOTIFYING = 3
    """A NOTIFY is under way."""
    STALE = 4
    """A NOTIFY is under way that is not true any more."""
    ASKED = 5
    """A NOTIFY is under way, and another was asked for: it goes out at once afterwards."""
    ENDING = 6
    """A NOTIFY is under way, and the last one goes out afterwards."""
    FAREWELL = 7
    """The last NOTIFY is under way."""
    TERMINATED = 8


class Signal(IntEnum):
    SUBSCRIBED = 0
    """A SUBSCRIBE was answered with 200: a NOTIFY follows at once (4.2.1.2)."""
    FETCHED = 1
    """So was a first one with Expires 0 (4.4.3)."""
    CHANGED = 2
    """What is watched changed."""
    DUE = 3
    """The distance is reached, and there is something new to say."""
    UNCHANGED = 4
    """The distance is reached, and all is as the subscriber knows it."""
    DELIVERED = 5
    """The NOTIFY was answered, or refused for a reason that does not end a subscription."""
    FAILED = 6
    """The NOTIFY was refused for good, or nobody answered it."""
    ENDED = 7
    """It expired, was ended by its subscriber, or may not go on."""
    LOST = 8
    """It is dropped without a word."""


class Effect(IntEnum):
    NOTIFY = 0
    FAREWELL = 1
    START_PAUSE = 2
    STOP_PAUSE = 3
    FORGET = 4


S, G, E = State, Signal, Effect

ENDED = frozenset((S.ENDING, S.FAREWELL, S.TERMINATED))
"""Where nothing can be subscribed to any more."""

_ARCS: dict[tuple[State, Signal], tuple[State, tuple[Effect, ...]]] = {
    (S.INIT, G.SUBSCRIBED): (S.NOTIFYING, (E.NOTIFY,)),
    (S.INIT, G.FETCHED): (S.FAREWELL, (E.FAREWELL,)),
    (S.CURRENT, G.SUBSCRIBED): (S.NOTIFYING, (E.NOTIFY,)),
    (S.CURRENT, G.CHANGED): (S.WAITING, (E.START_PAUSE,)),
    (S.CURRENT, G.ENDED): (S.FAREWELL, (E.FAREWELL,)),
    (S.WAITING, G.SUBSCRIBED): (S.NOTIFYING, (E.STOP_PAUSE, E.NOTIFY)),
    (S.WAITING, G.DUE): (S.NOTIFYING, (E.NOTIFY,)),
    (S.WAITING, G.UNCHANGED): (S.CURRENT, ()),
    (S.WAITING, G.ENDED): (S.FAREWELL, (E.STOP_PAUSE, E.FAREWELL)),
    (S.NOTIFYING, G.SUBSCRIBED): (S.ASKED, ()),
    (S.NOTIFYING, G.CHANGED): (S.STALE, ()),
    (S.NOTIFYING, G.DELIVERED): (S.CURRENT, ()),
    (S.NOTIFYING, G.ENDED): (S.ENDING, ()),
    (S.STALE, G.SUBSCRIBED): (S.ASKED, ()),
    (S.STALE, G.DELIVERED): (S.WAITING, (E.START_PAUSE,)),
    (S.STALE, G.ENDED): (S.ENDING, ()),
    (S.ASKED, G.DELIVERED): (S.NOTIFYING, (E.NOTIFY,)),
    (S.ASKED, G.ENDED): (S.ENDING, ()),
    (S.ENDING, G.DELIVERED): (S.FAREWELL, (E.FAREWELL,)),
    (S.FAREWELL, G.DELIVERED): (S.TERMINATED, (E.FORGET,)),
    **{
        (state, G.FAILED): (S.TERMINATED, (E.FORGET,))
        for state in (S.NOTIFYING, S.STALE, S.ASKED, S.ENDING, S.FAREWELL)
    },
    **{
        (state, G.LOST): (S.TERMINATED, (E.STOP_PAUSE, E.FORGET))
        for state in (S.CURRENT, S.WAITING, S.NOTIFYING, S.STALE, S.ASKED, S.ENDING, S.FAREWELL)
    },
}

_UNDER_WAY = (S.NOTIFYING, S.STALE, S.ASKED, S.ENDING, S.FAREWELL)
_ABSORBED = [
    *((state, G.CHANGED) for state in (S.WAITING, S.STALE, S.ASKED, S.ENDING, S.FAREWELL, S.TERMINATED)),
    *((state, G.ENDED) for state in (S.ENDING, S.FAREWELL, S.TERMINATED)),
    # who is dropped may still stand in the queue of those whose turn it is, and its last answer may still come
    *((state, signal) for state in (S.CURRENT, *_UNDER_WAY, S.TERMINATED) for signal in (G.DUE, G.UNCHANGED)),
    *((S.TERMINATED, signal) for signal in (G.DELIVERED, G.FAILED, G.LOST)),
    (S.ASKED, G.SUBSCRIBED),
]
_REFUSED = [
    *((S.INIT, signal) for signal in Signal if signal not in (G.SUBSCRIBED, G.FETCHED)),
    *((state, G.FETCHED) for state in State if state is not S.INIT),
    *((state, G.SUBSCRIBED) for state in (S.ENDING, S.FAREWELL, S.TERMINATED)),
    *((state, signal) for state in (S.CURRENT, S.WAITING) for signal in (G.DELIVERED, G.FAILED)),
]

SUBSCRIPTION: Table[State, Signal, Effect] = complete("Subscription", State, Signal, _ARCS, _ABSORBED, _REFUSED)
