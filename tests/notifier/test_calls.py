"""Who is in which call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.events import Bus, CallAnswered, CallEnded, CallRinging, CallStarted, Direction
from gosip_py.notifier.calls import LINGER_SECONDS, CallStates
from gosip_py.notifier.people import People
from gosip_py.registrar.domains import Domains
from tests.proxy.switchboard import Listening
from tests.registrar.fakes import device, directory, user


class CallStatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bus = Bus()
        self.time = 0.0
        people = People(directory(user(), user(2, "bob"), device(20, 2, "200")), Domains("example.com", Listening()))
        self.calls = CallStates(self.bus, people, lambda: self.time)
        self.told: list[int] = []
        self.cares = True

    def listen(self, user_id: int) -> bool:
        self.told.append(user_id)
        return self.cares

    def start(self, id: str, caller: str, callee: str, direction: Direction = "internal", uri: str = "sip:x") -> None:
        self.bus.publish(CallStarted(id, 0.0, f"call-{id}", "b", "f", caller, callee, "sip:y", uri, direction))

    def end(self, id: str) -> None:
        self.bus.publish(CallEnded(id, 0.0, "answered", 200, "OK", "caller"))

    def states(self, user_id: int) -> list[tuple[str, str]]:
        return [(call.started.id, call.state) for call in self.calls.newest(user_id)]

    def test_whoever_comes_late_sees_what_began_before(self) -> None:
        self.start("1", "alice", "bob")
        self.bus.publish(CallRinging("1", 0.0, 180, "t"))
        self.start("2", "bob", "nobody")
        self.bus.publish(CallAnswered("2", 0.0, "u"))
        self.calls.listen(self.listen)
        self.assertEqual(self.states(1), [("1", "early")])
        self.assertEqual(self.states(2), [("2", "confirmed"), ("1", "early")])
        self.assertEqual((self.calls.is_talking(1), self.calls.is_talking(2)), (False, True))
        self.assertEqual(self.told, [])

    def test_each_change_is_told_to_both_and_once_to_who_calls_himself(self) -> None:
        self.calls.listen(self.listen)
        self.start("1", "alice", "200")
        self.assertEqual(self.told, [1, 2])
        self.start("2", "bob", "200")
        self.assertEqual(self.told, [1, 2, 2])

    def test_a_name_belongs_to_the_side_that_is_ours(self) -> None:
        self.calls.listen(self.listen)
        self.start("1", "alice", "bob", "inbound")
        self.assertEqual(self.told, [2])
        self.start("2", "alice", "bob", "outbound")
        self.assertEqual(self.told, [2, 1])
        self.start("3", "alice", "200", "outbound", "tel:200")
        self.assertEqual(self.told, [2, 1, 1, 2])

    def test_what_is_over_lingers_when_somebody_cares(self) -> None:
        self.calls.listen(self.listen)
        self.start("1", "alice", "bob")
        self.end("1")
        self.assertEqual(self.states(1), [("1", "terminated")])
        self.time = LINGER_SECONDS
        self.assertEqual(self.states(1), [])
        self.cares = False
        self.start("2", "alice", "bob")
        self.end("2")
        self.assertEqual(self.states(1), [])

    def test_nothing_is_left_when_nobody_listens(self) -> None:
        self.calls.listen(self.listen)
        self.start("1", "alice", "bob")
        self.start("2", "alice", "bob")
        self.end("2")
        self.calls.unlisten(self.listen)
        self.assertEqual(self.states(1), [])
        self.end("1")
        self.calls.listen(self.listen)
        self.assertEqual(self.states(1), [])

    def test_an_event_of_a_call_that_nobody_heard_of(self) -> None:
        self.calls.listen(self.listen)
        self.bus.publish(CallRinging("x", 0.0))
        self.bus.publish(CallAnswered("x", 0.0))
        self.end("x")
        self.assertEqual(self.told, [])
