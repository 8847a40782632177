"""The sizes that CONTRIBUTING promises, counted over gosip_py."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent / "gosip_py"

MEDIAN_LINES = 10
MOST_LINES = 40
MOST_SHARE = 0.95
FUNCTION_LINES = 60
FILE_LINES = 500


def function_lengths(source: str) -> dict[str, int]:
    """Lines of each function of a module, from its def to its last line, by name and line number."""
    return {
        f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def all_function_lengths() -> dict[str, int]:
    return {
        f"{path.relative_to(ROOT)}:{name}": length
        for path in sorted(ROOT.rglob("*.py"))
        for name, length in function_lengths(path.read_text()).items()
    }


class CountTests(SynchronousTestCase):
    def test_nested_functions_and_methods_count_and_decorators_do_not(self) -> None:
        source = (
            "@x\ndef one():\n    async def two():\n        pass\n    return 1\nclass C:\n    def three(self): pass\n"
        )
        self.assertEqual(function_lengths(source), {"one:2": 4, "two:3": 2, "three:7": 1})

    def test_there_is_something_to_count(self) -> None:
        self.assertGreater(len(all_function_lengths()), 50)


class SizeTests(SynchronousTestCase):
    def test_no_function_is_long(self) -> None:
        self.assertEqual({name: n for name, n in all_function_lengths().items() if n > FUNCTION_LINES}, {})

    def test_most_functions_are_short(self) -> None:
        lengths = all_function_lengths()
        longer = sorted(((n, name) for name, n in lengths.items() if n >= MOST_LINES), reverse=True)
        self.assertLessEqual(len(longer), (1 - MOST_SHARE) * len(lengths), longer)

    def test_the_median_function_is_small(self) -> None:
        self.assertLessEqual(median(all_function_lengths().values()), MEDIAN_LINES)

    def test_no_file_is_long(self) -> None:
        lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
        self.assertEqual({name: n for name, n in lengths.items() if n >= FILE_LINES}, {})
