"""What a peer sent can be logged, and forges nothing."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.printable import printable


class PrintableTests(SynchronousTestCase):
    def test_plain_text_stays(self) -> None:
        self.assertEqual(printable("alice-desk 'at' <home>"), "alice-desk 'at' <home>")

    def test_line_ends_and_octets_that_are_no_text(self) -> None:
        octets = b"a\r\nforged \x80\x00".decode("utf-8", "surrogateescape")
        self.assertEqual(printable(octets), "a\\r\\nforged \\udc80\\x00")

    def test_it_is_bounded(self) -> None:
        self.assertEqual(len(printable("x" * 100_000)), 200)
