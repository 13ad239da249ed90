"""Several sounds of one rate as one: each behind the other, with silence before it, and perhaps not to its end.

How a recording that went on elsewhere is heard. Not responsible for how much silence there was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mediaserverd.audio.sound import Samples, Sound


@dataclass(frozen=True, slots=True)
class Stretch:
    """``frames``: so many of the sound, from its beginning. ``silence_before`` below 0: the sound begins with so much
    silence, while the one before it goes on."""

    sound: Sound
    silence_before: int
    frames: int


class Joined:
    """A ``Sound``. There is at least one stretch."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._placed: list[tuple[int, Stretch]] = []
        self.frames = 0
        for stretch in stretches:
            self._placed.append((self.frames + stretch.silence_before, stretch))
            self.frames += stretch.silence_before + stretch.frames
        self.sample_rate = stretches[0].sound.sample_rate

    def block(self, first: int, count: int, /) -> Samples:
        end = min(first + count, self.frames)
        block = np.zeros((end - first, 2), np.int16)
        for begin, stretch in self._placed:
            start, stop = max(first, begin), min(end, begin + stretch.frames)
            if start < stop:
                block[start - first : stop - first] += stretch.sound.block(start - begin, stop - start)
        return block
