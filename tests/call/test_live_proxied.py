"""Calls that pass through the proxy, as the API shows them: they can be hung up, and nothing else."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from gosip_py.call.live import LiveCalls
from gosip_py.call.live_rows import Commanded, CommandFailed
from gosip_py.call.park import Parking
from gosip_py.call.switch import Switch
from gosip_py.call.transfers import Transfers
from gosip_py.dialog.dialogs import Dialogs
from gosip_py.transaction.timers import Timing
from tests.call.office import Plan
from tests.proxy.switchboard import DOMAIN, NO_TIMERS, SwitchboardCase


class ProxiedTests(SwitchboardCase):
    def setUp(self) -> None:
        SwitchboardCase.setUp(self)
        board = self.board
        dialogs = Dialogs(board.sender, timing=Timing(), now=board.now, session_timers=NO_TIMERS)
        switch = Switch(dialogs, Plan(), DOMAIN, board.layer.wheel, board.now, board.bus, board.metrics)
        parking = Parking(switch)
        self.live = LiveCalls(switch, board.sessions, parking, Transfers(switch, parking), board.directory)

    def command(self, coroutine: Coroutine[Any, Any, Commanded]) -> Deferred[Commanded]:
        result = Deferred.fromCoroutine(coroutine)
        self.board.run()
        return result

    def test_what_is_shown(self) -> None:
        self.ringing()
        (row,) = self.live.list()
        self.assertEqual((row.kind, row.state, row.caller, row.callee), ("proxied", "ringing", "alice", "bob"))
        self.assertEqual((row.user_ids, row.device_ids), ({1, 2}, frozenset()))
        self.assertEqual(self.live.get(row.id), row)
        self.assertEqual(list(self.board.books.started), [row.id])

    def test_it_is_hung_up(self) -> None:
        self.talking()
        (row,) = self.live.list()
        self.assertEqual(row.state, "answered")
        self.assertIsNotNone(row.answered_at)
        result = self.command(self.live.hang_up(row.id))
        self.alice.respond(self.alice.request("BYE"), 200)
        self.board.run()
        self.assertNoResult(result)
        self.bob.respond(self.bob.request("BYE"), 200)
        self.board.run()
        self.assertEqual(self.successResultOf(result).state, "ended")
        self.assertEqual(self.live.list(), [])

    def test_nothing_else(self) -> None:
        self.talking()
        (row,) = self.live.list()
        for command in (
            self.live.hold(row.id),
            self.live.resume(row.id),
            self.live.park(row.id),
            self.live.transfer(row.id, target="carol", kind="blind"),
            self.live.dtmf(row.id, digits="1"),
            self.live.pick_up(row.id, by=3),
            self.live.record(row.id),
        ):
            failed = self.failureResultOf(self.command(command), CommandFailed).value
            assert isinstance(failed, CommandFailed)
            self.assertEqual(failed.status, 409)
