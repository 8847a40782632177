from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.refresh import EXPIRED
from gosip_py.sip.compose import compose
from gosip_py.sip.message import Message, Request, Response
from gosip_py.transaction.session_timer import Granted, SessionTimerPolicy, grant, min_se_of
from tests.conformance import conforms
from tests.dialog.pair import ANSWER, OFFER, Ends, EndsCase, sdp
from tests.dialog.test_exchange import Raw
from tests.network import MemoryNetwork

ON = SessionTimerPolicy("accept", 90, 1800, 7200)
SHORT = SessionTimerPolicy("accept", 90, 90, 7200)
REQUIRED = SessionTimerPolicy("require", 90, 90, 7200)
OFF = SessionTimerPolicy("off")
LONG = SessionTimerPolicy("accept", 600, 1200, 7200)


def invite(*headers: tuple[str, str]) -> Request:
    return compose(
        "INVITE",
        "sip:bob@example.com",
        from_="<sip:alice@example.com>;tag=1",
        to="<sip:bob@example.com>",
        call_id="1@a",
        cseq=1,
        headers=headers,
    )


KNOWN = ("supported", "100rel, timer")


class GrantTests(SynchronousTestCase):
    """RFC 4028 9 and its table 2."""

    @conforms("RFC 4028 9")
    def test_whoever_refreshes_is_whom_the_caller_chose(self) -> None:
        for value, refresher in (("300", "uac"), ("300;refresher=uac", "uac"), ("300;refresher=uas", "uas")):
            self.assertEqual(grant(ON, invite(KNOWN, ("session-expires", value))), Granted(300, refresher, True))

    @conforms("RFC 4028 9")
    def test_for_a_caller_without_timers_we_refresh(self) -> None:
        self.assertEqual(grant(ON, invite(("session-expires", "300"))), Granted(300, "uas", False))
        self.assertIsNone(grant(ON, invite()))

    @conforms("RFC 4028 9")
    def test_one_may_be_asked_for_by_us(self) -> None:
        self.assertEqual(grant(ON, invite(KNOWN)), Granted(1800, "uac", True))
        self.assertEqual(grant(ON, invite(KNOWN, ("min-se", "2000"))), Granted(2000, "uac", True))

    @conforms("RFC 4028 9")
    def test_it_is_lowered_to_our_most_and_never_below_min_se_nor_raised(self) -> None:
        self.assertEqual(grant(ON, invite(KNOWN, ("session-expires", "9000"))), Granted(7200, "uac", True))
        asked = invite(KNOWN, ("session-expires", "9000"), ("min-se", "8000"))
        self.assertEqual(grant(ON, asked), Granted(8000, "uac", True))
        self.assertIsNone(grant(ON, invite(("session-expires", "5"))))

    def test_what_cannot_be_read_is_no_timer(self) -> None:
        self.assertIsNone(grant(ON, invite(KNOWN, ("session-expires", "soon"))))
        self.assertIsNone(grant(OFF, invite(KNOWN, ("session-expires", "300"))))
        self.assertEqual(min_se_of(invite(("min-se", "soon"))), 0)
        self.assertEqual(min_se_of(invite()), 0)

    @conforms("RFC 4028 9")
    def test_who_knows_the_timer_is_told_that_it_counts(self) -> None:
        for is_known in (True, False):
            response = Response(200, "OK", [], [])
            Granted(300, "uas", is_known).put_into(response)
            self.assertEqual(response.require("session-expires"), "300;refresher=uas")
            self.assertEqual(response.has_token("require", "timer"), is_known)


def expires_of(messages: list[Message]) -> list[str]:
    return [message.require("session-expires") for message in messages]


