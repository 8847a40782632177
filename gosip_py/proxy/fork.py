"""The response context: one request, its branches, and the one answer that goes back (RFC 3261 16.7).

Targets of equal q are tried at once, the next group when the one before has failed or rung for too long. Every 2xx goes
upstream, the best of the other finals goes when no branch and no target is left; a 6xx or a 2xx cancels those who still
ring. Timer C guards each INVITE branch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs

from gosip_py.proxy.best import CHALLENGES, rank, with_challenges
from gosip_py.proxy.branch import Branch
from gosip_py.proxy.loop import has_looped, loop_mark
from gosip_py.proxy.redirect import Lookup, follow
from gosip_py.proxy.route import ProxyTarget, RouteRecorder
from gosip_py.proxy.target_set import allot, breadth_of, in_groups, in_parts, keep_whole, shares, untried
from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import explain, reply
from gosip_py.transaction.machines import State
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import Timer
from gosip_py.transaction.user import Failure
from gosip_py.transport.flow import Flow

__all__ = ["WITHHELD", "Branch", "Outcome", "Patience", "ResponseContext", "Withheld"]

COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
CANCELLED = 'SIP;cause=487;text="The call was cancelled"'
TOO_LATE = 'SIP;cause=408;text="The answer came too late"'

_OVERLOADED = "The next hop is overloaded: try again later."
_UNREACHABLE = "The next hop refused the connection or it broke: try again later."
_NO_FLOW = "The phone is registered, but the connection to it is gone: try again later."
_NOBODY_LEFT = "Whoever was called sends the call to where it has been already: ask them to change that."
_LOOP = "The request was here before, as it is now: look for a contact that leads back to its owner."

# What a branch gives up with that has no address to go to, or ours.
_NO_ADDRESS = 502
# What a request may be sent to altogether when phones send it on to others (16.7 item 4).
_MOST_TARGETS = 16
# Dialogs that one INVITE may begin: a phone that sends 2xx with ever new tags is no phone.
_MOST_DIALOGS = 32
# A flow that says so, or nothing at all, is given up for another to the same phone (RFC 5626 7).
_FLOW_IS_DEAD = frozenset((408, 430))


class Withheld(enum.Enum):
    """What an outcome says that answers the request itself, later."""

    WITHHELD = 0


WITHHELD: Final = Withheld.WITHHELD


class Outcome(Protocol):
    """Hears what a request came to: the call or the session that it belongs to.

    Each response is as it goes upstream, without our Via, and may be changed where it stands. ``phone_flow`` is the
    flow to the phone that answered, None when others stand between.
    """

    def provisional(self, response: Response, phone_flow: Flow | None) -> None:
        """A provisional response above 100 goes upstream."""

    def success(self, response: Response, phone_flow: Flow | None) -> None:
        """A 2xx goes upstream; several forks may each send one."""

    def failure(self, response: Response, is_ours: bool) -> Response | Withheld | None:
        """This non-2xx final goes upstream, once. ``is_ours``: nobody downstream said so.

        Another response goes in its place when one is returned; with `WITHHELD` none goes, and the outcome responds to
        the server transaction itself.
        """

    def cancelled(self) -> None:
        """The caller gave up before any final response."""


@attrs.frozen
class Patience:
    """How long an INVITE is waited for, in seconds.

    ``timer_c`` after the last that a branch said; ``ring`` for each group of targets while there is another to try.
    """

    timer_c: float
    ring: float


class ResponseContext:
    """What a proxy keeps between a request and its final response; it owns the server transaction and every branch.

    ``request`` and ``branches`` are there until the final response went upstream and every branch has its own: what
    refers to each other in a circle must not wait for the collector. ``lookup`` finds those of our own domains that a
    phone sends the request on to; without it, nobody's 3xx is followed. ``prepare`` changes each copy that is made of
    the request; ParseError when it cannot.
    """

    __slots__ = (
        "_accepted",
        "_best",
        "_best_is_ours",
        "_breadth",
        "_challenges",
        "_lookup",
        "_outcome",
        "_patience",
        "_prepare",
        "_ring_timer",
        "_server",
        "_template",
        "_tried",
        "_waiting",
        "arrived_on",
        "branches",
        "is_done",
        "is_invite",
        "loop_mark",
        "pending",
        "recorder",
        "request",
        "sender",
        "timer_c_seconds",
        "was_cancelled",
    )

    request: Request
    _template: Request

    def __init__(
        self,
        server: ServerTransaction,
        sender: Sender,
        outcome: Outcome,
        patience: Patience,
        recorder: RouteRecorder | None,
        lookup: Lookup | None = None,
        prepare: Callable[[Request], None] | None = None,
    ) -> None:
        self._server = server
        self.request = server.request
        self.arrived_on = server.flow
        self.sender = sender
        self._outcome = outcome
        self._patience = patience
        self.timer_c_seconds = patience.timer_c
        self.is_invite = server.request.method == "INVITE"
        self.recorder = recorder
        self._lookup = lookup
        self._prepare = prepare
        self.loop_mark = ""  # of a request that is forked
        self.branches: tuple[Branch, ...] = ()
        self.pending = 0  # branches without a final response
        self._tried: Sequence[ProxyTarget] = ()
        self._waiting: list[Sequence[ProxyTarget]] = []  # groups that are tried when all before have failed
        self._ring_timer: Timer | None = None
        self._best: Response | None = None
        self._best_is_ours = False
        self._challenges: tuple[Response, ...] = ()
        self._accepted: tuple[str, ...] = ()  # To tags of the 2xx responses that went upstream
        self.is_done = False  # a final response went upstream
        self.was_cancelled = False

    # -- the target set (16.5, 16.6) ----------------------------------------------------------------------------------

    def start(self, targets: Sequence[ProxyTarget], request: Request) -> None:
        """Send a copy of ``request`` to each target, in the order of q."""
        if len(targets) == 1:
            self._template = request
            self._start_one(targets[0], request.copy())
            return
        self._server.owner = self
        self._template = request
        self._tried = targets
        try:
            self._breadth = breadth_of(request)
        except ParseError as error:
            self._refuse(400, f"{error.reason}.")
        else:
            if not self._is_looping():
                self._open_first(targets, self._breadth)

    def start_copy(self, target: ProxyTarget, copy: Request) -> None:
        """As `start` with one target, for which ``copy`` was made."""
        self._template = copy if not target.fallbacks else copy.copy()
        self._start_one(target, copy)

    def _start_one(self, target: ProxyTarget, copy: Request) -> None:
        """The way of nearly all requests, which takes no detour."""
        self._server.owner = self
        self._tried = (target,)
        try:
            if self._prepare is not None:
                self._prepare(copy)
            self._breadth = keep_whole(copy)
            branch = Branch(self, target, copy, self._breadth)
        except ParseError as error:
            self._refuse(400, f"{error.reason}.")
            return
        self.branches = (branch,)
        self.pending = 1
        branch.send()

    def _is_looping(self) -> bool:
        """Whether the request was forked here before; then it is refused (RFC 5393 4.2.2)."""
        self.loop_mark = loop_mark(self.request)
        if not has_looped(self.request, self.loop_mark):
            return False
        self._refuse(482, _LOOP)
        return True

    def _open_first(self, targets: Sequence[ProxyTarget], breadth: int) -> None:
        """The best of ``targets`` now, the others before those that wait already.

        All now for another request than INVITE: it cannot be cancelled, and whoever sent it does not wait that long.
        """
        cut = in_groups if self.is_invite else in_parts
        first, *later = cut(targets, breadth)
        self._waiting[:0] = later
        self._open(first, breadth)

    def _open(self, targets: Sequence[ProxyTarget], breadth: int) -> None:
        """A branch for each of ``targets``, which share ``breadth``."""
        try:
            opened = tuple(
                Branch(self, target, self._copy(share), share)
                for target, share in zip(targets, shares(breadth, len(targets)), strict=True)
            )
        except ParseError as error:
            self._refuse(400, f"{error.reason}.")
            return
        self.branches += opened
        self.pending += len(opened)
        if self._waiting and self._ring_timer is None and self.is_invite:
            self._ring_timer = self.sender.layer.wheel.start(self._patience.ring, self, 0)
        for branch in opened:
            branch.send()

    def _copy(self, breadth: int) -> Request:
        copy = self._template.copy()
        if self._prepare is not None:
            self._prepare(copy)
        allot(copy, breadth)
        return copy

    def _try_next(self) -> None:
        """No branch is left: the next group, or the answer."""
        self._stop_ring_timer()
        if self._waiting:
            self._open(self._waiting.pop(0), self._breadth)
        else:
            self._answer_best()

    def _stop_ring_timer(self) -> None:
        if self._ring_timer is not None:
            self._ring_timer.cancel()
            self._ring_timer = None

    def timer_fired(self, kind: int) -> None:
        """These have rung for long enough, and there are others to try."""
        self._ring_timer = None
        for branch in self.branches:
            branch.stop_ringing()

    @property
    def _may_go_on(self) -> bool:
        """Whether there may be new branches (16.7 item 5)."""
        return not self.was_cancelled and (self._best is None or self._best.status < 600)

    def _close(self) -> None:
        """Nobody else is tried."""
        self._waiting.clear()
        self._stop_ring_timer()

    # -- what the branches say ----------------------------------------------------------------------------------------

    def provisional(self, branch: Branch, response: Response) -> None:
        """One above 100."""
        if not self.is_done:
            forwarded = response.upstream()
            self._outcome.provisional(forwarded, branch.phone_flow)
            self._server.respond(forwarded)

    def success(self, branch: Branch, response: Response) -> None:
        """Every 2xx to an INVITE goes upstream at once (16.7 item 5); of another request only the first."""
        if not self.is_done:
            if self.is_invite:
                self._accepted = (response.to_tag,)
            self._accept(branch, response)
            self.is_done = True
            self._stop_ring_timer()
            self._cancel_all(COMPLETED_ELSEWHERE)
        elif self.is_invite:
            self._hear_again(branch, response)
        self._let_go()

    def _accept(self, branch: Branch, response: Response) -> None:
        forwarded = response.upstream()
        self._outcome.success(forwarded, branch.phone_flow)
        self._server.respond(forwarded)

    def _hear_again(self, branch: Branch, response: Response) -> None:
        """A 2xx after the final response: repeated, of another fork, or too late for the caller to hear of it."""
        is_known = response.to_tag in self._accepted
        if self._server.state is State.ACCEPTED:
            if not is_known and len(self._accepted) < _MOST_DIALOGS:
                self._accepted += (response.to_tag,)
                is_known = True
            if is_known:
                self._accept(branch, response)
        elif not is_known:
            branch.turn_down(response, self._why_too_late)

    @property
    def _why_too_late(self) -> str:
        return COMPLETED_ELSEWHERE if self._accepted else CANCELLED if self.was_cancelled else TOO_LATE

    def finished(self, branch: Branch, response: Response) -> None:
        """A branch came to a final response that is no 2xx."""
        self._finish(branch, response, False)

    def failed(self, branch: Branch, status: int, text: str) -> None:
        """A branch will not be answered: that counts as a response of our own."""
        if self.is_done:
            self._let_go()
        else:
            self._finish(branch, self.refusal(status, text), True)

    def _finish(self, branch: Branch, response: Response, is_ours: bool) -> None:
        if not self.is_done:
            left = self._instead_of(branch, response, is_ours) if self._may_go_on else response
            if left is not None and not self.is_done:
                self._keep(left, is_ours)
            if self.pending == 0 and not self.is_done:
                self._try_next()
        self._let_go()

    def _keep(self, response: Response, is_ours: bool) -> None:
        """Put it with the others, of which the best is chosen at the end (16.7 item 4)."""
        if self._best is None or rank(response, is_ours) < rank(self._best, self._best_is_ours):
            self._best, self._best_is_ours = response, is_ours
        if response.status in CHALLENGES:
            self._challenges += (response,)
        elif response.status >= 600:
            # 16.7 item 5: nobody else is tried, and who rings is cancelled
            self._close()
            self._cancel_all(None)

    # -- others in place of a branch that failed ----------------------------------------------------------------------

    def _instead_of(self, branch: Branch, response: Response, is_ours: bool) -> Response | None:
        """Try whoever else this branch leads to; gives what is left of its response, None when that counts no more."""
        target = branch.proxy_target
        if target.fallbacks and not branch.has_rung and (is_ours or response.status in _FLOW_IS_DEAD):
            self._open((attrs.evolve(target.fallbacks[0], fallbacks=target.fallbacks[1:]),), branch.breadth)
            return None
        if self._lookup is None:
            return response
        left: Response | None = response
        found: Sequence[ProxyTarget] = ()
        if not is_ours:
            found, left = follow(response, self._lookup, self.request.uri.is_secure)
        elif response.status == _NO_ADDRESS:
            # A contact that names us is one of our own people: a spiral, which need not go out for that.
            found = self._lookup(branch.request.uri)
        new = untried(found, self._tried, _MOST_TARGETS)
        if new and (self.loop_mark or not self._is_looping()):
            self._tried = (*self._tried, *new)
            self._open_first(new, branch.breadth)
        return None if new and is_ours else left

    # -- the answer ---------------------------------------------------------------------------------------------------

    def _answer_best(self) -> None:
        """16.7 item 6. To a caller who gave up it is cancelled, even when nobody downstream answered that (9.2)."""
        best, is_ours = self._best, self._best_is_ours
        if best is None:
            best, is_ours = self.refusal(408, _NOBODY_LEFT), True
        if is_ours and self.was_cancelled:
            best = self.refusal(487, "The call was cancelled: nothing need be done.")
        elif best.status == 503:
            # trouble with one next hop does not mean that we can serve nobody
            best = self.refusal(500, _UNREACHABLE if is_ours else _OVERLOADED)
        elif best.status == 430:
            best = self.refusal(480, _NO_FLOW)  # RFC 5626 11.5: a matter between us and the edge
        elif not is_ours:
            best = with_challenges(best, self._challenges)
        self._respond(best, is_ours)

    def refusal(self, status: int, text: str) -> Response:
        """A final response of our own."""
        return explain(reply(self.request, status, to_tag=self._server.to_tag), text)

    def _refuse(self, status: int, text: str) -> None:
        """Answer ourselves, whatever the branches may still say."""
        self._close()
        self._respond(self.refusal(status, text), True)
        self._cancel_all(None)
        if not self.branches:
            self._drop()

    def _respond(self, response: Response, is_ours: bool) -> None:
        self.is_done = True
        verdict = self._outcome.failure(response, is_ours)
        if verdict is not WITHHELD:
            self._server.respond(verdict or response)

    def _cancel_all(self, reason: str | None) -> None:
        """Stop whoever has no final response (16.7 item 10); of another request than INVITE nobody can be stopped."""
        if self.pending and self.is_invite:
            for branch in self.branches:
                branch.cancel(reason)

    def _let_go(self) -> None:
        """Drop what only unanswered branches need; later forks of a 2xx come by the branch that they belong to."""
        if self.is_done and self.pending == 0 and self.branches:
            self._drop()

    def _drop(self) -> None:
        self.branches = ()
        self._tried = ()
        self._best = None
        self._challenges = ()
        self._lookup = self._prepare = None
        self._server.owner = None
        del self.request, self._template

    # -- what the server transaction says -----------------------------------------------------------------------------

    def receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        """The caller gave up: every ringing branch is cancelled, and their 487 goes upstream (16.10)."""
        self.was_cancelled = True
        self._close()
        self._outcome.cancelled()
        self._cancel_all(cancel.value("reason"))

    def server_failed(self, transaction: ServerTransaction, failure: Failure) -> None:
        """The caller may be out of reach. A broken connection alone does not stop who rings (16.9).

        The answer goes by a new one (18.2.2), unless there can be none.
        """
        if failure is Failure.TIMEOUT or self.arrived_on.is_only_way:
            self.give_up("The caller is out of reach.")

    def give_up(self, why: str) -> None:
        """Refuse a request that has no final response yet, and stop whoever rings."""
        if not self.is_done:
            self._refuse(503, why)
