"""Sounds with a place in time: what one codec of one stretch says, or its comfort noise. Any part of it can be had.

A part is decoded from a little before it, so that decoders that remember have settled; the same part asked for twice
is the same, but two parts that meet are the same as one only if they are always asked for in the same pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np

from mediaserverd.audio import codec
from mediaserverd.audio.codec import Samples
from mediaserverd.audio.decoding import Format
from mediaserverd.audio.timeline import Floats, Stretch
from mediaserverd.protocol.sasf.contents import UNITS_PER_SECOND, Bytes, Integers

_SETTLING_MS: Final = 1000  # G.722 and GSM adapt within tens of ms, Opus within 80 (RFC 7845 4.6)
_HISTORY_MS: Final = 100  # what concealment looks back on
_EXACT: Final = 6  # decimals of a place in samples; below is rounding


@dataclass(frozen=True, slots=True)
class Track(ABC):
    """``begin``, ``end``: in units of 125 us, of all that it can add to."""

    stretch: Stretch
    begin: float
    end: float

    @abstractmethod
    def _rate(self, wanted: int) -> int:
        """Of the samples that it has for an output of the rate ``wanted``."""

    @abstractmethod
    def _fill(self, data: Bytes, origin: int, needed: int, buffer: Samples, rate: int) -> None:
        """Writes the samples from ``origin`` on; those before ``needed`` are there to settle only."""

    @abstractmethod
    def _settling(self, rate: int) -> int:
        """How many samples before the first that is needed."""

    def add(self, data: Bytes, first: int, out: Samples, rate: int) -> None:
        """Adds to ``out`` its frames from ``first`` on, at ``rate``."""
        own = self._rate(rate)
        resampler = codec.resampler(own, rate)
        bounds = self._bounds(first, first + len(out), rate)
        places = np.interp(bounds * (UNITS_PER_SECOND / rate), self.stretch.at, self.stretch.spoken)
        places *= own / UNITS_PER_SECOND
        needed = int(places[0]) - resampler.reach - 2
        origin = needed - self._settling(own)
        buffer = np.zeros(int(places[-1]) + resampler.reach + 3 - origin, np.int16)
        self._fill(data, origin, needed, buffer, own)
        for index in range(len(bounds) - 1):
            start, end = int(bounds[index]), int(bounds[index + 1])
            step = round(float(places[index + 1] - places[index]) / (end - start), 12)
            place = round(float(places[index]) - origin, _EXACT)
            resampler.add(buffer, place, step, out[start - first : end - first])

    def _bounds(self, first: int, end: int, rate: int) -> Floats:
        """The frames between which the sender's time runs evenly."""
        knots = np.ceil(self.stretch.at * (rate / UNITS_PER_SECOND))
        inside = knots[(knots > first) & (knots < end)]
        return np.array([first, *np.unique(inside), end] if len(inside) else [first, end], np.float64)


@dataclass(frozen=True, slots=True)
class VoiceTrack(Track):
    """Packets of one format in the order of their timestamps. ``timestamp`` and the gaps are in ticks."""

    format: Format
    timestamp: Integers
    start: Integers
    length: Integers
    gap_at: Integers
    gap: Integers
    longest: int

    def _rate(self, wanted: int) -> int:
        return self.format.rate or (wanted if wanted in codec.OPUS_RATES else 48_000)

    def _settling(self, rate: int) -> int:
        return (_SETTLING_MS if self.format.remembers else _HISTORY_MS) * rate // 1000

    def _fill(self, data: Bytes, origin: int, needed: int, buffer: Samples, rate: int) -> None:
        clock = self.stretch.clock_rate
        last = (origin + len(buffer)) * clock // rate
        begin = int(np.searchsorted(self.timestamp, origin * clock // rate - self.longest))
        end = min(
            len(self.timestamp), int(np.searchsorted(self.timestamp, last)) + 1
        )  # one more, for the gap before it
        if begin >= end:
            return
        part = slice(begin, end)
        codec.decode(
            self.format.name,
            rate,
            self.format.channels,
            data,
            self.start[part],
            self.length[part],
            self.timestamp[part] * rate // clock - origin,
            self.gap_at[part] * rate // clock - origin,
            self.gap[part] * rate // clock,
            buffer,
        )


@dataclass(frozen=True, slots=True)
class NoiseTrack(Track):
    """Comfort noise: from ``starts`` to ``ends``, in ticks, as the payload at ``payload`` (offset, length) says."""

    starts: Integers
    ends: Integers
    payload: Integers
    salt: int  # two sides, and two sources, do not sound alike

    def _rate(self, wanted: int) -> int:
        return self.stretch.clock_rate

    def _settling(self, rate: int) -> int:
        return 0

    def _fill(self, data: Bytes, origin: int, needed: int, buffer: Samples, rate: int) -> None:
        for index in np.flatnonzero((self.ends > origin) & (self.starts < origin + len(buffer))).tolist():
            begin, end = max(origin, int(self.starts[index])), min(origin + len(buffer), int(self.ends[index]))
            offset, length = self.payload[index].tolist()
            place = (begin + self.salt) % (1 << 63)
            codec.comfort_noise(data[offset : offset + length], place, buffer[begin - origin : end - origin])
