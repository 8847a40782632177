"""What is missing skips a test, or fails it where nothing may skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.peers import find, need

ROOT = Path(__file__).parents[1]
ASK = "from tests.peers import need; need('no-such-program')"


class PeersTests(SynchronousTestCase):
    def complaint(self, required: str) -> str:
        environment = {**os.environ, "GOSIP_TEST_REQUIRE": required}
        asked = subprocess.run(
            [sys.executable, "-c", ASK], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        return asked.stderr.splitlines()[-1]

    def test_what_is_there_is_found(self) -> None:
        self.assertTrue(Path(need("sh")).is_file())
        self.assertIsNone(find("no-such-program"))

    def test_what_is_missing_skips(self) -> None:
        self.assertEqual(self.complaint(""), "twisted.trial.unittest.SkipTest: no-such-program is not installed")

    def test_or_fails(self) -> None:
        expected = "twisted.trial.unittest.FailTest: no-such-program is not installed, and GOSIP_TEST_REQUIRE=all"
        self.assertEqual(self.complaint("all"), expected)
