"""The live calls of the API: what is shown, and commands that answer what really happened."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from gosip_py.call.live import LiveCalls
from gosip_py.call.live_rows import Commanded, CommandFailed, LiveCall
from gosip_py.call.party import Party
from gosip_py.call.verdict import DialOut, Refuse
from gosip_py.proxy.session import Sessions
from gosip_py.sip.message import Request
from tests.call.office import Side, ring
from tests.call.services import ServedCase, attempted, media_lines, place_of, session
from tests.conformance import conforms
from tests.registrar.fakes import device, directory, user


class LiveCase(ServedCase):
    """With the page's view of it."""

    def setUp(self) -> None:
        ServedCase.setUp(self)
        office = self.office
        people = [user(phone.number, phone.name) for phone in office.phones]
        devices = [device(10 * phone.number, phone.number, f"{phone.name}-desk") for phone in office.phones]
        sessions = Sessions(
            office.layer.wheel, office.now, office.bus, office.metrics, 7200.0, 32.0, lambda session: None
        )
        self.live = LiveCalls(
            office.switch, sessions, self.parking, self.transfers, directory(*people, *devices), "desk {}".format
        )

    @property
    def row(self) -> LiveCall:
        """The oldest."""
        return self.live.list()[0]

    def command(self, coroutine: Coroutine[Any, Any, Commanded | LiveCall]) -> Deferred[Commanded | LiveCall]:
        result = Deferred.fromCoroutine(coroutine)
        self.office.run()
        return result

    def assert_refused(self, status: int, result: Deferred[Commanded | LiveCall]) -> str:
        """It failed with this status; its text."""
        failed = self.failureResultOf(result, CommandFailed).value
        assert isinstance(failed, CommandFailed)
        self.assertEqual(failed.status, status, failed.text)
        return failed.text

    def outcome(self, result: Deferred[Commanded | LiveCall]) -> Commanded:
        done = self.successResultOf(result)
        assert isinstance(done, Commanded)
        return done


