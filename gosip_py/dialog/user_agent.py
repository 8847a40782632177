"""A user agent in one object: it listens, registers, calls and is called (docs/user-agent.md).

It brings its own transports, transactions and dialogs. What it does by itself: keeps its registration, answers OPTIONS,
refuses what it does not serve, follows a REFER, gives up a call that an INVITE with Replaces takes over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from gosip_py import __version__
from gosip_py.dialog.agent_call import Call, CallFailed, Headers
from gosip_py.dialog.agent_headers import checked_headers
from gosip_py.dialog.agent_network import Network, Trace, listen_at
from gosip_py.dialog.agent_user import CallUser
from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.described import answer_to
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.dialogs import SUPPORTED, Dialogs
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.registration import Registration, RegistrationTarget
from gosip_py.dialog.replaces import Departed, TakeOver, is_authorised, judge, read_take_over
from gosip_py.dialog.table import OFFERED, OVER, TALKING, State
from gosip_py.metrics import Metrics
from gosip_py.sip.errors import ParseError
from gosip_py.sip.fields import Reason, Replaces
from gosip_py.sip.grammar import quote
from gosip_py.sip.message import Message, Request
from gosip_py.sip.uri import escape_user, parse_uri
from gosip_py.transaction.layer import TransactionLayer
from gosip_py.transaction.sending import Sender
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transaction.session_timer import SessionTimerPolicy, session_timer
from gosip_py.transaction.timers import Timing
from gosip_py.transaction.validation import Refusal, Validation, allowed_methods, syntax
from gosip_py.transport.flow import Flow, Target
from gosip_py.transport.layer import Listener, TransportLayer
from gosip_py.transport.resolve import target_of

__all__ = ["Call", "CallFailed", "Network", "RegistrationFailed", "Statistics", "UserAgent"]

METHODS = (
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "NOTIFY", "OPTIONS", "PRACK", "REFER", "SUBSCRIBE", "UPDATE",
)  # fmt: skip
ALLOW = ", ".join(METHODS)
_NEEDS_DIALOG = frozenset(METHODS) - {"INVITE", "OPTIONS"}
_PATIENCE = 2.0  # seconds that a stop waits for the other sides


class RegistrationFailed(Exception):
    """The registrar refused, or did not answer (408)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


@attrs.frozen
class Statistics:
    """``active_dialogs`` is how many there are now, the rest counts from the start: of both directions, what was sent
    and what was received. A call counts as failed when it ended without having been answered.
    """

    active_dialogs: int = 0
    total_invites: int = 0
    total_byes: int = 0
    total_refers: int = 0
    successful_calls: int = 0
    failed_calls: int = 0
    replace_operations: int = 0


