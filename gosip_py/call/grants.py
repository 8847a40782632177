"""What one request with credentials allows to another that cannot bear any, in a dialog that no session knows.

An ACK cannot be challenged (RFC 3261 22.1), and some phones cannot answer the challenge to a NOTIFY: whoever subscribed
showed who they are, and wants it. Dialogs of calls are known as sessions, and need nothing of this.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from gosip_py.proxy.dialog import contact_of
from gosip_py.sip.message import Request

__all__ = ["Grants"]

_MOST_REMEMBERED = 4096
_SECONDS = re.compile(r"[0-9]{1,6}\Z")
# RFC 6665 4.1.3: "if no Expires is there, the notifier chooses": its own packages have no longer default than this
_USUAL_SECONDS = 3600
_LONGEST_SECONDS = 86400
# For an INVITE to be answered and acknowledged, for the NOTIFY that ends a subscription (RFC 6665 4.1.2.3)
_GRACE_SECONDS = 240.0

_ALLOWS = {"INVITE": "ACK", "REFER": "NOTIFY", "SUBSCRIBE": "NOTIFY"}

Place = tuple[str, str, str]


@attrs.frozen
class _Grant:
    contact: str
    until: float


class Grants:
    """Remembers each for as long as it may be used, and no more than 4096. ``now`` tells epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._grants: dict[Place, _Grant] = {}

    def __len__(self) -> int:
        return len(self._grants)

    def note(self, request: Request) -> None:
        """Its sender showed who they are, and it is forwarded."""
        allowed = _ALLOWS.get(request.method)
        if allowed is None:
            return
        place = (allowed, request.call_id, request.from_tag)
        self._grants.pop(place, None)
        if len(self._grants) >= _MOST_REMEMBERED:
            del self._grants[next(iter(self._grants))]
        seconds = _seconds_of(request) if allowed == "NOTIFY" else 0
        self._grants[place] = _Grant(contact_of(request), self._now() + seconds + _GRACE_SECONDS)

    def covers(self, request: Request) -> bool:
        """Whether it belongs to a request that was noted: an ACK from its sender, or a NOTIFY to where that is."""
        if not self._grants:
            return False
        is_ack = request.method == "ACK"
        tag = request.from_tag if is_ack else request.to_tag
        grant = self._grants.get((request.method, request.call_id, tag))
        if grant is None or grant.until <= self._now():
            return False
        return is_ack or request.uri_text == grant.contact


def _seconds_of(request: Request) -> int:
    """For how long the subscription is asked for; that of a REFER has no Expires (RFC 3515 2.4.4)."""
    said = _SECONDS.match(request.value("expires") or "")
    return min(int(said[0]), _LONGEST_SECONDS) if said else _USUAL_SECONDS
