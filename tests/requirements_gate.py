"""Whether a test may be skipped for want of something: not where GOSIP_TEST_REQUIRE=all, as CI has it."""

from __future__ import annotations

import os

from twisted.trial.unittest import FailTest, SkipTest


def require(available: bool, reason: str) -> None:
    """Return when the thing is there; else raise SkipTest with the reason, or FailTest where nothing may skip."""
    if available:
        return
    if os.environ.get("GOSIP_TEST_REQUIRE") == "all":
        raise FailTest(f"{reason}, and GOSIP_TEST_REQUIRE=all")
    raise SkipTest(reason)
