"""INVITEs of scripted phones, and what they send within the dialog."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.table import State
from gosip_py.sip.message import Request
from gosip_py.sip.reply import reply
from gosip_py.transaction.server import ServerTransaction
from gosip_py.transport.flow import Flow, Target
from tests.conformance import conforms
from tests.dialog.ends import ANSWER, OFFER, End, Scripted, run
from tests.network import MemoryNetwork

ALICE, BOB = "192.0.2.1", "192.0.2.2"


class UasCase(SynchronousTestCase):
    """Alice is scripted and calls Bob, whose end is real."""

    def setUp(self) -> None:
        self.network = MemoryNetwork(Clock())
        self.clock = self.network.clock
        self.alice = Scripted(self.network, ALICE)
        self.bob = End(self.network, BOB)
        self.branch = 0
        self.addCleanup(self.check_leaks)

    def check_leaks(self) -> None:
        for dialog in self.bob.dialogs:
            dialog.hang_up()
        run(self.clock, 300)
        self.assertTrue(self.bob.is_idle, list(self.bob.dialogs))
        self.assertEqual(self.flushLoggedErrors(), [])

    def request(
        self, method: str, cseq: int = 1, tag: str = "", *, body: bytes = b"", call_id: str = "c1", **headers: Any
    ) -> Request:
        """A request of Alice to Bob; header names are written with underscores, one that is empty is left out."""
        self.branch += 1
        pairs = {
            "via": f"SIP/2.0/UDP {ALICE}:5060;rport;branch=z9hG4bK{self.branch}",
            "max-forwards": "70",
            "from": f"<sip:alice@{ALICE}>;tag=alice",
            "to": f"<sip:bob@{BOB}>" + (f";tag={tag}" if tag else ""),
            "call-id": call_id,
            "cseq": f"{cseq} {method}",
            "contact": f"<sip:alice@{ALICE}>" if method in ("INVITE", "UPDATE") else "",
        }
        pairs |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method, f"sip:bob@{BOB}:5060", [], [])
        for name, value in pairs.items():
            if value:
                request.add(name, value)
        request.set_body(body, "application/sdp" if body else None)
        return request

    def send(self, request: Request, via: str = "UDP") -> Request:
        self.alice.send(request, BOB, via)
        run(self.clock)
        return request

    def call(self, **headers: Any) -> Dialog:
        self.send(self.request("INVITE", body=OFFER, **headers))
        return self.bob.dialog

    def talk(self, **headers: Any) -> Dialog:
        dialog = self.call(**headers)
        dialog.accept(ANSWER)
        run(self.clock)
        self.send(self.request("ACK", 1, dialog.local_tag))
        self.assertEqual(self.bob.user.names, ["acknowledged"])
        return dialog

    def last_status(self) -> int:
        return int(self.alice.titles[-1])


class AnswerTests(UasCase):
    @conforms("RFC 3261 12.1.1")
    def test_responses_that_make_a_dialog_have_a_contact_a_tag_and_the_recorded_route(self) -> None:
        routes = ("<sip:near.example;lr>, <sip:far.example;lr>", "<sip:farther.example>")
        invite = self.request("INVITE", body=OFFER, record_route=routes[0])
        invite.add("record-route", routes[1])
        self.send(invite)
        dialog = self.bob.dialog
        dialog.ring()
        run(self.clock)
        dialog.accept(ANSWER)
        run(self.clock)
        for status in (180, 200):
            (response, *_) = self.alice.responses(status)
            self.assertEqual(response.to_tag, dialog.local_tag)
            self.assertEqual(response.value("contact"), f"<sip:bob@{BOB}:5060>")
            self.assertEqual(len(response.values("record-route")), 3)
        self.assertEqual(self.alice.responses(200)[0].body, ANSWER)
        self.assertTrue(self.alice.responses(200)[0].has_token("allow", "UPDATE"))
        self.assertEqual(dialog.peer.routes[0], "<sip:near.example;lr>")

    def test_a_refusal_of_an_invite_that_cannot_begin_a_dialog_keeps_nothing(self) -> None:
        broken: tuple[dict[str, Any], ...] = (
            {"contact": ""},
            {"contact": "<tel:+4930>"},
            {"contact": "<sip:x"},
            {"contact": "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>"},
            {"record_route": "<sip:x"},
            {"record_route": ", ".join(["<sip:a.example;lr>"] * 33)},
        )
        for headers in broken:
            self.send(self.request("INVITE", body=OFFER, **headers))
            self.assertEqual((self.last_status(), len(self.bob.dialogs)), (400, 0), headers)

    def test_progress_may_bear_early_media_and_headers(self) -> None:
        dialog = self.call()
        dialog.ring(183, sdp=ANSWER, headers=(("alert-info", "<http://127.0.0.1/tone>"),))
        run(self.clock)
        (response,) = self.alice.responses(183)
        self.assertEqual((response.body, response.value("alert-info")), (ANSWER, "<http://127.0.0.1/tone>"))
        self.assertIn("application/sdp", response.value("content-type") or "")

    @conforms("RFC 3261 9.2")
    def test_a_cancel_is_told_with_its_reason(self) -> None:
        dialog = self.call()
        dialog.ring()
        invite = self.request("INVITE")
        cancel = self.request("CANCEL", reason="SIP;cause=200", via=f"SIP/2.0/UDP {ALICE}:5060;rport;branch=z9hG4bK1")
        self.assertNotEqual(invite.top_via.branch, cancel.top_via.branch)
        self.send(cancel)
        self.assertEqual(self.bob.user.last("cancelled")[1].value("reason"), "SIP;cause=200")
        self.assertEqual(dialog.state, State.TERMINATED)
        self.assertIn("487", self.alice.titles)

    def test_a_bye_before_the_answer_withdraws_the_call(self) -> None:
        dialog = self.call()
        dialog.ring()
        self.send(self.request("BYE", 2, dialog.local_tag))
        self.assertEqual(self.bob.user.told, [("cancelled", None)])
        self.assertEqual([title for title in self.alice.titles if title != "100"][:3], ["180", "200", "487"])

    def test_an_invite_without_an_offer_is_answered_with_ours_and_the_ack_has_the_answer(self) -> None:
        self.send(self.request("INVITE"))
        dialog = self.bob.dialog
        dialog.accept(OFFER)
        run(self.clock)
        self.send(self.request("ACK", 1, dialog.local_tag, body=ANSWER))
        self.assertEqual(self.bob.user.told, [("acknowledged", ANSWER)])
        self.assertEqual((dialog.local_sdp, dialog.remote_sdp), (OFFER, ANSWER))

    def test_requests_go_to_the_flow_of_a_phone_behind_a_nat(self) -> None:
        dialog = self.call(contact="<sip:alice@10.0.0.7:5099>", via="SIP/2.0/UDP 10.0.0.7:5099;rport;branch=z9hG4bKnat")
        self.assertIsNotNone(dialog.peer.flow)
        dialog.accept(ANSWER)
        run(self.clock)
        self.send(self.request("ACK", 1, dialog.local_tag))
        dialog.hang_up()
        run(self.clock)
        self.assertEqual(self.alice.requests("BYE")[0].uri_text, "sip:alice@10.0.0.7:5099")

    def test_who_is_heard_through_others_is_reached_by_its_contact(self) -> None:
        via = f"SIP/2.0/UDP {ALICE}:5060;rport;branch=z9hG4bKtwo, SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKone"
        self.assertIsNone(self.call(via=via).peer.flow)


class WithinTests(UasCase):
    @conforms("RFC 3261 12.2.2")
    def test_a_lower_cseq_is_refused_with_500(self) -> None:
        dialog = self.talk()
        self.send(self.request("OPTIONS", 7, dialog.local_tag))
        self.assertEqual(self.last_status(), 200)
        self.send(self.request("OPTIONS", 6, dialog.local_tag))
        self.assertEqual(self.last_status(), 500)
        self.send(self.request("OPTIONS", 8, dialog.local_tag))
        self.assertEqual(self.last_status(), 200)

    @conforms("RFC 3261 12.2.2")
    def test_a_request_of_no_dialog_is_refused_with_481(self) -> None:
        dialog = self.talk()
        for tag, call_id, sender in (
            ("nobody", "c1", "alice"),
            (dialog.local_tag, "c2", "alice"),
            (dialog.local_tag, "c1", "mallory"),
        ):
            request = self.request("BYE", 2, tag, call_id=call_id)
            request.set("from", f"<sip:alice@{ALICE}>;tag={sender}")
            self.send(request)
            self.assertEqual(self.last_status(), 481)
        self.assertTrue(dialog.is_established)

    @conforms("RFC 3261 11.2")
    def test_options_within_a_dialog_is_answered(self) -> None:
        dialog = self.talk()
        self.send(self.request("OPTIONS", 2, dialog.local_tag))
        response = self.alice.responses(200)[-1]
        self.assertTrue(response.has_token("allow", "BYE"))
        self.assertEqual(response.value("accept"), "application/sdp")

    @conforms("RFC 3261 8.2.2.3")
    def test_an_extension_that_we_do_not_know_is_refused(self) -> None:
        dialog = self.talk()
        self.send(self.request("OPTIONS", 2, dialog.local_tag, require="teleportation"))
        self.assertEqual(
            (self.last_status(), self.alice.responses(420)[0].value("unsupported")), (420, "teleportation")
        )

    def test_other_methods_are_for_the_user(self) -> None:
        dialog = self.talk()
        taken: list[ServerTransaction] = []
        self.bob.user.on["requested"] = lambda _, transaction: taken.append(transaction)
        info = self.request("INFO", 2, dialog.local_tag)
        info.set_body(b"Signal=5", "application/dtmf-relay")
        self.send(info)
        self.assertEqual(taken[0].request.body, b"Signal=5")
        taken[0].reply(200)
        run(self.clock)
        self.assertEqual(self.last_status(), 200)

    def test_a_dialog_that_is_being_left_asks_its_user_nothing_more(self) -> None:
        dialog = self.talk()
        dialog.hang_up()
        run(self.clock)
        self.send(self.request("INFO", 2, dialog.local_tag))
        self.assertEqual(self.last_status(), 481)
        self.send(self.request("BYE", 3, dialog.local_tag))
        self.assertEqual(self.last_status(), 200)
        self.assertEqual(self.bob.user.names, ["acknowledged"])

    @conforms("RFC 3261 15.1.2")
    def test_after_the_bye_the_dialog_is_gone(self) -> None:
        dialog = self.talk()
        self.send(self.request("BYE", 2, dialog.local_tag, reason="Q.850;cause=16"))
        ending = self.bob.user.last("ended")[1]
        self.assertEqual((ending.by, ending.reason.cause), ("peer", 16))
        self.send(self.request("INFO", 3, dialog.local_tag))
        self.assertEqual(self.last_status(), 481)

    def test_a_reason_that_cannot_be_read_does_not_keep_a_bye_from_ending(self) -> None:
        dialog = self.talk()
        self.send(self.request("BYE", 2, dialog.local_tag, reason=";;="))
        self.assertEqual((self.last_status(), dialog.state), (200, State.TERMINATED))
        self.assertIsNone(self.bob.user.last("ended")[1].reason)

    @conforms("RFC 3261 12.2.1.2")
    def test_481_and_408_to_a_request_of_ours_end_the_dialog(self) -> None:
        for status in (481, 408):
            self.bob.user.told.clear()
            dialog = self.talk()
            heard: list[int] = []
            dialog.request("INFO", then=lambda response: heard.append(response.status if response else 0))  # noqa: B023
            run(self.clock)
            response = self.respond_to(self.alice.requests("INFO")[-1], status)
            self.assertEqual(heard, [response])
            ending = self.bob.user.last("ended")[1]
            self.assertEqual((ending.by, ending.status), ("network", status))
            self.assertIs(dialog.state, State.TERMINATED if status == 481 else State.TERMINATING)

    def test_silence_to_a_request_of_ours_ends_the_dialog_too(self) -> None:
        dialog = self.talk()
        self.network.detach(self.alice.transport)
        dialog.request("INFO", then=lambda _: None)
        run(self.clock, 33)
        self.assertEqual(self.bob.user.last("ended")[1].status, 408)

    def test_other_refusals_do_not(self) -> None:
        dialog = self.talk()
        dialog.request("INFO", then=lambda _: None)
        run(self.clock)
        self.respond_to(self.alice.requests("INFO")[-1], 415)
        self.assertTrue(dialog.is_established)

    def respond_to(self, request: Request, status: int) -> int:
        self.alice.send(reply(request, status), BOB)
        run(self.clock)
        return status

    def test_requests_of_ours_count_up(self) -> None:
        dialog = self.talk()
        numbers = [dialog.request("INFO", then=lambda _: None) for _ in range(3)]
        self.assertEqual(numbers, [1, 2, 3])
        run(self.clock)
        self.assertEqual([info.cseq.number for info in self.alice.requests("INFO")], numbers)
        for info in self.alice.requests("INFO"):
            self.respond_to(info, 200)

    def test_where_a_request_comes_from(self) -> None:
        dialog = self.talk()
        request = self.request("INFO", 2, dialog.local_tag)
        flow: Flow = self.bob.transport.flow_of("UDP", (ALICE, 5060))
        moved = self.bob.transport.flow_of("TCP", (ALICE, 40000))
        elsewhere = self.bob.transport.flow_of("UDP", ("192.0.2.66", 5060))
        self.assertTrue(dialog.is_from(request, flow))
        self.assertTrue(dialog.is_from(request, moved))
        self.assertFalse(dialog.is_from(request, elsewhere))
        dialog.is_outside = True
        self.assertTrue(dialog.is_from(request, elsewhere))


class AckTests(UasCase):
    def test_an_ack_of_another_cseq_is_not_the_one(self) -> None:
        dialog = self.call()
        dialog.accept(ANSWER)
        run(self.clock)
        self.send(self.request("ACK", 2, dialog.local_tag))
        self.assertEqual(self.bob.user.told, [])
        self.send(self.request("ACK", 1, dialog.local_tag))
        self.send(self.request("ACK", 1, dialog.local_tag))
        self.assertEqual(self.bob.user.told, [("acknowledged", b"")])

    def test_a_bye_of_theirs_ends_it_while_ours_waits_for_the_ack(self) -> None:
        dialog = self.call()
        dialog.accept(ANSWER)
        dialog.hang_up()
        self.send(self.request("BYE", 2, dialog.local_tag))
        self.assertEqual((dialog.state, self.bob.user.names), (State.TERMINATED, ["ended"]))
        self.assertEqual(self.alice.requests("BYE"), [])

    def test_an_ack_of_nobody_is_not_ours(self) -> None:
        self.send(self.request("ACK", 1, "nobody"))
        self.assertEqual(self.bob.stray_acks, 1)


class RegistryTests(UasCase):
    def test_the_dialogs_count_and_tell_of_changes(self) -> None:
        changed: list[tuple[State, int]] = []
        self.bob.dialogs.changed = lambda dialog: changed.append((dialog.state, self.bob.dialogs.active))
        dialog = self.call()
        self.assertEqual((len(self.bob.dialogs), self.bob.dialogs.active), (1, 0))
        self.assertTrue(self.bob.dialogs.owns(self.request("INFO", 2, dialog.local_tag)))
        self.assertFalse(self.bob.dialogs.owns(self.request("INFO", 2, "other")))
        dialog.accept(ANSWER)
        run(self.clock)
        self.send(self.request("ACK", 1, dialog.local_tag))
        self.send(self.request("BYE", 2, dialog.local_tag))
        self.assertEqual(changed, [(State.ESTABLISHED, 1), (State.TERMINATED, 0)])
        self.assertEqual((len(self.bob.dialogs), list(self.bob.dialogs)), (0, []))

    def test_all_are_hung_up_and_waited_for(self) -> None:
        dialog = self.talk()
        early = self.bob.call("192.0.2.77")
        done: list[object] = []
        _ = self.bob.dialogs.hang_up_all().addCallback(done.append)
        run(self.clock)
        self.assertEqual(done, [])
        self.assertEqual((dialog.state, early.state), (State.TERMINATING, State.TERMINATING))
        run(self.clock, 2)
        self.assertEqual(done, [None])

    def test_those_who_answer_at_once_are_not_waited_for(self) -> None:
        other = End(self.network, "192.0.2.3")
        ours = [other.call(BOB) for _ in range(250)]
        run(self.clock)
        for dialog in self.bob.taken:
            dialog.accept(ANSWER)
        run(self.clock)
        self.assertTrue(all(dialog.is_established for dialog in ours))
        done: list[object] = []
        _ = other.dialogs.hang_up_all().addCallback(done.append)
        run(self.clock, 0.5)
        self.assertEqual((done, len(other.dialogs), len(self.bob.dialogs)), ([None], 0, 0))

    def test_closing_ends_everything_and_tells_every_user_once(self) -> None:
        dialog = self.talk()
        self.bob.call("192.0.2.77")
        self.send(self.request("INVITE", call_id="c9"))
        early = self.bob.dialog
        self.bob.dialogs.close()
        self.assertEqual(len(self.bob.dialogs), 0)
        self.assertEqual(self.bob.user.names, ["acknowledged", "ended", "failed", "cancelled"])
        run(self.clock)
        self.assertIn("BYE", self.alice.titles)
        self.assertTrue(dialog.is_over and early.is_over)

    def test_a_target_given_with_an_open_flow_is_used(self) -> None:
        flow = self.bob.transport.flow_of("TCP", (ALICE, 5060))
        self.bob.call("203.0.113.5", target=Target("UDP", "203.0.113.5", 5060, flow)).cancel()
        run(self.clock)
        self.assertEqual(self.alice.titles, ["INVITE"])
        run(self.clock, 33)
