"""Sentences spoken by espeak-ng, encoded by encoders that are not ours where there are any (FFmpeg, through PyAV).

Unlike the kit's voices these can be understood, so intelligibility (STOI) and quality (PESQ) can be measured.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, TypeAlias

import av
import numpy as np
import numpy.typing as npt
import soxr
from pesq import pesq
from pystoi import stoi

from tests.kit.speech import Samples

Wave: TypeAlias = npt.NDArray[np.float64]

_ESPEAK_RATE: Final = 22_050
_WAV_HEADER: Final = 44
_PEAK: Final = 12_000.0
_TEXTS: Final = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the "
    "depth of a well. These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of "
    "lemons makes fine punch.",
    "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage. Four hours of steady "
    "work faced us. A large size in stockings is hard to sell. The boy was there when the sun rose. A rod is used "
    "to catch pink salmon.",
)


@lru_cache(maxsize=16)
def spoken(voice: int, rate: int) -> Samples:
    """About 14 s, in whole tens of ms."""
    command = ["espeak-ng", "-v", ("en-us", "en-gb")[voice], "-s", "165", "--stdout", _TEXTS[voice]]
    wave = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout[_WAV_HEADER:], "<i2")
    resampled = np.asarray(soxr.resample(wave.astype(np.float64), _ESPEAK_RATE, rate))
    resampled = resampled[: len(resampled) // (rate // 10) * (rate // 10)]
    return np.asarray(resampled * (_PEAK / np.abs(resampled).max()), np.int16)


def encoded(samples: Samples, codec: str, rate: int, frame: int, **options: str) -> list[bytes]:
    """The packets that FFmpeg's encoder makes of mono audio, ``frame`` samples each."""
    context: Any = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    context.time_base, context.options = Fraction(1, rate), options
    packets: list[bytes] = []
    for at in range(0, len(samples) - frame + 1, frame):
        audio = av.AudioFrame.from_ndarray(samples[None, at : at + frame], format="s16", layout="mono")
        audio.sample_rate, audio.pts, audio.time_base = rate, at, Fraction(1, rate)
        packets += [bytes(packet) for packet in context.encode(audio)]
    return packets + [bytes(packet) for packet in context.encode(None)]


def decoded(packets: Sequence[bytes], codec: str, rate: int) -> Samples:
    """What FFmpeg's decoder makes of packets."""
    context: Any = av.CodecContext.create(codec, "r")
    context.sample_rate, context.layout = rate, "mono"
    frames = [frame for packet in packets for frame in context.decode(av.Packet(packet))]
    return np.concatenate([np.asarray(frame.to_ndarray(), np.int16).ravel() for frame in frames])


def intelligibility(said: Samples, heard: Samples, rate: int) -> float:
    """STOI at the lag at which both fit best."""
    first, second = aligned(said, heard)
    return float(stoi(first, second, rate))


def perceived(said: Samples, heard: Samples, rate: int) -> float:
    """PESQ, narrow band at 8 kHz and wide band at 16."""
    first, second = aligned(said, heard)
    return float(pesq(rate, first, second, "nb" if rate == 8000 else "wb"))


def aligned(said: Samples, heard: Samples) -> tuple[Wave, Wave]:
    lag = lag_samples(said, heard)
    later = heard[max(0, lag) :].astype(np.float64)
    sooner = said[max(0, -lag) :].astype(np.float64)
    count = min(len(later), len(sooner))
    return sooner[:count], later[:count]


def lag_samples(said: Samples, heard: Samples) -> int:
    """How much later ``heard`` is than ``said``."""
    size = 1 << (len(said) + len(heard)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    peak = int(product.argmax())
    return peak if peak < size // 2 else peak - size
