"""The targets of one request in the order in which they are tried, and how wide it may spread (RFC 3261 16.5, 16.6).

Targets of equal q are tried together, the highest q first. Max-Breadth (RFC 5393 5) bounds how many branches are tried
at the same time, here and wherever the request comes afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from gosip_py.proxy.route import ProxyTarget
from gosip_py.sip.errors import ParseError
from gosip_py.sip.grammar import parse_digits
from gosip_py.sip.message import Request

__all__ = ["BREADTH", "allot", "breadth_of", "in_groups", "in_parts", "keep_whole", "shares", "untried"]

# RFC 5393 5.3.3: what a request gets that brings no Max-Breadth, and the most that one may bring
BREADTH = 60

_NAME = "max-breadth"
_LINE = f"Max-Breadth: {BREADTH}"


def breadth_of(request: Request) -> int:
    """How many branches at a time ``request`` may have, at least 1. ParseError when its Max-Breadth is no number."""
    value = request.value(_NAME)
    if value is None:
        return BREADTH
    breadth = parse_digits(value, "Max-Breadth", 2**31 - 1)
    if breadth == 0:
        raise ParseError("Max-Breadth is not a positive number")
    return min(breadth, BREADTH)


def keep_whole(copy: Request) -> int:
    """See to the Max-Breadth of a ``copy`` that need not share it, and tell what it is. ParseError as in `breadth_of`.

    "All proxied requests MUST contain a single Max-Breadth" (RFC 5393 5.3.3).
    """
    names = copy.names
    if _NAME not in names:
        names.append(_NAME)
        copy.lines.append(_LINE)
        return BREADTH
    breadth = breadth_of(copy)
    copy.set(_NAME, str(breadth))
    return breadth


def allot(copy: Request, breadth: int) -> None:
    """Write into ``copy`` its part of what the request may spread."""
    copy.set(_NAME, str(breadth))


def shares(breadth: int, count: int) -> list[int]:
    """``breadth`` divided among ``count`` branches, with nothing left over; ``count`` is not larger than it."""
    each, more = divmod(breadth, count)
    return [each + 1] * more + [each] * (count - more)


def in_groups(targets: Iterable[ProxyTarget], most: int) -> list[Sequence[ProxyTarget]]:
    """Groups of equal q, the highest first, none with more than ``most`` targets."""
    ordered = sorted(targets, key=_by_q)
    return [part for _, group in groupby(ordered, _by_q) for part in in_parts(tuple(group), most)]


def in_parts(targets: Sequence[ProxyTarget], most: int) -> list[Sequence[ProxyTarget]]:
    """``targets`` as they come, cut where there are more than ``most``."""
    return [targets[at : at + most] for at in range(0, len(targets), most)]


def _by_q(target: ProxyTarget) -> int:
    return -target.q


def untried(found: Iterable[ProxyTarget], tried: Iterable[ProxyTarget], most: int) -> list[ProxyTarget]:
    """Those of ``found`` that are new: a target is tried once (16.5). No more than ``most`` altogether."""
    known = {(target.uri_text, target.target) for target in tried}
    new = []
    for target in found:
        key = (target.uri_text, target.target)
        if key not in known and len(known) < most:
            known.add(key)
            new.append(target)
    return new
