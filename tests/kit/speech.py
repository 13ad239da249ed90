"""Speech-like audio, a different one for every seed: a sharp mark first, then syllables and short pauses.

It is made to be recognised, not understood: it has the spectrum, rhythm and level of a telephone voice, so codecs and
jitter buffers treat it as speech, but two seeds never resemble each other at any lag. No second is silent.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

RATE: Final = 8000
Samples: TypeAlias = npt.NDArray[np.int16]
_Wave: TypeAlias = npt.NDArray[np.float64]

_MARK_S: Final = 0.25
_TOP_HZ: Final = 3400.0  # the telephone band ends here; energy above it would be lost in a 3.1 kHz path
_PEAK: Final = 12000.0  # about -9 dBov: loud enough for G.711's companding, far from clipping


def speech(seed: int, seconds: float) -> Samples:
    """``seconds`` of the voice ``seed``. The same arguments always give the same samples."""
    dice = np.random.default_rng(seed)
    pitch_hz = float(dice.uniform(95, 220))
    pieces = [_mark(dice), np.zeros(RATE // 20)]
    wanted = int(seconds * RATE)
    while sum(map(len, pieces)) < wanted:
        pieces.extend(_word(dice, pitch_hz))
    wave = np.concatenate(pieces)[:wanted]
    return np.asarray(np.clip(wave * _PEAK, -32767, 32767), dtype=np.int16)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), dtype=np.int16)


def _mark(dice: np.random.Generator) -> _Wave:
    """A tone that runs through five random frequencies: its autocorrelation is one sharp peak, and no two are alike."""
    count = int(_MARK_S * RATE)
    knots = dice.uniform(400, 3200, size=5)
    frequency = np.interp(np.linspace(0, 4, count), np.arange(5), knots)
    return np.asarray(0.8 * np.hanning(count) * np.sin(2 * np.pi * np.cumsum(frequency) / RATE))


def _word(dice: np.random.Generator, pitch_hz: float) -> list[_Wave]:
    pieces: list[_Wave] = []
    for _ in range(int(dice.integers(1, 5))):
        if dice.random() < 0.6:
            pieces.append(_consonant(dice))
        pieces.append(_vowel(dice, pitch_hz))
        pieces.append(np.zeros(int(dice.uniform(0.01, 0.05) * RATE)))
    pieces.append(np.zeros(int(dice.uniform(0.05, 0.22) * RATE)))
    return pieces


def _vowel(dice: np.random.Generator, pitch_hz: float) -> _Wave:
    """Harmonics of a gliding pitch, weighted by three formants that glide too."""
    count = int(dice.uniform(0.10, 0.26) * RATE)
    glide = np.linspace(0, 1, count)
    pitch = pitch_hz * (dice.uniform(0.8, 1.25) + (dice.uniform(-0.25, 0.25)) * glide)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE + dice.uniform(0, 2 * np.pi)
    harmonics = np.arange(1, int(_TOP_HZ / pitch.max()) + 1)[:, None]
    weight = np.full((len(harmonics), count), 0.01)
    for low, high, width, strength in ((280, 850, 90, 1.0), (900, 2200, 130, 0.6), (2300, 3200, 180, 0.3)):
        formant = dice.uniform(low, high) + dice.uniform(-150, 150) * glide
        weight += strength / (1 + ((harmonics * pitch - formant) / width) ** 2)
    wave = (weight * np.sin(harmonics * phase)).sum(axis=0)
    return np.asarray(wave / np.abs(wave).max() * _envelope(count) * dice.uniform(0.6, 1.0))


def _consonant(dice: np.random.Generator) -> _Wave:
    """Noise in a band of the upper half of the telephone band."""
    count = int(dice.uniform(0.04, 0.09) * RATE)
    spectrum = np.fft.rfft(dice.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    centre, width = dice.uniform(1500, 2900), dice.uniform(300, 700)
    wave = np.fft.irfft(spectrum * np.exp(-(((frequency - centre) / width) ** 2)), count)
    return np.asarray(wave / np.abs(wave).max() * np.hanning(count) * dice.uniform(0.15, 0.35))


def _envelope(count: int) -> _Wave:
    edge = max(1, int(0.015 * RATE))
    ramp = np.ones(count)
    ramp[:edge] = np.linspace(0, 1, edge)
    ramp[-edge:] = np.linspace(1, 0, edge)
    return ramp
