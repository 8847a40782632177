"""The ear of the tests must itself be deaf to what is not there."""

from __future__ import annotations

from array import array
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.tones import RATE, hears, read_samples, share, write_tone


class ToneTests(SynchronousTestCase):
    def tone(self, hz: int) -> Path:
        path = Path(self.mktemp())
        write_tone(path, hz)
        return path

    def test_a_tone_is_told_from_others(self) -> None:
        self.assertEqual(hears(self.tone(700), [440, 700, 1000]), 700)
        self.assertEqual(hears(self.tone(700), [440, 1000]), 0)

    def test_silence_and_a_click_are_nothing(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"RIFFdata0000" + bytes(2 * RATE))
        self.assertEqual(hears(path, [440]), 0)
        path.write_bytes(self.tone(440).read_bytes()[:400])
        self.assertEqual(hears(path, [440]), 0)

    def test_two_voices_share_the_power(self) -> None:
        one, other = (read_samples(self.tone(hz))[:RATE] for hz in (440, 1000))
        both = array("h", (first + second for first, second in zip(one, other, strict=True)))
        self.assertApproximates(share(both, 440), 0.5, 0.05)
