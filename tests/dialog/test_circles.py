"""A dialog that is over goes by itself: whatever happened in it, nothing is left for the garbage collector."""

from __future__ import annotations

import gc
import weakref

from gosip_py.dialog.credentials import ClientCredentials
from gosip_py.sip.reply import reply
from gosip_py.transaction.session_timer import SessionTimerPolicy
from tests.dialog.ends import ANSWER, OFFER, run
from tests.dialog.test_uac import ALICE, CHALLENGE, OTHER, UacCase
from tests.dialog.test_uas import UasCase


class CallerTests(UacCase):
    def setUp(self) -> None:
        UacCase.setUp(self)
        gc.disable()
        self.addCleanup(gc.enable)

    def check_gone(self) -> None:
        """The one dialog that Alice has ends, by a BYE if it has not yet, and is gone."""
        (dialog,) = self.alice.dialogs
        gone = weakref.ref(dialog)
        dialog.hang_up()
        del dialog
        run(self.clock)
        for bye in self.bob.requests("BYE"):
            self.acknowledge(bye)
        self.alice.user.told.clear()
        run(self.clock, 200)
        self.assertIsNone(gone())

    def test_nobody_answers(self) -> None:
        self.call()
        self.check_gone()

    def test_one_that_is_challenged_and_refreshed(self) -> None:
        self.alice.dialogs.session_timers = SessionTimerPolicy()
        self.call(credentials=ClientCredentials("alice", "secret"))
        self.answer(401, www_authenticate=CHALLENGE)
        self.answer(200, sdp=ANSWER, session_expires="1800;refresher=uac")
        self.check_gone()

    def test_offers_of_ours(self) -> None:
        dialog = self.call()
        self.answer(200, sdp=ANSWER)
        dialog.offer(OTHER, lambda outcome: None)
        run(self.clock)
        self.answer(491)
        dialog.offer(OTHER, lambda outcome: None)
        del dialog
        self.check_gone()

    def test_an_offer_that_was_never_answered(self) -> None:
        self.call(sdp=b"")
        self.answer(200, sdp=OFFER)
        self.check_gone()

    def test_reliable_responses(self) -> None:
        self.call()
        self.answer(183, require="100rel", rseq="1", sdp=ANSWER)
        self.acknowledge(self.bob.requests("PRACK")[0])
        self.answer(200)
        self.check_gone()

    def test_a_refer_of_ours(self) -> None:
        dialog = self.call()
        self.answer(200, sdp=ANSWER)
        dialog.refer("sip:carol@192.0.2.3", then=lambda status, reason: None)
        del dialog
        run(self.clock)
        self.bob.send(reply(self.bob.requests("REFER")[0], 603), ALICE)
        self.check_gone()


class CalleeTests(UasCase):
    def setUp(self) -> None:
        UasCase.setUp(self)
        gc.disable()
        self.addCleanup(gc.enable)

    def check_gone(self) -> None:
        """It is over, or will be by itself."""
        gone = weakref.ref(self.bob.taken.pop())
        self.bob.user.told.clear()
        run(self.clock, 400)
        self.assertIsNone(gone())

    def test_one_that_nobody_acknowledges(self) -> None:
        self.call().accept(ANSWER)
        self.check_gone()

    def test_a_reliable_response_that_nobody_acknowledges(self) -> None:
        self.call(supported="100rel").ring(183, sdp=ANSWER, reliable=True)
        self.check_gone()

    def test_an_offer_that_is_not_answered(self) -> None:
        tag = self.talk().local_tag
        self.send(self.request("INVITE", 2, tag, body=OTHER))
        self.send(self.request("BYE", 3, tag))
        self.check_gone()

    def test_a_refer_that_is_never_reported(self) -> None:
        tag = self.talk().local_tag
        self.bob.user.on["referred"] = lambda dialog, refer: refer.accept()
        self.send(self.request("REFER", 2, tag, refer_to="<sip:carol@192.0.2.3>"))
        self.send(self.request("BYE", 3, tag))
        self.check_gone()
