"""What becomes of a parked call, whoever does something first: its machine.

Somebody is put on hold at an orbit. Whoever dials the orbit is connected with them; when nobody does, the parker is
rung back, a few times. The table says what happens; whoever holds it does it.
"""

from __future__ import annotations

from enum import IntEnum

from gosip_py.fsm import complete

__all__ = ["PARK", "Effect", "Signal", "State"]


class State(IntEnum):
    """Where a parked call can be.

    HOLDING: its phone has yet to agree to be put on hold. CONNECTING: with who dialled the orbit, or the parker.
    """

    HOLDING = 0
    PARKED = 1
    CALLING_BACK = 2
    CONNECTING = 3
    OVER = 4


class Signal(IntEnum):
    """What can happen. WANTED: somebody dials the orbit. EXHAUSTED: the parker did not answer for the last time."""

    HELD = 0
    NOT_HELD = 1
    TIMED_OUT = 2
    WANTED = 3
    REACHED = 4
    UNREACHED = 5
    EXHAUSTED = 6
    CONNECTED = 7
    NOT_CONNECTED = 8
    PARTY_LEFT = 9


class Effect(IntEnum):
    """What shall be done.

    ANNOUNCE tells everybody who wants to know of the orbit, and lets the parker go. REFUSE tells the parker that it was
    not done, and gives the call back. HOLD puts on hold again who was about to be connected. RELEASE frees the orbit.
    DROP_OTHER ends what was to be connected with the party.
    """

    ANNOUNCE = 0
    REFUSE = 1
    WAIT = 2
    CALL_BACK = 3
    STOP_CALLING = 4
    CONNECT = 5
    CONNECT_BACK = 6
    HOLD = 7
    RELEASE = 8
    HAND_OVER = 9
    HANG_UP = 10
    DROP_OTHER = 11


S, G, E = State, Signal, Effect

_ARCS: dict[tuple[State, Signal], tuple[State, tuple[Effect, ...]]] = {
    (S.HOLDING, G.HELD): (S.PARKED, (E.ANNOUNCE, E.WAIT)),
    (S.HOLDING, G.NOT_HELD): (S.OVER, (E.RELEASE, E.REFUSE)),
    (S.HOLDING, G.PARTY_LEFT): (S.OVER, (E.RELEASE, E.REFUSE)),
    (S.PARKED, G.TIMED_OUT): (S.CALLING_BACK, (E.CALL_BACK,)),
    (S.PARKED, G.WANTED): (S.CONNECTING, (E.CONNECT,)),
    (S.PARKED, G.PARTY_LEFT): (S.OVER, (E.RELEASE,)),
    (S.CALLING_BACK, G.TIMED_OUT): (S.CALLING_BACK, (E.STOP_CALLING,)),
    (S.CALLING_BACK, G.WANTED): (S.CONNECTING, (E.STOP_CALLING, E.CONNECT)),
    (S.CALLING_BACK, G.REACHED): (S.CONNECTING, (E.CONNECT_BACK,)),
    (S.CALLING_BACK, G.UNREACHED): (S.PARKED, (E.WAIT,)),
    (S.CALLING_BACK, G.EXHAUSTED): (S.OVER, (E.RELEASE, E.HANG_UP)),
    (S.CALLING_BACK, G.PARTY_LEFT): (S.OVER, (E.STOP_CALLING, E.RELEASE)),
    (S.CONNECTING, G.CONNECTED): (S.OVER, (E.RELEASE, E.HAND_OVER)),
    (S.CONNECTING, G.NOT_CONNECTED): (S.PARKED, (E.DROP_OTHER, E.HOLD, E.WAIT)),
    (S.CONNECTING, G.PARTY_LEFT): (S.OVER, (E.DROP_OTHER, E.RELEASE)),
}
_ABSORBED = [
    *((S.OVER, signal) for signal in Signal),
    # the HOLD that follows a failure tells of itself, when somebody else may be there already
    *((state, signal) for state in (S.PARKED, S.CALLING_BACK, S.CONNECTING) for signal in (G.HELD, G.NOT_HELD)),
    (S.PARKED, G.NOT_CONNECTED),
    (S.CALLING_BACK, G.NOT_CONNECTED),
]

PARK = complete(
    "Parked call",
    State,
    Signal,
    _ARCS,
    _ABSORBED,
    # Nobody rings and no timer runs then; and an orbit is nobody's to dial before it was told.
    [
        (state, signal)
        for state in State
        for signal in Signal
        if (state, signal) not in _ARCS and (state, signal) not in _ABSORBED
    ],
)
