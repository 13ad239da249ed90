"""WAV files of any size that are never held: the header first, then any range of bytes by itself.

The size is known before the first sample, so nothing is patched, a pipe is a fine target, and an HTTP range costs what
it holds. Beyond 4 GiB the file is RF64 (EBU Tech 3306). Not responsible for the codings inside (``encoding``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mediaserverd.audio import truespeech
from mediaserverd.audio.encoding import GSM_PAIRS, PCM, PCMA, PCMU, SEGMENT, TRUESPEECH, WARM_UP, Coding
from mediaserverd.audio.sound import Samples, Sound, mono_mix

_RIFF_LIMIT: Final = (1 << 32) - 1
_WHOLE_IN_DS64: Final = 0xFFFFFFFF  # RF64: the true number is in the ds64 chunk


@dataclass(frozen=True, slots=True)
class WavFormat:
    """``extension``: what follows the common 16 bytes of the fmt chunk; every format but PCM has one."""

    tag: int
    coding: Coding
    bits: int
    channels: int
    extension: bytes | None = None


WAV_PCM: Final = WavFormat(0x0001, PCM, 16, 2)
WAV_PCMU: Final = WavFormat(0x0007, PCMU, 8, 2, b"")
WAV_PCMA: Final = WavFormat(0x0006, PCMA, 8, 2, b"")
# Both are defined for one channel only, and players (FFmpeg too) decode no other.
WAV_GSM: Final = WavFormat(0x0031, GSM_PAIRS, 0, 1, struct.pack("<H", GSM_PAIRS.block_samples))
WAV_TRUESPEECH: Final = WavFormat(truespeech.WAV_TAG, TRUESPEECH, 1, 1, truespeech.wav_format_extra())


class WavFile:
    """The bytes of one sound as a WAV file, by position."""

    def __init__(self, sound: Sound, form: WavFormat) -> None:
        self._sound = sound
        self._form = form
        data = form.coding.bytes_of(sound.frames) * form.channels
        self._header = _header(form, sound.sample_rate, sound.frames, data)
        self._end_of_data = len(self._header) + data
        self.size = self._end_of_data + data % 2  # chunks begin at even bytes

    def parts(self, first: int, end: int) -> Iterator[bytes]:
        """The bytes from ``first`` up to ``end`` (not included), in parts of at most one segment."""
        position = first
        while position < min(end, self.size):
            part = self._part_at(position)[: end - position]
            yield part
            position += len(part)

    def _part_at(self, position: int) -> bytes:
        """What begins at ``position``, up to the end of its segment at most."""
        if position < len(self._header):
            return self._header[position:]
        if position >= self._end_of_data:
            return b"\0"
        coding, channels = self._form.coding, self._form.channels
        segment_bytes = coding.bytes_of(SEGMENT) * channels
        segment, offset = divmod(position - len(self._header), segment_bytes)
        first = segment * SEGMENT
        end = min(first + SEGMENT, self._sound.frames)
        if coding.has_memory:
            warm_up = min(first, WARM_UP)
            heard = self._heard(first - warm_up, end)
            return coding.encode(heard[warm_up:], heard[:warm_up])[offset:]
        block, within = divmod(offset, coding.block_bytes * channels)
        return coding.encode(self._heard(first + block, end))[within:]

    def _heard(self, first: int, end: int) -> Samples:
        block = self._sound.block(first, end - first)
        return block if self._form.channels == 2 else mono_mix(block)


def _header(form: WavFormat, sample_rate: int, frames: int, data: int) -> bytes:
    align = form.coding.block_bytes * form.channels
    octets_per_s = round(sample_rate * align / form.coding.block_samples)
    fmt = struct.pack("<HHIIHH", form.tag, form.channels, sample_rate, octets_per_s, align, form.bits)
    if form.extension is not None:
        fmt += struct.pack("<H", len(form.extension)) + form.extension
    chunks = _chunk(b"fmt ", fmt)
    if form.extension is not None:
        chunks += _chunk(b"fact", struct.pack("<I", min(frames, _WHOLE_IN_DS64)))
    riff = 4 + len(chunks) + 8 + data + data % 2
    if riff <= _RIFF_LIMIT:
        return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + chunks + struct.pack("<4sI", b"data", data)
    ds64 = _chunk(b"ds64", struct.pack("<QQQI", riff + 36, data, frames, 0))
    head = struct.pack("<4sI4s", b"RF64", _WHOLE_IN_DS64, b"WAVE")
    return head + ds64 + chunks + struct.pack("<4sI", b"data", _WHOLE_IN_DS64)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body
