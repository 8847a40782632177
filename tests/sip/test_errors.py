"""ParseError keeps what is needed to answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.errors import ParseError
from gosip_py.sip.message import Request


class ParseErrors(SynchronousTestCase):
    def test_says_why_where_and_whom_to_answer(self) -> None:
        request = Request("INVITE", "sip:a@b.example", [], [])
        error = ParseError("no colon", 12, request)
        self.assertEqual((str(error), error.reason, error.offset), ("no colon", "no colon", 12))
        self.assertIs(error.message, request)

    def test_nobody_to_answer(self) -> None:
        self.assertIsNone(ParseError("noise").message)
