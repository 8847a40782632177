"""The sessions list: rows of the dialogs that pass, live from memory and behind in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred

from gosip_py.call.session_journal import LiveSession, LiveSessions, SessionJournal, row_of
from gosip_py.sip.message import Request
from gosip_py.store.records import SessionRow
from tests.conformance import conforms
from tests.proxy.switchboard import Phone, SwitchboardCase
from tests.registrar.fakes import user


class SessionJournalTests(SwitchboardCase):
    def setUp(self) -> None:
        super().setUp()
        self.writes: list[list[SessionRow]] = []
        self.journal = SessionJournal(self.board.clock, self.write, self.board.metrics, node="n1")
        self.board.sessions._changed = self.journal.note

    async def write(self, rows: Sequence[SessionRow]) -> None:
        self.writes.append(list(rows))

    def test_what_a_row_says(self) -> None:
        timer = ("session-expires", "1800;refresher=uas")
        calling, called = self.talking(None, timer)
        (session,) = self.board.sessions
        (row,) = LiveSessions(self.board.sessions, (), "n1").list()
        stored = row_of(session, "n1")
        self.assertEqual({name: getattr(row, name) for name in attrs.asdict(stored)}, attrs.asdict(stored))
        self.assertEqual((row.state, row.call_id, row.node), ("active", calling.call_id, "n1"))
        self.assertIn(row.from_tag, calling.local)
        self.assertIn(row.to_tag, called.local)
        self.assertEqual((row.caller_uri, row.callee_uri), ("sip:alice@example.com", "sip:bob@example.com"))
        self.assertEqual(row.remote_target, self.bob.contact)
        self.assertEqual(json.loads(row.route_set), ["<sip:192.0.2.1:5060;lr>"])
        self.assertEqual((row.session_expires, row.refresher), (1800, "uas"))
        assert row.answered_at is not None
        self.assertGreaterEqual(row.answered_at, row.created_at)
        self.assertEqual((row.ended_at, row.ended_by), (None, None))

    @conforms("RFC 4028 8.2")
    def test_what_a_live_row_says_of_the_session_timer(self) -> None:
        self.talking(None, ("session-expires", "1800;refresher=uac"))
        (row,) = LiveSessions(self.board.sessions, ()).list()
        assert isinstance(row, LiveSession) and row.answered_at is not None and row.expires_at is not None
        self.assertApproximates(row.expires_at - row.answered_at, 1800, 0.001)
        self.assertEqual((row.refreshed_by, row.min_se), ("caller", None))

    def test_early_dialogs_are_live_and_not_stored(self) -> None:
        _, got = self.ringing()
        live = LiveSessions(self.board.sessions, ())
        self.assertEqual([row.state for row in live.list()], ["early"])
        self.bob.respond(got, 486)
        self.board.run(10)
        self.assertEqual((live.list(), self.writes), ([], []))

    def test_a_long_session_is_written_when_it_changes(self) -> None:
        calling, _ = self.talking()
        self.board.run(1)
        self.assertEqual([[row.state for row in write] for write in self.writes], [["active"]])
        self.hang_up(calling, self.bob)
        self.board.run(1)
        ended = self.writes[-1][0]
        self.assertEqual((len(self.writes), ended.state, ended.ended_by), (2, "terminated", "caller"))
        self.assertEqual(ended.id, self.writes[0][0].id)
        self.assertIsNotNone(ended.ended_at)

    def test_a_short_one_is_written_once(self) -> None:
        self.talking()
        self.board.sessions.close("test")
        self.board.run(1)
        self.assertEqual([[row.state for row in write] for write in self.writes], [["terminated"]])

    def test_close_writes_what_is_left(self) -> None:
        self.talking()
        self.successResultOf(Deferred.fromCoroutine(self.journal.close()))
        self.assertEqual([row.state for row in self.writes[-1]], ["active"])


class LegTests(SwitchboardCase):
    """Bob is called by the switch: of such a call there are two dialogs, each of them ours."""

    def setUp(self) -> None:
        super().setUp()
        self.board.directory.apply_user(user(2, "bob", call_schema="b2bua"))
        self.writes: list[SessionRow] = []
        self.journal = SessionJournal(self.board.clock, self.write, self.board.metrics, node="n1")
        self.board.dialogs.changed = self.journal.note
        self.live = LiveSessions(self.board.sessions, self.board.dialogs, "n1")

    async def write(self, rows: Sequence[SessionRow]) -> None:
        self.writes += rows

    def bridged(self) -> Request:
        """A call that was answered; the INVITE that Bob got."""
        self.alice.ask("INVITE")
        got = self.bob.request("INVITE")
        self.bob.respond(got, 200)
        self.acknowledge(self.alice)
        self.bob.request("ACK")
        return got

    def acknowledge(self, phone: Phone) -> None:
        answer = phone.response(200)
        target = answer.addresses("contact")[0].uri_text
        ack = phone.make("ACK", target, to=answer.require("to"), call_id=answer.call_id)
        ack.set("from", answer.require("from"))
        phone.send(ack)

    def test_both_dialogs_are_shown(self) -> None:
        got = self.bridged()
        caller, callee = self.live.list()
        self.assertEqual((caller.state, caller.caller_uri, caller.callee_uri), ("active", *URIS))
        self.assertEqual((callee.state, callee.caller_uri, callee.callee_uri), ("active", *URIS))
        self.assertEqual((callee.call_id, callee.from_tag), (got.call_id, got.from_tag))
        self.assertNotEqual(caller.call_id, callee.call_id)
        self.assertEqual((caller.remote_target, callee.remote_target), (self.alice.contact, self.bob.contact))
        self.assertEqual((callee.node, callee.ended_by), ("n1", None))
        self.board.switch.close("test")
        self.board.dialogs.close()

    def test_each_is_written_when_it_ends_and_by_whom(self) -> None:
        got = self.bridged()
        bye = self.bob.make("BYE", got.addresses("contact")[0].uri_text, to=got.require("from"), call_id=got.call_id)
        bye.set("from", f"{got.require('to')};tag=tag-bob-192.0.2.20")
        self.bob.send(bye)
        self.bob.response(200, "BYE")
        self.alice.respond(self.alice.request("BYE"), 200)
        self.board.run(1)
        ended = {row.call_id: row for row in self.writes if row.state == "terminated"}
        self.assertEqual(ended[got.call_id].ended_by, "callee")
        (other,) = (row for call_id, row in ended.items() if call_id != got.call_id)
        self.assertEqual(other.ended_by, "system")
        self.assertEqual(self.live.list(), [])


URIS = ("sip:alice@example.com", "sip:bob@example.com")
