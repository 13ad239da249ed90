"""Stored recordings as sound, in the processes that render: any part of a WAV file, or a whole file of another format.

The segments of one recording are heard as one, with silence where nothing was recorded between them.
What is decrypted stays in the memory of these processes: the few recordings that were listened to last are kept there,
because a player asks for many parts of the same one. Not responsible for who may listen, nor for where keys are.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from mediaserverd.audio.cuts import Cuts
from mediaserverd.audio.formats import Format, encode, find_format, wav_range, wav_size
from mediaserverd.audio.joined import Joined, Stretch
from mediaserverd.audio.render import Rendering
from mediaserverd.audio.sound import Sound
from mediaserverd.audio.wav_sound import WavSound
from mediaserverd.audio.workshop import Job
from mediaserverd.protocol.sasf.reader import SasfReader
from mediaserverd.recorder.examination import mapped

KEPT_BYTES: Final = 256 << 20  # of recordings as read, in each process; at least one is kept
DIGEST_BYTES: Final = 8 << 20  # rendered at a time, for the digest of all
_BYTES_A_PACKET: Final = 9 * 8  # the columns of ``Packets``

Data = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Source:
    """``file``: where it is, or what is in it. ``key``: of this file alone. ``cuts``: what a WAV leaves out; a SASF
    file says it itself."""

    file: Path | bytes
    key: bytes | None = field(repr=False)
    sha256: str
    is_wav: bool = False
    cuts: Cuts = ()

    @property
    def identity(self) -> Hashable:
        return self.sha256, hashlib.sha256(self.key or b"").digest()


@dataclass(frozen=True, slots=True)
class Part:
    """What is heard of one file: silence first. ``until_ms``: no more of it than that."""

    source: Source
    silence_before_ms: int = 0
    until_ms: int | None = None


Parts = Sequence[Part]  # of one recording, one behind the other; at least one


@dataclass(slots=True)
class _Opened:
    """A recording as read, and as sound at each rate that was asked for. ``size``: of what it takes to be so."""

    make: Callable[..., Rendering | WavSound]
    size: int
    best: Rendering | WavSound = field(init=False)
    others: dict[int, Rendering | WavSound] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.best = self.make()

    def at(self, rate: int) -> Rendering | WavSound:
        if rate == self.best.sample_rate:
            return self.best
        if rate not in self.others:
            self.others[rate] = self.make(sample_rate=rate)
        return self.others[rate]


_opened: OrderedDict[Hashable, _Opened] = OrderedDict()


def measure(_: Job, parts: Parts, name: str) -> int:
    """The size of the WAV file. Raises SasfError, WavFault, OSError."""
    form = find_format(name)
    return wav_size(_sound(parts, form), form)


def part(_: Job, parts: Parts, name: str, first: int, last: int) -> bytes:
    form = find_format(name)
    return wav_range(_sound(parts, form), form, first, last)


def digest(job: Job, parts: Parts, name: str) -> str:
    """The SHA-256 of the whole WAV file, in hex."""
    form = find_format(name)
    sound = _sound(parts, form)
    size, sha256 = wav_size(sound, form), hashlib.sha256()
    for first in range(0, size, DIGEST_BYTES):
        sha256.update(wav_range(sound, form, first, min(first + DIGEST_BYTES, size) - 1))
        job.progress(first / size)
    return sha256.hexdigest()


def stream(job: Job, parts: Parts, name: str) -> None:
    """The whole file, while it is made."""
    form = find_format(name)
    encode(_sound(parts, form), form, job.target)


def _sound(parts: Parts, form: Format) -> Sound:
    """At the rate that the format takes and that loses least."""
    opened = [_open(part.source) for part in parts]
    rate = form.sample_rate_for(max(each.best.sample_rate for each in opened))
    sounds = [each.at(rate) for each in opened]
    return sounds[0] if len(parts) == 1 else Joined(list(map(_stretch, parts, sounds)))


def _stretch(part: Part, sound: Rendering | WavSound) -> Stretch:
    frames = sound.frames if part.until_ms is None else min(sound.frames, sound.frames_until(part.until_ms))
    return Stretch(sound, part.silence_before_ms * sound.sample_rate // 1000, frames)


def _open(source: Source) -> _Opened:
    if source.identity in _opened:
        _opened.move_to_end(source.identity)
        return _opened[source.identity]
    data = mapped(source.file) if isinstance(source.file, Path) else source.file
    _opened[source.identity] = opened = _wav(data, source.cuts) if source.is_wav else _sasf(data, source.key)
    while len(_opened) > 1 and sum(each.size for each in _opened.values()) > KEPT_BYTES:
        _opened.popitem(last=False)
    return opened


def _sasf(data: Data, key: bytes | None) -> _Opened:
    contents = SasfReader(data, key=key).contents()
    size = contents.data.nbytes + len(contents.packets) * _BYTES_A_PACKET
    return _Opened(partial(Rendering, contents), size)


def _wav(data: Data, cuts: Cuts) -> _Opened:
    """Of one that is mapped, what is needed is read when it is."""
    return _Opened(partial(WavSound, data, cuts=cuts), len(data) if isinstance(data, bytes) else 0)
