"""A call that is held by the server, because the API said so: both phones are told that nothing will be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gosip_py.call.bridge import Bridge, join
from gosip_py.call.leg import Leg
from gosip_py.call.parting import owing_in
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.user import Outcome
from gosip_py.media.sdp import held, inactive_answer, with_direction

if TYPE_CHECKING:
    from gosip_py.call.call import Call
    from gosip_py.call.switch import Switch

__all__ = ["OnHold", "answer_on_hold", "hold", "resume"]

Done = Callable[[int], None]
"""Told 200, or the status of what stood in the way."""


class OnHold(Bridge):
    """The role of both legs meanwhile: what they offer is answered here, so that they stay on hold."""

    __slots__ = ()

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        answer_on_hold(leg, exchange)


class _Hold:
    """Tells one leg after the other. When one of them does not agree, they go on talking."""

    def __init__(self, switch: Switch, call: Call, one: Leg, other: Leg, then: Done) -> None:
        self._one = one
        self._other = other
        self._then = then
        self._bridge = OnHold(switch, call, one, other, owing_in(call))

    def start(self) -> None:
        self._tell(self._one, self._told_one)

    def _tell(self, leg: Leg, then: Callable[[Outcome], None]) -> None:
        leg.dialog.offer(leg.describe(with_direction(leg.dialog.local_sdp, "inactive")), then)

    def _told_one(self, outcome: Outcome) -> None:
        if 200 <= outcome.status < 300 and self._is_there:
            self._tell(self._other, self._told_other)
        else:
            self._settle(outcome.status)

    def _told_other(self, outcome: Outcome) -> None:
        status = outcome.status
        if not 200 <= status < 300 and self._is_there:
            self._back_to_talking(lambda: self._settle(status))
        else:
            self._settle(status)

    @property
    def _is_there(self) -> bool:
        return self._one.role is self._bridge and self._other.role is self._bridge

    def _back_to_talking(self, then: Callable[[], None]) -> None:
        join(self._one, self._other, lambda _: then())

    def _settle(self, status: int) -> None:
        call = self._bridge.call
        if not self._is_there:
            self._then(481)
        elif 200 <= status < 300:
            call.state = "held"
            self._then(200)
        else:
            Bridge(self._bridge.switch, call, self._one, self._other, owing_in(call))
            self._then(status)


def answer_on_hold(leg: Leg, exchange: Exchange) -> None:
    """Accept what somebody offers who waits: they stay on hold."""
    if exchange.sdp:
        leg.is_held = held(exchange.sdp)
        exchange.accept(leg.describe(inactive_answer(exchange.sdp)))
    else:
        exchange.accept(leg.describe(with_direction(leg.dialog.local_sdp, "inactive")))


def hold(call: Call, one: Leg, other: Leg, then: Done) -> None:
    """Put both on hold; ``then`` is called once, when both have agreed or one of them has not."""
    _Hold(call.switch, call, one, other, then).start()


def resume(call: Call, one: Leg, other: Leg, then: Done) -> None:
    """Let them talk again; ``then`` is called once, when they do or one of them refused."""
    bridge = call.bridge

    def joined(is_joined: bool) -> None:
        if bridge is None or one.role is not bridge:
            then(481)
        elif not is_joined:
            then(488)
        else:
            Bridge(call.switch, call, one, other, owing_in(call))
            call.state = "held" if one.is_held or other.is_held else "answered"
            then(200)

    join(one, other, joined)
