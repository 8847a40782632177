"""`gosip demo`: what a newcomer sees, that the exit code tells the truth, and that its phones are user agents."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gosip_py.demo.ladder import Step, draw
from gosip_py.demo.sighting import Sighting
from gosip_py.demo.softphone import Account, Answering, NoAnswer, Refused, Softphone
from gosip_py.demo.tour import DidNotHappen, require_books
from gosip_py.sip.message import Message
from tests.running import LOOPBACK, ROOT, Program, clock, free_ports, until

PROGRAM = """
import sys
from gosip_py.demo import Plan, run
from gosip_py.demo.sighting import Sighting
from gosip_py.demo.softphone import Answering
sys.exit(run({plan}))
"""


def environment(temporary: Path, **more: str) -> dict[str, str]:
    """That of this process without a setting of a server's, and with a directory of its own for temporary files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GOSIP_")}
    return {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), **more}


class DemoTests(TestCase):
    def setUp(self) -> None:
        self.temporary = Path(self.mktemp()).absolute()
        self.temporary.mkdir(parents=True)

    async def run_demo(self, *arguments: str, **more: str) -> tuple[str, int]:
        """What it printed and its exit code; nothing may be left behind."""
        variables = environment(self.temporary, **more)
        out, err, code = await getProcessOutputAndValue(sys.executable, arguments, env=variables, path=str(ROOT))
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual(err, b"")
        return out.decode(), code

    async def run_plan(self, plan: str) -> tuple[str, int]:
        return await self.run_demo("-c", PROGRAM.format(plan=plan))

    async def test_it_shows_a_call(self) -> None:
        shown, code = await self.run_demo("-m", "gosip_py", "demo")
        self.assertEqual(code, 0, shown)
        self.assertTrue(shown.endswith("\nall of it happened\n"), shown)
        self.assertRegex(shown, r"\n +ms +alice +gosip +bob\n")
        self.assert_in_order(
            shown, [r"- REGISTER -+>\|  ", r"\|<-+ 401 Unauthorized -+\|  ", r"  \|<-+ REGISTER -+\|\n"]
        )
        self.assert_in_order(
            shown,
            [
                r"- INVITE -+>\|  ", r"\|<-+ 100 Trying -+\|  ", r"  \|-+ INVITE -+>\|\n",
                r"  \|<-+ 180 Ringing -+\|\n", r"\|<-+ 180 Ringing -+\|  ",
                r"  \|<-+ 200 OK -+\|\n", r"\|<-+ 200 OK -+\|  ", r"- ACK -+>\|  ", r"  \|-+ ACK -+>\|\n",
                r"- BYE -+>\|  ", r"  \|-+ BYE -+>\|\n", r"  \|<-+ 200 OK -+\|\n",
            ],
        )  # fmt: skip
        # Acknowledged, the 2xx of the INVITE is not repeated, though the call lasts longer than T1.
        self.assertEqual(len(re.findall(r"  \|<-+ 200 OK -+\|\n", shown)), 2, shown)
        for line in ("caller_user +alice", "callee_user +bob", "result +answered", "ended_by +caller", "end_at +20"):
            self.assertRegex(shown, rf"the journal\n-+\n(.+\n)*{line}")
        self.assertRegex(shown, r"the sessions\n-+\n(.+\n)*state +terminated\n")
        talked = re.search(r"\ntalk_ms +(\d+)\n", shown)
        self.assertIsNotNone(talked)
        self.assertGreaterEqual(int(cast("re.Match[str]", talked)[1]), 1000)

    async def test_what_a_server_would_be_set_to_does_not_reach_it(self) -> None:
        shown, code = await self.run_demo("-m", "gosip_py", "demo", GOSIP_SIP__UDP="192.0.2.1:5060")
        self.assertEqual(code, 0, shown)

    async def test_a_wrong_password_is_told(self) -> None:
        shown, code = await self.run_plan('Plan(phone_password="not this one")')
        self.assertEqual(code, 1, shown)
        self.assertIn("NOT all of it happened: alice's REGISTER was refused with 401 Unauthorized", shown)
        self.assertNotIn("INVITE", shown)
        self.assertNotIn("not this one", shown)

    async def test_a_busy_phone_is_told(self) -> None:
        shown, code = await self.run_plan("Plan(answering=Answering(rings=0.1, status=486))")
        self.assertEqual(code, 1, shown)
        self.assertIn("NOT all of it happened: alice's INVITE was refused with 486 Busy Here", shown)

    async def test_a_phone_that_nobody_answers_is_told(self) -> None:
        shown, code = await self.run_plan("Plan(deadline=3, answering=Answering(rings=60))")
        self.assertEqual(code, 1, shown)
        self.assertIn("NOT all of it happened: it was not done within 3 s", shown)
        self.assertIn("180 Ringing", shown)

    async def test_interrupted_it_tidies_up(self) -> None:
        plan = PROGRAM.format(plan="Plan(answering=Answering(rings=60))")
        program = Program.start(
            self, "the demo", [sys.executable, "-u", "-c", plan], ROOT, environment=environment(self.temporary)
        )
        await program.seen("alice calls bob")
        code = await program.stop("INT")
        self.assertEqual(code, 1, program.output)
        self.assertIn("NOT all of it happened: it was interrupted", program.output)
        self.assertEqual(list(self.temporary.iterdir()), [])

    def assert_in_order(self, text: str, patterns: list[str]) -> None:
        at = 0
        for pattern in patterns:
            found = re.compile(pattern).search(text, at)
            self.assertIsNotNone(found, f"no {pattern} after {text[at:][:60]!r} in\n{text}")
            at = cast("re.Match[str]", found).end() - 1


