"""Run the fuzzer: ``python -m tests.fuzz --seconds 60``.

Each target gets an equal share of the time in a process of its own. What made one break is written to a file, whose
name is printed; the exit code is 1 then, 0 when nothing broke, and 2 when atheris, the fuzzer, is not installed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("values", "streams", "descriptions", "server")
SEEDS = (*(HERE / "corpus" / name for name in NAMES), HERE.parent / "vectors")
LONGEST_INPUT = 8192
MOST_MEBIBYTES = 1024
INPUT_SECONDS = 10


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--corpus", type=Path, help="where to keep what was found interesting, for the next run")
    parser.add_argument("--target", choices=NAMES, action="append", help="only this one; may be given again")
    parser.add_argument("--fuzz", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str], fuzzer: str = "atheris") -> int:
    """The exit code."""
    options = arguments(argv)
    if importlib.util.find_spec(fuzzer) is None:
        print(f"{fuzzer} is not installed: pip install {fuzzer}", file=sys.stderr)
        return 2
    found = Path(tempfile.mkdtemp(prefix="gosip-fuzz-"))
    targets = options.target or NAMES
    for name in targets:
        print(f"fuzzing {name} for {options.seconds // len(targets)} s", flush=True)
        run(name, max(1, options.seconds // len(targets)), options.corpus or found / "corpus", found)
    broken = sorted(path for path in found.iterdir() if path.is_file())
    for path in broken:
        print(f"{path} breaks it")
    return 1 if broken else 0


def run(name: str, seconds: int, corpus: Path, found: Path) -> None:
    """One target in its own process, which ends at its first finding."""
    kept = corpus / name
    kept.mkdir(parents=True, exist_ok=True)
    settings = (
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-rss_limit_mb={MOST_MEBIBYTES}",
        f"-timeout={INPUT_SECONDS}",
        f"-dict={HERE / 'sip.dict'}",
        f"-artifact_prefix={found}/{name}-",
        "-verbosity=0",
        "-print_final_stats=1",
    )
    argv = [sys.executable, "-m", "tests.fuzz", f"--fuzz={name}", f"--found={found}", "--", *settings, str(kept)]
    argv += map(str, SEEDS)
    code = subprocess.run(argv, check=False, cwd=HERE.parent.parent).returncode
    if code and not any(path.name.startswith(f"{name}-") for path in found.iterdir()):
        (found / f"{name}-ended-with-{code}").write_bytes(b"")


def fuzz(name: str, found: Path, settings: Sequence[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["gosip_py"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = targets[name]

    def keeping(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            # As libFuzzer would name it; its own alarm may end the process before it has written anything.
            digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
            (found / f"{name}-crash-{digest}").write_bytes(data)
            raise

    atheris.Setup([f"fuzz-{name}", *settings], keeping)
    atheris.Fuzz()


if __name__ == "__main__":
    if "--" in sys.argv:
        at = sys.argv.index("--")
        options = arguments(sys.argv[1:at])
        fuzz(options.fuzz, options.found, sys.argv[at + 1 :])
    else:
        sys.exit(main(sys.argv[1:]))
