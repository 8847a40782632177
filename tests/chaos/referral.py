"""A REFER that a phone sent, and what it was told of it (RFC 3515)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.sip.message import Request, Response
from tests.chaos.asking import Question

if TYPE_CHECKING:
    from tests.chaos.conversation import Conversation

__all__ = ["Referral"]


class Referral:
    """``status`` is the answer to the REFER, 0 for none; ``final`` the last status that a NOTIFY told, 0 for none."""

    def __init__(self, talk: Conversation, target: str, *, is_silent: bool) -> None:
        self.talk = talk
        self.target = target
        self.is_silent = is_silent
        self.status = 0
        self.told = 0
        self.final = 0
        self._number = talk.next_number()
        headers = [("refer-to", target)]
        chance = talk.phone.world.chance
        if chance.random() < 0.5:
            headers.append(("referred-by", talk.phone.address))
        if is_silent:
            headers += [("refer-sub", "false"), ("supported", "norefersub")]
        request = talk.request("REFER", self._number, headers)
        Question(talk.phone, request, self._next_number, self._answered, server_answers=talk.is_served("REFER"))

    def __str__(self) -> str:
        return f"the REFER to {self.target} in {self.talk}"

    def _next_number(self) -> int:
        self._number = self.talk.next_number()
        return self._number

    def is_meant(self, event: str) -> bool:
        """Whether a NOTIFY with this Event is about it (3.1)."""
        _, _, number = event.partition(";id=")
        return number == str(self._number) if number else self.status in (0, 202) and not self.is_silent

    def _answered(self, question: Question, response: Response | None) -> None:
        self.status = 0 if response is None else response.status
        self.talk.referred(self)

    def hear(self, notify: Request) -> None:
        """A NOTIFY that is about it."""
        breach = self.talk.phone.world.breach
        if self.final:
            breach(f"{self} was told more after its end")
        if not notify.body.startswith(b"SIP/2.0 ") or not notify.require("content-type").startswith("message/sipfrag"):
            breach(f"{self} was told what is no status line: {notify.body!r}")
            return
        self.told = int(notify.body[8:11])
        if notify.require("subscription-state").startswith("terminated"):
            self.final = self.told
            self.talk.concluded(self)
