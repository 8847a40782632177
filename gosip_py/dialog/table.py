"""The machine of a dialog that an INVITE begins, at either end of it (RFC 3261 12 to 15), without any doing of its own.

The transactions of RFC 3261 17 stay apart and feed it. Offers and answers have a table of their own, in offer.py.
A reference (REFER) never stands in the way of a BYE: whatever is going on, a dialog can be left.
"""

from __future__ import annotations

from enum import IntEnum

from gosip_py.fsm import Table, complete

__all__ = ["DIALOG", "LEAVING", "OFFERED", "OVER", "TALKING", "UNANSWERED", "Effect", "Signal", "State"]


class State(IntEnum):
    IDLE = 0
    CALLING = 1
    """Our INVITE is out, and nobody has said anything."""
    PROCEEDING = 2
    """It was heard."""
    RINGING = 3
    """Somebody is being alerted."""
    ESTABLISHED = 4
    TERMINATING = 5
    """Our CANCEL or our BYE is out, or the BYE waits for the ACK (RFC 3261 15)."""
    TERMINATED = 6
    FAILED = 7
    """The INVITE came to nothing."""
    INCOMING = 8
    """An INVITE came, and we have said nothing."""
    ALERTING = 9
    """We said that somebody is being alerted."""
    REFERRING = 10
    """Our REFER waits for its answer."""
    REFERRED = 11
    """A REFER of the other side waits for our answer."""
    REFER_PENDING = 12
    """Our REFER was accepted; what comes of it is notified."""
    REPLACING = 13
    """A new INVITE is about to take the place of this dialog (RFC 3891)."""
    REPLACED = 14
    """It did: our BYE or CANCEL is out."""


class Signal(IntEnum):
    """What can happen. The responses are those to our INVITE; where a REFER is pending, those that it is told of."""

    SEND_INVITE = 0
    RECEIVE_1XX = 1
    """A provisional response other than 180."""
    RECEIVE_2XX = 2
    """The first 2xx; those of other forks are turned down without the machine."""
    RECEIVE_3XX = 3
    RECEIVE_4XX = 4
    RECEIVE_5XX = 5
    RECEIVE_6XX = 6
    RECEIVE_INVITE = 7
    ALERT_CALL = 8
    """Somebody is alerted: by us, or by the phone that we call, which says 180."""
    ACCEPT_CALL = 9
    REJECT_CALL = 10
    SEND_BYE = 11
    RECEIVE_BYE = 12
    SEND_CANCEL = 13
    RECEIVE_CANCEL = 14
    RECEIVE_ACK = 15
    """The ACK of our 2xx."""
    SEND_REFER = 16
    RECEIVE_REFER = 17
    REFER_ACCEPTED = 18
    REFER_FAILED = 19
    RECEIVE_REPLACES = 20
    REPLACE_SUCCESS = 21
    REPLACE_FAILED = 22
    TRANSACTION_TIMEOUT = 23
    """Nobody answered a request of ours, or its answer was 408."""
    TRANSACTION_ERROR = 24
    """It could not be sent; or the caller cannot be reached, as long as they wait for our answer."""
    TIMEOUT = 25
    """A timer of the dialog: no ACK or PRACK came, or the session expired."""
    ERROR = 26
    """What the other side said leaves no dialog to go on with."""
    TERMINATE = 27
    """Our BYE is done with, or the dialog is ended from outside."""


class Effect(IntEnum):
    INVITE = 0
    PROGRESS = 1
    CONFIRM = 2
    FAIL = 3
    CANCEL = 4
    TURN_DOWN = 5
    """Acknowledge a 2xx that came too late, and hang up on it (RFC 3261 9.1, 13.2.2.4)."""
    RING = 6
    ACCEPT = 7
    REJECT = 8
    REFUSE_CANCELLED = 9
    """Answer the INVITE with 487 (9.2)."""
    WITHDRAW = 10
    ACKNOWLEDGE = 11
    BYE = 12
    """At once, or when the ACK is there or will not come any more (15)."""
    BYE_NOW = 13
    """One that waited for the ACK."""
    END = 14
    CLOSE = 15
    """Tell the user whichever end has not been told yet."""
    FORGET = 16


S, G, E = State, Signal, Effect

UNANSWERED = frozenset((S.CALLING, S.PROCEEDING, S.RINGING))
"""Our INVITE has no final response."""
OFFERED = frozenset((S.INCOMING, S.ALERTING))
"""Theirs has none."""
TALKING = frozenset((S.ESTABLISHED, S.REFERRING, S.REFERRED, S.REFER_PENDING, S.REPLACING))
LEAVING = frozenset((S.TERMINATING, S.REPLACED))
OVER = frozenset((S.TERMINATED, S.FAILED))