class ViewTests(LiveCase):
    def test_a_call_that_rings(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob, sdp=session(self.alice))
        row = self.row
        self.assertEqual((row.kind, row.state, row.caller, row.callee), ("bridged", "ringing", "alice", "bob"))
        legs = [(leg.role, leg.party, leg.state, leg.codecs) for leg in row.legs]
        self.assertEqual(legs, [("caller", "alice", "ringing", ("PCMU", "PCMA")), ("callee", "bob", "ringing", ())])
        self.assertEqual(row.answered_at, None)
        self.bob.respond(got, 486)
        self.alice.response(486)
        self.assertEqual(self.live.list(), [])
        self.assertIsNone(self.live.get(row.id))

    def test_a_call_that_talks(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        self.hold(called, self.alice)
        row = self.live.get(self.row.id)
        assert row is not None
        self.assertEqual((row.state, row.user_ids, row.device_ids), ("held", {1, 2}, {10, 20}))
        legs = [(leg.role, leg.state, leg.is_held, leg.user_agent) for leg in row.legs]
        self.assertEqual(
            legs, [("caller", "established", False, "desk 10"), ("callee", "established", True, "desk 20")]
        )
        self.office.end(calling, self.bob)

    def test_ways_to_hold(self) -> None:
        calling, called = self.talk(self.alice, self.bob)
        nowhere = session(self.bob).replace(f"c=IN IP4 {self.bob.host}", "c=IN IP4 0.0.0.0")
        for sdp in (session(self.bob, "sendonly"), session(self.bob, "inactive"), nowhere):
            for offer, is_held in ((sdp, True), (session(self.bob), False)):
                called.reinvite(sdp=offer)
                self.accept_offer(self.alice)
                self.bob.response(200)
                called.send("ACK")
                self.office.run()
                row = self.row
                shown = {leg.party: leg.is_held for leg in row.legs}
                self.assertEqual(shown, {"alice": False, "bob": is_held}, sdp)
                self.assertEqual(row.state, "held" if is_held else "answered")
        self.office.end(calling, self.bob)


class HangUpTests(LiveCase):
    def test_both_phones_confirm_it(self) -> None:
        self.talk(self.alice, self.bob)
        result = self.command(self.live.hang_up(self.row.id, by=2))
        self.goes(self.alice)
        self.assertNoResult(result)
        self.goes(self.bob)
        self.assertEqual(self.outcome(result).status, 200)
        self.assertEqual(self.endings, [("answered", 200, "callee")])

    def test_a_phone_says_nothing(self) -> None:
        self.talk(self.alice, self.bob)
        result = self.command(self.live.hang_up(self.row.id))
        self.goes(self.alice)
        self.office.run(33)
        self.assertEqual(self.outcome(result).status, 408)
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_a_call_that_rings(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob)
        result = self.command(self.live.hang_up(self.row.id))
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.alice.response(487)
        self.assertEqual(self.outcome(result).state, "ended")
        self.assertEqual(self.endings, [("failed", 487, "system")])

    def test_the_caller_gives_up(self) -> None:
        _, got = self.office.ringing(self.alice, self.bob)
        result = self.command(self.live.hang_up(self.row.id, by=1))
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(got, 487)
        self.alice.response(487)
        self.assertEqual(self.outcome(result).state, "ended")
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    def test_there_is_no_such_call(self) -> None:
        self.assert_refused(404, self.command(self.live.hang_up("none")))
        self.assert_refused(404, self.command(self.live.hold("none")))
        self.assert_refused(404, self.command(self.live.record("none")))


class HoldTests(LiveCase):
    def setUp(self) -> None:
        LiveCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def test_hold_and_resume(self) -> None:
        result = self.command(self.live.hold(self.row.id, by=2))
        for phone in (self.alice, self.bob):
            self.assertNoResult(result)
            self.assertEqual(media_lines(self.accept_offer(phone))[-1], "a=inactive")
        self.assertEqual((self.outcome(result).state, self.row.state), ("held", "held"))
        self.assert_refused(409, self.command(self.live.hold(self.row.id)))
        result = self.command(self.live.resume(self.row.id, by=2))
        self.resumed()
        self.assertEqual((self.outcome(result).status, self.row.state), (200, "answered"))
        self.assert_refused(409, self.command(self.live.resume(self.row.id)))
        self.assertEqual(self.noted, [("hold", "done"), ("resume", "done")])
        self.office.end(self.calling, self.bob)

    def resumed(self) -> None:
        """Bob is asked for an offer, which Alice hears."""
        asked = self.bob.request("INVITE")
        self.bob.answer(asked, sdp=session(self.bob))
        self.assertEqual(media_lines(self.accept_offer(self.alice))[:2], place_of(self.bob))
        self.assertEqual(media_lines(self.bob.request("ACK"))[:2], place_of(self.alice))

    def test_a_phone_does_not_take_it(self) -> None:
        result = self.command(self.live.hold(self.row.id, by=2))
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.alice.request("ACK")
        self.assert_refused(409, result)
        self.hold(self.called, self.alice)
        self.office.end(self.calling, self.bob)

    def test_the_other_does_not_take_it(self) -> None:
        result = self.command(self.live.hold(self.row.id, by=2))
        self.accept_offer(self.alice)
        self.bob.respond(self.bob.request("INVITE"), 488)
        self.bob.request("ACK")
        asked = self.alice.request("INVITE")
        self.alice.answer(asked, sdp=session(self.alice))
        self.accept_offer(self.bob)
        self.alice.request("ACK")
        self.assert_refused(409, result)
        self.assertEqual(self.row.state, "answered")
        self.office.end(self.calling, self.bob)

    def test_what_a_phone_offers_meanwhile_stays_on_hold(self) -> None:
        result = self.command(self.live.hold(self.row.id, by=2))
        self.accept_offer(self.alice)
        self.accept_offer(self.bob)
        self.outcome(result)
        self.calling.reinvite(sdp=session(self.alice))
        self.assertEqual(media_lines(self.alice.response(200))[-1], "a=inactive")
        self.calling.send("ACK")
        self.assertEqual(self.bob.titles, [])
        self.office.end(self.calling, self.bob)

    def test_somebody_hangs_up_meanwhile(self) -> None:
        result = self.command(self.live.hold(self.row.id, by=2))
        self.alice.request("INVITE")
        self.office.end(self.called, self.alice)
        self.assert_refused(409, result)

    def test_who_is_not_in_it(self) -> None:
        self.assert_refused(404, self.command(self.live.hold(self.row.id, by=3)))
        self.assert_refused(404, self.command(self.live.hold(self.row.id, leg="none")))
        self.office.end(self.calling, self.bob)

    def test_a_call_that_only_rings(self) -> None:
        self.office.end(self.calling, self.bob)
        _, got = self.office.ringing(self.alice, self.bob)
        self.assert_refused(409, self.command(self.live.hold(self.row.id)))
        self.bob.respond(got, 486)
        self.alice.response(486)


class TransferTests(LiveCase):
    def setUp(self) -> None:
        LiveCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def blind(self, target: str = "carol", by: int | None = 2) -> Deferred[Commanded | LiveCall]:
        return self.command(self.live.transfer(self.row.id, target=target, kind="blind", by=by))

    def test_the_target_answers(self) -> None:
        result = self.blind()
        invite = self.carol.request("INVITE")
        self.assertEqual(self.row.state, "transferring")
        answer = self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        self.assertNoResult(result)
        self.accept_offer(self.alice)
        self.assertEqual(self.outcome(result).status, 200)
        self.goes(self.bob)
        legs = [(leg.role, leg.party) for leg in self.row.legs]
        self.assertEqual((legs, self.row.callee), ([("caller", "alice"), ("callee", "carol")], "carol"))
        (note,) = self.row.history
        self.assertEqual((note.kind, note.by, note.target, note.result), ("transfer", "bob", "carol", "done"))
        self.office.end(Side(self.carol, invite, answer, is_caller=False), self.alice)

    def test_the_caller_is_the_one_who_transfers(self) -> None:
        result = self.blind(by=1)
        self.carol.answer(self.carol.request("INVITE"), sdp=session(self.carol))
        self.accept_offer(self.bob)
        self.outcome(result)
        self.goes(self.alice)
        self.assertEqual([leg.party for leg in self.row.legs if leg.role == "caller"], ["carol"])
        self.office.end(self.called, self.carol)

    def test_the_target_is_busy(self) -> None:
        result = self.blind()
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.carol.request("ACK")
        self.assertIn("486 Busy Here", self.assert_refused(409, result))
        self.assertEqual(self.row.state, "answered")
        self.hold(self.called, self.alice)
        self.office.end(self.calling, self.bob)

    def test_targets_that_are_none(self) -> None:
        self.assert_refused(404, self.blind("nobody"))
        for target in ("", "a b", "<sip:carol@example.com>", "mailto:carol@example.com", "sip:example.com", "x" * 300):
            self.assert_refused(400, self.blind(target))
        self.assert_refused(409, self.blind("alice"))
        self.office.plan.verdicts["+15550100"] = Refuse(403, "not from here")
        self.assert_refused(403, self.blind("+15550100"))
        self.office.end(self.calling, self.bob)

    def test_two_at_once(self) -> None:
        result = self.blind()
        invite = self.carol.request("INVITE")
        self.assert_refused(409, self.blind("dave"))
        self.carol.respond(invite, 486)
        self.carol.request("ACK")
        self.assert_refused(409, result)
        self.office.end(self.calling, self.bob)

    def test_it_is_hung_up_meanwhile(self) -> None:
        result = self.blind()
        invite = self.carol.request("INVITE")
        self.carol.respond(invite, 180)
        ended = self.command(self.live.hang_up(self.row.id))
        self.assert_refused(409, result)
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(invite, 487)
        self.goes(self.alice)
        self.goes(self.bob)
        self.outcome(ended)

    @conforms("RFC 5589 7.3")
    def test_attended_with_the_other_call(self) -> None:
        _, consulted = self.talk(self.bob, self.carol)
        result = self.command(self.live.transfer(self.row.id, target="carol", kind="attended", by=2))
        asked = self.alice.request("INVITE")
        self.alice.answer(asked, sdp=session(self.alice))
        self.accept_offer(self.carol)
        self.alice.request("ACK")
        self.assertEqual(self.outcome(result).status, 200)
        self.goes(self.bob)
        self.goes(self.bob)
        self.assertEqual(len(self.live.list()), 1)
        self.assertEqual(len(self.row.linked_to), 1)
        self.office.end(consulted, self.alice)

    def test_attended_while_it_rings(self) -> None:
        _, got = self.office.ringing(self.bob, self.carol, sdp=session(self.bob))
        result = self.command(self.live.transfer(self.row.id, target="carol", kind="attended", by=2))
        self.bob.response(487)
        answer = self.carol.answer(got, sdp=session(self.carol))
        self.carol.request("ACK")
        self.alice.answer(self.alice.request("INVITE"), sdp=session(self.alice))
        self.accept_offer(self.carol)
        self.assertEqual(self.outcome(result).status, 200)
        self.goes(self.bob)
        self.office.end(Side(self.carol, got, answer, is_caller=False), self.alice)

    def test_attended_with_nobody(self) -> None:
        self.assert_refused(409, self.command(self.live.transfer(self.row.id, target="carol", kind="attended", by=2)))
        self.office.end(self.calling, self.bob)


class ParkTests(LiveCase):
    def test_park(self) -> None:
        calling, _ = self.talk(self.alice, self.bob)
        self.assert_refused(400, self.command(self.live.park(self.row.id, orbit="999", by=2)))
        result = self.command(self.live.park(self.row.id, by=2))
        self.accept_offer(self.alice)
        done = self.outcome(result)
        self.assertEqual((done.orbit, done.state, done.text), ("701", "parked", "Parked at 701"))
        self.bob.respond(self.bob.request("MESSAGE"), 200)
        self.goes(self.bob)
        self.assertEqual(self.row.orbit, "701")
        self.assertEqual([(leg.role, leg.party) for leg in self.row.legs], [("parked", "alice")])
        self.office.run()
        calling.send("BYE")
        self.alice.response(200, "BYE")


class KeyTests(LiveCase):
    def setUp(self) -> None:
        LiveCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def tearDown(self) -> None:
        self.office.end(self.calling, self.bob)
        LiveCase.tearDown(self)

    def test_one_after_the_other(self) -> None:
        result = self.command(self.live.dtmf(self.row.id, digits="4#", by=1))
        for digit in "4#":
            self.assertNoResult(result)
            info = self.bob.request("INFO")
            self.assertEqual(info.value("content-type"), "application/dtmf-relay")
            self.assertEqual(info.body, f"Signal={digit}\r\nDuration=160\r\n".encode())
            self.bob.respond(info, 200)
            self.office.run()
        self.assertEqual(self.outcome(result).status, 200)

    def test_a_leg_that_is_named_hears_them(self) -> None:
        caller = next(leg.id for leg in self.row.legs if leg.role == "caller")
        result = self.command(self.live.dtmf(self.row.id, digits="1", leg=caller))
        self.alice.respond(self.alice.request("INFO"), 415)
        self.office.run()
        self.assertIn("415", self.assert_refused(409, result))

    def test_the_phone_says_nothing(self) -> None:
        result = self.command(self.live.dtmf(self.row.id, digits="1", by=1))
        self.office.run(33)
        self.assert_refused(503, result)
        self.calling, self.called = self.talk(self.alice, self.bob)

    def test_what_no_phone_has(self) -> None:
        for digits in ("", "x", "1 2", "1" * 65):
            self.assert_refused(400, self.command(self.live.dtmf(self.row.id, digits=digits)))
        self.assert_refused(400, self.command(self.live.dtmf(self.row.id, digits="1", milliseconds=1)))

    def test_recording(self) -> None:
        self.assert_refused(503, self.command(self.live.record(self.row.id)))


class StartTests(LiveCase):
    """Bob calls Carol by a click."""

    def start(self, target: str = "carol", **others: object) -> Deferred[Commanded | LiveCall]:
        return self.command(self.live.start(by=2, target=target, **others))  # type: ignore[arg-type]  # as named there

    def picked_up(self) -> Side:
        """Bob takes his own phone, and hears nobody yet."""
        invite = self.bob.request("INVITE")
        self.assertEqual((invite.body, invite.from_.uri.user), (b"", "carol"))
        self.bob.respond(invite, 180)
        answer = self.bob.answer(invite, sdp=session(self.bob))
        ack = self.bob.request("ACK")
        self.assertEqual(media_lines(ack)[-1], "a=inactive")
        return Side(self.bob, invite, answer, is_caller=False)

    def rung(self) -> Request:
        invite = self.carol.request("INVITE")
        self.assertEqual(invite.from_.uri.user, "bob")
        self.assertEqual(media_lines(invite)[:2], place_of(self.bob))
        self.carol.respond(invite, 180)
        return invite

    def talking(self) -> tuple[Side, Side]:
        side, invite = self.picked_up(), self.rung()
        answer = self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        self.assertEqual(media_lines(self.accept_offer(self.bob))[:2], place_of(self.carol))
        return side, Side(self.carol, invite, answer, is_caller=False)

    def test_both_answer(self) -> None:
        result = self.start()
        self.assertNoResult(result)
        side, _ = self.talking()
        row = self.successResultOf(result)
        assert isinstance(row, LiveCall)
        self.assertEqual((row.caller, row.callee), ("bob", "carol"))
        # by Bob's rights and on his account, and not left to the proxy whatever Carol's schema is
        self.assertEqual(attempted(self.office.plan.asked)[-1], ("bob", "carol", True))
        self.assertEqual(self.row.state, "answered")
        (event,) = self.office.books.answered
        self.assertEqual(event.id, row.id)
        self.office.end(side, self.carol)
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_other_hangs_up(self) -> None:
        _ = self.start()
        _, other = self.talking()
        self.office.end(other, self.bob)
        self.assertEqual(self.endings, [("answered", 200, "callee")])

    def test_a_phone_that_answers_by_itself(self) -> None:
        result = self.start(auto_answer=True)
        invite = self.bob.request("INVITE")
        self.assertEqual(invite.value("answer-mode"), "Auto")
        self.bob.respond(invite, 486)
        self.bob.request("ACK")
        self.assertIn("486", self.assert_refused(409, result))
        self.assertEqual(self.endings, [("rejected", 486, "caller")])

    def test_one_phone_of_several(self) -> None:
        other = self.office.phone("bob-soft")
        other.party = other.party.__class__("bob-soft", "", "", 2, 21, "device")
        self.office.plan.verdicts["bob"] = ring(self.bob, other, name="bob", if_no_answer="dave")
        result = self.start(device_id=21)
        self.assertEqual(self.bob.titles, [])
        invite = other.request("INVITE")
        other.respond(invite, 480)
        self.office.run()
        self.assert_refused(409, result)
        self.assertEqual(self.dave.titles, [])
        self.assert_refused(409, self.start(device_id=99))

    def test_they_do_not_answer(self) -> None:
        result = self.start()
        invite = self.bob.request("INVITE")
        self.bob.respond(invite, 180)
        self.office.run(31)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(invite, 487)
        self.assert_refused(409, result)
        self.assertEqual(self.endings, [("no_answer", 480, "system")])

    def test_the_target_is_busy(self) -> None:
        _ = self.start()
        self.picked_up()
        self.carol.respond(self.rung(), 486)
        self.carol.request("ACK")
        self.assertEqual(self.goes(self.bob).require("reason"), 'SIP;cause=486;text="Busy Here"')
        self.assertEqual(self.endings, [("rejected", 486, "callee")])

    def test_they_hang_up_while_the_target_rings(self) -> None:
        _ = self.start()
        side, invite = self.picked_up(), self.rung()
        side.send("BYE")
        self.bob.response(200, "BYE")
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(invite, 487)
        self.assertEqual(self.endings, [("cancelled", 487, "caller")])

    def test_they_hang_up_while_they_are_connected(self) -> None:
        _ = self.start()
        side, invite = self.picked_up(), self.rung()
        self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        self.bob.request("INVITE")
        side.send("BYE")
        self.bob.response(200, "BYE")
        self.goes(self.carol)

    def test_the_target_hangs_up_while_they_are_connected(self) -> None:
        _ = self.start()
        self.picked_up()
        invite = self.rung()
        answer = self.carol.answer(invite, sdp=session(self.carol))
        self.carol.request("ACK")
        offered = self.bob.request("INVITE")
        Side(self.carol, invite, answer, is_caller=False).send("BYE")
        self.carol.response(200, "BYE")
        self.bob.answer(offered, sdp=session(self.bob))
        self.goes(self.bob)

    def test_their_phone_does_not_agree(self) -> None:
        _ = self.start()
        self.picked_up()
        self.carol.answer(self.rung(), sdp=session(self.carol))
        self.carol.request("ACK")
        self.bob.respond(self.bob.request("INVITE"), 488)
        self.goes(self.carol)
        self.goes(self.bob)
        self.assertEqual(self.endings, [("rejected", 488, "callee")])

    def test_it_is_hung_up_while_their_phone_rings(self) -> None:
        result = self.start()
        invite = self.bob.request("INVITE")
        self.bob.respond(invite, 180)
        self.office.run()
        _ = self.command(self.live.hang_up(self.row.id))
        self.assert_refused(409, result)
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(invite, 487)

    def test_what_cannot_be_called(self) -> None:
        self.assert_refused(400, self.start("a b"))
        self.assert_refused(404, self.command(self.live.start(by=99, target="carol")))
        self.office.plan.verdicts["bob"] = Refuse(486, "bob does not want to be disturbed")
        self.assert_refused(409, self.start())
        self.office.switch.is_draining = True
        self.assert_refused(503, self.start())


class GrabTests(LiveCase):
    """Alice calls Bob; Carol takes it by a click."""

    def setUp(self) -> None:
        LiveCase.setUp(self)
        self.sent, self.got = self.office.ringing(self.alice, self.bob, sdp=session(self.alice))

    def grab(self) -> tuple[Deferred[Commanded | LiveCall], Request]:
        """Bob's phone stops ringing, and Carol's begins."""
        result = self.command(self.live.pick_up(self.row.id, by=3))
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(self.got, 487)
        self.bob.request("ACK")
        invite = self.carol.request("INVITE")
        self.assertEqual(invite.from_.uri.user, "alice")
        self.assertEqual(media_lines(invite)[:2], place_of(self.alice))
        return result, invite

    def test_it_rings_there_instead(self) -> None:
        result, invite = self.grab()
        self.assertNoResult(result)
        calling, _ = self.pick_up(self.alice, self.sent, self.carol, invite)
        self.assertEqual(self.outcome(result).state, "answered")
        self.assertEqual(self.noted, [("pickup", "done")])
        self.office.end(calling, self.carol)

    def test_nobody_answers(self) -> None:
        result, invite = self.grab()
        self.carol.respond(invite, 486)
        self.alice.response(486)
        self.assertIn("486", self.assert_refused(409, result))

    def test_the_caller_gives_up(self) -> None:
        result, invite = self.grab()
        self.carol.respond(invite, 180)
        cancel = {"call_id": self.sent.call_id, "from_tag": self.sent.from_tag, "branch": self.sent.top_via.branch}
        self.alice.ask("CANCEL", self.sent.uri_text, **cancel)
        self.alice.response(487)
        self.assert_refused(409, result)
        self.carol.respond(self.carol.request("CANCEL"), 200)
        self.carol.respond(invite, 487)

    def test_a_call_to_the_outside(self) -> None:
        self.bob.respond(self.got, 486)
        self.alice.response(486)
        line = self.bob.line
        outside = attrs.evolve(line, party=Party("+15550100", kind="trunk"))
        self.office.plan.verdicts["+15550100"] = DialOut("+15550100", outside)
        _, got = self.office.ringing(self.alice, self.bob, name="+15550100")
        self.assert_refused(403, self.command(self.live.pick_up(self.row.id, by=3)))
        self.bob.respond(got, 486)
        self.alice.response(486)

    def test_it_does_not_ring_any_more(self) -> None:
        calling, _ = self.pick_up(self.alice, self.sent, self.bob, self.got)
        self.assert_refused(409, self.command(self.live.pick_up(self.row.id, by=3)))
        self.office.end(calling, self.bob)
