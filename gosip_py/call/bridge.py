"""Two legs that talk to each other: what one says passes to the other, and when one is over so is the other.

Session descriptions pass as they are but for their origin: media flow from phone to phone. What both sides must agree
on is negotiated by the dialogs; here one side's offer becomes the offer to the other side, and its answer the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gosip_py.call.call import Call
from gosip_py.call.headers import body_headers, passed_answer, passed_request
from gosip_py.call.leg import GONE, Leg, Quiet
from gosip_py.dialog.exchange import Exchange
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.user import Ending, Outcome
from gosip_py.events import EndedBy
from gosip_py.media.sdp import held, inactive_answer, with_direction
from gosip_py.sip.message import Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from gosip_py.call.switch import Switch

__all__ = ["Bridge", "connect", "join", "owe", "relay_early", "relay_request"]

_RELAYED = frozenset(("INFO", "MESSAGE"))
# They would end the dialog of whoever hears them (RFC 5057 5.1), where they speak of another; challenges are for us.
_OUR_MATTER = frozenset((401, 404, 407, 408, 410, 416, 480, 481, 482, 483, 484, 485, 502, 604))


class Bridge(Quiet):
    """The role of two legs from the moment when the second of them answered.

    ``owing`` is the one that waits for the answer to an offer of its own: it comes in the ACK of its peer.
    """

    __slots__ = ("call", "owing", "switch")

    def __init__(self, switch: Switch, call: Call, one: Leg, other: Leg, owing: Leg | None = None) -> None:
        self.switch = switch
        self.call = call
        self.owing = owing
        one.role = other.role = self
        one.peer, other.peer = other, one
        call.bridge = self

    # -- sessions -----------------------------------------------------------------------------------------------------

    def acknowledged(self, leg: Leg, sdp: bytes) -> None:
        owing = self.owing
        if owing is not None and owing is not leg:
            self.owing = None
            owe(owing, sdp)

    def offered(self, leg: Leg, exchange: Exchange) -> None:
        """An offer, or a request for one, passes to the other side (RFC 3261 14, RFC 3311)."""
        other = leg.peer
        if other is None:
            exchange.refuse(480)
        elif other.dialog.is_negotiating or not other.dialog.is_established:
            # Both sides offer at the same time: each hears 491 and tries again in its own time (14.1).
            exchange.refuse(491)
        else:
            _Relay(exchange, leg, other).start()

    # -- the rest -----------------------------------------------------------------------------------------------------

    def referred(self, leg: Leg, refer: Refer) -> None:
        transfers = self.switch.transfers
        if transfers is None:
            refer.refuse(501, "Calls are not transferred here.")
        else:
            transfers.referred(self, leg, refer)

    def requested(self, leg: Leg, transaction: ServerTransaction) -> None:
        if leg.peer is None:
            Quiet.requested(self, leg, transaction)
        else:
            relay_request(transaction, leg, leg.peer)

    def ended(self, leg: Leg, ending: Ending) -> None:
        """One hung up, or is gone: the other is told the same reason (RFC 3326)."""
        call, other = self.call, leg.peer
        by: EndedBy = "system"
        if ending.by == "peer":
            by = "callee" if leg is call.callee else "caller"
        call.end("answered", 200, "OK", by)
        leg.drop()
        if other is not None:
            if self.owing is other:
                owe(other, b"")  # RFC 3261 13.2.2.4: a 2xx is acknowledged whatever comes after
            other.hang_up(ending.reason)


def owe(leg: Leg, sdp: bytes) -> None:
    """Answer an offer that ``leg`` made in its 2xx (RFC 3261 13.2.1): without an answer to pass on, nobody is heard."""
    dialog = leg.dialog
    if not dialog.is_over:
        dialog.acknowledge(leg.describe(sdp or inactive_answer(dialog.remote_sdp)))


class _Relay:
    """One offer that passes through: hears what the other side says to it, and tells whoever offered."""

    __slots__ = ("_exchange", "_leg", "_other")

    def __init__(self, exchange: Exchange, leg: Leg, other: Leg) -> None:
        self._exchange = exchange
        self._leg = leg
        self._other = other

    def start(self) -> None:
        """Send it on."""
        exchange, other = self._exchange, self._other
        headers = passed_request(exchange.request, self._leg.party.is_own)
        exchange.when_withdrawn = self._withdrawn
        other.dialog.offer(other.describe(exchange.sdp), self, headers=headers, retries=False)

    def __call__(self, outcome: Outcome) -> None:
        exchange, leg, status = self._exchange, self._leg, outcome.status
        if not 200 <= status < 300:
            headers = () if outcome.response is None else passed_answer(outcome.response)
            exchange.refuse(500 if status in _OUR_MATTER else status, headers=headers)
        elif exchange.sdp and exchange.is_over:
            self._take_back()
        elif exchange.sdp:
            leg.is_held = held(exchange.sdp)
            self._show()
            exchange.accept(leg.describe(outcome.sdp))
        elif exchange.is_over or not outcome.sdp or (bridge := self._bridge) is None:
            owe(self._other, b"")
            exchange.refuse(500)
        else:
            bridge.owing = self._other
            exchange.accept(leg.describe(outcome.sdp))

    @property
    def _bridge(self) -> Bridge | None:
        """That of the two by now: a transfer may have put another in place of the one that the offer came to."""
        leg = self._leg
        return leg.call.bridge if leg.peer is self._other else None

    def _withdrawn(self) -> None:
        """Whoever offered took it back (RFC 3261 9.1)."""
        self._other.dialog.withdraw(self)

    def _take_back(self) -> None:
        """The answer was faster: the other side is offered what is still true."""
        leg, other = self._leg, self._other
        if leg.peer is other and leg.dialog.remote_sdp:
            other.dialog.offer(other.describe(leg.dialog.remote_sdp), _unheard)

    def _show(self) -> None:
        call = self._leg.call
        if call.state in ("answered", "held"):
            call.state = "held" if any(leg.is_held for leg in call.legs) else "answered"


def relay_early(exchange: Exchange, leg: Leg, other: Leg | None) -> None:
    """An UPDATE before the answer passes to who is heard meanwhile, if that side could take one (RFC 3311 5.1)."""
    if other is None or other.role is GONE or not exchange.sdp or not _may_update(other):
        headers = (("retry-after", "3"),)
        exchange.refuse(500, explanation="The call is not answered yet: try again later.", headers=headers)
    else:
        _Relay(exchange, leg, other).start()


def _may_update(leg: Leg) -> bool:
    dialog = leg.dialog
    return dialog.is_early and not dialog.is_negotiating and dialog.remote_allows("UPDATE")


# -- connecting those who did not talk to each other ------------------------------------------------------------------


class _Join:
    """RFC 3725, flow I: one is asked for an offer, the other hears it, and the answer goes back in the ACK.

    Who makes no offer is offered what the other said last.
    """

    __slots__ = ("_offer", "_one", "_other", "_then")

    def __init__(self, one: Leg, other: Leg, then: Callable[[bool], None]) -> None:
        self._one = one
        self._other = other
        self._then = then
        self._offer = b""

    def start(self) -> None:
        self._one.dialog.offer(b"", self._asked)

    def _asked(self, outcome: Outcome) -> None:
        if self._is_broken:
            if outcome.sdp:
                owe(self._one, b"")
            self._then(False)
        elif 200 <= outcome.status < 300 and outcome.sdp:
            self._offer = outcome.sdp
            self._other.dialog.offer(self._other.describe(outcome.sdp), self._answered)
        else:
            offer = with_direction(self._other.dialog.remote_sdp, "sendrecv")
            self._one.dialog.offer(self._one.describe(offer), self._taken)

    def _answered(self, outcome: Outcome) -> None:
        is_taken = 200 <= outcome.status < 300 and bool(outcome.sdp)
        owe(self._one, outcome.sdp if is_taken else b"")
        self._then(is_taken and not self._is_broken)

    def _taken(self, outcome: Outcome) -> None:
        if self._is_broken or not 200 <= outcome.status < 300 or not outcome.sdp:
            self._then(False)
        else:
            self._other.dialog.offer(self._other.describe(outcome.sdp), self._settled)

    def _settled(self, outcome: Outcome) -> None:
        self._then(200 <= outcome.status < 300 and not self._is_broken)

    @property
    def _is_broken(self) -> bool:
        return self._one.role is GONE or self._other.role is GONE


def _unheard(_outcome: Outcome) -> None:
    """It stays as it is."""


def join(one: Leg, other: Leg, then: Callable[[bool], None]) -> None:
    """Let the phones of two established legs hear each other; ``then`` hears whether they do, once.

    Their roles stay as they are: make a `Bridge` of them before, or when it has worked.
    """
    _Join(one, other, then).start()


class _Connect:
    __slots__ = ("_call", "_calling", "_established", "_switch", "_then")

    def __init__(
        self, switch: Switch, call: Call, established: Leg, calling: Leg, then: Callable[[bool], None]
    ) -> None:
        self._switch = switch
        self._call = call
        self._established = established
        self._calling = calling
        self._then = then

    def __call__(self, outcome: Outcome) -> None:
        established, calling = self._established, self._calling
        is_delayed = not calling.dialog.remote_sdp
        is_there = calling.role is not GONE and established.role is not GONE
        if is_there and 200 <= outcome.status < 300 and outcome.sdp:
            Bridge(self._switch, self._call, calling, established, established if is_delayed else None)
            calling.dialog.accept(calling.describe(outcome.sdp))
            self._then(True)
        else:
            if is_delayed and outcome.sdp:
                owe(established, b"")
            self._then(False)


def connect(switch: Switch, call: Call, established: Leg, calling: Leg, then: Callable[[bool], None]) -> None:
    """Answer a caller with the phone of a leg that talks already: it is offered what the caller offers.

    Makes the bridge when both agree; ``then`` hears whether they do, once. Else the caller is still to be refused.
    """
    relay = _Connect(switch, call, established, calling, then)
    established.dialog.offer(established.describe(calling.dialog.remote_sdp), relay)


# -- requests that pass -----------------------------------------------------------------------------------------------


class _Relayed:
    """Hears the answer to a request that passed through."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: ServerTransaction) -> None:
        self._transaction = transaction

    def __call__(self, response: Response | None) -> None:
        transaction = self._transaction
        if response is None:
            transaction.reply(500, explanation="The other side did not answer this: try again.")
        elif response.status >= 300 or not response.body:
            status = 500 if response.status in _OUR_MATTER else response.status
            transaction.reply(status, headers=passed_answer(response))
        else:
            answer = reply(transaction.request, response.status, to_tag=transaction.to_tag)
            for name, value in passed_answer(response):
                answer.add(name, value)
            answer.set_body(response.body, response.value("content-type") or "application/octet-stream")
            transaction.respond(answer)


def relay_request(transaction: ServerTransaction, leg: Leg, other: Leg) -> None:
    """INFO and MESSAGE within the call pass with their bodies; nothing else does."""
    request = transaction.request
    if request.method not in _RELAYED:
        allow = (("allow", "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, OPTIONS, PRACK, REFER, UPDATE"),)
        transaction.reply(405, explanation=f"{request.method} does not pass within a call.", headers=allow)
        return
    other.dialog.request(
        request.method,
        body=request.body,
        content_type=request.value("content-type") or "",
        headers=body_headers(request, leg.party.is_own),
        then=_Relayed(transaction),
    )
