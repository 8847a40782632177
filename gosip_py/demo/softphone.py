"""A softphone without a voice: registers, calls, answers and hangs up over UDP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall

from gosip_py import __version__
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.user_agent import Call, CallFailed, Network, RegistrationFailed, UserAgent
from gosip_py.sip.ids import new_token
from gosip_py.sip.message import Message

__all__ = ["LOOPBACK", "Account", "Answering", "NoAnswer", "Refused", "Softphone"]

LOOPBACK = "127.0.0.1"
NOBODY = 408

Note = Callable[[bool, Message], None]
"""Hears of a message: whether it was sent, and what it was."""


class NoAnswer(Exception):
    """A request got no final response; the text says to what and why."""


class Refused(Exception):
    """A request was refused; the text has the code and the reason."""


@attrs.frozen
class Account:
    """Who the phone is to the server, and its password."""

    user: str
    domain: str
    password: str = attrs.field(repr=False)

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{self.domain}"


@attrs.frozen
class Answering:
    """What a phone does with a call: looks for its person, rings, and answers with ``status``. Times are in seconds."""

    looks: float = 0.3
    rings: float = 0.5
    status: int = 200


class Softphone:
    """Listens on a free loopback port from the start; the SIP URI ``server`` is its outbound proxy.

    ``async stop()`` at the end.
    """

    def __init__(
        self, reactor: Any, account: Account, server: str, note: Note, answering: Answering | None = None
    ) -> None:
        self._reactor = reactor
        self._account = account
        self._answering = answering or Answering()
        self._steps: list[IDelayedCall] = []
        self._agent = agent = UserAgent(
            reactor,
            account.aor,
            network=Network(listen=(f"udp://{LOOPBACK}:0",), outbound_proxy=server),
            credentials=ClientCredentials(account.user, account.password),
            display_name=account.user.capitalize(),
            product=f"gosip-demo/{__version__}",
        )
        agent.on_message = note
        agent.on_incoming_call = self._look
        (listener,) = agent.start()
        self.port = listener.port

    @property
    def calls(self) -> tuple[Call, ...]:
        """Those that are not over."""
        return self._agent.calls

    async def stop(self) -> None:
        """Hang up, unregister, close the socket."""
        for step in self._steps:
            if step.active():
                step.cancel()
        await self._agent.stop()

    async def register(self) -> None:
        """Register for five minutes; Refused or NoAnswer when that fails."""
        try:
            await self._agent.register(300)
        except RegistrationFailed as failure:
            raise self._fault("REGISTER", failure.status, failure.reason, failure.status == NOBODY) from None

    async def call(self, user: str) -> Call:
        """The call to whoever answers for ``user``; Refused or NoAnswer when nobody does."""
        call = self._agent.make_call(f"sip:{user}@{self._account.domain}", silence())
        try:
            return await call.until_answered()
        except CallFailed as failure:
            raise self._fault("INVITE", failure.status, failure.reason, failure.is_ours) from None

    async def hang_up(self, call: Call) -> None:
        """End the call; Refused or NoAnswer when the other side does not confirm it."""
        status = await call.hang_up()
        if status >= 300:
            raise self._fault("BYE", status, "", status == NOBODY)

    def _fault(self, method: str, status: int, reason: str, is_ours: bool) -> Exception:
        said = f"{self._account.user}'s {method}"
        if is_ours:
            return NoAnswer(f"{said} got no answer: {status} {reason}".rstrip())
        return Refused(f"{said} was refused with {status} {reason}".rstrip())

    # -- being called --------------------------------------------------------------------------------------------------

    def _look(self, call: Call) -> None:
        self._steps.append(self._reactor.callLater(self._answering.looks, self._ring, call))

    def _ring(self, call: Call) -> None:
        call.ring()
        self._steps.append(self._reactor.callLater(self._answering.rings, self._answer, call))

    def _answer(self, call: Call) -> None:
        status = self._answering.status
        if status >= 300:
            call.reject(status)
        else:
            call.accept(silence())


def silence() -> bytes:
    """An SDP body (RFC 8866) of a phone that has no voice: one audio stream, inactive, on the discard port."""
    number = int(new_token(12), 16)
    lines = (
        "v=0", f"o=- {number} 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0", "m=audio 9 RTP/AVP 0",
        "a=inactive", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()
