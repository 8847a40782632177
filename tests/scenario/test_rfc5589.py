"""The transfers of RFC 5589, with the server between the phones: every message in its place.

Bob is the transferor, Alice the transferee, Carol the target. What the RFC has the transferee do, the server does.
"""

from __future__ import annotations

from tests.call.office import Side
from tests.call.services import media_lines, place_of, refer_to, session
from tests.conformance import conforms
from tests.scenario.ladder import ScenarioCase

_CALLED = """
    alice > INVITE
    bob   < INVITE
    bob   > 180 INVITE
    alice < 180 INVITE
    bob   > 200 INVITE
    bob   < ACK
    alice < 200 INVITE
    alice > ACK
"""
_HELD = """
    bob   > INVITE
    alice < INVITE
    alice > 200 INVITE
    alice < ACK
    bob   < 200 INVITE
    bob   > ACK
"""
_REFERRED = """
    bob   > REFER
    bob   < 202 REFER
    bob   < NOTIFY
"""


class TransferFlows(ScenarioCase):
    def setUp(self) -> None:
        ScenarioCase.setUp(self)
        self.calling, self.called = self.talk(self.alice, self.bob)
        self.flow(_CALLED)
        self.hold(self.called, self.alice)
        self.flow(_HELD)


class BasicTransferTests(TransferFlows):
    @conforms("RFC 5589 6.1")
    def test_successful(self) -> None:
        """6.1: the transferee leaves the transferor for the target, without a moment on its own."""
        self.refers(self.called, refer_to("carol"))
        invite = self.rings(self.carol)
        target = self.answers(self.carol, invite)
        self.accept_offer(self.alice)
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 200 OK", "terminated"))
        self.hangs_up(self.called)
        self.flow(
            """
            bob   > REFER
            bob   < 202 REFER
            bob   < NOTIFY
            carol < INVITE
            bob   > 200 NOTIFY
            carol > 180 INVITE
            carol > 200 INVITE
            carol < ACK
            alice < INVITE
            alice > 200 INVITE
            alice < ACK
            bob   < NOTIFY
            bob   > 200 NOTIFY
            bob   > BYE
            bob   < 200 BYE
            """
        )
        self.office.end(target, self.alice)
        self.flow(
            """
            carol > BYE
            carol < 200 BYE
            alice < BYE
            alice > 200 BYE
            """
        )

    @conforms("RFC 5589 6.3.1")
    def test_the_target_is_busy(self) -> None:
        """6.3.1: the transferor hears why, and takes the transferee off hold."""
        self.refers(self.called, refer_to("carol"))
        self.carol.respond(self.carol.request("INVITE"), 486)
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 486 Busy Here", "terminated"))
        self.resumes(self.called, self.alice)
        self.flow(
            """
            bob   > REFER
            bob   < 202 REFER
            bob   < NOTIFY
            carol < INVITE
            bob   > 200 NOTIFY
            carol > 486 INVITE
            carol < ACK
            bob   < NOTIFY
            bob   > 200 NOTIFY
            """
            + _HELD
        )
        self.office.end(self.called, self.alice)

    @conforms("RFC 5589 6.3.2")
    def test_the_target_does_not_answer(self) -> None:
        """6.3.2: it is not rung for ever."""
        self.refers(self.called, refer_to("carol"))
        invite = self.rings(self.carol)
        self.pause(1.2)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 180 Ringing")
        self.pause(30)
        self.cancelled(self.carol, invite)
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 480 Temporarily Unavailable", "terminated"))
        self.resumes(self.called, self.alice)
        self.office.end(self.called, self.alice)


