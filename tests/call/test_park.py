"""Parked calls: put there by a transfer, fetched by dialling the orbit, given back when nobody comes."""

from __future__ import annotations

from gosip_py.call.call import Call
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Request
from tests.call.office import DOMAIN, Side, offer_of
from tests.call.services import ServedCase, media_lines, place_of, refer_to, replaces, session
from tests.conformance import conforms


class ParkedCase(ServedCase):
    """Alice called Bob, who parks her."""

    def setUp(self) -> None:
        ServedCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)

    @property
    def call(self) -> Call:
        """The oldest."""
        return next(iter(self.office.switch.calls.values()))

    def park(self, target: str = "*68", orbit: str = "701") -> None:
        self.called.send("REFER", refer_to(target))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[-1], "a=inactive")
        message = self.bob.request("MESSAGE")
        self.assertEqual(message.body, f"Parked at {orbit}".encode())
        self.bob.respond(message, 200)
        self.assertEqual(self.notified(self.bob), (f"SIP/2.0 200 Parked at {orbit}", "terminated"))
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.assertEqual((self.call.state, self.parking.orbit_of(self.call)), ("parked", orbit))

    def dial(self, orbit: str = "701") -> Request:
        """Carol dials the orbit."""
        return self.carol.call(orbit, sdp=session(self.carol))

    def fetched(self, sent: Request) -> Side:
        """Alice agrees, and Carol is answered."""
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.carol))
        answer = self.carol.response(200)
        self.assertEqual(media_lines(answer)[:2], place_of(self.alice))
        side = Side(self.carol, sent, answer, is_caller=True)
        side.send("ACK")
        self.office.run()
        return side

    @property
    def lit(self) -> list[tuple[str, str]]:
        return [(lamp.line, lamp.state) for lamp in self.lamps]


class ParkTests(ParkedCase):
    @conforms("RFC 5359 2.15")
    def test_parked_by_the_code_and_fetched_by_the_orbit(self) -> None:
        self.park()
        self.assertEqual(self.lit, [("701", "confirmed")])
        side = self.fetched(self.dial())
        self.assertEqual(self.lit, [("701", "confirmed"), ("701", "terminated")])
        self.assertEqual([lamp.call for lamp in self.lamps], [self.call.id] * 2)
        self.assertEqual(self.call.state, "answered")
        self.assertEqual(self.noted, [("park", "done"), ("retrieve", ""), ("retrieve", "")])
        self.assertEqual(self.endings, [("answered", 200, "system")])
        self.office.end(side, self.alice)
        self.assertEqual(self.endings[1:], [("answered", 200, "callee")])

    def test_at_an_orbit_that_was_named(self) -> None:
        self.park("703", "703")
        self.fetched(self.dial("703"))
        self.office.end(self.calling, self.carol)

    def test_at_an_orbit_that_is_taken(self) -> None:
        self.park("702", "702")
        calling, called = self.talk(self.carol, self.dave)
        called.send("REFER", refer_to("702"))
        self.dave.response(202, "REFER")
        self.notified(self.dave)
        self.assertEqual(self.notified(self.dave)[0], "SIP/2.0 486 The orbit is taken")
        self.office.end(calling, self.dave)
        self.calling.send("BYE")
        self.alice.response(200, "BYE")

    def test_there_is_no_room(self) -> None:
        for orbit in ("701", "702", "703"):
            self.parking.orbits.take(object(), orbit)  # type: ignore[arg-type]  # taken is taken
        self.called.send("REFER", refer_to("*68"))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 486 No orbit is free")
        for orbit in ("701", "702", "703"):
            self.parking.orbits.leave(orbit)
        self.hold(self.called, self.alice)
        self.office.end(self.called, self.alice)

    def test_the_phone_does_not_go_on_hold(self) -> None:
        self.called.send("REFER", refer_to("*68"))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.alice.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 488 The call cannot be put on hold")
        self.assertEqual(self.lit, [])
        self.office.end(self.called, self.alice)

    def test_the_parker_is_gone_when_the_phone_does_not_go_on_hold(self) -> None:
        self.called.send("REFER", refer_to("*68"))
        self.bob.response(202, "REFER")
        self.called.send("BYE")
        self.bob.response(200, "BYE")
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.goes(self.alice)
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_the_party_hangs_up_while_it_is_put_on_hold(self) -> None:
        self.called.send("REFER", refer_to("*68"))
        self.bob.response(202, "REFER")
        self.alice.request("INVITE")
        self.calling.send("BYE")
        self.alice.response(200, "BYE")
        self.goes(self.bob)
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_party_hangs_up(self) -> None:
        self.park()
        self.calling.send("BYE")
        self.alice.response(200, "BYE")
        self.assertEqual(self.lit[-1], ("701", "terminated"))
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_call_is_ended_from_outside(self) -> None:
        self.park()
        self.call.hang_up(Reason("SIP", 200, "Enough"))
        self.goes(self.alice)
        self.assertEqual(self.lit[-1], ("701", "terminated"))
        self.office.run(200)
        self.assertEqual(self.bob.titles, [])

    def test_nobody_is_parked_there(self) -> None:
        self.dial("702")
        self.carol.response(404)
        self.carol.call("*68")
        self.carol.response(403)
        self.office.end(self.called, self.alice)

    def test_what_the_phone_offers_while_it_waits(self) -> None:
        """It stays on hold, and what it says last counts."""
        self.park()
        self.calling.reinvite(sdp=offer_of(self.alice.host, 7000))
        self.assertEqual(media_lines(self.alice.response(200))[-1], "a=inactive")
        self.calling.send("ACK")
        self.calling.reinvite(sdp="")
        self.assertEqual(media_lines(self.alice.response(200))[-1], "a=inactive")
        self.calling.send_with("ACK", offer_of(self.alice.host, 8000, way="inactive"))
        self.fetched(self.dial())
        self.office.end(self.calling, self.carol)