_Cell = tuple[State, tuple[Effect, ...]]
_REFUSALS = (G.RECEIVE_3XX, G.RECEIVE_4XX, G.RECEIVE_5XX, G.RECEIVE_6XX)
_FINALS = (G.RECEIVE_2XX, *_REFUSALS)

_FAILS: _Cell = (S.FAILED, (E.FORGET, E.FAIL))
_STOPS_CALLING: _Cell = (S.TERMINATING, (E.CANCEL,))
_TURNS_AWAY: _Cell = (S.FAILED, (E.REJECT, E.FORGET))
_GIVES_UP_CALLER: _Cell = (S.FAILED, (E.REJECT, E.FORGET, E.WITHDRAW))
_IS_WITHDRAWN: _Cell = (S.TERMINATED, (E.REFUSE_CANCELLED, E.FORGET, E.WITHDRAW))
_LEAVES: _Cell = (S.TERMINATING, (E.BYE,))
_BREAKS_OFF: _Cell = (S.TERMINATING, (E.BYE, E.END))
_CLOSES: _Cell = (S.TERMINATED, (E.FORGET, E.CLOSE))


def _unanswered(state: State) -> dict[Signal, _Cell]:
    return {
        G.RECEIVE_1XX: (S.RINGING if state is S.RINGING else S.PROCEEDING, (E.PROGRESS,)),
        G.ALERT_CALL: (S.RINGING, (E.PROGRESS,)),
        G.RECEIVE_2XX: (S.ESTABLISHED, (E.CONFIRM,)),
        **dict.fromkeys((*_REFUSALS, G.TRANSACTION_TIMEOUT, G.TRANSACTION_ERROR, G.ERROR), _FAILS),
        # A BYE of whoever rings is against 15; but to be called is what they do not want.
        **dict.fromkeys((G.SEND_CANCEL, G.SEND_BYE, G.RECEIVE_BYE), _STOPS_CALLING),
        G.REPLACE_SUCCESS: (S.REPLACED, (E.CANCEL,)),
        G.TERMINATE: (S.TERMINATED, (E.CANCEL, E.FORGET, E.FAIL)),
    }


def _offered(_state: State) -> dict[Signal, _Cell]:
    return {
        G.ALERT_CALL: (S.ALERTING, (E.RING,)),
        G.ACCEPT_CALL: (S.ESTABLISHED, (E.ACCEPT,)),
        **dict.fromkeys((G.REJECT_CALL, G.SEND_CANCEL, G.SEND_BYE), _TURNS_AWAY),
        **dict.fromkeys((G.RECEIVE_CANCEL, G.RECEIVE_BYE), _IS_WITHDRAWN),
        **dict.fromkeys(
            (G.TRANSACTION_TIMEOUT, G.TRANSACTION_ERROR, G.TIMEOUT, G.ERROR, G.TERMINATE), _GIVES_UP_CALLER
        ),
    }


def _talking(state: State) -> dict[Signal, _Cell]:
    return {
        G.RECEIVE_ACK: (state, (E.ACKNOWLEDGE,)),
        G.RECEIVE_BYE: (S.TERMINATED, (E.FORGET, E.END)),
        # who cancels has not seen yet that they were answered
        **dict.fromkeys((G.SEND_BYE, G.SEND_CANCEL), _LEAVES),
        **dict.fromkeys((G.TIMEOUT, G.TRANSACTION_TIMEOUT), _BREAKS_OFF),
        G.REPLACE_SUCCESS: (S.REPLACED, (E.BYE,)),
        G.ERROR: (S.TERMINATED, (E.FORGET, E.END)),
        G.TERMINATE: (S.TERMINATED, (E.BYE, E.FORGET, E.END)),
    }


def _leaving(state: State) -> dict[Signal, _Cell]:
    return {
        G.RECEIVE_2XX: (state, (E.TURN_DOWN, E.FAIL)),
        **dict.fromkeys((*_REFUSALS, G.TRANSACTION_TIMEOUT, G.TRANSACTION_ERROR, G.ERROR, G.TERMINATE), _CLOSES),
        **dict.fromkeys((G.RECEIVE_ACK, G.TIMEOUT), (state, (E.BYE_NOW,))),
    }


def _over(state: State) -> dict[Signal, _Cell]:
    return {G.RECEIVE_2XX: (state, (E.TURN_DOWN,))}


