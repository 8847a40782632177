"""Phones that know MD5 alone, and give up when they are offered a choice.

RFC 8760 2.3 has one challenge for each algorithm, and a client takes the first that it knows (2.4). Some older ones do
not: they refuse the whole response because one of its challenges is foreign to them, and come again later without
credentials. Those are offered MD5 alone from then on. This weakens nothing: whoever could make a phone ask twice could
strike the other challenge out as well.
"""

from __future__ import annotations

from gosip_py.sip.message import Request

__all__ = ["Fallback"]

_PATIENCE = 1.0  # seconds: a phone may send two requests at once before it has seen the challenge to the first
_REMEMBERED_SECONDS = 7200.0
_MOST_REMEMBERED = 20_000


class Fallback:
    """Who was challenged and did not answer: when that was, or None for whoever is offered MD5 alone.

    Bounded: two generations, of which the older is forgotten.
    """

    def __init__(self) -> None:
        self._younger: dict[int, float | None] = {}
        self._older: dict[int, float | None] = {}
        self._turned_at = 0.0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def is_baffled(self, request: Request, now: float) -> bool:
        """Whether the sender of ``request``, who is about to be challenged, left an earlier challenge unanswered."""
        self._turn(now)
        key = _sender(request)
        challenged_at = self._younger.get(key, self._older.get(key, now))
        is_baffled = challenged_at is None or now - challenged_at > _PATIENCE
        self._younger[key] = None if is_baffled else challenged_at
        return is_baffled

    def note_answer(self, request: Request) -> None:
        """The sender answered: one that had the choice needs no help, another goes on being helped."""
        key = _sender(request)
        if self._younger.get(key, self._older.get(key)) is not None:
            self._younger.pop(key, None)
            self._older.pop(key, None)

    def _turn(self, now: float) -> None:
        if now - self._turned_at > _REMEMBERED_SECONDS or len(self._younger) >= _MOST_REMEMBERED:
            self._older, self._younger = self._younger, {}
            self._turned_at = now


def _sender(request: Request) -> int:
    """Where a request comes from and in whose name: what stays the same when a phone tries again.

    As a hash: both may be long, and anybody may send them.
    """
    via = request.top_via
    return hash((via.parameters.get("received") or via.host, request.from_.uri_text))
