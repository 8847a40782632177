"""Some hundreds of seeds, and what the tool promises: a seed tells everything, and a broken invariant is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.bridge import Bridge
from gosip_py.call.call import Call
from gosip_py.call.leg import Leg
from gosip_py.call.transfers import ReferReport
from gosip_py.proxy.branch import Branch
from gosip_py.proxy.fork import ResponseContext
from gosip_py.proxy.outcome import CallOutcome
from gosip_py.proxy.session import Sessions
from tests.chaos.__main__ import main
from tests.chaos.office import Office
from tests.chaos.play import Run, play, play_office
from tests.conformance import conforms

SEEDS = 600
OFFICE_SEEDS = 300
RESULTS = {"answered", "cancelled", "failed", "no_answer", "rejected"}
# What must have happened in so many, or they would show little.
WAYS = {
    "forward", "hang_up done", "hold done", "merge", "park done", "pickup", "replace", "REFER 202 200", "REFER 202 404",
    "REFER 491 0", "REFER 603 0", "resume done", "retrieve", "start done", "transfer done",
}  # fmt: skip
TELLING = 39  # one with a connection that breaks under several transactions
ROOT = Path(__file__).parents[2]


@conforms("RFC 3261 12.2", "RFC 3261 13.2.2.4", "RFC 3261 15.1", "RFC 3261 16.7", "RFC 3261 17", "RFC 6026 7")
class ChaosTests(SynchronousTestCase):
    def test_nothing_breaks_and_nothing_is_left(self) -> None:
        endings: Counter[tuple[str, str]] = Counter()
        finals: Counter[int] = Counter()
        broken = []
        for seed in range(SEEDS):
            run = play(seed)
            broken += [f"seed {seed}: {breach}" for breach in run.breaches]
            endings.update((event.result, event.ended_by) for event in run.world.board.books.ended)
            finals.update(final for exchange in run.world.exchanges for final in exchange.finals)
        self.assertEqual(broken, [])
        self.has_led_everywhere(endings, finals)

    def has_led_everywhere(self, endings: Counter[tuple[str, str]], finals: Counter[int]) -> None:
        """Or the seeds would show little."""
        results = {"answered", "cancelled", "failed", "no_answer", "redirected", "rejected"}
        self.assertEqual({result for result, _ in endings}, results)
        self.assertEqual({by for result, by in endings if result == "answered"}, {"callee", "caller", "system"})
        self.assertLessEqual({202, 302, 407, 421, 422, 480, 481, 482, 483, 486, 487, 491, 500, 603}, set(finals))


@conforms("RFC 3515 2.4.4", "RFC 3891 3", "RFC 3262 3", "RFC 3264 6.1", "RFC 3264 8")
class OfficeTests(SynchronousTestCase):
    def test_nothing_breaks_and_nothing_is_left(self) -> None:
        endings: Counter[tuple[str, str]] = Counter()
        seen: Counter[str] = Counter()
        broken = []
        for seed in range(OFFICE_SEEDS):
            run = play_office(seed)
            broken += [f"seed {seed}: {breach}" for breach in run.breaches]
            office = cast(Office, run.world)
            endings.update((event.result, event.ended_by) for event in office.board.books.ended)
            seen.update(f"{note.kind} {note.what.get('result', '')[:4]}".rstrip() for note in office.noted)
            seen.update(f"REFER {referral.status} {referral.final}" for referral in office.referrals)
            seen.update(f"{command.name} {command.outcome}" for command in office.commands)
        self.assertEqual(broken, [])
        self.assertLessEqual(RESULTS, {result for result, _ in endings})
        self.assertLessEqual({"callee", "caller", "system"}, {by for result, by in endings if result == "answered"})
        self.assertEqual(WAYS - seen.keys(), set())


class SameSeedTests(SynchronousTestCase):
    def ladder(self, hash_seed: str, kind: str = "proxy") -> str:
        """In a process of its own, whose sets and dictionaries of strings are in an order of their own."""
        command = [sys.executable, "-m", "tests.chaos", "--seed", str(TELLING), "--ladder", "--only", kind]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def test_it_plays_the_same_in_every_process(self) -> None:
        ladder = self.ladder("1")
        self.assertEqual(ladder, self.ladder("2"))
        self.assertIn(" breaks\n", ladder)
        self.assertIn("LOST", ladder)

    def test_so_does_an_office(self) -> None:
        ladder = self.ladder("1", "switch")
        self.assertEqual(ladder, self.ladder("2", "switch"))
        self.assertIn(" is answered\n", ladder)

    def test_it_does_not_matter_what_was_played_before(self) -> None:
        first = play(TELLING).ladder()
        play(TELLING + 1)
        self.assertEqual(play(TELLING).ladder(), first)
        self.assertNotEqual(play(TELLING + 1).ladder(), first)


class CommandTests(SynchronousTestCase):
    def run_main(self, *arguments: str) -> tuple[int, str]:
        output = StringIO()
        with redirect_stdout(output):
            code = main(arguments)
        return code, output.getvalue()

    def test_it_says_how_fast_it_was(self) -> None:
        code, output = self.run_main("--seeds", "3", "--from", "5", "--jobs", "1", "--only", "proxy")
        self.assertEqual(code, 0)
        self.assertIn("3 seeds with a proxy in ", output)

    def test_two_processes(self) -> None:
        self.assertEqual(self.run_main("--seeds", "4", "--jobs", "2", "--only", "proxy")[0], 0)

    def test_both_kinds_of_worlds(self) -> None:
        code, output = self.run_main("--seeds", "2", "--jobs", "1")
        self.assertEqual((code, output.count(" seeds with a ")), (0, 2))

    def test_a_broken_invariant_is_told_with_its_seed(self) -> None:
        # A caller's giving up goes unnoticed, and whoever is called rings on.
        self.patch(ResponseContext, "receive_cancel", lambda *_: None)
        code, output = self.run_main("--seeds", "100", "--jobs", "1", "--only", "proxy")
        self.assertEqual(code, 1)
        self.assertRegex(output, r"seed [0-9]+: .*INVITE of call@.* was not answered: timeout")
        self.assertIn("seeds broke an invariant", output)


class SensitivityTests(SynchronousTestCase):
    """What breaks the server on purpose is found, so that seeds that break nothing say something."""

    def finds(self, text: str, seeds: int = 200, play: Callable[[int], Run] = play) -> None:
        """Some seed of so many breaks an invariant in these words."""
        for seed in range(seeds):
            if any(text in breach for breach in play(seed).breaches):
                return
        self.fail(f"{seeds} seeds, and none of them tells: {text}")

    def test_a_journal_that_forgets_failures(self) -> None:
        self.patch(CallOutcome, "failure", lambda *_: None)
        self.finds("calls started and ")

    def test_hops_that_are_not_counted(self) -> None:
        self.patch(sys.modules["gosip_py.proxy.route"], "_count_down", lambda _copy: None)
        self.finds("Max-Forwards of a")

    def test_a_call_that_nobody_ends(self) -> None:
        self.patch(Sessions, "_watch", lambda *_: None)
        self.finds("was never hung up on")

    def test_an_answer_that_comes_too_late_and_is_not_turned_down(self) -> None:
        self.patch(Branch, "turn_down", lambda *_: None)
        self.finds("was never acknowledged")

    def test_an_impatience_that_never_comes(self) -> None:
        self.patch(Branch, "_restart_timer_c", lambda *_: None)
        self.finds("active dialogs, dialogs, calls, transactions: ")

    def test_a_leg_that_nobody_hangs_up(self) -> None:
        self.patch(Bridge, "ended", lambda _self, leg, _ending: leg.drop())
        self.finds("half for ", play=play_office)

    def test_a_refer_of_which_nobody_hears_again(self) -> None:
        self.patch(ReferReport, "succeeded", lambda *_: None)
        self.finds(" ended with 1", play=play_office)

    def test_a_lamp_that_stays(self) -> None:
        self.patch(Call, "set_lamp", lambda self, number: setattr(self, "lamp", number))
        self.finds("the lamp of ", play=play_office)

    def test_a_session_that_is_not_numbered(self) -> None:
        self.patch(Leg, "describe", lambda _self, sdp: sdp)
        self.finds("session ", play=play_office)

    def test_an_error_in_the_log(self) -> None:
        self.patch(CallOutcome, "provisional", lambda *_: 1 / 0)
        self.finds("logged: ")
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)
