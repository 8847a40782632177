"""One attempt to deliver a message: to every phone at once, done when one takes it or all have spoken (RFC 3428 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from twisted.internet.defer import Deferred

from gosip_py.proxy.route import ProxyTarget, aim
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.sending import Errand, Sender

__all__ = ["Attempt", "is_temporary", "is_unsettled"]

NOBODY = 408
"""What it counts as when nobody answers."""

_TEMPORARY = frozenset((408, 430, 480, 486))
# Of the server failures, those that another day will not mend: the method, the version, the size.
_LASTING = frozenset((501, 505, 513))


def is_temporary(status: int) -> bool:
    """Whether the same message may be taken later, by the same phone or another, after a refusal with this status."""
    return status in _TEMPORARY or (500 <= status < 600 and status not in _LASTING)


def is_unsettled(status: int) -> bool:
    """Whether a stored message stays in the store after an attempt that ended with this status.

    Its sender is not there to follow a redirection, which may be gone tomorrow.
    """
    return 300 <= status < 400 or is_temporary(status)


class Attempt:
    """One message on its way to the phones of its recipient.

    ``under_way`` holds the Request-URIs that were sent a message and did not answer yet, also those of earlier
    attempts: nothing more is sent there (RFC 3428 8).
    """

    def __init__(self, sender: Sender, request: Request, under_way: set[str]) -> None:
        self._sender = sender
        self._request = request
        self._under_way = under_way
        self._left = 0
        self._best: int | None = None
        self._done: Deferred[int] = Deferred()

    def send(self, targets: Iterable[ProxyTarget]) -> Deferred[int]:
        """Send to each; fires with the status of whoever took it, else with the most hopeful of the others."""
        errands = [self._errand(target) for target in targets if target.uri_text not in self._under_way]
        ready = [errand for errand in errands if errand is not None]
        self._left = len(ready)
        if not ready:
            self._finish(NOBODY)
        for errand in ready:
            errand.send()
        return self._done

    def _errand(self, target: ProxyTarget) -> Errand | None:
        copy = self._request.copy()
        try:
            where = aim(copy, target)
        except ParseError:
            return None  # a path in the store that another version wrote
        self._under_way.add(target.uri_text)
        answered: Callable[[Response | None], None] = partial(self._answered, target.uri_text)
        return Errand(self._sender, copy, where, answered)

    def _answered(self, uri_text: str, response: Response | None) -> None:
        self._under_way.discard(uri_text)
        self._left -= 1
        status = NOBODY if response is None else response.status
        if self._best is None or _hope(status) < _hope(self._best):
            self._best = status
        if status < 300 or not self._left:
            self._finish(self._best)

    def _finish(self, status: int) -> None:
        if not self._done.called:
            self._done.callback(status)


def _hope(status: int) -> int:
    """Smaller is better: taken, perhaps later, never."""
    return 0 if status < 300 else 1 if is_unsettled(status) else 2
