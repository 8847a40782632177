"""The side that is called, by the switch: reliable ringing, early media, offers in either direction, and Replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction
from tests.chaos.conversation import Conversation
from tests.chaos.media import Hearing, Speech
from tests.chaos.ringing import Ringing
from tests.chaos.talk import Talk

if TYPE_CHECKING:
    from tests.chaos.handset import Handset

__all__ = ["Alert"]

_T1 = 0.5


class Alert(Ringing):
    """``replaced`` is the dialog of this phone that is to be replaced."""

    def __init__(self, phone: Handset, transaction: ServerTransaction, replaced: Conversation | None = None) -> None:
        self.speech = Speech(phone.host, phone.new_number())
        self.hearing = Hearing()
        self._replaced = replaced
        self._offer = transaction.request.body
        self._is_settled = False  # the session was agreed on before the answer
        self._unacknowledged: Response | None = None
        self._offered = b""  # what a reliable response of ours offered
        self._wants_answer = False
        self._serial = 0
        self._number = transaction.request.cseq.number
        Ringing.__init__(self, phone, transaction)
        if self._offer:
            self._complain(self.hearing.offered(self._offer))
        phone.alerts[transaction.request.call_id, self.tag, transaction.request.from_tag] = self

    def _complain(self, text: str) -> None:
        if text:
            self.phone.world.breach(f"{self.phone.name}'s INVITE of {self.request.call_id}: {text}")

    @property
    def replaces(self) -> str:
        """The Replaces value that names this dialog for the server."""
        request = self.request
        return f"{request.call_id};to-tag={request.from_tag};from-tag={self.tag}"

    # -- what it says --------------------------------------------------------------------------------------------------

    def _ring(self) -> None:
        if self.transaction.is_final_sent or self._unacknowledged is not None or self._is_settled:
            return
        request, chance = self.request, self.phone.world.chance
        is_required = request.has_token("require", "100rel")
        if is_required or (request.has_token("supported", "100rel") and chance.random() < 0.3):
            self._ring_reliably(chance.random() < 0.5)
        else:
            response = self._response(180)
            if self._offer and chance.random() < 0.2:
                response.set_body(self.speech.answer(self._offer), "application/sdp")
            self.transaction.respond(response)

    def _ring_reliably(self, has_session: bool) -> None:
        """RFC 3262 3, 5: without an offer in the INVITE there is one in the first reliable response."""
        self._serial += 1
        response = self._response(183 if has_session else 180)
        response.add("require", "100rel")
        response.add("rseq", str(self._serial))
        if not self._offer:
            self._offered = self.speech.say()
            response.set_body(self._offered, "application/sdp")
        elif has_session:
            response.set_body(self.speech.answer(self._offer), "application/sdp")
            self._is_settled = True
        self._unacknowledged = response
        self._repeat(response, _T1)

    def _repeat(self, response: Response, interval: float) -> None:
        if self._unacknowledged is not response or self.transaction.is_final_sent:
            return
        if interval > 64 * _T1:
            self._refuse(504)
            return
        self.transaction.respond(response)
        self.phone.later(interval, self._repeat, response, 2 * interval)

    def _answer(self) -> None:
        if self._unacknowledged is not None:
            self._wants_answer = True
        else:
            Ringing._answer(self)

    def _response(self, status: int) -> Response:
        response = Ringing._response(self, status)
        if status == 200 and not self._is_settled:
            session = self.speech.answer(self._offer) if self._offer else self.speech.say()
            response.set_body(session, "application/sdp")
        return response

    def _make_talk(self) -> Talk:
        talk = Ringing._make_talk(self)
        assert isinstance(talk, Conversation)
        talk.set_out(self.request, self.speech, self.hearing)
        talk.note_number(self._number)
        if not self._offer and not self._is_settled:
            talk.await_answer(self.request.cseq.number, self.speech.say())
        if self._replaced is not None:
            self._replaced.hang_up()
        return talk

    # -- what is asked meanwhile ---------------------------------------------------------------------------------------

    def serve(self, transaction: ServerTransaction) -> None:
        """A request within the early dialog."""
        request = transaction.request
        if self.transaction.is_final_sent:
            transaction.reply(481)
        elif request.cseq.number <= self._number:
            transaction.reply(500)
        else:
            self._number = request.cseq.number
            if request.method == "PRACK":
                self._serve_prack(transaction, request)
            elif request.method == "UPDATE":
                self._serve_update(transaction, request)
            else:
                transaction.reply(200)

    def _serve_prack(self, transaction: ServerTransaction, prack: Request) -> None:
        wanted = f"{self._serial} {self.request.cseq.number} INVITE"
        if self._unacknowledged is None or prack.require("rack") != wanted:
            transaction.reply(481)
            return
        self._unacknowledged = None
        transaction.reply(200)
        if self._offered and not prack.body:
            self._complain("the PRACK brings no answer to the offer of a reliable response")
        elif self._offered:
            self._complain(self.hearing.answered(self._offered, prack.body))
            self._is_settled = True
        if self._wants_answer:
            self._answer()

    def _serve_update(self, transaction: ServerTransaction, update: Request) -> None:
        if not self._is_settled or self._unacknowledged is not None:
            transaction.reply(500, headers=(("retry-after", "1"),))
            return
        response = reply(update, 200)
        response.add("contact", self.phone.contact)
        if update.body:
            self._complain(self.hearing.offered(update.body))
            response.set_body(self.speech.answer(update.body), "application/sdp")
        transaction.respond(response)