class RoleTests(EndsCase):
    @conforms("RFC 4028 7.1", "RFC 4028 7.2", "RFC 4028 9")
    def test_both_ends_agree_on_a_timer(self) -> None:
        ends = self.use(Ends(policy=ON))
        ends.talk()
        (asked,) = ends.sent(ends.caller, "INVITE")
        (granted,) = ends.sent(ends.callee, "200 INVITE")
        self.assertEqual(asked.require("session-expires"), "1800")
        self.assertTrue(asked.has_token("supported", "timer"))
        self.assertNotIn("require", asked.names)
        self.assertEqual(granted.require("session-expires"), "1800;refresher=uac")
        self.assertTrue(granted.has_token("require", "timer"))
        for side in (ends.caller, ends.callee):
            self.assertEqual((side.dialog.session_expires, side.dialog.refresher), (1800, "uac"))

    @conforms("RFC 4028 7.2", "RFC 4028 7.4", "RFC 4028 10")
    def test_the_refresher_refreshes_at_half_of_the_interval_by_update(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        ends.forget()
        ends.run(43)
        self.assertEqual(ends.titles(), [])
        ends.run(45 * 3)
        self.assertEqual(ends.titles(), ["UPDATE", "200 UPDATE"] * 3)
        self.assertEqual(expires_of(ends.sent(ends.caller, "UPDATE")), ["90;refresher=uac"] * 3)
        self.assertEqual(expires_of(ends.sent(ends.callee, "200 UPDATE")), ["90;refresher=uac"] * 3)
        self.assertEqual([message.body for message in ends.sent(ends.caller, "UPDATE")], [b""] * 3)
        self.assertEqual(ends.callee.exchanges, [])
        self.assertTrue(ends.callee.dialog.is_established)

    @conforms("RFC 4028 7.4", "RFC 4028 10")
    def test_who_does_not_know_update_is_sent_the_last_offer_again(self) -> None:
        ends = self.use(Ends(policy=SHORT, allow="ACK, BYE, CANCEL, INVITE"))
        ends.talk()
        ends.caller.dialog.offer(sdp(4000, 2), lambda outcome: None)
        ends.run(1)
        ends.forget()
        ends.run(100)
        self.assertEqual(ends.titles(), ["INVITE", "200 INVITE", "ACK"] * 2)
        self.assertEqual([message.body for message in ends.sent(ends.caller, "INVITE")], [sdp(4000, 2)] * 2)
        self.assertEqual([message.body for message in ends.sent(ends.callee, "200 INVITE")], [ANSWER] * 2)
        self.assertEqual(len(ends.callee.exchanges), 1)

    @conforms("RFC 4028 9", "RFC 4028 7.2")
    def test_the_callee_refreshes_for_a_caller_without_timers(self) -> None:
        ends = self.use(Ends(policy=OFF, callee_policy=SHORT, supported=("100rel",)))
        ends.call(headers=(("session-expires", "90"),))  # put in by a proxy
        ends.run(1)
        self.assertEqual(expires_of(ends.sent(ends.callee, "200 INVITE")), ["90;refresher=uas"])
        ends.forget()
        ends.run(50)
        self.assertEqual(len(ends.sent(ends.callee, "UPDATE")), 1)

    @conforms("RFC 4028 10")
    def test_nobody_refreshed_so_the_other_side_hangs_up_before_the_session_expires(self) -> None:
        for policy, seconds in ((SHORT, 60.0), (LONG, 1168.0)):  # a third before, or 32 s
            ends = Ends(policy=policy)
            ends.talk()
            answered = ends.clock.seconds()
            ends.network.detach(ends.callee.transport)  # from here on the caller speaks into the void
            ends.run(seconds - 2)
            self.assertEqual(ends.callee.heard("ended"), [])
            ends.run(2)
            (ending,) = ends.callee.heard("ended")
            self.assertEqual((ending.by, ending.status, ending.reason), ("network", 408, EXPIRED))
            sent = [packet for packet in ends.network.packets if packet.source[0] == ends.callee.host]
            byes = [packet for packet in sent if packet.title == "BYE"]
            self.assertEqual(byes[0].message.require("reason"), 'SIP;cause=408;text="Session expired"')
            self.assertLess(abs(byes[0].time - answered - seconds), 1.1)

    @conforms("RFC 4028 10", "RFC 3261 12.2.1.2")
    def test_a_refresh_that_nobody_answers_ends_the_call(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        ends.network.detach(ends.callee.transport)
        ends.run(78)
        self.assertEqual([ending.status for ending in ends.caller.heard("ended")], [408])

    @conforms("RFC 4028 10")
    def test_a_refresh_that_cannot_be_sent_is_tried_again(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        target = ends.caller.dialog.remote_target
        ends.caller.dialog.peer.aim("sip:bob@192.0.2.2;transport=sctp")
        ends.run(46)
        ends.caller.dialog.peer.aim(target)
        ends.forget()
        ends.run(40)
        self.assertIn("200 UPDATE", ends.titles())
        self.assertTrue(ends.caller.dialog.is_established)

    @conforms("RFC 4028 10")
    def test_a_refresh_that_is_refused_is_tried_again_and_at_last_the_call_ends(self) -> None:
        ends = self.use(Ends(policy=SHORT, allow="ACK, BYE, CANCEL, INVITE"))
        ends.talk()
        ends.callee.dialog.remote_sdp = b"something else"  # so that its user is asked, and refuses
        ends.callee.on_offer = lambda exchange: exchange.refuse(503)
        ends.forget()
        ends.run(75)
        self.assertGreater(len(ends.callee.exchanges), 1)
        self.assertLess(len(ends.callee.exchanges), 6)
        endings = ends.caller.heard("ended") + ends.callee.heard("ended")
        self.assertEqual(endings[0].status, 408)

    @conforms("RFC 4028 7.4")
    def test_every_offer_refreshes_and_the_roles_stay(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        for _ in range(5):
            ends.run(30)
            ends.callee.dialog.offer(sdp(5000, 2), lambda outcome: None)
            ends.run(0.5)
        asked = expires_of(ends.sent(ends.callee, "INVITE"))
        self.assertEqual(asked, ["90;refresher=uas"] * 5)
        self.assertEqual(expires_of(ends.sent(ends.caller, "200 INVITE")), ["90;refresher=uas"] * 5)
        self.assertEqual(ends.sent(ends.caller, "UPDATE"), [])
        ends.run(46)
        self.assertEqual(len(ends.sent(ends.caller, "UPDATE")), 1)

    @conforms("RFC 4028 7.2")
    def test_an_answer_without_a_timer_turns_it_off(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        ends.callee.dialogs.session_timers = OFF
        ends.run(46)
        self.assertIsNone(ends.caller.dialog.session_expires)
        ends.forget()
        ends.run(500)
        self.assertEqual([title for title in ends.titles() if "UPDATE" in title], [])

    @conforms("RFC 4028 7.2")
    def test_a_callee_without_timers_gets_none_unless_we_insist(self) -> None:
        ends = self.use(Ends(policy=ON, callee_policy=OFF, callee_supported=("100rel",)))
        ends.talk()
        self.assertIsNone(ends.caller.dialog.session_expires)

    @conforms("RFC 4028 7.1")
    def test_who_insists_says_so_and_refreshes_all_the_same_for_who_ignores_it(self) -> None:
        ends = self.use(Ends(policy=REQUIRED, callee_policy=OFF))
        ends.talk()
        self.assertTrue(ends.sent(ends.caller, "INVITE")[0].has_token("require", "timer"))
        self.assertEqual((ends.caller.dialog.session_expires, ends.caller.dialog.refresher), (90, "uac"))
        ends.forget()
        ends.run(46)
        self.assertEqual(ends.titles(), ["UPDATE", "200 UPDATE"])

    def test_an_answer_that_would_have_us_refresh_all_the_time_does_not(self) -> None:
        ends = self.use(Ends(policy=SHORT, callee_policy=OFF))
        ends.callee.on_invite = lambda dialog: dialog.accept(
            ANSWER, headers=(("session-expires", "1;refresher=uac"), ("require", "timer"))
        )
        ends.talk()
        self.assertEqual(ends.caller.dialog.session_expires, 90)

    def test_nothing_runs_without_timers(self) -> None:
        ends = self.use(Ends(policy=OFF))
        ends.talk()
        self.assertNotIn("session-expires", ends.sent(ends.caller, "INVITE")[0].names)
        self.assertNotIn("session-expires", ends.sent(ends.callee, "200 INVITE")[0].names)
        self.assertIsNone(ends.caller.dialog.session_refresh)
        self.assertIsNone(ends.callee.dialog.session_refresh)

    def test_calls_live_on_over_a_network_that_loses(self) -> None:
        for seed in range(10):
            network = MemoryNetwork(Clock(), seed, loss=0.2, delay=(0.01, 0.2), duplicate=0.1, most_lost=4)
            ends = Ends(network, policy=SessionTimerPolicy("accept", 90, 180, 7200), seed=seed)
            ends.talk()
            ends.run(4000)
            self.assertEqual(ends.caller.heard("ended") + ends.callee.heard("ended"), [], seed)
            ends.callee.dialog.hang_up()
            ends.run(200)
            for side in (ends.caller, ends.callee):
                self.assertEqual((len(side.dialogs), side.layer.in_flight, len(side.layer.wheel)), (0, 0, 0))


def reject_with(headers: tuple[tuple[str, str], ...]) -> Callable[[Dialog], None]:
    return lambda dialog: dialog.reject(422, headers=headers)


class TooShortTests(EndsCase):
    """422 (RFC 4028 6, 7.3): what the check of the callee's core says, and what the caller makes of it."""

    @conforms("RFC 4028 7.3", "RFC 4028 7.4")
    def test_the_invite_is_sent_again_with_the_min_se_of_the_422(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.callee.refuses_short = LONG
        ends.talk()
        first, second = ends.sent(ends.caller, "INVITE")
        self.assertEqual((first.require("session-expires"), second.require("session-expires")), ("90", "600"))
        self.assertEqual(second.require("min-se"), "600")
        self.assertEqual(second.call_id, first.call_id)
        self.assertEqual(second.cseq.number, first.cseq.number + 1)
        self.assertEqual(ends.caller.dialog.session_expires, 600)
        self.assertEqual(ends.caller.names(), ["answered"])

    @conforms("RFC 4028 7.3")
    def test_nobody_asks_for_ever(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.callee.on_invite = lambda dialog: dialog.reject(422, headers=(("min-se", "600"),))
        ends.talk()
        self.assertEqual(len(ends.sent(ends.caller, "INVITE")), 2)
        self.assertEqual(ends.caller.heard("failed"), [422])

    def test_a_422_that_asks_for_days_or_for_nothing_is_a_refusal(self) -> None:
        for headers in ((("min-se", "99999999"),), (("min-se", "60"),), (("min-se", "x"),), ()):
            ends = Ends(policy=SHORT)
            ends.callee.on_invite = reject_with(headers)
            ends.talk()
            self.assertEqual(ends.caller.heard("failed"), [422])

    @conforms("RFC 4028 7.3", "RFC 4028 10")
    def test_a_refresh_is_sent_again_too_and_the_min_se_is_kept(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        ends.callee.refuses_short = LONG
        ends.forget()
        ends.run(46)
        self.assertEqual(ends.titles(), ["UPDATE", "422 UPDATE", "UPDATE", "200 UPDATE"])
        self.assertEqual(expires_of(ends.sent(ends.caller, "UPDATE")), ["90;refresher=uac", "600;refresher=uac"])
        self.assertEqual(ends.caller.dialog.session_expires, 600)
        ends.caller.dialog.offer(sdp(4000, 2), lambda outcome: None)
        ends.run(1)
        self.assertEqual(ends.sent(ends.caller, "INVITE")[0].require("min-se"), "600")

    @conforms("RFC 4028 7.3")
    def test_so_is_an_offer(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        done, then = self.outcomes()
        ends.callee.refuses_short = LONG
        ends.caller.dialog.offer(sdp(4000, 2), then)
        ends.run(1)
        self.assertEqual([outcome.status for outcome in done], [200])
        self.assertEqual(ends.caller.dialog.session_expires, 600)

    @conforms("RFC 4028 7.4")
    def test_the_min_se_of_a_request_of_theirs_stands_in_ours(self) -> None:
        ends = self.use(Ends(policy=ON))
        ends.call(headers=(("min-se", "300"),))
        ends.run(1)
        ends.callee.dialog.offer(sdp(5000, 2), lambda outcome: None)
        ends.run(1)
        self.assertEqual(ends.sent(ends.callee, "INVITE")[0].require("min-se"), "300")


class UpdateTests(EndsCase):
    @conforms("RFC 4028 9", "RFC 3311 5.2")
    def test_an_update_of_theirs_starts_the_timer_anew(self) -> None:
        ends = self.use(Ends(policy=SHORT))
        ends.talk()
        for _ in range(3):
            ends.run(40)
            raw = Raw(ends.caller, ends.callee)
            headers: Any = (("session-expires", "100;refresher=uac"), KNOWN, ("contact", "<sip:alice@192.0.2.1>"))
            raw.send(ends.caller.dialog.compose("UPDATE", headers=headers))
            ends.run(0.1)
            self.assertEqual(raw.finals, [200])
        self.assertEqual(ends.callee.dialog.session_expires, 100)
        self.assertEqual(ends.callee.heard("ended"), [])
        self.assertEqual(ends.callee.dialog.local_sdp, ANSWER)
        self.assertEqual(ends.callee.dialog.remote_sdp, OFFER)
