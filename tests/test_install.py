"""`pip install .` in a clean environment elsewhere gives a `twistd` that knows gosip, and the schema as a resource."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "gosip_py", "sql", "twisted")

# Not the variables of whoever runs the tests: PYTHONPATH would let the installation borrow the checkout.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "HOME": os.environ.get("HOME", "/"),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}

# What the script `twistd` does; the script itself stands in the borrowed environment and would run its Python.
TWISTD = "from twisted.scripts.twistd import run; run()"

RESOURCES = """
import importlib.resources, gosip_py
print(gosip_py.__file__)
print(*sorted(entry.name for entry in importlib.resources.files("gosip_py.store.sql").iterdir()))
"""


class InstallTests(TestCase):
    timeout = 300

    async def setUp(self) -> None:
        self.top = Path(self.mktemp()).resolve()
        self.source = self.top / "source"
        self.python = self.top / "venv" / "bin" / "python"
        self.elsewhere = self.top / "elsewhere"
        self.elsewhere.mkdir(parents=True)
        self.copy_sources()
        await self.run_to_end(sys.executable, "-m", "venv", "--without-pip", str(self.top / "venv"))
        # Everything but gosip is borrowed from the environment of the tests, so that nothing need be downloaded.
        borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (self.site_packages() / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
        pip = ("-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps", "--no-build-isolation")
        await self.run_to_end(sys.executable, *pip, "--no-index", str(self.source))

    def copy_sources(self) -> None:
        """A copy, for building leaves build/ and an egg-info behind, and takes old ones into the wheel."""
        self.source.mkdir()
        left_out = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.source / name, symlinks=True, ignore=left_out)
            else:
                shutil.copy2(ROOT / name, self.source / name)

    def site_packages(self) -> Path:
        (found,) = (self.top / "venv" / "lib").glob("python3*/site-packages")
        return found

    async def run_to_end(self, executable: str | Path, *arguments: str) -> str:
        out, err, status = await getProcessOutputAndValue(
            str(executable), arguments, env=ENVIRONMENT, path=str(self.elsewhere)
        )
        self.assertEqual(status, 0, (out + err).decode())
        return out.decode()

    async def test_what_was_installed(self) -> None:
        listed = await self.run_to_end(self.python, "-c", TWISTD, "--help")
        self.assertRegex(listed, r"\n +gosip +A telephony server")
        self.assertRegex(listed, r"\n +web +")
        origin, schema = (await self.run_to_end(self.python, "-c", RESOURCES)).splitlines()
        self.assertTrue(origin.startswith(str(self.site_packages())), origin)
        self.assertEqual(schema.split(), sorted(path.name for path in (ROOT / "sql").glob("*.sql")))
        self.assertTrue((self.top / "venv" / "bin" / "gosip").is_file())
        self.assertTrue((self.site_packages() / "gosip_py" / "py.typed").is_file())

    async def test_the_server_can_be_asked_for_its_options(self) -> None:
        shown = await self.run_to_end(self.python, "-c", TWISTD, "gosip", "--help")
        self.assertIn("--data-dir", shown)
        self.assertIn("--config", shown)
