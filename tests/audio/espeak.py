"""Sentences spoken by espeak-ng: speech whose words can be judged, male and female, at 8 kHz."""

from __future__ import annotations

import io
import subprocess
import wave
from functools import lru_cache
from typing import Final

import numpy as np
import soxr

from mediaserverd.audio.sound import Samples
from tests.kit.speech import RATE

VOICES: Final = {"male": "en-us", "female": "en-us+f2", "deep": "en-us+m3", "high": "en-029+f4"}
SENTENCES: Final = (
    "Good morning, my name is Alice, and this call is being recorded.",
    "Your order number is seven five three, nine zero two, and it leaves on Thursday.",
    "Could you please repeat the address, and spell the name of the street?",
    "Six thick thistle sticks were found near the fishing harbour.",
)
_PEAK: Final = 12_000


@lru_cache(maxsize=32)
def spoken(voice: str, sentence: str) -> Samples:
    """By the name of the voice, as in ``VOICES``."""
    command = ["espeak-ng", "-v", VOICES[voice], "--stdout", sentence]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(made)) as file:
        # The header of a stream does not know its length.
        samples = np.frombuffer(file.readframes(len(made) // 2), np.int16).astype(np.float64)
        telephone = soxr.resample(samples, file.getframerate(), RATE)
    return np.asarray(telephone / np.abs(telephone).max() * _PEAK, np.int16)
