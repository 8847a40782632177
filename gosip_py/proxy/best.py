"""Which of many final responses goes back, and what it takes along from the others (RFC 3261 16.7 items 6 and 7)."""

from __future__ import annotations

from collections.abc import Iterable

from gosip_py.sip.message import Response

__all__ = ["CHALLENGES", "rank", "with_challenges"]

CHALLENGES = frozenset((401, 407))

# Of the 4xx, these tell the caller how to do better.
_HELPFUL = frozenset((401, 407, 415, 420, 484))


def rank(response: Response, is_ours: bool) -> tuple[int, bool, int]:
    """Smaller is better (16.7 item 6).

    A 6xx wins, then the lowest class; within it what somebody downstream said, and of the 4xx those that help.
    """
    status = response.status
    if status >= 600:
        return 0, is_ours, status
    return status // 100, is_ours, 0 if status in _HELPFUL else status


def with_challenges(best: Response, others: Iterable[Response]) -> Response:
    """``best`` as it goes upstream. The caller must answer the challenges of all, so it gets all (16.7 item 7)."""
    forwarded = best.upstream()
    if best.status in CHALLENGES:
        for other in others:
            if other is not best:
                for name in ("www-authenticate", "proxy-authenticate"):
                    for value in other.values(name):
                        forwarded.add(name, value)
    return forwarded
