"""The response context: one request, its branches, and the one answer that goes back (RFC 3261 16.7).

All contacts of the target set are tried at once. Every 2xx goes upstream, the best of the other finals goes when no branch is left; a 6xx
or a 2xx cancels those who still ring. Timer C guards each INVITE branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from gosip_py.proxy.route import ProxyTarget, aim, next_hop, record_route
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import explain, reply
from gosip_py.transaction.client import ClientTransaction
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.resolve import target_of

__all__ = ["Branch", "Outcome", "ResponseContext"]

COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'

# RFC 3261 16.7 item 6: of the 4xx, these tell the caller how to do better
_HELPFUL = frozenset((401, 407, 415, 420, 484))
_CHALLENGES = frozenset((401, 407))


class Outcome(Protocol):
    """Hears what a request came to: the call or the session that it belongs to."""

    def provisional(self, response: Response, answered_on: Flow) -> None:
        """A provisional response above 100 goes upstream."""

    def success(self, response: Response, answered_on: Flow) -> None:
        """A 2xx goes upstream; several forks may each send one."""

    def failure(self, response: Response, is_ours: bool) -> None:
        """This non-2xx final goes upstream, once. ``is_ours``: nobody downstream said so."""

    def cancelled(self) -> None:
        """The caller gave up before any final response."""


class Reach(Protocol):
    """How a branch gets to its next hop."""

    def reach(self, target: Target, size: int, then: Callable[[Flow | None], None], allow_upgrade: bool = True) -> None:
        """Call ``then`` with a flow, at once when no name must be looked up; with None when there is no such place."""


class Branch:
    """One client transaction of the context, from before it has a flow until its final response."""

    __slots__ = (
        "cancel_reason",
        "client",
        "context",
        "copy",
        "final",
        "is_cancelled",
        "is_upgraded",
        "target",
        "timer_c",
    )

    def __init__(self, context: ResponseContext, target: ProxyTarget, copy: Request) -> None:
        self.context = context
        self.target = target
        self.copy = copy
        self.client: ClientTransaction | None = None
        self.final: Response | None = None
        self.is_cancelled = False
        self.is_upgraded = False
        self.cancel_reason: str | None = None
        self.timer_c: Timer | None = None

    # -- sending ----------------------------------------------------------------------------------------------------

    def send(self, allow_upgrade: bool = True) -> None:
        """Look for the next hop and send the copy there."""
        where = self.target.target
        if "route" in self.copy.names:
            where = attrs.evolve(target_of(next_hop(self.copy)), flow=where.flow)
        self.context.reach.reach(where, _size_of(self.copy), self._send_on, allow_upgrade)

    def _send_on(self, flow: Flow | None) -> None:
        if self.final is not None:
            return
        if flow is None:
            self._finish(
                self.context.refusal(502, "The next hop has no address: check the contact or the domain."), ours=True
            )
            return
        context = self.context
        if self.is_cancelled:
            self._finish(self.context.refusal(487, "The call was cancelled."), ours=True)
            return
        copy = self.copy
        self.is_upgraded = flow.transport != self.target.target.transport
        if context.is_invite or context.is_dialog_forming:
            if self.is_upgraded:
                copy = copy.copy()  # kept clean for a second try over UDP
            record_route(copy, context.arrived_on, flow)
        self.client = context.layer.start_client(copy, flow, self)
        if context.is_invite:
            self._restart_timer_c()

    def cancel(self, reason: str | None) -> None:
        """Stop this branch if it has no final response yet (16.10)."""
        if self.final is None and not self.is_cancelled:
            self.is_cancelled = True
            if self.client is not None:
                self.client.cancel(reason)

    # -- timer C (16.8) ---------------------------------------------------------------------------------------------

    def _restart_timer_c(self) -> None:
        if self.timer_c is not None:
            self.timer_c.cancel()
        self.timer_c = self.context.layer.wheel.start(self.context.timer_c_seconds, self, 0)

    def timer_fired(self, kind: int) -> None:
        """Timer C: a branch that rang is cancelled, one that never did counts as 408 (16.8)."""
        self.timer_c = None
        if self.final is not None:
            return
        was_cancelled = self.is_cancelled
        self.cancel('SIP;cause=408;text="No answer"')
        if was_cancelled or self.client is None:
            self._finish(self.context.refusal(408, "Nobody answered in time."), ours=True)
        else:
            self.context.no_answer = True
            self._restart_timer_c()

    # -- what the client transaction says -----------------------------------------------------------------------------

    def receive_response(self, transaction: ClientTransaction, response: Response) -> None:
        status = response.status
        if status < 200:
            if status > 100 and self.final is None:
                if self.timer_c is not None:
                    self._restart_timer_c()
                self.context.provisional(self, response)
        elif status < 300:
            self._close()
            self.final = response
            self.context.success(self, response)
        elif self.final is None:
            self._finish(response)

    def client_failed(self, transaction: ClientTransaction, failure: Failure) -> None:
        """No response will come: as 408 or 503 (16.9); a connection made only for the message's size falls back to UDP (18.1.1)."""
        if self.final is not None:
            return
        if failure is Failure.TRANSPORT and self.is_upgraded and not self.is_cancelled:
            self.client = None
            self.send(allow_upgrade=False)
            return
        status, text = _FAILURES[failure]
        self._finish(self.context.refusal(status, text), ours=True)

    def _finish(self, response: Response, ours: bool = False) -> None:
        self._close()
        self.final = response
        self.context.finished(self, response, ours)

    def _close(self) -> None:
        if self.timer_c is not None:
            self.timer_c.cancel()
            self.timer_c = None


_FAILURES = {
    Failure.TIMEOUT: (408, "The next hop did not answer: the phone may be off or out of reach."),
    Failure.TRANSPORT: (503, "The next hop refused the connection or it broke."),
}