class FetchTests(ParkedCase):
    def setUp(self) -> None:
        ParkedCase.setUp(self)
        self.park()

    def test_two_at_once(self) -> None:
        sent = self.dial()
        self.dave.call("701")
        self.dave.response(486)
        self.fetched(sent)
        self.office.end(self.calling, self.carol)

    def test_who_fetches_gives_up(self) -> None:
        sent = self.dial()
        offered = self.alice.request("INVITE")
        self.carol.ask(
            "CANCEL", f"sip:701@{DOMAIN}", call_id=sent.call_id, from_tag=sent.from_tag, branch=sent.top_via.branch
        )
        self.carol.response(487)
        self.alice.answer(offered, sdp=session(self.alice))
        self.alice.request("ACK")
        held = self.accept_offer(self.alice)
        self.assertEqual(media_lines(held)[-1], "a=inactive")
        self.assertEqual(self.call.state, "parked")
        self.fetched(self.dial())
        self.office.end(self.calling, self.carol)

    def test_the_party_hangs_up_while_it_is_fetched(self) -> None:
        self.dial()
        self.alice.request("INVITE")
        self.calling.send("BYE")
        self.alice.response(200, "BYE")
        self.carol.response(480)
        self.assertEqual(self.lit[-1], ("701", "terminated"))

    def test_the_phones_do_not_agree(self) -> None:
        self.dial()
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.alice.request("ACK")
        self.carol.response(480)
        self.accept_offer(self.alice)
        self.fetched(self.dial())
        self.office.end(self.calling, self.carol)

    def test_by_replaces(self) -> None:
        line = f"Replaces: {replaces(self.calling)}"
        sent = self.carol.call("alice", line, sdp=session(self.carol))
        self.fetched(sent)
        self.office.end(self.calling, self.carol)


