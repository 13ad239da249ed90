"""A spool rendered to a stereo WAV file: left the calling party, right the called one, both on one timeline.

Responsible for audio: decoding, silence where nothing was heard, masking of pauses, the RIFF container. Not responsible
for where packets belong in time (``timeline``), nor for when and where files are made (``sealing``). Works in blocks,
so the memory needed does not grow with the audio; the index of packets takes 64 bytes each (23 MB for an hour).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mediaserverd.media import g711
from mediaserverd.media.g711 import Samples
from mediaserverd.media.settings import WavEncoding
from mediaserverd.media.spool import Integers, Packets, Spool
from mediaserverd.media.timeline import SAMPLE_NS, SAMPLE_RATE, Reception, positions, received

CHANNELS: Final = 2
BLOCK_SAMPLES: Final = 30 * SAMPLE_RATE
MAX_DATA_BYTES: Final = (4 << 30) - (1 << 20)  # RIFF counts in 32 bits: 37 hours of PCM
MAX_SLIP_SAMPLES: Final = (
    4  # a hole that drift correction makes; filled with the sample before it, so it does not click
)

_UNKNOWN, _MU_LAW, _A_LAW, _NO_AUDIO = range(4)
_KINDS: Final = {"pcmu/8000": _MU_LAW, "pcma/8000": _A_LAW}
_NO_AUDIO_NAMES: Final = ("cn", "telephone-event")  # RFC 3389 comfort noise and RFC 4733 digits
_STATIC_KINDS: Final = {0: _MU_LAW, 8: _A_LAW, 13: _NO_AUDIO}  # RFC 3551, where the SDP names nothing
_FORMAT_TAGS: Final[dict[WavEncoding, int]] = {"audio/L16": 1, "audio/PCMA": 6, "audio/PCMU": 7}


@dataclass(frozen=True, slots=True)
class Rendered:
    size: int
    sha256: str
    duration_ms: int
    quality: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Side:
    """The audible packets of one side in the order of the timeline."""

    position: Integers
    start: Integers
    length: Integers
    a_law: Integers
    reception: Reception
    undecodable: int


def render(spool: Spool, target: Path, encoding: WavEncoding) -> Rendered:
    """Writes ``target``, which must not exist, and returns when it is on the disk."""
    sides = [_side(spool, number) for number in range(CHANNELS)]
    sample_bytes = 2 if encoding == "audio/L16" else 1
    wanted = _samples_wanted(spool, sides)
    frames = min(wanted, MAX_DATA_BYTES // (CHANNELS * sample_bytes))
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        for part in _file_parts(spool, sides, frames, encoding, sample_bytes):
            file.write(part)
            digest.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    return Rendered(size, digest.hexdigest(), frames * 1000 // SAMPLE_RATE, _quality(spool, sides, frames < wanted))


def _samples_wanted(spool: Spool, sides: Sequence[_Side]) -> int:
    """The length of the recording. One that broke off ends with the last packet's audio, not with its arrival."""
    wanted = max(0, spool.ended_ns - spool.started_ns) // SAMPLE_NS
    if spool.end is not None:
        return wanted
    ends = [int(side.position[-1] + side.length[-1]) for side in sides if len(side.position)]
    return max([wanted, *(end for end in ends if end <= wanted + SAMPLE_RATE)])


def _file_parts(
    spool: Spool, sides: Sequence[_Side], frames: int, encoding: WavEncoding, sample_bytes: int
) -> Iterator[bytes]:
    yield _header(encoding, sample_bytes, frames)
    pauses = _pauses(spool, frames)
    for first in range(0, frames, BLOCK_SAMPLES):
        count = min(BLOCK_SAMPLES, frames - first)
        block = np.empty((count, CHANNELS), np.int16)
        for channel, side in enumerate(sides):
            block[:, channel] = _heard(spool, side, first, count)
        for start, end in pauses:
            block[max(0, start - first) : max(0, end - first)] = 0
        yield _encoded(block, encoding)


def _header(encoding: WavEncoding, sample_bytes: int, frames: int) -> bytes:
    """RIFF, fmt and data headers; G.711 has an empty extension and a fact chunk, as every format but PCM."""
    align = CHANNELS * sample_bytes
    tag = _FORMAT_TAGS[encoding]
    form = struct.pack("<HHIIHH", tag, CHANNELS, SAMPLE_RATE, SAMPLE_RATE * align, align, 8 * sample_bytes)
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form
    if encoding != "audio/L16":
        chunks = struct.pack("<4sI", b"fmt ", len(form) + 2) + form + struct.pack("<H4sII", 0, b"fact", 4, frames)
    chunks += struct.pack("<4sI", b"data", frames * align)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks) + frames * align, b"WAVE") + chunks


