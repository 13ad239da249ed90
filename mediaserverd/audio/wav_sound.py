"""A WAV file as sound again, in every coding that ``wav`` writes: any part of it, at any of our sample rates.

Works in cells of fixed length, so that a part is the same whichever way it is asked for; two cells are kept. One party
or a mix of both (GSM, TrueSpeech) is heard on both channels. Not responsible for files that others write beyond that.
"""

from __future__ import annotations

import mmap
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from mediaserverd.audio import codec, truespeech
from mediaserverd.audio.cuts import Cuts, heard_ms
from mediaserverd.audio.encoding import GSM, a_law, mu_law
from mediaserverd.audio.render import CELL_SECONDS, RATES
from mediaserverd.audio.sound import Samples
from mediaserverd.audio.wav import WAV_GSM, WAV_PCM, WAV_PCMA, WAV_PCMU, WAV_TRUESPEECH, WavFormat

_CELLS_KEPT: Final = 2
_CHUNKS_LIMIT: Final = 100  # before the audio; ours have four
_SETTLING_S: Final = 1  # before a part, so that decoders that remember are by then as if they had begun at 0
_FORMATS: Final = {each.tag: each for each in (WAV_PCM, WAV_PCMU, WAV_PCMA, WAV_GSM, WAV_TRUESPEECH)}

_Octets: TypeAlias = npt.NDArray[np.uint8]


class WavFault(Exception):
    """It is no WAV file, or none as we write them."""


@dataclass(frozen=True, slots=True)
class _Audio:
    """``data``: whole blocks. ``frames``: of them, as the last block may be filled up."""

    form: WavFormat
    sample_rate: int
    frames: int
    data: _Octets

    def decoded(self, first: int, end: int) -> Samples:
        """Frames from ``first`` up to ``end``, as rows of one or two samples."""
        coding, channels = self.form.coding, self.form.channels
        settling = _SETTLING_S * self.sample_rate if coding.has_memory else 0
        begin = max(0, first - settling) // coding.block_samples
        blocks = self.data[begin * coding.block_bytes * channels : coding.bytes_of(end) * channels]
        samples = _DECODERS[self.form.tag](blocks).reshape(-1, channels)
        start = first - begin * coding.block_samples
        return samples[start : start + end - first]


class WavSound:
    """A ``Sound``. ``sample_rate`` None: that of the file. ``cuts``: what was left out when it was written.

    Raises WavFault.
    """

    def __init__(self, data: bytes | mmap.mmap, *, sample_rate: int | None = None, cuts: Cuts = ()) -> None:
        self._audio = _parsed(memoryview(data))
        self._cuts = cuts
        self.sample_rate = sample_rate or self._audio.sample_rate
        self.frames = self._audio.frames * self.sample_rate // self._audio.sample_rate
        self._cell_frames = CELL_SECONDS * self.sample_rate
        self._cells: OrderedDict[int, Samples] = OrderedDict()

    def frames_until(self, milliseconds: int) -> int:
        """How many frames are heard of what was recorded before that."""
        return heard_ms(self._cuts, milliseconds) * self.sample_rate // 1000

    def block(self, first: int, count: int, /) -> Samples:
        """``count`` frames from ``first`` on, as rows of two samples; fewer at the end."""
        end = min(first + count, self.frames)
        block = np.empty((max(0, end - first), 2), np.int16)
        at = first
        while at < end:
            number, within = divmod(at, self._cell_frames)
            part = self._cell(number)[within : within + end - at]
            block[at - first : at - first + len(part)] = part
            at += len(part)
        return block

    def _cell(self, number: int) -> Samples:
        if number in self._cells:
            self._cells.move_to_end(number)
            return self._cells[number]
        first = number * self._cell_frames
        cell = self._heard(first, min(first + self._cell_frames, self.frames))
        self._cells[number] = cell
        if len(self._cells) > _CELLS_KEPT:
            self._cells.popitem(last=False)
        return cell

    def _heard(self, first: int, end: int) -> Samples:
        audio = self._audio
        if audio.sample_rate == self.sample_rate:
            return audio.decoded(first, end)
        resampler = codec.resampler(audio.sample_rate, self.sample_rate)
        step = audio.sample_rate / self.sample_rate
        begin = int(first * step) - resampler.reach - 2
        stop = int(end * step) + resampler.reach + 3
        source = np.zeros((stop - begin, audio.form.channels), np.int16)
        known = slice(max(0, begin), min(stop, audio.frames))
        source[known.start - begin : known.stop - begin] = audio.decoded(known.start, known.stop)
        heard = np.zeros((end - first, audio.form.channels), np.int16)
        for channel in range(audio.form.channels):
            column = np.zeros(end - first, np.int16)
            resampler.add(np.ascontiguousarray(source[:, channel]), first * step - begin, step, column)
            heard[:, channel] = column
        return heard


