"""The 2xx of a phone to an INVITE, repeated until it is acknowledged (RFC 3261 13.3.1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from gosip_py.sip.message import Request, Response
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from tests.chaos.talk import Talk

__all__ = ["Confirmation"]

_T1, _T2 = 0.5, 4.0


class Confirmation:
    """A 2xx to an INVITE that is repeated until its ACK comes (13.3.1.4).

    ``was_over`` when none came, and the dialog was over by then.
    """

    def __init__(self, talk: Talk, transaction: ServerTransaction, response: Response) -> None:
        self.talk = talk
        self.is_acknowledged = False
        self.was_over = False
        self.since = talk.phone.world.clock.seconds()
        self._transaction = transaction
        self._response = response
        self._interval = _T1
        self._repeating: IDelayedCall | None = None
        phone = talk.phone
        phone.confirmations[response.call_id, response.to_tag, response.cseq.number] = self
        phone.world.confirmations.append(self)
        self._send()

    def _send(self) -> None:
        talk = self.talk
        if talk.phone.world.clock.seconds() >= self.since + 64 * _T1:
            self.was_over = talk.is_over
            talk.unacknowledged()
            return
        self._transaction.respond(self._response)
        self._repeating = talk.phone.later(self._interval, self._send)
        self._interval = min(2 * self._interval, _T2)

    def acknowledge(self, ack: Request) -> None:
        """The ACK is here, for the first time or again."""
        if self.is_acknowledged:
            return
        self.is_acknowledged = True
        if self._repeating is not None and self._repeating.active():
            self._repeating.cancel()
        self.talk.hear_ack(ack)
        self.talk.confirmed()
