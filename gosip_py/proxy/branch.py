"""One branch of a response context: a request to one target, until its final response (RFC 3261 16.7, 16.8)."""

from __future__ import annotations

from typing import Protocol

from gosip_py.proxy.route import ProxyTarget, RouteRecorder, aim
from gosip_py.proxy.unwanted import Unwanted
from gosip_py.sip.message import Request, Response
from gosip_py.transaction.machines import State
from gosip_py.transaction.sending import Sender, Sending
from gosip_py.transaction.timers import Timer
from gosip_py.transport.flow import Flow

__all__ = ["NO_ANSWER", "Branch", "Context"]

NO_ANSWER = 'SIP;cause=408;text="No answer"'

_NOBODY = "Nobody answered in time: try again later."
# How long a phone may take to say 487 after a CANCEL, before the call goes on without it.
_CANCEL_SECONDS = 4.0


class Context(Protocol):
    """What a branch asks of the context that it belongs to, and tells it."""

    arrived_on: Flow
    is_invite: bool
    loop_mark: str
    pending: int
    recorder: RouteRecorder | None
    sender: Sender
    timer_c_seconds: float
    was_cancelled: bool

    def provisional(self, branch: Branch, response: Response) -> None:
        """A provisional response above 100."""

    def success(self, branch: Branch, response: Response) -> None:
        """A 2xx."""

    def finished(self, branch: Branch, response: Response) -> None:
        """The first final response, no 2xx."""

    def failed(self, branch: Branch, status: int, text: str) -> None:
        """Nobody will answer: that counts as a response of our own."""


class Branch(Sending):
    """One client transaction of the context, from before it has a flow until its final response.

    ``breadth`` is its part of the request's Max-Breadth.
    """

    __slots__ = ("_unwanted", "breadth", "context", "has_rung", "is_overdue", "proxy_target", "timer_c")

    def __init__(self, context: Context, target: ProxyTarget, copy: Request, breadth: int) -> None:
        Sending.__init__(self, context.sender, copy, aim(copy, target))
        self.context = context
        self.proxy_target = target
        self.breadth = breadth
        self.has_rung = False
        self.is_overdue = False  # our own patience ended its ringing
        self.timer_c: Timer | None = None
        self._unwanted: Unwanted | None = None

    @property
    def phone_flow(self) -> Flow | None:
        """The flow to whoever answers this branch, None when the request went there by way of others."""
        return self.client.flow if self.proxy_target.is_direct and self.client is not None else None

    def turn_down(self, response: Response, reason: str) -> None:
        """Hang up on a 2xx that cannot go upstream any more."""
        client = self.client
        if self._unwanted is None and client is not None:
            self._unwanted = Unwanted(self.sender, client.request, self.phone_flow)
        if self._unwanted is not None:
            self._unwanted.turn_down(response, reason)

    # -- what sending asks of its kinds -------------------------------------------------------------------------------

    def dress(self, request: Request, flow: Flow) -> None:
        recorder = self.context.recorder
        if recorder is not None:
            recorder.record(request, self.context.arrived_on, flow, self.proxy_target.stays_on_flow)

    def mark(self) -> str:
        return self.context.loop_mark

    def started(self) -> None:
        if self.context.is_invite:
            self._restart_timer_c(self.context.timer_c_seconds)

    def settled(self) -> None:
        if self.timer_c is not None:
            self.timer_c.cancel()
            self.timer_c = None
        self.context.pending -= 1

    def received(self, response: Response) -> None:
        status = response.status
        if status < 200:
            if status > 100:
                self.has_rung = True
                if self.timer_c is not None and not self.is_cancelled:
                    self._restart_timer_c(self.context.timer_c_seconds)
                self.context.provisional(self, response)
        elif status < 300:
            self.context.success(self, response)
        elif self.is_overdue and status == 487 and not self.context.was_cancelled:
            # It was our own impatience that ended the ringing; nobody upstream asked for a 487.
            self.context.failed(self, 408, _NOBODY)
        else:
            self.context.finished(self, response)

    def unanswered(self, status: int, text: str) -> None:
        self.context.failed(self, status, text)

    # -- timer C (16.8), and the impatience of a search in sequence ---------------------------------------------------

    def stop_ringing(self) -> None:
        """Cancel a branch that rang; one that never did counts as 408 at once (16.8)."""
        if self.is_final or self.is_cancelled:
            return
        client = self.client
        self.is_overdue = client is not None and client.state is State.PROCEEDING
        self.cancel(NO_ANSWER)
        if self.is_overdue:
            self._restart_timer_c(_CANCEL_SECONDS)
        else:
            self.give_up(408, _NOBODY)

    def _restart_timer_c(self, seconds: float) -> None:
        if self.timer_c is not None:
            self.timer_c.cancel()
        self.timer_c = self.sender.layer.wheel.start(seconds, self, 0)

    def timer_fired(self, kind: int) -> None:
        """Timer C, or the end of the time in which a cancelled branch might have said 487."""
        self.timer_c = None
        if self.is_overdue:
            self.give_up(408, _NOBODY)
        else:
            self.stop_ringing()
