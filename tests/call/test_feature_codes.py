"""What is dialled to have the server do something."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.feature_codes import CATALOGUE, FeatureCodes, is_code
from gosip_py.store.records import FeatureCode


class Book:
    def __init__(self) -> None:
        self.changes: tuple[FeatureCode, ...] = ()

    def feature_codes(self) -> tuple[FeatureCode, ...]:
        return self.changes


class CatalogueTests(SynchronousTestCase):
    def test_names_and_codes_are_there_once(self) -> None:
        self.assertEqual(len({feature.name for feature in CATALOGUE}), len(CATALOGUE))
        self.assertEqual(len({feature.code for feature in CATALOGUE}), len(CATALOGUE))
        self.assertTrue(all(is_code(feature.code) for feature in CATALOGUE))

    def test_those_that_were_promised(self) -> None:
        codes = {feature.name: feature.code for feature in CATALOGUE}
        expected = {
            "echo_test": "*43",
            "forward_on": "*72",
            "forward_off": "*73",
            "dnd_on": "*78",
            "dnd_off": "*79",
            "voicemail": "*97",
            "pickup": "*8",
            "park": "*68",
        }
        self.assertEqual({name: codes[name] for name in expected}, expected)


class FindTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.book = Book()
        self.codes = FeatureCodes(self.book)

    def find(self, dialled: str) -> list[tuple[str, str]]:
        return [(found.feature.name, found.argument) for found in self.codes.find(dialled)]

    def test_the_longest_first(self) -> None:
        self.assertEqual(self.find("*80200"), [("intercom", "200"), ("pickup", "0200")])
        self.assertEqual(self.find("*8200"), [("pickup", "200")])

    def test_without_an_argument(self) -> None:
        self.assertEqual(self.find("*8"), [("pickup", "")])
        self.assertEqual(self.find("*78"), [("dnd_on", "")])
        self.assertEqual(self.find("*72"), [])
        self.assertEqual(self.find("*80"), [("pickup", "0")])

    def test_with_an_argument(self) -> None:
        self.assertEqual(self.find("*72+493012345"), [("forward_on", "+493012345")])
        self.assertEqual(self.find("*8bob"), [("pickup", "bob")])
        self.assertEqual(self.find("*781"), [])
        for argument in ("*97", "a b", "<x>", "1" * 65, "+", "1;x=y"):
            self.assertEqual(self.find(f"*72{argument}"), [], argument)

    def test_what_is_no_code(self) -> None:
        for dialled in ("", "*", "200", "alice", "*9", "72"):
            self.assertEqual(self.find(dialled), [])

    def test_a_code_that_was_changed(self) -> None:
        self.book.changes = (FeatureCode("dnd_on", "#1", True, 0.0),)
        self.assertEqual(self.find("#1"), [("dnd_on", "")])
        self.assertEqual(self.find("*78"), [])
        self.book.changes = ()
        self.assertEqual(self.find("#1"), [])
        self.assertEqual(self.find("*78"), [("dnd_on", "")])

    def test_a_code_that_is_switched_off(self) -> None:
        self.book.changes = (FeatureCode("dnd_on", "*78", False, 0.0),)
        self.assertEqual(self.find("*78"), [])

    def test_a_code_that_nobody_can_dial(self) -> None:
        for code in ("", "abc", "1" * 11, "*7 8"):
            self.book.changes = (FeatureCode("dnd_on", code, True, 0.0), FeatureCode("unknown", "*1", True, 0.0))
            self.assertEqual((self.find(code), self.find("*1")), ([], []))
