"""Sounds that follow each other as one."""

from __future__ import annotations

import numpy as np

from mediaserverd.audio.joined import Joined, Stretch
from mediaserverd.audio.sound import Samples


class Level:
    """Of one value, but for silence at its beginning."""

    def __init__(self, value: int, silent: int = 0) -> None:
        self.sample_rate = 8000
        self.frames = 100
        self._samples = np.full((self.frames, 2), value, np.int16)
        self._samples[:silent] = 0

    def block(self, first: int, count: int, /) -> Samples:
        return self._samples[first : first + count]


def test_a_sound_whose_silent_beginning_lies_in_the_one_before_takes_nothing_from_it() -> None:
    joined = Joined([Stretch(Level(1), 0, 100), Stretch(Level(2, silent=40), -40, 100), Stretch(Level(3), 10, 50)])
    whole = [1] * 100 + [2] * 60 + [0] * 10 + [3] * 50
    assert joined.frames == len(whole)
    assert joined.block(0, 1000)[:, 0].tolist() == whole
    assert joined.block(90, 90)[:, 1].tolist() == whole[90:180]
