"""The four machines of a transaction (RFC 3261 17, RFC 6026), as total tables without any doing of their own.

What differs from the figures of RFC 3261:

* An accepted INVITE lives on for 64*T1 in ACCEPTED, at both ends, and a server transaction stays where it is when its
  flow fails (RFC 6026).
* A CANCEL waits for a provisional response (RFC 3261 9.1): CANCELLING is a CALLING that shall be cancelled, CANCELLED a
  PROCEEDING whose CANCEL was sent and which ends when no final response follows.
* A non-INVITE that nobody answers gets its 100 when the client's Timer E has reached T2, and ends without a response
  after that (RFC 4320).

A transaction has two timers: the one that repeats a message (A, E, G), and one that ends a state. Starting another of
the second sort ends the one before, so only the arcs where none follows stop it.
"""

from __future__ import annotations

from enum import IntEnum

from gosip_py.fsm import Table, complete

__all__ = [
    "INVITE_CLIENT",
    "INVITE_SERVER",
    "NON_INVITE_CLIENT",
    "NON_INVITE_SERVER",
    "Effect",
    "Machine",
    "Signal",
    "State",
]


class State(IntEnum):
    """Where a transaction can be. Each machine has some of these."""

    INITIAL = 0
    CALLING = 1
    TRYING = 2
    PROCEEDING = 3
    CANCELLING = 4
    CANCELLED = 5
    COMPLETED = 6
    CONFIRMED = 7
    ACCEPTED = 8
    TERMINATED = 9


class Signal(IntEnum):
    """What can happen to a transaction. A response comes from the network to a client, and from the TU to a server."""

    START = 0
    REQUEST = 1
    ACK = 2
    RESPONSE_1XX = 3
    RESPONSE_2XX = 4
    RESPONSE_3XX_6XX = 5
    CANCEL = 6
    UNANSWERED = 7
    TRANSPORT_ERROR = 8
    TIMER_A = 9
    TIMER_B = 10
    TIMER_D = 11
    TIMER_E = 12
    TIMER_F = 13
    TIMER_G = 14
    TIMER_H = 15
    TIMER_I = 16
    TIMER_J = 17
    TIMER_K = 18
    TIMER_L = 19
    TIMER_M = 20
    TIMER_TRYING = 21
    TIMER_EXPIRY = 22
    TIMER_CANCEL_WAIT = 23


class Effect(IntEnum):
    """What the layer shall do."""

    SEND = 0
    RESEND = 1
    SEND_ACK = 2
    SEND_CANCEL = 3
    SEND_TRYING = 4
    PASS_UP = 5
    PASS_ACK_UP = 6
    TIMEOUT = 7
    TRANSPORT_ERROR = 8
    DONE = 9
    START_A = 10
    DOUBLE_A = 11
    STOP_A = 12
    START_B = 13
    STOP_B = 14
    START_D = 15
    START_E = 16
    DOUBLE_E = 17
    START_E_AT_T2 = 18
    STOP_E = 19
    START_F = 20
    START_G = 21
    DOUBLE_G = 22
    STOP_G = 23
    START_H = 24
    START_I = 25
    START_J = 26
    START_K = 27
    START_L = 28
    START_M = 29
    START_TRYING = 30
    START_LATE_TRYING = 31
    STOP_TRYING = 32
    START_EXPIRY = 33
    START_CANCEL_WAIT = 34


Machine = Table[State, Signal, Effect]
_Arcs = dict[tuple[State, Signal], tuple[State, tuple[Effect, ...]]]

S, G, E = State, Signal, Effect

_RESPONSES = (G.RESPONSE_1XX, G.RESPONSE_2XX, G.RESPONSE_3XX_6XX)
_INVITE_CLIENT_TIMERS = (G.TIMER_A, G.TIMER_B, G.TIMER_D, G.TIMER_M, G.TIMER_CANCEL_WAIT)
_INVITE_SERVER_TIMERS = (G.TIMER_G, G.TIMER_H, G.TIMER_I, G.TIMER_L, G.TIMER_TRYING)


_Lists = dict[State, tuple[Signal, ...]]


def _machine(name: str, signals: tuple[Signal, ...], arcs: _Arcs, absorbed: _Lists, refused: _Lists) -> Machine:
    """The table of these arcs and, for each state, of the signals that it absorbs and refuses."""
    states = sorted({*absorbed, *refused, *(state for state, _ in arcs)})
    return complete(name, states, signals, arcs, _pairs(absorbed), _pairs(refused), initial=S.INITIAL)


def _pairs(lists: _Lists) -> list[tuple[State, Signal]]:
    return [(state, signal) for state, signals in lists.items() for signal in signals]


