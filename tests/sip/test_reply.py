"""Responses as a UAS makes them."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.message import Request
from gosip_py.sip.reply import explain, reply
from tests.conformance import conforms
from tests.sip.vectors import parsed


class Replies(SynchronousTestCase):
    def setUp(self) -> None:
        self.request = cast("Request", parsed("values"))

    @conforms("RFC 3261 8.2.6.2")
    def test_what_is_copied(self) -> None:
        response = reply(self.request, 404)
        self.assertEqual(response.names, ["via", "via", "from", "to", "call-id", "cseq", "content-length"])
        self.assertEqual(response.values("via"), self.request.values("via"))
        self.assertEqual(response.start_line, "SIP/2.0 404 Not Found")
        self.assertEqual((response.body, response.value("content-length")), (b"", "0"))

    @conforms("RFC 3261 8.2.6.2")
    def test_to_tag(self) -> None:
        self.assertEqual(reply(self.request, 200, to_tag="x7").to_tag, "x7")
        self.assertEqual(reply(self.request, 100, to_tag="x7").to_tag, "")
        self.request.set("to", "<sip:ruth@harbour.example>;tag=old")
        self.assertEqual(reply(self.request, 200, to_tag="x7").to_tag, "old")

    @conforms("RFC 4475 3.1.2.6")
    def test_a_to_that_cannot_be_read_goes_back_as_it_came(self) -> None:
        self.request.set("to", '"Ruth <sip:ruth@harbour.example>')
        response = reply(self.request, 400, to_tag="x7")
        self.assertEqual(response.value("to"), '"Ruth <sip:ruth@harbour.example>')

    def test_reasons(self) -> None:
        self.assertEqual(reply(self.request, 200, "Fine").reason, "Fine")
        self.assertEqual(reply(self.request, 299).reason, "Unknown")

    def test_the_request_stays(self) -> None:
        before = self.request.to_bytes()
        reply(self.request, 486, to_tag="x7").set("to", "<sip:other@x>")
        self.assertEqual(self.request.to_bytes(), before)

    def test_explain(self) -> None:
        response = explain(reply(self.request, 403), 'say "please"')
        self.assertEqual(response.value("warning"), '399 gosip "say \\"please\\""')