class UserAgent:
    """The user agent of ``uri``, an address of record.

    Its callbacks are attributes that may be set at any time. They are called in a turn of the reactor of their own,
    never from inside a method that the application called; one that raises is logged.

    ``on_incoming_call`` hears each call that comes in; without it they are refused with 480. ``on_call_state`` hears a
    call, the state before and the new one. ``on_offer`` gives the answer to an offer within a call, empty to refuse it;
    without it the application's own description answers. ``on_refer`` is asked about each REFER; without it they are
    followed. ``on_dtmf`` hears digits. ``on_registration`` hears status, reason, and for how many seconds we are
    registered, 0 for not at all. ``on_message`` sees each message, True with those that were sent; it alone is called
    at once.

    ``may_replace`` decides whether an INVITE may take over a dialog. With ``can_join`` calls may ask to join one.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        uri: str,
        *,
        network: Network = Network(),  # noqa: B008 # frozen
        credentials: ClientCredentials | None = None,
        display_name: str = "",
        session_timers: SessionTimerPolicy = SessionTimerPolicy(),  # noqa: B008 # frozen
        timing: Timing | None = None,
        may_replace: Callable[[Request, Flow, Dialog], bool] = is_authorised,
        can_join: bool = False,
        product: str = f"gosip/{__version__}",
    ) -> None:
        self.uri = uri
        self.on_incoming_call: Callable[[Call], None] | None = None
        self.on_call_state: Callable[[Call, State, State], None] | None = None
        self.on_offer: Callable[[Call, bytes], bytes] | None = None
        self.on_refer: Callable[[Call, Refer], None] | None = None
        self.on_dtmf: Callable[[Call, str], None] | None = None
        self.on_registration: Callable[[int, str, int], None] | None = None
        self.on_message: Callable[[bool, Message], None] | None = None
        self._reactor = reactor
        self._user = parse_uri(uri).user
        self._from = f"{quote(display_name)} <{uri}>" if display_name else f"<{uri}>"
        self._network = network
        self._credentials = credentials
        self._may_replace = may_replace
        self._can_join = can_join
        self._product = product
        self._counts = Statistics()
        self._calls: dict[str, Call] = {}
        self._departed = Departed()
        self._queue: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._turn: IDelayedCall | None = None
        self._is_running = self._is_stopping = False
        self._registering: Deferred[int] | None = None
        self._registration: Registration | None = None
        metrics, timing = Metrics(), timing or Timing()
        self.transport = TransportLayer(
            reactor, metrics, network.advertising, trust=network.trust, dns_servers=network.dns_servers
        )
        self._layer = TransactionLayer(reactor, self.transport, self, metrics, timing)
        self.transport.user = self._layer
        self._sender = Sender(self._layer, self.transport, self.transport.locator)
        self._dialogs = Dialogs(
            self._sender,
            timing=timing,
            now=reactor.seconds,
            session_timers=session_timers,
            product=product,
            allow=ALLOW,
            supported=(*SUPPORTED, *(("join",) if can_join else ())),
        )
        self._validation = Validation(*syntax(), session_timer(session_timers), allowed_methods(METHODS))

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self) -> tuple[Listener, ...]:
        """Listen. OSError when an address cannot be had, ValueError for one that cannot be read."""
        self._is_running = True
        self.transport.tap = Trace(self._seen)
        for place in self._network.listen:
            listen_at(self.transport, place, self._network.certificates)
        return self.transport.ports()

    async def stop(self) -> None:
        """Hang up, unregister, close. Nobody is waited for longer than a few seconds. It cannot be started again."""
        self._is_stopping = True
        leaving = [self._dialogs.hang_up_all()]
        if self._registration is not None:
            leaving.append(self._registration.end().addTimeout(_PATIENCE, self._reactor))
        await DeferredList(leaving, consumeErrors=True)
        await deferLater(self._reactor, 0)  # what fired it may still have something to say
        self._is_running = False
        self._end_registration()
        self._dialogs.close()
        self._layer.stop()
        await self.transport.stop()
        self._run()

    @property
    def calls(self) -> tuple[Call, ...]:
        """Those that are not over."""
        return tuple(self._calls.values())

    @property
    def statistics(self) -> Statistics:
        """What it did until now."""
        return attrs.evolve(self._counts, active_dialogs=self._dialogs.active)

    def register(self, expires: int = 300, registrar: str = "") -> Deferred[int]:
        """Register for so many seconds, and go on until `stop`. ``registrar`` is the domain of our URI if not given.

        Fires with the seconds that were granted; fails with RegistrationFailed, and is tried again all the same. When
        `stop` or another `register` is faster, that is a 487.
        """
        self._check_running()
        first: Deferred[int] = Deferred()
        registrar = registrar or str(attrs.evolve(parse_uri(self.uri), user="", password=None))
        where = RegistrationTarget(self.uri, registrar, *self._way_to(registrar), self._product)
        self._end_registration()
        self._registering = first
        heard = partial(self._heard_of_registration, first)
        self._registration = Registration(self._sender, where, self._credentials, self._contact_at, heard)
        self._registration.start(expires)
        return first

    def _end_registration(self) -> None:
        if self._registration is not None:
            self._registration.close()
        first, self._registering = self._registering, None
        if first is not None and not first.called:
            first.errback(RegistrationFailed(487, "Request Terminated"))

    def _heard_of_registration(self, first: Deferred[int], status: int, reason: str, seconds: int) -> None:
        if self.on_registration is not None:
            self.later(self.on_registration, status, reason, seconds)
        if first.called:
            return
        if seconds:
            first.callback(seconds)
        else:
            first.errback(RegistrationFailed(status, reason))

    # -- calls that go out ---------------------------------------------------------------------------------------------

    def make_call(self, uri: str, sdp: bytes = b"", headers: Headers = ()) -> Call:
        """Call ``uri``, offering ``sdp``; without it the other side is asked for an offer: see `Call.acknowledge`.

        ``headers`` are further ones of the INVITE. ParseError for a URI that cannot be called, ValueError for a header
        that cannot be sent, RuntimeError before `start` and after `stop`.
        """
        checked = checked_headers(headers)
        self._check_running()
        target, routes = self._way_to(uri)
        call = Call(self, "outgoing", sdp)
        call.is_replacing = any(name == "replaces" for name, _ in checked)
        dialog = self._dialogs.invite(
            CallUser(self, call),
            uri=uri,
            target=target,
            routes=routes,
            from_=self._from,
            to=f"<{uri}>",
            contact_user=self._user,
            sdp=sdp,
            headers=checked,
            credentials=self._credentials,
        )
        self._adopt(call, dialog, State.IDLE)
        return call

    def make_call_with_replaces(
        self, uri: str, sdp: bytes, call_id: str, to_tag: str, from_tag: str, headers: Headers = ()
    ) -> Call:
        """Call ``uri`` to take the place of a dialog that it has: ``to_tag`` is its own tag there (RFC 3891 4)."""
        replaces = Replaces(call_id, to_tag, from_tag)
        return self.make_call(uri, sdp, (("replaces", str(replaces)), ("require", "replaces"), *headers))

    def _check_running(self) -> None:
        if not self._is_running:
            raise RuntimeError("start this user agent first; one that was stopped cannot be used again")

    def _way_to(self, uri: str) -> tuple[Target, tuple[str, ...]]:
        """Where a request for ``uri`` goes, and its Route values; ParseError when that cannot be told."""
        parse_uri(uri)
        proxy = self._network.outbound_proxy
        if proxy:
            return target_of(parse_uri(proxy)), (f"<{proxy}>" if ";lr" in proxy else f"<{proxy};lr>",)
        return target_of(parse_uri(uri)), ()

    def _contact_at(self, flow: Flow) -> str:
        user = f"{escape_user(self._user)}@" if self._user else ""
        return f"<sip:{user}{flow.record_route[5:].replace(';lr', '')}"

    def _adopt(self, call: Call, dialog: Dialog, before: State) -> None:
        call.dialog = dialog
        dialog.watch = call.moved
        self._calls[dialog.local_tag] = call
        self._count("total_invites")
        call.moved(dialog, before, dialog.state)

    # -- what comes in -------------------------------------------------------------------------------------------------

    def receive_request(self, transaction: ServerTransaction) -> None:
        """A request for us, from the transaction layer."""
        request = transaction.request
        refusal = self._validation.refuse(request)
        if refusal is not None:
            refusal.send(transaction)
        elif request.to_tag:
            self._dialogs.receive(transaction)
        elif self._layer.is_merged(transaction):
            transaction.reply(482)
        elif request.method == "OPTIONS" and "require" in request.names and (refusal := self._dialogs.refuse(request)):
            refusal.send(transaction)  # 8.2.2.3
        elif request.method == "OPTIONS":
            transaction.reply(200, headers=(*self._dialogs.abilities, ("accept", "application/sdp")))
        elif request.method in _NEEDS_DIALOG:
            transaction.reply(481, explanation=f"A {request.method} is served within a call only")
        else:
            self._receive_invite(transaction)

    def receive_ack(self, ack: Request, flow: Flow) -> None:
        """The ACK of a 2xx, from the transaction layer."""
        self._dialogs.receive_ack(ack, flow)

    def _receive_invite(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        refusal = _STOPPING if self._is_stopping else self._dialogs.refuse(request)
        wanted = None if refusal is not None else read_take_over(request)
        if isinstance(wanted, Refusal):
            refusal = wanted
        elif wanted is not None:
            refusal = self._judge(wanted, transaction)
        if refusal is not None:
            refusal.send(transaction)
            return
        call = Call(self, "incoming", request=request)
        dialog = self._dialogs.take(transaction, CallUser(self, call), self._user)
        if isinstance(wanted, TakeOver):
            self._relate(call, wanted)
        self._adopt(call, dialog, State.IDLE)
        self.later(self._announce, call)

    def _judge(self, wanted: TakeOver, transaction: ServerTransaction) -> Refusal | None:
        dialog = self._dialogs.replaced_by(wanted.dialog)
        refusal = judge(wanted, dialog, self._departed.has(wanted.dialog))
        if refusal is not None or dialog is None:
            return refusal
        if not self._may_replace(transaction.request, transaction.flow, dialog):
            return _NOT_ALLOWED
        return _NO_MIXER if wanted.is_join and not self._can_join else None

    def _relate(self, call: Call, wanted: TakeOver) -> None:
        other = self._calls.get(wanted.dialog.to_tag)
        if wanted.is_join:
            call.joins = other
        elif other is not None:
            call.replaces = other
            call.is_replacing = True
            other.dialog.begin_replacing()

    def _announce(self, call: Call) -> None:
        if call.dialog.state not in OFFERED:
            return
        heard, replaced = self.on_incoming_call, call.replaces
        try:
            if heard is not None:
                heard(call)
            elif replaced is None:
                call.reject(480, explanation="Nobody answers calls here")
        except Exception:
            self.log.failure("on_incoming_call failed")
            call.reject(500)
        if replaced is not None and call.dialog.state in OFFERED:
            # RFC 3891 3: nobody is asked again, the call goes on with somebody else
            call.accept(answer_to(call.remote_sdp, replaced.sdp) if call.remote_sdp else replaced.sdp)

    # -- REFER ---------------------------------------------------------------------------------------------------------

    def referred(self, call: Call, refer: Refer) -> None:
        """The other side of ``call`` asks us to call somebody."""
        self._count("total_refers")
        if self.on_refer is not None:
            self.later(self._ask, call, refer)
        else:
            self.follow(call, refer)

    def _ask(self, call: Call, refer: Refer) -> None:
        try:
            if self.on_refer is not None:
                self.on_refer(call, refer)
        except Exception:
            self.log.failure("on_refer failed")
            refer.refuse(500)

    def follow(self, call: Call, refer: Refer) -> Call | None:
        """Do what a REFER asks for: call its target with the description of ``call``, and report what comes of it.

        None when it names nobody that we can call; it has been refused then.
        """
        headers = [*refer.headers.items()]
        if refer.referred_by:
            headers.append(("referred-by", refer.referred_by))
        for name, dialog in (("replaces", refer.replaces), ("join", refer.reference.joins)):
            if dialog is not None:
                headers += [(name, str(dialog)), ("require", name)]
        try:
            made = self.make_call(refer.target.uri_text, call.sdp, headers)
        except (ParseError, ValueError) as error:
            refer.refuse(400, f"Refer-To cannot be followed: {error}")
            return None
        refer.accept()
        made.follows = refer
        return made

    # -- what its calls tell -------------------------------------------------------------------------------------------

    def refers(self) -> None:
        """A REFER was sent."""
        self._count("total_refers")

    def changed(self, call: Call, before: State, after: State) -> None:
        """The state of a call."""
        if self.on_call_state is not None:
            self.later(self._tell_state, call, before, after)
        if after in OVER:
            self._calls.pop(call.local_tag, None)
            self._departed.note(call.dialog)
        if after is State.ESTABLISHED and before not in TALKING:
            self._count("successful_calls")
            self.later(self._replaced, call, True)
        elif after in OVER and call.dialog.answered_at is None:
            self._count("failed_calls")
            self.later(self._replaced, call, False)

    def _tell_state(self, call: Call, before: State, after: State) -> None:
        if self.on_call_state is not None:
            self.on_call_state(call, before, after)

    def _replaced(self, call: Call, succeeded: bool) -> None:
        """A call that may have been about to take the place of another was answered, or came to nothing."""
        if call.replaces is not None:
            call.replaces.dialog.finish_replacing(succeeded, _REPLACED)
        if succeeded and call.is_replacing:
            self._count("replace_operations")

    def ended(self, call: Call) -> None:
        """A call that was answered is over."""
        self._count("total_byes")

    def _count(self, name: str) -> None:
        self._counts = attrs.evolve(self._counts, **{name: getattr(self._counts, name) + 1})

    # -- telling the application ---------------------------------------------------------------------------------------

    def later(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call it in a turn of its own, in the order of asking; when it raises, that is logged."""
        self._queue.append((callback, arguments))
        if self._turn is None:
            self._turn = self._reactor.callLater(0, self._run)

    def _run(self) -> None:
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._turn = None
        for _ in range(len(self._queue)):
            callback, arguments = self._queue.popleft()
            try:
                callback(*arguments)
            except Exception:
                self.log.failure("a callback failed")
        if self._queue and self._turn is None:
            self._turn = self._reactor.callLater(0, self._run)

    def _seen(self, is_sent: bool, message: Message) -> None:
        try:
            if self.on_message is not None:
                self.on_message(is_sent, message)
        except Exception:
            self.log.failure("on_message failed")


_STOPPING = Refusal(480, "this user agent is being stopped: try again later")
_NOT_ALLOWED = Refusal(403, "only the other side of that call, or whom it refers here, may take it over (RFC 3891 3)")
_NO_MIXER = Refusal(488, "calls cannot be joined here (RFC 3911 4)")
_REPLACED = Reason("SIP", 200, "Replaced")
