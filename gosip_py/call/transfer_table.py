"""What becomes of a transfer, whichever of the three parties does something first: its machine (RFC 5589 6, 7).

The transferor asked to connect the transferee with the target. Until the target is there the two of them stay together,
so a transfer that fails gives the call back; a transferor who does not wait for the outcome leaves the transferee with
it. The table says what happens; whoever holds it does it.
"""

from __future__ import annotations

from enum import IntEnum

from gosip_py.fsm import complete

__all__ = ["TRANSFER", "Effect", "Signal", "State"]


class State(IntEnum):
    """Where a transfer can be.

    RINGING: the target has not answered. JOINING: it has, and the transferee is being connected with it. In the LONELY
    ones the transferor has hung up already.
    """

    RINGING = 0
    LONELY_RINGING = 1
    JOINING = 2
    LONELY_JOINING = 3
    DONE = 4
    FAILED = 5


class Signal(IntEnum):
    """What can happen."""

    TARGET_RANG = 0
    TARGET_ANSWERED = 1
    TARGET_FAILED = 2
    TARGET_LEFT = 3
    TRANSFEROR_LEFT = 4
    TRANSFEREE_LEFT = 5
    JOINED = 6
    NOT_JOINED = 7


class Effect(IntEnum):
    """What shall be done.

    REPORT_RINGING, REPORT_DONE and REPORT_FAILED tell whoever asked for the transfer. JOIN connects transferee and
    target. DISMISS hangs up on the transferor, who is not needed any more. GIVE_BACK leaves the transferee with the
    transferor as before. CANCEL and the HANG_UP ones end what has nobody left to talk to.
    """

    REPORT_RINGING = 0
    REPORT_DONE = 1
    REPORT_FAILED = 2
    JOIN = 3
    DISMISS = 4
    GIVE_BACK = 5
    CANCEL = 6
    HANG_UP_TARGET = 7
    HANG_UP_TRANSFEREE = 8
    HANG_UP_TRANSFEROR = 9


S, G, E = State, Signal, Effect

_OVER = (S.DONE, S.FAILED)
_OUTSIDE = (G.TARGET_RANG, G.TARGET_ANSWERED, G.TARGET_FAILED, G.TARGET_LEFT, G.TRANSFEROR_LEFT, G.TRANSFEREE_LEFT)
_JOINS = (G.JOINED, G.NOT_JOINED)

TRANSFER = complete(
    "Transfer",
    State,
    Signal,
    {
        (S.RINGING, G.TARGET_RANG): (S.RINGING, (E.REPORT_RINGING,)),
        (S.RINGING, G.TARGET_ANSWERED): (S.JOINING, (E.JOIN,)),
        (S.RINGING, G.TARGET_FAILED): (S.FAILED, (E.REPORT_FAILED, E.GIVE_BACK)),
        (S.RINGING, G.TRANSFEROR_LEFT): (S.LONELY_RINGING, ()),
        (S.RINGING, G.TRANSFEREE_LEFT): (S.FAILED, (E.CANCEL, E.REPORT_FAILED, E.HANG_UP_TRANSFEROR)),
        (S.LONELY_RINGING, G.TARGET_RANG): (S.LONELY_RINGING, (E.REPORT_RINGING,)),
        (S.LONELY_RINGING, G.TARGET_ANSWERED): (S.LONELY_JOINING, (E.JOIN,)),
        (S.LONELY_RINGING, G.TARGET_FAILED): (S.FAILED, (E.REPORT_FAILED, E.HANG_UP_TRANSFEREE)),
        (S.LONELY_RINGING, G.TRANSFEREE_LEFT): (S.FAILED, (E.CANCEL, E.REPORT_FAILED)),
        (S.JOINING, G.JOINED): (S.DONE, (E.REPORT_DONE, E.DISMISS)),
        (S.JOINING, G.NOT_JOINED): (S.FAILED, (E.HANG_UP_TARGET, E.REPORT_FAILED, E.GIVE_BACK)),
        (S.JOINING, G.TARGET_LEFT): (S.FAILED, (E.REPORT_FAILED, E.GIVE_BACK)),
        (S.JOINING, G.TRANSFEROR_LEFT): (S.LONELY_JOINING, ()),
        (S.JOINING, G.TRANSFEREE_LEFT): (S.FAILED, (E.HANG_UP_TARGET, E.REPORT_FAILED, E.HANG_UP_TRANSFEROR)),
        (S.LONELY_JOINING, G.JOINED): (S.DONE, (E.REPORT_DONE,)),
        (S.LONELY_JOINING, G.NOT_JOINED): (S.FAILED, (E.HANG_UP_TARGET, E.REPORT_FAILED, E.HANG_UP_TRANSFEREE)),
        (S.LONELY_JOINING, G.TARGET_LEFT): (S.FAILED, (E.REPORT_FAILED, E.HANG_UP_TRANSFEREE)),
        (S.LONELY_JOINING, G.TRANSFEREE_LEFT): (S.FAILED, (E.HANG_UP_TARGET, E.REPORT_FAILED)),
    },
    # What crosses the end on the wire, or tells again what is known.
    absorbed=[
        *((state, signal) for state in _OVER for signal in (*_OUTSIDE, *_JOINS)),
        (S.JOINING, G.TARGET_RANG),
        (S.LONELY_JOINING, G.TARGET_RANG),
    ],
    refused=[
        *((state, signal) for state in (S.RINGING, S.LONELY_RINGING) for signal in (*_JOINS, G.TARGET_LEFT)),
        *(
            (state, signal)
            for state in (S.JOINING, S.LONELY_JOINING)
            for signal in (G.TARGET_ANSWERED, G.TARGET_FAILED)
        ),
        (S.LONELY_RINGING, G.TRANSFEROR_LEFT),
        (S.LONELY_JOINING, G.TRANSFEROR_LEFT),
    ],
)
