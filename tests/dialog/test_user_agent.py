"""User agents that call each other over real sockets of the loopback address."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from gosip_py.certs.store import CertificateStore
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.table import State
from gosip_py.dialog.user_agent import Call, CallFailed, Network, RegistrationFailed, Statistics, UserAgent
from gosip_py.media.sdp import direction, held
from gosip_py.sip.compose import compose
from gosip_py.sip.errors import ParseError
from gosip_py.sip.ids import new_call_id
from gosip_py.sip.message import Message, Request
from gosip_py.transaction.sending import Errand
from gosip_py.transaction.timers import Timing
from gosip_py.transport.flow import Target
from gosip_py.transport.tls import TlsTrust
from tests.conformance import conforms
from tests.running import LOOPBACK, clock, free_ports, make_identity, until

FAST = Timing(0.05, 0.4, 0.5)
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
OTHER = SDP.replace(b"4000", b"4002").replace(b"- 1 1", b"- 2 1")


class Broken(Exception):
    """What an application may do."""


def broken(*_: object) -> Any:
    raise Broken


def accept(call: Call) -> None:
    call.accept(OTHER)


def keeping(calls: list[Call]) -> Callable[[Call], None]:
    """Rings, accepts and keeps each call."""

    def keep(call: Call) -> None:
        calls.append(call)
        call.ring()
        call.accept(OTHER)

    return keep


class AgentCase(TestCase):
    """Nothing may be left of any agent when the test is over."""

    timeout = 60

    def setUp(self) -> None:
        self.seen: list[tuple[str, bool, Message]] = []
        self.states: dict[str, list[State]] = {}

    def agent(self, name: str, *, transport: str = "udp", **settings: Any) -> UserAgent:
        settings.setdefault("network", Network(listen=(f"{transport}://{LOOPBACK}:0",)))
        agent = UserAgent(clock(), f"sip:{name}@example.com", timing=FAST, **settings)
        agent.start()
        agent.on_message = lambda is_sent, message: self.seen.append((name, is_sent, message))
        states = self.states[name] = []
        agent.on_call_state = lambda call, before, after: states.append(after)
        self.addCleanup(self.finish, agent)
        return agent

    async def finish(self, agent: UserAgent) -> None:
        await agent.stop()
        self.assertEqual((agent.calls, agent.statistics.active_dialogs), ((), 0))

    def uri(self, agent: UserAgent, user: str = "bob") -> str:
        (listener,) = agent.transport.ports()
        parameter = f";transport={listener.transport.lower()}" if listener.transport != "UDP" else ""
        return f"sip:{user}@{LOOPBACK}:{listener.port}{parameter}"

    def requests(self, name: str, method: str) -> list[Request]:
        """Those that this one sent, without what was repeated."""
        found = [m for who, is_sent, m in self.seen if who == name and is_sent and isinstance(m, Request)]
        return list({m.top_via.branch: m for m in found if m.method == method}.values())

    async def pair(self, **settings: Any) -> tuple[UserAgent, UserAgent, Call]:
        """Alice, bob who accepts every call, and one between them."""
        alice, bob = self.agent("alice"), self.agent("bob", **settings)
        bob.on_incoming_call = accept
        call = alice.make_call(self.uri(bob), SDP)
        return alice, bob, await call.until_answered()

    async def failure(self, call: Call) -> CallFailed:
        """Why nobody answered it."""
        try:
            await call.until_answered()
        except CallFailed as failure:
            return failure
        raise AssertionError("it was answered")

    async def pause(self, seconds: float = 0.05) -> None:
        await deferLater(cast("Any", clock()), seconds)


class CallTests(AgentCase):
    @conforms("RFC 3261 13.2.2.4", "RFC 3261 15.1.1")
    async def test_a_call_and_its_states(self) -> None:
        alice, bob = self.agent("alice", display_name="Alice A."), self.agent("bob")
        calls: list[Call] = []

        def ring(call: Call) -> None:
            calls.append(call)
            call.ring()

        bob.on_incoming_call = ring
        call = alice.make_call(self.uri(bob), SDP)
        self.assertEqual((call.direction, call.state, call.sdp), ("outgoing", State.CALLING, SDP))
        await until(self.states_of("alice"), lambda states: State.RINGING in states)
        (incoming,) = calls
        self.assertEqual((incoming.direction, incoming.state), ("incoming", State.ALERTING))
        self.assertEqual((incoming.remote, incoming.remote_sdp), ("sip:alice@example.com", SDP))
        assert incoming.request is not None
        self.assertEqual(incoming.request.from_.display_name, "Alice A.")
        incoming.accept(OTHER)
        await call.until_answered()
        self.assertEqual(call.remote_sdp, OTHER)
        await until(self.states_of("bob"), lambda states: State.ESTABLISHED in states)
        self.assertEqual((alice.statistics.active_dialogs, bob.statistics.active_dialogs), (1, 1))
        self.assertEqual(await call.hang_up(), 200)
        await incoming.until_over()
        self.assertEqual(
            self.states["alice"],
            [State.CALLING, State.RINGING, State.ESTABLISHED, State.TERMINATING, State.TERMINATED],
        )
        self.assertEqual(self.states["bob"], [State.INCOMING, State.ALERTING, State.ESTABLISHED, State.TERMINATED])
        counts = Statistics(total_invites=1, total_byes=1, successful_calls=1)
        self.assertEqual((alice.statistics, bob.statistics), (counts, counts))

    def states_of(self, name: str) -> Callable[[], Any]:
        async def states() -> list[State]:
            return self.states[name]

        return states

    async def test_a_call_is_refused(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        bob.on_incoming_call = lambda call: call.reject(486, explanation="Try again later")
        call = alice.make_call(self.uri(bob), SDP)
        failure = await self.failure(call)
        self.assertEqual((failure.status, failure.is_ours), (486, False))
        await call.until_over()
        again = await self.failure(call)
        self.assertEqual(again.status, 486)
        self.assertEqual(alice.statistics, Statistics(total_invites=1, failed_calls=1))
        self.assertEqual(bob.statistics, Statistics(total_invites=1, failed_calls=1))

    async def test_nobody_listens_to_calls(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        failure = await self.failure(alice.make_call(self.uri(bob), SDP))
        self.assertEqual(failure.status, 480)

    async def test_nobody_is_there(self) -> None:
        alice = self.agent("alice")
        uri = f"sip:bob@{LOOPBACK}:{free_ports(1)[0]};transport=tcp"
        failure = await self.failure(alice.make_call(uri, SDP))
        self.assertEqual((failure.status, failure.is_ours), (503, True))

    @conforms("RFC 3261 9.1", "RFC 3261 9.2")
    async def test_the_caller_gives_up(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        bob.on_incoming_call = lambda call: call.ring()
        call = alice.make_call(self.uri(bob), SDP)
        answered = Deferred.fromCoroutine(self.failure(call))
        await until(self.states_of("alice"), lambda states: State.RINGING in states)
        self.assertEqual(await call.hang_up(), 487)
        self.assertEqual((await answered).status, 487)
        await until(self.states_of("bob"), lambda states: State.TERMINATED in states)
        self.assertEqual(bob.statistics.failed_calls, 1)

    async def test_over_tcp(self) -> None:
        alice, bob = self.agent("alice", transport="tcp"), self.agent("bob", transport="tcp")
        bob.on_incoming_call = accept
        call = await alice.make_call(self.uri(bob), SDP).until_answered()
        self.assertEqual(await call.hang_up(), 200)
        self.assertTrue(all("/TCP " in m.require("via") for _, _, m in self.seen))

    async def test_over_tls(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        identity = make_identity(directory)
        network = Network(
            listen=(f"tls://{LOOPBACK}:0",),
            certificates=CertificateStore(identity.certificate, identity.key),
            trust=TlsTrust(verify_peer=False),
        )
        alice, bob = self.agent("alice", network=network), self.agent("bob", network=network)
        bob.on_incoming_call = accept
        call = await alice.make_call(self.uri(bob), SDP).until_answered()
        (other,) = bob.calls
        self.assertEqual(await other.hang_up(), 200)
        self.assertTrue(all("/TLS " in m.require("via") for _, _, m in self.seen))
        await call.until_over()

    async def test_who_bears_no_offer_is_asked_for_one(self) -> None:
        """RFC 3261 13.2.1: the 2xx has the offer, and the ACK the answer."""
        alice, bob = self.agent("alice"), self.agent("bob")
        calls: list[Call] = []
        bob.on_incoming_call = keeping(calls)
        call = await alice.make_call(self.uri(bob)).until_answered()
        await self.pause()
        self.assertEqual(call.remote_sdp, OTHER)
        self.assertEqual(direction(calls[0].remote_sdp), "inactive")
        self.assertEqual(len(self.requests("alice", "ACK")), 1)

    async def test_or_answers_it_by_itself(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        calls: list[Call] = []
        bob.on_incoming_call = keeping(calls)
        call = alice.make_call(self.uri(bob))
        alice.on_call_state = lambda call, before, after: call.acknowledge(SDP) if after is State.ESTABLISHED else None
        await call.until_answered()
        await self.pause()
        self.assertEqual(calls[0].remote_sdp, SDP)

    async def test_what_cannot_be_called_or_sent(self) -> None:
        alice = self.agent("alice")
        for uri in ("", "http://x", "tel:+123", "sip:b@x;transport=carrier-pigeon"):
            with self.assertRaises(ParseError):
                alice.make_call(uri, SDP)
        for header in (("Via", "x"), ("call-id", "x"), ("t", "x"), ("X-A", "a\r\nVia: b"), ("X A", "b"), ("", "x")):
            with self.assertRaises(ValueError):
                alice.make_call("sip:b@127.0.0.1", SDP, (header,))
        self.assertEqual(alice.statistics, Statistics())

    async def test_headers_of_ones_own_both_ways(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        heard: list[str | None] = []

        def answer(call: Call) -> None:
            heard.append(call.header("x-customer"))
            call.accept(OTHER, (("x-queue", "sales"),))

        bob.on_incoming_call = answer
        call = await alice.make_call(self.uri(bob), SDP, (("X-Customer", "4711"),)).until_answered()
        self.assertEqual((heard, call.header("X-Queue"), call.header("X-Nothing")), (["4711"], "sales", None))


class WithinTests(AgentCase):
    """What goes on within a call."""

    @conforms("RFC 3264 8.4")
    async def test_hold_and_resume(self) -> None:
        _, bob, call = await self.pair()
        (other,) = bob.calls
        self.assertEqual(await call.hold(), 200)
        self.assertTrue(call.is_on_hold)
        self.assertTrue(held(other.remote_sdp))
        self.assertEqual(direction(call.remote_sdp), "recvonly")
        self.assertIn(b"o=- 1 2 ", other.remote_sdp)
        self.assertEqual(await other.hold(), 200)
        self.assertEqual(direction(other.remote_sdp), "inactive")
        self.assertEqual((await other.resume(), await call.resume()), (200, 200))
        self.assertFalse(held(other.remote_sdp) or held(call.remote_sdp) or call.is_on_hold)

    async def test_the_application_answers_offers(self) -> None:
        _, bob, call = await self.pair()
        offers: list[bytes] = []

        def refuse(_: Call, offer: bytes) -> bytes:
            offers.append(offer)
            return b""

        bob.on_offer = refuse
        self.assertEqual(await call.hold(), 488)
        self.assertFalse(call.is_on_hold)
        self.assertEqual(direction(offers[0]), "sendonly")
        bob.on_offer = broken
        self.assertEqual(await call.hold(), 500)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        bob.on_offer = lambda _, offer: OTHER
        self.assertEqual(await call.hold(), 200)

    async def test_digits(self) -> None:
        _, bob, call = await self.pair()
        heard: list[str] = []
        bob.on_dtmf = lambda _, digit: heard.append(digit)
        self.assertEqual(await call.send_dtmf("1a*#"), 200)
        await self.pause()
        self.assertEqual("".join(heard), "1A*#")
        (first, *_) = self.requests("alice", "INFO")
        self.assertEqual(first.body, b"Signal=1\r\nDuration=160\r\n")
        for digits in ("", "x", "1 2"):
            with self.assertRaises(ValueError):
                await call.send_dtmf(digits)
        for kind, body, status in (
            ("application/dtmf", b"5", 200),
            ("application/dtmf-relay", b"Duration=9\r\nSignal= 7\r\n", 200),
            ("application/dtmf-relay", b"nothing", 415),
            ("text/plain", b"5", 415),
        ):
            answer: Deferred[Any] = Deferred()
            call.dialog.request("INFO", body=body, content_type=kind, then=answer.callback)
            self.assertEqual((await answer).status, status)
        await self.pause()
        self.assertEqual("".join(heard), "1A*#57")

    @conforms("RFC 3515 2.4.2", "RFC 3515 2.4.4", "RFC 3892 2.2")
    async def test_a_refer_is_followed(self) -> None:
        alice, bob, call = await self.pair()
        carol = self.agent("carol")
        incoming: list[Call] = []
        carol.on_incoming_call = keeping(incoming)
        progress: list[int] = []
        target = f"{self.uri(carol, 'carol')}?Subject=a%20transfer&X-Evil=1"
        self.assertEqual(await call.send_refer(target, progress=lambda status, _: progress.append(status)), 200)
        self.assertEqual(progress[0], 100)
        self.assertEqual(await call.hang_up(), 200)
        (made,) = bob.calls
        self.assertEqual((made.direction, made.state), ("outgoing", State.ESTABLISHED))
        self.assertEqual(incoming[0].header("referred-by"), "<sip:alice@example.com>")
        self.assertEqual((incoming[0].header("subject"), incoming[0].header("x-evil")), ("a transfer", None))
        self.assertEqual((alice.statistics.total_refers, bob.statistics.total_refers), (1, 1))

    @conforms("RFC 3515 2.4.4")
    async def test_who_wants_to_hear_no_more_unsubscribes(self) -> None:
        _, bob, call = await self.pair()
        followed: list[Refer] = []

        def follow(_: Call, refer: Refer) -> None:
            refer.accept()
            followed.append(refer)

        bob.on_refer = follow
        waiting = call.send_refer("sip:carol@example.com")
        await self.pause()
        waiting.cancel()
        with self.assertRaises(CancelledError):
            await waiting
        await self.pause()
        (subscribe,) = self.requests("alice", "SUBSCRIBE")
        self.assertEqual((subscribe.require("event"), subscribe.require("expires")), ("refer", "0"))
        followed[0].report(200)
        await self.pause()
        states = [m.require("subscription-state") for m in self.requests("bob", "NOTIFY")]
        self.assertEqual(states, ["active;expires=180", "terminated;reason=timeout"])
        self.assertEqual(call.state, State.ESTABLISHED)

    async def test_a_refer_to_nobody(self) -> None:
        _, bob, call = await self.pair()
        carol = self.agent("carol")
        self.assertEqual(await call.send_refer(self.uri(carol, "carol")), 480)
        self.assertEqual((call.state, len(bob.calls)), (State.ESTABLISHED, 1))
        self.assertEqual(await call.send_refer("sip:carol@x;transport=pigeon"), 400)

    async def test_the_application_decides_about_a_refer(self) -> None:
        _, bob, call = await self.pair()
        asked: list[Refer] = []

        def refuse(_: Call, refer: Refer) -> None:
            asked.append(refer)
            refer.refuse(603, "Not me: ask somebody else")

        bob.on_refer = refuse
        self.assertEqual(await call.send_refer("sip:carol@example.com"), 603)
        self.assertEqual(asked[0].target.uri_text, "sip:carol@example.com")
        bob.on_refer = lambda call, refer: refer.report(503)
        self.assertEqual(await call.send_refer("sip:carol@example.com"), 503)
        bob.on_refer = lambda call, refer: refer.accept()
        self.assertEqual(await call.send_refer("sip:carol@example.com", silent=True), 202)
        bob.on_refer = broken
        self.assertEqual(await call.send_refer("sip:carol@example.com"), 500)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertEqual(call.state, State.ESTABLISHED)


class ReplaceTests(AgentCase):
    @conforms("RFC 3891 3", "RFC 3891 4")
    async def test_an_attended_transfer(self) -> None:
        alice, bob, with_bob = await self.pair()
        carol = self.agent("carol")
        carol.on_incoming_call = accept
        with_carol = await alice.make_call(self.uri(carol, "carol"), SDP).until_answered()
        self.assertEqual(await with_bob.send_refer(replace=with_carol), 200)
        await with_carol.until_over()
        ending = with_carol.ending
        assert ending is not None
        self.assertEqual((ending.by, ending.reason and ending.reason.text), ("peer", "Replaced"))
        await with_bob.hang_up()
        self.assertEqual((len(alice.calls), len(bob.calls), len(carol.calls)), (0, 1, 1))
        self.assertEqual((bob.statistics.replace_operations, carol.statistics.replace_operations), (1, 1))
        (invite,) = self.requests("bob", "INVITE")
        self.assertTrue(invite.has_token("require", "replaces"))

    def replacing(
        self, agent: UserAgent, of: UserAgent, call: Call, *, call_id: str = "", to_tag: str = "", from_tag: str = ""
    ) -> Call:
        """A call of ``agent`` that would replace ``call``, one of ``of``."""
        ids = call_id or call.call_id, to_tag or call.local_tag, from_tag or call.remote_tag
        return agent.make_call_with_replaces(self.uri(of), SDP, *ids)

    async def refused(self, status: int, agent: UserAgent, of: UserAgent, call: Call, **changed: str) -> None:
        failure = await self.failure(self.replacing(agent, of, call, **changed))
        self.assertEqual(failure.status, status)

    @conforms("RFC 3891 3")
    async def test_who_was_not_asked_is_accepted_all_the_same(self) -> None:
        _, bob, _call = await self.pair(may_replace=lambda *_: True)
        (replaced,) = bob.calls
        bob.on_incoming_call = None
        carol = self.agent("carol")
        await self.replacing(carol, bob, replaced).until_answered()
        await replaced.until_over()
        (left,) = bob.calls
        self.assertIs(left.replaces, replaced)
        self.assertEqual(left.sdp[:20], OTHER[:20])

    @conforms("RFC 3891 3")
    async def test_what_is_not_replaced(self) -> None:
        _, bob, call = await self.pair(may_replace=lambda *_: True)
        (theirs,) = bob.calls
        carol = self.agent("carol")
        for changed in ({"call_id": "x"}, {"to_tag": "x"}, {"from_tag": "x"}):
            await self.refused(481, carol, bob, theirs, **changed)
        bob.on_incoming_call = lambda call: call.reject(488)
        await self.refused(488, carol, bob, theirs)
        self.assertEqual((theirs.state, call.state), (State.ESTABLISHED, State.ESTABLISHED))
        await call.hang_up()
        await self.refused(603, carol, bob, theirs)
        self.assertEqual(bob.statistics.replace_operations, 0)

    @conforms("RFC 3891 3")
    async def test_a_stranger_replaces_nothing(self) -> None:
        alice, bob, call = await self.pair()
        (theirs,) = bob.calls
        carol = self.agent("carol")
        await self.refused(403, carol, bob, theirs)
        await self.replacing(alice, bob, theirs).until_answered()
        await call.until_over()

    @conforms("RFC 3891 3")
    async def test_a_call_of_ours_that_still_rings_is_cancelled(self) -> None:
        alice, bob = self.agent("alice", may_replace=lambda *_: True), self.agent("bob")
        carol = self.agent("carol")
        bob.on_incoming_call = lambda call: call.ring()
        alice.on_incoming_call = accept
        call = alice.make_call(self.uri(bob), SDP)

        async def state() -> State:
            return call.state

        await until(state, lambda state: state is State.RINGING)
        await self.refused(481, carol, bob, bob.calls[0])
        await self.replacing(carol, alice, call).until_answered()
        await call.until_over()
        self.assertEqual(len(self.requests("alice", "CANCEL")), 1)

    @conforms("RFC 3911 4")
    async def test_joining(self) -> None:
        alice, bob, _ = await self.pair()
        dave, carol = self.agent("dave", can_join=True), self.agent("carol")
        dave.on_incoming_call = accept
        await alice.make_call(self.uri(dave), SDP).until_answered()
        for agent, status in ((bob, 420), (dave, 0)):
            (theirs,) = agent.calls
            value = f"{theirs.call_id};to-tag={theirs.local_tag};from-tag={theirs.remote_tag}"
            headers = (("join", value), ("require", "join"), ("referred-by", "<sip:alice@example.com>"))
            made = carol.make_call(self.uri(agent), SDP, headers)
            if status:
                self.assertEqual((await self.failure(made)).status, status)
                made = carol.make_call(self.uri(agent), SDP, (headers[0], headers[2]))
                self.assertEqual((await self.failure(made)).status, 488)
            else:
                await made.until_answered()
        first, second = dave.calls
        self.assertIs(second.joins, first)
        self.assertEqual((first.state, second.state), (State.ESTABLISHED, State.ESTABLISHED))


class StackTests(AgentCase):
    """What an agent does by itself, and what its application cannot do to it."""

    async def ask(self, agent: UserAgent, method: str, of: UserAgent, **headers: str) -> int:
        """The status of the answer to a request outside of dialogs."""
        (listener,) = of.transport.ports()
        request = compose(
            method,
            self.uri(of),
            from_="<sip:a@b>;tag=1",
            to="<sip:bob@b>" + headers.pop("tag", ""),
            call_id=new_call_id("test"),
            cseq=1,
            headers=tuple(headers.items()),
        )
        answer: Deferred[Any] = Deferred()
        Errand(agent._sender, request, Target("UDP", LOOPBACK, listener.port), answer.callback).send()
        return int((await answer).status)

    @conforms("RFC 3261 8.2.1", "RFC 3261 8.2.2.3", "RFC 3261 11.2", "RFC 3261 12.2.2")
    async def test_requests_outside_of_calls(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        for method, status in (
            ("OPTIONS", 200), ("BYE", 481), ("REFER", 481), ("NOTIFY", 481), ("SUBSCRIBE", 481), ("INFO", 481),
            ("UPDATE", 481), ("MESSAGE", 405), ("REGISTER", 405), ("PUBLISH", 405),
        ):  # fmt: skip
            self.assertEqual(await self.ask(alice, method, bob), status, method)
        self.assertEqual(await self.ask(alice, "BYE", bob, tag=";tag=x"), 481)
        self.assertEqual(await self.ask(alice, "OPTIONS", bob, require="teleport"), 420)
        allowed = [m for who, sent, m in self.seen if who == "alice" and not sent and "allow" in m.names]
        self.assertTrue(allowed[0].has_token("allow", "REFER") and allowed[0].has_token("supported", "replaces"))

    async def test_callbacks_that_fail_are_logged_and_hurt_nobody(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        for agent in (alice, bob):
            agent.on_call_state = broken
        bob.on_incoming_call = accept
        call = await alice.make_call(self.uri(bob), SDP).until_answered()
        bob.on_dtmf = broken
        self.assertEqual(await call.send_dtmf("1"), 200)
        self.assertEqual(await call.hang_up(), 200)
        bob.on_incoming_call = broken
        failure = await self.failure(alice.make_call(self.uri(bob), SDP))
        self.assertEqual(failure.status, 500)
        await self.pause()
        self.assertGreaterEqual(len(self.flushLoggedErrors(Broken)), 10)

    async def test_who_looks_at_messages_and_fails_is_logged_and_hurts_nobody(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        bob.on_incoming_call = accept
        alice.on_message = bob.on_message = broken
        call = await alice.make_call(self.uri(bob), SDP).until_answered()
        self.assertEqual(await call.hang_up(), 200)
        self.assertGreaterEqual(len(self.flushLoggedErrors(Broken)), 10)

    async def test_what_an_application_may_not_say(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        calls: list[Call] = []
        bob.on_incoming_call = calls.append
        outgoing = alice.make_call(self.uri(bob), SDP)
        await until(partial(self.count, bob), lambda count: count == 1)
        (call,) = calls
        for header in (("X-A", "b\r\nVia: c"), ("contact", "<sip:x@y>"), ("two words", "x")):
            for say in (call.ring, call.accept):
                with self.assertRaises(ValueError):
                    say(headers=(header,))
        for status in (99, 100, 200, 486):
            with self.assertRaisesRegex(ValueError, "provisional"):
                call.ring(status)
        for status in (100, 200, 299, 700):
            with self.assertRaisesRegex(ValueError, "refusal"):
                call.reject(status)
        with self.assertRaises(ValueError):
            call.reject(486, "Busy\r\nVia: c")
        self.assertEqual(call.state, State.INCOMING)
        call.accept(OTHER, headers=(("X-a", "b"),))
        await outgoing.until_answered()
        self.assertEqual(outgoing.header("X-A"), "b")
        for target in ("", "no uri", "sip:a@b>\r\nVia: c", "<sip:a@b>"):
            with self.assertRaises(ParseError):
                await outgoing.send_refer(target)

    async def test_nothing_is_sent_in_a_call_that_is_none(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        call = alice.make_call(self.uri(bob), SDP)
        for outcome in (call.send_dtmf("1"), call.send_refer("sip:a@b")):
            self.assertEqual(await outcome, 481)
        await self.failure(call)
        for outcome in (call.send_dtmf("1"), call.send_refer("sip:a@b"), call.hold(), call.resume()):
            self.assertEqual(await outcome, 481)
        self.assertEqual(self.requests("alice", "INFO") + self.requests("alice", "REFER"), [])

    async def test_before_the_start_and_after_the_stop(self) -> None:
        agent = UserAgent(clock(), "sip:a@b", network=Network(listen=(f"udp://{LOOPBACK}:0",)))
        with self.assertRaisesRegex(RuntimeError, "start"):
            agent.make_call("sip:b@b", SDP)
        agent.start()
        await agent.stop()
        with self.assertRaisesRegex(RuntimeError, "start"):
            agent.make_call("sip:b@b", SDP)
        with self.assertRaisesRegex(RuntimeError, "start"):
            await agent.register()
        await agent.stop()

    async def test_a_registration_that_nobody_waits_for_any_more(self) -> None:
        agent = self.agent("alice")
        (nowhere,) = free_ports(1)
        first = agent.register(60, f"sip:{LOOPBACK}:{nowhere}")
        second = agent.register(60, f"sip:{LOOPBACK}:{nowhere}")
        with self.assertRaisesRegex(RegistrationFailed, "487"):
            await first
        await agent.stop()
        with self.assertRaisesRegex(RegistrationFailed, "487"):
            await second

    async def test_an_application_may_end_a_call_from_every_callback(self) -> None:
        for state in (State.CALLING, State.RINGING, State.ESTABLISHED, State.INCOMING, State.ALERTING):
            alice, bob = self.agent("alice"), self.agent("bob")
            left: list[Deferred[int]] = []
            bob.on_incoming_call = keeping([])

            def leave(
                call: Call, before: State, after: State, at: State = state, left: list[Deferred[int]] = left
            ) -> None:
                if after is at:
                    left.append(call.hang_up())

            alice.on_call_state = bob.on_call_state = leave
            call = alice.make_call(self.uri(bob), SDP)
            await call.until_over()

            await until(partial(self.count, alice, bob), lambda count: count == 0)
            self.assertGreaterEqual(len(left), 1)

    async def count(self, *agents: UserAgent) -> int:
        """How many calls they have."""
        return sum(len(agent.calls) for agent in agents)

    async def test_who_stops_waiting_is_not_told(self) -> None:
        alice, bob = self.agent("alice"), self.agent("bob")
        bob.on_incoming_call = lambda call: call.ring()
        call = alice.make_call(self.uri(bob), SDP)
        waiting = call.until_answered().addTimeout(0.1, cast("Any", clock()))
        self.assertTrue(await waiting.addBoth(lambda result: "Timeout" in repr(result)))
        await call.hang_up()

    async def test_a_stop_hangs_up(self) -> None:
        alice, bob, _call = await self.pair()
        (other,) = bob.calls
        await alice.stop()
        await other.until_over()
        ending = other.ending
        self.assertEqual(ending and ending.by, "peer")

    @conforms("RFC 3261 10.2.2")
    async def test_a_registration_that_is_refused(self) -> None:
        bob = self.agent("bob")
        (listener,) = bob.transport.ports()
        network = Network(listen=(f"udp://{LOOPBACK}:0",), outbound_proxy=f"sip:{LOOPBACK}:{listener.port}")
        alice = self.agent("alice", network=network)
        heard: list[tuple[int, str, int]] = []
        alice.on_registration = lambda *outcome: heard.append(outcome)
        with self.assertRaisesRegex(RegistrationFailed, "405"):
            await alice.register(60)
        await self.pause()
        self.assertEqual(heard, [(405, "Method Not Allowed", 0)])
        (request,) = self.requests("alice", "REGISTER")
        self.assertEqual(request.uri_text, "sip:example.com")
        self.assertEqual(request.values("route"), [f"<sip:{LOOPBACK}:{listener.port};lr>"])

    def test_places_that_cannot_be_listened_at(self) -> None:
        for place in ("", "udp://", "udp://127.0.0.1", "udp://127.0.0.1:x", "tls://127.0.0.1:0", "ws://127.0.0.1:0"):
            agent = UserAgent(clock(), "sip:a@b", network=Network(listen=(place,)))
            with self.assertRaises(ValueError):
                agent.start()
            self.addCleanup(self.finish, agent)