class ConsultationTests(TransferFlows):
    """Section 7: Bob speaks with Carol before."""

    @conforms("RFC 5589 7.1")
    def test_exposing_the_target(self) -> None:
        """7.1: he hangs up on the target first, which is then called anew."""
        consulting, _ = self.talk(self.bob, self.carol)
        self.office.end(consulting, self.carol)
        self.refers(self.called, refer_to("carol"))
        target = self.answers(self.carol, self.rings(self.carol))
        self.accept_offer(self.alice)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.hangs_up(self.called)
        self.office.end(target, self.alice)

    @conforms("RFC 5589 7.3")
    def test_attended(self) -> None:
        """7.3: the target's call with the transferor is replaced by one with the transferee."""
        consulting, consulted = self.talk(self.bob, self.carol)
        self.hold(consulting, self.carol)
        self.flow(_CALLED.replace("bob", "carol").replace("alice", "bob") + _HELD.replace("alice", "carol"))
        self.refers(self.called, refer_to("carol", consulting))
        asked = self.alice.request("INVITE")
        self.alice.answer(asked, sdp=session(self.alice))
        offered = self.accept_offer(self.carol)
        self.assertEqual(media_lines(offered)[:2], place_of(self.alice))
        self.assertEqual(media_lines(self.alice.request("ACK"))[:2], place_of(self.carol))
        self.assertEqual(self.goes(self.bob).call_id, consulting.call_id)
        self.assertEqual(self.notified(self.bob), ("SIP/2.0 200 OK", "terminated"))
        self.hangs_up(self.called)
        self.flow(
            """
            bob   > REFER
            bob   < 202 REFER
            bob   < NOTIFY
            alice < INVITE
            bob   > 200 NOTIFY
            alice > 200 INVITE
            carol < INVITE
            carol > 200 INVITE
            carol < ACK
            alice < ACK
            bob   < BYE
            bob   < NOTIFY
            bob   > 200 BYE
            bob   > 200 NOTIFY
            bob   > BYE
            bob   < 200 BYE
            """
        )
        self.office.end(consulted, self.alice)

    @conforms("RFC 5589 7.4")
    def test_a_phone_that_knows_no_refer_is_transferred_all_the_same(self) -> None:
        """7.4: none but the transferor's phone is sent a REFER, or a Replaces, at all."""
        consulting, consulted = self.talk(self.bob, self.carol)
        consulting.send("REFER", refer_to("alice", self.called))
        self.bob.response(202, "REFER")
        self.notified(self.bob)
        self.carol.answer(self.carol.request("INVITE"), sdp=session(self.carol))
        self.accept_offer(self.alice)
        self.carol.request("ACK")
        self.assertEqual(self.goes(self.bob).call_id, self.called.call_id)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.assertEqual((self.alice.titles, self.carol.titles), ([], []))
        self.hangs_up(consulting)
        self.office.end(consulted, self.alice)

    @conforms("RFC 5589 7.6")
    def test_semi_attended(self) -> None:
        """7.6, where the transferor's phone waits for the answer of the target before it sends the REFER."""
        sent = self.bob.call("carol", sdp=session(self.bob))
        consulted = self.answers(self.carol, self.rings(self.carol))
        self.bob.response(180)
        consulting = self.connected(self.bob, sent)
        self.refers(self.called, refer_to("carol", consulting))
        self.alice.answer(self.alice.request("INVITE"), sdp=session(self.alice))
        self.accept_offer(self.carol)
        self.alice.request("ACK")
        self.goes(self.bob)
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 200 OK")
        self.hangs_up(self.called)
        self.office.end(consulted, self.alice)

    @conforms("RFC 5589 7.7")
    def test_fallback_to_a_basic_transfer(self) -> None:
        """7.7: a target that cannot replace says 420, and the transferor's phone tries without."""
        self.refers(self.called, refer_to("carol")[:-1] + "?Replaces=far%3Bto-tag%3Da%3Bfrom-tag%3Db>")
        invite = self.carol.request("INVITE")
        self.assertIn("replaces", invite.names)
        self.carol.respond(invite, 420, ("unsupported", "replaces"))
        self.carol.request("ACK")
        self.assertEqual(self.notified(self.bob)[0], "SIP/2.0 420 Bad Extension")
        self.called.send("REFER", refer_to("carol"))
        self.bob.response(202, "REFER")
        notify = self.bob.request("NOTIFY")
        self.assertTrue((notify.value("event") or "").startswith("refer;id="))
        self.bob.respond(notify, 200)
        target = self.answers(self.carol, self.rings(self.carol))
        self.accept_offer(self.alice)
        self.bob.respond(self.bob.request("NOTIFY"), 200)
        self.hangs_up(self.called)
        self.office.end(target, self.alice)


class ReferredByTests(TransferFlows):
    @conforms("RFC 5589 8")
    def test_the_target_learns_who_referred(self) -> None:
        """Section 8."""
        self.refers(self.called, refer_to("carol"), "Referred-By: <sip:bob@example.com>")
        invite = self.rings(self.carol)
        self.assertEqual(invite.require("referred-by"), "<sip:bob@example.com>")
        self.answers(self.carol, invite)
        self.accept_offer(self.alice)
        self.notified(self.bob)
        self.hangs_up(self.called)
        self.office.end(self.calling, self.carol)


class RepeatedTests(ScenarioCase):
    """Datagrams that come twice."""

    @conforms("RFC 5589 6.1")
    def test_what_the_phones_repeat_changes_nothing(self) -> None:
        _, called = self.talk(self.alice, self.bob)
        refer = called.make("REFER", refer_to("carol"))
        for _ in range(3):
            self.bob.send(refer)
        for _ in range(3):
            self.bob.response(202, "REFER")
        self.notified(self.bob)
        invite = self.rings(self.carol)
        self.assertEqual(self.carol.titles, [])
        answer = self.carol.answer(invite, sdp=session(self.carol))
        self.carol.send(answer)
        self.carol.request("ACK")
        self.accept_offer(self.alice)
        self.notified(self.bob)
        self.hangs_up(called)
        self.office.end(Side(self.carol, invite, answer, is_caller=False), self.alice)
        self.assertEqual(self.states, [])
