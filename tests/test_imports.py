"""Who may import whom, and the names and edges that the house style rules out."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gosip_py"

FORBIDDEN_WORDS = frozenset(
    ["manager", "handler", "processor", "engine", "helper", "util", "common", "misc", "base", "data", "info"]
)

SIGNALLING = ("sip", "transport", "transaction", "dialog")
OUT_OF_ITS_REACH = ("store", "media")
PURE = ("sip", "fsm", "transaction.machines", "dialog.table", "rules.match")
PURE_MEDIA = ("sdp", "rtp", "rtcp", "srtp", "keying", "zrtp", "dtmf", "g711", "codecs", "jitter", "wav")
OUTSIDE = {"twisted", "asyncio", "socket", "time"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def exists(dotted: str) -> bool:
    path = PACKAGE.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def contract(name: str) -> dict[str, set[str]]:
    """The options of one contract of setup.cfg, each as the set of its lines."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return {option: set(value.split()) for option, value in parser[f"importlinter:contract:{name}"].items()}


class ContractTests(TestCase):
    async def test_the_contracts_of_setup_cfg_are_kept(self) -> None:
        code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
        out, err, status = await getProcessOutputAndValue(sys.executable, ["-c", code], path=str(ROOT))
        self.assertEqual(status, 0, (out + err).decode())
        self.assertIn(b"0 broken", out)


class CoverageTests(SynchronousTestCase):
    """A room that lands must also be named in the contracts that are not exhaustive by themselves."""

    def test_signalling(self) -> None:
        options = contract("signalling")
        self.assertLessEqual({f"gosip_py.{room}" for room in SIGNALLING if exists(room)}, options["source_modules"])
        self.assertLessEqual(
            {f"gosip_py.{room}" for room in OUT_OF_ITS_REACH if exists(room)}, options["forbidden_modules"]
        )

    def test_pure_rooms(self) -> None:
        options = contract("pure")
        pure = [*PURE, *(f"media.{name}" for name in PURE_MEDIA)]
        self.assertLessEqual({f"gosip_py.{name}" for name in pure if exists(name)}, options["source_modules"])
        self.assertEqual(options["forbidden_modules"], OUTSIDE)

    def test_rooms_are_exhaustive(self) -> None:
        self.assertEqual(contract("rooms")["exhaustive"], {"True"})


class CircleTests(SynchronousTestCase):
    def test_no_imports_go_in_a_circle(self) -> None:
        # grimp sees imports inside of functions as well, so that none can hide a circle.
        graph = grimp.build_graph("gosip_py", cache_dir=None, exclude_type_checking_imports=True)
        order = TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
        self.assertIn("gosip_py.fsm", list(order.static_order()))


class DropinTests(SynchronousTestCase):
    def test_the_plugin_directory_has_no_init(self) -> None:
        # With one, this directory would hide Twisted's own plugins, or Twisted.
        self.assertTrue((ROOT / "twisted" / "plugins" / "gosip_plugin.py").is_file())
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py*")), [])


def words(name: str) -> list[str]:
    """The words of a name in snake_case or CamelCase, in lower case and singular."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return [word for part in parts for word in (part.lower(), part.lower().removesuffix("s"))]


def is_called_by_twisted(name: str) -> bool:
    """camelCase is only written where Twisted calls us, and then Twisted chose the name: dataReceived."""
    return name[0].islower() and name != name.lower()


class NameTests(SynchronousTestCase):
    def test_words(self) -> None:
        self.assertEqual(words("TCPHandlers"), ["tcp", "tcp", "handlers", "handler"])
        self.assertIn("util", words("sip_utils"))
        self.assertNotIn("base", words("database"))

    def test_no_file_class_or_function_is_named_after_nothing(self) -> None:
        found = []
        for path, tree in modules():
            defined = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
            defined += [node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
            names = [*Path(path).with_suffix("").parts, *(name for name in defined if not is_called_by_twisted(name))]
            found += [f"{path}: {name}" for name in names if FORBIDDEN_WORDS.intersection(words(name))]
        self.assertEqual(found, [])


def is_broad(caught: ast.expr | None) -> bool:
    """Whether an except clause catches everything."""
    types = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id.endswith("Exception")) for kind in types)


def called(node: ast.AST) -> set[str]:
    """The last names of what is called anywhere inside: {"failure"} for self.log.failure(...)."""
    functions = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in functions}


def silent_edges(tree: ast.Module) -> list[int]:
    """The lines that catch everything and neither log it as a failure, nor raise it again, nor carry on a Failure.

    Logging may be left to a function of the same module.
    """
    tellers = {"failure", "Failure"}
    tellers |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and "failure" in called(node)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and is_broad(node.type)
        and not tellers.intersection(called(node))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]


class EdgeTests(SynchronousTestCase):
    def assert_told(self, clause: str) -> None:
        self.assertEqual(silent_edges(ast.parse(f"def tell():\n    log.failure('x')\ntry: x\n{clause}")), [], clause)

    def test_what_is_told(self) -> None:
        self.assert_told("except Exception: log.failure('x')")
        self.assert_told("except Exception: self.tell()")
        self.assert_told("except Exception: outcome = Failure()")
        self.assert_told("except BaseException:\n    close()\n    raise")
        self.assert_told("except ValueError: pass")

    def test_what_is_silent(self) -> None:
        for clause in ("except Exception: pass", "except (ValueError, BaseException): y()", "except: y()"):
            self.assertEqual(silent_edges(ast.parse(f"try: x\n{clause}")), [2], clause)

    def test_whoever_catches_everything_tells(self) -> None:
        silent = {path: lines for path, tree in modules() if (lines := silent_edges(tree))}
        self.assertEqual(silent, {})
