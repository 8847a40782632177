"""The side that is called: rings, and answers, refuses, sends on, keeps silent or dies, as chance wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.user import Failure
from tests.chaos.confirmation import Confirmation
from tests.chaos.talk import Talk
from tests.proxy.switchboard import DOMAIN

if TYPE_CHECKING:
    from tests.chaos.phone import Phone

__all__ = ["Ringing"]

_REFUSALS = (404, 406, 415, 480, 486, 486, 486, 488, 500, 503, 600, 603)
_LONGEST_RINGING = 500.0
_SAME_MOMENT = 2.0  # several phones that answer then do so at once
_PLANS = ("answer",) * 11 + ("refuse",) * 4 + ("send on", "be silent", "be patient", "be stubborn", "die")
# Seconds after a CANCEL. Whoever took another 2xx acknowledges this one for 64*T1 (RFC 6026 7.2): it must be repeated
# often enough in that time.
_LATEST = 8.0


class Ringing:
    """One initial INVITE that came; the owner of its transaction."""

    def __init__(self, phone: Phone, transaction: ServerTransaction) -> None:
        self.phone = phone
        self.transaction = transaction
        self.request: Request = transaction.request
        self.tag = transaction.to_tag = phone.new_serial()
        transaction.owner = self
        chance = phone.world.chance
        if chance.random() < 0.85:
            phone.later(chance.uniform(0, 1.5), self._ring)
        self._plan = chance.choice(_PLANS)
        self._begin(self._plan, chance.uniform(0, 10))
        phone.later(_LONGEST_RINGING, self._refuse, 480)  # the CANCEL may have been lost with its connection

    def _begin(self, plan: str, seconds: float) -> None:
        phone = self.phone
        chance = phone.world.chance
        if plan == "answer":
            phone.later(_SAME_MOMENT if chance.random() < 0.4 else seconds, self._answer)
        elif plan == "refuse":
            phone.later(seconds, self._refuse, chance.choice(_REFUSALS))
        elif plan == "send on":
            phone.later(seconds, self._send_on, chance.choice(phone.world.names))
        elif plan == "be patient":
            phone.later(60, self._ring_again)
        elif plan == "die" and phone.world.may_die(phone):
            phone.later(seconds, phone.die, chance.random() < 0.5)

    # -- what it says --------------------------------------------------------------------------------------------------

    def _response(self, status: int) -> Response:
        response = reply(self.request, status, to_tag=self.tag)
        for value in self.request.values("record-route"):
            response.add("record-route", value)
        response.add("contact", self.phone.contact)
        return response

    def _ring(self) -> None:
        if not self.transaction.is_final_sent:
            self.transaction.respond(self._response(180))

    def _ring_again(self) -> None:
        """13.3.1.1: every minute, so that no proxy loses patience."""
        if not self.transaction.is_final_sent:
            self._ring()
            self.phone.later(60, self._ring_again)

    def _refuse(self, status: int) -> None:
        self.transaction.reply(status)

    def _send_on(self, name: str) -> None:
        self.transaction.reply(302, headers=(("contact", f"<sip:{name}@{DOMAIN}>"),))

    def _answer(self) -> None:
        if self.transaction.is_final_sent:
            return
        talk = self._make_talk()
        response = self._response(200)
        talk.settle_as_server(self.request, response)
        Confirmation(talk, self.transaction, response)
        talk.live(self.phone.world.leaves_after(talk))

    def _make_talk(self) -> Talk:
        return self.phone.talk_type.of_callee(self.phone, self.request, self.tag)

    # -- what the transaction says -------------------------------------------------------------------------------------

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """A stubborn phone answers all the same: its 2xx is too late for whoever lost patience."""
        if self._plan == "be stubborn":
            self.phone.later(self.phone.world.chance.uniform(0, _LATEST), self._answer)
        else:
            transaction.reply(487)

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """Whoever called is gone."""
