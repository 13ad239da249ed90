from __future__ import annotations

import io
from typing import Final

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pystoi import stoi

from mediaserverd.audio import codec
from mediaserverd.audio._codec import TruespeechEncoder
from mediaserverd.audio.encoding import TRUESPEECH
from mediaserverd.audio.formats import encode as encode_file
from mediaserverd.audio.formats import find_format
from mediaserverd.audio.sound import Samples
from mediaserverd.audio.truespeech import FRAME_BYTES, FRAME_SAMPLES, encode
from tests.audio.espeak import SENTENCES, VOICES, spoken
from tests.audio.listening import Spoken, heard
from tests.kit.speech import RATE, speech

_INTELLIGIBLE: Final = 0.88
_WAYS: Final = (4060, 27405)  # to place three pulses in 30 samples, and four
_SPOKEN: Final = [(voice, sentence) for voice in VOICES for sentence in SENTENCES]


def _ffmpeg(frames: bytes) -> Samples:
    """FFmpeg's decoder, which is not ours."""
    context = av.CodecContext.create("truespeech", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = RATE, "mono"
    packets = [av.Packet(frames[at : at + FRAME_BYTES]) for at in range(0, len(frames), FRAME_BYTES)]
    decoded = [frame.to_ndarray().ravel() for packet in packets for frame in context.decode(packet)]
    return np.asarray(np.concatenate(decoded), np.int16)


def _ours(frames: bytes) -> Samples:
    out = np.zeros(len(frames) // FRAME_BYTES * FRAME_SAMPLES, np.int16)
    none = np.zeros(1, np.int64)
    length = np.array([len(frames)], np.int64)
    codec.decode("X-TRUESPEECH", RATE, 1, np.frombuffer(frames, np.uint8), none, length, none, none, none, out)
    return out


def _intelligibility(source: Samples, played: Samples) -> float:
    return float(stoi(source.astype(np.float64), played[: len(source)].astype(np.float64), RATE))


def _level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-9))


def test_the_sentences_are_spoken_by_different_voices() -> None:
    assert len({spoken(*each).tobytes() for each in _SPOKEN}) == len(_SPOKEN)


@pytest.mark.parametrize(("voice", "sentence"), _SPOKEN)
def test_every_sentence_is_intelligible_to_an_independent_decoder(voice: str, sentence: str) -> None:
    source = spoken(voice, sentence)
    played = _ffmpeg(encode(source))
    assert _intelligibility(source, played) >= _INTELLIGIBLE
    assert _level_db(played) == pytest.approx(_level_db(source), abs=1)


@pytest.mark.parametrize("gain", [0.005, 0.05, 8.0])
def test_whispers_and_clipped_shouts_stay_intelligible(gain: float) -> None:
    source = np.asarray(np.clip(spoken("male", SENTENCES[0]) * gain, -32768, 32767), np.int16)
    assert _intelligibility(source, _ffmpeg(encode(source))) >= 0.85


def test_our_decoder_agrees_with_ffmpegs_in_every_sample_of_speech() -> None:
    frames = encode(spoken("female", SENTENCES[1]))
    assert np.array_equal(_ours(frames), _ffmpeg(frames))


