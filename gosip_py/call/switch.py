"""The switch (a back-to-back user agent, RFC 7092): each call is two dialogs of ours, and what passes between them.

It can do what a verdict says: ring, send out, refuse, redirect, or let a feature of the server have it. What a verdict
should be is decided by the router.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from gosip_py.call.bridge import Bridge
from gosip_py.call.call import Call, judge, new_id
from gosip_py.call.dialling import Dialling
from gosip_py.call.headers import ANONYMOUS, breadth_of, hops_of, passed_request, wants_privacy
from gosip_py.call.incoming import Incoming
from gosip_py.call.leg import FAILED, Leg, LegRole, Quiet
from gosip_py.call.party import Party
from gosip_py.call.reaper import Reaper
from gosip_py.call.verdict import Attempt, DialOut, Redirect, Refuse, Ring, Router, UseFeature, Verdict
from gosip_py.dialog.dialogs import Dialogs
from gosip_py.dialog.refer import Refer
from gosip_py.events import Bus, CallEnded, CallStarted
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason, Replaces
from gosip_py.sip.grammar import quote
from gosip_py.sip.message import Request
from gosip_py.sip.status import REASON_PHRASES
from gosip_py.sip.uri import escape_user, parse_uri
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.timers import TimerWheel
from gosip_py.transaction.validation import Refusal

__all__ = ["Counts", "Features", "Replacements", "Switch", "Transfers"]

STOPPING = Reason("SIP", 503, "The server is stopping")

_AT_ONCE = 50  # calls that are hung up in one turn of the reactor
_BETWEEN = 0.02

WAITING: LegRole = Quiet()
"""The role of a caller for whom nothing was begun yet."""


class Counts(Protocol):
    """Who counts the legs, for the limits."""

    def add(self, party: Party, is_received: bool) -> None: ...

    def remove(self, party: Party, is_received: bool) -> None: ...


class Features(Protocol):
    """What the server does itself when its number is dialled."""

    def use(self, call: Call, verdict: UseFeature) -> None:
        """Take over ``call.caller``, who is not answered yet."""


class Transfers(Protocol):
    """Who serves a REFER on a leg that talks."""

    def referred(self, bridge: Bridge, leg: Leg, refer: Refer) -> None: ...


class Replacements(Protocol):
    """Who serves an INVITE that is to take the place of a leg (RFC 3891)."""

    def replace(
        self, transaction: ServerTransaction, forwarded: Request, attempt: Attempt, leg: Leg, replaces: Replaces
    ) -> Refusal | None: ...


class Switch:
    """Every call that is bridged, by its id.

    ``domain`` stands in the addresses that we show. ``now`` tells epoch seconds; ``ping_seconds`` is how often a leg
    without a session timer is asked whether it is there, ``dial_out_seconds`` how long somebody outside may ring.
    ``transfers``, ``pickups``, ``features`` and ``counts`` are set before the first call, or stay None. While it
    ``is_draining`` nobody begins a call from the page.
    """

    def __init__(
        self,
        dialogs: Dialogs,
        router: Router,
        domain: str,
        wheel: TimerWheel,
        now: Callable[[], float],
        bus: Bus,
        metrics: Metrics,
        ping_seconds: float = 60.0,
        dial_out_seconds: float = 180.0,
    ) -> None:
        self.dialogs = dialogs
        self.router = router
        self.domain = domain
        self.wheel = wheel
        self.now = now
        self.bus = bus
        self.metrics = metrics
        self.setup_seconds = metrics.call_setup_seconds.child()
        self.dial_out_seconds = dial_out_seconds
        self.calls: dict[str, Call] = {}
        self.reaper = Reaper(wheel, self.calls, ping_seconds)
        self.counts: Counts | None = None
        self.transfers: Transfers | None = None
        self.pickups: Replacements | None = None
        self.features: Features | None = None
        self.is_draining = False
        self._tail = f"@{domain}"

    def __len__(self) -> int:
        """Calls set up or being set up."""
        return len(self.calls)

    def find(self, call_id: str) -> Call | None:
        """The call with this id, as in its events and its journal row."""
        return self.calls.get(call_id)

    # -- calls that come in -------------------------------------------------------------------------------------------

    def receive(self, transaction: ServerTransaction, forwarded: Request, attempt: Attempt, verdict: Verdict) -> None:
        """An initial INVITE: do with it as the verdict says. ``forwarded`` is it without what was meant for us.

        ParseError when it cannot begin a dialog; then there was no call.
        """
        if isinstance(verdict, Refuse | Redirect):
            self._answer_at_once(transaction, attempt, verdict)
            return
        # Read before there is a call, for it may turn out that it cannot be read.
        hops, breadth = hops_of(forwarded), breadth_of(forwarded)
        call = self.admit(transaction, attempt, _callee_of(verdict, attempt))
        caller = call.legs[0]
        caller.is_private = "privacy" in forwarded.names and wants_privacy(forwarded)
        incoming = caller.role = Incoming(self, call, caller)
        incoming.dialling = dialling = Dialling(
            self,
            call,
            attempt,
            offer=caller.dialog.remote_sdp,
            user=incoming,
            shown=ANONYMOUS if caller.is_private else None,
            headers=passed_request(forwarded, attempt.caller.is_own),
            max_forwards=hops,
            breadth=breadth,
        )
        try:
            dialling.start(verdict)
        except Exception:
            # Our own mistake, logged by the transaction. The caller hears of it, and the books close.
            call.hang_up(FAILED)
            raise

    def receive_replaces(
        self, transaction: ServerTransaction, forwarded: Request, attempt: Attempt, leg: Leg, replaces: Replaces
    ) -> Refusal | None:
        """An initial INVITE with a Replaces that names ``leg``."""
        if self.pickups is None:
            return Refusal(501, "calls are not taken over here: call the person instead")
        return self.pickups.replace(transaction, forwarded, attempt, leg, replaces)

    def leg_of(self, replaces: Replaces) -> Leg | None:
        """The leg that a Replaces names exactly (RFC 3891 3), whichever side of its dialog we are."""
        dialog = self.dialogs.replaced_by(replaces)
        user = dialog.user if dialog is not None else None
        return user if isinstance(user, Leg) else None

    def admit(self, transaction: ServerTransaction, attempt: Attempt, callee: str) -> Call:
        """A new call with this INVITE as its caller, who has no role yet: for whoever takes it over.

        ParseError when it cannot begin a dialog; then there was no call.
        """
        started = self._started(attempt, callee, transaction.request)
        call = Call(self, attempt, started)
        leg = Leg(call, attempt.caller, WAITING, True)
        try:
            leg.dialog = dialog = self.dialogs.take(transaction, leg, attempt.dialled)
        except ParseError:
            call.state = "ended"
            leg.drop()
            raise
        if not attempt.caller.is_own:
            dialog.is_outside = True
        call.caller = leg
        self._open(call, started)
        return call

    def open_call(self, attempt: Attempt, callee: str, call_id: str = "") -> Call:
        """A new call that nobody's INVITE began, without a leg yet: give it a ringing at once."""
        now = self.now()
        started = CallStarted(
            id=new_id(now),
            at=now,
            call_id=call_id,
            init_branch="",
            from_tag="",
            caller_user=attempt.caller.name,
            callee_user=callee,
            caller_uri=attempt.caller.uri,
            callee_uri=str(attempt.uri),
            direction=attempt.direction,
            device_id=attempt.caller.device_id,
        )
        call = Call(self, attempt, started)
        self._open(call, started)
        return call

    def _started(self, attempt: Attempt, callee: str, request: Request) -> CallStarted:
        now = self.now()
        return CallStarted(
            id=new_id(now),
            at=now,
            call_id=request.call_id,
            init_branch=request.top_via.branch,
            from_tag=request.from_tag,
            caller_user=attempt.caller.name,
            callee_user=callee,
            caller_uri=request.from_.uri_text,
            callee_uri=request.uri_text,
            direction=attempt.direction,
            device_id=attempt.caller.device_id,
        )

    def _open(self, call: Call, started: CallStarted) -> None:
        self.calls[call.id] = call
        self.bus.publish(started)

    def _answer_at_once(self, transaction: ServerTransaction, attempt: Attempt, verdict: Refuse | Redirect) -> None:
        """There is nobody to ring; the call has its journal row like any other."""
        call = Call(self, attempt, started := self._started(attempt, attempt.dialled, transaction.request))
        self._open(call, started)
        if isinstance(verdict, Redirect):
            transaction.reply(302, headers=[("contact", value) for value in verdict.contacts])
            status = 302
        else:
            status = verdict.status
            Refusal(status, verdict.explanation, verdict.headers).send(transaction)
        call.end(judge(status, True), status, REASON_PHRASES.get(status, ""), "system")

    # -- the end ------------------------------------------------------------------------------------------------------

    def call_ended(self, call: Call, event: CallEnded) -> None:
        """Called by the call itself, once."""
        self.calls.pop(call.id, None)
        self.metrics.calls_total.child(call.attempt.direction, event.result).inc()
        self.bus.publish(event)
        if not self.calls:
            self.reaper.rest()

    def hang_up_all(self, reason: Reason = STOPPING) -> Deferred[None]:
        """End every call with this reason; fires when the phones have answered, or will not in time."""
        return Deferred.fromCoroutine(self._hang_up_all(reason))

    async def _hang_up_all(self, reason: Reason) -> None:
        """In turns, for all of them at once would fill the sockets' buffers."""
        for at, call in enumerate(tuple(self.calls.values()), 1):
            call.hang_up(reason)
            if at % _AT_ONCE == 0:
                pause = _Pause()
                self.wheel.start(_BETWEEN, pause, 0)
                await pause.over
        await self.dialogs.hang_up_all(reason)

    def close(self, reason: str) -> None:
        """The server stops: whatever is open ends here, and no phone is told any more."""
        for call in tuple(self.calls.values()):
            call.end("answered" if call.answered_at is not None else "failed", 503, reason, "system")

    # -- what is shown ------------------------------------------------------------------------------------------------

    def shown(self, party: Party) -> str:
        """Who calls, as the From value of our INVITE, without a tag.

        Everybody has an address of ours: whoever dials it reaches them by the router, and sees nothing of their trunk.
        """
        display = f"{quote(party.display)} " if party.display else ""
        if party.uri.endswith(self._tail):
            return f"{display}<{party.uri}>"
        return f"{display}<sip:{self._user_of(party)}{self._tail}>"

    def address_of(self, dialled: str) -> str:
        """The To value of an INVITE to whom somebody dialled."""
        return f"<sip:{escape_user(dialled)}{self._tail}>" if dialled else f"<sip:{self._tail[1:]}>"

    def _user_of(self, party: Party) -> str:
        try:
            user = parse_uri(party.uri).user
        except ParseError:
            user = ""
        return escape_user(user or party.name or "anonymous")


class _Pause:
    """Fires ``over`` after some time."""

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred()

    def timer_fired(self, kind: int) -> None:
        self.over.callback(None)


def _callee_of(verdict: Verdict, attempt: Attempt) -> str:
    if isinstance(verdict, Ring):
        return verdict.callee.name
    return verdict.number if isinstance(verdict, DialOut) else attempt.dialled
