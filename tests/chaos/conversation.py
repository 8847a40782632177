"""One end of a dialog that knows more: sessions and hold, REFER both ways, and calls to consult somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.server import ServerTransaction
from tests.chaos.asking import Question
from tests.chaos.media import Hearing, Speech
from tests.chaos.referral import Referral
from tests.chaos.talk import Talk
from tests.proxy.switchboard import DOMAIN

if TYPE_CHECKING:
    from tests.chaos.dialled import Dialled
    from tests.chaos.office import Office

__all__ = ["Conversation"]

_SAME_MOMENT = 5.0  # when both sides hang up at once
_SOON = 32.0
_SERVED = frozenset(("BYE", "OPTIONS", "PRACK", "REFER"))


class Conversation(Talk):
    """``is_disordered``: a NOTIFY was overtaken, and refused (RFC 3261 12.2.2).

    ``speech`` and ``hearing`` are the session; `Alert` and `Dialled` give it those that began before the answer.
    """

    def __init__(self, *arguments: object, **others: object) -> None:
        Talk.__init__(self, *arguments, **others)  # type: ignore[arg-type]  # whatever it takes
        self.speech = Speech("", 0)
        self.hearing = Hearing()
        self.referrals: list[Referral] = []
        self.is_disordered = False
        self._offers: dict[int, bytes] = {}  # of 2xx of ours, by CSeq, that wait for the answer in the ACK
        self._asked = b""  # what the last INVITE or UPDATE of ours offered

    def set_out(self, message: Message, speech: Speech, hearing: Hearing) -> None:
        """Take over what was said before the answer; ``message`` is what the server said of the call."""
        self.is_bridged = "record-route" not in message.names
        self.speech, self.hearing = speech, hearing

    @property
    def _office(self) -> Office:
        return cast("Office", self.phone.world)

    def note_number(self, number: int) -> None:
        """The highest CSeq that the other side used so far."""
        self._remote_number = max(self._remote_number, number)

    def complain(self, text: str) -> None:
        """A breach, when there is something wrong."""
        if text:
            self.phone.world.breach(f"{self}: {text}")

    def is_served(self, method: str) -> bool:
        return self.is_bridged and method in _SERVED

    # -- what the person does ------------------------------------------------------------------------------------------

    def live(self, hang_up_after: float | None) -> None:
        Talk.live(self, hang_up_after)
        phone = self.phone
        chance = phone.world.chance
        if chance.random() < 0.3:
            at = chance.uniform(0, 10)
            phone.later(at, self._turn, "sendonly")
            phone.later(at + chance.uniform(0.2, 10), self._turn, "sendrecv")
        fate = chance.random()
        if fate < 0.2:
            phone.later(chance.choice((_SAME_MOMENT, chance.uniform(0, 15))), self._send_away)
        elif fate < 0.35:
            phone.later(chance.uniform(0, 8), self._consult)

    def _turn(self, way: str) -> None:
        """Hold them, or go on."""
        if self._may_offer:
            self._offer("INVITE", self.speech.say(way))

    @property
    def _may_offer(self) -> bool:
        return not self.is_over and self.is_confirmed and not self._asking and self._serving is None

    def _send_away(self) -> None:
        """A blind transfer, to anybody or anything."""
        if not self.is_over and self.is_confirmed:
            office = self._office
            name = office.chance.choice(office.targets)
            self._refer(f"<sip:{name}@{DOMAIN}>")

    def _consult(self) -> None:
        """Call somebody else meanwhile, to connect the two."""
        if self.is_over or not self.is_confirmed:
            return
        phone = self.phone
        chance = phone.world.chance
        if chance.random() < 0.7:
            self._turn("sendonly")
        calling = phone.world.begin_call(phone, chance.choice(phone.world.names))
        phone.later(chance.uniform(1, 12), self._connect, calling)

    def _connect(self, calling: Dialled) -> None:
        """An attended transfer, or a semi-attended one when it still rings there (RFC 5589 7)."""
        replaces = calling.replaces()
        if replaces and not self.is_over and self.is_confirmed:
            self._refer(f"<sip:{calling.name}@{DOMAIN}?Replaces={quote(replaces, safe='')}>")
        elif not self.is_over and self.is_confirmed:
            self._turn("sendrecv")

    def _refer(self, target: str) -> None:
        chance = self.phone.world.chance
        referral = Referral(self, target, is_silent=chance.random() < 0.1)
        self.referrals.append(referral)
        self._office.referrals.append(referral)

    def referred(self, referral: Referral) -> None:
        """The REFER was answered: some hang up at once, as after any transfer that nobody watches."""
        is_hasty = referral.status == 202 and self.phone.world.chance.random() < 0.15
        if is_hasty or referral.status in (0, 408, 481):
            self.hang_up()

    def concluded(self, referral: Referral) -> None:
        """It is known what came of it."""
        chance = self.phone.world.chance
        if referral.final < 300 and chance.random() < 0.7:
            self.phone.later(chance.uniform(0, 1), self.hang_up)
        elif referral.final >= 300:
            self.phone.later(chance.uniform(0, 2), self._turn, "sendrecv")

    def replaces(self) -> str:
        """The Replaces value that names this dialog for the server (RFC 3891 3)."""
        caller, callee = self.key[1:]
        ours, theirs = (caller, callee) if self.is_caller else (callee, caller)
        return f"{self.call_id};to-tag={theirs};from-tag={ours}"

    # -- sessions that we offer ----------------------------------------------------------------------------------------

    def _session(self, method: str) -> bytes:
        """Some ask for an offer, and some UPDATEs are there for the session timer alone."""
        chance = self.phone.world.chance
        body = b"" if chance.random() < (0.15 if method == "INVITE" else 0.5) else self.speech.say()
        self._asked = body
        return body

    def _offer(self, method: str, body: bytes) -> None:
        self._asking += 1
        self._asked = body
        question = self._ask(method, self._modified, self._timer_headers(), body)
        self.phone.later(60.0, question.cancel)

    def _timer_headers(self) -> tuple[tuple[str, str], ...]:
        return (("supported", "timer"),) if self.phone.knows_timer else ()

    def _modified(self, question: Question, response: Response | None) -> None:
        is_first = len(question.exchange.finals) <= 1
        if response is not None and response.status < 300 and is_first:
            self._settle(question.method, response)
        Talk._modified(self, question, response)

    def _settle(self, method: str, response: Response) -> None:
        """Our offer has its answer, or we have the offer that we asked for."""
        offer, sdp = self._asked, response.body
        if offer and not sdp:
            self.complain(f"the {method} with an offer was answered without a session")
        elif offer:
            self.complain(self.hearing.answered(offer, sdp))
        elif method == "INVITE" and not sdp:
            self.complain("an INVITE that asked for an offer was answered without one")
        elif method == "INVITE":
            self.complain(self.hearing.offered(sdp))
            self.answers[response.cseq.number] = self.speech.answer(sdp)
        elif sdp:
            self.complain("an UPDATE without an offer was answered with a session")

    # -- sessions that they offer --------------------------------------------------------------------------------------

    def _ok(self, request: Request) -> Response:
        response = Talk._ok(self, request)
        body = request.body
        if body:
            self.complain(self.hearing.offered(body))
            response.set_body(self.speech.answer(body), "application/sdp")
        elif request.method == "INVITE":
            self.await_answer(request.cseq.number, offer := self.speech.say())
            response.set_body(offer, "application/sdp")
        return response

    def await_answer(self, number: int, offer: bytes) -> None:
        """Our 2xx to the INVITE with this CSeq bears an offer."""
        self._offers[number] = offer
        self._asking += 1

    def hear_ack(self, ack: Request) -> None:
        offer = self._offers.pop(ack.cseq.number, b"")
        if offer:
            self._asking -= 1
        if offer:
            found = self.hearing.answered(offer, ack.body) if ack.body else "the ACK brings no answer to our offer"
            self.phone.later(_SOON, self._miss_answer, found)
        elif ack.body:
            self.complain("the ACK brings a session that nobody asked for")

    def _miss_answer(self, text: str) -> None:
        """Whoever hangs up meanwhile need not answer any more."""
        if not self.is_over:
            self.complain(text)

    # -- being asked ---------------------------------------------------------------------------------------------------

    def serve(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        method = request.method
        if method == "NOTIFY":
            self._serve_notify(transaction, request)
        elif method == "REFER" and not self.is_over:
            self._remote_number = max(self._remote_number, request.cseq.number)
            transaction.reply(603)  # phones here do not follow
        else:
            Talk.serve(self, transaction)

    def _serve_notify(self, transaction: ServerTransaction, notify: Request) -> None:
        """It may come when the call is over (RFC 5057 4.1)."""
        if notify.cseq.number <= self._remote_number:
            self.is_disordered = True
            transaction.reply(500)
            return
        self._remote_number = notify.cseq.number
        event = notify.require("event")
        referral = next((referral for referral in self.referrals if referral.is_meant(event)), None)
        if referral is None:
            transaction.reply(481)
        else:
            transaction.reply(200)
            referral.hear(notify)
