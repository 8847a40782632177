"""Every input of the corpus and every vector through the targets of the fuzzer, without the fuzzer."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.__main__ import NAMES, SEEDS, main
from tests.fuzz.scripts import Stage
from tests.fuzz.targets import TARGETS

_CORPUS = Path(__file__).parent / "corpus"
_CALL = (_CORPUS / "server" / "call").read_bytes()


def inputs() -> list[Path]:
    return sorted(path for folder in SEEDS for path in folder.rglob("*") if path.is_file())


class Corpus(SynchronousTestCase):
    def play_all(self, name: str) -> None:
        for path in inputs():
            try:
                TARGETS[name](path.read_bytes())
            except Exception as error:
                error.add_note(f"while {name} played {path}")
                raise

    def test_values(self) -> None:
        self.play_all("values")

    def test_streams(self) -> None:
        self.play_all("streams")

    def test_descriptions(self) -> None:
        self.play_all("descriptions")

    def test_server(self) -> None:
        self.play_all("server")

    def test_every_target_has_seeds(self) -> None:
        self.assertEqual(tuple(TARGETS), NAMES)
        for folder in SEEDS:
            self.assertGreater(len(list(folder.iterdir())), 5, folder)

    def test_without_the_fuzzer(self) -> None:
        self.assertEqual(main(["--seconds", "1"], "a_fuzzer_that_nobody_has"), 2)


class Scripts(SynchronousTestCase):
    """The peers do what the script says: a fuzzer that never makes a call would find little."""

    def titles(self, script: bytes) -> list[str]:
        stage = Stage()
        for piece in script.split(b"\x1e"):
            stage.play(piece)
        titles = stage.board.network.titles()
        stage.end()
        return titles

    def test_a_call(self) -> None:
        titles = self.titles(_CALL)
        self.assertEqual(titles.count("200 INVITE"), 2)
        self.assertEqual((titles.count("ACK"), titles.count("BYE"), titles.count("200 BYE")), (2, 2, 2))

    def test_a_call_by_the_switch(self) -> None:
        titles = self.titles((_CORPUS / "server" / "switch-call").read_bytes())
        self.assertEqual(titles.count("200 INVITE"), 2)
        self.assertEqual((titles.count("ACK"), titles.count("BYE"), titles.count("200 BYE")), (2, 2, 2))

    def test_what_is_done_within_a_call(self) -> None:
        for name, title in (
            ("switch-hold", "200 INVITE"),
            ("switch-refer", "202 REFER"),
            ("switch-prack", "200 PRACK"),
            ("switch-update", "200 UPDATE"),
            ("switch-replaces", "BYE"),
        ):
            self.assertIn(title, self.titles((_CORPUS / "server" / name).read_bytes()), name)

    def test_a_call_over_a_connection(self) -> None:
        titles = self.titles((_CORPUS / "server" / "stream-call").read_bytes())
        self.assertEqual([title for title in titles if title in ("INVITE", "ACK", "BYE")], ["INVITE", "ACK", "BYE"])

    def test_credentials(self) -> None:
        titles = self.titles((_CORPUS / "server" / "register").read_bytes())
        self.assertEqual(titles, ["REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER", "REGISTER", "200 REGISTER"])

    def test_a_failure_is_noticed(self) -> None:
        stage = Stage()
        stage.play(_CALL.split(b"\x1e")[0])
        stage.board.transport.counts.internal_errors += 1
        self.assertRaises(AssertionError, stage.end)

    def test_what_is_left_is_noticed(self) -> None:
        stage = Stage()
        stage.board.metrics.calls_active.read_from(lambda: 1)
        self.assertRaises(AssertionError, stage.end)
