"""What people change about themselves by dialling a code: their forwards, and whether they may be disturbed.

The call is answered when the change is made and hung up on a moment later; until there is media nobody can be told in
words. When it is refused, nothing was changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from gosip_py.background import Background
from gosip_py.call.leg import Leg, Quiet
from gosip_py.call.verdict import UseFeature
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.user import Ending
from gosip_py.events import Bus, Result, UserChanged
from gosip_py.media.sdp import inactive_answer
from gosip_py.sip.message import Request
from gosip_py.sip.status import REASON_PHRASES
from gosip_py.store.database import DatabaseError
from gosip_py.store.directory import Directory
from gosip_py.store.records import User
from gosip_py.store.users import Users
from gosip_py.transaction.timers import Timer

if TYPE_CHECKING:
    from gosip_py.call.call import Call

__all__ = ["Accounts", "SelfService", "StoredAccounts"]

ANSWER_SECONDS = 1.0
"""How long the call lasts: long enough for a phone to show that it was answered."""

_FORWARDS = {
    "forward": "forward_always",
    "forward_busy": "forward_busy",
    "forward_no_answer": "forward_no_answer",
}
# What is offered to a phone that offers nothing: a stream in which nothing is said.
_SILENCE = (
    b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8\r\na=inactive\r\n"
)


class Accounts(Protocol):
    """The people, to be looked up and changed."""

    def user(self, user_id: int) -> User | None: ...

    def change(self, user_id: int, changes: Mapping[str, object]) -> Awaitable[bool]:
        """Change these fields for good; False when there is no such user. DatabaseError when it cannot be done."""


class StoredAccounts:
    """The people of the store. ``now`` tells epoch seconds."""

    def __init__(self, users: Users, directory: Directory, bus: Bus, now: Callable[[], float]) -> None:
        self._users = users
        self._directory = directory
        self._bus = bus
        self._now = now

    def user(self, user_id: int) -> User | None:
        """As the directory knows them."""
        return self._directory.user(user_id)

    async def change(self, user_id: int, changes: Mapping[str, object]) -> bool:
        """Write it to the store, and tell everybody."""
        user = await self._users.update(user_id, changes, self._now())
        if user is None:
            return False
        self._directory.apply_user(user)
        self._bus.publish(UserChanged(user_id))
        return True


class Destinations(Protocol):
    """Who knows where calls may go: the `DialPlan`."""

    def takes_calls(self, user: User, dialled: str) -> bool: ...


class SelfService:
    """Serves the codes that change their caller."""

    def __init__(self, accounts: Accounts, destinations: Destinations, background: Background) -> None:
        self._accounts = accounts
        self._destinations = destinations
        self._background = background

    @staticmethod
    def serves(name: str) -> bool:
        """Whether a feature of this name is one of these."""
        return name in ("dnd_on", "dnd_off") or name.removesuffix("_on").removesuffix("_off") in _FORWARDS

    def use(self, call: Call, verdict: UseFeature) -> None:
        """Take over the caller, who is not answered yet."""
        leg = call.caller
        if leg is None:
            return
        service = leg.role = _Service(call)
        user_id = leg.party.user_id
        user = self._accounts.user(user_id) if user_id is not None else None
        if user is None:
            service.refuse(403, "This code is for the people of this office: use a phone that is registered here.")
            return
        name, argument = verdict.name, verdict.argument
        if argument and not self._destinations.takes_calls(user, argument):
            service.refuse(404, f"Calls cannot be forwarded to {argument}: check the number or name.")
            return
        change = self._change(service, user, _changes(name, argument), name)
        _ = self._background.start(f"feature code {name} of {user.login}", change)

    async def _change(self, service: _Service, user: User, changes: Mapping[str, object], name: str) -> None:
        try:
            is_done = await self._accounts.change(user.id, changes)
        except DatabaseError:
            service.log.failure("{feature} of {user} could not be stored", feature=name, user=user.login)
            service.refuse(503, "The change could not be stored and was not made: try again later.")
            return
        if is_done:
            service.log.info("{user} dialled {feature}", user=user.login, feature=name)
            service.answer()
        else:
            service.refuse(403, "This account is there no more: ask your administrator.")


def _changes(name: str, argument: str) -> dict[str, object]:
    if name.startswith("dnd"):
        return {"dnd": name == "dnd_on"}
    field = _FORWARDS[name.removesuffix("_on").removesuffix("_off")]
    return {field: argument}


class _Service(Quiet):
    """The role of a caller who is served so."""

    log = Logger()

    def __init__(self, call: Call) -> None:
        self._call = call
        self._leg = call.caller
        self._timer: Timer | None = None

    def answer(self) -> None:
        """It was done."""
        leg, call = self._leg, self._call
        if leg is None:
            return
        offer = leg.dialog.remote_sdp
        leg.dialog.accept(leg.describe(inactive_answer(offer) if offer else _SILENCE))
        call.answered(leg)
        call.callee = None
        self._timer = call.switch.wheel.start(ANSWER_SECONDS, self, 0)

    def refuse(self, status: int, explanation: str) -> None:
        """It was not done."""
        leg = self._leg
        if leg is not None:
            self._close("rejected" if status < 500 else "failed", status, "system")
            leg.dialog.reject(status, explanation=explanation)

    def timer_fired(self, kind: int) -> None:
        leg = self._leg
        self._timer = None
        if leg is not None:
            self._close("answered", 200, "system")
            leg.dialog.hang_up()

    def cancelled(self, leg: Leg, cancel: Request | None) -> None:
        """They gave up; the change may have been made all the same."""
        self._close("cancelled", 487, "caller")

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        exchange.accept(leg.describe(inactive_answer(exchange.sdp) if exchange.sdp else _SILENCE))

    def ended(self, leg: Leg, ending: Ending) -> None:
        self._close("answered", 200, "caller" if ending.by == "peer" else "system")

    def _close(self, result: Result, status: int, by: str) -> None:
        leg, self._leg = self._leg, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._call.end(result, status, REASON_PHRASES.get(status, ""), "caller" if by == "caller" else "system")
        if leg is not None:
            leg.drop()
