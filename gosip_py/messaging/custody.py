"""When a message is kept, and when its sender is told so: the machine of one MESSAGE on its way through the relay.

RFC 3428 7 with RFC 4320 4.2: a phone that says nothing is waited for until Timer F, and by then nobody listens to our
answer. So after a while the message is kept and accepted whatever the phones will say, and dropped again when one of
them takes it after all. The table says what happens; whoever holds it does it.
"""

from __future__ import annotations

from enum import IntEnum

from gosip_py.fsm import complete

__all__ = ["CUSTODY", "Effect", "Signal", "State"]


class State(IntEnum):
    """Where a message can be.

    OFFERED: the phones have it. KEEPING: they failed, or there is none, and its row is being written. EARLY: the row is
    being written while they still think. SPENT: they have answered meanwhile, and the row will not be needed. KEPT: the
    sender has its 202 while they still think.
    """

    OFFERED = 0
    KEEPING = 1
    EARLY = 2
    SPENT = 3
    KEPT = 4
    SETTLED = 5


class Signal(IntEnum):
    """What can happen: the patience ends, the phones answer, the row is written or is not."""

    IMPATIENT = 0
    TAKEN = 1
    REFUSED = 2
    UNREACHED = 3
    WRITTEN = 4
    UNWRITTEN = 5


class Effect(IntEnum):
    """What shall be done. RELEASE leaves the row to the mailbox, which waited for the phones; DROP deletes it."""

    WRITE = 0
    ACCEPT = 1
    APOLOGIZE = 2
    RELEASE = 3
    DROP = 4


S, G, E = State, Signal, Effect

CUSTODY = complete(
    "Message in the relay",
    State,
    Signal,
    {
        (S.OFFERED, G.IMPATIENT): (S.EARLY, (E.WRITE,)),
        (S.OFFERED, G.TAKEN): (S.SETTLED, ()),
        (S.OFFERED, G.REFUSED): (S.SETTLED, ()),
        (S.OFFERED, G.UNREACHED): (S.KEEPING, (E.WRITE,)),
        (S.KEEPING, G.WRITTEN): (S.SETTLED, (E.ACCEPT, E.RELEASE)),
        (S.KEEPING, G.UNWRITTEN): (S.SETTLED, (E.APOLOGIZE, E.RELEASE)),
        (S.EARLY, G.WRITTEN): (S.KEPT, (E.ACCEPT,)),
        (S.EARLY, G.UNWRITTEN): (S.OFFERED, (E.RELEASE,)),
        (S.EARLY, G.TAKEN): (S.SPENT, ()),
        (S.EARLY, G.REFUSED): (S.SPENT, ()),
        (S.EARLY, G.UNREACHED): (S.KEEPING, ()),
        (S.SPENT, G.WRITTEN): (S.SETTLED, (E.DROP,)),
        (S.SPENT, G.UNWRITTEN): (S.SETTLED, (E.RELEASE,)),
        (S.KEPT, G.TAKEN): (S.SETTLED, (E.DROP,)),
        (S.KEPT, G.REFUSED): (S.SETTLED, (E.DROP,)),
        (S.KEPT, G.UNREACHED): (S.SETTLED, (E.RELEASE,)),
    },
    refused=[
        (S.OFFERED, G.WRITTEN),
        (S.OFFERED, G.UNWRITTEN),
        *((S.KEEPING, signal) for signal in (G.IMPATIENT, G.TAKEN, G.REFUSED, G.UNREACHED)),
        (S.EARLY, G.IMPATIENT),
        *((S.SPENT, signal) for signal in (G.IMPATIENT, G.TAKEN, G.REFUSED, G.UNREACHED)),
        *((S.KEPT, signal) for signal in (G.IMPATIENT, G.WRITTEN, G.UNWRITTEN)),
        *((S.SETTLED, signal) for signal in Signal),
    ],
)
