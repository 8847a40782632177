"""How long the hypothesis tests look: a few seconds, or as long as it takes with GOSIP_HYPOTHESIS=long."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["IS_LONG", "examples"]

IS_LONG = os.environ.get("GOSIP_HYPOTHESIS") == "long"
_LONGER = 100


def examples(count: int) -> settings:
    """So many examples, a hundred times as many in a long run.

    Every short run sees the same: a failure of one run is a failure of all. A long run looks elsewhere each time.
    """
    return settings(
        max_examples=count * _LONGER if IS_LONG else count,
        deadline=None,
        derandomize=not IS_LONG,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
