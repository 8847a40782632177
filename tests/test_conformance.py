"""The page of conformance is about the tests that are here, and its results are good ones."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gosip_py import __file__ as package
from tests.conformance import conforms, sections_of
from tests.conformance.elsewhere import REASONS, load_reasons
from tests.conformance.outline import RFCS, load, read
from tests.conformance.page import PAGE, render
from tests.conformance.run import Result, marked

ROOT = Path(package).resolve().parents[1]


class MarkTests(SynchronousTestCase):
    def test_a_mark_must_be_readable(self) -> None:
        self.assertRaises(ValueError, conforms, "3261 16.7")
        self.assertRaises(ValueError, conforms, "RFC 3261, 16")

    def test_marks_of_class_and_method_add_up(self) -> None:
        @conforms("RFC 3261 16")
        class Case:
            _testMethodName = "test"

            @conforms("RFC 3261 16.7", "RFC 3326")
            def test(self) -> None: ...

        self.assertEqual(sections_of(Case()), ("RFC 3261 16", "RFC 3261 16.7", "RFC 3326"))


class OutlineTests(SynchronousTestCase):
    def test_every_claimed_text_has_sections(self) -> None:
        outline = load()
        self.assertEqual(list(outline), list(RFCS))
        for rfc, sections in outline.items():
            self.assertTrue(sections, rfc)

    def test_headings_are_told_from_contents_and_text(self) -> None:
        text = "   4. Contents ... 3\n4. Here ....... 9\n4. Title\n   4. listed\n4.1 Part  one\n5. Beyond\n4.1 Again\n"
        self.assertEqual(read(text, range(4, 5)), {"4": "Title", "4.1": "Part one"})


class ElsewhereTests(SynchronousTestCase):
    def test_every_line_is_about_a_section_and_has_a_reason(self) -> None:
        listed = {f"RFC {rfc} {section}" for rfc, sections in load().items() for section in sections}
        for section, reason in load_reasons().items():
            self.assertIn(section, listed)
            self.assertTrue(reason.startswith(REASONS), reason)

    def test_a_section_that_asks_nothing_says_so_and_does_not_count(self) -> None:
        page = render([])
        self.assertIn("| 17 Transactions | *informative* | |", page)
        self.assertIn("| 16.7 Response Processing | none | |", page)
        asked = [name for name in load()[4320] if f"RFC 4320 {name}" not in load_reasons()]
        self.assertIn(f"| 4320 | Non-INVITE transactions | 0 of {len(asked)} | 0 |", page)

    def test_a_test_goes_before_a_reason(self) -> None:
        page = render([Result("tests.a.test_b.C.test_d", ("RFC 4320 4",), "passed")])
        self.assertIn("| 4 Normative Updates to RFC 3261 | `a.test_b.test_d` | passed |", page)


class PageTests(SynchronousTestCase):
    def test_a_failure_shows(self) -> None:
        page = render([Result("tests.a.test_b.C.test_d", ("RFC 3261 16.7",), "failed")])
        self.assertIn("| 16.7 Response Processing | `a.test_b.test_d` | a.test_b.test_d failed |", page)

    def test_the_page_is_about_the_tests_that_are_here(self) -> None:
        """Run ``make conformance`` after marking a test."""
        as_if_passed = render([Result(str(case.id()), sections_of(case), "passed") for case in marked()])
        self.assertEqual(PAGE.read_text("utf-8").splitlines(), as_if_passed.splitlines())
