"""What the tests of encoders hear by: sounds held in arrays, and files decoded by FFmpeg, which is not ours."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
import soxr

from mediaserverd.audio.sound import Samples
from tests.kit.speech import RATE, speech

CALLING_SEED: Final = 41
CALLED_SEED: Final = 42


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sound in an array of (frames, 2)."""

    samples: Samples
    sample_rate: int = RATE

    @property
    def frames(self) -> int:
        return len(self.samples)

    def block(self, first_frame: int, count: int) -> Samples:
        assert 0 <= first_frame <= first_frame + count <= self.frames
        return self.samples[first_frame : first_frame + count]


def conversation(seconds: float, sample_rate: int = RATE) -> Spoken:
    """Two voices, both speaking all the time."""
    voices = np.stack([speech(CALLING_SEED, seconds), speech(CALLED_SEED, seconds)], axis=1)
    return Spoken(voices if sample_rate == RATE else resampled(voices, RATE, sample_rate), sample_rate)


def resampled(samples: Samples, source: int, target: int) -> Samples:
    wave = soxr.resample(samples.astype(np.float64), source, target)
    return np.asarray(np.clip(np.rint(wave), -32768, 32767), np.int16)


@dataclass(frozen=True, slots=True)
class Heard:
    """A file as FFmpeg sees it: its own words on codec, channels and length, and all of its samples as (frames, n)."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    samples: Samples

    def telephone(self) -> Samples:
        return self.samples if self.sample_rate == RATE else resampled(self.samples, self.sample_rate, RATE)


def heard(file: bytes) -> Heard:
    with av.open(io.BytesIO(file), "r") as container:
        stream = container.streams.audio[0]
        parts = [interleaved(frame) for frame in container.decode(stream)]
        duration = container.duration or 0
        samples = np.concatenate(parts) if parts else np.zeros((0, stream.channels), np.int16)
        return Heard(
            container=container.format.name,
            codec=stream.codec_context.name,
            sample_rate=stream.codec_context.sample_rate,
            channels=stream.channels,
            duration_s=duration / av.time_base,
            samples=samples,
        )


def interleaved(frame: av.AudioFrame) -> Samples:
    data: npt.NDArray[Any] = frame.to_ndarray()
    data = data.T if frame.format.is_planar else data.reshape(-1, len(frame.layout.channels))
    if data.dtype.kind == "f":
        return np.asarray(np.clip(np.rint(data * 32768.0), -32768, 32767), np.int16)
    if data.dtype == np.int32:
        return np.asarray(data >> 16, np.int16)
    return np.asarray(data, np.int16)
