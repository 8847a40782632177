"""The calls that go on as rows: those of the switch, and those that pass through the proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from gosip_py.call.leg import Leg
from gosip_py.call.live_rows import LegState, LiveCall, LiveLeg, LiveNote
from gosip_py.call.park import Parked, Parking
from gosip_py.dialog.table import State
from gosip_py.media.sdp import codecs
from gosip_py.proxy.session import Session
from gosip_py.sip.errors import ParseError
from gosip_py.sip.uri import parse_uri
from gosip_py.store.records import Device, User

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.party import Party

__all__ = ["CallView", "Directory"]

UserAgents = Callable[[int], str]
"""Tells what the phone of a device said of itself when it registered, empty when that is not known."""


class Directory(Protocol):
    """The users and devices, in memory."""

    def user(self, user_id: int) -> User | None: ...

    def user_by_login(self, login: str) -> User | None: ...

    def device_by_username(self, username: str) -> Device | None: ...


class CallView:
    """Makes rows."""

    def __init__(self, directory: Directory, parking: Parking, user_agents: UserAgents) -> None:
        self._directory = directory
        self._parking = parking
        self._user_agents = user_agents

    # -- of the switch -------------------------------------------------------------------------------------------------

    def bridged(self, call: Call) -> LiveCall:
        """A call of the switch as it is now."""
        attempt, callee = call.attempt, call.callee
        history = tuple(
            LiveNote(note.at, note.kind, **{name: note.what.get(name, "") for name in _NOTED}) for note in call.history
        )
        return LiveCall(
            id=call.id,
            kind="bridged",
            state=call.state,
            direction=attempt.direction,
            caller=attempt.caller.name,
            callee=attempt.dialled if callee is None else callee.party.name,
            caller_uri=attempt.caller.uri,
            callee_uri=str(attempt.uri),
            started_at=call.started_at,
            answered_at=call.answered_at,
            legs=tuple(self._leg(call, leg) for leg in call.legs),
            history=history,
            linked_to=tuple(dict.fromkeys(note.call_id for note in history if note.call_id)),
            orbit=self._parking.orbit_of(call) if call.state == "parked" else "",
        )

    def _leg(self, call: Call, leg: Leg) -> LiveLeg:
        party, dialog = leg.party, leg.dialog
        return LiveLeg(
            id=leg.id,
            role=_role(call, leg),
            party=party.name,
            state=_state(leg),
            display=party.display,
            uri=party.uri,
            kind=party.kind,
            user_id=party.user_id,
            device_id=party.device_id,
            is_held=leg.is_held,
            user_agent=self._user_agent(party),
            codecs=codecs(dialog.remote_sdp) if dialog.remote_sdp else (),
            answered_at=dialog.answered_at,
        )

    def _user_agent(self, party: Party) -> str:
        return "" if party.device_id is None else self._user_agents(party.device_id)

    # -- of the proxy --------------------------------------------------------------------------------------------------

    def proxied(self, session: Session) -> LiveCall:
        """A dialog that passes through the proxy."""
        call = session.call
        is_talking = session.state == "active"
        caller, callee = session.caller_uri, session.callee_uri
        legs = (
            self._end("caller", caller, session, call.direction != "inbound"),
            self._end("callee", callee, session, call.direction != "outbound"),
        )
        return LiveCall(
            id=call.id,
            kind="proxied",
            state="answered" if is_talking else "ringing",
            direction=call.direction,
            caller=legs[0].party,
            callee=legs[1].party,
            caller_uri=caller,
            callee_uri=callee,
            started_at=call.started_at,
            answered_at=session.answered_at,
            legs=legs,
        )

    def _end(self, role: Literal["caller", "callee"], uri: str, session: Session, is_ours: bool) -> LiveLeg:
        name = _user_of(uri)
        user = self._directory.user_by_login(name) if is_ours else None
        device = self._directory.device_by_username(name) if is_ours and user is None else None
        if device is not None:
            user = self._directory.user(device.user_id)
        return LiveLeg(
            id=f"{session.id}{role}",
            role=role,
            party=name,
            state="established" if session.state == "active" else "ringing",
            display="" if user is None else user.display_name,
            uri=uri,
            kind="outside" if user is None else "user" if device is None else "device",
            user_id=None if user is None else user.id,
            device_id=None if device is None else device.id,
            answered_at=session.answered_at,
        )


_NOTED = ("by", "target", "result", "call_id")


def _role(call: Call, leg: Leg) -> Literal["caller", "callee", "target", "parked"]:
    if isinstance(leg.role, Parked) and leg.role.parked is leg:
        return "parked"
    if leg is call.caller:
        return "caller"
    return "callee" if leg is call.callee or call.answered_at is None else "target"


def _state(leg: Leg) -> LegState:
    dialog = leg.dialog
    if dialog.is_established:
        return "established"
    if not dialog.is_early:
        return "ended"
    return "ringing" if leg.has_rung or dialog.state is State.ALERTING else "trying"


def _user_of(uri: str) -> str:
    try:
        return parse_uri(uri).user
    except ParseError:
        return ""
