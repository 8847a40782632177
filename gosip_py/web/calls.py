"""Calls: those that go on now, and what can be done to them. Each command answers what really happened."""

from __future__ import annotations

from collections.abc import Awaitable
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints

from gosip_py.call.live_rows import Commanded, CommandFailed, LiveCall
from gosip_py.store.directory import Directory
from gosip_py.web.endpoint import Call, Created, One, Paged, endpoint
from gosip_py.web.journal import NoteView
from gosip_py.web.live import LiveCalls
from gosip_py.web.ownership import call_names
from gosip_py.web.problem import Detail, forbidden, invalid, not_done, not_found
from gosip_py.web.shapes import Body, IsoTime, ListQuery, Nothing, RowId, Shown, Text, View, one_of

__all__ = ["CallQuery", "CallResource", "CallView", "CommandedView"]

T = TypeVar("T")

SORTS = ("started_at", "id", "state", "caller", "callee")

State = Literal["trying", "ringing", "answered", "held", "parked", "transferring", "ended"]
Target = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9A-Da-d*#]{1,64}$")]


class LegView(View):
    """One phone in a call; `is_held`: it holds the other side."""

    id: str
    role: Literal["caller", "callee", "target", "parked"]
    party: Shown
    display: Shown
    uri: Shown
    kind: str
    user_id: int | None
    device_id: int | None
    state: Literal["trying", "ringing", "established", "ended"]
    is_held: bool
    user_agent: Shown
    codecs: list[Shown]
    answered_at: IsoTime | None


class CallView(View):
    """A call; `id` is that of its row in the journal. One that is `proxied` can only be hung up.

    `orbit` is where it is parked, or "".
    """

    id: str
    kind: Literal["bridged", "proxied"]
    state: State
    direction: Literal["inbound", "outbound", "internal"]
    caller: Shown
    callee: Shown
    caller_uri: Shown
    callee_uri: Shown
    started_at: IsoTime
    answered_at: IsoTime | None
    legs: list[LegView]
    history: list[NoteView]
    linked_to: list[str]
    orbit: str


class CommandedView(View):
    """What came of a command: `status` and `text` are those of the SIP response that settled it, `state` the call's."""

    call_id: str
    status: int
    text: Shown
    state: State
    orbit: str


class CallStart(Body):
    """Click to call: the phones of a user ring first, then the target is called."""

    target: Target
    user_id: RowId | None = Field(None, description="Whose phones ring; one's own when it is missing.")
    device_id: RowId | None = Field(None, description="The only phone that rings.")
    auto_answer: bool = Field(False, description="Ask the phone to answer by itself.")


class LegCommand(Body):
    """`leg` is the id of the leg that acts; without it, that of whoever asks."""

    is_optional = True
    leg: Text = ""


class PlainCommand(Body):
    """Nothing has to be said."""

    is_optional = True


class TransferCommand(LegCommand):
    """Where to transfer the other side of `leg`. An attended transfer waits until the target has answered."""

    is_optional = False
    target: Target
    kind: Literal["blind", "attended"] = "blind"


class ParkCommand(LegCommand):
    """The orbit to park the other side of `leg` at; without it, the first that is free."""

    orbit: Annotated[str, StringConstraints(pattern=r"^[0-9*#]{0,16}$")] = ""


class DtmfCommand(LegCommand):
    """Digits to send to `leg`."""

    is_optional = False
    digits: Digits
    milliseconds: Annotated[int, Field(ge=40, le=2000)] = 160


class PickUpCommand(Body):
    """The phone that takes a ringing call; one's own phones all ring without it."""

    is_optional = True
    device_id: RowId | None = None


class CallQuery(ListQuery):
    """Filters of the calls of now."""

    sort: Annotated[str, *one_of(SORTS)] = "started_at"
    state: tuple[State, ...] | None = None
    kind: Literal["bridged", "proxied"] | None = None
    user: Text | None = Field(None, description="The caller or the callee.")

    def matches(self, live: LiveCall) -> bool:
        """Whether the filters leave it."""
        return (
            (self.state is None or live.state in self.state)
            and (self.kind is None or live.kind == self.kind)
            and (self.user is None or self.user in (live.caller, live.callee))
        )


