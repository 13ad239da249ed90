"""The kit's coding and its files, against values that the recommendations and Python's own reader give."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.kit.g711 import PCMA, PCMU, Law
from tests.kit.speech import RATE, speech
from tests.kit.wav import WavError, read_wav, write_wav


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        # G.711 tables 2a and 1a, scaled from 14 and 13 bits to 16: the ends and the middle of both signs.
        (PCMU, 0x80, 32124),
        (PCMU, 0x00, -32124),
        (PCMU, 0xFF, 0),
        (PCMU, 0x7F, 0),
        (PCMA, 0xAA, 32256),
        (PCMA, 0x2A, -32256),
        (PCMA, 0xD5, 8),
        (PCMA, 0x55, -8),
    ],
)
def test_codes_have_the_values_of_the_recommendation(law: Law, code: int, value: int) -> None:
    assert law.decode(bytes([code]))[0] == value


@pytest.mark.parametrize("law", [PCMU, PCMA], ids=lambda law: law.name)
def test_coding_and_decoding_keep_every_code_value(law: Law) -> None:
    values = law.decode(bytes(range(256)))
    assert np.array_equal(law.decode(law.encode(values)), values)


@pytest.mark.parametrize("law", [PCMU, PCMA], ids=lambda law: law.name)
def test_the_error_of_coding_is_below_a_sixteenth_of_the_value(law: Law) -> None:
    values = np.arange(-32000, 32000, dtype=np.int16)
    error = np.abs(law.decode(law.encode(values)).astype(int) - values)
    assert np.all(error <= np.abs(values.astype(int)) / 16 + 16)


def test_silence_is_coded_as_silence() -> None:
    assert abs(int(PCMU.decode(bytes([PCMU.silence]))[0])) <= 8
    assert abs(int(PCMA.decode(bytes([PCMA.silence]))[0])) <= 8


def test_a_written_file_opens_in_pythons_own_reader(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    write_wav(path, speech(1, 1), speech(2, 0.5))
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth(), file.getnframes()) == (2, RATE, 2, RATE)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    write_wav(path, speech(1, 1), speech(2, 1))
    left, right = read_wav(path)
    assert np.array_equal(left, speech(1, 1))
    assert np.array_equal(right, speech(2, 1))


def test_a_pcmu_file_is_read() -> None:
    samples = speech(1, 1)
    data = PCMU.encode(samples)
    form = struct.pack("<HHIIHHH", 7, 1, RATE, RATE, 1, 8, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    (channel,) = read_wav(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert np.array_equal(channel, PCMU.decode(data))


@pytest.mark.parametrize("cut", [0, 11, 30, 43, 1000])
def test_a_cut_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "one.wav"
    write_wav(path, speech(1, 1))
    with pytest.raises(WavError):
        read_wav(path.read_bytes()[:cut])
