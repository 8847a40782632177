"""The table of reason phrases."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.sip.status import REASON_PHRASES


class Phrases(SynchronousTestCase):
    def test_every_code_that_we_send(self) -> None:
        codes = (
            "100 180 200 202 302 400 401 403 404 405 407 408 415 416 420 421 422 423 480 481 482 483 486 487 488 "
            "489 491 500 503 505 513"
        )
        self.assertEqual([code for code in codes.split() if not REASON_PHRASES.get(int(code))], [])

    def test_they_can_stand_in_a_status_line(self) -> None:
        for code, phrase in REASON_PHRASES.items():
            self.assertTrue(100 <= code <= 699 and phrase.isprintable() and phrase.isascii(), code)
