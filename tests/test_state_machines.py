"""The drawings in docs/state-machines are those of the tables.

``python -m tests.test_state_machines --write`` draws them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.call.park_table import PARK
from gosip_py.call.transfer_table import TRANSFER
from gosip_py.dialog.offer import NEGOTIATION
from gosip_py.dialog.subscription import REFER_SUBSCRIPTION
from gosip_py.dialog.table import DIALOG
from gosip_py.fsm import Table, diagram
from gosip_py.messaging.custody import CUSTODY
from gosip_py.notifier.machine import SUBSCRIPTION
from gosip_py.transaction.machines import INVITE_CLIENT, INVITE_SERVER, NON_INVITE_CLIENT, NON_INVITE_SERVER

DRAWINGS = Path(__file__).resolve().parent.parent / "docs" / "state-machines"

TABLES: dict[str, Table[Any, Any, Any]] = {
    "dialog.md": DIALOG,
    "offer-answer.md": NEGOTIATION,
    "message-custody.md": CUSTODY,
    "transfer.md": TRANSFER,
    "parked-call.md": PARK,
    "subscription.md": SUBSCRIPTION,
    "refer-subscription.md": REFER_SUBSCRIPTION,
    "invite-client.md": INVITE_CLIENT,
    "invite-server.md": INVITE_SERVER,
    "non-invite-client.md": NON_INVITE_CLIENT,
    "non-invite-server.md": NON_INVITE_SERVER,
}


def write() -> None:
    """Draw every table anew."""
    DRAWINGS.mkdir(parents=True, exist_ok=True)
    for name, table in TABLES.items():
        (DRAWINGS / name).write_text(diagram(table), encoding="utf-8")


class DrawingTests(SynchronousTestCase):
    def test_no_drawing_is_stale(self) -> None:
        for name, table in TABLES.items():
            drawn = (DRAWINGS / name).read_text(encoding="utf-8")
            self.assertEqual(drawn, diagram(table), f"{name}: run python -m tests.test_state_machines --write")

    def test_no_drawing_is_of_a_table_that_is_gone(self) -> None:
        self.assertEqual({path.name for path in DRAWINGS.glob("*.md")}, set(TABLES))


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write()