_CALLING_ENDS: dict[Signal, tuple[State, tuple[Effect, ...]]] = {
    G.TIMER_A: (S.CALLING, (E.RESEND, E.DOUBLE_A)),
    G.TIMER_B: (S.TERMINATED, (E.DONE, E.TIMEOUT)),
    G.RESPONSE_2XX: (S.ACCEPTED, (E.STOP_A, E.START_M, E.PASS_UP)),
    G.RESPONSE_3XX_6XX: (S.COMPLETED, (E.STOP_A, E.SEND_ACK, E.START_D, E.PASS_UP)),
    G.TRANSPORT_ERROR: (S.TERMINATED, (E.DONE, E.TRANSPORT_ERROR)),
}

INVITE_CLIENT = _machine(
    "INVITE client transaction",
    (G.START, *_RESPONSES, G.CANCEL, G.TRANSPORT_ERROR, *_INVITE_CLIENT_TIMERS),
    {
        (S.INITIAL, G.START): (S.CALLING, (E.SEND, E.START_A, E.START_B)),
        **{(S.CALLING, signal): cell for signal, cell in _CALLING_ENDS.items()},
        (S.CALLING, G.RESPONSE_1XX): (S.PROCEEDING, (E.STOP_A, E.STOP_B, E.PASS_UP)),
        (S.CALLING, G.CANCEL): (S.CANCELLING, ()),
        **{(S.CANCELLING, signal): cell for signal, cell in _CALLING_ENDS.items()},
        (S.CANCELLING, G.TIMER_A): (S.CANCELLING, (E.RESEND, E.DOUBLE_A)),
        (S.CANCELLING, G.RESPONSE_1XX): (S.CANCELLED, (E.STOP_A, E.SEND_CANCEL, E.START_CANCEL_WAIT, E.PASS_UP)),
        (S.PROCEEDING, G.RESPONSE_1XX): (S.PROCEEDING, (E.PASS_UP,)),
        (S.PROCEEDING, G.RESPONSE_2XX): (S.ACCEPTED, (E.START_M, E.PASS_UP)),
        (S.PROCEEDING, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.SEND_ACK, E.START_D, E.PASS_UP)),
        (S.PROCEEDING, G.CANCEL): (S.CANCELLED, (E.SEND_CANCEL, E.START_CANCEL_WAIT)),
        (S.CANCELLED, G.RESPONSE_1XX): (S.CANCELLED, (E.PASS_UP,)),
        (S.CANCELLED, G.RESPONSE_2XX): (S.ACCEPTED, (E.START_M, E.PASS_UP)),
        (S.CANCELLED, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.SEND_ACK, E.START_D, E.PASS_UP)),
        (S.CANCELLED, G.TIMER_CANCEL_WAIT): (S.TERMINATED, (E.DONE, E.TIMEOUT)),
        (S.COMPLETED, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.RESEND,)),
        (S.COMPLETED, G.TIMER_D): (S.TERMINATED, (E.DONE,)),
        # The figure informs the TU here; but ours has its final response, and nobody can do more about an ACK.
        (S.COMPLETED, G.TRANSPORT_ERROR): (S.TERMINATED, (E.DONE,)),
        (S.ACCEPTED, G.RESPONSE_2XX): (S.ACCEPTED, (E.PASS_UP,)),
        (S.ACCEPTED, G.TIMER_M): (S.TERMINATED, (E.DONE,)),
    },
    {
        S.CANCELLING: (G.CANCEL,),
        # While it rings we send nothing, and the peer may answer over a new connection (RFC 3261 18.2.2): a telephone
        # that changes its network does. Whoever cannot wait has Timer C.
        S.PROCEEDING: (G.TRANSPORT_ERROR,),
        S.CANCELLED: (G.CANCEL, G.TRANSPORT_ERROR),
        S.COMPLETED: (G.RESPONSE_1XX, G.RESPONSE_2XX, G.CANCEL),
        S.ACCEPTED: (G.RESPONSE_1XX, G.RESPONSE_3XX_6XX, G.CANCEL, G.TRANSPORT_ERROR),
        S.TERMINATED: (G.CANCEL, G.TRANSPORT_ERROR),
    },
    {
        S.INITIAL: (*_RESPONSES, G.CANCEL, G.TRANSPORT_ERROR, *_INVITE_CLIENT_TIMERS),
        S.CALLING: (G.START, G.TIMER_D, G.TIMER_M, G.TIMER_CANCEL_WAIT),
        S.CANCELLING: (G.START, G.TIMER_D, G.TIMER_M, G.TIMER_CANCEL_WAIT),
        S.PROCEEDING: (G.START, *_INVITE_CLIENT_TIMERS),
        S.CANCELLED: (G.START, G.TIMER_A, G.TIMER_B, G.TIMER_D, G.TIMER_M),
        S.COMPLETED: (G.START, G.TIMER_A, G.TIMER_B, G.TIMER_M, G.TIMER_CANCEL_WAIT),
        S.ACCEPTED: (G.START, G.TIMER_A, G.TIMER_B, G.TIMER_D, G.TIMER_CANCEL_WAIT),
        S.TERMINATED: (G.START, *_RESPONSES, *_INVITE_CLIENT_TIMERS),
    },
)

