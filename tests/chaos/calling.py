"""The side that calls: one call, from its first INVITE until every dialog of it is over (RFC 3261 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.sip.message import Response
from tests.chaos.asking import Question
from tests.chaos.talk import Talk
from tests.proxy.switchboard import DOMAIN

if TYPE_CHECKING:
    from tests.chaos.phone import Phone

__all__ = ["Calling"]

_INTERVALS = ("", "", "", "60", "90", "300", "1800")
_PATIENCE = (300.0, 400.0)  # longer than Timer C of the server
_LARGE_BODY = b"v=0\r\n" + b"a=x:" * 400  # too large for a datagram (18.1.1)


class Calling:
    """A call of ``phone`` to ``name``. ``has_rung`` when somebody did."""

    def __init__(self, phone: Phone, name: str, hops: int = 70) -> None:
        self.phone = phone
        self.name = name
        self.call_id = f"call@{phone.new_serial()}"
        self.number = 1
        self.talks: dict[str, Talk] = {}
        chance = phone.world.chance
        uri = f"sip:{name}@{DOMAIN}"
        request = phone.compose(
            "INVITE",
            uri,
            to=f"<{uri}>",
            from_=f"{phone.address};tag={phone.new_serial()}",
            call_id=self.call_id,
            number=1,
            headers=self._headers(),
            hops=hops,
            body=self._body(chance.random() < 0.05),
        )
        phone.world.plan(self.call_id)
        self.question = Question(phone, request, self._next_number, self._heard, self._rang)
        if chance.random() < 0.3:
            phone.later(chance.uniform(0, 8), self.cancel)
        phone.later(chance.uniform(*_PATIENCE), self.cancel)

    def _body(self, is_large: bool) -> bytes:
        return _LARGE_BODY if is_large else b""

    def _headers(self) -> tuple[tuple[str, str], ...]:
        if not self.phone.knows_timer:
            return ()
        expires = self.phone.world.chance.choice(_INTERVALS)
        return (("supported", "timer"), *((("session-expires", expires),) if expires else ()))

    def _next_number(self) -> int:
        self.number += 1
        return self.number

    def cancel(self) -> None:
        """Give up, if nobody has answered yet."""
        if not self.talks:
            self.question.cancel()

    def _rang(self, response: Response) -> None:
        """A provisional response above 100."""

    def _heard(self, question: Question, response: Response | None) -> None:
        if response is None or response.status >= 300:
            return
        talk = self.talks.get(response.to_tag)
        if talk is None:
            talk = self._begin(response)
        talk.acknowledge(question, response.cseq.number)
        if question.wants_cancel or talk is not next(iter(self.talks.values())):
            talk.hang_up()  # 13.2.2.4: one of them is enough

    def _begin(self, response: Response) -> Talk:
        is_first = not self.talks
        talk = self.talks[response.to_tag] = self.phone.talk_type.of_caller(self.phone, response, self.number)
        if is_first:
            talk.live(self.phone.world.leaves_after(talk))
        return talk