class RingBackTests(ParkedCase):
    def setUp(self) -> None:
        ParkedCase.setUp(self)
        self.park()

    def rung_back(self, seconds: float = 90.0) -> Request:
        self.office.run(seconds)
        invite = self.bob.request("INVITE")
        self.bob.respond(invite, 180)
        self.assertEqual(invite.from_.display_name, "701: Alice")
        self.assertEqual(media_lines(invite)[:2], place_of(self.alice))
        return invite

    def unanswered(self, invite: Request) -> None:
        self.bob.respond(self.bob.request("CANCEL"), 200)
        self.bob.respond(invite, 487)
        self.bob.request("ACK")

    def test_the_parker_is_rung_back(self) -> None:
        invite = self.rung_back()
        answer = self.bob.answer(invite, sdp=session(self.bob))
        self.bob.request("ACK")
        offered = self.accept_offer(self.alice)
        self.assertEqual(media_lines(offered)[:2], place_of(self.bob))
        self.assertEqual(self.lit[-1], ("701", "terminated"))
        self.assertEqual(self.noted[-1], ("ringback", "done"))
        self.office.end(Side(self.bob, invite, answer, is_caller=False), self.alice)
        self.assertEqual(self.endings, [("answered", 200, "callee")])

    def test_who_is_not_to_be_named_is_not_named_to_the_parker(self) -> None:
        self.call.legs[0].is_private = True  # as when the INVITE had Privacy: id
        self.office.run(90)
        invite = self.bob.request("INVITE")
        self.bob.respond(invite, 180)
        self.assertEqual(invite.from_.display_name, "701: Anonymous")
        self.assertNotIn("alice", str(invite.from_.uri).lower())

    def test_nobody_ever_comes(self) -> None:
        invite = self.rung_back()
        for _ in range(2):
            self.office.run(30)
            self.unanswered(invite)
            self.assertEqual(self.call.state, "parked")
            invite = self.rung_back()
        self.office.run(30)
        self.unanswered(invite)
        bye = self.goes(self.alice)
        self.assertEqual(bye.require("reason"), 'SIP;cause=480;text="Nobody took the parked call"')
        self.assertEqual(self.lit[-1], ("701", "terminated"))
        self.assertEqual(self.endings, [("answered", 200, "system")])

    def test_the_parker_is_not_there(self) -> None:
        self.office.plan.phones["bob"] = []
        self.office.run(90 * 3 + 10)
        self.goes(self.alice)
        self.assertEqual(self.noted[1:], [("ringback", "404 Not Found")] * 3)

    def test_somebody_else_comes_while_it_rings(self) -> None:
        invite = self.rung_back()
        sent = self.dial()
        self.unanswered(invite)
        self.fetched(sent)
        self.office.end(self.calling, self.carol)

    def test_the_party_hangs_up_while_it_rings(self) -> None:
        invite = self.rung_back()
        self.calling.send("BYE")
        self.alice.response(200, "BYE")
        self.unanswered(invite)
        self.assertEqual(self.endings, [("answered", 200, "caller")])

    def test_the_parker_answers_and_the_phones_do_not_agree(self) -> None:
        invite = self.rung_back()
        self.bob.answer(invite, sdp=session(self.bob))
        self.bob.request("ACK")
        self.alice.respond(self.alice.request("INVITE"), 488)
        self.alice.request("ACK")
        self.goes(self.bob)
        self.accept_offer(self.alice)
        self.fetched(self.dial())
        self.office.end(self.calling, self.carol)

    def test_the_parker_answers_and_hangs_up_at_once(self) -> None:
        invite = self.rung_back()
        answer = self.bob.answer(invite, sdp=session(self.bob))
        self.bob.request("ACK")
        offered = self.alice.request("INVITE")
        Side(self.bob, invite, answer, is_caller=False).send("BYE")
        self.bob.response(200, "BYE")
        self.alice.answer(offered, sdp=session(self.alice))
        self.alice.request("ACK")
        self.accept_offer(self.alice)
        self.assertEqual(self.call.state, "parked")
        self.fetched(self.dial())
        self.office.end(self.calling, self.carol)
