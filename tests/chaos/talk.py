"""One end of a dialog: re-INVITEs, UPDATEs, glare, session timers, and somebody who hangs up or forgets to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from gosip_py.sip.message import Message, Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction
from tests.chaos.asking import Hear, Question
from tests.chaos.confirmation import Confirmation

if TYPE_CHECKING:
    from tests.chaos.phone import Phone

__all__ = ["Talk"]

_GONE = (408, 481)  # what says that there is no dialog any more (12.2.1.2)
_GLARE = 491
_TRIFLES = ("INFO", "OPTIONS", "MESSAGE")
_SAME_MOMENT = 3.0
_MOST_REFRESHES = 3
_PATIENCE = 60.0


class Talk:
    """A dialog as one phone knows it, from the 2xx on; it stays known when it is over.

    ``byes_sent`` and ``byes_heard`` count requests, not their repetitions. ``is_over`` when either side hung up,
    ``was_forgotten`` when that took longer than the server should let it. ``is_bridged``: the other end is the switch.
    """

    def __init__(
        self, phone: Phone, call_id: str, local: str, remote: str, tags: tuple[str, str], *, is_caller: bool
    ) -> None:
        self.phone = phone
        self.call_id = call_id
        self.is_caller = is_caller
        self._local, self._remote = local, remote
        local_tag, remote_tag = tags
        self.key = (call_id, *(tags if is_caller else (remote_tag, local_tag)))
        self.target = ""
        self.routes: tuple[str, ...] = ()
        self.number = 0
        self._remote_number = 0
        self.since = phone.world.clock.seconds()
        self.is_bridged = False
        self.ended_at = 0.0
        self.is_over = False
        self.is_confirmed = is_caller
        self.byes_sent = 0
        self.byes_heard = 0
        self.was_forgotten = False
        self._wants_to_leave = False
        self.answers: dict[int, bytes] = {}  # what goes into the ACK of the INVITE with this CSeq
        self._asking = 0  # INVITEs and UPDATEs of ours without a final response
        self._serving: ServerTransaction | None = None
        self._timer: IDelayedCall | None = None
        self._refreshes = phone.world.chance.randint(0, _MOST_REFRESHES)
        self._is_vigilant = phone.world.chance.random() < 0.5
        phone.later(phone.world.longest_talk(), self._notice)
        phone.talks[call_id, local_tag, remote_tag] = self
        phone.world.began(self)

    @classmethod
    def of_caller(cls, phone: Phone, response: Response, number: int) -> Talk:
        """What a 2xx to our INVITE makes (12.1.2); ``number`` is the CSeq of that."""
        local, remote = response.require("from"), response.require("to")
        talk = cls(phone, response.call_id, local, remote, (response.from_tag, response.to_tag), is_caller=True)
        talk._learn(response)
        talk.routes = tuple(reversed(response.values("record-route")))
        talk.number = number
        talk._read_timer(response, is_client=True)
        return talk

    @classmethod
    def of_callee(cls, phone: Phone, request: Request, tag: str) -> Talk:
        """What answering this INVITE with our ``tag`` makes (12.1.1)."""
        local, remote = f"{request.require('to')};tag={tag}", request.require("from")
        talk = cls(phone, request.call_id, local, remote, (tag, request.from_tag), is_caller=False)
        talk._learn(request)
        talk.routes = tuple(request.values("record-route"))
        talk._remote_number = request.cseq.number
        return talk

    def _learn(self, message: Message) -> None:
        if "contact" in message.names:
            self.target = message.addresses("contact")[0].uri_text

    def __str__(self) -> str:
        return f"{self.phone.name}'s side of {' '.join(self.key)}"

    # -- what the person does ------------------------------------------------------------------------------------------

    def live(self, hang_up_after: float | None) -> None:
        """Let chance decide what happens until somebody hangs up, here after so many seconds, or never."""
        phone = self.phone
        chance = phone.world.chance
        if hang_up_after is not None:
            phone.later(hang_up_after, self.hang_up)
        if chance.random() < 0.3:
            phone.later(_SAME_MOMENT, self._try, chance.choice(("INVITE", "INVITE", "UPDATE")))
        for _ in range(chance.choice((0, 0, 1, 2))):
            phone.later(chance.uniform(0, 15), self._try, chance.choice(("INVITE", "UPDATE", *_TRIFLES)))
        if chance.random() < 0.04 and phone.world.may_die(phone):
            phone.later(chance.uniform(0, 20), phone.die, chance.random() < 0.5)

    def hang_up(self) -> None:
        """BYE, once; who was called must have the ACK first, or wait in vain for it (15)."""
        self._wants_to_leave = True
        if self.is_over or not self.is_confirmed:
            return
        self._end()
        self.byes_sent += 1
        self._ask("BYE", self._forget)

    def _notice(self) -> None:
        """Nobody hung up, and nobody told us to: here is somebody who looks at the phone at last."""
        if not self.is_over:
            self.was_forgotten = True
            self.hang_up()

    def _end(self) -> None:
        self.is_over = True
        self.ended_at = self.phone.world.clock.seconds()
        self._stop_timer()

    def hear_ack(self, ack: Request) -> None:
        """The first ACK of one of our 2xx; `confirmed` follows."""

    def confirmed(self) -> None:
        """The ACK of one of our 2xx is here."""
        if not self.is_confirmed:
            self.is_confirmed = True
            if self._wants_to_leave:
                self.hang_up()

    def unacknowledged(self) -> None:
        """No ACK came in 64*T1 (13.3.1.4, 14.2)."""
        self.is_confirmed = True
        self.hang_up()

    # -- asking --------------------------------------------------------------------------------------------------------

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def request(self, method: str, number: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """A request within the dialog (12.2.1.1), of which there is no ACK here."""
        routes = (("route", value) for value in self.routes)
        return self.phone.compose(
            method,
            self.target,
            to=self._remote,
            from_=self._local,
            call_id=self.call_id,
            number=number,
            headers=(*routes, *headers),
            body=body,
        )

    def acknowledge(self, question: Question, number: int) -> None:
        """The ACK of a 2xx to an INVITE with this CSeq, each time that it comes (13.2.2.4)."""
        request = self.request("ACK", number, question.credentials, self.answers.get(number, b""))
        request.remove("contact")
        self.phone.layer.send_stateless(request, self.phone.flow)

    def _ask(self, method: str, hear: Hear, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Question:
        request = self.request(method, self.next_number(), headers, body)
        return Question(self.phone, request, self.next_number, hear, server_answers=self.is_served(method))

    def is_served(self, method: str) -> bool:
        """Whether it is the server that answers a request of this method, and not somebody beyond it."""
        return False

    def _forget(self, question: Question, response: Response | None) -> None:
        """Whatever answers a BYE, the dialog is over (15.1.1)."""

    def _try(self, method: str) -> None:
        if self.is_over or not self.is_confirmed:
            return
        if method in _TRIFLES:
            self._ask(method, self._heard)
        elif not self._asking and self._serving is None:
            self._modify(method, ())

    def _modify(self, method: str, headers: tuple[tuple[str, str], ...]) -> None:
        if self.phone.knows_timer:
            headers = (("supported", "timer"), *headers)
        self._asking += 1
        question = self._ask(method, self._modified, headers, self._session(method))
        if method == "INVITE":
            self.phone.later(_PATIENCE, question.cancel)  # its 2xx may have been the last of whoever is dead by now

    def _session(self, method: str) -> bytes:
        """What a request that may change the session says of it."""
        return b""

    def _modified(self, question: Question, response: Response | None) -> None:
        """The answer to a re-INVITE or an UPDATE of ours; a 2xx to an INVITE may come again."""
        is_first = len(question.exchange.finals) <= 1
        if is_first:
            self._asking -= 1
        if response is not None and response.status < 300:
            if is_first:
                self._learn(response)
                self._read_timer(response, is_client=True)
            if question.method == "INVITE":
                self.acknowledge(question, response.cseq.number)
        elif response is not None and response.status == _GLARE and not self.is_over:
            # 14.1: whoever owns the Call-ID waits longer
            wait = (2.1, 4.0) if self.is_caller else (0.0, 2.0)
            self.phone.later(self.phone.world.chance.uniform(*wait), self._try, question.method)
        else:
            self._heard(question, response)

    def _heard(self, question: Question, response: Response | None) -> None:
        if response is None or response.status in _GONE:
            self.hang_up()

    # -- being asked ---------------------------------------------------------------------------------------------------

    def serve(self, transaction: ServerTransaction) -> None:
        """A request within the dialog."""
        request = transaction.request
        method, number = request.method, request.cseq.number
        if method == "BYE":
            self._serve_bye(transaction)
        elif self.is_over:
            transaction.reply(481)
        elif number <= self._remote_number:
            transaction.reply(500)  # 12.2.2
        else:
            self._remote_number = number
            if method == "INVITE":
                self._serve_invite(transaction)
            elif method == "UPDATE":
                self._serve_update(transaction)
            else:
                transaction.reply(200)

    def _serve_bye(self, transaction: ServerTransaction) -> None:
        self.byes_heard += 1
        transaction.reply(200)
        self._end()
        if self._serving is not None:
            self._serving.reply(487)  # 15.1.2
            self._serving = None

    def _serve_invite(self, transaction: ServerTransaction) -> None:
        if self._asking:
            transaction.reply(_GLARE)
        elif self._serving is not None:
            transaction.reply(500, headers=(("retry-after", "1"),))  # 14.2
        else:
            self._serving = transaction
            chance = self.phone.world.chance
            self.phone.later(chance.choice((0.0, chance.uniform(0, 2))), self._answer_invite, transaction)

    def _answer_invite(self, transaction: ServerTransaction) -> None:
        self._serving = None
        if transaction.is_final_sent:
            return
        if self.phone.world.chance.random() < 0.15:
            transaction.reply(488)
            return
        request = transaction.request
        self._learn(request)
        response = self._ok(request)
        self.settle_as_server(request, response)
        Confirmation(self, transaction, response)

    def _serve_update(self, transaction: ServerTransaction) -> None:
        if self._asking or self._serving is not None:
            transaction.reply(_GLARE)  # RFC 3311 5.2
            return
        request = transaction.request
        self._learn(request)
        response = self._ok(request)
        self.settle_as_server(request, response)
        transaction.respond(response)

    def _ok(self, request: Request) -> Response:
        response = reply(request, 200)
        for value in request.values("record-route"):
            response.add("record-route", value)
        response.add("contact", self.phone.contact)
        return response

    # -- session timers (RFC 4028) -------------------------------------------------------------------------------------

    def settle_as_server(self, request: Request, response: Response) -> None:
        """Put into our 2xx what we agree to (9), and keep to it."""
        if self.phone.knows_timer and "session-expires" in request.names:
            seconds, _, given = request.require("session-expires").partition(";refresher=")
            client_knows = request.has_token("supported", "timer")
            refresher = (given or self.phone.world.chance.choice(("uac", "uas"))) if client_knows else "uas"
            response.add("session-expires", f"{seconds.partition(';')[0]};refresher={refresher}")
            if refresher == "uac":
                response.add("require", "timer")
        self._read_timer(response, is_client=False)

    def _read_timer(self, response: Response, *, is_client: bool) -> None:
        self._stop_timer()
        value = response.value("session-expires")
        if value is None or not self.phone.knows_timer or self.is_over:
            return
        seconds, _, refresher = value.partition(";refresher=")
        expires = float(seconds)
        if (refresher == "uac") is is_client:
            self._timer = self.phone.later(expires / 2, self._refresh, seconds)
        elif self._is_vigilant:
            # 10: a little before it expires
            self._timer = self.phone.later(expires - min(32, expires / 3), self.hang_up)

    def _refresh(self, seconds: str) -> None:
        """Half of the time has passed (10); after some of them, the phone forgets to."""
        if self.is_over or not self._refreshes or self._asking or self._serving is not None:
            return
        self._refreshes -= 1
        method = self.phone.world.chance.choice(("INVITE", "UPDATE"))
        self._modify(method, (("session-expires", f"{seconds};refresher=uac"),))

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
