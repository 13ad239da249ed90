from __future__ import annotations

import pytest

from bench.conversion import measure, recorded_call, voices
from mediaserverd.audio.render import Rendering


@pytest.mark.parametrize("name", ["ogg-opus", "wav-pcm", "mp3"])
def test_a_call_becomes_a_file_about_as_fast_as_ffmpeg_makes_one(name: str) -> None:
    row = measure(name, voices(20.0), tries=3)
    assert row.ratio < 1.3, f"{row}"  # an hour, undisturbed: see the bench; so short a call also pays for the set-up
    assert 0.5 < row.size / row.ffmpeg_size < 1.1


def test_what_is_measured_is_a_whole_call_without_loss() -> None:
    spoken = voices(20.0)
    rendering = Rendering(recorded_call(spoken))
    assert (rendering.sample_rate, rendering.frames) == (8000, len(spoken))
    assert [side.lost for side in rendering.quality.sides] == [0, 0]
