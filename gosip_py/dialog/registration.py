"""The registration of a user agent: made, refreshed before it expires, tried again after failures (RFC 3261 10.2)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gosip_py.dialog.credentials import ClientAuthentication, ClientCredentials
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import parse_expires
from gosip_py.sip.ids import new_call_id, new_tag
from gosip_py.sip.message import Request, Response
from gosip_py.sip.uri import parse_uri
from gosip_py.transaction.sending import Errand, Sender
from gosip_py.transaction.timers import Timer
from gosip_py.transport.flow import Flow, Target

__all__ = ["Registration", "RegistrationTarget"]

_CHALLENGES = frozenset((401, 407))
_SECONDS = re.compile(r"[0-9]{1,9}")
# RFC 5626 4.5: the pause after a failure doubles up to half an hour, and is drawn from the upper half of it.
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 1800.0
_LONGEST_EXPIRES = 86400
_MOST_RAISES = 3
_MARGIN = 64.0  # seconds before the end: two attempts that nobody answers


@attrs.frozen
class RegistrationTarget:
    """Which address of record is registered with which registrar, and by what way."""

    aor: str
    registrar: str
    target: Target
    routes: tuple[str, ...] = ()
    product: str = ""


class Registration:
    """One binding of one address of record.

    ``contact_at`` gives our Contact for the flow that a REGISTER leaves by. ``heard`` is told of each outcome: the
    status, and for how many seconds we are registered, 0 for not at all.
    """

    log = Logger()

    def __init__(
        self,
        sender: Sender,
        where: RegistrationTarget,
        credentials: ClientCredentials | None,
        contact_at: Callable[[Flow], str],
        heard: Callable[[int, str, int], None],
    ) -> None:
        self.is_registered = False
        self._sender = sender
        self._where = where
        self._authentication = None if credentials is None else ClientAuthentication(credentials)
        self._contact_at = contact_at
        self._heard = heard
        self._call_id = new_call_id("registration")
        self._from = f"<{where.aor}>;tag={new_tag()}"
        self._number = 0
        self._expires = 0
        self._failures = 0
        self._raises = 0
        self._is_ended = False
        self._timer: Timer | None = None

    def start(self, expires: int) -> None:
        """Register for so many seconds, and go on doing so."""
        self._stop_timer()
        self._expires = expires
        self._send(expires)

    def end(self) -> Deferred[None]:
        """Take the binding out again, and do nothing more. Fires when that was answered, or will not be."""
        self._is_ended = True
        self._stop_timer()
        ended: Deferred[None] = Deferred()
        if self.is_registered:
            self.is_registered = False
            _Register(self._sender, self._compose(0), self, lambda *_: ended.callback(None)).send()
        else:
            ended.callback(None)
        return ended

    def close(self) -> None:
        """Do nothing more."""
        self._is_ended = True
        self._stop_timer()

    def timer_fired(self, _kind: int) -> None:
        self._timer = None
        self._send(self._expires)

    # -- one REGISTER --------------------------------------------------------------------------------------------------

    def _send(self, expires: int) -> None:
        _Register(self._sender, self._compose(expires), self, self._answered).send()

    def _compose(self, expires: int) -> Request:
        self._number += 1
        where = self._where
        headers = [*(("route", route) for route in where.routes), ("expires", str(expires))]
        if where.product:
            headers.append(("user-agent", where.product))
        request = compose(
            "REGISTER",
            where.registrar,
            from_=self._from,
            to=f"<{where.aor}>",
            call_id=self._call_id,
            cseq=self._number,
            headers=headers,
        )
        if self._authentication is not None:
            self._authentication.dress(request)
        return request

    def again(self, request: Request, response: Response) -> Request | None:
        """The request to send after a challenge; None when there is nothing more to say."""
        if response.status not in _CHALLENGES or self._authentication is None:
            return None
        if not self._authentication.answer(request, response):
            return None
        self._number += 1
        request.set("cseq", f"{self._number} REGISTER")
        return request

    def dress(self, request: Request, flow: Flow) -> None:
        """Put the Contact of this flow on a REGISTER."""
        request.set("contact", self._contact_at(flow))

    @property
    def target(self) -> Target:
        return self._where.target

    # -- what came of it -----------------------------------------------------------------------------------------------

    def _answered(self, response: Response | None, contact: str = "") -> None:
        if self._is_ended:
            return
        if response is None:
            self._fail(408, "Request Timeout", 0.0)
        elif response.status == 423 and self._ask_for_longer(response):
            self._send(self._expires)
        elif response.status >= 300:
            self._fail(response.status, response.reason, _retry_after(response))
        else:
            self._succeed(response.status, response.reason, _granted(response, contact, self._expires))

    def _ask_for_longer(self, response: Response) -> bool:
        """10.3: the registrar wants bindings that last; whether it says how long, and that is more."""
        try:
            least = parse_expires(response.require("min-expires"))
        except ParseError:
            return False
        if not self._expires < least <= _LONGEST_EXPIRES or self._raises >= _MOST_RAISES:
            return False
        self._expires = least
        self._raises += 1
        return True

    def _succeed(self, status: int, reason: str, seconds: int) -> None:
        self.is_registered = True
        self._failures = 0
        self._start_timer(seconds - _MARGIN if seconds > 2 * _MARGIN else seconds / 2)
        self._tell(status, reason, seconds)

    def _fail(self, status: int, reason: str, wanted: float) -> None:
        self.is_registered = False
        pause = min(_FIRST_PAUSE * 2**self._failures, _LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 10)
        self._start_timer(max(pause * random.uniform(0.5, 1.0), min(wanted, _LONGEST_PAUSE)))
        self._tell(status, reason, 0)

    def _tell(self, status: int, reason: str, seconds: int) -> None:
        try:
            self._heard(status, reason, seconds)
        except Exception:
            self.log.failure("whoever registers failed when it heard of {status}", status=status)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._sender.layer.wheel.start(max(1.0, seconds), self, 0)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Register(Errand):
    """One REGISTER on its way, and its repetition with credentials."""

    __slots__ = ("_answered", "_contact", "_registration")

    def __init__(
        self,
        sender: Sender,
        request: Request,
        registration: Registration,
        answered: Callable[..., None],
    ) -> None:
        Errand.__init__(self, sender, request, registration.target, self._finish)
        self._registration = registration
        self._answered = answered
        self._contact = ""

    def dress(self, request: Request, flow: Flow) -> None:
        self._registration.dress(request, flow)
        self._contact = request.require("contact")

    def _finish(self, response: Response | None) -> None:
        again = None if response is None else self._registration.again(self._unsent(), response)
        if again is None:
            self._answered(response, self._contact)
        else:
            _Register(self.sender, again, self._registration, self._answered).send()

    def _unsent(self) -> Request:
        """A copy of what was sent, without our Via."""
        request = self.request.copy()
        request.remove("via")
        return request


def _retry_after(response: Response) -> float:
    found = _SECONDS.match(response.value("retry-after") or "")
    return float(found[0]) if found else 0.0


def _granted(response: Response, contact: str, asked: int) -> int:
    """For how long the binding of ``contact`` was made (10.2.4); what was asked for when the 2xx does not say."""
    try:
        ours = parse_uri(contact.strip("<>"))
        for address in response.addresses("contact"):
            if address.uri.is_equivalent(ours) and "expires" in address.parameters:
                return parse_expires(address.parameters["expires"] or "")
        value = response.value("expires")
        return asked if value is None else parse_expires(value)
    except ParseError:
        return asked