def _parsed(view: memoryview) -> _Audio:
    chunks: dict[bytes, memoryview] = {}
    for name, body in _chunks(view):
        chunks.setdefault(name, body)
        if name == b"data":
            break
    if b"fmt " not in chunks or b"data" not in chunks:
        raise WavFault("it is no WAV file, or ends before its audio begins")
    form, sample_rate = _form(chunks[b"fmt "])
    block = form.coding.block_bytes * form.channels
    data = np.frombuffer(chunks[b"data"], np.uint8)
    data = data[: len(data) // block * block]
    frames = len(data) // block * form.coding.block_samples
    return _Audio(form, sample_rate, min(frames, _told_frames(chunks) or frames), data)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Up to the one that holds the audio, which ends where the file ends if it says nothing else."""
    if len(view) < 12 or bytes(view[:4]) not in (b"RIFF", b"RF64") or bytes(view[8:12]) != b"WAVE":
        return
    at, audio_bytes = 12, len(view)
    for _ in range(_CHUNKS_LIMIT):
        if at + 8 > len(view):
            return
        name, size = struct.unpack_from("<4sI", view, at)
        body = view[at + 8 : at + 8 + (audio_bytes if name == b"data" and size == 0xFFFFFFFF else size)]
        if name == b"ds64" and len(body) >= 24:
            _, audio_bytes, _ = struct.unpack_from("<QQQ", body)
        yield name, body
        at += 8 + size + size % 2


def _form(fmt: memoryview) -> tuple[WavFormat, int]:
    if len(fmt) < 16:
        raise WavFault("its fmt chunk is too short")
    tag, channels, sample_rate, _, align, _ = struct.unpack_from("<HHIIHH", fmt)
    form = _FORMATS.get(tag)
    if form is None or (channels, align) != (form.channels, form.coding.block_bytes * form.channels):
        raise WavFault(f"its coding (tag {tag:#06x}, {channels} channels) is none that we write")
    if sample_rate not in (RATES if form is WAV_PCM else RATES[:1]):
        raise WavFault(f"its sample rate, {sample_rate}, is none that we write")
    return form, sample_rate


def _told_frames(chunks: dict[bytes, memoryview]) -> int | None:
    """PCM says it by its size alone."""
    if b"ds64" in chunks and len(chunks[b"ds64"]) >= 24:
        return int(struct.unpack_from("<Q", chunks[b"ds64"], 16)[0])
    if b"fact" in chunks and len(chunks[b"fact"]) >= 4:
        return int(struct.unpack_from("<I", chunks[b"fact"])[0])
    return None


def _framed(name: str, frames: _Octets, octets: int, samples: int) -> Samples:
    """Frames of one stream, one behind the other, from its beginning."""
    count = len(frames) // octets
    out = np.zeros(count * samples, np.int16)
    start = np.arange(count, dtype=np.int64) * octets
    at = np.arange(count, dtype=np.int64) * samples
    none = np.zeros(count, np.int64)
    codec.decode(name, 8000, 1, np.ascontiguousarray(frames), start, np.full(count, octets), at, none, none, out)
    return out


# GSM 06.10: the sizes of a frame's 76 parameters in bits. RTP (RFC 3551 4.5.8.1) has each with its highest bit first,
# behind four bits of signature; WAV has two frames in 65 octets, each parameter with its lowest bit first.
_PARAMETERS: Final = (6, 6, 5, 5, 4, 4, 3, 3, *((7, 2, 2, 6, *(3,) * 13) * 4))
_SIGNATURE: Final = (1, 1, 0, 1)
_LOWEST_FIRST: Final = np.array(
    [
        place
        for size, end in zip(_PARAMETERS, accumulate(_PARAMETERS), strict=True)
        for place in reversed(range(end - size, end))
    ]
)


def _unpaired(pairs: _Octets) -> _Octets:
    """Frames of GSM in WAV as those of RTP."""
    bits = np.unpackbits(pairs, bitorder="little").reshape(-1, len(_LOWEST_FIRST))
    frames = np.empty((len(bits), 4 + bits.shape[1]), np.uint8)
    frames[:, :4] = _SIGNATURE
    frames[:, 4:] = bits[:, _LOWEST_FIRST]
    return np.packbits(frames)


def _by_table(table: Samples) -> Callable[[_Octets], Samples]:
    return lambda codes: table[codes]


_DECODERS: Final[dict[int, Callable[[_Octets], Samples]]] = {
    WAV_PCM.tag: lambda octets: octets.view("<i2"),
    WAV_PCMU.tag: _by_table(mu_law()),
    WAV_PCMA.tag: _by_table(a_law()),
    WAV_GSM.tag: lambda pairs: _framed("GSM", _unpaired(pairs), GSM.block_bytes, GSM.block_samples),
    WAV_TRUESPEECH.tag: lambda frames: _framed(
        "X-TRUESPEECH", frames, truespeech.FRAME_BYTES, truespeech.FRAME_SAMPLES
    ),
}
