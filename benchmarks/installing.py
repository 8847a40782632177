"""Peers from PyPI, each in an environment of its own, so that what they need does not stand among what we need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

INSTALL_SECONDS = 300.0


class Installed:
    """One version of a package. It is installed when it is first asked for, and kept inside our own environment."""

    def __init__(self, package: str, version: str, environments: Path = Path(sys.prefix) / "peers") -> None:
        self._requirement = f"{package}=={version}"
        self._directory = environments / f"{package}-{version}"
        self._complaint: str | None = None

    def absence(self) -> str:
        """Why it cannot be had, "" when it is there."""
        if sys.prefix == sys.base_prefix:
            return "is only installed from within a virtual environment (make bench)"
        if self._complaint is None:
            self._complaint = "" if self._is_complete.exists() else self._install()
        return self._complaint

    def program(self, name: str) -> Path:
        """The path of a command that it brings."""
        return self._directory / "bin" / name

    @property
    def _is_complete(self) -> Path:
        return self._directory / "is-complete"

    def _install(self) -> str:
        pip = [str(self.program("python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for argv in ([sys.executable, "-m", "venv", "--clear", str(self._directory)], [*pip, self._requirement]):
            try:
                subprocess.run(argv, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{self._requirement} was not installed: {error}"
            except subprocess.CalledProcessError as error:
                lines = (error.stderr or error.stdout or str(error)).strip().splitlines()
                return f"{self._requirement} was not installed: {lines[-1]}"
        self._is_complete.touch()
        return ""
