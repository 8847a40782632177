"""Calls between two ends over a network in memory: begun, refused, given up, lost, hung up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.table import State
from gosip_py.dialog.user import Ending
from gosip_py.sip.fields import Reason
from gosip_py.sip.message import Message, Response
from gosip_py.transport.flow import Target
from tests.conformance import conforms
from tests.dialog.ends import ANSWER, NOW, OFFER, End, run
from tests.network import MemoryFlow, MemoryNetwork

ALICE, BOB = "192.0.2.1", "192.0.2.2"
ELSEWHERE = Reason("SIP", 200, "Call completed elsewhere")


class DroppingNetwork(MemoryNetwork):
    """Loses each datagram that ``drops`` says."""

    drops: Callable[[bytes], bool] | None = None

    def carry_datagram(self, flow: MemoryFlow, data: bytes) -> None:
        if self.drops is None or not self.drops(data):
            MemoryNetwork.carry_datagram(self, flow, data)


class EndsCase(SynchronousTestCase):
    """Alice calls Bob. After each test nothing may be left of it."""

    def setUp(self) -> None:
        self.network = DroppingNetwork(Clock())
        self.clock = self.network.clock
        self.alice = End(self.network, ALICE)
        self.bob = End(self.network, BOB)
        self.addCleanup(self.check_leaks)

    def check_leaks(self) -> None:
        for end in (self.alice, self.bob):
            for dialog in end.dialogs:
                dialog.hang_up()
        run(self.clock, 300)
        for end in (self.alice, self.bob):
            self.assertTrue(end.is_idle, f"{end.host} {list(end.dialogs)} {end.layer.in_flight} {len(end.layer.wheel)}")
            self.assertEqual(end.dialogs.active, 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def call(self, **more: Any) -> tuple[Dialog, Dialog]:
        """A call that has arrived and rings nowhere yet."""
        ours = self.alice.call(BOB, **more)
        run(self.clock)
        return ours, self.bob.dialog

    def talk(self, **more: Any) -> tuple[Dialog, Dialog]:
        """A call that was answered."""
        ours, theirs = self.call(**more)
        theirs.accept(ANSWER)
        run(self.clock)
        self.assertEqual((ours.state, theirs.state), (State.ESTABLISHED, State.ESTABLISHED))
        return ours, theirs

    def break_connection(self, dialog: Dialog) -> None:
        flow = dialog.flow
        assert isinstance(flow, MemoryFlow)
        flow.fail("reset by peer")

    def sent(self, title: str) -> list[Message]:
        """Every packet with this title, lost or not."""
        return [packet.message for packet in self.network.packets if packet.title == title]


class CallTests(EndsCase):
    @conforms("RFC 3261 13.2.1")
    @conforms("RFC 3261 13.3.1")
    @conforms("RFC 3261 12.1")
    def test_a_call_is_set_up_and_both_ends_know_the_same_dialog(self) -> None:
        ours, theirs = self.call()
        self.assertEqual((ours.state, theirs.state), (State.CALLING, State.INCOMING))
        self.assertTrue(ours.is_early and theirs.is_early)
        theirs.ring()
        run(self.clock)
        self.assertEqual((ours.state, theirs.state), (State.RINGING, State.ALERTING))
        self.assertEqual(ours.remote_tag, theirs.local_tag)
        theirs.accept(ANSWER)
        run(self.clock)
        self.assertTrue(ours.is_established and theirs.is_established)
        self.assertEqual(ours.call_id, theirs.call_id)
        self.assertEqual((ours.local_tag, ours.remote_tag), (theirs.remote_tag, theirs.local_tag))
        self.assertEqual((ours.local, ours.remote), (theirs.remote, theirs.local))
        self.assertEqual((ours.local_sdp, ours.remote_sdp), (OFFER, ANSWER))
        self.assertEqual((theirs.local_sdp, theirs.remote_sdp), (ANSWER, OFFER))
        self.assertEqual(ours.remote_target, f"sip:bob@{BOB}:5060")
        self.assertEqual(theirs.remote_target, f"sip:alice@{ALICE}:5060")
        self.assertEqual(self.alice.user.names, ["progressed", "answered"])
        self.assertEqual(self.bob.user.told, [("acknowledged", b"")])
        self.assertEqual(self.network.titles(), ["INVITE", "180 INVITE", "200 INVITE", "ACK"])
        self.assertEqual((ours.answered_at, ours.ended_at), (NOW + self.clock.seconds() - 0.099, None))

    def test_the_user_hears_nothing_before_invite_returns(self) -> None:
        nowhere = self.alice.call("nowhere.invalid", target=Target("UDP", "nowhere.invalid", 5060))
        self.assertEqual(self.alice.user.told, [])
        self.assertTrue(nowhere.is_early)
        run(self.clock)
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours, nowhere.state), (502, True, State.FAILED))

    @conforms("RFC 3261 15.1.1")
    @conforms("RFC 3261 15.1.2")
    def test_either_side_hangs_up(self) -> None:
        for is_caller in (True, False):
            ours, theirs = self.talk()
            leaver, other = (ours, theirs) if is_caller else (theirs, ours)
            heard: list[Response | None] = []
            leaver.hang_up(Reason("Q.850", 16), heard.append)
            self.assertEqual(leaver.state, State.TERMINATING)
            run(self.clock)
            self.assertEqual((leaver.state, other.state), (State.TERMINATED, State.TERMINATED))
            self.assertEqual([response and response.status for response in heard], [200])
            users = (self.alice.user, self.bob.user) if is_caller else (self.bob.user, self.alice.user)
            self.assertEqual(users[0].last("ended"), ("ended", Ending("us", 200, Reason("Q.850", 16), "OK")))
            self.assertEqual(users[1].last("ended"), ("ended", Ending("peer", 200, Reason("Q.850", 16), "")))
            self.assertEqual((other.ended_by, leaver.ended_by), ("peer", "us"))

    def test_both_hang_up_at_once_and_each_hears_of_it_once(self) -> None:
        ours, theirs = self.talk()
        ours.hang_up()
        theirs.hang_up()
        run(self.clock)
        for user in (self.alice.user, self.bob.user):
            self.assertEqual(user.names.count("ended"), 1)
        self.assertEqual((ours.ended_by, theirs.ended_by), ("us", "us"))

    def test_hanging_up_twice_is_as_once(self) -> None:
        ours, _ = self.talk()
        heard: list[Response | None] = []
        ours.hang_up(then=heard.append)
        ours.hang_up(then=heard.append)
        run(self.clock)
        ours.hang_up(then=heard.append)
        self.assertEqual([response and response.status for response in heard], [200, 200, None])
        self.assertEqual(len(self.sent("BYE")), 1)

    def test_a_bye_that_nobody_answers_ends_it_all_the_same(self) -> None:
        ours, theirs = self.talk()
        self.network.detach(self.bob.transport)
        heard: list[Response | None] = []
        ours.hang_up(then=heard.append)
        run(self.clock, 33)
        self.assertEqual((heard, ours.state), ([None], State.TERMINATED))
        self.assertEqual(self.alice.user.last("ended")[1].status, 408)
        self.assertTrue(theirs.is_established)

    @conforms("RFC 3261 13.2.2.4")
    def test_a_delayed_offer_is_answered_in_the_ack(self) -> None:
        ours, theirs = self.call(sdp=b"")
        self.assertEqual(theirs.remote_sdp, b"")
        theirs.accept(ANSWER)
        run(self.clock)
        self.assertEqual(self.alice.user.names, ["answered"])
        self.assertEqual(self.sent("ACK"), [])
        self.assertEqual(ours.remote_sdp, ANSWER)
        ours.acknowledge(OFFER)
        ours.acknowledge(b"again")
        run(self.clock)
        self.assertEqual(self.bob.user.told, [("acknowledged", OFFER)])
        self.assertEqual((theirs.remote_sdp, ours.local_sdp), (OFFER, OFFER))
        self.assertEqual(len(self.sent("ACK")), 1)

    def test_what_the_other_side_can_is_known(self) -> None:
        ours, theirs = self.talk()
        for dialog in (ours, theirs):
            self.assertTrue(dialog.remote_allows("UPDATE") and dialog.remote_supports("timer"))
            self.assertFalse(dialog.remote_allows("REGISTER") or dialog.remote_supports("outbound"))

    def test_the_states_are_watched(self) -> None:
        ours = self.alice.call(BOB)
        seen: list[tuple[State, State]] = []
        ours.watch = lambda _, before, after: seen.append((before, after))
        run(self.clock)
        self.bob.dialog.ring()
        self.bob.dialog.ring()
        self.bob.dialog.accept(ANSWER)
        run(self.clock)
        ours.hang_up()
        run(self.clock)
        states = [State.CALLING, State.RINGING, State.ESTABLISHED, State.TERMINATING, State.TERMINATED]
        self.assertEqual(seen, list(pairwise(states)))


class RefusalTests(EndsCase):
    def test_a_call_is_refused(self) -> None:
        ours, theirs = self.call()
        theirs.ring()
        theirs.reject(486, explanation="Busy.", headers=(("retry-after", "9"),))
        theirs.reject(603)
        run(self.clock)
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours, response.value("retry-after")), (486, False, "9"))
        self.assertIn("Busy.", response.value("warning") or "")
        self.assertEqual((ours.state, theirs.state), (State.FAILED, State.FAILED))
        self.assertEqual(self.bob.user.told, [])

    def test_hanging_up_on_a_call_that_rings_here_is_a_480(self) -> None:
        _, theirs = self.call()
        heard: list[Response | None] = []
        theirs.hang_up(ELSEWHERE, heard.append)
        run(self.clock)
        response = self.alice.user.last("failed")[1]
        self.assertEqual((response.status, heard), (480, [None]))
        self.assertEqual(response.value("reason"), str(ELSEWHERE))

    @conforms("RFC 3261 13.2.2.3")
    def test_a_redirection_goes_to_the_user(self) -> None:
        _, theirs = self.call()
        theirs.reject(302, headers=(("contact", "<sip:carol@192.0.2.9>"),))
        run(self.clock)
        self.assertEqual(self.alice.user.last("failed")[1].status, 302)

    def test_nobody_answers_at_all(self) -> None:
        self.network.detach(self.bob.transport)
        self.alice.call(BOB)
        run(self.clock, 33)
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours), (408, True))


class CancelTests(EndsCase):
    @conforms("RFC 3261 9.1")
    @conforms("RFC 3326 2")
    def test_a_call_that_rings_is_cancelled(self) -> None:
        ours, theirs = self.call()
        theirs.ring()
        run(self.clock)
        heard: list[Response | None] = []
        ours.hang_up(ELSEWHERE, heard.append)
        self.assertEqual(ours.state, State.TERMINATING)
        run(self.clock)
        (_, cancel) = self.bob.user.last("cancelled")
        self.assertEqual(cancel.value("reason"), str(ELSEWHERE))
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours, [one and one.status for one in heard]), (487, False, [487]))
        self.assertEqual((ours.state, theirs.state), (State.TERMINATED, State.TERMINATED))
        self.assertEqual(self.bob.user.names, ["cancelled"])

    def test_a_cancel_waits_for_a_provisional_response(self) -> None:
        ours = self.alice.call(BOB)
        ours.cancel()
        run(self.clock)
        self.assertEqual(self.network.titles(), ["INVITE"])
        run(self.clock, 0.3)  # the 100 of the other side
        self.assertEqual(self.alice.user.last("failed")[1].status, 487)
        self.assertEqual(self.bob.user.names, ["cancelled"])

    def test_a_cancel_of_a_call_that_nobody_hears_is_a_487_of_ours(self) -> None:
        self.network.detach(self.bob.transport)
        ours = self.alice.call(BOB)
        ours.cancel()
        run(self.clock, 33)
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours), (487, True))

    @conforms("RFC 3261 15.1.1")
    def test_the_answer_crosses_the_cancel_and_is_hung_up(self) -> None:
        ours, theirs = self.call()
        theirs.ring()
        run(self.clock)
        heard: list[Response | None] = []
        theirs.accept(ANSWER)
        ours.hang_up(ELSEWHERE, heard.append)
        run(self.clock)
        (_, response, is_ours) = self.alice.user.last("failed")
        self.assertEqual((response.status, is_ours), (487, True))
        self.assertEqual(self.alice.user.names, ["progressed", "failed"])
        self.assertEqual(self.bob.user.names, ["acknowledged", "ended"])
        self.assertEqual(self.bob.user.last("ended")[1].reason, ELSEWHERE)
        self.assertEqual((ours.state, theirs.state), (State.TERMINATED, State.TERMINATED))
        self.assertEqual(self.alice.dialogs.active, 0)

    def test_cancelling_an_answered_call_hangs_up(self) -> None:
        ours, theirs = self.talk()
        ours.cancel(ELSEWHERE)
        run(self.clock)
        self.assertEqual(self.bob.user.last("ended")[1].reason, ELSEWHERE)
        self.assertEqual(theirs.state, State.TERMINATED)

    def test_a_page_that_is_gone_has_given_up(self) -> None:
        _, theirs = self.call(via="WS")
        self.break_connection(theirs)
        run(self.clock)
        self.assertEqual(self.bob.user.told, [("cancelled", None)])
        self.assertEqual(theirs.state, State.FAILED)

    @conforms("RFC 3261 18.2.2")
    def test_a_connection_that_breaks_while_it_rings_is_no_cancel(self) -> None:
        ours, theirs = self.call(via="TCP")
        theirs.ring()
        run(self.clock)
        self.break_connection(theirs)
        run(self.clock)
        theirs.accept(ANSWER)
        run(self.clock)
        self.assertTrue(ours.is_established and theirs.is_established)
        self.assertEqual(self.bob.user.names, ["acknowledged"])


class AcknowledgementTests(EndsCase):
    @conforms("RFC 3261 13.3.1.4")
    def test_a_2xx_is_repeated_until_its_ack_comes_and_then_given_up(self) -> None:
        _, theirs = self.call()
        self.network.detach(self.alice.transport)
        start = self.clock.seconds()
        theirs.accept(ANSWER)
        run(self.clock, 33)
        times = [packet.time - start for packet in self.network.packets if packet.title == "200 INVITE"]
        for at, wanted in zip(times, (0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5), strict=True):
            self.assertAlmostEqual(at, wanted, delta=0.3)
        self.assertEqual(self.bob.user.last("ended"), ("ended", Ending("network", 408, None, "No ACK came")))
        self.assertEqual(len({packet.data for packet in self.network.packets if packet.title == "BYE"}), 1)

    @conforms("RFC 3261 15")
    def test_a_callee_that_hangs_up_waits_for_the_ack(self) -> None:
        _, theirs = self.call()
        theirs.accept(ANSWER)
        theirs.hang_up()
        self.assertEqual(self.sent("BYE"), [])
        run(self.clock)
        titles = self.network.titles()
        self.assertLess(titles.index("ACK"), titles.index("BYE"))
        self.assertEqual(self.bob.user.names, ["ended"])
        self.assertEqual(self.alice.user.names, ["answered", "ended"])

    @conforms("RFC 3261 13.2.2.4")
    def test_a_lost_ack_is_repeated_for_each_2xx(self) -> None:
        ours, theirs = self.call()
        theirs.accept(ANSWER)
        lost: list[bytes] = []

        def drops(data: bytes) -> bool:
            if data.startswith(b"ACK") and len(lost) < 2:
                lost.append(data)
                return True
            return False

        self.network.drops = drops
        run(self.clock, 5)
        self.assertEqual(len(lost), 2)
        self.assertEqual(self.bob.user.names, ["acknowledged"])
        self.assertEqual(self.alice.user.names, ["answered"])
        self.assertEqual(len(self.sent("200 INVITE")), 3)
        self.assertTrue(ours.is_established)

    def test_an_answer_repeated_after_the_end_is_acknowledged_without_another_bye(self) -> None:
        ours, theirs = self.call()
        theirs.accept(ANSWER)
        run(self.clock, 0.0015)
        repeated = self.sent("200 INVITE")[0].to_bytes()
        run(self.clock)
        ours.hang_up()
        run(self.clock)
        self.bob.transport.flow_of("UDP", (ALICE, 5060)).send(repeated)
        run(self.clock)
        self.assertEqual((len(self.sent("ACK")), len(self.sent("BYE"))), (2, 1))

    def test_every_message_may_be_lost_once_or_twice(self) -> None:
        for seed in range(40):
            self.network = DroppingNetwork(Clock(), seed, loss=0.4, duplicate=0.2, delay=(0.001, 0.3), most_lost=2)
            self.clock = self.network.clock
            self.alice, self.bob = End(self.network, ALICE), End(self.network, BOB)
            ours = self.alice.call(BOB)
            run(self.clock, 8)
            theirs = self.bob.dialog
            theirs.ring()
            run(self.clock, 1)
            theirs.accept(ANSWER)
            run(self.clock, 12)
            self.assertTrue(ours.is_established and theirs.is_established, seed)
            (ours if seed % 2 else theirs).hang_up()
            run(self.clock, 120)
            self.assertEqual(self.alice.user.names[-2:], ["answered", "ended"], seed)
            self.assertEqual(self.bob.user.names, ["acknowledged", "ended"], seed)
            self.assertTrue(self.alice.is_idle and self.bob.is_idle, seed)
