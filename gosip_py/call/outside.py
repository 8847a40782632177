"""Calls that leave the office: by the trunk, at once when it is for help, and for our own people only."""

from __future__ import annotations

from typing import Protocol

from gosip_py.call.emergency import EmergencyNumbers
from gosip_py.call.limits import CallLimits
from gosip_py.call.numbers import NumberPlan
from gosip_py.call.party import Party
from gosip_py.call.trunk import Gateway
from gosip_py.call.verdict import Attempt, DialOut, LeaveToProxy, Line, Refuse, Verdict
from gosip_py.sip.errors import ParseError
from gosip_py.store.records import Device, User
from gosip_py.transport.resolve import target_of

__all__ = ["Outside"]

_NOT_FOR_STRANGERS = "calls to the outside are for the people of this office: use a phone that is registered here"


class Directory(Protocol):
    """The people, in memory."""

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...


class Outside:
    """What is beyond this office. Without a ``gateway`` there is no trunk."""

    def __init__(
        self,
        *,
        directory: Directory,
        emergency: EmergencyNumbers,
        numbers: NumberPlan,
        gateway: Gateway | None,
        limits: CallLimits,
    ) -> None:
        self._directory = directory
        self._emergency = emergency
        self._numbers = numbers
        self._gateway = gateway
        self._limits = limits

    def is_emergency(self, dialled: str) -> bool:
        """Whether this calls for help."""
        return dialled in self._emergency

    def call_help(self, attempt: Attempt, number: str) -> Verdict:
        """To those who help: nothing is asked but where it comes from."""
        caller_id = self._emergency.caller_id(attempt.source)
        gateway = self._gateway
        self._emergency.announce(attempt, number, caller_id, gateway is not None)
        if gateway is None:
            return Refuse(503, "no trunk is set up here, so emergency calls do not go out: use another phone at once")
        gateway.take_turn(attempt.at)
        return DialOut(number, gateway.emergency_line(number, caller_id), True, diverted=attempt.diverted)

    def has_number(self, dialled: str) -> bool:
        """Whether this is a number that can be called from here."""
        return self._gateway is not None and bool(self._numbers.normalise(dialled))

    def dial(self, attempt: Attempt, dialled: str) -> Verdict | None:
        """To a number of the world; None when it is no such number, or there is no trunk."""
        gateway = self._gateway
        number = self._numbers.normalise(dialled) if gateway is not None else ""
        if gateway is None or not number:
            return None
        if not self._is_allowed(attempt):
            return Refuse(403, _NOT_FOR_STRANGERS)
        payer = self._payer(attempt)
        refusal = self._limits.refuse_account(payer) or self._limits.refuse_trunk()
        if refusal is not None:
            return refusal
        delay = gateway.wait(attempt.at)
        if isinstance(delay, Refuse):
            return delay
        shown = attempt.caller if attempt.diverted else None
        return DialOut(number, gateway.line(number, payer, shown), False, delay, attempt.diverted)

    def leave(self, attempt: Attempt) -> Verdict:
        """To another domain. The proxy takes a call there, but not one that somebody transfers."""
        if not attempt.is_transfer:
            return LeaveToProxy()
        if not self._is_allowed(attempt):
            return Refuse(403, _NOT_FOR_STRANGERS)
        try:
            target = target_of(attempt.uri)
        except ParseError as error:
            return Refuse(416, f"{error.reason}: name a SIP address that can be called")
        text = str(attempt.uri)
        return DialOut(attempt.dialled, Line(Party(attempt.dialled, "", text), text, target))

    def _is_allowed(self, attempt: Attempt) -> bool:
        """Whoever signed in may call out, and whoever an account of ours or a group forwards out."""
        return bool(attempt.diverted) or attempt.caller.user_id is not None

    def _payer(self, attempt: Attempt) -> int | None:
        """On whose account it goes beside the leg that the caller has: of who forwards or transfers it out.

        None when nobody does, or a group.
        """
        if not attempt.diverted:
            return attempt.caller.user_id if attempt.is_transfer else None
        name = attempt.diverted[-1]
        user = self._directory.user_by_login(name)
        if user is not None:
            return user.id
        device = self._directory.device_by_username(name)
        return None if device is None else device.user_id