class BooksTests(SynchronousTestCase):
    """What the demo takes for proof, and what it does not."""

    row: ClassVar[dict[str, object]] = {
        "caller_user": "alice",
        "callee_user": "bob",
        "result": "answered",
        "ended_by": "caller",
        "end_at": "2026-01-02T03:04:05.678Z",
    }
    session: ClassVar[dict[str, object]] = {"state": "terminated"}

    def test_one_call_that_its_caller_ended(self) -> None:
        require_books([self.row], [self.session], 0)

    def test_anything_else_is_told(self) -> None:
        wrong: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], float]] = {
            "has 0 rows": ([], [self.session], 0),
            "has 2 rows": ([self.row, self.row], [self.session], 0),
            "is not closed": ([{**self.row, "end_at": None}], [self.session], 0),
            "result failed": ([{**self.row, "result": "failed"}], [self.session], 0),
            "ended_by system": ([{**self.row, "ended_by": "system"}], [self.session], 0),
            "callee_user carol": ([{**self.row, "callee_user": "carol"}], [self.session], 0),
            r"sessions are \[\]": ([self.row], [], 0),
            "'active'": ([self.row], [{"state": "active"}], 0),
            "is 1 after the call": ([self.row], [self.session], 1),
        }
        for said, books in wrong.items():
            with self.subTest(said=said), self.assertRaisesRegex(DidNotHappen, said):
                require_books(*books)


class LadderTests(SynchronousTestCase):
    def test_steps_stand_in_the_order_of_their_times(self) -> None:
        drawn = draw(("a", "b"), [Step(7.0025, "b", "a", "200 OK"), Step(7.0, "a", "b", "BYE")])
        self.assertEqual(
            drawn.splitlines(),
            [
                "     ms   a                                 b",
                "      0.0 |------------- BYE -------------->|",
                "      2.5 |<------------ 200 OK ------------|",
            ],
        )

    def test_each_step_stands_between_its_parties(self) -> None:
        first, second, third = draw(("a", "b", "c"), [Step(0, "a", "b", "x"), Step(1, "c", "b", "y")]).splitlines()
        lifelines = [at for at, letter in enumerate(first) if letter in "abc"]
        for row in (second, third):
            self.assertEqual([at for at, letter in enumerate(row) if letter == "|"], lifelines)
        self.assertIn(" x ", second[lifelines[0] : lifelines[1]])
        self.assertIn("|<", third[lifelines[1] :])

    def test_it_fits_on_a_screen(self) -> None:
        drawn = draw(("alice", "gosip", "bob"), [Step(0, "gosip", "bob", "407 Proxy Authentication Required" * 3)])
        self.assertLessEqual(max(map(len, drawn.splitlines())), 80)
        self.assertIn("407 Proxy Auth", drawn)

    def test_a_step_past_a_party_is_refused(self) -> None:
        self.assertRaises(ValueError, draw, ("a", "b", "c"), [Step(0, "a", "c", "x")])

    def test_nothing_happened(self) -> None:
        self.assertEqual(len(draw(("a", "b"), []).splitlines()), 1)


