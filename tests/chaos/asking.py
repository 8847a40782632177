"""A phone asks: one request, sent again with credentials when it is challenged (RFC 3261 22.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from gosip_py.sip.digest import Algorithm, Challenge, answer_challenge, ha1, parse_challenge
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.user import Failure
from tests.registrar.fakes import PASSWORD, REALM

if TYPE_CHECKING:
    from tests.chaos.phone import Phone

__all__ = ["Exchange", "Hear", "Question"]

Hear = Callable[["Question", Response | None], object]
"""Told of the final response, of each 2xx to an INVITE, or of None when there is none."""

_CHALLENGES = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}
_CHALLENGED_BY_REGISTRAR = frozenset(("PUBLISH", "REGISTER", "SUBSCRIBE"))
_MOST_TRIES = 4
_FORESIGHT = 0.6


class Exchange:
    """One client transaction of a phone, and all that it was told.

    ``server_answers`` says that the server itself must answer, so no time-out is expected.
    """

    __slots__ = (
        "_question", "branch", "call_id", "cancelled_at", "failed_at", "failure", "finals", "from_tag", "is_in_dialog",
        "method", "phone", "server_answers", "takes_over", "via",
    )  # fmt: skip

    def __init__(self, question: Question, request: Request) -> None:
        phone = question.phone
        self._question = question
        self.phone = phone
        self.method = request.method
        self.call_id = request.call_id
        self.from_tag = request.from_tag
        self.is_in_dialog = bool(request.to_tag)
        self.takes_over = "replaces" in request.names
        self.via = phone.via
        self.server_answers = question.server_answers
        self.cancelled_at: float | None = None
        self.finals: list[int] = []
        self.failure: Failure | None = None
        self.failed_at = 0.0
        self.branch = ""

    def __str__(self) -> str:
        return f"{self.phone.name}'s {self.method} of {self.call_id}"

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        status = response.status
        if status < 200:
            self._question.rang(response)
            return
        self.finals.append(status)
        self._question.answered(response)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        if self.failure is not None:
            self.phone.world.breach(f"{self} failed twice")
        self.failure = failure
        self.failed_at = self.phone.world.clock.seconds()
        self._question.failed()


class Question:
    """A request of ``phone``, which must not have a Via. ``next_number`` gives the CSeq of another try."""

    __slots__ = (
        "_hear", "_next_number", "_on_ringing", "_request", "_transaction", "_tries", "exchange", "method", "phone",
        "server_answers", "wants_cancel",
    )  # fmt: skip

    def __init__(
        self,
        phone: Phone,
        request: Request,
        next_number: Callable[[], int],
        hear: Hear,
        on_ringing: Callable[[Response], object] | None = None,
        *,
        server_answers: bool = False,
    ) -> None:
        self.phone = phone
        self.method = request.method
        self.server_answers = server_answers
        self.wants_cancel = False
        self._request = request
        self._next_number = next_number
        self._hear = hear
        self._on_ringing = on_ringing
        self._tries = 0
        if not request.to_tag and phone.world.chance.random() < _FORESIGHT:
            self._foresee()
        self._ask()

    def _ask(self) -> None:
        self._tries += 1
        phone = self.phone
        request = self._request.copy()
        exchange = self.exchange = Exchange(self, request)
        self._transaction = phone.layer.start_client(request, phone.flow, exchange)
        exchange.branch = self._transaction.branch
        phone.world.started(exchange)

    @property
    def credentials(self) -> list[tuple[str, str]]:
        """What the ACK of a 2xx bears too (13.2.2.4)."""
        names = [answer for _, answer in _CHALLENGES.values() if answer in self._request.names]
        return [(name, self._request.require(name)) for name in names]

    def cancel(self) -> None:
        """Of an INVITE: give it up (9.1)."""
        if self.exchange.cancelled_at is None and not self.exchange.finals and self.exchange.failure is None:
            self.wants_cancel = True
            self.exchange.cancelled_at = self.phone.world.clock.seconds()
            self._transaction.cancel()

    # -- what the exchange says ----------------------------------------------------------------------------------------

    def rang(self, response: Response) -> None:
        if self._on_ringing is not None and response.status > 100:
            self._on_ringing(response)

    def failed(self) -> None:
        self._hear(self, None)

    def answered(self, response: Response) -> None:
        if self.wants_cancel or self._tries >= _MOST_TRIES or not self._improve(response):
            self._hear(self, response)
            return
        self._request.set("cseq", f"{self._next_number()} {self.method}")
        self._ask()

    def _improve(self, response: Response) -> bool:
        """Change the request into one that the server will take, if its refusal says how."""
        status = response.status
        if status in _CHALLENGES:
            self._add_credentials(response)
        elif status == 422:
            # RFC 4028 7.3
            least = response.require("min-se")
            self._request.set("min-se", least)
            self._request.set("session-expires", least)
        else:
            return False
        return True

    def _foresee(self) -> None:
        """Bear credentials before anybody asks, with a nonce that may be too old by now (22.3)."""
        answer = "authorization" if self.method in _CHALLENGED_BY_REGISTRAR else "proxy-authorization"
        remembered = self.phone.challenges.get(answer)
        if remembered is not None:
            self._answer(answer, remembered[0], remembered[1])

    def _add_credentials(self, response: Response) -> None:
        asked, answer = _CHALLENGES[response.status]
        self._answer(answer, parse_challenge(response.values(asked)[0]), 0)

    def _answer(self, name: str, challenge: Challenge, used: int) -> None:
        """Put on what answers a challenge whose nonce was ``used`` so often before."""
        phone, request = self.phone, self._request
        phone.challenges[name] = challenge, used + 1
        secret = _secret(challenge.algorithm, phone.username)
        credentials = answer_challenge(
            challenge, phone.username, secret, request.method, request.uri_text, "c", used + 1
        )
        request.set(name, str(credentials))


@lru_cache(maxsize=64)
def _secret(algorithm: Algorithm, username: str) -> str:
    return ha1(algorithm, username, REALM, PASSWORD)
