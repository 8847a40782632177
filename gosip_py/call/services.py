"""What the server does itself when its number is dialled, and which room does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gosip_py.call.incoming import Incoming
from gosip_py.call.park import Parking
from gosip_py.call.pickup import Pickups
from gosip_py.call.self_service import SelfService
from gosip_py.call.verdict import UseFeature
from gosip_py.events import Result
from gosip_py.transaction.validation import Refusal

if TYPE_CHECKING:
    from gosip_py.call.call import Call

__all__ = ["CallServices"]

_TRANSFER_ONLY = Refusal(403, "nobody is parked by dialling this: use it as the target of a transfer")
_UNKNOWN = Refusal(501, "this is not served here: leave it out")


class CallServices:
    """Hands a caller who dialled a feature to whoever serves it; one that is refused hears why.

    ``self_service`` has the codes that change their caller, where there is one.
    """

    def __init__(self, parking: Parking, pickups: Pickups, self_service: SelfService | None = None) -> None:
        self._parking = parking
        self._pickups = pickups
        self._self_service = self_service

    def use(self, call: Call, verdict: UseFeature) -> None:
        """Serve the unanswered caller of ``call``."""
        if self._self_service is not None and self._self_service.serves(verdict.name):
            self._self_service.use(call, verdict)
            return
        refusal = self._serve(call, verdict.name, verdict.argument)
        caller = call.caller
        if refusal is not None and caller is not None and isinstance(caller.role, Incoming):
            result: Result = "rejected" if refusal.status < 500 else "failed"
            caller.role.refuse(refusal.status, refusal.explanation, refusal.headers, result)

    def _serve(self, call: Call, name: str, argument: str) -> Refusal | None:
        if name == "retrieve":
            return self._parking.retrieve(call, argument)
        if name == "pickup":
            return self._pickups.directed(call, argument)
        if name == "group_pickup":
            return self._pickups.group(call)
        return _TRANSFER_ONLY if name == "park" else _UNKNOWN