INVITE = b"""INVITE sip:bob@192.0.2.2:5062 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKone
From: "Alice" <sip:alice@example.com>;tag=a1
To: <sip:bob@example.com>
Call-ID: c1
CSeq: 7 INVITE
Contact: <sip:alice@192.0.2.1:5061>
Content-Length: 0

""".replace(b"\n", b"\r\n")


class SoftphoneTests(TestCase):
    """Two phones without a server between them, over real sockets: what a user agent owes the other."""

    def setUp(self) -> None:
        self.seen: list[Sighting] = []

    def phone(self, name: str, server: str = f"sip:{LOOPBACK}:9", answering: Answering | None = None) -> Softphone:
        """A phone with this outbound proxy."""

        def note(is_sent: bool, message: Message) -> None:
            self.seen.append(Sighting(clock().seconds(), name, is_sent, message))

        account = Account(name, "example.com", "a password that nobody asks for")
        phone = Softphone(clock(), account, server, note, answering)
        self.addCleanup(lambda: Deferred.fromCoroutine(phone.stop()))
        return phone

    def pair(self, answering: Answering) -> tuple[Softphone, Softphone]:
        """A caller, and the callee that stands where its server would."""
        callee = self.phone("bob", answering=answering)
        return self.phone("alice", f"sip:{LOOPBACK}:{callee.port}"), callee

    def kinds(self, name: str, *, is_sent: bool) -> list[str]:
        return [each.kind for each in self.seen if each.phone == name and each.is_sent == is_sent]

    async def test_a_call_from_phone_to_phone(self) -> None:
        caller, callee = self.pair(Answering(looks=0, rings=0))
        call = await caller.call("bob")
        (answered,) = callee.calls
        self.assertEqual((answered.call_id, answered.local_tag), (call.call_id, call.remote_tag))
        await caller.hang_up(call)
        self.assertEqual(self.kinds("alice", is_sent=True), ["INVITE", "ACK", "BYE"])
        self.assertEqual(self.kinds("bob", is_sent=True), ["180 INVITE", "200 INVITE", "200 BYE"])
        self.assertEqual(callee.calls, ())

    async def test_a_refused_call_is_acknowledged_too(self) -> None:
        caller, callee = self.pair(Answering(looks=0, rings=0, status=603))
        with self.assertRaisesRegex(Refused, "alice's INVITE was refused with 603 Decline"):
            await caller.call("bob")
        self.assertEqual(self.kinds("alice", is_sent=True), ["INVITE", "ACK"])
        self.assertEqual(callee.calls, ())

    async def test_what_it_does_not_do_it_refuses(self) -> None:
        caller, _ = self.pair(Answering(looks=0, rings=0))
        with self.assertRaisesRegex(Refused, "alice's REGISTER was refused with 405"):
            await caller.register()

    async def test_a_2xx_is_repeated_until_its_ack(self) -> None:
        """RFC 3261 13.3.1.4; the caller is a bare socket, which does not acknowledge."""
        callee = self.phone("bob", answering=Answering(looks=0, rings=0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.bind((LOOPBACK, 0))
            own = f"{LOOPBACK}:{caller.getsockname()[1]}".encode()
            caller.sendto(INVITE.replace(b"192.0.2.9;branch", own + b";branch"), (LOOPBACK, callee.port))

            async def answers() -> int:
                return self.kinds("bob", is_sent=True).count("200 INVITE")

            await until(answers, lambda count: count >= 2)

    async def test_nobody_there_is_no_answer(self) -> None:
        caller = self.phone("alice", f"sip:{LOOPBACK}:{free_ports(1)[0]};transport=tcp")
        with self.assertRaisesRegex(NoAnswer, "alice's INVITE got no answer: 503"):
            await caller.call("bob")
