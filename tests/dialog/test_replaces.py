"""Which INVITE may take the place of which dialog (RFC 3891 3, RFC 3911 4)."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gosip_py.dialog.dialog import Dialog
from gosip_py.dialog.replaces import Departed, TakeOver, is_authorised, judge, read_take_over
from gosip_py.sip.compose import compose
from gosip_py.sip.fields import Replaces
from gosip_py.sip.message import Request
from gosip_py.transaction.validation import Refusal
from tests.conformance import conforms
from tests.dialog.ends import ANSWER, End, run
from tests.network import MemoryNetwork

VALUE = "c@x;to-tag=t;from-tag=f"


def request(*headers: tuple[str, str], method: str = "INVITE", from_: str = "<sip:carol@192.0.2.3>;tag=1") -> Request:
    return compose(
        method, "sip:bob@192.0.2.2", from_=from_, to="<sip:bob@192.0.2.2>", call_id="n", cseq=1, headers=headers
    )


class ReadTests(SynchronousTestCase):
    def refused(self, *headers: tuple[str, str], method: str = "INVITE") -> None:
        found = read_take_over(request(*headers, method=method))
        assert isinstance(found, Refusal), found
        self.assertEqual(found.status, 400)

    def test_most_ask_for_neither(self) -> None:
        self.assertIsNone(read_take_over(request()))

    @conforms("RFC 3891 3", "RFC 3911 4")
    def test_either_is_read(self) -> None:
        self.assertEqual(read_take_over(request(("replaces", VALUE))), TakeOver(Replaces("c@x", "t", "f")))
        self.assertEqual(read_take_over(request(("join", VALUE))), TakeOver(Replaces("c@x", "t", "f"), is_join=True))

    @conforms("RFC 3891 3", "RFC 3911 4")
    def test_one_of_them_once_and_in_an_invite(self) -> None:
        self.refused(("replaces", VALUE), ("replaces", VALUE))
        self.refused(("join", VALUE), ("join", VALUE))
        self.refused(("replaces", VALUE), ("join", VALUE))
        self.refused(("replaces", VALUE), method="OPTIONS")
        for value in ("", "c@x", "c@x;to-tag=t", "c@x;to-tag=t;from-tag=f;to-tag=u", "c x;to-tag=t;from-tag=f"):
            self.refused(("replaces", value))


class JudgeTests(SynchronousTestCase):
    """A call from alice to bob, seen from both ends."""

    def setUp(self) -> None:
        self.clock = Clock()
        network = MemoryNetwork(self.clock)
        self.alice, self.bob = End(network, "192.0.2.1"), End(network, "192.0.2.2")
        self.ours = self.alice.call("192.0.2.2")
        run(self.clock)
        self.theirs = self.bob.dialog

    def judged(self, dialog: Dialog, *, early_only: bool = False, join: bool = False, matched: bool = True) -> int:
        """The status of the refusal of an INVITE about this dialog of one end, 0 for none."""
        end = self.alice if dialog is self.ours else self.bob
        replaces = Replaces(dialog.call_id, dialog.local_tag, dialog.remote_tag if matched else "x", early_only)
        refusal = judge(TakeOver(replaces, join), end.dialogs.replaced_by(replaces), False)
        return 0 if refusal is None else refusal.status

    def answer(self) -> None:
        self.theirs.accept(ANSWER)
        run(self.clock)

    @conforms("RFC 3891 3")
    def test_a_dialog_is_known_by_call_id_and_both_tags(self) -> None:
        self.answer()
        self.assertEqual(self.judged(self.ours), 0)
        self.assertEqual(self.judged(self.theirs), 0)
        self.assertEqual(self.judged(self.theirs, matched=False), 481)
        swapped = Replaces(self.ours.call_id, self.ours.remote_tag, self.ours.local_tag)
        self.assertIsNone(self.alice.dialogs.replaced_by(swapped))

    @conforms("RFC 3891 3")
    def test_an_answered_one_is_not_early(self) -> None:
        self.answer()
        self.assertEqual(self.judged(self.theirs, early_only=True), 486)

    @conforms("RFC 3891 3")
    def test_of_early_ones_only_ours(self) -> None:
        self.theirs.ring(180)
        run(self.clock)
        self.assertEqual(self.judged(self.ours), 0)
        self.assertEqual(self.judged(self.ours, early_only=True), 0)
        self.assertEqual(self.judged(self.theirs), 481)

    @conforms("RFC 3911 4")
    def test_an_early_one_may_be_joined(self) -> None:
        self.theirs.ring(180)
        run(self.clock)
        self.assertEqual(self.judged(self.theirs, join=True), 0)
        self.assertEqual(self.judged(self.theirs, join=True, matched=False), 481)

    @conforms("RFC 3891 3", "RFC 3911 4")
    def test_one_that_has_ended(self) -> None:
        self.answer()
        replaces = Replaces(self.theirs.call_id, self.theirs.local_tag, self.theirs.remote_tag)
        departed = Departed()
        self.theirs.hang_up()
        self.assertEqual(self.judged(self.theirs), 603, "its BYE is under way")
        run(self.clock)
        departed.note(self.theirs)
        for is_join in (False, True):
            found = self.bob.dialogs.replaced_by(replaces)
            refusal = judge(TakeOver(replaces, is_join), found, departed.has(replaces))
            assert refusal is not None
            self.assertEqual(refusal.status, 603)

    def test_not_every_dialog_is_remembered(self) -> None:
        departed = Departed()
        for at in range(2000):
            self.ours.local_tag = f"t{at}"
            departed.note(self.ours)
        self.assertEqual(len(departed), 1024)
        self.assertTrue(departed.has(Replaces(self.ours.call_id, "t1999", self.ours.remote_tag)))

    @conforms("RFC 3891 3")
    def test_who_may(self) -> None:
        self.answer()
        dialog = self.theirs
        here = self.bob.transport.flow_of("UDP", ("192.0.2.1", 5060))
        elsewhere = self.bob.transport.flow_of("UDP", ("192.0.2.3", 5060))
        by_alice = ("referred-by", '"A" <sip:alice@192.0.2.1>;x=y')
        self.assertTrue(is_authorised(request(by_alice), elsewhere, dialog))
        self.assertTrue(is_authorised(request(from_="<sip:alice@192.0.2.1>;tag=2"), elsewhere, dialog))
        self.assertFalse(is_authorised(request(), elsewhere, dialog))
        self.assertFalse(is_authorised(request(("referred-by", "<sip:dave@192.0.2.1>")), elsewhere, dialog))
        self.assertFalse(is_authorised(request(("referred-by", "what")), elsewhere, dialog))
        same = request()
        self.assertTrue(is_authorised(same, here, dialog))
