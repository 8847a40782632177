"""The programs that nobody here wrote and that some tests talk to."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.requirements_gate import require

# Debian keeps the server programs of PostgreSQL out of PATH; the newest version comes last.
DIRECTORIES = ("lib/postgresql/*/bin", "pgsql-*/bin", "local/pgsql/bin")


def find(program: str) -> str | None:
    """The path of the program, or None."""
    elsewhere = [path for pattern in DIRECTORIES for path in sorted(Path("/usr").glob(f"{pattern}/{program}"))]
    return shutil.which(program) or (str(elsewhere[-1]) if elsewhere else None)


def need(program: str) -> str:
    """The path of the program; without it the test is skipped, or fails where GOSIP_TEST_REQUIRE=all."""
    path = find(program)
    require(path is not None, f"{program} is not installed")
    return str(path)
