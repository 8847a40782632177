"""The response context: one request, its branches, and the one answer that goes back (RFC 3261 16.7).

All contacts of the target set are tried at once. Every 2xx goes upstream, the best of the other finals goes when no
branch is left; a 6xx or a 2xx cancels those who still ring. Timer C guards each INVITE branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gosip_py.proxy.route import ProxyTarget, aim, record_route
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import explain, reply
from gosip_py.transaction.machines import State
from gosip_py.transaction.sending import Sender, Sending
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow

__all__ = ["Branch", "Outcome", "ResponseContext"]

COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
NO_ANSWER = 'SIP;cause=408;text="No answer"'

# RFC 3261 16.7 item 6: of the 4xx, these tell the caller how to do better
_HELPFUL = frozenset((401, 407, 415, 420, 484))
_CHALLENGES = frozenset((401, 407))
_OVERLOADED = "The next hop is overloaded."
_UNREACHABLE = "The next hop refused the connection or it broke."


class Outcome(Protocol):
    """Hears what a request came to: the call or the session that it belongs to.

    ``phone_flow`` is the flow to the phone that answered, None when others stand between.
    """

    def provisional(self, response: Response, phone_flow: Flow | None) -> None:
        """A provisional response above 100 goes upstream."""

    def success(self, response: Response, phone_flow: Flow | None) -> None:
        """A 2xx goes upstream; several forks may each send one."""

    def failure(self, response: Response, is_ours: bool) -> None:
        """This non-2xx final goes upstream, once. ``is_ours``: nobody downstream said so."""

    def cancelled(self) -> None:
        """The caller gave up before any final response."""


class Branch(Sending):
    """One client transaction of the context, from before it has a flow until its final response."""

    __slots__ = ("context", "is_direct", "is_overdue", "timer_c")

    def __init__(self, context: ResponseContext, target: ProxyTarget, copy: Request) -> None:
        Sending.__init__(self, context.sender, copy, aim(copy, target))
        self.context = context
        self.is_direct = target.is_direct
        self.is_overdue = False  # Timer C fired while it rang
        self.timer_c: Timer | None = None

    @property
    def phone_flow(self) -> Flow | None:
        """The flow to whoever answers this branch, None when the request went there by way of others."""
        return self.client.flow if self.is_direct and self.client is not None else None

    # -- what sending asks of its kinds -------------------------------------------------------------------------------

    def dress(self, request: Request, flow: Flow) -> None:
        if self.context.is_dialog_forming:
            record_route(request, self.context.arrived_on, flow)

    def started(self) -> None:
        if self.context.is_invite:
            self._restart_timer_c()

    def settled(self) -> None:
        self.context.pending -= 1
        if self.timer_c is not None:
            self.timer_c.cancel()
            self.timer_c = None

    def received(self, response: Response) -> None:
        status = response.status
        if status < 200:
            if status > 100:
                if self.timer_c is not None:
                    self._restart_timer_c()
                self.context.provisional(self, response)
        elif status < 300:
            self.context.success(self, response)
        elif self.is_overdue and status == 487 and not self.context.was_cancelled:
            # It was our own impatience that ended the ringing; nobody upstream asked for a 487.
            self.context.failed(408, "Nobody answered in time.")
        else:
            self.context.finished(response, False)

    def unanswered(self, status: int, text: str) -> None:
        self.context.failed(status, text)

    # -- timer C (16.8) ---------------------------------------------------------------------------------------------

    def _restart_timer_c(self) -> None:
        if self.timer_c is not None:
            self.timer_c.cancel()
        self.timer_c = self.sender.layer.wheel.start(self.context.timer_c_seconds, self, 0)

    def timer_fired(self, kind: int) -> None:
        """Timer C: a branch that rang is cancelled, one that never did counts as 408 (16.8)."""
        self.timer_c = None
        client = self.client
        if self.is_cancelled or client is None:
            return  # the client transaction has a time-out of its own for what follows a CANCEL
        self.is_overdue = client.state is State.PROCEEDING
        self.cancel(NO_ANSWER)
        if not self.is_overdue:
            self.give_up(408, "Nobody answered in time.")


class ResponseContext:
    """What a proxy keeps between a request and its final response; it owns the server transaction and every branch.

    ``request`` and ``branches`` are there until the final response went upstream and every branch has its own: what
    refers to each other in a circle must not wait for the collector.
    """

    __slots__ = (
        "arrived_on",
        "best",
        "best_is_ours",
        "branches",
        "challenges",
        "is_dialog_forming",
        "is_done",
        "is_invite",
        "outcome",
        "pending",
        "request",
        "sender",
        "server",
        "timer_c_seconds",
        "was_cancelled",
    )

    request: Request

    def __init__(
        self,
        server: ServerTransaction,
        sender: Sender,
        outcome: Outcome,
        timer_c_seconds: float,
        is_dialog_forming: bool,
    ) -> None:
        self.server = server
        self.request = server.request
        self.arrived_on = server.flow
        self.sender = sender
        self.outcome = outcome
        self.timer_c_seconds = timer_c_seconds
        self.is_invite = server.request.method == "INVITE"
        self.is_dialog_forming = is_dialog_forming
        self.branches: Sequence[Branch] = ()
        self.pending = 0  # branches without a final response
        self.best: Response | None = None
        self.best_is_ours = False
        self.challenges: list[Response] = []
        self.is_done = False  # a final response went upstream
        self.was_cancelled = False

    def start(self, targets: tuple[ProxyTarget, ...], request: Request) -> None:
        """Send a copy of ``request`` to each target."""
        self.start_copies([(target, request.copy()) for target in targets])

    def start_copies(self, copies: Sequence[tuple[ProxyTarget, Request]]) -> None:
        """Send to each target the copy that was made for it."""
        try:
            branches = [Branch(self, target, copy) for target, copy in copies]
        except ParseError as error:
            self._respond(self.refusal(400, f"{error.reason}."), True)
            return
        self.server.owner = self
        self.branches = branches
        self.pending = len(branches)
        for branch in branches:
            branch.send()

    def refusal(self, status: int, text: str) -> Response:
        """A final response of our own."""
        return explain(reply(self.request, status, to_tag=self.server.to_tag), text)

    # -- what the branches say ----------------------------------------------------------------------------------------

    def provisional(self, branch: Branch, response: Response) -> None:
        """One above 100."""
        if not self.is_done:
            self.outcome.provisional(response, branch.phone_flow)
            self.server.respond(response.upstream())

    def success(self, branch: Branch, response: Response) -> None:
        """Every 2xx to an INVITE goes upstream at once (16.7 item 5); of another request only the first."""
        if self.is_invite or not self.is_done:
            self.outcome.success(response, branch.phone_flow)
            self.server.respond(response.upstream())
        if not self.is_done:
            self.is_done = True
            self._cancel_all(COMPLETED_ELSEWHERE)
        self._let_go()

    def finished(self, response: Response, is_ours: bool) -> None:
        """A branch came to a final response that is no 2xx."""
        if not self.is_done:
            if self.best is None or _rank(response, is_ours) < _rank(self.best, self.best_is_ours):
                self.best, self.best_is_ours = response, is_ours
            if response.status in _CHALLENGES:
                self.challenges.append(response)
            elif response.status >= 600:
                self._cancel_all(None)
            if self.pending == 0:
                self._answer_best(self.best)
        self._let_go()

    def failed(self, status: int, text: str) -> None:
        """A branch will not be answered: that counts as a response of our own."""
        if self.is_done:
            self._let_go()
        else:
            self.finished(self.refusal(status, text), True)

    def _answer_best(self, best: Response) -> None:
        is_ours = self.best_is_ours
        if is_ours and self.was_cancelled:
            # 9.2: to the caller it is cancelled, even when nobody downstream answered that
            best = self.refusal(487, "The call was cancelled.")
        elif best.status == 503:
            # 16.7 item 6: trouble with one next hop does not mean that we can serve nobody
            best = self.refusal(500, _UNREACHABLE if is_ours else _OVERLOADED)
        elif not is_ours:
            best = self._with_challenges(best)
        self._respond(best, is_ours)

    def _with_challenges(self, best: Response) -> Response:
        """As it goes upstream: with the challenges of all, for the caller answers all of them (16.7 item 7)."""
        forwarded = best.upstream()
        if best.status in _CHALLENGES:
            for other in self.challenges:
                if other is not best:
                    for name in ("www-authenticate", "proxy-authenticate"):
                        for value in other.values(name):
                            forwarded.add(name, value)
        return forwarded

    def _respond(self, response: Response, is_ours: bool) -> None:
        self.is_done = True
        self.outcome.failure(response, is_ours)
        self.server.respond(response)

    def _cancel_all(self, reason: str | None) -> None:
        """Stop whoever has no final response (16.7 item 10); of another request than INVITE nobody can be stopped."""
        if self.pending and self.is_invite:
            for branch in self.branches:
                branch.cancel(reason)

    def _let_go(self) -> None:
        """Drop what only unanswered branches need; later forks of a 2xx come by the branch that they belong to."""
        if self.is_done and self.pending == 0 and self.branches:
            self.branches = ()
            self.best = None
            self.challenges.clear()
            self.server.owner = None
            del self.request

    # -- what the server transaction says -----------------------------------------------------------------------------

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up: every ringing branch is cancelled, and their 487 goes upstream (16.10)."""
        self.was_cancelled = True
        self.outcome.cancelled()
        self._cancel_all(cancel.value("reason"))

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """The caller is out of reach: nobody needs the branches any more."""
        self.give_up("The caller is out of reach.")

    def give_up(self, why: str) -> None:
        """Refuse a request that has no final response yet, and stop whoever rings."""
        if not self.is_done:
            self._respond(self.refusal(503, why), True)
            self._cancel_all(None)


def _rank(response: Response, is_ours: bool) -> tuple[int, bool, int]:
    """Smaller is better (16.7 item 6).

    A 6xx wins, then the lowest class; within it what somebody downstream said, and of the 4xx those that help.
    """
    status = response.status
    if status >= 600:
        return 0, is_ours, status
    return status // 100, is_ours, 0 if status in _HELPFUL else status