_REFERENCES: dict[tuple[State, Signal], _Cell] = {
    (S.ESTABLISHED, G.SEND_REFER): (S.REFERRING, ()),
    (S.REFER_PENDING, G.SEND_REFER): (S.REFERRING, ()),
    (S.ESTABLISHED, G.RECEIVE_REFER): (S.REFERRED, ()),
    (S.REFERRING, G.REFER_ACCEPTED): (S.REFER_PENDING, ()),
    (S.REFERRED, G.REFER_ACCEPTED): (S.ESTABLISHED, ()),
    # The NOTIFY with the end of it may overtake the 202 (RFC 3515 2.4.4).
    **{(state, signal): (S.ESTABLISHED, ()) for state in (S.REFERRING, S.REFER_PENDING) for signal in _FINALS},
    **{(state, G.REFER_FAILED): (S.ESTABLISHED, ()) for state in (S.REFERRING, S.REFERRED, S.REFER_PENDING)},
    **{(state, G.RECEIVE_REPLACES): (S.REPLACING, ()) for state in TALKING if state is not S.REPLACING},
    (S.REPLACING, G.REPLACE_FAILED): (S.ESTABLISHED, ()),
}

_ARCS: dict[tuple[State, Signal], _Cell] = {
    (S.IDLE, G.SEND_INVITE): (S.CALLING, (E.INVITE,)),
    (S.IDLE, G.RECEIVE_INVITE): (S.INCOMING, ()),
    **_REFERENCES,
    **{
        (state, signal): cell
        for states, cells in (
            (UNANSWERED, _unanswered),
            (OFFERED, _offered),
            (TALKING, _talking),
            (LEAVING, _leaving),
            (OVER, _over),
        )
        for state in states
        for signal, cell in cells(state).items()
    },
}

_BEGINNINGS = (G.SEND_INVITE, G.RECEIVE_INVITE)
_REFUSED = [
    *((S.IDLE, signal) for signal in Signal if signal not in _BEGINNINGS),
    *((state, signal) for state in State if state is not S.IDLE for signal in _BEGINNINGS),
    # Ours is no INVITE that could be cancelled, and no timer of the dialog runs before it is answered.
    *((state, signal) for state in UNANSWERED for signal in (G.RECEIVE_CANCEL, G.TIMEOUT)),
    # Nothing of ours is out that could be answered.
    *((state, signal) for state in OFFERED for signal in (G.RECEIVE_1XX, *_FINALS)),
]
_RESPONSES = (G.RECEIVE_1XX, *_FINALS)
_OF_REFERENCES = (G.SEND_REFER, G.RECEIVE_REFER, G.REFER_ACCEPTED, G.REFER_FAILED)
_OF_REPLACEMENT = (G.RECEIVE_REPLACES, G.REPLACE_FAILED)
_ENDS = (G.SEND_BYE, G.RECEIVE_BYE, G.SEND_CANCEL, G.RECEIVE_CANCEL)
_OF_OUR_USER = (G.ALERT_CALL, G.ACCEPT_CALL, G.REJECT_CALL)
_NOISE: tuple[tuple[frozenset[State], tuple[Signal, ...]], ...] = (
    # nothing to answer; no ACK to wait for; references and a replacement mean something only to a call
    (UNANSWERED, (G.ACCEPT_CALL, G.REJECT_CALL, G.RECEIVE_ACK, *_OF_REFERENCES, *_OF_REPLACEMENT)),
    (OFFERED, (G.RECEIVE_ACK, *_OF_REFERENCES, *_OF_REPLACEMENT, G.REPLACE_SUCCESS)),
    # it is answered already; a CANCEL came too late; a request that could not be sent says nothing of the dialog; and
    # what was told of a reference is told once
    (TALKING, (*_RESPONSES, *_OF_OUR_USER, G.RECEIVE_CANCEL, G.TRANSACTION_ERROR, *_OF_REFERENCES, *_OF_REPLACEMENT)),
    # it is being left already, and a BYE that crosses ours is answered as any
    (LEAVING, (G.RECEIVE_1XX, *_OF_OUR_USER, *_ENDS, *_OF_REFERENCES, *_OF_REPLACEMENT, G.REPLACE_SUCCESS)),
    (OVER, tuple(signal for signal in Signal if signal not in (*_BEGINNINGS, G.RECEIVE_2XX))),
)
_ABSORBED = [
    (state, signal)
    for states, signals in _NOISE
    for state in states
    for signal in signals
    if states is not TALKING or (state, signal) not in _ARCS
]

DIALOG: Table[State, Signal, Effect] = complete("Dialog", State, Signal, _ARCS, _ABSORBED, _REFUSED)
