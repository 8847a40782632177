"""The side that calls somebody by way of the switch: offers, early media, PRACK, and INVITEs that replace others."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs

from gosip_py.sip.message import Response
from tests.chaos.asking import Question
from tests.chaos.calling import Calling
from tests.chaos.conversation import Conversation
from tests.chaos.media import Hearing, Speech
from tests.chaos.talk import Talk

if TYPE_CHECKING:
    from tests.chaos.handset import Handset

__all__ = ["Dialled"]


@attrs.define
class _Early:
    """What is known of one early dialog."""

    hearing: Hearing = attrs.field(factory=Hearing)
    is_settled: bool = False
    serial: int = 0


class Dialled(Calling):
    """``replaced`` is the Replaces value that it bears, if any."""

    def __init__(self, phone: Handset, name: str, hops: int = 70, replaced: str = "") -> None:
        chance = phone.world.chance
        self.speech = Speech(phone.host, phone.new_number(), chance.random() < 0.05)
        self.replaced = replaced
        self.early: dict[str, _Early] = {}
        self._offer = b"" if chance.random() < 0.15 else self.speech.say()
        self._knows_reliable = chance.random() < 0.5
        Calling.__init__(self, phone, name, hops)

    def _body(self, is_large: bool) -> bytes:
        return self._offer

    def _headers(self) -> tuple[tuple[str, str], ...]:
        headers = Calling._headers(self)
        if self._knows_reliable:
            others = [value for name, value in headers if name == "supported"]
            headers = (
                *((name, value) for name, value in headers if name != "supported"),
                ("supported", ", ".join((*others, "100rel"))),
            )
        if self.replaced:
            headers = (*headers, ("replaces", self.replaced))
        return headers

    def _complain(self, text: str) -> None:
        if text:
            self.phone.world.breach(f"{self.phone.name}'s call {self.call_id}: {text}")

    def replaces(self) -> str:
        """The Replaces value that names the dialog of this call, early or not; empty when there is none."""
        for talk in self.talks.values():
            if not talk.is_over:
                return cast(Conversation, talk).replaces()
        if self.talks or self.question.exchange.finals:
            return ""
        return next((f"{self.call_id};to-tag={tag};from-tag={self._tag}" for tag in self.early), "")

    @property
    def _tag(self) -> str:
        return self.question.exchange.from_tag

    # -- what is heard -------------------------------------------------------------------------------------------------

    def _rang(self, response: Response) -> None:
        tag = response.to_tag
        if not tag:
            return
        early = self.early.setdefault(tag, _Early())
        is_reliable = "rseq" in response.names
        if is_reliable:
            serial = int(response.require("rseq"))
            if serial <= early.serial:
                return  # a repetition (RFC 3262 4)
            early.serial = serial
        sdp = response.body
        if sdp and self._offer and not is_reliable:
            pass  # one may overtake another
        elif sdp and self._offer:
            self._complain(early.hearing.answered(self._offer, sdp))
            early.is_settled = True
        elif sdp and is_reliable:
            self._complain(early.hearing.offered(sdp))
            early.is_settled = True
        elif sdp:
            self._complain("an offer in a response that is not reliable")
        if is_reliable:
            self._acknowledge(response, self.speech.answer(sdp) if sdp and not self._offer else b"")

    def _acknowledge(self, response: Response, body: bytes) -> None:
        routes = (("route", value) for value in reversed(response.values("record-route")))
        cseq = response.cseq
        request = self.phone.compose(
            "PRACK",
            response.addresses("contact")[0].uri_text,
            to=response.require("to"),
            from_=response.require("from"),
            call_id=self.call_id,
            number=self._next_number(),
            headers=(*routes, ("rack", f"{response.require('rseq')} {cseq.number} {cseq.method}")),
            body=body,
        )
        if not body:
            request.remove("content-type")
        Question(self.phone, request, self._next_number, _unheard)

    def _begin(self, response: Response) -> Talk:
        talk = Calling._begin(self, response)
        early = self.early.setdefault(response.to_tag, _Early())
        assert isinstance(talk, Conversation)
        talk.set_out(response, self.speech, early.hearing)
        sdp = response.body
        if sdp and self._offer:
            self._complain(early.hearing.answered(self._offer, sdp))
        elif sdp and not early.is_settled:
            self._complain(early.hearing.offered(sdp))
            talk.answers[response.cseq.number] = self.speech.answer(sdp)
        elif sdp:
            self._complain("an offer in the 2xx, and one was agreed on before")
        elif not early.is_settled:
            self._complain("a 2xx without a session")
        return talk


def _unheard(_question: Question, _response: Response | None) -> None:
    """What is wrong with a PRACK is told by the INVITE."""