def _encoded(block: Samples, encoding: WavEncoding) -> bytes:
    match encoding:
        case "audio/L16":
            return block.astype("<i2").tobytes()
        case "audio/PCMU":
            return g711.to_mu_law(block).tobytes()
        case "audio/PCMA":
            return g711.to_a_law(block).tobytes()


def _side(spool: Spool, number: int) -> _Side:
    packets = spool.packets.where(spool.packets.side == number)
    reception, first = received(packets)
    kinds = _kinds(spool, packets, number)
    heard = first & ((kinds == _MU_LAW) | (kinds == _A_LAW))
    audible = packets.where(heard)
    placed = positions(audible, spool.started_ns)
    order = np.argsort(placed, kind="stable")
    return _Side(
        position=placed[order],
        start=audible.start[order],
        length=audible.length[order],
        a_law=(kinds[heard][order] == _A_LAW).astype(np.int64),
        reception=reception,
        undecodable=int(np.count_nonzero(kinds == _UNKNOWN)),
    )


def _kinds(spool: Spool, packets: Packets, side: int) -> Integers:
    """What each packet carries, by the payload types that were agreed when it arrived."""
    static = np.full(128, _UNKNOWN, np.int64)
    static[list(_STATIC_KINDS)] = list(_STATIC_KINDS.values())
    kinds = static[packets.payload_type]
    for event in spool.events:
        if event.name == "codecs" and event.side == side:
            table = _kind_table(static, event.body.get("payload_types"))
            since = packets.arrival_ns >= event.at_ns
            kinds[since] = table[packets.payload_type[since]]
    return kinds


def _kind_table(static: Integers, payload_types: object) -> Integers:
    table = static.copy()
    for number, codec in payload_types.items() if isinstance(payload_types, dict) else ():
        name = str(codec).lower()
        if str(number).isdigit() and int(number) < len(table):
            table[int(number)] = _NO_AUDIO if name.split("/")[0] in _NO_AUDIO_NAMES else _KINDS.get(name, _UNKNOWN)
    return table


def _heard(spool: Spool, side: _Side, first: int, count: int) -> Samples:
    """``count`` samples of one side from sample ``first`` on, silence where nothing came."""
    if not len(side.position):
        return np.zeros(count, np.int16)
    margin = int(side.length.max())
    begin, end = np.searchsorted(side.position, (first - margin, first + count))
    buffer = np.zeros(count + 2 * margin + MAX_SLIP_SAMPLES, np.int16)
    place = side.position[begin:end] - first + margin
    start, length, a_law = side.start[begin:end], side.length[begin:end], side.a_law[begin:end]
    # Packets of a call are mostly of one size, so decoding size by size is a handful of array operations.
    for size, law in {*zip(length.tolist(), a_law.tolist(), strict=True)}:
        chosen = (length == size) & (a_law == law)
        span = np.arange(size)
        table = g711.A_LAW if law else g711.MU_LAW
        buffer[place[chosen, None] + span] = table[spool.data[start[chosen, None] + span]]
    _fill_slips(buffer, place, length)
    return buffer[margin : margin + count]


def _fill_slips(buffer: Samples, place: Integers, length: Integers) -> None:
    ends = place[:-1] + length[:-1]
    gaps = place[1:] - ends
    for index in np.flatnonzero((gaps > 0) & (gaps <= MAX_SLIP_SAMPLES)):
        buffer[ends[index] : place[index + 1]] = buffer[ends[index] - 1]


def _pauses(spool: Spool, frames: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    since: int | None = None
    for event in spool.events:
        at = (event.at_ns - spool.started_ns) // SAMPLE_NS
        if event.name == "pause" and since is None:
            since = at
        elif event.name == "resume" and since is not None:
            spans.append((since, at))
            since = None
    return spans if since is None else [*spans, (since, frames)]


def _quality(spool: Spool, sides: Sequence[_Side], cut_short: bool) -> dict[str, Any]:
    overflow = spool.end.body.get("tap_overflow", 0) if spool.end else 0
    overflow = overflow if isinstance(overflow, int) else 0
    degraded = bool(overflow or cut_short or any(side.undecodable for side in sides))
    return {"degraded": degraded, "sides": [_side_quality(side) for side in sides], "tap_overflow": overflow}


def _side_quality(side: _Side) -> dict[str, Any]:
    heard = side.reception
    return {
        "packets": heard.packets,
        "lost": heard.lost,
        "duplicates": heard.duplicates,
        "undecodable": side.undecodable,
        "ssrc_changes": heard.ssrc_changes,
        "jitter_ms": heard.jitter_ms,
    }