NON_INVITE_CLIENT = _machine(
    "Non-INVITE client transaction",
    (G.START, *_RESPONSES, G.TRANSPORT_ERROR, G.TIMER_E, G.TIMER_F, G.TIMER_K),
    {
        (S.INITIAL, G.START): (S.TRYING, (E.SEND, E.START_E, E.START_F)),
        (S.TRYING, G.TIMER_E): (S.TRYING, (E.RESEND, E.DOUBLE_E)),
        (S.TRYING, G.TIMER_F): (S.TERMINATED, (E.DONE, E.TIMEOUT)),
        (S.TRYING, G.TRANSPORT_ERROR): (S.TERMINATED, (E.DONE, E.TRANSPORT_ERROR)),
        (S.TRYING, G.RESPONSE_1XX): (S.PROCEEDING, (E.PASS_UP,)),
        (S.TRYING, G.RESPONSE_2XX): (S.COMPLETED, (E.STOP_E, E.START_K, E.PASS_UP)),
        (S.TRYING, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.STOP_E, E.START_K, E.PASS_UP)),
        (S.PROCEEDING, G.TIMER_E): (S.PROCEEDING, (E.RESEND, E.START_E_AT_T2)),
        (S.PROCEEDING, G.TIMER_F): (S.TERMINATED, (E.DONE, E.TIMEOUT)),
        (S.PROCEEDING, G.TRANSPORT_ERROR): (S.TERMINATED, (E.DONE, E.TRANSPORT_ERROR)),
        (S.PROCEEDING, G.RESPONSE_1XX): (S.PROCEEDING, (E.PASS_UP,)),
        (S.PROCEEDING, G.RESPONSE_2XX): (S.COMPLETED, (E.STOP_E, E.START_K, E.PASS_UP)),
        (S.PROCEEDING, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.STOP_E, E.START_K, E.PASS_UP)),
        (S.COMPLETED, G.TIMER_K): (S.TERMINATED, (E.DONE,)),
    },
    {
        S.COMPLETED: (*_RESPONSES, G.TRANSPORT_ERROR),
        S.TERMINATED: (G.TRANSPORT_ERROR,),
    },
    {
        S.INITIAL: (*_RESPONSES, G.TRANSPORT_ERROR, G.TIMER_E, G.TIMER_F, G.TIMER_K),
        S.TRYING: (G.START, G.TIMER_K),
        S.PROCEEDING: (G.START, G.TIMER_K),
        S.COMPLETED: (G.START, G.TIMER_E, G.TIMER_F),
        S.TERMINATED: (G.START, *_RESPONSES, G.TIMER_E, G.TIMER_F, G.TIMER_K),
    },
)

INVITE_SERVER = _machine(
    "INVITE server transaction",
    (G.REQUEST, G.ACK, *_RESPONSES, G.UNANSWERED, G.TRANSPORT_ERROR, *_INVITE_SERVER_TIMERS),
    {
        (S.INITIAL, G.REQUEST): (S.PROCEEDING, (E.PASS_UP,)),
        (S.PROCEEDING, G.UNANSWERED): (S.PROCEEDING, (E.START_TRYING,)),
        (S.PROCEEDING, G.TIMER_TRYING): (S.PROCEEDING, (E.SEND_TRYING,)),
        (S.PROCEEDING, G.REQUEST): (S.PROCEEDING, (E.RESEND,)),
        (S.PROCEEDING, G.RESPONSE_1XX): (S.PROCEEDING, (E.STOP_TRYING, E.SEND)),
        (S.PROCEEDING, G.RESPONSE_2XX): (S.ACCEPTED, (E.SEND, E.START_L)),
        (S.PROCEEDING, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.SEND, E.START_G, E.START_H)),
        (S.PROCEEDING, G.TRANSPORT_ERROR): (S.PROCEEDING, (E.TRANSPORT_ERROR,)),
        (S.COMPLETED, G.REQUEST): (S.COMPLETED, (E.RESEND,)),
        (S.COMPLETED, G.TIMER_G): (S.COMPLETED, (E.RESEND, E.DOUBLE_G)),
        (S.COMPLETED, G.TIMER_H): (S.TERMINATED, (E.DONE, E.TIMEOUT)),
        (S.COMPLETED, G.TRANSPORT_ERROR): (S.COMPLETED, (E.TRANSPORT_ERROR,)),
        (S.COMPLETED, G.ACK): (S.CONFIRMED, (E.STOP_G, E.START_I)),
        (S.CONFIRMED, G.TIMER_I): (S.TERMINATED, (E.DONE,)),
        (S.ACCEPTED, G.RESPONSE_2XX): (S.ACCEPTED, (E.SEND,)),
        (S.ACCEPTED, G.ACK): (S.ACCEPTED, (E.PASS_ACK_UP,)),
        (S.ACCEPTED, G.TRANSPORT_ERROR): (S.ACCEPTED, (E.TRANSPORT_ERROR,)),
        (S.ACCEPTED, G.TIMER_L): (S.TERMINATED, (E.DONE,)),
    },
    {
        S.PROCEEDING: (G.ACK,),
        S.COMPLETED: _RESPONSES,
        S.CONFIRMED: (G.REQUEST, G.ACK, *_RESPONSES, G.TRANSPORT_ERROR),
        S.ACCEPTED: (G.REQUEST, G.RESPONSE_1XX, G.RESPONSE_3XX_6XX),
        S.TERMINATED: (*_RESPONSES, G.UNANSWERED, G.TRANSPORT_ERROR),
    },
    {
        S.INITIAL: (G.ACK, *_RESPONSES, G.UNANSWERED, G.TRANSPORT_ERROR, *_INVITE_SERVER_TIMERS),
        S.PROCEEDING: (G.TIMER_G, G.TIMER_H, G.TIMER_I, G.TIMER_L),
        S.COMPLETED: (G.UNANSWERED, G.TIMER_I, G.TIMER_L, G.TIMER_TRYING),
        S.CONFIRMED: (G.UNANSWERED, G.TIMER_G, G.TIMER_H, G.TIMER_L, G.TIMER_TRYING),
        S.ACCEPTED: (G.UNANSWERED, G.TIMER_G, G.TIMER_H, G.TIMER_I, G.TIMER_TRYING),
        S.TERMINATED: (G.REQUEST, G.ACK, *_INVITE_SERVER_TIMERS),
    },
)

