"""Where a call goes when the person called does not take it, and who may send it on to whom."""

from __future__ import annotations

import attrs

from gosip_py.call.verdict import Attempt, Refuse
from gosip_py.sip.uri import Uri
from gosip_py.store.records import User

__all__ = ["MOST_DIVERSIONS", "divert", "has_visited", "refuse_circle", "ring_seconds"]

MOST_DIVERSIONS = 5


def divert(attempt: Attempt, by: str, dialled: str) -> Attempt:
    """The attempt sent on to ``dialled`` by the person or the group ``by``."""
    return attrs.evolve(attempt, uri=Uri("sip", dialled, ""), dialled=dialled, diverted=(*attempt.diverted, by))


def has_visited(attempt: Attempt, *names: str) -> bool:
    """Whether it was forwarded from one of these names before, in any case of letters."""
    folded = {name.casefold() for name in names}
    return any(name.casefold() in folded for name in attempt.diverted)


def refuse_circle(attempt: Attempt, *names: str) -> Refuse | None:
    """Why it goes no further: it came by here before, or has gone too far."""
    if not attempt.diverted:
        return None
    if has_visited(attempt, *names):
        way = " to ".join((*attempt.diverted, names[0]))
        return Refuse(482, f"the call is forwarded in a circle, from {way}: change one of these forwards")
    if len(attempt.diverted) > MOST_DIVERSIONS:
        return Refuse(482, f"the call was forwarded {MOST_DIVERSIONS} times and no more is done: change the forwards")
    return None


def ring_seconds(user: User, usual: float) -> float:
    """How long the phones of a person ring."""
    return float(user.ring_seconds) if user.ring_seconds > 0 else usual
