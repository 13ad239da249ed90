from __future__ import annotations

import io
import itertools
import random
from typing import Final

import av
import numpy as np
import pytest
from pystoi import stoi

from mediaserverd.audio.encoding import GSM_PAIRS, SEGMENT
from mediaserverd.audio.formats import (
    FORMATS,
    Format,
    UnknownFormat,
    encode,
    find_format,
    wav_parts,
    wav_range,
    wav_size,
)
from mediaserverd.audio.sound import Samples, mono_mix
from tests.audio.listening import Spoken, conversation, heard, interleaved, resampled
from tests.kit.judge import judge
from tests.kit.speech import RATE, speech

_SECONDS: Final = 10.37  # no whole number of anyone's frames
_CASES: Final = [(form, rate) for form in FORMATS.values() for rate in form.sample_rates]
_WAVS: Final = [form for form in FORMATS.values() if form.has_ranges]
_CODECS: Final = {
    "wav-pcm": ("wav", "pcm_s16le", 0.999),
    "wav-pcmu": ("wav", "pcm_mulaw", 0.99),
    "wav-pcma": ("wav", "pcm_alaw", 0.99),
    "wav-gsm": ("wav", "gsm_ms", 0.8),  # of two voices at once, which GSM's model of one throat was not made for
    "wav-truespeech": ("wav", "truespeech", 0.9),
    "ogg-opus": ("ogg", "opus", 0.93),
    "webm-opus": ("matroska,webm", "opus", 0.93),
    "mp3": ("mp3", "mp3float", 0.99),
}
_INTELLIGIBLE: Final = 0.85
_SKEW_LIMIT_MS: Final = 1.0


def _file(sound: Spoken, form: Format) -> bytes:
    target = io.BytesIO()
    encode(sound, form, target)
    return target.getvalue()


def _case_name(value: object) -> str:
    return value.name if isinstance(value, Format) else str(value)


@pytest.mark.parametrize(("form", "sample_rate"), _CASES, ids=_case_name)
def test_ffmpeg_hears_every_voice_on_its_channel_and_in_its_place(form: Format, sample_rate: int) -> None:
    got = heard(_file(conversation(_SECONDS, sample_rate), form))
    container, codec, correlation = _CODECS[form.name]
    assert (got.container, got.codec, got.channels) == (container, codec, form.channels)
    assert got.duration_s == pytest.approx(_SECONDS, abs=0.03)
    played = got.telephone()
    assert len(played) / RATE == pytest.approx(_SECONDS, abs=0.04 if form.channels == 1 else 0.001)
    spoken = conversation(_SECONDS).samples
    voices = [spoken[:, 0], spoken[:, 1]] if form.channels == 2 else [mono_mix(spoken)]
    for side, voice in enumerate(voices):
        verdict = judge(voice, played[:, side])
        assert verdict.faults(seconds=10, correlation=correlation, drift_ms=1.0) == []
        assert abs(verdict.lag_ms) <= _SKEW_LIMIT_MS
        assert stoi(voice, played[: len(voice), side], RATE) > _INTELLIGIBLE


@pytest.mark.parametrize("form", [form for form in FORMATS.values() if form.channels == 2], ids=_case_name)
def test_nothing_of_one_party_is_on_the_others_channel(form: Format) -> None:
    """One speaks, the other's line is dead: what is on its channel then came from the first."""
    sample_rate = form.sample_rates[0]
    for speaking in (0, 1):
        sound = conversation(5.0, sample_rate)
        sound.samples[:, 1 - speaking] = 0
        played = heard(_file(sound, form)).samples.astype(np.float64)
        loud, quiet = (np.sqrt(np.mean(played[:, side] ** 2)) for side in (speaking, 1 - speaking))
        assert loud > 500
        assert quiet < 10  # -58 dB; A-law has no zero, and its silence is 8


