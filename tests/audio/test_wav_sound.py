"""WAV files that we wrote, heard again: sample by sample what FFmpeg hears, and the same in any part."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from mediaserverd.audio.formats import FORMATS, Format, encode, wav_range
from mediaserverd.audio.sound import Samples
from mediaserverd.audio.wav_sound import WavFault, WavSound
from tests.audio.listening import Spoken, conversation, heard
from tests.kit.judge import judge
from tests.kit.speech import RATE

WAVS = [form for form in FORMATS.values() if form.has_ranges]
SECONDS = 41.03  # three cells, and no whole number of anyone's blocks


def name(value: object) -> str:
    return value.name if isinstance(value, Format) else str(value)


def file_of(form: Format, sample_rate: int = RATE, seconds: float = SECONDS) -> bytes:
    target = io.BytesIO()
    encode(conversation(seconds, sample_rate), form, target)
    return target.getvalue()


@pytest.mark.parametrize(("form", "rate"), [(form, rate) for form in WAVS for rate in form.sample_rates], ids=name)
def test_every_sample_is_what_ffmpeg_decodes(form: Format, rate: int) -> None:
    content = file_of(form, rate)
    sound = WavSound(content)
    assert (sound.sample_rate, sound.frames) == (rate, conversation(SECONDS, rate).frames)
    decoded = heard(content).samples[: sound.frames]
    assert np.array_equal(sound.block(0, sound.frames), np.broadcast_to(decoded, (sound.frames, 2)))


@pytest.mark.parametrize("form", WAVS, ids=name)
@pytest.mark.parametrize("rate", [None, 48_000])
def test_any_part_is_that_part_of_the_whole(form: Format, rate: int | None) -> None:
    content = file_of(form)
    whole = WavSound(content, sample_rate=rate).block(0, 1 << 30)
    dice = random.Random(3)
    sound = WavSound(content, sample_rate=rate)
    for _ in range(12):
        first = dice.randrange(len(whole))
        count = dice.choice((1, 1000, len(whole)))
        assert np.array_equal(sound.block(first, count), whole[first : first + count])


@pytest.mark.parametrize(("rate", "wanted"), [(8000, 16_000), (8000, 48_000), (16_000, 48_000), (48_000, 8000)])
def test_at_another_rate_the_voices_stay_in_their_places(rate: int, wanted: int) -> None:
    sound = WavSound(file_of(FORMATS["wav-pcm"], rate, 20.0), sample_rate=wanted)
    played = Spoken(sound.block(0, sound.frames), wanted)
    back = io.BytesIO()
    encode(played, FORMATS["wav-pcm"], back)
    telephone = heard(back.getvalue()).telephone()
    for side in (0, 1):
        verdict = judge(conversation(20.0).samples[:, side], telephone[:, side])
        assert verdict.faults(seconds=20, correlation=0.99, drift_ms=1.0) == []
        assert abs(verdict.lag_ms) < 1.0


def test_a_day_of_sound_beyond_4_gib_says_its_length_elsewhere() -> None:
    class Day(Spoken):
        @property
        def frames(self) -> int:
            return 8 * 3600 * 48_000

        def block(self, first: int, count: int) -> Samples:
            return np.full((count, 2), 7, np.int16)

    beginning = wav_range(Day(np.zeros((0, 2), np.int16), 48_000), FORMATS["wav-pcm"], 0, 1_000_000)
    sound = WavSound(beginning)
    assert sound.frames == (len(beginning) - 80) // 4, "of what is there of it"
    assert sound.block(0, 10).tolist() == [[7, 7]] * 10


def test_what_was_cut_out_when_it_was_written_is_reckoned_with() -> None:
    sound = WavSound(file_of(FORMATS["wav-pcm"], seconds=10.0), cuts=((1000, 4000), (6000, 6500)))
    assert [sound.frames_until(ms) / 8 for ms in (500, 1000, 2000, 5000, 7000)] == [500, 1000, 1200, 2200, 3900]


TINY = file_of(FORMATS["wav-pcm"], seconds=0.1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is no WAV file"),
        (b"SASF\r\n\x1a\n" + bytes(100), "it is no WAV file"),
        (TINY[:40], "ends before its audio begins"),
        (TINY[:12] + b"fmt \4\0\0\0\1\0\2\0data\0\0\0\0", "fmt chunk is too short"),
        (TINY.replace(b"fmt \x10\0\0\0\1", b"fmt \x10\0\0\0\3"), "its coding .tag 0x0003, 2 channels. is none"),
        (TINY.replace(b"\x40\x1f\0\0", b"\x41\x1f\0\0"), "its sample rate, 8001, is none"),
    ],
)
def test_what_is_no_wav_of_ours_is_refused_with_a_word(content: bytes, why: str) -> None:
    with pytest.raises(WavFault, match=why):
        WavSound(content)
