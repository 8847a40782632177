"""REFER at both ends over transactions and a network in memory, and by hand against one end."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.refer import Refer
from gosip_py.dialog.table import State
from gosip_py.sip.fields import Replaces
from gosip_py.sip.message import Message, Response
from tests.conformance import conforms
from tests.dialog.ends import ANSWER, End, run
from tests.network import MemoryNetwork

ALICE, BOB = "192.0.2.1", "192.0.2.2"
CAROL = "sip:carol@192.0.2.3"


class ReferCase(SynchronousTestCase):
    """A call from alice to bob. In the end nothing may be left of it."""

    loss = 0.0

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, seed=3, loss=self.loss, most_lost=3)
        self.alice, self.bob = End(self.network, ALICE), End(self.network, BOB)
        self.ours = self.alice.call(BOB)
        self.run_for(0.5 if not self.loss else 5)
        self.theirs = self.bob.dialog
        self.theirs.accept(ANSWER)
        self.run_for(0.5 if not self.loss else 10)
        self.network.packets.clear()
        self.results: list[tuple[int, str]] = []
        self.progress: list[int] = []
        self.addCleanup(self.check_leaks)

    def check_leaks(self) -> None:
        self.ours.hang_up()
        self.theirs.hang_up()
        self.run_for(400)
        for end in (self.alice, self.bob):
            self.assertEqual((len(end.dialogs), end.layer.in_flight, len(end.layer.wheel)), (0, 0, 0))

    def run_for(self, seconds: float = 0.1) -> None:
        run(self.clock, seconds)

    def refer(self, target: str = CAROL, **options: Any) -> None:
        """Alice refers bob."""

        def heard(status: int, reason: str) -> None:
            self.results.append((status, reason))

        self.ours.refer(target, progress=lambda status, _: self.progress.append(status), then=heard, **options)
        self.run_for()

    @property
    def referred(self) -> Refer:
        """The last REFER that bob was told of."""
        refer = self.bob.user.last("referred")[1]
        assert isinstance(refer, Refer)
        return refer

    def sent(self, title: str, host: str = "") -> list[Message]:
        return [
            packet.message
            for packet in self.network.packets
            if packet.title == title and packet.source[0].startswith(host)
        ]

    def titles(self) -> list[str]:
        return self.network.titles()


class ReferTests(ReferCase):
    @conforms("RFC 3515 2.4.1", "RFC 3515 2.4.2", "RFC 3515 2.4.4", "RFC 3515 2.4.7")
    def test_it_is_accepted_followed_and_reported(self) -> None:
        self.refer()
        self.assertEqual(self.ours.state, State.REFERRING)
        self.assertEqual(self.referred.target.uri_text, CAROL)
        self.referred.accept()
        self.run_for()
        self.assertEqual(self.ours.state, State.REFER_PENDING)
        self.referred.report(180)
        self.run_for(1.5)
        self.referred.report(200)
        self.run_for()
        self.assertEqual((self.progress, self.results), ([100, 180], [(200, "OK")]))
        self.assertEqual((self.ours.state, self.theirs.state), (State.ESTABLISHED, State.ESTABLISHED))
        self.assertEqual(self.titles(), ["REFER", "202 REFER", *(3 * ["NOTIFY", "200 NOTIFY"])])
        states = [message.require("subscription-state") for message in self.sent("NOTIFY")]
        self.assertEqual(states, ["active;expires=180", "active;expires=179", "terminated;reason=noresource"])

    @conforms("RFC 3515 2.2", "RFC 3515 2.4.4", "RFC 3515 2.4.5")
    def test_what_the_messages_bear(self) -> None:
        self.refer(referred_by="<sip:alice@example.com>", replaces=Replaces("c@d", "t", "f"))
        self.referred.accept()
        self.run_for()
        (refer,), (accepted,), (notify,) = self.sent("REFER"), self.sent("202 REFER"), self.sent("NOTIFY")
        self.assertEqual(refer.require("refer-to"), f"<{CAROL}?Replaces=c%40d%3Bto-tag%3Dt%3Bfrom-tag%3Df>")
        self.assertEqual(refer.require("referred-by"), "<sip:alice@example.com>")
        self.assertEqual(refer.require("contact"), "<sip:alice@192.0.2.1:5060>")
        self.assertEqual(accepted.require("contact"), "<sip:bob@192.0.2.2:5060>")
        self.assertEqual(notify.require("contact"), "<sip:bob@192.0.2.2:5060>")
        self.assertEqual(notify.require("event"), "refer")
        self.assertEqual(notify.require("content-type"), "message/sipfrag;version=2.0")
        self.assertEqual(notify.ids(), (refer.call_id, refer.to_tag, refer.from_tag))
        self.assertEqual(self.referred.replaces, Replaces("c@d", "t", "f"))
        self.assertEqual(self.referred.referred_by, "<sip:alice@example.com>")

    @conforms("RFC 3891 4")
    def test_a_dialog_to_replace_is_named_as_its_other_side_has_it(self) -> None:
        other = self.alice.call(BOB)
        self.run_for()
        self.bob.dialog.accept(ANSWER)
        self.run_for()
        self.refer(replaces=other)
        self.assertEqual(self.referred.replaces, Replaces(other.call_id, other.remote_tag, other.local_tag))
        self.referred.refuse(603)
        other.hang_up()

    @conforms("RFC 3515 2.4.2")
    def test_it_is_refused(self) -> None:
        self.refer()
        self.referred.refuse(603, "Not me: ask somebody else")
        self.run_for()
        self.assertEqual((self.progress, self.results), ([], [(603, "Decline")]))
        self.assertEqual(self.titles(), ["REFER", "603 REFER"])
        self.assertEqual((self.ours.state, self.theirs.state), (State.ESTABLISHED, State.ESTABLISHED))
        self.referred.report(200)
        self.referred.accept()
        self.run_for()
        self.assertEqual(len(self.titles()), 2)

    @conforms("RFC 3515 2.4.2", "RFC 3515 2.4.7")
    def test_who_thinks_for_long_has_accepted_and_may_still_refuse(self) -> None:
        self.refer()
        self.run_for(17)
        self.assertEqual(self.titles()[-3:], ["202 REFER", "NOTIFY", "200 NOTIFY"])
        self.referred.refuse(603)
        self.run_for()
        self.assertEqual(self.results, [(603, "Decline")])
        self.assertEqual(self.sent("NOTIFY")[-1].require("subscription-state"), "terminated;reason=rejected")

    @conforms("RFC 3515 2.4.6")
    def test_several_are_told_apart_by_their_ids(self) -> None:
        self.refer()
        first = self.referred
        first.accept()
        self.refer("sip:dave@192.0.2.4")
        second = self.referred
        second.accept()
        self.run_for()
        second.report(486)
        first.report(200)
        self.run_for()
        self.assertEqual(self.results, [(486, "Busy Here"), (200, "OK")])
        numbers = [message.cseq.number for message in self.sent("REFER")]
        events = [message.require("event") for message in self.sent("NOTIFY")]
        self.assertEqual(sorted(set(events)), ["refer", f"refer;id={numbers[1]}"])

    def test_there_are_not_too_many_at_once(self) -> None:
        for _ in range(9):
            self.refer()
        self.assertEqual(self.results, [(491, "Too many REFERs are under way")])
        self.assertEqual(self.bob.user.names.count("referred"), 8)

    @conforms("RFC 4488 4")
    def test_nothing_is_reported_if_nobody_wants_to_know(self) -> None:
        self.refer(silent=True)
        self.assertTrue(self.referred.is_silent)
        self.referred.report(180)
        self.referred.report(200)
        self.run_for(5)
        self.assertEqual(self.results, [(202, "Accepted")])
        self.assertEqual(self.ours.state, State.ESTABLISHED)
        self.assertEqual(self.titles(), ["REFER", "202 REFER"])
        self.assertEqual(self.sent("REFER")[0].require("refer-sub"), "false")
        self.assertEqual(self.sent("202 REFER")[0].require("refer-sub"), "false")

    def test_a_user_that_fails_has_refused(self) -> None:
        self.bob.user.on["referred"] = _fail
        self.refer()
        self.run_for()
        self.assertEqual(self.results[0][0], 500)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)

    def test_a_listener_that_fails_hurts_nobody(self) -> None:
        self.ours.refer(CAROL, progress=_fail, then=_fail)
        self.run_for()
        self.referred.accept()
        self.run_for()
        self.referred.report(200)
        self.run_for()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 2)
        self.assertEqual(self.titles().count("200 NOTIFY"), 2)

    def test_nobody_answers_a_refer(self) -> None:
        self.network.detach(self.bob.transport)
        self.refer()
        self.run_for(40)
        self.assertEqual(self.results, [(408, "Request Timeout")])


class ByeTests(ReferCase):
    """A REFER never holds up the end of a call, and its reports come all the same."""

    def test_reports_go_on_after_the_bye_of_who_referred(self) -> None:
        self.refer()
        self.referred.accept()
        self.run_for()
        self.ours.hang_up()
        self.run_for()
        self.assertEqual((self.ours.state, self.theirs.state), (State.TERMINATED, State.TERMINATED))
        self.assertEqual((len(self.alice.dialogs), len(self.bob.dialogs)), (1, 1))
        self.referred.report(200)
        self.run_for()
        self.assertEqual(self.results, [(200, "OK")])
        self.assertEqual((len(self.alice.dialogs), len(self.bob.dialogs)), (0, 0))

    def test_and_after_the_bye_of_who_was_referred(self) -> None:
        self.refer()
        self.referred.accept()
        self.run_for()
        self.theirs.hang_up()
        self.run_for()
        self.referred.report(503)
        self.run_for()
        self.assertEqual(self.results, [(503, "Service Unavailable")])
        self.assertEqual((len(self.alice.dialogs), len(self.bob.dialogs)), (0, 0))

    def test_of_an_ended_call_only_the_subscription_is_left(self) -> None:
        self.refer()
        self.referred.accept()
        self.run_for()
        self.ours.hang_up()
        self.run_for()
        statuses: list[int | None] = []
        for method in ("INFO", "REFER", "BYE"):
            self.ours.request(method, then=lambda response: statuses.append(_status(response)))
        self.run_for()
        self.assertEqual(statuses, [481, 481, 481])

    def test_a_bye_that_crosses_the_refer(self) -> None:
        self.ours.refer(CAROL, then=lambda status, reason: self.results.append((status, reason)))
        self.theirs.hang_up()
        self.run_for(40)
        self.assertEqual([status for status, _ in self.results], [491])
        self.assertEqual((self.ours.state, self.theirs.state), (State.TERMINATED, State.TERMINATED))

    def test_a_bye_while_the_refer_is_being_thought_about(self) -> None:
        self.refer()
        self.ours.hang_up()
        self.run_for()
        self.assertEqual(self.theirs.state, State.TERMINATED)
        self.referred.report(200)
        self.run_for()
        self.assertEqual([status for status, _ in self.results], [200])

    def test_everything_is_given_up_when_the_end_closes(self) -> None:
        self.refer()
        self.referred.accept()
        self.run_for()
        self.alice.dialogs.close()
        self.bob.dialogs.close()
        self.assertEqual(self.results, [(503, "The dialog is gone")])
        self.referred.report(200)
        self.run_for(400)

    def test_who_is_referred_and_vanishes(self) -> None:
        self.refer()
        self.referred.accept()
        self.run_for()
        self.network.detach(self.bob.transport)
        self.run_for(200)
        self.assertEqual(self.results, [(408, "Request Timeout")])

    def test_who_referred_and_vanishes(self) -> None:
        self.refer()
        self.referred.accept()
        self.run_for()
        self.network.detach(self.alice.transport)
        self.theirs.hang_up()
        self.referred.report(180)
        self.run_for(400)
        self.assertEqual(len(self.bob.dialogs), 0)


class LossTests(ReferCase):
    loss = 0.25

    @conforms("RFC 3515 2.4.4")
    def test_datagrams_are_lost(self) -> None:
        self.refer()
        self.run_for(20)
        self.referred.accept()
        self.run_for(20)
        self.referred.report(180)
        self.referred.report(200)
        self.run_for(20)
        self.assertEqual(self.results, [(200, "OK")])


class ByHandTests(ReferCase):
    """Requests that no dialog of ours would send."""

    def ask(
        self, method: str, *headers: tuple[str, str], body: bytes = b"", sender: Dialog | None = None
    ) -> int | None:
        """The status of the answer to a request of alice within the dialog."""
        answers: list[Response | None] = []
        dialog = sender or self.ours
        dialog.request(method, headers=headers, body=body, content_type="message/sipfrag", then=answers.append)
        self.run_for()
        return _status(answers[0])

    def accepted(self) -> Refer:
        self.refer()
        self.referred.accept()
        self.run_for()
        return self.referred

    @conforms("RFC 3515 2.4.2")
    def test_a_refer_that_makes_no_sense(self) -> None:
        self.assertEqual(self.ask("REFER"), 400)
        self.assertEqual(self.ask("REFER", ("refer-to", "<sip:a@b>"), ("refer-to", "<sip:c@d>")), 400)
        self.assertNotIn("referred", self.bob.user.names)
        self.assertEqual((self.ours.state, self.theirs.state), (State.ESTABLISHED, State.ESTABLISHED))

    @conforms("RFC 3515 2.4.4", "RFC 6665 4.2.1")
    def test_the_subscription_is_refreshed_and_ended(self) -> None:
        self.accepted()
        self.run_for(60)
        self.network.packets.clear()
        self.assertEqual(self.ask("SUBSCRIBE", ("event", "refer"), ("expires", "600")), 200)
        (answer,) = self.sent("200 SUBSCRIBE")
        self.assertEqual(answer.require("expires"), "600")
        self.assertIn("contact", answer.names)
        self.assertEqual(self.sent("NOTIFY")[0].require("subscription-state"), "active;expires=600")
        self.assertEqual(self.ask("SUBSCRIBE", ("event", "refer"), ("expires", "0")), 200)
        self.assertEqual(self.sent("NOTIFY")[1].require("subscription-state"), "terminated;reason=timeout")
        self.assertEqual(self.ask("SUBSCRIBE", ("event", "refer"), ("expires", "60")), 403)

    @conforms("RFC 3515 2.4.4")
    def test_only_a_refer_makes_a_subscription(self) -> None:
        self.assertEqual(self.ask("SUBSCRIBE", ("event", "refer")), 403)
        self.accepted()
        self.assertEqual(self.ask("SUBSCRIBE", ("event", "refer;id=99")), 403)
        self.assertEqual(self.ask("SUBSCRIBE", ("event", "refer"), ("expires", "soon")), 400)

    def test_no_other_event_is_known(self) -> None:
        for method in ("SUBSCRIBE", "NOTIFY"):
            self.assertEqual(self.ask(method, ("event", "talk")), 489)
            self.assertEqual(self.ask(method), 400)
        self.assertEqual(self.sent("489 NOTIFY")[0].require("allow-events"), "refer")

    @conforms("RFC 6665 4.1.3")
    def test_a_notify_that_nobody_waits_for(self) -> None:
        ending = ("subscription-state", "terminated;reason=noresource")
        self.assertEqual(self.ask("NOTIFY", ("event", "refer"), ending), 481)
        self.accepted()
        self.assertEqual(self.ask("NOTIFY", ("event", "refer"), ending, sender=self.ours), 481)
        self.assertEqual(self.ask("NOTIFY", ("event", "refer;id=99"), ending, sender=self.theirs), 481)

    def test_a_notify_that_makes_no_sense(self) -> None:
        self.accepted()
        state = ("subscription-state", "active;expires=60")
        event = ("event", "refer")
        bob = self.theirs
        self.assertEqual(self.ask("NOTIFY", event, sender=bob), 400)
        self.assertEqual(self.ask("NOTIFY", event, state, body=b"SIP/2.0 700 x", sender=bob), 400)
        self.assertEqual(self.ask("NOTIFY", event, ("subscription-state", "active;expires=x"), sender=bob), 400)
        self.assertEqual(self.results, [])

    @conforms("RFC 6665 4.1.3")
    def test_how_a_subscription_may_end_without_a_result(self) -> None:
        for reason, status in (("noresource", 202), ("rejected", 603), ("timeout", 408), ("giveup", 408), ("x", 202)):
            with self.subTest(reason=reason):
                self.accepted()
                number = self.sent("REFER")[-1].cseq.number
                state = ("subscription-state", f"terminated;reason={reason}")
                self.ask("NOTIFY", ("event", f"refer;id={number}"), state, sender=self.theirs)
                self.assertEqual(self.results[-1][0], status)
                self.assertEqual(self.ours.state, State.ESTABLISHED)

    def test_a_final_result_counts_though_the_subscription_goes_on(self) -> None:
        self.accepted()
        state = ("subscription-state", "active;expires=60")
        event = ("event", "refer")
        self.assertEqual(self.ask("NOTIFY", event, state, body=b"SIP/2.0 200 OK", sender=self.theirs), 200)
        self.assertEqual(self.results, [(200, "OK")])
        self.assertEqual(self.ask("NOTIFY", event, state, body=b"SIP/2.0 486 No", sender=self.theirs), 200)
        self.run_for(40)
        self.assertEqual(self.results, [(200, "OK")])

    @conforms("RFC 6665 4.1.2.2", "RFC 3515 2.4.4")
    def test_it_is_refreshed_while_there_is_no_result(self) -> None:
        refer = self.accepted()
        for _ in range(4):
            self.run_for(60)
            self.assertEqual(self.results, [])
        self.assertGreaterEqual(self.titles().count("200 SUBSCRIBE"), 2)
        refer.report(200)
        self.run_for()
        self.assertEqual(self.results, [(200, "OK")])

    @conforms("RFC 6665 4.1.2.4")
    def test_no_notify_ever_comes(self) -> None:
        self.bob.user.on["referred"] = _answer_silently
        self.refer()
        self.run_for(31)
        self.assertEqual(self.results, [])
        self.run_for(2)
        self.assertEqual(self.results, [(408, "Request Timeout")])

    @conforms("RFC 3515 2.4.4")
    def test_a_notify_may_overtake_the_202(self) -> None:
        self.refer()
        state = ("subscription-state", "terminated;reason=noresource")
        answered = self.ask("NOTIFY", ("event", "refer"), state, body=b"SIP/2.0 200 OK", sender=self.theirs)
        self.assertEqual((answered, self.results), (200, [(200, "OK")]))
        self.assertEqual(self.ours.state, State.ESTABLISHED)
        self.referred.accept()
        self.run_for(5)
        self.assertEqual(self.results, [(200, "OK")])

    def test_before_the_call_is_answered_nobody_is_referred(self) -> None:
        early = self.alice.call(BOB)
        self.run_for()
        self.bob.dialog.ring(180)
        self.run_for()
        self.assertEqual(self.ask("REFER", ("refer-to", "<sip:a@b>"), sender=early), 491)
        early.hang_up()

    def test_a_challenge_to_the_refer_is_none_that_could_be_answered(self) -> None:
        self.bob.user.on["referred"] = lambda dialog, refer: refer.refuse(401)
        self.refer()
        self.run_for()
        self.assertEqual(self.results[0][0], 401)


class Broken(Exception):
    """What an application may do."""


def _fail(*_: object) -> None:
    raise Broken


def _status(response: Response | None) -> int | None:
    return None if response is None else response.status


def _answer_silently(_dialog: Dialog, refer: Refer) -> None:
    """A phone that says 202 and nothing else."""
    transaction = refer._transaction
    refer.drop()
    transaction.reply(202)
