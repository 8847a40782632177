"""Our INVITE, and what scripted phones, proxies and worse send back."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.table import State
from gosip_py.dialog.user import Outcome
from gosip_py.sip.message import Request, Response
from gosip_py.sip.reply import reply
from gosip_py.transaction.session_timer import SessionTimerPolicy
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.dialog.ends import ANSWER, OFFER, End, Scripted, run
from tests.network import MemoryNetwork

ALICE, BOB = "192.0.2.1", "192.0.2.2"
OTHER = OFFER.replace(b"4000", b"4004")
SETTLED = ANSWER.replace(b"4002", b"4006")
CHALLENGE = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'


class UacCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork(Clock())
        self.clock = self.network.clock
        self.alice = End(self.network, ALICE)
        self.bob = Scripted(self.network, BOB)
        self.addCleanup(self.check_leaks)

    def check_leaks(self) -> None:
        for dialog in self.alice.dialogs:
            dialog.hang_up()
        run(self.clock, 300)
        self.assertTrue(self.alice.is_idle, list(self.alice.dialogs))
        self.assertEqual(self.flushLoggedErrors(), [])

    def call(self, **more: Any) -> Dialog:
        dialog = self.alice.call(BOB, **more)
        run(self.clock)
        return dialog

    @property
    def invite(self) -> Request:
        """The last one that Bob heard."""
        return self.bob.requests("INVITE")[-1]

    def answer(
        self, status: int, tag: str = "bob", *, contact: str = f"<sip:bob@{BOB}>", sdp: bytes = b"", **headers: Any
    ) -> None:
        """Bob answers the INVITE; header names are written with underscores."""
        response = reply(self.invite, status, to_tag=tag)
        if contact:
            response.add("contact", contact)
        for name, value in headers.items():
            response.add(name.replace("_", "-"), value)
        if sdp:
            response.set_body(sdp, "application/sdp")
        self.bob.send(response, ALICE)
        run(self.clock)

    def acknowledge(self, status_line_of: Request) -> None:
        """Bob answers a request within the dialog with 200."""
        self.bob.send(reply(status_line_of, 200), ALICE)
        run(self.clock)


class ForkTests(UacCase):
    @conforms("RFC 3261 12.1.2")
    def test_each_to_tag_is_an_early_dialog_of_its_own(self) -> None:
        dialog = self.call()
        self.answer(180, "one", contact="<sip:one@192.0.2.11>")
        self.answer(183, "two", contact="<sip:two@192.0.2.12>")
        self.assertEqual(self.alice.user.names, ["progressed", "progressed"])
        self.assertEqual(dialog.remote_tag, "two")
        one, two = dialog.peer_of("one"), dialog.peer_of("two")
        assert one is not None and two is not None
        self.assertEqual((one.target_uri, two.target_uri), ("sip:one@192.0.2.11", "sip:two@192.0.2.12"))
        self.answer(200, "one", contact=f"<sip:one@{BOB}>", sdp=ANSWER)
        self.assertEqual((dialog.remote_tag, dialog.remote_target), ("one", f"sip:one@{BOB}"))
        self.assertIsNone(dialog.peer_of("two"))

    @conforms("RFC 3261 13.2.2.4")
    def test_the_first_2xx_wins_and_every_other_fork_is_acknowledged_and_hung_up(self) -> None:
        dialog = self.call()
        self.answer(180, "one")
        self.answer(200, "two", contact=f"<sip:two@{BOB}>", sdp=ANSWER)
        self.answer(200, "one", contact=f"<sip:one@{BOB}>", sdp=ANSWER)
        acks, byes = self.bob.requests("ACK"), self.bob.requests("BYE")
        self.assertEqual([ack.to_tag for ack in acks], ["two", "one"])
        self.assertEqual([(bye.to_tag, bye.uri_text) for bye in byes], [("one", f"sip:one@{BOB}")])
        self.assertIn("completed elsewhere", byes[0].value("reason") or "")
        self.assertTrue(dialog.is_established)
        self.assertEqual(self.alice.user.names, ["progressed", "answered"])
        self.acknowledge(byes[0])
        self.answer(200, "one", contact=f"<sip:one@{BOB}>", sdp=ANSWER)
        self.assertEqual([len(self.bob.requests("ACK")), len(self.bob.requests("BYE"))], [3, 1])

    def test_a_phone_of_ever_new_tags_is_heard_to_an_end(self) -> None:
        dialog = self.call()
        for number in range(50):
            self.answer(180, f"tag{number}")
        self.assertLessEqual(sum(dialog.peer_of(f"tag{number}") is not None for number in range(50)), 33)
        self.answer(200, "tag49")
        self.assertEqual(dialog.remote_tag, "tag49")
        for number in range(100, 150):
            self.answer(200, f"tag{number}")
        self.assertEqual(len(self.bob.requests("BYE")), 32)

    def test_late_answers_of_forks_after_the_end_are_hung_up(self) -> None:
        dialog = self.call()
        self.answer(200, "one", sdp=ANSWER)
        dialog.hang_up()
        run(self.clock)
        self.acknowledge(self.bob.requests("BYE")[0])
        self.assertTrue(dialog.is_over)
        self.answer(200, "two")
        self.assertEqual([bye.to_tag for bye in self.bob.requests("BYE")], ["one", "two"])
        self.assertEqual(self.alice.user.names, ["answered", "ended"])

    @conforms("RFC 3261 12.2.1.1")
    def test_a_fork_that_was_sent_a_prack_is_hung_up_with_a_higher_cseq(self) -> None:
        self.call()
        for tag in ("one", "two"):
            self.answer(183, tag, require="100rel", rseq="1")
        for tag in ("one", "two"):
            self.answer(200, tag, sdp=ANSWER)
        self.assertEqual([prack.cseq.number for prack in self.bob.requests("PRACK")], [2, 3])
        (bye,) = self.bob.requests("BYE")
        self.assertEqual((bye.to_tag, bye.cseq.number), ("two", 4))

    def test_a_fork_that_answers_is_owed_an_answer_whatever_another_agreed_on(self) -> None:
        dialog = self.call(sdp=b"")
        self.answer(183, "one", require="100rel", rseq="1", sdp=OFFER)
        dialog.acknowledge(ANSWER)
        run(self.clock)
        self.acknowledge(self.bob.requests("PRACK")[0])
        self.answer(200, "two", sdp=OTHER)
        self.assertEqual((self.bob.requests("ACK"), dialog.remote_sdp), ([], OTHER))
        dialog.acknowledge(ANSWER)
        run(self.clock)
        (ack,) = self.bob.requests("ACK")
        self.assertEqual((ack.to_tag, ack.body), ("two", ANSWER))

    def test_the_answer_of_another_fork_does_not_go_to_the_one_whose_offer_waits(self) -> None:
        dialog = self.call(sdp=b"")
        self.answer(183, "one", require="100rel", rseq="1", sdp=OFFER)
        self.answer(200, "two", sdp=OTHER)
        dialog.acknowledge(ANSWER)
        run(self.clock)
        (ack,) = self.bob.requests("ACK")
        self.assertEqual((ack.to_tag, ack.body, self.bob.requests("PRACK")), ("two", ANSWER, []))

    def test_two_forks_answer_a_cancelled_call(self) -> None:
        dialog = self.call()
        self.answer(180, "one")
        dialog.cancel()
        run(self.clock)
        self.answer(200, "one")
        self.answer(200, "two")
        self.assertEqual([bye.to_tag for bye in self.bob.requests("BYE")], ["one", "two"])
        self.assertEqual(self.alice.user.names, ["progressed", "failed"])
        for bye in self.bob.requests("BYE"):
            self.acknowledge(bye)
        self.assertEqual(dialog.state, State.TERMINATED)


class RouteTests(UacCase):
    @conforms("RFC 3261 12.1.2")
    @conforms("RFC 3261 12.2.1.1")
    def test_the_route_set_is_the_record_route_turned_round(self) -> None:
        self.call()
        self.answer(200, contact="<sip:bob@203.0.113.9>", record_route=f"<sip:far.example;lr>, <sip:{BOB};lr>")
        (ack,) = self.bob.requests("ACK")
        self.assertEqual(ack.uri_text, "sip:bob@203.0.113.9")
        self.assertEqual(ack.values("route"), [f"<sip:{BOB};lr>", "<sip:far.example;lr>"])

    @conforms("RFC 3261 12.2.1.1")
    def test_a_strict_router_stands_in_the_request_line(self) -> None:
        self.call()
        self.answer(200, contact="<sip:bob@203.0.113.9>", record_route=f"<sip:far.example;lr>, <sip:{BOB}>")
        (ack,) = self.bob.requests("ACK")
        self.assertEqual(ack.uri_text, f"sip:{BOB}")
        self.assertEqual(ack.values("route"), ["<sip:far.example;lr>", "<sip:bob@203.0.113.9>"])

    def test_an_invite_takes_the_routes_that_it_is_given(self) -> None:
        self.call(uri="sip:carol@example.net", routes=(f"<sip:{BOB};lr>",), target=Target("UDP", "192.0.2.99", 5060))
        self.assertEqual(self.invite.uri_text, "sip:carol@example.net")
        self.assertEqual(self.invite.values("route"), [f"<sip:{BOB};lr>"])

    @conforms("RFC 3261 13.2.2.4")
    def test_the_2xx_replaces_the_routes_of_the_early_dialog(self) -> None:
        dialog = self.call()
        self.answer(180, contact="<sip:bob@203.0.113.9>", record_route="<sip:early.example;lr>")
        self.answer(200, contact="<sip:bob@203.0.113.8>", record_route=f"<sip:{BOB};lr>")
        self.assertEqual((dialog.peer.routes, dialog.remote_target), ((f"<sip:{BOB};lr>",), "sip:bob@203.0.113.8"))

    def test_a_phone_behind_a_nat_is_reached_by_the_flow_that_it_was_called_on(self) -> None:
        flow = self.alice.transport.flow_of("UDP", (BOB, 5060))
        dialog = self.call(target=Target("UDP", BOB, 5060, flow))
        self.answer(200, contact="<sip:bob@10.0.0.7:5060>", sdp=ANSWER)
        self.assertEqual(len(self.bob.requests("ACK")), 1)
        self.assertEqual(dialog.remote_target, "sip:bob@10.0.0.7:5060")
        dialog.hang_up()
        run(self.clock)
        self.assertEqual(self.bob.requests("BYE")[0].uri_text, "sip:bob@10.0.0.7:5060")

    def test_a_sips_call_has_a_sips_contact(self) -> None:
        self.call(via="TLS", uri=f"sips:bob@{BOB}", target=Target("TLS", BOB, 5061))
        self.assertEqual(self.invite.value("contact"), f"<sips:alice@{ALICE}:5061>")


class ChallengeTests(UacCase):
    def challenge(self, status: int = 407, nonce: str = "n1", **more: Any) -> None:
        name = "proxy_authenticate" if status == 407 else "www_authenticate"
        headers: dict[str, Any] = {name: f'Digest realm="example.com", nonce="{nonce}", qop="auth"'}
        self.answer(status, contact="", **headers, **more)

    @conforms("RFC 3261 22.2")
    @conforms("RFC 3261 8.1.3.5")
    def test_a_challenge_is_answered_with_the_next_cseq_of_the_same_call(self) -> None:
        dialog = self.call(credentials=ClientCredentials("alice", "secret"))
        first = self.invite
        self.challenge()
        second = self.invite
        self.assertEqual((first.call_id, first.from_tag), (second.call_id, second.from_tag))
        self.assertEqual((first.cseq.number, second.cseq.number), (1, 2))
        self.assertNotEqual(first.top_via.branch, second.top_via.branch)
        self.assertEqual((second.body, len(second.values("via"))), (OFFER, 1))
        self.assertIn('username="alice"', second.value("proxy-authorization") or "")
        self.answer(200, sdp=ANSWER)
        self.assertTrue(dialog.is_established)
        self.assertEqual(self.alice.user.names, ["answered"])
        ack = self.bob.requests("ACK")[-1]
        self.assertEqual((ack.cseq.number, ack.value("proxy-authorization")), (2, second.value("proxy-authorization")))
        dialog.hang_up()
        run(self.clock)
        bye = self.bob.requests("BYE")[0]
        self.assertEqual(bye.cseq.number, 3)
        self.assertIn("nc=00000002", bye.value("proxy-authorization") or "")

    def test_a_wrong_password_is_tried_once(self) -> None:
        self.call(credentials=ClientCredentials("alice", "secret"))
        self.challenge()
        self.challenge(nonce="n2")
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours, len(self.bob.requests("INVITE"))), (407, False, 2))

    def test_without_credentials_the_challenge_is_the_end(self) -> None:
        self.call()
        self.challenge(401)
        self.assertEqual(self.alice.user.last("failed")[1].status, 401)

    def test_a_cancelled_call_answers_no_challenge(self) -> None:
        dialog = self.call(credentials=ClientCredentials("alice", "secret"))
        dialog.cancel()
        self.challenge()
        self.assertEqual((self.alice.user.last("failed")[1].status, len(self.bob.requests("INVITE"))), (407, 1))

    @conforms("RFC 4028 7.3")
    def test_an_interval_that_is_too_short_is_asked_for_again_as_wanted(self) -> None:
        self.alice.dialogs.session_timers = SessionTimerPolicy("accept", session_expires=100)
        dialog = self.call()
        self.answer(422, contact="", min_se="600")
        self.assertEqual((self.invite.cseq.number, self.invite.value("min-se")), (2, "600"))
        self.assertEqual(self.invite.value("session-expires"), "600")
        self.answer(200, sdp=ANSWER)
        self.assertTrue(dialog.is_established)

    def test_intervals_that_grow_with_each_answer_are_asked_for_a_while(self) -> None:
        self.alice.dialogs.session_timers = SessionTimerPolicy("accept")
        dialog = self.call()
        for least in range(91, 200):
            if not dialog.is_over:
                self.answer(422, min_se=str(least))
        self.assertEqual(self.alice.user.names, ["failed"])
        self.assertLess(len(self.bob.requests("INVITE")), 40)

    @conforms("RFC 3261 13.2.2.4", "RFC 3261 22.1")
    def test_the_ack_of_a_challenged_re_invite_has_its_credentials(self) -> None:
        dialog = self.call(credentials=ClientCredentials("alice", "secret"))
        self.answer(200, sdp=ANSWER)
        dialog.offer(OTHER, lambda outcome: None)
        run(self.clock)
        self.answer(401, www_authenticate=CHALLENGE)
        self.answer(200, sdp=ANSWER)
        ack = self.bob.requests("ACK")[-1]
        self.assertEqual(ack.cseq.number, self.invite.cseq.number)
        self.assertEqual(ack.require("authorization"), self.invite.require("authorization"))

    def test_an_answer_that_took_long_is_sent_with_credentials_all_the_same(self) -> None:
        dialog = self.call(sdp=b"", credentials=ClientCredentials("alice", "secret"))
        self.answer(401, www_authenticate=CHALLENGE)
        self.answer(200, sdp=OFFER)
        run(self.clock, 60)  # the transaction is over, and its request dropped
        dialog.acknowledge(ANSWER)
        run(self.clock)
        (ack,) = [ack for ack in self.bob.requests("ACK") if ack.body]
        self.assertEqual(ack.require("authorization"), self.invite.require("authorization"))


class EndTests(UacCase):
    @conforms("RFC 3261 13.2.2.4")
    def test_who_hangs_up_on_an_offer_has_answered_it(self) -> None:
        dialog = self.call(sdp=b"")
        self.answer(200, sdp=OFFER)
        dialog.hang_up()
        run(self.clock)
        self.assertEqual(self.bob.titles, ["INVITE", "ACK", "BYE"])
        (ack,) = self.bob.requests("ACK")
        self.assertIn(b"a=inactive", ack.body)

    @conforms("RFC 3261 14.1")
    def test_so_has_who_asked_for_it_by_a_re_invite(self) -> None:
        dialog = self.call()
        self.answer(200, sdp=ANSWER)
        dialog.offer(b"", lambda outcome: None)
        run(self.clock)
        self.answer(200, sdp=OTHER)
        dialog.hang_up()
        run(self.clock)
        self.assertEqual(self.bob.titles, ["INVITE", "ACK", "INVITE", "ACK", "BYE"])
        self.assertIn(b"a=inactive", self.bob.requests("ACK")[-1].body)

    def test_who_asks_for_the_end_when_it_has_begun_by_itself_hears_of_it(self) -> None:
        dialog = self.call()
        self.answer(200, sdp=ANSWER)
        dialog.request("INFO", then=lambda response: None)
        run(self.clock)
        self.bob.send(reply(self.bob.requests("INFO")[0], 408), ALICE)
        run(self.clock)
        self.assertEqual((dialog.state, self.alice.user.names[-1]), (State.TERMINATING, "ended"))
        told: list[Response | None] = []
        dialog.hang_up(None, told.append)
        self.acknowledge(self.bob.requests("BYE")[0])
        self.assertEqual([response and response.status for response in told], [200])

    @conforms("RFC 3261 12.2.1.2")
    def test_an_early_dialog_that_is_gone_is_not_the_end_of_the_invite(self) -> None:
        for status in (481, 408):
            dialog = self.call()
            self.answer(183, require="100rel", rseq="1", allow="INVITE, PRACK, UPDATE", sdp=ANSWER)
            self.acknowledge(self.bob.requests("PRACK")[-1])
            dialog.offer(OTHER, lambda outcome: None)
            run(self.clock)
            self.bob.send(reply(self.bob.requests("UPDATE")[-1], status), ALICE)
            run(self.clock)
            self.assertTrue(dialog.is_unanswered)
            dialog.cancel()
            run(self.clock)
            self.assertEqual(self.bob.titles[-1], "CANCEL")
            self.answer(487)


class ReliableReInviteTests(UacCase):
    """A reliable response to a re-INVITE brings the answer, and the 2xx none."""

    def change(self) -> tuple[Dialog, list[Outcome]]:
        dialog = self.call()
        self.answer(200, sdp=ANSWER)
        outcomes: list[Outcome] = []
        dialog.offer(OTHER, outcomes.append)
        run(self.clock)
        self.answer(183, require="100rel", rseq="7", sdp=SETTLED)
        self.acknowledge(self.bob.requests("PRACK")[0])
        return dialog, outcomes

    @conforms("RFC 6337 3.1.1")
    def test_it_stands(self) -> None:
        dialog, outcomes = self.change()
        self.answer(200)
        self.assertEqual([(outcome.status, outcome.sdp) for outcome in outcomes], [(200, SETTLED)])
        self.assertEqual((dialog.local_sdp, dialog.remote_sdp), (OTHER, SETTLED))

    @conforms("RFC 6337 3.4")
    def test_a_refusal_undoes_it(self) -> None:
        dialog, outcomes = self.change()
        self.assertEqual(dialog.remote_sdp, SETTLED)
        self.answer(488)
        self.assertEqual([outcome.status for outcome in outcomes], [488])
        self.assertEqual((dialog.local_sdp, dialog.remote_sdp), (OFFER, ANSWER))


class HostileAnswerTests(UacCase):
    def test_a_2xx_without_contact_is_answered_where_the_invite_went(self) -> None:
        dialog = self.call()
        self.answer(200, contact="", sdp=ANSWER)
        self.assertEqual((dialog.state, dialog.remote_target), (State.ESTABLISHED, f"sip:bob@{BOB}"))
        self.assertEqual(len(self.bob.requests("ACK")), 1)

    def test_contacts_that_cannot_be_called_are_as_none(self) -> None:
        for contact in ("<tel:+4930>", "<sip:bob@", "*", "<sip:a@192.0.2.7>, <sip:b@192.0.2.8>", "<sip:x@y?z=1>"):
            dialog = self.call()
            self.answer(200, contact=contact, sdp=ANSWER)
            self.assertEqual((dialog.state, dialog.remote_target), (State.ESTABLISHED, f"sip:bob@{BOB}"), contact)

    def test_a_target_of_no_transport_that_we_speak_is_sent_nothing(self) -> None:
        dialog = self.call()
        self.answer(200, contact=f"<sip:bob@{BOB};transport=carrier-pigeon>", sdp=ANSWER)
        self.assertEqual(self.bob.requests("ACK"), [])
        heard: list[Response | None] = []
        dialog.hang_up(then=heard.append)
        self.assertEqual((dialog.state, heard), (State.TERMINATED, [None]))

    def test_a_2xx_with_routes_that_cannot_be_read_is_hung_up(self) -> None:
        for routes in ("<sip:far.example;lr", "nonsense", ", ".join(["<sip:a.example;lr>"] * 33)):
            self.bob.heard.clear()
            dialog = self.call()
            self.answer(200, record_route=routes, sdp=ANSWER)
            self.assertEqual(dialog.state, State.FAILED)
            (_, response, is_ours) = self.alice.user.last("failed")
            self.assertEqual((response.status, is_ours), (502, True))
            self.assertEqual(self.bob.titles, ["INVITE", "ACK", "BYE"])

    def test_provisional_responses_that_cannot_be_read_are_heard_all_the_same(self) -> None:
        dialog = self.call()
        self.answer(183, contact="<sip:", record_route="nonsense")
        self.answer(180, tag="")
        self.assertEqual((dialog.state, self.alice.user.names), (State.RINGING, ["progressed", "progressed"]))

    def test_a_bye_of_whoever_rings_cancels_the_call(self) -> None:
        dialog = self.call()
        self.answer(180)
        bye = Request("BYE", f"sip:alice@{ALICE}", [], [])
        for name, value in (
            ("via", f"SIP/2.0/UDP {BOB}:5060;branch=z9hG4bKearly"),
            ("from", f"<sip:bob@{BOB}>;tag=bob"),
            ("to", dialog.local),
            ("call-id", dialog.call_id),
            ("cseq", "1 BYE"),
            ("content-length", "0"),
        ):
            bye.add(name, value)
        self.bob.send(bye, ALICE)
        run(self.clock)
        self.assertEqual(self.bob.titles, ["INVITE", "200", "CANCEL"])
        self.answer(487)
        self.assertEqual((dialog.state, self.alice.user.last("failed")[1].status), (State.TERMINATED, 487))
