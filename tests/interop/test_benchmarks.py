"""The arithmetic of the benchmark: a wrong figure would be believed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import OTHER_B2BUA, OURS, aligned, bridged_table, failures, highest, judged, ratio
from benchmarks.campaign import BRIDGED_CALL, CALL, REGISTRATION, Ceiling, Memory, Phase, Results, Sample, ceiling
from benchmarks.installing import Installed
from benchmarks.load import Tally, read_counts, write_rows
from benchmarks.measure import cpu_seconds, family, memory_kib, parent_of

HIGH = Phase("high", 1000, 4.0)


def tally(asked: int = 100, succeeded: int = 100, retransmissions: int = 0) -> Tally:
    return Tally(asked, asked, succeeded, retransmissions, seconds=1.0, busy=0.1)


def sample(peer: str, number: int, cpu_ms: float, counted: Tally | None = None) -> Sample:
    return Sample(peer, "registration", "high", number, cpu_ms, counted or tally())


def gives_way_above(limit: int, tried: list[int]) -> Callable[[int], str]:
    def try_rate(rate: int) -> str:
        tried.append(rate)
        return "server" if rate > limit else ""

    return try_rate


class CeilingTests(SynchronousTestCase):
    def test_the_highest_good_rate_is_closed_in_on(self) -> None:
        tried: list[int] = []
        self.assertEqual(ceiling(gives_way_above(5000, tried), 1000, 3), (5000, "server"))
        self.assertEqual(tried, [1000, 2000, 4000, 8000, 6000, 5000, 5500])

    def test_a_start_that_is_too_much_finds_what_is_not(self) -> None:
        self.assertEqual(ceiling(gives_way_above(600, []), 1000, 1), (500, "server"))
        self.assertEqual(ceiling(gives_way_above(0, []), 1000, 1), (0, "server"))

    def test_who_never_gives_way_is_not_said_to(self) -> None:
        self.assertEqual(ceiling(lambda rate: "", 1000, 3), (32000, "nobody"))


class TableTests(SynchronousTestCase):
    def test_the_ratio_is_the_median_of_the_rounds_own(self) -> None:
        samples = [sample(OURS, 1, 2.0), sample("peer", 1, 1.0), sample(OURS, 2, 9.0), sample("peer", 2, 3.0)]
        samples += [sample(OURS, 3, 4.0), sample("peer", 3, 4.0)]
        self.assertEqual(ratio(samples, "peer", HIGH), "2.00")

    def test_a_round_in_which_nothing_succeeded_counts_for_nothing(self) -> None:
        samples = [sample(OURS, 1, 2.0), sample("peer", 1, 999.0, tally(succeeded=0))]
        self.assertEqual(ratio(samples, "peer", HIGH), "-")

    def test_a_bridged_call_is_compared_round_by_round_with_sippy_and_with_the_proxied_one(self) -> None:
        tally_ = tally()
        costs = [(OURS, BRIDGED_CALL, 2.0), (OTHER_B2BUA, BRIDGED_CALL, 5.0), (OURS, CALL, 0.5)]
        samples = [Sample(peer, kind.name, "light", 1, cost, tally_) for peer, kind, cost in costs]
        _, _, sippy, proxied = bridged_table(Results(samples=samples)).splitlines()
        self.assertEqual(sippy.split(), "bridged / sippy 0.40 - - <= 0.5 met".split())
        self.assertEqual(proxied.split(), "bridged / proxied 4.00 - - <= 2.2 MISSED 50/s".split())

    def test_what_was_not_measured_meets_nothing(self) -> None:
        self.assertEqual(judged({"50/s": None}, 0.5), "not measured")

    def test_failures_are_marked_above_one_in_a_thousand(self) -> None:
        self.assertEqual(failures([sample("peer", 1, 1.0, tally(1000, 999))], "peer"), "1 of 1000")
        self.assertEqual(failures([sample("peer", 1, 1.0, tally(1000, 998))], "peer"), "2 of 1000 (!)")

    def test_a_rate_that_the_load_generator_limited_is_a_lower_bound(self) -> None:
        results = Results(
            ceilings=[Ceiling("a", "registration", 700, "server"), Ceiling("b", "registration", 800, "load")]
        )
        cells = [highest(results, REGISTRATION, name) for name in ("a", "b", "c")]
        self.assertEqual(cells, ["700/s", ">=800/s", "-"])

    def test_memory_is_told_per_binding_and_per_call(self) -> None:
        memory = Memory(
            "peer",
            bindings=100,
            calls=10,
            idle_kib=1000,
            loaded_kib=3000,
            settled_kib=1200,
            before_calls_kib=1100,
            held_kib=1150,
            failed=0,
        )
        self.assertEqual((memory.kib_per_binding, memory.kib_per_call), (2.0, 5.0))

    def test_columns_stand_under_their_heads(self) -> None:
        self.assertEqual(aligned([["", "ms"], ["gosip", "0.25"]]), "         ms\ngosip  0.25")


class InstallingTests(SynchronousTestCase):
    def test_what_cannot_be_installed_is_told_once_and_left_out(self) -> None:
        path = Path(self.mktemp())
        path.write_text("a file where a directory should be")
        installed = Installed("sippy", "0", path)
        self.assertIn("sippy==0 was not installed", installed.absence())
        self.assertEqual(installed.absence(), installed.absence())

    def test_what_is_there_is_not_installed_again(self) -> None:
        path = Path(self.mktemp())
        (path / "sippy-9").mkdir(parents=True)
        (path / "sippy-9" / "is-complete").touch()
        installed = Installed("sippy", "9", path)
        self.assertEqual(installed.absence(), "")
        self.assertEqual(installed.program("b2bua_simple"), path / "sippy-9" / "bin" / "b2bua_simple")


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_the_last_line_of_sipps_statistics_counts(self) -> None:
        self.path.write_text("A;SuccessfulCall(C);\nx;1;\ny;7;\n")
        self.assertEqual(read_counts(self.path)["SuccessfulCall(C)"], "7")

    def test_no_statistics_are_no_successes(self) -> None:
        self.assertEqual(read_counts(self.path), {})

    def test_an_operation_that_never_began_has_failed(self) -> None:
        counted = Tally(asked=10, created=4, succeeded=4, retransmissions=0, seconds=1.0, busy=0.0)
        self.assertEqual(counted.failed, 6)
        self.assertFalse(counted.is_clean)
        self.assertFalse(tally(retransmissions=1).is_clean)
        self.assertTrue(tally().is_clean)

    def test_injection_files_are_read_in_order(self) -> None:
        write_rows(self.path, [("a", "b"), ("c", "d")])
        self.assertEqual(self.path.read_text(), "SEQUENTIAL\na;b\nc;d\n")


class MeasureTests(SynchronousTestCase):
    def test_a_command_with_parentheses_does_not_hide_the_parent(self) -> None:
        self.assertEqual(parent_of("12 (a) b (c)) S 7 12 12 0"), 7)

    def test_a_process_belongs_to_its_own_family_and_its_parents(self) -> None:
        self.assertIn(os.getpid(), family(os.getpid()))
        self.assertIn(os.getpid(), family(os.getppid()))

    def test_work_is_seen_as_cpu_time(self) -> None:
        before, spent = cpu_seconds(os.getpid()), time.process_time()
        while time.process_time() - spent < 0.05:
            pass
        self.assertGreater(cpu_seconds(os.getpid()) - before, 0.03)

    def test_memory_that_is_used_is_seen(self) -> None:
        before = memory_kib(os.getpid())
        held = bytearray(os.urandom(32 * 1024 * 1024))
        self.assertGreater(memory_kib(os.getpid()) - before, 24 * 1024)
        self.assertEqual(len(held), 32 * 1024 * 1024)
