"""Who has offered what in a dialog: the machine of offer and answer (RFC 3264, 3261 13.2.1, 3262 5, 3311 5, 6337).

One for each dialog, beside the machine of the dialog itself. Its signals are the messages that may bear an offer or an
answer: the six patterns of RFC 6337 2.2. Its effects say what shall be done with what a message brought; 491 and 500
follow the rules that RFC 6337 4.3 makes of RFC 3311 5.2.

An INVITE takes part until it is over, for while it goes on no other may begin (RFC 3261 14.1). So there are states for
an INVITE of ours, for one of theirs, and for an UPDATE that goes alone. A PRACK under way counts as an UPDATE.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from gosip_py.fsm import Table, complete

__all__ = ["NEGOTIATION", "OPEN", "SETTLED", "UPDATABLE", "Effect", "Negotiating", "Signal", "State", "negotiate"]


class State(IntEnum):
    STABLE = 0
    """Nothing is open."""
    INVITING = 1
    """Our INVITE bears an offer."""
    ASKING = 2
    """Our INVITE asks for their offer."""
    OWING = 3
    """Their response to our INVITE bears an offer: we owe the answer in PRACK or ACK."""
    CALLING = 4
    """All is answered, and our INVITE goes on."""
    CALLING_LOCAL = 5
    """So it does, with a PRACK or UPDATE of ours under way."""
    CALLING_REMOTE = 6
    """So it does, with an UPDATE of theirs that we owe an answer."""
    INVITED = 7
    """Their INVITE bears an offer."""
    ASKED = 8
    """Their INVITE asks for our offer."""
    OFFERED = 9
    """Our response to their INVITE bears an offer: they owe the answer in PRACK or ACK."""
    ANSWERED = 10
    """Our answer stands in a reliable provisional response; its PRACK is awaited."""
    RINGING = 11
    """All is answered, and their INVITE goes on."""
    RINGING_LOCAL = 12
    """So it does, with an UPDATE of ours under way."""
    RINGING_REMOTE = 13
    """So it does, with a PRACK or UPDATE of theirs that we owe an answer."""
    ACCEPTED = 14
    """All is answered, and the ACK to our 2xx is awaited."""
    UPDATING = 15
    """An UPDATE of ours is under way."""
    UPDATED = 16
    """We owe an UPDATE of theirs an answer."""


class Signal(IntEnum):
    """A message that may bear an offer or an answer. 2xx and refusals are those of an INVITE."""

    SEND_INVITE = 0
    SEND_EMPTY_INVITE = 1
    RECEIVE_INVITE = 2
    RECEIVE_EMPTY_INVITE = 3
    SEND_1XX = 4
    """A reliable provisional response with a session description."""
    RECEIVE_1XX = 5
    """So one of theirs."""
    SEND_PRACK = 6
    """For such a response; with the answer, when that bore an offer."""
    RECEIVE_PRACK = 7
    RECEIVE_PRACK_OFFER = 8
    """A PRACK with an offer of its own."""
    SEND_2XX = 9
    RECEIVE_2XX = 10
    SEND_REFUSAL = 11
    RECEIVE_REFUSAL = 12
    """Also when nobody answers."""
    SEND_ACK = 13
    """The one that bears our answer."""
    RECEIVE_ACK = 14
    SEND_UPDATE = 15
    """With an offer, as every UPDATE here: one without is no matter of offer and answer."""
    RECEIVE_UPDATE = 16
    SEND_ANSWER = 17
    """A 2xx to an UPDATE, or to a PRACK with an offer."""
    RECEIVE_ANSWER = 18
    """A 2xx to an UPDATE or PRACK."""
    SEND_REJECTION = 19
    RECEIVE_REJECTION = 20
    """Anything else to an UPDATE or PRACK, also nothing."""


class Effect(IntEnum):
    ASK = 0
    """The user shall answer this: an offer, or the wish for one."""
    ANSWER = 1
    """The user shall make an answer for this offer, to go with PRACK or ACK."""
    SETTLE = 2
    """Offer and answer agree on a session, from now on."""
    ROLL_BACK = 3
    """The session is as it was before the offer."""
    GLARE = 4
    """Refuse with 491: we have an offer under way."""
    BUSY = 5
    """Refuse with 500 and Retry-After: we owe an answer (RFC 3311 5.2, RFC 3261 14.2)."""


S, G, E = State, Signal, Effect

_OURS = (S.INVITING, S.ASKING, S.OWING, S.CALLING, S.CALLING_LOCAL, S.CALLING_REMOTE)
_THEIRS = (S.INVITED, S.ASKED, S.OFFERED, S.ANSWERED, S.RINGING, S.RINGING_LOCAL, S.RINGING_REMOTE)

UPDATABLE = frozenset((S.STABLE, S.CALLING, S.RINGING))
"""Where an UPDATE with an offer may go out; a re-INVITE may in STABLE alone."""

SETTLED = frozenset((S.RINGING, S.RINGING_LOCAL, S.RINGING_REMOTE))
"""Where their INVITE has its answer, and only waits for its final response."""

OPEN = frozenset(set(State) - UPDATABLE - {S.ACCEPTED})
"""Where an offer or an answer is owed by one side or the other."""

_Arcs = dict[tuple[State, Signal], tuple[State, tuple[Effect, ...]]]

_INVITE_OF_OURS: _Arcs = {
    (S.STABLE, G.SEND_INVITE): (S.INVITING, ()),
    (S.STABLE, G.SEND_EMPTY_INVITE): (S.ASKING, ()),
    (S.INVITING, G.RECEIVE_1XX): (S.CALLING, (E.SETTLE,)),
    (S.INVITING, G.RECEIVE_2XX): (S.STABLE, (E.SETTLE,)),
    (S.ASKING, G.RECEIVE_1XX): (S.OWING, (E.ANSWER,)),
    (S.ASKING, G.RECEIVE_2XX): (S.OWING, (E.ANSWER,)),
    (S.OWING, G.SEND_PRACK): (S.CALLING_LOCAL, (E.SETTLE,)),
    (S.OWING, G.SEND_ACK): (S.STABLE, (E.SETTLE,)),
    (S.CALLING, G.SEND_PRACK): (S.CALLING_LOCAL, ()),
    (S.CALLING, G.SEND_UPDATE): (S.CALLING_LOCAL, ()),
    (S.CALLING, G.RECEIVE_UPDATE): (S.CALLING_REMOTE, (E.ASK,)),
    (S.CALLING, G.RECEIVE_2XX): (S.STABLE, ()),
    (S.CALLING_LOCAL, G.RECEIVE_ANSWER): (S.CALLING, (E.SETTLE,)),
    (S.CALLING_LOCAL, G.RECEIVE_REJECTION): (S.CALLING, (E.ROLL_BACK,)),
    (S.CALLING_LOCAL, G.RECEIVE_2XX): (S.UPDATING, ()),
    (S.CALLING_REMOTE, G.SEND_ANSWER): (S.CALLING, (E.SETTLE,)),
    (S.CALLING_REMOTE, G.SEND_REJECTION): (S.CALLING, (E.ROLL_BACK,)),
    (S.CALLING_REMOTE, G.RECEIVE_2XX): (S.UPDATED, ()),
    # RFC 6337 3.4: what was agreed on since the INVITE is undone with it.
    **{(state, G.RECEIVE_REFUSAL): (S.STABLE, (E.ROLL_BACK,)) for state in (S.INVITING, S.ASKING, S.OWING, S.CALLING)},
    (S.CALLING_LOCAL, G.RECEIVE_REFUSAL): (S.UPDATING, (E.ROLL_BACK,)),
    (S.CALLING_REMOTE, G.RECEIVE_REFUSAL): (S.UPDATED, (E.ROLL_BACK,)),
}

_INVITE_OF_THEIRS: _Arcs = {
    (S.STABLE, G.RECEIVE_INVITE): (S.INVITED, (E.ASK,)),
    (S.STABLE, G.RECEIVE_EMPTY_INVITE): (S.ASKED, (E.ASK,)),
    (S.INVITED, G.SEND_1XX): (S.ANSWERED, (E.SETTLE,)),
    (S.INVITED, G.SEND_2XX): (S.ACCEPTED, (E.SETTLE,)),
    (S.ASKED, G.SEND_1XX): (S.OFFERED, ()),
    (S.ASKED, G.SEND_2XX): (S.OFFERED, ()),
    (S.OFFERED, G.RECEIVE_PRACK): (S.RINGING, (E.SETTLE,)),
    (S.OFFERED, G.RECEIVE_ACK): (S.STABLE, (E.SETTLE,)),
    (S.ANSWERED, G.RECEIVE_PRACK): (S.RINGING, ()),
    (S.ANSWERED, G.RECEIVE_PRACK_OFFER): (S.RINGING_REMOTE, (E.ASK,)),
    (S.RINGING, G.RECEIVE_PRACK_OFFER): (S.RINGING_REMOTE, (E.ASK,)),
    (S.RINGING, G.RECEIVE_UPDATE): (S.RINGING_REMOTE, (E.ASK,)),
    (S.RINGING, G.SEND_UPDATE): (S.RINGING_LOCAL, ()),
    (S.RINGING, G.SEND_2XX): (S.ACCEPTED, ()),
    (S.RINGING_LOCAL, G.RECEIVE_ANSWER): (S.RINGING, (E.SETTLE,)),
    (S.RINGING_LOCAL, G.RECEIVE_REJECTION): (S.RINGING, (E.ROLL_BACK,)),
    (S.RINGING_LOCAL, G.SEND_2XX): (S.UPDATING, ()),
    (S.RINGING_REMOTE, G.SEND_ANSWER): (S.RINGING, (E.SETTLE,)),
    (S.RINGING_REMOTE, G.SEND_REJECTION): (S.RINGING, (E.ROLL_BACK,)),
    (S.RINGING_REMOTE, G.SEND_2XX): (S.UPDATED, ()),
    (S.ACCEPTED, G.RECEIVE_ACK): (S.STABLE, ()),
    # Whoever sends another INVITE has had the 2xx: its ACK was lost, or is late. An UPDATE may come without that.
    (S.ACCEPTED, G.RECEIVE_INVITE): (S.INVITED, (E.ASK,)),
    (S.ACCEPTED, G.RECEIVE_EMPTY_INVITE): (S.ASKED, (E.ASK,)),
    (S.ACCEPTED, G.RECEIVE_UPDATE): (S.UPDATED, (E.ASK,)),
    **{
        (state, G.SEND_REFUSAL): (S.STABLE, (E.ROLL_BACK,))
        for state in (S.INVITED, S.ASKED, S.OFFERED, S.ANSWERED, S.RINGING)
    },
    (S.RINGING_LOCAL, G.SEND_REFUSAL): (S.UPDATING, (E.ROLL_BACK,)),
    (S.RINGING_REMOTE, G.SEND_REFUSAL): (S.UPDATED, (E.ROLL_BACK,)),
}

_UPDATE_ALONE: _Arcs = {
    (S.STABLE, G.SEND_UPDATE): (S.UPDATING, ()),
    (S.STABLE, G.RECEIVE_UPDATE): (S.UPDATED, (E.ASK,)),
    (S.UPDATING, G.RECEIVE_ANSWER): (S.STABLE, (E.SETTLE,)),
    (S.UPDATING, G.RECEIVE_REJECTION): (S.STABLE, (E.ROLL_BACK,)),
    (S.UPDATED, G.SEND_ANSWER): (S.STABLE, (E.SETTLE,)),
    (S.UPDATED, G.SEND_REJECTION): (S.STABLE, (E.ROLL_BACK,)),
}

_INVITES = (G.RECEIVE_INVITE, G.RECEIVE_EMPTY_INVITE)
_OWED = (S.INVITED, S.ASKED, S.OFFERED, S.ANSWERED, S.RINGING_REMOTE, S.CALLING_REMOTE, S.UPDATED)

_COLLISIONS: _Arcs = {
    # RFC 6337 4.3: UAS-IcI and UAS-UcI, then UAS-IsI and UAS-UsI
    **{(state, signal): (state, (E.GLARE,)) for state in (*_OURS, S.UPDATING) for signal in _INVITES},
    **{(state, signal): (state, (E.BUSY,)) for state in (*_THEIRS, S.UPDATED) for signal in _INVITES},
    # UAS-IcU and UAS-UcU, then UAS-IsU and UAS-UsU
    **{
        (state, G.RECEIVE_UPDATE): (state, (E.GLARE,))
        for state in (S.INVITING, S.ASKING, S.OWING, S.CALLING_LOCAL, S.RINGING_LOCAL, S.UPDATING)
    },
    **{(state, G.RECEIVE_UPDATE): (state, (E.BUSY,)) for state in _OWED},
    # RFC 6337 2.2: a PRACK bears an offer only when what it acknowledges bore the answer.
    **{(state, G.RECEIVE_PRACK_OFFER): (state, (E.BUSY,)) for state in State if state not in (S.ANSWERED, S.RINGING)},
}
# Figure 11: a PRACK cannot well be refused, but it crossed an offer of ours.
_COLLISIONS[S.RINGING_LOCAL, G.RECEIVE_PRACK_OFFER] = (S.RINGING_LOCAL, (E.GLARE,))
_COLLISIONS[S.UPDATING, G.RECEIVE_PRACK_OFFER] = (S.UPDATING, (E.GLARE,))

_ARCS: _Arcs = {**_INVITE_OF_OURS, **_INVITE_OF_THEIRS, **_UPDATE_ALONE, **_COLLISIONS}

# What comes from outside again, late, or against the rules. A response is one to a request of ours that is over, or the
# session description of another fork.
_NOISE = (
    G.RECEIVE_1XX,
    G.RECEIVE_PRACK,
    G.RECEIVE_2XX,
    G.RECEIVE_REFUSAL,
    G.RECEIVE_ACK,
    G.RECEIVE_ANSWER,
    G.RECEIVE_REJECTION,
)
_ABSORBED = [(state, signal) for state in State for signal in _NOISE if (state, signal) not in _ARCS]
_REFUSED = [
    (state, signal) for state in State for signal in Signal if signal not in _NOISE and (state, signal) not in _ARCS
]

NEGOTIATION: Table[State, Signal, Effect] = complete("Offer and answer", State, Signal, _ARCS, _ABSORBED, _REFUSED)


class Negotiating(Protocol):
    """Whatever is somewhere in the table: a dialog."""

    negotiation: State


_ROWS = NEGOTIATION.rows


def negotiate(dialog: Negotiating, signal: Signal) -> tuple[Effect, ...]:
    """Let the machine of ``dialog`` take ``signal``; what shall be done is for whoever gave it."""
    dialog.negotiation, effects = _ROWS[dialog.negotiation][signal]
    return effects