class ResponseContext:
    """What a proxy keeps between a request and its final response; it owns the server transaction and every branch."""

    __slots__ = (
        "arrived_on", "best", "best_is_ours", "branches", "is_dialog_forming", "is_done", "is_invite", "layer", "no_answer", "outcome",
        "reach", "request", "server", "timer_c_seconds", "was_cancelled",
    )  # fmt: skip

    def __init__(
        self,
        server: ServerTransaction,
        layer: TransactionLayer,
        reach: Reach,
        outcome: Outcome,
        timer_c_seconds: float,
        is_dialog_forming: bool,
    ) -> None:
        self.server = server
        self.request = server.request
        self.arrived_on = server.flow
        self.layer = layer
        self.reach = reach
        self.outcome = outcome
        self.timer_c_seconds = timer_c_seconds
        self.is_invite = server.request.method == "INVITE"
        self.is_dialog_forming = is_dialog_forming
        self.branches: list[Branch] = []
        self.best: Response | None = None
        self.best_is_ours = False
        self.is_done = False  # a final response went upstream
        self.was_cancelled = False
        self.no_answer = False

    def start(self, targets: tuple[ProxyTarget, ...], request: Request) -> None:
        """Send a copy of ``request`` to each target."""
        self.start_copies([(target, request.copy()) for target in targets])

    def start_copies(self, copies: Sequence[tuple[ProxyTarget, Request]]) -> None:
        """Send to each target the copy that was made for it."""
        self.server.owner = self
        try:
            self.branches = [Branch(self, target, aim(copy, target)) for target, copy in copies]
            for branch in tuple(self.branches):
                branch.send()
        except ParseError as error:
            self._respond(explain(reply(self.request, 400, to_tag=self.server.to_tag), f"{error.reason}."), True)

    def refusal(self, status: int, text: str) -> Response:
        """A final response of our own."""
        return explain(reply(self.request, status, to_tag=self.server.to_tag), text)

    # -- what the branches say ----------------------------------------------------------------------------------------

    def provisional(self, branch: Branch, response: Response) -> None:
        if self.is_done or (not self.is_invite):
            return
        assert branch.client is not None
        self.outcome.provisional(response, branch.client.flow)
        self.server.respond(response.upstream())

    def success(self, branch: Branch, response: Response) -> None:
        """Every 2xx to an INVITE goes upstream at once (16.7 item 5); of another request only the first."""
        if self.is_done and not self.is_invite:
            return
        assert branch.client is not None
        self.outcome.success(response, branch.client.flow)
        self.server.respond(response.upstream())
        if not self.is_done:
            self.is_done = True
            self._cancel_others(branch, COMPLETED_ELSEWHERE)

    def finished(self, branch: Branch, response: Response, ours: bool) -> None:
        """A branch came to a final response that is no 2xx."""
        if self.is_done:
            return
        if self.best is None or _rank(response) < _rank(self.best):
            self.best, self.best_is_ours = response, ours
        if response.status >= 600:
            self._cancel_others(branch, None)
        if all(other.final is not None for other in self.branches):
            self._answer_best()

    def _answer_best(self) -> None:
        best = self.best
        assert best is not None
        if self.no_answer and not self.was_cancelled:
            self._respond(self.refusal(408, "Nobody answered in time."), True)
            return
        if not self.best_is_ours:
            if best.status == 503:
                # 16.7 item 6: a 503 downstream does not mean that we are overloaded
                self._respond(self.refusal(500, "The next hop is overloaded."), False)
                return
            best = best.upstream()
            if best.status in _CHALLENGES:
                self._collect_challenges(best)
        if not self.is_invite and best.status == 408:
            self.is_done = True
            self.outcome.failure(best, True)
            self.server.abandon()  # RFC 4320 4.2: a late 408 helps nobody
            return
        self._respond(best, self.best_is_ours)

    def _collect_challenges(self, best: Response) -> None:
        """A forked request may be challenged by several; the caller answers all of them (16.7 item 7)."""
        for branch in self.branches:
            other = branch.final
            if other is not None and other is not self.best and other.status in _CHALLENGES:
                for name in ("www-authenticate", "proxy-authenticate"):
                    for value in other.values(name):
                        best.add(name, value)

    def _respond(self, response: Response, ours: bool) -> None:
        self.is_done = True
        self.outcome.failure(response, ours)
        self.server.respond(response)

    def _cancel_others(self, winner: Branch, reason: str | None) -> None:
        if len(self.branches) > 1:
            for branch in self.branches:
                if branch is not winner:
                    branch.cancel(reason)

    # -- what the server transaction says -----------------------------------------------------------------------------

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up: every ringing branch is cancelled, and their 487 goes upstream (16.10)."""
        self.was_cancelled = True
        self.outcome.cancelled()
        for branch in tuple(self.branches):
            branch.cancel(cancel.value("reason"))

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """The caller is out of reach: nobody needs the branches any more."""
        if not self.is_done:
            self._respond(self.refusal(503, "The caller is out of reach."), True)
            for branch in tuple(self.branches):
                branch.cancel(None)


def _rank(response: Response) -> tuple[int, int]:
    """Smaller is better: 6xx, then the lowest class, in 4xx those that help (16.7 item 6)."""
    status = response.status
    if status >= 600:
        return 0, status
    if status >= 500:
        return 5, status
    return status // 100, 0 if status in _HELPFUL else status


def _size_of(request: Request) -> int:
    """Octets the request will have on the wire, about: for the choice between UDP and TCP (18.1.1)."""
    return sum(map(len, request.lines)) + 2 * len(request.lines) + len(request.body) + len(request.uri_text) + 150
