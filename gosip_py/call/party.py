"""Who takes part in a call."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Kind", "Party"]

Kind = Literal["user", "device", "trunk", "outside", "server"]


@attrs.frozen
class Party:
    """Somebody at one end of a call.

    ``name`` is a login, the name of a device or a number; ``display`` what is shown beside it, ``uri`` the address that
    stands for them. ``user_id`` and ``device_id`` are ours, None for others.
    """

    name: str
    display: str = ""
    uri: str = ""
    user_id: int | None = None
    device_id: int | None = None
    kind: Kind = "outside"

    @property
    def is_own(self) -> bool:
        """Whether it is one of our people: a call that goes out on somebody's account is not."""
        return self.user_id is not None and self.kind != "trunk"
