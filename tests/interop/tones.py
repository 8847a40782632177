"""Tones as WAV files, and which tone a recording holds: how it is shown who hears whom."""

from __future__ import annotations

import math
import struct
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path

RATE = 8000
"""Samples a second, as in G.711."""
SECONDS = 90
AMPLITUDE = 8000
LEAST_SAMPLES = RATE // 5
PIECE = RATE // 10
LEAST_SHARE = 0.5
"""Of the power of a recording that one tone must have: the rest is silence cut by the codec."""


def write_tone(path: Path, hz: int) -> None:
    """A tone that outlasts every call of a test; a whole number of its waves makes a second."""
    second = (round(AMPLITUDE * math.sin(2 * math.pi * hz * number / RATE)) for number in range(RATE))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{RATE}h", *second) * SECONDS)


def read_samples(path: Path) -> array[int]:
    """The samples of a mono recording; those after the header when it was not closed and tells no length."""
    octets = path.read_bytes()
    start = octets.find(b"data") + 8
    samples = array("h")
    samples.frombytes(octets[start : len(octets) - (len(octets) - start) % 2])
    return samples


def power_of(samples: Sequence[int], hz: int) -> float:
    """The power of one tone within the samples, in the unit of a sum of squares (Goertzel)."""
    factor = 2 * math.cos(2 * math.pi * hz / RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + factor * last - before, last
    return (last * last + before * before - factor * last * before) * 2 / len(samples)


def share(samples: Sequence[int], hz: int) -> float:
    """How much of the power of the samples is this tone, from 0 to 1. A packet that is lost does not matter."""
    total = sum(sample * sample for sample in samples)
    pieces = (samples[start : start + PIECE] for start in range(0, len(samples) - PIECE + 1, PIECE))
    return sum(power_of(piece, hz) for piece in pieces) / total if total else 0.0


def hears(path: Path, tones: Sequence[int]) -> int:
    """The tone that makes up the recording; 0 when it is none of these, or too short to tell."""
    samples = read_samples(path)
    if len(samples) < LEAST_SAMPLES:
        return 0
    shares = {tone: share(samples, tone) for tone in tones}
    best = max(shares, key=lambda tone: shares[tone])
    return best if shares[best] >= LEAST_SHARE else 0