@given(st.binary(min_size=FRAME_BYTES, max_size=40 * FRAME_BYTES).map(lambda noise: noise[: len(noise) // 32 * 32]))
@settings(max_examples=100)
def test_our_decoder_agrees_with_ffmpegs_in_every_sample_of_any_bytes(frames: bytes) -> None:
    assert np.array_equal(_ours(frames), _ffmpeg(frames))


def test_the_fields_of_every_frame_are_within_what_the_format_can_tell() -> None:
    words = np.frombuffer(encode(spoken("male", SENTENCES[2])), "<u4").reshape(-1, 8).astype(np.int64)
    firsts, seconds = words[:, 4:] >> 19 & 0xFFF, words[:, 4:] >> 4 & 0x7FFF
    assert firsts.max() < _WAYS[0]
    assert seconds.max() < _WAYS[1]
    assert len(np.unique(firsts)) > 100
    pitch = words[:, 1, None] >> np.array([0, 7, 14, 21]) & 0x7F
    assert np.mean(pitch < 125) > 0.5, "speech repeats itself"
    assert set(np.unique(pitch)) <= {*range(125), 127}
    base = (words[:, 1] >> 28 << 4) | ((words[:, 4:] >> 31) << np.arange(4)).sum(axis=1)
    assert base.max() <= 127
    loudness = np.abs(_ffmpeg(words.astype("<u4").tobytes()).reshape(-1, FRAME_SAMPLES)).max(axis=1)
    gains = (words[:, 4:] & 0xF).max(axis=1)
    assert np.corrcoef(np.log(loudness + 1.0), gains)[0, 1] > 0.8


def test_frames_are_in_step_with_the_source() -> None:
    source = spoken("male", SENTENCES[3])
    played = _ffmpeg(encode(source))[: len(source)]
    lags = range(-40, 41)
    inner = slice(100, -100)
    agreement = [float(np.dot(np.roll(source, lag)[inner].astype(float), played[inner])) for lag in lags]
    assert abs(lags[int(np.argmax(agreement))]) <= 1


def test_silence_stays_silent() -> None:
    second = np.zeros(RATE, np.int16)
    assert np.abs(_ffmpeg(encode(second))).max() <= 8
    after_speech = np.concatenate((spoken("male", SENTENCES[0]), second, second))
    assert np.abs(_ffmpeg(encode(after_speech))[-RATE:]).max() <= 8


def test_a_receiver_that_was_spared_a_silence_hears_what_follows_it() -> None:
    before, after = (voice[: len(voice) // FRAME_SAMPLES * FRAME_SAMPLES] for voice in _two_sentences())
    silence = np.zeros(40 * FRAME_SAMPLES, np.int16)
    frames = encode(np.concatenate((before, silence, after)))
    first, rest = len(before) // FRAME_SAMPLES + 20, len(before) // FRAME_SAMPLES + 36
    spared = frames[: first * FRAME_BYTES] + frames[rest * FRAME_BYTES :]
    played = _ffmpeg(spared)[-len(after) :]
    assert _intelligibility(after, played) >= _INTELLIGIBLE
    assert np.abs(played[: RATE // 100]).max() <= np.abs(after).max()


def _two_sentences() -> tuple[Samples, Samples]:
    return spoken("male", SENTENCES[0]), spoken("female", SENTENCES[1])


def test_segments_that_begin_anew_join_without_a_click() -> None:
    source = np.concatenate([spoken(voice, SENTENCES[1]) for voice in VOICES])
    cut = 16_080  # a whole number of frames, amid the first voice
    parts = TRUESPEECH.encode(source[:cut]) + TRUESPEECH.encode(source[cut:], source[cut - 7_680 : cut])
    whole, joined = (_ffmpeg(frames)[: len(source)] for frames in (encode(source), parts))
    near = slice(cut - 2000, cut + 6000)
    assert _intelligibility(source[near], joined[near]) >= _intelligibility(source[near], whole[near]) - 0.02
    assert np.abs(joined[near]).max() <= 1.3 * np.abs(whole[near]).max()


@pytest.mark.parametrize(
    "loudest",
    [
        np.full(4800, 32767),
        np.full(4800, -32768),
        np.where(np.arange(4800) % 2, 32767, -32768),
        np.where(np.arange(4800) // 9 % 2, 32767, -32768),
        np.random.default_rng(7).integers(-32768, 32768, 4800),
        32767 * np.sin(np.arange(4800) * 2 * np.pi * 0.49),
    ],
    ids=["high", "low", "fastest", "square", "noise", "tone"],
)
def test_the_loudest_input_stays_as_loud_and_the_next_words_are_heard(loudest: npt.NDArray[np.float64]) -> None:
    after = spoken("female", SENTENCES[2])
    source = np.concatenate((np.asarray(loudest, np.int16), after))
    played = _ffmpeg(encode(source))
    assert _level_db(played[: len(loudest)]) > _level_db(source[: len(loudest)]) - 14
    assert _intelligibility(after, played[len(loudest) :]) >= _INTELLIGIBLE


@given(arrays.arrays(np.int16, st.integers(0, 3000)), st.lists(st.integers(0, 700), max_size=8))
@settings(max_examples=60)
def test_any_samples_in_any_portions_give_the_same_whole_frames(samples: Samples, cuts: list[int]) -> None:
    encoder = TruespeechEncoder()
    portions = np.split(samples, np.cumsum(cuts).clip(0, len(samples)))
    frames = b"".join(encoder.encode(np.ascontiguousarray(portion)) for portion in portions) + encoder.finish()
    assert len(frames) == -(-len(samples) // FRAME_SAMPLES) * FRAME_BYTES
    assert frames == encode(samples)
    assert len(_ours(frames)) == len(frames) // FRAME_BYTES * FRAME_SAMPLES


def test_a_finished_encoder_begins_anew() -> None:
    encoder = TruespeechEncoder()
    source = speech(3, 0.5)
    first = encoder.encode(source) + encoder.finish()
    assert encoder.encode(source) + encoder.finish() == first


def test_ffmpeg_opens_the_wav_file_directly() -> None:
    voice = spoken("female", SENTENCES[0])
    file = io.BytesIO()
    encode_file(Spoken(np.stack((voice, np.zeros_like(voice)), axis=1)), find_format("wav-truespeech"), file)
    got = heard(file.getvalue())
    assert (got.container, got.codec, got.channels, got.sample_rate) == ("wav", "truespeech", 1, RATE)
    assert got.duration_s == pytest.approx(len(voice) / RATE, abs=0.03)
    assert _intelligibility(voice, got.samples[:, 0]) >= _INTELLIGIBLE
