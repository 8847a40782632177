"""The ladders: which messages belong to a call, what is kept of them, and that it is bounded."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call import ladder
from gosip_py.call.ladder import MOST_RUNGS, MOST_WAITING, Ladders
from gosip_py.call.rung import LARGEST, Entry, Rung, pack, unpack
from gosip_py.events import Bus, CallEnded, CallNoted, CallStarted, LegStarted, Result
from gosip_py.metrics import Metrics
from gosip_py.sip.parser import parse_message
from gosip_py.store.database import DatabaseUnavailable
from gosip_py.store.ladders import CallLadders
from gosip_py.store.records import CallLadder
from gosip_py.transport.flow import Flow, Target
from tests.network import MemoryNetwork
from tests.store.databases import NOW, DatabaseCase, OnPostgres


class Shelf:
    """Takes ladders, or is away."""

    def __init__(self) -> None:
        self.rows: dict[str, CallLadder] = {}
        self.is_away = False

    async def write(self, rows: Sequence[CallLadder]) -> None:
        if self.is_away:
            raise DatabaseUnavailable("away")
        self.rows.update({row.id: row for row in rows})

    async def get(self, row_id: str) -> CallLadder | None:
        return self.rows.get(row_id)


def message(start: str, call_id: str = "c1", *lines: str, name: str = "Call-ID: ", body: str = "") -> bytes:
    head = (start, "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx", f"{name}{call_id}", "CSeq: 1 INVITE", *lines)
    return ("\r\n".join((*head, "", "")) + body).encode("utf-8", "surrogateescape")


def started(id: str = "j1", call_id: str = "c1") -> CallStarted:
    return CallStarted(id, NOW, call_id, "b", "f", "alice", "bob", "sip:alice@h", "sip:bob@h")


def ended(id: str = "j1") -> CallEnded:
    return CallEnded(id, NOW + 5, "answered", 200, "OK", "caller")


class LadderCase(SynchronousTestCase):
    most_octets = ladder.MOST_OCTETS

    def setUp(self) -> None:
        self.clock, self.bus, self.shelf = Clock(), Bus(), Shelf()
        self.clock.advance(NOW)
        self.ladders = Ladders(self.clock, self.clock.seconds, self.shelf, self.bus, Metrics(), self.most_octets)
        ours = MemoryNetwork(Clock()).transport("192.0.2.1")
        self.flow: Flow = ours.flow_to(Target("UDP", "192.0.2.9", 5070), 100)

    def come(self, octets: bytes, is_stream: bool = False) -> None:
        self.ladders.received(parse_message(octets), self.flow, b"" if is_stream else octets)

    def go(self, octets: bytes) -> None:
        self.ladders.sent(octets, self.flow)

    def publish(self, *events: object) -> None:
        for event in events:
            self.bus.publish(event)

    def read(self, call: str = "j1") -> tuple[Rung, ...] | None:
        return self.successResultOf(Deferred.fromCoroutine(self.ladders.read(call)))

    def lines(self, call: str = "j1") -> list[tuple[str, int, str]]:
        return [(rung.direction, rung.leg, rung.first_line) for rung in self.read(call) or ()]

    def settle(self) -> None:
        for _ in range(200):
            self.clock.advance(0.1)

    def assert_forgotten(self) -> None:
        self.settle()
        self.assertEqual((self.ladders.octets, self.ladders._legs, self.ladders._calls), (0, {}, {}))


class CallTests(LadderCase):
    def test_a_call_from_its_invite_to_its_end(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started())
        self.clock.advance(1)
        self.go(message("SIP/2.0 180 Ringing"))
        self.assertEqual(self.lines(), [("in", 1, "INVITE sip:b@h SIP/2.0"), ("out", 1, "SIP/2.0 180 Ringing")])
        first, second = self.read() or ()
        self.assertEqual((first.at, second.at), (NOW, NOW + 1))
        self.assertEqual((first.transport, first.local, first.peer), ("UDP", "192.0.2.1:5060", "192.0.2.9:5070"))
        self.assertEqual(first.octets, message("INVITE sip:b@h SIP/2.0"))
        self.publish(ended())
        self.come(message("BYE sip:b@h SIP/2.0"))
        self.assertEqual(self.shelf.rows, {})
        self.clock.advance(ladder.LINGER_SECONDS)
        self.clock.advance(1)
        row = self.shelf.rows["j1"]
        self.assertEqual((row.id, row.ended_at), ("j1", NOW + 5))
        self.assertEqual([rung.first_line for rung in unpack(row.ladder)][-1], "BYE sip:b@h SIP/2.0")
        self.assertEqual(len(self.lines()), 3)
        self.assert_forgotten()

    def test_what_belongs_to_no_call(self) -> None:
        for start in ("OPTIONS sip:b@h SIP/2.0", "BYE sip:b@h SIP/2.0", "SIP/2.0 200 OK"):
            self.come(message(start))
            self.go(message(start))
        self.assertEqual(self.ladders.octets, 0)
        self.publish(started())
        self.assertEqual(self.read(), ())
        self.assertIsNone(self.read("j2"))
        self.publish(ended("j9"))

    def test_a_message_without_a_call_id(self) -> None:
        octets = b"INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n\r\n"
        self.come(octets)
        self.go(octets)
        self.go(b"\r\n\r\n")
        self.publish(started(call_id=""), ended())
        self.assertIsNone(self.read())
        self.assertEqual(self.ladders._legs, {})

    def test_the_ways_to_write_a_call_id(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0", "\udcff@h"))
        self.publish(started(call_id="\udcff@h"))
        for name in ("i:", "CALL-ID :  ", "Call-Id:\t", "Call-ID:\r\n ", "Call-ID: "):
            self.go(message("SIP/2.0 180 Ringing", "\udcff@h ", name=name))
        self.assertEqual(len(self.lines()), 6)

    def test_over_a_stream_the_message_is_written_again(self) -> None:
        octets = message("INVITE sip:b@h SIP/2.0", "c1", "X-Odd:   1")
        self.come(octets, is_stream=True)
        self.publish(started())
        self.assertEqual([rung.octets for rung in self.read() or ()], [octets])

    def test_the_first_attempt_without_credentials_is_there_too(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.go(message("SIP/2.0 407 Proxy Authentication Required"))
        self.come(message("ACK sip:b@h SIP/2.0"))
        self.come(message("INVITE sip:b@h SIP/2.0", "c1", 'Proxy-Authorization: Digest response="5ec"'))
        self.publish(started())
        self.assertEqual(len(self.lines()), 4)
        self.assertNotIn("5ec", "".join(rung.text for rung in self.read() or ()))
        self.publish(ended())
        self.settle()
        self.assertNotIn(b"5ec", b"".join(rung.octets for rung in unpack(self.shelf.rows["j1"].ladder)))

    def test_what_we_did_is_a_remark(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started(), CallNoted("j1", NOW, "transfer", {"by": "bob", "target": "carol", "result": ""}))
        self.publish(CallNoted("j9", NOW, "transfer", {}))
        self.assertEqual(self.lines()[1:], [("note", 0, "transfer by=bob target=carol")])

    def test_two_calls_of_one_call_id(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started("j1"), started("j2"), ended("j1"))
        self.settle()
        self.go(message("SIP/2.0 180 Ringing"))
        self.assertEqual((len(self.lines("j1")), len(self.lines("j2"))), (1, 2))
        self.publish(ended("j2"))
        self.assert_forgotten()
        self.assertEqual(len(self.lines("j2")), 2)


class LegTests(LadderCase):
    def test_the_invite_of_the_other_leg_before_we_are_told(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started())
        self.clock.advance(1)
        self.go(message("INVITE sip:b@192.0.2.9 SIP/2.0", "c2"))
        self.publish(LegStarted("j1", NOW, "c2"), LegStarted("j1", NOW, "c2"))
        self.come(message("SIP/2.0 180 Ringing", "c2"))
        self.go(message("SIP/2.0 180 Ringing"))
        self.assertEqual([(way, leg) for way, leg, _ in self.lines()], [("in", 1), ("out", 2), ("in", 2), ("out", 1)])
        self.publish(ended())
        self.assert_forgotten()

    def test_the_invite_of_the_other_leg_after_we_are_told(self) -> None:
        self.publish(started(), LegStarted("j1", NOW, "c2"))
        self.go(message("INVITE sip:b@192.0.2.9 SIP/2.0", "c2"))
        self.assertEqual(self.lines(), [("out", 2, "INVITE sip:b@192.0.2.9 SIP/2.0")])

    def test_a_leg_that_moves_to_another_call(self) -> None:
        self.publish(started("j1", "c1"), started("j2", "c2"))
        self.come(message("BYE sip:b@h SIP/2.0", "c2"))
        self.publish(LegStarted("j1", NOW, "c2"))
        self.come(message("INFO sip:b@h SIP/2.0", "c2"))
        self.assertEqual(self.lines("j2"), [("in", 1, "BYE sip:b@h SIP/2.0")])
        self.assertEqual(self.lines("j1"), [("in", 2, "INFO sip:b@h SIP/2.0")])
        self.publish(ended("j2"))
        self.settle()
        self.come(message("BYE sip:b@h SIP/2.0", "c2"))
        self.assertEqual(len(self.lines("j1")), 2)
        self.publish(ended("j1"))
        self.assert_forgotten()

    def test_a_leg_of_nobody(self) -> None:
        self.publish(LegStarted("j9", NOW, "c2"))
        self.assertEqual(self.ladders._legs, {})


class BoundTests(LadderCase):
    def test_of_many_messages_the_last(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started())
        for number in range(100):
            self.come(message(f"INFO sip:{number}@h SIP/2.0"))
        lines = [line for _, _, line in self.lines()]
        self.assertEqual((len(lines), lines[-1]), (MOST_RUNGS, "INFO sip:99@h SIP/2.0"))
        self.publish(ended())
        self.assert_forgotten()

    def test_of_a_large_message_the_beginning(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0", body="x" * 20_000))
        self.publish(started())
        self.assertEqual([len(rung.octets) for rung in self.read() or ()], [LARGEST])

    def test_of_many_large_messages_the_beginnings(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started())
        for _ in range(60):
            self.come(message("INFO sip:b@h SIP/2.0", body="x" * 8000))
        self.publish(ended())
        self.settle()
        rungs = unpack(self.shelf.rows["j1"].ladder)
        self.assertEqual((len(rungs), len(rungs[-1].octets)), (61, 1024))
        self.assertEqual(rungs[0].octets, message("INVITE sip:b@h SIP/2.0"))

    def test_invites_that_nobody_calls_a_call(self) -> None:
        for number in range(MOST_WAITING + 50):
            self.come(message("INVITE sip:b@h SIP/2.0", f"c{number}"))
        self.assertEqual(len(self.ladders._waiting), MOST_WAITING)
        self.assertEqual(len(self.ladders._legs), 2 * MOST_WAITING)
        self.publish(started("j1", f"c{MOST_WAITING}"), started("j0", "c0"))
        self.assertEqual((len(self.lines("j1")), len(self.lines("j0"))), (1, 0))

    def test_a_call_that_goes_on_is_packed(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started())
        for number in range(20):
            self.go(message(f"SIP/2.0 {180 + number} Ringing", "c1", f"X-Long: {'a' * 300}"))
        before = self.ladders.octets
        self.clock.advance(ladder.SETTLE_SECONDS)
        self.assertLess(self.ladders.octets, before / 5)
        self.come(message("BYE sip:b@h SIP/2.0"))
        lines = [line for _, _, line in self.lines()]
        self.assertEqual((len(lines), lines[0], lines[-1]), (22, "INVITE sip:b@h SIP/2.0", "BYE sip:b@h SIP/2.0"))
        self.publish(ended())
        self.assert_forgotten()
        self.assertEqual(len(self.lines()), 22)

    def test_many_that_end_at_once_are_packed_bit_by_bit(self) -> None:
        for number in range(200):
            self.come(message("INVITE sip:b@h SIP/2.0", f"c{number}"))
            self.publish(started(f"j{number}", f"c{number}"), ended(f"j{number}"))
        self.clock.advance(ladder.LINGER_SECONDS)
        self.assertEqual(len(self.ladders._calls), 190)
        self.assert_forgotten()
        self.assertEqual(len(self.shelf.rows), 200)
        self.assertEqual(len(self.lines("j0")), 1)

    def test_more_than_can_be_packed(self) -> None:
        """What failed is kept all the same."""
        for number in range(2000):
            self.come(message("INVITE sip:b@h SIP/2.0", f"c{number}"))
            result: Result = "failed" if number % 100 == 99 else "answered"
            self.publish(started(f"j{number}", f"c{number}"))
            self.publish(CallEnded(f"j{number}", NOW + 5, result, 200, "OK", "caller"))
        self.assertEqual(len(self.ladders._calls), 268)
        self.assert_forgotten()
        self.assertEqual((len(self.shelf.rows), self.ladders.shed), (268, 1732))
        self.assertIn("j1999", self.shelf.rows)

    def test_short_calls_do_not_wait_behind_those_that_end(self) -> None:
        """For a minute more calls end than can be packed: nothing of the earlier ones stays."""
        for second in range(60):
            for number in range(200):
                name = f"{second}-{number}"
                self.come(message("INVITE sip:b@h SIP/2.0", f"c{name}"))
                self.publish(started(f"j{name}", f"c{name}"), ended(f"j{name}"))
            self.clock.pump([0.1] * 10)
        self.assertLessEqual(len(self.ladders._settling), 200 * (ladder.SETTLE_SECONDS + 1))
        self.assert_forgotten()

    def test_a_store_that_is_away(self) -> None:
        self.shelf.is_away = True
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started(), ended())
        self.settle()
        self.failureResultOf(Deferred.fromCoroutine(self.ladders.read("j1")), DatabaseUnavailable)
        self.shelf.is_away = False
        self.clock.pump([1.0] * 60)
        self.assertEqual(len(self.lines()), 1)

    def test_what_ended_is_written_at_the_close(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0"))
        self.publish(started(), ended())
        self.successResultOf(Deferred.fromCoroutine(self.ladders.close()))
        self.assertEqual(list(self.shelf.rows), ["j1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RoomTests(LadderCase):
    most_octets = 20_000

    def test_what_is_no_call_goes_first_then_the_oldest(self) -> None:
        self.come(message("INVITE sip:b@h SIP/2.0", "c1"))
        self.publish(started("j1", "c1"))
        self.come(message("INVITE sip:b@h SIP/2.0", "c9"))
        self.come(message("INFO sip:b@h SIP/2.0", "c1", body="".join(chr(33 + n * 7919 % 90) for n in range(8000))))
        self.come(message("INFO sip:b@h SIP/2.0", "c1", body="y" * 8000))
        self.assertIn("c9", self.ladders._legs)
        self.come(message("INFO sip:b@h SIP/2.0", "c1", body="y" * 5000))
        self.assertNotIn("c9", self.ladders._legs)
        self.assertLessEqual(self.ladders.octets, self.most_octets)
        self.assertEqual(len(self.lines("j1")), 4)

    def test_whatever_comes_there_is_an_end_to_it(self) -> None:
        for number in range(60):
            call = f"c{number}"
            self.come(message("INVITE sip:b@h SIP/2.0", call))
            self.publish(started(f"j{number}", call))
            for _ in range(30):
                self.come(message("INFO sip:b@h SIP/2.0", call, body="z" * 3000))
                self.assertLessEqual(self.ladders.octets, self.most_octets)
        for number in range(60):
            self.publish(ended(f"j{number}"))
        self.assert_forgotten()


class RungTests(SynchronousTestCase):
    def setUp(self) -> None:
        flow = MemoryNetwork(Clock()).transport("2001:db8::2").flow_to(Target("TLS", "2001:db8::1", 5061), 100)
        octets = b"INVITE x\r\n\xff\x00\n1 2 3 a|b|c|d\n"
        self.entries: tuple[Entry, Entry] = (NOW, "in", flow, 1, octets), (NOW + 0.25, "note", None, 0, b"")
        self.rungs = (
            Rung(NOW, "in", "TLS", "[2001:db8::2]:5061", "[2001:db8::1]:5061", 1, octets),
            Rung(NOW + 0.25, "note", "", "", "", 0, b""),
        )

    def test_packed_and_unpacked(self) -> None:
        for is_compressed in (True, False):
            self.assertEqual(unpack(pack(self.entries, is_compressed)), self.rungs)
        parts = pack(self.entries[:1]) + pack(()) + pack(self.entries[1:], is_compressed=False)
        self.assertEqual(unpack(parts), self.rungs)

    def test_what_is_broken_is_left_out(self) -> None:
        whole = pack(self.entries)
        for end in range(len(whole)):
            self.assertEqual(unpack(whole[:end]), ())
        self.assertEqual(unpack(whole + b"\0\0\0\x05pxxxx"), self.rungs)
        self.assertEqual(unpack(b"\0\0\0\x03zno"), ())


class StoredTests(DatabaseCase):
    async def test_written_read_and_pruned(self) -> None:
        ladders = CallLadders(self.database)
        octets = pack([(NOW, "note", None, 0, b"x")])
        await ladders.write([CallLadder("j1", NOW, octets), CallLadder("j2", NOW + 10, b"\0\xff")])
        await ladders.write([CallLadder("j2", NOW + 20, b"\xff\0")])
        first = await ladders.get("j1")
        assert first is not None
        self.assertEqual(first, CallLadder("j1", NOW, octets))
        self.assertEqual(await ladders.get("j2"), CallLadder("j2", NOW + 20, b"\xff\0"))
        self.assertEqual(await ladders.prune(NOW + 1), 1)
        self.assertIsNone(await ladders.get("j1"))
        self.assertNotIn("xff", repr(await ladders.get("j2")))


class PostgresStoredTests(OnPostgres, StoredTests):
    pass
