"""When each side could be heard, gathered while a recording is rendered; and from it, where it was one-way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from mediaserverd.audio.codec import Samples

_BIN_MS: Final = 100
_NOTHING: Final = 8  # the idle codes of A-law are +-8; a microphone in a quiet room is above
_SPEAKING: Final = 600  # peak; -35 dB
_ONE_WAY_BINS: Final = 30  # 3 s
_SPOKEN_BINS: Final = 5  # half a second of speech, or it was a click


class Activity:
    """The peak of every 100 ms of both sides."""

    def __init__(self, frames: int, rate: int) -> None:
        self._frames = _BIN_MS * rate // 1000
        self._peaks = np.full((2, -(-frames // self._frames)), -1, np.int32)

    def hear(self, channel: int, first: int, heard: Samples) -> None:
        """``first`` is a multiple of 100 ms."""
        starts = np.arange(0, len(heard), self._frames)
        highest = np.maximum.reduceat(heard, starts).astype(np.int32)
        lowest = np.minimum.reduceat(heard, starts).astype(np.int32)
        at = first // self._frames
        self._peaks[channel, at : at + len(starts)] = np.maximum(highest, -lowest)

    def knows(self, frame: int) -> bool:
        return bool(self._peaks[1, frame // self._frames] >= 0)

    def one_way(self) -> Iterator[tuple[int, int, int]]:
        """(side, start, end) in ms: nothing at all came from that side for over 3 s, and the other one spoke."""
        for channel in (0, 1):
            absent = np.concatenate(([False], self._peaks[channel] <= _NOTHING, [False]))
            edges = np.flatnonzero(np.diff(absent))
            for start, end in edges.reshape(-1, 2).tolist():
                spoken = np.count_nonzero(self._peaks[1 - channel, start:end] > _SPEAKING)
                if end - start > _ONE_WAY_BINS and spoken >= _SPOKEN_BINS:
                    yield channel, start * _BIN_MS, end * _BIN_MS