NON_INVITE_SERVER = _machine(
    "Non-INVITE server transaction",
    (G.REQUEST, *_RESPONSES, G.UNANSWERED, G.TRANSPORT_ERROR, G.TIMER_J, G.TIMER_TRYING, G.TIMER_EXPIRY),
    {
        (S.INITIAL, G.REQUEST): (S.TRYING, (E.PASS_UP,)),
        (S.TRYING, G.UNANSWERED): (S.TRYING, (E.START_LATE_TRYING,)),
        (S.TRYING, G.TIMER_TRYING): (S.PROCEEDING, (E.SEND_TRYING, E.START_EXPIRY)),
        (S.TRYING, G.RESPONSE_1XX): (S.PROCEEDING, (E.SEND, E.START_EXPIRY)),
        (S.TRYING, G.RESPONSE_2XX): (S.COMPLETED, (E.SEND, E.START_J)),
        (S.TRYING, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.SEND, E.START_J)),
        (S.TRYING, G.TRANSPORT_ERROR): (S.TRYING, (E.TRANSPORT_ERROR,)),
        (S.PROCEEDING, G.REQUEST): (S.PROCEEDING, (E.RESEND,)),
        (S.PROCEEDING, G.RESPONSE_1XX): (S.PROCEEDING, (E.SEND,)),
        (S.PROCEEDING, G.RESPONSE_2XX): (S.COMPLETED, (E.SEND, E.START_J)),
        (S.PROCEEDING, G.RESPONSE_3XX_6XX): (S.COMPLETED, (E.SEND, E.START_J)),
        (S.PROCEEDING, G.TRANSPORT_ERROR): (S.PROCEEDING, (E.TRANSPORT_ERROR,)),
        (S.PROCEEDING, G.TIMER_EXPIRY): (S.TERMINATED, (E.DONE, E.TIMEOUT)),
        (S.COMPLETED, G.REQUEST): (S.COMPLETED, (E.RESEND,)),
        (S.COMPLETED, G.TIMER_J): (S.TERMINATED, (E.DONE,)),
    },
    {
        S.TRYING: (G.REQUEST,),
        S.COMPLETED: (*_RESPONSES, G.TRANSPORT_ERROR),
        S.TERMINATED: (*_RESPONSES, G.UNANSWERED, G.TRANSPORT_ERROR),
    },
    {
        S.INITIAL: (*_RESPONSES, G.UNANSWERED, G.TRANSPORT_ERROR, G.TIMER_J, G.TIMER_TRYING, G.TIMER_EXPIRY),
        S.TRYING: (G.TIMER_J, G.TIMER_EXPIRY),
        S.PROCEEDING: (G.UNANSWERED, G.TIMER_J, G.TIMER_TRYING),
        S.COMPLETED: (G.UNANSWERED, G.TIMER_TRYING, G.TIMER_EXPIRY),
        S.TERMINATED: (G.REQUEST, G.TIMER_J, G.TIMER_TRYING, G.TIMER_EXPIRY),
    },
)
