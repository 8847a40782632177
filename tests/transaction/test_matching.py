"""The keys by which messages find their transactions (RFC 3261 17.1.3, 17.2.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.transaction.matching import has_cookie, merge_key, old_ack_key, server_key
from tests.conformance import conforms
from tests.transaction.fakes import request


def key(**changes: object) -> str:
    message = request(**changes)  # type: ignore[arg-type]  # the tests name only what request() takes
    return server_key(message, message.method)


@conforms("RFC 3261 17.2.3")
class CookieTests(SynchronousTestCase):
    def test_branch_sent_by_and_method_decide(self) -> None:
        self.assertEqual(key(), key(uri="sip:other", from_tag="x", call_id="y", number=9, to_tag="z"))
        for change in ({"branch": "z9hG4bKother"}, {"sent_by": "192.0.2.9:5061"}, {"method": "OPTIONS"}):
            self.assertNotEqual(key(), key(**change))

    def test_the_host_of_sent_by_has_no_case(self) -> None:
        self.assertEqual(key(sent_by="Host.example:5060"), key(sent_by="hOST.EXAMPLE:5060"))

    def test_an_ack_is_looked_for_as_the_invite(self) -> None:
        self.assertEqual(server_key(request("ACK"), "INVITE"), key())

    def test_the_cookie_alone_is_no_branch(self) -> None:
        self.assertEqual(
            [has_cookie(branch) for branch in ("z9hG4bK", "z9hG4bKx", "abc", "")], [False, True, False, False]
        )


@conforms("RFC 3261 17.2.3")
class OldTests(SynchronousTestCase):
    def test_everything_decides(self) -> None:
        for branch in (None, "1", "z9hG4bK"):
            same = {"branch": branch}
            self.assertEqual(key(**same), key(**same))
            changes: list[dict[str, object]] = [
                {"uri": "sip:other@example.org"},
                {"to_tag": "x"},
                {"from_tag": "x"},
                {"call_id": "x"},
                {"number": 2},
                {"method": "OPTIONS"},
                {"sent_by": "192.0.2.10:5060"},
                {"branch": "2"},
            ]
            for change in changes:
                self.assertNotEqual(key(**same), key(**{**same, **change}), change)

    def test_what_the_transport_writes_into_the_via_does_not_count(self) -> None:
        marked = request(branch=None)
        marked.set("via", "SIP/2.0/UDP 192.0.2.9:5060;received=198.51.100.1;rport=4711")
        self.assertEqual(server_key(marked, "INVITE"), key(branch=None))

    def test_a_cancel_is_looked_for_as_the_invite(self) -> None:
        self.assertEqual(server_key(request("CANCEL", branch=None), "INVITE"), key(branch=None))

    def test_an_ack_matches_by_the_to_tag_of_the_response(self) -> None:
        invite, ack = request(branch=None), request("ACK", branch=None, to_tag="ours")
        self.assertEqual(old_ack_key(invite, "ours"), old_ack_key(ack, ack.to_tag))
        self.assertNotEqual(old_ack_key(invite, "other"), old_ack_key(ack, ack.to_tag))

    def test_without_the_headers_that_decide_there_is_no_key(self) -> None:
        for name in ("from", "to", "call-id", "cseq", "via"):
            message = request(branch=None)
            message.remove(name)
            self.assertRaises(ParseError, server_key, message, "INVITE")

    def test_no_header_can_pass_for_another(self) -> None:
        self.assertNotEqual(key(branch=None, from_tag="a", call_id="b"), key(branch=None, from_tag="ab", call_id=""))


@conforms("RFC 3261 8.2.2.2")
class MergeTests(SynchronousTestCase):
    def test_from_tag_call_id_and_cseq_decide(self) -> None:
        self.assertEqual(merge_key(request()), merge_key(request(branch="z9hG4bKother", uri="sip:other")))
        for change in ({"from_tag": "x"}, {"call_id": "x"}, {"number": 2}, {"method": "OPTIONS"}):
            self.assertNotEqual(merge_key(request()), merge_key(request(**change)))
