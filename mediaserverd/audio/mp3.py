"""MP3 for browsers, written as it comes. The two voices are coded apart (no joint stereo), at a constant rate.

As all frames are of one size and their number is known, the Info frame, which tells players the length and what to cut
off at both ends, is written first and right. Encoding is LAME, through PyAV. Sample rates below 16 kHz would be "MPEG
2.5", which not every browser plays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Final

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from mediaserverd.audio.render import SampleRate
from mediaserverd.audio.sound import Progress, Sound, unheard

SAMPLE_RATES: Final[tuple[SampleRate, ...]] = (16000, 48000)
_FRAME_BYTES: Final = 288  # at both rates: 64 and 96 kbit/s divide evenly, so no frame is padded
_BIT_RATES: Final = {16000: 64_000, 48000: 96_000}
_SIDE_BYTES: Final = {16000: 17, 48000: 32}  # between a frame's header and where the Info begins, for two channels
_BLOCK_FRAMES: Final = 800

_ENCODER_DELAY: Final = 576
_DECODER_DELAY: Final = 529
_PADDING_LIMIT: Final = (1 << 12) - 1
_INFO_FIELDS: Final = 0b0011  # the number of frames and of bytes


def write_mp3(sound: Sound, target: BinaryIO, progress: Progress = unheard) -> None:
    context = _encoder(sound.sample_rate)
    samples = context.frame_size
    wanted = -(-(sound.frames + _ENCODER_DELAY + _DECODER_DELAY) // samples)
    written = 0
    for packet in _packets(context, sound, wanted, progress):
        if not written:
            padding = wanted * samples - _ENCODER_DELAY - sound.frames
            target.write(_info_frame(packet[:4], sound.sample_rate, wanted, min(padding, _PADDING_LIMIT)))
        if written < wanted:  # the encoder may end with a frame of nothing
            target.write(packet)
            written += 1


def _packets(context: AudioCodecContext, sound: Sound, wanted: int, progress: Progress) -> Iterator[bytes]:
    samples = context.frame_size
    for first in range(0, wanted, _BLOCK_FRAMES):
        block = np.zeros((min(_BLOCK_FRAMES, wanted - first) * samples, 2), np.int16)
        heard = max(0, min(len(block), sound.frames - first * samples))
        block[:heard] = sound.block(first * samples, heard) if heard else 0
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="s16p", layout="stereo")
        frame.sample_rate = sound.sample_rate
        yield from map(bytes, context.encode(frame))
        progress(min(1.0, (first + _BLOCK_FRAMES) / wanted))
    yield from map(bytes, context.encode(None))


def _encoder(sample_rate: int) -> AudioCodecContext:
    context = av.CodecContext.create("libmp3lame", "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = sample_rate
    context.layout = "stereo"
    context.format = "s16p"
    context.bit_rate = _BIT_RATES[sample_rate]
    context.time_base = Fraction(1, sample_rate)
    context.options = {"joint_stereo": "0"}
    context.open()
    return context


def _info_frame(header: bytes, sample_rate: int, frames: int, padding: int) -> bytes:
    """A frame without audio, that old players play as silence: counts, then LAME's extension with delay and padding."""
    counts = struct.pack(">4sIII", b"Info", _INFO_FIELDS, frames, (frames + 1) * _FRAME_BYTES)
    constant_rate = 1
    extension = struct.pack(">9sB11s", b"LAME3.100", constant_rate, b"")
    extension += (_ENCODER_DELAY << 12 | padding).to_bytes(3, "big")
    return (header + bytes(_SIDE_BYTES[sample_rate]) + counts + extension).ljust(_FRAME_BYTES, b"\0")