class CallResource:
    """list, get, start, and the commands. A user sees and commands the calls of the own devices."""

    def __init__(self, calls: LiveCalls, directory: Directory) -> None:
        self._calls = calls
        self._directory = directory

    @endpoint("GET", "/api/calls", role="user")
    async def index(self, call: Call[Nothing, CallQuery]) -> Paged[CallView]:
        """A page of the calls of now."""
        query = call.query
        found = sorted(
            (live for live in self._calls.list() if query.matches(live) and self._is_visible(call, live)),
            key=attrgetter(query.sort, "id"),
            reverse=query.is_descending,
        )
        rows = [CallView.model_validate(live) for live in found[query.offset : query.offset + query.per_page]]
        return Paged(rows, len(found), query.page, query.per_page)

    @endpoint("POST", "/api/calls", role="user")
    async def start(self, call: Call[CallStart, Nothing]) -> Created[CallView]:
        """Start a call; answers when one's own phone was answered and the target is called."""
        body = call.body
        user_id = body.user_id or call.user.id
        if user_id != call.user.id and not call.is_admin:
            raise forbidden("Only an administrator may do this", Detail("user_id", "is somebody else"))
        if self._directory.user(user_id) is None:
            raise invalid(Detail("user_id", "names nobody"))
        self._check_device(user_id, body.device_id)
        live = await _done(
            self._calls.start(by=user_id, target=body.target, device_id=body.device_id, auto_answer=body.auto_answer)
        )
        return Created(CallView.model_validate(live), f"/api/calls/{live.id}")

    @endpoint("GET", "/api/calls/{id}", role="user")
    async def get(self, call: Call[Nothing, Nothing], id: str) -> One[CallView]:
        """A call of now."""
        return One(CallView.model_validate(self._find(call, id)))

    @endpoint("POST", "/api/calls/{id}/hangup", role="user")
    async def hangup(self, call: Call[PlainCommand, Nothing], id: str) -> One[CommandedView]:
        """End a call; answers when the phones have."""
        live = self._find_own(call, id)
        return await _answer(self._calls.hang_up(id, by=_by(call, live)))

    @endpoint("POST", "/api/calls/{id}/hold", role="user")
    async def hold(self, call: Call[LegCommand, Nothing], id: str) -> One[CommandedView]:
        """Put a call on hold."""
        live = self._find(call, id)
        return await _answer(self._calls.hold(id, leg=_own_leg(call, live, call.body.leg), by=_by(call, live)))

    @endpoint("POST", "/api/calls/{id}/resume", role="user")
    async def resume(self, call: Call[LegCommand, Nothing], id: str) -> One[CommandedView]:
        """Let a call that is on hold go on."""
        live = self._find(call, id)
        return await _answer(self._calls.resume(id, leg=_own_leg(call, live, call.body.leg), by=_by(call, live)))

    @endpoint("POST", "/api/calls/{id}/transfer", role="user")
    async def transfer(self, call: Call[TransferCommand, Nothing], id: str) -> One[CommandedView]:
        """Transfer a call; one that fails is an error, and the call goes on as it was."""
        live, body = self._find(call, id), call.body
        leg = _own_leg(call, live, call.body.leg)
        return await _answer(self._calls.transfer(id, target=body.target, kind=body.kind, leg=leg, by=_by(call, live)))

    @endpoint("POST", "/api/calls/{id}/park", role="user")
    async def park(self, call: Call[ParkCommand, Nothing], id: str) -> One[CommandedView]:
        """Park a call; answers at which orbit."""
        live = self._find(call, id)
        leg = _own_leg(call, live, call.body.leg)
        return await _answer(self._calls.park(id, orbit=call.body.orbit, leg=leg, by=_by(call, live)))

    @endpoint("POST", "/api/calls/{id}/dtmf", role="user")
    async def dtmf(self, call: Call[DtmfCommand, Nothing], id: str) -> One[CommandedView]:
        """Send digits to a phone of a call."""
        live, body = self._find_own(call, id), call.body
        return await _answer(
            self._calls.dtmf(
                id, digits=body.digits.upper(), leg=body.leg, by=_by(call, live), milliseconds=body.milliseconds
            )
        )

    @endpoint("POST", "/api/calls/{id}/record", role="user")
    async def record(self, call: Call[PlainCommand, Nothing], id: str) -> One[CommandedView]:
        """Record a call."""
        self._find(call, id)
        return await _answer(self._calls.record(id))

    @endpoint("POST", "/api/calls/{id}/pickup", role="user")
    async def pickup(self, call: Call[PickUpCommand, Nothing], id: str) -> One[CommandedView]:
        """Take a call that rings at somebody else here."""
        if self._calls.get(id) is None:
            raise not_found("call")
        self._check_device(call.user.id, call.body.device_id)
        return await _answer(self._calls.pick_up(id, by=call.user.id, device_id=call.body.device_id))

    def _is_visible(self, call: Call[Any, Any], live: LiveCall) -> bool:
        if call.is_admin or call.user.id in live.user_ids:
            return True
        names = call_names(self._directory, call.user)
        devices = {device.id for device in self._directory.devices_of(call.user.id)}
        return live.caller in names or live.callee in names or not devices.isdisjoint(live.device_ids)

    def _find(self, call: Call[Any, Any], wanted: str) -> LiveCall:
        live = self._calls.get(wanted)
        if live is None or not self._is_visible(call, live):
            raise not_found("call")
        return live

    def _find_own(self, call: Call[Any, Any], wanted: str) -> LiveCall:
        """One that a user is in still: whoever made it may have transferred it to others."""
        live = self._find(call, wanted)
        if live.kind == "bridged" and not (call.is_admin or call.user.id in live.user_ids):
            raise forbidden("You are not in this call any more")
        return live

    def _check_device(self, user_id: int, device_id: int | None) -> None:
        device = self._directory.device(device_id) if device_id is not None else None
        if device_id is not None and (device is None or device.user_id != user_id):
            raise invalid(Detail("device_id", "is no device of this user"))


def _by(call: Call[Any, Any], live: LiveCall) -> int | None:
    """Whose phone acts when no leg is named: nobody's of them where an administrator commands a call of others."""
    return call.user.id if not call.is_admin or call.user.id in live.user_ids else None


def _own_leg(call: Call[Any, Any], live: LiveCall, wanted: str) -> str:
    """The leg that is to act; a user who is no administrator lets none act but the own."""
    if wanted:
        found = next((leg for leg in live.legs if leg.id == wanted), None)
        if found is None or not (call.is_admin or found.user_id == call.user.id):
            raise not_found("leg")
    return wanted


async def _answer(command: Awaitable[Commanded]) -> One[CommandedView]:
    return One(CommandedView.model_validate(await _done(command)))


async def _done(command: Awaitable[T]) -> T:
    try:
        return await command
    except CommandFailed as failed:
        raise not_done(failed.status, failed.text) from None