@pytest.mark.parametrize("form", _WAVS, ids=_case_name)
def test_any_range_of_a_wav_is_that_part_of_the_whole(form: Format) -> None:
    sound = _long_sound(2 * SEGMENT + 12_345)
    whole = _file(sound, form)
    assert wav_size(sound, form) == len(whole)
    dice = random.Random(5)
    edges, end = [0, 1, 43, 44, 60, 61], len(whole) - 1
    ranges = [(first, last) for first in edges for last in edges if first <= last]
    ranges += [(0, end), (43, end - 1), (end - 1, end), (end, end)]
    for _ in range(12):
        first = dice.randrange(end)
        ranges.append((first, min(end, first + dice.choice((0, 1, 1000, end // 3)))))
    for first, last in ranges:
        assert wav_range(sound, form, first, last) == whole[first : last + 1], (first, last)


@pytest.mark.parametrize("form", _WAVS, ids=_case_name)
def test_a_range_renders_no_more_than_one_segment_around_it(form: Format) -> None:
    asked: list[int] = []

    class Watched(Spoken):
        def block(self, first_frame: int, count: int) -> Samples:
            asked.append(count)
            return super().block(first_frame, count)

    sound = Watched(_long_sound(5 * SEGMENT).samples)
    middle = wav_size(sound, form) // 2
    assert len(wav_range(sound, form, middle, middle + 1000)) == 1001
    assert sum(asked) <= 2 * SEGMENT


def test_an_hour_is_encoded_in_parts_that_stay_small() -> None:
    class Hour:
        frames = 3600 * RATE
        sample_rate = RATE

        def block(self, first_frame: int, count: int) -> Samples:
            assert count <= SEGMENT
            return np.zeros((count, 2), np.int16)

    form = find_format("wav-pcm")
    size = wav_size(Hour(), form)
    assert size == 44 + 3600 * RATE * 4
    assert max(map(len, wav_parts(Hour(), form, 0, size - 1))) <= SEGMENT * 4


def test_beyond_4_gib_a_wav_is_rf64_and_ffmpeg_still_knows_its_length() -> None:
    class Day:
        frames = 8 * 3600 * 48_000
        sample_rate = 48_000

        def block(self, first_frame: int, count: int) -> Samples:
            return np.full((count, 2), first_frame % 1000, np.int16)

    form = find_format("wav-pcm")
    size = wav_size(Day(), form)
    assert size > 1 << 32
    beginning = wav_range(Day(), form, 0, 400_000)
    assert beginning[:4] == b"RF64"
    assert int.from_bytes(beginning[20:28], "little") == size - 8
    assert len(wav_range(Day(), form, size - 1000, size - 1)) == 1000
    assert heard(beginning).samples[0].tolist() == [0, 0]


@pytest.mark.parametrize("form", list(FORMATS.values()), ids=_case_name)
@pytest.mark.parametrize("frames", [0, 1, 319, 321])
def test_the_shortest_recordings_are_files_too(form: Format, frames: int) -> None:
    sample_rate = form.sample_rates[0]
    sound = Spoken(np.full((frames, 2), 1000, np.int16), sample_rate)
    file = _file(sound, form)
    assert not form.has_ranges or wav_size(sound, form) == len(file)
    if form.has_ranges and not frames:
        return  # FFmpeg takes a WAV without samples for a broken one
    got = heard(file)
    surplus_s = len(got.samples) / got.sample_rate - frames / sample_rate
    # GSM and TrueSpeech end with a whole block; of a single Opus packet FFmpeg does not cut off the end.
    assert -0.001 <= surplus_s <= (0.055 if got.codec == "opus" else 0.04)


@pytest.mark.parametrize("name", ["ogg-opus", "webm-opus"])
def test_a_voice_that_falls_silent_and_comes_back_stays_in_its_place(name: str) -> None:
    sound = conversation(20.0)
    speaks = (np.arange(sound.frames) // (RATE * 5)) % 2
    sound.samples[speaks == 0, 0] = 0
    sound.samples[speaks == 1, 1] = 0
    file = _file(sound, find_format(name))
    played = heard(file).telephone()
    assert len(file) < 0.7 * len(_file(conversation(20.0), find_format(name)))
    for side in (0, 1):
        for first in range(5 * (1 - side), 20, 10):
            window = slice(first * RATE, (first + 5) * RATE)
            verdict = judge(sound.samples[window, side], played[max(0, window.start - 80) :, side])
            assert verdict.faults(seconds=4, correlation=0.9, drift_ms=1.0) == []
            assert abs(verdict.lag_ms - (10.0 if first else 0.0)) <= _SKEW_LIMIT_MS
        silent = played[:, side][sound.samples[:, side] == 0]
        assert np.mean(np.abs(silent) > 50) < 0.02


def test_opus_into_a_pipe_is_the_same_without_an_index() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation("seek")

        tell = seek

    for name in ("ogg-opus", "webm-opus", "mp3", "wav-pcm"):
        form = find_format(name)
        sound = conversation(6.0, form.sample_rates[0])
        pipe = Pipe()
        encode(sound, form, pipe)
        assert np.array_equal(heard(pipe.getvalue()).samples, heard(_file(sound, form)).samples)


def test_progress_grows_to_one() -> None:
    for form in FORMATS.values():
        told: list[float] = []
        silence = Spoken(np.zeros((5 * SEGMENT, 2), np.int16), form.sample_rates[0])
        encode(silence, form, io.BytesIO(), told.append)
        assert len(told) >= 3
        assert told == sorted(told)
        assert told[-1] == 1.0


def test_what_a_format_cannot_take_is_refused_with_what_it_can() -> None:
    with pytest.raises(UnknownFormat, match="no audio format 'flac'; there are wav-pcm, "):
        find_format("flac")
    with pytest.raises(UnknownFormat, match="wav-gsm takes sample rates of 8000 Hz, not 48000"):
        wav_size(Spoken(np.zeros((10, 2), np.int16), 48_000), find_format("wav-gsm"))
    with pytest.raises(UnknownFormat, match="mp3 has no size before it is made"):
        wav_size(Spoken(np.zeros((10, 2), np.int16), 16_000), find_format("mp3"))


def test_a_recording_is_rendered_at_the_least_rate_that_keeps_its_bandwidth() -> None:
    rates = {name: [form.sample_rate_for(best) for best in (8000, 16000, 48000)] for name, form in FORMATS.items()}
    assert rates["wav-pcm"] == rates["ogg-opus"] == [8000, 16000, 48000]
    assert rates["mp3"] == [16000, 16000, 48000]
    assert rates["wav-gsm"] == [8000, 8000, 8000]


def _long_sound(frames: int) -> Spoken:
    """Ten seconds, over and over: what is tested with it is not how it sounds."""
    some = conversation(10.0).samples
    return Spoken(np.resize(some, (frames, 2)))


@pytest.mark.parametrize("name", ["ogg-opus", "webm-opus", "mp3", "wav-pcm"])
def test_a_player_can_jump_to_any_place(name: str) -> None:
    form = find_format(name)
    sound = conversation(40.0, form.sample_rates[0])
    with av.open(io.BytesIO(_file(sound, form)), "r") as container:
        for wanted_s in (31.0, 7.5, 22.0):
            container.seek(int(wanted_s * av.time_base), any_frame=False)
            frames = container.decode(audio=0)
            first = next(frames)
            assert first.time is not None
            assert wanted_s - 5.1 < first.time <= wanted_s + 0.1  # a cluster of WebM is 5 s
            part = [interleaved(frame) for frame in itertools.islice(frames, 200)]
            heard_there = resampled(np.concatenate(part)[:, 0], first.sample_rate, RATE)[: 2 * RATE]
            at = int((first.time + first.samples / first.sample_rate) * RATE)
            said = conversation(40.0).samples[max(0, at - 400) : at + 3 * RATE, 0]
            verdict = judge(heard_there[RATE // 2 :], said)
            assert verdict.worst > 0.85, (wanted_s, first.time)


def test_gsm_has_no_seam_where_segments_meet() -> None:
    """Against an encoder that never stopped: from the third block of a segment on it is heard as the same."""
    voice = speech(3, 2 * SEGMENT / RATE)
    whole = heard(_file(Spoken(np.stack([voice, np.zeros_like(voice)], axis=1)), find_format("wav-gsm"))).samples[:, 0]
    endless = heard(_wav_of(GSM_PAIRS.encode(voice))).samples[:, 0]
    seam = slice(SEGMENT - 400, SEGMENT + RATE // 2)
    assert np.corrcoef(whole[seam], endless[seam])[0, 1] > 0.98


def _wav_of(blocks: bytes) -> bytes:
    silent = Spoken(np.zeros((len(blocks) // 65 * 320, 2), np.int16))
    return _file(silent, find_format("wav-gsm"))[:60] + blocks
