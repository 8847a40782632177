"""What must hold when everybody has had their time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gosip_py.events import CallEnded, Result
from tests.chaos.asking import Exchange
from tests.chaos.calling import Calling
from tests.chaos.phone import Phone
from tests.chaos.talk import Talk
from tests.chaos.world import World

__all__ = ["check", "is_shaken"]

# Refused before there is a call: who asks, the session timer, the syntax.
_BEFORE_A_CALL = frozenset((400, 401, 407, 420, 421, 422))
_LATE = 20.0
_REJECTED = frozenset((403, 406, 486, 488, 600, 603, 606))


def check(world: World) -> list[str]:
    """Every broken invariant, those included that were broken on the way."""
    checks = (_leftovers, _exchanges, _journal, _answers, _confirmations, _talks, _letters, _watchings)
    return [*world.breaches, *(breach for each in checks for breach in each(world))]


# -- nothing is left --------------------------------------------------------------------------------------------------


def _leftovers(world: World) -> Iterator[str]:
    board = world.board
    board.location.expire(board.now())
    calls = world.clock.getDelayedCalls()
    if calls:
        yield f"{len(calls)} delayed calls are left"
    if any(board.gauges()):
        yield f"active dialogs, dialogs, calls, transactions: {board.gauges()}"
    for phone in world.phones:
        if phone.layer.in_flight or len(phone.layer.wheel):
            yield f"{phone.name} has {phone.layer.in_flight} transactions and {len(phone.layer.wheel)} timers left"
    if len(board.layer.wheel):
        yield f"{len(board.layer.wheel)} timers of the server are left"
    metrics = board.metrics
    for name in ("registrations", "publications", "messages_waiting", "subscriptions"):
        for family in getattr(metrics, name).exposed():
            if any(sample.value for sample in family.samples):
                yield f"{name} are left: {[sample.value for sample in family.samples]}"
    if board.transport.counts.internal_errors:
        yield f"{board.transport.counts.internal_errors} messages broke the server"


# -- each transaction -------------------------------------------------------------------------------------------------


def _exchanges(world: World) -> Iterator[str]:
    """One final response, or one failure; several 2xx to an INVITE."""
    for exchange in world.exchanges:
        finals = exchange.finals
        if not exchange.phone.is_alive:
            continue
        if exchange.failure is not None and finals:
            yield f"{exchange} failed after {finals}"
        elif exchange.failure is None and not finals:
            yield f"{exchange} heard nothing"
        elif len(finals) > 1 and (exchange.method != "INVITE" or max(finals) >= 300):
            yield f"{exchange} got several final responses: {finals}"
        elif exchange.failure is not None and _must_be_answered(world, exchange):
            yield f"{exchange} was not answered: {exchange.failure.value}"


def _must_be_answered(world: World, exchange: Exchange) -> bool:
    """The server answers everything but what it hands on to a phone that keeps silent; a lost connection excuses.

    A CANCEL is waited for no longer than whoever is dead lets the server wait (9.1).
    """
    if exchange.via != "UDP" or exchange.phone.breaks or world.is_moot(exchange):
        return False
    if exchange.method == "INVITE":
        return exchange.cancelled_at is None or all(phone.is_alive and not phone.breaks for phone in world.phones)
    return exchange.server_answers


# -- the journal ------------------------------------------------------------------------------------------------------


def _journal(world: World) -> Iterator[str]:
    books = world.board.books
    ended = {event.id: event for event in books.ended}
    if len(ended) != len(books.ended) or ended.keys() != books.started.keys():
        yield f"{len(books.started)} calls started and {len(books.ended)} ended"
        return
    answered = {event.id for event in books.answered}
    received = [event for event in books.started.values() if event.init_branch]
    by_branch = {event.init_branch: ended[event.id] for event in received}
    if len(by_branch) != len(received):
        yield "one INVITE started several calls"
    for event in ended.values():
        if (event.result == "answered") is not (event.id in answered):
            yield f"a call ended as {event.result}, and was {'' if event.id in answered else 'not '}answered"
    for branch, hops in world.passes.items():
        if (by_branch.pop(branch, None) is not None) is not (hops > 0):
            yield f"an INVITE that was passed on with {hops} hops left is {'not ' if hops else ''}in the journal"
    for exchange in world.exchanges:
        if exchange.method == "INVITE" and not exchange.is_in_dialog:
            yield from _call(world, exchange, by_branch.pop(exchange.branch, None))
    if by_branch:
        yield f"{len(by_branch)} calls in the journal were never made"


def _answers(world: World) -> Iterator[str]:
    """An answer is told once, while the call goes on."""
    for call, times in Counter(event.id for event in world.board.books.answered).items():
        if times > 1 or call not in world.board.books.started:
            yield f"a call was answered {times} times"


def _call(world: World, exchange: Exchange, event: CallEnded | None) -> Iterator[str]:
    """What its caller saw and what the journal says."""
    finals = exchange.finals
    if not finals or not exchange.phone.is_alive or world.may_differ(exchange, event):
        return
    if finals[0] in _BEFORE_A_CALL:
        if event is not None:
            yield f"{exchange} was refused with {finals[0]}, and is in the journal as {event.result}"
    elif event is None:
        yield f"{exchange} was answered with {finals[0]}, and is not in the journal"
    elif event.final_code != finals[0] or event.result not in _results(exchange):
        yield f"{exchange} was answered with {finals[0]}; the journal says {event.result} {event.final_code}"


def _results(exchange: Exchange) -> set[Result]:
    status = exchange.finals[0]
    if status < 300:
        return {"answered"}
    found: set[Result] = {"cancelled"} if exchange.cancelled_at is not None else set()
    if status == 487:
        return found
    if status < 400:
        return {*found, "redirected"}
    if status in (408, 480):
        return {*found, "no_answer"}
    return {*found, "rejected" if status in _REJECTED else "failed"}


# -- dialogs ----------------------------------------------------------------------------------------------------------


def is_shaken(*phones: Phone) -> bool:
    """Whether one of them died, or lost the only connection that reaches it: then not everything can be promised."""
    return any(not phone.is_alive or (phone.breaks and phone.needs_its_flow) for phone in phones)


def _caller_of(world: World, call_id: str) -> Calling | None:
    return next((call for call in world.calls if call.call_id == call_id), None)


def _is_out_of_sight(world: World, call: Calling) -> bool:
    """Whether it was refused, and went by way of a phone that sends calls on and does not record its route.

    When somebody answers too late behind that one, the server hangs up where it sent the INVITE to, and not beyond.
    """
    finals = call.question.exchange.finals
    return call.call_id in world.sent_on and bool(finals) and finals[0] >= 300


def _confirmations(world: World) -> Iterator[str]:
    """Every 2xx to an INVITE is acknowledged by somebody, if both ends live.

    For the ACK of a dialog that is over the server makes no connection any more: it may come late to a phone on TCP.
    """
    for confirmation in world.confirmations:
        talk = confirmation.talk
        is_moot = confirmation.was_over and talk.phone.via == "TCP"
        if confirmation.is_acknowledged or is_moot or not talk.phone.is_alive:
            continue
        call = _caller_of(world, talk.call_id)
        # An offer that waits for somebody else's answer: its ACK may go out with the BYE, once, and be lost.
        is_late = confirmation.was_over and talk.ended_at - confirmation.since > _LATE
        if talk.is_bridged and not talk.phone.breaks and not is_late:
            yield f"a 2xx of {talk} was never acknowledged by the switch"
        others = [other.phone for other in world.talks[talk.key]]
        if call is None or call.question.exchange.failure is not None or _is_out_of_sight(world, call):
            continue
        # A phone behind a NAT that called itself: what comes from its flow does not go back on it (RFC 5626 5.3).
        is_lonely = talk.phone is call.phone and talk.phone.needs_its_flow
        # Nobody may wait any more for the answer of a phone whose connection broke (8.1.3.1).
        if not (is_lonely or talk.phone.breaks or is_shaken(talk.phone, call.phone, *others)):
            yield f"a 2xx of {talk} was never acknowledged"


def _talks(world: World) -> Iterator[str]:
    """Both ends know of a dialog, and it is over for both, by one BYE unless two crossed."""
    for key, ends in world.talks.items():
        for talk in ends:
            if talk.phone.is_alive and not talk.is_over:
                yield f"{talk} is not over"
            if talk.was_forgotten and world.ends_long_calls and not is_shaken(talk.phone):
                yield f"{talk} was never hung up on"
            if talk.is_bridged and talk.byes_heard > 1:
                yield f"{talk} heard {talk.byes_heard} BYEs"
        if any(talk.is_bridged for talk in ends):
            continue  # the other side is the switch
        call = _caller_of(world, key[0])
        if call is None or is_shaken(call.phone, *(talk.phone for talk in ends)):
            continue
        if len(ends) == 2 or not _is_out_of_sight(world, call):
            yield from _both_ends(call, ends)


def _both_ends(call: Calling, ends: list[Talk]) -> Iterator[str]:
    for talk in ends:
        if talk.byes_heard > 1:
            yield f"{talk} heard {talk.byes_heard} BYEs"
    if len(ends) == 1:
        [talk] = ends
        # The server itself hung up on somebody whose answer came too late, unless it never heard the answer.
        is_unheard = talk.phone.breaks or call.question.exchange.failure is not None
        if talk.is_caller:
            yield f"{talk} has no other side"
        elif not talk.byes_heard and not (is_unheard and talk.byes_sent):
            yield f"{talk} is known to nobody else, and nobody hung up"
        return
    sent = [talk for talk in ends if talk.byes_sent]
    heard = [talk for talk in ends if talk.byes_heard]
    if len(sent) == 1 and len(heard) == 1 and sent == heard:
        yield f"{sent[0]} hung up and was hung up on, but the other side did nothing"
    if not sent and len(heard) != 2:
        yield f"nobody hung up {ends[0]}, and {len(heard)} sides were told so"
    if len(sent) == 1 and not any(talk.byes_heard for talk in ends if talk not in sent):
        yield f"{sent[0]} hung up, and the other side was not told"


# -- messages and subscriptions ---------------------------------------------------------------------------------------


def _letters(world: World) -> Iterator[str]:
    """What was accepted has reached a phone, if one of the recipient's came home."""
    for letter in world.letters:
        if 200 <= letter.status < 300 and letter.text not in world.read_by and _has_home(world, letter.name):
            yield f"{letter.text} to {letter.name} was accepted with {letter.status} and reached nobody"


def _has_home(world: World, name: str) -> bool:
    if not world.takes_messages(name):
        return False
    return any(phone.is_alive and name in (phone.login, phone.aor) and not phone.breaks for phone in world.phones)


def _watchings(world: World) -> Iterator[str]:
    """Who subscribed is told of the state, and in the end that it is over."""
    for watching in world.watchings:
        if watching.was_granted and not is_shaken(watching.phone):
            if not watching.notified:
                yield f"{watching.call_id} was granted, and nobody notified"
            elif not watching.is_ended:
                yield f"{watching.call_id} was never told that it is over"
